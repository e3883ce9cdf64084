//! Tokens as JSON files, one each, in a private directory: `<tokens>/<provider>/<profile>.json`, beside it
//! `.<profile>.lock`, and while a request is under way `.<profile>.inflight`.
//!
//! The lock file is never unlinked: a second process would lock another inode. The name of the in-flight file is
//! fixed, not random: a later run finds it without reading the directory, and only the lease's holder makes it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::fsutil::{self, FsError};
use crate::model::{Key, ProviderName};
use crate::store::names::Names;
use crate::store::{
    Failure, InFlight, Lease, Listed, Listing, Record, Reservation, Sealer, StoreError, Summary, TokenStore,
};

/// The most that is read of a record: an answer is capped at 1 MiB, and the member `tokman` is small.
const RECORD_LIMIT: u64 = 4 << 20;

/// Room that is reserved for an answer beyond the size of the present record, in bytes.
const RESERVE: usize = 16 << 10;

/// The most that is read of a lock file or a mark.
const NOTE_LIMIT: u64 = 8 << 20;

/// How often a lease is asked for while another process has it.
const POLL: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

/// The store in a directory.
#[derive(Debug, Clone)]
pub struct FileStore {
    root: PathBuf,
    sealer: Arc<Sealer>,
    /// Set where many leases are held at once, and none is to wait for the disk of another: the directories that were
    /// looked at.
    many: Arc<OnceLock<Mutex<Directories>>>,
}

/// Directories in which leases are held, and when each was looked at last.
type Directories = BTreeMap<ProviderName, (Arc<Names>, Instant)>;

/// How long what was seen of a directory holds for the next of many leases: somebody may move it, or open it to others.
const SEEN: Duration = Duration::from_secs(1);

/// The content of an in-flight file, padded with blanks to the size that is reserved.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    // Null where there is none, never absent: an answer that took the place of a mark is not a mark.
    #[serde(deserialize_with = "Option::deserialize")]
    tokman_in_flight: Option<InFlight>,
}

impl FileStore {
    /// The store whose token files are under `root`. Nothing is made before something is stored.
    #[must_use]
    pub fn new(root: PathBuf, sealer: Arc<Sealer>) -> Self {
        Self { root, sealer, many: Arc::default() }
    }

    /// Does what waits for the disk: here, or in a thread where others would wait for it.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.many.get().is_none() {
            return work();
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(FsError::io("write below", &self.root)(io::Error::other(error)).into()),
            },
        }
    }

    /// Makes the directory of a provider, or looks whether that which is there will do: of many leases, for one a second.
    fn enter(&self, provider: &ProviderName) -> Result<Option<Arc<Names>>, StoreError> {
        let mut entered = self.many.get().map(|many| many.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some((names, seen)) = entered.as_ref().and_then(|entered| entered.get(provider))
            && seen.elapsed() < SEEN
        {
            return Ok(Some(Arc::clone(names)));
        }
        let dir = self.dir(provider);
        fsutil::make_private_dir(&self.root)?;
        fsutil::make_private_dir(&dir)?;
        refuse_network_file_system(&dir)?;
        let now = Instant::now();
        Ok(entered.as_mut().map(|entered| {
            let (names, seen) = entered.entry(provider.clone()).or_insert_with(|| (Names::new(dir).into(), now));
            *seen = now;
            Arc::clone(names)
        }))
    }

    /// Whether the directory of a provider was looked at for many leases, just now.
    fn has_entered(&self, provider: &ProviderName) -> bool {
        let seen = |entered: &Directories| entered.get(provider).is_some_and(|(_, seen)| seen.elapsed() < SEEN);
        self.many.get().is_some_and(|many| many.lock().is_ok_and(|entered| seen(&entered)))
    }

    fn dir(&self, provider: &ProviderName) -> PathBuf {
        self.root.join(provider.as_str())
    }

    /// The file of a key.
    #[must_use]
    pub fn path(&self, key: &Key) -> PathBuf {
        self.dir(&key.provider).join(format!("{}.json", key.profile))
    }

    /// The name of a key's damaged record once it is set aside.
    fn aside(key: &Key) -> String {
        format!("{}.json.damaged", key.profile)
    }

    fn pending(&self, key: &Key) -> PathBuf {
        self.dir(&key.provider).join(format!(".{}.inflight", key.profile))
    }

    /// Where a record is written that takes another's place while a mark is to stay.
    fn rewritten(&self, key: &Key) -> PathBuf {
        self.dir(&key.provider).join(format!(".{}.rewritten", key.profile))
    }

    fn read(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let Some((bytes, path, written)) = self.load(key)? else {
            return Ok(None);
        };
        if !self.has_entered(&key.provider) {
            fsutil::check_private_dir(&self.dir(&key.provider))?;
        }
        Record::parse(&bytes, key, &path, written, &self.sealer).map(Some)
    }

    /// The summary of a record whose directory is known to be private, or is looked at.
    fn glance(&self, key: &Key, is_private: bool) -> Result<Option<Summary>, StoreError> {
        let Some((bytes, path, written)) = self.load(key)? else {
            return Ok(None);
        };
        if !is_private {
            fsutil::check_private_dir(&self.dir(&key.provider))?;
        }
        Record::glance(&bytes, key, &path, written).map(Some)
    }

    /// The bytes of a record, its path, and when it was written. Whether its directory is private is for the caller to
    /// look at.
    #[expect(clippy::type_complexity, reason = "three values of one file")]
    fn load(&self, key: &Key) -> Result<Option<(Zeroizing<Vec<u8>>, PathBuf, Option<Timestamp>)>, StoreError> {
        let path = self.path(key);
        let options = OpenOptions::new().read(true).clone();
        let Some((file, meta)) = fsutil::open_seen(&path, &options, 0o600)? else {
            let aside = path.with_file_name(Self::aside(key));
            return match std::fs::symlink_metadata(&aside) {
                Ok(_) => Err(StoreError::SetAside { path: aside, why: "in an earlier run".to_owned() }),
                Err(_) => Ok(None),
            };
        };
        if meta.len() > RECORD_LIMIT {
            return Err(FsError::TooLarge { path, limit: RECORD_LIMIT }.into());
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default() + 1));
        file.take(RECORD_LIMIT).read_to_end(&mut bytes).map_err(FsError::io("read", &path))?;
        let written = meta.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
        let written = written.and_then(|at| Timestamp::from_second(at.as_second()).ok());
        Ok(Some((bytes, path, written)))
    }
}

#[async_trait]
impl TokenStore for FileStore {
    fn is_local(&self) -> bool {
        true
    }

    fn expect_many(&self) {
        self.many.get_or_init(Mutex::default);
    }

    async fn list(&self, provider: Option<&ProviderName>) -> Result<Box<dyn Listing>, StoreError> {
        let mut providers = Vec::new();
        match provider {
            Some(provider) => providers.push(provider.clone()),
            None => for_each_name(&self.root, |name| providers.extend(name.parse().ok()))?,
        }
        providers.sort_unstable_by(|a: &ProviderName, b| b.cmp(a));
        let (profiles, in_doubt) = (Vec::new().into_iter(), Vec::new());
        let store = self.clone();
        Ok(Box::new(FileListing { store, providers, provider: None, profiles, in_doubt, is_private: false }))
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let mut record = self.read(key)?;
        if let Some(record) = &mut record {
            record.in_flight = std::fs::symlink_metadata(self.pending(key)).is_ok();
        }
        Ok(record)
    }

    async fn lease(&self, key: &Key, wait: Duration) -> Result<Box<dyn Lease>, StoreError> {
        let names = self.enter(&key.provider)?;
        let dir = self.dir(&key.provider);
        let path = dir.join(format!(".{}.lock", key.profile));
        let started = tokio::time::Instant::now();
        let mut pause = POLL.0;
        loop {
            match try_lock(&path, &dir)? {
                Some(lock) => {
                    return Ok(Box::new(FileLease {
                        store: self.clone(),
                        names,
                        key: key.clone(),
                        lock,
                        lock_path: path,
                        pending: self.pending(key),
                        is_clear: false,
                        reserved: None,
                    }));
                }
                None if started.elapsed() >= wait => {
                    return Err(StoreError::Busy { key: key.clone(), waited: started.elapsed() });
                }
                None => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(POLL.1);
        }
    }
}

/// Locks the file at `path`, making it if need be; `None` while another process has it.
fn try_lock(path: &Path, dir: &Path) -> Result<Option<File>, StoreError> {
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

/// A lock on a network file system holds on this machine only, or not at all.
fn refuse_network_file_system(dir: &Path) -> Result<(), StoreError> {
    match fsutil::network_file_system(dir).map_err(FsError::io("look at", dir))? {
        Some(what) => Err(StoreError::NoLocks { path: dir.to_owned(), what }),
        None => Ok(()),
    }
}

/// Calls `take` with each name in a directory; none where there is no directory.
fn for_each_name(dir: &Path, mut take: impl FnMut(&str)) -> Result<(), StoreError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if fsutil::is_absent(&error) => return Ok(()),
        Err(error) => return Err(FsError::io("list", dir)(error).into()),
    };
    for entry in entries {
        if let Some(name) = entry.map_err(FsError::io("list", dir))?.file_name().to_str() {
            take(name);
        }
    }
    Ok(())
}

/// Walks the providers. Of the keys it holds no more than the names of one provider's profiles: they have to be put in
/// order.
struct FileListing {
    store: FileStore,
    /// Those still to come, the next one last.
    providers: Vec<ProviderName>,
    /// The present one; absent before the first.
    provider: Option<ProviderName>,
    /// The profiles of the present provider that are still to come.
    profiles: std::vec::IntoIter<Box<str>>,
    /// Those of the present provider that are in doubt, in order.
    in_doubt: Vec<Box<str>>,
    /// Whether the directory of the present provider was looked at, and found private.
    is_private: bool,
}

impl FileListing {
    /// Reads the names of a provider's profiles.
    fn enter(&mut self, provider: ProviderName) -> Result<(), StoreError> {
        let (mut profiles, mut in_doubt): (Vec<Box<str>>, Vec<Box<str>>) = (Vec::new(), Vec::new());
        for_each_name(&self.store.dir(&provider), |name| {
            if let Some(profile) = name.strip_prefix('.').and_then(|name| name.strip_suffix(".inflight")) {
                in_doubt.push(profile.into());
            // A record that was set aside is listed too, once: reading it says where it is.
            } else if let Some(profile) = name.strip_suffix(".json").or_else(|| name.strip_suffix(".json.damaged")) {
                profiles.push(profile.into());
            }
        })?;
        profiles.sort_unstable();
        profiles.dedup();
        in_doubt.sort_unstable();
        (self.provider, self.profiles, self.in_doubt) = (Some(provider), profiles.into_iter(), in_doubt);
        self.is_private = false;
        Ok(())
    }
}

#[async_trait]
impl Listing for FileListing {
    async fn next(&mut self) -> Result<Option<Listed>, StoreError> {
        loop {
            let Some(name) = self.profiles.next() else {
                let Some(provider) = self.providers.pop() else { return Ok(None) };
                self.enter(provider)?;
                continue;
            };
            let Some((provider, profile)) = self.provider.clone().zip(name.parse().ok()) else { continue };
            let key = Key { provider, profile };
            // One that is gone was removed since its name was read.
            if let Some(summary) = self.store.glance(&key, self.is_private).transpose() {
                self.is_private |= summary.is_ok();
                let in_doubt = self.in_doubt.binary_search(&name).is_ok();
                return Ok(Some(Listed { key, summary, in_doubt }));
            }
        }
    }
}

/// The lock on a key's lock file, until it is dropped.
#[derive(Debug)]
struct FileLease {
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
    /// Finishes what an earlier process began: an answer that lies whole in the in-flight file, newer than the record,
    /// gets its name. Whether there was one.
    fn finish(&mut self, stored: Option<&Record>) -> Result<bool, StoreError> {
        let Some(bytes) = self.left()? else { return Ok(false) };
        let answer = match Record::parse(&bytes, &self.key, &self.pending, None, &self.store.sealer) {
            Ok(answer) => answer,
            Err(error @ StoreError::Sealed { .. }) => return Err(error),
            Err(_) => return Ok(false),
        };
        if answer.generation <= stored.map_or(0, |stored| stored.generation) {
            return Ok(false);
        }
        log::warn!("{}: storing an answer that an earlier process had no time to store", self.key);
        let bytes = Zeroizing::new(bytes);
        let unblanked = bytes.trim_ascii_end();
        fsutil::shorten(&self.pending, unblanked.len() as u64)?;
        fsutil::publish(&self.pending, &self.store.path(&self.key))?;
        self.is_clear = true;
        Ok(true)
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

/// Puts a record into a file of its own, and that in its place.
fn place_anew(pending: &Path, path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    fsutil::remove(pending, false)?;
    fsutil::create_private(pending, bytes, true)?;
    fsutil::publish(pending, path)
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
        let path = fsutil::set_aside(&path, &FileStore::aside(&self.key))?;
        Err(StoreError::SetAside { path, why })
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
        self.store.on_disk(move || Ok(place_anew(&pending, &path, bytes.as_bytes())?)).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    fn key() -> Key {
        "square/default".parse().unwrap()
    }

    fn record(access: &str) -> Record {
        let body = format!("{{\"access_token\":\"{access}\",\"refresh_token\":\"r\"}}");
        Record::parse(body.as_bytes(), &key(), Path::new("f"), None, &Sealer::default()).unwrap()
    }

    async fn lease(store: &FileStore) -> Box<dyn Lease> {
        store.lease(&key(), Duration::from_secs(5)).await.unwrap()
    }

    fn store() -> (tempfile::TempDir, FileStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path().join("tokens"), Arc::default());
        (dir, store)
    }

    /// A lease that rewrites as a store does that has no other way.
    #[derive(Debug)]
    struct Plain(Box<dyn Lease>);

    #[async_trait]
    impl Lease for Plain {
        async fn get(&mut self) -> Result<Option<Record>, StoreError> {
            self.0.get().await
        }
        async fn in_flight(&mut self) -> Result<Option<InFlight>, StoreError> {
            self.0.in_flight().await
        }
        async fn reserve(&mut self, mark: Option<&InFlight>) -> Result<Reservation, StoreError> {
            self.0.reserve(mark).await
        }
        async fn put(&mut self, reservation: Reservation, record: &Record) -> Result<(), StoreError> {
            self.0.put(reservation, record).await
        }
        async fn release(&mut self, reservation: Reservation) -> Result<(), StoreError> {
            self.0.release(reservation).await
        }
        async fn remove(&mut self) -> Result<bool, StoreError> {
            self.0.remove().await
        }
        async fn last_failure(&mut self) -> Option<Failure> {
            self.0.last_failure().await
        }
        async fn note(&mut self, failure: Option<&Failure>) {
            self.0.note(failure).await;
        }
        async fn end(self: Box<Self>) {
            self.0.end().await;
        }
    }

    #[tokio::test]
    async fn a_mark_outlives_a_record_that_is_rewritten() {
        for plain in [false, true] {
            let (_dir, store) = store();
            for marked in [false, true] {
                let mut held = lease(&store).await;
                if marked {
                    let _left = held.reserve(Some(&mark())).await.unwrap();
                }
                held.end().await;
                let mut held = lease(&store).await;
                if plain {
                    held = Box::new(Plain(held));
                }
                held.rewrite(&record("new")).await.unwrap();
                assert_eq!(held.in_flight().await.unwrap(), marked.then(mark));
                assert_eq!(held.get().await.unwrap().unwrap().token.access, Secret::new("new"));
                held.end().await;
            }
            let names = std::fs::read_dir(store.dir(&key().provider)).unwrap().count();
            assert_eq!(names, 3, "record, lock and mark");
        }
    }

    fn mark() -> InFlight {
        InFlight { since: Timestamp::UNIX_EPOCH, fingerprint: "f".into(), pid: 1 }
    }

    #[tokio::test]
    async fn stores_and_reads_back_and_removes() {
        let (_dir, store) = store();
        assert!(store.get(&key()).await.unwrap().is_none());
        let mut held = lease(&store).await;
        let reservation = held.reserve(Some(&mark())).await.unwrap();
        held.put(reservation, &record("a")).await.unwrap();
        assert_eq!(store.get(&key()).await.unwrap().unwrap().token.access.expose(), "a");
        assert!(held.in_flight().await.unwrap().is_none(), "the mark is cleared");
        assert!(held.remove().await.unwrap() && !held.remove().await.unwrap());
    }

    #[tokio::test]
    async fn gives_the_lease_to_one_at_a_time() {
        let (_dir, store) = store();
        let held = lease(&store).await;
        let refused = store.lease(&key(), Duration::from_millis(20)).await;
        assert!(matches!(refused, Err(StoreError::Busy { .. })));
        drop(held);
        lease(&store).await;
    }

    #[tokio::test]
    async fn leaves_a_mark_when_the_holder_dies_and_not_when_it_releases() {
        let (_dir, store) = store();
        let mut held = lease(&store).await;
        let _died = held.reserve(Some(&mark())).await.unwrap();
        drop(held);
        let mut held = lease(&store).await;
        assert_eq!(held.in_flight().await.unwrap(), Some(mark()));
        let reservation = held.reserve(None).await.unwrap();
        assert_eq!(held.in_flight().await.unwrap(), None, "a reservation without a mark is no doubt");
        held.release(reservation).await.unwrap();
        assert!(held.in_flight().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn takes_a_torn_answer_in_place_of_the_mark_as_in_doubt() {
        let (dir, store) = store();
        let mut held = lease(&store).await;
        let _died = held.reserve(Some(&mark())).await.unwrap();
        let path = dir.path().join("tokens/square/.default.inflight");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, b"{\n  \"access_token\": \"torn").unwrap();
        assert!(held.in_flight().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn stores_an_answer_that_a_process_wrote_and_did_not_come_to_name() {
        let (dir, store) = store();
        let mut held = lease(&store).await;
        let reservation = held.reserve(Some(&mark())).await.unwrap();
        held.put(reservation, &record("old")).await.unwrap();
        let _died = held.reserve(Some(&mark())).await.unwrap();
        drop(held);
        let answer = Record { generation: 9, ..record("new") };
        let path = dir.path().join("tokens/square/.default.inflight");
        let text = answer.to_json(&key(), &Sealer::default()).unwrap();
        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        // The blanks of the mark are still behind it.
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        assert_eq!(store.get(&key()).await.unwrap().unwrap().token.access.expose(), "old", "not without the lease");
        let mut held = lease(&store).await;
        assert_eq!(held.get().await.unwrap().unwrap().token.access.expose(), "new");
        assert!(held.in_flight().await.unwrap().is_none());
        assert_eq!(std::fs::read_to_string(dir.path().join("tokens/square/default.json")).unwrap(), text.trim_end());
    }

    #[tokio::test]
    async fn an_old_answer_in_place_of_the_mark_is_not_stored_but_in_doubt() {
        let (dir, store) = store();
        let mut held = lease(&store).await;
        let reservation = held.reserve(None).await.unwrap();
        held.put(reservation, &Record { generation: 9, ..record("newer") }).await.unwrap();
        let path = dir.path().join("tokens/square/.default.inflight");
        fsutil::create_private(&path, record("old").to_json(&key(), &Sealer::default()).unwrap().as_bytes(), false)
            .unwrap();
        assert_eq!(held.get().await.unwrap().unwrap().token.access.expose(), "newer");
        assert!(held.in_flight().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn hands_a_failure_to_those_who_wait() {
        let (_dir, store) = store();
        let failure = Failure { at: Timestamp::UNIX_EPOCH, class: "try_again".into(), message: "503".into() };
        let mut held = lease(&store).await;
        held.note(Some(&failure)).await;
        drop(held);
        let mut held = lease(&store).await;
        assert_eq!(held.last_failure().await, Some(failure));
        held.note(None).await;
        assert_eq!(held.last_failure().await, None);
    }

    #[tokio::test]
    async fn lists_keys_in_order_with_what_is_wrong_with_them() {
        let (dir, store) = store();
        for name in ["square/b", "square/a", "wix/c"] {
            let key: Key = name.parse().unwrap();
            let mut held = store.lease(&key, Duration::ZERO).await.unwrap();
            let reservation = held.reserve(None).await.unwrap();
            held.put(reservation, &record("x")).await.unwrap();
        }
        fsutil::create_private(&dir.path().join("tokens/square/.b.inflight"), b"", false).unwrap();
        let mut listing = store.list(None).await.unwrap();
        let mut seen = Vec::new();
        while let Some(listed) = listing.next().await.unwrap() {
            seen.push((listed.key.to_string(), listed.summary.is_ok(), listed.in_doubt));
        }
        let expected = [("square/a", true, false), ("square/b", true, true), ("wix/c", true, false)];
        // Each was written as square/default: only readable under its own name.
        let expected: Vec<_> = expected.map(|(name, _, doubt)| (name.to_owned(), true, doubt)).into();
        assert_eq!(seen, expected);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn refuses_a_record_that_others_can_read() {
        let (dir, store) = store();
        let mut held = lease(&store).await;
        let reservation = held.reserve(None).await.unwrap();
        held.put(reservation, &record("a")).await.unwrap();
        let path = dir.path().join("tokens/square/default.json");
        fsutil::set_mode(&path, 0o644).unwrap();
        assert!(matches!(store.get(&key()).await, Err(StoreError::Fs(FsError::Exposed { .. }))));
    }
}
