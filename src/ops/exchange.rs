//! One exchange with a provider under a lease: room for the answer, the mark, the request with signals held, and the
//! answer stored or rescued.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::model::{Key, Replay, Secret, Token, lifetime};
use crate::net::{Answer, NetError};
use crate::ops::issuer::Providers;
use crate::ops::{Broker, Error, Issuer, rescue, signals};
use crate::provider::{Exchange, Provider, ProviderError, RefusalClass};
use crate::store::{InFlight, Lease, Record, Reservation};

/// Room for the answer, and the hold on signals until it is stored.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) reservation: Reservation,
    /// The mark of an earlier request for another grant, which the room was made over.
    earlier: Option<InFlight>,
    pub(super) signals: Box<dyn signals::Held>,
}

impl Held {
    /// Gives the room back: there is nothing to store.
    pub(super) async fn release(mut self, lease: &mut dyn Lease) {
        let earlier = self.earlier.take();
        leave(lease, self, false, earlier.as_ref()).await;
    }
}

/// What a request uses up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent<'a> {
    pub(super) secret: &'a Secret,
    /// The stored record that it is of.
    pub(super) record: Option<&'a Record>,
}

impl Broker {
    /// Reserves, sends and reads: one request to the provider, with each of the application's secrets in turn until
    /// one is accepted. Nothing is sent where a later record than the one whose refresh token it would use up lies in a
    /// rescue file.
    ///
    /// The hold on signals ends when the caller has stored the answer: it lives as long as the returned reservation.
    pub(super) async fn exchange<T>(
        &self,
        key: &Key,
        issuer: &Issuer,
        lease: &mut dyn Lease,
        spent: Option<Spent<'_>>,
        plan: impl Fn(&dyn Provider) -> Result<Exchange<T>, ProviderError>,
    ) -> Result<(T, Held, Timestamp), Error> {
        let (_slot, in_time) = issuer.pace().slot().await;
        if !in_time {
            return Err(NetError::TooLate.into());
        }
        let begun = Instant::now();
        self.discover(issuer).await?;
        // Whoever waits for the lease waits a little longer than the budget, not longer than two.
        let budget = self.budget.saturating_sub(begun.elapsed());
        let mut providers = issuer.providers();
        let mut provider = next_provider(issuer, &mut providers, None)?;
        // A secret that a person has to confirm does not eat into it.
        let deadline = Instant::now() + budget;
        let mut asked_again = false;
        let fingerprint = spent.map(|spent| spent.secret.fingerprint(&key.to_string())).unwrap_or_default();
        // What an earlier run left in doubt stays so until somebody answers for it.
        let earlier = lease.in_flight().await?;
        loop {
            let (request, replay, reader) = plan(provider.as_ref()).map_err(|error| issuer.explain(error))?.split();
            let refreshes = replay == Replay::OnceUnderLease;
            let stored = spent.and_then(|spent| spent.record).filter(|_| refreshes);
            if let Some(rescue) = stored.and_then(|stored| rescue::later(key, stored)) {
                return Err(Error::Rescued { key: key.clone(), rescue });
            }
            // From here to the stored answer, the process cannot be ended by a signal.
            let signals = self.hold_signals()?;
            // Reserve, and mark in flight what cannot be asked for again.
            let mark = (replay != Replay::Safe).then(|| InFlight {
                since: self.clock.now(),
                fingerprint: fingerprint.clone(),
                pid: std::process::id(),
            });
            let is_same = |mark: &InFlight| mark.fingerprint == fingerprint || mark.fingerprint.is_empty();
            let unanswered = earlier.as_ref().filter(|mark| !(refreshes && is_same(mark)));
            let same = earlier.as_ref().filter(|mark| refreshes && is_same(mark));
            let held = Held { reservation: lease.reserve(mark.as_ref()).await?, earlier: unanswered.cloned(), signals };
            // Exchange.
            log::info!("{key}: {} {}", request.method(), request.uri().path());
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self.net.send_paced(&request, replay, left, issuer.pace()).await;
            if self.has_moved(issuer, &answer).await {
                leave(lease, held, false, same.or(unanswered)).await;
                provider = providers.again()?;
                continue;
            }
            let in_doubt = replay != Replay::Safe && is_in_doubt(&answer);
            let is_lost = in_doubt || answer.as_ref().is_ok_and(|answer| answer.replayed);
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    leave(lease, held, in_doubt, same.or(unanswered)).await;
                    return Err(error.into());
                }
            };
            warn_of_clock(key, issuer, &answer);
            let error = match reader.read(&answer.response, answer.sent_at) {
                Ok(value) => {
                    providers.was_accepted();
                    return Ok((value, held, answer.sent_at));
                }
                Err(error) => error,
            };
            let no_answer = matches!(error, ProviderError::NoAnswer { .. });
            if error.class() == Some(RefusalClass::GrantDead) && (is_lost || asked_again) {
                issuer.pace().count_lost();
            }
            if no_answer && may_ask_again(&answer, replay) && !std::mem::replace(&mut asked_again, true) {
                // A success that cannot be read is a lost answer. The mark stays until the next one takes its place.
                log::info!("{key}: {error}; asking once more");
                continue;
            }
            let passing = no_answer || error.class() == Some(RefusalClass::Passing);
            let unanswered = unanswered.or(same.filter(|_| passing));
            leave(lease, held, in_doubt || (no_answer && replay != Replay::Safe), unanswered).await;
            // Another secret of a list may be the one that is valid now.
            if error.class() != Some(RefusalClass::Application) {
                return Err(issuer.explain(error));
            }
            provider = next_provider(issuer, &mut providers, Some(error))?;
        }
    }

    /// One request that changes nothing that is stored, with each of the application's secrets in turn until one is
    /// accepted.
    pub(super) async fn ask_provider<T>(
        &self,
        issuer: &Issuer,
        plan: impl Fn(&dyn Provider) -> Result<Exchange<T>, ProviderError>,
    ) -> Result<T, Error> {
        self.discover(issuer).await?;
        let mut providers = issuer.providers();
        let mut provider = next_provider(issuer, &mut providers, None)?;
        loop {
            let (request, _, reader) = plan(provider.as_ref()).map_err(|error| issuer.explain(error))?.split();
            let answer = self.net.send(&request, Replay::Safe, self.budget).await;
            if self.has_moved(issuer, &answer).await {
                provider = providers.again()?;
                continue;
            }
            let answer = answer?;
            match reader.read(&answer.response, answer.sent_at) {
                Ok(value) => return Ok(value),
                Err(error) if error.class() == Some(RefusalClass::Application) => {
                    provider = next_provider(issuer, &mut providers, Some(error))?;
                }
                Err(error) => return Err(issuer.explain(error)),
            }
        }
    }

    pub(super) fn hold_signals(&self) -> Result<Box<dyn signals::Held>, Error> {
        self.signals.hold().map_err(|error| Error::System(format!("cannot hold signals: {error}")))
    }
}

/// The provider with the next secret; after the last, the refusal of that.
fn next_provider(
    issuer: &Issuer,
    providers: &mut Providers<'_>,
    refused: Option<ProviderError>,
) -> Result<Box<dyn Provider>, Error> {
    match (providers.next()?, refused) {
        (Some(provider), _) => Ok(provider),
        (None, Some(error)) => Err(issuer.explain(error)),
        (None, None) => Err(issuer.settings().missing_secret().into()),
    }
}

/// A clock that is wrong makes tokens look longer- or shorter-lived than they are.
fn warn_of_clock(key: &Key, issuer: &Issuer, answer: &Answer) {
    let date = answer.response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let error = lifetime::clock_error(date, answer.sent_at).as_secs();
    if error != 0 && issuer.tells_of_clock() {
        let direction = if error > 0 { "ahead of" } else { "behind" };
        log::warn!("{key}: this machine's clock is {} s {direction} the provider's", error.unsigned_abs());
    }
}

/// Whether a request may be sent again after a success that cannot be read.
fn may_ask_again(answer: &Answer, replay: Replay) -> bool {
    let may = match replay {
        Replay::Safe => true,
        Replay::OnceUnderLease => answer.attempts == 1,
        Replay::Never | Replay::Polled => false,
    };
    may && answer.response.status().is_success()
}

/// Gives the room back, or leaves the mark where nobody knows what became of the request. The mark of an `earlier`
/// request that this one says nothing of comes back.
async fn leave(lease: &mut dyn Lease, held: Held, in_doubt: bool, earlier: Option<&InFlight>) {
    if let Some(earlier) = earlier {
        if let Err(error) = lease.reserve(Some(earlier)).await {
            log::debug!("cannot bring the mark of an earlier request back: {error}");
        }
        return;
    }
    if in_doubt {
        return;
    }
    if let Err(error) = lease.release(held.reservation).await {
        log::debug!("cannot give the reservation back: {error}");
    }
}

/// Whether the provider may have acted although no token came: no answer, or a gateway's in its place.
fn is_in_doubt(answer: &Result<Answer, NetError>) -> bool {
    match answer {
        Ok(answer) => matches!(answer.response.status().as_u16(), 408 | 500 | 502 | 504..),
        Err(error) => error.may_have_arrived(),
    }
}

/// The record after an exchange.
pub(super) fn next_record(
    old: Option<&Record>,
    token: Token,
    grant: Option<String>,
    issuer: &Issuer,
    sent_at: Timestamp,
) -> Record {
    // Milliseconds are enough to tell two refreshes apart, and read better.
    let sent_at = Timestamp::from_millisecond(sent_at.as_millisecond()).unwrap_or(sent_at);
    Record {
        token,
        grant,
        client_id: issuer.settings().client_id.as_ref().map(|setting| setting.value.clone()),
        base_url: Some(issuer.base_url()),
        obtained_at: old.and_then(|old| old.obtained_at).or(Some(sent_at)),
        refreshed_at: Some(sent_at),
        generation: old.map_or(0, |old| old.generation) + 1,
        needs_login: None,
        in_flight: false,
    }
}
