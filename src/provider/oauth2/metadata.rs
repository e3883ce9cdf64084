//! What an issuer says of itself: where that is written, and what of it counts (RFC 8414, OpenID Connect Discovery).

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use serde_json::Value;
use url::Url;

use crate::config::{Endpoint, address};
use crate::model::{Replay, Response};
use crate::provider::{Exchange, HttpResponse, ProviderError, answer};

/// What an issuer says of itself, checked.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// Its endpoints: https, or http on loopback.
    pub endpoints: BTreeMap<Endpoint, Url>,
    /// Whether it names itself in every redirect (`authorization_response_iss_parameter_supported`, RFC 9207 §3).
    pub names_itself: bool,
    /// How applications may show who they are at the token endpoint; empty where it does not say.
    pub auth_methods: Vec<String>,
    /// All that it says, as it came.
    pub response: Response,
}

/// The addresses at which an issuer's metadata may be, in the order to ask: `/.well-known/oauth-authorization-server`
/// before the issuer's path (RFC 8414 §3.1), then `/.well-known/openid-configuration` after it (OpenID Connect
/// Discovery §4.1).
#[must_use]
pub fn addresses(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    [format!("/.well-known/oauth-authorization-server{path}"), format!("{path}/.well-known/openid-configuration")].map(
        |path| {
            let mut address = issuer.clone();
            address.set_path(&path);
            address
        },
    )
}

/// Asks for the metadata at one of the [`addresses`]; answered with `None` where there are none.
#[must_use]
pub fn ask(address: &Url, issuer: &str) -> Exchange<Option<Metadata>> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = Method::GET;
    // An address that was checked, with a path of ours: this is one.
    *request.uri_mut() = address.as_str().parse().unwrap_or_default();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let issuer = issuer.to_owned();
    Exchange::new(request, Replay::Safe, Vec::new(), move |answer, _| read(answer, &issuer))
}

/// The metadata in an answer. A page of a web application in their place is none.
fn read(answer: &HttpResponse, issuer: &str) -> Result<Option<Metadata>, ProviderError> {
    match answer::object(answer, None) {
        Ok(response) if answer.status().is_success() => parse(response, issuer).map(Some),
        Err(error @ ProviderError::Refused(_)) => Err(error),
        Ok(_) if answer::is_passing(answer.status()) => {
            Err(super::refusal::refused(answer.status(), &Response::default()))
        }
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Checks metadata, as they came or as they were kept.
///
/// # Errors
/// [`ProviderError::Setting`]: another issuer's (RFC 8414 §3.3), or an endpoint that is not safe to speak to.
pub fn parse(response: Response, issuer: &str) -> Result<Metadata, ProviderError> {
    let shown = |text: &str| crate::model::text::escape(text, 200);
    match response.text("issuer") {
        Some(said) if said == issuer => {}
        Some(said) => {
            return Err(ProviderError::Setting(format!(
                "the metadata of {issuer} are those of '{}': the issuer has to be given letter for letter (RFC 8414 §3.3)",
                shown(said)
            )));
        }
        None => {
            return Err(ProviderError::Setting(format!("the metadata of {issuer} name no issuer (RFC 8414 §3.3)")));
        }
    }
    let mut endpoints = BTreeMap::new();
    for endpoint in Endpoint::ALL {
        if let Some(text) = response.text(endpoint.name()) {
            let url = address::endpoint(text).map_err(|why| {
                let name = endpoint.name();
                ProviderError::Setting(format!("the metadata of {issuer} have a {name}, '{}', that {why}", shown(text)))
            })?;
            endpoints.insert(endpoint, url);
        }
    }
    let methods = response.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
    let auth_methods = methods.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(Metadata {
        endpoints,
        names_itself: response.truth("authorization_response_iss_parameter_supported") == Some(true),
        auth_methods,
        response,
    })
}

/// The error where none of the [`addresses`] has metadata.
#[must_use]
pub fn nowhere(issuer: &Url) -> ProviderError {
    let [one, other] = addresses(issuer);
    ProviderError::Setting(format!(
        "there are no metadata of the issuer at {one} nor at {other}: is the issuer right? Otherwise give token_endpoint and the other endpoints"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::RefusalClass;
    use crate::provider::recorded::{answer as answered, sent};

    const ISSUER: &str = "https://login.acme.example/tenant";

    fn asked(status: u16, body: &str) -> Result<Option<Metadata>, ProviderError> {
        let [first, _] = addresses(&ISSUER.parse().unwrap());
        ask(&first, ISSUER).split().2.read(&answered(status, body), sent())
    }

    #[test]
    fn builds_the_well_known_addresses_from_the_issuer() {
        for (issuer, oauth, openid) in [
            (
                "https://a.example",
                "https://a.example/.well-known/oauth-authorization-server",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/oauth-authorization-server",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "http://127.0.0.1:81/t/1",
                "http://127.0.0.1:81/.well-known/oauth-authorization-server/t/1",
                "http://127.0.0.1:81/t/1/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(addresses(&issuer.parse().unwrap()).map(String::from), [oauth, openid]);
        }
    }

    #[test]
    fn takes_the_endpoints_and_keeps_all_that_was_said() {
        let metadata = asked(
            200,
            r#"{"issuer":"https://login.acme.example/tenant","token_endpoint":"https://t.example/t","revocation_endpoint":null,
                "authorization_response_iss_parameter_supported":true,"token_endpoint_auth_methods_supported":["none"],"x":1}"#,
        )
        .unwrap()
        .unwrap();
        assert_eq!(metadata.endpoints.len(), 1);
        assert_eq!(metadata.endpoints[&Endpoint::Token].as_str(), "https://t.example/t");
        assert!(metadata.names_itself && metadata.auth_methods == ["none"]);
        assert!(metadata.response.get("x").is_some());
    }

    #[test]
    fn wants_the_issuer_to_be_identical() {
        for said in [
            r#""issuer":"https://login.acme.example/tenant/""#,
            r#""issuer":"https://LOGIN.acme.example/tenant""#,
            r#""issuer":"https://evil.example""#,
            r#""issuer":7"#,
            r#""issuers":[]"#,
        ] {
            let error = asked(200, &format!(r#"{{{said},"token_endpoint":"https://t.example"}}"#)).unwrap_err();
            assert!(matches!(&error, ProviderError::Setting(why) if why.contains("RFC 8414 §3.3")), "{said}: {error}");
        }
    }

    #[test]
    fn wants_every_endpoint_to_be_https_or_http_on_this_machine() {
        for endpoint in Endpoint::ALL {
            let with = |url: &str| asked(200, &format!(r#"{{"issuer":"{ISSUER}","{}":"{url}"}}"#, endpoint.name()));
            for bad in [
                "http://a.example/t",
                "http://127.0.0.1.evil.example/t",
                "ftp://a.example",
                "/t",
                "https://u@a.example",
            ] {
                let error = with(bad).unwrap_err();
                assert!(
                    matches!(&error, ProviderError::Setting(why) if why.contains(endpoint.name())),
                    "{bad}: {error}"
                );
            }
            assert!(with("http://127.0.0.1:5/t").is_ok() && with("https://a.example/t?x=1").is_ok());
        }
    }

    #[test]
    fn looks_elsewhere_where_there_are_none_and_not_where_the_issuer_is_down() {
        for (status, body) in [(404, ""), (404, "{}"), (200, "<html>"), (403, "<html>"), (302, ""), (200, "[]")] {
            assert!(asked(status, body).unwrap().is_none(), "{status} {body}");
        }
        for (status, body) in [(503, ""), (500, "{}"), (429, "<html>")] {
            assert_eq!(asked(status, body).unwrap_err().class(), Some(RefusalClass::Passing), "{status} {body}");
        }
    }
}
