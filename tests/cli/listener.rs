//! A login that waits on its listener: only the redirect that it waits for changes anything, and nothing that anybody
//! else sends keeps that one out.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;
use url::Url;

use crate::support::terminal::{self, Login, begin, environment, is_closed, on_terminal, opened};
use crate::support::{Answer, Gate, Server, Shop, Sort, TestEnv, canary, machine, report};

/// How long a test waits for one answer of the listener.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most that a waiting login may grow by, in KiB.
const GROWTH: u64 = 24 << 10;

/// A port that is free on both families.
fn free_port() -> u16 {
    loop {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = socket.local_addr().expect("an address").port();
        if TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A login at a provider that answers every code alike.
struct Waiting {
    shop: Shop,
    server: Server,
    port: u16,
}

impl Waiting {
    /// Absent where nothing can be run on a terminal.
    fn at(answer: impl Fn(&Shop) -> Answer) -> Option<Self> {
        if !machine::has_terminals() {
            return None;
        }
        let mut shop = Shop::new(Sort::Square);
        let answer = answer(&shop);
        let server = Server::with(move |_, _| answer.clone()).allow_any_number();
        shop.at(&server);
        Some(Self { shop, server, port: free_port() })
    }

    fn well() -> Option<Self> {
        Self::at(|shop| Answer::json(200, shop.answer()))
    }

    fn begin(&self) -> Login<'_> {
        begin(&self.shop.env, &format!("--port {}", self.port))
    }

    fn v4(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A request as a browser sends it.
    fn request(&self, method: &str, target: &str) -> String {
        format!("{method} {target} HTTP/1.1\r\nHost: localhost:{}\r\nAccept: text/html\r\n\r\n", self.port)
    }

    fn get(&self, target: &str) -> String {
        self.request("GET", target)
    }

    #[track_caller]
    fn assert_nothing_changed(&self) {
        assert!(!self.shop.has_token() && self.server.requests().is_empty(), "something changed");
    }
}

/// The parameter of the login's address that comes back with the right redirect.
#[track_caller]
fn state(login: &Login<'_>) -> String {
    let address: Url = login.address.parse().expect("an address");
    let state = address.query_pairs().find(|(name, _)| name == "state").expect("a state");
    state.1.into_owned()
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).expect("a listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time limit");
    stream
}

/// Sends bytes; the answer, empty where the connection was closed without one.
fn send(mut stream: TcpStream, request: &[u8]) -> String {
    // Whoever is refused in the middle of a request cannot send the rest of it.
    drop(stream.write_all(request));
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert!(error.kind() != std::io::ErrorKind::WouldBlock, "no answer within {PATIENCE:?}");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// A figure of a process, in KiB.
fn memory(process: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process that runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let figure = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    figure.unwrap_or_else(|| panic!("no {name}: {text}"))
}

#[track_caller]
fn assert_page(answer: &str, code: u16, title: &str) {
    assert_eq!(status(answer), Some(code), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let head = head.to_ascii_lowercase();
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
        "x-content-type-options: nosniff",
    ] {
        assert!(head.contains(header), "no {header}: {head}");
    }
    assert!(!head.contains("location:") && !head.contains("set-cookie:"), "{head}");
    assert!(body.contains(&format!("<h1>{title}</h1>")), "{body}");
    for elsewhere in ["http:", "https:", "//", "src=", "href=", "url(", "<script"] {
        assert!(!body.contains(elsewhere), "{elsewhere} in {body}");
    }
}

#[test]
fn refuses_everything_but_its_redirect_and_stays_small() {
    let Some(waiting) = Waiting::well() else { return };
    let login = waiting.begin();
    let (state, v4, process) = (state(&login), waiting.v4(), login.tokman());
    let right = format!("/callback?code=the-code&response_type=code&state={state}");
    let before = memory(process, "VmRSS");

    let idle: Vec<TcpStream> = (0..500).map(|_| connect(v4)).collect();
    let foreign = |host: &str| format!("GET {right} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let port = waiting.port;
    let many = "X-Another: x\r\n".repeat(10_000);
    let wrong = [
        ("a request line of 1 MB", waiting.get(&format!("{right}&x={}", "x".repeat(1 << 20)))),
        ("10,000 headers", format!("GET {right} HTTP/1.1\r\nHost: localhost:{port}\r\n{many}\r\n")),
        (
            "a header of 1 MB",
            format!("GET {right} HTTP/1.1\r\nHost: localhost:{port}\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)),
        ),
        ("another name", foreign(&format!("attacker.example:{port}"))),
        ("a name that begins alike", foreign(&format!("localhost.attacker.example:{port}"))),
        ("another port", foreign("localhost:1")),
        ("no port", foreign("localhost")),
        ("an address for the name", foreign(&format!("127.0.0.1:{port}"))),
        ("no host", format!("GET {right} HTTP/1.1\r\n\r\n")),
        ("an absolute target", waiting.get(&format!("http://localhost:{port}{right}"))),
        ("an absolute target elsewhere", waiting.get(&format!("http://attacker.example{right}"))),
        ("no state", waiting.get("/callback?code=the-code")),
        ("an empty state", waiting.get("/callback?code=the-code&state=")),
        ("half a state", waiting.get(&format!("/callback?code=the-code&state={}", &state[..20]))),
        ("two states", waiting.get(&format!("{right}&state={state}"))),
        ("two codes", waiting.get(&format!("{right}&code=another"))),
        ("no query", waiting.get("/callback")),
        ("POST", waiting.request("POST", &right)),
        ("PUT", waiting.request("PUT", &right)),
        ("HEAD", waiting.request("HEAD", &right)),
        ("OPTIONS", waiting.request("OPTIONS", &right)),
        ("another path", waiting.get(&right.replace("/callback", "/"))),
        ("a longer path", waiting.get(&right.replace("/callback", "/callback/"))),
        ("another case", waiting.get(&right.replace("/callback", "/Callback"))),
        ("an encoded path", waiting.get(&right.replace("/callback", "/call%62ack"))),
        ("an icon", waiting.get("/favicon.ico")),
        ("a preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("a handshake of TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\r\n\r\n".to_owned()),
    ];
    for to in [v4, (Ipv6Addr::LOCALHOST, port).into()] {
        for (what, request) in &wrong {
            let answer = send(connect(to), request.as_bytes());
            let refused = answer.is_empty() || status(&answer).is_some_and(|code| (400..500).contains(&code));
            assert!(refused, "{what} at {to}: {answer}");
            assert!(!answer.to_ascii_lowercase().contains("location:") && !answer.contains(&state), "{what}: {answer}");
        }
    }
    for n in 0..1000 {
        let forged = format!("/callback?code=the-code&state={n:0>43}");
        assert_eq!(status(&send(connect(v4), waiting.get(&forged).as_bytes())), Some(400));
    }
    waiting.assert_nothing_changed();
    let (after, peak) = (memory(process, "VmRSS"), memory(process, "VmHWM"));
    report::figure(&format!(
        "a login that is pestered: {before} KiB before, {after} KiB after, {peak} KiB at its peak"
    ));
    assert!(peak - before < GROWTH, "{before} KiB grew to {peak} KiB");

    assert_page(&send(connect(v4), waiting.get(&right).as_bytes()), 200, "Logged in");
    login.running.wait().code(0);
    assert_eq!(waiting.server.requests().len(), 1);
    drop(idle);
    assert!(is_closed(port), "the port is closed after the login");
}

#[test]
fn stores_the_token_before_the_page_says_so_and_takes_its_redirect_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let Some(waiting) = Waiting::at(move |shop| Answer::json(200, shop.answer()).held_by(&held)) else { return };
    let login = waiting.begin();
    let request = waiting.get(&format!("/callback?code=the-code&state={}", state(&login)));
    // Accepted before the right one comes: the next connection's answer is proof of that.
    let early = connect(waiting.v4());
    assert_eq!(status(&send(connect(waiting.v4()), waiting.get("/").as_bytes())), Some(404));
    let mut first = connect((Ipv6Addr::LOCALHOST, waiting.port).into());
    first.write_all(request.as_bytes()).expect("a listener");
    waiting.server.wait_for_requests(1);
    assert_eq!(status(&send(early, request.as_bytes())), Some(410));
    assert!(TcpStream::connect(waiting.v4()).is_err(), "nobody listens once the redirect is there");
    assert!(!waiting.shop.has_token());
    gate.open();
    let mut page = String::new();
    first.read_to_string(&mut page).expect("a page");
    assert!(waiting.shop.has_token(), "the page came before the token was stored");
    assert_page(&page, 200, "Logged in");
    assert!(page.contains("square/default") && !page.contains(&waiting.shop.new_access), "{page}");
    login.running.wait().code(0);
    assert_eq!(waiting.server.requests().len(), 1);
}

#[test]
fn tells_the_providers_reason_for_a_denial() {
    let Some(waiting) = Waiting::well() else { return };
    let login = waiting.begin();
    let query = format!("error=access_denied&error_description=user_denied+%3Cb%3E&state={}", state(&login));
    let page = send(connect(waiting.v4()), waiting.get(&format!("/callback?{query}")).as_bytes());
    assert_page(&page, 400, "Not logged in");
    assert!(page.contains("user_denied") && !page.contains("<b>"), "{page}");
    login.running.wait().code(5).stdout_has("user_denied");
    waiting.assert_nothing_changed();
    assert!(is_closed(waiting.port));
}

#[test]
fn says_that_a_login_failed_whose_code_was_refused() {
    let refusals = [
        (401, json!({"message": "Not Authorized", "type": "service.not_authorized"}), 6),
        (400, json!({"error": "invalid_grant", "error_description": "The code is spent."}), 5),
    ];
    for (status, body, code) in refusals {
        let Some(waiting) = Waiting::at(|_| Answer::json(status, body.clone())) else { return };
        let login = waiting.begin();
        let target = format!("/callback?code=the-code&state={}", self::state(&login));
        let page = send(connect(waiting.v4()), waiting.get(&target).as_bytes());
        assert_page(&page, 400, "Not logged in");
        login.running.wait().code(code).stdout_has("error: ");
        assert!(!waiting.shop.has_token());
    }
}

#[test]
fn does_not_say_that_nothing_was_kept_where_the_token_is_in_a_rescue_file() {
    let Some(waiting) = Waiting::well() else { return };
    let mut other = waiting.shop.record(3600);
    other["merchant_id"] = "MLFAKE000ANOTHER0".into();
    other["tokman"]["account"] = "MLFAKE000ANOTHER0".into();
    waiting.shop.env.write_token("square/default", &other);
    let login = waiting.begin();
    let target = format!("/callback?code=the-code&state={}", state(&login));
    let page = send(connect(waiting.v4()), waiting.get(&target).as_bytes());
    assert_page(&page, 400, "Not logged in");
    assert!(page.contains("The terminal says what to do") && !page.contains("Nothing was stored"), "{page}");
    login.running.wait().code(10).stdout_has("import --rescue");
    assert_eq!(waiting.shop.stored(), other);
}

#[test]
fn names_port_and_redirect_address_where_somebody_else_listens_and_opens_no_browser() {
    for host in ["127.0.0.1", "::1"] {
        let Some(waiting) = Waiting::well() else { return };
        let taken = TcpListener::bind((host, waiting.port)).expect("a free port");
        let run = on_terminal(&waiting.shop.env, &format!("--port {}", waiting.port)).wait();
        run.code(3).stdout_has(&format!("http://localhost:{}/callback", waiting.port)).stdout_has("--port N");
        assert!(!opened(&waiting.shop.env).exists(), "a browser was opened: {run}");
        waiting.assert_nothing_changed();
        drop(taken);
    }
}

#[test]
fn listens_for_no_address_on_the_web_and_takes_what_is_pasted() {
    let turn = terminal::turn();
    let Some(waiting) = Waiting::well() else { return };
    let mut running = on_terminal(&waiting.shop.env, "--redirect-uri https://shop.example/done");
    let said = running.wait_for_stdout("https://shop.example/done. If it cannot");
    assert!(is_closed(terminal::PORT), "nobody listens for an address on the web");
    let address = said.split_whitespace().find(|word| word.starts_with(&waiting.server.url())).expect("an address");
    let address: Url = address.parse().expect("an address");
    let state = address.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    running.feed(format!("https://shop.example/done?code=the-code&state={state}\n").as_bytes());
    running.wait().code(0);
    assert!(waiting.shop.has_token());
    drop(turn);
}

#[test]
fn takes_what_is_pasted_while_it_listens() {
    let Some(waiting) = Waiting::well() else { return };
    let mut login = waiting.begin();
    let state = state(&login);
    assert_eq!(status(&send(connect(waiting.v4()), waiting.get("/callback?code=x&state=y").as_bytes())), Some(400));
    login.running.feed(format!("http://localhost:{}/callback?code=the-code&state={state}\n", waiting.port).as_bytes());
    login.running.wait().code(0);
    assert!(waiting.shop.has_token() && is_closed(waiting.port));
}

#[test]
fn gives_the_browser_the_address_and_no_secret() {
    let Some(mut waiting) = Waiting::well() else { return };
    waiting.shop.env.set("TOKMAN_SQUARE_REFRESH_TOKEN", canary("seed"));
    waiting.shop.env.set("TOKMAN_ACME_CLIENT_SECRET", canary("acme"));
    let login = waiting.begin();
    let given = std::fs::read_to_string(environment(&waiting.shop.env)).expect("the browser's environment");
    assert!(given.contains("PATH=") && given.contains("TOKMAN_SQUARE_CLIENT_ID="), "{given}");
    assert!(!given.contains("SECRET") && !given.contains("REFRESH_TOKEN") && !given.contains("canary"), "{given}");
    assert!(!login.address.contains("canary"), "{}", login.address);
}

#[test]
fn no_browser_is_found_where_tokman_happens_to_stand() {
    let turn = terminal::turn();
    for (browser, display, name) in
        [(Some("mybrowser"), "", "mybrowser"), (Some("./mybrowser"), "", "mybrowser"), (None, ":0", "xdg-open")]
    {
        let mut home = TestEnv::new();
        home.set("TOKMAN_SQUARE_CLIENT_ID", "sq0idp-x");
        let ran = home.home().join("ran");
        for name in ["mybrowser", "xdg-open"] {
            let program = home.work().join(name);
            home.write(&program, format!("#!/bin/sh\n: > {}\n", ran.display()));
            home.set_mode(&program, 0o700);
        }
        if let Some(browser) = browser {
            home.set("BROWSER", browser);
        }
        home.set("DISPLAY", display);
        let line = format!("PATH=.: {} obtain -p square -o none", env!("CARGO_BIN_EXE_tokman"));
        let running = home.program("script", &["-qefc", &line, "/dev/null"]).spawn();
        let shown = running.wait_for_stdout("Waiting for the browser");
        assert!(!shown.contains("Your browser opens") && !ran.exists(), "./{name} was started: {shown}");
        drop(running);
        assert!(is_closed(terminal::PORT));
    }
    drop(turn);
}
