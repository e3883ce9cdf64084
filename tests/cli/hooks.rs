//! Hooks: argv without a shell, JSON without secrets on stdin, no secrets in the environment, ten seconds; what becomes
//! of them is only warned about.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Server, Stored, TestEnv, canary, sealing_key};

/// A program of the test's own that says what it was given, in `home/said`.
fn program(env: &TestEnv, script: &str) -> String {
    let path = env.home().join("hook");
    env.write(&path, format!("#!/bin/sh\n{script}\n"));
    env.set_mode(&path, 0o700);
    path.to_str().expect("a path").to_owned()
}

fn said(env: &TestEnv) -> String {
    std::fs::read_to_string(env.home().join("said")).unwrap_or_default()
}

fn refreshing() -> Server {
    Server::with(|_, _| Answer::json(200, json!({"access_token": canary("a"), "expires_in": 1})))
}

const REFRESH: [&str; 5] = ["refresh", "-p", "square", "-o", "none"];

#[test]
fn is_told_of_a_refresh_without_a_shell_and_without_a_secret() {
    let server = refreshing();
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    for (name, value) in [
        ("TOKMAN_SQUARE_REFRESH_TOKEN", canary("seed")),
        ("TOKMAN_WIX_CLIENT_SECRET", canary("wix")),
        ("TOKMAN_STORE_KEY", sealing_key()),
        ("APP_PASSWORD", canary("app")),
    ] {
        env.set(name, value);
    }
    let hook = program(&env, "{ for word; do echo \"[$word]\"; done; env | cut -d= -f1; cat; } >\"$HOME/said\"");
    env.write_config(&format!("[hooks]\non_refresh = [\"{hook}\", \"a b\", \"$HOME;`id`\", \"*\"]\n[provider.wix]\nclient_secret = {{ env = \"APP_PASSWORD\" }}\n"));
    env.tokman(&REFRESH).code(0).stderr_is("");
    let said = said(&env);
    assert!(said.starts_with("[a b]\n[$HOME;`id`]\n[*]\n"), "{said}");
    assert!(said.contains("\nTOKMAN_SQUARE_CLIENT_ID\n"), "{said}");
    for secret in ["CLIENT_SECRET", "REFRESH_TOKEN", "STORE_KEY", "APP_PASSWORD", "canary"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    let event: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON on stdin");
    assert_eq!(
        (&event["key"], &event["action"], &event["outcome"]),
        (&"square/default".into(), &"refresh".into(), &"ok".into())
    );
    server.finish();
}

#[test]
fn of_a_long_run_ends_with_it_where_a_signal_comes() {
    let server = crate::bulk::generous();
    let (env, _) = crate::bulk::many(&server.url(), 40);
    let hook = program(&env, "echo x >>\"$HOME/said\"; exec sleep 1");
    env.write_config(&format!("[hooks]\non_refresh = [\"{hook}\"]\n"));
    let running = env.command(&["refresh", "--all", "-o", "none"]).spawn();
    while said(&env).is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    running.signal(rustix::process::Signal::TERM);
    let run = running.wait();
    assert_eq!(run.status, None, "{run}");
    assert!(said(&env).lines().count() < 40);
    server.finish();
}

#[test]
fn is_told_of_a_failure_and_of_nothing_else() {
    let server = Server::with(|_, _| Answer::json(401, json!({"errors": [{"code": "UNAUTHORIZED", "detail": "no"}]})));
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    let hook = program(&env, "cat >>\"$HOME/said\"");
    env.write_config(&format!("[hooks]\non_failure = [\"{hook}\"]\n"));
    let run = env.tokman(&REFRESH);
    let event: Value = serde_json::from_str(&said(&env)).expect("one line of JSON");
    assert_eq!(event["outcome"], "rejected");
    assert!(event["error"].is_string());
    run.code(6);
    server.finish();
    let good = refreshing();
    std::fs::remove_file(env.home().join("said")).expect("a file");
    let stored = Stored::expired(&good.url());
    stored.put(&mut env);
    env.tokman(&REFRESH).code(0);
    assert_eq!(said(&env), "");
    good.finish();
}

#[test]
fn that_fails_is_only_warned_about() {
    let server = refreshing();
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    let hook = program(&env, "exit 3");
    for (hook, says) in [
        (hook.as_str(), "failed: exit status: 3"),
        ("/nowhere/hook", "cannot be run"),
        ("no-such-program", "cannot be run"),
        ("./hook", "must be a name found in PATH or an absolute path"),
        ("bin/hook", "must be a name found in PATH or an absolute path"),
    ] {
        env.write_config(&format!("[hooks]\non_refresh = [\"{hook}\"]\n"));
        env.tokman(&REFRESH).code(0).stderr_has("warning: a hook of square/default: ").stderr_has(says);
    }
    server.finish();
}

#[test]
fn is_never_found_in_the_current_directory() {
    let server = refreshing();
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    let evil = env.work().join("notify");
    env.write(&evil, "#!/bin/sh\ntouch \"$HOME/said\"\n");
    env.set_mode(&evil, 0o700);
    env.write_config("[hooks]\non_refresh = [\"notify\"]\n");
    for path in ["", ".", ":", ".:/usr/bin", "::/usr/bin", "work:/usr/bin", "/usr/bin:"] {
        env.command(&REFRESH).var("PATH", path).run().code(0).stderr_has("cannot be run");
    }
    assert!(!env.home().join("said").exists(), "a program of the current directory ran");
    server.finish();
}

#[test]
fn that_does_not_end_is_ended_after_ten_seconds_and_holds_no_lease_meanwhile() {
    let server = refreshing();
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server.url());
    stored.put(&mut env);
    let hook = program(&env, "echo $$ >\"$HOME/said\"\nexec sleep 60");
    env.write_config(&format!("[hooks]\non_refresh = [\"{hook}\"]\n"));
    let started = Instant::now();
    let slow = env.command(&REFRESH).spawn();
    while said(&env).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(10), "the hook did not run");
        std::thread::yield_now();
    }
    env.write_config("");
    env.tokman(&REFRESH).code(0);
    assert!(started.elapsed() < Duration::from_secs(9), "the hook held the lease");
    slow.wait().code(0).stderr_has("did not end within 10 s");
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(40), "{took:?}");
    let hook = format!("/proc/{}", said(&env).trim());
    assert!(!std::path::Path::new(&hook).exists(), "the hook still runs");
    server.finish();
}
