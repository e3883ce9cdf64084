//! What an OAuth 2.0 provider answers when it does not say no: tokens, revocation and introspection.

use http::StatusCode;
use jiff::Timestamp;

use super::refusal::accepted;
use crate::model::{Response, Token, lifetime};
use crate::provider::answer::{self, Before, Granted};
use crate::provider::{HttpResponse, Inspection, ProviderError, RefusalClass, Reply};

/// What became of the scopes that were asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scopes {
    /// The answer says what was granted, or grants what was asked for (RFC 6749 §5.1).
    AsAnswered,
    /// The request narrowed them for this access token; the grant has all it had (RFC 6749 §6).
    Narrowed,
}

/// The token in an answer (RFC 6749 §5.1).
pub(super) fn read_token(
    answer: &HttpResponse,
    sent: Timestamp,
    mut before: Before,
    scopes: Scopes,
) -> Result<Token, ProviderError> {
    let response = accepted(answer)?;
    let granted = Granted::find(&response, answer.status()).map_err(|error| explain_type(error, &response))?;
    let clock_error = answer::clock_error(answer, sent);
    let expires_at = lifetime::end_of(&response, granted.access.expose(), sent, clock_error);
    // An OpenID provider says whose it is; it came straight from there, so nothing else need vouch for it.
    let claims = response.text("id_token").and_then(lifetime::claims);
    if let Some(subject) = claims.as_ref().and_then(|claims| claims.text("sub")) {
        before.account = Some(subject.to_owned());
    }
    let said = response.text("scope").map(split);
    let refresh_expires_at = refresh_end(&response, sent);
    let mut token = before.then(granted, expires_at, refresh_expires_at, response);
    if let (Some(said), Scopes::AsAnswered) = (said, scopes) {
        token.scopes = said;
    }
    Ok(token)
}

/// The scopes of a list with blanks (RFC 6749 §3.3).
fn split(scope: &str) -> Vec<String> {
    scope.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The end of the refresh token, which no RFC has a member for. Zero means that it has none.
fn refresh_end(response: &Response, sent: Timestamp) -> Option<Timestamp> {
    ["refresh_token_expires_in", "refresh_expires_in"]
        .iter()
        .find_map(|name| response.get(name).and_then(lifetime::seconds))
        .filter(|seconds| *seconds > 0)
        .and_then(|seconds| lifetime::after(sent, seconds))
}

/// A token of a type that tokman cannot use (RFC 6749 §7.1): says which.
fn explain_type(error: ProviderError, response: &Response) -> ProviderError {
    let Some(name) = response.text("token_type").filter(|name| !name.eq_ignore_ascii_case("bearer")) else {
        return error;
    };
    match error {
        ProviderError::Unusable { status, refresh, .. } => {
            let why = if name.eq_ignore_ascii_case("dpop") {
                "its tokens are bound to a key (token_type DPoP, RFC 9449), and tokman makes no proofs: have the \
                 provider issue bearer tokens to this application"
                    .to_owned()
            } else {
                format!("the token is of the type '{}', not 'bearer'", crate::model::text::escape(name, 40))
            };
            ProviderError::Unusable { status, why, refresh }
        }
        other => other,
    }
}

/// The answer to a revocation (RFC 7009 §2.2): what it says does not matter, and a token that the provider does not
/// know is revoked already.
pub(super) fn read_revocation(answer: &HttpResponse) -> Result<Reply, ProviderError> {
    let body = answer.body();
    let is_page = body.trim_ascii_start().starts_with(b"<");
    let response = Response::parse(body).unwrap_or_default();
    if answer.status().is_success() && !is_page && response.get("error").is_none() {
        return Ok(Reply { response, note: None });
    }
    if !answer::is_passing(answer.status()) && response.text("error") == Some("invalid_token") {
        let note = Some("the provider does not know it any more: it counts as revoked".to_owned());
        return Ok(Reply { response, note });
    }
    Err(match accepted(answer) {
        Ok(_) => ProviderError::Unusable {
            status: answer.status().as_u16(),
            why: "it does not say whether the token is revoked".to_owned(),
            refresh: None,
        },
        Err(error) => still_alive(error),
    })
}

/// A provider that cannot answer now has not revoked anything yet (RFC 7009 §2.2.1).
fn still_alive(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::Refused(mut refusal) if refusal.class == RefusalClass::Passing => {
            refusal.hint = Some("the token may still be alive: revoke it again later".to_owned());
            ProviderError::Refused(refusal)
        }
        ProviderError::Refused(mut refusal)
            if refusal.code.as_ref().is_some_and(|code| code.as_received() == "unsupported_token_type") =>
        {
            refusal.hint =
                Some("the provider does not revoke tokens of this sort: the token is still alive".to_owned());
            ProviderError::Refused(refusal)
        }
        other => other,
    }
}

/// The answer to an introspection (RFC 7662 §2.2).
pub(super) fn read_introspection(answer: &HttpResponse, client_id: &str) -> Result<Inspection, ProviderError> {
    let response = accepted(answer)?;
    let Some(active) = response.truth("active") else {
        return Err(ProviderError::Unusable {
            status: StatusCode::as_u16(&answer.status()),
            why: "it does not say whether the token is active".to_owned(),
            refresh: None,
        });
    };
    let foreign = active && response.text("client_id").is_some_and(|id| id != client_id);
    Ok(Inspection {
        active,
        account: response.text("sub").or_else(|| response.text("username")).map(str::to_owned),
        scopes: response.text("scope").map(split).unwrap_or_default(),
        expires_at: response.get("exp").and_then(lifetime::instant),
        note: foreign.then(|| "the provider says that it belongs to another application".to_owned()),
    })
}
