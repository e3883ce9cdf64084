//! Tables for people, and the bar that shows how much of a life is left.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

/// How many cells a bar has.
const BAR: u8 = 10;

/// Aligned columns under a header, without lines.
#[must_use]
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A bar of ten cells, full for a share of 1 and more, empty for 0 and less.
#[must_use]
pub fn bar(share: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the share is clamped to 0..=1")]
    let full = (share.clamp(0.0, 1.0) * f64::from(BAR)).ceil() as usize;
    "█".repeat(full) + &"░".repeat(usize::from(BAR) - full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_a_bar() {
        for (share, full) in [(-1.0, 0), (0.0, 0), (0.01, 1), (0.5, 5), (1.0, 10), (7.0, 10), (f64::NAN, 0)] {
            assert_eq!(bar(share).matches('█').count(), full, "{share}");
            assert_eq!(bar(share).chars().count(), usize::from(BAR));
        }
    }

    #[test]
    fn aligns_columns() {
        let text = table(&["key", "state"], vec![vec!["square/default".into(), "fresh".into()]]);
        assert_eq!(text, "key             state\nsquare/default  fresh");
    }
}
