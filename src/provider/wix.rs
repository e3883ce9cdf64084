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
        Exchange::new(request, replay, secrets, move |answer, sent| read_token(answer, sent, before))
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
            WixMode::Headless => Ok(Grant::Code {
                code: answer::required(redirect, "code")?.clone(),
                redirect_uri: Some(redirect_uri.as_str().to_owned()),
                code_verifier: code_verifier.cloned(),
                account: None,
            }),
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
        body.secret("token", &token.access);
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
    let mut groups = text.split('-');
    let fits = |(group, len): (&str, usize)| group.len() == len && group.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups.by_ref().zip([8, 4, 4, 4, 12]).filter(|pair| fits(*pair)).count() == 5 && text.len() == 36
}
