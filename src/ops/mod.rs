//! What tokman does: keeps tokens fresh, obtains and ends them. No flags, no printing.

pub mod browser;
pub mod browser_login;
pub mod bulk;
pub mod demand;
pub mod device;
pub mod discovery;
pub mod doctor;
pub mod error;
mod exchange;
pub mod fresh;
pub mod health;
pub mod history;
pub mod hooks;
pub mod import;
pub mod inspect;
pub mod issuer;
pub mod login;
mod next;
pub mod obtain;
pub mod page;
pub mod rescue;
pub mod reseal;
pub mod revoke;
mod save;
pub mod selection;
pub mod stored_names;
pub mod survey;
pub mod valid;

use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use error::{Code, Error};
pub use hooks::Hooks;
pub use issuer::Issuer;
pub use selection::Selection;

pub use crate::signals;
use crate::signals::Signals;
use history::{Action, Event, History};

use crate::model::{Clock, Key};
use crate::net::Client;
use crate::store::{Record, Sealer, TokenStore};

/// What an operation ended with.
#[derive(Debug)]
pub struct Outcome {
    /// The key that it is stored under.
    pub key: Key,
    /// The record as it is stored now, with the answer that its token came with.
    pub record: Record,
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
    /// What seals the records that the store keeps; those that it would not take are sealed too.
    pub sealer: Arc<Sealer>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The wire.
    pub net: Client,
    /// The whole budget of one exchange, its retries included.
    pub budget: Duration,
    /// What holds signals while an answer is awaited.
    pub signals: Box<dyn Signals>,
    /// Where what happened is written down.
    pub history: History,
    /// Who is told of it.
    pub hooks: Hooks,
    /// What the hooks have not been told yet: they run when no lease is held.
    pub untold: Mutex<Vec<Event>>,
}

impl Broker {
    /// How long to wait for a lease: longer than the longest exchange of whoever has it.
    fn lease_wait(&self) -> Duration {
        self.budget + Duration::from_secs(5)
    }

    /// Writes down what happened; the hooks are told when the lease is gone.
    fn happened(&self, event: Event) {
        self.history.append(&event);
        if let Ok(mut untold) = self.untold.lock() {
            untold.push(event);
        }
    }

    /// Tells the hooks what happened since they were told last. Not to be called under a lease: they take their time.
    fn tell_hooks(&self) {
        for event in &self.untold() {
            self.hooks.run(event);
        }
    }

    /// Takes what the hooks have not been told yet.
    fn untold(&self) -> Vec<Event> {
        self.untold.lock().map(|mut untold| std::mem::take(&mut *untold)).unwrap_or_default()
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
        let began = self.clock.now();
        let mut lease = self.store.lease(key, self.lease_wait()).await?;
        let removed = lease.remove().await;
        lease.end().await;
        if !removed? {
            return Err(Error::NotFound { key: key.clone() });
        }
        let record = before.ok().flatten();
        let event = Event::new(key, Action::Remove, (began, self.clock.now()));
        self.happened(event.tokens(record.as_ref().map(|record| &record.token), None));
        Ok(record)
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
