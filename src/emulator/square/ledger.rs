//! What Square has handed out: codes, access tokens and refresh tokens of the one merchant, and how long each lasts.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::emulator::state::{House, end};

/// Seconds that an authorization code is good for.
const CODE_LIFE: i64 = 300;
const ACCESS_LIFE: i64 = 30 * 86_400;
const SHORT_LIFE: i64 = 86_400;
/// Only PKCE's refresh tokens end by themselves.
const PKCE_REFRESH_LIFE: i64 = 90 * 86_400;

/// A code, as it was asked for.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) scopes: Vec<String>,
    /// Absent where the request left it to the registered address.
    pub(super) redirect_uri: Option<String>,
    /// Present for PKCE.
    pub(super) challenge: Option<String>,
    pub(super) issued_at: Timestamp,
    pub(super) claimed: bool,
}

/// An access token.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) scopes: Vec<String>,
    pub(super) expires_at: Timestamp,
    pub(super) revoked: bool,
}

/// A refresh token.
#[derive(Debug, Clone)]
pub(super) struct Refresh {
    pub(super) scopes: Vec<String>,
    pub(super) pkce: bool,
    pub(super) expires_at: Option<Timestamp>,
}

/// All of it. A refresh token that is spent or revoked is simply gone: Square says the same of both.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) codes: HashMap<String, Code>,
    pub(super) access: HashMap<String, Access>,
    pub(super) refresh: HashMap<String, Refresh>,
    /// The refresh token of the code flow, which every further authorization of the merchant is given again.
    standing: Option<String>,
}

impl Ledger {
    /// A code that was issued and is not past its end; it may be claimed.
    pub(super) fn code(&mut self, code: &str, now: Timestamp) -> Option<&mut Code> {
        self.codes.get_mut(code).filter(|code| now.as_second() - code.issued_at.as_second() < CODE_LIFE)
    }

    /// A refresh token that still works.
    pub(super) fn living_refresh(&self, token: &str, now: Timestamp) -> Option<&Refresh> {
        self.refresh.get(token).filter(|refresh| refresh.expires_at.is_none_or(|end| now < end))
    }

    /// Makes an access token and gives its end.
    pub(super) fn mint(
        &mut self,
        scopes: Vec<String>,
        short_lived: bool,
        now: Timestamp,
        house: &mut House,
    ) -> (String, Timestamp) {
        let token = house.random.text("EAAA", 60);
        let expires_at = end(now, house.life(if short_lived { SHORT_LIFE } else { ACCESS_LIFE }));
        self.access.insert(token.clone(), Access { scopes, expires_at, revoked: false });
        (token, expires_at)
    }

    /// Files an access token that was not made here.
    pub(super) fn adopt(&mut self, token: String, scopes: Vec<String>, now: Timestamp) {
        self.access.insert(token, Access { scopes, expires_at: end(now, ACCESS_LIFE), revoked: false });
    }

    /// The refresh token of a fresh authorization: with PKCE a new one, otherwise the one that the merchant has,
    /// which then carries the new scopes.
    pub(super) fn authorize(&mut self, scopes: Vec<String>, pkce: bool, now: Timestamp, house: &mut House) -> String {
        let standing = self.standing.clone().filter(|token| !pkce && !house.options.rotate && self.is_alive(token));
        let token = standing.unwrap_or_else(|| house.random.text("EQAA", 60));
        let expires_at = pkce.then(|| end(now, PKCE_REFRESH_LIFE));
        self.refresh.insert(token.clone(), Refresh { scopes, pkce, expires_at });
        if !pkce {
            self.standing = Some(token.clone());
        }
        token
    }

    /// The refresh token after a use: the same one, or, where it is good for one use only, its successor.
    pub(super) fn succeed(&mut self, token: &str, now: Timestamp, house: &mut House) -> String {
        let Some(mut refresh) = self.refresh.get(token).cloned().filter(|old| old.pkce || house.options.rotate) else {
            return token.to_owned();
        };
        self.refresh.remove(token);
        refresh.expires_at = refresh.pkce.then(|| end(now, PKCE_REFRESH_LIFE));
        let successor = house.random.text("EQAA", 60);
        self.refresh.insert(successor.clone(), refresh);
        successor
    }

    /// Ends everything the merchant allowed.
    pub(super) fn revoke_merchant(&mut self) {
        self.codes.clear();
        self.refresh.clear();
        self.standing = None;
        self.access.values_mut().for_each(|access| access.revoked = true);
    }

    fn is_alive(&self, token: &str) -> bool {
        self.refresh.contains_key(token)
    }
}
