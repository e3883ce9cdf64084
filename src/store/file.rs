//! Tokens as JSON files, one each, in a private directory: `<tokens>/<provider>/<profile>.json`, beside it
//! `.<profile>.lock`, and while a request is under way `.<profile>.inflight`.
//!
//! The lock file is never unlinked: a second process would lock another inode. The name of the in-flight file is
//! fixed, not random: a later run finds it without reading the directory, and only the lease's holder makes it.

mod lease;
mod listing;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::fsutil::{self, FsError};
use crate::model::{Key, ProviderName};
use crate::store::file::lease::{FileLease, try_lock};
use crate::store::file::listing::FileListing;
use crate::store::names::Names;
use crate::store::{Lease, Listing, Place, Record, Sealer, StoreError, Summary, TokenStore};

/// The most that is read of a record: an answer is capped at 1 MiB, and the member `tokman` is small.
const RECORD_LIMIT: u64 = 4 << 20;

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
                Ok(_) => Err(StoreError::SetAside { place: Place::File(aside), why: "in an earlier run".to_owned() }),
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
        Ok(Box::new(FileListing::new(self.clone(), provider)?))
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
                    return Ok(Box::new(FileLease::new(self.clone(), names, key.clone(), (lock, path))));
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

/// A lock on a network file system holds on this machine only, or not at all.
fn refuse_network_file_system(dir: &Path) -> Result<(), StoreError> {
    match fsutil::network_file_system(dir).map_err(FsError::io("look at", dir))? {
        Some(what) => Err(StoreError::NoLocks { path: dir.to_owned(), what }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;
    use crate::store::{Failure, InFlight, Reservation};

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
