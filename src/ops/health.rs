//! The health of a stored token in a word, for whoever shows it, counts it or watches it.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use crate::model::Freshness;
use crate::model::text::escape;
use crate::store::{Listed, Summary};

/// The health of a stored token. The words are public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// More than the last tenth of its life is left.
    Fresh,
    /// It is in the last tenth of its life.
    Expiring,
    /// Its life is over; a refresh may bring the next.
    Expired,
    /// The provider called the grant dead, or it is over and nothing is stored that could bring the next.
    NeedsLogin,
    /// A process died while a request of it was under way.
    InDoubt,
    /// Nobody said when it ends, or its record cannot be read.
    Unknown,
}

/// A word that is no state.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{0}' is no state: {list}", list = State::ALL.map(State::as_str).join(", "))]
pub struct StateError(String);

impl State {
    /// Every state, in the order in which they are counted.
    pub const ALL: [Self; 6] =
        [Self::Fresh, Self::Expiring, Self::Expired, Self::NeedsLogin, Self::InDoubt, Self::Unknown];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::NeedsLogin => "needs_login",
            Self::InDoubt => "in_doubt",
            Self::Unknown => "unknown",
        }
    }

    /// The state of one key of a listing at `now`.
    #[must_use]
    pub fn of(listed: &Listed, now: Timestamp) -> Self {
        let Ok(summary) = &listed.summary else { return Self::Unknown };
        match Self::of_summary(summary, listed.in_doubt, now) {
            // Square mints none; of other files that do not say how they came about, nobody knows.
            Self::Expired if !summary.has_refresh_token => {
                let minted = summary.minted.unwrap_or(listed.key.provider.as_str() != "square");
                if minted { Self::Expired } else { Self::NeedsLogin }
            }
            state => state,
        }
    }

    /// The last tenth of a life is `expiring`: any margin is cut to that.
    fn of_summary(summary: &Summary, in_doubt: bool, now: Timestamp) -> Self {
        if summary.needs_login.is_some() {
            return Self::NeedsLogin;
        }
        if in_doubt {
            return Self::InDoubt;
        }
        match summary.freshness(now, Duration::MAX) {
            Freshness::Fresh => Self::Fresh,
            Freshness::Expiring => Self::Expiring,
            Freshness::Expired => Self::Expired,
            Freshness::Unknown => Self::Unknown,
        }
    }
}

impl FromStr for State {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| StateError(escape(text, 40)))
    }
}

/// How many tokens are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([u64; State::ALL.len()]);

impl Tally {
    /// Counts one.
    pub fn add(&mut self, state: State) {
        if let Some(at) = State::ALL.iter().position(|one| *one == state) {
            self.0[at] += 1;
        }
    }

    /// How many there are.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many are in each state that any is in.
    pub fn states(&self) -> impl Iterator<Item = (State, u64)> {
        State::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_states_in_their_order() {
        let mut tally = Tally::default();
        assert_eq!((tally.all(), tally.states().count()), (0, 0));
        for state in [State::NeedsLogin, State::Fresh, State::Fresh] {
            tally.add(state);
        }
        assert_eq!(tally.all(), 3);
        assert!(tally.states().eq([(State::Fresh, 2), (State::NeedsLogin, 1)]));
    }

    #[test]
    fn reads_back_every_word_and_lists_them_for_a_wrong_one() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        let error = "stale".parse::<State>().unwrap_err().to_string();
        assert_eq!(error, "'stale' is no state: fresh, expiring, expired, needs_login, in_doubt, unknown");
    }
}
