//! The last resort: a record that the store would not take goes to a private file elsewhere, so that the grant in it
//! is not lost.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::config::paths;
use crate::fsutil::{self, FsError};
use crate::model::text::shell_word;
use crate::model::{Key, Response, Secret, Token};
use crate::ops::history::{Action, Event};
use crate::ops::{Broker, Error};
use crate::store::{Lease, Record, Sealer, StoreError};

/// The most that is read of a rescue file.
pub(super) const LIMIT: u64 = 4 << 20;

/// What the names of rescue files begin with.
const PREFIX: &str = "rescue-";

/// The members of an answer that are a grant, or what came of one.
const TOKENS: [&str; 4] = ["access_token", "refresh_token", "accessToken", "refreshToken"];

/// Writes a record to the first place that takes it and tells where: for good if one does, else at least until the next
/// power cut. Where it was to take the place of another, that one's refresh token is named in it, not shown.
///
/// # Errors
/// [`Error::Lost`] where no place did.
pub fn save(
    key: &Key,
    (record, spent): (&Record, Option<&Secret>),
    sealer: &Sealer,
    now: Timestamp,
) -> Result<PathBuf, Error> {
    let spent = spent.filter(|spent| record.token.refresh.as_ref() != Some(spent));
    let text = record.to_rescue(key, sealer, spent.map(|spent| spent.fingerprint(&key.to_string())))?;
    let name = format!("{PREFIX}{}-{}-{}.json", key.provider, key.profile, now.as_millisecond());
    let mut last = None;
    let places =
        [true, false].into_iter().flat_map(|durable| paths::rescue_dirs().into_iter().map(move |dir| (dir, durable)));
    for (dir, durable) in places {
        let path = dir.join(&name);
        let made = fsutil::make_private_dir(&dir);
        let saved = made.and_then(|()| fsutil::create_private(&path, text.as_bytes(), durable));
        match saved {
            Ok(_) => return Ok(path),
            Err(error) => {
                log::debug!("no rescue in {}: {error}", dir.display());
                last = Some(error);
            }
        }
    }
    let why = last.unwrap_or_else(|| FsError::io("find", &PathBuf::from(&name))(std::io::ErrorKind::NotFound.into()));
    Err(Error::Lost { key: key.clone(), why })
}

/// The records that wait to be stored, rescued or written by a process that had no time to, and are sealed with another
/// key than this one: their files, keys, and the ids of what opens them.
pub(super) fn sealed_otherwise(id: &str, tokens: Option<&Path>) -> Vec<(PathBuf, Key, String)> {
    let other = |path: PathBuf| {
        let (key, saved) = opened(&path)?;
        let sealed_with = text(&saved, "sealed_with").filter(|with| with != id)?;
        Some((path, key, crate::model::text::escape(&sealed_with, 16)))
    };
    files("").chain(in_flight(tokens)).filter_map(other).collect()
}

/// The files of a store's directory in which an answer is written before it gets its name.
fn in_flight(tokens: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let list = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = tokens.into_iter().flat_map(list).flat_map(move |dir| list(&dir).collect::<Vec<_>>());
    files.filter(|path| path.file_name().and_then(|name| profile_in_flight(name.to_str()?)).is_some())
}

/// The profile of such a file.
pub(super) fn profile_in_flight(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(".inflight")
}

/// Whether an object is a whole record, sealed or not: it has a token.
pub(super) fn is_record(saved: &Response) -> bool {
    let is_sealed = saved.get("tokman").is_some() && saved.text("sealed").is_some();
    is_sealed || TOKENS.iter().any(|name| saved.text(name).is_some())
}

/// Whether a text that is no object was to be a record.
pub(super) fn names_token(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    TOKENS.iter().chain(&["sealed"]).any(|name| text.contains(&format!("\"{name}\"")))
}

/// Where the record lies that came of this one and could not be stored in its place: the refresh token of this one was
/// spent for it, and some providers end a grant whose spent token is presented again.
pub(super) fn later(key: &Key, stored: &Record) -> Option<PathBuf> {
    let spent = stored.token.refresh.as_ref()?.fingerprint(&key.to_string());
    let came_of_it = |saved: &Response| text(saved, "spent").as_ref() == Some(&spent);
    files(&format!("{}-{}-", key.provider, key.profile))
        .find(|path| opened(path).is_some_and(|(of, saved)| of == *key && came_of_it(&saved)))
}

/// Whether both are known, and not the same.
fn differ(one: Option<&str>, other: Option<&str>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

/// The files of rescued records: all, or those of the keys whose names begin so. What another user put there, where
/// everybody may put something, is none of them.
pub(super) fn files(with: &str) -> impl Iterator<Item = PathBuf> {
    let is_ours = |dir: &PathBuf| matches!(fsutil::check_private_dir(dir), Ok(()) | Err(FsError::Exposed { .. }));
    let ours = paths::places_of_rescue().into_iter().filter(is_ours);
    let all = ours.flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten().flatten());
    let is = move |name: &str| name.strip_prefix(PREFIX).is_some_and(|key| key.starts_with(with));
    let named = all.filter(move |entry| entry.file_name().to_str().is_some_and(is)).map(|entry| entry.path());
    named.filter(|path| is_file_of_ours(path))
}

/// Whether it is a regular file of ours. One that others can read is so too: there is a grant in it.
fn is_file_of_ours(path: &Path) -> bool {
    !matches!(open(path), Ok(None) | Err(FsError::NotAFile { .. } | FsError::Foreign { .. }))
}

/// Opens a regular file of ours, whoever else can read it.
fn open(path: &Path) -> Result<Option<File>, FsError> {
    fsutil::open_private(path, OpenOptions::new().read(true), 0o677)
}

/// The key of a rescued record, and what can be read of it without opening its seal.
pub(super) fn opened(path: &Path) -> Option<(Key, Response)> {
    let mut bytes = Zeroizing::new(Vec::new());
    open(path).ok().flatten()?.take(LIMIT).read_to_end(&mut bytes).ok()?;
    let saved = Response::parse(&bytes).ok()?;
    let key = format!("{}/{}", text(&saved, "provider")?, text(&saved, "profile")?).parse().ok()?;
    Some((key, saved))
}

/// A member of what tokman wrote beside the answer.
fn text(saved: &Response, name: &str) -> Option<String> {
    Some(saved.get("tokman")?.get(name)?.as_str()?.to_owned())
}

/// The command that puts a rescued record back.
#[must_use]
pub fn put_back(key: &Key, path: &Path) -> String {
    format!("tokman import --rescue {} {}", shell_word(&path.display().to_string()), key.options())
}

impl Broker {
    /// Stores a rescued record, then removes its file. `false` where that is something else by now: the stored record
    /// itself.
    ///
    /// # Errors
    /// A file that is no record of this key; a stored record that is newer or of another account, unless `replace`.
    pub async fn bring_back(&self, key: &Key, path: &Path, replace: bool) -> Result<bool, Error> {
        let bytes = fsutil::read_private(path, LIMIT).map_err(|error| Error::Store(error.into()))?;
        let Some(bytes) = bytes else {
            return Err(Error::Rescue(format!("there is no file {}", path.display())));
        };
        let began = self.clock.now();
        let rescued = match Record::parse(&bytes, key, path, None, &self.sealer) {
            Ok(rescued) => rescued,
            Err(error @ StoreError::Sealed { .. }) => return Err(error.into()),
            Err(error) => return Err(Error::Rescue(error.to_string())),
        };
        let mut lease = self.store.lease(key, self.lease_wait()).await?;
        let spent = opened(path).and_then(|(_, saved)| text(&saved, "spent"));
        let stored = self.put_back(key, lease.as_mut(), (rescued, spent), replace).await;
        lease.end().await;
        let (old, token) = stored?;
        let event = Event::new(key, Action::Import, (began, self.clock.now()));
        self.happened(event.tokens(old.as_ref(), Some(&token)));
        let is_what_was_read = fsutil::read_private(path, LIMIT).is_ok_and(|again| again.as_ref() == Some(&bytes));
        if is_what_was_read {
            fsutil::remove(path, true).map_err(|error| Error::Store(error.into()))?;
        }
        Ok(is_what_was_read)
    }

    /// Stores a rescued record under the lease; the token that was there, and the one that is there now.
    async fn put_back(
        &self,
        key: &Key,
        lease: &mut dyn Lease,
        (rescued, spent): (Record, Option<String>),
        replace: bool,
    ) -> Result<(Option<Token>, Token), Error> {
        let stored = match lease.get().await {
            Ok(stored) => stored,
            Err(StoreError::Damaged { .. } | StoreError::SetAside { .. }) if replace => None,
            Err(error) => return Err(error.into()),
        };
        let kept = stored.as_ref().filter(|_| !replace);
        if let Some(what) = kept.and_then(|stored| in_the_way(key, stored, &rescued, spent.as_ref())) {
            return Err(Error::Rescue(format!("{key} holds {what}; --replace overwrites it")));
        }
        let (old, token) = (stored.as_ref().map(|stored| stored.token.clone()), rescued.token.clone());
        let generation = stored.map_or(0, |stored| stored.generation).max(rescued.generation) + 1;
        self.put(key, lease, &Record { generation, ..rescued }).await?;
        Ok((old, token))
    }
}

/// What is stored that a rescued record must not overwrite unasked; `None` where it is what that takes the place of.
fn in_the_way(key: &Key, stored: &Record, rescued: &Record, spent: Option<&String>) -> Option<&'static str> {
    let (theirs, ours) = (stored.token.account.as_deref(), rescued.token.account.as_deref());
    let other_application = differ(stored.base_url.as_deref(), rescued.base_url.as_deref())
        || differ(stored.client_id.as_deref(), rescued.client_id.as_deref());
    let fingerprint = stored.token.refresh.as_ref().map(|refresh| refresh.fingerprint(&key.to_string()));
    // The very same token may have reached its place although the system said that it had not.
    if stored.token.access == rescued.token.access && stored.token.refresh == rescued.token.refresh {
        None
    } else if other_application {
        Some("a token of another application")
    } else if spent.is_some() && fingerprint.as_ref() == spent {
        None
    } else if differ(theirs, ours) {
        Some("a token of another account")
    } else if stored.generation >= rescued.generation {
        Some("a newer token")
    } else {
        // Of the same account, it comes of an earlier state of this grant, or is a new one.
        (spent.is_some() || theirs.is_none() || ours.is_none()).then_some("another token")
    }
}
