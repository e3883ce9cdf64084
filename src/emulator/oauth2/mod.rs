//! An OAuth 2.0 provider by the RFCs, at its strictest: its two clients and its one person, the routes, discovery.

mod browser;
mod client;
mod device;
mod ledger;
mod refusal;
#[cfg(test)]
mod tests;
mod token;
mod upkeep;

use std::collections::HashMap;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, HeaderValue, PRAGMA, WWW_AUTHENTICATE};
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use self::browser::Wish;
use self::client::Clients;
use self::device::Device;
use self::ledger::Ledger;
use self::refusal::{invalid_scope, with_status};
use super::page;
use super::random::Random;
use super::state::{Desk, House};
use super::wire::{self, Call, Refusal, Reply};

/// What the issuer's path is, and what everything is served under.
pub(super) const PREFIX: &str = "/acme";
/// Where RFC 8414 §3.1 puts the metadata of an issuer with that path: before it.
pub(super) const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server/acme";
/// Where OpenID Connect Discovery §4 puts it: behind the path.
const OPENID: &str = "/.well-known/openid-configuration";

const SCOPES: [&str; 4] = ["profile", "read", "write", "offline_access"];
const DEFAULT_SCOPE: &str = "read";

/// The provider, as far as two clients and one person see it.
#[derive(Debug)]
pub(super) struct OAuth2 {
    clients: Clients,
    user_id: String,
    ledger: Ledger,
    devices: HashMap<String, Device>,
    desk: Desk<Question>,
}

/// What a page asks.
#[derive(Debug)]
enum Question {
    /// An authorization request.
    Wish(Wish),
    /// A device, by its code.
    Device(String),
}

impl OAuth2 {
    /// Invents the clients and the person.
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            clients: Clients::new(random),
            user_id: random.guid(),
            ledger: Ledger::default(),
            devices: HashMap::new(),
            desk: Desk::new(),
        }
    }

    /// What a client has to know.
    pub(super) fn environment(&self, origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("TOKMAN_EMULATOR_ISSUER", format!("{origin}{PREFIX}")),
            ("TOKMAN_ACME_CLIENT_ID", self.clients.confidential_id.clone()),
            ("TOKMAN_ACME_CLIENT_SECRET", self.clients.secret.clone()),
            ("TOKMAN_EMULATOR_PUBLIC_CLIENT_ID", self.clients.public_id.clone()),
        ]
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, call: &Call, house: &mut House) -> Reply {
        let method = match call.path {
            WELL_KNOWN | OPENID | "/authorize" | "/device" => Method::GET,
            "/token" | "/device_authorization" | "/revoke" | "/introspect" | "/consent" => Method::POST,
            _ => return api(Err(with_status(StatusCode::NOT_FOUND, "not_found", "Nothing is served here."))),
        };
        if *call.method != method {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let mut reply = api(Err(with_status(status, "invalid_request", "The method is not allowed.")));
            if let Ok(allowed) = HeaderValue::from_str(method.as_str()) {
                reply.headers_mut().insert(ALLOW, allowed);
            }
            return reply;
        }
        match call.path {
            "/authorize" => browser::authorize(self, call, house),
            "/consent" => browser::decide(self, call, house),
            "/device" => device::show(self, call, house),
            "/token" => api(token::obtain(self, call, house)),
            "/device_authorization" => api(device::start(self, call, house)),
            "/introspect" => api(upkeep::introspect(self, call, house)),
            "/revoke" => match upkeep::revoke(self, call) {
                Ok(()) => empty(),
                Err(refusal) => api(Err(refusal)),
            },
            _ => wire::json(Ok(metadata(house))),
        }
    }

    /// What it says when it is not there.
    pub(super) fn unavailable() -> Reply {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        api(Err(with_status(status, "temporarily_unavailable", "The server cannot answer now.")))
    }
}

/// The name of the provider, to which its metadata and its redirects are held.
fn issuer(house: &House) -> String {
    format!("{}{PREFIX}", house.origin)
}

/// RFC 8414 §2.
fn metadata(house: &House) -> Value {
    let issuer = issuer(house);
    let at = |path: &str| format!("{issuer}{path}");
    json!({
        "issuer": issuer,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "device_authorization_endpoint": at("/device_authorization"),
        "revocation_endpoint": at("/revoke"),
        "introspection_endpoint": at("/introspect"),
        "scopes_supported": SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported":
            ["authorization_code", "refresh_token", "client_credentials", token::DEVICE_GRANT],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    })
}

/// What an endpoint for clients answers. A 401 names the way to authenticate, whichever way was tried.
fn api(outcome: Result<Value, Refusal>) -> Reply {
    let mut reply = wire::json(outcome);
    reply.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    if reply.status() == StatusCode::UNAUTHORIZED {
        reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"acme\""));
    }
    reply
}

/// 200 and nothing else, as RFC 7009 §2.2 has it.
fn empty() -> Reply {
    let mut reply = Response::new(Bytes::new());
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// The answer to a consent form that is out of date.
fn nothing_asked() -> Reply {
    let text = "This page was answered already or waited too long. Start again.";
    page::notice(StatusCode::BAD_REQUEST, "Nothing is asked here", text)
}

/// The scopes of a request that has not been granted any yet.
fn asked(text: Option<&str>) -> Result<Vec<String>, Refusal> {
    scopes(text.unwrap_or(DEFAULT_SCOPE)).ok_or_else(|| invalid_scope("A scope is unknown."))
}

/// The scopes in a text, each once; absent where one is unknown, or none is there.
fn scopes(text: &str) -> Option<Vec<String>> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
        if !SCOPES.contains(&scope) {
            return None;
        }
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    (!scopes.is_empty()).then_some(scopes)
}
