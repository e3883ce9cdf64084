//! Every key of a store: read once, most urgent first, so many at once, on one runtime and with one client. A failure
//! ends nothing but its own key, or what is left of a provider that is in trouble. Several processes share the work: a
//! key that another one has is left to it.

mod lane;
pub mod plan;
mod run;
pub mod tally;

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::model::{Key, ProfileName, ProviderName};
use crate::net::Rate;
use crate::ops::signals::Held;
use crate::ops::{Broker, Error, Issuer, Outcome, Source};
use crate::provider::Wanted;

use plan::{Due, Life};
use run::Run;
use tally::{KeyReport, Tally};

/// What is to be refreshed, and how.
#[derive(Debug, Clone)]
pub struct Orders {
    /// Of this provider only; of all where absent.
    pub provider: Option<ProviderName>,
    /// Of this profile only; of all where absent.
    pub profile: Option<ProfileName>,
    /// Which keys are due.
    pub due: Due,
    /// What to ask for.
    pub wanted: Wanted,
    /// How many at once.
    pub jobs: usize,
    /// How fast at most, for each provider; as fast as it goes where absent.
    pub rate: Option<Rate>,
    /// When to begin no more; never where absent.
    pub max_time: Option<Duration>,
    /// Whether only to say what would be done.
    pub dry_run: bool,
}

/// Sees the run as it goes.
pub trait Watcher {
    /// A key is dealt with.
    fn key(&mut self, report: &KeyReport);

    /// Some time has passed.
    fn look(&mut self, tally: &Tally);
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ended {
    /// What became of the keys.
    pub tally: Tally,
    /// The hold on signals: one that came is honoured when this is dropped. Absent where nothing was done.
    pub signals: Option<Box<dyn Held>>,
}

/// Waits a random time, at most this long, so that a fleet's cron jobs do not meet.
///
/// # Errors
/// Where the system has no randomness.
pub async fn splay(longest: Duration) -> Result<(), Error> {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::System("the system has no randomness".to_owned()))?;
    let share = f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX);
    let wait = longest.mul_f64(share);
    log::info!("waiting {} s first", wait.as_secs());
    tokio::time::sleep(wait).await;
    Ok(())
}

impl Broker {
    /// The stored token of one key, where it is not due; `None` where it is to be refreshed.
    ///
    /// # Errors
    /// What is wrong with the record, or whose it is.
    pub async fn undue(&self, key: &Key, issuer: &Issuer, due: Due) -> Result<Option<Outcome>, Error> {
        if due.is_all() {
            return Ok(None);
        }
        // A damaged one is set aside by the refresh, and what is in doubt or dead is its business too.
        let Ok(Some(record)) = self.store.get(key).await else { return Ok(None) };
        issuer.check(key, &record)?;
        let is_sound = record.needs_login.is_none() && !record.in_flight;
        if !is_sound || due.takes(Life::from(&record), self.clock.now()) {
            return Ok(None);
        }
        log::info!("{key}: not due");
        Ok(Some(Outcome { key: key.clone(), record, source: Source::Stored, warning: None }))
    }

    /// Refreshes every key that is due. `open` gives the issuer of a provider.
    ///
    /// # Errors
    /// Where the keys cannot be listed; what befalls one key is told to the watcher.
    pub async fn refresh_all(
        &self,
        orders: &Orders,
        open: impl Fn(&ProviderName) -> Result<Issuer, Error>,
        watcher: &mut dyn Watcher,
    ) -> Result<Ended, Error> {
        let hold = || self.signals.hold().map_err(|error| Error::System(format!("cannot hold signals: {error}")));
        let signals = if orders.dry_run { None } else { Some(hold()?) };
        let mut run = Run::new(self, orders, watcher);
        run.list().await?;
        if !orders.dry_run {
            if orders.jobs > 1 {
                self.store.expect_many();
            }
            let issuers = run.open(open);
            run.refresh(&issuers).await;
        }
        let tally = run.tally();
        drop(run);
        Ok(Ended { tally, signals })
    }
}
