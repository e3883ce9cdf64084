//! What has been handed out: codes, and the tokens of each authorization, which live and end as one family.

use std::collections::HashMap;

use jiff::Timestamp;

use super::client::Client;
use crate::emulator::random::Random;
use crate::emulator::state::{House, end};

/// Seconds that an authorization code is good for: the most that RFC 6749 §4.1.2 recommends.
const CODE_LIFE: i64 = 600;
/// Seconds that an access token lasts.
const ACCESS_LIFE: i64 = 3600;

/// An authorization code.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) client: Client,
    pub(super) redirect_uri: String,
    pub(super) scopes: Vec<String>,
    pub(super) challenge: String,
    pub(super) issued_at: Timestamp,
    pub(super) claimed: bool,
    /// What was issued for it; absent until something is.
    pub(super) family: Option<u64>,
}

/// One authorization, from which tokens descend.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) client: Client,
    /// On whose behalf.
    pub(super) subject: String,
    pub(super) scopes: Vec<String>,
}

/// An access token.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) family: u64,
    /// As many as the family has, or fewer.
    pub(super) scopes: Vec<String>,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// A refresh token. It carries all scopes of its family.
#[derive(Debug)]
pub(super) struct Refresh {
    pub(super) family: u64,
    pub(super) issued_at: Timestamp,
    /// Kept after its use, so that a second use is noticed.
    pub(super) spent: bool,
}

/// All of it. A family that has ended is gone, and with it the worth of its tokens.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) codes: HashMap<String, Code>,
    pub(super) access: HashMap<String, Access>,
    pub(super) refresh: HashMap<String, Refresh>,
    families: HashMap<u64, Family>,
    founded: u64,
}

impl Ledger {
    /// Takes a client's code, whichever way the exchange ends. A second use ends what the first one brought.
    pub(super) fn claim(&mut self, name: &str, client: Client, now: Timestamp) -> Option<Code> {
        let code = self.codes.get_mut(name).filter(|code| code.client == client)?;
        if code.claimed {
            if let Some(family) = code.family {
                self.end(family);
            }
            return None;
        }
        code.claimed = true;
        Some(code.clone()).filter(|code| now.as_second() - code.issued_at.as_second() < CODE_LIFE)
    }

    /// Begins a family.
    pub(super) fn found(&mut self, family: Family) -> u64 {
        self.founded += 1;
        self.families.insert(self.founded, family);
        self.founded
    }

    /// A family that has not ended.
    pub(super) fn family(&self, family: u64) -> Option<&Family> {
        self.families.get(&family)
    }

    /// Ends a family and every token of it.
    pub(super) fn end(&mut self, family: u64) {
        self.families.remove(&family);
    }

    /// Makes an access token and gives its life in seconds.
    pub(super) fn mint(
        &mut self,
        family: u64,
        scopes: Vec<String>,
        now: Timestamp,
        house: &mut House,
    ) -> (String, i64) {
        let token = house.random.text("acme_at_", 43);
        let life = house.life(ACCESS_LIFE);
        self.access.insert(token.clone(), Access { family, scopes, issued_at: now, expires_at: end(now, life) });
        (token, life)
    }

    /// Makes a refresh token.
    pub(super) fn mint_refresh(&mut self, family: u64, now: Timestamp, random: &mut Random) -> String {
        let token = random.text("acme_rt_", 43);
        self.refresh.insert(token.clone(), Refresh { family, issued_at: now, spent: false });
        token
    }

    /// An access token that works, and its family.
    pub(super) fn living_access(&self, token: &str, now: Timestamp) -> Option<(&Access, &Family)> {
        let access = self.access.get(token).filter(|access| now < access.expires_at)?;
        Some((access, self.family(access.family)?))
    }

    /// A refresh token that works, and its family.
    pub(super) fn living_refresh(&self, token: &str) -> Option<(&Refresh, &Family)> {
        let refresh = self.refresh.get(token).filter(|refresh| !refresh.spent)?;
        Some((refresh, self.family(refresh.family)?))
    }
}
