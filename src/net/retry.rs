//! Whether and when to send again. A pure decision: it returns a wait and does not sleep.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use crate::model::{Replay, lifetime};

/// How often a request is sent at the most.
const MAX_ATTEMPTS: usize = 4;

/// The first wait and the longest, before jitter.
const WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How an attempt ended that brought no final answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// No connection.
    NotSent,
    /// Sent, and no answer came.
    Lost,
    /// Refused for now with this status.
    Refused(StatusCode),
}

impl Ending {
    /// How an attempt that was answered ended; `None` where the answer is final.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Option<Self> {
        let passing =
            status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        passing.then_some(Self::Refused(status))
    }

    /// Whether a `Retry-After` that came with it is meant for every request: too many of them, or no service.
    #[must_use]
    pub fn is_for_all(self) -> bool {
        matches!(self, Self::Refused(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE))
    }

    /// Whether the provider may have acted: a gateway that gives up says nothing about what is behind it.
    const fn is_in_doubt(self) -> bool {
        match self {
            Self::NotSent => false,
            Self::Lost => true,
            Self::Refused(status) => !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

/// The retries of one exchange.
#[derive(Debug)]
pub struct Retries {
    replay: Replay,
    delays: backon::ExponentialBackoff,
    attempts: usize,
    replayed: bool,
}

impl Retries {
    /// Retries for a request that may be replayed as `replay` says.
    #[must_use]
    pub fn new(replay: Replay) -> Self {
        let delays = ExponentialBuilder::new()
            .with_min_delay(WAIT.0)
            .with_max_delay(WAIT.1)
            .with_max_times(MAX_ATTEMPTS - 1)
            .with_jitter()
            .build();
        Self { replay, delays, attempts: 1, replayed: false }
    }

    /// How often the request was sent, the present attempt included.
    #[must_use]
    pub const fn attempts(&self) -> usize {
        self.attempts
    }

    /// Whether an earlier attempt, which may have been carried out, was never answered.
    #[must_use]
    pub const fn replayed(&self) -> bool {
        self.replayed
    }

    /// Whether another attempt could follow the present one if its answer were lost.
    #[must_use]
    pub const fn could_replay(&self) -> bool {
        match self.replay {
            Replay::Safe => self.attempts < MAX_ATTEMPTS,
            Replay::OnceUnderLease => !self.replayed && self.attempts < MAX_ATTEMPTS,
            Replay::Never | Replay::Polled => false,
        }
    }

    /// How long to wait before the next attempt; `None` to give up. `asked` is the provider's `Retry-After`, `left`
    /// the rest of the budget: a wait that does not fit into it is no wait but the end.
    pub fn next(&mut self, ending: Ending, asked: Option<Duration>, left: Duration) -> Option<Duration> {
        let wait = match self.replay {
            // An authorization code: an explicit refusal says that it was not taken, silence says nothing.
            Replay::Never if ending == Ending::Lost => return None,
            Replay::Polled => return None,
            Replay::OnceUnderLease if ending.is_in_doubt() => {
                if std::mem::replace(&mut self.replayed, true) {
                    return None;
                }
                // At once: a provider that forgives a second use forgives it for a short time.
                self.delays.next()?;
                Duration::ZERO
            }
            _ => self.delays.next()?,
        };
        self.attempts += 1;
        let wait = asked.map_or(wait, |asked| asked.max(wait));
        (wait < left).then_some(wait)
    }
}

/// `Retry-After` (RFC 9110 §10.2.3), in seconds or as a date; `None` where it is absent or neither.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let at = lifetime::http_date(text)?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEFT: Duration = Duration::from_secs(30);

    fn attempts(replay: Replay, ending: Ending) -> usize {
        let mut retries = Retries::new(replay);
        1 + std::iter::from_fn(|| retries.next(ending, None, LEFT)).count()
    }

    #[test]
    fn sends_as_often_as_the_grant_allows() {
        let refused = Ending::Refused(StatusCode::SERVICE_UNAVAILABLE);
        let gateway = Ending::Refused(StatusCode::GATEWAY_TIMEOUT);
        for (replay, ending, expected) in [
            (Replay::Safe, Ending::NotSent, 4),
            (Replay::Safe, Ending::Lost, 4),
            (Replay::Safe, refused, 4),
            (Replay::OnceUnderLease, Ending::NotSent, 4),
            (Replay::OnceUnderLease, Ending::Lost, 2),
            (Replay::OnceUnderLease, gateway, 2),
            (Replay::OnceUnderLease, refused, 4),
            (Replay::Never, Ending::NotSent, 4),
            (Replay::Never, Ending::Lost, 1),
            (Replay::Never, refused, 4),
            (Replay::Never, gateway, 4),
        ] {
            assert_eq!(attempts(replay, ending), expected, "{replay:?} {ending:?}");
        }
    }

    #[test]
    fn replays_a_single_use_token_at_once() {
        let mut retries = Retries::new(Replay::OnceUnderLease);
        assert!(retries.could_replay());
        assert_eq!(retries.next(Ending::Lost, None, LEFT), Some(Duration::ZERO));
        assert!(!retries.could_replay());
    }

    #[test]
    fn waits_as_long_as_the_provider_asks_but_not_past_the_budget() {
        let refused = Ending::Refused(StatusCode::TOO_MANY_REQUESTS);
        let asked = Some(Duration::from_secs(7));
        assert_eq!(Retries::new(Replay::Safe).next(refused, asked, LEFT), asked);
        assert_eq!(Retries::new(Replay::Safe).next(refused, Some(Duration::from_secs(31)), LEFT), None);
        let jittered = Retries::new(Replay::Safe).next(refused, None, LEFT).unwrap();
        assert!(jittered >= WAIT.0 && jittered <= WAIT.0 * 2, "{jittered:?}");
    }

    #[test]
    fn reads_retry_after_in_both_forms() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sat, 21 Nov 2026 12:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(read("Sat, 21 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
        for text in ["", "soon", "-5", "1.5", "99999999999999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn takes_only_passing_statuses_as_an_invitation_to_ask_again() {
        for status in [408, 429, 500, 502, 503, 504, 520] {
            assert!(Ending::of_status(StatusCode::from_u16(status).unwrap()).is_some(), "{status}");
        }
        for status in [200, 302, 400, 401, 403, 404, 410] {
            assert!(Ending::of_status(StatusCode::from_u16(status).unwrap()).is_none(), "{status}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[ -~]{0,60}") {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let _ = retry_after(&headers, Timestamp::UNIX_EPOCH);
        }
    }
}
