//! What tokman did to a key and when: one JSON line for each change or attempt, never a secret. Kept beside the config
//! file, rotated at 1 MiB. Best effort: a grant is worth more than the line about it.

pub mod days;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fsutil::{self, FsError};
use crate::model::{Key, Token};
use crate::ops::Error;
use crate::process;
use crate::provider::ProviderError;

/// The size at which the file is put aside and a new one begun, in bytes.
const LIMIT: u64 = 1 << 20;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The first token of a key.
    Obtain,
    /// The next token.
    Refresh,
    /// Square's RenewToken.
    Renew,
    /// The end at the provider.
    Revoke,
    /// The end here.
    Remove,
    /// A record from elsewhere, or one that was brought back.
    Import,
}

impl Action {
    /// The word in the history.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Obtain => "obtain",
            Self::Refresh => "refresh",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
            Self::Remove => "remove",
            Self::Import => "import",
        }
    }
}

/// One line of the history. The names are public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it ended.
    pub at: Timestamp,
    /// The key.
    pub key: String,
    /// What was done.
    pub action: Action,
    /// `ok`, or the name of the exit code.
    pub outcome: String,
    /// The fingerprint of the refresh token before (of the access token where there is none); absent where nothing was
    /// stored.
    pub old: Option<String>,
    /// The same afterwards; absent where nothing new came.
    pub new: Option<String>,
    /// The process.
    pub pid: u32,
    /// The machine.
    pub host: String,
    /// How long it took.
    pub duration_ms: i64,
    /// The provider's name for the request, where it gave one.
    pub request_id: Option<String>,
    /// What went wrong, fit to be shown; absent where nothing did.
    pub error: Option<String>,
}

impl Event {
    /// What happened between `began` and `at`.
    #[must_use]
    pub fn new(key: &Key, action: Action, (began, at): (Timestamp, Timestamp)) -> Self {
        Self {
            at: Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at),
            key: key.to_string(),
            action,
            outcome: "ok".to_owned(),
            old: None,
            new: None,
            pid: std::process::id(),
            host: process::host(),
            duration_ms: i64::try_from(at.duration_since(began).as_millis()).unwrap_or_default().max(0),
            request_id: None,
            error: None,
        }
    }

    /// With the tokens before and after.
    #[must_use]
    pub fn tokens(mut self, old: Option<&Token>, new: Option<&Token>) -> Self {
        let fingerprint = |token: &Token| {
            let secret = token.refresh.as_ref().unwrap_or(&token.access);
            (!secret.is_empty()).then(|| secret.fingerprint(&self.key))
        };
        (self.old, self.new) = (old.and_then(fingerprint), new.and_then(fingerprint));
        self
    }

    /// With what went wrong.
    #[must_use]
    pub fn failed(mut self, error: &Error) -> Self {
        error.code().name().clone_into(&mut self.outcome);
        self.error = Some(error.to_string());
        if let Error::Provider(ProviderError::Refused(refusal)) = error {
            self.request_id = refusal.request_id.as_ref().map(ToString::to_string);
        }
        self
    }

    /// Whether it went well.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.outcome == "ok"
    }
}

/// The history file.
#[derive(Debug, Clone)]
pub struct History {
    path: PathBuf,
}

impl History {
    /// The history in a config directory.
    #[must_use]
    pub fn new(config_dir: &Path) -> Self {
        Self { path: config_dir.join("history.jsonl") }
    }

    /// Adds a line. A failure is only logged.
    pub fn append(&self, event: &Event) {
        if let Err(error) = self.try_append(event) {
            log::warn!("the history cannot be written: {error}");
        }
    }

    fn try_append(&self, event: &Event) -> Result<(), FsError> {
        let mut line = serde_json::to_string(event).unwrap_or_default();
        line.push('\n');
        if let Some(dir) = self.path.parent() {
            fsutil::make_private_dir(dir)?;
        }
        let (mut file, seen) = self.open(OpenOptions::new().append(true).create(true))?;
        // One call, so that lines of several processes do not mix.
        file.write_all(line.as_bytes()).map_err(FsError::io("write", &self.path))?;
        if seen.len() + line.len() as u64 > LIMIT { self.rotate() } else { Ok(()) }
    }

    fn open(&self, options: &OpenOptions) -> Result<(File, Metadata), FsError> {
        fsutil::open_seen(&self.path, options, 0o600)?
            .ok_or_else(|| FsError::io("open", &self.path)(std::io::ErrorKind::NotFound.into()))
    }

    /// Puts a full file aside. Of several processes that find it full, one does.
    fn rotate(&self) -> Result<(), FsError> {
        let Some(file) = fsutil::open_private(&self.path, OpenOptions::new().append(true), 0o600)? else {
            // Another process moved it a moment ago.
            return Ok(());
        };
        file.lock().map_err(FsError::io("lock", &self.path))?;
        // Whoever was first has moved it: what has the name now is new.
        let still_full = std::fs::metadata(&self.path).is_ok_and(|meta| meta.len() > LIMIT);
        if still_full { fsutil::publish(&self.path, &self.previous()) } else { Ok(()) }
    }

    fn previous(&self) -> PathBuf {
        self.path.with_extension("jsonl.1")
    }

    /// Hands every event to `take`, the oldest first. Lines that are none are passed over.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn for_each(&self, mut take: impl FnMut(Event)) -> Result<(), FsError> {
        for path in [self.previous(), self.path.clone()] {
            let Some(file) = fsutil::open_private(&path, OpenOptions::new().read(true), 0o600)? else {
                continue;
            };
            for line in BufReader::new(file).split(b'\n') {
                let line = line.map_err(FsError::io("read", &path))?;
                if let Ok(event) = serde_json::from_slice(&line) {
                    take(event);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: i64) -> Event {
        let at = Timestamp::from_second(n).unwrap();
        Event::new(&"square/default".parse().unwrap(), Action::Refresh, (at, at))
    }

    fn all(history: &History) -> Vec<i64> {
        let mut seen = Vec::new();
        history.for_each(|event| seen.push(event.at.as_second())).unwrap();
        seen
    }

    #[test]
    fn reads_back_what_it_wrote_and_passes_over_other_lines() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path());
        history.append(&event(1));
        history.open(OpenOptions::new().append(true)).unwrap().0.write_all(b"torn\n").unwrap();
        history.append(&event(2));
        assert_eq!(all(&history), [1, 2]);
    }

    #[test]
    fn begins_a_new_file_at_one_mebibyte_and_keeps_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path());
        history.append(&event(1));
        let padding = vec![b'\n'; usize::try_from(LIMIT).unwrap()];
        history.open(OpenOptions::new().append(true)).unwrap().0.write_all(&padding).unwrap();
        history.append(&event(2));
        assert!(!history.path.exists());
        history.append(&event(3));
        assert_eq!(all(&history), [1, 2, 3]);
    }

    #[test]
    fn loses_no_line_when_many_write_and_rotate() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path());
        let padding = vec![b'\n'; usize::try_from(LIMIT).unwrap() - 2000];
        history.append(&event(0));
        history.open(OpenOptions::new().append(true)).unwrap().0.write_all(&padding).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let history = &history;
                scope.spawn(move || (1..=20).for_each(|n| history.append(&event(writer * 100 + n))));
            }
        });
        assert_eq!(all(&history).len(), 161);
    }
}
