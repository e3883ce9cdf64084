//! A Square token that is stored before a test begins, and the answer that would take its place.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::env::TestEnv;
use super::secrets::canary;

/// The client id of every test.
pub const CLIENT_ID: &str = "sq0idp-test";

/// What is stored for a key, and what the provider would answer to its refresh token.
#[derive(Debug, Clone)]
pub struct Stored {
    pub key: String,
    pub access: String,
    pub refresh: String,
    pub next_access: String,
    pub next_refresh: String,
    url: String,
    kind: &'static str,
    left: i64,
    born: Timestamp,
}

impl Stored {
    /// A token of `square/default` that expired an hour ago; its refresh token is good as often as it is used.
    pub fn expired(url: &str) -> Self {
        Self {
            key: "square/default".to_owned(),
            access: canary("access"),
            refresh: canary("refresh"),
            next_access: canary("next-access"),
            next_refresh: canary("next-refresh"),
            url: url.to_owned(),
            kind: "square",
            left: -3600,
            born: now(),
        }
    }

    /// A refresh token that is good once.
    pub fn single_use(mut self) -> Self {
        self.kind = "square-pkce";
        self
    }

    /// An access token that lives this many seconds more.
    pub fn living(mut self, seconds: i64) -> Self {
        self.left = seconds;
        self
    }

    /// Issued by another address.
    pub fn issued_by(mut self, url: &str) -> Self {
        url.clone_into(&mut self.url);
        self
    }

    /// Stored for another key.
    pub fn of(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    /// The record as tokman would have written it.
    pub fn record(&self) -> Value {
        let (provider, profile) = self.key.split_once('/').expect("a key");
        let issued = self.at(-86_400 * 10);
        json!({
            "access_token": self.access,
            "token_type": "bearer",
            "expires_at": self.at(self.left),
            "merchant_id": "MERCHANT",
            "refresh_token": self.refresh,
            "tokman": {
                "version": 1, "provider": provider, "profile": profile, "kind": self.kind,
                "grant": "authorization_code", "client_id": CLIENT_ID, "base_url": self.url,
                "account": "MERCHANT", "obtained_at": issued, "refreshed_at": issued,
                "expires_at": self.at(self.left), "refresh_token_expires_at": null,
                "scopes": [], "generation": 7
            }
        })
    }

    /// The provider's answer to the refresh token.
    pub fn reply(&self) -> Value {
        json!({
            "access_token": self.next_access,
            "token_type": "bearer",
            "expires_at": self.at(86_400 * 30),
            "merchant_id": "MERCHANT",
            "refresh_token": self.next_refresh,
        })
    }

    /// An instant that many seconds after this was made.
    pub fn at(&self, seconds: i64) -> String {
        format!("{:.0}", self.born + SignedDuration::from_secs(seconds))
    }

    /// Stores it, and makes the application known.
    pub fn put(&self, env: &mut TestEnv) {
        env.set("TOKMAN_SQUARE_CLIENT_ID", CLIENT_ID);
        env.set("TOKMAN_SQUARE_CLIENT_SECRET", canary("client-secret"));
        env.set("TOKMAN_SQUARE_BASE_URL", &self.url);
        env.write_token(&self.key, &self.record());
    }
}

/// What the machine's clock says.
#[expect(clippy::disallowed_methods, reason = "the binary under test has the same clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
