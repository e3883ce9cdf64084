//! The first token of a key: a grant handed in, the answer stored.

use jiff::Timestamp;

use crate::model::{Freshness, Grant, Key, ProfileName, Token};
use crate::ops::demand::seeded;
use crate::ops::exchange::{Held, Spent, next_record};
use crate::ops::history::{Action, Event};
use crate::ops::save::Over;
use crate::ops::{Broker, Error, Issuer, Outcome, Source, rescue};
use crate::provider::{Exchange, Provider, ProviderError, Wanted};
use crate::store::{Lease, Record, StoreError};

/// How an obtained token is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    /// Overwrite a live token of another account.
    pub replace: bool,
    /// Name the profile after the account that answers; the key's own stands in until then.
    pub by_account: bool,
}

/// A grant that was handed in.
#[derive(Debug)]
pub(super) struct Attempt {
    lease: Box<dyn Lease>,
    /// What was stored before.
    old: Option<Record>,
    /// What came of it.
    pub(super) result: Result<Outcome, Error>,
}

fn obtained(key: &Key, record: Record) -> Outcome {
    Outcome { key: key.clone(), record, source: Source::Provider, warning: None }
}

impl Broker {
    /// Hands in a grant and stores what comes. The stored grant, if there is one, stays until the new one is there.
    ///
    /// # Errors
    /// A refused grant leaves the store as it was. A token of another account than the live one of this key is not
    /// stored unless [`Keep::replace`]: it goes to a rescue file, [`Error::OtherAccount`].
    pub async fn obtain(
        &self,
        key: &Key,
        issuer: &Issuer,
        grant: &Grant,
        wanted: &Wanted,
        keep: Keep,
    ) -> Result<Outcome, Error> {
        let began = self.clock.now();
        let attempt = self.attempt(key, issuer, grant, wanted, keep).await?;
        self.conclude(key, began, attempt).await
    }

    /// Writes down how an attempt ended, and tells the hooks when its lease is gone.
    pub(super) async fn conclude(&self, key: &Key, began: Timestamp, attempt: Attempt) -> Result<Outcome, Error> {
        let Attempt { lease, old, result } = attempt;
        let stored_as = result.as_ref().map_or(key, |outcome| &outcome.key);
        self.write_down(Event::new(stored_as, Action::Obtain, (began, self.clock.now())), old.as_ref(), &result);
        lease.end().await;
        self.tell_hooks();
        result
    }

    /// Hands in a grant under a lease, which is kept until somebody has looked at how it ended.
    pub(super) async fn attempt(
        &self,
        key: &Key,
        issuer: &Issuer,
        grant: &Grant,
        wanted: &Wanted,
        keep: Keep,
    ) -> Result<Attempt, Error> {
        let mut lease = self.store.lease(key, self.lease_wait()).await?;
        // A record that cannot be read is not overwritten unasked: a grant may be in it.
        let old = match lease.get().await {
            Ok(old) => old,
            // It is out of the way, and stays where it is.
            Err(error @ StoreError::SetAside { .. }) => {
                log::warn!("{key}: {error}");
                None
            }
            Err(error) if !keep.replace || matches!(error, StoreError::Sealed { .. }) => {
                lease.end().await;
                return Err(error.into());
            }
            Err(error) => {
                log::warn!("{key}: replacing a record that cannot be read: {error}");
                None
            }
        };
        // Another application's token is told apart by its record alone: nothing is sent.
        let bound = old.as_ref().filter(|old| !keep.replace && !keep.by_account && self.is_alive(old));
        let result = match bound.map_or(Ok(()), |old| issuer.check(key, old)) {
            Ok(()) => self.hand_in(key, issuer, lease.as_mut(), old.as_ref(), (grant, wanted, keep)).await,
            Err(bound) => Err(bound),
        };
        Ok(Attempt { lease, old, result })
    }

    /// The exchange, under the lease.
    async fn hand_in(
        &self,
        key: &Key,
        issuer: &Issuer,
        lease: &mut dyn Lease,
        old: Option<&Record>,
        (grant, wanted, keep): (&Grant, &Wanted, Keep),
    ) -> Result<Outcome, Error> {
        let spent = match grant {
            Grant::Refresh { refresh_token } => Some(refresh_token),
            Grant::Code { code, .. } => Some(code),
            Grant::Device { device_code } => Some(device_code),
            Grant::ClientCredentials { .. } | Grant::Migration { .. } => None,
        };
        let spent = spent.map(|secret| Spent { secret, record: None });
        let ask = |provider: &dyn Provider| provider.obtain(grant, wanted).map(Exchange::or_refresh_token);
        let (token, held, sent_at) = self.exchange(key, issuer, lease, spent, ask).await?;
        let grant = Some(grant.grant_type().to_string());
        let token = match token {
            Ok(token) => token,
            Err((kept, why)) => {
                let token = seeded(issuer, kept.refresh, sent_at).token;
                let token = Token { kind: kept.kind, account: kept.account, ..token };
                let kept = Record { refreshed_at: None, ..next_record(None, token, grant, issuer, sent_at) };
                return Err(self.keep_refresh_token(key, lease, held, old, (kept, keep), why).await);
            }
        };
        // A new grant: its own beginning, but a later generation.
        let mut next = next_record(None, token, grant, issuer, sent_at);
        if keep.by_account {
            let stored = self.store_by_account(key, issuer, next, keep.replace).await;
            held.release(lease).await;
            return stored;
        }
        next.generation = old.map_or(0, |old| old.generation) + 1;
        if let Some((stored, new)) = old.filter(|_| !keep.replace).and_then(|old| self.other_account(old, &next)) {
            let rescue = rescue::save(key, (&next, None), &self.sealer, self.clock.now())?;
            held.release(lease).await;
            return Err(Error::OtherAccount { key: key.clone(), stored, new, rescue });
        }
        let over = Over::Anything(old.and_then(|old| old.token.refresh.as_ref()));
        let (stored, _) = self.store_or_rescue(key, lease, held, next, over).await?;
        Ok(obtained(key, stored))
    }

    /// Keeps the refresh token of an answer that has no access token of use: whatever was handed in is spent. Whose it is
    /// nobody knows, so it takes no other token's place. The error that the answer is, or that says where it is kept.
    async fn keep_refresh_token(
        &self,
        key: &Key,
        lease: &mut dyn Lease,
        held: Held,
        old: Option<&Record>,
        (kept, keep): (Record, Keep),
        why: ProviderError,
    ) -> Error {
        if (old.is_none() || keep.replace) && !keep.by_account {
            let over = Over::Anything(old.and_then(|old| old.token.refresh.as_ref()));
            let kept = Record { generation: old.map_or(0, |old| old.generation) + 1, ..kept };
            return match self.store_or_rescue(key, lease, held, kept, over).await {
                Ok(_) => {
                    log::warn!("{key}: the refresh token of the answer is stored");
                    why.into()
                }
                Err(error) => error,
            };
        }
        let profile = if keep.by_account { ProfileName::default() } else { key.profile.clone() };
        let key = Key { provider: key.provider.clone(), profile };
        let rescue = rescue::save(&key, (&kept, None), &self.sealer, self.clock.now());
        held.release(lease).await;
        match rescue {
            Ok(rescue) => Error::RefreshTokenOnly { key, rescue, why },
            Err(error) => error,
        }
    }

    /// Stores a record under the name of its account. The account's own record is replaced: it is the same grant anew.
    async fn store_by_account(
        &self,
        unnamed: &Key,
        issuer: &Issuer,
        mut next: Record,
        replace: bool,
    ) -> Result<Outcome, Error> {
        let named = next.token.account.as_deref().and_then(|account| account.parse().ok());
        let Some(profile) = named else {
            let key = Key { provider: unnamed.provider.clone(), profile: ProfileName::default() };
            let rescue = rescue::save(&key, (&next, None), &self.sealer, self.clock.now())?;
            return Err(Error::NoAccount { key, rescue });
        };
        let key = Key { provider: unnamed.provider.clone(), profile };
        let stored = async {
            let mut lease = self.store.lease(&key, self.lease_wait()).await?;
            let old = match lease.get().await {
                // It is out of the way, and stays where it is.
                Err(StoreError::SetAside { .. }) => Ok(None),
                old => old,
            };
            let stored = match old {
                Ok(Some(old)) if !replace && self.is_alive(&old) && issuer.check(&key, &old).is_err() => {
                    lease.end().await;
                    return Ok(Some(old));
                }
                Ok(old) => {
                    next.generation = old.map_or(0, |old| old.generation) + 1;
                    match lease.reserve(None).await {
                        Ok(reservation) => lease.put(reservation, &next).await,
                        Err(error) => Err(error),
                    }
                }
                Err(error) => Err(error),
            };
            lease.end().await;
            stored.map(|()| None)
        };
        let stored: Result<Option<Record>, StoreError> = stored.await;
        let rescue = |next| rescue::save(&key, (next, None), &self.sealer, self.clock.now());
        match stored {
            Ok(None) => Ok(obtained(&key, next)),
            // The same account's token of another application, which is good.
            Ok(Some(old)) => {
                let [stored, new] = [&old, &next].map(|record| record.client_id.clone().unwrap_or_default());
                Err(Error::OtherAccount { stored, new, rescue: rescue(&next)?, key })
            }
            Err(why) => Err(Error::NotSaved { rescue: rescue(&next)?, key, why }),
        }
    }

    /// Both accounts, where the stored token is alive and of another one.
    fn other_account(&self, old: &Record, new: &Record) -> Option<(String, String)> {
        let (stored, new) = (old.token.account.as_ref()?, new.token.account.as_ref()?);
        (self.is_alive(old) && stored != new).then(|| (stored.clone(), new.clone()))
    }

    /// Whether a record is still of use.
    fn is_alive(&self, record: &Record) -> bool {
        let expired = record.freshness(self.clock.now(), std::time::Duration::ZERO) == Freshness::Expired;
        record.needs_login.is_none() && (record.token.refresh.is_some() || !expired)
    }
}
