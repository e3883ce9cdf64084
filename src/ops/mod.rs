//! What tokman does: keeps tokens fresh, obtains and ends them. No flags, no printing.

mod exchange;
pub mod fresh;
pub mod inspect;
pub mod issuer;
pub mod login;
pub mod obtain;
pub mod rescue;
pub mod revoke;
mod signals;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

pub use issuer::Issuer;

use crate::config::ConfigError;
use crate::fsutil::FsError;
use crate::model::{Clock, Key, Response};
use crate::net::{Client, NetError};
use crate::provider::ProviderError;
use crate::store::{Failure, Record, StoreError, TokenStore};

/// What went wrong, for whoever has to act.
#[derive(Debug, Error)]
pub enum Error {
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The wire.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Nothing is stored for the key.
    #[error("nothing is stored for {key}")]
    NotFound {
        /// The key.
        key: Key,
    },
    /// The provider called the grant dead in an earlier run: it is not presented again.
    #[error("the grant of {key} ended: the provider refused it for good at {since}")]
    NeedsLogin {
        /// The key.
        key: Key,
        /// When.
        since: Timestamp,
    },
    /// The record belongs to another application or address.
    #[error("the token of {key} was issued {what} {stored}, not {configured}")]
    Bound {
        /// The key.
        key: Key,
        /// `by` (address), `to` (client id) or `for` (Wix: the instance).
        what: &'static str,
        /// What the record says.
        stored: String,
        /// What the settings say.
        configured: String,
    },
    /// `--no-refresh`, and the stored token is too old.
    #[error("the stored token of {key} {state}, and --no-refresh forbids getting another")]
    TooOld {
        /// The key.
        key: Key,
        /// How old it is, in words.
        state: String,
    },
    /// The process that this one waited for failed a moment ago: asking the same again would not help.
    #[error("another process failed at {}: {}", failure.at, failure.message)]
    Shared {
        /// What it met.
        failure: Failure,
    },
    /// The provider answered, and the answer could not be stored.
    #[error("the new token of {key} could not be stored; it is in {}", rescue.display())]
    NotSaved {
        /// The key.
        key: Key,
        /// Where it is instead.
        rescue: PathBuf,
        /// Why it could not be stored.
        #[source]
        why: StoreError,
    },
    /// The provider answered, the answer could not be stored, and not even saved elsewhere.
    #[error("the new token of {key} could not be stored anywhere")]
    Lost {
        /// The key.
        key: Key,
        /// Why the last place refused.
        #[source]
        why: FsError,
    },
    /// The key holds a live token of another account.
    #[error("{key} holds a live token of {stored}, and this one is of {new}; it was not overwritten, the new one is in {}", rescue.display())]
    OtherAccount {
        /// The key.
        key: Key,
        /// The account of the stored token.
        stored: String,
        /// The account of the new one.
        new: String,
        /// Where the new record is.
        rescue: PathBuf,
    },
    /// A login that does not fit: an address of another login, none pending, too old.
    #[error("{0}")]
    Login(String),
    /// A rescue file that does not fit: none there, or something better is stored.
    #[error("{0}")]
    Rescue(String),
    /// The system refused something that always works.
    #[error("{0}")]
    System(String),
}

/// What an operation ended with.
#[derive(Debug)]
pub struct Outcome {
    /// The record as it is stored now.
    pub record: Record,
    /// The provider's answer as it came; for a token that was there already, the answer it came with.
    pub response: Response,
    /// Where the token came from.
    pub source: Source,
    /// What a person should know although it went well.
    pub warning: Option<String>,
}

/// Where a token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It was stored and fresh enough.
    Stored,
    /// Another process got it while this one waited.
    OtherProcess,
    /// The provider, just now.
    Provider,
}

/// Stands between the commands and the store, the providers and the wire.
#[derive(Debug)]
pub struct Broker {
    /// Where tokens are kept.
    pub store: Box<dyn TokenStore>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The wire.
    pub net: Client,
    /// The whole budget of one exchange, its retries included.
    pub budget: Duration,
}

impl Broker {
    /// How long to wait for a lease: longer than the longest exchange of whoever has it.
    fn lease_wait(&self) -> Duration {
        self.budget + Duration::from_secs(5)
    }

    /// Forgets a key locally; the record that was there.
    ///
    /// # Errors
    /// [`Error::NotFound`] where nothing is stored.
    pub async fn remove(&self, key: &Key) -> Result<Option<Record>, Error> {
        // A record that cannot be read can still be removed: its owner asked for it. But no lease for a key that
        // never was: that would make its directory.
        let before = self.store.get(key).await;
        if matches!(before, Ok(None)) {
            return Err(Error::NotFound { key: key.clone() });
        }
        let mut lease = self.store.lease(key, self.lease_wait()).await?;
        if lease.remove().await? { Ok(before.ok().flatten()) } else { Err(Error::NotFound { key: key.clone() }) }
    }
}

/// Starts the runtime: only when something is waited for.
///
/// # Errors
/// Where the system has no room for it.
pub fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::System(format!("cannot start the runtime: {error}")))
}
