//! `key`: new keys, and everything that is stored sealed with the first one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::support::stored::record;
use crate::support::{TestEnv, sealing_key};

const BASE: &str = "https://connect.squareup.com";
const DAY: i64 = 86_400;

/// A world with records that nothing seals, and two keys.
fn world() -> (TestEnv, [String; 2]) {
    let env = TestEnv::new();
    for name in ["a", "b", "c"] {
        let key = format!("square/{name}");
        env.write_token(&key, &record(&key, BASE, DAY, 29 * DAY));
    }
    let keys = ["old.key", "new.key"].map(|name| {
        let path = env.home().join(name);
        env.write(&path, sealing_key());
        path.display().to_string()
    });
    (env, keys)
}

fn configure(env: &TestEnv, keys: &[&str]) {
    let list: Vec<String> = keys.iter().map(|key| format!("{{ file = \"{key}\" }}")).collect();
    env.write_config(&format!("[store]\nkey = [{}]\n", list.join(", ")));
}

fn sealed_with(env: &TestEnv, key: &str) -> String {
    env.read_token(key)["tokman"]["sealed_with"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn prints_a_new_key_and_nothing_else() {
    let env = TestEnv::new();
    let one = env.tokman(&["key", "new"]);
    one.code(0).stderr_has("TOKMAN_STORE_KEY_FILE").stderr_has("0600");
    let key = one.stdout.trim_end();
    assert!(key.starts_with("tokman-key-1-") && key.len() == 56 && one.stdout.lines().count() == 1, "{one}");
    let two = env.tokman(&["key", "new", "-q"]);
    two.code(0).stderr_is("");
    assert_ne!(two.stdout, one.stdout);
    assert!(!env.config_dir().exists());
    // It is one that seals.
    env.write_token("square/a", &record("square/a", BASE, DAY, 29 * DAY));
    let file = env.home().join("store.key");
    env.write(&file, &two.stdout);
    configure(&env, &[file.to_str().expect("a path")]);
    env.tokman(&["key", "rotate"]).code(0).stdout_is("1\n");
}

#[test]
fn writes_a_new_key_into_a_file_of_its_own_and_replaces_none() {
    let env = TestEnv::new();
    let file = env.config_dir().join("store.key");
    let path = file.to_str().expect("a path");
    env.command(&["key", "new", path])
        .after("umask 000")
        .run()
        .code(0)
        .stdout_is("")
        .stderr_has("TOKMAN_STORE_KEY_FILE");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!((mode(&file), mode(&env.config_dir())), (0o600, 0o700));
    let key = fs::read_to_string(&file).expect("a key");
    assert!(key.starts_with("tokman-key-1-") && key.len() == 57 && key.ends_with('\n'), "{} bytes", key.len());
    env.tokman(&["key", "new", path]).code(2).stdout_is("").stderr_has("is there already");
    std::os::unix::fs::symlink(env.home().join("nowhere"), env.home().join("link")).expect("a link");
    let link = env.home().join("link");
    env.tokman(&["key", "new", link.to_str().expect("a path")]).code(2).stdout_is("");
    assert_eq!(fs::read_to_string(&file).expect("a key"), key);
    assert!(!env.home().join("nowhere").exists());
    // It is one that seals.
    env.write_token("square/a", &record("square/a", BASE, DAY, 29 * DAY));
    configure(&env, &[path]);
    env.tokman(&["key", "rotate"]).code(0).stdout_is("1\n");
}

#[test]
fn seals_what_is_plain_and_what_another_key_sealed() {
    let (env, [old, new]) = world();
    configure(&env, &[&old]);
    env.tokman(&["key", "rotate"]).code(0).stdout_is("3\n").stderr_is("");
    let before = sealed_with(&env, "square/a");
    assert_eq!((before.len(), env.read_token("square/a")["tokman"]["generation"].as_u64()), (8, Some(1)));
    env.tokman(&["key", "rotate"]).code(0).stdout_is("0\n").stderr_has("3 more were sealed with the key");
    env.write_token("square/d", &record("square/d", BASE, DAY, 29 * DAY));
    configure(&env, &[&new, &old]);
    let run = env.tokman(&["key", "rotate", "-o", "json"]);
    let after = sealed_with(&env, "square/a");
    assert_eq!(run.code(0).json(), json!({"key_id": after, "resealed": 4, "already": 0, "failed": 0}));
    assert_ne!(after, before);
    // The old one can be taken away.
    configure(&env, &[&new]);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(sealed_with(&env, &format!("square/{name}")), after);
        let text = fs::read_to_string(env.token_path(&format!("square/{name}"))).expect("a record");
        assert!(!text.contains("canary"), "{text}");
    }
    let exported = env.program("sh", &["-c", "\"$0\" export | wc -l", env!("CARGO_BIN_EXE_tokman")]).run();
    assert_eq!(exported.stdout.trim(), "4", "{exported}");
    env.tokman(&["doctor", "--offline"]).code(0).stdout_has(&format!("sealing key: {after}, from [store] key"));
}

#[test]
fn leaves_the_marks_of_requests_where_they_are() {
    let (env, [key, _]) = world();
    configure(&env, &[&key]);
    let marks = [("b", "{}"), ("gone", "{\"tokman_in_flight\":null}")];
    let path = |name: &str| env.config_dir().join(format!("tokens/square/.{name}.inflight"));
    for (name, text) in marks {
        env.write(path(name), text);
    }
    env.tokman(&["key", "rotate"]).code(0).stdout_is("3\n");
    for (name, text) in marks {
        assert_eq!(fs::read_to_string(path(name)).expect("a mark"), text);
    }
    assert_eq!(sealed_with(&env, "square/b").len(), 8);
    let listed = env.tokman(&["status", "-n", "b", "-o", "json"]).json();
    assert_eq!(listed[0]["state"], "in_doubt");
    let names = fs::read_dir(env.config_dir().join("tokens/square")).expect("a directory").flatten();
    let names: Vec<_> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.contains("rewritten")), "{names:?}");
}

#[test]
fn goes_on_where_a_record_cannot_be_opened_and_ends_with_8() {
    let (env, [old, new]) = world();
    configure(&env, &[&old]);
    env.tokman(&["key", "rotate", "-n", "b"]).code(0).stdout_is("1\n");
    env.write(env.token_path("square/damaged"), "{");
    configure(&env, &[&new]);
    let run = env.tokman(&["key", "rotate", "-o", "json"]);
    run.code(8).stderr_has("square/b: ").stderr_has("it is sealed with the key").stderr_has("square/damaged: ");
    assert_eq!((&run.json()["resealed"], &run.json()["failed"]), (&json!(2), &json!(2)));
    assert_eq!(fs::read_to_string(env.token_path("square/damaged")).expect("a file"), "{");
    env.tokman(&["key", "rotate"]).code(8).stdout_is("0\n");
}

#[test]
fn does_not_let_the_old_key_go_while_a_rescued_record_needs_it() {
    let (env, [old, new]) = world();
    configure(&env, &[&old]);
    env.tokman(&["key", "rotate"]).code(0);
    let sealed = env.read_token("square/a").to_string();
    env.write("home/.local/state/tokman/rescue-square-a-1.json", sealed);
    configure(&env, &[&new, &old]);
    let run = env.tokman(&["key", "rotate"]);
    run.code(8).stderr_has("rescue-square-a-1.json is to be brought back before the old key goes");
    let rescued = env.home().join(".local/state/tokman/rescue-square-a-1.json").to_string_lossy().into_owned();
    env.tokman(&["import", "-p", "square", "-n", "a", "--rescue", &rescued, "--replace"]).code(0);
    env.tokman(&["key", "rotate"]).code(0);
}

#[test]
fn does_not_let_the_old_key_go_while_an_answer_that_was_not_stored_needs_it() {
    let (env, [old, new]) = world();
    configure(&env, &[&old]);
    env.tokman(&["key", "rotate"]).code(0);
    let left = env.config_dir().join("tokens/square/.gone.inflight");
    let sealed = env.read_token("square/a").to_string();
    env.write(&left, sealed.replace("\"profile\":\"a\"", "\"profile\":\"gone\"") + &" ".repeat(9000));
    configure(&env, &[&new, &old]);
    let run = env.tokman(&["key", "rotate"]);
    run.code(8).stdout_is("3\n").stderr_has(".gone.inflight is to be brought back before the old key goes");
    env.tokman(&["key", "rotate"]).code(8).stdout_is("0\n").stderr_has("square/gone");
    fs::remove_file(&left).expect("a file");
    env.tokman(&["key", "rotate"]).code(0);
}

#[test]
fn needs_a_key_that_can_be_had() {
    let (env, [key, _]) = world();
    env.tokman(&["key", "rotate"]).code(3).stderr_has("no sealing key for the store").stderr_has("tokman key new");
    configure(&env, &[&key]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a mode");
    env.set_mode(&key, 0o644);
    env.tokman(&["key", "rotate"]).code(3).stderr_has("is open to other users");
    assert_eq!(sealed_with(&env, "square/a"), "");
}
