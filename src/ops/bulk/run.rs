//! A run over many keys: begins what may begin, waits for what ends first, and tells what became of each.

mod landing;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::model::{Key, ProviderName};
use crate::net::Pace;
use crate::ops::bulk::lane::{Lane, Turn};
use crate::ops::bulk::plan::{self, Entry, Life};
use crate::ops::bulk::tally::{Fate, Tally};
use crate::ops::bulk::{Orders, Watcher};
use crate::ops::demand::{Before, Demand, How};
use crate::ops::hooks::Teller;
use crate::ops::{Broker, Error, Issuer};
use crate::store::Listed;

/// How often signals are looked for and progress is shown.
const TICK: Duration = Duration::from_millis(100);

/// Why a key is not begun that could be.
const NO_TIME: &str = "not begun within --max-time";

/// The same, where the store has been away for as long as a lease is waited for.
const NO_STORE: &str = "the store could not be reached any more";

/// What is to be done next.
enum Next {
    /// Begin this key of this lane.
    Begin(usize, Turn),
    /// Do not begin this one: why, and whether that is its provider's trouble.
    Skip(usize, Entry, (String, bool)),
    /// Nothing before this instant.
    Wait(Instant),
    /// Nothing before something that is under way has ended.
    Nothing,
}

/// A run under way.
pub(super) struct Run<'a> {
    broker: &'a Broker,
    orders: &'a Orders,
    started: Timestamp,
    end: Option<Instant>,
    how: How,
    /// Ends every wait.
    ending: watch::Sender<bool>,
    /// One for each request that may be under way.
    slots: Arc<Semaphore>,
    lanes: Vec<Lane>,
    /// Whether others are at the same keys: then a look without a lease is cheaper than a lease for nothing.
    shared: bool,
    /// Since when the store has not been reached; absent while it is.
    away: Option<Instant>,
    tally: Tally,
    watcher: &'a mut dyn Watcher,
    teller: Teller<'a>,
}

impl<'a> Run<'a> {
    /// Nothing is read yet.
    pub(super) fn new(broker: &'a Broker, orders: &'a Orders, watcher: &'a mut dyn Watcher) -> Self {
        Self {
            broker,
            orders,
            started: broker.clock.now(),
            end: orders.max_time.map(|time| Instant::now() + time),
            how: How::Refresh(orders.wanted.clone()),
            ending: watch::Sender::new(false),
            slots: Arc::new(Semaphore::new(orders.jobs)),
            lanes: Vec::new(),
            shared: false,
            away: None,
            tally: Tally::default(),
            watcher,
            teller: Teller::new(broker.hooks.clone(), broker.signals.as_ref()),
        }
    }

    /// What became of the keys so far.
    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    /// Reads the listing, once. What is not to be begun is told right away.
    pub(super) async fn list(&mut self) -> Result<(), Error> {
        let mut listing = self.broker.store.list(self.orders.provider.as_ref()).await?;
        while let Some(Listed { key, summary, in_doubt }) = listing.next().await? {
            if self.orders.profile.as_ref().is_some_and(|profile| key.profile != *profile) {
                continue;
            }
            let summary = match summary {
                Ok(summary) => summary,
                Err(error) => {
                    self.failed(key, None, &error.into());
                    continue;
                }
            };
            let ends = summary.expires_at;
            if let Some(since) = summary.needs_login {
                self.failed(key.clone(), ends, &Error::NeedsLogin { key, since });
            } else if !in_doubt && !self.orders.due.takes(Life::from(&summary), self.broker.clock.now()) {
                self.report(key, Fate::Fresh, ends, None);
            } else {
                if self.lanes.last().is_none_or(|lane| lane.name != key.provider) {
                    self.lanes.push(Lane::new(key.provider));
                }
                if let Some(lane) = self.lanes.last_mut() {
                    lane.queue.push(Entry::new(key.profile, &summary, in_doubt));
                    self.tally.left += 1;
                }
            }
        }
        self.lanes.iter_mut().for_each(|lane| plan::sort(&mut lane.queue));
        while self.orders.dry_run
            && let Some(at) = self.lanes.iter().position(|lane| !lane.is_empty())
        {
            if let Some(entry) = self.lanes[at].give_up() {
                self.tally.left -= 1;
                let key = key_of(&self.lanes[at], &entry);
                self.report(key, Fate::WouldRefresh, entry.expires_at(), None);
            }
        }
        Ok(())
    }

    /// The issuer of each lane. A provider that cannot be asked at all is one failure, and its lane is gone.
    pub(super) fn open(&mut self, open: impl Fn(&ProviderName) -> Result<Issuer, Error>) -> Vec<Issuer> {
        let mut issuers = Vec::new();
        for mut lane in std::mem::take(&mut self.lanes) {
            let opened = open(&lane.name).and_then(|issuer| {
                issuer.settings().client_id()?;
                let pace = Pace::new(self.orders.rate, self.ending.subscribe());
                Ok(issuer.for_many(pace.in_slots(Arc::clone(&self.slots), self.end)))
            });
            match opened {
                Ok(issuer) => {
                    issuers.push(issuer);
                    self.lanes.push(lane);
                }
                Err(error) => {
                    log::warn!("{}: {error}; its keys are skipped", lane.name);
                    let mut told = false;
                    while let Some(entry) = lane.give_up() {
                        self.tally.left -= 1;
                        let (key, ends) = (key_of(&lane, &entry), entry.expires_at());
                        if std::mem::replace(&mut told, true) {
                            self.skipped(key, ends, error.to_string(), true);
                        } else {
                            self.failed(key, ends, &error);
                        }
                    }
                }
            }
        }
        issuers
    }

    /// Works the queues off.
    pub(super) async fn refresh(&mut self, issuers: &[Issuer]) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = FuturesUnordered::new();
        // While the answers to some are stored, others are asked for. One after the other stays that; and what waits for
        // a slot would be sent when one is free, not when its turn comes by the rate.
        let ahead = self.orders.jobs > 1 && self.orders.rate.is_none();
        let most = if ahead { self.orders.jobs * 2 } else { self.orders.jobs };
        loop {
            let mut wait = None;
            while under_way.len() < most && wait.is_none() {
                match self.next(issuers) {
                    Next::Begin(at, turn) => {
                        let (broker, how, key) = (self.broker, self.how.clone(), key_of(&self.lanes[at], &turn.entry));
                        let before = Before { started: self.started, generation: Some(turn.entry.generation) };
                        let (issuer, shared) = (&issuers[at], self.shared);
                        under_way.push(async move {
                            if shared && let Some(outcome) = broker.of_another(&key, issuer, &before).await {
                                return (at, turn, key, Ok(outcome));
                            }
                            // A key that another process has is not waited for: there are others to do.
                            let demand = Demand::New;
                            let result =
                                broker.fresh_under_lease(&key, issuer, demand, &how, &before, Duration::ZERO).await;
                            (at, turn, key, result)
                        });
                    }
                    Next::Skip(at, entry, why) => {
                        self.tally.left -= 1;
                        self.skipped(key_of(&self.lanes[at], &entry), entry.expires_at(), why.0, why.1);
                    }
                    Next::Wait(until) => wait = Some(until),
                    Next::Nothing => break,
                }
            }
            if under_way.is_empty() && wait.is_none() {
                return;
            }
            tokio::select! {
                Some((at, turn, key, result)) = under_way.next() => self.landed(at, turn, key, result, &issuers[at]),
                () = sleep_until(wait.unwrap_or_else(Instant::now)), if wait.is_some() => {}
                _ = tick.tick() => {
                    self.look_for_signals();
                    self.watcher.look(&self.tally);
                }
            }
        }
    }

    /// What is to be done now.
    fn next(&mut self, issuers: &[Issuer]) -> Next {
        let now = Instant::now();
        self.look_for_signals();
        let over = self.over(now);
        let mut first: Option<(Instant, i64, usize)> = None;
        for (at, (lane, issuer)) in
            self.lanes.iter_mut().zip(issuers).enumerate().filter(|(_, (lane, _))| !lane.is_empty())
        {
            let next = lane.next(now, issuer.pace());
            let too_late = next.is_some_and(|(time, _)| self.end.is_some_and(|end| time > end));
            let why = match (over, lane.trouble.as_ref()) {
                (Some(over), _) => Some((over.to_owned(), false)),
                (None, Some(trouble)) => Some((trouble.clone(), true)),
                (None, None) => match issuer.pace().pause(now) {
                    Some(until) if until > self.end.unwrap_or(now + self.broker.budget) => {
                        Some((format!("{} asked to be left alone for {} s", lane.name, (until - now).as_secs()), true))
                    }
                    _ => too_late.then(|| (NO_TIME.to_owned(), false)),
                },
            };
            if let Some(why) = why
                && let Some(entry) = lane.give_up()
            {
                return Next::Skip(at, entry, why);
            }
            if let Some((time, urgency)) = next {
                let turn = (time.max(now), urgency, at);
                first = Some(first.map_or(turn, |first| first.min(turn)));
            }
        }
        let Some((time, _, at)) = first else { return Next::Nothing };
        if time > now {
            return Next::Wait(time);
        }
        match self.lanes[at].take(now, self.broker.lease_wait()) {
            Some(turn) => {
                issuers[at].pace().count(now);
                Next::Begin(at, turn)
            }
            None => Next::Nothing,
        }
    }

    /// Ends every wait where a signal came.
    fn look_for_signals(&self) {
        if self.broker.signals.is_ending() {
            self.ending.send_replace(true);
        }
    }

    /// Why nothing more is begun, of no provider.
    fn over(&self, now: Instant) -> Option<&'static str> {
        if *self.ending.borrow() {
            Some("a signal came first")
        } else if self.away.is_some_and(|since| now >= since + self.broker.lease_wait()) {
            Some(NO_STORE)
        } else {
            self.end.filter(|end| now >= *end).map(|_| NO_TIME)
        }
    }
}

fn key_of(lane: &Lane, entry: &Entry) -> Key {
    Key { provider: lane.name.clone(), profile: entry.profile.clone() }
}
