//! The endpoints that hand out, describe and end tokens: `/oauth/access` of the legacy flow, and `/oauth2/…`.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Wix;
use super::ledger::{ACCESS_LIFE, Identity, LEGACY_LIFE, Login, Refresh, Subject, bare};
use super::refusal::{application, invalid_client, invalid_grant, oauth, violation};
use crate::emulator::random::is_guid;
use crate::emulator::state::House;
use crate::emulator::wire::{Call, Refusal, challenge};
use crate::model::Response;

/// Answers `POST /oauth/access`: JSON in snake case only, and exactly two members out.
pub(super) fn legacy(wix: &mut Wix, call: &Call, house: &mut House) -> Result<Value, Refusal> {
    let body = call.json().ok_or_else(not_json)?;
    let need = |name| body.text(name).ok_or_else(|| violation(name, "must not be empty"));
    let grant_type = need("grant_type")?;
    authenticate(wix, need("client_id")?, Some(need("client_secret")?))?;
    let subject = Subject { identity: Identity::App, id: wix.instance_id.clone() };
    let refresh_token = match grant_type {
        "authorization_code" => {
            let code = wix.ledger.claim(need("code")?, call.now).filter(|code| code.login.is_none());
            code.ok_or_else(|| invalid_grant("the authorization code is invalid or was used already"))?;
            wix.ledger.mint_refresh(Refresh { subject: subject.clone(), legacy: true }, call.now, &mut house.random)
        }
        "refresh_token" => {
            let token = need("refresh_token")?;
            let known = wix.ledger.refresh.get(token).filter(|refresh| refresh.legacy);
            known.ok_or_else(|| invalid_grant("the refresh token is invalid"))?;
            wix.ledger.succeed(token, call.now, house)
        }
        _ => return Err(oauth("unsupported_grant_type", "the grant type is not supported")),
    };
    let data = wix.claims(&subject, call.now);
    let (access_token, _) = wix.ledger.mint("OAUTH2.", LEGACY_LIFE, &subject, &data, call.now, house);
    Ok(json!({ "access_token": access_token, "refresh_token": refresh_token }))
}

/// Answers `POST /oauth2/token`: JSON or a form, snake or camel case.
pub(super) fn obtain(wix: &mut Wix, call: &Call, house: &mut House) -> Result<Value, Refusal> {
    let body = if call.is_declared("application/x-www-form-urlencoded") {
        call.form().into_object()
    } else {
        call.json().ok_or_else(not_json)?
    };
    match either(&body, "grant_type", "grantType")? {
        "client_credentials" => client_credentials(wix, &body, call.now, house),
        "anonymous" => {
            authenticate(wix, either(&body, "client_id", "clientId")?, None)?;
            let subject = Subject { identity: Identity::Visitor, id: house.random.guid() };
            Ok(authorized(wix, &subject, true, call.now, house))
        }
        "authorization_code" => {
            authenticate(wix, either(&body, "client_id", "clientId")?, None)?;
            let login = claim_login(wix, &body, call.now)?;
            let subject = Subject { identity: Identity::Member, id: wix.member_id.clone() };
            Ok(authorized(wix, &subject, login.offline, call.now, house))
        }
        "refresh_token" => refresh(wix, &body, call.now, house),
        _ => Err(oauth("unsupported_grant_type", "the grant type is not supported")),
    }
}

fn client_credentials(wix: &mut Wix, body: &Response, now: Timestamp, house: &mut House) -> Result<Value, Refusal> {
    let secret = either(body, "client_secret", "clientSecret")?;
    authenticate(wix, either(body, "client_id", "clientId")?, Some(secret))?;
    let subject = match either(body, "instance_id", "instanceId") {
        Ok(instance) if instance == wix.instance_id => Subject { identity: Identity::App, id: instance.to_owned() },
        Ok(_) => {
            return Err(application(StatusCode::NOT_FOUND, "APP_NOT_FOUND", "app not found in any meta-site"));
        }
        Err(_) => Subject { identity: Identity::Admin, id: wix.client_id.clone() },
    };
    Ok(answer(wix, &subject, None, now, house))
}

fn claim_login(wix: &mut Wix, body: &Response, now: Timestamp) -> Result<Login, Refusal> {
    let code = body.text("code").ok_or_else(|| violation("code", "must not be empty"))?;
    let redirect_uri = either(body, "redirect_uri", "redirectUri")?;
    let verifier = either(body, "code_verifier", "codeVerifier")?;
    let login = wix.ledger.claim(code, now).and_then(|code| code.login);
    login
        .filter(|login| login.redirect_uri == redirect_uri && challenge(verifier) == login.challenge)
        .ok_or_else(|| invalid_grant("the authorization code is invalid or was used already"))
}

fn refresh(wix: &mut Wix, body: &Response, now: Timestamp, house: &mut House) -> Result<Value, Refusal> {
    // Clients exist that name themselves and clients that do not.
    if let Ok(client_id) = either(body, "client_id", "clientId") {
        authenticate(wix, client_id, None)?;
    }
    let token = either(body, "refresh_token", "refreshToken")?;
    let known = wix.ledger.refresh.get(token).filter(|refresh| !refresh.legacy);
    let subject = known.ok_or_else(|| invalid_grant("the refresh token is invalid or revoked"))?.subject.clone();
    let successor = wix.ledger.succeed(token, now, house);
    Ok(answer(wix, &subject, Some(successor), now, house))
}

fn authorized(wix: &mut Wix, subject: &Subject, offline: bool, now: Timestamp, house: &mut House) -> Value {
    let refresh = Refresh { subject: subject.clone(), legacy: false };
    let token = offline.then(|| wix.ledger.mint_refresh(refresh, now, &mut house.random));
    answer(wix, subject, token, now, house)
}

fn answer(wix: &mut Wix, subject: &Subject, refresh: Option<String>, now: Timestamp, house: &mut House) -> Value {
    let data = wix.claims(subject, now);
    let (token, life) = wix.ledger.mint("OauthNG.JWS.", ACCESS_LIFE, subject, &data, now, house);
    let mut body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": life });
    if let Some(refresh) = refresh {
        body["refresh_token"] = refresh.into();
    }
    body
}

/// Answers `POST /oauth2/token-info`, with the strings that Wix writes for times and truths. A token that has ended
/// is described as inactive; one that never was is refused.
pub(super) fn describe(wix: &Wix, call: &Call) -> Result<Value, Refusal> {
    let body = call.json().ok_or_else(not_json)?;
    let token = body.text("token").ok_or_else(|| violation("token", "must not be empty"))?;
    let access = wix.ledger.access.get(bare(token));
    let access =
        access.ok_or_else(|| application(StatusCode::BAD_REQUEST, "INVALID_TOKEN", "the token is not valid"))?;
    let is_active = call.now < access.expires_at;
    let mut info = json!({
        "active": if is_active { "true" } else { "false" },
        "subjectType": access.subject.identity.subject_type(),
        "subjectId": access.subject.id,
        "exp": access.expires_at.as_second().to_string(),
        "iat": access.issued_at.as_second().to_string(),
        "clientId": wix.client_id,
        "siteId": wix.site_id,
    });
    if access.subject.identity == Identity::App {
        info["instanceId"] = wix.instance_id.clone().into();
    }
    Ok(info)
}

/// Answers `POST /oauth2/revoke`: whoever has a refresh token may end it. The legacy flow's tokens have no such end.
pub(super) fn revoke(wix: &mut Wix, call: &Call) -> Result<Value, Refusal> {
    let body = call.json().ok_or_else(not_json)?;
    let token = body.text("token").ok_or_else(|| violation("token", "must not be empty"))?;
    let is_known = wix.ledger.refresh.get(token).is_some_and(|refresh| !refresh.legacy);
    if !is_known {
        return Err(invalid_grant("the refresh token is invalid or revoked"));
    }
    wix.ledger.refresh.remove(token);
    Ok(json!({}))
}

/// Checks the application; without a secret only its name, which is all that a public client has.
fn authenticate(wix: &Wix, client_id: &str, secret: Option<&str>) -> Result<(), Refusal> {
    if !is_guid(client_id) {
        let message = "appRuntimeKeys [at index 0] is invalid: appId is not a valid GUID";
        return Err(application(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message));
    }
    let is_known = client_id == wix.client_id && secret.is_none_or(|secret| secret == wix.client_secret);
    if is_known { Ok(()) } else { Err(invalid_client()) }
}

/// A member under either of its two spellings.
fn either<'a>(body: &'a Response, snake: &str, camel: &str) -> Result<&'a str, Refusal> {
    body.text(snake).or_else(|| body.text(camel)).ok_or_else(|| violation(camel, "must not be empty"))
}

/// A body that is not a JSON object.
pub(super) fn not_json() -> Refusal {
    violation("body", "must be a JSON object")
}
