//! `check`: one line, a plugin's exit code, performance data; whatever goes wrong is UNKNOWN on stdout.

use serde_json::{Value, json};

use crate::support::TestEnv;
use crate::support::run::Run;
use crate::support::stored::{at, record, wix_record};

const BASE: &str = "https://connect.squareup.com";
const DAY: i64 = 86_400;

fn put(env: &TestEnv, name: &str, age: i64, left: i64) {
    let key = format!("square/{name}");
    env.write_token(&key, &record(&key, BASE, age, left));
}

/// The text and the performance data of a run that said one line and nothing else.
#[track_caller]
fn said(run: &Run, code: i32, word: &str) -> (String, Vec<(String, Vec<String>)>) {
    run.code(code).stderr_is("");
    assert!(run.stdout.starts_with(&format!("TOKMAN {word} - ")) && run.stdout.ends_with('\n'), "{run}");
    assert_eq!(run.stdout.lines().count(), 1, "{run}");
    let line = run.stdout.trim_end();
    let Some((text, data)) = line.split_once(" | ") else { return (line.to_owned(), Vec::new()) };
    assert!(!data.contains('|'), "{run}");
    let data = data.split(' ').map(|one| {
        let (label, rest) = one.split_once('=').unwrap_or_else(|| panic!("no label in '{one}': {run}"));
        let label = label.strip_prefix('\'').and_then(|label| label.strip_suffix('\'')).expect("a quoted label");
        let fields: Vec<String> = rest.split(';').map(str::to_owned).collect();
        let number = fields[0].trim_end_matches('s');
        assert!(fields[0] == "U" || number.parse::<i64>().is_ok(), "'{one}' has no value: {run}");
        assert!(fields.len() <= 5, "'{one}' has too many fields: {run}");
        let is_range = |field: &str| field.trim_end_matches(':').parse::<u64>().is_ok() || field.is_empty();
        assert!(fields[1..].iter().all(|field| is_range(field)), "'{one}' has no range: {run}");
        (label.to_owned(), fields)
    });
    (text.to_owned(), data.collect())
}

#[track_caller]
fn value<'a>(data: &'a [(String, Vec<String>)], label: &str) -> &'a [String] {
    &data.iter().find(|(name, _)| name == label).unwrap_or_else(|| panic!("no {label} in {data:?}")).1
}

#[test]
fn is_ok_with_counts_and_ages() {
    let env = TestEnv::new();
    put(&env, "a", DAY, 29 * DAY);
    put(&env, "b", 3 * DAY, 27 * DAY);
    let run = env.tokman(&["check"]);
    let (text, data) = said(&run, 0, "OK");
    assert_eq!(text, "TOKMAN OK - 2 tokens, the oldest refreshed 3d 0h ago");
    assert_eq!(value(&data, "tokens"), ["2", "", "", "0"]);
    assert_eq!(value(&data, "fresh")[0], "2");
    assert_eq!(value(&data, "needs_login"), ["0", "", "0", "0"]);
    let oldest = value(&data, "oldest_age");
    assert_eq!(oldest[1..], ["691200", "1296000", "0"]);
    let seconds: i64 = oldest[0].trim_end_matches('s').parse().expect("seconds");
    assert!((3 * DAY..3 * DAY + 120).contains(&seconds), "{run}");
    assert!(value(&data, "soonest_expiry")[0].ends_with('s'));
}

#[test]
fn tells_warnings_from_what_is_critical() {
    let put_state = |env: &TestEnv, state: &str| match state {
        "old" => put(env, "a", 9 * DAY, 21 * DAY),
        "very old" => put(env, "a", 16 * DAY, 14 * DAY),
        "dead" => {
            let mut dead = record("square/a", BASE, DAY, 29 * DAY);
            dead["tokman"]["needs_login"] = at(-60).into();
            env.write_token("square/a", &dead);
        }
        "damaged" => env.write(env.token_path("square/a"), "{"),
        "newer" => env.write(env.token_path("square/a"), "{\"access_token\":\"x\",\"tokman\":{\"version\":9}}"),
        "in doubt" => {
            put(env, "a", DAY, 29 * DAY);
            env.write(env.config_dir().join("tokens/square/.a.inflight"), "{}");
        }
        "ended" => {
            let mut ended = record("square/a", BASE, DAY, 29 * DAY);
            ended["tokman"]["refresh_token_expires_at"] = at(-60).into();
            env.write_token("square/a", &ended);
        }
        _ => put(env, "a", DAY, 29 * DAY),
    };
    for (state, code, word, why) in [
        ("old", 1, "WARNING", "square/a was refreshed 9d 0h ago"),
        ("very old", 2, "CRITICAL", "square/a was refreshed 16d 0h ago"),
        ("dead", 2, "CRITICAL", "square/a needs a login"),
        ("damaged", 2, "CRITICAL", "square/a cannot be read"),
        ("newer", 2, "CRITICAL", "square/a cannot be read"),
        ("in doubt", 1, "WARNING", "square/a is in doubt"),
        ("ended", 2, "CRITICAL", "square/a has a refresh token that has expired"),
    ] {
        let env = TestEnv::new();
        put(&env, "fine", DAY, 29 * DAY);
        put_state(&env, state);
        let (text, _) = said(&env.tokman(&["check"]), code, word);
        assert_eq!(text, format!("TOKMAN {word} - 1 of 2 tokens: {why}"), "{state}");
        // Nothing is moved or mended by looking.
        said(&env.tokman(&["check"]), code, word);
        said(&env.tokman(&["check", "-n", "fine"]), 0, "OK");
        said(&env.tokman(&["check", "-p", "wix"]), 3, "UNKNOWN");
    }
}

#[test]
fn takes_limits_of_the_callers_own() {
    let env = TestEnv::new();
    put(&env, "a", 3 * DAY, 27 * DAY);
    said(&env.tokman(&["check", "--warn-age", "2d"]), 1, "WARNING");
    said(&env.tokman(&["check", "--warn-age", "1d", "--crit-age", "2d"]), 2, "CRITICAL");
    said(&env.tokman(&["check", "--warn-expiry", "26d"]), 0, "OK");
    let (text, data) = said(&env.tokman(&["check", "--warn-expiry", "28d"]), 1, "WARNING");
    assert!(text.contains("square/a ends in 26d 23h"), "{text}");
    assert_eq!(value(&data, "soonest_expiry")[1], "2419200:");
}

#[test]
fn names_a_few_of_many() {
    let env = TestEnv::new();
    for n in 0..20 {
        put(&env, &format!("{}{n:02}", "x".repeat(120)), 9 * DAY, 21 * DAY);
    }
    let (text, data) = said(&env.tokman(&["check"]), 1, "WARNING");
    assert!(text.contains("20 of 20 tokens: ") && text.ends_with(" and 17 more") && text.len() < 600, "{text}");
    assert_eq!(value(&data, "tokens")[0], "20");
}

#[test]
fn is_unknown_where_nothing_is_stored_or_tokman_cannot_look() {
    let env = TestEnv::new();
    let (text, data) = said(&env.tokman(&["check"]), 3, "UNKNOWN");
    assert_eq!((text.as_str(), data.len()), ("TOKMAN UNKNOWN - nothing is stored", 0));
    assert!(!env.config_dir().exists(), "a look makes no directories");
    put(&env, "a", DAY, 29 * DAY);
    for (args, why) in [
        (&["check", "-p", "nowhere"][..], "unknown provider 'nowhere'"),
        (&["check", "-p", "../etc"], "is not a provider name"),
        (&["check", "--warn-age", "soon"], "'soon' is not a duration"),
        (&["check", "--warn-age", "16d"], "--warn-age is above --crit-age"),
        (&["check", "--no-such-option"], "--no-such-option"),
        (&["--no-such-option", "check"], "--no-such-option"),
        (&["-o", "xml", "check"], "xml"),
        (&["check", "-o", "token"], "json, none only"),
        (&["check", "extra"], "extra"),
        (&["check", "--store", "ftp://x"], "a store is"),
        (&["check", "--store", "file:/dev/null/x"], "nothing is stored"),
    ] {
        let (text, _) = said(&env.tokman(args), 3, "UNKNOWN");
        assert!(text.contains(why), "{args:?}: {text}");
    }
    env.write_config("[store]\nurll = \"file\"\n");
    let (text, _) = said(&env.tokman(&["check"]), 3, "UNKNOWN");
    assert!(text.contains("config.toml:2: unknown field `urll`"), "{text}");
    // Somebody else's wrong options are none of its business, and help is help.
    env.tokman(&["token", "-n", "check", "--no-such-option"]).code(2).stdout_is("");
    env.tokman(&["check", "--help"]).code(0).stdout_has("Usage: tokman check");
}

#[test]
fn is_unknown_where_the_store_is_no_directory() {
    let env = TestEnv::new();
    env.write(env.home().join("file"), "");
    let config = env.config_dir().join("config.toml");
    env.write(&config, "");
    std::fs::remove_file(&config).expect("a file");
    std::os::unix::fs::symlink("loop", env.config_dir().join("loop")).expect("a link");
    let store = format!("file:{}", env.config_dir().join("loop").display());
    let (text, _) = said(&env.tokman(&["check", "--store", &store]), 3, "UNKNOWN");
    assert!(text.contains("cannot list"), "{text}");
}

#[test]
fn is_one_object_as_json() {
    let env = TestEnv::new();
    put(&env, "a", 9 * DAY, 21 * DAY);
    env.write_token("wix/default", &wix_record("wix/default", "https://www.wixapis.com", 3600, 3 * 3600));
    let run = env.tokman(&["check", "-o", "json"]);
    let said = run.code(1).json();
    assert_eq!((&said["status"], &said["code"], &said["tokens"]), (&json!("WARNING"), &json!(1), &json!(2)));
    assert_eq!(said["states"]["fresh"], 2);
    assert_eq!(said["worst"], json!([{"key": "square/a", "why": "was refreshed 9d 0h ago"}]));
    assert!(said["oldest_age_seconds"].as_i64() >= Some(9 * DAY), "{run}");
    let run = env.tokman(&["check", "-o", "json", "-p", "nowhere"]);
    assert_eq!(run.code(3).json()["status"], "UNKNOWN");
    let nothing: Value = env.tokman(&["check", "-o", "json", "-n", "nobody"]).code(3).json();
    assert_eq!(nothing["message"], "nothing is stored");
}

#[test]
fn what_keeps_it_from_looking_is_said_in_the_form_that_was_asked_for() {
    let env = TestEnv::new();
    for args in [
        &["-o", "json", "--bad"][..],
        &["-ojson", "--bad"],
        &["--bad", "--output=json"],
        &["-p", "nowhere", "-o", "json"],
    ] {
        let run = env.tokman(&[&["check"], args].concat());
        let said = run.code(3).stderr_is("").json();
        assert_eq!((&said["status"], &said["code"]), (&json!("UNKNOWN"), &json!(3)), "{run}");
        assert!(said["message"].as_str().is_some_and(|why| why.contains("--bad") || why.contains("nowhere")), "{run}");
    }
    // The line on stdout is the watcher's; stderr is the log's.
    for (args, code) in [(&["--bad"][..], 2), (&["-p", "nowhere"], 3), (&["-o", "token"], 2)] {
        let run = env.tokman(&[&["check", "--log-format", "json"], args].concat());
        run.code(3).stdout_has("TOKMAN UNKNOWN - ");
        let error: Value = serde_json::from_str(&run.stderr).unwrap_or_else(|_| panic!("{run}"));
        assert_eq!((&error["level"], &error["code"]), (&json!("error"), &json!(code)), "{run}");
    }
}

#[test]
fn is_quiet_only_when_all_is_well() {
    let env = TestEnv::new();
    put(&env, "a", DAY, 29 * DAY);
    env.tokman(&["check", "-q"]).code(0).stdout_is("").stderr_is("");
    env.tokman(&["check", "-q", "--warn-age", "1s"]).code(1).stdout_has("TOKMAN WARNING - ");
    let script = "exec \"$0\" check >/dev/full";
    env.program("sh", &["-c", script, env!("CARGO_BIN_EXE_tokman")]).run().code(3);
}
