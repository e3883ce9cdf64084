//! Square: its OAuth API (developer.squareup.com, `o-auth-api`). Bodies are JSON; the secret travels in the body to
//! `/oauth2/token` and in an `Authorization: Client` header elsewhere; the status alone never says what is wrong.

mod refusal;
mod reply;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use url::Url;
use url::form_urlencoded::byte_serialize;

use self::refusal::explain_retirement;
use self::reply::{read_revocation, read_status, read_token};
use super::answer::{self, Before};
use super::body::Body;
use super::{
    Application, Authorization, Exchange, Inspection, Login, Need, Provider, ProviderError, Redirect, Reply,
    Revocation, Wanted,
};
use crate::model::{Grant, Kind, ProviderName, Replay, Secret, Token};

/// The API version that every request names: an application pinned below 2019-03-13 would get no refresh tokens.
const VERSION: &str = "2026-09-16";

/// Codes that go with the application's secret; their refresh tokens can be used any number of times.
const CODE_FLOW: Kind = Kind::new("square");
/// Codes that go with a PKCE verifier; their refresh tokens are good once and for 90 days.
const PKCE: Kind = Kind::new("square-pkce");

/// Square, for one application.
#[derive(Debug)]
pub struct Square {
    application: Application,
}

impl Square {
    /// Takes the application.
    #[must_use]
    pub const fn new(application: Application) -> Self {
        Self { application }
    }

    fn secret(&self, why: &str) -> Result<&Secret, ProviderError> {
        self.application
            .client_secret
            .as_ref()
            .ok_or_else(|| ProviderError::Missing { need: Need::ClientSecret, why: why.to_owned() })
    }

    fn is_sandbox(&self) -> bool {
        self.application.base_url.host_str() == Some("connect.squareupsandbox.com")
    }

    fn is_production(&self) -> bool {
        self.application.base_url.host_str() == Some("connect.squareup.com")
    }

    /// Whether a token's refresh goes without the secret. A file of another tool does not say what its token is: only
    /// PKCE refresh tokens have an end.
    fn is_pkce(&self, token: &Token) -> bool {
        match token.kind.as_ref() {
            Some(kind) if *kind == CODE_FLOW => false,
            Some(kind) if *kind == PKCE => true,
            _ => token.response.get("refresh_token_expires_at").is_some() || self.application.client_secret.is_none(),
        }
    }

    /// What every body for `/oauth2/token` begins with. PKCE and the secret do not mix.
    fn token_body(&self, grant_type: &str, pkce: bool) -> Result<Body, ProviderError> {
        let mut body = Body::default();
        body.set("client_id", self.application.client_id.as_str());
        if !pkce {
            let why = "Square wants the application secret for this grant: only a login with PKCE goes without it";
            body.secret("client_secret", self.secret(why)?);
        }
        body.set("grant_type", grant_type);
        Ok(body)
    }

    fn ask_token(&self, body: Body, replay: Replay, before: Before) -> Exchange<Token> {
        let (mut request, secrets) = super::post_json(&self.application, "/oauth2/token", body);
        name_version(&mut request);
        Exchange::new(request, replay, secrets, move |answer, sent| read_token(answer, sent, before))
    }

    fn ask_refresh(
        &self,
        refresh_token: &Secret,
        pkce: bool,
        wanted: &Wanted,
        before: Before,
    ) -> Result<Exchange<Token>, ProviderError> {
        let mut body = self.token_body("refresh_token", pkce)?;
        body.secret("refresh_token", refresh_token);
        narrow(&mut body, wanted);
        Ok(self.ask_token(body, if pkce { Replay::OnceUnderLease } else { Replay::Safe }, before))
    }

    /// A request that the application's secret goes with in a header.
    fn with_secret(
        &self,
        secret: &Secret,
        path: &str,
        body: Body,
    ) -> Result<(Request<Bytes>, Vec<Secret>), ProviderError> {
        let (mut request, mut secrets) = super::post_json(&self.application, path, body);
        name_version(&mut request);
        let value = super::secret_header("client secret", &format!("Client {}", secret.expose()))?;
        request.headers_mut().insert(header::AUTHORIZATION, value);
        secrets.push(secret.clone());
        Ok((request, secrets))
    }
}

impl Provider for Square {
    fn name(&self) -> &ProviderName {
        &self.application.name
    }

    fn warnings(&self) -> Vec<String> {
        let id = self.application.client_id.as_str();
        let secret = self.application.client_secret.as_ref().map_or("", Secret::expose);
        let mut warnings = Vec::new();
        let mut warn = |looks_wrong: bool, words: &str| {
            if looks_wrong {
                warnings.push(words.to_owned());
            }
        };
        warn(
            ["EAAA", "EQAA"].iter().any(|prefix| secret.starts_with(prefix)),
            "the client secret looks like a Square token: the application secret is on the OAuth page of the console",
        );
        warn(!secret.is_empty() && secret == id, "the client secret is the same as the client id");
        let mixed = |prefix: &str| id.starts_with(prefix) || secret.starts_with(prefix);
        warn(
            self.is_production() && mixed("sandbox-"),
            "a sandbox client id or secret is used with Square's production: set environment = \"sandbox\"",
        );
        warn(
            self.is_sandbox() && (mixed("sq0idp-") || mixed("sq0csp-")),
            "a production client id or secret is used with Square's sandbox: set environment = \"production\"",
        );
        warnings
    }

    fn uses_pkce(&self) -> bool {
        self.application.client_secret.is_none()
    }

    fn authorization(&self, login: &Login) -> Result<Authorization, ProviderError> {
        let mut address = super::under(&self.application.base_url, "/oauth2/authorize");
        {
            let mut query = address.query_pairs_mut();
            query.append_pair("client_id", &self.application.client_id);
            if !login.scopes.is_empty() {
                query.append_pair("scope", &login.scopes.join(" "));
            }
            // A fresh login, so that nobody grants an account they did not mean. The sandbox knows no such thing.
            if !self.is_sandbox() {
                query.append_pair("session", "false");
            }
            query.append_pair("state", login.state.expose());
            query.append_pair("redirect_uri", login.redirect_uri.as_str());
            if let Some(challenge) = &login.code_challenge {
                query.append_pair("code_challenge", challenge);
            }
        }
        Ok(Authorization::Address(address))
    }

    fn grant(
        &self,
        redirect: &Redirect,
        redirect_uri: &Url,
        code_verifier: Option<&Secret>,
    ) -> Result<Grant, ProviderError> {
        answer::check_redirect(redirect)?;
        Ok(Grant::Code {
            code: answer::required(redirect, "code")?.clone(),
            redirect_uri: Some(redirect_uri.as_str().to_owned()),
            code_verifier: code_verifier.cloned(),
            account: None,
        })
    }

    fn obtain(&self, grant: &Grant, wanted: &Wanted) -> Result<Exchange<Token>, ProviderError> {
        match grant {
            Grant::Code { code, redirect_uri, code_verifier, .. } => {
                let mut body = self.token_body("authorization_code", code_verifier.is_some())?;
                body.secret("code", code);
                if let Some(verifier) = code_verifier {
                    body.secret("code_verifier", verifier);
                }
                if let Some(redirect_uri) = redirect_uri {
                    body.set("redirect_uri", redirect_uri.as_str());
                }
                shorten(&mut body, wanted);
                let kind = if code_verifier.is_some() { PKCE } else { CODE_FLOW };
                Ok(self.ask_token(body, Replay::Never, Before::nothing(kind, &wanted.scopes)))
            }
            Grant::Refresh { refresh_token } => {
                let pkce = self.application.client_secret.is_none();
                let kind = if pkce { PKCE } else { CODE_FLOW };
                let before = Before::refresh_token(kind, refresh_token, &wanted.scopes);
                self.ask_refresh(refresh_token, pkce, wanted, before)
            }
            Grant::Migration { access_token } => {
                let mut body = self.token_body("migration_token", false)?;
                body.secret("migration_token", access_token);
                narrow(&mut body, wanted);
                Ok(self.ask_token(body, Replay::Safe, Before::nothing(CODE_FLOW, &wanted.scopes)))
            }
            Grant::ClientCredentials { .. } => Err(ProviderError::Unsupported {
                what: "Square has no client credentials grant".to_owned(),
                hint: Some("log in with `tokman obtain`, or hand in a code with `tokman obtain --code -`".to_owned()),
            }),
        }
    }

    fn refresh(&self, token: &Token, wanted: &Wanted) -> Result<Exchange<Token>, ProviderError> {
        let refresh_token = token.refresh.as_ref().ok_or_else(|| ProviderError::Missing {
            need: Need::RefreshToken,
            why: "there is no refresh token in the record, and Square refreshes by nothing else".to_owned(),
        })?;
        let pkce = self.is_pkce(token);
        let before = Before::token(if pkce { PKCE } else { CODE_FLOW }, token, wanted);
        self.ask_refresh(refresh_token, pkce, wanted, before)
    }

    fn renew(&self, token: &Token) -> Result<Exchange<Token>, ProviderError> {
        let secret = self.secret("Square renews only with the application secret")?;
        let id: String = byte_serialize(self.application.client_id.as_bytes()).collect();
        let path = format!("/oauth2/clients/{}/access-token/renew", id.replace('+', "%20"));
        let mut body = Body::default();
        body.secret("access_token", &token.access);
        let (request, secrets) = self.with_secret(secret, &path, body)?;
        let kind = if self.is_pkce(token) { PKCE } else { CODE_FLOW };
        let before = Before::token(kind, token, &Wanted::default());
        Ok(Exchange::new(request, Replay::Safe, secrets, move |answer, sent| {
            read_token(answer, sent, before).map_err(|error| explain_retirement(answer.status(), error))
        }))
    }

    fn revoke(&self, token: Option<&Token>, what: &Revocation) -> Result<Exchange<Reply>, ProviderError> {
        let secret = self.secret(
            "Square revokes only with the application secret: an application without one (PKCE) cannot revoke; the \
             merchant can, in the Square Dashboard under App integrations",
        )?;
        let mut body = Body::default();
        body.set("client_id", self.application.client_id.as_str());
        match (what, token) {
            (Revocation::Merchant(merchant_id), _) => body.set("merchant_id", merchant_id.as_str()),
            (Revocation::Authorization, Some(token)) => body.secret("access_token", &token.access),
            (Revocation::OnlyAccessToken, Some(token)) => {
                body.secret("access_token", &token.access);
                body.set("revoke_only_access_token", true);
            }
            (Revocation::Authorization | Revocation::OnlyAccessToken, None) => {
                return Err(ProviderError::Unsupported {
                    what: "there is no token to revoke".to_owned(),
                    hint: Some("name the merchant with `tokman revoke --merchant-id`".to_owned()),
                });
            }
        }
        let (request, secrets) = self.with_secret(secret, "/oauth2/revoke", body)?;
        Ok(Exchange::new(request, Replay::Safe, secrets, |answer, _| read_revocation(answer)))
    }

    fn inspect(&self, token: &Token) -> Result<Exchange<Inspection>, ProviderError> {
        let mut request = super::post(&self.application, "/oauth2/token/status", Bytes::new());
        name_version(&mut request);
        let value = super::secret_header("access token", &format!("Bearer {}", token.access.expose()))?;
        request.headers_mut().insert(header::AUTHORIZATION, value);
        let client_id = self.application.client_id.clone();
        Ok(Exchange::new(request, Replay::Safe, vec![token.access.clone()], move |answer, _| {
            read_status(answer, &client_id)
        }))
    }
}

fn name_version(request: &mut Request<Bytes>) {
    request.headers_mut().insert("square-version", HeaderValue::from_static(VERSION));
}

fn shorten(body: &mut Body, wanted: &Wanted) {
    if wanted.short_lived {
        body.set("short_lived", true);
    }
}

/// Asks for some of the granted scopes only: an array here, where RFC 6749 has a string.
fn narrow(body: &mut Body, wanted: &Wanted) {
    shorten(body, wanted);
    if !wanted.scopes.is_empty() {
        body.set("scopes", wanted.scopes.clone());
    }
}
