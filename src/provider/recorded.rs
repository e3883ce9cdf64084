//! For tests: the requests that the providers' own clients were recorded sending, and made-up answers.

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use serde_json::Value;

use super::{Application, Exchange, HttpResponse, ProviderError};
use crate::model::{Kind, Response, Secret, Token};

/// One recorded request.
pub(super) struct Recorded {
    pub(super) call: String,
    entry: Value,
}

impl Recorded {
    /// All requests of a fixture file.
    pub(super) fn all(fixture: &str) -> Vec<Self> {
        let fixture: Value = serde_json::from_str(fixture).unwrap();
        let entries = fixture["requests"].as_array().unwrap().clone();
        assert!(!entries.is_empty());
        entries.into_iter().map(|entry| Self { call: entry["call"].as_str().unwrap().to_owned(), entry }).collect()
    }

    pub(super) fn method(&self) -> &str {
        self.entry["method"].as_str().unwrap()
    }

    /// The path, whether the fixture has it or a whole address.
    pub(super) fn path(&self) -> &str {
        let address = self.entry.get("path").or_else(|| self.entry.get("url")).unwrap().as_str().unwrap();
        address.strip_prefix("https://www.wixapis.com").unwrap_or(address)
    }

    /// A member of the recorded body.
    pub(super) fn member(&self, pointer: &str) -> &str {
        self.entry["body"].pointer(pointer).unwrap().as_str().unwrap()
    }

    /// Fails unless a request says the same: method, path, authorization and the members of the body.
    pub(super) fn assert_same(&self, request: &Request<Bytes>) {
        let call = &self.call;
        assert_eq!(request.method(), self.method(), "{call}");
        assert_eq!(request.uri().path(), self.path(), "{call}");
        let authorization = request.headers().get("authorization");
        let recorded = self.entry["headers"].get("authorization").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(authorization.map_or("", |value| value.to_str().unwrap()), recorded, "{call}");
        assert!(authorization.is_none_or(http::HeaderValue::is_sensitive), "{call}");
        let body = match &self.entry["body"] {
            Value::Null => {
                assert!(!request.headers().contains_key("content-type"), "{call}");
                assert!(request.body().is_empty(), "{call}");
                return;
            }
            body => body,
        };
        assert_eq!(request.headers()["content-type"], "application/json", "{call}");
        assert_eq!(serde_json::from_slice::<Value>(request.body()).unwrap(), *body, "{call}");
    }
}

/// The instant at which every made-up request is sent.
pub(super) fn sent() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// A made-up answer.
pub(super) fn answer(status: u16, body: &str) -> HttpResponse {
    http::Response::builder()
        .status(status)
        .header("x-wix-request-id", "wix-request-1")
        .body(Bytes::from(body.to_owned()))
        .unwrap()
}

/// Reads a made-up answer to an exchange.
pub(super) fn read<T>(exchange: Exchange<T>, status: u16, body: &str) -> Result<T, ProviderError> {
    exchange.split().2.read(&answer(status, body), sent())
}

/// The JSON body of an exchange's request.
pub(super) fn body_of<T>(exchange: &Exchange<T>) -> Value {
    serde_json::from_slice(exchange.request.body()).unwrap()
}

/// An application with made-up credentials.
pub(super) fn application(base_url: &str, client_id: &str, client_secret: Option<&str>) -> Application {
    Application {
        name: "made-up".parse().unwrap(),
        base_url: base_url.parse().unwrap(),
        client_id: client_id.to_owned(),
        client_secret: client_secret.map(Secret::new),
        instance_id: None,
        mode: None,
        oauth2: None,
    }
}

/// A stored token.
pub(super) fn token(kind: Option<&'static str>, access: &str, refresh: Option<&str>) -> Token {
    Token {
        kind: kind.map(Kind::new),
        access: Secret::new(access),
        token_type: None,
        refresh: refresh.map(Secret::new),
        expires_at: None,
        refresh_expires_at: None,
        account: None,
        scopes: Vec::new(),
        response: Response::default(),
    }
}
