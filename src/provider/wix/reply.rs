//! What Wix answers when it does not say no: tokens, token-info and revocation, in whichever spelling it chose.

use http::StatusCode;
use jiff::Timestamp;

use super::refusal::accepted;
use super::{LEGACY_LIFE, kind_of};
use crate::config::WixMode;
use crate::model::response::ResponseError;
use crate::model::{Response, Token, lifetime};
use crate::provider::answer::{self, Before, Granted};
use crate::provider::{HttpResponse, Inspection, ProviderError, RefusalClass, Reply};

pub(super) fn read_token(answer: &HttpResponse, sent: Timestamp, mut before: Before) -> Result<Token, ProviderError> {
    let response = accepted(answer)?;
    let granted = Granted::find(&response, answer.status())?;
    let access = granted.access.expose();
    let is_legacy = before.kind == kind_of(WixMode::Legacy);

    let camel = response.get("expiresIn").and_then(lifetime::seconds).and_then(|secs| lifetime::after(sent, secs));
    let default = if is_legacy { lifetime::after(sent, LEGACY_LIFE) } else { None };
    let end = lifetime::end_of(&response, access, sent, answer::clock_error(answer, sent));
    let expires_at = [end, camel].into_iter().flatten().min().or(default);
    if is_legacy && before.account.is_none() {
        before.account = claimed_instance(access);
    }
    Ok(before.then(granted, expires_at, None, response))
}

/// The instance in a token's own claims: `data` is an object written as a string.
fn claimed_instance(access_token: &str) -> Option<String> {
    let claims = lifetime::claims(access_token)?;
    let data = Response::parse(claims.text("data")?.as_bytes()).ok()?;
    data.get("instance")?.get("instanceId")?.as_str().filter(|id| !id.is_empty()).map(str::to_owned)
}

/// Reads the answer of token-info, whose numbers and truths come as strings too.
pub(super) fn read_info(answer: &HttpResponse, client_id: &str) -> Result<Inspection, ProviderError> {
    let status = answer.status();
    let is_about_token = status.is_client_error() && !answer::is_passing(status) && !is_page(answer);
    if is_about_token {
        // What Wix answers for a dead token is not documented; there is nothing but the token to say no to.
        let note = format!("Wix does not accept it (HTTP {})", status.as_u16());
        return Ok(Inspection { active: false, account: None, scopes: Vec::new(), expires_at: None, note: Some(note) });
    }
    let response = accepted(answer)?;
    let active = response.truth("active").ok_or_else(|| ProviderError::Unusable {
        status: status.as_u16(),
        why: "it does not say whether the token is active".to_owned(),
        refresh: None,
    })?;
    let foreign = response.text("clientId").is_some_and(|id| id != client_id);
    Ok(Inspection {
        active,
        account: response.text("instanceId").map(str::to_owned),
        scopes: Vec::new(),
        expires_at: response.get("exp").and_then(lifetime::instant),
        note: foreign.then(|| "Wix says that it belongs to another client id".to_owned()),
    })
}

/// Whether an answer was written by something in between: the edge's page, or a refusal that is not JSON.
fn is_page(answer: &HttpResponse) -> bool {
    let is_edge = matches!(answer.status(), StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED);
    let start = answer.body().iter().find(|byte| !byte.is_ascii_whitespace());
    start == Some(&b'<') || (is_edge && Response::parse(answer.body()).is_err())
}

pub(super) fn read_revocation(answer: &HttpResponse, end_of_access: &str) -> Result<Reply, ProviderError> {
    let response = match accepted(answer) {
        Ok(response) => response,
        Err(ProviderError::NoAnswer { status: 200..300, why: ResponseError::Empty }) => Response::default(),
        Err(error) => return unknown_to_wix(answer, error),
    };
    let note = format!(
        "Wix took the refresh token back. Its revocation endpoint is undocumented, and the access token may work \
         {end_of_access}"
    );
    Ok(Reply { response, note: Some(note) })
}

/// A 400 or 404 from the revocation: most likely the refresh token is dead already. That is said, not promised.
fn unknown_to_wix(answer: &HttpResponse, error: ProviderError) -> Result<Reply, ProviderError> {
    let status = answer.status();
    let is_unknown = matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND)
        && error.class() != Some(RefusalClass::Application);
    // A field that Wix finds fault with is a fault of the request, not a word on the token.
    let is_fault = |response: &Response| response.get("details").is_some_and(|d| d.get("validationError").is_some());
    match Response::parse(answer.body()) {
        Ok(response) if is_unknown && !is_fault(&response) => Ok(Reply { response, note: Some(unknown_note(status)) }),
        Err(ResponseError::Empty) if is_unknown => {
            Ok(Reply { response: Response::default(), note: Some(unknown_note(status)) })
        }
        _ => Err(error),
    }
}

fn unknown_note(status: StatusCode) -> String {
    format!(
        "Wix no longer knows this refresh token (HTTP {}): it counts as revoked, though the endpoint is undocumented \
         and Wix does not say more",
        status.as_u16()
    )
}
