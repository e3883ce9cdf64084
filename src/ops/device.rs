//! A login on another device (RFC 8628): a code to enter there, and the question, again and again, whether it was.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::model::{Grant, Key};
use crate::ops::history::{Action, Event};
use crate::ops::obtain::Keep;
use crate::ops::{Broker, Error, Issuer, Outcome};
use crate::provider::oauth2::device::{self, Poll};
use crate::provider::{DeviceAuthorization, Wanted};

/// How much longer to wait for good after `slow_down` (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// The longest wait that failures lead to.
const LONGEST: Duration = Duration::from_secs(60);

impl Broker {
    /// Asks for a code to be entered on another device.
    ///
    /// # Errors
    /// Where the provider has no such thing, or refuses.
    pub async fn authorize_device(&self, issuer: &Issuer, wanted: &Wanted) -> Result<DeviceAuthorization, Error> {
        self.ask_provider(issuer, |provider| provider.device_authorization(wanted)).await
    }

    /// Waits until the code was entered, and stores what the provider gives then. Nothing is locked between two
    /// questions, and a signal ends the wait.
    ///
    /// # Errors
    /// Consent that was denied, or a code that was not entered in time; else as for [`Broker::obtain`].
    pub async fn obtain_by_device(
        &self,
        key: &Key,
        issuer: &Issuer,
        authorization: &DeviceAuthorization,
        wanted: &Wanted,
        keep: Keep,
    ) -> Result<Outcome, Error> {
        let began = self.clock.now();
        let grant = Grant::Device { device_code: authorization.device_code.clone() };
        let start = Instant::now();
        let mut pace = Pace::new(authorization);
        while let Some(wait) = pace.next(start.elapsed()) {
            sleep(wait).await;
            let attempt = self.attempt(key, issuer, &grant, wanted, keep).await?;
            match &attempt.result {
                Err(error) if pace.goes_on_after(error) => log::info!("{key}: {error}"),
                _ => return self.conclude(key, began, attempt).await,
            }
        }
        let result = Err(Error::from(device::expired()));
        self.write_down(Event::new(key, Action::Obtain, (began, self.clock.now())), None, &result);
        self.tell_hooks();
        result
    }
}

/// How often to ask. A pure decision: it returns a wait and does not sleep.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    failures: u32,
    lifetime: Duration,
}

impl Pace {
    fn new(authorization: &DeviceAuthorization) -> Self {
        Self { interval: authorization.interval, failures: 0, lifetime: authorization.expires_in }
    }

    /// The wait before the next question; `None` where the codes have ended by then.
    fn next(&self, elapsed: Duration) -> Option<Duration> {
        let longer = self.interval.saturating_mul(1 << self.failures.min(6));
        let wait = longer.min(LONGEST).max(self.interval);
        (elapsed.saturating_add(wait) < self.lifetime).then_some(wait)
    }

    /// Whether to ask again after an error. Time-outs make the waits longer until an answer comes.
    fn goes_on_after(&mut self, error: &Error) -> bool {
        let poll = match error {
            Error::Net(crate::net::NetError::Unreachable { .. } | crate::net::NetError::Lost { .. }) => Poll::Passing,
            Error::Provider(error) => Poll::of(error),
            _ => Poll::Over,
        };
        match poll {
            Poll::Pending => self.failures = 0,
            Poll::SlowDown => {
                self.failures = 0;
                self.interval += SLOWER;
            }
            Poll::Passing => self.failures += 1,
            Poll::Over => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::NetError;
    use crate::provider::{ProviderError, Refusal, RefusalClass};

    fn pace(interval: u64, lifetime: u64) -> Pace {
        Pace { interval: Duration::from_secs(interval), failures: 0, lifetime: Duration::from_secs(lifetime) }
    }

    fn said(code: &str) -> Error {
        ProviderError::Refused(Box::new(Refusal {
            class: RefusalClass::Other,
            status: Some(400),
            code: Some(crate::model::ServerText::new(code)),
            message: crate::model::ServerText::default(),
            request_id: None,
            hint: None,
        }))
        .into()
    }

    fn lost() -> Error {
        NetError::Lost { host: "a.example".to_owned(), why: "no answer within 30.0 s".to_owned() }.into()
    }

    fn wait(pace: &Pace) -> u64 {
        pace.next(Duration::ZERO).unwrap().as_secs()
    }

    #[test]
    fn waits_five_seconds_longer_for_good_after_each_slow_down() {
        let mut pace = pace(5, 1800);
        assert_eq!(wait(&pace), 5);
        for (code, seconds) in
            [("authorization_pending", 5), ("slow_down", 10), ("authorization_pending", 10), ("slow_down", 15)]
        {
            assert!(pace.goes_on_after(&said(code)));
            assert_eq!(wait(&pace), seconds, "{code}");
        }
    }

    #[test]
    fn backs_off_after_time_outs_up_to_a_minute_until_an_answer_comes() {
        let mut pace = pace(5, 1800);
        for seconds in [10, 20, 40, 60, 60, 60, 60, 60] {
            assert!(pace.goes_on_after(&lost()));
            assert_eq!(wait(&pace), seconds);
        }
        assert!(pace.goes_on_after(&said("authorization_pending")));
        assert_eq!(wait(&pace), 5);
    }

    #[test]
    fn never_asks_more_often_than_the_provider_wants() {
        let mut pace = pace(90, 1800);
        assert!(pace.goes_on_after(&lost()));
        assert_eq!(wait(&pace), 90);
    }

    #[test]
    fn stops_when_the_codes_have_ended() {
        let pace = pace(5, 12);
        assert!(pace.next(Duration::from_secs(6)).is_some());
        assert!(pace.next(Duration::from_secs(7)).is_none());
        assert!(pace.next(Duration::MAX).is_none());
    }

    #[test]
    fn stops_at_what_is_final() {
        for code in ["access_denied", "expired_token", "invalid_grant", "invalid_client"] {
            assert!(!pace(5, 60).goes_on_after(&said(code)), "{code}");
        }
        assert!(!pace(5, 60).goes_on_after(&NetError::Setup("x".to_owned()).into()));
    }
}
