//! Tables in every width.

use proptest::prelude::*;

use super::*;

/// As the stream of a pipe has it.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn row(cells: &[&str]) -> Vec<Cell> {
    cells.iter().map(|&cell| cell.into()).collect()
}

/// A table as `status` has it, in lines of `room` characters.
fn accounts(room: usize) -> String {
    let columns = vec![
        Column::new("KEY").down_to(8),
        Column::new("ACCOUNT").leaving(2).down_to(9),
        Column::new("STATE"),
        Column::new("ENDS").leaving(1),
    ];
    let mut pages = Pages::new(columns, Some(room));
    for cells in [["wix/default", "66666666-7777-4888", "fresh", "never"], ["wix/b", "MLTESTS", "needs_login", "–"]] {
        assert_eq!(pages.push(row(&cells)), None);
    }
    plain(&pages.end().unwrap())
}

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
    assert_eq!(plain(&text), "key             state\nsquare/default  fresh");
    let text = table(&["key", "state", "end"], vec![vec!["店".into(), String::new(), "x".into()]]);
    assert_eq!(plain(&text), "key  state  end\n店          x", "wide characters take two places");
}

#[test]
fn cuts_then_leaves_out_then_cuts_what_stays() {
    assert_eq!(
        accounts(53),
        "KEY          ACCOUNT             STATE        ENDS\n\
         wix/default  66666666-7777-4888  fresh        never\n\
         wix/b        MLTESTS             needs_login  –"
    );
    assert_eq!(
        accounts(44),
        "KEY          ACCOUNT      STATE        ENDS\n\
         wix/default  66666666-7…  fresh        never\n\
         wix/b        MLTESTS      needs_login  –"
    );
    assert_eq!(
        accounts(41),
        "KEY          ACCOUNT          STATE\n\
         wix/default  66666666-7777-…  fresh\n\
         wix/b        MLTESTS          needs_login"
    );
    assert_eq!(accounts(34), "KEY          STATE\nwix/default  fresh\nwix/b        needs_login");
    assert_eq!(accounts(22), "KEY        STATE\nwix/defa…  fresh\nwix/b      needs_login");
    assert_eq!(accounts(12), "KEY       S…\nwix/def…  f…\nwix/b     n…");
    assert_eq!(accounts(1), "K\n…\n…".replace('K', "…"));
}

#[test]
fn keeps_the_columns_of_later_pages_at_least_as_wide() {
    let mut pages = Pages::new(vec![Column::new("key"), Column::new("state")], None);
    let row = |key: &str| row(&[key, "fresh"]);
    assert_eq!(pages.push(row("square/default")), None);
    let first: Vec<String> = (1..PAGE).filter_map(|n| pages.push(row(if n < PAGE - 1 { "a" } else { "b" }))).collect();
    assert_eq!((first.len(), first[0].lines().count()), (1, PAGE + 1));
    assert_eq!(first[0].lines().last(), Some("b               fresh"));
    assert_eq!(pages.push(row("c")), None);
    assert_eq!(pages.end().as_deref(), Some("c               fresh"));
    assert_eq!(pages.push(row("square/default-2")), None);
    assert_eq!(pages.end().as_deref(), Some("square/default-2  fresh"));
    assert_eq!(pages.end(), None);
}

#[test]
fn keeps_the_columns_of_the_first_page_where_a_later_one_has_less_room() {
    let columns = vec![Column::new("key").down_to(4), Column::new("end").leaving(1)];
    let mut pages = Pages::new(columns, Some(12));
    assert_eq!(pages.push(row(&["square", "now"])), None);
    assert_eq!(pages.end().map(|page| plain(&page)).as_deref(), Some("key     end\nsquare  now"));
    assert_eq!(pages.push(row(&["square/default", "now"])), None);
    assert_eq!(pages.end().as_deref(), Some("square…  now"));
}

#[test]
fn colours_the_words_and_not_the_blanks() {
    let mut pages = Pages::new(vec![Column::new("a"), Column::new("b")], None);
    let green = anstyle::AnsiColor::Green.on_default();
    assert_eq!(pages.push(vec![Cell::new("x", green), Cell::new("", green)]), None);
    assert_eq!(pages.end().unwrap().lines().last(), Some("\u{1b}[32mx\u{1b}[0m"));
}

proptest! {
    #[test]
    fn is_never_wider_than_its_room(
        room in 1_usize..80,
        cells in prop::collection::vec(prop::collection::vec("[a-z店]{0,30}", 3), 1..5),
    ) {
        let columns = vec![Column::new("one").down_to(3), Column::new("two").leaving(1), Column::new("three")];
        let mut pages = Pages::new(columns, Some(room));
        for cells in &cells {
            prop_assert_eq!(pages.push(cells.iter().map(|cell| cell.as_str().into()).collect()), None);
        }
        let text = plain(&pages.end().unwrap());
        prop_assert_eq!(text.split('\n').count(), cells.len() + 1);
        prop_assert!(text.lines().all(|line| line.width() <= room), "{}", text);
    }
}
