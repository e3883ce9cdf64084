//! The end of a token: at the provider first, then here.

use crate::model::Key;
use crate::ops::history::{Action, Event};
use crate::ops::save::Over;
use crate::ops::{Broker, Error, Issuer, rescue};
use crate::provider::{ProviderError, Reply, Revocation};
use crate::store::{Lease, Record};

/// What became of a key.
#[derive(Debug)]
pub struct Revoked {
    /// The provider's answer.
    pub reply: Reply,
    /// Whether the key was forgotten here.
    pub forgotten: bool,
}

impl Broker {
    /// Ends a token at the provider, then forgets it here unless `keep`: then it stays, and needs a login. After [`Revocation::OnlyAccessToken`] the
    /// record stays, its access token past its end.
    ///
    /// # Errors
    /// [`Error::NotFound`] where nothing is stored and a token is needed. What the provider did not end is not forgotten.
    pub async fn revoke(&self, key: &Key, issuer: &Issuer, what: &Revocation, keep: bool) -> Result<Revoked, Error> {
        let merchant = matches!(what, Revocation::Merchant(_));
        let before = self.store.get(key).await?;
        if before.is_none() && !merchant {
            return Err(Error::NotFound { key: key.clone() });
        }
        let began = self.clock.now();
        let mut lease = self.store.lease(key, self.lease_wait()).await?;
        let record = match lease.get().await {
            Ok(Some(record)) => issuer.check(key, &record).map(|()| Some(record)),
            Ok(None) if merchant => Ok(None),
            Ok(None) => Err(Error::NotFound { key: key.clone() }),
            Err(error) => Err(error.into()),
        };
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                lease.end().await;
                return Err(error);
            }
        };
        let result = self.end(key, issuer, lease.as_mut(), record.as_ref(), what, keep).await;
        let event = Event::new(key, Action::Revoke, (began, self.clock.now()));
        let event = event.tokens(record.as_ref().map(|record| &record.token), None);
        match &result {
            Ok(_) => self.happened(event),
            Err(
                Error::Config(_) | Error::Provider(ProviderError::Missing { .. } | ProviderError::Unsupported { .. }),
            ) => {}
            Err(error) => self.happened(event.failed(error)),
        }
        lease.end().await;
        self.tell_hooks();
        result
    }

    /// The exchange, under the lease, and what it means for the record.
    async fn end(
        &self,
        key: &Key,
        issuer: &Issuer,
        lease: &mut dyn Lease,
        record: Option<&Record>,
        what: &Revocation,
        keep: bool,
    ) -> Result<Revoked, Error> {
        let merchant = matches!(what, Revocation::Merchant(_));
        let token = record.map(|record| &record.token).filter(|_| !merchant);
        // The grant's last token is not here: to end an earlier one may leave it good, and forgetting it would lose sight
        // of it.
        if let Some(rescue) = record.and_then(|record| rescue::later(key, record)) {
            return Err(Error::Rescued { key: key.clone(), rescue });
        }
        let doubted = lease.in_flight().await?;
        let asked = self.exchange(key, issuer, lease, None, |provider| provider.revoke(token, what)).await?;
        let (reply, held, sent_at) = asked;
        // What is over, or is not (absent).
        let ended = record.filter(|record| match what {
            Revocation::OnlyAccessToken => false,
            Revocation::Authorization => true,
            Revocation::Merchant(merchant) => record.token.account.as_ref() == Some(merchant),
        });
        let forget = ended.is_some() && !keep;
        match record {
            Some(record) if *what == Revocation::OnlyAccessToken || (ended.is_some() && keep) => {
                let kept = record.token.refresh.clone();
                let needs_login = if ended.is_some() { Some(sent_at) } else { record.needs_login };
                let mut record = Record { generation: record.generation + 1, needs_login, ..record.clone() };
                record.token.expires_at = Some(sent_at);
                self.store_or_rescue(key, lease, held, record, Over::Spent(kept.as_ref())).await?;
                // The end of an access token answers nothing about a refresh token that may have been spent.
                if let Some(mark) = doubted.filter(|_| ended.is_none()) {
                    let _left = lease.reserve(Some(&mark)).await?;
                }
            }
            _ => held.release(lease).await,
        }
        if forget {
            lease.remove().await?;
        }
        Ok(Revoked { reply, forgotten: forget })
    }
}
