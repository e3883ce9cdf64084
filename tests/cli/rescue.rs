//! The provider answered, and the answer cannot be stored where it belongs: a second try, else a private file elsewhere
//! that `import` brings back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::env::make_directories;
use crate::support::machine::failing;
use crate::support::run::Run;
use crate::support::{Answer, Request, Server, Step, Stored, TestEnv, canary, sealing_key};

const REFRESH: [&str; 5] = ["refresh", "-p", "square", "-o", "none"];

/// A world with places for rescue files of its own.
fn world() -> TestEnv {
    let mut env = TestEnv::new();
    env.set("TMPDIR", env.home().join("tmp"));
    env.write("home/tmp/.keep", "");
    env
}

/// A server that answers one refresh with what the stored token's successor is.
fn answers_once(stored: impl FnOnce(&str) -> Stored) -> (Server, Stored) {
    // The record names the server's address, the answer the record's tokens.
    let answer = std::sync::Arc::new(std::sync::OnceLock::new());
    let late = std::sync::Arc::clone(&answer);
    let server = Server::with(move |_, _| Answer::json(200, late.get().cloned().unwrap_or_default())).exactly(1);
    let stored = stored(&server.url());
    answer.set(stored.reply()).expect("one answer");
    (server, stored)
}

/// The rescue file that a run named.
#[track_caller]
fn named(run: &Run) -> PathBuf {
    let mut parts = run.stderr.split('\'');
    parts.find(|part| part.starts_with('/') && part.contains("/rescue-square-default-")).expect("a name").into()
}

/// The rescue file that a run named, checked: private, and the answer is in it.
#[track_caller]
fn rescued(env: &TestEnv, run: &Run, stored: &Stored, within: &Path) -> PathBuf {
    run.code(10).stdout_is("").stderr_has("hint: mend the store, then put it back: tokman import --rescue '");
    let path = named(run);
    assert_eq!(path.parent(), Some(within), "{run}");
    let mode = |path: &Path| fs::metadata(path).expect("a rescue file").permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(within)), (0o600, 0o700));
    let text = fs::read_to_string(&path).expect("a rescue file");
    assert!(text.contains(&stored.next_refresh), "the new refresh token is not in the rescue file");
    assert!(!env.token_path(&stored.key).is_file() || env.read_token(&stored.key) == stored.record());
    path
}

/// Brings a rescued token back and refreshes with it.
#[track_caller]
fn works_again(env: &mut TestEnv, stored: &Stored, rescue: &Path) {
    let import = ["import", "-p", "square", "--rescue", rescue.to_str().expect("a path in UTF-8")];
    env.tokman(&import).code(0).stdout_is("");
    assert!(!rescue.exists());
    let brought = env.read_token(&stored.key);
    assert_eq!(brought["refresh_token"], stored.next_refresh.as_str());
    assert_eq!(brought["access_token"], stored.next_access.as_str());
    let token = env.command(&["token", "-p", "square"]).may_print(&[&stored.next_access]).run();
    token.code(0).stdout_is(&format!("{}\n", stored.next_access)).stderr_is("");
    // The same address, so that the record still fits: whoever listens there now is asked with the new token.
    let expected = Request::post("/oauth2/token").json_with(json!({"refresh_token": stored.next_refresh}));
    let server = Server::start(vec![Step::expect(expected).answer(200, stored.reply())]);
    let mut record = env.read_token(&stored.key);
    record["tokman"]["base_url"] = server.url().into();
    env.write_token(&stored.key, &record);
    env.set("TOKMAN_SQUARE_BASE_URL", server.url());
    env.tokman(&REFRESH).code(0).stderr_is("");
    server.finish();
}

#[test]
fn tries_once_more_with_a_new_file() {
    // What fails once after the exchange: the write of the answer, its fsync, the rename, the directory's fsync.
    for fault in [
        "ftruncate:error=ENOSPC:when=1",
        "fsync:error=EIO:when=3",
        "/^rename:error=EIO:when=1",
        "fsync:error=EIO:when=4",
    ] {
        let Some(words) = failing(&[fault]) else { return };
        let (server, stored) = answers_once(|url| Stored::expired(url).single_use());
        let mut env = world();
        stored.put(&mut env);
        env.command(&REFRESH).after(&words).run().code(0).stderr_is("");
        let now = env.read_token(&stored.key);
        assert_eq!(now["refresh_token"], stored.next_refresh.as_str(), "{fault}");
        assert!(!env.config_dir().join("tokens/square/.default.inflight").exists(), "{fault}");
        server.finish();
    }
}

#[test]
fn saves_the_answer_elsewhere_when_it_cannot_be_renamed_into_its_place() {
    let Some(words) = failing(&["/^rename:error=EIO:when=1+"]) else { return };
    for single_use in [false, true] {
        let (server, stored) = answers_once(|url| {
            let stored = Stored::expired(url);
            if single_use { stored.single_use() } else { stored }
        });
        let mut env = world();
        stored.put(&mut env);
        let run = env.command(&REFRESH).after(&words).run();
        let rescue = rescued(&env, &run, &stored, &env.home().join(".local/state/tokman"));
        server.finish();
        works_again(&mut env, &stored, &rescue);
    }
}

/// A run whose answer no disk takes for good: every fsync after the mark's fails. Nobody listens at the provider's address
/// any more.
fn on_no_disk() -> Option<(TestEnv, Stored, PathBuf)> {
    let words = failing(&["fsync:error=EIO:when=3+"])?;
    let (server, stored) = answers_once(|url| Stored::expired(url).single_use());
    let mut env = world();
    stored.put(&mut env);
    let run = env.command(&REFRESH).after(&words).run();
    let rescue = named(run.code(10));
    server.finish();
    // It was whole, but not there for good: the power is cut.
    fs::remove_file(env.config_dir().join("tokens/square/.default.inflight")).expect("what was not synced");
    Some((env, stored, rescue))
}

#[test]
fn what_was_spent_for_a_rescued_token_is_not_presented_again() {
    let Some((mut env, _, rescue)) = on_no_disk() else { return };
    // Whoever asked would end with 7.
    let put_back = format!("hint: put it back: tokman import --rescue '{}' -", rescue.display());
    for words in [&REFRESH[..], &["token", "-p", "square"], &["refresh", "-p", "square", "--force"]] {
        let run = env.tokman(words);
        run.code(10)
            .stdout_is("")
            .stderr_has("could not be stored in an earlier run; it is in /")
            .stderr_has(&put_back);
    }
    let run = env.tokman(&["refresh", "--all", "-o", "json"]);
    run.code(9).stdout_has("could not be stored in an earlier run");
    run.stdout_has(&put_back["hint: ".len()..]).stderr_has(&put_back["hint: ".len()..]);
    run.stderr_has("hint: see which rescue files to put back: tokman doctor");
    let named = format!("--rescue '{}'", rescue.display());
    env.tokman(&["doctor", "--offline"]).code(10).stdout_has(&named);
    assert!(rescue.exists());
    // To end the earlier token would leave this one good, and nobody would know of it.
    env.tokman(&["revoke", "-p", "square", "--yes"]).code(10).stderr_has(&put_back);
    // It stays the later one, whatever the stored one is sealed with.
    env.set("TOKMAN_STORE_KEY", sealing_key());
    env.tokman(&["key", "rotate"]).code(0).stdout_is("1\n");
    env.tokman(&REFRESH).code(10).stderr_has(&put_back);
    let import = ["import", "-p", "square", "--rescue", rescue.to_str().expect("a path in UTF-8")];
    env.tokman(&import).code(0);
    env.unset("TOKMAN_SQUARE_BASE_URL");
    env.tokman(&["status"]).code(0).stdout_has("fresh");
    assert!(!rescue.exists());
}

#[test]
fn is_put_back_into_the_store_that_it_is_of_by_the_very_hint() {
    let Some(words) = failing(&["/^rename:error=EIO:when=1+"]) else { return };
    let (server, stored) = answers_once(|url| Stored::expired(url).single_use());
    let mut env = world();
    stored.put(&mut env);
    let other = env.home().join("it's another");
    std::fs::rename(env.config_dir(), &other).expect("another directory");
    let other = other.to_str().expect("text");
    let run = env.command(&[&REFRESH[..], &["--config-dir", other]].concat()).after(&words).run();
    let hint = run.code(10).stderr.split("put it back: ").nth(1).and_then(|rest| rest.lines().next()).expect("a hint");
    fs::remove_file(format!("{other}/tokens/square/.default.inflight")).expect("what lies beside it");
    let doctor = env.tokman(&["doctor", "--offline", "--config-dir", other]);
    doctor.stdout_has("hint: tokman import --config-dir '");
    let pasted = hint.replacen("tokman", env!("CARGO_BIN_EXE_tokman"), 1);
    env.program("sh", &["-c", &pasted]).run().code(0);
    let record = fs::read_to_string(format!("{other}/tokens/square/default.json")).expect("a record");
    assert!(record.contains(&stored.next_refresh), "{hint}");
    server.finish();
}

#[test]
fn an_answer_that_lies_whole_beside_the_record_is_stored_by_the_next_run() {
    let Some(words) = failing(&["/^rename:error=EIO:when=1+"]) else { return };
    let (server, stored) = answers_once(|url| Stored::expired(url).single_use());
    let mut env = world();
    stored.put(&mut env);
    let rescue = named(env.command(&REFRESH).after(&words).run().code(10));
    env.tokman(&["token", "-p", "square", "-o", "none"]).code(0).stderr_has("storing an answer");
    server.finish();
    assert_eq!(env.read_token("square/default")["refresh_token"], stored.next_refresh.as_str());
    works_again(&mut env, &stored, &rescue);
}

#[test]
fn what_is_stored_is_no_rescue_file() {
    let mut env = world();
    let stored = Stored::expired("https://connect.squareup.com");
    stored.put(&mut env);
    let path = env.token_path("square/default");
    env.tokman(&["import", "-p", "square", "--rescue", path.to_str().expect("a path in UTF-8")]).code(0);
    assert_eq!(env.read_token("square/default")["refresh_token"], stored.refresh.as_str());
}

#[test]
fn a_rescued_token_is_the_later_one_of_the_very_token_that_was_spent_for_it() {
    let Some((env, _, rescue)) = on_no_disk() else { return };
    let mut record = env.read_token("square/default");
    let import = ["import", "-p", "square", "--rescue", rescue.to_str().expect("a path in UTF-8")];
    // Whatever else is known of that by now, and whoever else can read it.
    record["tokman"]["account"] = json!(null);
    env.write_token("square/default", &record);
    env.tokman(&REFRESH).code(10);
    env.set_mode(&rescue, 0o644);
    env.tokman(&REFRESH).code(10);
    env.set_mode(rescue.parent().expect("a directory"), 0o777);
    env.tokman(&REFRESH).code(10);
    env.set_mode(&rescue, 0o600);
    // Another grant of the same key is asked for as ever, where nobody listens any more, and is not overwritten.
    record["refresh_token"] = canary("another-grant").into();
    env.write_token("square/default", &record);
    env.tokman(&REFRESH).code(7);
    env.tokman(&import).code(2).stderr_has("holds another token");
    record["tokman"]["base_url"] = "https://staging.example".into();
    env.write_token("square/default", &record);
    env.tokman(&import).code(2).stderr_has("holds a token of another application");
}

#[test]
fn saves_the_answer_even_where_no_disk_takes_it_for_good() {
    // What is written may not outlive a power cut, but it is not thrown away.
    let Some((mut env, stored, rescue)) = on_no_disk() else { return };
    works_again(&mut env, &stored, &rescue);
}

/// The server's answer comes when something else lies where the record should go.
fn overtaken(env: &TestEnv) -> (Server, Stored) {
    let path = env.token_path("square/default");
    let answer = std::sync::Arc::new(std::sync::OnceLock::new());
    let late = std::sync::Arc::clone(&answer);
    let server = Server::with(move |_, _| {
        fs::remove_file(&path).expect("a record");
        make_directories(&path.join("inner"));
        Answer::json(200, late.get().cloned().unwrap_or_default())
    });
    let stored = Stored::expired(&server.url()).single_use();
    answer.set(stored.reply()).expect("one answer");
    (server.exactly(1), stored)
}

#[test]
fn saves_the_answer_in_the_runtime_directory_first() {
    let mut env = world();
    let runtime = env.home().join("run");
    env.set("XDG_RUNTIME_DIR", runtime.as_path());
    let (server, stored) = overtaken(&env);
    stored.put(&mut env);
    let run = env.tokman(&REFRESH);
    let rescue = rescued(&env, &run, &stored, &runtime.join("tokman"));
    server.finish();
    fs::remove_dir_all(env.token_path(&stored.key)).expect("a directory");
    env.write_token(&stored.key, &stored.record());
    works_again(&mut env, &stored, &rescue);
}

#[test]
fn says_so_when_no_place_takes_the_answer() {
    let mut env = world();
    // A file where each place would be.
    env.write("home/file", "");
    for name in ["XDG_RUNTIME_DIR", "XDG_STATE_HOME", "TMPDIR"] {
        env.set(name, env.home().join("file"));
    }
    let (server, stored) = overtaken(&env);
    stored.put(&mut env);
    let run = env.tokman(&REFRESH);
    run.code(10).stdout_is("").stderr_has("the new token of square/default could not be stored anywhere");
    server.finish();
}

#[test]
fn brings_back_nothing_that_is_older_than_what_is_stored() {
    let mut env = world();
    let stored = Stored::expired("http://127.0.0.1:1");
    stored.put(&mut env);
    let rescue = env.home().join("rescue.json");
    let mut older = stored.record();
    older["tokman"]["generation"] = 6.into();
    older["access_token"] = stored.next_access.as_str().into();
    env.write(&rescue, older.to_string());
    let import = ["import", "-p", "square", "--rescue", rescue.to_str().expect("a path")];
    env.tokman(&import).code(2).stderr_has("holds a newer token; --replace overwrites it");
    assert!(rescue.exists());
    // What is stored already is no reason to keep the file.
    env.write(&rescue, stored.record().to_string());
    env.tokman(&import).code(0);
    assert!(!rescue.exists());
    // Another key's, a damaged one and none at all.
    let mut foreign = stored.record();
    foreign["tokman"]["profile"] = "other".into();
    env.write(&rescue, foreign.to_string());
    env.tokman(&import).code(2).stderr_has("it is the record of square/other");
    env.write(&rescue, "{");
    env.tokman(&import).code(2).stderr_has("it is not JSON, or breaks off");
    assert!(rescue.exists());
    fs::remove_file(&rescue).expect("a file");
    env.tokman(&import).code(2).stderr_has("there is no file");
}

/// What a process leaves that is killed when the answer is written and has not yet its name.
fn leave_answer(env: &TestEnv, stored: &Stored) -> PathBuf {
    let mut answer = stored.record();
    answer["access_token"] = stored.next_access.as_str().into();
    answer["refresh_token"] = stored.next_refresh.as_str().into();
    answer["tokman"]["generation"] = 8.into();
    let path = env.config_dir().join("tokens/square/.default.inflight");
    env.write(&path, format!("{answer}{}", " ".repeat(10_000)));
    path
}

#[test]
fn stores_an_answer_that_a_dead_process_had_written_and_asks_for_no_other() {
    let server = Server::with(|_, _| Answer::json(500, json!({}))).exactly(0);
    for command in [&["token", "-p", "square"][..], &["token", "-p", "square", "--min-ttl", "30m"]] {
        let mut env = world();
        let stored = Stored::expired(&server.url()).single_use().living(86_400);
        stored.put(&mut env);
        let left = leave_answer(&env, &stored);
        let run = env.command(command).may_print(&[&stored.next_access]).run();
        run.code(0).stdout_is(&format!("{}\n", stored.next_access)).stderr_has("had no time to store");
        assert!(!left.exists());
        assert_eq!(env.read_token(&stored.key)["refresh_token"], stored.next_refresh.as_str());
    }
    server.finish();
}

#[test]
fn an_answer_that_a_dead_process_left_is_never_cleared_away() {
    let mut env = world();
    let stored = Stored::expired("http://127.0.0.1:1").single_use().living(86_400);
    stored.put(&mut env);
    fs::remove_file(env.token_path(&stored.key)).expect("a record");
    let left = leave_answer(&env, &stored);
    let old = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options().write(true).open(&left).and_then(|file| file.set_modified(old)).expect("a time");
    let run = env.tokman(&["doctor", "--offline", "--repair"]);
    run.code(10).stdout_has("tokman import --provider square --profile default --rescue '");
    env.tokman(&["import", "-p", "square", "--rescue", left.to_str().expect("a path")]).code(0);
    assert_eq!(env.read_token(&stored.key)["refresh_token"], stored.next_refresh.as_str());
    assert!(!left.exists());
}
