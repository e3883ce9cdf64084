//! The lease of a key: an owner in its row, until an end on the database's clock. Whoever finds that end passed takes
//! it over; the one before notices, because its own name is no longer there.

use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;

use crate::model::Key;
use crate::store::postgres::error::Trouble;
use crate::store::postgres::pool::Bound;
use crate::store::postgres::{PostgresStore, SPARE, Stored};
use crate::store::{Failure, InFlight, Lease, Record, Reservation, StoreError};

/// The longest that one attempt to store an answer takes: the next may find a way.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Between two attempts to store an answer.
const PAUSE: Duration = Duration::from_millis(200);

/// Extends the lease and marks what is under way. One that ended is still ours while nobody else took it.
const RESERVE: &str = "\
    UPDATE tokman.token SET owner = $3, lease_until = clock_timestamp() + $5 * interval '1 second', in_flight = $6 \
    WHERE provider = $1 AND profile = $2 AND generation = $7 AND (owner = $3 OR ($4 AND owner IS NULL)) \
    RETURNING true";

/// Stores, clears the mark and the failure and gives the lease back, if it is ours and the record is the one that was
/// read.
const PUT: &str = "\
    UPDATE tokman.token SET record = $5, generation = $6, in_flight = NULL, failure = NULL, owner = NULL, \
        lease_until = NULL, changed_at = now() \
    WHERE provider = $1 AND profile = $2 AND owner = $3 AND generation = $4 RETURNING true";

/// Whether this very text is stored: by an attempt whose confirmation was lost. No two texts are the same, sealed.
const IS_STORED: &str =
    "SELECT true FROM tokman.token WHERE provider = $1 AND profile = $2 AND $3 <> '' AND record = $4";

const RELEASE: &str = "UPDATE tokman.token SET in_flight = NULL WHERE provider = $1 AND profile = $2 AND owner = $3";

/// Sets the record aside, once: an attempt whose confirmation was lost left nothing to set aside.
const SET_ASIDE: &str = "\
    UPDATE tokman.token SET aside = coalesce(aside || E'\\n', '') || record, record = NULL, changed_at = now() \
    WHERE provider = $1 AND profile = $2 AND owner = $3 AND record IS NOT NULL RETURNING generation";

const REMOVE: &str = "\
    DELETE FROM tokman.token WHERE provider = $1 AND profile = $2 AND owner = $3 \
    RETURNING record IS NOT NULL OR aside IS NOT NULL";

/// What those who wait are told. They may have the lease by now, but not a later record.
const NOTE: &str = "\
    UPDATE tokman.token SET failure = $4 \
    WHERE provider = $1 AND profile = $2 AND (owner = $3 OR (owner IS NULL AND generation = $5))";

const RENEW: &str = "\
    UPDATE tokman.token SET lease_until = clock_timestamp() + $4 * interval '1 second' \
    WHERE provider = $1 AND profile = $2 AND owner = $3";

const END: &str = "\
    UPDATE tokman.token SET owner = NULL, lease_until = NULL WHERE provider = $1 AND profile = $2 AND owner = $3";

/// The end of a lease that brought nothing: the row goes too.
const END_EMPTY: &str = "\
    DELETE FROM tokman.token WHERE provider = $1 AND profile = $2 AND owner = $3 \
    AND record IS NULL AND aside IS NULL AND in_flight IS NULL AND failure IS NULL";

/// A mark that cannot be read is no less a mark.
fn mark(text: &str) -> InFlight {
    serde_json::from_str(text).unwrap_or(InFlight {
        since: jiff::Timestamp::UNIX_EPOCH,
        fingerprint: String::new(),
        pid: 0,
    })
}

/// Renews the lease of somebody who takes longer than an exchange. Aborted when the lease is dropped.
async fn renew(store: PostgresStore, key: Key, owner: String) {
    let seconds = store.term().as_secs_f64();
    let (provider, profile) = (key.provider.as_str(), key.profile.as_str());
    loop {
        sleep(store.budget + SPARE / 2).await;
        let bound: [Bound<'_>; 4] =
            [(&provider, Type::TEXT), (&profile, Type::TEXT), (&owner, Type::TEXT), (&seconds, Type::FLOAT8)];
        if let Err(trouble) = store.pool.query(RENEW, &bound).await {
            log::debug!("{key}: cannot renew the lease: {trouble:?}");
        }
    }
}

/// The row of a key, while its owner is this one.
#[derive(Debug)]
pub(super) struct PostgresLease {
    store: PostgresStore,
    key: Key,
    owner: String,
    /// The generation of the record that was read.
    generation: i64,
    /// Whether nothing is stored for the key.
    is_empty: bool,
    /// What came with the lease, until it is asked for.
    unread: Option<Stored>,
    in_flight: Option<InFlight>,
    failure: Option<Failure>,
    /// Whether it was given back, with what was stored last.
    is_over: bool,
    /// When others may take it, at the earliest.
    ends: Instant,
    renewal: JoinHandle<()>,
}

impl Drop for PostgresLease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl PostgresLease {
    /// The lease that was just taken, with what its row has.
    pub(super) fn new(
        store: &PostgresStore,
        key: &Key,
        owner: &str,
        stored: Stored,
        failure: Option<Failure>,
        ends: Instant,
    ) -> Self {
        Self {
            store: store.clone(),
            key: key.clone(),
            owner: owner.to_owned(),
            generation: stored.generation,
            is_empty: stored.record.is_none() && !stored.is_aside,
            in_flight: stored.in_flight.as_deref().map(mark),
            unread: Some(stored),
            failure,
            is_over: false,
            ends,
            renewal: tokio::spawn(renew(store.clone(), key.clone(), owner.to_owned())),
        }
    }

    /// One statement whose first three values are the key and the owner.
    async fn ask(&self, sql: &str, more: &[Bound<'_>]) -> Result<Vec<tokio_postgres::Row>, Trouble> {
        self.ask_within(self.store.budget, sql, more).await
    }

    async fn ask_within(
        &self,
        limit: Duration,
        sql: &str,
        more: &[Bound<'_>],
    ) -> Result<Vec<tokio_postgres::Row>, Trouble> {
        let (provider, profile) = (self.key.provider.as_str(), self.key.profile.as_str());
        let mut bound: Vec<Bound<'_>> =
            vec![(&provider, Type::TEXT), (&profile, Type::TEXT), (&self.owner, Type::TEXT)];
        bound.extend(more.iter().map(|(value, of)| (*value, of.clone())));
        self.store.pool.query_within(limit, sql, &bound).await
    }

    fn explain(&self, trouble: Trouble) -> StoreError {
        trouble.or_refused(&self.store.pool.place())
    }

    /// What the row has where a statement changed nothing in it.
    async fn left(&self) -> Result<Option<Stored>, StoreError> {
        self.store.read(&self.key).await.map_err(|trouble| self.explain(trouble))
    }

    fn overtaken(&self) -> StoreError {
        StoreError::Overtaken { key: self.key.clone() }
    }

    /// One attempt to store: whether it is stored, and not overtaken.
    async fn store_once(&self, text: &str, generation: i64, limit: Duration) -> Result<bool, Trouble> {
        let more: [Bound<'_>; 3] = [(&self.generation, Type::INT8), (&text, Type::TEXT), (&generation, Type::INT8)];
        if !self.ask_within(limit, PUT, &more).await?.is_empty() {
            return Ok(true);
        }
        Ok(!self.ask_within(limit, IS_STORED, &[(&text, Type::TEXT)]).await?.is_empty())
    }
}

#[async_trait]
impl Lease for PostgresLease {
    async fn get(&mut self) -> Result<Option<Record>, StoreError> {
        self.store.needs_sealing_key(&self.key)?;
        let stored = match self.unread.take() {
            Some(stored) => Some(stored),
            None => self.store.read(&self.key).await.map_err(|trouble| self.explain(trouble))?,
        };
        let Some(stored) = stored else { return Ok(None) };
        self.generation = stored.generation;
        let read = self.store.open(&self.key, &stored);
        let Err(StoreError::Damaged { why, .. }) = read else {
            return read;
        };
        let aside = self.ask(SET_ASIDE, &[]).await.map_err(|trouble| self.explain(trouble))?;
        // By an attempt whose confirmation was lost, where it is aside already.
        if aside.is_empty() && !self.left().await?.is_some_and(|left| left.record.is_none() && left.is_aside) {
            return Err(self.overtaken());
        }
        Err(StoreError::SetAside { place: self.store.aside(&self.key), why })
    }

    async fn in_flight(&mut self) -> Result<Option<InFlight>, StoreError> {
        Ok(self.in_flight.clone())
    }

    async fn reserve(&mut self, mark: Option<&InFlight>) -> Result<Reservation, StoreError> {
        // An answer that cannot be sealed cannot be stored: that is to be known before it is asked for.
        self.store.needs_sealing_key(&self.key)?;
        self.store.sealer.id().map_err(|why| StoreError::Sealed { key: self.key.clone(), why })?;
        let text = mark.and_then(|mark| serde_json::to_string(mark).ok());
        let (term, asked) = (self.store.term(), Instant::now());
        let seconds = term.as_secs_f64();
        let more: [Bound<'_>; 4] = [
            (&self.is_over, Type::BOOL),
            (&seconds, Type::FLOAT8),
            (&text, Type::TEXT),
            (&self.generation, Type::INT8),
        ];
        let rows = self.ask(RESERVE, &more).await.map_err(|trouble| self.explain(trouble))?;
        if rows.is_empty() {
            return Err(self.overtaken());
        }
        self.in_flight = mark.cloned();
        self.is_over = false;
        self.ends = asked + term;
        Ok(Reservation(()))
    }

    async fn put(&mut self, _reservation: Reservation, record: &Record) -> Result<(), StoreError> {
        let text = record.to_json(&self.key, &self.store.sealer)?;
        let generation = i64::try_from(record.generation).unwrap_or(i64::MAX);
        // A database that restarts is back in a moment. After the end of the lease somebody else may act.
        let until = self.ends.max(Instant::now() + ATTEMPT);
        // Also where this process was stopped for longer than that.
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.store_once(&text, generation, ATTEMPT).await {
                Ok(true) => break,
                Ok(false) => return Err(self.overtaken()),
                Err(trouble) if trouble.passes() && (attempts < 2 || Instant::now() + PAUSE < until) => {
                    log::debug!("{}: not stored yet: {trouble:?}", self.key);
                    sleep(PAUSE).await;
                }
                Err(trouble) => return Err(self.explain(trouble)),
            }
        }
        (self.generation, self.is_empty, self.is_over) = (generation, false, true);
        (self.in_flight, self.failure, self.unread) = (None, None, None);
        Ok(())
    }

    async fn release(&mut self, _reservation: Reservation) -> Result<(), StoreError> {
        if self.in_flight.take().is_some() {
            self.ask(RELEASE, &[]).await.map_err(|trouble| self.explain(trouble))?;
        }
        Ok(())
    }

    async fn remove(&mut self) -> Result<bool, StoreError> {
        let rows = self.ask(REMOVE, &[]).await.map_err(|trouble| self.explain(trouble))?;
        let was_stored = match rows.first() {
            Some(row) => self.store.column(row, 0)?,
            // By an attempt whose confirmation was lost, where nothing is stored any more.
            None if self.left().await?.is_none_or(|left| left.record.is_none() && !left.is_aside) => !self.is_empty,
            None => return Err(self.overtaken()),
        };
        self.is_over = true;
        Ok(was_stored)
    }

    async fn last_failure(&mut self) -> Option<Failure> {
        self.failure.clone()
    }

    async fn note(&mut self, failure: Option<&Failure>) {
        if failure.is_none() && self.failure.is_none() {
            return;
        }
        let text = failure.and_then(|failure| serde_json::to_string(failure).ok());
        match self.ask(NOTE, &[(&text, Type::TEXT), (&self.generation, Type::INT8)]).await {
            Ok(_) => self.failure = failure.cloned(),
            Err(trouble) => log::debug!("{}: cannot note the outcome: {trouble:?}", self.key),
        }
    }

    async fn end(self: Box<Self>) {
        if self.is_over {
            return;
        }
        let is_empty = self.is_empty && self.in_flight.is_none() && self.failure.is_none();
        let ended = self.ask(if is_empty { END_EMPTY } else { END }, &[]).await;
        if let Err(trouble) = ended {
            log::debug!("{}: cannot give the lease back, it ends by itself: {trouble:?}", self.key);
        }
    }
}
