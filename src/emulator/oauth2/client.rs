//! Who asks: the two clients, how each proves itself, and the strictness with which a form is read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use url::form_urlencoded;

use super::OAuth2;
use super::refusal::{invalid_client, invalid_request};
use crate::emulator::random::Random;
use crate::emulator::wire::{Call, Fields, Refusal};

/// A client that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// Has a secret.
    Confidential,
    /// Has none: an app on a person's device.
    Public,
}

/// The registered clients.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) confidential_id: String,
    pub(super) secret: String,
    pub(super) public_id: String,
}

impl Clients {
    /// Invents them. Nothing in a secret needs form-encoding, so that `curl -u` works.
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            confidential_id: random.capitals("acme-"),
            secret: random.text("acme-secret-", 43),
            public_id: random.capitals("acme-public-"),
        }
    }

    /// The client of that name.
    pub(super) fn find(&self, id: &str) -> Option<Client> {
        [Client::Confidential, Client::Public].into_iter().find(|client| self.id(*client) == id)
    }

    /// A client's name.
    pub(super) fn id(&self, client: Client) -> &str {
        match client {
            Client::Confidential => &self.confidential_id,
            Client::Public => &self.public_id,
        }
    }
}

/// The form of a request and the client that sent it.
///
/// RFC 6749 §3.2 lets a server pass over empty parameters. They are refused here: a client that sends one has lost a
/// value on the way.
pub(super) fn read(acme: &OAuth2, call: &Call) -> Result<(Fields, Client), Refusal> {
    if !call.is_declared("application/x-www-form-urlencoded") {
        return Err(invalid_request("The Content-Type must be application/x-www-form-urlencoded."));
    }
    if !call.query.is_empty() {
        return Err(invalid_request("Parameters belong in the body, not in the address."));
    }
    let form = call.form();
    if let Some(name) = form.repeated() {
        return Err(invalid_request(&format!("The parameter '{name}' is there more than once.")));
    }
    if let Some(name) = form.blank() {
        return Err(invalid_request(&format!("The parameter '{name}' is empty.")));
    }
    let client = authenticate(&acme.clients, call, &form)?;
    Ok((form, client))
}

/// A parameter that has to be there.
pub(super) fn need<'a>(form: &'a Fields, name: &str) -> Result<&'a str, Refusal> {
    form.get(name).ok_or_else(|| invalid_request(&format!("The parameter '{name}' is missing.")))
}

/// RFC 6749 §2.3: one way to authenticate a request.
fn authenticate(clients: &Clients, call: &Call, form: &Fields) -> Result<Client, Refusal> {
    let named = form.get("client_id");
    let (id, secret) = if call.headers.contains_key(AUTHORIZATION) {
        let (id, secret) = basic(call).ok_or_else(|| invalid_client("The Authorization header is not Basic."))?;
        if form.get("client_secret").is_some() {
            return Err(invalid_request("The client authenticates in two ways at once."));
        }
        if named.is_some_and(|named| named != id) {
            return Err(invalid_request("The client has two names."));
        }
        (id, Some(secret))
    } else {
        let id = named.ok_or_else(|| invalid_client("No client authentication."))?;
        (id.to_owned(), form.get("client_secret").map(str::to_owned))
    };
    match (clients.find(&id), secret) {
        (Some(Client::Confidential), Some(secret)) if secret == clients.secret => Ok(Client::Confidential),
        (Some(Client::Public), None) => Ok(Client::Public),
        _ => Err(invalid_client("Client authentication failed.")),
    }
}

/// The name and secret of an `Authorization: Basic` header, each form-encoded before base64 (RFC 6749 §2.3.1).
fn basic(call: &Call) -> Option<(String, String)> {
    let (scheme, credentials) = call.header(AUTHORIZATION)?.split_once(' ')?;
    let bytes = STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("Basic"))?;
    let text = String::from_utf8(bytes).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((decoded(id)?, decoded(secret)?))
}

/// One form-encoded value.
pub(super) fn decoded(text: &str) -> Option<String> {
    let pair = format!("x={text}");
    let mut pairs = form_urlencoded::parse(pair.as_bytes());
    let (_, value) = pairs.next()?;
    pairs.next().is_none().then(|| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_basic_credentials_are_encoded_with() {
        assert_eq!(decoded("a+b%3Ac").as_deref(), Some("a b:c"));
        assert_eq!(decoded("p%25%2B%26%C3%A9").as_deref(), Some("p%+&é"));
        assert_eq!(decoded("a&b"), None);
    }
}
