//! `POST /oauth2/token`: a code, a refresh token or an old access token for a new access token.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::refusal::{dead_token, invalid, legacy, missing, missing_legacy, not_authorized, unauthorized};
use super::{DEFAULT_REDIRECT, Square, text};
use crate::emulator::state::House;
use crate::emulator::wire::{Call, Refusal, challenge};
use crate::model::Response;

/// The members of a request, of every grant.
struct Ask<'a> {
    client_id: &'a str,
    client_secret: Option<&'a str>,
    code: Option<&'a str>,
    code_verifier: Option<&'a str>,
    redirect_uri: Option<&'a str>,
    refresh_token: Option<&'a str>,
    migration_token: Option<&'a str>,
    /// Absent: all that were authorized.
    scopes: Option<Vec<&'a str>>,
    short_lived: bool,
}

/// What a grant turned out to be good for.
struct Granted {
    scopes: Vec<String>,
    refresh_token: String,
}

/// Answers the request.
pub(super) fn obtain(square: &mut Square, call: &Call, house: &mut House) -> Result<Value, Refusal> {
    if !call.is_declared("application/json") {
        return Err(invalid("INVALID_CONTENT_TYPE", "Content-Type must be application/json.", None));
    }
    let body = call.json().ok_or_else(|| invalid("EXPECTED_JSON_BODY", "Expected a JSON object as body.", None))?;
    let ask = read(&body)?;
    let granted = match text(&body, "grant_type")?.ok_or_else(|| missing_legacy("grant_type"))? {
        "authorization_code" => claim_code(square, &ask, call.now, house)?,
        "refresh_token" => refresh(square, &ask, call.now, house)?,
        "migration_token" => migrate(square, &ask, call.now, house)?,
        _ => return Err(invalid("INVALID_VALUE", "Invalid value for parameter 'grant_type'", Some("grant_type"))),
    };
    Ok(answer(square, &ask, granted, call.now, house))
}

fn read(body: &Response) -> Result<Ask<'_>, Refusal> {
    let client_id = text(body, "client_id")?.ok_or_else(|| missing_legacy("client_id"))?;
    let wrong = |name: &str| invalid("INVALID_VALUE", &format!("Invalid value for parameter '{name}'"), Some(name));
    let scopes = match body.get("scopes") {
        None => None,
        Some(Value::Array(items)) => {
            let scopes: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            Some(scopes.ok_or_else(|| wrong("scopes"))?)
        }
        Some(_) => return Err(wrong("scopes")),
    };
    let short_lived = match body.get("short_lived") {
        None => false,
        Some(value) => value.as_bool().ok_or_else(|| wrong("short_lived"))?,
    };
    Ok(Ask {
        client_id,
        client_secret: text(body, "client_secret")?,
        code: text(body, "code")?,
        code_verifier: text(body, "code_verifier")?,
        redirect_uri: text(body, "redirect_uri")?,
        refresh_token: text(body, "refresh_token")?,
        migration_token: text(body, "migration_token")?,
        scopes,
        short_lived,
    })
}

/// Checks the application; without a secret only its name.
fn authenticate(square: &Square, ask: &Ask) -> Result<(), Refusal> {
    let is_known = ask.client_id == square.client_id;
    let is_proven = ask.client_secret.is_none_or(|secret| secret == square.client_secret);
    if is_known && is_proven { Ok(()) } else { Err(not_authorized()) }
}

fn claim_code(square: &mut Square, ask: &Ask, now: Timestamp, house: &mut House) -> Result<Granted, Refusal> {
    if ask.client_secret.is_some() && ask.code_verifier.is_some() {
        return Err(conflicting());
    }
    if ask.client_secret.is_none() && ask.code_verifier.is_none() {
        return Err(missing("client_secret"));
    }
    authenticate(square, ask)?;
    let name = ask.code.ok_or_else(|| missing_legacy("code"))?;
    let not_found = format!("Authorization code not found for app {}", ask.client_id);
    let not_found = || unauthorized("UNAUTHORIZED", &not_found);
    let code = square.ledger.code(name, now).ok_or_else(not_found)?;
    if code.claimed {
        return Err(unauthorized("UNAUTHORIZED", "Authorization code is already claimed"));
    }
    match (code.redirect_uri.as_deref(), ask.redirect_uri) {
        (Some(_), None) => return Err(missing("redirect_uri")),
        (Some(sent), Some(repeated)) if sent != repeated => return Err(not_found()),
        (None, Some(repeated)) if repeated != DEFAULT_REDIRECT => return Err(not_found()),
        _ => {}
    }
    match (code.challenge.as_deref(), ask.code_verifier) {
        (Some(_), None) => return Err(missing("code_verifier")),
        (None, Some(_)) => return Err(missing("client_secret")),
        (Some(expected), Some(verifier)) if challenge(verifier) != expected => return Err(not_found()),
        _ => {}
    }
    code.claimed = true;
    let (scopes, pkce) = (code.scopes.clone(), code.challenge.is_some());
    let refresh_token = square.ledger.authorize(scopes.clone(), pkce, now, house);
    Ok(Granted { scopes, refresh_token })
}

fn refresh(square: &mut Square, ask: &Ask, now: Timestamp, house: &mut House) -> Result<Granted, Refusal> {
    let token = ask.refresh_token.ok_or_else(|| missing_legacy("refresh_token"))?;
    authenticate(square, ask)?;
    let known = square.ledger.living_refresh(token, now).ok_or_else(|| dead_token("Invalid refresh token"))?.clone();
    match (known.pkce, ask.client_secret) {
        (false, None) => return Err(missing("client_secret")),
        (true, Some(_)) => return Err(conflicting()),
        _ => {}
    }
    let refresh_token = square.ledger.succeed(token, now, house);
    Ok(Granted { scopes: known.scopes, refresh_token })
}

fn migrate(square: &mut Square, ask: &Ask, now: Timestamp, house: &mut House) -> Result<Granted, Refusal> {
    if ask.client_secret.is_none() {
        return Err(missing("client_secret"));
    }
    let token = ask.migration_token.ok_or_else(|| missing_legacy("migration_token"))?;
    authenticate(square, ask)?;
    let access = square.ledger.access.get(token).filter(|access| !access.revoked && now < access.expires_at);
    let scopes = access.ok_or_else(|| dead_token("Invalid migration token"))?.scopes.clone();
    let refresh_token = square.ledger.authorize(scopes.clone(), false, now, house);
    Ok(Granted { scopes, refresh_token })
}

fn answer(square: &mut Square, ask: &Ask, granted: Granted, now: Timestamp, house: &mut House) -> Value {
    let mut scopes = granted.scopes;
    if let Some(wanted) = &ask.scopes {
        scopes.retain(|scope| wanted.contains(&scope.as_str()));
    }
    let (access_token, expires_at) = square.ledger.mint(scopes, ask.short_lived, now, house);
    let ends = square.ledger.refresh.get(&granted.refresh_token).and_then(|refresh| refresh.expires_at);
    let mut body = json!({
        "access_token": access_token,
        "token_type": "bearer",
        "expires_at": expires_at.to_string(),
        "merchant_id": square.merchant_id,
        "refresh_token": granted.refresh_token,
        "short_lived": ask.short_lived,
    });
    if let Some(ends) = ends {
        body["refresh_token_expires_at"] = ends.to_string().into();
    }
    body
}

fn conflicting() -> Refusal {
    invalid("CONFLICTING_PARAMETERS", "'client_secret' does not go with PKCE: send one or the other", None)
}

/// The retired way to a new access token: the old one is shown, and no refresh token comes back.
pub(super) fn renew(square: &mut Square, id: &str, call: &Call, house: &mut House) -> Result<Value, Refusal> {
    /// Seconds past its end for which a token could be renewed.
    const GRACE: i64 = 15 * 86_400;
    square.check_client_header(call)?;
    if id != square.client_id {
        return Err(not_authorized());
    }
    let body = call.json().unwrap_or_default();
    let token = text(&body, "access_token")?.ok_or_else(|| missing_legacy("access_token"))?;
    let refused = |message| legacy(StatusCode::BAD_REQUEST, message, "bad_request");
    let access = square.ledger.access.get(token).ok_or_else(super::token_not_found)?;
    if access.revoked {
        return Err(refused("cannot renew revoked token"));
    }
    if call.now.as_second() - access.expires_at.as_second() > GRACE {
        return Err(refused("cannot renew expired token"));
    }
    let scopes = access.scopes.clone();
    let (access_token, expires_at) = square.ledger.mint(scopes, false, call.now, house);
    Ok(json!({
        "access_token": access_token,
        "token_type": "bearer",
        "expires_at": expires_at.to_string(),
        "merchant_id": square.merchant_id,
    }))
}
