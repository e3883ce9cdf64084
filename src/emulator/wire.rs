//! What the providers need to read a request and to write an answer. Knows none of them.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method, Response, StatusCode};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};
use url::{Host, Url};

use crate::model;

/// An answer, whole.
pub(super) type Reply = Response<Bytes>;

/// A request, apart from the provider's prefix.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// The method.
    pub(super) method: &'a Method,
    /// `/square`, `/wix`, `/acme` or nothing: what links on pages begin with.
    pub(super) prefix: &'a str,
    /// The path after the prefix.
    pub(super) path: &'a str,
    /// The query.
    pub(super) query: Fields,
    /// The headers.
    pub(super) headers: &'a HeaderMap,
    /// The body.
    pub(super) body: &'a [u8],
    /// When it came, in whole seconds, as all the providers' times are.
    pub(super) now: Timestamp,
}

impl Call<'_> {
    /// A header that is text.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the body is declared as `media_type`, parameters aside.
    pub(super) fn is_declared(&self, media_type: &str) -> bool {
        let declared = self.header(CONTENT_TYPE).unwrap_or_default();
        declared.split(';').next().is_some_and(|declared| declared.trim().eq_ignore_ascii_case(media_type))
    }

    /// The body as one JSON object.
    pub(super) fn json(&self) -> Option<model::Response> {
        model::Response::parse(self.body).ok()
    }

    /// The body as a form.
    pub(super) fn form(&self) -> Fields {
        Fields::parse(self.body)
    }
}

/// The members of a query or a form.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `a=b&c=d`. Anything is some query: there are no errors.
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    /// The first member of that name; empty counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether there is no member at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of a member that is there more than once.
    pub(super) fn repeated(&self) -> Option<&str> {
        let mut seen = HashSet::new();
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !seen.insert(*name))
    }

    /// The name of a member without a value.
    pub(super) fn blank(&self) -> Option<&str> {
        self.0.iter().find(|(_, value)| value.is_empty()).map(|(name, _)| name.as_str())
    }

    /// The members as an object of strings.
    pub(super) fn into_object(self) -> model::Response {
        let members: Map<String, Value> = self.0.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
        model::Response::from_map(members)
    }
}

/// A refusal: its status and its body.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The status.
    pub(super) status: StatusCode,
    /// The body, in the provider's shape.
    pub(super) body: Value,
}

/// What a JSON endpoint answers.
pub(super) fn json(outcome: Result<Value, Refusal>) -> Reply {
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => (refusal.status, refusal.body),
    };
    let mut reply = Response::new(Bytes::from(body.to_string()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// Sends the browser on.
pub(super) fn redirect(to: &Url) -> Reply {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = StatusCode::FOUND;
    // A parsed address is ASCII without control characters: it always is a header value.
    if let Ok(location) = HeaderValue::from_str(to.as_str()) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// An address that every provider would take as a redirect: `https`, or `http` to this machine, no fragment.
pub(super) fn redirect_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| url.fragment().is_none())?;
    let acceptable = match (url.scheme(), url.host()?) {
        ("https", _) => true,
        ("http", Host::Domain(name)) => name == "localhost",
        ("http", Host::Ipv4(address)) => address.is_loopback(),
        ("http", Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    acceptable.then_some(url)
}

/// `address` with members added to its query, what it had kept.
pub(super) fn with_query(address: &Url, members: &[(&str, Option<&str>)]) -> Url {
    let mut url = address.clone();
    for (name, value) in members {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    url
}

/// The S256 challenge of a verifier (RFC 7636 §4.2).
pub(super) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// Whether a text can be an S256 challenge: 32 bytes in URL-safe base64.
pub(super) fn is_challenge(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_https_and_this_machine_as_redirect_addresses() {
        for good in ["http://localhost:8917/callback", "http://127.0.0.1/", "http://[::1]:1/x", "https://a.example/"] {
            assert!(redirect_address(good).is_some(), "{good}");
        }
        for bad in ["http://a.example/", "myapp://x", "javascript:alert(1)", "", "/x", "https://a.example/#f"] {
            assert!(redirect_address(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn gives_the_challenge_of_the_rfcs_appendix_b() {
        let challenge = challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(is_challenge(&challenge) && !is_challenge("short"));
    }

    #[test]
    fn keeps_the_query_that_an_address_has() {
        let address = Url::parse("http://localhost/cb?state=1").unwrap();
        let url = with_query(&address, &[("code", Some("a b")), ("state2", None)]);
        assert_eq!(url.as_str(), "http://localhost/cb?state=1&code=a+b");
    }
}
