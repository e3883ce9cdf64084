//! The forms of a token: what shells make of `-o env`, and what GitHub Actions makes of `-o github`.

use std::process::Command;

use crate::support::report::skipped;
use crate::support::{Answer, Server, Stored, TestEnv, canary, server};

/// A token of every character that one may have (RFC 6749, A.12), the troublesome ones twice, around a secret.
fn troublesome(secret: &str) -> String {
    let all: String = ('!'..='~').collect();
    format!("'{all}'$(id>broken)`id>broken`''\\'\\\\'\"$HOME%PATH%!!{secret}'")
}

/// A world with a fresh token that is this one.
fn holding(access: &str) -> TestEnv {
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server::nobody()).living(86_400);
    stored.put(&mut env);
    let mut record = stored.record();
    record["access_token"] = access.into();
    env.write_token("square/default", &record);
    env
}

fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("-c").arg("exit").output().is_ok();
    if !there {
        skipped("what a shell makes of -o env", &format!("no {program} here"));
    }
    there
}

#[test]
fn every_shell_reads_back_the_token_as_it_is() {
    let secret = canary("token");
    let access = troublesome(&secret);
    let env = holding(&access);
    let show = "printenv SQUARE_ACCESS_TOKEN";
    for (shell, program, options) in [
        (None, "sh", &["-c"][..]),
        (Some("posix"), "sh", &["-c"]),
        (Some("sh"), "dash", &["-c"]),
        (Some("bash"), "bash", &["-c"]),
        (Some("zsh"), "zsh", &["-f", "-c"]),
        (Some("zsh"), "zsh", &["-f", "-o", "rcquotes", "-o", "extendedglob", "-c"]),
        (Some("fish"), "fish", &["--no-config", "-c"]),
        (Some("powershell"), "pwsh", &["-NoProfile", "-Command"]),
    ] {
        if !is_there(program) {
            continue;
        }
        let shell: Vec<&str> = shell.map(|shell| ["--shell", shell]).into_iter().flatten().collect();
        let printed = env.command(&[&["token", "-p", "square", "-o", "env"], &shell[..]].concat());
        let printed = printed.may_print(&[&secret]).run().code(0).stdout.clone();
        assert_eq!(printed.lines().count(), 1);
        // From a file, as from a profile; the token itself stays out of every command line.
        env.write("work/script", format!("{printed}{show}\n"));
        let source = if program == "pwsh" { "Invoke-Expression (Get-Content -Raw script)" } else { ". ./script" };
        let run = env.program(program, &[options, &[source]].concat()).may_print(&[&secret]).run();
        run.code(0).stdout_is(&format!("{access}\n")).stderr_is("");
        assert!(!env.work().join("broken").exists());
    }
}

#[test]
fn the_ways_of_the_manual_work() {
    let secret = canary("token");
    let access = troublesome(&secret);
    let env = holding(&access);
    let tokman = env!("CARGO_BIN_EXE_tokman");
    let show = "printenv SQUARE_ACCESS_TOKEN";
    let eval = |shell: &str| format!("eval \"$({tokman} token -p square -o env --shell {shell})\"; {show}");
    for (program, script) in [
        ("sh", eval("posix")),
        ("bash", eval("bash")),
        ("zsh", eval("zsh")),
        ("fish", format!("{tokman} token -p square -o env --shell fish | source; {show}")),
    ] {
        if is_there(program) {
            let run = env.program(program, &["-c", &script]).may_print(&[&secret]).run();
            run.code(0).stdout_is(&format!("{access}\n"));
        }
    }
}

#[test]
fn a_shell_is_for_the_form_of_shells() {
    let env = holding(&canary("token"));
    for args in [&["--shell", "fish"][..], &["-o", "json", "--shell", "fish"]] {
        let run = env.tokman(&[&["token", "-p", "square"], args].concat());
        run.code(2).stdout_is("").stderr_has("--shell is for -o env only");
    }
    env.tokman(&["token", "-p", "square", "-o", "env", "--shell", "csh"]).code(2).stderr_has("powershell");
}

/// A step of a job, with an output file that has this in it.
fn step(env: &mut TestEnv, before: &str) -> std::path::PathBuf {
    let output = env.home().join("output");
    env.write(&output, before);
    env.set("GITHUB_ACTIONS", "true");
    env.set("GITHUB_OUTPUT", &output);
    output
}

/// The outputs as the runner reads them (actions/runner, `FileCommandManager`).
fn outputs(text: &str) -> Vec<(String, String)> {
    let mut lines = text.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next().filter(|line| !line.is_empty()) {
        match line.split_once("<<").filter(|(name, _)| !name.contains('=')) {
            Some((name, end)) => {
                let value: Vec<_> = lines.by_ref().take_while(|line| *line != end).collect();
                found.push((name.to_owned(), value.join("\n")));
            }
            None => found.extend(line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))),
        }
    }
    found
}

#[test]
fn a_job_hides_the_token_and_hands_it_on() {
    for before in ["", "other=1\n", "other=1"] {
        let secret = canary("token");
        let access = troublesome(&secret);
        let mut env = holding(&access);
        let output = step(&mut env, before);
        let mask = format!("::add-mask::{}\n", access.replace('%', "%25"));
        for _ in 0..2 {
            let run = env.command(&["token", "-p", "square", "-o", "github"]).may_print(&[&secret]).run();
            run.code(0).stdout_is(&mask).stderr_is("");
        }
        let text = std::fs::read_to_string(output).expect("outputs");
        let mut expected = vec![("access_token".to_owned(), access.clone()); 2];
        if !before.is_empty() {
            expected.insert(0, ("other".to_owned(), "1".to_owned()));
        }
        assert_eq!(outputs(&text), expected);
        let ends: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("access_token<<")).collect();
        assert!(ends[0] != ends[1] && ends[0].len() > 40, "the delimiter is random: {ends:?}");
    }
}

#[test]
fn a_token_that_could_not_be_hidden_is_not_handed_on() {
    let mut env = holding(&canary("token"));
    let output = step(&mut env, "");
    let run = env.command(&["token", "-p", "square", "-o", "github"]).after("exec >/dev/full").run();
    run.code(1).stderr_has("cannot write to stdout");
    assert_eq!(std::fs::read_to_string(output).expect("outputs"), "");
}

#[test]
fn a_job_gets_the_token_of_every_verb_that_has_one_also_when_quiet() {
    let (one, two) = (canary("one"), canary("two"));
    let body = serde_json::json!({"access_token": two, "token_type": "bearer", "expires_in": 86_400});
    let server = Server::with(move |_, _| Answer::json(200, body.clone())).exactly(3);
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server.url());
    stored.put(&mut env);
    let output = step(&mut env, "");
    let mask = format!("::add-mask::{two}\n");
    for (args, stdin) in [
        (&["refresh", "-p", "square", "-o", "github"][..], ""),
        (&["renew", "-p", "square", "-o", "github", "-q"], ""),
        (&["obtain", "-p", "square", "-n", "b", "--refresh-token", "-", "-o", "github", "-q"], one.as_str()),
    ] {
        let run = env.command(args).stdin(stdin).may_print(&[&two]).run();
        run.code(0).stdout_is(&mask);
        let text = std::fs::read_to_string(&output).expect("outputs");
        assert_eq!(outputs(&text).last().map(|(_, token)| token.clone()), Some(two.clone()));
    }
    server.finish();
}

#[test]
fn outside_a_job_nothing_is_asked_for_and_nothing_printed() {
    let server = Server::with(|_, _| Answer::json(503, serde_json::json!({}))).exactly(0);
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    let refused = |env: &TestEnv| {
        for args in [&["token", "-p", "square"][..], &["refresh", "-p", "square"], &["renew", "-p", "square"]] {
            let run = env.tokman(&[args, &["-o", "github"]].concat());
            run.code(2).stdout_is("").stderr_has("GITHUB_OUTPUT").stderr_has("hint: ");
        }
    };
    refused(&env);
    env.set("GITHUB_ACTIONS", "true");
    refused(&env);
    env.set("GITHUB_OUTPUT", env.home().join("nowhere"));
    refused(&env);
    env.set("GITHUB_OUTPUT", env.home());
    refused(&env);
    let output = step(&mut env, "");
    env.unset("GITHUB_ACTIONS");
    refused(&env);
    assert_eq!(std::fs::read_to_string(output).expect("outputs"), "");
    env.tokman(&["status", "-o", "github"]).code(2).stderr_has("json, prometheus, none only");
    server.finish();
}
