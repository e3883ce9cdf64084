//! What can be asked about a token and done to it afterwards: revocation (RFC 7009) and introspection (RFC 7662).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{self, Client, need};
use super::ledger::Family;
use super::refusal::{invalid_client, unauthorized_client};
use super::{OAuth2, issuer};
use crate::emulator::state::House;
use crate::emulator::wire::{Call, Refusal};

/// Answers `POST /revoke`. A refresh token takes its whole family with it, an access token goes alone; what is unknown
/// is as good as revoked. A wrong hint changes nothing.
pub(super) fn revoke(acme: &mut OAuth2, call: &Call) -> Result<(), Refusal> {
    let (form, client) = client::read(acme, call)?;
    let token = need(&form, "token")?;
    let ledger = &mut acme.ledger;
    let refresh = ledger.refresh.get(token).map(|refresh| refresh.family);
    let family = refresh.or_else(|| ledger.access.get(token).map(|access| access.family));
    let Some((id, family)) = family.and_then(|id| Some((id, ledger.family(id)?))) else {
        return Ok(());
    };
    if family.client != client {
        return Err(unauthorized_client("The token was issued to another client."));
    }
    if refresh.is_some() {
        ledger.end(id);
    } else {
        ledger.access.remove(token);
    }
    Ok(())
}

/// Answers `POST /introspect`, for the client that can prove itself, about the tokens of both.
pub(super) fn introspect(acme: &OAuth2, call: &Call, house: &House) -> Result<Value, Refusal> {
    let (form, client) = client::read(acme, call)?;
    if client == Client::Public {
        return Err(invalid_client("Introspection is for clients with a secret."));
    }
    let token = need(&form, "token")?;
    let describe = |family: &Family, scopes: &[String], issued_at: Timestamp| {
        json!({
            "active": true,
            "scope": scopes.join(" "),
            "client_id": acme.clients.id(family.client),
            "sub": family.subject,
            "iss": issuer(house),
            "iat": issued_at.as_second(),
        })
    };
    if let Some((access, family)) = acme.ledger.living_access(token, call.now) {
        let mut body = describe(family, &access.scopes, access.issued_at);
        body["token_type"] = "Bearer".into();
        body["exp"] = access.expires_at.as_second().into();
        return Ok(body);
    }
    let refresh = acme.ledger.living_refresh(token);
    Ok(refresh.map_or_else(
        || json!({ "active": false }),
        |(refresh, family)| describe(family, &family.scopes, refresh.issued_at),
    ))
}
