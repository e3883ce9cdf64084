//! The lease of a key: a lock on its lock file, and what is done under it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::fsutil::{self, FsError};
use crate::model::Key;
use crate::store::file::{FileStore, RECORD_LIMIT};
use crate::store::names::Names;
use crate::store::{Failure, InFlight, Lease, Place, Record, Reservation, StoreError};

/// Room that is reserved for an answer beyond the size of the present record, in bytes.
const RESERVE: usize = 16 << 10;

/// The most that is read of a lock file or a mark.
const NOTE_LIMIT: u64 = 8 << 20;

/// The content of an in-flight file, padded with blanks to the size that is reserved.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    // Null where there is none, never absent: an answer that took the place of a mark is not a mark.
    #[serde(deserialize_with = "Option::deserialize")]
    tokman_in_flight: Option<InFlight>,
}

/// Locks the file at `path`, making it if need be; `None` while another process has it.
pub(super) fn try_lock(path: &Path, dir: &Path) -> Result<Option<File>, StoreError> {
    let mut options = OpenOptions::new();
    let options = fsutil::keep_name(options.read(true).write(true).create(true));
    let (file, locked) = fsutil::open_seen(path, options, 0o600)?
        .ok_or_else(|| FsError::io("open", path)(io::ErrorKind::NotFound.into()))?;
    fsutil::restore_owner_bits(&file, &locked, path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
        Err(TryLockError::Error(error)) if fsutil::is_unlockable(&error) => {
            return Err(StoreError::NoLocks { path: dir.to_owned(), what: "a file system without locks" });
        }
        Err(TryLockError::Error(error)) => return Err(FsError::io("lock", path)(error).into()),
    }
    // Somebody may have put another file in its place meanwhile: then this lock is nobody's.
    let named = std::fs::symlink_metadata(path).map_err(FsError::io("look at", path))?;
    Ok(fsutil::is_same(&locked, &named).then_some(file))
}

/// The lock on a key's lock file, until it is dropped.
#[derive(Debug)]
pub(super) struct FileLease {
    store: FileStore,
    /// What puts names on the disk; absent where this lease does so for itself.
    names: Option<Arc<Names>>,
    key: Key,
    lock: File,
    lock_path: PathBuf,
    pending: PathBuf,
    /// Whether it is known that there is no in-flight file: nobody else makes one.
    is_clear: bool,
    reserved: Option<File>,
}

impl FileLease {
    /// The lease of whoever has the lock on that file.
    pub(super) fn new(
        store: FileStore,
        names: Option<Arc<Names>>,
        key: Key,
        (lock, lock_path): (File, PathBuf),
    ) -> Self {
        let pending = store.pending(&key);
        Self { store, names, key, lock, lock_path, pending, is_clear: false, reserved: None }
    }

    /// Finishes what an earlier process began: an answer that lies whole in the in-flight file, newer than the record,
    /// gets its name. Whether there was one.
    fn finish(&mut self, stored: Option<&Record>) -> Result<bool, StoreError> {
        let Some(bytes) = self.left()? else { return Ok(false) };
        if !self.is_later(&bytes, stored)? {
            return self.finish_beside(stored);
        }
        log::warn!("{}: storing an answer that an earlier process had no time to store", self.key);
        let bytes = Zeroizing::new(bytes);
        let unblanked = bytes.trim_ascii_end();
        fsutil::shorten(&self.pending, unblanked.len() as u64)?;
        fsutil::publish(&self.pending, &self.store.path(&self.key))?;
        self.is_clear = true;
        Ok(true)
    }

    /// The same for an answer that was written into a file of its own, which its place was not given to any more.
    fn finish_beside(&self, stored: Option<&Record>) -> Result<bool, StoreError> {
        let beside = self.store.rewritten(&self.key);
        let Some(bytes) = fsutil::read_private(&beside, NOTE_LIMIT)? else { return Ok(false) };
        if !self.is_later(&bytes, stored)? {
            return Ok(false);
        }
        log::warn!("{}: storing an answer that an earlier process had no time to store", self.key);
        fsutil::publish(&beside, &self.store.path(&self.key))?;
        fsutil::remove(&self.pending, true)?;
        Ok(true)
    }

    /// Whether this is a whole record, and a later one than what is stored.
    fn is_later(&self, bytes: &[u8], stored: Option<&Record>) -> Result<bool, StoreError> {
        match Record::parse(bytes, &self.key, &self.pending, None, &self.store.sealer) {
            Ok(answer) => Ok(answer.generation > stored.map_or(0, |stored| stored.generation)),
            Err(error @ StoreError::Sealed { .. }) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Whether the names in the directory are on the disk now.
    async fn sync_names(&self) -> bool {
        match &self.names {
            Some(names) => names.sync().await,
            None => fsutil::sync_names(&self.store.dir(&self.key.provider)).is_ok(),
        }
    }

    /// What lies in the in-flight file; `None` where there is none.
    fn left(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        if self.is_clear {
            return Ok(None);
        }
        let left = fsutil::read_private(&self.pending, NOTE_LIMIT)?;
        self.is_clear = left.is_none();
        Ok(left)
    }
}

/// Puts a record into the room that was reserved for it, and gives it its name, which is not on the disk yet.
fn place(reserved: Option<File>, pending: &Path, path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    match reserved {
        Some(mut file) => fsutil::rewrite(&mut file, pending, bytes)?,
        None => drop(fsutil::create_private(pending, bytes, true)?),
    }
    fsutil::rename(pending, path)
}

/// Puts a record into a file of its own, and that in its place. Until then the in-flight file stays: the record may lie
/// whole in it.
fn place_anew(beside: &Path, pending: &Path, path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    fsutil::remove(beside, false)?;
    fsutil::create_private(beside, bytes, true)?;
    if let Err(error) = fsutil::publish(beside, path) {
        fsutil::remove(beside, false)?;
        return Err(error);
    }
    fsutil::remove(pending, false).map(drop)
}

#[async_trait]
impl Lease for FileLease {
    async fn get(&mut self) -> Result<Option<Record>, StoreError> {
        let mut read = self.store.read(&self.key);
        if let Ok(stored) = &mut read {
            if self.finish(stored.as_ref())? {
                return self.store.read(&self.key);
            }
            if let Some(stored) = stored {
                stored.in_flight = !self.is_clear;
            }
        }
        let Err(StoreError::Damaged { path, why }) = read else {
            return read;
        };
        let place = Place::File(fsutil::set_aside(&path, &FileStore::aside(&self.key))?);
        Err(StoreError::SetAside { place, why })
    }

    async fn in_flight(&mut self) -> Result<Option<InFlight>, StoreError> {
        let Some(bytes) = self.left()? else { return Ok(None) };
        // A mark that cannot be read was being replaced by the answer: no less in doubt.
        let mark = serde_json::from_slice::<Mark>(&bytes).unwrap_or(Mark {
            tokman_in_flight: Some(InFlight { since: Timestamp::UNIX_EPOCH, fingerprint: String::new(), pid: 0 }),
        });
        Ok(mark.tokman_in_flight)
    }

    async fn reserve(&mut self, mark: Option<&InFlight>) -> Result<Reservation, StoreError> {
        // An answer that cannot be sealed cannot be stored: that is to be known before it is asked for.
        self.store.sealer.id().map_err(|why| StoreError::Sealed { key: self.key.clone(), why })?;
        let present = std::fs::metadata(self.store.path(&self.key)).map_or(0, |meta| meta.len());
        let size = usize::try_from(present.min(RECORD_LIMIT)).unwrap_or_default() + RESERVE;
        let mut text = serde_json::to_vec(&Mark { tokman_in_flight: mark.cloned() }).unwrap_or_default();
        text.resize(size.max(text.len()), b' ');
        // What an earlier process left was looked at by `in_flight`, under this lease. It is not removed first: until
        // the new mark is there, the old one stays.
        let (pending, durable) = (self.pending.clone(), mark.is_some());
        self.is_clear = false;
        let reserve = move || Ok(fsutil::overwrite_private(&pending, &text, durable)?);
        // What need not be durable does not wait for the disk, and is done sooner than handed to a thread.
        self.reserved = Some(if durable { self.store.on_disk(reserve).await? } else { reserve()? });
        Ok(Reservation(()))
    }

    async fn put(&mut self, _reservation: Reservation, record: &Record) -> Result<(), StoreError> {
        let bytes = Arc::new(record.to_json(&self.key, &self.store.sealer)?);
        let path = self.store.path(&self.key);
        let (reserved, pending) = (self.reserved.take(), self.pending.clone());
        let again = (Arc::clone(&bytes), pending.clone(), path.clone());
        let placed = self.store.on_disk(move || Ok(place(reserved, &pending, &path, bytes.as_bytes())?)).await;
        if placed.is_ok() && self.sync_names().await {
            return Ok(());
        }
        // The reserved blocks went bad or away: once more with a file of its own.
        let (bytes, pending, path) = again;
        let beside = self.store.rewritten(&self.key);
        self.store.on_disk(move || Ok(place_anew(&beside, &pending, &path, bytes.as_bytes())?)).await
    }

    async fn rewrite(&mut self, record: &Record) -> Result<(), StoreError> {
        let bytes = record.to_json(&self.key, &self.store.sealer)?;
        // A file of its own: the mark lies where an answer is written.
        let path = self.store.rewritten(&self.key);
        fsutil::remove(&path, false)?;
        fsutil::create_private(&path, bytes.as_bytes(), true)?;
        let published = fsutil::publish(&path, &self.store.path(&self.key));
        if published.is_err() {
            fsutil::remove(&path, false)?;
        }
        Ok(published?)
    }

    async fn release(&mut self, _reservation: Reservation) -> Result<(), StoreError> {
        self.reserved = None;
        let pending = self.pending.clone();
        self.store.on_disk(move || Ok(fsutil::remove(&pending, true).map(drop)?)).await
    }

    async fn remove(&mut self) -> Result<bool, StoreError> {
        fsutil::remove(&self.pending, false)?;
        fsutil::remove(&self.store.rewritten(&self.key), false)?;
        let path = self.store.path(&self.key);
        let aside = fsutil::remove(&path.with_file_name(FileStore::aside(&self.key)), true)?;
        Ok(fsutil::remove(&path, true)? || aside)
    }

    async fn last_failure(&mut self) -> Option<Failure> {
        // By the handle that has the lock: where locks are mandatory, another one may not read.
        let mut bytes = Vec::new();
        self.lock.rewind().ok()?;
        (&self.lock).take(NOTE_LIMIT).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    async fn note(&mut self, failure: Option<&Failure>) {
        let text = failure.and_then(|failure| serde_json::to_string(failure).ok()).unwrap_or_default();
        // Nothing to forget in an empty file: the common case costs one system call.
        if text.is_empty() && self.lock.metadata().is_ok_and(|meta| meta.len() == 0) {
            return;
        }
        let noted =
            self.lock.set_len(0).and_then(|()| self.lock.rewind()).and_then(|()| self.lock.write_all(text.as_bytes()));
        if let Err(error) = noted {
            log::debug!("cannot note the outcome in {}: {error}", self.lock_path.display());
        }
    }

    async fn end(self: Box<Self>) {}
}
