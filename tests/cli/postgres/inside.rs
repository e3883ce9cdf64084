//! What a process alone does not show: asked through the library.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokman::config::postgres::PostgresSettings;
use tokman::config::{SecretSource, StoreUrl};
use tokman::model::{Key, Secret};
use tokman::store::{self, Sealer, StoreError, TokenStore};

use super::tokman;
use crate::support::postgres::{Database, shared};
use crate::support::report::figure;
use crate::support::{Rotating, Rotation};

/// The store as a process has it whose exchanges take this long at most.
fn store(database: &Database<'_>, budget: Duration) -> Box<dyn TokenStore> {
    let url = database.url().replace('@', &format!(":{}@", database.password));
    let settings = PostgresSettings::parse(&url).expect("an address");
    let sealer = Sealer::new(vec![SecretSource::Literal(Secret::new(&*database.sealing))]);
    store::open(&StoreUrl::Postgres(Box::new(settings)), Arc::new(sealer), budget).expect("a store")
}

fn key() -> Key {
    "square/default".parse().expect("a key")
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test)
}

#[test]
fn a_lease_is_renewed_while_its_holder_takes_longer_than_an_exchange() {
    let Some(cluster) = shared("a long lease on PostgreSQL") else { return };
    let database = cluster.database();
    run(async {
        let budget = Duration::from_secs(3);
        let (holder, other) = (store(&database, budget), store(&database, budget));
        let held = holder.lease(&key(), Duration::ZERO).await.expect("a lease");
        tokio::time::sleep(Duration::from_secs(9)).await;
        let refused = other.lease(&key(), Duration::ZERO).await;
        assert!(matches!(refused, Err(StoreError::Busy { .. })), "{refused:?}");
        held.end().await;
        other.lease(&key(), Duration::ZERO).await.expect("a lease").end().await;
    });
    assert_eq!(database.sql("SELECT count(*) FROM tokman.token;"), "0", "a lease alone leaves nothing behind");
}

#[test]
fn sixty_four_at_once_share_a_handful_of_connections() {
    let Some(cluster) = shared("the connections of PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let env = database.world(&server);
    assert_eq!(tokman(&env, &["status"]).code, Some(0));
    let used = run(async {
        let store: Arc<dyn TokenStore> = Arc::from(store(&database, Duration::from_secs(10)));
        let mut readers = JoinSet::new();
        for _ in 0..64 {
            let store = Arc::clone(&store);
            readers.spawn(async move { store.get(&key()).await.map(|record| record.is_some()) });
        }
        let read = readers.join_all().await;
        assert!(read.iter().all(|found| matches!(found, Ok(true))), "{read:?}");
        database.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tokman';",
        )
    });
    figure(&format!("64 readers at once in one process: {used} connections"));
    assert!(used.parse::<u32>().is_ok_and(|used| (1..=8).contains(&used)), "{used}");
}
