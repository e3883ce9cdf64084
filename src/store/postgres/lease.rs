//! The lease of a key: an owner in its row, until an end on the database's clock. Whoever finds that end passed takes
//! it over; the one before notices, because its own name is no longer there.

use std::time::Duration;

use async_trait::async_trait;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;

use crate::model::Key;
use crate::store::postgres::error::{Trouble, refused};
use crate::store::postgres::pool::Bound;
use crate::store::postgres::{PostgresStore, Stored, VERSION};
use crate::store::{Failure, InFlight, Lease, Record, Reservation, StoreError};

/// How often a lease is asked for while another process has it.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// How much longer than an exchange a lease lasts.
const SPARE: Duration = Duration::from_secs(5);

/// A lease that ends this soon after the wait for it is waited for.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The longest that one attempt to store an answer takes: the next may find a way.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Between two attempts to store an answer.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes the lease if nobody has it, and reads the row: one round trip.
const TAKE: &str = "\
    WITH v AS (SELECT version FROM tokman.version), \
    mine AS (\
        INSERT INTO tokman.token AS t (provider, profile, owner, lease_until) \
        SELECT $1, $2, $3, clock_timestamp() + $4 * interval '1 second' FROM v WHERE version = $5 \
        ON CONFLICT (provider, profile) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until \
        WHERE t.owner IS NULL OR t.owner = excluded.owner OR t.lease_until < clock_timestamp() \
        RETURNING record, aside IS NOT NULL AS is_aside, generation, in_flight, failure) \
    SELECT v.version, mine.record, mine.is_aside, mine.generation, mine.in_flight, mine.failure \
    FROM v LEFT JOIN mine ON true";

/// How long somebody else's lease lasts, in seconds; negative where there is none.
const LEFT: &str = "\
    SELECT coalesce(extract(epoch FROM lease_until - clock_timestamp()), -1)::float8 FROM tokman.token \
    WHERE provider = $1 AND profile = $2 AND owner IS NOT NULL";

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

const SET_ASIDE: &str = "\
    UPDATE tokman.token SET aside = record, record = NULL, changed_at = now() \
    WHERE provider = $1 AND profile = $2 AND owner = $3";

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

/// Takes the lease of a key, waiting for it at most `wait`, and a moment more where its end is that near.
pub(super) async fn wait_for(store: &PostgresStore, key: &Key, wait: Duration) -> Result<Box<dyn Lease>, StoreError> {
    let owner = new_owner(store)?;
    let started = Instant::now();
    let mut pause = POLL.0;
    loop {
        let taken = match take(store, key, &owner).await {
            Err(Trouble::NoTables) => {
                store.make_tables().await?;
                take(store, key, &owner).await
            }
            taken => taken,
        };
        if let Some(lease) = taken.map_err(|trouble| trouble.or_refused(&store.pool.place()))? {
            return Ok(Box::new(lease));
        }
        // Looking is cheaper than trying.
        while let Some(left) = left(store, key).await.map_err(|trouble| trouble.or_refused(&store.pool.place()))? {
            let waited = started.elapsed();
            if waited >= wait && (wait.is_zero() || left > LAST_WAIT || waited >= wait + LAST_WAIT) {
                return Err(StoreError::Busy { key: key.clone(), waited });
            }
            sleep(pause.min(left + POLL.0)).await;
            pause = (pause * 2).min(POLL.1);
        }
    }
}

/// A name that no other lease has.
fn new_owner(store: &PostgresStore) -> Result<String, StoreError> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| refused(&store.pool.place(), "the system has no random bytes to give"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// The lease, if nobody has it.
async fn take(store: &PostgresStore, key: &Key, owner: &str) -> Result<Option<PostgresLease>, Trouble> {
    let (term, asked) = (store.budget + SPARE, Instant::now());
    let seconds = term.as_secs_f64();
    let (provider, profile) = (key.provider.as_str(), key.profile.as_str());
    let bound: [Bound<'_>; 5] = [
        (&provider, Type::TEXT),
        (&profile, Type::TEXT),
        (&owner, Type::TEXT),
        (&seconds, Type::FLOAT8),
        (&VERSION, Type::INT4),
    ];
    let rows = store.pool.query(TAKE, &bound).await?;
    let row = store.versioned(rows.first())?;
    let Some(generation) = store.column::<Option<i64>>(row, 3)? else { return Ok(None) };
    let text: Option<String> = store.column(row, 4)?;
    let failure: Option<String> = store.column(row, 5)?;
    let stored =
        Stored { record: store.column(row, 1)?, is_aside: store.column(row, 2)?, generation, in_flight: text.clone() };
    Ok(Some(PostgresLease {
        store: store.clone(),
        key: key.clone(),
        owner: owner.to_owned(),
        generation,
        is_empty: stored.record.is_none() && !stored.is_aside,
        unread: Some(stored),
        in_flight: text.as_deref().map(mark),
        failure: failure.and_then(|text| serde_json::from_str(&text).ok()),
        is_over: false,
        ends: asked + term,
        renewal: tokio::spawn(renew(store.clone(), key.clone(), owner.to_owned())),
    }))
}

/// A mark that cannot be read is no less a mark.
fn mark(text: &str) -> InFlight {
    serde_json::from_str(text).unwrap_or(InFlight {
        since: jiff::Timestamp::UNIX_EPOCH,
        fingerprint: String::new(),
        pid: 0,
    })
}

/// How long somebody else has the lease; `None` where it can be taken.
async fn left(store: &PostgresStore, key: &Key) -> Result<Option<Duration>, Trouble> {
    let (provider, profile) = (key.provider.as_str(), key.profile.as_str());
    let rows = store.pool.query(LEFT, &[(&provider, Type::TEXT), (&profile, Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let left: f64 = store.column(row, 0)?;
    Ok(Duration::try_from_secs_f64(left).ok())
}

/// Renews the lease of somebody who takes longer than an exchange. Aborted when the lease is dropped.
async fn renew(store: PostgresStore, key: Key, owner: String) {
    let seconds = (store.budget + SPARE).as_secs_f64();
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
struct PostgresLease {
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
        let Err(StoreError::Damaged { path, why }) = read else {
            return read;
        };
        self.ask(SET_ASIDE, &[]).await.map_err(|trouble| self.explain(trouble))?;
        Err(StoreError::SetAside { path, why })
    }

    async fn in_flight(&mut self) -> Result<Option<InFlight>, StoreError> {
        Ok(self.in_flight.clone())
    }

    async fn reserve(&mut self, mark: Option<&InFlight>) -> Result<Reservation, StoreError> {
        // An answer that cannot be sealed cannot be stored: that is to be known before it is asked for.
        self.store.needs_sealing_key(&self.key)?;
        self.store.sealer.id().map_err(|why| StoreError::Sealed { key: self.key.clone(), why })?;
        let text = mark.and_then(|mark| serde_json::to_string(mark).ok());
        let (term, asked) = (self.store.budget + SPARE, Instant::now());
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
        let Some(row) = rows.first() else { return Err(self.overtaken()) };
        self.is_over = true;
        self.store.column(row, 0)
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
