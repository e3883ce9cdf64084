//! Which lines of an input are stored. They are begun in the order of the input and several at once, so that a later one
//! may be stored where an earlier one is not.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The lines of an input on their way into the store.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// How many are stored.
    pub(super) done: u64,
    begun: u64,
    /// The last one that was begun.
    last: u64,
    /// Those that were begun and are not stored.
    open: BTreeSet<u64>,
    /// The last one that is stored.
    last_stored: u64,
}

impl Lines {
    /// A line is next.
    pub(super) fn begin(&mut self, line: u64) {
        self.begun += 1;
        self.last = line;
        self.open.insert(line);
    }

    /// It is stored.
    pub(super) fn stored(&mut self, line: u64) {
        self.open.remove(&line);
        self.done += 1;
        self.last_stored = self.last_stored.max(line);
    }

    /// The command that prints the lines that are not stored, of an input with `of` tokens, and no other; `None` where
    /// all are or none is. Lines without a token change nothing.
    pub(super) fn rest(&self, of: u64) -> Option<String> {
        if self.done == 0 || self.done >= of {
            return None;
        }
        let first = self.open.first().copied().unwrap_or(self.last + 1);
        if first > self.last_stored {
            return Some(format!("tail -n +{first} FILE"));
        }
        let mut wanted = String::new();
        for line in &self.open {
            // Writing to a string cannot fail.
            let _ = write!(wanted, "{line}p;");
        }
        if self.begun < of {
            let _ = write!(wanted, "{},$p", self.last + 1);
        }
        Some(format!("sed -n '{}' FILE", wanted.trim_end_matches(';')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_line_that_is_not_stored_and_no_other() {
        for (begun, stored, of, rest) in [
            (&[1, 2, 3][..], &[1, 2][..], 3, Some("tail -n +3 FILE")),
            (&[1, 2, 3], &[1, 2], 9, Some("tail -n +3 FILE")),
            (&[1, 2, 3], &[3, 1, 2], 9, Some("tail -n +4 FILE")),
            // Blank lines between them.
            (&[2, 5, 9], &[2], 9, Some("tail -n +5 FILE")),
            (&[1, 2, 3, 4], &[4, 1], 4, Some("sed -n '2p;3p' FILE")),
            (&[1, 2, 3, 7], &[7, 1, 3], 9, Some("sed -n '2p;8,$p' FILE")),
            (&[1, 2], &[], 2, None),
            (&[1, 2], &[2, 1], 2, None),
        ] {
            let mut lines = Lines::default();
            for line in begun {
                lines.begin(*line);
            }
            for line in stored {
                lines.stored(*line);
            }
            assert_eq!(lines.rest(of).as_deref(), rest, "{begun:?} {stored:?} {of}");
        }
    }
}
