//! The process itself: its memory is nobody's to read, a stream that is closed or full is no panic, stdin is not waited
//! for unasked, and other programs get no secrets.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::machine::skip;
use crate::support::{Answer, Server, Stored, TestEnv, canary};

/// Every verb that can run to an end by itself here, each with what would make it print.
const VERBS: [&[&str]; 18] = [
    &["--help"],
    &["--version"],
    &["token", "-p", "square"],
    &["refresh", "-p", "square"],
    &["renew", "-p", "square"],
    &["status"],
    &["status", "-o", "json"],
    &["config", "path"],
    &["config", "init"],
    &["config", "show"],
    &["completions", "bash"],
    &["man"],
    &["help", "cron"],
    &["exec", "-p", "square", "--", "true"],
    &["history"],
    &["doctor", "--offline"],
    &["revoke", "-p", "square"],
    &["remove", "-p", "square"],
];

/// A server that gives a token, and a world with one that has expired.
fn world() -> (Server, TestEnv, Stored) {
    let server = Server::with(|request, _| match &request.path[..] {
        "/oauth2/revoke" => Answer::json(200, json!({"success": true})),
        _ => Answer::json(200, json!({"access_token": "a", "expires_in": 86_400})),
    });
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server.url());
    stored.put(&mut env);
    env.set("TMPDIR", env.home());
    (server.allow_any_number(), env, stored)
}

#[test]
fn cannot_be_looked_into_while_it_waits() {
    if !cfg!(target_os = "linux") {
        return skip("only Linux shows a process in /proc");
    }
    let server = Server::with(|_, _| Answer::hang());
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    // Root without this power is kept out as everybody is.
    let words =
        if rustix::process::geteuid().is_root() { "exec setpriv --bounding-set=-all \"$0\" \"$@\"" } else { ":" };
    let readable = |pid: u32| {
        let path = format!("/proc/{pid}/environ");
        env.program("cat", &[&path]).after(words).run().status == Some(0)
    };
    let refresh = ["refresh", "-p", "square", "--timeout", "20s"];
    let running = env.command(&refresh).after(words).spawn();
    server.wait_for_requests(1);
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.id())).expect("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    let cmdline = fs::read_to_string(format!("/proc/{}/cmdline", running.id())).expect("a command line");
    assert!(!cmdline.contains("canary"), "{cmdline}");
    assert!(!readable(running.id()), "its environment can be read");
    // Another program of the same user can be looked into: it is tokman's own doing.
    let open = TestEnv::new();
    let other = open.program("sh", &["-c", "echo ready; read word"]).after(words).spawn();
    other.wait_for_stdout("ready");
    if !readable(other.id()) {
        skip("no process can be looked into here, tokman or not");
    }
    drop(other);
    running.signal(rustix::process::Signal::KILL);
    drop(running);
    server.finish();
}

#[test]
fn a_closed_or_full_stdout_or_stderr_is_no_panic() {
    for verb in VERBS {
        for (words, quiet) in [
            ("exec >&-", false),
            ("exec 2>&-", true),
            ("exec >&- 2>&-", true),
            ("exec </dev/null >&- 2>&-", true),
            ("exec >/dev/full", false),
            ("exec 2>/dev/full", true),
        ] {
            let (_server, env, stored) = world();
            let run = env.command(verb).after(words).may_print(&[&stored.access, &stored.refresh]).run();
            assert!(run.status.is_some_and(|code| code != 101), "{words}: {run}");
            run.stderr_lacks("panicked");
            if quiet {
                run.stderr_is("");
            }
        }
    }
}

#[test]
fn a_token_that_could_not_be_printed_is_stored_and_said_so() {
    let (_server, env, stored) = world();
    let run = env.command(&["refresh", "-p", "square"]).after("exec >/dev/full").run();
    run.code(1).stderr_has("cannot write to stdout: No space left on device");
    assert_eq!(env.read_token(&stored.key)["access_token"], "a");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for verb in VERBS {
        let (_server, env, stored) = world();
        let script = "\"$0\" \"$@\" 2>\"$HOME/err\" | :\ncat \"$HOME/err\" >&2; exit 0";
        let run =
            env.command(verb).after(&format!("exec sh -c '{script}' \"$0\" \"$@\"")).may_print(&[&stored.access]).run();
        run.stderr_lacks("roken pipe").stderr_lacks("panicked");
    }
}

#[test]
fn nothing_waits_for_a_stdin_that_nobody_asked_for() {
    for verb in VERBS.into_iter().chain([&["obtain", "-p", "square"][..]]) {
        let (_server, env, _) = world();
        let started = Instant::now();
        // Stdin is a pipe that stays open.
        let running = env.command(verb).after("exec >/dev/null").spawn();
        let exited = format!("/proc/{}/stat", running.id());
        let ended = || fs::read_to_string(&exited).map_or(true, |stat| stat.contains(") Z "));
        while cfg!(target_os = "linux") && !ended() {
            assert!(started.elapsed() < Duration::from_secs(20), "{verb:?} waits for stdin");
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(running);
    }
}

#[test]
fn a_secrets_command_is_found_in_path_alone_and_gets_no_secrets() {
    let (_server, mut env, stored) = world();
    env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    env.set("TOKMAN_SQUARE_REFRESH_TOKEN", canary("seed"));
    env.set("TOKMAN_WIX_CLIENT_SECRET", canary("wix"));
    let script = "#!/bin/sh\nenv >\"$HOME/said\"\necho \"$1\"\n";
    let (good, evil) = (env.home().join("bin/give"), env.work().join("give"));
    for path in [&good, &evil] {
        env.write(path, script);
        env.set_mode(path, 0o700);
    }
    let refresh = ["refresh", "-p", "square", "-o", "none"];
    for name in ["./give", "bin/give", "../home/bin/give"] {
        env.write_config(&format!("[provider.square]\nclient_secret = {{ command = [\"{name}\", \"s\"] }}\n"));
        env.tokman(&refresh).code(3).stderr_has("must be a name found in PATH or an absolute path");
    }
    env.write_config("[provider.square]\nclient_secret = { command = [\"give\", \"s\"] }\n");
    for path in ["", ".", ":", ".:/usr/bin:/bin", ":/usr/bin:/bin", "/usr/bin:/bin:", "bin:/usr/bin"] {
        env.command(&refresh).var("PATH", path).run().code(3).stderr_has("the command give cannot be run");
    }
    assert!(!env.home().join("said").exists(), "a program of the current directory ran");
    assert_eq!(env.read_token(&stored.key), stored.record());
    let path = format!(".:{}:/usr/bin:/bin", env.home().join("bin").display());
    env.command(&refresh).var("PATH", &path).run().code(0);
    let said = fs::read_to_string(env.home().join("said")).expect("what the program was given");
    assert!(!said.contains("canary"), "{said}");
}
