//! `POST /token`: the four grants. Codes and devices bring a refresh token whether or not `offline_access` was asked
//! for; every refresh replaces it, and a second use of one ends its family (RFC 9700 §4.14.2).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{self, Client, need};
use super::ledger::Family;
use super::refusal::{invalid_grant, invalid_request, invalid_scope, refused, unauthorized_client};
use super::{OAuth2, device, scopes};
use crate::emulator::state::House;
use crate::emulator::wire::{Call, Fields, Refusal, challenge};

/// The grant type of RFC 8628.
pub(super) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Answers the request.
pub(super) fn obtain(acme: &mut OAuth2, call: &Call, house: &mut House) -> Result<Value, Refusal> {
    let (form, client) = client::read(acme, call)?;
    match need(&form, "grant_type")? {
        "authorization_code" => exchange(acme, &form, client, call.now, house),
        "refresh_token" => refresh(acme, &form, client, call.now, house),
        "client_credentials" => client_credentials(acme, &form, client, call.now, house),
        DEVICE_GRANT => {
            let scopes = device::poll(acme, need(&form, "device_code")?, client, call.now, house)?;
            let family = found(acme, client, scopes.clone());
            Ok(answer(acme, family, scopes, true, call.now, house))
        }
        _ => Err(refused("unsupported_grant_type", "The grant type is not supported.")),
    }
}

fn exchange(
    acme: &mut OAuth2,
    form: &Fields,
    client: Client,
    now: Timestamp,
    house: &mut House,
) -> Result<Value, Refusal> {
    let (name, redirect_uri) = (need(form, "code")?, need(form, "redirect_uri")?);
    let verifier = need(form, "code_verifier")?;
    if !is_verifier(verifier) {
        return Err(invalid_request("The code_verifier is not 43 to 128 unreserved characters."));
    }
    let code = acme.ledger.claim(name, client, now);
    let code = code.ok_or_else(|| invalid_grant("The code is unknown, was used already or is past its end."))?;
    if code.redirect_uri != redirect_uri {
        return Err(invalid_grant("The redirect_uri is not the one of the authorization request."));
    }
    if challenge(verifier) != code.challenge {
        return Err(invalid_grant("The code_verifier does not belong to the code_challenge."));
    }
    let family = found(acme, client, code.scopes.clone());
    if let Some(code) = acme.ledger.codes.get_mut(name) {
        code.family = Some(family);
    }
    Ok(answer(acme, family, code.scopes, true, now, house))
}

fn refresh(
    acme: &mut OAuth2,
    form: &Fields,
    client: Client,
    now: Timestamp,
    house: &mut House,
) -> Result<Value, Refusal> {
    let dead = || invalid_grant("The refresh token is unknown, spent or revoked.");
    let refresh = acme.ledger.refresh.get(need(form, "refresh_token")?).ok_or_else(dead)?;
    let (id, spent) = (refresh.family, refresh.spent);
    let family = acme.ledger.family(id).filter(|family| family.client == client).ok_or_else(dead)?;
    if spent {
        acme.ledger.end(id);
        return Err(invalid_grant("The refresh token was used before: all tokens of its authorization have ended."));
    }
    let granted = match form.get("scope") {
        None => family.scopes.clone(),
        Some(asked) => scopes(asked)
            .filter(|asked| asked.iter().all(|scope| family.scopes.contains(scope)))
            .ok_or_else(|| invalid_scope("The scope is wider than what was granted."))?,
    };
    if let Some(refresh) = form.get("refresh_token").and_then(|token| acme.ledger.refresh.get_mut(token)) {
        refresh.spent = true;
    }
    Ok(answer(acme, id, granted, true, now, house))
}

fn client_credentials(
    acme: &mut OAuth2,
    form: &Fields,
    client: Client,
    now: Timestamp,
    house: &mut House,
) -> Result<Value, Refusal> {
    if client == Client::Public {
        return Err(unauthorized_client("A client without a secret cannot act for itself."));
    }
    let scopes = super::asked(form.get("scope"))?;
    let subject = acme.clients.id(client).to_owned();
    let family = acme.ledger.found(Family { client, subject, scopes: scopes.clone() });
    Ok(answer(acme, family, scopes, false, now, house))
}

/// Begins what the person has allowed.
fn found(acme: &mut OAuth2, client: Client, scopes: Vec<String>) -> u64 {
    let subject = acme.user_id.clone();
    acme.ledger.found(Family { client, subject, scopes })
}

fn answer(
    acme: &mut OAuth2,
    family: u64,
    scopes: Vec<String>,
    refreshable: bool,
    now: Timestamp,
    house: &mut House,
) -> Value {
    let scope = scopes.join(" ");
    let (token, life) = acme.ledger.mint(family, scopes, now, house);
    let mut body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": life });
    if refreshable {
        body["refresh_token"] = acme.ledger.mint_refresh(family, now, &mut house.random).into();
    }
    body["scope"] = scope.into();
    body
}

/// RFC 7636 §4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}
