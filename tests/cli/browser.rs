//! Logins with a real browser: Chromium consents or does not, and comes back to the listener by itself.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::chrome::Chrome;
use crate::support::emulated::Emulated;
use crate::support::{TestEnv, report, run};

/// The port that a login listens on unless it is told another. The logins of this file take turns.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A login on a terminal, up to the address that the browser is given.
struct Login<'a> {
    running: run::Running<'a>,
    address: String,
}

/// Begins a login on a pseudo-terminal; `$BROWSER` writes the address down for the test to open.
fn begin<'a>(home: &'a TestEnv, options: &str) -> Login<'a> {
    let opened = home.home().join("opened");
    let browser = home.home().join("browser.sh");
    home.write(&browser, format!("#!/bin/sh\nprintf %s \"$1\" > {0}.new && mv {0}.new {0}\n", opened.display()));
    home.set_mode(&browser, 0o700);
    let tokman = env!("CARGO_BIN_EXE_tokman");
    let running = home
        .program("script", &["-qefc", &format!("{tokman} obtain {options} -o none"), "/dev/null"])
        .var("BROWSER", browser.to_str().expect("a path that is text"))
        .spawn();
    let end = Instant::now() + Duration::from_secs(30);
    let address = loop {
        if let Ok(address) = std::fs::read_to_string(&opened) {
            break address;
        }
        assert!(Instant::now() < end, "no browser was opened");
        std::thread::sleep(Duration::from_millis(20));
    };
    Login { running, address }
}

/// Whether nobody listens on the login's port.
fn is_closed() -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if TcpListener::bind(("127.0.0.1", 8917)).is_ok() && TcpListener::bind(("::1", 8917)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Logs in, allows or denies on the provider's page, and sees what browser and terminal say.
fn log_in(options: &str, without: &[&str], key: &str, allow: bool) {
    let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(chrome) = Chrome::start() else {
        report::skipped("a login in Chromium", "there is no chromedriver");
        return;
    };
    let server_home = TestEnv::new();
    let emulated = Emulated::start(&server_home, &[]);
    let mut home = emulated.client(without);
    home.set("TOKMAN_ACME_BASE_URL", emulated.get("TOKMAN_EMULATOR_ISSUER"));
    let login = begin(&home, options);
    chrome.open(&login.address);
    chrome.press(if allow { "button[value=allow]" } else { "button[value=deny]" });
    if allow {
        let page = chrome.wait_for("Logged in");
        assert!(page.contains(key), "{page}");
        // What the page says is on the disk already.
        assert!(home.token_path(key).exists());
        login.running.wait().code(0);
    } else {
        chrome.wait_for("Not logged in");
        login.running.wait().code(5).stdout_has("hint: ");
        assert!(!home.token_path(key).exists());
    }
    assert!(is_closed(), "the listener's port is closed after the login");
    drop(turn);
}

#[test]
fn logs_in_to_square_with_a_secret() {
    log_in("-p square", &[], "square/default", true);
}

#[test]
fn logs_in_to_square_with_pkce() {
    log_in("-p square -n shop", &["TOKMAN_SQUARE_CLIENT_SECRET"], "square/shop", true);
}

#[test]
fn tells_that_square_was_denied() {
    log_in("-p square", &[], "square/default", false);
}

#[test]
fn logs_in_to_a_wix_app_by_its_installation() {
    log_in("-p wix", &["TOKMAN_WIX_INSTANCE_ID"], "wix/default", true);
}

#[test]
fn logs_a_member_of_a_headless_wix_site_in() {
    log_in("-p wix", &["TOKMAN_WIX_INSTANCE_ID", "TOKMAN_WIX_CLIENT_SECRET"], "wix/default", true);
}

#[test]
fn tells_that_a_headless_wix_login_was_denied() {
    log_in("-p wix", &["TOKMAN_WIX_INSTANCE_ID", "TOKMAN_WIX_CLIENT_SECRET"], "wix/default", false);
}

#[test]
fn logs_in_to_an_oauth_2_provider() {
    log_in("-p acme", &[], "acme/default", true);
}

#[test]
fn tells_that_an_oauth_2_provider_was_denied() {
    log_in("-p acme", &[], "acme/default", false);
}
