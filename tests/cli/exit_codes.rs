//! The exit codes, one by one, and what stderr says with each: as text, and as one JSON object a line.

use serde_json::{Value, json};

use crate::support::stored::{answer, applications, at, logged, record};
use crate::support::{Answer, Run, Server, TestEnv, canary, server};

/// An error in both its forms.
struct Said {
    text: Run,
    json: Value,
}

/// Runs a failing command three times: as text, as JSON by the option, as JSON by the variable.
#[track_caller]
fn fails(env: &TestEnv, args: &[&str], code: i32, name: &str) -> Said {
    let text = env.tokman(args);
    text.code(code);
    let errors: Vec<_> = text.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    assert!(!text.stderr.contains('\u{1b}') && !text.stderr.contains("panicked"), "{text}");
    let by_option = env.tokman(&[args, &["--log-format", "json"]].concat());
    let by_variable = env.command(args).var("TOKMAN_LOG_FORMAT", "json").run();
    for run in [&by_option, &by_variable] {
        let lines = logged(run.code(code));
        let error = lines.last().expect("an error");
        assert_eq!((&error["level"], &error["code"], &error["name"]), (&json!("error"), &json!(code), &json!(name)));
        assert!(lines[..lines.len() - 1].iter().all(|line| line["level"] != "error"), "{run}");
        assert_eq!(run.stdout, text.stdout);
    }
    let json = logged(&by_option).pop().expect("an error");
    let names: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    let order = ["level", "code", "name", "key", "message", "hint", "provider"];
    assert!(order.iter().filter(|name| names.contains(name)).eq(names.iter()), "{names:?}");
    // The same words in both: the message, its causes, the hint; a rescue file has another name each time.
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let said = |name: &str| text.stderr.lines().find_map(|line| line.strip_prefix(name)).map(words);
    let member = |name: &str| json[name].as_str().map(words);
    let message = said("error: ").expect("an error");
    assert!(member("message").is_some_and(|said| said.starts_with(&message)), "{json}\n{text}");
    assert_eq!(member("hint"), said("hint: "), "{text}");
    Said { text, json }
}

/// A world with an expired token, and a server that answers everything alike.
fn expired(answer: Answer) -> (Server, TestEnv) {
    let server = Server::with(move |_, _| answer.clone());
    let env = applications(&server.url());
    env.write_token("square/default", &record("square/default", &server.url(), 31 * 86_400, -60));
    (server, env)
}

const REFRESH: [&str; 3] = ["refresh", "-p", "square"];
/// With a budget that is used up.
const HURRIED: [&str; 5] = ["refresh", "-p", "square", "--timeout", "1s"];

#[test]
fn is_0_and_silent_when_all_is_well() {
    let (body, access) = answer();
    let (server, env) = expired(Answer::json(200, body));
    for args in [&["token", "-p", "square"][..], &["token", "-p", "square", "--log-format", "json"]] {
        env.command(args).may_print(&[&access]).run().code(0).stdout_is(&format!("{access}\n")).stderr_is("");
    }
    server.finish();
}

#[test]
fn is_1_for_what_nobody_foresaw() {
    let env = TestEnv::new();
    let script = "exec \"$0\" config init >/dev/full";
    let run = env.program("sh", &["-c", script, env!("CARGO_BIN_EXE_tokman")]).run();
    run.code(1).stderr_has("error: cannot write to stdout: ");
    let script = "exec \"$0\" config init --log-format json >/dev/full";
    let run = env.program("sh", &["-c", script, env!("CARGO_BIN_EXE_tokman")]).run();
    assert_eq!(logged(run.code(1))[0]["name"], "internal");
}

#[test]
fn is_2_for_a_command_that_is_wrong_also_where_it_cannot_be_parsed() {
    let env = applications(&server::nobody());
    let said = fails(&env, &["obtain", "-p", "square"], 2, "usage");
    said.text.stdout_is("").stderr_has("hint: tokman obtain");
    assert_eq!(said.json["key"], "square/default");
    for (args, says) in [
        (&["refresh", "--no-such-option"][..], "--no-such-option"),
        (&["import"], "--rescue"),
        (&["nonsense"], "nonsense"),
        (&["token", "--timeout", "soon"], "soon"),
        (&["token", "-qv"], "--quiet"),
    ] {
        env.tokman(args).code(2).stdout_is("").stderr_has(says);
        let run = env.tokman(&[&["--log-format=json"], args].concat());
        let lines = logged(run.code(2).stdout_is(""));
        assert_eq!((lines.len(), &lines[0]["code"], &lines[0]["name"]), (1, &json!(2), &json!("usage")));
        assert!(lines[0]["message"].as_str().is_some_and(|message| message.contains(says)), "{run}");
        assert_eq!(logged(&env.command(args).var("TOKMAN_LOG_FORMAT", "json").run()), lines);
    }
}

#[test]
fn is_3_for_a_setting() {
    let mut env = applications(&server::nobody());
    env.unset("TOKMAN_SQUARE_CLIENT_ID");
    env.set("TOKMAN_SQUARE_REFRESH_TOKEN", canary("seed"));
    let said = fails(&env, &REFRESH, 3, "config");
    said.text.stderr_has("error: no client id for square").stderr_has("TOKMAN_SQUARE_CLIENT_ID");
    assert_eq!(said.json["key"], "square/default");
    let said = fails(&env, &["token", "-p", "nowhere"], 3, "config");
    assert!(said.json["message"].as_str().is_some_and(|message| message.contains("square, wix")));
}

#[test]
fn is_4_for_what_is_not_stored() {
    let env = applications(&server::nobody());
    for command in ["refresh", "renew", "revoke", "token", "remove", "status"] {
        let said = fails(&env, &[command, "-p", "square", "-n", "shop"], 4, "not_found");
        said.text.stderr_has("error: nothing is stored for square/shop");
        assert_eq!(said.json["hint"], "tokman obtain --provider square --profile shop");
        assert!(said.json.get("provider").is_none());
    }
}

#[test]
fn is_5_for_a_grant_that_is_dead_and_asks_once_only() {
    let refusal = json!({"message": "Invalid refresh token", "type": "service.not_authorized"});
    let (server, env) = expired(Answer::json(401, refusal));
    let server = server.exactly(1);
    env.tokman(&REFRESH).code(5).stderr_has("error: Invalid refresh token (HTTP 401, service.not_authorized)");
    let said = fails(&env, &REFRESH, 5, "needs_login");
    assert_eq!(said.json["key"], "square/default");
    assert_eq!(said.json["hint"], "tokman obtain --provider square");
    server.finish();
}

#[test]
fn is_6_for_another_refusal_with_what_the_provider_says() {
    let refusal =
        json!({"errors": [{"category": "INVALID_REQUEST_ERROR", "code": "BAD_REQUEST", "detail": "no such scope"}]});
    let (server, env) = expired(Answer::json(400, refusal));
    let said = fails(&env, &REFRESH, 6, "rejected");
    said.text.stderr_has("error: no such scope (HTTP 400, BAD_REQUEST)");
    assert_eq!(said.json["key"], "square/default");
    assert_eq!(
        (&said.json["provider"]["status"], &said.json["provider"]["code"]),
        (&json!(400), &json!("BAD_REQUEST"))
    );
    assert!(said.json["provider"].get("request_id").is_some(), "{}", said.json);
    server.finish();
}

#[test]
fn is_6_with_the_request_id_that_wix_gives() {
    let refusal = json!({"message": "invalid client", "details": {"applicationError": {"code": "INVALID_CLIENT"}}});
    let server =
        Server::with(move |_, _| Answer::json(401, refusal.clone()).header("x-wix-request-id", "1700000000.42"));
    let env = applications(&server.url());
    let said = fails(&env, &["obtain", "-p", "wix"], 6, "rejected");
    said.text.stderr_has("request 1700000000.42").stderr_has("hint: ").stderr_has("check the client id and secret");
    assert_eq!(said.json["provider"]["request_id"], "1700000000.42");
    assert_eq!((&said.json["provider"]["status"], &said.json["key"]), (&json!(401), &json!("wix/default")));
    server.finish();
}

#[test]
fn is_6_for_what_the_provider_does_not_have() {
    let env = applications(&server::nobody());
    env.write_token("wix/default", &crate::support::stored::wix_record("wix/default", &base_url(&env), 60, 3600));
    let said = fails(&env, &["renew", "-p", "wix"], 6, "rejected");
    said.text.stderr_has("hint: use `tokman refresh --provider wix`");
    fails(&env, &["revoke", "-p", "wix"], 6, "rejected").text.stderr_has("tokman remove");
    assert!(env.token_path("wix/default").exists());
}

#[test]
fn is_7_for_what_will_pass() {
    for trouble in [
        Answer::html(200, "<h1>Please accept our terms</h1>"),
        Answer::html(502, "<h1>Bad gateway</h1>"),
        Answer::json(429, json!({"errors": [{"code": "RATE_LIMITED", "detail": "slow down"}]})),
        Answer::close(),
    ] {
        let (server, env) = expired(trouble);
        let before = env.read_token("square/default");
        let said = fails(&env, &HURRIED, 7, "try_again");
        said.text.stderr_has("hint: the stored grant is kept; try again later");
        assert_eq!(env.read_token("square/default"), before);
        server.finish();
    }
    let env = applications(&server::nobody());
    env.write_token("square/default", &record("square/default", &base_url(&env), 31 * 86_400, -60));
    fails(&env, &HURRIED, 7, "try_again");
    fails(&env, &["token", "-p", "square", "--no-refresh"], 7, "try_again").text.stderr_has("has expired");
}

#[test]
fn is_8_for_the_store_with_nothing_sent() {
    let server = Server::with(|_, _| unreachable!("nothing is sent for a damaged record")).exactly(0);
    let env = applications(&server.url());
    env.write(env.token_path("square/default"), "{\"refresh_token\": \"");
    // The first run sets it aside, later ones say that it is.
    env.tokman(&REFRESH).code(8).stderr_has("the record was damaged (it is not JSON, or breaks off)");
    let said = fails(&env, &REFRESH, 8, "store");
    said.text.stderr_has("and is set aside in ").stderr_has("default.json.damaged");
    assert_eq!(said.json["key"], "square/default");
    env.write_token("square/default", &record("square/default", &server.url(), 31 * 86_400, -60));
    env.set_mode(env.token_path("square/default"), 0o644);
    fails(&env, &REFRESH, 8, "store").text.stderr_has("hint: chmod 600 '");
    server.finish();
}

#[test]
fn is_10_for_an_answer_that_is_not_stored_and_names_the_rescue_file() {
    let (mut body, access) = answer();
    body["merchant_id"] = "MLOTHER".into();
    let (server, env) = expired(Answer::json(200, body));
    let mut stored = env.read_token("square/default");
    stored["tokman"]["expires_at"] = at(86_400).into();
    env.write_token("square/default", &stored);
    let args = ["obtain", "-p", "square", "--client-id", "sq0idp-id-of-the-tests", "--code", "one-code"];
    let said = fails(&env, &args, 10, "not_saved");
    assert_eq!(env.read_token("square/default"), stored);
    let import = said.json["hint"].as_str().and_then(|hint| hint.split_once(": ")).expect("a command").1;
    let import = import.replacen("tokman", env!("CARGO_BIN_EXE_tokman"), 1);
    let careful = import.replace(" --replace", "");
    env.program("sh", &["-c", &careful]).run().code(2).stderr_has("holds a token of another account");
    env.program("sh", &["-c", &import]).run().code(0);
    env.command(&["token", "-p", "square"]).may_print(&[&access]).run().code(0).stdout_is(&format!("{access}\n"));
    server.finish();
}

#[test]
fn gives_warnings_and_notes_as_objects_too() {
    let (server, env) = expired(Answer::html(503, "down"));
    let mut stored = env.read_token("square/default");
    // Too short for the margin, and it still works.
    stored["tokman"]["expires_at"] = at(50).into();
    env.write_token("square/default", &stored);
    let access = stored["access_token"].as_str().expect("a token").to_owned();
    let args = ["token", "-p", "square", "--min-ttl", "1h", "--timeout", "1s"];
    let run = env.command(&args).may_print(&[&access]).run();
    run.code(0).stdout_is(&format!("{access}\n")).stderr_has("warning: no new token could be had");
    let run = env.command(&[&args[..], &["--log-format", "json", "-v"]].concat()).may_print(&[&access]).run();
    assert_eq!(logged(run.code(0)).last().expect("a warning")["level"], "warning");
    server.finish();
    // Words for people are objects as well.
    let json = ["--log-format", "json"];
    let run = env.tokman(&[&["remove", "-p", "square"], &json[..]].concat());
    let lines = logged(run.code(0));
    assert_eq!((lines.len(), &lines[0]["level"]), (1, &json!("info")), "{run}");
    assert_eq!(logged(env.tokman(&[&["status"], &json[..]].concat()).code(0)).len(), 1);
    let run = env.tokman(&[&["obtain", "-p", "square", "--no-browser"], &json[..]].concat());
    assert!(logged(run.code(2)).len() > 1, "{run}");
}

#[test]
fn says_the_cause_under_the_error() {
    let env = applications("https://localhost:1");
    env.write_token("square/default", &record("square/default", "https://localhost:1", 31 * 86_400, -60));
    let said = fails(&env, &HURRIED, 7, "try_again");
    let lines: Vec<_> = said.text.stderr.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("error: ")).expect("an error");
    assert!(lines[at + 1..].iter().all(|line| line.starts_with("  caused by: ") || line.starts_with("hint: ")));
}

#[test]
fn shows_a_servers_words_short_and_harmless() {
    let detail = format!("\u{1b}[31mred\u{7}\n{}", "long ".repeat(200));
    let (server, env) = expired(Answer::json(400, json!({"errors": [{"code": "X\u{1b}[2J", "detail": detail}]})));
    let said = fails(&env, &REFRESH, 6, "rejected");
    let line = said.text.stderr.lines().find(|line| line.starts_with("error: ")).expect("an error");
    assert!(line.chars().count() < 420, "{line}");
    assert!(said.text.stderr.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", said.text.stderr);
    assert!(said.json["message"].as_str().is_some_and(|message| !message.contains(char::is_control)));
    server.finish();
}

fn base_url(env: &TestEnv) -> String {
    let run = env.tokman(&["config", "show", "-p", "square", "-o", "json"]);
    run.json()["square.base_url"]["value"].as_str().expect("an address").trim_end_matches('/').to_owned()
}
