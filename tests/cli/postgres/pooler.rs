//! Behind a pooler that gives each transaction another connection, nothing may live in a session.

use super::{lives, storm};
use crate::support::postgres::{bring_in, shared};
use crate::support::report::figure;
use crate::support::{Rotating, Rotation};

#[test]
fn everything_works_behind_a_transaction_pooler() {
    let what = "a transaction pooler before PostgreSQL";
    let Some(cluster) = shared(what) else { return };
    let database = cluster.database();
    let Some(pooler) = database.pooler(what) else { return };
    let url = database.url_at("127.0.0.1", pooler.port);

    let server = Rotating::start(Rotation::Once);
    let mut env = server.world();
    database.serve(&mut env);
    env.set("TOKMAN_STORE", &url);
    // The first run makes the tables.
    bring_in(&env);
    for _ in 0..5 {
        lives(&env);
    }
    env.tokman(&["status"]).code(0).stdout_has("square/default");
    env.tokman(&["doctor", "--offline"]).code(0);
    env.tokman(&["remove", "-p", "square"]).code(0);

    storm(&database, &url, 16);
    let used = database.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' \
         AND pid <> pg_backend_pid();",
    );
    let (log, ours) = (cluster.log(), format!("{} LOG:  execute ", database.name));
    let named = log.lines().filter_map(|line| line.strip_prefix(&ours)).find(|rest| !rest.starts_with("<unnamed>"));
    assert_eq!(named, None, "nothing is prepared under a name");
    figure(&format!("16 processes behind a transaction pooler: {used} connections to the database"));
}

#[test]
fn a_database_that_the_pooler_does_not_know_is_refused() {
    let what = "a database that a pooler does not know";
    let Some(cluster) = shared(what) else { return };
    let database = cluster.database();
    let Some(pooler) = database.pooler(what) else { return };
    let server = Rotating::start(Rotation::Once);
    let mut env = server.world();
    database.serve(&mut env);
    env.set("TOKMAN_STORE", format!("postgres://{}@127.0.0.1:{}/other", database.name, pooler.port));
    env.tokman(&["status"]).code(8).stderr_has("refuses: no such database").stderr_has("hint: correct the address");
    env.tokman(&["doctor", "--offline"]).code(8).stdout_has("no such database").stdout_has("hint: correct the address");
}
