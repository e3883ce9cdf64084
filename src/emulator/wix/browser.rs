//! What Wix shows in a browser: the two installers and the login of a headless site, each with a consent page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::AUTHORIZATION;
use ring::hmac;
use serde_json::{Value, json};
use url::Url;

use super::Wix;
use super::ledger::{Code, Identity, Login};
use super::refusal::{invalid_client, unauthenticated, violation};
use super::token::not_json;
use crate::emulator::page::{self, Consent};
use crate::emulator::state::House;
use crate::emulator::wire::{Call, Refusal, Reply, is_challenge, redirect, redirect_address, with_query};
use crate::model::Response;

/// What a page asks.
#[derive(Debug, Clone)]
pub(super) enum Question {
    /// The installer of today; absent where the browser stays.
    Install(Option<Url>),
    /// The legacy installer, and the `state` it was given.
    Legacy(Url, Option<String>),
    /// The login of a headless site.
    Login(Url, Login),
}

impl Question {
    fn redirect(&self) -> Option<&Url> {
        match self {
            Self::Install(url) => url.as_ref(),
            Self::Legacy(url, _) | Self::Login(url, _) => Some(url),
        }
    }
}

/// Answers `GET /app-installer`.
pub(super) fn install(wix: &mut Wix, call: &Call, house: &mut House) -> Reply {
    let address = call.query.get("postInstallationUrl");
    let url = address.and_then(redirect_address);
    if call.query.get("appId") != Some(&wix.client_id) || address.is_some() != url.is_some() {
        return not_found("We couldn't find this app");
    }
    ask(wix, Question::Install(url), call, house)
}

/// Answers `GET /installer/install`.
pub(super) fn install_legacy(wix: &mut Wix, call: &Call, house: &mut House) -> Reply {
    let url = call.query.get("redirectUrl").and_then(redirect_address);
    match url.filter(|_| call.query.get("appId") == Some(&wix.client_id)) {
        Some(url) => ask(wix, Question::Legacy(url, call.query.get("state").map(str::to_owned)), call, house),
        None => not_found("We couldn't find an app with this redirect url"),
    }
}

/// Answers `POST /_api/redirects-api/v1/redirect-session`: a visitor's token for the address of a login page.
pub(super) fn open_session(wix: &mut Wix, call: &Call, house: &mut House) -> Result<Value, Refusal> {
    let access = wix.ledger.identify(call.header(AUTHORIZATION), call.now).ok_or_else(unauthenticated)?;
    if !matches!(access.subject.identity, Identity::Visitor | Identity::Member) {
        return Err(unauthenticated());
    }
    let body = call.json().ok_or_else(not_json)?;
    let request = body.get("auth").and_then(|auth| auth.get("authRequest")).and_then(Value::as_object);
    let request = Response::from_map(request.ok_or_else(|| violation("auth.authRequest", "is required"))?.clone());
    if request.text("clientId") != Some(&wix.client_id) {
        return Err(invalid_client());
    }
    let redirect_uri = request.text("redirectUri").ok_or_else(|| violation("redirectUri", "must not be empty"))?;
    let challenge = request.text("codeChallenge").filter(|challenge| is_challenge(challenge));
    let challenge = challenge.ok_or_else(|| violation("codeChallenge", "must be the challenge of a verifier"))?;
    if request.text("codeChallengeMethod") != Some("S256") {
        return Err(violation("codeChallengeMethod", "must be S256"));
    }
    let login = Login {
        redirect_uri: redirect_uri.to_owned(),
        challenge: challenge.to_owned(),
        offline: request.text("scope").unwrap_or_default().split_whitespace().any(|scope| scope == "offline_access"),
        state: request.text("state").map(str::to_owned),
        fragment: request.text("responseMode") == Some("fragment"),
    };
    let id = wix.sessions.file(login, call.now, &mut house.random);
    let full = format!("{}{}/oauth2/authorize-headless?session={id}", house.origin, call.prefix);
    Ok(json!({ "redirectSession": { "id": id, "fullUrl": full, "urlDetails": { "endpoint": full } } }))
}

/// Answers `GET /oauth2/authorize-headless`, the address that a session was given.
pub(super) fn log_in(wix: &mut Wix, call: &Call, house: &mut House) -> Reply {
    let Some(login) = call.query.get("session").and_then(|id| wix.sessions.look(id, call.now)).cloned() else {
        return not_found("This session is over");
    };
    match redirect_address(&login.redirect_uri) {
        Some(url) => ask(wix, Question::Login(url, login), call, house),
        // An address that Wix does not know never sees an answer.
        None => page::notice(StatusCode::BAD_REQUEST, "Invalid redirect URI", "The address is not registered."),
    }
}

fn ask(wix: &mut Wix, question: Question, call: &Call, house: &mut House) -> Reply {
    if house.options.auto_approve {
        return allow(wix, question, call, house);
    }
    let wish = match &question {
        Question::Install(_) | Question::Legacy(..) => {
            format!("The app {} is to be installed on the site {}.", wix.client_id, wix.site_id)
        }
        Question::Login(..) => format!("The client {} is to act for member {}.", wix.client_id, wix.member_id),
    };
    let id = wix.desk.file(question.clone(), call.now, &mut house.random);
    page::consent(&Consent {
        provider: "Wix",
        wish: &wish,
        scopes: &[],
        code: None,
        action: format!("{}/consent", call.prefix),
        id: &id,
        redirect: question.redirect(),
    })
}

/// Answers the form of a consent page.
pub(super) fn decide(wix: &mut Wix, call: &Call, house: &mut House) -> Reply {
    let form = call.form();
    match (form.get("consent").and_then(|id| wix.desk.take(id, call.now)), form.get("decision")) {
        (Some(question), Some("allow")) => allow(wix, question, call, house),
        (Some(Question::Login(url, login)), _) => {
            let members =
                [("error", Some("access_denied")), ("error_description", Some("The user denied the request"))];
            back(&url, &members, &login)
        }
        (Some(_), _) => page::notice(StatusCode::OK, "Not installed", "The app was not installed."),
        (None, _) => page::notice(
            StatusCode::BAD_REQUEST,
            "Nothing is asked here",
            "This page was answered already or waited too long. Start again.",
        ),
    }
}

fn allow(wix: &mut Wix, question: Question, call: &Call, house: &mut House) -> Reply {
    let instance = wix.instance_id.clone();
    match question {
        Question::Install(None) => {
            let text = format!("Its instance is {instance}. This page can be closed.");
            page::notice(StatusCode::OK, "The app is installed", &text)
        }
        Question::Install(Some(url)) => {
            let signed = signed_instance(wix, call);
            redirect(&with_query(
                &url,
                &[
                    ("appId", Some(&wix.client_id)),
                    ("tenantId", Some(&wix.site_id)),
                    ("instanceId", Some(&instance)),
                    ("signedInstance", Some(&signed)),
                ],
            ))
        }
        Question::Legacy(url, state) => {
            let code = file_code(wix, "OAUTH2.", None, call, house);
            let members = [("code", Some(&*code)), ("instanceId", Some(&*instance)), ("state", state.as_deref())];
            redirect(&with_query(&url, &members))
        }
        Question::Login(url, login) => {
            let code = file_code(wix, "", Some(login.clone()), call, house);
            back(&url, &[("code", Some(&*code))], &login)
        }
    }
}

fn file_code(wix: &mut Wix, prefix: &str, login: Option<Login>, call: &Call, house: &mut House) -> String {
    let code = house.random.text(prefix, 48);
    wix.ledger.codes.insert(code.clone(), Code { issued_at: call.now, login });
    code
}

/// Sends the browser back from a login, in the way that was asked for.
fn back(url: &Url, members: &[(&str, Option<&str>)], login: &Login) -> Reply {
    let state = [("state", login.state.as_deref())];
    if !login.fragment {
        return redirect(&with_query(&with_query(url, members), &state));
    }
    let mut bare = url.clone();
    bare.set_query(None);
    let answer = with_query(&with_query(&bare, members), &state);
    let mut url = url.clone();
    url.set_fragment(answer.query());
    redirect(&url)
}

/// `<signature>.<data>`: HMAC-SHA-256 of the encoded data under the application's secret.
fn signed_instance(wix: &Wix, call: &Call) -> String {
    let data = json!({
        "instanceId": wix.instance_id,
        "appDefId": wix.client_id,
        "signDate": call.now.to_string(),
        "permissions": "OWNER",
        "siteOwnerId": wix.member_id,
    });
    let data = URL_SAFE_NO_PAD.encode(data.to_string());
    let key = hmac::Key::new(hmac::HMAC_SHA256, wix.client_secret.as_bytes());
    format!("{}.{data}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, data.as_bytes())))
}

fn not_found(text: &str) -> Reply {
    page::notice(StatusCode::NOT_FOUND, "Wix cannot go on", text)
}
