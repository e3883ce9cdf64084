//! What happened to a key: a line for every action and every failure, fingerprints instead of secrets, nothing lost
//! between processes.

use std::fs;

use serde_json::{Value, json};

use crate::support::env::make_directories;
use crate::support::{Answer, Server, Stored, TestEnv, canary};

/// The lines of the history file.
fn lines(env: &TestEnv) -> Vec<Value> {
    let text = fs::read_to_string(env.config_dir().join("history.jsonl")).expect("a history");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Action and outcome of every line.
fn words(lines: &[Value]) -> Vec<(String, String)> {
    let word = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    lines.iter().map(|line| (word(line, "action"), word(line, "outcome"))).collect()
}

#[test]
fn every_action_and_every_failure_has_its_line() {
    let server = Server::with(|request, nth| match (&request.path[..], nth) {
        ("/oauth2/token", 1) => Answer::json(401, json!({"errors": [{"code": "UNAUTHORIZED", "detail": "no"}]})),
        ("/oauth2/token", 2 | 3) => Answer::html(200, "<html>"),
        ("/oauth2/revoke", _) => Answer::json(200, json!({"success": true})),
        _ => {
            Answer::json(200, json!({"access_token": canary("a"), "refresh_token": canary("r"), "expires_in": 86_400}))
        }
    });
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server.url());
    stored.put(&mut env);
    fs::remove_file(env.token_path(&stored.key)).expect("a record");
    let obtain = ["obtain", "-p", "square", "--refresh-token", "-", "-o", "none"];
    env.command(&obtain).stdin(canary("given")).run().code(0);
    let refresh = ["refresh", "-p", "square", "-o", "none"];
    assert_ne!(env.tokman(&refresh).status, Some(0));
    env.tokman(&refresh).code(7);
    env.tokman(&refresh).code(0);
    env.tokman(&["revoke", "-p", "square", "-o", "none", "--yes"]);
    env.tokman(&["remove", "-p", "square"]);
    let lines = lines(&env);
    let words = words(&lines);
    let words: Vec<_> = words.iter().map(|(action, outcome)| (&action[..], &outcome[..])).collect();
    let begin = [("obtain", "ok"), ("refresh", "rejected"), ("refresh", "try_again"), ("refresh", "ok")];
    assert_eq!(words[..4], begin, "{lines:?}");
    assert!(words[4..].iter().any(|(action, _)| ["revoke", "remove"].contains(action)), "{words:?}");
    // Each line follows the one before it.
    assert!(lines[0]["old"].is_null() && lines[0]["new"].is_string());
    assert_eq!(lines[0]["new"], lines[1]["old"]);
    assert_eq!(lines[3]["old"], lines[0]["new"]);
    assert_ne!(lines[3]["new"], lines[3]["old"]);
    assert!(lines[1]["error"].is_string() && lines[3]["error"].is_null());
    let fingerprint = lines[0]["new"].as_str().expect("a fingerprint");
    assert!(fingerprint.len() == 16 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()));
    for line in &lines {
        assert_eq!(line["key"], "square/default");
        assert!(line["at"].is_string() && line["pid"].is_u64() && line["host"].is_string(), "{line}");
        assert!(line["duration_ms"].as_i64().is_some_and(|took| took >= 0), "{line}");
    }
    server.finish();
}

#[test]
fn the_same_token_has_another_fingerprint_under_another_key() {
    let server = Server::with(|_, _| Answer::json(200, json!({"access_token": "a", "expires_in": 1})));
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server.url());
    stored.clone().of("square/one").put(&mut env);
    stored.of("square/two").put(&mut env);
    for profile in ["one", "two"] {
        env.tokman(&["refresh", "-p", "square", "-n", profile, "-o", "none"]).code(0);
    }
    let lines = lines(&env);
    assert_ne!(lines[0]["old"], lines[1]["old"]);
    server.finish();
}

#[test]
fn what_is_printed_from_the_store_is_no_event() {
    let mut env = TestEnv::new();
    let stored = Stored::expired("http://127.0.0.1:1").living(86_400);
    stored.put(&mut env);
    env.command(&["token", "-p", "square"]).may_print(&[&stored.access]).run().code(0);
    env.tokman(&["status"]).code(0);
    assert!(!env.config_dir().join("history.jsonl").exists());
    env.tokman(&["history"]).code(0).stdout_is("").stderr_is("Nothing has happened yet.\n");
    env.tokman(&["history", "-o", "json"]).code(0).stdout_is("[]\n");
}

#[test]
fn sixteen_processes_lose_no_line_also_where_the_file_is_full() {
    let server = Server::with(|_, _| Answer::json(200, json!({"access_token": "a", "expires_in": 1})));
    let mut env = TestEnv::new();
    for nth in 0..16 {
        Stored::expired(&server.url()).of(&format!("square/p{nth}")).put(&mut env);
    }
    // 100 bytes below the limit: one of the sixteen finds it full.
    let filler = "\n".repeat((1 << 20) - 100);
    env.write(env.config_dir().join("history.jsonl"), filler);
    let names: Vec<String> = (0..16).map(|nth| format!("p{nth}")).collect();
    let running: Vec<_> =
        names.iter().map(|name| env.command(&["refresh", "-p", "square", "-n", name, "-o", "none"]).spawn()).collect();
    for one in running {
        one.wait().code(0).stderr_is("");
    }
    let shown = env.tokman(&["history", "-o", "json"]).json();
    let keys: std::collections::BTreeSet<_> =
        shown.as_array().expect("an array").iter().filter_map(|event| event["key"].as_str()).collect();
    assert_eq!(keys.len(), 16, "{shown}");
    assert!(env.config_dir().join("history.jsonl.1").exists());
    let size = fs::metadata(env.config_dir().join("history.jsonl")).map_or(0, |meta| meta.len());
    assert!(size < 1 << 20, "{size} bytes were not put aside");
    server.finish();
}

#[test]
fn is_shown_as_a_table_and_as_json_and_narrowed() {
    let server = Server::with(|_, _| Answer::json(200, json!({"access_token": "a", "expires_in": 1})));
    let mut env = TestEnv::new();
    for key in ["square/default", "square/other"] {
        Stored::expired(&server.url()).of(key).put(&mut env);
    }
    for profile in ["default", "other", "other"] {
        env.tokman(&["refresh", "-p", "square", "-n", profile, "-o", "none"]).code(0);
    }
    let table = env.tokman(&["history"]);
    table.code(0).stdout_has("TIME").stdout_has("square/default").stdout_has("square/other").stdout_has("refresh");
    let count = |args: &[&str]| {
        let args: Vec<&str> = ["history", "-o", "json"].iter().chain(args).copied().collect();
        let run = env.tokman(&args);
        run.code(0);
        run.json().as_array().expect("an array").len()
    };
    assert_eq!(count(&[]), 3);
    assert_eq!(count(&["-p", "square"]), 3);
    assert_eq!(count(&["-p", "wix"]), 0);
    assert_eq!(count(&["-n", "other"]), 2);
    assert_eq!(count(&["-p", "square", "-n", "default"]), 1);
    assert_eq!(count(&["--limit", "1"]), 1);
    env.tokman(&["history", "--limit", "0"]).code(2).stdout_is("").stderr_has("--limit");
    env.tokman(&["history", "-q"]).code(0).stdout_is("");
    env.tokman(&["history", "-o", "token"]).code(2);
    server.finish();
}

#[test]
fn takes_its_keys_from_where_every_other_command_does() {
    let server = Server::with(|_, _| Answer::json(200, json!({"access_token": "a", "expires_in": 1})));
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    env.tokman(&["refresh", "-p", "square", "-o", "none"]).code(0);
    env.set("TOKMAN_PROVIDER", "square");
    env.tokman(&["history"]).code(0).stdout_has("square/default");
    env.set("TOKMAN_PROVIDER", "wix");
    env.tokman(&["history"]).code(0).stdout_is("").stderr_is("Nothing has happened yet for wix.\n");
    env.unset("TOKMAN_PROVIDER");
    let run = env.tokman(&["history", "-n", "zz"]);
    run.code(0).stdout_is("").stderr_is("Nothing has happened yet under the profile zz.\n");
    env.tokman(&["history", "-p", "nowhere"]).code(3).stdout_is("").stderr_has("unknown provider 'nowhere'");
    for narrowed in [&["-n", "@account"][..], &["-p", "square", "-n", "@account"]] {
        let run = env.tokman(&[&["history"], narrowed].concat());
        run.code(2).stdout_is("").stderr_has("only 'obtain' takes it");
    }
    server.finish();
}

#[test]
fn a_history_that_cannot_be_written_costs_no_grant() {
    let server = Server::with(|_, _| Answer::json(200, json!({"access_token": "a", "expires_in": 86_400})));
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server.url());
    stored.put(&mut env);
    make_directories(&env.config_dir().join("history.jsonl"));
    let run = env.tokman(&["refresh", "-p", "square", "-o", "none"]);
    run.code(0).stderr_has("warning: the history cannot be written");
    assert_eq!(env.read_token(&stored.key)["access_token"], "a");
    env.tokman(&["history"]).code(8).stderr_has("is not a regular file but a directory");
    server.finish();
}
