//! The shapes of `config.toml`. Unknown keys are errors that name the key and the line; no message shows a value.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::config::oauth2::ClientAuth;
use crate::config::postgres::has_password;
use crate::config::secret_source::{SecretSource, SecretSources};
use crate::config::{ConfigError, tables};
use crate::fsutil::{self, FsError};
use crate::model::{duration, text};

/// The most that is read of the config file.
const LIMIT: u64 = 1 << 20;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileConfig {
    /// `[defaults]`
    pub defaults: DefaultsConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[provider.NAME]`
    pub provider: BTreeMap<String, ProviderConfig>,
    /// `[hooks]`
    pub hooks: HooksConfig,
}

/// `[hooks]`: argv, no shell.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HooksConfig {
    /// Told of every new token.
    pub on_refresh: Vec<String>,
    /// Told of every attempt that failed.
    pub on_failure: Vec<String>,
}

/// `[defaults]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefaultsConfig {
    /// The provider where none is named.
    pub provider: Option<String>,
    /// How long a token that is printed must still live.
    #[serde(deserialize_with = "optional_duration")]
    pub min_ttl: Option<Duration>,
}

/// `[store]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Which store.
    pub url: Option<String>,
    /// The key that seals stored tokens at rest; of several the first seals and all open.
    pub key: SecretSources,
}

/// `[provider.NAME]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderConfig {
    /// The protocol; absent for `square` and `wix`, whose name says it, and where there is an issuer or a token endpoint.
    pub kind: Option<ProviderKind>,
    /// The client identifier.
    pub client_id: Option<String>,
    /// Where the client secret is.
    pub client_secret: SecretSources,
    /// Where the provider's API is.
    pub base_url: Option<String>,
    /// Square's production or sandbox.
    pub environment: Option<SquareEnvironment>,
    /// Wix: the sort of credential.
    pub mode: Option<WixMode>,
    /// Wix: the app instance.
    pub instance_id: Option<String>,
    /// OAuth 2.0: the issuer whose metadata names the endpoints.
    pub issuer: Option<String>,
    /// OAuth 2.0: where codes and refresh tokens become access tokens.
    pub token_endpoint: Option<String>,
    /// OAuth 2.0: where a login begins.
    pub authorization_endpoint: Option<String>,
    /// OAuth 2.0: where tokens are ended (RFC 7009).
    pub revocation_endpoint: Option<String>,
    /// OAuth 2.0: where tokens are asked about (RFC 7662).
    pub introspection_endpoint: Option<String>,
    /// OAuth 2.0: where a login on another device begins (RFC 8628).
    pub device_authorization_endpoint: Option<String>,
    /// OAuth 2.0: how the application shows who it is.
    pub client_auth: Option<ClientAuth>,
    /// Scopes to ask for in a login.
    pub scopes: Vec<String>,
    /// The redirect address that is registered with the provider.
    pub redirect_uri: Option<String>,
}

/// The protocol that a provider speaks: the `kind` of a `[provider.NAME]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Square.
    Square,
    /// Wix.
    Wix,
    /// Any OAuth 2.0 provider (RFC 6749).
    OAuth2,
}

/// Square's two worlds: nothing of one works in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SquareEnvironment {
    /// Real merchants.
    Production,
    /// Test accounts.
    Sandbox,
}

impl ProviderKind {
    /// The word in the config file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Square => "square",
            Self::Wix => "wix",
            Self::OAuth2 => "oauth2",
        }
    }
}

impl SquareEnvironment {
    /// Its API's address.
    #[must_use]
    pub const fn base_url(self) -> &'static str {
        match self {
            Self::Production => "https://connect.squareup.com",
            Self::Sandbox => "https://connect.squareupsandbox.com",
        }
    }
}

impl std::str::FromStr for SquareEnvironment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "production" => Ok(Self::Production),
            "sandbox" => Ok(Self::Sandbox),
            _ => Err("is neither 'production' nor 'sandbox'".to_owned()),
        }
    }
}

/// Which of Wix's credentials an application uses; they do not mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WixMode {
    /// An app on one site: client credentials with the instance.
    App,
    /// An app with "custom authentication (legacy)": codes and refresh tokens of `/oauth/access`.
    Legacy,
    /// A public headless client: a site's visitor or member.
    Headless,
    /// A headless project's own credentials.
    HeadlessAdmin,
}

impl WixMode {
    /// The word in the config file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Legacy => "legacy",
            Self::Headless => "headless",
            Self::HeadlessAdmin => "headless-admin",
        }
    }
}

impl FileConfig {
    /// Loads the file; the defaults where there is none.
    ///
    /// # Errors
    /// What is wrong with it, and that others can write it, or read a secret in it: it names programs to be run.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let Some((bytes, mode)) = fsutil::read_trusted(path, LIMIT)? else {
            return Ok(Self::default());
        };
        let text = String::from_utf8(bytes).map_err(|_| ConfigError::Syntax {
            path: path.display().to_string(),
            line: 1,
            message: "the file is not UTF-8 text".to_owned(),
        })?;
        let config = Self::parse(&text, path)?;
        let sources = config.provider.values().map(|provider| &provider.client_secret).chain([&config.store.key]);
        let has_secret =
            sources.flat_map(|sources| &sources.0).any(|source| matches!(source, SecretSource::Literal(_)))
                || config.store.url.as_deref().is_some_and(has_password);
        if has_secret && mode & 0o077 != 0 {
            return Err(FsError::Exposed { path: path.to_owned(), mode, wanted: 0o600 }.into());
        }
        Ok(config)
    }

    /// Parses the text of a config file.
    ///
    /// # Errors
    /// The key or value that is wrong, with its line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().map_or(0, |span| span.start.min(text.len()));
            ConfigError::Syntax {
                path: path.display().to_string(),
                line: text.get(..before).unwrap_or_default().matches('\n').count() + 1,
                message: refuse_grants(suggest(without_values(error.message()), error.message())),
            }
        })?;
        tables::check(&config.provider).map_err(|objection| ConfigError::Syntax {
            path: path.display().to_string(),
            line: objection.line(text),
            message: objection.why,
        })?;
        Ok(config)
    }
}

/// Parser messages quote the text that they did not like, which may be a secret in the wrong place.
fn without_values(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    for kind in ["string", "integer", "floating point", "boolean"] {
        let quoted = format!("{kind} ");
        if let Some((before, rest)) = message.split_once(&quoted)
            && let Some((_, after)) = rest.rsplit_once(", expected")
        {
            return format!("{before}{kind}, expected{after}");
        }
    }
    message
        .strip_prefix("unknown variant `")
        .and_then(|rest| rest.split_once("`, "))
        .map_or_else(|| crate::model::text::escape(message, 300), |(_, expected)| format!("unknown value, {expected}"))
}

/// Adds the key that was probably meant by one that is none. `whole` is the message before it was cut.
fn suggest(message: String, whole: &str) -> String {
    let Some(rest) = whole.strip_prefix("unknown field `") else { return message };
    let mut quoted = rest.split('`').step_by(2);
    let Some(key) = quoted.next() else { return message };
    let Some(meant) = text::nearest(key, quoted) else { return message };
    let known = message.split_once("`, expected").map_or("", |(_, known)| known);
    format!("unknown field `{}`, did you mean `{meant}`? Expected{known}", text::escape(key, 60))
}

/// Says why there is no key for a grant, where somebody looked for one.
fn refuse_grants(message: String) -> String {
    const KEYS: [&str; 5] = ["grant", "grant_type", "response_type", "username", "password"];
    let asked = KEYS.iter().find(|key| message.starts_with(&format!("unknown field `{key}`")));
    asked.map_or(message, |key| {
        format!(
            "unknown field `{key}`: the password grant and the implicit grant are refused (RFC 9700 §2.4, §2.1.2); \
             which of the others is used, the options of 'tokman obtain' say"
        )
    })
}

fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text).map(Some).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        FileConfig::parse(text, Path::new("config.toml")).unwrap_err().to_string()
    }

    #[test]
    fn reads_a_whole_file() {
        let config = FileConfig::parse(
            r#"
            [defaults]
            provider = "square"
            min_ttl = "60s"
            [store]
            url = "file"
            [provider.square]
            client_id = "sq0idp-x"
            client_secret = { file = "/run/secrets/square" }
            environment = "sandbox"
            scopes = ["PAYMENTS_READ"]
            [provider.wix]
            mode = "headless-admin"
            "#,
            Path::new("c"),
        )
        .unwrap();
        assert_eq!(config.defaults.min_ttl, Some(Duration::from_secs(60)));
        assert_eq!(config.provider["square"].environment, Some(SquareEnvironment::Sandbox));
        assert_eq!(config.provider["wix"].mode, Some(WixMode::HeadlessAdmin));
    }

    #[test]
    fn names_an_unknown_key_and_its_line() {
        let text = error("[defaults]\nprovider = \"square\"\n\n[provider.square]\nclient_idd = \"x\"\n");
        assert!(text.starts_with("config.toml:5: unknown field `client_idd`"), "{text}");
        assert!(text.contains("did you mean `client_id`?"), "{text}");
        assert!(error("[provider.a]\nreddirect_url = 1\n").contains("did you mean `redirect_uri`?"));
        assert!(!error("[provider.a]\nzzz = 1\n").contains("did you mean"));
        assert!(error("[defauts]\n").contains("did you mean `defaults`?"));
        assert!(error("[defauts]\n").starts_with("config.toml:1: unknown field `defauts`"));
    }

    #[test]
    fn refuses_the_password_grant_and_the_implicit_grant() {
        for line in
            ["grant = \"password\"", "grant_type = \"password\"", "response_type = \"token\"", "username = \"u\""]
        {
            let text = error(&format!("[provider.acme]\nkind = \"oauth2\"\n{line}\n"));
            assert!(text.starts_with("config.toml:3: unknown field `"), "{text}");
            assert!(text.contains("the password grant and the implicit grant are refused"), "{text}");
        }
    }

    #[test]
    fn shows_no_value_in_an_error() {
        for text in [
            "[provider.square]\nclient_secret = \"canary\" x",
            "[provider.square]\nclient_secret = \"canary",
            "[provider.square]\nscopes = \"canary\"",
            "[provider.square]\nenvironment = \"canary\"",
            "[provider.square]\nmode = \"canary, expected\"",
            "[provider.square]\nclient_secret = { command = \"canary\" }",
            "[provider]\nsquare = \"canary\"",
        ] {
            let error = error(text);
            assert!(!error.contains("canary"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = FileConfig::parse(&text, Path::new("c"));
        }
    }
}
