//! Where tokens are kept. Nothing can be written without a lease, and nothing that spends a grant can be sent without
//! a reservation: the types say so.

mod error;
pub mod file;
mod names;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod profiles;
pub mod record;
pub mod seal;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use error::{Lack, Place, StoreError};
pub use record::Record;
pub use seal::{SealError, Sealer};

use crate::config::{ConfigError, StoreUrl};
use crate::model::{Freshness, Key, ProviderName, lifetime};

/// A request that is under way, or was when a process died: durable before the request is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// When it was about to be sent.
    pub since: Timestamp,
    /// [`crate::model::Secret::fingerprint`] of the refresh token that it spends.
    pub fingerprint: String,
    /// The process that sent it.
    pub pid: u32,
}

/// The last exchange of a key that failed, for those who waited for it: they need not ask the same again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// The exit code's name.
    pub class: String,
    /// What it said, fit to be shown.
    pub message: String,
}

/// What can be said of a record without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The merchant, the instance, the subject; absent where the answer named none.
    pub account: Option<String>,
    /// When the grant was obtained; absent in a file of another tool.
    pub obtained_at: Option<Timestamp>,
    /// When the access token was issued.
    pub refreshed_at: Option<Timestamp>,
    /// When the access token ends; absent where nobody said.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token ends; absent where nobody said.
    pub refresh_expires_at: Option<Timestamp>,
    /// Whether there is a refresh token.
    pub has_refresh_token: bool,
    /// Whether the next token comes of the application's credentials, as this one did; absent where nobody says.
    pub minted: Option<bool>,
    /// Counts the changes of the record.
    pub generation: u64,
    /// When the provider called the grant dead; absent while it is not known to be.
    pub needs_login: Option<Timestamp>,
    /// The id of the key that opens it; absent where it is not sealed.
    pub sealed_with: Option<String>,
}

impl Summary {
    /// Whether the access token is fresh at `now`, with a margin.
    #[must_use]
    pub fn freshness(&self, now: Timestamp, margin: Duration) -> Freshness {
        lifetime::freshness(self.expires_at, self.refreshed_at, now, margin)
    }
}

/// One key of a listing, readable or not.
#[derive(Debug)]
pub struct Listed {
    /// The key.
    pub key: Key,
    /// What its record says without being opened, or why it cannot be read.
    pub summary: Result<Summary, StoreError>,
    /// Whether a process died while a request of it was under way.
    pub in_doubt: bool,
}

/// What a store says of itself.
#[derive(Debug, Default)]
pub struct Facts {
    /// What it says, each under its name.
    pub said: Vec<(&'static str, String)>,
    /// Whether anything was ever stored in it.
    pub is_in_use: bool,
}

/// The proof that there is room for the answer. Dropping it leaves a mark behind, as a dying process would.
#[derive(Debug)]
#[must_use = "what was reserved is either put or released"]
pub struct Reservation(());

/// A place that keeps tokens.
#[async_trait]
pub trait TokenStore: Debug + Send + Sync {
    /// Whether [`TokenStore::get`] is done without waiting for anything: then it needs no runtime.
    fn is_local(&self) -> bool;

    /// Says that many leases will be held at once: none of them is to hold up another. A runtime is needed from then on.
    fn expect_many(&self) {}

    /// The keys in their order, of one provider or of all, one after the other.
    async fn list(&self, provider: Option<&ProviderName>) -> Result<Box<dyn Listing>, StoreError>;

    /// The record of a key; `None` where nothing is stored. Takes no lease.
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError>;

    /// The exclusive right to change a key, waiting for it at most `wait`.
    async fn lease(&self, key: &Key, wait: Duration) -> Result<Box<dyn Lease>, StoreError>;

    /// What a store that is elsewhere says of itself; nothing for one of this machine.
    async fn facts(&self) -> Result<Facts, StoreError> {
        Ok(Facts::default())
    }
}

/// The keys of a store, one after the other: memory does not grow with them.
#[async_trait]
pub trait Listing: Send {
    /// The next key; `None` after the last.
    async fn next(&mut self) -> Result<Option<Listed>, StoreError>;
}

/// The exclusive right to change one key, until it is given back or dropped.
#[async_trait]
pub trait Lease: Debug + Send {
    /// The record as it is now. A damaged one is set aside: [`StoreError::SetAside`].
    async fn get(&mut self) -> Result<Option<Record>, StoreError>;

    /// The request that was under way when an earlier process died; `None` where there is none.
    async fn in_flight(&mut self) -> Result<Option<InFlight>, StoreError>;

    /// Makes room for the answer before anything is sent. With a mark, room and mark are durable on return, and
    /// whoever finds the mark later knows that the answer may have been lost; without one, losing it costs nothing.
    async fn reserve(&mut self, mark: Option<&InFlight>) -> Result<Reservation, StoreError>;

    /// Stores a record, durable on return, and clears the mark; the lease may be over with that.
    /// [`StoreError::Overtaken`] where another process has the lease by now: then nothing was changed.
    async fn put(&mut self, reservation: Reservation, record: &Record) -> Result<(), StoreError>;

    /// Stores a record with the same token as the one that is there, durable on return. A mark stays: what is in doubt
    /// is so still.
    async fn rewrite(&mut self, record: &Record) -> Result<(), StoreError> {
        let mark = self.in_flight().await?;
        let reservation = self.reserve(mark.as_ref()).await?;
        self.put(reservation, record).await?;
        if mark.is_some() {
            // Neither put nor released, it stays.
            let _mark = self.reserve(mark.as_ref()).await?;
        }
        Ok(())
    }

    /// Gives the room back and clears the mark: there is nothing to store.
    async fn release(&mut self, reservation: Reservation) -> Result<(), StoreError>;

    /// Forgets the key; `false` where nothing was stored.
    async fn remove(&mut self) -> Result<bool, StoreError>;

    /// The last failure, if one was noted.
    async fn last_failure(&mut self) -> Option<Failure>;

    /// Notes a failure for those who wait, or (with `None`) that there is none. Best effort: it only saves requests.
    async fn note(&mut self, failure: Option<&Failure>);

    /// Gives the lease back, so that nobody waits for its end. A dying process cannot: its lease ends by itself.
    async fn end(self: Box<Self>);
}

/// Opens a store; `budget` is how long an exchange takes at most. Nothing is made and nobody is connected to before
/// something is asked of it.
///
/// # Errors
/// [`ConfigError::NotInThisBuild`].
pub fn open(url: &StoreUrl, sealer: Arc<Sealer>, budget: Duration) -> Result<Box<dyn TokenStore>, ConfigError> {
    #[cfg(not(feature = "postgres"))]
    let _ = budget;
    Ok(match url {
        StoreUrl::File(root) | StoreUrl::Keyring(root) => Box::new(file::FileStore::new(root.clone(), sealer)),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(settings) => Box::new(postgres::PostgresStore::new((**settings).clone(), sealer, budget)),
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => return Err(ConfigError::NotInThisBuild("the store 'postgres'")),
    })
}
