//! Wix: four sorts of credentials that do not mix (dev.wix.com, `oauth-2`). Apps mint access tokens for an instance;
//! older apps and headless visitors refresh; a headless project mints its own. Only headless tokens can be revoked.

mod login;
mod refusal;
mod reply;

use url::Url;

use self::reply::{read_info, read_revocation, read_token};
use super::answer::{self, Before};
use super::body::Body;
use super::{
    Application, Authorization, Exchange, Inspection, Login, Need, OpenSession, Provider, ProviderError, Redirect,
    Reply, Revocation, Wanted,
};
use crate::config::WixMode;
use crate::model::{Grant, Kind, ProviderName, Replay, Secret, Token};

/// How long a legacy access token lives, in seconds: its answers do not say.
const LEGACY_LIFE: i64 = 300;

const TOKEN: &str = "/oauth2/token";
const LEGACY_ACCESS: &str = "/oauth/access";

/// Each mode with the name that records have for it.
const KINDS: [(WixMode, &str); 4] = [
    (WixMode::App, "wix-app"),
    (WixMode::Legacy, "wix-legacy"),
    (WixMode::Headless, "wix-headless"),
    (WixMode::HeadlessAdmin, "wix-headless-admin"),
];

fn kind_of(mode: WixMode) -> Kind {
    Kind::new(match mode {
        WixMode::App => KINDS[0].1,
        WixMode::Legacy => KINDS[1].1,
        WixMode::Headless => KINDS[2].1,
        WixMode::HeadlessAdmin => KINDS[3].1,
    })
}

/// Wix, for one application.
#[derive(Debug)]
pub struct Wix {
    application: Application,
}

impl Wix {
    /// Takes the application.
    #[must_use]
    pub const fn new(application: Application) -> Self {
        Self { application }
    }

    /// The mode of a record, else of the settings, else what the credentials at hand allow. An instance wins: minting
    /// needs no refresh token.
    fn mode(&self, kind: Option<&Kind>, instance: Option<&str>, has_grant: bool) -> WixMode {
        let recorded = kind.and_then(|kind| KINDS.iter().find(|(_, name)| *name == kind.as_str()));
        if let Some(mode) = recorded.map(|(mode, _)| *mode).or(self.application.mode) {
            return mode;
        }
        let has_instance = instance.is_some() || self.application.instance_id.is_some();
        match (has_instance, self.application.client_secret.is_some()) {
            (true, _) => WixMode::App,
            (false, false) => WixMode::Headless,
            (false, true) if has_grant => WixMode::Legacy,
            (false, true) => WixMode::HeadlessAdmin,
        }
    }

    fn mode_of(&self, token: &Token) -> WixMode {
        self.mode(token.kind.as_ref(), token.account.as_deref(), token.refresh.is_some())
    }

    /// The mode of a login. With a secret it is the installation of an app unless the settings say otherwise: a
    /// headless project's own credentials have no login, and no new app can have the legacy one.
    fn login_mode(&self) -> WixMode {
        self.application.mode.unwrap_or(match self.application.client_secret {
            Some(_) => WixMode::App,
            None => WixMode::Headless,
        })
    }

    fn secret(&self) -> Result<&Secret, ProviderError> {
        self.application.client_secret.as_ref().ok_or_else(|| ProviderError::Missing {
            need: Need::ClientSecret,
            why: "Wix wants the app's secret for this grant: only public headless clients go without one".to_owned(),
        })
    }

    /// What a body of an app or a headless project has: snake case, and the secret.
    fn app_body(&self, grant_type: &str) -> Result<Body, ProviderError> {
        let mut body = Body::default();
        body.set("client_id", self.application.client_id.as_str());
        body.secret("client_secret", self.secret()?);
        body.set("grant_type", grant_type);
        Ok(body)
    }

    /// What a body of a public headless client has: camel case, and no secret, also where one is configured.
    fn headless_body(&self, grant_type: &str) -> Body {
        let mut body = Body::default();
        body.set("clientId", self.application.client_id.as_str());
        body.set("grantType", grant_type);
        body
    }

    fn ask(&self, path: &str, body: Body, replay: Replay, before: Before) -> Exchange<Token> {
        let (request, secrets) = super::post_json(&self.application, path, body);
        let is_of = before.is_of();
        Exchange::new(request, replay, secrets, move |answer, sent| read_token(answer, sent, before)).of(is_of)
    }

    /// An access token for one instance of the app.
    fn mint(&self, instance: Option<&str>, mut before: Before) -> Result<Exchange<Token>, ProviderError> {
        let instance = instance.or(self.application.instance_id.as_deref()).ok_or_else(|| ProviderError::Missing {
            need: Need::InstanceId,
            why: "a token of a Wix app is for one instance of it, and none is given".to_owned(),
        })?;
        let mut body = self.app_body("client_credentials")?;
        body.set("instance_id", instance);
        before.account = Some(instance.to_owned());
        Ok(self.ask(TOKEN, body, Replay::Safe, before))
    }

    fn mint_admin(&self, before: Before) -> Result<Exchange<Token>, ProviderError> {
        Ok(self.ask(TOKEN, self.app_body("client_credentials")?, Replay::Safe, before))
    }

    fn anonymous(&self) -> Exchange<Token> {
        let before = Before::nothing(kind_of(WixMode::Headless), &[]);
        self.ask(TOKEN, self.headless_body("anonymous"), Replay::Safe, before)
    }

    fn refresh_legacy(&self, refresh_token: &Secret, before: Before) -> Result<Exchange<Token>, ProviderError> {
        let mut body = self.app_body("refresh_token")?;
        body.secret("refresh_token", refresh_token);
        Ok(self.ask(LEGACY_ACCESS, body, Replay::Safe, before))
    }

    fn refresh_headless(&self, refresh_token: &Secret, before: Before) -> Exchange<Token> {
        let mut body = self.headless_body("refresh_token");
        body.secret("refreshToken", refresh_token);
        self.ask(TOKEN, body, Replay::OnceUnderLease, before)
    }

    fn obtain_code(&self, grant: &Grant, wanted: &Wanted) -> Result<Exchange<Token>, ProviderError> {
        let Grant::Code { code, redirect_uri, code_verifier, account } = grant else {
            return Err(unsupported_grant("this grant"));
        };
        // The instance that came back with a code belongs to the code: only a configured one asks for minting.
        match self.mode(None, None, true) {
            WixMode::App => self.mint(account.as_deref(), Before::nothing(kind_of(WixMode::App), &[])),
            WixMode::Legacy => {
                let mut body = self.app_body("authorization_code")?;
                body.secret("code", code);
                let mut before = Before::nothing(kind_of(WixMode::Legacy), &[]);
                before.account.clone_from(account);
                Ok(self.ask(LEGACY_ACCESS, body, Replay::Never, before))
            }
            WixMode::Headless => {
                let mut body = self.headless_body("authorization_code");
                if let Some(redirect_uri) = redirect_uri {
                    body.set("redirectUri", redirect_uri.as_str());
                }
                body.secret("code", code);
                if let Some(verifier) = code_verifier {
                    body.secret("codeVerifier", verifier);
                }
                let before = Before::nothing(kind_of(WixMode::Headless), &wanted.scopes);
                Ok(self.ask(TOKEN, body, Replay::Never, before))
            }
            WixMode::HeadlessAdmin => Err(unsupported_grant("a code for a headless project's own credentials")),
        }
    }
}

impl Provider for Wix {
    fn name(&self) -> &ProviderName {
        &self.application.name
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !is_guid(&self.application.client_id) {
            warnings.push("the client id is not a GUID: Wix refuses such a one".to_owned());
        }
        if self.application.instance_id.as_deref().is_some_and(|id| !is_guid(id)) {
            warnings.push("the instance id is not a GUID: Wix refuses such a one".to_owned());
        }
        warnings
    }

    fn uses_pkce(&self) -> bool {
        self.login_mode() == WixMode::Headless
    }

    fn authorization(&self, login: &Login) -> Result<Authorization, ProviderError> {
        match self.login_mode() {
            WixMode::App => Ok(Authorization::Address(login::install_page(&self.application, login))),
            WixMode::Legacy => Ok(Authorization::Address(login::legacy_page(&self.application, login))),
            WixMode::Headless => {
                let challenge = login.code_challenge.clone().ok_or_else(|| {
                    ProviderError::Setting("a login of a headless Wix client needs a PKCE challenge".to_owned())
                })?;
                let (application, login) = (self.application.clone(), login.clone());
                let open = OpenSession(Box::new(move |visitor| {
                    login::open_session(&application, &login, &challenge, &visitor.access)
                }));
                Ok(Authorization::Session { visitor: self.anonymous(), open })
            }
            WixMode::HeadlessAdmin => Err(ProviderError::Unsupported {
                what: "a headless Wix project's own credentials have no login".to_owned(),
                hint: Some("get a token with `tokman obtain --client-credentials`".to_owned()),
            }),
        }
    }

    fn grant(
        &self,
        redirect: &Redirect,
        redirect_uri: &Url,
        code_verifier: Option<&Secret>,
    ) -> Result<Grant, ProviderError> {
        answer::check_redirect(redirect)?;
        match self.login_mode() {
            WixMode::Headless => answer::code(redirect, redirect_uri, code_verifier),
            WixMode::Legacy => login::legacy_grant(redirect),
            // Only the legacy installer hands out codes: whoever pastes one has such an app.
            WixMode::App | WixMode::HeadlessAdmin
                if self.application.mode.is_none() && redirect.get("code").is_some() =>
            {
                login::legacy_grant(redirect)
            }
            WixMode::App | WixMode::HeadlessAdmin => {
                let instance = login::installed_instance(&self.application, redirect)?;
                Ok(Grant::ClientCredentials { account: Some(instance) })
            }
        }
    }

    fn obtain(&self, grant: &Grant, wanted: &Wanted) -> Result<Exchange<Token>, ProviderError> {
        match grant {
            Grant::ClientCredentials { account } => match self.mode(None, account.as_deref(), false) {
                mode @ WixMode::App => self.mint(account.as_deref(), Before::nothing(kind_of(mode), &[])),
                mode @ WixMode::HeadlessAdmin => self.mint_admin(Before::nothing(kind_of(mode), &[])),
                WixMode::Headless => Ok(self.anonymous()),
                WixMode::Legacy => Err(unsupported_grant("client credentials for mode 'legacy'")),
            },
            Grant::Code { .. } => self.obtain_code(grant, wanted),
            Grant::Refresh { refresh_token } => {
                let mode = self.mode(None, None, true);
                let before = Before::refresh_token(kind_of(mode), refresh_token, &[]);
                match mode {
                    WixMode::App => self.mint(None, Before::nothing(kind_of(mode), &[])),
                    WixMode::Legacy => self.refresh_legacy(refresh_token, before),
                    WixMode::Headless => Ok(self.refresh_headless(refresh_token, before)),
                    WixMode::HeadlessAdmin => {
                        Err(unsupported_grant("refresh tokens for a headless project's own credentials"))
                    }
                }
            }
            Grant::Device { .. } => Err(unsupported_grant("a login on another device")),
            Grant::Migration { .. } => Err(unsupported_grant("migration tokens, which are Square's")),
        }
    }

    fn refresh(&self, token: &Token, _wanted: &Wanted) -> Result<Exchange<Token>, ProviderError> {
        let mode = self.mode_of(token);
        // Wix narrows no scopes, so the record's stay.
        let before = Before::token(kind_of(mode), token, &Wanted::default());
        let refresh_token = || {
            token.refresh.as_ref().ok_or_else(|| ProviderError::Missing {
                need: Need::RefreshToken,
                why: "there is no refresh token in the record; an app whose instance id is known needs none: \
                      `tokman obtain --instance-id`"
                    .to_owned(),
            })
        };
        match mode {
            WixMode::App => self.mint(token.account.as_deref(), before),
            WixMode::HeadlessAdmin => self.mint_admin(before),
            WixMode::Legacy => self.refresh_legacy(refresh_token()?, before),
            WixMode::Headless => Ok(self.refresh_headless(refresh_token()?, before)),
        }
    }

    fn renew(&self, _token: &Token) -> Result<Exchange<Token>, ProviderError> {
        Err(ProviderError::Unsupported {
            what: "Wix cannot renew an access token: that was Square's".to_owned(),
            hint: Some("use `tokman refresh`".to_owned()),
        })
    }

    fn revoke(&self, token: Option<&Token>, what: &Revocation) -> Result<Exchange<Reply>, ProviderError> {
        let unsupported = |what: &str| ProviderError::Unsupported {
            what: what.to_owned(),
            hint: Some("`tokman remove` forgets the token locally".to_owned()),
        };
        match what {
            Revocation::Authorization => {}
            Revocation::OnlyAccessToken => return Err(unsupported("Wix cannot revoke an access token by itself")),
            Revocation::Merchant(_) => return Err(unsupported("Wix has no merchants to revoke")),
        }
        let token = token.ok_or_else(|| unsupported("there is no token to revoke"))?;
        let mode = self.mode_of(token);
        let (WixMode::Headless, Some(refresh_token)) = (mode, &token.refresh) else {
            return Err(unsupported(&what_stays(mode, token)));
        };
        let mut body = Body::default();
        body.secret("token", refresh_token);
        let (request, secrets) = super::post_json(&self.application, "/oauth2/revoke", body);
        let end = end_of_access(token);
        Ok(Exchange::new(request, Replay::Safe, secrets, move |answer, _| read_revocation(answer, &end)))
    }

    fn inspect(&self, token: &Token) -> Result<Exchange<Inspection>, ProviderError> {
        let mut body = Body::default();
        body.secret("token", super::access_of(token)?);
        let (request, secrets) = super::post_json(&self.application, "/oauth2/token-info", body);
        let client_id = self.application.client_id.clone();
        Ok(Exchange::new(request, Replay::Safe, secrets, move |answer, _| read_info(answer, &client_id)))
    }
}

fn unsupported_grant(what: &str) -> ProviderError {
    ProviderError::Unsupported {
        what: format!("Wix does not take {what}"),
        hint: Some(
            "set `mode` to app, legacy, headless or headless-admin, whichever the credentials are of".to_owned(),
        ),
    }
}

/// What goes on working where nothing can be revoked.
fn what_stays(mode: WixMode, token: &Token) -> String {
    let end = end_of_access(token);
    match mode {
        WixMode::App => format!(
            "Wix has no revocation for apps: the access token works {end}. To end the app's access, the site owner \
             has to uninstall the app; a new app secret keeps the old one from getting more tokens"
        ),
        WixMode::Legacy => format!(
            "Wix has no revocation for apps: the access token works {end}, and the refresh token for as long as the \
             app is installed. To end that, the site owner has to uninstall the app, or the app secret be rotated"
        ),
        WixMode::HeadlessAdmin => format!(
            "Wix has no revocation for a headless project's own tokens: the access token works {end}. A new secret \
             in the headless settings keeps the old one from getting more"
        ),
        WixMode::Headless => {
            format!("Wix revokes only refresh tokens, and there is none here: the access token works {end}")
        }
    }
}

fn end_of_access(token: &Token) -> String {
    token.expires_at.map_or_else(
        || "until its end, which is not known".to_owned(),
        |end| format!("until {}", end.strftime("%Y-%m-%dT%H:%M:%SZ")),
    )
}

fn is_guid(text: &str) -> bool {
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::recorded::{Recorded, application, body_of, read, sent, token};
    use crate::provider::{Refusal, RefusalClass};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jiff::Timestamp;
    use ring::hmac;
    use serde_json::json;

    const API: &str = "https://www.wixapis.com";
    const GUID: &str = "01234567-89ab-cdef-0123-456789ABCDEF";

    fn app() -> Wix {
        let settings = application(API, "APP_ID", Some("APP_SECRET"));
        Wix::new(Application { instance_id: Some("INSTANCE_ID".to_owned()), ..settings })
    }

    fn secret_only() -> Wix {
        Wix::new(application(API, "APP_ID", Some("APP_SECRET")))
    }

    fn headless() -> Wix {
        Wix::new(application(API, "CLIENT_ID", None))
    }

    fn in_mode(mode: WixMode) -> Wix {
        Wix::new(Application { mode: Some(mode), ..application(API, "APP_ID", Some("APP_SECRET")) })
    }

    fn legacy_token() -> Token {
        token(Some("wix-legacy"), "ACCESS", Some("REFRESH"))
    }

    fn headless_token() -> Token {
        token(Some("wix-headless"), "ACCESS", Some("REFRESH"))
    }

    fn plain() -> Wanted {
        Wanted::default()
    }

    fn credentials() -> Grant {
        Grant::ClientCredentials { account: None }
    }

    fn code(redirect_uri: Option<&str>, verifier: Option<&str>) -> Grant {
        Grant::Code {
            code: Secret::new("CODE"),
            redirect_uri: redirect_uri.map(str::to_owned),
            code_verifier: verifier.map(Secret::new),
            account: None,
        }
    }

    fn refresh_grant() -> Grant {
        Grant::Refresh { refresh_token: Secret::new("REFRESH") }
    }

    fn redirect(pairs: &[(&str, &str)]) -> Redirect {
        Redirect { parameters: pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect() }
    }

    fn login(challenge: Option<&str>, state: &str, redirect_uri: &str) -> Login {
        Login {
            state: Secret::new(state),
            code_challenge: challenge.map(str::to_owned),
            redirect_uri: redirect_uri.parse().unwrap(),
            scopes: Vec::new(),
        }
    }

    fn session(login: &Login) -> (Exchange<Token>, Exchange<Url>) {
        match headless().authorization(login).unwrap() {
            Authorization::Session { visitor, open } => {
                let opened = open.0(&token(Some("wix-headless"), "SIM_ACCESS", None)).unwrap();
                (visitor, opened)
            }
            other @ Authorization::Address(_) => panic!("{other:?}"),
        }
    }

    fn jws(claims: &serde_json::Value) -> String {
        format!("OauthNG.JWS.eyJ9.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn at(text: &str) -> Option<Timestamp> {
        text.parse().ok()
    }

    fn refusal(error: ProviderError) -> Refusal {
        match error {
            ProviderError::Refused(refusal) => *refusal,
            other => panic!("{other:?}"),
        }
    }

    /// Requests that no command of tokman makes, by call and path, and why.
    const NOT_MADE: [(&str, &str, &str); 6] = [
        ("app.strip_bound_session", "/oauth2/token", "tokens here are never bound to a browser"),
        (
            "app.token-info.refreshToken(SDK passes refresh token)",
            "/oauth2/token-info",
            "it is documented for access tokens only",
        ),
        ("headless.redirect-session.logout", "/_api/redirects-api/v1/redirect-session", "ends a browser session"),
        ("headless.authorized_client(external login)", "/oauth2/token", "needs an API key and a member of the site"),
        ("app-management.getAppInstance(+token)", "/apps/v1/instance", "token-info says which instance it is"),
        (
            "api-client@1.1.55 OAuthStrategy.logout -> revokeRefreshToken + redirect session",
            "/_api/redirects-api/v1/redirect-session",
            "ends a browser session",
        ),
    ];

    #[test]
    fn sends_what_wixs_own_clients_send() {
        for recorded in Recorded::all(include_str!("../../tests/fixtures/wix-requests.json")) {
            let request = match (recorded.call.as_str(), recorded.path()) {
                ("app.client_credentials.instanceId" | "app-management.getAppInstance(+token)", "/oauth2/token") => {
                    app().obtain(&credentials(), &plain()).unwrap().request
                }
                ("app.legacy.authorization_code", _) => {
                    secret_only().obtain(&code(Some("http://localhost/"), None), &plain()).unwrap().request
                }
                ("app.legacy.refresh_token", _) => secret_only().refresh(&legacy_token(), &plain()).unwrap().request,
                ("app.legacy.refresh_token.second-call", _) => {
                    let token = token(Some("wix-legacy"), "ACCESS", Some("SIM_REFRESH"));
                    secret_only().refresh(&token, &plain()).unwrap().request
                }
                ("app.token-info", _) => app().inspect(&legacy_token()).unwrap().request,
                ("headless.anonymous", _) => headless().obtain(&credentials(), &plain()).unwrap().request,
                ("headless.refresh_token", _) => headless().refresh(&headless_token(), &plain()).unwrap().request,
                ("headless.authorization_code.pkce", _) => {
                    let code = code(Some("http://localhost:8976/callback"), Some(recorded.member("/codeVerifier")));
                    headless().obtain(&code, &plain()).unwrap().request
                }
                ("headless.redirect-session.auth(login url)", "/oauth2/token") => {
                    session(&login(Some("c"), "s", "http://localhost/")).0.request
                }
                ("headless.redirect-session.auth(login url)", _) => {
                    let asked = |name: &str| recorded.member(&format!("/auth/authRequest/{name}"));
                    let login = login(Some(asked("codeChallenge")), asked("state"), asked("redirectUri"));
                    session(&login).1.request
                }
                (call, "/oauth2/revoke") if call.starts_with("api-client") => {
                    headless().revoke(Some(&headless_token()), &Revocation::Authorization).unwrap().request
                }
                (call, path) => {
                    assert!(
                        NOT_MADE.iter().any(|(name, at, _)| (*name, *at) == (call, path)),
                        "no test for '{call}' {path}"
                    );
                    continue;
                }
            };
            recorded.assert_same(&request);
        }
    }

    #[test]
    fn mints_for_a_headless_project_without_an_instance() {
        let body = json!({"client_id": "APP_ID", "client_secret": "APP_SECRET", "grant_type": "client_credentials"});
        let first = secret_only().obtain(&credentials(), &plain()).unwrap();
        assert_eq!((body_of(&first), first.replay), (body.clone(), Replay::Safe));
        let token = read(first, 200, r#"{"access_token":"a","token_type":"Bearer","expires_in":14400}"#).unwrap();
        assert_eq!((token.kind.clone(), token.account.clone()), (Some(Kind::new("wix-headless-admin")), None));
        assert_eq!(body_of(&app().refresh(&token, &plain()).unwrap()), body);
    }

    #[test]
    fn tells_the_sort_of_credential_from_what_is_given() {
        let kind = |exchange: Result<Exchange<Token>, ProviderError>| {
            read(exchange.unwrap(), 200, r#"{"access_token":"a"}"#).unwrap().kind.unwrap().to_string()
        };
        let instance = Grant::ClientCredentials { account: Some("OTHER".to_owned()) };
        for (exchange, expected) in [
            (app().obtain(&credentials(), &plain()), "wix-app"),
            (app().obtain(&refresh_grant(), &plain()), "wix-app"),
            (app().obtain(&code(None, None), &plain()), "wix-app"),
            (secret_only().obtain(&instance, &plain()), "wix-app"),
            (secret_only().obtain(&refresh_grant(), &plain()), "wix-legacy"),
            (secret_only().obtain(&code(None, None), &plain()), "wix-legacy"),
            (headless().obtain(&refresh_grant(), &plain()), "wix-headless"),
            (headless().obtain(&credentials(), &plain()), "wix-headless"),
            (secret_only().obtain(&credentials(), &plain()), "wix-headless-admin"),
            (in_mode(WixMode::Headless).obtain(&credentials(), &plain()), "wix-headless"),
            (in_mode(WixMode::Legacy).obtain(&refresh_grant(), &plain()), "wix-legacy"),
            (app().refresh(&legacy_token(), &plain()), "wix-legacy"),
            (in_mode(WixMode::App).refresh(&headless_token(), &plain()), "wix-headless"),
            (secret_only().refresh(&token(None, "ACCESS", Some("REFRESH")), &plain()), "wix-legacy"),
            (app().refresh(&token(None, "ACCESS", Some("REFRESH")), &plain()), "wix-app"),
        ] {
            assert_eq!(kind(exchange), expected);
        }
        let of_grant = secret_only().obtain(&instance, &plain()).unwrap();
        assert_eq!(body_of(&of_grant)["instance_id"], "OTHER");
        let mut stored = token(Some("wix-app"), "ACCESS", None);
        stored.account = Some("STORED".to_owned());
        assert_eq!(body_of(&app().refresh(&stored, &plain()).unwrap())["instance_id"], "STORED");
    }

    #[test]
    fn says_what_is_missing_or_not_there_before_anything_is_sent() {
        let need = |error: ProviderError| match error {
            ProviderError::Missing { need, .. } => need,
            other => panic!("{other:?}"),
        };
        assert_eq!(need(in_mode(WixMode::App).obtain(&credentials(), &plain()).unwrap_err()), Need::InstanceId);
        let no_refresh = token(Some("wix-legacy"), "ACCESS", None);
        assert_eq!(need(secret_only().refresh(&no_refresh, &plain()).unwrap_err()), Need::RefreshToken);
        let no_refresh = token(Some("wix-headless"), "ACCESS", None);
        assert_eq!(need(headless().refresh(&no_refresh, &plain()).unwrap_err()), Need::RefreshToken);
        assert_eq!(need(headless().refresh(&legacy_token(), &plain()).unwrap_err()), Need::ClientSecret);
        let migration = Grant::Migration { access_token: Secret::new("a") };
        for error in [
            in_mode(WixMode::Legacy).obtain(&credentials(), &plain()).unwrap_err(),
            in_mode(WixMode::HeadlessAdmin).obtain(&refresh_grant(), &plain()).unwrap_err(),
            app().obtain(&migration, &plain()).unwrap_err(),
            app().renew(&legacy_token()).unwrap_err(),
        ] {
            assert!(matches!(error, ProviderError::Unsupported { hint: Some(_), .. }), "{error:?}");
        }
    }

    #[test]
    fn never_sends_a_secret_for_a_headless_visitor() {
        let wix = in_mode(WixMode::Headless);
        for exchange in [
            wix.obtain(&code(Some("http://localhost/"), Some("v")), &plain()).unwrap(),
            wix.obtain(&credentials(), &plain()).unwrap(),
            wix.refresh(&headless_token(), &plain()).unwrap(),
        ] {
            assert!(!body_of(&exchange).to_string().contains("APP_SECRET"));
        }
        assert_eq!(wix.refresh(&headless_token(), &plain()).unwrap().replay, Replay::OnceUnderLease);
        assert_eq!(secret_only().refresh(&legacy_token(), &plain()).unwrap().replay, Replay::Safe);
        assert_eq!(secret_only().obtain(&code(None, None), &plain()).unwrap().replay, Replay::Never);
    }

    #[test]
    fn keeps_or_replaces_the_refresh_token_as_the_answer_says() {
        for (body, expected) in [
            (r#"{"access_token":"a","refresh_token":"REFRESH"}"#, "REFRESH"),
            (r#"{"access_token":"a","refresh_token":"NEW"}"#, "NEW"),
            (r#"{"accessToken":"a","refreshToken":"NEW"}"#, "NEW"),
            (r#"{"access_token":"a"}"#, "REFRESH"),
        ] {
            for exchange in [
                secret_only().refresh(&legacy_token(), &plain()).unwrap(),
                headless().refresh(&headless_token(), &plain()).unwrap(),
                headless().obtain(&refresh_grant(), &plain()).unwrap(),
            ] {
                assert_eq!(read(exchange, 200, body).unwrap().refresh.unwrap().expose(), expected, "{body}");
            }
        }
        let minted = read(app().obtain(&refresh_grant(), &plain()).unwrap(), 200, r#"{"access_token":"a"}"#).unwrap();
        assert!(minted.refresh.is_none());
    }

    #[test]
    fn finds_the_end_of_a_token_in_every_mode() {
        let exp = sent().as_second() + 120;
        let short = jws(&json!({"exp": exp}));
        let ends = |exchange: Exchange<Token>, body: &str| read(exchange, 200, body).unwrap().expires_at;
        let legacy = || secret_only().refresh(&legacy_token(), &plain()).unwrap();
        let visitor = || headless().obtain(&credentials(), &plain()).unwrap();
        let claimed = format!(r#"{{"access_token":"{short}"}}"#);
        let earlier = format!(r#"{{"access_token":"{short}","expires_in":14400}}"#);
        assert_eq!(ends(legacy(), r#"{"access_token":"a","refresh_token":"r"}"#), at("2026-11-21T12:05:00Z"));
        assert_eq!(ends(legacy(), &claimed), at("2026-11-21T12:02:00Z"));
        assert_eq!(ends(legacy(), r#"{"access_token":"a","expires_in":600}"#), at("2026-11-21T12:10:00Z"));
        assert_eq!(ends(visitor(), r#"{"access_token":"a"}"#), None);
        assert_eq!(ends(visitor(), &claimed), at("2026-11-21T12:02:00Z"));
        assert_eq!(ends(visitor(), &earlier), at("2026-11-21T12:02:00Z"));
        assert_eq!(ends(visitor(), r#"{"access_token":"a","expires_in":"14400"}"#), at("2026-11-21T16:00:00Z"));
        assert_eq!(ends(visitor(), r#"{"accessToken":"a","expiresIn":14400}"#), at("2026-11-21T16:00:00Z"));
        assert_eq!(ends(visitor(), r#"{"access_token":"a","expires_in":1e999}"#), None);
    }

    #[test]
    fn names_the_instance_as_the_account() {
        let access = jws(&json!({"data": json!({"instance": {"instanceId": "CLAIMED"}}).to_string(), "exp": 1}));
        let body = format!(r#"{{"access_token":"{access}","refresh_token":"r"}}"#);
        let account = |exchange: Exchange<Token>, body: &str| read(exchange, 200, body).unwrap().account;
        let legacy = |token: &Token| secret_only().refresh(token, &plain()).unwrap();
        assert_eq!(account(legacy(&legacy_token()), &body).as_deref(), Some("CLAIMED"));
        assert_eq!(account(legacy(&legacy_token()), r#"{"access_token":"OAUTH2.x.y"}"#), None);
        let known = Token { account: Some("KNOWN".to_owned()), ..legacy_token() };
        assert_eq!(account(legacy(&known), &body).as_deref(), Some("KNOWN"));
        let minted = app().obtain(&credentials(), &plain()).unwrap();
        assert_eq!(account(minted, r#"{"access_token":"a"}"#).as_deref(), Some("INSTANCE_ID"));
        let grant = secret_only().grant(&redirect(&[("code", "c"), ("instanceId", "I")]), &API.parse().unwrap(), None);
        let obtained = secret_only().obtain(&grant.unwrap(), &plain()).unwrap();
        assert_eq!(obtained.request.uri().path(), "/oauth/access");
        assert_eq!(account(obtained, &body).as_deref(), Some("I"));
    }

    #[test]
    fn classifies_every_shape_of_wixs_errors() {
        use RefusalClass::{Application, GrantDead, Other, Passing};
        let violation = json!({"message": "", "details": {"validationError": {"fieldViolations": [
            {"field": "clientId", "description": "must be a GUID", "violatedRule": "FORMAT"}]}}});
        let coded = |code: serde_json::Value| {
            json!({"message": "m", "details": {"applicationError": {"code": code, "description": "d"}}}).to_string()
        };
        let guid = r#"{"message":"appRuntimeKeys [at index 0] is invalid: appId is not a valid GUID"}"#;
        for (status, body, class, shown) in [
            (
                400,
                r#"{"error":"invalid_grant","error_description":"revoked"}"#,
                GrantDead,
                "revoked (HTTP 400, invalid_grant",
            ),
            (401, r#"{"error":"invalid_client"}"#, Application, "invalid_client"),
            (400, r#"{"error":"unauthorized_client"}"#, Application, "unauthorized_client"),
            (400, r#"{"error":"authorization_pending"}"#, Other, "authorization_pending"),
            (404, &coded(json!("SITE_NOT_FOUND")), Other, "m (HTTP 404, SITE_NOT_FOUND"),
            (428, &coded(json!(48876)), Other, "48876"),
            (400, &coded(json!("-19999")), Other, "-19999"),
            (400, &violation.to_string(), Other, "clientId: must be a GUID"),
            (404, r#"{"message":"app not found in any meta-site"}"#, Other, "app not found"),
            (400, guid, Application, "not a valid GUID"),
            (400, r#"{"message":"Device code is not yet verified"}"#, Other, "not yet verified"),
            (400, r#"{"message":"internal error"}"#, Other, "internal error"),
            (400, r#"{"errorDescription":"invalid_token"}"#, Other, "invalid_token"),
            (401, r#"{"message":"No identity found"}"#, Other, "No identity found"),
            (400, r#"{"message":"WDE0117: MetaSite not found"}"#, Other, "WDE0117"),
            (403, r#"{"message":"forbidden"}"#, Other, "forbidden"),
            (402, "{}", Other, "HTTP 402"),
            (429, r#"{"message":"slow down"}"#, Passing, "slow down"),
            (429, "", Passing, "HTTP 429"),
            (503, "<html>", Passing, "HTTP 503"),
            (500, r#"{"error":"invalid_grant"}"#, Passing, "invalid_grant"),
            (200, r#"{"error":"invalid_grant"}"#, GrantDead, "invalid_grant"),
        ] {
            let error = read(secret_only().refresh(&legacy_token(), &plain()).unwrap(), status, body).unwrap_err();
            assert_eq!(error.class(), Some(class), "{status} {body}");
            let text = error.to_string();
            assert!(text.contains(shown) && text.contains("request wix-request-1"), "{text}");
        }
        for (status, body) in [(403, "<html>Forbidden</html>"), (403, ""), (200, "ok"), (400, "Bad Request")] {
            let error = read(secret_only().refresh(&legacy_token(), &plain()).unwrap(), status, body).unwrap_err();
            assert!(matches!(error, ProviderError::NoAnswer { .. }), "{status} {body}");
        }
        let minted = read(app().obtain(&credentials(), &plain()).unwrap(), 404, r#"{"message":"app not found"}"#);
        assert!(refusal(minted.unwrap_err()).hint.unwrap().contains("instance id"));
    }

    #[test]
    fn keeps_a_refresh_token_that_came_without_an_access_token() {
        for body in [
            r#"{"refresh_token":"NEW"}"#,
            r#"{"refreshToken":"NEW","error":"invalid_grant"}"#,
            r#"{"access_token":"a b","refresh_token":"NEW"}"#,
            r#"{"access_token":"a","token_type":"mac","refresh_token":"NEW"}"#,
        ] {
            match read(headless().refresh(&headless_token(), &plain()).unwrap(), 200, body) {
                Err(ProviderError::Unusable { refresh: Some(refresh), .. }) => assert_eq!(refresh.expose(), "NEW"),
                other => panic!("{body}: {other:?}"),
            }
        }
        for body in ["{}", "[]"] {
            let error = read(headless().refresh(&headless_token(), &plain()).unwrap(), 200, body).unwrap_err();
            assert!(matches!(error, ProviderError::Unusable { refresh: None, .. }), "{body}");
        }
    }

    #[test]
    fn masks_what_wix_echoes() {
        let echo = r#"{"message":"APP_SECRET REFRESH CODE"}"#;
        let refreshed = read(secret_only().refresh(&legacy_token(), &plain()).unwrap(), 400, echo).unwrap_err();
        assert!(refreshed.to_string().starts_with("*** *** CODE "), "{refreshed}");
        let exchanged = read(secret_only().obtain(&code(None, None), &plain()).unwrap(), 400, echo).unwrap_err();
        assert!(exchanged.to_string().starts_with("*** REFRESH *** "), "{exchanged}");
        let (_, opened) = session(&login(Some("c"), "STATE", "http://localhost/"));
        let opened = read(opened, 400, r#"{"message":"SIM_ACCESS STATE"}"#).unwrap_err();
        assert!(opened.to_string().starts_with("*** *** "), "{opened}");
    }

    #[test]
    fn reads_token_info_with_its_strings_for_numbers_and_truths() {
        let inspect = |status: u16, body: &str| read(app().inspect(&legacy_token()).unwrap(), status, body);
        for body in [
            r#"{"active":"true","exp":"1796000000","clientId":"APP_ID","instanceId":"I","siteId":null}"#,
            r#"{"active":true,"exp":1796000000,"clientId":"APP_ID","instanceId":"I"}"#,
        ] {
            let info = inspect(200, body).unwrap();
            assert!(info.active && info.note.is_none(), "{body}");
            assert_eq!(info.account.as_deref(), Some("I"));
            assert_eq!(info.expires_at, Timestamp::from_second(1_796_000_000).ok());
        }
        assert!(inspect(200, r#"{"active":true,"clientId":"OTHER"}"#).unwrap().note.is_some());
        for (status, body) in
            [(200, r#"{"active":"false"}"#), (400, r#"{"message":"bad"}"#), (401, ""), (404, "{}"), (403, "{}")]
        {
            assert!(!inspect(status, body).unwrap().active, "{status} {body}");
        }
        for (status, body) in [(500, ""), (429, "{}"), (408, ""), (403, "<html>"), (200, "{}"), (200, "[]"), (403, "")]
        {
            assert!(inspect(status, body).is_err(), "{status} {body}");
        }
    }

    #[test]
    fn revokes_headless_refresh_tokens_and_says_how_sure_it_is() {
        let mut stored = headless_token();
        stored.expires_at = at("2026-11-21T16:00:00Z");
        let revoke = |status: u16, body: &str| {
            read(headless().revoke(Some(&stored), &Revocation::Authorization).unwrap(), status, body)
        };
        for body in ["{}", ""] {
            let note = revoke(200, body).unwrap().note.unwrap();
            assert!(note.contains("undocumented") && note.contains("until 2026-11-21T16:00:00Z"), "{note}");
        }
        for (status, body) in [(400, r#"{"error":"invalid_grant"}"#), (404, r#"{"message":"gone"}"#), (404, "")] {
            assert!(revoke(status, body).unwrap().note.unwrap().contains("no longer knows"), "{status} {body}");
        }
        for (status, body) in [
            (200, "<html>"),
            (404, "<html>"),
            (400, r#"{"error":"invalid_client"}"#),
            (400, r#"{"details":{"validationError":{}}}"#),
            (401, "{}"),
            (503, "{}"),
        ] {
            assert!(revoke(status, body).is_err(), "{status} {body}");
        }
    }

    #[test]
    fn says_what_stays_valid_where_wix_has_no_revocation() {
        for (kind, refresh, words) in [
            ("wix-app", None, ["until 2026-11-21T16:00:00Z", "site owner has to uninstall the app"]),
            ("wix-legacy", Some("REFRESH"), ["for as long as the app is installed", "app secret"]),
            ("wix-headless-admin", None, ["until 2026-11-21T16:00:00Z", "headless settings"]),
            ("wix-headless", None, ["until 2026-11-21T16:00:00Z", "only refresh tokens"]),
        ] {
            let stored = Token { expires_at: at("2026-11-21T16:00:00Z"), ..token(Some(kind), "ACCESS", refresh) };
            match secret_only().revoke(Some(&stored), &Revocation::Authorization).unwrap_err() {
                ProviderError::Unsupported { what, hint } => {
                    assert!(words.iter().all(|word| what.contains(word)), "{what}");
                    assert!(hint.unwrap().contains("tokman remove"));
                }
                other => panic!("{other:?}"),
            }
        }
        for what in [Revocation::OnlyAccessToken, Revocation::Merchant("m".to_owned())] {
            let error = headless().revoke(Some(&headless_token()), &what).unwrap_err();
            assert!(matches!(error, ProviderError::Unsupported { .. }));
        }
    }

    #[test]
    fn sends_the_browser_to_the_page_of_each_mode() {
        let login = login(Some("c"), "st", "http://localhost:8917/callback?x=1");
        let address = |mode: WixMode, base_url: &str| {
            let settings = Application { mode: Some(mode), ..application(base_url, "APP_ID", Some("s")) };
            match Wix::new(settings).authorization(&login).unwrap() {
                Authorization::Address(address) => address.to_string(),
                other @ Authorization::Session { .. } => panic!("{other:?}"),
            }
        };
        let installer = "app-installer?appId=APP_ID&postInstallationUrl=\
                         http%3A%2F%2Flocalhost%3A8917%2Fcallback%3Fx%3D1%26state%3Dst";
        let legacy = "installer/install?redirectUrl=http%3A%2F%2Flocalhost%3A8917%2Fcallback%3Fx%3D1\
                      &appId=APP_ID&state=st";
        assert_eq!(address(WixMode::App, API), format!("https://www.wix.com/{installer}"));
        assert_eq!(address(WixMode::Legacy, API), format!("https://www.wix.com/{legacy}"));
        let local = "http://127.0.0.1:9000/wix";
        assert_eq!(address(WixMode::App, local), format!("{local}/{installer}"));
        assert_eq!(address(WixMode::Legacy, local), format!("{local}/{legacy}"));
        assert!(matches!(
            in_mode(WixMode::HeadlessAdmin).authorization(&login),
            Err(ProviderError::Unsupported { hint: Some(_), .. })
        ));
        assert!(matches!(secret_only().authorization(&login), Ok(Authorization::Address(_))));
        assert!(headless().uses_pkce() && !app().uses_pkce() && !secret_only().uses_pkce());
    }

    #[test]
    fn takes_the_address_of_a_headless_login_only_from_a_safe_place() {
        let login = login(Some("c"), "s", "http://localhost/");
        let open = |status: u16, body: &str| read(session(&login).1, status, body);
        let with = |address: &str| json!({"redirectSession": {"fullUrl": address}}).to_string();
        assert_eq!(open(200, &with("https://site.example/x?y=1")).unwrap().as_str(), "https://site.example/x?y=1");
        for address in ["http://site.example/", "javascript:alert(1)", "file:///etc/passwd", "nowhere", ""] {
            assert!(matches!(open(200, &with(address)), Err(ProviderError::Unusable { .. })), "{address}");
        }
        assert!(matches!(open(200, "{}"), Err(ProviderError::Unusable { .. })));
        let said = refusal(open(400, r#"{"message":"no site"}"#).unwrap_err());
        assert!(said.hint.unwrap().contains("published"));

        let local = Wix::new(application("http://127.0.0.1:9000/wix", "CLIENT_ID", None));
        let Authorization::Session { open, .. } = local.authorization(&login).unwrap() else { panic!() };
        let opened = open.0(&token(None, "v", None)).unwrap();
        assert!(read(opened, 200, &with("http://127.0.0.1:9000/login")).is_ok());
    }

    #[test]
    fn reads_the_redirect_of_each_mode() {
        let back: Url = "http://localhost:8917/callback".parse().unwrap();
        let both = redirect(&[("code", "c"), ("instanceId", "I")]);
        for wix in [in_mode(WixMode::Legacy), secret_only()] {
            match wix.grant(&both, &back, None).unwrap() {
                Grant::Code { code, redirect_uri: None, account, .. } => {
                    assert_eq!((code.expose(), account.as_deref()), ("c", Some("I")));
                }
                other => panic!("{other:?}"),
            }
        }
        for (wix, redirect) in
            [(in_mode(WixMode::App), both), (secret_only(), redirect(&[("appId", "a"), ("instanceId", "I")]))]
        {
            let grant = wix.grant(&redirect, &back, None).unwrap();
            assert!(matches!(grant, Grant::ClientCredentials { account: Some(account) } if account == "I"));
        }
        match headless().grant(&redirect(&[("code", "c")]), &back, Some(&Secret::new("v"))).unwrap() {
            Grant::Code { redirect_uri, code_verifier, .. } => {
                assert_eq!(redirect_uri.as_deref(), Some("http://localhost:8917/callback"));
                assert_eq!(code_verifier.unwrap().expose(), "v");
            }
            other => panic!("{other:?}"),
        }
        for wix in [in_mode(WixMode::Legacy), app(), headless()] {
            assert!(wix.grant(&redirect(&[]), &back, None).is_err());
            let denied = wix.grant(&redirect(&[("error", "access_denied"), ("code", "c")]), &back, None);
            assert_eq!(denied.unwrap_err().class(), Some(RefusalClass::GrantDead));
        }
    }

    #[test]
    fn trusts_an_instance_only_as_wix_signed_it() {
        let sign = |secret: &str, data: &serde_json::Value| {
            let data = URL_SAFE_NO_PAD.encode(data.to_string());
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            format!("{}.{data}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, data.as_bytes())))
        };
        let genuine = sign("APP_SECRET", &json!({"instanceId": "I", "signDate": "2026-11-21T12:00:00Z"}));
        let foreign = sign("OTHER", &json!({"instanceId": "I"}));
        let nameless = sign("APP_SECRET", &json!({"uid": "u"}));
        let grant = |pairs: &[(&str, &str)]| app().grant(&redirect(pairs), &API.parse().unwrap(), None);
        let instance = |grant: Result<Grant, ProviderError>| match grant.unwrap() {
            Grant::ClientCredentials { account } => account.unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(instance(grant(&[("instanceId", "I"), ("signedInstance", &genuine)])), "I");
        assert_eq!(instance(grant(&[("signedInstance", &genuine)])), "I");
        assert_eq!(instance(grant(&[("instanceId", "I"), ("signedInstance", "a.b.c")])), "I");
        for (said, signed) in [
            ("J", genuine.as_str()),
            ("I", &foreign),
            ("I", &nameless),
            ("I", "nothing"),
            ("I", "."),
            ("I", &format!("{genuine}A")),
        ] {
            let error = grant(&[("instanceId", said), ("signedInstance", signed)]).unwrap_err();
            assert!(error.to_string().contains("cannot be trusted"), "{signed}: {error}");
        }
    }

    #[test]
    fn warns_of_identifiers_that_are_no_guids_without_showing_them() {
        let warnings = |id: &str, instance: Option<&str>| {
            let settings = application(API, id, Some("s"));
            Wix::new(Application { instance_id: instance.map(str::to_owned), ..settings }).warnings()
        };
        assert!(warnings(GUID, Some(GUID)).is_empty() && warnings(GUID, None).is_empty());
        for bad in ["", "canary", &GUID[1..], &format!("{GUID}-"), &GUID.replace('a', "g"), &format!("{GUID}0")] {
            assert_eq!(warnings(bad, None).len(), 1, "{bad}");
        }
        let both = warnings("canary", Some("canary"));
        assert!(both.len() == 2 && !both.concat().contains("canary"));
    }
}
