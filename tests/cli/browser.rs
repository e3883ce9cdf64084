//! Logins with a real browser: Chromium consents or does not, and comes back to the listener by itself.

use crate::support::chrome::Chrome;
use crate::support::emulated::Emulated;
use crate::support::terminal::{self, begin, is_closed};
use crate::support::{TestEnv, report};

/// Logs in, allows or denies on the provider's page, and sees what browser and terminal say.
fn log_in(options: &str, without: &[&str], key: &str, allow: bool) {
    let turn = terminal::turn();
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
    assert!(is_closed(terminal::PORT), "the listener's port is closed after the login");
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
