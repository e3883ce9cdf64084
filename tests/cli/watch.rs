//! `status --watch`: a terminal that shows what is stored, until somebody has seen enough.

use serde_json::json;

use crate::support::TestEnv;
use crate::support::run::Running;
use crate::support::stored::record;
use crate::support::terminal::sized;

const BASE: &str = "https://connect.squareup.com";

/// Waits until it has shown all of a frame with this text in it; that frame.
#[track_caller]
fn frame(running: &Running<'_>, text: &str) -> String {
    let whole = |shown: &str| {
        let (frames, _) = shown.rsplit_once("\u{1b}[J")?;
        frames.split("\u{1b}[J").find(|frame| frame.contains(text)).map(str::to_owned)
    };
    running.wait_until_stdout(text, whole)
}

#[test]
fn shows_what_changes_in_place_and_ends_with_ctrl_c() {
    let env = TestEnv::new();
    env.write_token("square/one", &record("square/one", BASE, 60, 86_400));
    let mut running = sized(&env, 100, "status --watch 1s").spawn();
    let first = frame(&running, "1 token: 1 fresh");
    assert!(first.contains("\u{1b}[H") && !first.contains("\u{1b}[?"), "home, and no mode of the terminal: {first:?}");
    env.write_token("square/two", &record("square/two", BASE, 31 * 86_400, -60));
    let both = frame(&running, "2 tokens: 1 fresh, 1 expired");
    assert!(both.contains("square/one") && both.contains("square/two"), "{both:?}");
    env.write(env.token_path("square/two"), "{");
    frame(&running, "2 tokens: 1 fresh, 1 unknown");
    running.feed(b"\x03");
    let run = running.wait();
    run.code(0).stdout_lacks("warning").stderr_is("");
    assert!(run.stdout.ends_with("\r\u{1b}[K"), "{:?}", run.stdout);
}

#[test]
fn shows_as_many_rows_as_the_terminal_has_and_counts_the_others() {
    let env = TestEnv::new();
    for n in 0..20 {
        env.write_token(&format!("square/{n:02}"), &json!({"access_token": "x"}));
    }
    let mut running = sized(&env, 60, "status --watch").spawn();
    let shown = frame(&running, "… and 13 more: narrow it with -p, -n or --only");
    assert!(shown.contains("20 tokens: 20 unknown") && shown.contains("square/06") && !shown.contains("square/07"));
    assert!(shown.matches('\n').count() < 12, "it scrolls: {shown}");
    running.feed(b"\x03");
    running.wait().code(0);
}

#[test]
fn leaves_the_terminal_as_it_was() {
    let env = TestEnv::new();
    let tokman = env!("CARGO_BIN_EXE_tokman");
    let script = format!("trap : INT; stty -a >before; {tokman} status --watch; stty -a >after; echo 'the end'");
    let mut running = env.program("script", &["-qefc", &script, "/dev/null"]).spawn();
    frame(&running, "0 tokens");
    running.feed(b"\x03");
    running.wait().code(0).stdout_has("\r\u{1b}[Kthe end");
    let read = |name: &str| std::fs::read_to_string(env.work().join(name)).expect("what stty says");
    assert_eq!(read("before"), read("after"));
}

#[test]
fn needs_somebody_who_looks() {
    let env = TestEnv::new();
    env.tokman(&["status", "--watch"]).code(2).stdout_is("").stderr_has("hint: tokman status -o json\n");
    for words in ["--watch --remote", "--watch --write x", "--watch -o json", "--watch -q", "--watch 0s"] {
        let args: Vec<&str> = ["status"].into_iter().chain(words.split(' ')).collect();
        env.tokman(&args).code(2).stdout_is("");
    }
}
