//! `status`: what is stored, how long it lasts, and what the provider says of it.

use serde_json::{Value, json};

use crate::support::stored::{applications, at, record, wix_record};
use crate::support::{Answer, Request, Server, Step, TestEnv};

const BASE: &str = "https://connect.squareup.com";
const DAY: i64 = 86_400;

/// One key for each state that there is.
fn every_state(env: &TestEnv) {
    env.write_token("square/a-fresh", &record("square/a-fresh", BASE, DAY, 29 * DAY));
    env.write_token("square/b-expiring", &record("square/b-expiring", BASE, 29 * DAY, DAY));
    env.write_token("square/c-expired", &record("square/c-expired", BASE, 31 * DAY, -DAY));
    let mut dead = record("square/d-dead", BASE, DAY, 29 * DAY);
    dead["tokman"]["needs_login"] = at(-60).into();
    env.write_token("square/d-dead", &dead);
    env.write_token("square/e-doubt", &record("square/e-doubt", BASE, DAY, 29 * DAY));
    env.write(env.config_dir().join("tokens/square/.e-doubt.inflight"), "{}");
    let mut unknown = record("square/f-unknown", BASE, DAY, DAY);
    unknown["tokman"]["expires_at"] = Value::Null;
    env.write_token("square/f-unknown", &unknown);
    env.write_token("wix/default", &wix_record("wix/default", "https://www.wixapis.com", 3600, 3 * 3600));
}

/// The states by key, from the JSON.
fn states(listed: &Value) -> Vec<(&str, &str)> {
    listed
        .as_array()
        .expect("an array")
        .iter()
        .map(|view| (view["key"].as_str().expect("a key"), view["state"].as_str().expect("a state")))
        .collect()
}

#[test]
fn what_ended_without_a_refresh_token_needs_a_login() {
    let env = TestEnv::new();
    let mut ended = record("square/ended", BASE, 86_400, -3600);
    ended.as_object_mut().expect("an object").remove("refresh_token");
    env.write_token("square/ended", &ended);
    ended["tokman"]["grant"] = json!(null);
    ended["tokman"]["profile"] = "bare".into();
    env.write_token("square/bare", &ended);
    let mut minted = wix_record("wix/minted", BASE, 86_400, -3600);
    minted["tokman"]["grant"] = "client_credentials".into();
    env.write_token("wix/minted", &minted);
    let run = env.tokman(&["status", "--only", "needs_login"]);
    run.code(0).stdout_has("square/ended").stdout_has("square/bare").stdout_lacks("wix/minted");
    env.tokman(&["check"]).code(2).stdout_has("need");
}

#[test]
fn tells_every_state_in_a_table_without_colour() {
    let env = TestEnv::new();
    every_state(&env);
    let run = env.tokman(&["status"]);
    run.code(0).stderr_is("");
    assert!(!run.stdout.contains('\u{1b}'), "{run}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("KEY") && lines[0].contains("ACCOUNT") && lines[0].contains("STATE"), "{run}");
    let row = |key: &str| *lines.iter().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key}: {run}"));
    for (key, state) in [
        ("square/a-fresh", "fresh"),
        ("square/b-expiring", "expiring"),
        ("square/c-expired", "expired"),
        ("square/d-dead", "needs_login"),
        ("square/e-doubt", "in_doubt"),
        ("square/f-unknown", "unknown"),
        ("wix/default", "fresh"),
    ] {
        assert!(row(key).split_whitespace().any(|word| word == state), "{key}: {run}");
    }
    assert_eq!(lines.len(), 8, "{run}");
    // A bar of ten cells, fuller the more is left.
    assert!(
        row("square/a-fresh").contains("██████████  in 28d 23h") && row("square/b-expiring").contains("█░░░░░░░░░"),
        "{run}"
    );
    assert!(row("square/c-expired").contains("░░░░░░░░░░  1d 0h ago"), "{run}");
    assert!(row("square/a-fresh").contains("MLTESTS") && row("square/a-fresh").contains("1d 0h ago"), "{run}");
}

#[test]
fn is_an_array_of_exactly_these_members_as_json() {
    let env = TestEnv::new();
    every_state(&env);
    let run = env.tokman(&["status", "-o", "json"]);
    run.code(0).stderr_is("");
    let listed = run.json();
    let expected = [
        ("square/a-fresh", "fresh"),
        ("square/b-expiring", "expiring"),
        ("square/c-expired", "expired"),
        ("square/d-dead", "needs_login"),
        ("square/e-doubt", "in_doubt"),
        ("square/f-unknown", "unknown"),
        ("wix/default", "fresh"),
    ];
    assert_eq!(states(&listed), expected);
    for view in listed.as_array().expect("an array") {
        let names: Vec<_> = view.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "key",
                "provider",
                "profile",
                "account",
                "state",
                "obtained_at",
                "refreshed_at",
                "expires_at",
                "refresh_token_expires_at",
                "remote"
            ]
        );
    }
    let first = &listed[0];
    let stored = env.read_token("square/a-fresh");
    assert_eq!(first["provider"], "square");
    assert_eq!(first["profile"], "a-fresh");
    assert_eq!(first["account"], "MLTESTS");
    for name in ["obtained_at", "refreshed_at", "expires_at"] {
        assert_eq!(first[name], stored["tokman"][name], "{name}");
    }
    assert_eq!((&first["refresh_token_expires_at"], &first["remote"]), (&Value::Null, &Value::Null));
}

#[test]
fn shows_nothing_stored_as_nothing_and_says_so_on_stderr() {
    let env = TestEnv::new();
    env.tokman(&["status"]).code(0).stdout_is("").stderr_has("Nothing is stored yet").stderr_has("tokman obtain");
    env.tokman(&["status", "-o", "json"]).code(0).stdout_is("[]\n").stderr_has("Nothing is stored yet");
    env.tokman(&["status", "-q"]).code(0).stdout_is("").stderr_is("");
    assert!(!env.config_dir().exists(), "a look makes no directories");
}

#[test]
fn says_under_what_nothing_is_stored_where_other_things_are() {
    let env = TestEnv::new();
    every_state(&env);
    let run = env.tokman(&["status", "-n", "zz"]);
    run.code(0).stdout_is("").stderr_is("Nothing is stored under the profile zz. To see what is: tokman status\n");
    env.write_config("[provider.acme]\nkind = \"oauth2\"\nissuer = \"https://a.example\"\nclient_id = \"x\"\n");
    let run = env.tokman(&["status", "-p", "acme"]);
    run.code(0).stderr_is("Nothing is stored for acme. Begin with: tokman obtain --provider acme\n");
    for narrowed in [&["-n", "@account"][..], &["-p", "square", "-n", "@account"]] {
        let run = env.tokman(&[&["status"], narrowed].concat());
        run.code(2).stdout_is("").stderr_has("only 'obtain' takes it");
    }
}

#[test]
fn is_exit_4_for_one_key_that_is_not_stored() {
    let env = TestEnv::new();
    every_state(&env);
    let run = env.tokman(&["status", "-p", "square", "-n", "nobody"]);
    run.code(4).stdout_is("").stderr_has("error: nothing is stored for square/nobody");
    env.tokman(&["status", "-p", "nowhere"]).code(3).stderr_has("unknown provider 'nowhere'");
}

#[test]
fn narrows_to_a_provider_a_profile_or_one_key() {
    let env = TestEnv::new();
    every_state(&env);
    let listed = |args: &[&str]| {
        let run = env.tokman(&[&["status", "-o", "json"], args].concat());
        states(&run.code(0).json()).into_iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&["-p", "wix"]), ["wix/default"]);
    assert_eq!(listed(&["-p", "square"]).len(), 6);
    assert_eq!(listed(&["-n", "default"]), ["wix/default"]);
    assert_eq!(listed(&["-p", "square", "-n", "a-fresh"]), ["square/a-fresh"]);
    env.tokman(&["status", "-q"]).code(0).stdout_is("");
    env.tokman(&["status", "-o", "none"]).code(0).stdout_is("");
    env.tokman(&["status", "-o", "token"]).code(2).stdout_is("");
}

#[test]
fn shows_a_damaged_file_as_unknown_and_ends_with_8_after_the_others() {
    let env = TestEnv::new();
    every_state(&env);
    env.write(env.token_path("square/a-fresh"), "{\"access_token\": \"");
    let run = env.tokman(&["status", "-o", "json"]);
    run.code(8).stderr_has("a-fresh.json is damaged").stderr_has("hint: ");
    let listed = run.json();
    assert_eq!(states(&listed)[0], ("square/a-fresh", "unknown"));
    assert_eq!(states(&listed).len(), 7);
    env.tokman(&["status"]).code(8).stdout_has("wix/default").stdout_has("square/a-fresh");
    // The others are unharmed.
    env.tokman(&["status", "-p", "wix"]).code(0);
}

#[test]
fn asks_the_provider_and_takes_a_dead_token_for_a_finding() {
    let token = record("square/default", BASE, DAY, 29 * DAY);
    let access = token["access_token"].as_str().expect("a token").to_owned();
    let wix = wix_record("wix/default", BASE, 60, 3600);
    let wix_access = wix["access_token"].clone();
    for (square_status, square_says, wix_says, word) in [
        (
            200,
            json!({"client_id": "sq0idp-id-of-the-tests", "merchant_id": "MLTESTS"}),
            json!({"active": "true"}),
            "active",
        ),
        (
            401,
            json!({"errors": [{"category": "AUTHENTICATION_ERROR", "code": "ACCESS_TOKEN_REVOKED", "detail": "revoked"}]}),
            json!({"active": "false"}),
            "inactive",
        ),
    ] {
        let server = Server::start(vec![
            Step::expect(Request::post("/oauth2/token/status").bearer(&access)).answer(square_status, square_says),
            Step::expect(Request::post("/oauth2/token-info").json(json!({"token": wix_access}))).answer(200, wix_says),
        ]);
        let env = applications(&server.url());
        for (key, token) in [("square/default", &token), ("wix/default", &wix)] {
            let mut token = token.clone();
            token["tokman"]["base_url"] = server.url().into();
            env.write_token(key, &token);
        }
        let listed = env.tokman(&["status", "--remote", "-o", "json"]).code(0).json();
        assert_eq!((&listed[0]["remote"], &listed[1]["remote"]), (&json!(word), &json!(word)));
        server.finish();
    }
}

#[test]
fn keeps_the_list_when_the_provider_cannot_be_asked() {
    let server = Server::with(|_, _| Answer::html(502, "<h1>Bad gateway</h1>"));
    let env = applications(&server.url());
    env.write_token("square/default", &record("square/default", &server.url(), DAY, 29 * DAY));
    let run = env.tokman(&["status", "--remote", "-o", "json", "--timeout", "1s"]);
    run.code(7).stderr_has("error: ");
    assert_eq!(states(&run.json()), [("square/default", "fresh")]);
    server.finish();
}

#[test]
fn is_called_list_too() {
    let env = TestEnv::new();
    every_state(&env);
    let (status, list) = (env.tokman(&["status", "-o", "json"]), env.tokman(&["list", "-o", "json"]));
    assert_eq!(list.code(0).stdout, status.stdout);
}

#[test]
fn does_not_mind_a_reader_that_has_seen_enough() {
    let env = TestEnv::new();
    for n in 0..300 {
        let key = format!("square/p{n:03}");
        env.write_token(&key, &record(&key, BASE, DAY, 29 * DAY));
    }
    let tokman = env!("CARGO_BIN_EXE_tokman");
    for format in ["", "-o json"] {
        let script = format!("{{ \"$0\" status {format}; echo $? >&2; }} | head -c 1");
        env.program("sh", &["-c", &script, tokman]).run().code(0).stderr_is("0\n");
    }
}

#[test]
fn says_that_a_full_disk_took_nothing() {
    let env = TestEnv::new();
    every_state(&env);
    for format in ["", "-o json"] {
        let script = format!("exec \"$0\" status {format} >/dev/full");
        let run = env.program("sh", &["-c", &script, env!("CARGO_BIN_EXE_tokman")]).run();
        run.code(1).stderr_has("error: cannot write to stdout").stderr_lacks("panicked");
    }
}

#[test]
fn shows_only_the_states_that_are_asked_for() {
    let env = TestEnv::new();
    every_state(&env);
    for args in [&["--only", "needs_login,expired"][..], &["--only", "expired", "--only", "needs_login"]] {
        let run = env.tokman(&[&["status", "-o", "json"], args].concat());
        assert_eq!(states(&run.code(0).json()), [("square/c-expired", "expired"), ("square/d-dead", "needs_login")]);
        let run = env.tokman(&[&["status"], args].concat());
        assert_eq!(run.code(0).stdout.lines().count(), 3, "{run}");
    }
    env.tokman(&["status", "--only", "fresh", "-p", "wix"]).code(0).stdout_has("wix/default");
    env.tokman(&["status", "--only", "expired", "-p", "wix"]).code(0).stdout_is("").stderr_is("");
    let wrong = env.tokman(&["status", "--only", "stale"]);
    wrong.code(2).stderr_has("stale").stderr_has("fresh, expiring, expired, needs_login, in_doubt, unknown");
}

#[test]
fn shows_more_keys_than_fit_on_a_page() {
    let env = TestEnv::new();
    for n in 0..1100 {
        let key = if n == 3 { format!("square/{n:04}{}", "x".repeat(60)) } else { format!("square/{n:04}") };
        env.write_token(&key, &json!({ "access_token": "x" }));
    }
    let run = env.tokman(&["status"]);
    run.code(0).stderr_is("");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 1101);
    let column = lines[0].find("STATE").expect("a column");
    let state = |line: &str| line.chars().skip(column).take(7).collect::<String>();
    assert!(lines[1..].iter().all(|line| state(line) == "unknown"), "the columns are not aligned");
    assert_eq!(lines.iter().filter(|line| line.starts_with("KEY")).count(), 1);
    let listed = env.tokman(&["status", "-o", "json"]).code(0).json();
    let keys: Vec<&str> = states(&listed).into_iter().map(|(key, _)| key).collect();
    assert!(keys.len() == 1100 && keys.is_sorted(), "{} keys", keys.len());
}

/// The samples of a text as the exposition format has it: `name`, labels, value. Fails for anything else.
#[track_caller]
fn samples(text: &str) -> Vec<(String, String, i64)> {
    let (mut found, mut known, mut families) = (Vec::new(), "", Vec::new());
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let line = line.strip_suffix('\n').expect("a line that ends");
        if let Some(help) = line.strip_prefix("# HELP ") {
            known = help.split_once(' ').expect("a text").0;
            assert_eq!(lines.next(), Some(format!("# TYPE {known} gauge\n").as_str()), "{text}");
            assert!(!families.contains(&known), "{known} comes twice: {text}");
            families.push(known);
            continue;
        }
        let (name, rest) = line.split_once('{').expect("labels");
        assert_eq!(name, known, "a sample of another family: {text}");
        let (labels, value) = rest.split_once("} ").expect("a value");
        found.push((name.to_owned(), labels.to_owned(), value.parse().expect("a number")));
    }
    assert_eq!(families.len(), 4, "{text}");
    found
}

#[test]
fn is_metrics_for_prometheus() {
    let env = TestEnv::new();
    every_state(&env);
    env.write(env.token_path("square/g-damaged"), "{");
    let run = env.tokman(&["status", "-o", "prometheus"]);
    run.code(8).stderr_has("g-damaged.json is damaged");
    assert_eq!(run.stderr.matches("warning: ").count(), 1, "{run}");
    let found = samples(&run.stdout);
    let of = |name: &str| -> Vec<(&str, i64)> {
        found.iter().filter(|one| one.0 == name).map(|one| (one.1.as_str(), one.2)).collect()
    };
    assert_eq!(of("tokman_token_expiry_timestamp_seconds").len(), 6, "{run}");
    assert_eq!(of("tokman_token_refreshed_timestamp_seconds").len(), 7, "{run}");
    let end: jiff::Timestamp =
        env.read_token("wix/default")["tokman"]["expires_at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    let labels = "provider=\"wix\",profile=\"default\"";
    assert!(of("tokman_token_expiry_timestamp_seconds").contains(&(labels, end.as_second())), "{run}");
    let ones = |name: &str| of(name).into_iter().filter(|one| one.1 == 1).map(|one| one.0).collect::<Vec<_>>();
    assert_eq!(ones("tokman_token_needs_login"), ["provider=\"square\",profile=\"d-dead\""]);
    assert_eq!(ones("tokman_token_unreadable"), ["provider=\"square\",profile=\"g-damaged\""]);
    assert_eq!((of("tokman_token_needs_login").len(), of("tokman_token_unreadable").len()), (7, 8));
    // Prometheus' own checker, where it is at hand.
    let shell = "command -v promtool >/dev/null || exit 77; exec promtool check metrics";
    let check = env.program("sh", &["-c", shell]).stdin(run.stdout.clone()).run();
    if check.status == Some(77) {
        crate::support::report::skipped("promtool", "it is not installed");
    } else {
        check.code(0).stdout_is("").stderr_is("");
    }
}

#[test]
fn writes_the_metrics_into_a_file_at_once() {
    let env = TestEnv::new();
    every_state(&env);
    let dir = env.work().join("textfile");
    crate::support::env::make_directories(&dir);
    let file = dir.join("tokman.prom");
    let path = file.to_str().expect("a path");
    let write = ["status", "-o", "prometheus", "--write", path];
    env.command(&write).after("umask 077").run().code(0).stdout_is("").stderr_is("");
    let first = std::fs::read_to_string(&file).expect("a file");
    assert_eq!(first, env.tokman(&["status", "-o", "prometheus"]).stdout);
    samples(&first);
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).expect("a file")) & 0o777;
    assert_eq!(mode, 0o644, "its reader is another user");
    // A store that cannot be listed leaves the old file, and nothing beside it.
    std::os::unix::fs::symlink("loop", env.config_dir().join("loop")).expect("a link");
    let store = format!("file:{}", env.config_dir().join("loop").display());
    env.tokman(&[&write[..], &["--store", &store]].concat()).code(8);
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), first);
    assert_eq!(std::fs::read_dir(&dir).expect("a directory").count(), 1);
    // A damaged record is no reason to leave the others out.
    env.write(env.token_path("square/a-fresh"), "{");
    env.tokman(&write).code(8);
    assert!(
        std::fs::read_to_string(&file)
            .expect("a file")
            .contains("unreadable{provider=\"square\",profile=\"a-fresh\"} 1")
    );
    let nowhere = env.work().join("none/tokman.prom").display().to_string();
    env.tokman(&["status", "-o", "prometheus", "--write", &nowhere]).code(3).stderr_has("cannot replace");
    env.tokman(&["status", "--write", path]).code(2).stderr_has("-o prometheus");
    env.tokman(&["status", "-o", "prometheus", "--remote"]).code(2).stderr_has("--remote");
}

#[test]
fn a_provider_that_stands_in_for_want_of_another_hides_nothing() {
    let mut env = TestEnv::new();
    every_state(&env);
    env.write_config("[defaults]\nprovider = \"wix\"\n");
    let count = |env: &TestEnv, args: &[&str]| {
        states(&env.tokman(&[&["status", "-o", "json"], args].concat()).code(0).json()).len()
    };
    assert_eq!((count(&env, &[]), count(&env, &["-n", "default"]), count(&env, &["-p", "square"])), (7, 1, 6));
    env.tokman(&["status", "-n", "nobody"]).code(4).stderr_has("wix/nobody");
    env.tokman(&["check", "--warn-age", "1h", "--crit-age", "40d"]).code(2).stdout_has("of 7 tokens");
    env.set("TOKMAN_PROVIDER", "wix");
    assert_eq!(count(&env, &[]), 1);
}
