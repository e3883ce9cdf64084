//! A holder that dies or sleeps, a database that goes away or refuses: no grant is lost, and nothing is sent that could
//! not be stored.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{REFRESH, TOKEN, ended, lives, send, start, tokman};
use crate::support::light::{self, until};
use crate::support::postgres::{Cluster, Database, bring_back, own, shared};
use crate::support::report::figure;
use crate::support::rotating::{access_token, refresh_token};
use crate::support::{Gate, Phase, Rotating, Rotation, TestEnv, canary};

/// So that a lease lasts seven seconds.
const SHORT: [&str; 5] = ["token", "-p", "square", "--timeout", "2s"];

/// So that an answer may be held back for some seconds before it is asked for again.
const PATIENT: [&str; 5] = ["token", "-p", "square", "--timeout", "8s"];

const PATIENCE: Duration = Duration::from_secs(20);

/// A place between the lease and the request: the secret is asked for there, and comes when the test says so.
struct Between {
    reached: PathBuf,
    go: PathBuf,
}

impl Between {
    fn of(env: &TestEnv) -> Self {
        let (reached, go) = (env.work().join("reached"), env.work().join("go"));
        let script =
            format!("touch {}; while [ ! -e {} ]; do sleep 0.02; done; echo x", reached.display(), go.display());
        env.write_config(&format!(
            "[provider.square]\nclient_secret = {{ command = [\"sh\", \"-c\", \"{script}\"] }}\n"
        ));
        Self { reached, go }
    }

    fn wait(&self) {
        until("the secret is asked for", PATIENCE, || self.reached.exists());
    }

    fn go(&self, env: &TestEnv) {
        env.write(&self.go, "");
    }
}

/// An endpoint that holds the answer to its first request until the gate opens.
fn holding_the_first(rotation: Rotation, gate: &Gate) -> Rotating {
    let (gate, first) = (gate.clone(), AtomicBool::new(true));
    Rotating::with_hook(rotation, move |phase| {
        if phase == Phase::Committed && first.swap(false, Ordering::SeqCst) {
            gate.wait(Duration::from_secs(30));
        }
    })
}

/// Kills a holder at a moment of its exchange; how long the next one waited.
fn killed_at(database: &Database<'_>, phase: Phase) -> Duration {
    let holder = Arc::new(AtomicU32::new(0));
    let (victim, first) = (Arc::clone(&holder), AtomicBool::new(true));
    let server = Rotating::with_hook(Rotation::Grace, move |now| {
        if now == phase && first.load(Ordering::SeqCst) {
            first.store(false, Ordering::SeqCst);
            until("the holder is known", PATIENCE, || victim.load(Ordering::SeqCst) != 0);
            let id = i32::try_from(victim.load(Ordering::SeqCst)).ok().and_then(Pid::from_raw);
            assert!(id.is_some_and(|id| kill_process(id, Signal::KILL).is_ok()));
        }
    });
    let env = database.world(&server);
    let child = start(&env, &SHORT);
    holder.store(child.id(), Ordering::SeqCst);
    let end = light::wait(child);
    // After the answer it may have been quicker.
    assert!(end.signal == Some(9) || phase == Phase::Answered, "{phase:?}: {end:?}");
    let began = Instant::now();
    let next = tokman(&env, &SHORT);
    assert!(next.code == Some(0) && next.stdout.trim_end() == access_token(2), "{phase:?}: {next:?}");
    assert!(server.requests() <= 2 && server.commits() == 1, "{phase:?}: {} requests", server.requests());
    lives(&env);
    began.elapsed()
}

#[test]
fn a_killed_holder_is_taken_over_within_the_lease_and_loses_nothing() {
    let Some(cluster) = shared("a killed holder on PostgreSQL") else { return };
    let phases = [Phase::Connected, Phase::Committed, Phase::Halfway, Phase::Answered];
    let waited = thread::scope(|scope| {
        let before = scope.spawn(|| {
            let database = cluster.database();
            let server = Rotating::start(Rotation::Once);
            let env = database.world(&server);
            let between = Between::of(&env);
            let holder = start(&env, &SHORT);
            between.wait();
            send(&holder, Signal::KILL);
            between.go(&env);
            light::wait(holder);
            ended(&tokman(&env, &SHORT), 0);
            assert_eq!(server.requests(), 1, "only the one that took over asked");
            lives(&env);
        });
        let runs: Vec<_> = phases.iter().map(|phase| scope.spawn(|| killed_at(&cluster.database(), *phase))).collect();
        before.join().expect("a takeover");
        runs.into_iter().filter_map(|run| run.join().expect("a takeover").into()).max()
    });
    let waited = waited.unwrap_or_default().as_secs_f64();
    figure(&format!(
        "a holder killed at 5 moments, leases of 7 s: taken over after {waited:.1} s at most, 0 grants lost"
    ));
}

#[test]
fn a_holder_that_slept_past_its_lease_before_the_request_sends_nothing() {
    let Some(cluster) = shared("a sleeping holder on PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let env = database.world(&server);
    let between = Between::of(&env);
    let holder = start(&env, &SHORT);
    between.wait();
    send(&holder, Signal::STOP);
    between.go(&env);
    let next = tokman(&env, &SHORT);
    assert!(next.code == Some(0) && next.stdout.trim_end() == access_token(2), "{next:?}");
    send(&holder, Signal::CONT);
    let end = light::wait(holder);
    assert!(end.code == Some(0) && end.stdout.trim_end() == access_token(2), "{end:?}");
    assert_eq!(server.requests(), 1);
    lives(&env);
}

#[test]
fn a_holder_that_slept_past_its_lease_with_the_answer_in_hand_loses_nothing() {
    let Some(cluster) = shared("a sleeping holder on PostgreSQL") else { return };
    thread::scope(|scope| {
        for (rotation, other) in [(Rotation::Grace, 0), (Rotation::Refused, 5)] {
            scope.spawn(move || asleep_with_the_answer(&cluster.database(), rotation, other));
        }
    });
}

/// The holder's answer waits for a row that is locked, and its connection ends while it sleeps.
fn asleep_with_the_answer(database: &Database<'_>, rotation: Rotation, other: i32) {
    let gate = Gate::default();
    let server = holding_the_first(rotation, &gate);
    let env = database.world(&server);
    let holder = start(&env, &PATIENT);
    server.wait_for_requests(1);
    let mut locker = database.hold_rows();
    gate.open();
    let blocked = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("the answer waits", PATIENCE, || database.sql(&format!("SELECT count(*) {blocked};")) == "1");
    send(&holder, Signal::STOP);
    database.sql(&format!("SELECT pg_terminate_backend(pid) {blocked};"));
    locker.release();
    let next = tokman(&env, &PATIENT);
    assert_eq!(next.code, Some(other), "{rotation:?}: {next:?}");
    send(&holder, Signal::CONT);
    let end = light::wait(holder);
    assert!(end.code == Some(0) && end.stdout.trim_end() == access_token(2), "{rotation:?}: {end:?}");
    assert!(end.stderr.contains("another process took over"), "{end:?}");
    assert_eq!((server.requests(), server.commits()), (2, 1), "one request and one replay");
    lives(&env);
}

#[test]
fn a_database_that_goes_away_loses_nothing() {
    let Some(cluster) = own("a PostgreSQL that goes away") else { return };
    unreachable_before(&cluster);
    gone_between_lease_and_request(&cluster);
    gone_while_the_answer_is_awaited(&cluster);
    back_in_time(&cluster);
}

fn unreachable_before(cluster: &Cluster) {
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let env = database.world(&server);
    cluster.stop();
    for args in [&TOKEN[..], &REFRESH, &["status"], &["remove", "-p", "square"]] {
        let end = tokman(&env, args);
        ended(&end, 7);
        assert!(end.stderr.contains("cannot reach postgres://"), "{end:?}");
    }
    ended(&tokman(&env, &["doctor", "--offline"]), 7);
    assert_eq!(server.requests(), 0);
    cluster.run();
    lives(&env);
}

fn gone_between_lease_and_request(cluster: &Cluster) {
    for is_back in [false, true] {
        let database = cluster.database();
        let server = Rotating::start(Rotation::Once);
        let env = database.world(&server);
        let between = Between::of(&env);
        let holder = start(&env, &SHORT);
        between.wait();
        cluster.stop();
        if is_back {
            cluster.run();
        }
        between.go(&env);
        let end = light::wait(holder);
        if is_back {
            ended(&end, 0);
        } else {
            ended(&end, 7);
            assert_eq!(server.requests(), 0, "what could not be stored is not asked for");
            cluster.run();
        }
        lives(&env);
    }
}

fn gone_while_the_answer_is_awaited(cluster: &Cluster) {
    let gate = Gate::default();
    let database = cluster.database();
    let server = holding_the_first(Rotation::Once, &gate);
    let env = database.world(&server);
    let holder = start(&env, &PATIENT);
    server.wait_for_requests(1);
    cluster.stop();
    gate.open();
    let end = light::wait(holder);
    ended(&end, 10);
    assert!(end.stderr.contains("tokman import --rescue"), "{end:?}");
    cluster.run();
    ended(&bring_back(&env), 0);
    lives(&env);
}

/// The database restarts while the answer is on its way, and comes back after it.
fn back_in_time(cluster: &Cluster) {
    for late in [false, true] {
        let gate = Gate::default();
        let database = cluster.database();
        let server = holding_the_first(Rotation::Once, &gate);
        let env = database.world(&server);
        let holder = start(&env, &PATIENT);
        server.wait_for_requests(1);
        cluster.stop();
        if late {
            gate.open();
            thread::sleep(Duration::from_secs(1));
        }
        cluster.run();
        gate.open();
        let end = light::wait(holder);
        assert!(end.code == Some(0) && end.stdout.trim_end() == access_token(2), "{end:?}");
        lives(&env);
    }
}

#[test]
fn an_answer_whose_storing_is_not_confirmed_is_known_to_be_stored() {
    let Some(cluster) = shared("a lost confirmation of PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let env = database.world(&server);
    // The statement does its work and then waits for so long that nobody hears of it.
    database.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(6); RETURN NULL; END $$;\n\
         CREATE TRIGGER slow AFTER UPDATE OF record ON tokman.token FOR EACH ROW EXECUTE FUNCTION slow();",
    );
    let end = tokman(&env, &TOKEN);
    assert!(end.code == Some(0) && end.stdout.trim_end() == access_token(2), "{end:?}");
    assert_eq!((server.requests(), end.stderr.as_str()), (1, ""));
    database.sql("DROP TRIGGER slow ON tokman.token;");
    lives(&env);
}

#[test]
fn a_database_that_refuses_is_told_of_before_anything_is_sent() {
    let Some(cluster) = shared("a PostgreSQL that refuses") else { return };
    for (what, undo, says, hint) in [
        (
            "ALTER DATABASE :db SET default_transaction_read_only = on;",
            "SET default_transaction_read_only = off; ALTER DATABASE :db RESET default_transaction_read_only;",
            "read-only transaction",
            "hint: give the address of the primary",
        ),
        (
            "UPDATE tokman.version SET version = 2;",
            "UPDATE tokman.version SET version = 1;",
            "a newer tokman",
            "hint: use the newer tokman",
        ),
        (
            "UPDATE tokman.version SET version = 0;",
            "UPDATE tokman.version SET version = 1;",
            "of no known version",
            "hint: tokman.version has one row",
        ),
        (
            "REVOKE ALL ON ALL TABLES IN SCHEMA tokman FROM :db;",
            "GRANT ALL ON ALL TABLES IN SCHEMA tokman TO :db;",
            "permission denied",
            "hint: the role needs SELECT, INSERT",
        ),
        ("ALTER ROLE :db NOLOGIN;", "ALTER ROLE :db LOGIN;", "not permitted to log in", "hint: let the role in"),
        (
            "DELETE FROM tokman.version;",
            "INSERT INTO tokman.version VALUES (1);",
            "no version",
            "hint: tokman.version has one row",
        ),
    ] {
        let database = cluster.database();
        let server = Rotating::start(Rotation::Once);
        let env = database.world(&server);
        database.sql(&what.replace(":db", &database.name));
        for args in [&TOKEN[..], &REFRESH] {
            let run = env.tokman(args);
            run.code(8).stderr_has(says).stderr_has(hint);
        }
        env.tokman(&["doctor", "--offline"]).code(8).stdout_has("config directory").stdout_has(says).stdout_has(hint);
        assert_eq!(server.requests(), 0, "{what}");
        database.sql(&undo.replace(":db", &database.name));
        lives(&env);
    }
}

#[test]
fn doctor_tells_all_it_finds_also_where_the_database_does_not_let_it_look() {
    let Some(cluster) = shared("a doctor whom PostgreSQL refuses") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let env = database.world(&server);
    database.sql(&format!(
        "REVOKE ALL ON tokman.token FROM {0}; ALTER ROLE {0} SET statement_timeout = '1s';",
        database.name
    ));
    let run = env.tokman(&["doctor", "--offline"]);
    run.code(8).stdout_has("tables: version 1").stdout_has("leases: ").stdout_has("problem  stored tokens: ");
    run.stdout_has("permission denied").stdout_has("hint: the role needs SELECT").stderr_is("");
    database.sql(&format!("GRANT ALL ON tokman.token TO {};", database.name));
    let mut held = database.hold_table();
    let run = env.tokman(&["doctor", "--offline"]);
    run.code(7).stdout_has("tables: version 1").stdout_has("problem  leases: ").stdout_has("problem  stored tokens: ");
    run.stdout_has(" cancelled what was asked: ").stdout_has("(57014)").stdout_has("pg_stat_activity").stderr_is("");
    for args in [&TOKEN[..], &REFRESH, &["status"]] {
        let run = env.tokman(args);
        run.code(7)
            .stderr_has("cancelled what was asked")
            .stderr_lacks("cannot reach")
            .stderr_has("hint: see who holds");
    }
    held.release();
    database.sql(&format!("ALTER ROLE {} RESET statement_timeout;", database.name));
    lives(&env);
}

#[test]
fn a_role_needs_no_right_to_make_schemas_where_there_is_one() {
    let Some(cluster) = shared("a PostgreSQL with few rights") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let mut env = server.world();
    database.serve(&mut env);
    database.sql(&format!("REVOKE CREATE ON DATABASE {0} FROM {0};", database.name));
    let file = env.token_path("square/default").to_string_lossy().into_owned();
    let import = ["import", "-p", "square", "--rescue", &file];
    env.tokman(&import).code(8).stderr_has("permission denied for database");
    database.sql(&format!("CREATE SCHEMA tokman AUTHORIZATION {};", database.name));
    env.tokman(&import).code(0);
    lives(&env);
}

#[test]
fn many_first_runs_make_the_tables_once() {
    let Some(cluster) = shared("the first runs on PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let mut env = server.world();
    database.serve(&mut env);
    env.tokman(&["doctor", "--offline"]).code(0).stdout_has("tables: not there yet");
    // A refresh token in the environment seeds an empty store.
    std::fs::remove_file(env.token_path("square/default")).expect("a record in a file");
    env.set("TOKMAN_SQUARE_REFRESH_TOKEN", refresh_token(1));
    env.set("TOKMAN_SQUARE_CLIENT_SECRET", canary("client"));
    let children: Vec<_> = (0..8).map(|_| start(&env, &TOKEN)).collect();
    for end in children.into_iter().map(light::wait) {
        assert!(end.code == Some(0) && end.stdout.trim_end() == access_token(2), "{end:?}");
    }
    assert_eq!(server.requests(), 1);
    assert_eq!(database.sql("SELECT version FROM tokman.version;"), "1");
}

#[test]
fn the_password_comes_from_places_that_others_cannot_read() {
    let Some(cluster) = shared("the passwords of PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let mut env = database.world(&server);
    env.unset("PGPASSWORD");
    env.tokman(&["status"]).code(8).stderr_has("password missing").stderr_has("PGPASSWORD, or in ~/.pgpass");
    env.tokman(&["doctor", "--offline"]).code(8).stdout_has("hint: give the password in PGPASSWORD, or in ~/.pgpass");
    let line = format!("127.0.0.1:{}:*:{}:{}\n", cluster.port, database.name, database.password);
    env.write("home/.pgpass", &line);
    env.tokman(&["status"]).code(0).stdout_has("square/default");
    env.set_mode(env.home().join(".pgpass"), 0o644);
    env.tokman(&["status"]).code(3).stderr_has("chmod 600");
    env.set_mode(env.home().join(".pgpass"), 0o600);
    assert_eq!(std::fs::metadata(env.home().join(".pgpass")).expect("a file").permissions().mode() & 0o777, 0o600);
    env.write("home/elsewhere", &line);
    env.write("home/.pgpass", "*:*:*:*:wrong\n");
    env.tokman(&["status"]).code(8).stderr_has("password authentication failed");
    env.set("PGPASSFILE", env.home().join("elsewhere"));
    env.tokman(&["status"]).code(0);
    // In the address, from the environment and from the config file; never from the command line.
    let url = database.url().replace('@', &format!(":{}@", database.password));
    env.unset("PGPASSFILE");
    env.set("TOKMAN_STORE", &url);
    env.tokman(&["status"]).code(0);
    env.tokman(&["config", "show"]).code(0).stdout_has(&database.url());
    env.tokman(&["doctor", "--offline"]).code(0);
    env.unset("TOKMAN_STORE");
    env.write_config(&format!("[store]\nurl = \"{url}\"\n"));
    env.tokman(&["status"]).code(0);
    env.set_mode(env.config_dir().join("config.toml"), 0o644);
    env.tokman(&["status"]).code(3).stderr_has("chmod 600");
    env.set_mode(env.config_dir().join("config.toml"), 0o600);
    let refused = env.command(&["status", "--store", &url]).may_pass(&[&database.password]).run();
    refused.code(2).stderr_has("readable by everyone");
}

#[test]
fn a_connection_that_others_could_listen_to_is_refused_before_it_is_made() {
    let env = TestEnv::new();
    for mode in ["disable", "prefer", "require"] {
        let url = format!("postgres://u@db.example/tokens?sslmode={mode}");
        let run = env.command(&["status"]).var("TOKMAN_STORE", &url).run();
        run.code(3).stderr_has("only verify-full is taken for a host that is not this machine");
        env.tokman(&["status", "--store", &url]).code(3);
    }
}

#[test]
fn tls_is_checked_against_the_authority_and_the_name() {
    let Some(cluster) = shared("TLS to PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let mut env = database.world(&server);
    env.write("home/ca.pem", &cluster.authority.pem);
    let ca = env.home().join("ca.pem");
    let full = |host: &str| format!("{}?sslmode=verify-full", database.url_at(host, cluster.port));
    env.set("TOKMAN_STORE", full("localhost"));
    env.tokman(&["status"]).code(8).stderr_has("UnknownIssuer").stderr_has("sslrootcert=").stderr_has("PGSSLROOTCERT");
    env.set("PGSSLROOTCERT", &ca);
    env.tokman(&["status"]).code(0).stdout_has("square/default");
    env.tokman(&["doctor", "--offline"]).code(0).stdout_has("certificate and name are checked");
    env.set("TOKMAN_STORE", full("127.0.0.1"));
    env.tokman(&["status"]).code(8).stderr_has("not valid for name").stderr_has("by a name that is in its certificate");
    env.unset("PGSSLROOTCERT");
    env.set("TOKMAN_STORE", format!("{}&sslrootcert={}", full("localhost"), ca.display()));
    env.tokman(&["status"]).code(0);
    lives(&env);
    env.set("TOKMAN_STORE", format!("{}&sslrootcert=/nowhere", full("localhost")));
    env.tokman(&["status"]).code(3).stderr_has("/nowhere");
}
