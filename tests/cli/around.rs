//! What lies around where tokman's files should be: each refused in its own words, exit 8, other keys unharmed, nothing
//! sent. A damaged record is set aside, once, and is no empty store.

use std::fs::{self, File};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::json;

use crate::support::env::make_directories;
use crate::support::machine::is_root;
use crate::support::{Answer, Request, Server, Step, Stored, TestEnv, canary};

/// What is put in a file's place; it may need the record that was there.
type Put = fn(&TestEnv, &Path);

fn fifo(env: &TestEnv, path: &Path) {
    env.program("mkfifo", &["-m", "600", path.to_str().expect("a path")]).run().code(0);
}

fn socket(_: &TestEnv, path: &Path) {
    drop(UnixListener::bind(path).expect("a socket"));
}

fn directory(_: &TestEnv, path: &Path) {
    make_directories(path);
}

fn link(env: &TestEnv, path: &Path) {
    env.write("home/elsewhere", "{}");
    symlink(env.home().join("elsewhere"), path).expect("a link");
}

fn dangling_link(env: &TestEnv, path: &Path) {
    symlink(env.home().join("nowhere"), path).expect("a link");
}

fn gigabyte(env: &TestEnv, path: &Path) {
    env.write(path, "");
    File::options().write(true).open(path).and_then(|file| file.set_len(1 << 30)).expect("a sparse file");
}

fn readable_by_others(env: &TestEnv, path: &Path) {
    env.write(path, "{}");
    env.set_mode(path, 0o644);
}

fn foreign(env: &TestEnv, path: &Path) {
    env.write(path, "{}");
    chown(path, Some(65534), None).expect("a file that can be given away");
}

/// What is no file of ours, and how it is called.
fn objects() -> Vec<(Put, &'static str)> {
    let mut objects: Vec<(Put, &'static str)> = vec![
        (fifo, "is not a regular file but a FIFO"),
        (socket, "is not a regular file but a socket"),
        (directory, "is not a regular file but a directory"),
        (link, "is not a regular file but a symbolic link"),
        (dangling_link, "is not a regular file but a symbolic link"),
        (readable_by_others, "is open to other users (mode 0644)"),
    ];
    if is_root() {
        objects.push((foreign, "belongs to another user (uid 65534)"));
    }
    objects
}

/// A server that must not be asked, an expired token of `default` and a living one of `other`.
fn world() -> (Server, TestEnv, Stored, Stored) {
    let server = Server::with(|_, _| Answer::json(500, json!({}))).exactly(0);
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server.url());
    let other = Stored::expired(&server.url()).living(86_400).of("square/other");
    stored.put(&mut env);
    other.put(&mut env);
    (server, env, stored, other)
}

#[track_caller]
fn is_unharmed(env: &TestEnv, other: &Stored) {
    let run = env.command(&["token", "-p", "square", "-n", "other"]).may_print(&[&other.access]).run();
    run.code(0).stdout_is(&format!("{}\n", other.access)).stderr_is("");
    assert_eq!(env.read_token(&other.key), other.record());
}

#[test]
fn in_place_of_a_token_file_is_refused_in_its_own_words() {
    let mut objects = objects();
    objects.push((gigabyte, "is larger than 4194304 bytes"));
    for (put, says) in objects {
        let (server, mut env, stored, other) = world();
        env.set("TOKMAN_SQUARE_REFRESH_TOKEN", canary("seed"));
        let path = env.token_path(&stored.key);
        fs::remove_file(&path).expect("a record");
        put(&env, &path);
        for command in ["token", "refresh", "revoke"] {
            env.tokman(&[command, "-p", "square"]).code(8).stdout_is("").stderr_has(says);
        }
        env.tokman(&["token", "-p", "square", "--no-refresh"]).code(8).stderr_has(says);
        env.tokman(&["status"]).stdout_has("square/other").stdout_has("square/default");
        assert!(fs::symlink_metadata(&path).is_ok(), "it was moved: {says}");
        is_unharmed(&env, &other);
        server.finish();
    }
}

#[test]
fn a_record_of_a_newer_tokman_is_left_alone() {
    let (server, env, stored, other) = world();
    let mut newer = stored.record();
    newer["tokman"]["version"] = 2.into();
    env.write_token(&stored.key, &newer);
    for command in ["token", "refresh"] {
        env.tokman(&[command, "-p", "square"]).code(8).stderr_has("hint: use the newer tokman");
    }
    assert_eq!(env.read_token(&stored.key), newer);
    is_unharmed(&env, &other);
    server.finish();
}

/// Damaged records and what is said of each.
fn damages(stored: &Stored) -> Vec<(Vec<u8>, &'static str)> {
    let whole = stored.record().to_string().into_bytes();
    let mut of_another = stored.record();
    of_another["tokman"]["profile"] = "other".into();
    let mut odd = stored.record();
    odd["tokman"]["generation"] = "seven".into();
    vec![
        (Vec::new(), "it is empty"),
        (vec![0; 4096], "it is full of zero bytes"),
        (b"{not json".to_vec(), "it is not JSON, or breaks off"),
        (whole[..whole.len() / 2].to_vec(), "it is not JSON, or breaks off"),
        ([&whole[..], &whole[..]].concat(), "it is not JSON, or breaks off"),
        (b"\xff\xfe{\0}\0".to_vec(), "it is not JSON, or breaks off"),
        (vec![b'['; 100_000], "it is not JSON, or breaks off"),
        (of_another.to_string().into_bytes(), "it is the record of square/other"),
        (odd.to_string().into_bytes(), "its member 'tokman' is not what tokman writes"),
        (b"{\"refresh_token\":\"r\"}".to_vec(), "it has no access_token"),
    ]
}

#[test]
fn a_damaged_record_is_set_aside_once_and_is_no_empty_store() {
    let count = damages(&Stored::expired("")).len();
    for nth in 0..count {
        let (server, mut env, stored, other) = world();
        env.set("TOKMAN_SQUARE_REFRESH_TOKEN", canary("seed"));
        let (damaged, says) = damages(&stored).swap_remove(nth);
        let path = env.token_path(&stored.key);
        let aside = path.with_extension("json.damaged");
        env.write(&path, &damaged);
        // What only looks moves nothing.
        env.tokman(&["status"]);
        env.tokman(&["token", "-p", "square", "--no-refresh"]).code(8);
        assert!(path.exists() && !aside.exists());
        env.tokman(&["token", "-p", "square"])
            .code(8)
            .stdout_is("")
            .stderr_has(says)
            .stderr_has("default.json.damaged");
        for command in ["token", "refresh", "token", "revoke"] {
            env.tokman(&[command, "-p", "square"]).code(8).stdout_is("").stderr_has("default.json.damaged");
        }
        assert!(!path.exists());
        assert_eq!(fs::read(&aside).expect("the damaged record"), damaged);
        let names = fs::read_dir(path.parent().expect("a directory")).expect("a directory").flatten();
        let asides = names.filter(|entry| entry.file_name().to_string_lossy().contains("damaged")).count();
        assert_eq!(asides, 1);
        is_unharmed(&env, &other);
        server.finish();
    }
}

#[test]
fn a_new_grant_is_stored_beside_a_damaged_record_and_remove_clears_both() {
    let mut env = TestEnv::new();
    let seed = canary("seed");
    let expected = Request::post("/oauth2/token").json_with(json!({"refresh_token": seed}));
    let reply = json!({"access_token": canary("new"), "refresh_token": canary("new-refresh"), "expires_in": 86_400});
    let server = Server::start(vec![Step::expect(expected).answer(200, reply.clone())]);
    let stored = Stored::expired(&server.url());
    stored.put(&mut env);
    let path = env.token_path(&stored.key);
    let aside = path.with_extension("json.damaged");
    env.write(&path, "{");
    env.tokman(&["token", "-p", "square"]).code(8);
    let obtain = env.command(&["obtain", "-p", "square", "--refresh-token", "-", "-o", "none"]).stdin(seed).run();
    obtain.code(0).stderr_has("default.json.damaged");
    let access = reply["access_token"].as_str().expect("a token");
    let token = env.command(&["token", "-p", "square"]).may_print(&[access]).run();
    token.code(0).stdout_is(&format!("{access}\n"));
    assert!(path.exists() && aside.exists());
    env.tokman(&["remove", "-p", "square"]).code(0);
    assert!(!path.exists() && !aside.exists());
    env.tokman(&["token", "-p", "square"]).code(4);
    server.finish();
}

#[test]
fn remove_clears_a_damaged_record_alone() {
    let (server, env, stored, other) = world();
    env.write(env.token_path(&stored.key), "{");
    env.tokman(&["remove", "-p", "square"]).code(0);
    env.tokman(&["remove", "-p", "square"]).code(4);
    is_unharmed(&env, &other);
    server.finish();
}

#[test]
fn in_place_of_a_lock_file_or_a_mark_nothing_is_sent() {
    for name in [".default.lock", ".default.inflight"] {
        for (put, says) in objects() {
            let (server, mut env, stored, other) = world();
            let path = env.config_dir().join("tokens/square").join(name);
            put(&env, &path);
            for command in ["token", "refresh"] {
                env.tokman(&[command, "-p", "square"]).code(8).stdout_is("").stderr_has(says);
            }
            assert_eq!(env.read_token(&stored.key), stored.record());
            // A token that is good needs no lock; one whose answer may be lost is still printed.
            let living = Stored::expired(&server.url()).living(86_400);
            living.put(&mut env);
            let token = env.command(&["token", "-p", "square"]).may_print(&[&living.access]).run();
            token.code(0).stdout_is(&format!("{}\n", living.access));
            assert!(fs::symlink_metadata(&path).is_ok(), "it was removed: {says}");
            is_unharmed(&env, &other);
            server.finish();
        }
    }
}

#[test]
fn a_lock_file_with_anything_in_it_is_a_lock_file() {
    for put in [gigabyte as Put, |env, path| env.write(path, [0xff; 5000]), |env, path| env.write(path, "{\"at\":1}")] {
        let server = Server::with(|_, _| Answer::json(200, json!({"access_token": "a", "expires_in": 86_400})));
        let mut env = TestEnv::new();
        Stored::expired(&server.url()).put(&mut env);
        put(&env, &env.config_dir().join("tokens/square/.default.lock"));
        env.tokman(&["refresh", "-p", "square", "-o", "none"]).code(0).stderr_is("");
        server.exactly(1).finish();
    }
}

#[test]
fn a_mark_that_cannot_be_read_is_taken_for_a_lost_answer() {
    for mark in ["", "{", "\0\0\0\0", "{\"tokman_in_flight\":"] {
        let server = Server::with(|_, _| Answer::json(200, json!({"access_token": "a", "expires_in": 86_400})));
        let mut env = TestEnv::new();
        let stored = Stored::expired(&server.url()).single_use().living(86_400);
        stored.put(&mut env);
        let path = env.config_dir().join("tokens/square/.default.inflight");
        env.write(&path, mark);
        // Replayed although the stored token still works: once, at once.
        let run = env.tokman(&["token", "-p", "square", "-o", "none"]);
        run.code(0).stderr_has("may have been lost");
        env.tokman(&["token", "-p", "square", "-o", "none"]).code(0).stderr_is("");
        assert!(!path.exists());
        server.exactly(1).finish();
    }
}

#[test]
fn in_place_of_the_config_file_is_a_fault_of_the_configuration() {
    for (put, says) in [
        (fifo as Put, "is not a regular file but a FIFO"),
        (directory, "is not a regular file but a directory"),
        (socket, "config.toml"),
        (gigabyte, "is larger than 1048576 bytes"),
    ] {
        let (server, env, stored, _) = world();
        put(&env, &env.config_dir().join("config.toml"));
        for args in [&["token", "-p", "square"][..], &["refresh", "-p", "square"], &["status"]] {
            env.tokman(args).code(3).stdout_is("").stderr_has(says);
        }
        env.tokman(&["doctor", "--offline", "--repair"]).code(3).stdout_has(says).stdout_has("stored tokens: ");
        assert_eq!(env.read_token(&stored.key), stored.record());
        server.finish();
    }
}
