//! `export` and `import`: what one prints, the other stores; nothing is stored where anything is refused.

use std::fs;

use serde_json::{Value, json};

use crate::support::run::Run;
use crate::support::stored::{at, record, wix_record};
use crate::support::{Stored, TestEnv, canary, sealing_key};

const BASE: &str = "https://connect.squareup.com";
const DAY: i64 = 86_400;

/// The tokens of a record.
fn secrets(record: &Value) -> Vec<String> {
    ["access_token", "refresh_token"].iter().filter_map(|name| record[name].as_str().map(str::to_owned)).collect()
}

/// A world with a few records, and their secrets.
fn filled() -> (TestEnv, Vec<(&'static str, Value)>) {
    let env = TestEnv::new();
    let mut dead = record("square/shop@example.com", BASE, 9 * DAY, 21 * DAY);
    dead["tokman"]["needs_login"] = at(-60).into();
    dead["scope"] = "A B".into();
    // More than is gathered before it is written.
    dead["long"] = "x".repeat(100_000).into();
    dead["id"] = json!({"deep": [1.50, null, "é\u{2028}"]});
    let records = vec![
        ("square/default", record("square/default", BASE, DAY, 29 * DAY)),
        ("square/shop@example.com", dead),
        ("wix/default", wix_record("wix/default", "https://www.wixapis.com", 60, 3600)),
    ];
    for (key, record) in &records {
        env.write_token(key, record);
    }
    (env, records)
}

#[track_caller]
fn export(env: &TestEnv, args: &[&str], records: &[(&str, Value)]) -> Run {
    let secrets: Vec<String> = records.iter().flat_map(|(_, record)| secrets(record)).collect();
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    env.command(&[&["export"], args].concat()).may_print(&secrets).run()
}

#[track_caller]
fn import(env: &TestEnv, args: &[&str], input: &str) -> Run {
    env.command(&[&["import"], args].concat()).stdin(input).run()
}

fn stored(env: &TestEnv) -> usize {
    env.tokman(&["status", "-o", "json", "-q"]);
    let listed = env.tokman(&["status", "-o", "json"]);
    listed.json().as_array().map_or(0, Vec::len)
}

#[test]
fn carries_a_store_into_an_empty_one() {
    let (env, records) = filled();
    let run = export(&env, &[], &records);
    run.code(0).stderr_is("");
    let lines: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, records.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>());
    let other = TestEnv::new();
    import(&other, &[], &run.stdout).code(0).stdout_is("3\n").stderr_is("");
    for (key, record) in &records {
        assert_eq!(other.read_token(key), *record);
    }
    assert_eq!(export(&other, &[], &records).code(0).stdout, run.stdout);
    let history = other.tokman(&["history", "-o", "json"]).json();
    assert_eq!(history.as_array().map(Vec::len), Some(3));
    assert_eq!(history[0]["action"], "import");
}

#[test]
fn carries_a_sealed_store_into_a_plain_one_and_back() {
    let (mut env, records) = filled();
    let plain = export(&env, &[], &records).code(0).stdout.clone();
    let mut sealed = TestEnv::new();
    let key = sealing_key();
    sealed.set("TOKMAN_STORE_KEY", &key);
    import(&sealed, &[], &plain).code(0).stdout_is("3\n");
    for (key, _) in &records {
        let text = fs::read_to_string(sealed.token_path(key)).expect("a record");
        assert!(text.contains("\"sealed\"") && !text.contains("canary"), "{text}");
    }
    assert_eq!(export(&sealed, &[], &records).code(0).stdout, plain);
    // Sealed files as they are, by somebody who has the key.
    let files: Vec<Value> = records.iter().map(|(key, _)| sealed.read_token(key)).collect();
    let lines = files.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    import(&env, &["--replace"], &lines).code(2).stderr_has("line 1: ").stderr_has("no sealing key is configured");
    env.set("TOKMAN_STORE_KEY", key);
    import(&env, &["--replace"], &lines).code(0).stdout_is("3\n");
    env.tokman(&["status"]).code(0);
}

#[test]
fn narrows_an_export() {
    let (env, records) = filled();
    let keys = |args: &[&str]| -> Vec<String> {
        let run = export(&env, args, &records);
        run.code(0);
        let line = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["tokman"].clone();
        run.stdout
            .lines()
            .map(line)
            .map(|meta| format!("{}/{}", meta["provider"], meta["profile"]).replace('"', ""))
            .collect()
    };
    assert_eq!(keys(&["-p", "wix"]), ["wix/default"]);
    assert_eq!(keys(&["-n", "default"]), ["square/default", "wix/default"]);
    assert_eq!(keys(&["-p", "square", "-n", "default"]), ["square/default"]);
    assert_eq!(keys(&["-q", "-p", "wix", "-o", "json"]), ["wix/default"]);
    env.tokman(&["export", "-p", "square", "-n", "nobody"]).code(4);
    env.tokman(&["export", "-p", "nowhere"]).code(3);
    TestEnv::new().tokman(&["export"]).code(0).stdout_is("").stderr_has("Nothing is stored");
}

#[test]
fn exports_the_others_where_one_cannot_be_read() {
    let (env, records) = filled();
    env.write(env.token_path("square/damaged"), "{");
    let run = export(&env, &[], &records);
    run.code(8).stderr_has("square/damaged: ").stderr_has("damaged.json is damaged");
    assert_eq!(run.stdout.lines().count(), 3);
}

#[test]
fn does_not_show_secrets_on_a_terminal_unasked() {
    let (env, records) = filled();
    let on_terminal = |args: &str| {
        let secrets: Vec<String> = records.iter().flat_map(|(_, record)| secrets(record)).collect();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let command = format!("{} export {args}", env!("CARGO_BIN_EXE_tokman"));
        env.program("script", &["-qefc", &command, "/dev/null"]).may_print(&secrets).run()
    };
    on_terminal("").code(2).stdout_has("--yes").stdout_lacks("canary");
    on_terminal("--yes").code(0).stdout_has("canary");
}

#[test]
fn warns_of_a_file_that_others_can_read() {
    let (env, records) = filled();
    let export = |umask: &str| {
        let script = format!("umask {umask}; \"$0\" export > out; code=$?; chmod 600 out; exit $code");
        env.program("sh", &["-c", &script, env!("CARGO_BIN_EXE_tokman")]).run()
    };
    export("022").code(0).stderr_has("others can read the file");
    fs::remove_file(env.work().join("out")).expect("a file");
    export("077").code(0).stderr_is("");
    let text = fs::read_to_string(env.work().join("out")).expect("a file");
    assert_eq!(text.lines().count(), records.len());
}

#[test]
fn takes_the_key_of_a_bare_response_from_beside_it_or_from_the_options() {
    let env = TestEnv::new();
    let bare = json!({"access_token": canary("access"), "refresh_token": canary("refresh"), "expires_in": 3600, "merchant_id": "M"});
    // One on several lines, with a byte-order mark.
    let pretty = format!("\n{bare:#}\n\n");
    import(&env, &[], &pretty).code(2).stderr_has("line 2: nothing says whose token it is").stderr_has("'provider'");
    import(&env, &["-p", "square", "-n", "shop"], &format!("\u{feff}{bare:#}")).code(0).stdout_is("1\n").stderr_is("");
    let record = env.read_token("square/shop");
    assert_eq!((&record["tokman"]["provider"], &record["tokman"]["generation"]), (&json!("square"), &json!(1)));
    // Its life counts from now.
    let end: jiff::Timestamp = record["tokman"]["expires_at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    let left = end.duration_since(crate::support::stored_square::now()).as_secs();
    assert!((3480..=3600).contains(&left), "{left}");
    assert_eq!(env.tokman(&["status", "-o", "json"]).json()[0]["account"], "M");
    let mut beside = bare.clone();
    (beside["provider"], beside["profile"]) = ("wix".into(), "site".into());
    let mut second = beside.clone();
    second["profile"] = "other".into();
    import(&env, &["-o", "json"], &format!("{beside}\n\n{second}")).code(0).stdout_is("{\n  \"imported\": 2\n}\n");
    let record = env.read_token("wix/site");
    assert_eq!(
        (&record["provider"], &record["profile"], &record["tokman"]["profile"]),
        (&Value::Null, &Value::Null, &json!("site"))
    );
    // What is not meant, and a second one without a name.
    import(&env, &["-p", "square"], &beside.to_string()).code(2).stderr_has("it is the token of wix/site");
    import(&env, &["-p", "square", "-n", "two"], &format!("{bare}\n{bare}\n"))
        .code(2)
        .stderr_has("line 2: -p and -n name a single token");
}

#[test]
fn refuses_everything_where_anything_is_refused() {
    let (env, records) = filled();
    let before: Vec<Value> = records.iter().map(|(key, _)| env.read_token(key)).collect();
    let good = record("square/new", BASE, DAY, 29 * DAY);
    let of = |key: &str, change: fn(&mut Value)| {
        let mut record = record(key, BASE, DAY, 29 * DAY);
        change(&mut record);
        record.to_string()
    };
    for (bad, why) in [
        ("{".to_owned(), "line 2: it is not JSON"),
        ("[]".to_owned(), "line 2: it is JSON but not an object"),
        ("7".to_owned(), "line 2: it is JSON but not an object"),
        ("{\"a\":1,\"a\":2}".to_owned(), "line 2: it has a member twice"),
        ("{}".to_owned(), "line 2: nothing says whose token it is"),
        (
            of("square/x", |record| record["tokman"]["provider"] = "../x".into()),
            "line 2: '../x' is not a provider name",
        ),
        (of("square/x", |record| record["tokman"]["profile"] = "a/b".into()), "line 2: 'a/b' is not a profile name"),
        (of("square/x", |record| record["tokman"]["generation"] = "x".into()), "line 2: its member 'tokman' is not"),
        (of("square/x", |record| record["tokman"] = json!({})), "line 2: its member 'tokman' is not"),
        (of("square/x", |record| record["tokman"]["version"] = 9.into()), "line 2: a newer tokman wrote it"),
        (
            of("square/x", |record| {
                record["access_token"] = "".into();
                record["refresh_token"] = Value::Null;
            }),
            "line 2: it has no access_token",
        ),
        (of("square/x", |record| record["access_token"] = "a\nb".into()), "line 2: a token in it has a character"),
        (of("square/x", |record| record["refresh_token"] = "a\0b".into()), "line 2: a token in it has a character"),
        (of("square/x", |record| record["tokman"]["generation"] = u64::MAX.into()), "line 2: its generation is beyond"),
        (of("square/new", |_| {}), "line 2: it has the key of line 1"),
        (of("square/default", |_| {}), "line 2: square/default is stored already; --replace"),
    ] {
        let run = import(&env, &[], &format!("{good}\n{bad}\n"));
        run.code(2).stdout_is("").stderr_has("nothing was imported: ").stderr_has(why);
        assert_eq!(stored(&env), 3, "{run}");
    }
    let many = (0..30).map(|_| "[]\n").collect::<String>();
    import(&env, &[], &many).code(2).stderr_has("line 10: ").stderr_lacks("line 11: ").stderr_has("and 20 more");
    let twice = |name: &str| format!("{}\n", record(name, BASE, DAY, 29 * DAY));
    let lines: String = ["square/x", "square/y", "square/x", "square/y"].map(twice).concat();
    import(&env, &[], &lines).code(2).stderr_has("line 3: it has the key of line 1; line 4: it has the key of line 2");
    for nothing in ["", "\n \n"] {
        import(&env, &[], nothing).code(2).stderr_has("there is no token on stdin");
    }
    let huge = format!("{{\"access_token\":\"{}\"}}", "x".repeat(5 << 20));
    import(&env, &["-p", "square", "-n", "x"], &huge).code(2).stderr_has("line 1 is larger than 4194304 bytes");
    let after: Vec<Value> = records.iter().map(|(key, _)| env.read_token(key)).collect();
    assert_eq!(before, after);
    let names = fs::read_dir(env.config_dir().join("tokens/square")).expect("a directory").count();
    assert_eq!(names, 2, "it left something");
}

#[test]
fn replaces_when_asked_and_counts_the_changes_on() {
    let (env, records) = filled();
    let lines = export(&env, &[], &records).stdout.clone();
    env.write(env.token_path("wix/default"), "{");
    import(&env, &["--replace"], &lines).code(0).stdout_is("3\n");
    assert_eq!(env.read_token("square/default")["tokman"]["generation"], 2);
    assert_eq!(env.read_token("wix/default")["access_token"], records[2].1["access_token"]);
    assert!(env.token_path("wix/default").with_extension("json.damaged").exists());
    // One that a later version wrote is nobody's to overwrite.
    env.write(env.token_path("square/default"), "{\"access_token\":\"x\",\"tokman\":{\"version\":9}}");
    import(&env, &["--replace"], &lines).code(2).stderr_has("written by a newer tokman");
}

#[test]
fn says_how_many_are_stored_where_it_is_stopped_and_goes_on_when_asked() {
    let env = TestEnv::new();
    let keys: Vec<String> = (0..4).map(|n| format!("square/k{n}")).collect();
    let lines = keys.iter().map(|key| record(key, BASE, DAY, 29 * DAY).to_string()).collect::<Vec<_>>().join("\n");
    // Something lies where the third one's lock should be.
    let lock = env.config_dir().join("tokens/square/.k2.lock");
    crate::support::env::make_directories(&lock);
    let run = import(&env, &[], &lines);
    run.code(8).stdout_is("").stderr_has("3 of 4 tokens are stored, the rest is not").stderr_lacks("--replace");
    let rest = rest_of(&run);
    assert_eq!(rest, "sed -n '3p' FILE | tokman import");
    assert_eq!(stored(&env), 3);
    fs::remove_dir(&lock).expect("a directory");
    import(&env, &[], &lines).code(2).stderr_has("square/k0 is stored already").stderr_has("hint: with --replace");
    // Refreshed by now: what it was imported with is spent.
    let mut refreshed = env.read_token("square/k3");
    refreshed["refresh_token"] = canary("refreshed").into();
    env.write_token("square/k3", &refreshed);
    go_on(&env, &rest, &lines).code(0).stdout_is("1\n");
    assert_eq!(stored(&env), 4);
    assert_eq!(env.read_token("square/k3"), refreshed);
}

/// The command that a stopped run tells to go on with.
#[track_caller]
fn rest_of(run: &Run) -> String {
    let rest = run.stderr.split("the rest and only that: ").nth(1).and_then(|rest| rest.lines().next());
    let rest = rest.unwrap_or_else(|| panic!("nothing to go on with: {run}"));
    rest.split(" (").next().expect("a command").to_owned()
}

/// Runs that command on the same input.
#[track_caller]
fn go_on(env: &TestEnv, rest: &str, lines: &str) -> Run {
    env.write("home/FILE", lines);
    let command = rest.replace("tokman", env!("CARGO_BIN_EXE_tokman"));
    env.program("sh", &["-c", &format!("cd \"$HOME\" && {command}")]).run()
}

#[test]
fn goes_on_after_a_stop_without_touching_what_is_stored() {
    let env = TestEnv::new();
    let old: Vec<Value> = (0..40).map(|n| record(&format!("square/k{n}"), BASE, DAY, 29 * DAY)).collect();
    for (n, record) in old.iter().enumerate() {
        env.write_token(&format!("square/k{n}"), record);
    }
    let new: Vec<Value> = (0..40).map(|n| record(&format!("square/k{n}"), BASE, DAY, 29 * DAY)).collect();
    // Blank lines count.
    let lines = new.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n");
    let lock = env.config_dir().join("tokens/square/.k20.lock");
    crate::support::env::make_directories(&lock);
    let run = import(&env, &["--replace", "-p", "square"], &lines);
    run.code(8).stderr_has(" of 40 tokens are stored, the rest is not");
    let rest = rest_of(&run);
    assert!(rest.ends_with(" FILE | tokman import --provider square --replace"), "{rest}");
    let is_new = |n: usize| env.read_token(&format!("square/k{n}"))["access_token"] == new[n]["access_token"];
    let done: Vec<usize> = (0..40).filter(|n| is_new(*n)).collect();
    assert!(done.len() >= 20 && done.len() < 40 && !is_new(20), "{done:?}");
    // What is stored is refreshed before anybody goes on.
    for n in &done {
        let mut refreshed = new[*n].clone();
        refreshed["access_token"] = canary("refreshed").into();
        env.write_token(&format!("square/k{n}"), &refreshed);
    }
    fs::remove_dir(&lock).expect("a directory");
    go_on(&env, &rest, &lines).code(0).stdout_is(&format!("{}\n", 40 - done.len()));
    for n in 0..40 {
        assert_eq!(is_new(n), !done.contains(&n), "{n}");
    }
}

#[test]
fn stores_nothing_under_another_name_than_it_says() {
    let env = TestEnv::new();
    let bare = |members: Value| {
        let mut bare = json!({"access_token": canary("access")});
        for (name, value) in members.as_object().expect("members") {
            bare[name] = value.clone();
        }
        bare.to_string()
    };
    for (members, why) in [
        (
            json!({"provider": "wix"}),
            "line 1: its member 'provider' is 'wix', and it would be stored as square/default",
        ),
        (
            json!({"profile": "shop"}),
            "line 1: its member 'profile' is 'shop', and it would be stored as square/default",
        ),
    ] {
        let run = import(&env, &["-p", "square"], &bare(members));
        run.code(2).stdout_is("").stderr_has("nothing was imported: ").stderr_has(why);
        assert_eq!(stored(&env), 0);
    }
    import(&env, &["-p", "square", "-n", "shop"], &bare(json!({"profile": "shop"}))).code(0);
    assert_eq!(env.read_token("square/shop")["profile"], Value::Null);
    // A provider's own member of that name is no name.
    import(&env, &["-p", "square"], &bare(json!({"profile": {"id": 1}}))).code(0);
    assert_eq!(env.read_token("square/default")["profile"]["id"], 1);
}

#[test]
fn a_store_that_cannot_be_read_is_no_fault_of_the_input() {
    let env = TestEnv::new();
    let line = record("square/default", BASE, DAY, 29 * DAY).to_string();
    let path = env.token_path("square/default");
    // Root reads what it likes, and a directory as little as anybody.
    crate::support::env::make_directories(&path);
    for options in [&[][..], &["--replace"]] {
        let run = import(&env, options, &line);
        run.code(8).stdout_is("").stderr_lacks("tokens are stored").stderr_lacks("nothing was imported");
        run.stderr_lacks("jq -c");
    }
    fs::remove_dir(&path).expect("a directory");
    env.write(&path, &line);
    env.set_mode(&path, 0o644);
    import(&env, &["--replace"], &line).code(8).stderr_has("hint: chmod 600 ");
}

#[test]
fn says_how_many_are_stored_where_a_signal_ends_it() {
    let env = TestEnv::new();
    let keys: Vec<String> = (0..4).map(|n| format!("square/k{n}")).collect();
    let lines = keys.iter().map(|key| record(key, BASE, DAY, 29 * DAY).to_string()).collect::<Vec<_>>().join("\n");
    // Somebody else is changing the third one.
    let lock = env.config_dir().join("tokens/square/.k2.lock");
    env.write(&lock, "");
    let held = fs::File::open(&lock).expect("a file");
    held.lock().expect("a lock");
    let mut running = env.command(&["import"]).spawn();
    running.feed(lines.as_bytes());
    while stored(&env) < 3 {
        std::thread::yield_now();
    }
    running.signal(rustix::process::Signal::TERM);
    let run = running.wait();
    assert_eq!(run.status, None, "the signal is honoured: {run}");
    run.stdout_is("").stderr_has("3 of 4 tokens are stored; the rest and only that: ").stderr_lacks("--replace");
    assert_eq!(stored(&env), 3);
    drop(held);
    go_on(&env, &rest_of(&run), &lines).code(0).stdout_is("1\n");
}

#[test]
fn a_key_that_cannot_be_had_stops_it_before_anything_is_stored() {
    let (env, records) = filled();
    let lines = export(&env, &[], &records).stdout.clone();
    let mut other = TestEnv::new();
    other.set("TOKMAN_STORE_KEY", "password");
    import(&other, &[], &lines).code(3).stderr_has("the sealing key: it is not one that 'tokman key new' printed");
    assert!(!other.config_dir().exists());
}

#[test]
fn waits_for_nothing_on_a_terminal() {
    let env = TestEnv::new();
    let command = format!("{} import", env!("CARGO_BIN_EXE_tokman"));
    env.program("script", &["-qefc", &command, "/dev/null"]).run().code(2).stdout_has("there is nothing on stdin");
}

#[test]
fn still_brings_back_a_rescue_file() {
    let mut env = TestEnv::new();
    let stored = Stored::expired("http://127.0.0.1:1");
    stored.put(&mut env);
    let rescue = env.home().join("rescue.json");
    let mut newer = stored.record();
    newer["tokman"]["generation"] = 8.into();
    env.write(&rescue, newer.to_string());
    let path = rescue.to_str().expect("a path");
    env.tokman(&["import", "-p", "square", "-o", "json", "--rescue", path])
        .code(0)
        .stdout_is("{\n  \"imported\": 1\n}\n");
    assert!(!rescue.exists());
}

#[test]
fn a_reader_that_goes_away_is_no_error_of_an_export_and_a_full_disk_is() {
    let (env, _) = filled();
    for n in 0..200 {
        let key = format!("square/p{n}");
        env.write_token(&key, &json!({"access_token": "x", "long": "y".repeat(2000)}));
    }
    let tokman = env!("CARGO_BIN_EXE_tokman");
    let script = "{ \"$0\" export; echo $? >&2; } | head -c 1";
    env.program("sh", &["-c", script, tokman]).run().code(0).stderr_is("0\n");
    let full = env.program("sh", &["-c", "exec \"$0\" export >/dev/full", tokman]).run();
    full.code(1).stderr_has("cannot write to stdout");
}

#[test]
fn keeps_a_large_input_out_of_memory_and_needs_a_place_for_it() {
    let mut env = TestEnv::new();
    let large = |n: usize| json!({"access_token": canary("access"), "provider": "square", "profile": format!("p{n}"), "long": "x".repeat(3 << 20)});
    let lines = (0..4).map(large).map(|one| one.to_string()).collect::<Vec<_>>().join("\n");
    env.set("TMPDIR", env.home().join("none"));
    import(&env, &[], &lines).code(8).stdout_is("").stderr_has("cannot keep the input in ");
    assert_eq!(stored(&env), 0);
    let place = env.home().join("tmp");
    crate::support::env::make_directories(&place);
    env.set("TMPDIR", &place);
    import(&env, &[], &lines).code(0).stdout_is("4\n").stderr_is("");
    assert_eq!(env.read_token("square/p3")["long"].as_str().map(str::len), Some(3 << 20));
    assert_eq!(fs::read_dir(&place).expect("a directory").count(), 0);
}
