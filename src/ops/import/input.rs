//! The objects of an input: one on each line, or a single one on several.

use std::io::{BufRead, Read as _};
use std::path::Path;

use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use crate::fsutil::FsError;
use crate::ops::{Error, rescue};
use crate::store::StoreError;

/// A text and the line that it begins on.
pub(super) type Numbered = (u64, Zeroizing<Vec<u8>>);

/// The objects of an input with their lines, from 1.
pub(super) struct Objects<R> {
    input: R,
    line: u64,
    /// Whether all of the input is one object; absent before the first.
    single: Option<bool>,
}

impl<R: BufRead> Objects<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, line: 0, single: None }
    }

    /// The next one; `None` after the last. What follows a first line that is the beginning of an object belongs to it.
    pub(super) fn next(&mut self) -> Result<Option<Numbered>, Error> {
        loop {
            let mut text = Zeroizing::new(Vec::new());
            if self.read_line(&mut text)? == 0 {
                return Ok(None);
            }
            let first = self.line;
            if text.trim_ascii().is_empty() {
                continue;
            }
            if self.single.is_none() {
                let plain = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
                let begun = serde_json::from_slice::<IgnoredAny>(plain).is_err_and(|error| error.is_eof());
                self.single = Some(begun);
                while begun && self.read_line(&mut text)? > 0 {}
            }
            return Ok(Some((first, text)));
        }
    }

    /// Adds a line to `text`.
    fn read_line(&mut self, text: &mut Vec<u8>) -> Result<usize, Error> {
        let stdin = Path::new("stdin");
        let room = rescue::LIMIT.saturating_sub(text.len() as u64);
        let read = self.input.by_ref().take(room + 1).read_until(b'\n', text);
        let read = read.map_err(FsError::io("read", stdin)).map_err(StoreError::from)?;
        if text.len() as u64 > rescue::LIMIT {
            let line = self.line + 1;
            return Err(Error::Import(format!("line {line} is larger than {} bytes", rescue::LIMIT)));
        }
        self.line += 1;
        Ok(read)
    }
}
