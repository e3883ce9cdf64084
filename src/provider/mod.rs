//! Providers: from values to values. They build requests and read answers; they never send, store, print or look
//! at a clock, so their tests are tables. Adding one takes one file and a line in [`open()`].

mod answer;
mod body;
pub mod error;
pub mod oauth2;
pub mod pkce;
#[cfg(test)]
mod recorded;
mod request;
pub mod square;
pub mod wix;

use std::fmt::{self, Debug};

use bytes::Bytes;
use http::Request;

use crate::model::Kind;
use jiff::Timestamp;
use url::Url;

pub use error::{Need, ProviderError, Refusal, RefusalClass};
pub use oauth2::device::DeviceAuthorization;

use self::request::{post, post_json, secret_header, under};
use crate::config::{ProviderKind, WixMode};
use crate::model::{Grant, ProviderName, Replay, Response, Secret, Token};

/// An HTTP answer, body and all.
pub type HttpResponse = http::Response<Bytes>;

/// The application that asks, as its settings and one of its secrets describe it.
#[derive(Debug, Clone)]
pub struct Application {
    /// The provider's name in keys and messages.
    pub name: ProviderName,
    /// Where the provider's API is: https, or http on loopback; without a trailing slash in effect.
    pub base_url: Url,
    /// The client identifier.
    pub client_id: String,
    /// The client secret; absent for public clients.
    pub client_secret: Option<Secret>,
    /// Wix: the app instance; absent where none is configured.
    pub instance_id: Option<String>,
    /// Wix: the sort of credential; absent where the given credentials decide.
    pub mode: Option<WixMode>,
    /// OAuth 2.0: the endpoints; absent for the other kinds.
    pub oauth2: Option<oauth2::Server>,
}

/// One request and how to read its answer.
pub struct Exchange<T> {
    /// The request, complete.
    pub request: Request<Bytes>,
    /// What may be sent again when the answer is lost.
    pub replay: Replay,
    secrets: Vec<Secret>,
    read: Box<ReadAnswer<T>>,
    /// What a token of it is, where one comes.
    is_of: (Option<Kind>, Option<String>),
}

/// What is kept of an answer without an access token of use.
#[derive(Debug)]
pub struct Kept {
    /// The refresh token.
    pub refresh: Secret,
    /// The sort of credential that was asked for; absent where nobody says.
    pub kind: Option<Kind>,
    /// The account that it was asked for; absent where nobody says.
    pub account: Option<String>,
}

/// Reads an answer that came at the given instant.
type ReadAnswer<T> = dyn FnOnce(&HttpResponse, Timestamp) -> Result<T, ProviderError> + Send;

impl<T> Exchange<T> {
    /// Puts a request and its reader together. `secrets` are what the request carries: they are masked in whatever
    /// the provider says about it.
    pub fn new(
        request: Request<Bytes>,
        replay: Replay,
        secrets: Vec<Secret>,
        read: impl FnOnce(&HttpResponse, Timestamp) -> Result<T, ProviderError> + Send + 'static,
    ) -> Self {
        Self { request, replay, secrets, read: Box::new(read), is_of: (None, None) }
    }

    /// The same exchange, for a token of this sort and account.
    fn of(self, before: (Kind, Option<String>)) -> Self {
        Self { is_of: (Some(before.0), before.1), ..self }
    }

    /// The same exchange, but an answer that is no use except for the refresh token in it is read: there is a grant in
    /// it to keep.
    pub fn or_refresh_token(self) -> Exchange<Result<T, (Kept, ProviderError)>>
    where
        T: 'static,
    {
        let Self { request, replay, secrets, read, is_of: (kind, account) } = self;
        Exchange::new(request, replay, secrets, move |answer, sent| match read(answer, sent) {
            Ok(value) => Ok(Ok(value)),
            Err(ProviderError::Unusable { status, why, refresh: Some(refresh) }) => {
                let kept = Kept { refresh, kind, account };
                Ok(Err((kept, ProviderError::Unusable { status, why, refresh: None })))
            }
            Err(error) => Err(error),
        })
    }

    /// The same exchange, its errors seen in another light.
    #[must_use]
    pub fn or_refused(self, see: fn(ProviderError) -> ProviderError) -> Self
    where
        T: 'static,
    {
        let Self { request, replay, secrets, read, is_of } = self;
        Self { is_of, ..Self::new(request, replay, secrets, move |answer, sent| read(answer, sent).map_err(see)) }
    }

    /// Takes the exchange apart: the request to send, and what reads the answer to it.
    pub fn split(self) -> (Request<Bytes>, Replay, Reader<T>) {
        (self.request, self.replay, Reader { secrets: self.secrets, read: self.read })
    }
}

impl<T> Debug for Exchange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and body carry secrets.
        write!(f, "Exchange({} {}, {:?})", self.request.method(), self.request.uri().path(), self.replay)
    }
}

/// What reads the answer to a request that was sent.
pub struct Reader<T> {
    secrets: Vec<Secret>,
    read: Box<ReadAnswer<T>>,
}

impl<T> Reader<T> {
    /// Reads the answer. Lifetimes count from `sent`, the instant before the request went out, so that a slow answer
    /// never makes a token look longer-lived than it is.
    ///
    /// # Errors
    /// What the provider refused, with the request's secrets masked; or why the answer is no use.
    pub fn read(self, answer: &HttpResponse, sent: Timestamp) -> Result<T, ProviderError> {
        (self.read)(answer, sent).map_err(|error| error.masked(&self.secrets))
    }
}

impl<T> Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader(..)")
    }
}

/// What a caller may ask of the token besides having one.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Scopes to ask for, or (on refresh) to narrow to; empty: the provider's default, or what was granted.
    pub scopes: Vec<String>,
    /// Square: an access token of 24 hours instead of 30 days.
    pub short_lived: bool,
}

/// One login in the browser: what the authorization request carries.
#[derive(Debug, Clone)]
pub struct Login {
    /// Comes back with the redirect and proves that it belongs to this login.
    pub state: Secret,
    /// `BASE64URL(SHA256(code_verifier))` (RFC 7636 §4.2); absent where the login goes without PKCE.
    pub code_challenge: Option<String>,
    /// Where the provider sends the browser afterwards.
    pub redirect_uri: Url,
    /// Scopes to ask for; empty: the provider's default.
    pub scopes: Vec<String>,
}

/// How a login begins.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of these in a login")]
pub enum Authorization {
    /// At this address.
    Address(Url),
    /// At an address that the provider hands out (headless Wix): first a visitor's token, then a redirect session.
    Session {
        /// Gets the visitor's token.
        visitor: Exchange<Token>,
        /// Makes the request that is answered with the address.
        open: OpenSession,
    },
}

/// Makes the request for a redirect session from a visitor's token.
pub struct OpenSession(pub Box<AskForAddress>);

/// Makes a request that is answered with an address from a visitor's token.
type AskForAddress = dyn FnOnce(&Token) -> Result<Exchange<Url>, ProviderError> + Send;

impl Debug for OpenSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenSession(..)")
    }
}

/// The query of a redirected address, its `state` checked already.
#[derive(Debug, Clone, Default)]
pub struct Redirect {
    /// The parameters in their order, decoded. A name that comes twice is refused before this.
    pub parameters: Vec<(String, Secret)>,
}

impl Redirect {
    /// A parameter; absent and empty are the same.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.parameters.iter().find(|(n, value)| n == name && !value.is_empty()).map(|(_, value)| value)
    }
}

/// What to end at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// Everything: for Square all tokens of the merchant for this application.
    Authorization,
    /// Only the access token; the refresh token stays good.
    OnlyAccessToken,
    /// Square: everything of this merchant, no token needed.
    Merchant(String),
}

/// The answer to something that is no token.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The answer as it came.
    pub response: Response,
    /// What a person should know about it.
    pub note: Option<String>,
}

/// What the provider itself says of a token.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Whether it says that the token works.
    pub active: bool,
    /// The account that the token is good for; absent where it does not say.
    pub account: Option<String>,
    /// The scopes that were granted; empty where it does not say.
    pub scopes: Vec<String>,
    /// The end of the access token; absent where it does not say.
    pub expires_at: Option<Timestamp>,
    /// Why the token does not work, or what to know about the finding.
    pub note: Option<String>,
}

/// Someone who issues tokens.
pub trait Provider: Send + Sync + Debug {
    /// Its name in keys.
    fn name(&self) -> &ProviderName;

    /// What looks wrong about the application's settings, before anything is sent: an access token in place of the
    /// secret, a sandbox credential in production, an identifier that is no GUID. Never with a value in it.
    fn warnings(&self) -> Vec<String>;

    /// What looks wrong about scopes that somebody is going to ask for.
    fn scope_warnings(&self, _scopes: &[String]) -> Vec<String> {
        Vec::new()
    }

    /// Whether a login of this application carries a PKCE challenge.
    fn uses_pkce(&self) -> bool;

    /// How a login begins.
    ///
    /// # Errors
    /// Where this sort of credential has no login.
    fn authorization(&self, login: &Login) -> Result<Authorization, ProviderError>;

    /// The grant that came back with the redirect. `code_verifier` and `redirect_uri` are those of the login.
    ///
    /// # Errors
    /// Denied consent ([`RefusalClass::GrantDead`] with the provider's reason), or a redirect without a grant.
    fn grant(
        &self,
        redirect: &Redirect,
        redirect_uri: &Url,
        code_verifier: Option<&Secret>,
    ) -> Result<Grant, ProviderError>;

    /// Asks for the first token of a key.
    ///
    /// # Errors
    /// A grant that this provider does not have, or something that it needs and was not given.
    fn obtain(&self, grant: &Grant, wanted: &Wanted) -> Result<Exchange<Token>, ProviderError>;

    /// Asks for the next token. The answer's token keeps the refresh token, account, kind and scopes of `token` where
    /// the answer does not bring its own.
    ///
    /// # Errors
    /// No refresh token where one is needed, or something else that is needed and was not given.
    fn refresh(&self, token: &Token, wanted: &Wanted) -> Result<Exchange<Token>, ProviderError>;

    /// Extends an access token without a refresh token (Square's RenewToken).
    ///
    /// # Errors
    /// [`ProviderError::Unsupported`] unless the provider has it.
    fn renew(&self, token: &Token) -> Result<Exchange<Token>, ProviderError>;

    /// Ends a token. `token` may be absent for [`Revocation::Merchant`] only.
    ///
    /// # Errors
    /// [`ProviderError::Unsupported`] where the provider has no revocation, saying what stays valid.
    fn revoke(&self, token: Option<&Token>, what: &Revocation) -> Result<Exchange<Reply>, ProviderError>;

    /// Asks the provider what it says of the access token. A token that it calls dead is an answer, not an error.
    ///
    /// # Errors
    /// [`ProviderError::Unsupported`] where the provider cannot say.
    fn inspect(&self, token: &Token) -> Result<Exchange<Inspection>, ProviderError>;

    /// Asks for a code that a person enters on another device (RFC 8628 §3.1).
    ///
    /// # Errors
    /// [`ProviderError::Unsupported`] unless the provider has it.
    fn device_authorization(&self, wanted: &Wanted) -> Result<Exchange<DeviceAuthorization>, ProviderError> {
        let _ = wanted;
        Err(ProviderError::Unsupported {
            what: format!("{} has no login on another device", self.name()),
            hint: Some("log in with a browser: `tokman obtain`".to_owned()),
        })
    }
}

/// The access token of a token that may have a refresh token only.
///
/// # Errors
/// [`ProviderError::Missing`] where it has none.
fn access_of(token: &Token) -> Result<&Secret, ProviderError> {
    let missing = || ProviderError::Missing {
        need: Need::AccessToken,
        why: "there is no access token in the record: the answer that brought the refresh token had none of use"
            .to_owned(),
    };
    Some(&token.access).filter(|access| !access.is_empty()).ok_or_else(missing)
}

/// Makes the provider that speaks the given protocol for an application.
#[must_use]
pub fn open(kind: ProviderKind, application: Application) -> Box<dyn Provider> {
    match kind {
        ProviderKind::Square => Box::new(square::Square::new(application)),
        ProviderKind::Wix => Box::new(wix::Wix::new(application)),
        ProviderKind::OAuth2 => Box::new(oauth2::OAuth2::new(application)),
    }
}
