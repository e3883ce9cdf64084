//! `emulator`: the environment that it gives, what it runs, how it ends, and the trouble that is asked for.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::emulated::{Emulated, fetch, log_in};
use crate::support::{TestEnv, canary};

const NAMES: [&str; 12] = [
    "TOKMAN_SQUARE_BASE_URL",
    "TOKMAN_SQUARE_CLIENT_ID",
    "TOKMAN_SQUARE_CLIENT_SECRET",
    "TOKMAN_EMULATOR_SQUARE_OLD_TOKEN",
    "TOKMAN_WIX_BASE_URL",
    "TOKMAN_WIX_CLIENT_ID",
    "TOKMAN_WIX_CLIENT_SECRET",
    "TOKMAN_WIX_INSTANCE_ID",
    "TOKMAN_EMULATOR_ISSUER",
    "TOKMAN_ACME_CLIENT_ID",
    "TOKMAN_ACME_CLIENT_SECRET",
    "TOKMAN_EMULATOR_PUBLIC_CLIENT_ID",
];

/// What is left of emulators in the temporary directory of this world.
fn left_behind(env: &TestEnv) -> usize {
    std::fs::read_dir(env.work()).expect("the working directory").count()
}

/// A world whose temporary directory is its own.
fn world() -> TestEnv {
    let mut env = TestEnv::new();
    env.set("TMPDIR", env.work());
    env
}

#[test]
fn prints_the_environment_and_serves() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &[]);
    let names: Vec<_> = emulated.variables.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, NAMES);
    let base = emulated.get("TOKMAN_SQUARE_BASE_URL").to_owned();
    assert!(base.starts_with("http://127.0.0.1:") && base.ends_with("/square"), "{base}");
    // Without --auto-approve somebody is asked.
    let id = emulated.get("TOKMAN_SQUARE_CLIENT_ID");
    let page = fetch(&format!("{base}/oauth2/authorize?client_id={id}&state=s"));
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<form") && page.contains("Allow"), "{page}");
    let page = fetch(&format!("{base}/oauth2/authorize?client_id=another&state=s"));
    assert!(page.starts_with("HTTP/1.1 400"), "{page}");
    assert!(fetch(&format!("{base}/nowhere")).starts_with("HTTP/1.1 404"));
    // Another application is refused, as the provider would.
    let env = emulated.client(&[]);
    let run = env.command(&["obtain", "-p", "wix"]).var("TOKMAN_WIX_CLIENT_SECRET", &canary("wrong")).run();
    run.code(6).stdout_is("").stderr_has("invalid client id or client secret");
}

#[test]
fn invents_another_application_each_time() {
    let home = TestEnv::new();
    let (one, two) = (Emulated::start(&home, &[]), Emulated::start(&home, &[]));
    for name in NAMES {
        assert_ne!(one.get(name), two.get(name), "{name}");
    }
}

#[test]
fn ends_when_it_is_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let env = world();
        let emulated = Emulated::start(&env, &[]);
        let address = emulated.get("TOKMAN_SQUARE_BASE_URL").replace("/square", "").replace("http://", "");
        assert!(TcpStream::connect(&address).is_ok());
        emulated.running.signal(signal);
        let run = emulated.running.wait();
        assert!(matches!(run.status, None | Some(0)), "{run}");
        run.stderr_lacks("panicked");
        assert!(TcpStream::connect(&address).is_err());
        assert_eq!(left_behind(&env), 0);
    }
}

#[test]
fn runs_a_command_and_ends_with_its_code() {
    let env = world();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
        env.tokman(&["emulator", "--", "sh", "-c", script]).code(code).stdout_is("").stderr_is("");
        assert_eq!(left_behind(&env), 0, "{script}");
    }
    env.tokman(&["emulator", "--", "no-such-program"]).code(127).stderr_has("error: cannot run no-such-program");
    assert_eq!(left_behind(&env), 0);
}

#[test]
fn is_126_for_a_command_that_cannot_be_run_and_127_for_one_that_is_not_there() {
    let env = world();
    let command = env.home().join("no-program");
    env.write(&command, "no program");
    for (command, code) in [("/nowhere/at/all", 127), (command.to_str().expect("a path"), 126)] {
        let run = env.tokman(&["emulator", "--", command]);
        run.code(code).stdout_is("").stderr_has(&format!("error: cannot run {command}")).stderr_has("caused by: ");
    }
    assert_eq!(left_behind(&env), 0);
}

#[test]
fn gives_the_command_its_environment_and_nothing_of_ours() {
    let mut env = world();
    for name in ["TOKMAN_SQUARE_CLIENT_SECRET", "TOKMAN_SQUARE_REFRESH_TOKEN", "TOKMAN_ACME_CLIENT_SECRET"] {
        env.set(name, canary("ours"));
    }
    env.set("TOKMAN_STORE", "file:/nonexistent");
    env.set("TOKMAN_PROFILE", "ours");
    env.set("OTHER", "kept");
    let run = env.tokman(&["emulator", "--", "env"]);
    run.code(0).stdout_has("OTHER=kept\n");
    let mut names: Vec<_> = run.stdout.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    names.retain(|name| name.starts_with("TOKMAN_"));
    names.sort_unstable();
    let mut expected: Vec<_> = NAMES.into_iter().chain(["TOKMAN_CONFIG_DIR"]).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(left_behind(&env), 0);
}

#[test]
fn lets_tokman_itself_work_in_it() {
    let env = world();
    let script = "set -e; \"$0\" token -p wix >first; \"$0\" token -p wix >second; cmp first second; \
                  \"$0\" status -o json; ls -ld \"$TOKMAN_CONFIG_DIR\" >&2; rm first second";
    let run = env.tokman(&["emulator", "--", "sh", "-c", script, env!("CARGO_BIN_EXE_tokman")]);
    run.code(0).stderr_has("drwx------ ");
    assert_eq!((&run.json()[0]["key"], &run.json()[0]["state"]), (&"wix/default".into(), &"fresh".into()));
    assert_eq!(left_behind(&env), 0);
    assert!(!env.config_dir().exists(), "the real configuration is not touched");
}

#[test]
fn shows_every_verb_in_the_demo() {
    let mut env = world();
    env.set("TOKMAN_SQUARE_CLIENT_SECRET", canary("ours"));
    let run = env.tokman(&["emulator", "--demo"]);
    run.code(0).stderr_lacks("panicked");
    for verb in ["obtain", "refresh", "renew", "token", "status", "revoke", "remove"] {
        run.stdout_has(&format!("$ tokman {verb} "));
    }
    run.stdout_has("Square").stdout_has("Wix").stdout_has("\"access_token\": \"EAAA").stdout_has("\"success\": true");
    assert!(!run.stdout.contains('\u{1b}'), "{run}");
    assert_eq!(left_behind(&env), 0);
    assert!(!env.config_dir().exists(), "the real configuration is not touched");
    env.tokman(&["emulator", "--demo", "--", "true"]).code(2);
}

#[test]
fn says_that_its_port_is_taken_and_how_to_take_another() {
    let env = TestEnv::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let run = env.tokman(&["emulator", "--port", &port]);
    run.code(2).stdout_is("").stderr_has(&format!("error: cannot listen on 127.0.0.1:{port}")).stderr_has("--port 0");
    for wrong in [["--port", "65536"], ["--fail-rate", "2"], ["--fail-rate", "NaN"], ["--latency", "soon"]] {
        env.tokman(&[&["emulator"], &wrong[..]].concat()).code(2).stderr_has(wrong[0]);
    }
}

#[test]
fn ends_tokens_as_soon_as_it_is_told() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve", "--expires-in", "60s"]);
    let env = emulated.client(&[]);
    let obtained = env.tokman(&["obtain", "-p", "wix"]).code(0).json();
    assert_eq!(obtained["expires_in"], 60);
    log_in(&env, "square").code(0);
    for view in env.tokman(&["status", "-o", "json"]).code(0).json().as_array().expect("an array") {
        let time = |name: &str| view[name].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).expect("a time");
        let life = time("expires_at").duration_since(time("refreshed_at")).as_secs();
        assert!((58..=60).contains(&life), "{view}");
    }
}

#[test]
fn replaces_every_refresh_token_where_it_is_asked_to() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve", "--rotate"]);
    let env = emulated.client(&[]);
    log_in(&env, "square").code(0);
    let spent = env.read_token("square/default")["refresh_token"].clone();
    env.tokman(&["refresh", "-p", "square", "-o", "none"]).code(0);
    assert_ne!(env.read_token("square/default")["refresh_token"], spent);
    let spent = spent.as_str().expect("a token");
    let run = env.command(&["obtain", "-p", "square", "-n", "late", "--refresh-token", "-"]).stdin(spent).run();
    run.code(5).stderr_lacks(spent);
}

#[test]
fn fails_as_often_as_it_is_told() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve", "--fail-rate", "1"]);
    let env = emulated.client(&[]);
    let run = env.tokman(&["obtain", "-p", "wix", "--timeout", "10s"]);
    run.code(7).stdout_is("").stderr_has("HTTP 503").stderr_has("hint: ");
    let old = emulated.get("TOKMAN_EMULATOR_SQUARE_OLD_TOKEN");
    let run = env.command(&["obtain", "-p", "square", "--migration-token", "-", "--timeout", "10s"]).stdin(old).run();
    run.code(7).stdout_is("").stderr_lacks(old);
    assert!(!env.token_path("square/default").exists() && !env.token_path("wix/default").exists());
}

#[test]
fn holds_every_answer_back_where_it_is_told_to() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve", "--latency", "1s"]);
    let env = emulated.client(&[]);
    let start = Instant::now();
    env.tokman(&["obtain", "-p", "wix", "-o", "none"]).code(0);
    assert!(start.elapsed() >= Duration::from_secs(1));
    // A token that is there is printed without asking.
    drop(emulated);
    env.tokman(&["token", "-p", "wix"]).code(0);
}

#[test]
fn leaves_interruption_to_its_command_and_cleans_up_after_it() {
    let env = world();
    let script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done";
    // A terminal signals the whole group; here the command's own process is told.
    let script = format!("echo $$ >&2; {script}");
    let running = env.command(&["emulator", "--", "sh", "-c", &script]).spawn();
    running.wait_for_stdout("ready\n");
    let pid: i32 = running.wait_for_stderr("\n").trim().parse().expect("a process id");
    running.signal(Signal::INT);
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, Signal::INT).expect("a process that still runs");
    running.wait().code(9).stdout_has("interrupted");
    assert_eq!(left_behind(&env), 0);
}
