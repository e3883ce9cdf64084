//! The store and the hold on signals, each with one thing missing.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokman::fsutil::FsError;
use tokman::model::{Key, ProviderName};
use tokman::ops::signals::{Held, ProcessSignals, Signals};
use tokman::store::file::FileStore;
use tokman::store::{Failure, InFlight, Lease, Listing, Record, Reservation, Sealer, StoreError, TokenStore};

/// What is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    Nothing,
    Lease,
    Reservation,
    FsyncOfTheMark,
    FsyncOfTheRecord,
    FsyncOfTheName,
    Signals,
}

const NAMES: [(Lack, &str); 7] = [
    (Lack::Nothing, "nothing"),
    (Lack::Lease, "lease"),
    (Lack::Reservation, "reservation"),
    (Lack::FsyncOfTheMark, "fsync of the mark"),
    (Lack::FsyncOfTheRecord, "fsync of the record"),
    (Lack::FsyncOfTheName, "fsync of the name"),
    (Lack::Signals, "signals"),
];

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(lack, _)| lack == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Lack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        NAMES.iter().find(|(_, name)| *name == text).map(|(lack, _)| *lack).ok_or_else(|| text.to_owned())
    }
}

/// The store of token files, or its double.
pub fn store(root: &Path, lack: Lack) -> Box<dyn TokenStore> {
    let inner = FileStore::new(root.to_owned(), Arc::default());
    match lack {
        Lack::Nothing | Lack::Signals => Box::new(inner),
        lack => Box::new(Double { inner, lack, spare: Mutex::new(spare()) }),
    }
}

/// The hold on signals, or its double.
pub fn signals(lack: Lack) -> Box<dyn Signals> {
    if lack == Lack::Signals { Box::new(Deaf) } else { Box::new(ProcessSignals) }
}

/// Reservations of another store: of this one's room they say nothing.
fn spare() -> Vec<Reservation> {
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let store = FileStore::new(elsewhere.path().to_owned(), Arc::default());
    let runtime = tokman::ops::runtime().expect("a runtime");
    runtime.block_on(async {
        let key = "square/elsewhere".parse().expect("a key");
        let mut lease = store.lease(&key, Duration::ZERO).await.expect("a lease");
        let mut spare = Vec::new();
        for _ in 0..4 {
            spare.push(lease.reserve(None).await.expect("a reservation"));
        }
        spare
    })
}

#[derive(Debug)]
struct Double {
    inner: FileStore,
    lack: Lack,
    spare: Mutex<Vec<Reservation>>,
}

#[async_trait]
impl TokenStore for Double {
    fn is_local(&self) -> bool {
        self.inner.is_local()
    }

    async fn list(&self, provider: Option<&ProviderName>) -> Result<Box<dyn Listing>, StoreError> {
        self.inner.list(provider).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.inner.get(key).await
    }

    async fn lease(&self, key: &Key, wait: Duration) -> Result<Box<dyn Lease>, StoreError> {
        let real = if self.lack == Lack::Lease { None } else { Some(self.inner.lease(key, wait).await?) };
        let spare = std::mem::take(&mut *self.spare.lock().expect("a lock"));
        Ok(Box::new(DoubleLease { real, store: self.inner.clone(), key: key.clone(), lack: self.lack, spare }))
    }
}

#[derive(Debug)]
struct DoubleLease {
    /// Absent where nothing is locked.
    real: Option<Box<dyn Lease>>,
    store: FileStore,
    key: Key,
    lack: Lack,
    spare: Vec<Reservation>,
}

impl DoubleLease {
    fn spare(&mut self) -> Reservation {
        self.spare.pop().expect("a spare reservation")
    }

    fn mark(&self) -> PathBuf {
        self.store.path(&self.key).with_file_name(format!(".{}.inflight", self.key.profile))
    }

    /// Stores a record as the store does, but for what is missing.
    fn write(&self, record: &Record) -> io::Result<()> {
        let path = self.store.path(&self.key);
        // Without a lease, others write theirs just now.
        let new = if self.lack == Lack::Lease {
            path.with_extension(format!("{:?}", std::thread::current().id()))
        } else {
            self.mark()
        };
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let text = record.to_json(&self.key, &Sealer::default()).expect("nothing to seal");
        file.write_all(text.as_bytes())?;
        if self.lack != Lack::FsyncOfTheRecord {
            file.sync_all()?;
        }
        fs::rename(new, &path)?;
        if self.lack != Lack::FsyncOfTheName {
            fs::File::open(path.parent().expect("a directory"))?.sync_all()?;
        }
        Ok(())
    }
}

#[async_trait]
impl Lease for DoubleLease {
    async fn get(&mut self) -> Result<Option<Record>, StoreError> {
        match &mut self.real {
            Some(real) => real.get().await,
            None => self.store.get(&self.key).await,
        }
    }

    async fn in_flight(&mut self) -> Result<Option<InFlight>, StoreError> {
        match &mut self.real {
            Some(real) => real.in_flight().await,
            None => Ok(None),
        }
    }

    async fn reserve(&mut self, mark: Option<&InFlight>) -> Result<Reservation, StoreError> {
        match (&mut self.real, self.lack) {
            (Some(real), Lack::FsyncOfTheRecord | Lack::FsyncOfTheName) => real.reserve(mark).await,
            (Some(real), Lack::FsyncOfTheMark) => {
                let reservation = real.reserve(None).await?;
                let path = self.mark();
                let text = json!({ "tokman_in_flight": mark }).to_string();
                let file = OpenOptions::new().write(true).open(&path);
                file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(FsError::io("write", &path))?;
                Ok(reservation)
            }
            _ => Ok(self.spare()),
        }
    }

    async fn put(&mut self, reservation: Reservation, record: &Record) -> Result<(), StoreError> {
        match (&mut self.real, self.lack) {
            (Some(real), Lack::Reservation | Lack::FsyncOfTheMark) => real.put(reservation, record).await,
            _ => Ok(self.write(record).map_err(FsError::io("write", &self.store.path(&self.key)))?),
        }
    }

    async fn release(&mut self, reservation: Reservation) -> Result<(), StoreError> {
        match &mut self.real {
            Some(real) => real.release(reservation).await,
            None => Ok(()),
        }
    }

    async fn remove(&mut self) -> Result<bool, StoreError> {
        match &mut self.real {
            Some(real) => real.remove().await,
            None => Ok(false),
        }
    }

    async fn last_failure(&mut self) -> Option<Failure> {
        match &mut self.real {
            Some(real) => real.last_failure().await,
            None => None,
        }
    }

    async fn note(&mut self, failure: Option<&Failure>) {
        if let Some(real) = &mut self.real {
            real.note(failure).await;
        }
    }

    async fn end(self: Box<Self>) {
        if let Some(real) = self.real {
            real.end().await;
        }
    }
}

/// Lets signals do what they do.
#[derive(Debug)]
struct Deaf;

impl Signals for Deaf {
    fn hold(&self) -> io::Result<Box<dyn Held>> {
        Ok(Box::new(NotHeld))
    }

    fn is_ending(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct NotHeld;

impl Held for NotHeld {}
