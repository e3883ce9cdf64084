//! Connections to the database: opened when something is asked, a handful at most, each shared by whoever has something
//! to ask. Every statement is one of its own, unnamed and with bound parameters: nothing is kept in a session, so that
//! a pooler may give each to another.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{ConfigError, PostgresHost, PostgresSettings};
use crate::store::StoreError;
use crate::store::postgres::error::{Trouble, refused, trouble, unreachable_at};
use crate::tls;

/// The most connections of a process. Statements are short, and wait for each other on one connection.
const MOST: usize = 8;

/// A value that is bound, and its type.
pub(super) type Bound<'a> = (&'a (dyn ToSql + Sync), Type);

/// What is asked.
#[derive(Clone, Copy)]
enum Words<'a> {
    /// A statement and its values.
    One(&'a str, &'a [Bound<'a>]),
    /// Statements that are one transaction.
    Several(&'a str),
}

impl Words<'_> {
    async fn ask(self, client: &Client) -> Result<Vec<Row>, tokio_postgres::Error> {
        match self {
            Self::One(sql, bound) => client.query_typed(sql, bound).await,
            Self::Several(sql) => client.batch_execute(sql).await.map(|()| Vec::new()),
        }
    }
}

/// The connections of a process.
pub(super) struct Pool {
    settings: PostgresSettings,
    /// How long a statement may take, its connection included.
    limit: Duration,
    /// Those that are open. Whoever asks holds a copy: the number of copies tells how busy one is.
    open: Mutex<Vec<Arc<Client>>>,
}

/// Without the settings' password, which is a `Secret` anyway, and without the connections.
impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.settings)
    }
}

impl Pool {
    /// No connection is opened yet.
    pub(super) fn new(settings: PostgresSettings, limit: Duration) -> Self {
        Self { settings, limit, open: Mutex::default() }
    }

    /// What messages call the database.
    pub(super) fn place(&self) -> String {
        self.settings.to_string()
    }

    /// Whether its connections are encrypted.
    pub(super) const fn is_encrypted(&self) -> bool {
        self.settings.tls
    }

    /// One statement and its rows, in one round trip.
    pub(super) async fn query(&self, sql: &str, bound: &[Bound<'_>]) -> Result<Vec<Row>, Trouble> {
        self.query_within(self.limit, sql, bound).await
    }

    /// The same within a time of its own.
    pub(super) async fn query_within(
        &self,
        limit: Duration,
        sql: &str,
        bound: &[Bound<'_>],
    ) -> Result<Vec<Row>, Trouble> {
        self.within(limit, Words::One(sql, bound)).await
    }

    /// Several statements without parameters, as one transaction.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Trouble> {
        self.within(self.limit, Words::Several(sql)).await.map(drop)
    }

    /// Asks within a time. A connection that ended while nobody used it is no reason to give up: every statement may be
    /// sent twice.
    async fn within(&self, limit: Duration, words: Words<'_>) -> Result<Vec<Row>, Trouble> {
        let mut used = None;
        let asked = timeout(limit, async {
            loop {
                let (client, is_new) = self.client(limit).await?;
                let client = used.insert(client);
                match words.ask(client).await.map_err(|error| trouble(&self.place(), &error)) {
                    Err(trouble) if trouble.is_of_connection() && !is_new => self.discard(client).await,
                    answer => return answer,
                }
            }
        });
        let Ok(answer) = asked.await else {
            // Nobody knows what became of it: what it waits for is not waited for by others.
            if let Some(client) = &used {
                self.discard(client).await;
            }
            return Err(unreachable_at(&self.place(), "no answer in time").into());
        };
        answer
    }

    async fn discard(&self, client: &Arc<Client>) {
        self.open.lock().await.retain(|open| !Arc::ptr_eq(open, client));
    }

    /// The least busy connection, or a new one where all are busy and there may be more; whether it is new.
    async fn client(&self, limit: Duration) -> Result<(Arc<Client>, bool), StoreError> {
        let mut open = self.open.lock().await;
        open.retain(|client| !client.is_closed());
        let best = open.iter().min_by_key(|client| Arc::strong_count(client)).cloned();
        // Its own place in the list, and this copy.
        if let Some(client) = best.filter(|client| Arc::strong_count(client) <= 2 || open.len() >= MOST) {
            return Ok((client, false));
        }
        let client = Arc::new(self.connect(limit).await?);
        open.push(Arc::clone(&client));
        Ok((client, true))
    }

    async fn connect(&self, limit: Duration) -> Result<Client, StoreError> {
        let settings = &self.settings;
        let mut config = Config::new();
        config.port(settings.port).user(&settings.user).dbname(&settings.database).connect_timeout(limit);
        config.application_name(&settings.application_name);
        match &settings.host {
            PostgresHost::Tcp(name) => config.host(name),
            #[cfg(unix)]
            PostgresHost::Socket(dir) => config.host_path(dir),
            #[cfg(not(unix))]
            PostgresHost::Socket(_) => return Err(refused(&self.place(), "a socket in a directory is for Unix")),
        };
        if let Some(password) = settings.password()? {
            config.password(password.expose());
        }
        if !settings.tls {
            return self.open(config.ssl_mode(SslMode::Disable), NoTls).await;
        }
        let trusted = settings.roots.as_deref().map_or_else(tls::config, tls::trusting);
        let trusted = trusted.map_err(|why| ConfigError::Secret { what: "TLS to the database".to_owned(), why })?;
        self.open(config.ssl_mode(SslMode::Require), MakeRustlsConnect::new(trusted)).await
    }

    async fn open<T>(&self, config: &Config, tls: T) -> Result<Client, StoreError>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let place = self.place();
        let (client, connection) = config.connect(tls).await.map_err(|error| match trouble(&place, &error) {
            Trouble::Store(error) => error,
            Trouble::NoTables => refused(&place, "it does not let us in"),
        })?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                log::debug!("a connection to {place} ended: {:?}", trouble(&place, &error));
            }
        });
        Ok(client)
    }
}
