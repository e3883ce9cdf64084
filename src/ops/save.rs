//! The last steps of an exchange: what was answered is stored, or put where it can be found again. Where another process
//! took the lease over meanwhile, whichever record is the later one stays.

use crate::model::{Key, Secret};
use crate::ops::exchange::Held;
use crate::ops::{Broker, Error, Source, rescue, signals};
use crate::store::{Lease, Record, StoreError};

/// What a record may take the place of, where another process stored one meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) enum Over<'a> {
    /// Of any: a person handed in a new grant. The refresh token that it takes the place of is absent where there was
    /// none.
    Anything(Option<&'a Secret>),
    /// Of one that still has the refresh token that this exchange spent (absent where it spent none), or whose grant
    /// was called dead: the answer is what comes after both.
    Spent(Option<&'a Secret>),
}

impl Over<'_> {
    /// The refresh token whose place the record takes.
    const fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Anything(secret) | Self::Spent(secret) => *secret,
        }
    }
}

impl Broker {
    /// Stores a record, durable on return; where that fails, puts it into a rescue file and says so. The record that is
    /// stored now, and whose it is.
    pub(super) async fn store_or_rescue(
        &self,
        key: &Key,
        lease: &mut dyn Lease,
        held: Held,
        record: Record,
        over: Over<'_>,
    ) -> Result<(Record, Source), Error> {
        let Held { reservation, signals, .. } = held;
        let result = match lease.put(reservation, &record).await {
            Ok(()) => Ok((record, Source::Provider)),
            Err(StoreError::Overtaken { .. }) => {
                log::warn!("{key}: another process took over while this one waited for its answer");
                let settled = self.settle(key, &record, over).await;
                settled.map_err(|why| self.rescue(key, &record, over.secret(), why))
            }
            Err(why) => Err(self.rescue(key, &record, over.secret(), why)),
        };
        drop(signals);
        result
    }

    /// Stores a record that no exchange brought.
    pub(super) async fn put(&self, key: &Key, lease: &mut dyn Lease, record: &Record) -> Result<(), Error> {
        let signals: Box<dyn signals::Held> = self.hold_signals()?;
        let reservation = lease.reserve(None).await?;
        let result = match lease.put(reservation, record).await {
            Ok(()) => Ok(()),
            // Whoever took over stored something later; what is here is somewhere else too.
            Err(why @ StoreError::Overtaken { .. }) => Err(why.into()),
            Err(why) => Err(self.rescue(key, record, None, why)),
        };
        drop(signals);
        result
    }

    fn rescue(&self, key: &Key, record: &Record, spent: Option<&Secret>, why: StoreError) -> Error {
        match rescue::save(key, (record, spent), &self.sealer, self.clock.now()) {
            Ok(rescue) => Error::NotSaved { key: key.clone(), rescue, why },
            Err(lost) => lost,
        }
    }

    /// Looks at what the process that took over left, under the lease, and stores ours if that is the later one.
    async fn settle(&self, key: &Key, ours: &Record, over: Over<'_>) -> Result<(Record, Source), StoreError> {
        let mut lease = self.store.lease(key, self.lease_wait()).await?;
        let settled = settle_with(key, lease.as_mut(), ours, over).await;
        lease.end().await;
        settled
    }
}

async fn settle_with(
    key: &Key,
    lease: &mut dyn Lease,
    ours: &Record,
    over: Over<'_>,
) -> Result<(Record, Source), StoreError> {
    let stored = lease.get().await?;
    let generation = stored.as_ref().map_or(0, |stored| stored.generation) + 1;
    if let (Some(theirs), Over::Spent(spent)) = (stored, over)
        && theirs.needs_login.is_none()
        && theirs.token.refresh.as_ref() != spent
    {
        log::info!("{key}: what it stored is later than this answer");
        return Ok((theirs, Source::OtherProcess));
    }
    log::info!("{key}: this answer is later than what it left");
    let later = Record { generation, ..ours.clone() };
    let reservation = lease.reserve(None).await?;
    lease.put(reservation, &later).await?;
    Ok((later, Source::Provider))
}
