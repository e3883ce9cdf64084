//! What a store could not do.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::config::ConfigError;
use crate::fsutil::FsError;
use crate::model::Key;
use crate::store::SealError;

/// Where a record that was set aside lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file of its own.
    File(PathBuf),
    /// In the column `aside` of its row.
    Row {
        /// Whose row.
        key: Key,
        /// The database, without a password.
        database: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Row { key, database } => write!(f, "the row of {key}, column aside of tokman.token in {database}"),
        }
    }
}

/// What a store could not do.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file or directory of it cannot be used.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A record that cannot be read. It is not an empty one: whatever grant is in it may still be good.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A damaged record that was set aside, with nothing newer stored since. Its key is not an empty one.
    #[error("the record was damaged ({why}) and is set aside in {place}")]
    SetAside {
        /// Where it is.
        place: Place,
        /// What is wrong with it.
        why: String,
    },
    /// A record that a later version wrote.
    #[error("{path} was written by a newer tokman (record version {version})")]
    Newer {
        /// The record's file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// Another process holds the lease, for longer than an exchange takes.
    #[error("another process has been changing {key} for {} s", waited.as_secs())]
    Busy {
        /// The key.
        key: Key,
        /// How long this process waited.
        waited: Duration,
    },
    /// The record is sealed, or is to be, and the key for that cannot be had. Nothing was touched.
    #[error("the record of {key} cannot be used: {why}")]
    Sealed {
        /// The key.
        key: Key,
        /// Why.
        why: SealError,
    },
    /// The store is elsewhere and cannot be reached just now. Whatever was not confirmed may have happened.
    #[error("cannot reach {place}: {why}")]
    Unreachable {
        /// The store, without a password.
        place: String,
        /// What the system or the server said.
        why: String,
    },
    /// The store was reached and does not do what is asked of it.
    #[error("{place} refuses: {why}")]
    Refused {
        /// The store, without a password.
        place: String,
        /// What the server said.
        why: String,
    },
    /// The store is laid out as a later version does it.
    #[error("{place} was laid out by a newer tokman (version {version} of its tables)")]
    NewerTables {
        /// The store, without a password.
        place: String,
        /// The version of its tables.
        version: i32,
    },
    /// The lease ended while this process was not looking, and another one took it. What this process was about to do
    /// was not done.
    #[error("another process took {key} over, which this one had held for too long")]
    Overtaken {
        /// The key.
        key: Key,
    },
    /// What the settings say of the store cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No locks there: two processes could spend the same refresh token.
    #[error("{path} is on {what}, where files cannot be locked safely")]
    NoLocks {
        /// The directory.
        path: PathBuf,
        /// What kind of file system it is on.
        what: &'static str,
    },
}
