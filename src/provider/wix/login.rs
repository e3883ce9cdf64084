//! The browser's part of Wix: where an install or a login begins, and what comes back with the redirect
//! (dev.wix.com, "About the External Install Flow", "Custom Authentication", "Wix-Managed Login").

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, header};
use ring::hmac;
use serde_json::json;
use url::Url;

use super::refusal::accepted;
use crate::model::{Grant, Replay, Response, Secret};
use crate::provider::body::Body;
use crate::provider::{
    Application, Exchange, HttpResponse, Login, Need, ProviderError, Redirect, RefusalClass, answer, post_json,
    secret_header, under,
};

/// A page of the installer. It is not on the API's host; wherever the API is somewhere else, the pages are there too.
fn page(application: &Application, path: &str) -> Url {
    let mut address = under(&application.base_url, path);
    if application.base_url.host_str() == Some("www.wixapis.com") {
        // Both are https addresses with a host: this cannot be refused.
        let _ = address.set_host(Some("www.wix.com"));
    }
    address
}

/// The external install flow. It has no `state` of its own, but keeps the query of the address it returns to.
pub(super) fn install_page(application: &Application, login: &Login) -> Url {
    let mut back = login.redirect_uri.clone();
    back.query_pairs_mut().append_pair("state", login.state.expose());
    let mut address = page(application, "/app-installer");
    address
        .query_pairs_mut()
        .append_pair("appId", &application.client_id)
        .append_pair("postInstallationUrl", back.as_str());
    address
}

/// The consent page of custom authentication, begun outside of Wix and so without its `token`.
pub(super) fn legacy_page(application: &Application, login: &Login) -> Url {
    let mut address = page(application, "/installer/install");
    address
        .query_pairs_mut()
        .append_pair("redirectUrl", login.redirect_uri.as_str())
        .append_pair("appId", &application.client_id)
        .append_pair("state", login.state.expose());
    address
}

/// Asks for a redirect session as a visitor; it is answered with the address of the login.
///
/// # Errors
/// [`ProviderError::NotSendable`] for a visitor's token that cannot travel in a header.
pub(super) fn open_session(
    application: &Application,
    login: &Login,
    challenge: &str,
    visitor: &Secret,
) -> Result<Exchange<Url>, ProviderError> {
    let mut scopes = login.scopes.clone();
    // Without it there is no refresh token.
    if !scopes.iter().any(|scope| scope == "offline_access") {
        scopes.push("offline_access".to_owned());
    }
    let mut body = Body::default();
    body.set(
        "auth",
        json!({
            "authRequest": {
                "redirectUri": login.redirect_uri.as_str(),
                "clientId": application.client_id,
                "codeChallenge": challenge,
                "codeChallengeMethod": "S256",
                "responseMode": "query",
                "responseType": "code",
                "scope": scopes.join(" "),
                "state": login.state.expose(),
            },
            "prompt": "login",
        }),
    );
    let (mut request, mut secrets): (Request<Bytes>, _) =
        post_json(application, "/_api/redirects-api/v1/redirect-session", body);
    request.headers_mut().insert(header::AUTHORIZATION, secret_header("access token", visitor.expose())?);
    secrets.extend([visitor.clone(), login.state.clone()]);
    let base_url = application.base_url.clone();
    Ok(Exchange::new(request, Replay::Safe, secrets, move |answer, _| read_session(answer, &base_url)))
}

fn read_session(answer: &HttpResponse, base_url: &Url) -> Result<Url, ProviderError> {
    let response = accepted(answer).map_err(explain_session)?;
    let unusable =
        |why: &str| ProviderError::Unusable { status: answer.status().as_u16(), why: why.to_owned(), refresh: None };
    let address = response
        .get("redirectSession")
        .and_then(|session| session.get("fullUrl")?.as_str())
        .ok_or_else(|| unusable("there is no address of a login in it"))?;
    let address = Url::parse(address).map_err(|_| unusable("the address of the login is none"))?;
    let is_safe = address.scheme() == "https" || address.origin() == base_url.origin();
    if is_safe && address.has_host() { Ok(address) } else { Err(unusable("the address of the login is not https")) }
}

fn explain_session(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::Refused(mut refusal) if refusal.class == RefusalClass::Other => {
            refusal.hint = Some(
                "the site has to be published, and the redirect address to be among the allowed ones of the headless \
                 settings, letter for letter"
                    .to_owned(),
            );
            ProviderError::Refused(refusal)
        }
        other => other,
    }
}

/// The instance that an install ended with. What Wix signed counts; an unsigned one is taken where nothing is signed.
///
/// # Errors
/// No instance, or one that its signature does not bear out.
pub(super) fn installed_instance(application: &Application, redirect: &Redirect) -> Result<String, ProviderError> {
    let said = redirect.get("instanceId").map(Secret::expose);
    let signed = match redirect.get("signedInstance") {
        Some(signed) => signed_instance(application, signed.expose())?,
        None => None,
    };
    match (said, signed) {
        (Some(said), Some(signed)) if !said.eq_ignore_ascii_case(&signed) => {
            Err(forged("the instance id is not the one that Wix signed"))
        }
        (_, Some(signed)) => Ok(signed),
        (said, None) => match said {
            Some(said) => Ok(said.to_owned()),
            None => answer::required(redirect, "instanceId").map(|value| value.expose().to_owned()),
        },
    }
}

/// The instance id in `<signature>.<data>`: HMAC-SHA-256 of the data as it came, keyed with the app's secret. Some
/// apps are said to get a JWT of three parts instead, which only a public key of theirs could check: it says nothing.
fn signed_instance(application: &Application, signed: &str) -> Result<Option<String>, ProviderError> {
    let Some((signature, data)) = signed.split_once('.') else {
        return Err(forged("the signed instance has no signature"));
    };
    if data.contains('.') {
        return Ok(None);
    }
    let secret = application.client_secret.as_ref().ok_or_else(|| ProviderError::Missing {
        need: Need::ClientSecret,
        why: "the app's secret is needed to check the instance that Wix signed".to_owned(),
    })?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part.trim_end_matches('='));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let is_genuine = decode(signature).is_ok_and(|tag| hmac::verify(&key, data.as_bytes(), &tag).is_ok());
    if !is_genuine {
        return Err(forged("the signed instance does not match the app's secret"));
    }
    let instance = decode(data).ok().and_then(|data| Response::parse(&data).ok());
    let id = instance.as_ref().and_then(|instance| instance.text("instanceId"));
    id.map(|id| Some(id.to_owned())).ok_or_else(|| forged("the signed instance names no instance"))
}

fn forged(why: &str) -> ProviderError {
    answer::refused_redirect(RefusalClass::Other, None, &format!("the redirect cannot be trusted: {why}"))
}

/// The grant of custom authentication: a code, and the instance it is for.
///
/// # Errors
/// No code.
pub(super) fn legacy_grant(redirect: &Redirect) -> Result<Grant, ProviderError> {
    Ok(Grant::Code {
        code: answer::required(redirect, "code")?.clone(),
        redirect_uri: None,
        code_verifier: None,
        account: redirect.get("instanceId").map(|instance| instance.expose().to_owned()),
    })
}
