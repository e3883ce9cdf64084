//! The browser's part: where a login begins (RFC 6749 §4.1.1, RFC 7636 §4.3), and whether what comes back is its.

use url::Url;

use super::Server;
use crate::provider::{Login, ProviderError, Redirect, RefusalClass, answer};

/// The address of an authorization request. An endpoint may have a query of its own, which is kept (RFC 6749 §3.1);
/// no parameter comes twice and none is empty.
pub(super) fn address(endpoint: &Url, client_id: &str, login: &Login) -> Url {
    let scope = login.scopes.join(" ");
    let mut ours = vec![
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", login.redirect_uri.as_str()),
        ("scope", scope.as_str()),
        ("state", login.state.expose()),
    ];
    if let Some(challenge) = &login.code_challenge {
        ours.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
    }
    let theirs: Vec<(String, String)> =
        endpoint.query_pairs().into_owned().filter(|(name, _)| ours.iter().all(|(known, _)| known != name)).collect();
    ours.retain(|(_, value)| !value.is_empty());
    let mut address = endpoint.clone();
    address.query_pairs_mut().clear().extend_pairs(theirs).extend_pairs(ours);
    address
}

/// Whether a redirect comes from the issuer that the login went to (RFC 9207 §2.4).
///
/// # Errors
/// Another issuer, or none where this one always names itself.
pub(super) fn check_issuer(server: &Server, redirect: &Redirect) -> Result<(), ProviderError> {
    let Some(issuer) = &server.issuer else { return Ok(()) };
    let refuse = |why: &str| Err(answer::refused_redirect(RefusalClass::Other, None, why));
    match redirect.get("iss") {
        Some(said) if said.expose() == issuer => Ok(()),
        Some(_) => refuse("the redirect comes from another issuer than the login went to (iss, RFC 9207)"),
        None if server.metadata.names_itself => refuse(
            "the redirect does not name its issuer, which this one always does (iss, RFC 9207): the whole address is \
             needed, not the code alone",
        ),
        None => Ok(()),
    }
}
