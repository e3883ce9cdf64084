//! `doctor`: finds what a refresh would stumble over, says what to do, mends modes and stale files and nothing else.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::env::make_directories;
use crate::support::report::skipped;
use crate::support::run::Run;
use crate::support::stored_square::now;
use crate::support::{Answer, Server, Stored, TestEnv, canary, sealing_key, server};

/// A world whose rescue files are its own.
fn world(url: &str) -> (TestEnv, Stored) {
    let mut env = TestEnv::new();
    let stored = Stored::expired(url).living(86_400);
    stored.put(&mut env);
    env.set("TMPDIR", env.home());
    (env, stored)
}

/// The findings that are not `ok`.
fn findings(run: &Run) -> Vec<Value> {
    let all = run.json().as_array().expect("a list").clone();
    all.into_iter().filter(|finding| finding["verdict"] != "ok").collect()
}

/// The one finding of a run without the network, whose exit code is `code`.
#[track_caller]
fn finds(env: &TestEnv, code: i32, verdict: &str, says: &str) {
    let run = env.tokman(&["doctor", "--offline", "-o", "json"]);
    run.code(code);
    let findings = findings(&run);
    let found = findings.iter().any(|one| one["verdict"] == verdict && one.to_string().contains(says));
    assert!(found, "no {verdict} with '{says}': {run}");
    // The same for people.
    let run = env.tokman(&["doctor", "--offline"]);
    run.code(code).stdout_has(verdict);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn finds_nothing_wrong_where_nothing_is() {
    let server = Server::with(|_, _| Answer::json(404, json!({})));
    let (env, stored) = world(&server.url());
    let run = env.tokman(&["doctor"]);
    run.code(0).stdout_lacks("problem").stdout_lacks("warning").stdout_has("answers (HTTP 404)");
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.method == "GET" && request.header("authorization").is_none()));
    assert_eq!(env.read_token(&stored.key), stored.record());
    assert!(fs::read_dir(env.config_dir().join("tokens")).expect("a directory").count() == 1, "it left something");
    server.finish();
}

#[test]
fn finds_nothing_wrong_before_anything_is_stored() {
    let env = TestEnv::new();
    env.tokman(&["doctor", "--offline"]).stdout_lacks("problem  config");
    assert!(!env.config_dir().exists(), "it made something");
}

#[test]
fn finds_a_rescue_file_and_says_how_to_bring_it_back() {
    let (env, stored) = world("http://127.0.0.1:1");
    let path = env.home().join(".local/state/tokman/rescue-square-default-1.json");
    env.write(&path, stored.record().to_string());
    finds(&env, 10, "problem", "tokman import --provider square --profile default --rescue '");
    env.tokman(&["doctor", "--offline", "--repair"]).code(10);
    assert!(path.exists());
}

#[test]
fn takes_no_file_that_another_user_put_where_everybody_can_for_a_rescued_one() {
    if !rustix::process::geteuid().is_root() {
        return skipped("files of another user", "only root can make some");
    }
    let (env, stored) = world("http://127.0.0.1:1");
    let dir = env.home().join("tokman-0");
    let planted = dir.join("rescue-';id>$HOME.pwned;'.json");
    let own = dir.join("rescue-it's-$(id)-1.json");
    env.write(&planted, "");
    chown(&planted, Some(65_534), None).expect("another owner");
    chown(&dir, Some(65_534), None).expect("another owner");
    env.set_mode(&dir, 0o755);
    env.tokman(&["doctor", "--offline"]).code(0).stdout_lacks("pwned");
    // Nor where the directory is ours; a link and a directory are none either.
    chown(&dir, Some(0), None).expect("another owner");
    symlink(env.token_path(&stored.key), dir.join("rescue-link-1.json")).expect("a link");
    make_directories(&dir.join("rescue-square-default-1.json"));
    env.tokman(&["doctor", "--offline"]).code(0).stdout_lacks("rescue-");
    env.write(&own, stored.record().to_string());
    let quoted = own.display().to_string().replace('\'', r"'\''");
    finds(&env, 10, "problem", &format!("--rescue '{quoted}'").replace('\\', r"\\"));
    // What the hint says can be pasted.
    let hint = env.tokman(&["doctor", "--offline"]).stdout.split("hint: tokman ").nth(1).expect("a hint").to_owned();
    let paste = format!("{} {}", env!("CARGO_BIN_EXE_tokman"), hint.lines().next().unwrap_or_default());
    env.program("sh", &["-c", &paste]).run().code(0);
    assert!(!own.exists());
}

#[test]
fn finds_a_rescue_file_that_others_can_read_or_replace() {
    let (env, stored) = world("http://127.0.0.1:1");
    let path = env.home().join(".local/state/tokman/rescue-square-default-1.json");
    let dir = path.parent().expect("a directory");
    env.write(&path, stored.record().to_string());
    for (open, is, closed) in [(path.as_path(), 0o644, 0o600), (dir, 0o777, 0o700)] {
        env.set_mode(open, is);
        let run = env.tokman(&["doctor", "--offline"]);
        run.stdout_has(&format!("hint: chmod {closed:o} '{}'", open.display()));
        assert_ne!(run.status, Some(0));
        env.tokman(&["doctor", "--offline", "--repair"]).code(10).stdout_has("mended").stdout_has("--rescue '");
        assert_eq!(mode(open), closed);
    }
}

#[test]
fn finds_a_dead_grant() {
    let (env, stored) = world("http://127.0.0.1:1");
    let mut dead = stored.record();
    dead["tokman"]["needs_login"] = stored.at(-60).into();
    env.write_token(&stored.key, &dead);
    finds(&env, 5, "problem", "tokman obtain --provider square --profile default");
}

#[test]
fn finds_a_damaged_record_before_and_after_it_is_set_aside() {
    let (env, stored) = world("http://127.0.0.1:1");
    let path = env.token_path(&stored.key);
    env.write(&path, "{");
    finds(&env, 8, "problem", "it is not JSON, or breaks off");
    assert!(path.exists(), "it was moved");
    env.tokman(&["refresh", "-p", "square"]).code(8);
    finds(&env, 8, "warning", "a damaged record, set aside");
    env.tokman(&["doctor", "--offline", "--repair"]).code(8);
    assert!(path.with_extension("json.damaged").exists());
}

#[test]
fn finds_what_is_open_to_others_and_closes_it_when_asked() {
    let (env, stored) = world("http://127.0.0.1:1");
    let tokens = env.config_dir().join("tokens");
    let file = env.token_path(&stored.key);
    for (path, open, closed) in
        [(env.config_dir(), 0o777, 0o700), (tokens.join("square"), 0o770, 0o700), (file, 0o644, 0o600)]
    {
        env.set_mode(&path, open);
        finds(&env, 8, "problem", &format!("chmod {closed:o} '"));
        assert_eq!(mode(&path), open, "mended unasked");
        env.tokman(&["doctor", "--offline", "--repair"]).code(0).stdout_has("mended");
        assert_eq!(mode(&path), closed);
        env.tokman(&["doctor", "--offline"]).code(0);
    }
    assert_eq!(env.read_token(&stored.key), stored.record());
}

#[test]
fn finds_a_half_done_refresh_and_leaves_it_to_a_refresh() {
    let (env, _) = world("http://127.0.0.1:1");
    let mark = env.config_dir().join("tokens/square/.default.inflight");
    env.write(&mark, "{\"tokman_in_flight\":null}");
    finds(&env, 0, "warning", "tokman refresh --provider square --profile default");
    env.tokman(&["doctor", "--offline", "--repair"]).code(0);
    assert!(mark.exists());
}

#[test]
fn removes_what_a_dead_process_left_when_asked_and_when_it_is_old() {
    let (env, _) = world("http://127.0.0.1:1");
    let mark = env.config_dir().join("tokens/square/.gone.inflight");
    env.write(&mark, "{}");
    finds(&env, 0, "warning", "left by a process that died");
    env.tokman(&["doctor", "--offline", "--repair"]).code(0);
    assert!(mark.exists(), "it may be in use");
    age(&mark);
    env.tokman(&["doctor", "--offline"]).code(0);
    assert!(mark.exists(), "removed unasked");
    env.tokman(&["doctor", "--offline", "--repair"]).code(0).stdout_has("mended");
    assert!(!mark.exists());
}

#[test]
fn nobody_calls_a_record_sound_that_cannot_be_read() {
    let (env, stored) = world("http://127.0.0.1:1");
    let path = env.token_path(&stored.key);
    let sound = stored.record().to_string();
    let token = format!("\"access_token\":\"{}\"", stored.access);
    let account = "\"merchant_id\":\"MERCHANT\"";
    for (from, to) in [
        (&*token, &b"\"access_token\":5"[..]),
        (&token, b"\"access_token\":{}"),
        (account, b"\"token_type\":\"bearer\""),
        (account, b"\"merchant_id\":\"MERCH\xffANT\""),
        (account, b"\"merchant_id\":\"\\ud800\""),
        ("\"kind\":\"square\"", b"\"kind\":\"square\",\"later\":\"\xff\""),
    ] {
        let (before, after) = sound.split_once(from).expect("a member");
        let (before, after) = (before.replace(&stored.refresh, ""), after.replace(&stored.refresh, ""));
        env.write(&path, [before.as_bytes(), to, after.as_bytes()].concat());
        env.tokman(&["token", "-p", "square", "--no-refresh"]).code(8);
        env.tokman(&["status"]).code(8).stdout_has("unknown").stdout_lacks("fresh");
        env.tokman(&["check"]).code(2).stdout_has("CRITICAL");
        finds(&env, 8, "problem", "is damaged: it ");
    }
}

#[test]
fn finds_records_that_no_key_opens_which_can_be_had() {
    let (mut env, stored) = world("http://127.0.0.1:1");
    env.write_token("square/other", &stored.clone().of("square/other").record());
    let (old, new) = (env.home().join("old.key"), env.home().join("new.key"));
    for key in [&old, &new] {
        env.write(key, sealing_key());
    }
    env.set("TOKMAN_STORE_KEY_FILE", &old);
    env.tokman(&["key", "rotate"]).code(0).stdout_is("2\n");
    env.tokman(&["doctor", "--offline"]).code(0).stdout_has("2 readable");
    env.tokman(&["key", "rotate", "-n", "other"]).code(0);
    let names = "hint: name the key that sealed it: [store] key";
    env.set("TOKMAN_STORE_KEY_FILE", &new);
    let run = env.tokman(&["doctor", "--offline"]);
    run.code(8).stdout_has("square/default and 1 more cannot be opened without it, and only ").stdout_has(names);
    run.stdout_has("0 readable");
    let mark = env.config_dir().join("tokens/square/.other.inflight");
    env.write(&mark, "{}");
    env.tokman(&["doctor", "--offline"]).code(8).stdout_has("and 1 more").stdout_has("may have been lost");
    fs::remove_file(mark).expect("a mark");
    env.unset("TOKMAN_STORE_KEY_FILE");
    finds(&env, 8, "problem", "cannot be opened without it, and no sealing key can be had");
    // One of them is opened by the key that there is.
    fs::remove_file(env.token_path("square/other")).expect("a record");
    env.write_token("square/other", &stored.clone().of("square/other").record());
    env.set("TOKMAN_STORE_KEY_FILE", &new);
    env.tokman(&["key", "rotate", "-n", "other"]).code(0).stdout_is("1\n");
    env.tokman(&["doctor", "--offline"]).code(8).stdout_has("square/default cannot be opened").stdout_has("1 readable");
    // A key that is not there is told of as well.
    fs::remove_file(&new).expect("a key");
    env.tokman(&["doctor", "--offline"])
        .code(8)
        .stdout_has("there is none in the file")
        .stdout_has("tokman config show");
}

/// Gives a file a time at which nobody works with it any more.
fn age(path: &Path) {
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(path).and_then(|file| file.set_modified(old)).expect("a time");
}

#[test]
fn keeps_an_answer_that_a_dead_process_left_and_says_how_to_bring_it_back() {
    let (mut env, stored) = world("http://127.0.0.1:1");
    let left = env.config_dir().join("tokens/square/.gone.inflight");
    let gone = stored.clone().of("square/gone").record();
    let mut refresh_only = gone.clone();
    refresh_only.as_object_mut().expect("an object").remove("access_token");
    let torn = gone.to_string().split("merchant_id").next().expect("a text").to_owned();
    // As the process would have sealed it.
    env.set("TOKMAN_STORE_KEY", sealing_key());
    env.write_token("square/gone", &gone);
    env.tokman(&["key", "rotate", "-n", "gone"]).code(0).stdout_is("1\n");
    let sealed = fs::read_to_string(env.token_path("square/gone")).expect("a record");
    assert!(!sealed.contains("access_token"), "{sealed}");
    fs::remove_file(env.token_path("square/gone")).expect("a record");
    let import = format!("tokman import --provider square --profile gone --rescue '{}'", left.display());
    for (text, code, says) in [
        (torn, 0, "had no time to write whole"),
        (gone.to_string(), 10, import.as_str()),
        (refresh_only.to_string(), 10, &import),
        (sealed + &" ".repeat(9000), 10, &import),
    ] {
        env.write(&left, &text);
        age(&left);
        finds(&env, code, if code == 0 { "warning" } else { "problem" }, says);
        env.tokman(&["doctor", "--offline", "--repair"]).code(code).stdout_lacks("mended");
        assert_eq!(fs::read_to_string(&left).expect("what was left"), text);
    }
    // As the hint says.
    let rescue = left.display().to_string();
    env.tokman(&["import", "--provider", "square", "--profile", "gone", "--rescue", &rescue]).code(0);
    assert!(!left.exists() && env.token_path("square/gone").exists());
    env.tokman(&["doctor", "--offline"]).code(0);
}

#[test]
fn removes_no_mark_that_others_can_read_or_that_is_in_use() {
    let (env, _) = world("http://127.0.0.1:1");
    let mark = env.config_dir().join("tokens/square/.gone.inflight");
    env.write(&mark, "{}");
    age(&mark);
    let lock = env.config_dir().join("tokens/square/.gone.lock");
    env.write(&lock, "");
    let held = File::open(&lock).expect("a lock file");
    held.lock().expect("a lock");
    env.tokman(&["doctor", "--offline", "--repair"]).code(0).stdout_lacks("mended");
    assert!(mark.exists(), "it is in use");
    drop(held);
    env.set_mode(&mark, 0o644);
    finds(&env, 8, "problem", "chmod 600 '");
    env.tokman(&["doctor", "--offline", "--repair"]).code(0).stdout_has("mended");
    assert!(mark.exists(), "nobody had looked into it");
}

#[test]
fn finds_lock_files_and_marks_that_keep_a_refresh_from_its_work() {
    let (env, _) = world("http://127.0.0.1:1");
    let lock = env.config_dir().join("tokens/square/.default.lock");
    let mark = env.config_dir().join("tokens/square/.default.inflight");
    for path in [&lock, &mark] {
        env.write(path, "");
        env.set_mode(path, 0o666);
        env.tokman(&["refresh", "-p", "square"]).code(8);
        finds(&env, 8, "problem", &format!("chmod 600 '{}'", path.display()));
        env.tokman(&["doctor", "--offline", "--repair"]).code(0).stdout_has("mended");
        assert_eq!(mode(path), 0o600);
        env.tokman(&["refresh", "-p", "square"]).code(7);
    }
    // Of the store 'keyring'.
    let kept = env.config_dir().join("tokens/.keyring.lock");
    env.write(&kept, "");
    env.set_mode(&kept, 0o666);
    env.tokman(&["doctor", "--offline", "--repair"]).code(0).stdout_has("mended");
    assert_eq!(mode(&kept), 0o600);
    fs::remove_file(&lock).expect("a lock file");
    make_directories(&lock);
    finds(&env, 8, "problem", "move it away");
    env.tokman(&["doctor", "--offline", "--repair"]).code(8);
    assert!(lock.exists());
}

#[test]
fn a_lock_file_of_another_user_is_removed_only_while_nobody_holds_it() {
    if !rustix::process::geteuid().is_root() {
        return skipped("a lock file of another user", "only root can make one");
    }
    let (env, _) = world("http://127.0.0.1:1");
    let lock = env.config_dir().join("tokens/square/.default.lock");
    let mark = env.config_dir().join("tokens/square/.default.inflight");
    for path in [&lock, &mark] {
        env.write(path, "{}");
        chown(path, Some(65_534), None).expect("another owner");
    }
    env.tokman(&["refresh", "-p", "square"]).code(8);
    finds(&env, 8, "problem", &format!("sudo chown \\\"$(id -u)\\\" '{}'", lock.display()));
    let held = File::open(&lock).expect("a lock file");
    held.lock().expect("a lock");
    env.tokman(&["doctor", "--offline", "--repair"]).code(8).stdout_lacks("mended");
    assert!(lock.exists(), "somebody held it");
    drop(held);
    let run = env.tokman(&["doctor", "--offline", "--repair"]);
    run.code(8).stdout_has("nobody held it, removed").stdout_has(&format!("chmod 600 '{}'", mark.display()));
    assert!(!lock.exists() && mark.exists(), "the mark is for somebody to look at");
    chown(&mark, Some(0), None).expect("another owner");
    env.tokman(&["refresh", "-p", "square"]).code(7);
}

#[test]
fn finds_a_clock_that_is_wrong() {
    let date = (now() - jiff::SignedDuration::from_secs(7200)).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let server = Server::with(move |_, _| Answer::json(404, json!({})).header("Date", &date));
    let (env, _) = world(&server.url());
    env.tokman(&["doctor"]).code(0).stdout_has("warning").stdout_has("clock is +7").stdout_has("timedatectl");
    server.finish();
}

#[test]
fn finds_a_host_that_cannot_be_reached() {
    let (env, _) = world(&server::nobody());
    env.tokman(&["doctor"])
        .code(7)
        .stdout_has("problem")
        .stdout_has("cannot connect to 127.0.0.1:")
        .stdout_has("HTTPS_PROXY");
    env.tokman(&["doctor", "--offline"]).code(0);
}

#[test]
fn ends_with_3_where_the_configuration_is_wrong() {
    let (env, _) = world("http://127.0.0.1:1");
    env.write_config("[provider.square]\nclient_idd = \"x\"\n");
    env.tokman(&["doctor"]).code(3).stderr_has("config.toml:2: unknown field `client_idd`");
    env.write_config("[provider.square]\nclient_secret = ");
    env.tokman(&["doctor", "--repair"]).code(3).stderr_has("config.toml:2");
}

#[test]
fn finds_a_config_file_that_is_not_obeyed_goes_on_without_it_and_closes_it_when_asked() {
    let (mut env, _) = world("http://127.0.0.1:1");
    env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    let path = env.config_dir().join("config.toml");
    let secret = format!("[provider.square]\nclient_secret = \"{}\"\n", canary("secret"));
    let ran = env.work().join("ran");
    let command = format!("[store]\nkey = {{ command = [\"touch\", \"{}\"] }}\n", ran.display());
    for (text, open, first, closed) in
        [(&secret, 0o644, 0o600, 0o600), (&secret, 0o666, 0o644, 0o600), (&command, 0o666, 0o644, 0o644)]
    {
        env.write_config(text);
        env.set_mode(&path, open);
        finds(&env, 3, "problem", &format!("chmod {first:o} '"));
        env.tokman(&["doctor", "--offline"]).stdout_has("stored tokens: 1 readable").stderr_is("");
        assert_eq!(mode(&path), open, "mended unasked");
        let run = env.tokman(&["doctor", "--offline", "--repair"]);
        run.code(0).stdout_has("mended   config file").stdout_has("stored tokens: 1 readable");
        assert_eq!(mode(&path), closed);
        if open == 0o644 {
            run.stdout_has("client secret of square: found in");
        } else {
            run.stdout_has("hint: look through it");
            assert!(!ran.exists(), "what others could have written was run");
        }
    }
    env.write_config(&secret);
    env.set_mode(&path, 0o600);
    env.tokman(&["doctor", "--offline"]).code(0).stdout_has("config.toml: read");
}

#[test]
fn finds_a_config_file_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        return skipped("a config file of another user", "only root can make one");
    }
    let (env, _) = world("http://127.0.0.1:1");
    env.write_config("");
    chown(env.config_dir().join("config.toml"), Some(65_534), None).expect("another owner");
    finds(&env, 3, "problem", "run it as that user: sudo -u '#65534' tokman");
    env.tokman(&["doctor", "--offline", "--repair"]).code(3).stdout_has("stored tokens: 1 readable");
}

#[test]
fn finds_a_secret_that_cannot_be_had_and_runs_no_command_for_it() {
    let (mut env, _) = world("http://127.0.0.1:1");
    let found = "client secret of square: found in ";
    env.tokman(&["doctor", "--offline"]).stdout_has(&format!("{found}the variable TOKMAN_SQUARE_CLIENT_SECRET\n"));
    env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    env.write_config(&format!("[provider.square]\nclient_secret = \"{}\"\n", canary("literal")));
    let place = "[provider.square] client_secret in config.toml\n";
    env.tokman(&["doctor", "--offline"]).stdout_has(&format!("{found}{place}"));
    let secret = env.home().join("secret");
    env.write(&secret, canary("secret"));
    env.write_config(&format!("[provider.square]\nclient_secret = {{ file = \"{}\" }}\n", secret.display()));
    env.tokman(&["doctor", "--offline"]).code(0).stdout_has("found in the file");
    env.set_mode(&secret, 0o644);
    env.tokman(&["doctor", "--offline"]).code(3).stdout_has("chmod 600");
    fs::remove_file(&secret).expect("a file");
    env.tokman(&["doctor", "--offline"]).code(3).stdout_has("there is none in the file");
    env.write_config("[provider.square]\nclient_secret = { command = [\"touch\", \"said\"] }\n");
    env.tokman(&["doctor", "--offline"]).code(0).stdout_has("not tried");
    assert!(!env.work().join("said").exists());
}
