//! A form-encoded body (RFC 6749 §3.2, appendix B) and how the application shows who it is in it or beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::config::ClientAuth;
use crate::model::Secret;
use crate::provider::{ProviderError, secret_header};

/// The parameters of a request: none empty, none twice.
#[derive(Default)]
pub(super) struct Form {
    pairs: Vec<(&'static str, Secret)>,
    secrets: Vec<Secret>,
}

impl Form {
    /// Adds a parameter. One without a value is as good as absent (RFC 6749 §3.2), and the first of two counts.
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() && self.pairs.iter().all(|(known, _)| *known != name) {
            self.pairs.push((name, Secret::new(value)));
        }
    }

    /// Adds a parameter whose value is to be masked wherever the provider repeats it, as it is or as it was sent.
    pub(super) fn secret(&mut self, name: &'static str, value: &Secret) {
        self.set(name, value.expose());
        self.secrets.extend(value.form_encoded());
        self.secrets.push(value.clone());
    }

    /// A POST of this form by an application, which shows who it is in one way (RFC 6749 §2.3); and the secrets in it.
    ///
    /// # Errors
    /// Never in practice: what is base64 can travel in a header.
    pub(super) fn post(
        mut self,
        endpoint: &Url,
        client_id: &str,
        client_auth: &Authentication<'_>,
    ) -> Result<(Request<Bytes>, Vec<Secret>), ProviderError> {
        let mut request = Request::new(Bytes::new());
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        match client_auth {
            Authentication::Basic(secret) => {
                let credentials = basic(client_id, secret);
                let value = secret_header("client secret", &format!("Basic {}", credentials.expose()))?;
                headers.insert(header::AUTHORIZATION, value);
                self.secrets.extend(secret.form_encoded());
                self.secrets.extend([(*secret).clone(), credentials]);
            }
            Authentication::Post(secret) => {
                self.set("client_id", client_id);
                self.secret("client_secret", secret);
            }
            Authentication::None => self.set("client_id", client_id),
        }
        let mut body = Serializer::new(String::new());
        body.extend_pairs(self.pairs.iter().map(|(name, value)| (name, value.expose())));
        *request.body_mut() = Bytes::from(body.finish());
        *request.method_mut() = Method::POST;
        // An address that was checked is one.
        *request.uri_mut() = endpoint.as_str().parse().unwrap_or_default();
        Ok((request, self.secrets))
    }
}

/// How a request shows who sends it.
pub(super) enum Authentication<'a> {
    /// With the secret, in the header.
    Basic(&'a Secret),
    /// With the secret, in the body.
    Post(&'a Secret),
    /// With the identifier alone.
    None,
}

impl<'a> Authentication<'a> {
    /// The way and the secret for it; `None` where it needs one and there is none.
    pub(super) fn of(client_auth: ClientAuth, secret: Option<&'a Secret>) -> Option<Self> {
        match client_auth {
            ClientAuth::Basic => secret.map(Self::Basic),
            ClientAuth::Post => secret.map(Self::Post),
            ClientAuth::None => Some(Self::None),
        }
    }
}

/// `base64(form(id) ":" form(secret))` (RFC 6749 §2.3.1): each is form-encoded first, so that a colon in the
/// identifier does not end it.
fn basic(client_id: &str, secret: &Secret) -> Secret {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = zeroize::Zeroizing::new(format!("{}:{}", encode(client_id), encode(secret.expose())));
    Secret::new(STANDARD.encode(pair.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_encodes_identifier_and_secret_before_base64() {
        let encoded = STANDARD.decode(basic("a b:c", &Secret::new("p%+&é")).expose()).unwrap();
        assert_eq!(String::from_utf8(encoded).unwrap(), "a+b%3Ac:p%25%2B%26%C3%A9");
    }

    #[test]
    fn sends_no_parameter_twice_and_none_that_is_empty() {
        let mut form = Form::default();
        form.set("scope", "");
        form.set("grant_type", "refresh_token");
        form.set("grant_type", "password");
        form.secret("refresh_token", &Secret::new("a b&c=d"));
        let endpoint: Url = "https://a.example/token?tenant=1".parse().unwrap();
        let (request, secrets) = form.post(&endpoint, "id", &Authentication::None).unwrap();
        assert_eq!(request.body(), "grant_type=refresh_token&refresh_token=a+b%26c%3Dd&client_id=id");
        assert_eq!(request.uri(), "https://a.example/token?tenant=1");
        assert_eq!(request.method(), Method::POST);
        assert!(secrets == [Secret::new("a+b%26c%3Dd"), Secret::new("a b&c=d")]);
    }
}
