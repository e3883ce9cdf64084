//! Which token will do, which one is there to begin with, and whether a stored one meets the demand. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Freshness, GrantType, Kind, Response, Secret, Token};
use crate::ops::Issuer;
use crate::provider::Wanted;
use crate::store::Record;

/// Which token will do.
#[derive(Debug, Clone, Copy)]
pub enum Demand {
    /// One that still lives this long; the stored one as long as it works, if a better one cannot be had just now.
    Valid(Duration),
    /// A new one; one that another process got after this one began will do.
    New,
    /// A new one, whatever other processes do.
    NewOfOurOwn,
}

/// How the next token is asked for.
#[derive(Debug, Clone)]
pub enum How {
    /// With the refresh token, or by the application's credentials.
    Refresh(Wanted),
    /// With the access token itself (Square's RenewToken).
    Renew,
}

/// What a process knows before it asks for the lease.
#[derive(Debug)]
pub(super) struct Before {
    /// When it began.
    pub(super) started: Timestamp,
    /// The generation that it found stored; absent where nothing was.
    pub(super) generation: Option<u64>,
}

/// Whether a record meets a demand at `now`. `before` is what this process knew when it began to wait.
pub(super) fn satisfies(record: &Record, demand: Demand, now: Timestamp, before: Option<&Before>) -> bool {
    match demand {
        Demand::Valid(ttl) => matches!(record.freshness(now, ttl), Freshness::Fresh | Freshness::Unknown),
        Demand::New => before.is_some_and(|before| {
            // An answer that a dead process left behind may have been there for long.
            let changed = before.generation.is_none_or(|generation| record.generation > generation)
                && record.freshness(now, Duration::ZERO) != Freshness::Expired;
            // Not one "of the future": that is a clock that jumped, not another process.
            let since = record.refreshed_at.is_some_and(|at| at >= before.started && at <= now);
            record.needs_login.is_none() && (changed || since)
        }),
        Demand::NewOfOurOwn => false,
    }
}

/// A refresh token from the environment, for a key that nothing is stored for. An app that mints its tokens has no use
/// for one.
pub(super) fn seed(issuer: &Issuer) -> Option<Secret> {
    issuer.settings().seed.clone().filter(|_| !issuer.mints())
}

/// A record that has nothing but a refresh token yet; the access token that it has not ended `now`.
pub(super) fn seeded(issuer: &Issuer, refresh: Secret, now: Timestamp) -> Record {
    Record {
        token: Token {
            kind: None::<Kind>,
            access: Secret::new(""),
            token_type: None,
            refresh: Some(refresh),
            expires_at: Some(now),
            refresh_expires_at: None,
            account: None,
            scopes: Vec::new(),
            response: Response::default(),
        },
        grant: Some(GrantType::RefreshToken.to_string()),
        client_id: None,
        base_url: Some(issuer.base_url()),
        obtained_at: None,
        refreshed_at: None,
        generation: 0,
        needs_login: None,
        in_flight: false,
    }
}
