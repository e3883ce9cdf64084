//! What the tests of all providers share: a state without a socket, a clock that can be moved, requests in a line.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use url::Url;

use super::Options;
use super::state::State;
use super::wire::Reply;
use crate::model::Clock;

/// When the trials begin.
pub(super) const START: &str = "2026-11-21T12:00:00Z";

#[derive(Debug)]
pub(super) struct FakeClock(Mutex<Timestamp>);

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// An emulator on a bench.
pub(super) struct Trial {
    pub(super) state: State,
    clock: Arc<FakeClock>,
}

impl Trial {
    pub(super) fn new(options: Options) -> Self {
        let clock = Arc::new(FakeClock(Mutex::new(START.parse().unwrap())));
        let state = State::new(options, clock.clone(), "http://127.0.0.1:1".to_owned()).unwrap();
        Self { state, clock }
    }

    pub(super) fn approving() -> Self {
        Self::new(Options { auto_approve: true, ..Options::default() })
    }

    pub(super) fn pass(&self, seconds: i64) {
        let mut now = self.clock.0.lock().unwrap();
        *now = now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    pub(super) fn variable(&self, name: &str) -> String {
        let environment = self.state.environment();
        environment.into_iter().find(|(key, _)| *key == name).unwrap().1
    }

    pub(super) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.state.answer(&request.body(Bytes::from(body.to_owned())).unwrap())
    }

    pub(super) fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    /// POST of JSON without authorization.
    pub(super) fn post(&mut self, path: &str, body: &Value) -> Answer {
        Answer::of(&self.send("POST", path, &[(CONTENT_TYPE.as_str(), "application/json")], &body.to_string()))
    }

    /// POST of JSON with authorization.
    pub(super) fn post_as(&mut self, authorization: &str, path: &str, body: &Value) -> Answer {
        let headers = [(CONTENT_TYPE.as_str(), "application/json"), (AUTHORIZATION.as_str(), authorization)];
        Answer::of(&self.send("POST", path, &headers, &body.to_string()))
    }

    /// POST of a form.
    pub(super) fn submit(&mut self, path: &str, form: &str) -> Reply {
        self.send("POST", path, &[(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")], form)
    }
}

/// A JSON answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn of(reply: &Reply) -> Self {
        Self { status: reply.status().as_u16(), body: serde_json::from_slice(reply.body()).unwrap() }
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {self:?}")).to_owned()
    }
}

/// Where a reply sends the browser.
pub(super) fn location(reply: &Reply) -> Url {
    assert_eq!(reply.status(), StatusCode::FOUND, "{}", page(reply));
    Url::parse(reply.headers()[LOCATION].to_str().unwrap()).unwrap()
}

/// A member of the query of the address to which a reply sends the browser.
pub(super) fn brought(reply: &Reply, name: &str) -> Option<String> {
    location(reply).query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

pub(super) fn page(reply: &Reply) -> String {
    String::from_utf8(reply.body().to_vec()).unwrap()
}

/// The name of the question that a consent page asks.
pub(super) fn question(reply: &Reply) -> String {
    let page = page(reply);
    let rest = page.split("name=\"consent\" value=\"").nth(1).unwrap_or_else(|| panic!("no question: {page}"));
    rest.split('"').next().unwrap().to_owned()
}
