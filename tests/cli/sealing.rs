//! Tokens sealed at rest: what is readable without the key, that a wrong or missing one touches nothing, and that what
//! was changed or put elsewhere is noticed.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::secrets::leaked;
use crate::support::stored_square::CLIENT_ID;
use crate::support::{Answer, Server, Stored, TestEnv, canary, sealing_key};

const REFRESH: [&str; 5] = ["refresh", "-p", "square", "-o", "none"];

/// A server that answers everything with a new token: that of `stored`, once it is known.
fn refreshing() -> (Server, Stored) {
    let answer = std::sync::Arc::new(std::sync::OnceLock::new());
    let late = std::sync::Arc::clone(&answer);
    let server = Server::with(move |_, _| Answer::json(200, late.get().cloned().unwrap_or_default()));
    let stored = Stored::expired(&server.url());
    answer.set(stored.reply()).expect("one answer");
    (server, stored)
}

/// A stored expired token of Square's, refreshed with a sealing key in the environment: the record is sealed after it.
fn sealed() -> (Server, TestEnv, Stored, String) {
    let (server, stored) = refreshing();
    let mut env = TestEnv::new();
    stored.put(&mut env);
    let key = sealing_key();
    env.set("TOKMAN_STORE_KEY", &key);
    env.set("TMPDIR", env.home());
    env.tokman(&REFRESH).code(0).stderr_is("");
    (server, env, stored, key)
}

fn file(env: &TestEnv) -> String {
    fs::read_to_string(env.token_path("square/default")).expect("a record")
}

/// No file below a directory has a canary in it.
#[track_caller]
fn has_no_canary(directory: &Path) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            has_no_canary(&path);
        } else {
            let found = leaked(&fs::read(&path).unwrap_or_default(), &[]);
            assert!(found.is_none(), "a secret in {}: {}", path.display(), found.unwrap_or_default());
        }
    }
}

#[track_caller]
fn prints(env: &TestEnv, access: &str) {
    let run = env.command(&["token", "-p", "square"]).may_print(&[access]).run();
    run.code(0).stdout_is(&format!("{access}\n"));
}

#[test]
fn keeps_secrets_out_of_every_file_and_metadata_in_the_record() {
    let (server, mut env, stored, _) = sealed();
    has_no_canary(&env.home());
    let record: Value = serde_json::from_str(&file(&env)).expect("JSON");
    assert_eq!(record["merchant_id"], "MERCHANT");
    assert_eq!(record["tokman"]["sealed_with"].as_str().map(str::len), Some(8));
    prints(&env, &stored.next_access);
    let status = |env: &TestEnv| env.tokman(&["status", "-o", "json"]).code(0).stderr_is("").json();
    let with_key = status(&env);
    env.unset("TOKMAN_STORE_KEY");
    assert_eq!(status(&env), with_key, "status needs no key");
    assert_eq!(with_key[0]["state"], "fresh");
    env.tokman(&["check"]).code(0);
    env.tokman(&["status", "-o", "prometheus"]).code(0);
    server.finish();
}

#[test]
fn a_wrong_or_missing_key_is_exit_8_and_touches_nothing() {
    let (server, mut env, stored, right) = sealed();
    let before = file(&env);
    for (key, why) in [
        (None, "no sealing key is configured"),
        (Some(sealing_key()), "not with "),
        (Some("password".to_owned()), "it is not one that 'tokman key new' printed"),
    ] {
        match key {
            Some(key) => env.set("TOKMAN_STORE_KEY", key),
            None => env.unset("TOKMAN_STORE_KEY"),
        }
        for command in [
            &["token", "-p", "square"][..],
            &["refresh", "-p", "square", "--force"],
            &["revoke", "-p", "square", "--yes"],
            &["export"],
        ] {
            env.tokman(command).code(8).stdout_is("").stderr_has(why).stderr_has("hint: ");
        }
        assert_eq!(file(&env), before);
        assert!(!env.config_dir().join("tokens/square/.default.inflight").exists());
    }
    assert_eq!(server.requests().len(), 1, "the one that stored it");
    env.set("TOKMAN_STORE_KEY", right);
    prints(&env, &stored.next_access);
    server.finish();
}

#[test]
fn every_verb_works_on_a_sealed_record() {
    let (server, stored) = refreshing();
    let mut env = TestEnv::new();
    stored.put(&mut env);
    fs::remove_file(env.token_path("square/default")).expect("a record");
    env.set("TOKMAN_STORE_KEY", sealing_key());
    let obtain = ["obtain", "-p", "square", "--refresh-token", "-", "-o", "none"];
    env.command(&obtain).stdin(canary("first")).run().code(0);
    assert!(env.read_token("square/default")["sealed"].is_string());
    prints(&env, &stored.next_access);
    env.tokman(&REFRESH).code(0).stderr_is("");
    assert_eq!(env.read_token("square/default")["tokman"]["generation"], 2);
    let spent = server.requests().last().map(|request| request.json()["refresh_token"].clone());
    assert_eq!(spent, Some(stored.next_refresh.as_str().into()), "the sealed refresh token was not spent");
    has_no_canary(&env.home());
    env.tokman(&["revoke", "-p", "square", "--yes", "-o", "none"]).code(0);
    let revoked = server.requests().last().map(|request| request.json()["access_token"].clone());
    assert_eq!(revoked, Some(stored.next_access.as_str().into()));
    assert!(!env.token_path("square/default").exists());
    server.finish();
}

#[test]
fn the_key_comes_from_the_environment_a_file_a_command_or_the_settings() {
    let (server, mut env, stored, key) = sealed();
    env.unset("TOKMAN_STORE_KEY");
    let path = env.home().join("store.key");
    env.write(&path, format!("{key}\n"));
    let place = path.display().to_string();
    env.set("TOKMAN_STORE_KEY_FILE", &place);
    prints(&env, &stored.next_access);
    env.tokman(&["doctor", "--offline"]).stdout_has("sealing key: ").stdout_has("from TOKMAN_STORE_KEY_FILE");
    env.unset("TOKMAN_STORE_KEY_FILE");
    env.set("OUR_KEY", &key);
    for source in [
        format!("\"{key}\""),
        format!("{{ file = \"{place}\" }}"),
        format!("{{ command = [\"cat\", \"{place}\"] }}"),
        "{ env = \"OUR_KEY\" }".to_owned(),
        format!("[{{ env = \"NOT_SET\" }}, {{ file = \"{place}\" }}]"),
    ] {
        env.write_config(&format!("[store]\nkey = {source}\n"));
        prints(&env, &stored.next_access);
        env.tokman(&["config", "show"]).code(0);
        let id = env.read_token("square/default")["tokman"]["sealed_with"].as_str().expect("an id").to_owned();
        env.tokman(&["doctor", "--offline"]).code(0).stdout_has(&format!("sealing key: {id}, from [store] key"));
    }
    env.write_config(&format!("[store]\nkey = {{ file = \"{place}\" }}\n"));
    env.set_mode(&path, 0o644);
    env.tokman(&["token", "-p", "square"]).code(8).stderr_has("is open to other users");
    fs::remove_file(&path).expect("a file");
    env.tokman(&["token", "-p", "square"]).code(8).stderr_has("there is none in the file");
    server.finish();
}

#[test]
fn swapped_and_rolled_back_records_are_noticed_and_set_aside() {
    for swapped in [true, false] {
        let (server, mut env, _, _) = sealed();
        let path = env.token_path("square/default");
        let first = env.read_token("square/default");
        if swapped {
            // The secrets of another key's record of the same generation.
            let other = Stored::expired(&server.url()).of("square/other");
            other.put(&mut env);
            env.tokman(&["refresh", "-p", "square", "-n", "other", "-o", "none"]).code(0);
            let mut mixed = first;
            mixed["sealed"] = env.read_token("square/other")["sealed"].clone();
            env.write_token("square/default", &mixed);
        } else {
            env.tokman(&["refresh", "-p", "square", "--force", "-o", "none"]).code(0);
            let mut mixed = env.read_token("square/default");
            mixed["sealed"] = first["sealed"].clone();
            env.write_token("square/default", &mixed);
        }
        let asked = server.requests().len();
        for _ in 0..2 {
            env.tokman(&["token", "-p", "square"]).code(8).stdout_is("").stderr_has("default.json.damaged");
        }
        assert!(!path.exists() && path.with_extension("json.damaged").exists());
        assert_eq!(server.requests().len(), asked);
        server.finish();
    }
}

#[test]
fn a_record_under_another_name_is_not_that_ones() {
    let (server, env, _, _) = sealed();
    let text = file(&env).replace("\"profile\": \"default\"", "\"profile\": \"other\"");
    env.write(env.token_path("square/other"), text);
    env.tokman(&["token", "-p", "square", "-n", "other"]).code(8).stderr_has("belongs to another record");
    server.finish();
}

#[test]
fn what_the_store_would_not_take_is_sealed_too_and_comes_back() {
    let (server, stored) = refreshing();
    let mut env = TestEnv::new();
    stored.put(&mut env);
    env.set("TMPDIR", env.home());
    let key = sealing_key();
    env.set("TOKMAN_STORE_KEY", &key);
    env.tokman(&REFRESH).code(0);
    let before = file(&env);
    // Nothing can be renamed into a record's place while a directory has it.
    let path = env.token_path("square/default");
    let (held, place) = (path.clone(), before.clone());
    let reply = stored.reply();
    let late = Server::with(move |_, _| {
        fs::remove_file(&held).expect("a record");
        crate::support::env::make_directories(&held.join("inner"));
        Answer::json(200, reply.clone())
    });
    let moved = place.replace(&server.url(), &late.url());
    env.write(&path, moved);
    env.set("TOKMAN_SQUARE_BASE_URL", late.url());
    let run = env.tokman(&["refresh", "-p", "square", "--force", "-o", "none"]);
    run.code(10);
    let mut parts = run.stderr.split('\'');
    let rescue = parts.find(|part| part.starts_with('/') && part.contains("/rescue-")).expect("a name").to_owned();
    let rescued = fs::read(&rescue).expect("a rescue file");
    assert!(leaked(&rescued, &[]).is_none() && !rescued.is_empty(), "it is not sealed");
    has_no_canary(&env.home());
    fs::remove_dir_all(&path).expect("a directory");
    env.unset("TOKMAN_STORE_KEY");
    let import = ["import", "-p", "square", "--rescue", &rescue];
    env.tokman(&import).code(8).stderr_has("no sealing key is configured");
    assert!(Path::new(&rescue).exists());
    env.set("TOKMAN_STORE_KEY", key);
    env.tokman(&import).code(0);
    assert!(!Path::new(&rescue).exists());
    prints(&env, &stored.next_access);
    server.finish();
    late.finish();
}

#[test]
fn an_answer_that_a_dead_process_had_sealed_is_stored() {
    let (server, mut env, stored, key) = sealed();
    // The record before it, and the sealed one where it was written before it got its name.
    let answer = file(&env);
    env.write_token("square/default", &stored.record());
    let left = env.config_dir().join("tokens/square/.default.inflight");
    env.write(&left, answer.clone() + &" ".repeat(10_000));
    env.unset("TOKMAN_STORE_KEY");
    env.tokman(&REFRESH).code(8).stderr_has("no sealing key is configured");
    assert!(left.exists(), "an answer was thrown away");
    env.set("TOKMAN_STORE_KEY", key);
    let run = env.command(&["token", "-p", "square"]).may_print(&[&stored.next_access]).run();
    run.code(0).stdout_is(&format!("{}\n", stored.next_access)).stderr_has("had no time to store");
    assert_eq!(file(&env), answer.trim_end());
    assert!(!left.exists());
    assert_eq!(server.requests().len(), 1);
    assert_eq!(env.read_token("square/default")["tokman"]["client_id"], CLIENT_ID);
    server.finish();
}
