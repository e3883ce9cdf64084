//! The settings of one provider.

use std::path::{Path, PathBuf};

use url::Url;

use crate::config::file::{ProviderConfig, ProviderKind, SquareEnvironment, WixMode};
use crate::config::oauth2::{self, OAuth2Settings};
use crate::config::setting::{Origin, Setting, first, from_env, in_file, option, path_from_env};
use crate::config::settings::Options;
use crate::config::{ConfigError, SecretSource, address};
use crate::env;
use crate::model::{ProviderName, Secret};

/// Where Wix's API is.
const WIX_BASE_URL: &str = "https://www.wixapis.com";

/// The settings of one provider.
#[derive(Debug)]
pub struct ProviderSettings {
    /// Its name.
    pub name: ProviderName,
    /// What it speaks.
    pub kind: ProviderKind,
    /// Where its API is.
    pub base_url: Setting<Url>,
    /// The client identifier; absent where none is set.
    pub client_id: Option<Setting<String>>,
    /// Where the client secret may be, in the order to try.
    pub client_secret: Setting<Vec<SecretSource>>,
    /// Wix: the app instance.
    pub instance_id: Option<Setting<String>>,
    /// Wix: the sort of credential.
    pub mode: Option<Setting<WixMode>>,
    /// OAuth 2.0: where its endpoints are; absent for the other kinds.
    pub oauth2: Option<OAuth2Settings>,
    /// Scopes to ask for in a login; empty: the provider's default.
    pub scopes: Setting<Vec<String>>,
    /// The redirect address that is registered; absent where the default is.
    pub redirect_uri: Option<Setting<Url>>,
    /// A refresh token from the environment, for when nothing is stored.
    pub seed: Option<Secret>,
    config_file: PathBuf,
}

impl ProviderSettings {
    /// Puts the settings of a provider together.
    ///
    /// # Errors
    /// A value that is wrong, naming where it came from.
    pub(super) fn assemble(
        name: &ProviderName,
        kind: ProviderKind,
        options: &Options,
        config: &ProviderConfig,
        config_file: PathBuf,
    ) -> Result<Self, ConfigError> {
        let key = |key: &str| format!("[provider.{name}] {key}");
        let text = |flag, given: &Option<String>, variable: env::Name, config_key: &str, in_config: &Option<String>| {
            let said = first([
                option(flag, given.clone()),
                bare(from_env(&variable.of(name))?),
                in_file(&key(config_key), in_config.clone()),
            ]);
            said.map(|setting| setting.parse(on_one_line)).transpose()
        };
        refuse_foreign(name, kind, options)?;
        let (base_url, oauth2) = if kind == ProviderKind::OAuth2 {
            let (base_url, oauth2) = oauth2::assemble(name, config, &config_file)?;
            (base_url, Some(oauth2))
        } else {
            (base_url(name, kind, options, config)?, None)
        };
        Ok(Self {
            kind,
            base_url,
            oauth2,
            client_id: text("--client-id", &options.client_id, env::Name::ClientId, "client_id", &config.client_id)?,
            client_secret: client_secret(name, options, config)?,
            // Nobody else has one: that was looked at.
            instance_id: if kind == ProviderKind::Wix {
                let config_key = &config.instance_id;
                text("--instance-id", &options.instance_id, env::Name::InstanceId, "instance_id", config_key)?
            } else {
                None
            },
            mode: option("--legacy", options.legacy.then_some(WixMode::Legacy))
                .or_else(|| in_file(&key("mode"), config.mode)),
            scopes: Setting::new(
                config.scopes.clone(),
                if config.scopes.is_empty() { Origin::Default } else { Origin::File(key("scopes")) },
            ),
            redirect_uri: in_file(&key("redirect_uri"), config.redirect_uri.clone())
                .map(|setting| setting.parse(|text| redirect_uri(&text)))
                .transpose()?,
            seed: bare(from_env(&env::Name::RefreshToken.of(name))?)
                .map(|setting| setting.parse(on_one_line))
                .transpose()?
                .map(|setting| Secret::new(setting.value)),
            name: name.clone(),
            config_file,
        })
    }

    /// The client secret in words, for messages.
    #[must_use]
    pub fn secret_name(&self) -> String {
        format!("the client secret of {}", self.name)
    }

    /// The client identifier.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] naming the ways to give it.
    pub fn client_id(&self) -> Result<&str, ConfigError> {
        self.client_id
            .as_ref()
            .map(|setting| setting.value.as_str())
            .ok_or_else(|| self.missing("client id", "--client-id ID", env::Name::ClientId, "client_id = \"…\""))
    }

    /// The error for a secret that is needed and not there.
    #[must_use]
    pub fn missing_secret(&self) -> ConfigError {
        self.missing(
            "client secret",
            "--client-secret-file PATH",
            env::Name::ClientSecret,
            "client_secret = { file = \"…\" }",
        )
    }

    /// The error for an app instance that is needed and not there.
    #[must_use]
    pub fn missing_instance(&self) -> ConfigError {
        self.missing("app instance", "--instance-id ID", env::Name::InstanceId, "instance_id = \"…\"")
    }

    /// Where the metadata of an OAuth 2.0 issuer is kept between runs.
    #[must_use]
    pub fn metadata_file(&self) -> PathBuf {
        self.config_file.with_file_name("metadata").join(format!("{}.json", self.name))
    }

    fn missing(&self, what: &'static str, flag: &str, variable: env::Name, line: &str) -> ConfigError {
        ConfigError::Missing {
            what,
            provider: self.name.to_string(),
            ways: format!(
                "give {flag}, set {}, or write {line} under [provider.{}] in {}",
                variable.of(&self.name),
                self.name,
                self.config_file.display()
            ),
        }
    }
}

/// A variable without the blanks and line breaks around it, which files and secret stores add; absent where nothing is
/// left.
fn bare(setting: Option<Setting<String>>) -> Option<Setting<String>> {
    setting.map(|setting| setting.map(|text| text.trim().to_owned())).filter(|setting| !setting.value.is_empty())
}

/// What is sent as it is has no control character in it: a provider would take the whole for something else.
fn on_one_line(text: String) -> Result<String, String> {
    if text.contains(char::is_control) { Err("has a control character in it".to_owned()) } else { Ok(text) }
}

/// Checks a redirect address: https, or http on loopback, as the providers accept them; without a fragment (RFC 6749
/// §3.1.2) or somebody's name and password.
///
/// # Errors
/// What is wrong with it, in words that follow "the address".
pub fn redirect_uri(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not an address ({error})"))?;
    bare_redirect_uri(&url)?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if address::is_loopback(&url) => Ok(url),
        _ => Err("must be https, or http on localhost: providers register no other redirect address".to_owned()),
    }
}

/// Checks what no redirect address has, whatever its scheme.
///
/// # Errors
/// What is wrong with it, in words that follow "the address".
pub fn bare_redirect_uri(url: &Url) -> Result<(), String> {
    if url.fragment().is_some() {
        return Err("has a fragment, which no redirect address has (RFC 6749 §3.1.2)".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name in it: what stands before '@' is not the host".to_owned());
    }
    Ok(())
}

/// Refuses what only another kind of provider has: whoever asks for a sandbox and is not heard is in production. What
/// stands in the config file is looked at when that is loaded.
fn refuse_foreign(name: &ProviderName, kind: ProviderKind, options: &Options) -> Result<(), ConfigError> {
    for (of, whose, flag, given, variable) in [
        (ProviderKind::Square, "Square's", "--environment", &options.environment, env::Name::Environment),
        (ProviderKind::Wix, "Wix's", "--instance-id", &options.instance_id, env::Name::InstanceId),
    ] {
        if kind == of {
            continue;
        }
        if given.is_some() {
            return Err(ConfigError::Usage(format!("{flag} is {whose}; {name} has none")));
        }
        if let Some(setting) = from_env(&variable.of(name))? {
            return Err(ConfigError::Value { origin: setting.origin, why: format!("is {whose}; {name} has none") });
        }
    }
    Ok(())
}

/// The base address of Square or Wix, level by level: on each of option, environment and file an address wins over Square's environment.
fn base_url(
    name: &ProviderName,
    kind: ProviderKind,
    options: &Options,
    config: &ProviderConfig,
) -> Result<Setting<Url>, ConfigError> {
    let key = |key: &str| format!("[provider.{name}] {key}");
    let world = |setting: Setting<String>| {
        setting
            .parse(|text| text.parse::<SquareEnvironment>())
            .map(|s| Setting::new(s.value.base_url().to_owned(), s.origin))
    };
    let is_square = kind == ProviderKind::Square;
    let found = if let Some(given) = option("--environment", options.environment.clone()) {
        Some(world(given)?)
    } else if let Some(address) = from_env(&env::Name::BaseUrl.of(name))? {
        Some(address)
    } else if is_square && let Some(given) = from_env(&env::Name::Environment.of(name))? {
        Some(world(given)?)
    } else if let Some(address) = in_file(&key("base_url"), config.base_url.clone()) {
        Some(address)
    } else {
        in_file(&key("environment"), config.environment.filter(|_| is_square))
            .map(|s| Setting::new(s.value.base_url().to_owned(), s.origin))
    };
    let default = if is_square { SquareEnvironment::Production.base_url() } else { WIX_BASE_URL };
    found
        .unwrap_or_else(|| Setting::new(default.to_owned(), Origin::Default))
        .parse(|text| address::parse(&text).map_err(|why| format!("the address {why}")))
}

fn client_secret(
    name: &ProviderName,
    options: &Options,
    config: &ProviderConfig,
) -> Result<Setting<Vec<SecretSource>>, ConfigError> {
    let from_option = option("--client-secret-file", options.client_secret_file.clone()).map(|setting| {
        let source =
            if setting.value == Path::new("-") { SecretSource::Stdin } else { SecretSource::File(setting.value) };
        Setting::new(vec![source], setting.origin)
    });
    let variable = env::Name::ClientSecret.of(name);
    let from_variable = from_env(&variable)?.map(|setting| setting.map(|_| vec![SecretSource::Env(variable.clone())]));
    let from_file_variable = path_from_env(&env::Name::ClientSecretFile.of(name))
        .map(|setting| Setting::new(vec![SecretSource::File(setting.value)], setting.origin));
    let in_config = Some(config.client_secret.0.clone()).filter(|sources| !sources.is_empty());
    let found = first([
        from_option,
        from_variable,
        from_file_variable,
        in_file(&format!("[provider.{name}] client_secret"), in_config),
    ]);
    Ok(found.unwrap_or(Setting { value: Vec::new(), origin: Origin::Default }))
}
