//! Everything the emulator remembers, and the one function from a request to an answer. No sockets.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;

use super::oauth2::{self, OAuth2};
use super::random::Random;
use super::square::Square;
use super::wire::{Call, Fields, Reply};
use super::wix::Wix;
use super::{EmulatorError, Options, faults};
use crate::model::Clock;

/// How long a consent page may be left open, in seconds.
const PATIENCE: i64 = 600;

/// What all providers draw on.
#[derive(Debug)]
pub(super) struct House {
    /// How to behave.
    pub(super) options: Options,
    /// Names and secrets.
    pub(super) random: Random,
    /// `http://127.0.0.1:PORT`.
    pub(super) origin: String,
}

impl House {
    /// The life of an access token whose provider gives it `seconds`.
    pub(super) fn life(&self, seconds: i64) -> i64 {
        self.options.expires_in.map_or(seconds, |life| i64::try_from(life.as_secs()).unwrap_or(i64::MAX))
    }
}

/// The providers and what they share.
pub(super) struct State {
    clock: Arc<dyn Clock>,
    house: House,
    square: Square,
    wix: Wix,
    acme: OAuth2,
}

impl State {
    /// Invents the applications and their accounts.
    pub(super) fn new(options: Options, clock: Arc<dyn Clock>, origin: String) -> Result<Self, EmulatorError> {
        let mut random = Random::new()?;
        let square = Square::new(&mut random, whole_seconds(clock.now()));
        let wix = Wix::new(&mut random);
        let acme = OAuth2::new(&mut random);
        Ok(Self { clock, house: House { options, random, origin }, square, wix, acme })
    }

    /// What a client has to know, in the order in which it is read best.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = self.square.environment(&self.house.origin);
        environment.extend(self.wix.environment(&self.house.origin));
        environment.extend(self.acme.environment(&self.house.origin));
        environment
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, request: &Request<Bytes>) -> Reply {
        let path = request.uri().path();
        let under = |prefix: &str| path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
        let (prefix, rest) = if path == oauth2::WELL_KNOWN {
            (oauth2::PREFIX, path)
        } else if let Some(rest) = under(oauth2::PREFIX) {
            (oauth2::PREFIX, rest)
        } else if let Some(rest) = under("/wix") {
            ("/wix", rest)
        } else if let Some(rest) = under("/square") {
            ("/square", rest)
        } else {
            ("", path)
        };
        let call = Call {
            method: request.method(),
            prefix,
            path: rest,
            query: Fields::parse(request.uri().query().unwrap_or_default().as_bytes()),
            headers: request.headers(),
            body: request.body(),
            now: whole_seconds(self.clock.now()),
        };
        let struck = faults::strikes(self.house.options.fail_rate, request.method(), path, &mut self.house.random);
        match (prefix, struck) {
            ("/wix", false) => self.wix.answer(&call, &mut self.house),
            ("/wix", true) => Wix::unavailable(call.now, &mut self.house),
            (oauth2::PREFIX, false) => self.acme.answer(&call, &mut self.house),
            (oauth2::PREFIX, true) => OAuth2::unavailable(),
            (_, false) => self.square.answer(&call, &mut self.house),
            (_, true) => Square::unavailable(),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// An answer to what could not be read as a request at all.
pub(super) fn unreadable(status: StatusCode) -> Reply {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = status;
    reply
}

fn whole_seconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}

/// Consent pages that wait for a decision, by the unguessable name that the form sends back. What is asked stays
/// here, so a form cannot change it, and another site cannot answer it.
#[derive(Debug)]
pub(super) struct Desk<T>(HashMap<String, (Timestamp, T)>);

impl<T> Desk<T> {
    /// An empty desk.
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Leaves a question and returns its name.
    pub(super) fn file(&mut self, question: T, now: Timestamp, random: &mut Random) -> String {
        self.0.retain(|_, (since, _)| is_waiting(*since, now));
        let name = random.text("", 43);
        self.0.insert(name.clone(), (now, question));
        name
    }

    /// Looks at a question.
    pub(super) fn look(&self, name: &str, now: Timestamp) -> Option<&T> {
        self.0.get(name).filter(|(since, _)| is_waiting(*since, now)).map(|(_, question)| question)
    }

    /// Takes a question away.
    pub(super) fn take(&mut self, name: &str, now: Timestamp) -> Option<T> {
        self.0.remove(name).filter(|(since, _)| is_waiting(*since, now)).map(|(_, question)| question)
    }
}

fn is_waiting(since: Timestamp, now: Timestamp) -> bool {
    now.as_second() - since.as_second() < PATIENCE
}

/// The instant `seconds` after `now`.
pub(super) fn end(now: Timestamp, seconds: i64) -> Timestamp {
    crate::model::lifetime::after(now, seconds).unwrap_or(Timestamp::MAX)
}
