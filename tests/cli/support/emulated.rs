//! A running emulator, and a browser that consents to everything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use url::Url;

use super::env::TestEnv;
use super::run::{Run, Running};

/// An emulator that serves until it is dropped.
pub struct Emulated<'a> {
    pub running: Running<'a>,
    /// What it printed: names and values.
    pub variables: Vec<(String, String)>,
}

impl<'a> Emulated<'a> {
    /// Starts one with these options, on any free port.
    #[track_caller]
    pub fn start(home: &'a TestEnv, options: &[&str]) -> Self {
        let running = home.command(&[&["emulator", "--port", "0"], options].concat()).spawn();
        running.wait_for_stderr("Serving on");
        let last = "TOKMAN_EMULATOR_PUBLIC_CLIENT_ID=";
        let whole = |printed: &str| printed.split_once(last)?.1.ends_with('\n').then(|| printed.to_owned());
        let printed = running.wait_until_stdout(last, whole);
        let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = printed.lines().map(|line| pair(line).expect("NAME=value")).collect();
        Self { running, variables }
    }

    /// The value of a variable that it printed.
    #[track_caller]
    pub fn get(&self, name: &str) -> &str {
        let found = self.variables.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no {name} in {:?}", self.variables)).1
    }

    /// A world that has its application configured, but for these variables.
    pub fn client(&self, without: &[&str]) -> TestEnv {
        let mut env = TestEnv::new();
        for (name, value) in self.variables.iter().filter(|(name, _)| !without.contains(&name.as_str())) {
            env.set(name, value);
        }
        env
    }
}

/// A login as somebody with a browser does it: the address is printed, opened, and where it leads is handed in.
#[track_caller]
pub fn log_in(env: &TestEnv, provider: &str) -> Run {
    let printed = env.tokman(&["obtain", "-p", provider, "--print-url"]);
    let redirected = open(printed.code(0).stdout.trim());
    assert!(redirected.starts_with("http://localhost:8917/callback?"), "{redirected}");
    env.command(&["obtain", "-p", provider, "--code", "-"]).stdin(redirected).run()
}

/// Opens an address: where it redirects to.
#[track_caller]
pub fn open(address: &str) -> String {
    let answer = fetch(address);
    let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
    location.unwrap_or_else(|| panic!("no redirect from {address}: {answer}")).to_owned()
}

/// Fetches an address without following anything: the answer whole, the names of its headers in lower case.
#[track_caller]
pub fn fetch(address: &str) -> String {
    send("GET", address, "")
}

/// Submits a form, as [`fetch`] fetches.
#[track_caller]
pub fn submit(address: &str, form: &str) -> String {
    let length = form.len();
    let rest = format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}");
    send("POST", address, &rest)
}

#[track_caller]
fn send(method: &str, address: &str, rest: &str) -> String {
    let url = Url::parse(address).expect("an address");
    let socket = url.socket_addrs(|| None).expect("a host that is found")[0];
    let mut stream = TcpStream::connect(socket).expect("a server");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let rest = if rest.is_empty() { "\r\n" } else { rest };
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: {socket}\r\nConnection: close\r\n{rest}").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
