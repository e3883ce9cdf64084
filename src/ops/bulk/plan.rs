//! What is due, and in which order: the most urgent first. Pure.

use std::num::NonZeroI64;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::ProfileName;
use crate::store::{Record, Summary};

/// What a record says of its own life; what it does not say is absent.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// When the access token was issued.
    pub refreshed_at: Option<Timestamp>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token ends.
    pub refresh_expires_at: Option<Timestamp>,
}

impl From<&Summary> for Life {
    fn from(summary: &Summary) -> Self {
        Self {
            refreshed_at: summary.refreshed_at,
            expires_at: summary.expires_at,
            refresh_expires_at: summary.refresh_expires_at,
        }
    }
}

impl From<&Record> for Life {
    fn from(record: &Record) -> Self {
        Self {
            refreshed_at: record.refreshed_at,
            expires_at: record.token.expires_at,
            refresh_expires_at: record.token.refresh_expires_at,
        }
    }
}

impl Life {
    /// The earliest end.
    fn end(self) -> Option<Timestamp> {
        [self.expires_at, self.refresh_expires_at].into_iter().flatten().min()
    }

    /// The smaller, the sooner it is this key's turn: its end in seconds; where that is not known, the last refresh.
    fn urgency(self) -> i64 {
        self.end().or(self.refreshed_at).map_or(i64::MIN + 1, Timestamp::as_second)
    }
}

/// Which keys are refreshed at all; without a condition all are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Due {
    /// Those whose last refresh is longer ago.
    pub if_older_than: Option<Duration>,
    /// Those of which a token has less left.
    pub if_expires_within: Option<Duration>,
}

impl Due {
    /// Whether there is no condition.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.if_older_than.is_none() && self.if_expires_within.is_none()
    }

    /// Whether a key is due. Either condition is reason enough, and what is not known is no reason to let a token end.
    #[must_use]
    pub fn takes(&self, life: Life, now: Timestamp) -> bool {
        let is_old = self.if_older_than.map(|limit| {
            // "Of the future": a clock that jumped. Nobody knows how old that is.
            life.refreshed_at.is_none_or(|at| at > now || longer(now.duration_since(at), limit))
        });
        let ends = self.if_expires_within.map(|limit| {
            life.expires_at.is_none()
                || life.end().is_none_or(|end| end <= now || !longer(end.duration_since(now), limit))
        });
        self.is_all() || is_old == Some(true) || ends == Some(true)
    }
}

fn longer(time: SignedDuration, limit: Duration) -> bool {
    SignedDuration::try_from(limit).is_ok_and(|limit| time > limit)
}

/// A key that is due. Small: there may be hundreds of thousands.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) profile: ProfileName,
    /// The smaller, the sooner.
    pub(super) urgency: i64,
    /// The generation that was listed.
    pub(super) generation: u64,
    /// The end of the stored access token, in seconds since 1970; absent where it is not known.
    pub(super) ends: Option<NonZeroI64>,
}

impl Entry {
    /// What is kept of a key that is due.
    pub(super) fn new(profile: ProfileName, summary: &Summary, in_doubt: bool) -> Self {
        let life = Life::from(summary);
        Self {
            profile,
            // An answer that may have been lost is given again for a short time only.
            urgency: if in_doubt { i64::MIN } else { life.urgency() },
            generation: summary.generation,
            ends: life.expires_at.map(Timestamp::as_second).and_then(NonZeroI64::new),
        }
    }

    /// The end of the stored access token.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.ends.and_then(|ends| Timestamp::from_second(ends.get()).ok())
    }
}

/// Puts the most urgent last, where it is taken from.
pub(super) fn sort(entries: &mut [Entry]) {
    entries.sort_unstable_by(|a, b| (b.urgency, &b.profile).cmp(&(a.urgency, &a.profile)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * DAY).unwrap()
    }

    fn life(refreshed: Option<i64>, ends: Option<i64>, refresh_ends: Option<i64>) -> Life {
        Life { refreshed_at: refreshed.map(at), expires_at: ends.map(at), refresh_expires_at: refresh_ends.map(at) }
    }

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * 86_400)
    }

    #[test]
    fn takes_what_a_condition_names_and_what_nobody_knows() {
        let now = at(0);
        let due = |older: Option<u64>, within: Option<u64>, life: Life| {
            Due { if_older_than: older.map(days), if_expires_within: within.map(days) }.takes(life, now)
        };
        let young = life(Some(-1), Some(29), None);
        for (older, within, life, expected) in [
            (None, None, young, true),
            (Some(7), None, young, false),
            (Some(7), None, life(Some(-8), Some(22), None), true),
            (Some(7), None, life(None, Some(22), None), true),
            (Some(7), None, life(Some(1), Some(22), None), true),
            (None, Some(3), young, false),
            (None, Some(3), life(Some(-28), Some(2), None), true),
            (None, Some(3), life(Some(-40), Some(-10), None), true),
            (None, Some(3), life(Some(-1), None, None), true),
            (None, Some(3), life(Some(-1), None, Some(80)), true),
            (None, Some(3), life(Some(-1), Some(29), Some(2)), true),
            (Some(7), Some(3), young, false),
            (Some(7), Some(3), life(Some(-8), Some(22), None), true),
            (Some(7), Some(3), life(Some(-1), Some(2), None), true),
        ] {
            assert_eq!(due(older, within, life), expected, "{older:?} {within:?} {life:?}");
        }
    }

    #[test]
    fn puts_what_is_in_doubt_first_then_the_earliest_end_then_by_name() {
        let entry = |name: &str, life: Life, in_doubt| {
            let summary = Summary {
                account: None,
                obtained_at: None,
                refreshed_at: life.refreshed_at,
                expires_at: life.expires_at,
                refresh_expires_at: life.refresh_expires_at,
                has_refresh_token: true,
                minted: None,
                generation: 1,
                needs_login: None,
                sealed_with: None,
            };
            Entry::new(name.parse().unwrap(), &summary, in_doubt)
        };
        let mut entries = vec![
            entry("ends-late", life(Some(-1), Some(29), None), false),
            entry("grant-ends-soon", life(Some(-1), Some(29), Some(2)), false),
            entry("b-ends-soon", life(Some(-1), Some(3), None), false),
            entry("a-ends-soon", life(Some(-1), Some(3), None), false),
            entry("in-doubt", life(Some(-1), Some(30), None), true),
            entry("old-and-unknown", life(Some(-9), None, None), false),
            entry("unknown", life(Some(-1), None, None), false),
            entry("nothing-known", life(None, None, None), false),
        ];
        sort(&mut entries);
        let names: Vec<_> = entries.iter().rev().map(|entry| entry.profile.as_str()).collect();
        assert_eq!(
            names,
            [
                "in-doubt",
                "nothing-known",
                "old-and-unknown",
                "unknown",
                "grant-ends-soon",
                "a-ends-soon",
                "b-ends-soon",
                "ends-late"
            ]
        );
    }
}
