//! One exchange with a provider under a lease: room for the answer, the mark, the request with signals held, and the
//! answer stored or rescued.

use jiff::Timestamp;

use crate::model::{Key, Replay, Secret, Token};
use crate::net::{Answer, NetError};
use crate::ops::signals::Hold;
use crate::ops::{Broker, Error, Issuer, rescue};
use crate::provider::{Exchange, Provider, ProviderError, RefusalClass};
use crate::store::{InFlight, Lease, Record, Reservation};

/// Room for the answer, and the hold on signals until it is stored.
#[derive(Debug)]
pub(super) struct Held {
    reservation: Reservation,
    _signals: Hold,
}

impl Held {
    /// Gives the room back: there is nothing to store.
    pub(super) async fn release(self, lease: &mut dyn Lease) {
        leave(lease, self, false).await;
    }
}

impl Broker {
    /// Reserves, sends and reads: one request to the provider, with each of the application's secrets in turn until
    /// one is accepted. `spent` is the refresh token that the request uses up, if it does.
    ///
    /// The hold on signals ends when the caller has stored the answer: it lives as long as the returned reservation.
    pub(super) async fn exchange<T>(
        &self,
        key: &Key,
        issuer: &Issuer,
        lease: &mut dyn Lease,
        spent: Option<&Secret>,
        plan: impl Fn(&dyn Provider) -> Result<Exchange<T>, ProviderError>,
    ) -> Result<(T, Held, Timestamp), Error> {
        let mut providers = issuer.providers();
        let mut refused = None;
        loop {
            let provider = match (providers.next()?, refused.take()) {
                (Some(provider), _) => provider,
                (None, Some(error)) => return Err(error),
                (None, None) => return Err(issuer.settings().missing_secret().into()),
            };
            let (request, replay, reader) = plan(provider.as_ref()).map_err(|error| issuer.explain(error))?.split();
            // From here to the stored answer, the process cannot be ended by a signal.
            let signals = Hold::begin().map_err(|error| Error::System(format!("cannot hold signals: {error}")))?;
            // Reserve, and mark in flight what cannot be asked for again.
            let mark = (replay != Replay::Safe).then(|| InFlight {
                since: self.clock.now(),
                fingerprint: spent.map(|secret| secret.fingerprint(&key.to_string())).unwrap_or_default(),
                pid: std::process::id(),
            });
            let held = Held { reservation: lease.reserve(mark.as_ref()).await?, _signals: signals };
            // Exchange.
            log::info!("{key}: {} {}", request.method(), request.uri().path());
            let answer = self.net.send(&request, replay, self.budget).await;
            let in_doubt = replay != Replay::Safe && is_in_doubt(&answer);
            let read = match answer {
                Ok(answer) => reader.read(&answer.response, answer.sent_at).map(|value| (value, answer.sent_at)),
                Err(error) => {
                    leave(lease, held, in_doubt).await;
                    return Err(error.into());
                }
            };
            match read {
                Ok((value, sent_at)) => return Ok((value, held, sent_at)),
                Err(error) => {
                    let no_answer = matches!(error, ProviderError::NoAnswer { .. }) && replay != Replay::Safe;
                    leave(lease, held, in_doubt || no_answer).await;
                    // Another secret of a list may be the one that is valid now.
                    if error.class() != Some(RefusalClass::Application) {
                        return Err(issuer.explain(error));
                    }
                    refused = Some(issuer.explain(error));
                }
            }
        }
    }

    /// Stores a record, durable on return; where that fails, puts it into a rescue file and says so.
    pub(super) async fn store_or_rescue(
        &self,
        key: &Key,
        lease: &mut dyn Lease,
        held: Held,
        record: &Record,
    ) -> Result<(), Error> {
        let Held { reservation, _signals: signals } = held;
        let stored = lease.put(reservation, record).await;
        let result = match stored {
            Ok(()) => Ok(()),
            Err(why) => {
                let rescue = rescue::save(key, record, self.clock.now())?;
                Err(Error::NotSaved { key: key.clone(), rescue, why })
            }
        };
        drop(signals);
        result
    }

    /// Stores a record that no exchange brought.
    pub(super) async fn put(&self, key: &Key, lease: &mut dyn Lease, record: &Record) -> Result<(), Error> {
        let signals = Hold::begin().map_err(|error| Error::System(format!("cannot hold signals: {error}")))?;
        let reservation = lease.reserve(None).await?;
        self.store_or_rescue(key, lease, Held { reservation, _signals: signals }, record).await
    }
}

/// Gives the room back, or leaves the mark where nobody knows what became of the request.
async fn leave(lease: &mut dyn Lease, held: Held, in_doubt: bool) {
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
    }
}
