//! What became of a key that a run had under way: counted, and told.

use jiff::Timestamp;
use tokio::time::Instant;

use super::{NO_TIME, Run};
use crate::model::Key;
use crate::net::NetError;
use crate::ops::bulk::lane::Turn;
use crate::ops::bulk::tally::{Fate, KeyReport};
use crate::ops::{Code, Error, Issuer, Outcome, Source, rescue};
use crate::store::StoreError;

impl Run<'_> {
    /// A key has ended, or comes back later.
    pub(super) fn landed(&mut self, at: usize, turn: Turn, key: Key, result: Result<Outcome, Error>, issuer: &Issuer) {
        for event in self.broker.untold() {
            self.teller.tell(event);
        }
        let (ends, lane) = (turn.entry.expires_at(), &mut self.lanes[at]);
        if sent_nothing(&result) {
            issuer.pace().give_back();
        }
        let now = Instant::now();
        let is_busy = matches!(result, Err(Error::Store(StoreError::Busy { .. })));
        let is_away = matches!(result, Err(Error::Store(StoreError::Unreachable { .. })));
        let is_dead = result.as_ref().is_err_and(|error| error.code() == Code::NeedsLogin);
        self.shared |= is_busy;
        self.away = match result {
            _ if is_away => self.away.or(Some(now)),
            Err(Error::NotSaved { .. }) => self.away,
            _ => None,
        };
        // Nothing was sent: a database that is started anew is there again in a moment.
        let is_awaited = is_away && self.away.is_some_and(|since| now < since + self.broker.lease_wait());
        if is_busy || is_awaited {
            if lane.busy(turn, now).is_ok() {
                return;
            }
        } else if lane.landed(result.as_ref().err(), is_dead && issuer.pace().take_lost())
            && let Some(trouble) = lane.trouble.as_ref().filter(|_| !lane.is_empty())
        {
            log::warn!("{}: {trouble}; its remaining keys are skipped", lane.name);
        }
        self.tally.left -= 1;
        match result {
            Ok(outcome) => {
                let others = outcome.source != Source::Provider;
                self.tally.by_others += usize::from(others);
                self.shared |= others;
                let fate = if others { Fate::Fresh } else { Fate::Refreshed };
                self.report(key, fate, outcome.record.token.expires_at, None);
            }
            Err(error @ Error::NotFound { .. }) => self.skipped(key, None, error.to_string(), false),
            Err(Error::Net(NetError::TooLate)) => {
                let why = self.over(Instant::now()).unwrap_or(NO_TIME);
                self.skipped(key, ends, why.to_owned(), false);
            }
            Err(error @ Error::Net(NetError::Paused { .. })) => self.skipped(key, ends, error.to_string(), true),
            Err(error) => self.failed(key, ends, &error),
        }
    }

    pub(super) fn skipped(&mut self, key: Key, ends: Option<Timestamp>, why: String, held_back: bool) {
        self.tally.held_back += usize::from(held_back);
        self.report(key, Fate::Skipped, ends, Some(why));
    }

    pub(super) fn failed(&mut self, key: Key, ends: Option<Timestamp>, error: &Error) {
        let mut text = in_words(error);
        if let Error::NotSaved { rescue, .. } | Error::Rescued { rescue, .. } = error {
            text = format!("{text}; put it back: {}", rescue::put_back(&key, rescue));
        }
        let fate = if error.code() == Code::NeedsLogin { Fate::NeedsLogin } else { Fate::Failed };
        if fate == Fate::Failed {
            self.tally.count_code(error.code());
        }
        let rescued = error.code() == Code::NotSaved;
        self.tally.count(fate);
        self.watcher.key(&KeyReport { key, fate, expires_at: ends, error: Some(text), rescued });
    }

    pub(super) fn report(&mut self, key: Key, fate: Fate, expires_at: Option<Timestamp>, error: Option<String>) {
        self.tally.count(fate);
        self.watcher.key(&KeyReport { key, fate, expires_at, error, rescued: false });
    }
}

/// Whether a key ended before a request was sent for it.
fn sent_nothing(result: &Result<Outcome, Error>) -> bool {
    match result {
        Ok(outcome) => outcome.source != Source::Provider,
        Err(error) => matches!(
            error,
            Error::Store(_)
                | Error::NotFound { .. }
                | Error::NeedsLogin { .. }
                | Error::Shared { .. }
                | Error::Bound { .. }
                | Error::Config(_)
                | Error::Net(NetError::Paused { .. } | NetError::TooLate)
        ),
    }
}

/// An error with its causes.
fn in_words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
