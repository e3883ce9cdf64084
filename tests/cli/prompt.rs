//! Secrets that are typed in on a terminal: not echoed, and the terminal is what it was afterwards.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::run::Running;
use crate::support::terminal::tokman_under;
use crate::support::{Request, Server, Shop, Step};

/// A shell on a terminal that lets tokman ask, and then says how the terminal is and how tokman ended.
fn ask<'a>(shop: &'a Shop, options: &str) -> Running<'a> {
    let line = format!(
        "trap : INT TERM; {} obtain -p square {options} -o none; echo ended=$?; stty -a",
        env!("CARGO_BIN_EXE_tokman")
    );
    shop.env.program("script", &["-qec", &line, "/dev/null"]).spawn()
}

/// What `stty` says of a terminal that nothing is wrong with.
#[track_caller]
fn assert_mended(shown: &str) {
    for mode in ["echo", "icanon", "isig"] {
        assert!(shown.split_whitespace().any(|word| word == mode), "{mode}: {shown}");
    }
}

const QUESTIONS: [(&str, &str); 3] = [
    ("--refresh-token -", "refresh token: "),
    ("--code -", "code or redirected address: "),
    ("--code x --client-secret-file -", "client secret of square: "),
];

#[test]
fn a_client_secret_is_asked_for_and_not_echoed() {
    let mut shop = Shop::square();
    shop.env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    let expected = Request::post("/oauth2/token").json_with(json!({ "client_secret": shop.secret }));
    let server = Server::start(vec![Step::expect(expected).answer(200, shop.answer())]);
    shop.at(&server);
    let mut running = ask(&shop, "--code x --client-secret-file -");
    running.wait_for_stdout("client secret of square: ");
    // An echo would be a canary on stdout, which fails the run.
    running.feed(format!("{}\n", shop.secret).as_bytes());
    let run = running.wait();
    run.code(0).stdout_has("ended=0");
    assert_mended(&run.stdout);
    server.finish();
}

#[test]
fn ctrl_c_at_a_question_leaves_the_terminal_as_it_was() {
    for (options, question) in QUESTIONS {
        let mut shop = Shop::square();
        let server = Server::start(vec![]);
        shop.at(&server);
        let mut running = ask(&shop, options);
        running.wait_for_stdout(question);
        running.feed(b"\x03");
        let run = running.wait();
        run.stdout_has("ended=130");
        assert_mended(&run.stdout);
        server.finish();
    }
}

#[test]
fn a_signal_at_a_question_leaves_the_terminal_as_it_was() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut shop = Shop::square();
        let server = Server::start(vec![]);
        shop.at(&server);
        let running = ask(&shop, "--refresh-token -");
        running.wait_for_stdout("refresh token: ");
        let id = i32::try_from(tokman_under(&running)).expect("a process id");
        kill_process(Pid::from_raw(id).expect("a process id"), signal).expect("a process that still runs");
        let run = running.wait();
        run.stdout_has(&format!("ended={code}"));
        assert_mended(&run.stdout);
        server.finish();
    }
}
