//! Tokens in a PostgreSQL database: the same promises as for files, for several machines, whatever becomes of the
//! holder of a lease or of the database.

mod faults;
mod fleet;
mod inside;
mod lost;
mod network;
mod pooler;

use std::process::Child;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::light::{self, Ended};
use crate::support::postgres::{Database, shared};
use crate::support::report::figure;
use crate::support::rotating::access_token;
use crate::support::secrets::leaked;
use crate::support::{Request, Rotating, Rotation, Server, Shop, Step, TestEnv, sealing_key};

const TOKEN: [&str; 3] = ["token", "-p", "square"];
const REFRESH: [&str; 5] = ["refresh", "-p", "square", "-o", "none"];

fn tokman(env: &TestEnv, args: &[&str]) -> Ended {
    light::run(light::tokman(env, args))
}

fn start(env: &TestEnv, args: &[&str]) -> Child {
    light::tokman(env, args).spawn().expect("a program that starts")
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("a process that still runs");
}

#[track_caller]
fn ended(end: &Ended, code: i32) {
    assert_eq!(end.code, Some(code), "{end:?}");
}

/// The grant is alive, and what is stored can be refreshed.
#[track_caller]
fn lives(env: &TestEnv) {
    ended(&tokman(env, &REFRESH), 0);
}

/// As many processes as that at once find one expired token that is good once.
#[track_caller]
fn storm(database: &Database<'_>, url: &str, crowd: usize) {
    let server = Rotating::start(Rotation::Once);
    let mut env = database.world(&server);
    env.set("TOKMAN_STORE", url);
    let began = Instant::now();
    let children: Vec<Child> = (0..crowd).map(|_| start(&env, &TOKEN)).collect();
    for end in children.into_iter().map(light::wait) {
        assert!(end.code == Some(0) && end.stdout.trim_end() == access_token(2), "{end:?}");
    }
    assert_eq!(server.requests(), 1);
    figure(&format!("{crowd} processes on one PostgreSQL: 1 request, {crowd} equal tokens, {:?}", began.elapsed()));
    lives(&env);
}

#[test]
fn every_command_works_over_postgres() {
    let Some(cluster) = shared("tokens in PostgreSQL") else { return };
    let database = cluster.database();
    let mut shop = Shop::square();
    database.serve(&mut shop.env);
    let revokes = Step::expect(Request::post("/oauth2/revoke")).answer(200, json!({"success": true}));
    let obtains = || Step::expect(shop.refresh_request()).answer(200, shop.answer());
    let server = Server::start(vec![obtains(), shop.refreshes(), revokes, obtains()]);
    shop.at(&server);
    shop.env.tokman(&["status"]).code(0).stdout_is("");
    shop.run(&TOKEN).code(4);
    assert_eq!(database.sql("SELECT to_regnamespace('tokman') IS NULL;"), "t", "nothing was stored, nothing is made");

    let obtain = || shop.command(&["obtain", "--refresh-token", "-", "-o", "none"]).stdin(shop.refresh.as_str()).run();
    obtain().code(0).stderr_lacks("warning");
    shop.run(&TOKEN).code(0).stdout_is(&format!("{}\n", shop.new_access));
    shop.run(&["token", "-p", "square", "--no-refresh"]).code(0).stdout_is(&format!("{}\n", shop.new_access));
    shop.run(&REFRESH).code(0);
    let status = shop.run(&["status", "-o", "json"]);
    assert_eq!((&status.json()[0]["key"], &status.json()[0]["state"]), (&json!("square/default"), &json!("fresh")));
    assert_eq!(database.column("square/default", "generation, owner IS NULL, in_flight IS NULL"), "2|t|t");
    shop.run(&["history"]).code(0).stdout_has("refresh");
    shop.run(&["revoke", "--yes", "-o", "none"]).code(0);
    assert_eq!(database.sql("SELECT count(*) FROM tokman.token;"), "0", "no row stays behind");
    obtain().code(0);
    shop.run(&["remove"]).code(0);
    shop.run(&["remove"]).code(4);
    shop.run(&TOKEN).code(4);
    server.finish();

    let doctor = shop.env.tokman(&["doctor", "--offline"]);
    doctor.code(0).stdout_has("PostgreSQL 1").stdout_has("tables: version 1").stdout_has("leases: can be taken");
    let settings = shop.env.tokman(&["config", "show"]);
    settings.code(0).stdout_has(&format!("postgres://{0}@127.0.0.1:{1}/{0}", database.name, cluster.port));
}

#[test]
fn a_damaged_record_is_set_aside_and_never_overwritten() {
    let Some(cluster) = shared("a damaged record in PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let env = database.world(&server);
    database.sql("UPDATE tokman.token SET record = replace(record, '\"generation\": 2', '\"generation\": 9');");
    let damaged = database.column("square/default", "record");
    for _ in 0..2 {
        env.tokman(&TOKEN).code(8).stderr_has("set aside");
    }
    env.tokman(&["status"]).code(8).stdout_has("unknown");
    assert_eq!(database.column("square/default", "aside"), damaged);
    assert_eq!(server.requests(), 0);
    // A second one is set aside beside the first.
    database.sql("UPDATE tokman.token SET record = '{SECOND';");
    env.tokman(&TOKEN).code(8).stderr_has("set aside");
    let aside = database.column("square/default", "aside");
    assert!(aside.starts_with(&damaged) && aside.ends_with("\n{SECOND"), "{aside}");
    // As the hint says: into a file, mended, and back.
    let run = env.tokman(&TOKEN);
    run.code(8).stderr_has("column aside of tokman.token").stderr_has("give it to 'tokman import --replace <FILE'");
    let doctor = env.tokman(&["doctor", "--offline"]);
    doctor.code(8).stdout_has("column aside of tokman.token").stdout_has("'tokman import --replace <FILE'");
    env.command(&["import", "--replace"])
        .stdin(damaged.replace("\"generation\": 9", "\"generation\": 2"))
        .run()
        .code(0);
    env.tokman(&REFRESH).code(0);
    assert_eq!(server.requests(), 1);
    env.tokman(&["remove", "-p", "square"]).code(0);
}

#[test]
fn a_record_that_was_rolled_back_is_noticed_and_its_token_not_presented() {
    let Some(cluster) = shared("a record that was rolled back in PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let env = database.world(&server);
    let before = database.column("square/default", "record");
    env.tokman(&REFRESH).code(0);
    database.sql(&format!("UPDATE tokman.token SET record = $${before}$$;"));
    env.tokman(&["status"]).code(8).stdout_has("unknown");
    env.tokman(&["doctor", "--offline"]).code(8).stdout_has("it is of generation");
    env.tokman(&REFRESH).code(8).stderr_has("it is of generation");
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_listing_of_more_than_a_batch_is_in_order() {
    let Some(cluster) = shared("a listing of PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let env = database.world(&server);
    database.sql(
        "INSERT INTO tokman.token (provider, profile, record, generation) \
         SELECT provider, 'p' || n, replace(record, '\"profile\": \"default\"', '\"profile\": \"p' || n || '\"'), generation \
         FROM tokman.token, generate_series(1, 1200) n;",
    );
    let listed = env.tokman(&["status", "-o", "json"]).code(0).json();
    let keys: Vec<&str> =
        listed.as_array().expect("an array").iter().filter_map(|view| view["profile"].as_str()).collect();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!((keys.len(), &keys), (1201, &sorted));
}

#[test]
fn sixteen_and_sixty_four_processes_send_one_request() {
    let Some(cluster) = shared("a storm on PostgreSQL") else { return };
    for crowd in [16, 64] {
        let database = cluster.database();
        storm(&database, &database.url(), crowd);
    }
}

#[test]
fn a_listing_needs_no_sealing_key_and_a_token_needs_the_right_one() {
    let Some(cluster) = shared("sealing in PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let mut env = database.world(&server);
    env.unset("TOKMAN_STORE_KEY");
    env.tokman(&["status"]).code(0).stdout_has("square/default").stdout_has("expired");
    for args in [&TOKEN[..], &REFRESH, &["token", "-p", "square", "--no-refresh"]] {
        env.tokman(args).code(8).stderr_has("no sealing key is configured").stderr_has("tokman key new");
    }
    env.set("TOKMAN_STORE_KEY", sealing_key());
    env.tokman(&TOKEN).code(8).stderr_has("it is sealed with the key");
    assert_eq!(server.requests(), 0);
    env.set("TOKMAN_STORE_KEY", &database.sealing);
    lives(&env);
}

#[test]
fn no_secret_reaches_the_databases_log_or_a_backup() {
    let Some(cluster) = shared("the log of PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let env = database.world(&server);
    env.tokman(&["refresh", "-p", "square", "-o", "none", "-vv"]).code(0);
    let dump = database.cluster.dump(&database.name);
    assert!(dump.contains("\"sealed\"") && dump.contains("square"), "{dump}");
    let log = cluster.log();
    assert!(log.contains("UPDATE tokman.token") && log.contains("parameters: $1 = 'square'"), "it logs what is bound");
    for (what, text) in [("the backup", dump), ("the log", log)] {
        let found = leaked(text.as_bytes(), &[]);
        assert!(found.is_none(), "a secret in {what}: {}", found.unwrap_or_default());
    }
}

#[test]
fn a_refresh_takes_four_statements_and_a_token_that_is_fresh_one() {
    let Some(cluster) = shared("the statements of PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let env = database.world(&server);
    let asked = |args: &[&str]| {
        let before = cluster.statements(&database.name);
        ended(&tokman(&env, args), 0);
        cluster.statements(&database.name) - before
    };
    let (refresh, token, status) = (asked(&REFRESH), asked(&TOKEN), asked(&["status"]));
    figure(&format!("statements, one round trip each: a refresh {refresh}, a fresh token {token}, status {status}"));
    assert_eq!((refresh, token, status), (4, 1, 1));
}
