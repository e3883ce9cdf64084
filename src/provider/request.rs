//! What the providers' requests share: a POST under a base address, a header that is not shown. It knows no provider.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use serde_json::Value;
use url::Url;

use super::body::Body;
use super::{Application, ProviderError};
use crate::model::Secret;

/// A POST of a JSON body to `path` under the application's base address, and the secrets in it.
pub(super) fn post_json(application: &Application, path: &str, body: Body) -> (Request<Bytes>, Vec<Secret>) {
    let (members, secrets) = body.into_parts();
    let mut request = post(application, path, Bytes::from(Value::Object(members).to_string()));
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (request, secrets)
}

/// A POST of `body` to `path` under the application's base address, asking for JSON.
pub(super) fn post(application: &Application, path: &str, body: Bytes) -> Request<Bytes> {
    let address = format!("{}{path}", application.base_url.as_str().trim_end_matches('/'));
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    // A base address that was checked, and a path of ours or percent-encoded: this is an address.
    *request.uri_mut() = address.parse().unwrap_or_default();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request
}

/// A header value that is not shown by anything that formats the request.
///
/// # Errors
/// [`ProviderError::NotSendable`] for a value with a line break or the like in it.
pub(super) fn secret_header(what: &'static str, value: &str) -> Result<HeaderValue, ProviderError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| ProviderError::NotSendable(what))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The address of `path` under a base address.
pub(super) fn under(base_url: &Url, path: &str) -> Url {
    let mut address = base_url.clone();
    address.set_path(&format!("{}{path}", base_url.path().trim_end_matches('/')));
    address
}
