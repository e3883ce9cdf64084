//! Wix: its app with one instance on one site, the routes, and the instance itself.

mod browser;
mod ledger;
mod refusal;
#[cfg(test)]
mod tests;
mod token;

use http::header::{ALLOW, AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::browser::Question;
use self::ledger::{Identity, Ledger, Login, Subject};
use self::refusal::{application, unauthenticated};
use super::random::Random;
use super::state::{Desk, House};
use super::wire::{self, Call, Refusal, Reply};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-wix-request-id");

/// Wix, as far as one app and one site see it. The app's id is the headless client's too.
#[derive(Debug)]
pub(super) struct Wix {
    client_id: String,
    client_secret: String,
    instance_id: String,
    site_id: String,
    member_id: String,
    ledger: Ledger,
    desk: Desk<Question>,
    sessions: Desk<Login>,
}

impl Wix {
    /// Invents the app, the site and its member.
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            client_id: random.guid(),
            client_secret: random.guid(),
            instance_id: random.guid(),
            site_id: random.guid(),
            member_id: random.guid(),
            ledger: Ledger::default(),
            desk: Desk::new(),
            sessions: Desk::new(),
        }
    }

    /// What a client has to know.
    pub(super) fn environment(&self, origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("TOKMAN_WIX_BASE_URL", format!("{origin}/wix")),
            ("TOKMAN_WIX_CLIENT_ID", self.client_id.clone()),
            ("TOKMAN_WIX_CLIENT_SECRET", self.client_secret.clone()),
            ("TOKMAN_WIX_INSTANCE_ID", self.instance_id.clone()),
        ]
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, call: &Call, house: &mut House) -> Reply {
        let reply = self.route(call, house);
        identified(reply, call.now, &mut house.random)
    }

    /// What Wix says when it is not there.
    pub(super) fn unavailable(now: Timestamp, house: &mut House) -> Reply {
        let refusal = application(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "Service Unavailable");
        identified(wire::json(Err(refusal)), now, &mut house.random)
    }

    fn route(&mut self, call: &Call, house: &mut House) -> Reply {
        let method = match call.path {
            "/app-installer" | "/installer/install" | "/oauth2/authorize-headless" | "/apps/v1/instance" => Method::GET,
            "/oauth/access"
            | "/oauth2/token"
            | "/oauth2/token-info"
            | "/oauth2/revoke"
            | "/_api/redirects-api/v1/redirect-session"
            | "/redirect-session/v1/redirect-session"
            | "/consent" => Method::POST,
            _ => return wire::json(Err(application(StatusCode::NOT_FOUND, "NOT_FOUND", "Not Found"))),
        };
        if *call.method != method {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let mut reply = wire::json(Err(application(status, "METHOD_NOT_ALLOWED", "Method Not Allowed")));
            if let Ok(allowed) = HeaderValue::from_str(method.as_str()) {
                reply.headers_mut().insert(ALLOW, allowed);
            }
            return reply;
        }
        match call.path {
            "/app-installer" => browser::install(self, call, house),
            "/installer/install" => browser::install_legacy(self, call, house),
            "/oauth2/authorize-headless" => browser::log_in(self, call, house),
            "/consent" => browser::decide(self, call, house),
            "/apps/v1/instance" => wire::json(self.instance(call)),
            "/oauth/access" => wire::json(token::legacy(self, call, house)),
            "/oauth2/token" => wire::json(token::obtain(self, call, house)),
            "/oauth2/token-info" => wire::json(token::describe(self, call)),
            "/oauth2/revoke" => wire::json(token::revoke(self, call)),
            _ => wire::json(browser::open_session(self, call, house)),
        }
    }

    /// Answers `GET /apps/v1/instance`, for the app's own tokens only.
    fn instance(&self, call: &Call) -> Result<Value, Refusal> {
        let access = self.ledger.identify(call.header(AUTHORIZATION), call.now).ok_or_else(unauthenticated)?;
        if access.subject.identity != Identity::App {
            return Err(application(StatusCode::FORBIDDEN, "PERMISSION_DENIED", "forbidden"));
        }
        Ok(json!({
            "instance": {
                "instanceId": self.instance_id,
                "appName": "tokman emulator",
                "appVersion": "1.0.0",
                "isFree": true,
                "permissions": ["SCOPE.DC.MANAGE-YOUR-APP"],
                "availablePlans": [],
                "copiedFromTemplate": false,
                "freeTrialAvailable": false,
            },
            "site": {
                "siteId": self.site_id,
                "siteDisplayName": "Emulator Site",
                "locale": "en",
                "url": "https://emulator.example/",
                "description": "",
                "ownerEmail": "owner@emulator.example",
                "installedWixApps": [],
            },
        }))
    }

    /// What an access token says about itself.
    fn claims(&self, subject: &Subject, now: Timestamp) -> Value {
        match subject.identity {
            Identity::App => json!({
                "instance": {
                    "instanceId": self.instance_id,
                    "appDefId": self.client_id,
                    "metaSiteId": self.site_id,
                    "signDate": now.to_string(),
                },
            }),
            Identity::Admin => json!({ "appDefId": self.client_id }),
            Identity::Visitor => json!({ "visitor": { "id": subject.id }, "metaSiteId": self.site_id }),
            Identity::Member => json!({ "member": { "id": subject.id }, "metaSiteId": self.site_id }),
        }
    }
}

/// Names the request in the answer, as Wix does in every answer.
fn identified(mut reply: Reply, now: Timestamp, random: &mut Random) -> Reply {
    let id = format!("{}.{}", now.as_second(), random.text("", 20));
    if let Ok(id) = HeaderValue::from_str(&id) {
        reply.headers_mut().insert(REQUEST_ID, id);
    }
    reply
}
