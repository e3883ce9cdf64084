//! Square: its application and merchant, the routes, the consent page, revocation and status.

mod ledger;
mod refusal;
#[cfg(test)]
mod tests;
mod token;

use http::header::{ALLOW, AUTHORIZATION, HeaderValue};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use url::Url;

use self::ledger::{Code, Ledger};
use self::refusal::{invalid, legacy, not_authorized, unauthorized};
use super::page::{self, Consent};
use super::random::Random;
use super::state::{Desk, House};
use super::wire::{self, Call, Refusal, Reply, is_challenge, redirect_address, with_query};
use crate::model::Response;

/// The registered redirect address: where the browser goes when the request names none.
const DEFAULT_REDIRECT: &str = "http://localhost:8917/callback";
const DEFAULT_SCOPES: &str = "MERCHANT_PROFILE_READ PAYMENTS_READ SETTLEMENTS_READ BANK_ACCOUNTS_READ";

/// Square, as far as one application and one merchant see it.
#[derive(Debug)]
pub(super) struct Square {
    client_id: String,
    client_secret: String,
    merchant_id: String,
    /// An access token of the time before refresh tokens.
    old_token: String,
    ledger: Ledger,
    desk: Desk<Question>,
}

/// An authorization request that waits for the merchant.
#[derive(Debug)]
struct Question {
    redirect: Url,
    redirect_uri: Option<String>,
    scopes: Vec<String>,
    challenge: Option<String>,
    state: Option<String>,
}

impl Square {
    /// Invents the application and the merchant, who has allowed it long ago.
    pub(super) fn new(random: &mut Random, now: jiff::Timestamp) -> Self {
        let old_token = random.text("sq0atp-", 22);
        let mut ledger = Ledger::default();
        ledger.adopt(old_token.clone(), scopes(DEFAULT_SCOPES), now);
        Self {
            client_id: random.text("sq0idp-", 22),
            client_secret: random.text("sq0csp-", 43),
            merchant_id: random.capitals("ML"),
            old_token,
            ledger,
            desk: Desk::new(),
        }
    }

    /// What a client has to know.
    pub(super) fn environment(&self, origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("TOKMAN_SQUARE_BASE_URL", format!("{origin}/square")),
            ("TOKMAN_SQUARE_CLIENT_ID", self.client_id.clone()),
            ("TOKMAN_SQUARE_CLIENT_SECRET", self.client_secret.clone()),
            ("TOKMAN_EMULATOR_SQUARE_OLD_TOKEN", self.old_token.clone()),
        ]
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, call: &Call, house: &mut House) -> Reply {
        let renewed = call
            .path
            .strip_prefix("/oauth2/clients/")
            .and_then(|rest| rest.strip_suffix("/access-token/renew"))
            .filter(|id| !id.is_empty() && !id.contains('/'));
        let method = match call.path {
            "/oauth2/authorize" => Method::GET,
            "/oauth2/token" | "/oauth2/token/status" | "/oauth2/revoke" | "/consent" => Method::POST,
            _ if renewed.is_some() => Method::POST,
            _ => return wire::json(Err(legacy(StatusCode::NOT_FOUND, "Not Found", "not_found"))),
        };
        if *call.method != method {
            let refusal = legacy(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", "method_not_allowed");
            let mut reply = wire::json(Err(refusal));
            if let Ok(allowed) = HeaderValue::from_str(method.as_str()) {
                reply.headers_mut().insert(ALLOW, allowed);
            }
            return reply;
        }
        match (call.path, renewed) {
            ("/oauth2/authorize", _) => self.authorize(call, house),
            ("/consent", _) => self.decide(call, house),
            ("/oauth2/token", _) => wire::json(token::obtain(self, call, house)),
            ("/oauth2/token/status", _) => wire::json(self.status(call)),
            (_, Some(id)) => wire::json(token::renew(self, id, call, house)),
            _ => wire::json(self.revoke(call)),
        }
    }

    /// What Square says when it is not there.
    pub(super) fn unavailable() -> Reply {
        wire::json(Err(legacy(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", "service_unavailable")))
    }

    fn authorize(&mut self, call: &Call, house: &mut House) -> Reply {
        let question = match self.read_question(call) {
            Ok(question) => question,
            Err(text) => return page::notice(StatusCode::BAD_REQUEST, "Square cannot go on", &text),
        };
        if house.options.auto_approve {
            return self.allow(question, call, house);
        }
        let (redirect, scopes) = (question.redirect.clone(), question.scopes.clone());
        let id = self.desk.file(question, call.now, &mut house.random);
        page::consent(&Consent {
            provider: "Square",
            wish: &format!("The application {} asks merchant {} for:", self.client_id, self.merchant_id),
            scopes: &scopes,
            code: None,
            action: format!("{}/consent", call.prefix),
            id: &id,
            redirect: Some(&redirect),
        })
    }

    fn read_question(&self, call: &Call) -> Result<Question, String> {
        let query = |name| call.query.get(name).map(str::to_owned);
        let wrong = |name: &str| format!("Invalid value for parameter `{name}`");
        if call.query.get("client_id") != Some(&self.client_id) {
            return Err("Unable to find client by that `client_id`".to_owned());
        }
        let redirect_uri = query("redirect_uri");
        let redirect = redirect_address(redirect_uri.as_deref().unwrap_or(DEFAULT_REDIRECT));
        let redirect = redirect.ok_or_else(|| wrong("redirect_uri"))?;
        let scopes = scopes(call.query.get("scope").unwrap_or(DEFAULT_SCOPES));
        let is_scope = |scope: &String| scope.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !scopes.iter().all(is_scope) {
            return Err(wrong("scope"));
        }
        let challenge = query("code_challenge");
        if challenge.as_deref().is_some_and(|challenge| !is_challenge(challenge)) {
            return Err(wrong("code_challenge"));
        }
        Ok(Question { redirect, redirect_uri, scopes, challenge, state: query("state") })
    }

    fn decide(&mut self, call: &Call, house: &mut House) -> Reply {
        let form = call.form();
        let question = form.get("consent").and_then(|id| self.desk.take(id, call.now));
        match (question, form.get("decision")) {
            (Some(question), Some("allow")) => self.allow(question, call, house),
            (Some(question), _) => wire::redirect(&with_query(
                &question.redirect,
                &[
                    ("error", Some("access_denied")),
                    ("error_description", Some("user_denied")),
                    ("state", question.state.as_deref()),
                ],
            )),
            (None, _) => page::notice(
                StatusCode::BAD_REQUEST,
                "Nothing is asked here",
                "This page was answered already or waited too long. Start the authorization again.",
            ),
        }
    }

    fn allow(&mut self, question: Question, call: &Call, house: &mut House) -> Reply {
        let name = house.random.text("sq0cgp-", 22);
        let location = with_query(
            &question.redirect,
            &[("code", Some(&name)), ("response_type", Some("code")), ("state", question.state.as_deref())],
        );
        let Question { scopes, redirect_uri, challenge, .. } = question;
        let code = Code { scopes, redirect_uri, challenge, issued_at: call.now, claimed: false };
        self.ledger.codes.insert(name, code);
        wire::redirect(&location)
    }

    /// Checks `Authorization: Client <secret>`, which only revoking and renewing use.
    fn check_client_header(&self, call: &Call) -> Result<(), Refusal> {
        let secret = call.header(AUTHORIZATION).and_then(|value| value.strip_prefix("Client "));
        let secret = secret.ok_or_else(|| {
            legacy(StatusCode::BAD_REQUEST, "bad authorization header", "bad_request.invalid_parameter")
        })?;
        if secret.trim() == self.client_secret { Ok(()) } else { Err(not_authorized()) }
    }

    fn revoke(&mut self, call: &Call) -> Result<Value, Refusal> {
        self.check_client_header(call)?;
        let body = call.json().ok_or_else(|| invalid("EXPECTED_JSON_BODY", "Expected a JSON object as body.", None))?;
        if text(&body, "client_id")?.is_some_and(|id| id != self.client_id) {
            return Err(not_authorized());
        }
        let only = body.truth("revoke_only_access_token") == Some(true);
        match (text(&body, "access_token")?, text(&body, "merchant_id")?) {
            (Some(token), None) => {
                let access = self.ledger.access.get_mut(token).filter(|access| !access.revoked);
                let access = access.ok_or_else(token_not_found)?;
                if only {
                    access.revoked = true;
                } else {
                    self.ledger.revoke_merchant();
                }
            }
            (None, Some(merchant)) if merchant == self.merchant_id => self.ledger.revoke_merchant(),
            (None, Some(_)) => return Err(legacy(StatusCode::NOT_FOUND, "merchant not found", "not_found")),
            _ => {
                let message = "one of either 'access_token' or 'merchant_id' is required";
                return Err(legacy(StatusCode::BAD_REQUEST, message, "bad_request.missing_parameter"));
            }
        }
        Ok(json!({ "success": true }))
    }

    fn status(&self, call: &Call) -> Result<Value, Refusal> {
        let token = call.header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let unknown = || unauthorized("UNAUTHORIZED", "This request could not be authorized.");
        let access = token.and_then(|token| self.ledger.access.get(token.trim())).ok_or_else(unknown)?;
        if access.revoked {
            return Err(unauthorized("ACCESS_TOKEN_REVOKED", "The provided access token is revoked."));
        }
        if access.expires_at <= call.now {
            return Err(unauthorized("ACCESS_TOKEN_EXPIRED", "The provided access token has expired."));
        }
        Ok(json!({
            "scopes": access.scopes,
            "expires_at": access.expires_at.to_string(),
            "client_id": self.client_id,
            "merchant_id": self.merchant_id,
        }))
    }
}

fn scopes(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A member that has to be a string where it is there; empty counts as absent.
fn text<'a>(body: &'a Response, name: &str) -> Result<Option<&'a str>, Refusal> {
    match body.get(name) {
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        None => Ok(None),
        Some(_) => Err(invalid("INVALID_VALUE", &format!("Invalid value for parameter '{name}'"), Some(name))),
    }
}

fn token_not_found() -> Refusal {
    legacy(StatusCode::NOT_FOUND, "access token not found", "not_found")
}
