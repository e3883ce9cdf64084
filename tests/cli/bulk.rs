//! `refresh --all`: every key once, the most urgent first; a failure ends nothing but its own key, or what is left of a
//! provider in trouble; several processes share the work; nothing is lost on the way.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::stored::{self, wix_record};
use crate::support::{Answer, Gate, Request, Run, Server, Stored, TestEnv, canary, sealing_key};

const ALL: [&str; 2] = ["refresh", "--all"];
pub const NDJSON: [&str; 4] = ["refresh", "--all", "-o", "json"];

/// A world with these keys, each with so many seconds left of its access token.
fn fleet(url: &str, keys: &[(&str, i64)]) -> (TestEnv, HashMap<String, Stored>) {
    let mut env = TestEnv::new();
    Stored::expired(url).put(&mut env);
    std::fs::remove_file(env.token_path("square/default")).expect("a token file");
    let stored = keys.iter().map(|(key, left)| {
        let stored = Stored::expired(url).of(key).living(*left).single_use();
        env.write_token(key, &stored.record());
        ((*key).to_owned(), stored)
    });
    let stored = stored.collect();
    (env, stored)
}

pub fn numbered(number: usize) -> Vec<String> {
    (0..number).map(|n| format!("square/shop-{n:03}")).collect()
}

pub fn many(url: &str, number: usize) -> (TestEnv, HashMap<String, Stored>) {
    let names = numbered(number);
    let keys: Vec<_> = names.iter().map(|name| (name.as_str(), -60)).collect();
    fleet(url, &keys)
}

/// Answers every refresh token with a new pair.
pub fn generous() -> Server {
    Server::with(|_, _| token())
}

fn token() -> Answer {
    Answer::json(200, json!({"access_token": canary("new"), "refresh_token": canary("next"), "expires_in": 86_400}))
}

fn unavailable() -> Answer {
    Answer::json(503, json!({"message": "down", "type": "service_unavailable"}))
}

fn refused() -> Answer {
    Answer::json(401, json!({"message": "Not Authorized", "type": "service.not_authorized"}))
}

fn dead() -> Answer {
    Answer::json(401, json!({"message": "Invalid refresh token", "type": "service.not_authorized"}))
}

/// The key whose refresh token came.
fn key_of(request: &Request, stored: &HashMap<String, Stored>) -> String {
    let came = request.json()["refresh_token"].as_str().unwrap_or_default().to_owned();
    stored.values().find(|stored| stored.refresh == came).map(|stored| stored.key.clone()).unwrap_or_default()
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}\n{run}")))
        .collect()
}

/// How many keys had this outcome.
fn count(run: &Run, outcome: &str) -> usize {
    lines(run).iter().filter(|line| line["outcome"] == outcome).count()
}

fn marked(env: &TestEnv, key: &str) -> bool {
    !env.read_token(key)["tokman"]["needs_login"].is_null()
}

#[track_caller]
fn nothing_in_flight(env: &TestEnv) {
    let left: Vec<_> = std::fs::read_dir(env.config_dir().join("tokens/square"))
        .expect("a directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".inflight"))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Grants whose refresh tokens are good once; with a grace period also once more while the successor is unused.
#[derive(Default)]
pub struct Grants {
    /// The token that is good now, and the one before it, by key.
    good: HashMap<String, (String, Option<String>)>,
    seen: HashSet<String>,
    pub twice: usize,
    refused: usize,
}

pub fn single_use(grants: &Arc<Mutex<Grants>>, grace: bool, delay: Duration, gate: Option<&Gate>) -> Server {
    let (grants, gate) = (Arc::clone(grants), gate.cloned());
    Server::with(move |request, _| {
        let mut grants = grants.lock().unwrap_or_else(PoisonError::into_inner);
        let came = request.json()["refresh_token"].as_str().unwrap_or_default().to_owned();
        grants.twice += usize::from(!grants.seen.insert(came.clone()));
        let found = grants.good.iter().find_map(|(key, (good, before))| {
            let again = grace && before.as_ref() == Some(&came);
            (*good == came || again).then(|| (key.clone(), again, good.clone()))
        });
        let Some((key, again, good)) = found else {
            grants.refused += 1;
            return dead();
        };
        let next = if again { good } else { canary("next") };
        grants.good.insert(key, (next.clone(), Some(came)));
        let answer =
            Answer::json(200, json!({"access_token": canary("new"), "refresh_token": next, "expires_in": 86_400}));
        let answer = answer.after(delay);
        gate.as_ref().map_or(answer.clone(), |gate| answer.held_by(gate))
    })
}

pub fn know(grants: &Arc<Mutex<Grants>>, stored: &HashMap<String, Stored>) {
    let mut grants = grants.lock().unwrap_or_else(PoisonError::into_inner);
    grants.good = stored.iter().map(|(key, stored)| (key.clone(), (stored.refresh.clone(), None))).collect();
}

/// How many keys hold a token that the provider would still take.
fn alive(env: &TestEnv, grants: &Arc<Mutex<Grants>>, grace: bool) -> usize {
    let grants = grants.lock().unwrap_or_else(PoisonError::into_inner);
    let is_alive = |(key, (good, before)): (&String, &(String, Option<String>))| {
        let refresh = env.read_token(key)["refresh_token"].as_str().map(str::to_owned);
        refresh.as_ref() == Some(good) || (grace && before.is_some() && refresh == *before)
    };
    grants.good.iter().filter(|grant| is_alive(*grant)).count()
}

#[test]
fn takes_the_most_urgent_first() {
    let server = generous();
    let (env, stored) = fleet(
        &server.url(),
        &[("square/late", 20 * 86_400), ("square/soon", 3600), ("square/expired", -60), ("square/later", 29 * 86_400)],
    );
    let mut doubted = Stored::expired(&server.url()).of("square/doubted").living(25 * 86_400).single_use();
    doubted.refresh = canary("doubted");
    env.write_token(&doubted.key, &doubted.record());
    env.write(env.config_dir().join("tokens/square/.doubted.inflight"), "{\"torn");
    let run = env.tokman(&["refresh", "--all", "--jobs", "1"]);
    run.code(0).stderr_has("5 keys: 5 refreshed\n");
    let mut order: Vec<_> = server.requests().iter().map(|request| key_of(request, &stored)).collect();
    order[0] = "square/doubted".to_owned();
    assert_eq!(order, ["square/doubted", "square/expired", "square/soon", "square/late", "square/later"]);
    assert_eq!(server.requests()[0].json()["refresh_token"], doubted.refresh);
    let printed: Vec<_> = run.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(printed, order);
    run.stdout_has("square/expired  refreshed  ends in 23h 59m\n");
    server.finish();
}

#[test]
fn tells_each_outcome_in_a_line_of_json_without_a_secret() {
    let server = Server::with(|request, _| {
        let refresh = request.json()["refresh_token"].as_str().unwrap_or_default().to_owned();
        match refresh {
            refresh if refresh.contains("good") => token(),
            refresh if refresh.contains("dead") => dead(),
            refresh => Answer::json(400, json!({"message": format!("no use of {refresh}"), "type": "bad_request"})),
        }
    });
    let (env, _) = fleet(&server.url(), &[("square/not-due", 10 * 86_400)]);
    for name in ["good", "dead", "odd"] {
        let mut stored = Stored::expired(&server.url()).of(&format!("square/{name}"));
        stored.refresh = canary(name);
        env.write_token(&stored.key, &stored.record());
    }
    let mut marked_before = Stored::expired(&server.url()).of("square/marked").record();
    marked_before["tokman"]["needs_login"] = "2026-01-01T00:00:00Z".into();
    env.write_token("square/marked", &marked_before);
    env.write(env.token_path("square/torn"), "{\"access_token\":");
    let mut bound = Stored::expired(&server.url()).of("square/elsewhere").record();
    bound["tokman"]["base_url"] = "https://elsewhere.example".into();
    env.write_token("square/elsewhere", &bound);
    let run = env.tokman(&[&NDJSON[..], &["--if-expires-within", "1d"]].concat());
    run.code(9).stderr_has("not all keys could be refreshed: 1 refreshed, 1 fresh, 3 failed, 2 need a login");
    run.stderr_has("hint: see who has to log in: tokman status --only needs_login");
    let mut outcomes: Vec<_> = lines(&run)
        .iter()
        .map(|line| {
            let names: Vec<_> = line.as_object().expect("an object").keys().cloned().collect();
            assert_eq!(names, ["key", "outcome", "expires_at", "error"]);
            let good = matches!(line["outcome"].as_str(), Some("refreshed" | "fresh"));
            assert_eq!(line["error"].is_null(), good, "{line}");
            format!("{} {}", line["key"].as_str().unwrap_or_default(), line["outcome"].as_str().unwrap_or_default())
        })
        .collect();
    outcomes.sort();
    assert_eq!(
        outcomes,
        [
            "square/dead needs_login",
            "square/elsewhere failed",
            "square/good refreshed",
            "square/marked needs_login",
            "square/not-due fresh",
            "square/odd failed",
            "square/torn failed"
        ]
    );
    assert!(marked(&env, "square/dead") && !marked(&env, "square/odd"));
    assert_eq!(server.requests().len(), 3);
    server.finish();
}

#[test]
fn refreshes_only_what_is_due() {
    for (args, expected) in [
        (&["--if-expires-within", "2d"][..], &["expired", "soon"][..]),
        (&["--if-older-than", "9d"][..], &["expired", "fresh", "soon"][..]),
        (&["--if-older-than", "11d"][..], &[][..]),
        (&["--if-older-than", "11d", "--if-expires-within", "2d"][..], &["expired", "soon"][..]),
        (&[][..], &["expired", "fresh", "soon"][..]),
    ] {
        let server = generous().allow_any_number();
        let (env, stored) =
            fleet(&server.url(), &[("square/expired", -60), ("square/soon", 86_400), ("square/fresh", 20 * 86_400)]);
        let run = env.tokman(&[&NDJSON[..], args].concat());
        run.code(0);
        let mut asked: Vec<_> = server.requests().iter().map(|request| key_of(request, &stored)).collect();
        asked.sort();
        let expected: Vec<_> = expected.iter().map(|name| format!("square/{name}")).collect();
        assert_eq!(asked, expected, "{args:?}");
        assert_eq!(count(&run, "fresh"), 3 - expected.len(), "{args:?}");
        server.finish();
    }
}

#[test]
fn one_key_that_is_not_due_is_left_alone_too() {
    let server = generous().exactly(1);
    let (env, stored) = fleet(&server.url(), &[("square/default", 20 * 86_400)]);
    let access = &stored["square/default"].access;
    let args = ["refresh", "-p", "square", "-o", "token", "--splay", "0s"];
    let run = env.command(&[&args[..], &["--if-older-than", "11d"]].concat()).may_print(&[access]).run();
    run.code(0).stdout_is(&format!("{access}\n"));
    env.tokman(&["refresh", "-p", "square", "-o", "none", "--if-older-than", "9d"]).code(0);
    server.finish();
}

#[test]
fn says_what_it_would_do_and_does_nothing() {
    let server = generous().exactly(0);
    let (env, stored) = fleet(&server.url(), &[("square/expired", -60), ("square/fresh", 20 * 86_400)]);
    let before = env.read_token("square/expired");
    let dry = [&ALL[..], &["--dry-run", "--if-expires-within", "1d", "--splay", "365d"]].concat();
    let run = env.tokman(&dry);
    run.code(0)
        .stdout_has("square/expired  would_refresh  ended 1m")
        .stdout_has("square/fresh  fresh  ends in 19d 23h\n");
    run.stderr_is("2 keys: 1 would be refreshed, 1 fresh\n");
    let run = env.tokman(&[&dry[..], &["-o", "json"]].concat());
    assert_eq!((count(&run, "would_refresh"), count(&run, "fresh")), (1, 1));
    let one = ["refresh", "-p", "square", "--dry-run", "-n"];
    env.tokman(&[&one[..], &["expired"]].concat()).code(0).stdout_has("square/expired  would_refresh");
    env.tokman(&[&one[..], &["nobody"]].concat()).code(4).stdout_is("");
    assert_eq!(env.read_token("square/expired"), before);
    assert!(!env.config_dir().join("tokens/square/.expired.lock").exists());
    assert_eq!(stored.len(), 2);
    server.finish();
}

#[test]
fn would_refresh_what_it_would_get_from_nothing_stored() {
    let server = Server::with(|_, _| token()).exactly(2);
    let mut env = TestEnv::new();
    for (name, value) in [("CLIENT_ID", "an-app"), ("CLIENT_SECRET", &canary("secret")), ("BASE_URL", &server.url())] {
        env.set(&format!("TOKMAN_WIX_{name}"), value);
        env.set(&format!("TOKMAN_SQUARE_{name}"), value);
    }
    let dry = |env: &TestEnv, provider: &str| env.tokman(&["refresh", "-p", provider, "--dry-run", "-o", "json"]);
    for (provider, name) in [("wix", "TOKMAN_WIX_INSTANCE_ID"), ("square", "TOKMAN_SQUARE_REFRESH_TOKEN")] {
        dry(&env, provider).code(4).stdout_is("");
        env.set(name, canary("given"));
        let run = dry(&env, provider);
        assert_eq!((run.code(0).json()["outcome"].clone(), count(&run, "would_refresh")), (json!("would_refresh"), 1));
        run.stderr_is("1 key: 1 would be refreshed\n");
        assert!(!env.token_path(&format!("{provider}/default")).exists());
        // As it says, it does.
        env.tokman(&["refresh", "-p", provider, "-o", "none"]).code(0);
    }
    server.finish();
}

#[test]
fn refuses_what_does_not_go_together() {
    let (env, _) = fleet("http://127.0.0.1:1", &[("square/a", -60)]);
    for (args, says) in [
        (&["-n", "a"][..], "--profile names one key"),
        (&["-p", "wix", "--instance-id", "x"][..], "--instance-id names one key"),
        (&["--client-id", "x"][..], "say which with --provider"),
        (&["--force"][..], "--force"),
        (&["--jobs", "0"][..], "--jobs"),
        (&["--rate", "5"][..], "is not a rate"),
        (&["-o", "token"][..], "prints json, none only"),
        (&["--max-time", "0s"][..], "--max-time"),
    ] {
        env.tokman(&[&ALL[..], args].concat()).code(2).stdout_is("").stderr_has(says);
    }
    for option in [&["--jobs", "2"][..], &["--rate", "5/s"][..], &["--max-time", "5s"][..]] {
        env.tokman(&[&["refresh", "-p", "square"][..], option].concat()).code(2).stderr_has("--all");
    }
    env.tokman(&[&ALL[..], &["-p", "nobody"]].concat()).code(3).stderr_has("unknown provider 'nobody'");
}

#[test]
fn an_empty_store_is_no_failure_and_is_said() {
    let env = TestEnv::new();
    env.tokman(&ALL).code(0).stdout_is("").stderr_has("Nothing is stored yet");
    env.tokman(&[&ALL[..], &["-p", "wix", "--client-id", "x"]].concat())
        .code(0)
        .stderr_has("Nothing of wix is stored yet");
    env.tokman(&[&ALL[..], &["-q"]].concat()).code(0).stdout_is("").stderr_is("");
}

#[test]
fn goes_to_every_provider_or_to_one_and_mints_for_each_instance() {
    let server =
        Server::with(|_, nth| Answer::json(200, json!({"access_token": format!("token-{nth}"), "expires_in": 14_400})));
    let env = stored::applications(&server.url());
    for (key, instance) in [("wix/a", stored::WIX_INSTANCE), ("wix/b", "99999999-7777-4888-9999-aaaaaaaaaaaa")] {
        let mut record = wix_record(key, &server.url(), 20_000, -60);
        record["tokman"]["account"] = instance.into();
        env.write_token(key, &record);
    }
    env.write_token("square/a", &stored::record("square/a", &server.url(), 86_400, 86_400));
    // The default of the config file is whom to ask for one key; it leaves nobody behind.
    env.write_config("[defaults]\nprovider = \"square\"\n");
    let run = env.tokman(&NDJSON);
    run.code(0);
    assert_eq!(count(&run, "refreshed"), 3);
    let instances: HashSet<_> = server
        .requests()
        .iter()
        .filter_map(|request| request.json()["instance_id"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(instances.len(), 2, "each record is minted for its own instance");
    let run = env.tokman(&[&NDJSON[..], &["-p", "wix"]].concat());
    assert_eq!(count(run.code(0), "refreshed"), 2);
    server.finish();
}

#[test]
fn a_quiet_run_names_the_keys_that_failed() {
    let server = Server::with(|_, nth| if nth == 1 { dead() } else { token() });
    let (env, _) = many(&server.url(), 3);
    let run = env.tokman(&["refresh", "--all", "--jobs", "1", "-q"]);
    run.code(9).stdout_is("").stderr_has("error: square/shop-001: ").stderr_lacks("shop-000").stderr_lacks("shop-002");
    server.finish();
}

#[test]
fn what_loses_every_answer_does_not_cost_every_grant() {
    // The provider takes the token, a proxy loses what it says, and a second use ends the grant.
    for lost in [Answer::close(), Answer::html(500, "<html>"), Answer::html(200, "<html>")] {
        let spent = Mutex::new(HashSet::new());
        let server = Server::with(move |request, _| {
            let first = spent.lock().unwrap_or_else(PoisonError::into_inner).insert(request.text());
            if first { lost.clone() } else { dead() }
        });
        let (env, _) = many(&server.url(), 30);
        let run = env.tokman(&[&NDJSON[..], &["--jobs", "1"]].concat());
        run.code(9).stderr_has("square seems to be down, 5 keys in a row failed");
        assert_eq!((count(&run, "needs_login"), count(&run, "skipped")), (5, 25), "{run}");
        server.finish();
    }
}

#[test]
fn one_answer_that_was_lost_and_came_again_says_nothing_of_other_grants() {
    let server = Server::with(|_, nth| match nth {
        0 => Answer::close(),
        2..8 => dead(),
        _ => token(),
    });
    let (env, _) = many(&server.url(), 12);
    let run = env.tokman(&[&NDJSON[..], &["--jobs", "1"]].concat());
    run.code(9).stderr_lacks("seems to be down");
    assert_eq!((count(&run, "needs_login"), count(&run, "refreshed")), (6, 6), "{run}");
    server.finish();
}

#[test]
fn a_provider_that_is_down_is_left_alone_and_nothing_is_marked() {
    let server = Server::with(|_, _| unavailable());
    let (env, stored) = many(&server.url(), 60);
    let run = env.tokman(&[&NDJSON[..], &["--timeout", "2s"]].concat());
    run.code(7).stderr_has("square seems to be down, 5 keys in a row failed").stderr_has("remaining keys are skipped");
    assert_eq!((count(&run, "failed"), count(&run, "skipped")), (5, 55));
    assert!(server.requests().len() <= 5 * 4, "{} requests", server.requests().len());
    assert!(stored.keys().all(|key| !marked(&env, key)));
    nothing_in_flight(&env);
    server.finish();
}

#[test]
fn the_trouble_of_one_provider_is_not_that_of_another() {
    let down = Server::with(|_, _| Answer::html(502, "<h1>Bad gateway</h1>"));
    let up = generous().exactly(3);
    let (mut env, _) = many(&down.url(), 8);
    env.set("TOKMAN_ACME_CLIENT_ID", "acme-id");
    env.write_config(&format!(
        "[provider.acme]\nkind = \"square\"\nbase_url = \"{}\"\nclient_id = \"{}\"\n",
        up.url(),
        crate::support::stored_square::CLIENT_ID
    ));
    env.unset("TOKMAN_ACME_CLIENT_ID");
    for n in 0..3 {
        let key = format!("acme/{n}");
        env.write_token(&key, &Stored::expired(&up.url()).of(&key).single_use().record());
    }
    let run = env.tokman(&[&NDJSON[..], &["--timeout", "1s"]].concat());
    run.code(9);
    assert_eq!((count(&run, "refreshed"), count(&run, "failed"), count(&run, "skipped")), (3, 5, 3));
    up.finish();
    down.finish();
}

#[test]
fn the_application_is_refused_once_and_that_is_said_once() {
    let server = Server::with(|_, _| refused()).exactly(1);
    let (env, stored) = many(&server.url(), 40);
    let run = env.tokman(&[&NDJSON[..], &["--jobs", "16"]].concat());
    run.code(6).stderr_has("remaining keys are skipped");
    assert_eq!(run.stderr.matches("warning:").count(), 1, "{run}");
    assert_eq!((count(&run, "failed"), count(&run, "skipped")), (1, 39));
    assert!(stored.keys().all(|key| !marked(&env, key)));
    server.finish();
}

#[test]
fn a_provider_without_its_settings_is_one_failure() {
    let server = generous().exactly(2);
    let (mut env, _) = many(&server.url(), 2);
    for n in 0..3 {
        env.write_token(&format!("gone/{n}"), &Stored::expired(&server.url()).of(&format!("gone/{n}")).record());
        env.write_token(&format!("wix/{n}"), &wix_record(&format!("wix/{n}"), &server.url(), 60, 60));
    }
    env.set("TOKMAN_WIX_BASE_URL", server.url());
    let run = env.tokman(&NDJSON);
    run.code(9).stderr_has("unknown provider 'gone'").stderr_has("wix");
    assert_eq!(run.stderr.matches("warning:").count(), 2, "{run}");
    assert_eq!((count(&run, "refreshed"), count(&run, "failed"), count(&run, "skipped")), (2, 2, 4));
    server.finish();
}

#[test]
fn a_secret_of_a_list_that_is_refused_is_tried_once_and_a_command_is_run_once() {
    let server = Server::with(|request, _| {
        if request.json()["client_secret"].as_str().is_some_and(|secret| secret.contains("old")) {
            refused()
        } else {
            token()
        }
    })
    .exactly(9);
    let (mut env, _) = fleet(&server.url(), &[]);
    for key in numbered(8) {
        env.write_token(&key, &Stored::expired(&server.url()).of(&key).record());
    }
    env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    env.set("OLD", canary("old"));
    let give = env.home().join("give");
    env.write(&give, format!("#!/bin/sh\necho >>\"$HOME/given\"\necho {}\n", canary("rolled")));
    env.set_mode(&give, 0o700);
    env.write_config(&format!(
        "[provider.square]\nclient_secret = [{{ env = \"OLD\" }}, {{ command = [\"{}\"] }}]\n",
        give.display()
    ));
    env.tokman(&[&ALL[..], &["-o", "none"]].concat()).code(0);
    assert_eq!(std::fs::read_to_string(env.home().join("given")).expect("a file").lines().count(), 1);
    server.finish();
}

#[test]
fn a_retry_after_holds_every_key_of_the_provider_back() {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let came = Arc::clone(&times);
    let server = Server::with(move |_, nth| {
        came.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        // While the others are under way: the fourth is told to wait.
        if nth == 3 {
            Answer::json(429, json!({"message": "slow down"})).header("Retry-After", "2")
        } else {
            token().after(Duration::from_millis(300))
        }
    })
    .exactly(13);
    let (env, _) = many(&server.url(), 12);
    let run = env.tokman(&[&NDJSON[..], &["--jobs", "2"]].concat());
    run.code(0);
    assert_eq!(count(&run, "refreshed"), 12);
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    // One more may have been under way when it was told.
    for late in &times[5..] {
        assert!(*late - times[3] >= Duration::from_secs(2), "a request came after {:?}", *late - times[3]);
    }
    server.finish();
}

#[test]
fn a_retry_after_that_is_too_long_is_the_end_for_now() {
    let server = Server::with(|_, _| Answer::json(429, json!({"message": "tomorrow"})).header("Retry-After", "86400"))
        .exactly(1);
    let (env, stored) = many(&server.url(), 10);
    let run = env.tokman(&NDJSON);
    run.code(7);
    assert_eq!((count(&run, "failed"), count(&run, "skipped")), (1, 9));
    run.stdout_has("asked to be left alone for 863");
    assert!(stored.keys().all(|key| !marked(&env, key)));
    nothing_in_flight(&env);
    server.finish();
}

#[test]
fn keeps_the_rate() {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let came = Arc::clone(&times);
    let server = Server::with(move |_, _| {
        came.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        token()
    });
    let (env, _) = many(&server.url(), 11);
    env.tokman(&[&ALL[..], &["--rate", "10/s"]].concat()).code(0);
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    // A lower bound with room for a first request that took long to come.
    assert!(times[10] - times[0] >= Duration::from_millis(700), "{:?}", times[10] - times[0]);
    server.finish();
}

#[test]
fn keeps_the_rate_also_where_several_answers_come_at_once() {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let came = Arc::clone(&times);
    let server = Server::with(move |_, nth| {
        came.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        // The second and the third, asked for half a second apart, are answered in the same moment.
        token().after(Duration::from_millis([0, 2000, 1500].get(nth).copied().unwrap_or_default()))
    });
    let (env, _) = many(&server.url(), 6);
    env.tokman(&[&ALL[..], &["--rate", "2/s", "--jobs", "2"]].concat()).code(0);
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() == 5 && gaps.iter().all(|gap| *gap >= Duration::from_millis(150)), "{gaps:?}");
    server.finish();
}

#[test]
fn begins_nothing_after_its_time_and_the_next_run_takes_up_the_rest() {
    let server = Server::with(|_, _| token().after(Duration::from_millis(400))).exactly(30);
    let (env, _) = many(&server.url(), 30);
    let run = env.tokman(&[&NDJSON[..], &["--max-time", "1s", "--jobs", "2"]].concat());
    run.code(0).stderr_has(" skipped");
    let (refreshed, skipped) = (count(&run, "refreshed"), count(&run, "skipped"));
    assert!(refreshed > 0 && skipped > 0 && refreshed + skipped == 30, "{run}");
    let run = env.tokman(&[&NDJSON[..], &["--if-older-than", "1h"]].concat());
    run.code(0);
    assert_eq!((count(&run, "refreshed"), count(&run, "fresh")), (skipped, refreshed));
    server.finish();
}

#[test]
fn a_rate_that_leaves_no_time_is_not_waited_for() {
    let server = generous().exactly(1);
    let (env, _) = many(&server.url(), 5);
    let run = env.tokman(&[&NDJSON[..], &["--rate", "1/m", "--max-time", "50s"]].concat());
    run.code(0);
    assert_eq!((count(&run, "refreshed"), count(&run, "skipped")), (1, 4));
    server.finish();
}

#[test]
fn two_processes_share_the_work_and_refresh_no_key_twice() {
    let grants: Arc<Mutex<Grants>> = Arc::default();
    let gate = Gate::default();
    let server = single_use(&grants, false, Duration::from_millis(20), Some(&gate)).exactly(200);
    let (env, stored) = many(&server.url(), 200);
    know(&grants, &stored);
    let running = [env.command(&NDJSON).spawn(), env.command(&NDJSON).spawn()];
    // Each begins with one request, of a key that the other has not.
    server.wait_for_requests(2);
    gate.open();
    let runs = running.map(crate::support::run::Running::wait);
    let refreshed = runs.each_ref().map(|run| count(run.code(0), "refreshed"));
    assert_eq!(refreshed.iter().sum::<usize>(), 200, "{refreshed:?}");
    assert!(refreshed.iter().all(|number| *number >= 10), "the work was not shared: {refreshed:?}");
    for run in &runs {
        assert_eq!(lines(run).len(), 200);
        assert_eq!(count(run, "refreshed") + count(run, "fresh"), 200, "{run}");
    }
    assert_eq!(alive(&env, &grants, false), 200);
    assert_eq!(grants.lock().unwrap_or_else(PoisonError::into_inner).twice, 0);
    server.finish();
}

#[test]
fn a_key_that_stays_busy_is_a_failure_in_the_end() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::with(move |_, nth| if nth == 0 { token().held_by(&held) } else { token() }).exactly(3);
    let (env, _) = many(&server.url(), 3);
    let holder = env.command(&["refresh", "-p", "square", "-n", "shop-000", "-o", "none"]).spawn();
    server.wait_for_requests(1);
    let run = env.tokman(&[&NDJSON[..], &["--timeout", "1s"]].concat());
    run.code(9);
    assert_eq!((count(&run, "refreshed"), count(&run, "failed")), (2, 1));
    run.stdout_has("another process has been changing square/shop-000");
    gate.open();
    holder.wait().code(0);
    server.finish();
}

#[test]
fn a_signal_loses_nothing_and_the_next_run_does_the_rest() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let grants: Arc<Mutex<Grants>> = Arc::default();
        let server = single_use(&grants, false, Duration::from_millis(300), None).exactly(40);
        let (env, stored) = many(&server.url(), 40);
        know(&grants, &stored);
        let running = env.command(&[&NDJSON[..], &["--jobs", "4"]].concat()).spawn();
        server.wait_for_requests(8);
        running.signal(signal);
        let run = running.wait();
        assert_eq!(run.status, None, "the signal is honoured: {run}");
        let (refreshed, skipped) = (count(&run, "refreshed"), count(&run, "skipped"));
        assert!(refreshed >= 8 && skipped > 0 && refreshed + skipped == 40, "{run}");
        run.stderr_has(&format!("40 keys: {refreshed} refreshed, {skipped} skipped"));
        run.stdout_has("a signal came first");
        nothing_in_flight(&env);
        assert_eq!(alive(&env, &grants, false), 40);
        let run = env.tokman(&[&NDJSON[..], &["--if-older-than", "1h"]].concat());
        assert_eq!((count(run.code(0), "refreshed"), count(&run, "fresh")), (skipped, refreshed));
        assert_eq!(alive(&env, &grants, false), 40);
        server.finish();
    }
}

#[test]
fn a_signal_ends_every_wait() {
    let server = Server::with(|_, _| token()).exactly(1);
    let (env, _) = many(&server.url(), 3);
    // Were they not ended, the run would be cut off, or a second request would come.
    let running = env.command(&[&NDJSON[..], &["--rate", "1/m"]].concat()).spawn();
    running.wait_for_stdout("refreshed");
    running.signal(Signal::TERM);
    let run = running.wait();
    assert_eq!((run.status, count(&run, "skipped")), (None, 2));
    // A provider that asks for patience.
    let slow = Server::with(|_, _| Answer::json(503, json!({"message": "x"})).header("Retry-After", "25")).exactly(1);
    let (env, _) = many(&slow.url(), 3);
    let running = env.command(&NDJSON).spawn();
    slow.wait_for_requests(1);
    running.signal(Signal::TERM);
    let run = running.wait();
    assert_eq!((run.status, count(&run, "failed"), count(&run, "skipped")), (None, 1, 2), "{run}");
    nothing_in_flight(&env);
    slow.finish();
    server.finish();
}

#[test]
fn a_kill_midway_loses_nothing_where_the_provider_gives_grace() {
    let grants: Arc<Mutex<Grants>> = Arc::default();
    let server = single_use(&grants, true, Duration::from_millis(60), None);
    let (env, stored) = many(&server.url(), 60);
    know(&grants, &stored);
    for killed_at in [10, 30, 45] {
        let running = env.command(&[&NDJSON[..], &["--jobs", "8", "--if-older-than", "1h"]].concat()).spawn();
        server.wait_for_requests(killed_at);
        running.signal(Signal::KILL);
        drop(running);
    }
    let run = env.tokman(&[&NDJSON[..], &["--if-older-than", "1h"]].concat());
    run.code(0);
    assert_eq!(count(&run, "refreshed") + count(&run, "fresh"), 60, "{run}");
    assert_eq!(alive(&env, &grants, true), 60);
    assert_eq!(grants.lock().unwrap_or_else(PoisonError::into_inner).refused, 0);
    nothing_in_flight(&env);
    server.finish();
}

#[test]
fn hooks_are_told_of_every_key_and_hold_nobody_up() {
    let server = Server::with(|request, _| {
        if request.json()["refresh_token"].as_str().is_some_and(|refresh| refresh.contains("dead")) {
            dead()
        } else {
            token()
        }
    });
    let (env, _) = many(&server.url(), 6);
    for n in 0..2 {
        let mut stored = Stored::expired(&server.url()).of(&format!("square/dead-{n}"));
        stored.refresh = canary("dead");
        env.write_token(&stored.key, &stored.record());
    }
    let hook = env.home().join("hook");
    env.write(&hook, "#!/bin/sh\nwhile ! [ -e \"$HOME/go\" ]; do sleep 0.02; done\ncat >>\"$HOME/$1\"\n");
    env.set_mode(&hook, 0o700);
    let hook = hook.display();
    env.write_config(&format!("[hooks]\non_refresh = [\"{hook}\", \"good\"]\non_failure = [\"{hook}\", \"bad\"]\n"));
    let running = env.command(&ALL).spawn();
    // The hooks go on only after all exchanges.
    server.wait_for_requests(8);
    env.write(env.home().join("go"), "");
    running.wait().code(9).stderr_lacks("a hook of");
    let told = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(env.home().join(name)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let (good, bad) = (told("good"), told("bad"));
    assert_eq!((good.len(), bad.len()), (6, 2));
    assert!(bad.iter().all(|event| event["outcome"] == "needs_login"), "{bad:?}");
    let history = env.tokman(&["history", "-o", "json"]);
    assert_eq!(history.json().as_array().map(Vec::len), Some(8), "{history}");
    server.finish();
}

#[test]
fn a_sealed_store_stays_sealed() {
    let server = generous().exactly(8);
    let (mut env, stored) = many(&server.url(), 4);
    env.set("TOKMAN_STORE_KEY", sealing_key());
    for expected in ["the first run seals", "the second opens and seals again"] {
        let run = env.tokman(&NDJSON);
        assert_eq!(count(run.code(0), "refreshed"), 4, "{expected}");
        for key in stored.keys() {
            assert!(env.read_token(key)["access_token"].is_null(), "{expected}");
        }
    }
    env.unset("TOKMAN_STORE_KEY");
    let run = env.tokman(&NDJSON);
    assert_eq!(count(run.code(9), "failed"), 4, "{run}");
    server.finish();
}

#[test]
fn says_what_needs_somebody_where_no_list_is_read() {
    let server = Server::with(|_, nth| if nth == 0 { token() } else { dead() });
    let (env, _) = many(&server.url(), 2);
    let run = env.tokman(&[&ALL[..], &["-o", "none", "--jobs", "1"]].concat());
    run.code(9)
        .stdout_is("")
        .stderr_has("warning: square/shop-001: ")
        .stderr_has("2 keys: 1 refreshed, 1 needs a login");
    let run = env.tokman(&[&ALL[..], &["-o", "none", "--log-format", "json"]].concat());
    let logged = stored::logged(&run);
    assert_eq!(logged.last().expect("an error")["code"], 9);
    assert!(
        logged
            .iter()
            .any(|line| line["level"] == "info" && line["message"].as_str().is_some_and(|m| m.starts_with("2 keys: ")))
    );
    let run = env.tokman(&[&ALL[..], &["-q"]].concat());
    run.code(9).stdout_is("").stderr_lacks("2 keys");
    server.finish();
}

#[test]
fn a_key_that_is_removed_meanwhile_is_not_brought_back() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::with(move |_, nth| if nth == 0 { token().held_by(&held) } else { token() }).exactly(1);
    let (mut env, _) = fleet(&server.url(), &[("square/a", -600), ("square/b", -60)]);
    env.set("TOKMAN_SQUARE_REFRESH_TOKEN", canary("seed"));
    let running = env.command(&[&NDJSON[..], &["--jobs", "1"]].concat()).spawn();
    server.wait_for_requests(1);
    env.tokman(&["remove", "-p", "square", "-n", "b"]).code(0);
    gate.open();
    let run = running.wait();
    assert_eq!((count(run.code(0), "refreshed"), count(&run, "skipped")), (1, 1), "{run}");
    assert!(!env.token_path("square/b").exists());
    server.finish();
}

#[test]
fn draws_a_bar_on_a_terminal_that_garbles_no_line() {
    let server = Server::with(|_, nth| if nth == 2 { dead() } else { token().after(Duration::from_millis(150)) });
    let (mut env, _) = many(&server.url(), 8);
    env.set("TERM", "xterm");
    let tokman = env!("CARGO_BIN_EXE_tokman");
    let script = |options: &str| {
        env.program("script", &["-qefc", &format!("{tokman} -v refresh --all --jobs 1 {options}"), "/dev/null"]).run()
    };
    let run = script("");
    run.code(9).stdout_has(" of 8  ");
    for n in [0, 1, 3, 4, 5, 6, 7] {
        run.stdout_has(&format!("square/shop-00{n}  refreshed  ends in 23h 59m\r\n"));
        run.stdout_has(&format!("info: square/shop-00{n}: POST /oauth2/token\r\n"));
    }
    run.stdout_has("8 keys: 7 refreshed, 1 needs a login\r\n");
    // No bar stands after the summary.
    let (_, after) = run.stdout.split_once("8 keys: ").expect("a summary");
    assert!(!after.contains(" of 8  "), "{run}");
    script("--log-format json -o json").stdout_lacks(" of 8  ");
    server.finish();
}
