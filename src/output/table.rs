//! Tables for people, as wide as the room for them, and the bar that shows how much of a life is left.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::output::palette::{PLAIN, TITLE};

/// How many cells a bar has.
const BAR: u8 = 10;

/// The blanks between two columns.
const GAP: usize = 2;

/// How many rows are looked at together for how wide the columns are.
const PAGE: usize = 1000;

/// A column: its name, and what it gives up where there is not room for all.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    /// Those with the lowest number are left out first; one without a number never is.
    leaves: Option<u8>,
    /// What its cells may be cut to. A column that can leave is cut before another leaves, one that stays is cut last.
    least: Option<usize>,
}

impl Column {
    /// A column that is always there, whole.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), leaves: None, least: None }
    }

    /// The same, left out where there is no room for it; those with a lower rank go before it.
    #[must_use]
    pub const fn leaving(mut self, rank: u8) -> Self {
        self.leaves = Some(rank);
        self
    }

    /// The same, cut to no fewer characters than these where there is no room for more.
    #[must_use]
    pub const fn down_to(mut self, least: usize) -> Self {
        self.least = Some(least);
        self
    }
}

/// What stands in a row under a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text in a colour.
    pub fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, PLAIN)
    }
}

/// Aligned columns under a header, without lines, as wide as they have to be.
#[must_use]
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut pages = Pages::new(header.iter().map(|&name| Column::new(name)).collect(), None);
    pages.rows = rows.into_iter().map(|row| row.into_iter().map(Cell::from).collect()).collect();
    pages.end().unwrap_or_default()
}

/// A table of any length, a page at a time: what fits into one page is as wide as it has to be, and each later page is
/// at least as wide as those before it, and has the same columns.
#[derive(Debug)]
pub struct Pages {
    columns: Vec<Column>,
    /// The characters of a line; `None` for as many as there have to be.
    room: Option<usize>,
    /// How wide each column is, `None` for one that is left out; empty until the first page is written.
    widths: Vec<Option<usize>>,
    rows: Vec<Vec<Cell>>,
}

impl Pages {
    /// A table with these columns, in lines of `room` characters; `None` for lines as long as they have to be.
    #[must_use]
    pub const fn new(columns: Vec<Column>, room: Option<usize>) -> Self {
        Self { columns, room, widths: Vec::new(), rows: Vec::new() }
    }

    /// Adds a row; the text of a page once that is full.
    #[must_use]
    pub fn push(&mut self, row: Vec<Cell>) -> Option<String> {
        self.rows.push(row);
        if self.rows.len() < PAGE { None } else { self.end() }
    }

    /// The text of what is left; `None` where nothing is.
    #[must_use]
    pub fn end(&mut self) -> Option<String> {
        let rows = std::mem::take(&mut self.rows);
        let first = self.widths.is_empty();
        if rows.is_empty() && !first {
            return None;
        }
        let header: Vec<Cell> = self.columns.iter().map(|column| Cell::new(&column.name, TITLE)).collect();
        let needed = |at: usize| {
            let names = first.then(|| &header[at]).into_iter();
            names.chain(rows.iter().filter_map(|row| row.get(at))).map(|cell| cell.text.width()).max().unwrap_or(0)
        };
        self.widths = if first {
            (0..self.columns.len()).map(|at| Some(needed(at))).collect()
        } else {
            self.widths.iter().enumerate().map(|(at, width)| width.map(|width| width.max(needed(at)))).collect()
        };
        self.fit(first);
        let lines: Vec<String> = first.then_some(&header).into_iter().chain(&rows).map(|row| self.line(row)).collect();
        Some(lines.join("\n"))
    }

    /// Takes from the columns what there is no room for.
    fn fit(&mut self, may_leave: bool) {
        let Some(room) = self.room else { return };
        while self.total() > room {
            let leaving = |at: &usize| self.widths[*at].is_some() && self.columns[*at].leaves.is_some();
            let first_to_leave = (0..self.columns.len()).filter(leaving).min_by_key(|&at| self.columns[at].leaves);
            let first_to_leave = first_to_leave.filter(|_| may_leave);
            let excess = self.total() - room;
            let can_give = |at: usize| match (self.widths[at], self.columns[at].least) {
                (Some(width), Some(least)) if first_to_leave.is_none() || self.columns[at].leaves.is_some() => {
                    width.saturating_sub(least)
                }
                _ => 0,
            };
            let gifts: Vec<usize> = (0..self.columns.len()).map(can_give).collect();
            match first_to_leave {
                Some(at) if gifts.iter().sum::<usize>() < excess => self.widths[at] = None,
                _ => return self.cut(&gifts, excess),
            }
        }
    }

    /// Makes the columns narrower, the widest gift first, until the excess is gone or nobody has more to give.
    fn cut(&mut self, gifts: &[usize], mut excess: usize) {
        let mut order: Vec<usize> = (0..gifts.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(gifts[at]));
        for at in order {
            let given = gifts[at].min(excess);
            excess -= given;
            self.widths[at] = self.widths[at].map(|width| width - given);
        }
    }

    fn total(&self) -> usize {
        let shown: Vec<usize> = self.widths.iter().copied().flatten().collect();
        shown.iter().sum::<usize>() + GAP * shown.len().saturating_sub(1)
    }

    /// A row, cut where a cell is wider than its column or the line longer than the room; no blanks at its end.
    fn line(&self, row: &[Cell]) -> String {
        let (mut line, mut taken, mut blanks) = (String::new(), 0, 0);
        let room = self.room.unwrap_or(usize::MAX);
        for (cell, width) in row.iter().zip(&self.widths).filter_map(|(cell, width)| Some((cell, (*width)?))) {
            let text = cut(&cell.text, width.min(room.saturating_sub(taken + blanks)));
            let used = text.width();
            if used > 0 {
                line.extend(std::iter::repeat_n(' ', blanks));
                // Writing into a string cannot fail.
                let _ = write!(line, "{style}{text}{style:#}", style = cell.style);
                taken += blanks + used;
                blanks = 0;
            }
            blanks += width.saturating_sub(used) + GAP;
        }
        line
    }
}

/// A text that is no wider than `width`, its cut marked with `…`.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(0);
        taken < width
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// A bar of ten cells, full for a share of 1 and more, empty for 0 and less.
#[must_use]
pub fn bar(share: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the share is clamped to 0..=1")]
    let full = (share.clamp(0.0, 1.0) * f64::from(BAR)).ceil() as usize;
    "█".repeat(full) + &"░".repeat(usize::from(BAR) - full)
}

#[cfg(test)]
mod tests;
