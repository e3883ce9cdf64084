//! The heart: how a key gets a fresh token without ever losing its grant. In this order, always:
//!
//! read without a lease; lease; read again; reserve room and mark in flight; exchange, signals held; store; hand out.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Freshness, GrantType, Key, Token};
use crate::net::NetError;
use crate::ops::demand::{Before, Demand, How, satisfies, seed, seeded};
use crate::ops::exchange::{Spent, next_record};
use crate::ops::history::{Action, Event};
use crate::ops::save::Over;
use crate::ops::{Broker, Error, Issuer, Outcome, Source};
use crate::provider::{Exchange, Provider, ProviderError, RefusalClass, Wanted};
use crate::store::{Failure, InFlight, Lease, Record, StoreError};

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

    /// A record with another refresh token than the one just refused: another tool stored it, without a lease.
    async fn newer(&self, key: &Key, lease: &mut dyn Lease, refused: &Record) -> Option<Record> {
        let stored = lease.get().await.ok().flatten()?;
        let differs = stored.token.refresh != refused.token.refresh && stored.needs_login.is_none();
        if differs {
            log::info!("{key}: the store has a newer refresh token than the one that was refused");
        }
        differs.then_some(stored)
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

    /// Exchanges what the record has for the next token and stores that.
    async fn next_token(
        &self,
        key: &Key,
        issuer: &Issuer,
        lease: &mut dyn Lease,
        record: Option<&Record>,
        how: &How,
    ) -> Result<Outcome, Error> {
        let plan = |provider: &dyn Provider| match (how, record) {
            (How::Refresh(wanted), Some(record)) if issuer.mints_again(record) => {
                let scopes = if wanted.scopes.is_empty() { &record.token.scopes } else { &wanted.scopes };
                let wanted = Wanted { scopes: scopes.clone(), short_lived: wanted.short_lived };
                provider.obtain(&crate::model::Grant::ClientCredentials { account: None }, &wanted)
            }
            (How::Refresh(wanted), Some(record)) => provider.refresh(&record.token, wanted),
            (How::Refresh(wanted), None) => {
                provider.obtain(&crate::model::Grant::ClientCredentials { account: None }, wanted)
            }
            (How::Renew, Some(record)) => provider.renew(&record.token),
            (How::Renew, None) => {
                Err(ProviderError::Unsupported { what: "there is no access token to renew".to_owned(), hint: None })
            }
        };
        let spent = record.and_then(|record| record.token.refresh.clone());
        let plan = |provider: &dyn Provider| plan(provider).map(Exchange::or_refresh_token);
        let uses_up = spent.as_ref().map(|secret| Spent { secret, record });
        let asked = self.exchange(key, issuer, lease, uses_up, plan).await;
        match asked {
            Ok((Ok(token), reservation, sent_at)) => {
                let minted = Some(GrantType::ClientCredentials.to_string());
                let grant = record.map_or(minted, |record| record.grant.clone());
                let next = next_record(record, token, grant, issuer, sent_at);
                let over = Over::Spent(spent.as_ref());
                let (stored, source) = self.store_or_rescue(key, lease, reservation, next, over).await?;
                Ok(outcome(key, stored, source))
            }
            Ok((Err((refresh, error)), held, sent_at)) => match record {
                Some(record) if matches!(how, How::Refresh(_)) => {
                    let token = Token { refresh: Some(refresh), ..record.token.clone() };
                    let next = next_record(Some(record), token, record.grant.clone(), issuer, sent_at);
                    let kept = Record { refreshed_at: record.refreshed_at, ..next };
                    self.store_or_rescue(key, lease, held, kept, Over::Spent(spent.as_ref())).await?;
                    Err(error.into())
                }
                _ => {
                    held.release(lease).await;
                    Err(error.into())
                }
            },
            // A refused renewal says nothing about the refresh token.
            Err(error) if matches!(how, How::Renew) => Err(error),
            Err(error) => Err(self.after_refusal(key, lease, record, error).await),
        }
    }

    /// What a refusal does to the record: a grant that the provider called dead is marked, if it is still the one that
    /// was refused.
    async fn after_refusal(&self, key: &Key, lease: &mut dyn Lease, record: Option<&Record>, error: Error) -> Error {
        // Client credentials have no grant that could die: the next run may ask again.
        let Some(record) = record.filter(|record| record.token.refresh.is_some() && is_dead(&error)) else {
            return error;
        };
        // Only if the store still holds the token that was refused: a newer one may be good.
        let dead = match lease.get().await {
            Ok(Some(stored)) if stored.token.refresh == record.token.refresh => {
                Record { needs_login: Some(self.clock.now()), generation: stored.generation + 1, ..stored }
            }
            _ => return error,
        };
        if let Err(not_stored) = self.put(key, lease, &dead).await {
            log::warn!("{key}: cannot note that the grant is dead: {not_stored}");
        }
        error
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

fn is_dead(error: &Error) -> bool {
    matches!(error, Error::Provider(refused) if refused.class() == Some(RefusalClass::GrantDead))
}

fn refuse_dead(key: &Key, record: &Record) -> Result<(), Error> {
    match record.needs_login {
        Some(since) => Err(Error::NeedsLogin { key: key.clone(), since }),
        None => Ok(()),
    }
}

fn outcome(key: &Key, record: Record, source: Source) -> Outcome {
    Outcome { key: key.clone(), record, source, warning: None }
}

/// A failure that would meet everybody who waits for this key just now.
fn shareable(error: &Error, now: Timestamp) -> Option<Failure> {
    let shared = match error {
        Error::Net(NetError::Paused { .. } | NetError::TooLate) => false,
        Error::Net(_) | Error::Provider(ProviderError::NoAnswer { .. }) => true,
        Error::Provider(refused) => {
            matches!(refused.class(), Some(RefusalClass::Passing | RefusalClass::Application))
        }
        _ => false,
    };
    shared.then(|| Failure { at: now, class: error.code().name().to_owned(), message: error.to_string() })
}

/// Polls a future once: the value of one that has nothing to wait for.
fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}
