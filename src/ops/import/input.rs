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
            let why = format!("line {line} is larger than {} bytes", rescue::LIMIT);
            return Err(Error::Import { why, taken: false });
        }
        self.line += 1;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(input: &[u8]) -> Result<Vec<(u64, String)>, Error> {
        let mut objects = Objects::new(input);
        let mut found = Vec::new();
        while let Some((line, text)) = objects.next()? {
            found.push((line, String::from_utf8_lossy(&text).into_owned()));
        }
        Ok(found)
    }

    #[test]
    fn takes_a_line_for_an_object_unless_the_first_one_only_begins_it() {
        let one = |line, text: &str| (line, text.to_owned());
        assert_eq!(all(b"{}\n\n{} \n[").unwrap(), [one(1, "{}\n"), one(3, "{} \n"), one(4, "[")]);
        assert_eq!(all(b"\n{\n\"a\":\n1}\n").unwrap(), [one(2, "{\n\"a\":\n1}\n")]);
        assert_eq!(all(b"\xef\xbb\xbf{\n}\n").unwrap().len(), 1);
        // Only the first line decides.
        assert_eq!(all(b"x\n{\n").unwrap(), [one(1, "x\n"), one(2, "{\n")]);
        assert_eq!(all(b"{}\n{\n}\n").unwrap().len(), 3);
        assert!(all(b" \n\n").unwrap().is_empty());
    }

    #[test]
    fn reads_no_more_of_an_object_than_a_record_may_have() {
        struct Endless(u64);
        impl std::io::Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                buffer.fill(b'[');
                self.0 += buffer.len() as u64;
                assert!(self.0 < 3 * rescue::LIMIT, "it reads on");
                Ok(buffer.len())
            }
        }
        let error = Objects::new(std::io::BufReader::new(Endless(0))).next().unwrap_err();
        assert!(error.to_string().contains("line 1 is larger"), "{error}");
    }

    proptest! {
        #[test]
        fn loses_nothing_but_blank_lines(text in "[\\[\\]{}\" a\\n]{0,80}") {
            let found = all(text.as_bytes()).unwrap();
            let solid = |text: &str| text.split_whitespace().collect::<String>();
            let together: String = found.iter().map(|(_, text)| text.as_str()).collect();
            prop_assert_eq!(solid(&together), solid(&text));
            prop_assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}
