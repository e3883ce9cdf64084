//! Machines that share the work of `refresh --all`: no key is refreshed twice, and none is left out.

use std::collections::HashMap;
use std::fs::File;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bulk::{Grants, NDJSON, know, many, single_use};
use crate::support::light::{self, Ended};
use crate::support::postgres::{Database, own, shared};
use crate::support::report::figure;
use crate::support::{Server, Stored, TestEnv};

/// How many keys there are.
const KEYS: usize = 120;

/// A database with keys that are due, at a provider that takes each refresh token once.
pub struct Fleet {
    pub grants: Arc<Mutex<Grants>>,
    pub server: Server,
    stored: HashMap<String, Stored>,
}

impl Fleet {
    /// At a provider that takes a moment, and is asked once for each key.
    pub fn new(keys: usize) -> Self {
        let grants = Arc::default();
        let server = single_use(&grants, false, Duration::from_millis(40), None).exactly(keys);
        let (_, stored) = many(&server.url(), keys);
        know(&grants, &stored);
        Self { grants, server, stored }
    }

    /// The same with its keys in a database, and a machine that has them there.
    fn of_one_machine(database: &Database<'_>) -> (Self, TestEnv) {
        let (fleet, mut env) = (Self::new(KEYS), TestEnv::new());
        Stored::expired(&fleet.server.url()).put(&mut env);
        database.serve(&mut env);
        fleet.bring_in(&env, &fleet.server.url());
        (fleet, env)
    }

    /// Stores all keys through a machine whose store is the database, as records that `url` issued.
    #[track_caller]
    pub fn bring_in(&self, env: &TestEnv, url: &str) {
        let lines = self.stored.values().map(|stored| {
            let mut record = stored.record();
            record["tokman"]["base_url"] = json!(url);
            format!("{record}\n")
        });
        env.write("home/tokens.ndjson", lines.collect::<String>());
        let stdin = File::open(env.home().join("tokens.ndjson")).expect("a file");
        let mut import = light::tokman(env, &["import"]);
        import.stdin(Stdio::from(stdin));
        let end = light::run(import);
        assert!(end.code == Some(0) && end.stdout.trim() == self.stored.len().to_string(), "{end:?}");
        std::fs::remove_file(env.home().join("tokens.ndjson")).expect("a file");
    }

    /// Every key was refreshed once, by one machine or the other; how many by each.
    #[track_caller]
    pub fn shared_by(self, machines: Vec<Child>, database: &Database<'_>) -> Vec<usize> {
        let ends: Vec<Ended> = machines.into_iter().map(light::wait).collect();
        let count = |end: &Ended, outcome: &str| {
            let lines = end.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
            lines.filter(|line| line["outcome"] == outcome).count()
        };
        for end in &ends {
            assert_eq!(end.code, Some(0), "{end:?}");
            assert_eq!(count(end, "refreshed") + count(end, "fresh"), self.stored.len(), "{end:?}");
        }
        let each: Vec<usize> = ends.iter().map(|end| count(end, "refreshed")).collect();
        assert_eq!(each.iter().sum::<usize>(), self.stored.len(), "{each:?}");
        assert_eq!(self.grants.lock().unwrap_or_else(PoisonError::into_inner).twice, 0);
        let left = "SELECT count(*) FROM tokman.token WHERE in_flight IS NOT NULL OR owner IS NOT NULL;";
        assert_eq!(database.sql(left), "0", "no mark and no lease is left");
        self.server.finish();
        each
    }
}

#[test]
fn two_machines_share_the_work_and_refresh_no_key_twice() {
    let Some(cluster) = shared("two machines and one fleet") else { return };
    let database = cluster.database();
    let fleet = Fleet::new(KEYS);
    let machines = [(); 2].map(|()| {
        let mut env = TestEnv::new();
        Stored::expired(&fleet.server.url()).put(&mut env);
        database.serve(&mut env);
        env
    });
    fleet.bring_in(&machines[0], &fleet.server.url());
    let running = machines.iter().map(|env| light::tokman(env, &NDJSON).spawn().expect("a program")).collect();
    let each = fleet.shared_by(running, &database);
    assert!(each.iter().all(|number| *number >= KEYS / 10), "the work was not shared: {each:?}");
    figure(&format!(
        "{KEYS} keys in PostgreSQL, two machines at once: {} and {} refreshed, none twice",
        each[0], each[1]
    ));
}

#[test]
fn a_database_that_starts_anew_in_the_middle_of_a_run_costs_no_key() {
    let Some(cluster) = own("a PostgreSQL that starts anew under a fleet") else { return };
    let database = cluster.database();
    let (fleet, env) = Fleet::of_one_machine(&database);
    let running = light::tokman(&env, &[&NDJSON[..], &["--rate", "60/s"]].concat()).spawn().expect("a program");
    fleet.server.wait_for_requests(20);
    cluster.stop();
    cluster.run();
    fleet.shared_by(vec![running], &database);
}

#[test]
fn a_run_whose_database_stays_away_ends_and_asks_for_nothing_more() {
    let Some(cluster) = own("a PostgreSQL that stays away from a fleet") else { return };
    let database = cluster.database();
    let (fleet, env) = Fleet::of_one_machine(&database);
    let words = [&NDJSON[..], &["--rate", "40/s", "--timeout", "4s"]].concat();
    let running = light::tokman(&env, &words).spawn().expect("a program");
    fleet.server.wait_for_requests(10);
    cluster.stop();
    let end = light::wait(running);
    assert_eq!(end.code, Some(9), "{end:?}");
    assert!(end.stdout.contains("the store could not be reached any more"), "{end:?}");
    // The next run takes up the rest; what was answered while there was no store is in rescue files.
    cluster.run();
    let asked = fleet.server.requests().len();
    assert!((10..KEYS).contains(&asked), "{asked}");
    for line in end.stderr.lines().filter_map(|line| line.split_once("put it back: tokman ")) {
        let words = line.1.replace('\'', "");
        assert_eq!(light::run(light::tokman(&env, &words.split(' ').collect::<Vec<_>>())).code, Some(0), "{words}");
    }
    let running = light::tokman(&env, &[&NDJSON[..], &["--if-expires-within", "1h"]].concat());
    let end = light::run(running);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(fleet.grants.lock().unwrap_or_else(PoisonError::into_inner).twice, 0);
    fleet.server.finish();
}

#[test]
fn a_machine_that_dies_leaves_its_keys_to_the_next_run() {
    let Some(cluster) = shared("a machine that dies with a fleet") else { return };
    let database = cluster.database();
    let grants = Arc::default();
    let server = single_use(&grants, true, Duration::from_millis(60), None).allow_any_number();
    let (_, stored) = many(&server.url(), 40);
    know(&grants, &stored);
    let fleet = Fleet { grants, server, stored };
    let mut env = TestEnv::new();
    Stored::expired(&fleet.server.url()).put(&mut env);
    database.serve(&mut env);
    fleet.bring_in(&env, &fleet.server.url());
    let mut dying = light::tokman(&env, &[&NDJSON[..], &["--timeout", "2s"]].concat()).spawn().expect("a program");
    fleet.server.wait_for_requests(10);
    dying.kill().expect("a process that still runs");
    dying.wait().expect("an end");
    // Its leases last seven seconds: whoever comes next waits that long for the keys that it had.
    let end = light::run(light::tokman(&env, &[&NDJSON[..], &["--timeout", "10s"]].concat()));
    assert_eq!(end.code, Some(0), "{end:?}");
    let status = light::run(light::tokman(&env, &["status", "-o", "json"]));
    let status: Vec<Value> = serde_json::from_str(&status.stdout).expect("JSON");
    assert!(status.len() == 40 && status.iter().all(|key| key["state"] == "fresh"), "{status:?}");
    // Every grant is still the provider's: each can be refreshed once more.
    let again = light::run(light::tokman(&env, &NDJSON));
    assert_eq!(again.code, Some(0), "{again:?}");
    fleet.server.finish();
}
