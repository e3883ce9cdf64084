//! The keys of one provider: whose turn it is, how many may be under way, and when the rest is better left alone.
//! Decides and does not wait.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::ConfigError;
use crate::model::ProviderName;
use crate::net::{NetError, Pace};
use crate::ops::bulk::plan::Entry;
use crate::ops::{Code, Error};
use crate::provider::{ProviderError, RefusalClass};

/// So many keys in a row that fail for a passing reason, and the provider is down.
const DOWN: usize = 5;

/// How long a key is left to the process that has it, before it is looked at again: at first, and at the most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A key whose turn it is, or will be.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) entry: Entry,
    /// Not before.
    at: Instant,
    /// How long to leave it to the process that has it; zero where none was seen to.
    pause: Duration,
    /// When to give up on that process; absent before the queue has come back to the key.
    until: Option<Instant>,
}

/// What a failure says of its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// It answers; or it was not asked.
    Nothing,
    /// It is up.
    Up,
    /// It may be down.
    Down,
    /// No key of it will do better: the application is refused, or a setting is wrong.
    Hopeless,
}

/// The keys of one provider.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: ProviderName,
    /// Those that were not tried yet, the most urgent last.
    pub(super) queue: Vec<Entry>,
    /// Those that another process had.
    later: Vec<Turn>,
    /// How many are under way.
    flying: usize,
    /// Whether it has answered: before that one request is enough to see that it does not, or what it thinks of us.
    proven: bool,
    /// How many in a row failed for a passing reason.
    failures: usize,
    /// Why the rest is left alone.
    pub(super) trouble: Option<String>,
}

impl Lane {
    pub(super) const fn new(name: ProviderName) -> Self {
        Self { name, queue: Vec::new(), later: Vec::new(), flying: 0, proven: false, failures: 0, trouble: None }
    }

    /// When the next key may begin, and how urgent it is; `None` where none is left, or as many as may be are under way.
    pub(super) fn next(&self, now: Instant, pace: &Pace) -> Option<(Instant, i64)> {
        let room = match self.failures {
            // The one more that would show it to be down is not sent ten times.
            failures @ 1.. => DOWN.saturating_sub(failures),
            0 if self.proven => usize::MAX,
            0 => 1,
        };
        if self.flying >= room {
            return None;
        }
        let (at, urgency) = match self.queue.last() {
            Some(entry) => (now, entry.urgency),
            None => self.later.iter().map(|turn| (turn.at, turn.entry.urgency)).min()?,
        };
        Some((pace.next(now).max(at), urgency))
    }

    /// Takes the next key, which is then under way.
    pub(super) fn take(&mut self, now: Instant, patience: Duration) -> Option<Turn> {
        let turn = if let Some(entry) = self.queue.pop() {
            Turn { entry, at: now, pause: Duration::ZERO, until: None }
        } else {
            let (first, _) = self.later.iter().enumerate().min_by_key(|(_, turn)| turn.at)?;
            let mut turn = self.later.swap_remove(first);
            turn.until.get_or_insert(now + patience);
            turn
        };
        self.flying += 1;
        Some(turn)
    }

    /// Takes any key that is left, not to be begun.
    pub(super) fn give_up(&mut self) -> Option<Entry> {
        self.queue.pop().or_else(|| self.later.pop().map(|turn| turn.entry))
    }

    /// Whether a key is left.
    pub(super) const fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.later.is_empty()
    }

    /// Another process has the key: it comes back to the end of the queue, unless that lasts too long.
    ///
    /// # Errors
    /// The key, where it does.
    pub(super) fn busy(&mut self, mut turn: Turn, now: Instant) -> Result<(), Entry> {
        self.flying -= 1;
        if turn.until.is_some_and(|until| now >= until) {
            return Err(turn.entry);
        }
        turn.at = now + turn.pause;
        turn.pause = (turn.pause * 2).clamp(PAUSE.0, PAUSE.1);
        self.later.push(turn);
        Ok(())
    }

    /// A key that was under way has ended; learns from how, and whether its grant was called dead for an answer that was
    /// lost. Whether that is the end for the others too.
    pub(super) fn landed(&mut self, error: Option<&Error>, is_lost: bool) -> bool {
        self.flying -= 1;
        match error.map_or(Says::Up, says) {
            Says::Up if is_lost => self.failures += 1,
            Says::Nothing => return false,
            Says::Up => (self.proven, self.failures) = (true, 0),
            Says::Down => self.failures += 1,
            Says::Hopeless => {}
        }
        let hopeless = error.is_some_and(|error| says(error) == Says::Hopeless);
        if self.trouble.is_some() || !(hopeless || self.failures >= DOWN) {
            return false;
        }
        let said = error.map(ToString::to_string).unwrap_or_default();
        self.trouble = Some(if hopeless {
            said
        } else {
            format!("{} seems to be down, {DOWN} keys in a row failed, the last with: {said}", self.name)
        });
        true
    }
}

fn says(error: &Error) -> Says {
    let class = match error {
        Error::Provider(refused) => refused.class(),
        _ => None,
    };
    match (class, error) {
        (Some(RefusalClass::Application), _) => Says::Hopeless,
        // What another process met a moment ago.
        (_, Error::Shared { .. }) if error.code() == Code::Rejected => Says::Hopeless,
        // A record of one sort may need what another does not.
        (_, Error::Config(ConfigError::Missing { .. })) => Says::Nothing,
        (
            _,
            Error::Config(_)
            | Error::Net(NetError::Setup(_))
            | Error::Provider(ProviderError::Setting(_) | ProviderError::NotSendable(_)),
        ) => Says::Hopeless,
        (Some(RefusalClass::Passing), _)
        | (
            _,
            Error::Shared { .. }
            | Error::Provider(ProviderError::NoAnswer { .. })
            | Error::Net(NetError::Unreachable { .. } | NetError::Lost { .. } | NetError::TooLarge { .. }),
        ) => Says::Down,
        (_, Error::Provider(ProviderError::Refused(_) | ProviderError::Unusable { .. })) => Says::Up,
        _ => Says::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(35);

    fn lane(keys: usize) -> Lane {
        let mut lane = Lane::new("square".parse().unwrap());
        lane.queue = (0..keys)
            .map(|n| Entry { profile: format!("k{n}").parse().unwrap(), urgency: 0, generation: 1, ends: None })
            .collect();
        lane
    }

    fn down() -> Error {
        NetError::Lost { host: "h".to_owned(), why: "w".to_owned() }.into()
    }

    /// Takes as many as may be under way.
    fn take_all(lane: &mut Lane, now: Instant) -> usize {
        let pace = Pace::default();
        std::iter::from_fn(|| lane.next(now, &pace).and_then(|_| lane.take(now, PATIENCE))).count()
    }

    #[tokio::test(start_paused = true)]
    async fn sends_one_request_first_and_all_others_after_its_answer() {
        let (mut lane, now) = (lane(40), Instant::now());
        assert_eq!(take_all(&mut lane, now), 1);
        assert!(!lane.landed(None, false));
        assert_eq!(take_all(&mut lane, now), 39);
    }

    #[tokio::test(start_paused = true)]
    async fn tries_five_keys_of_a_provider_that_is_down() {
        let (mut lane, now) = (lane(40), Instant::now());
        assert_eq!(take_all(&mut lane, now), 1);
        assert!(!lane.landed(Some(&down()), false));
        assert_eq!(take_all(&mut lane, now), 4);
        assert_eq!((1..=4).filter(|_| lane.landed(Some(&down()), false)).count(), 1);
        assert!(lane.trouble.is_some() && take_all(&mut lane, now) == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_failures_when_a_key_succeeds() {
        let (mut lane, now) = (lane(80), Instant::now());
        take_all(&mut lane, now);
        lane.landed(None, false);
        take_all(&mut lane, now);
        for _ in 0..15 {
            for _ in 1..DOWN {
                assert!(!lane.landed(Some(&down()), false));
            }
            assert!(!lane.landed(None, false));
        }
        assert!(lane.trouble.is_none() && lane.flying == 4);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_at_once_where_no_key_will_do_better() {
        let mut lane = lane(3);
        take_all(&mut lane, Instant::now());
        assert!(lane.landed(Some(&NetError::Setup("no certificates".to_owned()).into()), false));
        assert_eq!(lane.trouble.as_deref(), Some("cannot set up HTTPS: no certificates"));
    }

    #[tokio::test(start_paused = true)]
    async fn comes_back_to_a_busy_key_after_all_others_and_not_for_ever() {
        let (mut lane, pace) = (lane(2), Pace::default());
        lane.proven = true;
        let mut now = Instant::now();
        let busy = lane.take(now, PATIENCE).unwrap();
        let name = busy.entry.profile.clone();
        lane.busy(busy, now).unwrap();
        assert_ne!(lane.take(now, PATIENCE).unwrap().entry.profile, name);
        let begun = now;
        let entry = loop {
            now = lane.next(now, &pace).unwrap().0.max(now);
            let turn = lane.take(now, PATIENCE).unwrap();
            assert_eq!(turn.entry.profile, name);
            if let Err(entry) = lane.busy(turn, now) {
                break entry;
            }
        };
        assert!(entry.profile == name && lane.is_empty());
        assert!(now - begun >= PATIENCE && now - begun < PATIENCE * 2);
    }
}
