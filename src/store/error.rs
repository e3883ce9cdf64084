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

/// What a database lacks to do what is asked of it, as far as somebody can give it that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Rights of the role.
    Rights,
    /// Writes: it is a standby, or set so.
    Writes,
    /// A way in for the role.
    Entry,
    /// The role's password, from us.
    Password,
    /// Our trust in its certificate.
    Trust,
    /// A certificate of the name that it is called by.
    Name,
    /// The database that the address names.
    Database,
    /// Tables of a version that is known.
    Version,
    /// Something else, which it says.
    Other,
}

impl Lack {
    /// How to give it that; `None` where only the database knows.
    #[must_use]
    pub const fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::Rights => {
                "the role needs SELECT, INSERT, UPDATE and DELETE on what is in the schema tokman, and for the first run \
                 CREATE on the database"
            }
            Self::Writes => {
                "give the address of the primary, or let it take writes: ALTER DATABASE … RESET default_transaction_read_only"
            }
            Self::Entry => "let the role in: ALTER ROLE … LOGIN, and a line for it in pg_hba.conf",
            Self::Password => {
                "give the password in PGPASSWORD, or in ~/.pgpass (0600), a line as HOST:PORT:DATABASE:USER:PASSWORD"
            }
            Self::Trust => {
                "name the certificates to trust: sslrootcert=/path/ca.pem in the address, or PGSSLROOTCERT=/path/ca.pem"
            }
            Self::Name => "give the address by a name that is in its certificate",
            Self::Database => {
                "correct the address ([store] url in the config file, or TOKMAN_STORE), or make the database: CREATE DATABASE"
            }
            Self::Version => {
                "tokman.version has one row, which says 1: put it back if nothing else was changed, else restore a backup"
            }
            Self::Other => return None,
        })
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
    /// The store was reached and gave up what was asked of it, which it may do a little later.
    #[error("{place} cancelled what was asked: {why}")]
    Cancelled {
        /// The store, without a password.
        place: String,
        /// What the server said.
        why: String,
    },
    /// The store was reached and does not do what is asked of it.
    #[error("{place} refuses: {why}")]
    Refused {
        /// The store, without a password.
        place: String,
        /// What it lacks.
        lack: Lack,
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

impl StoreError {
    /// What to do about a record that cannot be read, or a database; `None` where it says all there is to say.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let hint = match self {
            Self::SetAside { place: Place::Row { key, .. }, .. } => {
                return Some(format!(
                    "a grant may be in it: write it into a file, mend it, and give it to 'tokman import --replace <FILE', or log in anew, which leaves it where it is: tokman obtain {}",
                    key.options()
                ));
            }
            Self::Damaged { .. } | Self::SetAside { .. } => {
                "a grant may be in it: mend it and move it back, or log in anew with 'tokman obtain', which leaves it where it is"
            }
            Self::Newer { .. } | Self::NewerTables { .. } => "use the newer tokman",
            Self::Cancelled { .. } => {
                "see who holds tokman's tables up (pg_stat_activity), or give the role more time: ALTER ROLE … SET statement_timeout"
            }
            Self::Refused { lack, .. } => lack.remedy()?,
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
