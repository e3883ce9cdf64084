//! Any OAuth 2.0 provider (RFC 6749), as its metadata or the config file describe it. Requests are forms; the
//! application shows who it is in one way a request; logins always carry a PKCE challenge (RFC 9700 §2.1.1).

pub mod device;
mod form;
mod login;
pub mod metadata;
mod refusal;
mod reply;
#[cfg(test)]
mod tests;

use url::Url;

use self::form::{Authentication, Form};
use self::metadata::Metadata;
use self::reply::{Scopes, read_introspection, read_revocation, read_token};
use super::answer::{self, Before};
use super::{
    Application, Authorization, DeviceAuthorization, Exchange, Inspection, Login, Need, Provider, ProviderError,
    Redirect, Reply, Revocation, Wanted,
};
use crate::config::{ClientAuth, Endpoint};
use crate::model::{Grant, GrantType, Kind, ProviderName, Replay, Secret, Token};

/// There is one sort of credential.
const KIND: Kind = Kind::new("oauth2");

/// An OAuth 2.0 provider as settings and metadata describe it.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// Its name for itself; absent where only its endpoints are known.
    pub issuer: Option<String>,
    /// How the application shows who it is; absent where having a secret decides.
    pub client_auth: Option<ClientAuth>,
    /// What it says of itself, and the endpoints that the settings give.
    pub metadata: Metadata,
}

/// An OAuth 2.0 provider, for one application.
#[derive(Debug)]
pub struct OAuth2 {
    application: Application,
    server: Server,
}

impl OAuth2 {
    /// Takes the application.
    #[must_use]
    pub fn new(mut application: Application) -> Self {
        let server = application.oauth2.take().unwrap_or_default();
        Self { application, server }
    }

    fn endpoint(&self, endpoint: Endpoint) -> Option<&Url> {
        self.server.metadata.endpoints.get(&endpoint)
    }

    /// How the application shows who it is: as the settings say, else by what it has. The header is every provider's
    /// (RFC 6749 §2.3.1), unless its metadata know the body only.
    fn client_auth(&self) -> ClientAuth {
        let knows = |method: &str| self.server.metadata.auth_methods.iter().any(|known| known == method);
        match (self.server.client_auth, &self.application.client_secret) {
            (Some(client_auth), _) => client_auth,
            (None, None) => ClientAuth::None,
            (None, Some(_)) if knows("client_secret_post") && !knows("client_secret_basic") => ClientAuth::Post,
            (None, Some(_)) => ClientAuth::Basic,
        }
    }

    /// A request with a form, which shows who sends it.
    fn post<T>(
        &self,
        endpoint: &Url,
        form: Form,
        replay: Replay,
        read: impl FnOnce(&super::HttpResponse, jiff::Timestamp) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<Exchange<T>, ProviderError> {
        let client_auth = self.client_auth();
        let authentication =
            Authentication::of(client_auth, self.application.client_secret.as_ref()).ok_or_else(|| {
                ProviderError::Missing {
                    need: Need::ClientSecret,
                    why: format!("client_auth is '{}', which needs the client secret", client_auth.as_str()),
                }
            })?;
        let (request, secrets) = form.post(endpoint, &self.application.client_id, &authentication)?;
        Ok(Exchange::new(request, replay, secrets, read))
    }

    fn ask_token(
        &self,
        form: Form,
        replay: Replay,
        before: Before,
        scopes: Scopes,
    ) -> Result<Exchange<Token>, ProviderError> {
        let endpoint = self.endpoint(Endpoint::Token).ok_or_else(|| {
            ProviderError::Setting(format!(
                "{} has no token endpoint: its metadata name none, and neither does the config file",
                self.name()
            ))
        })?;
        let is_of = before.is_of();
        Ok(self.post(endpoint, form, replay, move |answer, sent| read_token(answer, sent, before, scopes))?.of(is_of))
    }

    /// The refresh (RFC 6749 §6). Whether the provider rotates is not known before it does: sent again once, at once.
    fn ask_refresh(
        &self,
        refresh_token: &Secret,
        wanted: &Wanted,
        before: Before,
        scopes: Scopes,
    ) -> Result<Exchange<Token>, ProviderError> {
        let mut form = grant_form(GrantType::RefreshToken);
        form.secret("refresh_token", refresh_token);
        form.set("scope", &wanted.scopes.join(" "));
        let asked = self.ask_token(form, Replay::OnceUnderLease, before, scopes)?;
        Ok(asked.or_refused(refusal::of_refresh))
    }

    /// What the provider does not have; `hint` is what to do instead.
    fn without(&self, endpoint: Endpoint, hint: &str) -> ProviderError {
        ProviderError::Unsupported {
            what: format!("{} has no {}", self.name(), endpoint.name().replace('_', " ")),
            hint: Some(hint.to_owned()),
        }
    }
}

impl Provider for OAuth2 {
    fn name(&self) -> &ProviderName {
        &self.application.name
    }

    fn warnings(&self) -> Vec<String> {
        let secret = self.application.client_secret.as_ref().map(Secret::expose);
        let mut warnings = Vec::new();
        if secret == Some(self.application.client_id.as_str()) {
            warnings.push("the client secret is the same as the client id".to_owned());
        }
        if secret.is_some() && self.client_auth() == ClientAuth::None {
            warnings.push("there is a client secret, and client_auth = \"none\" keeps it from being sent".to_owned());
        }
        warnings
    }

    fn uses_pkce(&self) -> bool {
        true
    }

    fn authorization(&self, login: &Login) -> Result<Authorization, ProviderError> {
        let endpoint = self.endpoint(Endpoint::Authorization).ok_or_else(|| {
            self.without(Endpoint::Authorization, "give authorization_endpoint, or try `tokman obtain --device`")
        })?;
        let address = login::address(endpoint, &self.application.client_id, login);
        Ok(Authorization::Address(address))
    }

    fn grant(
        &self,
        redirect: &Redirect,
        redirect_uri: &Url,
        code_verifier: Option<&Secret>,
    ) -> Result<Grant, ProviderError> {
        login::check_issuer(&self.server, redirect)?;
        answer::check_redirect(redirect)?;
        answer::code(redirect, redirect_uri, code_verifier)
    }

    fn obtain(&self, grant: &Grant, wanted: &Wanted) -> Result<Exchange<Token>, ProviderError> {
        let mut form = grant_form(grant.grant_type());
        let before = Before::nothing(KIND, &wanted.scopes);
        match grant {
            Grant::Code { code, redirect_uri, code_verifier, .. } => {
                form.secret("code", code);
                form.set("redirect_uri", redirect_uri.as_deref().unwrap_or_default());
                if let Some(verifier) = code_verifier {
                    form.secret("code_verifier", verifier);
                }
                self.ask_token(form, Replay::Never, before, Scopes::AsAnswered)
            }
            Grant::ClientCredentials { .. } => {
                form.set("scope", &wanted.scopes.join(" "));
                self.ask_token(form, Replay::Safe, before, Scopes::AsAnswered)
            }
            Grant::Device { device_code } => {
                form.secret("device_code", device_code);
                self.ask_token(form, Replay::Polled, before, Scopes::AsAnswered)
            }
            Grant::Refresh { refresh_token } => {
                // What was granted with it is not known: only the provider can say whether it is good for that much.
                let before = Before::refresh_token(KIND, refresh_token, &wanted.scopes);
                self.ask_refresh(refresh_token, wanted, before, Scopes::AsAnswered)
            }
            Grant::Migration { .. } => Err(ProviderError::Unsupported {
                what: format!("{} does not take migration tokens, which are Square's", self.name()),
                hint: Some("log in with `tokman obtain`".to_owned()),
            }),
        }
    }

    fn refresh(&self, token: &Token, wanted: &Wanted) -> Result<Exchange<Token>, ProviderError> {
        let refresh_token = token.refresh.as_ref().ok_or_else(|| ProviderError::Missing {
            need: Need::RefreshToken,
            why: format!(
                "there is no refresh token in the record: some providers give one only for the scope 'offline_access', \
                 which tokman asks for when the scopes of {} name it; \
                 an OpenID provider may want to hear prompt=consent with it: end authorization_endpoint with \
                 '?prompt=consent'",
                self.name()
            ),
        })?;
        let granted = &token.scopes;
        let wider = wanted.scopes.iter().find(|scope| !granted.is_empty() && !granted.contains(scope));
        if let Some(scope) = wider {
            return Err(ProviderError::Unsupported {
                what: format!(
                    "a refresh cannot ask for more than was granted (RFC 6749 §6), and '{}' was not",
                    crate::model::text::escape(scope, 100)
                ),
                hint: Some("log in again for it: `tokman obtain --scope …`".to_owned()),
            });
        }
        let scopes = if wanted.scopes.is_empty() { Scopes::AsAnswered } else { Scopes::Narrowed };
        self.ask_refresh(refresh_token, wanted, Before::token(KIND, token, &Wanted::default()), scopes)
    }

    fn renew(&self, _token: &Token) -> Result<Exchange<Token>, ProviderError> {
        Err(ProviderError::Unsupported {
            what: format!("{} cannot renew an access token: that was Square's", self.name()),
            hint: Some("use `tokman refresh`".to_owned()),
        })
    }

    fn revoke(&self, token: Option<&Token>, what: &Revocation) -> Result<Exchange<Reply>, ProviderError> {
        let unsupported = |what: String| ProviderError::Unsupported {
            what,
            hint: Some("`tokman remove` forgets the token locally".to_owned()),
        };
        let token = match (what, token) {
            (Revocation::Merchant(_), _) => {
                return Err(unsupported(format!("{} has no merchants to revoke", self.name())));
            }
            (_, None) => return Err(unsupported("there is no token to revoke".to_owned())),
            (_, Some(token)) => token,
        };
        let endpoint = self
            .endpoint(Endpoint::Revocation)
            .ok_or_else(|| unsupported(format!("{} has no revocation endpoint: {}", self.name(), what_stays(token))))?;
        let mut form = Form::default();
        let refresh = token.refresh.as_ref().filter(|_| *what == Revocation::Authorization);
        form.secret("token", refresh.map_or_else(|| super::access_of(token), Ok)?);
        form.set("token_type_hint", if refresh.is_some() { "refresh_token" } else { "access_token" });
        self.post(endpoint, form, Replay::Safe, |answer, _| read_revocation(answer))
    }

    fn inspect(&self, token: &Token) -> Result<Exchange<Inspection>, ProviderError> {
        let endpoint = self.endpoint(Endpoint::Introspection).ok_or_else(|| {
            self.without(Endpoint::Introspection, "what is stored, `tokman status` tells without --remote")
        })?;
        let mut form = Form::default();
        form.secret("token", super::access_of(token)?);
        form.set("token_type_hint", "access_token");
        let client_id = self.application.client_id.clone();
        self.post(endpoint, form, Replay::Safe, move |answer, _| read_introspection(answer, &client_id))
    }

    fn device_authorization(&self, wanted: &Wanted) -> Result<Exchange<DeviceAuthorization>, ProviderError> {
        let endpoint = self.endpoint(Endpoint::DeviceAuthorization).ok_or_else(|| {
            self.without(
                Endpoint::DeviceAuthorization,
                "log in with a browser: `tokman obtain`, `tokman obtain --no-browser`",
            )
        })?;
        let mut form = Form::default();
        form.set("scope", &wanted.scopes.join(" "));
        self.post(endpoint, form, Replay::Safe, |answer, _| device::read(answer))
    }
}

fn grant_form(grant_type: GrantType) -> Form {
    let mut form = Form::default();
    form.set("grant_type", grant_type.as_str());
    form
}

/// What stays valid of a token that nobody ends.
fn what_stays(token: &Token) -> String {
    let access = match token.expires_at {
        Some(end) => format!("the access token works until {end:.0}"),
        None => "the access token works until the provider ends it".to_owned(),
    };
    match (&token.refresh, token.refresh_expires_at) {
        (None, _) => access,
        (Some(_), Some(end)) => format!("{access}, the refresh token until {end:.0}"),
        (Some(_), None) => format!("{access}, the refresh token until the access is withdrawn at the provider"),
    }
}
