//! A token as the provider gave it, with absolute times only.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;

use crate::model::{Response, Secret};

/// Which sort of credential a token is, where a provider has several that do not mix: `square`, `square-pkce`,
/// `wix-app`, `wix-legacy`, `wix-headless`, `wix-headless-admin`. Each provider reads its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind(Cow<'static, str>);

impl Kind {
    /// A kind that a provider names.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// A kind read from a record.
    #[must_use]
    pub const fn from_record(name: String) -> Self {
        Self(Cow::Owned(name))
    }

    /// The name, as records have it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token: what a provider's answer says, and the answer itself.
#[derive(Debug, Clone)]
pub struct Token {
    /// The sort of credential; absent where a file of another tool does not say.
    pub kind: Option<Kind>,
    /// The access token; empty where an answer had none of use, and its refresh token was kept.
    pub access: Secret,
    /// `token_type` as the provider wrote it; absent where it did not (Wix's legacy answers).
    pub token_type: Option<String>,
    /// The refresh token; absent for client credentials.
    pub refresh: Option<Secret>,
    /// The end of the access token; absent where nobody knows.
    pub expires_at: Option<Timestamp>,
    /// The end of the refresh token; absent where it has none or nobody knows.
    pub refresh_expires_at: Option<Timestamp>,
    /// The merchant (Square) or instance (Wix) that it is good for; absent where the provider does not say.
    pub account: Option<String>,
    /// The scopes that were asked for; empty where the provider's default was taken.
    pub scopes: Vec<String>,
    /// The answer as it came.
    pub response: Response,
}

/// Whether an access token may still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It lives longer than the margin.
    Fresh,
    /// It works still, but not for longer than the margin.
    Expiring,
    /// It is past its end.
    Expired,
    /// Its end is not known.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_show_a_secret_when_formatted() {
        let body = br#"{"access_token":"canary-a","refresh_token":"canary-r"}"#;
        let token = Token {
            kind: Some(Kind::new("square")),
            access: Secret::new("canary-a"),
            token_type: None,
            refresh: Some(Secret::new("canary-r")),
            expires_at: None,
            refresh_expires_at: None,
            account: None,
            scopes: Vec::new(),
            response: Response::parse(body).unwrap(),
        };
        assert!(!format!("{token:?} {token:#?}").contains("canary"));
    }
}
