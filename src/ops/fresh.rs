//! The heart: how a key gets a fresh token without ever losing its grant. In this order, always:
//!
//! read without a lease; lease; read again; reserve room and mark in flight; exchange, signals held; store; hand out.

use std::time::Duration;

use crate::model::{Freshness, Key};
use crate::net::NetError;
use crate::ops::demand::{Before, Demand, How, satisfies, seed, seeded};
use crate::ops::history::{Action, Event};
use crate::ops::next::{is_dead, shareable};
use crate::ops::{Broker, Error, Issuer, Outcome, Source};
use crate::provider::{ProviderError, RefusalClass};
use crate::store::{InFlight, Lease, Record, StoreError};

impl Broker {
    /// The stored token, if it satisfies `ttl`, without a runtime, a lock or the network. `None`: it has to be asked for,
    /// or the store has to be waited for.
    ///
    /// # Errors
    /// What is wrong with the record, or whose it is.
    pub fn stored(&self, key: &Key, issuer: &Issuer, ttl: Duration) -> Result<Option<Outcome>, Error> {
        if !self.store.is_local() {
            return Ok(None);
        }
        let Some(read) = now_or_never(self.store.get(key)) else {
            return Ok(None);
        };
        let record = match read {
            Ok(Some(record)) => record,
            // A damaged one is set aside, which needs the lease.
            Ok(None) | Err(StoreError::Damaged { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        issuer.check(key, &record)?;
        let will_do = !record.in_flight && satisfies(&record, Demand::Valid(ttl), self.clock.now(), None);
        Ok(will_do.then(|| outcome(key, record, Source::Stored)))
    }

    /// The stored token of a consumer that must never spend a refresh token.
    ///
    /// # Errors
    /// [`Error::TooOld`] where it does not satisfy `ttl`, [`Error::NotFound`] where there is none.
    pub async fn stored_only(&self, key: &Key, issuer: &Issuer, ttl: Duration) -> Result<Outcome, Error> {
        let record = self.store.get(key).await?.ok_or_else(|| Error::NotFound { key: key.clone() })?;
        issuer.check(key, &record)?;
        let now = self.clock.now();
        if satisfies(&record, Demand::Valid(ttl), now, None) {
            return Ok(outcome(key, record, Source::Stored));
        }
        let state = match record.freshness(now, ttl) {
            Freshness::Expired => "has expired",
            _ => "expires too soon",
        };
        Err(Error::TooOld { key: key.clone(), state: state.to_owned() })
    }

    /// The token that another process got since `before`, looked for without a lease; `None` where there is none, and
    /// wherever the lease has to be asked.
    pub(super) async fn of_another(&self, key: &Key, issuer: &Issuer, before: &Before) -> Option<Outcome> {
        let record = self.store.get(key).await.ok().flatten()?;
        let will_do = !record.in_flight
            && issuer.check(key, &record).is_ok()
            && satisfies(&record, Demand::New, self.clock.now(), Some(before));
        will_do.then(|| outcome(key, record, Source::OtherProcess))
    }

    /// A token that meets the demand.
    ///
    /// # Errors
    /// Why there is none. The grant is kept unless the provider itself called it dead.
    pub async fn fresh(&self, key: &Key, issuer: &Issuer, demand: Demand, how: How) -> Result<Outcome, Error> {
        let started = self.clock.now();
        // Read without a lease.
        let record = match self.store.get(key).await {
            Ok(record) => record,
            Err(damaged @ StoreError::Damaged { .. }) => return Err(self.set_aside(key, damaged).await),
            Err(error) => return Err(error.into()),
        };
        if let Some(record) = &record {
            issuer.check(key, record)?;
            if satisfies(record, demand, started, None) {
                let doubted = record.in_flight && self.is_abandoned(key).await;
                if !doubted {
                    return Ok(outcome(key, record.clone(), Source::Stored));
                }
            }
            refuse_dead(key, record)?;
        } else if seed(issuer).is_none() && !(issuer.mints() && matches!(how, How::Refresh(_))) {
            return Err(Error::NotFound { key: key.clone() });
        }
        let before = Before { started, generation: record.as_ref().map(|record| record.generation) };
        let result = self.fresh_under_lease(key, issuer, demand, &how, &before, self.lease_wait()).await;
        self.tell_hooks();
        match result {
            Ok(outcome) => Ok(outcome),
            Err(error) => self.fall_back(key, record, demand, error),
        }
    }

    /// The steps that need the lease, which is waited for at most `wait`.
    pub(super) async fn fresh_under_lease(
        &self,
        key: &Key,
        issuer: &Issuer,
        demand: Demand,
        how: &How,
        before: &Before,
        wait: Duration,
    ) -> Result<Outcome, Error> {
        // What cannot be asked for needs no lease.
        issuer.settings().client_id()?;
        // Lease.
        let mut lease = match self.store.lease(key, wait).await {
            Ok(lease) => lease,
            Err(busy @ StoreError::Busy { .. }) => return self.read_once_more(key, demand, before, busy).await,
            Err(error) => return Err(error.into()),
        };
        let result = self.fresh_with(lease.as_mut(), key, issuer, (demand, how), before).await;
        lease.end().await;
        match result {
            // Whoever took over may have stored what is wanted.
            Err(Error::Store(overtaken @ StoreError::Overtaken { .. })) => {
                self.read_once_more(key, demand, before, overtaken).await
            }
            result => result,
        }
    }

    /// What is done under the lease: read again, and exchange if that is still needed.
    async fn fresh_with(
        &self,
        lease: &mut dyn Lease,
        key: &Key,
        issuer: &Issuer,
        (demand, how): (Demand, &How),
        before: &Before,
    ) -> Result<Outcome, Error> {
        // Read again.
        let record = lease.get().await?;
        let now = self.clock.now();
        if let Some(record) = &record {
            issuer.check(key, record)?;
            if satisfies(record, demand, now, Some(before)) && doubt(key, lease, record).await?.is_none() {
                if record.in_flight {
                    // Left by a process that died over something else: nothing that is stored is in doubt.
                    let reservation = lease.reserve(None).await?;
                    lease.release(reservation).await?;
                }
                log::info!("{key}: the stored token will do");
                return Ok(outcome(key, record.clone(), Source::OtherProcess));
            }
            refuse_dead(key, record)?;
        }
        let shared = lease.last_failure().await.filter(|failure| failure.at > before.started && failure.at <= now);
        if let Some(failure) = shared.filter(|_| !matches!(demand, Demand::NewOfOurOwn)) {
            return Err(Error::Shared { failure });
        }
        let record = match record {
            Some(record) => Some(record),
            // It was there before the lease: whoever removed it meanwhile meant that.
            None if before.generation.is_some() => return Err(Error::NotFound { key: key.clone() }),
            None => seed(issuer).map(|refresh| seeded(issuer, refresh, self.clock.now())),
        };
        if let Some(record) = &record
            && let Some(mark) = doubt(key, lease, record).await?
        {
            log::warn!(
                "{key}: the answer to a request of {:.0} may have been lost (process {}); asking once more",
                mark.since,
                mark.pid
            );
        }
        let began = self.clock.now();
        let mut result = self.next_token(key, issuer, lease, record.as_ref(), how).await;
        if let (Err(error), Some(refused)) = (&result, &record)
            && is_dead(error)
            && let Some(newer) = self.newer(key, lease, refused).await
        {
            result = self.next_token(key, issuer, lease, Some(&newer), how).await;
        }
        let action = if matches!(how, How::Renew) { Action::Renew } else { Action::Refresh };
        self.write_down(Event::new(key, action, (began, self.clock.now())), record.as_ref(), &result);
        let failure = result.as_ref().err().and_then(|error| shareable(error, self.clock.now()));
        if failure.is_some() || result.is_ok() {
            lease.note(failure.as_ref()).await;
        }
        result
    }

    /// Sets a damaged record aside, under the lease; the error that says where it is.
    async fn set_aside(&self, key: &Key, damaged: StoreError) -> Error {
        match self.store.lease(key, self.lease_wait()).await {
            Ok(mut lease) => {
                let found = lease.get().await;
                lease.end().await;
                match found {
                    Err(error) => error.into(),
                    Ok(_) => damaged.into(),
                }
            }
            Err(_) => damaged.into(),
        }
    }

    /// Whether the mark of a request in flight belongs to no living process: nobody has the lease.
    async fn is_abandoned(&self, key: &Key) -> bool {
        let Ok(lease) = self.store.lease(key, Duration::ZERO).await else {
            return false;
        };
        lease.end().await;
        true
    }

    /// Writes down how an exchange ended; what was never asked is no event.
    pub(super) fn write_down(&self, event: Event, old: Option<&Record>, result: &Result<Outcome, Error>) {
        let old = old.map(|old| &old.token);
        match result {
            Ok(outcome) => self.happened(event.tokens(old, Some(&outcome.record.token))),
            Err(
                Error::Config(_)
                | Error::Rescued { .. }
                | Error::Net(NetError::Paused { .. } | NetError::TooLate)
                | Error::Provider(ProviderError::Missing { .. } | ProviderError::Unsupported { .. }),
            ) => {}
            Err(error) => self.happened(event.tokens(old, None).failed(error)),
        }
    }

    /// After waiting for the lease in vain: whoever has it may have stored a token meanwhile.
    async fn read_once_more(
        &self,
        key: &Key,
        demand: Demand,
        before: &Before,
        busy: StoreError,
    ) -> Result<Outcome, Error> {
        match self.store.get(key).await? {
            Some(record) if satisfies(&record, demand, self.clock.now(), Some(before)) => {
                Ok(outcome(key, record, Source::OtherProcess))
            }
            _ => Err(busy.into()),
        }
    }

    /// The old token outlives a failure that will pass, and a store that cannot be written: that needs no new one.
    fn fall_back(&self, key: &Key, record: Option<Record>, demand: Demand, error: Error) -> Result<Outcome, Error> {
        let Some(record) = record.filter(|_| matches!(demand, Demand::Valid(_))) else {
            return Err(error);
        };
        let passing = match &error {
            Error::Net(_)
            | Error::Store(_)
            | Error::Shared { .. }
            | Error::Provider(ProviderError::NoAnswer { .. }) => true,
            Error::Provider(refused) => refused.class() == Some(RefusalClass::Passing),
            _ => false,
        };
        let works = record.freshness(self.clock.now(), Duration::ZERO) == Freshness::Fresh;
        if !(passing && works) {
            return Err(error);
        }
        let warning = format!("no new token could be had, the stored one still works: {error}");
        Ok(Outcome { warning: Some(warning), ..outcome(key, record, Source::Stored) })
    }
}

/// The mark of an earlier request that spent this record's refresh token, where its answer may have been lost. One
/// that cannot be read was being replaced by the answer: no less in doubt.
async fn doubt(key: &Key, lease: &mut dyn Lease, record: &Record) -> Result<Option<InFlight>, Error> {
    let refresh = record.token.refresh.as_ref().map(|refresh| refresh.fingerprint(&key.to_string()));
    let mark = lease.in_flight().await?;
    Ok(mark.filter(|mark| mark.fingerprint.is_empty() || Some(&mark.fingerprint) == refresh.as_ref()))
}

fn refuse_dead(key: &Key, record: &Record) -> Result<(), Error> {
    match record.needs_login {
        Some(since) => Err(Error::NeedsLogin { key: key.clone(), since }),
        None => Ok(()),
    }
}

pub(super) fn outcome(key: &Key, record: Record, source: Source) -> Outcome {
    Outcome { key: key.clone(), record, source, warning: None }
}

/// Polls a future once: the value of one that has nothing to wait for.
fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}
