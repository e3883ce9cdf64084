//! How fast a provider is asked: at most so often, not before the instant that it named itself (`Retry-After`), and not
//! again once the run is to end. All requests to one provider share one pace, and all providers of a run the slots that
//! say how many are asked at once.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

/// How much earlier than due a request may be: timers are not exact, and what is lost would add up.
const TOLERANCE: Duration = Duration::from_millis(10);

/// How often at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The time between two requests.
    interval: Duration,
}

/// Text that is no rate.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{0}' is not a rate: write a whole number and a unit, as 20/s or 300/m")]
pub struct RateError(String);

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let error = || RateError(crate::model::text::escape(text, 40));
        let (number, unit) = text.split_once('/').ok_or_else(error)?;
        let per = match unit {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            _ => return Err(error()),
        };
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number: NonZeroU32 = Some(number).filter(|_| digits).and_then(|n| n.parse().ok()).ok_or_else(error)?;
        Ok(Self { interval: per / number.get() })
    }
}

/// The pace of one provider. Without a rate, and until the provider asks for a pause, it holds nobody up.
#[derive(Debug, Default)]
pub struct Pace {
    rate: Option<Rate>,
    state: Mutex<State>,
    /// Whether the run is to end: then no wait is worth its while. Absent where nobody says so.
    ending: Option<watch::Receiver<bool>>,
    /// What is taken while an answer is awaited, and given back before it is stored: the provider need not wait for the
    /// disk. Absent where nothing limits that.
    slots: Option<Arc<Semaphore>>,
    /// When the last request may begin.
    end: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    /// When the next request is due, had all before it been sent when they were.
    due: Option<Instant>,
    /// Until when the provider asked to be left alone.
    pause: Option<Instant>,
    /// How many grants were called dead after an answer was lost, and were not asked about yet.
    lost: usize,
}

impl Pace {
    /// A pace at which nobody waits once `ending` is true.
    #[must_use]
    pub fn new(rate: Option<Rate>, ending: watch::Receiver<bool>) -> Self {
        Self { rate, ending: Some(ending), ..Self::default() }
    }

    /// The same, where a request begins in one of these slots, and none after `end`.
    #[must_use]
    pub fn in_slots(self, slots: Arc<Semaphore>, end: Option<Instant>) -> Self {
        Self { slots: Some(slots), end, ..self }
    }

    /// Waits for a slot; the second is `false` where it is too late to begin anything.
    pub async fn slot(&self) -> (Option<OwnedSemaphorePermit>, bool) {
        let slot = match &self.slots {
            // Nobody closes it.
            Some(slots) => Arc::clone(slots).acquire_owned().await.ok(),
            None => None,
        };
        let late = self.is_ending() || self.end.is_some_and(|end| Instant::now() >= end);
        (slot, !late)
    }

    /// Whether waits are cut short.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| *ending.borrow())
    }

    /// Until when the provider asked to be left alone, where that is still to come.
    #[must_use]
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        self.state().pause.filter(|until| *until > now)
    }

    /// Nobody asks this provider before `until`.
    pub fn slow_down(&self, until: Instant) {
        let mut state = self.state();
        state.pause = state.pause.max(Some(until));
    }

    /// Counts a grant that was called dead after an answer to its request was lost: most likely it was spent for that.
    pub fn count_lost(&self) {
        self.state().lost += 1;
    }

    /// Whether there was such a grant since this was asked as often.
    #[must_use]
    pub fn take_lost(&self) -> bool {
        let mut state = self.state();
        let before = state.lost;
        state.lost = before.saturating_sub(1);
        before > 0
    }

    /// When the next request may be sent.
    #[must_use]
    pub fn next(&self, now: Instant) -> Instant {
        let state = self.state();
        let due = state.due.and_then(|due| due.checked_sub(TOLERANCE)).unwrap_or(now);
        due.max(state.pause.unwrap_or(now)).max(now)
    }

    /// Counts a request that is sent at `at`.
    pub fn count(&self, at: Instant) {
        if let Some(rate) = self.rate {
            let mut state = self.state();
            state.due = Some(state.due.map_or(at, |due| due.max(at)) + rate.interval);
        }
    }

    /// A request that was counted was not needed.
    pub fn give_back(&self) {
        if let Some(rate) = self.rate {
            let mut state = self.state();
            state.due = state.due.and_then(|due| due.checked_sub(rate.interval));
        }
    }

    /// Waits until `at`; whether it came before the run was to end.
    pub async fn wait(&self, at: Instant) -> bool {
        let Some(mut ending) = self.ending.clone() else {
            sleep_until(at).await;
            return true;
        };
        tokio::select! {
            () = sleep_until(at) => true,
            // A sender that is gone says no more.
            Ok(_) = ending.wait_for(|ending| *ending) => false,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn reads_a_rate() {
        assert_eq!(rate("20/s").interval, Duration::from_millis(50));
        assert_eq!(rate("30/m").interval, Duration::from_secs(2));
        for text in ["", "5", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "5/h", "5 /s", "5/s ", "99999999999/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn spaces_requests_out_and_forgives_a_late_one() {
        let (_sender, ending) = watch::channel(false);
        let pace = Pace::new(Some(rate("10/s")), ending);
        let begun = Instant::now();
        for nth in 0..20 {
            let at = pace.next(Instant::now());
            assert!(pace.wait(at).await);
            pace.count(Instant::now());
            assert!(begun.elapsed() + TOLERANCE >= Duration::from_millis(100) * nth, "{nth}");
        }
        assert!(begun.elapsed() <= Duration::from_millis(1900), "{:?}", begun.elapsed());
        pace.give_back();
        assert!(pace.next(Instant::now()) <= Instant::now() + Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn lets_nobody_ask_before_the_longest_pause() {
        let pace = Pace::default();
        let now = Instant::now();
        assert_eq!((pace.next(now), pace.pause(now)), (now, None));
        let (soon, late) = (now + Duration::from_secs(1), now + Duration::from_secs(5));
        pace.slow_down(late);
        pace.slow_down(soon);
        assert_eq!((pace.next(now), pace.pause(now)), (late, Some(late)));
        assert_eq!(pace.pause(late), None);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_no_longer_once_the_run_is_to_end() {
        let (sender, ending) = watch::channel(false);
        let pace = Pace::new(None, ending);
        let late = Instant::now() + Duration::from_secs(3600);
        let (waited, ()) = tokio::join!(pace.wait(late), async {
            sender.send_replace(true);
        });
        assert!(!waited && pace.is_ending() && Instant::now() < late);
    }
}
