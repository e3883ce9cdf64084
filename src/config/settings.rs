//! The checked settings: for each value the option, then the environment, then the config file, then the default;
//! the first found wins, and where it came from is remembered.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::config::file::{FileConfig, ProviderConfig, ProviderKind, SquareEnvironment, WixMode};
use crate::config::{ConfigError, SecretSource, address, config_file, paths};
use crate::env;
use crate::model::{Key, ProfileName, ProviderName, Secret};

/// Where Wix's API is.
const WIX_BASE_URL: &str = "https://www.wixapis.com";

/// How long a printed token must still live where nobody says otherwise.
const MIN_TTL: Duration = Duration::from_secs(60);

/// The names that need no `[provider.NAME]` table.
const BUILT_IN: [(&str, ProviderKind); 2] = [("square", ProviderKind::Square), ("wix", ProviderKind::Wix)];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Option(&'static str),
    /// An environment variable.
    Env(String),
    /// A key of the config file.
    File(String),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) => f.write_str(name),
            Self::Env(name) => f.write_str(name),
            Self::File(key) => write!(f, "{key} in config.toml"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A value of an origin.
    pub const fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// Turns the value into another; a failure becomes an error that names the origin. A value from the command line
    /// is the caller's mistake.
    fn parse<U>(self, parse: impl FnOnce(T) -> Result<U, String>) -> Result<Setting<U>, ConfigError> {
        match parse(self.value) {
            Ok(value) => Ok(Setting { value, origin: self.origin }),
            Err(why) if matches!(self.origin, Origin::Option(_)) => {
                Err(ConfigError::Usage(format!("{}: {why}", self.origin)))
            }
            Err(why) => Err(ConfigError::Value { origin: self.origin, why }),
        }
    }
}

/// What the command line says; absent where it says nothing.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--provider`
    pub provider: Option<String>,
    /// `--profile`
    pub profile: Option<String>,
    /// `--config-dir`
    pub config_dir: Option<PathBuf>,
    /// `--store`
    pub store: Option<String>,
    /// `--client-id`
    pub client_id: Option<String>,
    /// `--client-secret-file`
    pub client_secret_file: Option<PathBuf>,
    /// `--instance-id`
    pub instance_id: Option<String>,
    /// `--environment`
    pub environment: Option<String>,
}

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// Token files in this directory.
    File(PathBuf),
}

/// The settings of one run.
#[derive(Debug)]
pub struct Settings {
    /// The config directory.
    pub config_dir: PathBuf,
    /// The store.
    pub store: Setting<StoreUrl>,
    /// The provider that was named; absent where none was.
    pub provider: Option<Setting<ProviderName>>,
    /// The profile.
    pub profile: Setting<ProfileName>,
    /// How long a printed token must still live.
    pub min_ttl: Setting<Duration>,
    options: Options,
    file: FileConfig,
}

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
    /// Scopes to ask for in a login; empty: the provider's default.
    pub scopes: Setting<Vec<String>>,
    /// The redirect address that is registered; absent where the default is.
    pub redirect_uri: Option<Setting<Url>>,
    /// A refresh token from the environment, for when nothing is stored.
    pub seed: Option<Secret>,
    config_file: PathBuf,
}

impl Settings {
    /// Loads the config file and puts the settings together.
    ///
    /// # Errors
    /// What is wrong with a value, naming where it came from.
    pub fn load(options: Options) -> Result<Self, ConfigError> {
        let config_dir = paths::config_dir(options.config_dir.clone())?;
        let file = FileConfig::load(&config_file(&config_dir))?;
        Self::assemble(options, config_dir, file)
    }

    fn assemble(options: Options, config_dir: PathBuf, file: FileConfig) -> Result<Self, ConfigError> {
        let provider = first([
            option("--provider", options.provider.clone()),
            from_env(env::PROVIDER),
            in_file("[defaults] provider", file.defaults.provider.clone()),
        ])
        .map(|setting| setting.parse(|name| name.parse().map_err(|error: crate::model::NameError| error.to_string())))
        .transpose()?;
        let profile = first([option("--profile", options.profile.clone()), from_env(env::PROFILE)])
            .unwrap_or_else(|| Setting::new("default".to_owned(), Origin::Default))
            .parse(|name| name.parse().map_err(|error: crate::model::NameError| error.to_string()))?;
        let store = first([
            option("--store", options.store.clone()),
            from_env(env::STORE),
            in_file("[store] url", file.store.url.clone()),
        ])
        .unwrap_or_else(|| Setting::new("file".to_owned(), Origin::Default));
        if matches!(store.origin, Origin::Option(_)) && has_password(&store.value) {
            return Err(ConfigError::Usage(
                "--store: a password on the command line is readable by everyone on this machine; use PGPASSWORD, a passfile, TOKMAN_STORE or the config file".to_owned(),
            ));
        }
        let store = store.parse(|url| store_url(&url, &config_dir))?;
        let min_ttl = in_file("[defaults] min_ttl", file.defaults.min_ttl)
            .unwrap_or(Setting { value: MIN_TTL, origin: Origin::Default });
        Ok(Self { config_dir, store, provider, profile, min_ttl, options, file })
    }

    /// The key that the command is about.
    ///
    /// # Errors
    /// [`ConfigError::NoProvider`] where no provider was named.
    pub fn key(&self) -> Result<Key, ConfigError> {
        let provider = self.provider.as_ref().ok_or(ConfigError::NoProvider)?.value.clone();
        Ok(Key { provider, profile: self.profile.value.clone() })
    }

    /// The names of the providers that are known, built in and described.
    #[must_use]
    pub fn known_providers(&self) -> Vec<String> {
        let mut names: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
        names
            .extend(self.file.provider.keys().filter(|name| !BUILT_IN.iter().any(|(known, _)| known == name)).cloned());
        names
    }

    /// The settings of a provider. The command line's apply to the provider that the command is about.
    ///
    /// # Errors
    /// An unknown provider, or a value of it that is wrong.
    pub fn provider(&self, name: &ProviderName) -> Result<ProviderSettings, ConfigError> {
        let nothing = ProviderConfig::default();
        let described = self.file.provider.get(name.as_str());
        let built_in = BUILT_IN.iter().find(|(known, _)| *known == name.as_str()).map(|(_, kind)| *kind);
        let kind = described
            .and_then(|config| config.kind)
            .or(built_in)
            .ok_or_else(|| ConfigError::UnknownProvider { name: name.to_string(), known: self.known_providers() })?;
        let config = described.unwrap_or(&nothing);
        let named = self.provider.as_ref().is_none_or(|named| named.value == *name);
        let blank = Options::default();
        let options = if named { &self.options } else { &blank };
        let key = |key: &str| format!("[provider.{name}] {key}");
        let text = |flag, given: &Option<String>, variable: env::Name, config_key: &str, in_config: &Option<String>| {
            first([
                option(flag, given.clone()),
                from_env(&variable.of(name)),
                in_file(&key(config_key), in_config.clone()),
            ])
        };
        Ok(ProviderSettings {
            kind,
            base_url: base_url(name, kind, options, config)?,
            client_id: text("--client-id", &options.client_id, env::Name::ClientId, "client_id", &config.client_id),
            client_secret: client_secret(name, options, config),
            instance_id: text(
                "--instance-id",
                &options.instance_id,
                env::Name::InstanceId,
                "instance_id",
                &config.instance_id,
            ),
            mode: in_file(&key("mode"), config.mode),
            scopes: Setting::new(
                config.scopes.clone(),
                if config.scopes.is_empty() { Origin::Default } else { Origin::File(key("scopes")) },
            ),
            redirect_uri: in_file(&key("redirect_uri"), config.redirect_uri.clone())
                .map(|setting| setting.parse(|text| redirect_uri(&text)))
                .transpose()?,
            seed: env::text(&env::Name::RefreshToken.of(name)).map(Secret::new),
            name: name.clone(),
            config_file: config_file(&self.config_dir),
        })
    }
}

impl ProviderSettings {
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

/// Checks a redirect address: https, or http on loopback, as the providers accept them.
///
/// # Errors
/// What is wrong with it, in words that follow "the address".
pub fn redirect_uri(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not an address ({error})"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if address::is_loopback(&url) => Ok(url),
        _ => Err("must be https, or http on localhost: providers register no other redirect address".to_owned()),
    }
}

/// The base address, level by level: on each of option, environment and file an address wins over Square's environment.
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
        if !is_square {
            return Err(ConfigError::Usage(format!("--environment is Square's; {name} has none")));
        }
        Some(world(given)?)
    } else if let Some(address) = from_env(&env::Name::BaseUrl.of(name)) {
        Some(address)
    } else if let Some(given) = from_env(&env::Name::Environment.of(name)).filter(|_| is_square) {
        Some(world(given)?)
    } else if let Some(address) = in_file(&key("base_url"), config.base_url.clone()) {
        Some(address)
    } else {
        in_file(&key("environment"), config.environment.filter(|_| is_square))
            .map(|s| Setting::new(s.value.base_url().to_owned(), s.origin))
    };
    let default = match kind {
        ProviderKind::Square => SquareEnvironment::Production.base_url(),
        ProviderKind::Wix => WIX_BASE_URL,
    };
    found
        .unwrap_or_else(|| Setting::new(default.to_owned(), Origin::Default))
        .parse(|text| address::parse(&text).map_err(|why| format!("the address {why}")))
}

fn client_secret(name: &ProviderName, options: &Options, config: &ProviderConfig) -> Setting<Vec<SecretSource>> {
    let from_option = option("--client-secret-file", options.client_secret_file.clone()).map(|setting| {
        let source =
            if setting.value == Path::new("-") { SecretSource::Stdin } else { SecretSource::File(setting.value) };
        Setting::new(vec![source], setting.origin)
    });
    let from_variable = from_env(&env::Name::ClientSecret.of(name))
        .map(|setting| Setting::new(vec![SecretSource::Literal(Secret::new(setting.value))], setting.origin));
    let from_file_variable = from_env(&env::Name::ClientSecretFile.of(name))
        .map(|setting| Setting::new(vec![SecretSource::File(setting.value.into())], setting.origin));
    let in_config = Some(config.client_secret.0.clone()).filter(|sources| !sources.is_empty());
    first([
        from_option,
        from_variable,
        from_file_variable,
        in_file(&format!("[provider.{name}] client_secret"), in_config),
    ])
    .unwrap_or(Setting { value: Vec::new(), origin: Origin::Default })
}

fn store_url(text: &str, config_dir: &Path) -> Result<StoreUrl, String> {
    match text.split_once(':') {
        None if text == "file" => Ok(StoreUrl::File(config_dir.join("tokens"))),
        Some(("file", path)) => {
            let path = path.strip_prefix("//").unwrap_or(path);
            if Path::new(path).is_absolute() {
                Ok(StoreUrl::File(path.into()))
            } else {
                Err("write the whole path, as file:/var/lib/tokman".to_owned())
            }
        }
        None if text == "keyring" => Err("the store 'keyring' is not in this build yet".to_owned()),
        Some(("postgres" | "postgresql", _)) => Err("the store 'postgres' is not in this build yet".to_owned()),
        _ => Err("a store is 'file' or 'file:/path'".to_owned()),
    }
}

/// Whether a store's URL has a password in it.
fn has_password(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password"))
}

fn first<T, const N: usize>(settings: [Option<Setting<T>>; N]) -> Option<Setting<T>> {
    settings.into_iter().flatten().next()
}

fn option<T>(name: &'static str, value: Option<T>) -> Option<Setting<T>> {
    value.map(|value| Setting::new(value, Origin::Option(name)))
}

fn from_env(name: &str) -> Option<Setting<String>> {
    env::text(name).map(|value| Setting::new(value, Origin::Env(name.to_owned())))
}

fn in_file<T>(key: &str, value: Option<T>) -> Option<Setting<T>> {
    value.map(|value| Setting::new(value, Origin::File(key.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: Options, toml: &str) -> Result<Settings, ConfigError> {
        Settings::assemble(options, "/c".into(), FileConfig::parse(toml, Path::new("config.toml"))?)
    }

    fn name(text: &str) -> ProviderName {
        text.parse().unwrap()
    }

    #[test]
    fn takes_the_option_before_the_file_and_remembers_where_from() {
        let toml = "[provider.square]\nclient_id = \"from-file\"\nenvironment = \"sandbox\"\n";
        let both = Options { client_id: Some("from-option".into()), ..Options::default() };
        let square = settings(both, toml).unwrap().provider(&name("square")).unwrap();
        assert_eq!(square.client_id, Some(Setting::new("from-option".into(), Origin::Option("--client-id"))));
        assert_eq!(square.base_url.value.as_str(), "https://connect.squareupsandbox.com/");
        assert_eq!(square.base_url.origin.to_string(), "[provider.square] environment in config.toml");
    }

    #[test]
    fn lists_the_known_providers_for_an_unknown_one() {
        let settings = settings(Options::default(), "[provider.shop]\nkind = \"square\"\n").unwrap();
        let error = settings.provider(&name("sqare")).unwrap_err();
        assert_eq!(error.to_string(), "unknown provider 'sqare'; known are square, wix, shop");
        assert_eq!(settings.provider(&name("shop")).unwrap().kind, ProviderKind::Square);
    }

    #[test]
    fn names_the_three_ways_to_give_what_is_missing() {
        let square = settings(Options::default(), "").unwrap().provider(&name("square")).unwrap();
        let remedy = square.client_id().unwrap_err().remedy().unwrap();
        for way in ["--client-id", "TOKMAN_SQUARE_CLIENT_ID", "[provider.square] in /c/config.toml"] {
            assert!(remedy.contains(way), "{remedy}");
        }
    }

    #[test]
    fn refuses_a_password_on_the_command_line_and_other_stores() {
        for url in ["postgres://u:canary@db/x", "postgres://db/x?password=canary"] {
            let options = Options { store: Some(url.into()), ..Options::default() };
            let error = settings(options, "").unwrap_err();
            assert!(matches!(error, ConfigError::Usage(_)) && !error.to_string().contains("canary"), "{error}");
        }
        for (url, ok) in [("file", true), ("file:/x", true), ("file:///x", true), ("file:x", false), ("s3:x", false)] {
            let options = Options { store: Some(url.into()), ..Options::default() };
            assert_eq!(settings(options, "").is_ok(), ok, "{url}");
        }
    }

    #[test]
    fn refuses_an_address_that_is_not_safe_naming_where_it_stands() {
        let toml = "[provider.square]\nbase_url = \"http://127.0.0.1.evil.test\"\n";
        let error = settings(Options::default(), toml).unwrap().provider(&name("square")).unwrap_err();
        assert!(error.to_string().starts_with("[provider.square] base_url in config.toml: the address must be https"));
    }
}
