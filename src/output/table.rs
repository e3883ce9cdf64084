//! Tables for people, and the bar that shows how much of a life is left.

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};

/// How many cells a bar has.
const BAR: u8 = 10;

/// The blanks after a column.
const GAP: u16 = 2;

/// How many rows are looked at together for how wide the columns are.
const PAGE: usize = 1000;

/// Aligned columns under a header, without lines.
#[must_use]
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut pages = Pages::new(header);
    pages.rows = rows;
    pages.end().unwrap_or_default()
}

/// A table of any length, a page at a time: what fits into one page is as wide as it has to be, and each later page is
/// at least as wide as those before it.
#[derive(Debug)]
pub struct Pages {
    /// Empty once it is written.
    header: Vec<String>,
    widths: Vec<u16>,
    rows: Vec<Vec<String>>,
}

impl Pages {
    /// A table with this header.
    #[must_use]
    pub fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|&name| name.to_owned()).collect(), widths: Vec::new(), rows: Vec::new() }
    }

    /// Adds a row; the text of a page once that is full.
    #[must_use]
    pub fn push(&mut self, row: Vec<String>) -> Option<String> {
        self.rows.push(row);
        if self.rows.len() < PAGE { None } else { self.end() }
    }

    /// The text of what is left; `None` where nothing is.
    #[must_use]
    pub fn end(&mut self) -> Option<String> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() && self.header.is_empty() {
            return None;
        }
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        let header = std::mem::take(&mut self.header);
        if !header.is_empty() {
            table.set_header(header);
        }
        table.add_rows(rows);
        let needed = table.column_max_content_widths();
        self.widths.resize(needed.len(), 0);
        for (width, needed) in self.widths.iter_mut().zip(needed) {
            *width = needed.max(*width);
        }
        for (column, width) in table.column_iter_mut().zip(&self.widths) {
            column.set_padding((0, GAP));
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + GAP)));
        }
        Some(table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
    }
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

    #[test]
    fn keeps_the_columns_of_later_pages_at_least_as_wide() {
        let mut pages = Pages::new(&["key", "state"]);
        let row = |key: &str| vec![key.to_owned(), "fresh".to_owned()];
        assert_eq!(pages.push(row("square/default")), None);
        let first: Vec<String> =
            (1..PAGE).filter_map(|n| pages.push(row(if n < PAGE - 1 { "a" } else { "b" }))).collect();
        assert_eq!((first.len(), first[0].lines().count()), (1, PAGE + 1));
        assert_eq!(first[0].lines().last(), Some("b               fresh"));
        assert_eq!(pages.push(row("c")), None);
        assert_eq!(pages.end().as_deref(), Some("c               fresh"));
        assert_eq!(pages.push(row("square/default-2")), None);
        assert_eq!(pages.end().as_deref(), Some("square/default-2  fresh"));
        assert_eq!(pages.end(), None);
    }
}
