//! What a watcher wants to know of the stored tokens: how many are well, the oldest, the worst. One look at each key, and
//! nothing kept of it but counts and a few names.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::{Key, duration};
use crate::ops::health::State;
use crate::store::{Listed, Summary};

/// How many of the worst keys are named.
const NAMED: usize = 3;

/// How bad it is. The words and numbers are those of monitoring plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Nothing to do.
    Ok = 0,
    /// Somebody should look at it.
    Warning = 1,
    /// Somebody has to act.
    Critical = 2,
    /// Nothing can be said.
    Unknown = 3,
}

impl Level {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// From where on something is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The age of an access token that is a warning.
    pub warn_age: Duration,
    /// The age of an access token that is critical.
    pub crit_age: Duration,
    /// The life left of a token that is a warning; absent where none is.
    pub warn_expiry: Option<Duration>,
}

/// Why a key is named, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    NeedsLogin,
    Unreadable,
    RefreshTokenEnded,
    TooOld,
    InDoubt,
    Old,
    EndsSoon,
}

impl Trouble {
    const fn level(self) -> Level {
        match self {
            Self::NeedsLogin | Self::Unreadable | Self::RefreshTokenEnded | Self::TooOld => Level::Critical,
            Self::InDoubt | Self::Old | Self::EndsSoon => Level::Warning,
        }
    }
}

/// A key that something is wrong with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The key.
    pub key: Key,
    /// What is wrong, in a few words.
    pub why: String,
    trouble: Trouble,
}

/// What was seen so far.
#[derive(Debug)]
pub struct Survey {
    limits: Limits,
    now: Timestamp,
    /// How many keys.
    pub tokens: u64,
    /// How many of each state that can be read, as [`State::ALL`] has them.
    pub states: [u64; State::ALL.len()],
    /// How many cannot be read.
    pub unreadable: u64,
    /// How many something is wrong with.
    pub troubled: u64,
    /// The worst keys, the worst first; no more than a few.
    pub worst: Vec<Finding>,
    /// The greatest age of an access token, in seconds; absent where none is known.
    pub oldest: Option<i64>,
    /// The least life left of an access token, in seconds, below zero where it is over; absent where none is known.
    pub soonest: Option<i64>,
}

impl Survey {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new(limits: Limits, now: Timestamp) -> Self {
        Self {
            limits,
            now,
            tokens: 0,
            states: [0; State::ALL.len()],
            unreadable: 0,
            troubled: 0,
            worst: Vec::new(),
            oldest: None,
            soonest: None,
        }
    }

    /// How many are in a state.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        self.states[state as usize]
    }

    /// Looks at one key.
    pub fn add(&mut self, listed: &Listed) {
        self.tokens += 1;
        let trouble = match &listed.summary {
            Ok(summary) => {
                let state = State::of(listed, self.now);
                self.states[state as usize] += 1;
                let age = summary.refreshed_at.map(|at| self.now.duration_since(at).as_secs());
                let left = summary.expires_at.map(|end| end.duration_since(self.now).as_secs());
                self.oldest = self.oldest.max(age);
                self.soonest = self.soonest.into_iter().chain(left).min();
                self.trouble(summary, state, listed.in_doubt)
            }
            Err(error) => {
                log::info!("{}: {error}", listed.key);
                self.unreadable += 1;
                Some((Trouble::Unreadable, "cannot be read".to_owned()))
            }
        };
        if let Some((trouble, why)) = trouble {
            self.troubled += 1;
            let at = self.worst.partition_point(|other| other.trouble <= trouble);
            if at < NAMED {
                self.worst.insert(at, Finding { key: listed.key.clone(), why, trouble });
                self.worst.truncate(NAMED);
            }
        }
    }

    /// The worst that is wrong with a record.
    fn trouble(&self, summary: &Summary, state: State, in_doubt: bool) -> Option<(Trouble, String)> {
        let signed = |limit| SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
        let age = summary.refreshed_at.map(|at| self.now.duration_since(at));
        let older = |limit| age.filter(|age| *age > signed(limit));
        let refreshed = |age: SignedDuration| format!("was refreshed {} ago", duration::humane(age.as_secs()));
        let ends = |end: Option<Timestamp>| {
            let left = end?.duration_since(self.now);
            (left < signed(self.limits.warn_expiry?)).then_some(left)
        };
        if state == State::NeedsLogin {
            return Some((Trouble::NeedsLogin, "needs a login".to_owned()));
        }
        if summary.refresh_expires_at.is_some_and(|end| end <= self.now) {
            return Some((Trouble::RefreshTokenEnded, "has a refresh token that has expired".to_owned()));
        }
        if let Some(age) = older(self.limits.crit_age) {
            return Some((Trouble::TooOld, refreshed(age)));
        }
        if in_doubt {
            return Some((Trouble::InDoubt, "is in doubt".to_owned()));
        }
        if let Some(age) = older(self.limits.warn_age) {
            return Some((Trouble::Old, refreshed(age)));
        }
        let left = ends(summary.expires_at).or_else(|| ends(summary.refresh_expires_at))?;
        let why = if left <= SignedDuration::ZERO {
            "has expired".to_owned()
        } else {
            format!("ends in {}", duration::humane(left.as_secs()))
        };
        Some((Trouble::EndsSoon, why))
    }

    /// How bad it is, all in all. Nothing stored: nothing can be said.
    #[must_use]
    pub fn level(&self) -> Level {
        match self.worst.first() {
            _ if self.tokens == 0 => Level::Unknown,
            Some(worst) => worst.trouble.level(),
            None => Level::Ok,
        }
    }

    /// What was seen, on one line of bounded length.
    #[must_use]
    pub fn sentence(&self) -> String {
        let tokens = if self.tokens == 1 { "1 token".to_owned() } else { format!("{} tokens", self.tokens) };
        if self.worst.is_empty() {
            let oldest = self.oldest.map(|age| format!(", the oldest refreshed {} ago", duration::humane(age)));
            return tokens + &oldest.unwrap_or_default();
        }
        let named: Vec<String> = self.worst.iter().map(|finding| format!("{} {}", finding.key, finding.why)).collect();
        let more = self.troubled - self.worst.len() as u64;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{} of {tokens}: {}{more}", self.troubled, named.join(", "))
    }

    /// The performance data, as the guidelines for monitoring plugins have it:
    /// `'label'=value[unit];[warn];[crit];[min];[max]`.
    #[must_use]
    pub fn performance(&self) -> String {
        let mut data = vec![format!("'tokens'={};;;0", self.tokens)];
        for state in State::ALL {
            let limits = match state {
                State::NeedsLogin => ";0",
                State::InDoubt => "0;",
                _ => ";",
            };
            data.push(format!("'{}'={};{limits};0", state.as_str(), self.count(state)));
        }
        data.push(format!("'unreadable'={};;0;0", self.unreadable));
        let seconds = |value: Option<i64>| value.map_or_else(|| "U".to_owned(), |value| format!("{value}s"));
        let (warn, crit) = (self.limits.warn_age.as_secs(), self.limits.crit_age.as_secs());
        data.push(format!("'oldest_age'={};{warn};{crit};0", seconds(self.oldest.map(|age| age.max(0)))));
        let warn = self.limits.warn_expiry.map(|limit| format!(";{}:", limit.as_secs()));
        data.push(format!("'soonest_expiry'={}{}", seconds(self.soonest), warn.unwrap_or_default()));
        data.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    const DAY: i64 = 86_400;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn in_days(days: i64) -> Option<Timestamp> {
        now().checked_add(SignedDuration::from_secs(days * DAY)).ok()
    }

    fn listed(name: &str, age: i64, left: i64) -> Listed {
        let summary = Summary {
            account: None,
            obtained_at: None,
            refreshed_at: in_days(-age),
            expires_at: in_days(left),
            refresh_expires_at: None,
            has_refresh_token: true,
            minted: None,
            generation: 1,
            needs_login: None,
            sealed_with: None,
        };
        Listed { key: format!("square/{name}").parse().unwrap(), summary: Ok(summary), in_doubt: false }
    }

    fn changed(mut listed: Listed, change: impl FnOnce(&mut Summary)) -> Listed {
        change(listed.summary.as_mut().unwrap());
        listed
    }

    fn damaged(name: &str) -> Listed {
        let error = StoreError::Damaged { path: "f".into(), why: "it is empty".into() };
        Listed { summary: Err(error), ..listed(name, 0, 0) }
    }

    fn survey(all: &[Listed]) -> Survey {
        let day = |days: u64| Duration::from_secs(days * 86_400);
        let limits = Limits { warn_age: day(8), crit_age: day(15), warn_expiry: Some(day(2)) };
        let mut survey = Survey::new(limits, now());
        for listed in all {
            survey.add(listed);
        }
        survey
    }

    #[test]
    fn judges_each_trouble_at_its_limit() {
        let dead = changed(listed("a", 1, 29), |summary| summary.needs_login = in_days(-1));
        let ended = changed(listed("a", 1, 29), |summary| summary.refresh_expires_at = in_days(0));
        let ending = changed(listed("a", 1, 29), |summary| summary.refresh_expires_at = in_days(1));
        for (one, level) in [
            (listed("a", 8, 22), Level::Ok),
            (listed("a", 9, 21), Level::Warning),
            (listed("a", 15, 15), Level::Warning),
            (listed("a", 16, 14), Level::Critical),
            (listed("a", 1, 2), Level::Ok),
            (listed("a", 1, 1), Level::Warning),
            (Listed { in_doubt: true, ..listed("a", 1, 29) }, Level::Warning),
            (dead, Level::Critical),
            (ended, Level::Critical),
            (ending, Level::Warning),
            (damaged("a"), Level::Critical),
        ] {
            assert_eq!(survey(std::slice::from_ref(&one)).level(), level, "{one:?}");
        }
        assert_eq!(survey(&[]).level(), Level::Unknown);
    }

    #[test]
    fn names_the_worst_few_and_counts_the_rest() {
        let mut all: Vec<Listed> = (0..20).map(|n| listed(&format!("old{n}"), 9, 21)).collect();
        all.push(damaged("damaged"));
        all.push(changed(listed("dead", 1, 29), |summary| summary.needs_login = in_days(-1)));
        all.push(listed("fine", 1, 29));
        let survey = survey(&all);
        assert_eq!(
            survey.sentence(),
            "22 of 23 tokens: square/dead needs a login, square/damaged cannot be read, square/old0 was refreshed 9d 0h ago and 19 more"
        );
        assert_eq!((survey.tokens, survey.unreadable, survey.count(State::NeedsLogin)), (23, 1, 1));
    }

    #[test]
    fn writes_performance_data_as_the_guidelines_have_it() {
        assert_eq!(
            survey(&[listed("a", 1, 29), listed("b", 31, -1)]).performance(),
            "'tokens'=2;;;0 'fresh'=1;;;0 'expiring'=0;;;0 'expired'=1;;;0 'needs_login'=0;;0;0 'in_doubt'=0;0;;0 'unknown'=0;;;0 'unreadable'=0;;0;0 'oldest_age'=2678400s;691200;1296000;0 'soonest_expiry'=-86400s;172800:"
        );
        assert!(survey(&[]).performance().ends_with("'oldest_age'=U;691200;1296000;0 'soonest_expiry'=U;172800:"));
    }
}
