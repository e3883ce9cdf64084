//! `exec`: a command that takes tokman's place, with a token in its environment and nothing else of ours.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::machine::skip;
use crate::support::stored::logged;
use crate::support::{Answer, Run, Server, Stored, TestEnv, canary, server};

/// A world with a token that is fresh, and a server that is not asked.
fn fresh() -> (TestEnv, Stored) {
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server::nobody()).living(86_400);
    stored.put(&mut env);
    (env, stored)
}

/// A world with a token that has expired, and a server that gives the next one.
fn expired() -> (Server, TestEnv, Stored) {
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server::nobody());
    let reply = stored.reply();
    let server = Server::with(move |_, _| Answer::json(200, reply.clone())).exactly(1);
    let stored = stored.issued_by(&server.url());
    stored.put(&mut env);
    (server, env, stored)
}

fn exec<'a>(options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["exec", "-p", "square"], options, &["--"], command].concat()
}

/// What a shell script says that runs in tokman's place.
fn script(env: &TestEnv, stored: &Stored, options: &[&str], script: &str) -> Run {
    let args = exec(options, &["sh", "-c", script]);
    env.command(&args).may_print(&[&stored.access, &stored.next_access]).run()
}

#[test]
fn the_token_is_in_the_variable_of_the_provider_or_in_a_named_one() {
    let (env, stored) = fresh();
    let run = script(&env, &stored, &[], "printf %s \"$SQUARE_ACCESS_TOKEN\"");
    run.code(0).stdout_is(&stored.access).stderr_is("");
    let run = script(&env, &stored, &["--env", "_T1"], "printf '%s|%s' \"$_T1\" \"$SQUARE_ACCESS_TOKEN\"");
    run.code(0).stdout_is(&format!("{}|", stored.access)).stderr_is("");
    // One that is there already is not kept.
    let args = exec(&[], &["sh", "-c", "printf %s \"$SQUARE_ACCESS_TOKEN\""]);
    let run = env.command(&args).var("SQUARE_ACCESS_TOKEN", "old").may_print(&[&stored.access]).run();
    run.code(0).stdout_is(&stored.access);
}

#[test]
fn a_token_that_ends_is_refreshed_and_stored_first() {
    let (server, env, stored) = expired();
    let run = script(&env, &stored, &[], "printf %s \"$SQUARE_ACCESS_TOKEN\"");
    run.code(0).stdout_is(&stored.next_access).stderr_is("");
    assert_eq!(env.read_token("square/default")["access_token"], stored.next_access);
    server.finish();
}

#[test]
fn the_old_token_goes_on_with_a_warning_while_a_failure_passes() {
    let server = Server::with(|_, _| Answer::json(503, json!({})).header("Retry-After", "3600"));
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server.url()).living(30);
    stored.put(&mut env);
    let run = script(&env, &stored, &["--timeout", "5s"], "printf %s \"$SQUARE_ACCESS_TOKEN\"");
    run.code(0).stdout_is(&stored.access).stderr_has("warning: no new token could be had");
    server.finish();
}

#[test]
fn the_command_takes_the_place_of_tokman() {
    let (env, _) = fresh();
    for code in [0, 1, 3, 125, 200] {
        env.tokman(&exec(&[], &["sh", "-c", &format!("exit {code}")])).code(code).stdout_is("").stderr_is("");
    }
    let args = exec(
        &[],
        &["sh", "-c", "echo $$; cat; for word; do echo \"[$word]\"; done", "sh", "a b", "*", "$HOME", "-p", ""],
    );
    let mut running = env.command(&args).spawn();
    let id = running.id();
    running.wait_for_stdout("\n");
    running.feed(b"from stdin\n");
    running.wait().code(0).stdout_is(&format!("{id}\nfrom stdin\n[a b]\n[*]\n[$HOME]\n[-p]\n[]\n"));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::KILL] {
        let running = env.command(&exec(&[], &["sh", "-c", "echo ready; read word"])).spawn();
        running.wait_for_stdout("ready");
        running.signal(signal);
        // No code: the signal itself ended it, and nobody in between made a number of that.
        assert_eq!(running.wait().status, None, "{signal:?}");
    }
    let running =
        env.command(&exec(&[], &["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"])).spawn();
    running.wait_for_stdout("ready");
    running.signal(Signal::TERM);
    running.wait().code(9);
}

#[test]
fn no_secret_of_ours_goes_along() {
    let (mut env, stored) = fresh();
    for (name, value) in [
        ("TOKMAN_SQUARE_REFRESH_TOKEN", canary("seed")),
        ("TOKMAN_WIX_CLIENT_SECRET", canary("wix")),
        ("TOKMAN_OTHER_SECRET", canary("other")),
        ("TOKMAN_STORE_KEY", canary("key")),
        ("APP_PASSWORD", canary("app")),
        ("KEPT", "kept".to_owned()),
    ] {
        env.set(name, value);
    }
    env.write_config("[provider.wix]\nclient_secret = { env = \"APP_PASSWORD\" }\n");
    let run = script(&env, &stored, &[], "env | sort");
    let names: Vec<_> =
        run.code(0).stdout.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    for gone in ["TOKMAN_SQUARE_CLIENT_SECRET", "TOKMAN_SQUARE_REFRESH_TOKEN", "TOKMAN_OTHER_SECRET", "APP_PASSWORD"] {
        assert!(!names.contains(&gone), "{gone}: {run}");
    }
    assert!(!run.stdout.contains("SECRET") && !run.stdout.contains("STORE_KEY"), "{run}");
    for there in ["KEPT", "HOME", "PATH", "TOKMAN_SQUARE_CLIENT_ID", "SQUARE_ACCESS_TOKEN"] {
        assert!(names.contains(&there), "{there}: {run}");
    }
    // Where the secret's own variable is the one that the token goes into, the token wins.
    let run = script(&env, &stored, &["--env", "APP_PASSWORD"], "printf %s \"$APP_PASSWORD\"");
    run.code(0).stdout_is(&stored.access);
}

#[test]
fn it_is_125_where_there_is_no_token_and_the_error_says_what_token_would() {
    let server = Server::with(|_, _| {
        Answer::json(401, json!({"type": "service.not_authorized", "message": "Invalid refresh token"}))
    });
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    for (args, code, name) in [
        (&["-p", "square", "-n", "nobody"][..], 4, "not_found"),
        (&["-p", "nowhere"], 3, "config"),
        (&["-p", "square", "-n", "../x"], 2, "usage"),
        (&["-p", "square", "-o", "json"], 2, "usage"),
        (&["-p", "square"], 5, "needs_login"),
    ] {
        let command = ["--", "touch", "ran"];
        let run = env.tokman(&[&["exec", "--log-format", "json"], args, &command].concat());
        let lines = logged(run.code(125).stdout_is(""));
        let error = lines.last().expect("an error");
        assert_eq!((&error["code"], &error["name"]), (&json!(code), &json!(name)), "{run}");
        let token = env.tokman(&[&["token", "--log-format", "json"], args].concat());
        if code != 2 {
            assert_eq!(logged(&token).last().map(|error| error["code"].clone()), Some(json!(code)));
        }
        env.tokman(&[&["exec"], args, &command].concat()).code(125).stderr_has("error: ");
    }
    assert!(!env.work().join("ran").exists());
    server.finish();
}

#[test]
fn a_token_that_could_break_out_is_not_handed_on() {
    let (env, stored) = fresh();
    let mut record = stored.record();
    record["access_token"] = "a\nb".into();
    env.write_token("square/default", &record);
    env.tokman(&exec(&[], &["touch", "ran"])).code(125).stderr_has("has a character in it");
    assert!(!env.work().join("ran").exists());
}

#[test]
fn it_is_126_for_what_cannot_be_run_and_127_for_what_is_not_there() {
    let (env, _) = fresh();
    env.write("work/plain", "#!/bin/sh\n");
    let directory = env.home().display().to_string();
    for (command, code, name) in [
        ("no-such-command", 127, "no_command"),
        ("./no-such-file", 127, "no_command"),
        ("", 127, "no_command"),
        ("./plain", 126, "not_executable"),
        (&directory, 126, "not_executable"),
    ] {
        let run = env.tokman(&exec(&[], &[command]));
        run.code(code).stdout_is("").stderr_has(&format!("error: cannot run {command}")).stderr_has("caused by: ");
        let run = env.tokman(&exec(&["--log-format", "json"], &[command]));
        let error: Value = logged(run.code(code)).pop().expect("an error");
        assert_eq!((&error["code"], &error["name"]), (&json!(code), &json!(name)), "{run}");
    }
}

#[test]
fn it_is_125_for_a_command_line_that_is_wrong_and_the_error_says_2() {
    let (env, _) = fresh();
    for name in [
        "",
        "=",
        "A=B",
        "1A",
        "A-B",
        "A B",
        "é",
        "PATH",
        "LD_PRELOAD",
        "DYLD_INSERT_LIBRARIES",
        "IFS",
        "TOKMAN_PROFILE",
    ] {
        let option = format!("--env={name}");
        env.tokman(&exec(&[&option], &["touch", "ran"])).code(125).stdout_is("").stderr_has("--env");
    }
    env.tokman(&["exec", "-p", "square"]).code(125).stderr_has("COMMAND");
    env.tokman(&["exec", "-p", "square", "--"]).code(125).stderr_has("COMMAND");
    env.tokman(&["exec", "-p", "square", "touch", "ran"]).code(125);
    env.tokman(&["--bad", "exec", "--", "touch", "ran"]).code(125).stderr_has("--bad");
    let run = env.tokman(&["exec", "--log-format", "json", "--bad", "--", "touch", "ran"]);
    assert_eq!(logged(run.code(125)).pop().expect("an error")["code"], 2, "{run}");
    // What is another command's is not.
    env.tokman(&["token", "-n", "exec", "--bad"]).code(2);
    env.tokman(&["exec", "--help"]).code(0);
    assert!(!env.work().join("ran").exists());
}

#[test]
fn the_command_finds_the_world_as_it_was_before_tokman() {
    let (server, env, stored) = expired();
    if !cfg!(target_os = "linux") {
        return skip("only Linux shows a process in /proc");
    }
    // After a refresh, which holds signals, opens files and starts a runtime.
    let state = "grep -E '^Sig(Ign|Blk):' /proc/self/status; ulimit -Sc; ulimit -Hc; ls /proc/self/fd | wc -l";
    let before = env.program("sh", &["-c", state]).after("ulimit -c 1234; trap '' HUP USR1").run();
    let args = exec(&[], &["sh", "-c", state]);
    let run = env.command(&args).after("ulimit -c 1234; trap '' HUP USR1").run();
    run.code(0).stdout_is(&before.stdout).stderr_is("");
    assert_eq!(env.read_token("square/default")["access_token"], stored.next_access, "it was refreshed");
    // A reader that goes away ends the command, as everywhere.
    let run = env.tokman(&exec(&[], &["sh", "-c", "yes | head -n 1; kill -s PIPE $$; echo not here"]));
    run.stdout_is("y\n").stderr_is("");
    assert_eq!(run.status, None);
    server.finish();
}

#[test]
fn the_command_can_be_looked_into_as_others_can() {
    if !cfg!(target_os = "linux") {
        return skip("only Linux shows a process in /proc");
    }
    let (env, stored) = fresh();
    // Root without this power is kept out as everybody is.
    let words =
        if rustix::process::geteuid().is_root() { "exec setpriv --bounding-set=-all \"$0\" \"$@\"" } else { ":" };
    let look = ["sh", "-c", "cat /proc/self/limits /proc/$$/environ >/dev/null && echo seen"];
    let other = env.program(look[0], &look[1..]).after(words).run();
    if other.status != Some(0) {
        return skip("no process can be looked into here, tokman or not");
    }
    env.command(&exec(&[], &look)).after(words).may_print(&[&stored.access]).run().code(0).stdout_is("seen\n");
}
