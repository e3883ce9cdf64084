//! What Square answers when it does not say no: tokens, revocation and token status.

use jiff::Timestamp;
use serde_json::Value;

use super::refusal::{Said, refused};
use crate::model::{Token, lifetime};
use crate::provider::answer::{self, Before, Granted};
use crate::provider::{HttpResponse, Inspection, ProviderError, Reply};

pub(super) fn read_token(answer: &HttpResponse, sent: Timestamp, mut before: Before) -> Result<Token, ProviderError> {
    let response = answer::object(answer, None)?;
    let status = answer.status();
    // Square's own schema has `errors` in a 200 as well.
    if !status.is_success() || (Said::read(&response).is_some() && !answer::has_token(&response)) {
        return Err(refused(status, &response));
    }
    let granted = Granted::find(&response, status)?;
    let expires_at = lifetime::end_of(&response, granted.access.expose(), sent, answer::clock_error(answer, sent));
    let refresh_expires_at = response.get("refresh_token_expires_at").and_then(lifetime::instant);
    if let Some(merchant) = response.text("merchant_id") {
        before.account = Some(merchant.to_owned());
    }
    Ok(before.then(granted, expires_at, refresh_expires_at, response))
}

pub(super) fn read_revocation(answer: &HttpResponse) -> Result<Reply, ProviderError> {
    let response = answer::object(answer, None)?;
    let status = answer.status();
    let said = Said::read(&response);
    let (code, message) = said.as_ref().map_or(("", ""), |said| (said.code.as_str(), said.message.as_str()));
    let is_gone = matches!(code, "not_found" | "NOT_FOUND") || message == "access token not found";
    let note = match (status.as_u16(), code) {
        (200..300, _) if response.truth("success").unwrap_or(said.is_none()) => None,
        (404, _) if is_gone => Some("Square does not know it any more: it counts as revoked"),
        (401, "oauth.revoked" | "ACCESS_TOKEN_REVOKED") => Some("it was revoked already: it counts as revoked"),
        _ => return Err(refused(status, &response)),
    };
    Ok(Reply { response, note: note.map(str::to_owned) })
}

pub(super) fn read_status(answer: &HttpResponse, client_id: &str) -> Result<Inspection, ProviderError> {
    let response = answer::object(answer, None)?;
    let status = answer.status();
    let said = Said::read(&response);
    if status.is_success() && said.is_none() {
        let foreign = response.text("client_id").is_some_and(|id| id != client_id);
        let scopes = response.get("scopes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        return Ok(Inspection {
            active: true,
            account: response.text("merchant_id").map(str::to_owned),
            scopes: scopes.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            expires_at: response.get("expires_at").and_then(lifetime::instant),
            note: foreign.then(|| "Square says that it belongs to another application".to_owned()),
        });
    }
    // Nothing but the token itself is shown here: a 401 is about it, unless the application is named.
    let note = match (status.as_u16(), said.as_ref().map_or("", |said| said.code.as_str())) {
        (401, "ACCESS_TOKEN_REVOKED" | "oauth.revoked") => "Square says that it was revoked",
        (401, "ACCESS_TOKEN_EXPIRED" | "oauth.expired") => "Square says that it has expired",
        (401, "UNAUTHORIZED" | "unauthorized" | "service.not_authorized") => {
            "Square does not accept it: it has expired, was revoked or belongs to the other environment"
        }
        _ => return Err(refused(status, &response)),
    };
    let note = Some(note.to_owned());
    Ok(Inspection { active: false, account: None, scopes: Vec::new(), expires_at: None, note })
}
