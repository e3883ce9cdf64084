//! Records as they lie on the disk, and the application that they belong to.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::env::TestEnv;
use super::run::Run;
use super::secrets::{canary, prefixed};

/// The application at Square.
pub const SQUARE_ID: &str = "sq0idp-id-of-the-tests";
/// The app at Wix, and its instance.
pub const WIX_ID: &str = "11111111-2222-4333-8444-555555555555";
pub const WIX_INSTANCE: &str = "66666666-7777-4888-9999-aaaaaaaaaaaa";

/// So many seconds from now, as a record has it.
#[expect(clippy::disallowed_methods, reason = "the binary has no clock but the system's")]
pub fn at(seconds: i64) -> String {
    format!("{:.0}", Timestamp::now() + SignedDuration::from_secs(seconds))
}

/// A record of Square that was refreshed `age` seconds ago and lasts `left` more; its tokens are canaries.
pub fn record(key: &str, base_url: &str, age: i64, left: i64) -> Value {
    let (provider, profile) = key.split_once('/').expect("provider/profile");
    json!({
        "access_token": prefixed("EAAA", "access"),
        "token_type": "bearer",
        "expires_at": at(left),
        "merchant_id": "MLTESTS",
        "refresh_token": prefixed("EQAA", "refresh"),
        "tokman": {
            "version": 1, "provider": provider, "profile": profile, "kind": "square",
            "grant": "authorization_code", "client_id": SQUARE_ID, "base_url": base_url, "account": "MLTESTS",
            "obtained_at": at(-age), "refreshed_at": at(-age), "expires_at": at(left),
            "refresh_token_expires_at": null, "scopes": [], "generation": 1
        }
    })
}

/// A record of a Wix app, likewise.
pub fn wix_record(key: &str, base_url: &str, age: i64, left: i64) -> Value {
    let mut record = record(key, base_url, age, left);
    let members = record.as_object_mut().expect("an object");
    for name in ["merchant_id", "refresh_token", "expires_at"] {
        members.remove(name);
    }
    record["access_token"] = prefixed("OauthNG.JWS.", "access").into();
    for (name, value) in [("kind", "wix-app"), ("client_id", WIX_ID), ("account", WIX_INSTANCE)] {
        record["tokman"][name] = value.into();
    }
    record
}

/// A world whose applications at Square and Wix live at an address; the secrets are canaries.
pub fn applications(base_url: &str) -> TestEnv {
    let mut env = TestEnv::new();
    for (name, value) in [
        ("TOKMAN_SQUARE_BASE_URL", base_url),
        ("TOKMAN_SQUARE_CLIENT_ID", SQUARE_ID),
        ("TOKMAN_SQUARE_CLIENT_SECRET", &prefixed("sq0csp-", "secret")),
        ("TOKMAN_WIX_BASE_URL", base_url),
        ("TOKMAN_WIX_CLIENT_ID", WIX_ID),
        ("TOKMAN_WIX_CLIENT_SECRET", &canary("secret")),
        ("TOKMAN_WIX_INSTANCE_ID", WIX_INSTANCE),
    ] {
        env.set(name, value);
    }
    env
}

/// An answer with a token in it: the body, and its access token.
pub fn answer() -> (Value, String) {
    let access = prefixed("EAAA", "access");
    let body = json!({
        "access_token": access,
        "token_type": "bearer",
        "expires_at": at(30 * 86_400),
        "merchant_id": "MLTESTS",
        "refresh_token": prefixed("EQAA", "refresh"),
        "short_lived": false
    });
    (body, access)
}

/// The lines of a run's stderr, each of which must be a JSON object with a level and a message.
#[track_caller]
pub fn logged(run: &Run) -> Vec<Value> {
    let lines: Vec<Value> = run
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON, {error}: {line}\n{run}")))
        .collect();
    for line in &lines {
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}\n{run}");
    }
    lines
}
