//! Logins on a pseudo-terminal, up to the address that a browser is given; the test is the browser.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::env::TestEnv;
use super::run::{Invocation, Run, Running};

/// The port that a login listens on unless it is told another.
pub const PORT: u16 = 8917;

/// Logins on that port take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A login on a terminal.
pub struct Login<'a> {
    pub running: Running<'a>,
    /// What the browser was told to open.
    pub address: String,
}

/// Waits for the turn to listen on [`PORT`]; it lasts until it is dropped.
pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins a login and waits for its browser.
#[track_caller]
pub fn begin<'a>(home: &'a TestEnv, options: &str) -> Login<'a> {
    let running = on_terminal(home, options);
    let end = Instant::now() + Duration::from_secs(30);
    let address = loop {
        if let Ok(address) = std::fs::read_to_string(opened(home)) {
            break address;
        }
        assert!(Instant::now() < end, "no browser was opened");
        std::thread::sleep(Duration::from_millis(20));
    };
    Login { running, address }
}

/// `tokman obtain` on a terminal. `$BROWSER` writes down the address for the test to open, and the environment that it
/// was given.
#[track_caller]
pub fn on_terminal<'a>(home: &'a TestEnv, options: &str) -> Running<'a> {
    let (environment, opened) = (environment(home).display().to_string(), opened(home).display().to_string());
    let browser = home.home().join("browser.sh");
    let script =
        format!("#!/bin/sh\nenv > {environment}\nprintf %s \"$1\" > {opened}.new && mv {opened}.new {opened}\n");
    home.write(&browser, script);
    home.set_mode(&browser, 0o700);
    let tokman = env!("CARGO_BIN_EXE_tokman");
    home.program("script", &["-qefc", &format!("{tokman} obtain {options} -o none"), "/dev/null"])
        .var("BROWSER", browser.to_str().expect("a path that is text"))
        .spawn()
}

/// tokman on a terminal, with these answers typed ahead.
#[track_caller]
pub fn answering(home: &TestEnv, words: &str, answers: &[&str]) -> Run {
    let typed = [answers, &[""]].concat().join("\n");
    let command = format!("{} {words}", env!("CARGO_BIN_EXE_tokman"));
    home.program("script", &["-qefc", &command, "/dev/null"]).stdin(typed).run()
}

/// tokman on a terminal of so many columns, and what the terminal's program says of the rest.
pub fn sized<'a>(home: &'a TestEnv, columns: u16, words: &str) -> Invocation<'a> {
    let command = format!("stty cols {columns} rows 12; exec {} {words}", env!("CARGO_BIN_EXE_tokman"));
    home.program("script", &["-qefc", &command, "/dev/null"])
}

/// Where the browser writes down what it was told to open.
pub fn opened(home: &TestEnv) -> PathBuf {
    home.home().join("opened")
}

/// Where the browser writes its environment down.
pub fn environment(home: &TestEnv) -> PathBuf {
    home.home().join("environment")
}

/// Whether nobody listens on a port within a moment, on either family.
pub fn is_closed(port: u16) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("::1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

impl Login<'_> {
    /// The process id of tokman, which runs under the terminal's program.
    #[track_caller]
    pub fn tokman(&self) -> u32 {
        tokman_under(&self.running)
    }
}

/// The process id of the tokman that runs under a terminal's program.
#[track_caller]
pub fn tokman_under(running: &Running<'_>) -> u32 {
    let mut waiting = vec![running.id()];
    while let Some(id) = waiting.pop() {
        let name = std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        if name.trim() == "tokman" {
            return id;
        }
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        waiting.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    panic!("no tokman under the terminal");
}
