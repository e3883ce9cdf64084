//! How large the terminal is that a stream goes to.

use std::io;

use terminal_size::{Height, Width, terminal_size_of};

use crate::env;

/// How large a terminal is, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The characters of a line.
    pub columns: usize,
    /// The lines.
    pub rows: usize,
}

impl From<(Width, Height)> for Size {
    fn from((Width(columns), Height(rows)): (Width, Height)) -> Self {
        Self { columns: columns.into(), rows: rows.into() }
    }
}

/// The terminal that stdout goes to; `None` where it is none, or does not tell its size.
#[must_use]
pub fn of_stdout() -> Option<Size> {
    terminal_size_of(io::stdout()).map(Size::from)
}

/// The terminal that stderr goes to; `None` where it is none, or does not tell its size.
#[must_use]
pub fn of_stderr() -> Option<Size> {
    terminal_size_of(io::stderr()).map(Size::from)
}

/// The characters that a line of a table may have: those of the terminal, else what `COLUMNS` says, as the help has it;
/// `None` where a table is as wide as it has to be, so that a pipe gets all of it.
#[must_use]
pub fn table_width() -> Option<usize> {
    of_stdout().map(|size| size.columns).or_else(env::columns)
}
