//! Square: its OAuth API (developer.squareup.com, `o-auth-api`). Bodies are JSON; the secret travels in the body to
//! `/oauth2/token` and in an `Authorization: Client` header elsewhere; the status alone never says what is wrong.

mod refusal;
mod reply;
mod scopes;

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
        let is_of = before.is_of();
        Exchange::new(request, replay, secrets, move |answer, sent| read_token(answer, sent, before)).of(is_of)
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

    fn scope_warnings(&self, scopes: &[String]) -> Vec<String> {
        scopes::warnings(scopes)
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
        answer::code(redirect, redirect_uri, code_verifier)
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
            Grant::Device { .. } => Err(ProviderError::Unsupported {
                what: "Square has no login on another device".to_owned(),
                hint: Some("log in with `tokman obtain`".to_owned()),
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
        body.secret("access_token", super::access_of(token)?);
        let (request, secrets) = self.with_secret(secret, &path, body)?;
        let kind = if self.is_pkce(token) { PKCE } else { CODE_FLOW };
        let before = Before::token(kind, token, &Wanted::default());
        Ok(Exchange::new(request, Replay::Safe, secrets, move |answer, sent| {
            read_token(answer, sent, before).map_err(|error| explain_retirement(answer.status(), error))
        }))
    }

    fn revoke(&self, token: Option<&Token>, what: &Revocation) -> Result<Exchange<Reply>, ProviderError> {
        let public = || ProviderError::Unsupported {
            what: "Square revokes only with the application secret: an application without one (PKCE) cannot revoke; \
                   the merchant can, in the Square Dashboard under App integrations"
                .to_owned(),
            hint: Some("configure the client secret, or forget the token locally with `tokman remove`".to_owned()),
        };
        let secret = match token {
            Some(token) if self.is_pkce(token) => self.application.client_secret.as_ref().ok_or_else(public)?,
            _ => self.secret("Square revokes only with the application secret")?,
        };
        let mut body = Body::default();
        body.set("client_id", self.application.client_id.as_str());
        match (what, token) {
            (Revocation::Merchant(merchant_id), _) => body.set("merchant_id", merchant_id.as_str()),
            (Revocation::Authorization, Some(token)) => body.secret("access_token", super::access_of(token)?),
            (Revocation::OnlyAccessToken, Some(token)) => {
                body.secret("access_token", super::access_of(token)?);
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
        let value = super::secret_header("access token", &format!("Bearer {}", super::access_of(token)?.expose()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::recorded::{Recorded, application, body_of, read, sent, token};
    use crate::provider::{Refusal, RefusalClass};
    use serde_json::json;

    const ID: &str = "sq0idp-FAKECLIENTID0000000000";
    const SECRET: &str = "sq0csp-FAKESECRET_do_not_use_000000000000000000";
    const ACCESS: &str = "EAAAEFAKEACCESSTOKEN0000000";
    const REFRESH: &str = "EQAAEFAKEREFRESHTOKEN000000";
    const PRODUCTION: &str = "https://connect.squareup.com";
    const SANDBOX: &str = "https://connect.squareupsandbox.com";

    fn square() -> Square {
        Square::new(application(PRODUCTION, ID, Some(SECRET)))
    }

    fn public() -> Square {
        Square::new(application(PRODUCTION, ID, None))
    }

    fn stored() -> Token {
        token(Some("square"), ACCESS, Some(REFRESH))
    }

    fn code(verifier: Option<&str>) -> Grant {
        Grant::Code {
            code: Secret::new("sq0cgp-FAKECODE00000000000000"),
            redirect_uri: Some("http://localhost:8765/callback".to_owned()),
            code_verifier: verifier.map(Secret::new),
            account: None,
        }
    }

    fn refusal(error: ProviderError) -> Refusal {
        match error {
            ProviderError::Refused(refusal) => *refusal,
            other => panic!("{other:?}"),
        }
    }

    /// Calls that no command of tokman makes, and why.
    const NOT_MADE: [(&str, &str); 1] =
        [("obtain_token refresh_token use_jwt", "tokens are opaque here: nothing is gained by readable ones")];

    #[test]
    fn sends_what_squares_own_clients_send() {
        let plain = Wanted::default();
        let narrow = Wanted { scopes: vec!["PAYMENTS_READ".to_owned(), "ITEMS_READ".to_owned()], short_lived: true };
        let verifier = Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let pkce = token(Some("square-pkce"), ACCESS, Some(REFRESH));
        let migration = Grant::Migration { access_token: Secret::new(ACCESS) };
        let merchant = Revocation::Merchant("MLFAKE000MERCHANT".to_owned());
        for recorded in Recorded::all(include_str!("../../tests/fixtures/square-requests.json")) {
            let request = match recorded.call.as_str() {
                "obtain_token authorization_code" => square().obtain(&code(None), &plain).unwrap().request,
                "obtain_token authorization_code PKCE" => square().obtain(&code(verifier), &plain).unwrap().request,
                "obtain_token refresh_token" => square().refresh(&stored(), &plain).unwrap().request,
                "obtain_token refresh_token PKCE" => square().refresh(&pkce, &plain).unwrap().request,
                "obtain_token refresh_token short_lived+scopes" => {
                    square().refresh(&stored(), &narrow).unwrap().request
                }
                "obtain_token migration_token" => square().obtain(&migration, &plain).unwrap().request,
                "renew_token" => square().renew(&stored()).unwrap().request,
                "revoke_token access_token" => {
                    square().revoke(Some(&stored()), &Revocation::Authorization).unwrap().request
                }
                "revoke_token merchant_id" => square().revoke(None, &merchant).unwrap().request,
                "revoke_token revoke_only_access_token" => {
                    square().revoke(Some(&stored()), &Revocation::OnlyAccessToken).unwrap().request
                }
                "retrieve_token_status" => square().inspect(&stored()).unwrap().request,
                call => {
                    assert!(NOT_MADE.iter().any(|(name, _)| *name == call), "no test for '{call}'");
                    continue;
                }
            };
            recorded.assert_same(&request);
            assert_eq!(request.headers()["square-version"], VERSION);
            assert_eq!(request.headers()["accept"], "application/json");
        }
    }

    #[test]
    fn classifies_every_body_that_square_was_seen_to_answer() {
        use RefusalClass::{Application, GrantDead, Other, Passing};
        let old = |kind: &str, message: &str| json!({"message": message, "type": kind}).to_string();
        let new = |code: &str, detail: &str| {
            json!({"errors": [{"category": "AUTHENTICATION_ERROR", "code": code, "detail": detail}]}).to_string()
        };
        let missing = "MISSING_REQUIRED_PARAMETER";
        for (status, body, class) in [
            (401, old("service.not_authorized", "Not Authorized"), Application),
            (401, new("UNAUTHORIZED", "Authorization code not found for app sq0idp-x"), GrantDead),
            (401, old("service.not_authorized", "Authorization code not found for app [sq0idp-x]"), GrantDead),
            (401, new("UNAUTHORIZED", "Authorization code is already claimed"), GrantDead),
            (400, new(missing, "missing required parameter 'redirect_uri'"), Other),
            (400, new(missing, "missing required parameter 'client_secret'"), Other),
            (400, old("bad_request.missing_parameter", "missing required parameter 'refresh_token'"), Other),
            (400, old("bad_request.missing_parameter", "missing required parameter 'client_id'"), Other),
            (401, old("service.not_authorized", "Invalid refresh token"), GrantDead),
            (401, new("UNAUTHORIZED", "Invalid refresh token"), GrantDead),
            (429, old("too_many_requests", "access token creation quota exceeded for merchant"), Passing),
            (429, old("too_many_requests", "This request was rate limited. Please retry later."), Passing),
            (400, old("bad_request.invalid_parameter", "bad authorization header"), Other),
            (400, old("bad_request.missing_parameter", "one of either 'access_token' or 'merchant_id'"), Other),
            (404, old("not_found", "access token not found"), Other),
            (400, old("bad_request", "cannot renew revoked token"), GrantDead),
            (401, new("UNAUTHORIZED", "This request could not be authorized."), Other),
            (401, new("ACCESS_TOKEN_EXPIRED", "The access token has expired."), Other),
            (401, new("ACCESS_TOKEN_REVOKED", "The access token was revoked."), GrantDead),
            (401, new("CLIENT_DISABLED", ""), Application),
            (403, new("APPLICATION_DISABLED", ""), Application),
            (403, new("INSUFFICIENT_SCOPES", ""), Other),
            (500, new("INTERNAL_SERVER_ERROR", "unable to authorize this request due to an internal error"), Passing),
            (503, old("service_unavailable", "Invalid refresh token"), Passing),
            (408, new("REQUEST_TIMEOUT", ""), Passing),
            (200, new("UNAUTHORIZED", "Invalid refresh token"), GrantDead),
            (200, new("RATE_LIMITED", ""), Passing),
            (401, "{}".to_owned(), Other),
            (401, old("service.not_authorized", "not authorized"), Other),
            (400, json!({"error": "invalid_grant"}).to_string(), GrantDead),
        ] {
            let error = read(square().refresh(&stored(), &Wanted::default()).unwrap(), status, &body).unwrap_err();
            assert_eq!(error.class(), Some(class), "{status} {body}");
        }
        for (status, body) in [(200, "<html>"), (403, "<html>"), (200, ""), (200, r#"{"access_token":"EA"#)] {
            let error = read(square().refresh(&stored(), &Wanted::default()).unwrap(), status, body).unwrap_err();
            assert!(matches!(error, ProviderError::NoAnswer { .. }), "{status} {body}");
        }
    }

    #[test]
    fn says_what_usually_refuses_an_application() {
        let body = r#"{"message":"Not Authorized","type":"service.not_authorized"}"#;
        let said = refusal(read(square().obtain(&code(None), &Wanted::default()).unwrap(), 401, body).unwrap_err());
        assert_eq!(said.code.unwrap().as_received(), "service.not_authorized");
        assert!(said.hint.unwrap().contains("an access token was given as the client secret"));
    }

    #[test]
    fn keeps_or_replaces_the_refresh_token_as_the_answer_says() {
        let refresh = |body: &str, old: &Token| read(square().refresh(old, &Wanted::default()).unwrap(), 200, body);
        let mut old = token(Some("square-pkce"), ACCESS, Some(REFRESH));
        old.refresh_expires_at = Some(sent());
        old.account = Some("MOLD".to_owned());
        old.scopes = vec!["ITEMS_READ".to_owned()];

        let same = refresh(&format!(r#"{{"access_token":"a","refresh_token":"{REFRESH}"}}"#), &old).unwrap();
        assert_eq!((same.refresh.unwrap().expose(), same.refresh_expires_at), (REFRESH, Some(sent())));

        let absent = refresh(r#"{"access_token":"a","refresh_token":null}"#, &old).unwrap();
        assert_eq!((absent.refresh.unwrap().expose(), absent.account.as_deref()), (REFRESH, Some("MOLD")));
        assert_eq!((absent.scopes, absent.kind), (old.scopes.clone(), Some(PKCE)));

        let new = refresh(r#"{"access_token":"a","refresh_token":"EQ2","merchant_id":"MNEW"}"#, &old).unwrap();
        assert_eq!((new.refresh.unwrap().expose(), new.refresh_expires_at), ("EQ2", None));
        assert_eq!(new.account.as_deref(), Some("MNEW"));

        let body = r#"{"access_token":"a","refresh_token":"EQ3","refresh_token_expires_at":"2027-02-19T12:00:00Z"}"#;
        assert_eq!(refresh(body, &old).unwrap().refresh_expires_at, "2027-02-19T12:00:00Z".parse().ok());
    }

    #[test]
    fn reads_the_expiry_that_square_gives() {
        let body = r#"{"access_token":"a","expires_at":"2026-12-21T12:00:00Z","token_type":"bearer"}"#;
        let token = read(square().obtain(&code(None), &Wanted::default()).unwrap(), 200, body).unwrap();
        assert_eq!(token.expires_at, "2026-12-21T12:00:00Z".parse().ok());
        assert_eq!((token.kind, token.refresh), (Some(CODE_FLOW), None));
        let body = r#"{"access_token":"a","expires_at":"soon"}"#;
        let token = read(square().obtain(&code(None), &Wanted::default()).unwrap(), 200, body).unwrap();
        assert_eq!(token.expires_at, None);
    }

    #[test]
    fn keeps_a_refresh_token_that_came_without_an_access_token() {
        for body in [
            r#"{"refresh_token":"EQ2"}"#,
            r#"{"refresh_token":"EQ2","errors":[{"code":"UNAUTHORIZED"}]}"#,
            r#"{"access_token":"a\nb","refresh_token":"EQ2"}"#,
            r#"{"access_token":"a","token_type":"mac","refresh_token":"EQ2"}"#,
            r#"{"access_token":7,"refresh_token":"EQ2"}"#,
        ] {
            match read(square().refresh(&stored(), &Wanted::default()).unwrap(), 200, body) {
                Err(ProviderError::Unusable { refresh: Some(refresh), .. }) => assert_eq!(refresh.expose(), "EQ2"),
                other => panic!("{body}: {other:?}"),
            }
        }
        for body in ["{}", "[]", r#"{"errors":[]}"#] {
            let error = read(square().refresh(&stored(), &Wanted::default()).unwrap(), 200, body).unwrap_err();
            assert!(matches!(error, ProviderError::Unusable { refresh: None, .. }), "{body}");
        }
    }

    #[test]
    fn never_sends_the_secret_with_pkce() {
        let mut foreign = token(None, ACCESS, Some(REFRESH));
        foreign.response.set("refresh_token_expires_at", json!("2027-02-19T12:00:00Z"));
        let plain = Wanted::default();
        let with_secret = |exchange: &Exchange<Token>| body_of(exchange).get("client_secret").is_some();
        for exchange in [
            square().obtain(&code(Some("v")), &plain).unwrap(),
            square().refresh(&token(Some("square-pkce"), ACCESS, Some(REFRESH)), &plain).unwrap(),
            square().refresh(&foreign, &plain).unwrap(),
            public().refresh(&token(None, ACCESS, Some(REFRESH)), &plain).unwrap(),
            public().obtain(&Grant::Refresh { refresh_token: Secret::new(REFRESH) }, &plain).unwrap(),
        ] {
            assert!(!with_secret(&exchange));
            assert_ne!(exchange.replay, Replay::Safe);
        }
        let of_another_tool = square().refresh(&token(None, ACCESS, Some(REFRESH)), &plain).unwrap();
        assert!(with_secret(&of_another_tool) && of_another_tool.replay == Replay::Safe);
    }

    #[test]
    fn says_what_is_missing_before_anything_is_sent() {
        let missing = |error: ProviderError| match error {
            ProviderError::Missing { need, .. } => need,
            other => panic!("{other:?}"),
        };
        let plain = Wanted::default();
        assert_eq!(missing(public().obtain(&code(None), &plain).unwrap_err()), Need::ClientSecret);
        assert_eq!(missing(public().refresh(&stored(), &plain).unwrap_err()), Need::ClientSecret);
        assert_eq!(missing(public().renew(&stored()).unwrap_err()), Need::ClientSecret);
        let error = public().revoke(Some(&stored()), &Revocation::Authorization).unwrap_err();
        assert_eq!(missing(error), Need::ClientSecret);
        let pkce = token(Some("square-pkce"), ACCESS, Some(REFRESH));
        let error = public().revoke(Some(&pkce), &Revocation::Authorization).unwrap_err();
        assert!(error.to_string().contains("PKCE") && matches!(error, ProviderError::Unsupported { .. }));
        let bare = token(Some("square"), ACCESS, None);
        assert_eq!(missing(square().refresh(&bare, &plain).unwrap_err()), Need::RefreshToken);
        let nothing = square().revoke(None, &Revocation::Authorization).unwrap_err();
        assert!(matches!(nothing, ProviderError::Unsupported { .. }));
        let grant = Grant::ClientCredentials { account: None };
        assert!(matches!(square().obtain(&grant, &plain), Err(ProviderError::Unsupported { .. })));
        let broken = Square::new(application(PRODUCTION, ID, Some("a\nb")));
        assert!(matches!(broken.renew(&stored()), Err(ProviderError::NotSendable("client secret"))));
    }

    #[test]
    fn masks_what_square_echoes() {
        let echo = json!({"errors": [{"code": REFRESH, "detail": format!("{SECRET} and {REFRESH}")}]}).to_string();
        let error = read(square().refresh(&stored(), &Wanted::default()).unwrap(), 400, &echo).unwrap_err();
        assert_eq!(error.to_string(), "*** and *** (HTTP 400, ***)");
        let echo = json!({"type": "x", "message": format!("{SECRET} and {ACCESS}")}).to_string();
        for error in [
            read(square().renew(&stored()).unwrap(), 400, &echo).unwrap_err(),
            read(square().revoke(Some(&stored()), &Revocation::Authorization).unwrap(), 400, &echo).unwrap_err(),
        ] {
            assert!(error.to_string().starts_with("*** and *** "), "{error}");
        }
    }

    #[test]
    fn explains_the_retirement_whatever_the_renewal_answers() {
        let renew = |status: u16, body: &str| read(square().renew(&stored()).unwrap(), status, body);
        for (status, body) in [
            (404, ""),
            (404, "<html>"),
            (410, r#"{"errors":[{"code":"GONE"}]}"#),
            (401, r#"{"errors":[{"code":"UNAUTHORIZED","detail":"This request could not be authorized."}]}"#),
            (400, "{}"),
        ] {
            let said = refusal(renew(status, body).unwrap_err());
            assert_eq!(said.class, RefusalClass::Other, "{status} {body}");
            assert!(said.hint.unwrap().contains("retired RenewToken on 2024-04-17"));
        }
        let wrong_secret = r#"{"message":"Not Authorized","type":"service.not_authorized"}"#;
        assert_eq!(renew(401, wrong_secret).unwrap_err().class(), Some(RefusalClass::Application));
        assert_eq!(renew(503, "").unwrap_err().class(), Some(RefusalClass::Passing));
        let renewed = renew(200, r#"{"access_token":"EAAA2","merchant_id":"M"}"#).unwrap();
        assert_eq!((renewed.access.expose(), renewed.refresh.unwrap().expose()), ("EAAA2", REFRESH));
    }

    #[test]
    fn takes_a_token_that_is_gone_for_revoked() {
        let revoke = |status: u16, body: &str| {
            read(square().revoke(Some(&stored()), &Revocation::Authorization).unwrap(), status, body)
        };
        assert!(revoke(200, r#"{"success":true}"#).unwrap().note.is_none());
        for (status, body) in [
            (404, r#"{"message":"access token not found","type":"not_found"}"#),
            (404, r#"{"errors":[{"code":"NOT_FOUND"}]}"#),
            (404, r#"{"message":"access token not found"}"#),
            (401, r#"{"message":"revoked","type":"oauth.revoked"}"#),
            (401, r#"{"errors":[{"code":"ACCESS_TOKEN_REVOKED"}]}"#),
        ] {
            assert!(revoke(status, body).unwrap().note.unwrap().contains("counts as revoked"), "{body}");
        }
        for (status, body) in [
            (200, r#"{"success":false}"#),
            (200, r#"{"errors":[{"code":"BAD_REQUEST"}]}"#),
            (404, "{}"),
            (404, "<html>"),
            (401, r#"{"message":"Not Authorized","type":"service.not_authorized"}"#),
            (503, ""),
        ] {
            assert!(revoke(status, body).is_err(), "{status} {body}");
        }
    }

    #[test]
    fn reports_a_dead_token_as_a_finding() {
        let inspect = |status: u16, body: &str| read(square().inspect(&stored()).unwrap(), status, body);
        let body = json!({"scopes": ["ITEMS_READ"], "expires_at": "2026-12-21T12:00:00Z", "client_id": ID,
            "merchant_id": "M"});
        let alive = inspect(200, &body.to_string()).unwrap();
        assert!(alive.active && alive.note.is_none() && alive.scopes == ["ITEMS_READ"]);
        assert_eq!((alive.account.as_deref(), alive.expires_at), (Some("M"), "2026-12-21T12:00:00Z".parse().ok()));
        assert!(inspect(200, r#"{"client_id":"other","expires_at":null}"#).unwrap().note.is_some());
        for code in ["UNAUTHORIZED", "ACCESS_TOKEN_EXPIRED", "ACCESS_TOKEN_REVOKED"] {
            let body = json!({"errors": [{"category": "AUTHENTICATION_ERROR", "code": code}]}).to_string();
            assert!(!inspect(401, &body).unwrap().active, "{code}");
        }
        for (status, body) in
            [(401, r#"{"errors":[{"code":"CLIENT_DISABLED"}]}"#), (401, "{}"), (503, ""), (403, "<html>")]
        {
            assert!(inspect(status, body).is_err(), "{status} {body}");
        }
    }

    #[test]
    fn sends_the_browser_to_the_authorize_page() {
        let login = Login {
            state: Secret::new("st"),
            code_challenge: Some("ch".to_owned()),
            redirect_uri: "http://localhost:8917/callback".parse().unwrap(),
            scopes: vec!["ITEMS_READ".to_owned(), "PAYMENTS_READ".to_owned()],
        };
        let address = |base_url: &str, login: &Login| match Square::new(application(base_url, "id", Some("s")))
            .authorization(login)
            .unwrap()
        {
            Authorization::Address(address) => address.to_string(),
            other @ Authorization::Session { .. } => panic!("{other:?}"),
        };
        let rest = "state=st&redirect_uri=http%3A%2F%2Flocalhost%3A8917%2Fcallback";
        assert_eq!(
            address(PRODUCTION, &login),
            format!(
                "{PRODUCTION}/oauth2/authorize?client_id=id&scope=ITEMS_READ+PAYMENTS_READ&session=false&{rest}\
                 &code_challenge=ch"
            )
        );
        let plain = Login { code_challenge: None, scopes: Vec::new(), ..login };
        assert_eq!(address(SANDBOX, &plain), format!("{SANDBOX}/oauth2/authorize?client_id=id&{rest}"));
        let local = address("http://127.0.0.1:9000/square/", &plain);
        assert!(local.starts_with("http://127.0.0.1:9000/square/oauth2/authorize?client_id=id&"), "{local}");
        assert!(public().uses_pkce() && !square().uses_pkce());
    }

    #[test]
    fn reads_the_redirect() {
        let redirect = |pairs: &[(&str, &str)]| Redirect {
            parameters: pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect(),
        };
        let back: Url = "http://localhost:8917/callback".parse().unwrap();
        match square().grant(&redirect(&[("code", "c")]), &back, Some(&Secret::new("v"))).unwrap() {
            Grant::Code { code, redirect_uri, code_verifier, .. } => {
                assert_eq!((code.expose(), redirect_uri.as_deref()), ("c", Some("http://localhost:8917/callback")));
                assert_eq!(code_verifier.unwrap().expose(), "v");
            }
            other => panic!("{other:?}"),
        }
        let denied = redirect(&[("error", "access_denied"), ("error_description", "user_denied")]);
        let said = refusal(square().grant(&denied, &back, None).unwrap_err());
        assert_eq!((said.class, said.status), (RefusalClass::GrantDead, None));
        assert_eq!(said.message.as_received(), "user_denied");
        assert!(square().grant(&redirect(&[("code", "")]), &back, None).is_err());
    }

    #[test]
    fn warns_of_mixed_up_credentials_without_showing_them() {
        let warnings =
            |base_url: &str, id: &str, secret: &str| Square::new(application(base_url, id, Some(secret))).warnings();
        for (base_url, id, secret) in [
            (PRODUCTION, "sq0idp-canary", "EAAAcanary"),
            (PRODUCTION, "sq0idp-canary", "EQAAcanary"),
            (PRODUCTION, "sandbox-sq0idb-canary", "sq0csp-canary"),
            (PRODUCTION, "sq0idp-canary", "sandbox-sq0csb-canary"),
            (SANDBOX, "sq0idp-canary", "sandbox-sq0csb-canary"),
            (SANDBOX, "sandbox-sq0idb-canary", "sq0csp-canary"),
            (PRODUCTION, "canary", "canary"),
        ] {
            let warnings = warnings(base_url, id, secret);
            assert_eq!(warnings.len(), 1, "{id} {secret}: {warnings:?}");
            assert!(!warnings[0].contains("canary"));
        }
        assert!(warnings(PRODUCTION, "sq0idp-x", "sq0csp-x").is_empty());
        assert!(warnings(SANDBOX, "sandbox-sq0idb-x", "sandbox-sq0csb-x").is_empty());
        assert!(warnings("http://127.0.0.1:1", "sandbox-x", "sq0csp-x").is_empty());
    }
}
