//! Tokens in a PostgreSQL database, for several machines: a row for each key, with the record as the file store has it,
//! always sealed. A lease is an owner and an end in that row, on the database's clock; whoever stores names the owner
//! and the generation that they found. Nothing is kept in a session.

mod error;
mod lease;
mod pool;
mod wait;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use crate::config::PostgresSettings;
use crate::model::{Key, ProviderName};
use crate::store::postgres::error::{Trouble, lacks, refused};
use crate::store::postgres::pool::Pool;
use crate::store::{
    Facts, Lack, Lease, Listed, Listing, Place, Record, SealError, Sealer, StoreError, Summary, TokenStore,
};

/// The version of the tables that this tokman knows.
const VERSION: i32 = 1;

/// Makes the tables.
const SCHEMA: &str = include_str!("postgres.sql");

/// How many records of a listing are held at a time.
const BATCH: i64 = 500;

/// How much longer than an exchange a lease lasts.
const SPARE: Duration = Duration::from_secs(5);

/// What is read of a key.
const READ: &str = "\
    SELECT v.version, t.record, t.aside IS NOT NULL, t.generation, t.in_flight \
    FROM tokman.version v LEFT JOIN tokman.token t ON t.provider = $1 AND t.profile = $2";

/// The store in a database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: Arc<Pool>,
    sealer: Arc<Sealer>,
    /// How long an exchange takes at most.
    budget: Duration,
}

/// What a row has of a key.
#[derive(Debug)]
struct Stored {
    record: Option<String>,
    is_aside: bool,
    generation: i64,
    in_flight: Option<String>,
}

impl PostgresStore {
    /// The store of a database. Nobody connects before something is asked; no statement takes longer than an exchange.
    #[must_use]
    pub fn new(settings: PostgresSettings, sealer: Arc<Sealer>, budget: Duration) -> Self {
        Self { pool: Arc::new(Pool::new(settings, budget)), sealer, budget }
    }

    /// How long a lease lasts.
    fn term(&self) -> Duration {
        self.budget + SPARE
    }

    /// What messages call the row of a key.
    fn path(&self, key: &Key) -> PathBuf {
        format!("{key} in {}", self.pool.place()).into()
    }

    /// Where the damaged record of a key is put.
    fn aside(&self, key: &Key) -> Place {
        Place::Row { key: key.clone(), database: self.pool.place() }
    }

    /// Nothing is stored that is not sealed, so nothing is read that cannot be.
    fn needs_sealing_key(&self, key: &Key) -> Result<(), StoreError> {
        if self.sealer.seals() {
            return Ok(());
        }
        Err(StoreError::Sealed { key: key.clone(), why: SealError::Needed })
    }

    /// The row of a key; `None` where there is none.
    async fn read(&self, key: &Key) -> Result<Option<Stored>, Trouble> {
        let bound = [key.provider.as_str(), key.profile.as_str()];
        let rows = self.pool.query(READ, &[(&bound[0], Type::TEXT), (&bound[1], Type::TEXT)]).await?;
        let row = self.versioned(rows.first())?;
        let Some(generation) = self.column::<Option<i64>>(row, 3)? else { return Ok(None) };
        Ok(Some(Stored {
            record: self.column(row, 1)?,
            is_aside: self.column(row, 2)?,
            generation,
            in_flight: self.column(row, 4)?,
        }))
    }

    /// A row whose first column is the version of the tables, once it is the one that is known.
    fn versioned<'a>(&self, row: Option<&'a Row>) -> Result<&'a Row, StoreError> {
        let place = || self.pool.place();
        let row = row.ok_or_else(|| lacks(Lack::Version, &place(), "tokman's tables name no version"))?;
        match self.column::<i32>(row, 0)? {
            VERSION => Ok(row),
            version if version > VERSION => Err(StoreError::NewerTables { place: place(), version }),
            _ => Err(lacks(Lack::Version, &place(), "tokman's tables are of no known version")),
        }
    }

    fn column<'a, T: FromSql<'a>>(&self, row: &'a Row, column: usize) -> Result<T, StoreError> {
        row.try_get(column)
            .map_err(|error| refused(&self.pool.place(), &format!("tokman's tables are strange: {error}")))
    }

    /// Makes the tables where they are not there.
    async fn make_tables(&self) -> Result<(), StoreError> {
        log::info!("making tokman's tables in {}", self.pool.place());
        self.pool.run(SCHEMA).await.map_err(|trouble| trouble.or_refused(&self.pool.place()))
    }
}

#[async_trait]
impl TokenStore for PostgresStore {
    fn is_local(&self) -> bool {
        false
    }

    async fn list(&self, provider: Option<&ProviderName>) -> Result<Box<dyn Listing>, StoreError> {
        Ok(Box::new(PostgresListing {
            store: self.clone(),
            provider: provider.cloned(),
            after: Some((String::new(), String::new())),
            rows: VecDeque::new(),
        }))
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.needs_sealing_key(key)?;
        match self.read(key).await {
            Ok(Some(stored)) => self.open(key, &stored),
            Ok(None) | Err(Trouble::NoTables) => Ok(None),
            Err(Trouble::Store(error)) => Err(error),
        }
    }

    async fn lease(&self, key: &Key, wait: Duration) -> Result<Box<dyn Lease>, StoreError> {
        wait::wait_for(self, key, wait).await
    }

    async fn facts(&self) -> Result<Facts, StoreError> {
        const SERVER: &str = "SELECT current_setting('server_version'), to_regclass('tokman.version') IS NOT NULL";
        let place = self.pool.place();
        let rows = self.pool.query(SERVER, &[]).await.map_err(|trouble| trouble.or_refused(&place))?;
        let row = rows.first().ok_or_else(|| refused(&place, "it says nothing of itself"))?;
        let (server, there): (String, bool) = (self.column(row, 0)?, self.column(row, 1)?);
        let tls = if self.pool.is_encrypted() {
            "encrypted, the server's certificate and name are checked"
        } else {
            "not encrypted: it does not leave this machine"
        };
        let tables = if there {
            let rows = self.pool.query("SELECT version FROM tokman.version", &[]).await;
            self.versioned(rows.map_err(|trouble| trouble.or_refused(&place))?.first())?;
            format!("version {VERSION}")
        } else {
            "not there yet; they are made when something is stored".to_owned()
        };
        let database = format!("PostgreSQL {server} at {place}");
        let said = vec![("database", database), ("connection", tls.to_owned()), ("tables", tables)];
        Ok(Facts { said, is_in_use: there })
    }
}

impl PostgresStore {
    /// The record in a row.
    fn open(&self, key: &Key, stored: &Stored) -> Result<Option<Record>, StoreError> {
        let Some(text) = &stored.record else {
            if stored.is_aside {
                return Err(StoreError::SetAside { place: self.aside(key), why: "in an earlier run".to_owned() });
            }
            return Ok(None);
        };
        let mut record = Record::parse(text.as_bytes(), key, &self.path(key), None, &self.sealer)?;
        self.same_generation(key, record.generation, stored.generation)?;
        record.in_flight = stored.in_flight.is_some();
        Ok(Some(record))
    }

    /// A record of another generation than its row's was rolled back.
    fn same_generation(&self, key: &Key, record: u64, row: i64) -> Result<(), StoreError> {
        if i64::try_from(record).ok() == Some(row) {
            return Ok(());
        }
        let why = format!("it is of generation {record}, its row of {row}");
        Err(StoreError::Damaged { path: self.path(key), why })
    }

    /// What a row says without the sealing key.
    fn glance(&self, key: &Key, record: Option<&str>, generation: i64) -> Result<Summary, StoreError> {
        match record {
            Some(text) => {
                let summary = Record::glance(text.as_bytes(), key, &self.path(key), None)?;
                self.same_generation(key, summary.generation, generation)?;
                Ok(summary)
            }
            None => Err(StoreError::SetAside { place: self.aside(key), why: "in an earlier run".to_owned() }),
        }
    }
}

/// Walks the keys, holding a batch at a time.
struct PostgresListing {
    store: PostgresStore,
    provider: Option<ProviderName>,
    /// The last key that was read; absent once there are no more.
    after: Option<(String, String)>,
    rows: VecDeque<Listed>,
}

impl PostgresListing {
    async fn fetch(&mut self, (provider, profile): (String, String)) -> Result<(), StoreError> {
        const BATCHES: &str = "\
            SELECT v.version, t.provider, t.profile, t.record, t.in_flight IS NOT NULL, t.generation \
            FROM tokman.version v LEFT JOIN LATERAL (\
                SELECT * FROM tokman.token \
                WHERE (provider, profile) > ($1, $2) AND ($3::text IS NULL OR provider = $3) \
                    AND (record IS NOT NULL OR aside IS NOT NULL) \
                ORDER BY provider, profile LIMIT $4) t ON true \
            ORDER BY t.provider, t.profile";
        let only = self.provider.as_ref().map(ProviderName::as_str);
        let bound: [pool::Bound<'_>; 4] =
            [(&provider, Type::TEXT), (&profile, Type::TEXT), (&only, Type::TEXT), (&BATCH, Type::INT8)];
        let rows = match self.store.pool.query(BATCHES, &bound).await {
            Ok(rows) => rows,
            Err(Trouble::NoTables) => return Ok(()),
            Err(Trouble::Store(error)) => return Err(error),
        };
        self.store.versioned(rows.first())?;
        for row in &rows {
            let store = &self.store;
            let (Some(provider), Some(profile)) =
                (store.column::<Option<String>>(row, 1)?, store.column::<Option<String>>(row, 2)?)
            else {
                return Ok(());
            };
            if let (Ok(named), Ok(profile)) = (provider.parse(), profile.parse()) {
                let key = Key { provider: named, profile };
                let summary = store.glance(&key, store.column(row, 3)?, store.column(row, 5)?);
                self.rows.push_back(Listed { key, summary, in_doubt: store.column(row, 4)? });
            }
            self.after = Some((provider, profile));
        }
        // A batch that is not full is the last.
        if rows.len() < usize::try_from(BATCH).unwrap_or_default() {
            self.after = None;
        }
        Ok(())
    }
}

#[async_trait]
impl Listing for PostgresListing {
    async fn next(&mut self) -> Result<Option<Listed>, StoreError> {
        while self.rows.is_empty() {
            let Some(after) = self.after.take() else { return Ok(None) };
            self.fetch(after).await?;
        }
        Ok(self.rows.pop_front())
    }
}
