//! What was checked and waits to be stored: in memory or, from some size on, in a file without a name, sealed with a key
//! that nobody else ever has. And what was refused.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufRead as _, BufReader, Seek as _, Write as _};

use tempfile::SpooledTempFile;
use zeroize::Zeroizing;

use crate::config::SecretSource;
use crate::fsutil::{self, FsError};
use crate::model::Key;
use crate::ops::Error;
use crate::store::{Sealer, StoreError, seal};

/// How much of what was checked is kept in memory, in bytes.
const IN_MEMORY: usize = 8 << 20;

/// How many refusals are told one by one.
const TOLD: usize = 10;

/// What was checked, waiting to be stored, and what was refused.
pub(super) struct Checked {
    spool: BufReader<SpooledTempFile>,
    sealer: Sealer,
    pub(super) count: u64,
    /// The hash of each key and its line: sixteen bytes a token, whatever its size.
    seen: Vec<(u64, u64)>,
    hasher: RandomState,
    /// The line of the token that took its key from the command line.
    pub(super) borrowed: Option<u64>,
    refusals: Vec<String>,
    refused: u64,
    /// How many of these for nothing but a token that is stored already.
    taken: u64,
}

impl Checked {
    pub(super) fn new() -> Result<Self, Error> {
        let key = seal::new_key().map_err(|error| Error::System(error.to_string()))?;
        Ok(Self {
            spool: BufReader::new(fsutil::spool(IN_MEMORY)),
            sealer: Sealer::new(vec![SecretSource::Literal(key)]),
            count: 0,
            seen: Vec::new(),
            hasher: RandomState::new(),
            borrowed: None,
            refusals: Vec::new(),
            refused: 0,
            taken: 0,
        })
    }

    /// Keeps a token for later.
    pub(super) fn keep(&mut self, line: u64, key: &Key, object: &[u8]) -> Result<(), Error> {
        self.count += 1;
        self.seen.push((self.hasher.hash_one(key), line));
        let sealed = self.sealer.seal(key, line, object).map_err(|error| Error::System(error.to_string()))?;
        let text = sealed.map(|sealed| sealed.text).unwrap_or_default();
        let kept = format!("{line} {key} {text}\n");
        self.spool.get_mut().write_all(kept.as_bytes()).map_err(|error| not_kept(&error))
    }

    pub(super) fn refuse(&mut self, line: u64, why: &str) {
        self.refused += 1;
        if self.refusals.len() < TOLD {
            self.refusals.push(format!("line {line}: {why}"));
        }
    }

    /// Refuses a key that has a token already.
    pub(super) fn refuse_taken(&mut self, line: u64, key: &Key) {
        self.taken += 1;
        self.refuse(line, &format!("{key} is stored already; --replace overwrites it"));
    }

    /// Whether everything can be stored.
    pub(super) fn judge(&mut self) -> Result<(), Error> {
        self.seen.sort_unstable();
        let mut twice: Vec<_> =
            self.seen.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| (pair[1].1, pair[0].1)).collect();
        twice.sort_unstable();
        self.seen = Vec::new();
        for (second, first) in twice {
            self.refuse(second, &format!("it has the key of line {first}"));
        }
        if self.refused > 0 {
            let more = self.refused - self.refusals.len() as u64;
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            return Err(Error::Import { why: self.refusals.join("; ") + &more, taken: self.taken == self.refused });
        }
        if self.count == 0 {
            let why = "there is no token on stdin; a rescue file is named with --rescue".to_owned();
            return Err(Error::Import { why, taken: false });
        }
        Ok(())
    }

    pub(super) fn rewind(&mut self) -> Result<(), Error> {
        self.spool.rewind().map_err(|error| not_kept(&error))
    }

    /// The next token that was kept.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Key, Zeroizing<String>)>, Error> {
        let mut kept = String::new();
        if self.spool.read_line(&mut kept).map_err(|error| not_kept(&error))? == 0 {
            return Ok(None);
        }
        let lost = || Error::System("what was kept of the input is not what was written".to_owned());
        let mut parts = kept.trim_end().splitn(3, ' ');
        let mut part = || parts.next().ok_or_else(lost);
        let line = part()?.parse().map_err(|_| lost())?;
        let key: Key = part()?.parse().map_err(|_| lost())?;
        let id = self.sealer.id().ok().flatten().unwrap_or_default();
        let sealed = seal::Sealed { id, text: part()?.to_owned() };
        let opened = self.sealer.open(&key, line, &sealed).ok().flatten().ok_or_else(lost)?;
        let object = std::str::from_utf8(&opened).map_err(|_| lost())?;
        Ok(Some((line, key, Zeroizing::new(object.to_owned()))))
    }
}

fn not_kept(error: &io::Error) -> Error {
    let why = io::Error::new(error.kind(), error.to_string());
    StoreError::from(FsError::io("keep the input in", &std::env::temp_dir())(why)).into()
}
