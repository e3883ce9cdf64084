//! The next token of a key, under its lease: what is handed in for it, and what a refusal does to the record.

use jiff::Timestamp;

use crate::model::{GrantType, Key, Token};
use crate::net::NetError;
use crate::ops::demand::How;
use crate::ops::exchange::{Spent, next_record};
use crate::ops::fresh::outcome;
use crate::ops::save::Over;
use crate::ops::{Broker, Error, Issuer, Outcome};
use crate::provider::{Exchange, Provider, ProviderError, RefusalClass, Wanted};
use crate::store::{Failure, Lease, Record};

impl Broker {
    /// Exchanges what the record has for the next token and stores that.
    pub(super) async fn next_token(
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
            Ok((Err((kept, error)), held, sent_at)) => match record {
                Some(record) if matches!(how, How::Refresh(_)) => {
                    let (kind, account) = (record.token.kind.clone(), record.token.account.clone());
                    let token = Token {
                        refresh: Some(kept.refresh),
                        kind: kind.or(kept.kind),
                        account: account.or(kept.account),
                        ..record.token.clone()
                    };
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

    /// A record with another refresh token than the one just refused: another tool stored it, without a lease.
    pub(super) async fn newer(&self, key: &Key, lease: &mut dyn Lease, refused: &Record) -> Option<Record> {
        let stored = lease.get().await.ok().flatten()?;
        let differs = stored.token.refresh != refused.token.refresh && stored.needs_login.is_none();
        if differs {
            log::info!("{key}: the store has a newer refresh token than the one that was refused");
        }
        differs.then_some(stored)
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
}

pub(super) fn is_dead(error: &Error) -> bool {
    matches!(error, Error::Provider(refused) if refused.class() == Some(RefusalClass::GrantDead))
}

/// A failure that would meet everybody who waits for this key just now.
pub(super) fn shareable(error: &Error, now: Timestamp) -> Option<Failure> {
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
