//! What became of each key, and of the run as a whole.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::Key;
use crate::ops::{Code, Error};

/// What became of a key, in a word. The words are public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It has a new token.
    Refreshed,
    /// It needs none: it is not due, or another process got one since this one began.
    Fresh,
    /// It got none.
    Failed,
    /// Its grant is dead.
    NeedsLogin,
    /// It was not begun.
    Skipped,
    /// With `--dry-run`: it would be begun.
    WouldRefresh,
}

impl Fate {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refreshed => "refreshed",
            Self::Fresh => "fresh",
            Self::Failed => "failed",
            Self::NeedsLogin => "needs_login",
            Self::Skipped => "skipped",
            Self::WouldRefresh => "would_refresh",
        }
    }
}

/// One key of a report.
#[derive(Debug, Clone)]
pub struct KeyReport {
    /// The key.
    pub key: Key,
    /// What became of it.
    pub fate: Fate,
    /// The end of the access token that is stored now; absent where it is not known.
    pub expires_at: Option<Timestamp>,
    /// Why it has no new token, fit to be shown; absent where it has one or needs none.
    pub error: Option<String>,
    /// Whether its new token waits in a rescue file, and somebody has to act now.
    pub rescued: bool,
}

/// How many keys had which fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Have a new token.
    pub refreshed: usize,
    /// Needed none.
    pub fresh: usize,
    /// Of these, how many another process took care of meanwhile.
    pub by_others: usize,
    /// Got none.
    pub failed: usize,
    /// Of these, how many the provider refused ([`Code::Rejected`]).
    pub rejected: usize,
    /// Of these, how many will pass ([`Code::TryAgain`]).
    pub passing: usize,
    /// Of these, how many the store failed for ([`Code::Store`]).
    pub store: usize,
    /// Of these, how many a setting is in the way of ([`Code::Config`]).
    pub settings: usize,
    /// Of these, how many wait in a rescue file ([`Code::NotSaved`]).
    pub rescued: usize,
    /// Have a dead grant.
    pub needs_login: usize,
    /// Were not begun.
    pub skipped: usize,
    /// Of these, how many because their provider is in trouble.
    pub held_back: usize,
    /// Would be begun.
    pub would_refresh: usize,
    /// Are still to come.
    pub left: usize,
}

impl Tally {
    /// Counts a key.
    pub(super) fn count(&mut self, fate: Fate) {
        match fate {
            Fate::Refreshed => self.refreshed += 1,
            Fate::Fresh => self.fresh += 1,
            Fate::Failed => self.failed += 1,
            Fate::NeedsLogin => self.needs_login += 1,
            Fate::Skipped => self.skipped += 1,
            Fate::WouldRefresh => self.would_refresh += 1,
        }
    }

    /// Counts whose failure it was.
    pub(super) fn count_code(&mut self, code: Code) {
        match code {
            Code::Rejected => self.rejected += 1,
            Code::TryAgain => self.passing += 1,
            Code::Store => self.store += 1,
            Code::Config => self.settings += 1,
            Code::NotSaved => self.rescued += 1,
            _ => {}
        }
    }

    /// How many keys were dealt with.
    #[must_use]
    pub const fn done(&self) -> usize {
        self.refreshed + self.fresh + self.failed + self.needs_login + self.skipped + self.would_refresh
    }

    /// The numbers in words, those that are not zero, with `fates` for "would be refreshed" and so on.
    #[must_use]
    pub fn words(&self) -> String {
        let words: Vec<String> = [
            (self.refreshed, "refreshed"),
            (self.would_refresh, "would be refreshed"),
            (self.fresh, "fresh"),
            (self.failed, "failed"),
            (self.needs_login, if self.needs_login == 1 { "needs a login" } else { "need a login" }),
            (self.skipped, "skipped"),
        ]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
        words.join(", ")
    }

    /// The error that the run ends with: one reason where nothing went well for that alone; `None` where all is well.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        if self.failed + self.needs_login + self.held_back == 0 {
            return None;
        }
        let alone = self.refreshed + self.by_others + self.needs_login == 0;
        let code = match (alone, self.failed) {
            (true, failed) if failed > 0 && failed == self.rejected => Code::Rejected,
            (true, failed) if failed == self.passing => Code::TryAgain,
            _ => Code::Partial,
        };
        let text = format!("not all keys could be refreshed: {}", self.words());
        Some(Error::Keys { code, text, tally: *self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_with_one_reason_only_where_nothing_went_well_for_that_alone() {
        let none = Tally::default();
        let code = |tally: Tally| tally.error().map(|error| error.code());
        for (tally, expected) in [
            (none, None),
            (Tally { refreshed: 3, fresh: 2, skipped: 4, ..none }, None),
            (Tally { failed: 5, passing: 5, skipped: 9, held_back: 9, fresh: 3, ..none }, Some(Code::TryAgain)),
            (Tally { failed: 1, rejected: 1, skipped: 9, held_back: 9, ..none }, Some(Code::Rejected)),
            (Tally { skipped: 9, held_back: 9, ..none }, Some(Code::TryAgain)),
            (Tally { failed: 1, rejected: 1, refreshed: 1, ..none }, Some(Code::Partial)),
            (Tally { failed: 1, passing: 1, fresh: 1, by_others: 1, ..none }, Some(Code::Partial)),
            (Tally { failed: 2, passing: 1, rejected: 1, ..none }, Some(Code::Partial)),
            (Tally { failed: 1, passing: 1, needs_login: 1, ..none }, Some(Code::Partial)),
            (Tally { needs_login: 1, ..none }, Some(Code::Partial)),
            (Tally { failed: 1, ..none }, Some(Code::Partial)),
        ] {
            assert_eq!(code(tally), expected, "{tally:?}");
        }
    }

    #[test]
    fn says_what_happened_and_not_what_did_not() {
        let tally = Tally { refreshed: 3, failed: 1, skipped: 2, ..Tally::default() };
        assert_eq!((tally.words().as_str(), tally.done()), ("3 refreshed, 1 failed, 2 skipped", 6));
    }
}
