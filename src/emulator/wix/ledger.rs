//! What Wix has handed out: codes, access tokens and refresh tokens, and the form that each has.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::emulator::random::Random;
use crate::emulator::state::{House, end};

/// Seconds that a code is good for.
pub(super) const CODE_LIFE: i64 = 600;
/// Seconds that an access token of the legacy flow lasts; its answers do not say so.
pub(super) const LEGACY_LIFE: i64 = 300;
/// Seconds that every other access token lasts.
pub(super) const ACCESS_LIFE: i64 = 14_400;

/// On whose behalf a token acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// The app on one site.
    App,
    /// The project's own client, without an instance.
    Admin,
    /// Nobody in particular.
    Visitor,
    /// Somebody who logged in.
    Member,
}

impl Identity {
    /// As `subjectType` has it.
    pub(super) const fn subject_type(self) -> &'static str {
        match self {
            Self::App | Self::Admin => "APP",
            Self::Visitor => "VISITOR",
            Self::Member => "MEMBER",
        }
    }
}

/// A subject: the identity and its name.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) identity: Identity,
    pub(super) id: String,
}

/// A code of the legacy installer or of a login.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) issued_at: Timestamp,
    /// Present for a login, absent for the legacy installer.
    pub(super) login: Option<Login>,
}

/// What a login asked for.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
    /// Whether a refresh token was asked for.
    pub(super) offline: bool,
    pub(super) state: Option<String>,
    /// Whether the answer goes into the fragment instead of the query.
    pub(super) fragment: bool,
}

/// An access token.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) subject: Subject,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// A refresh token.
#[derive(Debug, Clone)]
pub(super) struct Refresh {
    pub(super) subject: Subject,
    /// Of the legacy flow, whose tokens the newer endpoints do not know.
    pub(super) legacy: bool,
}

/// All of it. What is spent or revoked is gone: Wix says the same of both.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) codes: HashMap<String, Code>,
    pub(super) access: HashMap<String, Access>,
    pub(super) refresh: HashMap<String, Refresh>,
}

impl Ledger {
    /// Takes a code away, whichever way the exchange ends.
    pub(super) fn claim(&mut self, code: &str, now: Timestamp) -> Option<Code> {
        self.codes.remove(code).filter(|code| now.as_second() - code.issued_at.as_second() < CODE_LIFE)
    }

    /// Makes an access token with readable claims, and gives its life in seconds.
    pub(super) fn mint(
        &mut self,
        prefix: &str,
        life: i64,
        subject: &Subject,
        data: &Value,
        now: Timestamp,
        house: &mut House,
    ) -> (String, i64) {
        let life = house.life(life);
        let expires_at = end(now, life);
        let claims = json!({
            // Text within text, as in the tokens of the real one.
            "data": data.to_string(),
            "jti": house.random.guid(),
            "iat": now.as_second(),
            "exp": expires_at.as_second(),
        });
        let token = signed(prefix, &claims, &house.random);
        self.access.insert(token.clone(), Access { subject: subject.clone(), issued_at: now, expires_at });
        (token, life)
    }

    /// Makes a refresh token.
    pub(super) fn mint_refresh(&mut self, refresh: Refresh, now: Timestamp, random: &mut Random) -> String {
        let claims = json!({ "jti": random.guid(), "iat": now.as_second() });
        let token = signed(if refresh.legacy { "OAUTH2." } else { "JWS." }, &claims, random);
        self.refresh.insert(token.clone(), refresh);
        token
    }

    /// The refresh token after a use: the same one, unless rotation is asked for.
    pub(super) fn succeed(&mut self, token: &str, now: Timestamp, house: &mut House) -> String {
        match self.refresh.get(token).cloned().filter(|_| house.options.rotate) {
            Some(refresh) => {
                self.refresh.remove(token);
                self.mint_refresh(refresh, now, &mut house.random)
            }
            None => token.to_owned(),
        }
    }

    /// An access token that has not ended, from an `Authorization` header with or without `Bearer`.
    pub(super) fn identify(&self, authorization: Option<&str>, now: Timestamp) -> Option<&Access> {
        self.access.get(bare(authorization?)).filter(|access| now < access.expires_at)
    }
}

/// A token without the `Bearer` that Wix tolerates before it.
pub(super) fn bare(token: &str) -> &str {
    token.strip_prefix("Bearer ").or_else(|| token.strip_prefix("bearer ")).unwrap_or(token).trim()
}

fn signed(prefix: &str, claims: &Value, random: &Random) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(&json!({ "kid": "emulator", "alg": "HS256" })), encode(claims));
    format!("{prefix}{text}.{}", random.sign(&text))
}
