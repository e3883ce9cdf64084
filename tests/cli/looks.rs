//! What people see, as it stands in `snapshots/`: every help page, every kind of error, the tables. A change of any of
//! them is seen in the diff. `INSTA_UPDATE=always cargo test --test cli looks::` takes what is printed now for right.

use std::path::Path;

use jiff::Timestamp;
use serde_json::json;

use crate::help::COMMANDS;
use crate::support::stored::{answer, applications, at, record, wix_record};
use crate::support::terminal::sized;
use crate::support::{Answer, Run, Server, TestEnv, server};

const BASE: &str = "https://connect.squareup.com";
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// Whole days and hours and this: what takes a while to start shows the same.
const HALF: i64 = 1800;

/// Compares a text with the file of this name.
#[track_caller]
fn looks(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A run with the same words each time: what it was asked, what it answered, its exit code.
fn told(env: &TestEnv, asked: &str, run: &Run) -> String {
    let status = run.status.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
    stable(env, &format!("$ {asked}\n{}{}[exit {status}]", run.stdout, run.stderr))
}

/// The same words for places, addresses and times that differ from run to run. A time keeps its width.
fn stable(env: &TestEnv, text: &str) -> String {
    let text = text.replace('\r', "").replace(env!("CARGO_BIN_EXE_tokman"), "tokman");
    let text = text.replace(&env.home().display().to_string(), "/home/you");
    let text = replace_after(&text, "http://127.0.0.1:", |c| c.is_ascii_digit(), "PORT");
    let text = replace_after(&text, "rescue-", |c| !matches!(c, '\'' | '\n'), "FILE");
    let mut said = String::new();
    let mut rest = &text[..];
    while let Some(c) = rest.chars().next() {
        let is_time = rest.get(..20).is_some_and(|start| start.parse::<Timestamp>().is_ok());
        said.push_str(if is_time { "YYYY-MM-DDThh:mm:ssZ" } else { &rest[..c.len_utf8()] });
        rest = &rest[if is_time { 20 } else { c.len_utf8() }..];
    }
    said
}

/// With `word` in the place of all that follows `start` and is as described.
fn replace_after(text: &str, start: &str, is: impl Fn(char) -> bool, word: &str) -> String {
    let mut parts = text.split(start);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |said, part| said + start + word + part.trim_start_matches(&is))
}

/// One key for each state that there is, and a damaged one.
fn every_state(env: &TestEnv) {
    env.write_token("square/a-fresh", &record("square/a-fresh", BASE, DAY + HALF, 29 * DAY - HALF));
    env.write_token("square/b-expiring", &record("square/b-expiring", BASE, 29 * DAY, DAY + HALF));
    env.write_token("square/c-expired", &record("square/c-expired", BASE, 31 * DAY + HALF, -DAY - HALF));
    let mut dead = record("square/d-dead", BASE, DAY + HALF, 29 * DAY - HALF);
    dead["tokman"]["needs_login"] = at(-60).into();
    env.write_token("square/d-dead", &dead);
    env.write_token("square/e-doubt", &record("square/e-doubt", BASE, DAY + HALF, 29 * DAY - HALF));
    env.write(env.config_dir().join("tokens/square/.e-doubt.inflight"), "{}");
    let mut unknown = record("square/f-unknown", BASE, DAY + HALF, DAY);
    unknown["tokman"]["expires_at"] = serde_json::Value::Null;
    env.write_token("square/f-unknown", &unknown);
    env.write(env.token_path("square/g-damaged"), "{");
    let mut ending = wix_record("wix/default", "https://www.wixapis.com", DAY + HALF, 2 * DAY + HALF);
    ending["tokman"]["refresh_token_expires_at"] = at(88 * DAY + HALF).into();
    env.write_token("wix/default", &ending);
}

/// A world with an expired token, and a server that answers everything alike.
fn expired(answer: Answer) -> (Server, TestEnv) {
    let server = Server::with(move |_, _| answer.clone());
    let env = applications(&server.url());
    env.write_token("square/default", &record("square/default", &server.url(), 31 * DAY, -60));
    (server, env)
}

/// Compares what a failing command says, on stderr that is no terminal, and on one of 60 columns.
#[track_caller]
fn fails(env: &TestEnv, code: i32, name: &str, asked: &str) {
    let args: Vec<&str> = asked.split(' ').collect();
    let run = env.tokman(&args);
    run.code(code);
    let narrow = sized(env, 60, asked).run();
    narrow.code(code);
    let both = format!("{}\n\nOn a terminal of 60 columns:\n\n{}", told(env, asked, &run), told(env, asked, &narrow));
    looks(&format!("error-{code}-{name}"), &both);
}

#[test]
fn every_help_page() {
    let env = TestEnv::new();
    for command in COMMANDS.iter().copied().chain([&[][..]]) {
        let run = env.command(&[command, &["--help"]].concat()).var("COLUMNS", "80").run();
        run.code(0).stderr_is("");
        let name = [&["help"], command].concat().join("-");
        looks(&name, &run.stdout);
    }
}

#[test]
fn errors_that_no_server_is_asked_for() {
    let env = applications(&server::nobody());
    fails(&env, 2, "usage", "token -p square --shell fish");
    fails(&env, 2, "usage-with-a-command", "status --write tokens.prom");
    fails(&env, 2, "unparsed", "refresh --forse");
    fails(&env, 3, "unknown-provider", "token -p nowhere");
    fails(&env, 3, "misspelt-provider", "token -p sqare");
    fails(&env, 4, "not_found", "token -p square -n shop");
    env.write_token("square/default", &record("square/default", BASE, 31 * DAY, -60));
    fails(&env, 3, "bound", "refresh -p square --client-id other");
    let address =
        env.tokman(&["config", "show", "-p", "square", "-o", "json"]).json()["square.base_url"]["value"].clone();
    let address = address.as_str().expect("an address").trim_end_matches('/').to_owned();
    env.write_token("square/default", &record("square/default", &address, 31 * DAY, -DAY - HALF));
    fails(&env, 7, "too-old", "token -p square --no-refresh");
    env.set_mode(env.token_path("square/default"), 0o644);
    fails(&env, 8, "readable-by-others", "refresh -p square");
    env.write(env.token_path("square/cut"), "{\"refresh_token\": \"");
    env.tokman(&["refresh", "-p", "square", "-n", "cut"]).code(8);
    fails(&env, 8, "damaged", "refresh -p square -n cut");
    let bare = TestEnv::new();
    bare.write_token("square/default", &record("square/default", BASE, 31 * DAY, -DAY));
    fails(&bare, 3, "no-client-id", "refresh -p square");
    looks(
        "error-2-login-without-a-terminal",
        &told(&env, "obtain -p square", &env.tokman(&["obtain", "-p", "square"])),
    );
}

#[test]
fn an_error_of_stdout() {
    let env = TestEnv::new();
    let run = env.program("sh", &["-c", "exec \"$0\" config init >/dev/full", env!("CARGO_BIN_EXE_tokman")]).run();
    run.code(1);
    looks("error-1-internal", &told(&env, "config init >/dev/full", &run));
}

#[test]
fn errors_of_providers_and_of_the_way_to_them() {
    let (server, env) =
        expired(Answer::json(401, json!({"message": "Invalid refresh token", "type": "not_authorized"})));
    env.tokman(&["refresh", "-p", "square"]).code(5);
    fails(&env, 5, "needs_login", "refresh -p square");
    fails(&env, 9, "partial", "refresh --all");
    server.finish();
    let refusal = json!({"message": "invalid client", "details": {"applicationError": {"code": "INVALID_CLIENT"}}});
    let (server, env) = expired(Answer::json(401, refusal).header("x-wix-request-id", "1700000000.42"));
    fails(&env, 6, "rejected", "obtain -p wix");
    env.write_token("wix/default", &wix_record("wix/default", &server.url(), 60, HOUR));
    fails(&env, 6, "unsupported", "renew -p wix");
    server.finish();
    let (server, env) = expired(Answer::html(502, "<h1>Bad gateway</h1>"));
    fails(&env, 7, "try_again", "refresh -p square --timeout 1s");
    server.finish();
}

#[test]
fn an_answer_that_is_not_stored() {
    let (mut body, _) = answer();
    body["merchant_id"] = "MLOTHER".into();
    let (server, env) = expired(Answer::json(200, body));
    let mut stored = env.read_token("square/default");
    stored["tokman"]["expires_at"] = at(DAY).into();
    env.write_token("square/default", &stored);
    fails(&env, 10, "not_saved", "obtain -p square --code one-code");
    server.finish();
}

#[test]
fn status_in_every_state_and_width() {
    let env = TestEnv::new();
    every_state(&env);
    looks("status", &told(&env, "status", &env.tokman(&["status"])));
    for columns in [100, 80, 60, 40] {
        let run = env.command(&["status"]).var("COLUMNS", &columns.to_string()).run();
        assert!(run.stdout.lines().all(|line| line.chars().count() <= columns), "{run}");
        looks(&format!("status-at-{columns}"), &told(&env, "status", &run));
    }
    let exact = env.command(&["status", "-v"]).var("COLUMNS", "140").run();
    looks("status-exact", &told(&env, "status -v", &exact));
    // A terminal is asked for its width, whatever the variable says.
    let run = sized(&env, 60, "status -p wix").var("COLUMNS", "140").run();
    looks("status-on-a-terminal", &told(&env, "status -p wix", &run));
    let colored = env.command(&["status", "--color", "always"]).var("COLUMNS", "80").run();
    looks("status-in-colour", &told(&env, "status --color always", &colored).replace('\u{1b}', "ESC"));
}

#[test]
fn check_in_every_state() {
    let env = TestEnv::new();
    let nothing = env.tokman(&["check"]);
    env.write_token("square/a-fresh", &record("square/a-fresh", BASE, DAY + HALF, 29 * DAY - HALF));
    let well = env.tokman(&["check"]);
    let old = env.tokman(&["check", "--warn-age", "1d"]);
    every_state(&env);
    let ill = env.tokman(&["check"]);
    let text = [("check", nothing), ("check", well), ("check --warn-age 1d", old), ("check", ill)];
    let text = text.iter().map(|(asked, run)| told(&env, asked, run)).collect::<Vec<_>>().join("\n");
    // Seconds go on.
    let is_number = |c: char| c.is_ascii_digit() || c == '-';
    let text = replace_after(&text, "'oldest_age'=", is_number, "N");
    looks("check", &replace_after(&text, "'soonest_expiry'=", is_number, "N"));
}

/// Refreshes of the last days, one of them failed.
fn happened(env: &TestEnv) {
    let line = |age: i64, key: &str, action: &str, outcome: &str| {
        let why = (outcome != "ok").then_some("Invalid refresh token (HTTP 401, service.not_authorized)");
        let (old, new) =
            ((action != "obtain").then_some("0123456789abcdef"), why.is_none().then_some("fedcba9876543210"));
        let event = json!({"at": at(-age), "key": key, "action": action, "outcome": outcome, "old": old, "new": new,
            "pid": 4711, "host": "worker-1", "duration_ms": 120, "request_id": null, "error": why});
        format!("{event}\n")
    };
    let mut text = line(20 * DAY, "wix/default", "obtain", "ok");
    for (age, count) in [(13, 1), (6, 4), (3, 2), (1, 1)] {
        text.extend((0..count).map(|_| line(age * DAY, "wix/default", "refresh", "ok")));
    }
    text.push_str(&line(DAY, "square/default", "refresh", "needs_login"));
    env.write(env.config_dir().join("history.jsonl"), text);
}

/// The day that it is, as the bars of the history have it.
fn today() -> String {
    at(0).chars().take(10).collect()
}

#[test]
fn history_in_every_width() {
    let env = TestEnv::new();
    loop {
        let day = today();
        happened(&env);
        let piped = env.tokman(&["history"]);
        let narrow: Vec<Run> = [80, 50].map(|columns| sized(&env, columns, "history --limit 3").run()).into();
        // Bars move on at midnight.
        if day != today() {
            continue;
        }
        looks("history", &told(&env, "history", &piped));
        for (run, columns) in narrow.iter().zip([80, 50]) {
            looks(&format!("history-on-a-terminal-of-{columns}"), &told(&env, "history --limit 3", run));
        }
        return;
    }
}

#[test]
fn names_every_snapshot_that_lies_there() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/snapshots");
    let pages: Vec<String> = std::fs::read_dir(directory)
        .expect("snapshots")
        .filter_map(|entry| {
            entry.ok()?.file_name().into_string().ok()?.strip_prefix("help-")?.strip_suffix(".snap").map(str::to_owned)
        })
        .collect();
    let commands: Vec<String> = COMMANDS.iter().map(|command| command.join("-")).collect();
    assert!(pages.iter().all(|page| commands.contains(page)), "pages of no command: {pages:?}");
}
