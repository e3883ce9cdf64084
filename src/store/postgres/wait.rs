//! The wait for a lease: taken at once where nobody has it, else looked at now and then until its holder gives it back or
//! its end has passed.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;

use crate::model::Key;
use crate::store::postgres::error::{Trouble, refused};
use crate::store::postgres::lease::PostgresLease;
use crate::store::postgres::pool::Bound;
use crate::store::postgres::{PostgresStore, Stored, VERSION};
use crate::store::{Lease, StoreError};

/// How often a lease is asked for while another process has it.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// A lease that ends this soon after the wait for it is waited for.
const LAST_WAIT: Duration = Duration::from_secs(5);

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
    let (term, asked) = (store.term(), Instant::now());
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
    let failure: Option<String> = store.column(row, 5)?;
    let stored = Stored {
        record: store.column(row, 1)?,
        is_aside: store.column(row, 2)?,
        generation,
        in_flight: store.column(row, 4)?,
    };
    let failure = failure.and_then(|text| serde_json::from_str(&text).ok());
    Ok(Some(PostgresLease::new(store, key, owner, stored, failure, asked + term)))
}

/// How long somebody else has the lease; `None` where it can be taken.
async fn left(store: &PostgresStore, key: &Key) -> Result<Option<Duration>, Trouble> {
    let (provider, profile) = (key.provider.as_str(), key.profile.as_str());
    let rows = store.pool.query(LEFT, &[(&provider, Type::TEXT), (&profile, Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let left: f64 = store.column(row, 0)?;
    Ok(Duration::try_from_secs_f64(left).ok())
}
