//! The checked settings: for each value the option, then the environment, then the config file, then the default;
//! the first found wins, and where it came from is remembered.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::file::{FileConfig, HooksConfig, ProviderConfig};
use crate::config::postgres::{Objection, PostgresSettings, has_password};
use crate::config::setting::{Origin, Setting, first, from_env, in_file, option, path_from_env};
use crate::config::tables::{self, BUILT_IN};
use crate::config::{ConfigError, ProviderSettings, SecretSource, config_file, paths};
use crate::env;
use crate::model::{Key, NameError, ProfileName, ProviderName};

/// The profile that stands for "named after whoever answers".
const BY_ACCOUNT: &str = "@account";

/// The profile that stands in for a name that only the answer tells. Two logins of that sort take turns.
const UNNAMED: &str = "account.pending";

/// The keyring's entry that has the key of the store `keyring`.
pub const KEYRING_ENTRY: &str = "sealing key";

/// How long a printed token must still live where nobody says otherwise.
const MIN_TTL: Duration = Duration::from_secs(60);

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
    /// `--legacy`: Wix's older installer, whatever else would be chosen.
    pub legacy: bool,
}

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// Token files in this directory.
    File(PathBuf),
    /// Token files in this directory, sealed with a key that the platform's keyring keeps.
    Keyring(PathBuf),
    /// A PostgreSQL database.
    Postgres(Box<PostgresSettings>),
}

/// Never with a password in it.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(root) => write!(f, "file:{}", root.display()),
            Self::Keyring(_) => f.write_str("keyring"),
            Self::Postgres(settings) => settings.fmt(f),
        }
    }
}

impl StoreUrl {
    /// The directory of the token files; `None` where tokens are kept elsewhere.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::File(root) | Self::Keyring(root) => Some(root),
            Self::Postgres(_) => None,
        }
    }
}

/// The settings of one run.
#[derive(Debug)]
pub struct Settings {
    /// The config directory.
    pub config_dir: PathBuf,
    /// The store.
    pub store: Setting<StoreUrl>,
    /// Where the key is that seals what the store keeps; of several the first seals and all open. Empty: nothing is sealed.
    pub store_key: Setting<Vec<SecretSource>>,
    /// The provider that was named; absent where none was.
    pub provider: Option<Setting<ProviderName>>,
    /// The profile.
    pub profile: Setting<ProfileName>,
    /// Whether the profile is to be named after the account that answers: `--profile @account`.
    pub by_account: bool,
    /// How long a printed token must still live.
    pub min_ttl: Setting<Duration>,
    options: Options,
    file: FileConfig,
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

    /// Puts the settings together without the config file, where that cannot be obeyed.
    ///
    /// # Errors
    /// As for [`Settings::load`].
    pub fn load_without_file(options: Options) -> Result<Self, ConfigError> {
        let config_dir = paths::config_dir(options.config_dir.clone())?;
        Self::assemble(options, config_dir, FileConfig::default())
    }

    fn assemble(options: Options, config_dir: PathBuf, file: FileConfig) -> Result<Self, ConfigError> {
        let provider = first([
            option("--provider", options.provider.clone()),
            from_env(env::PROVIDER)?,
            in_file("[defaults] provider", file.defaults.provider.clone()),
        ])
        .map(|setting| setting.parse(|name| name.parse().map_err(|error: NameError| error.to_string())))
        .transpose()?;
        let profile = first([option("--profile", options.profile.clone()), from_env(env::PROFILE)?])
            .unwrap_or_else(|| Setting::new("default".to_owned(), Origin::Default));
        let by_account = profile.value == BY_ACCOUNT;
        let profile = if by_account { Setting::new(UNNAMED.to_owned(), profile.origin) } else { profile };
        let profile = profile.parse(|name| name.parse().map_err(|error: NameError| error.to_string()))?;
        let store = first([
            option("--store", options.store.clone()),
            from_env(env::STORE)?,
            in_file("[store] url", file.store.url.clone()),
        ])
        .unwrap_or_else(|| Setting::new("file".to_owned(), Origin::Default));
        if matches!(store.origin, Origin::Option(_)) && has_password(&store.value) {
            return Err(ConfigError::Usage(
                "--store: a password on the command line is readable by everyone on this machine; use PGPASSWORD, a passfile, TOKMAN_STORE or the config file".to_owned(),
            ));
        }
        let store = store_url(store, &config_dir)?;
        let store_key = first([
            from_env(env::STORE_KEY)?.map(|key| key.map(|_| vec![SecretSource::Env(env::STORE_KEY.to_owned())])),
            path_from_env(env::STORE_KEY_FILE).map(|path| path.map(|path| vec![SecretSource::File(path)])),
            in_file("[store] key", Some(file.store.key.0.clone()).filter(|sources| !sources.is_empty())),
        ])
        .unwrap_or(Setting { value: Vec::new(), origin: Origin::Default });
        let store_key = match &store.value {
            // Others that are configured open what they sealed before.
            StoreUrl::Keyring(_) => {
                let kept = SecretSource::Keyring(KEYRING_ENTRY.to_owned());
                Setting::new(std::iter::once(kept).chain(store_key.value).collect(), store.origin.clone())
            }
            StoreUrl::File(_) | StoreUrl::Postgres(_) => store_key,
        };
        let min_ttl = in_file("[defaults] min_ttl", file.defaults.min_ttl)
            .unwrap_or(Setting { value: MIN_TTL, origin: Origin::Default });
        Ok(Self { config_dir, store, store_key, provider, profile, by_account, min_ttl, options, file })
    }

    /// The key that the command is about.
    ///
    /// # Errors
    /// [`ConfigError::NoProvider`] where no provider was named; a profile that only the answer names.
    pub fn key(&self) -> Result<Key, ConfigError> {
        if self.by_account {
            return Err(ConfigError::Usage(format!(
                "--profile {BY_ACCOUNT} names a profile after the account that answers: only 'obtain' takes it"
            )));
        }
        self.key_or_account()
    }

    /// The key that an answer is stored under; with [`Settings::by_account`] the one that stands in until it is there.
    ///
    /// # Errors
    /// [`ConfigError::NoProvider`] where no provider was named.
    pub fn key_or_account(&self) -> Result<Key, ConfigError> {
        let provider = self.provider.as_ref().ok_or(ConfigError::NoProvider)?.value.clone();
        Ok(Key { provider, profile: self.profile.value.clone() })
    }

    /// The hooks.
    #[must_use]
    pub const fn hooks(&self) -> &HooksConfig {
        &self.file.hooks
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
        let kind = tables::kind_of(name, described)
            .ok_or_else(|| ConfigError::UnknownProvider { name: name.to_string(), known: self.known_providers() })?;
        let config = described.unwrap_or(&nothing);
        let named = self.provider.as_ref().is_none_or(|named| named.value == *name);
        let blank = Options::default();
        let options = if named { &self.options } else { &blank };
        ProviderSettings::assemble(name, kind, options, config, config_file(&self.config_dir))
    }
}

fn store_url(setting: Setting<String>, config_dir: &Path) -> Result<Setting<StoreUrl>, ConfigError> {
    if !setting.value.starts_with("postgres:") && !setting.value.starts_with("postgresql:") {
        return setting.parse(|text| other_store(&text, config_dir));
    }
    // Whatever else it may be for: with this store it opens the tokens.
    env::holds_secret(env::PGPASSWORD);
    match PostgresSettings::parse(&setting.value) {
        Ok(settings) => Ok(setting.map(|_| StoreUrl::Postgres(Box::new(settings)))),
        Err(Objection::Wrong(why)) => setting.parse(|_| Err(why)),
        // It is written as it should be, and still nobody is spoken to.
        Err(Objection::Unsafe(why)) => Err(ConfigError::Value { origin: setting.origin, why }),
    }
}

fn other_store(text: &str, config_dir: &Path) -> Result<StoreUrl, String> {
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
        None if text == "keyring" && !cfg!(feature = "keyring") => {
            Err("the store 'keyring' is not in this build (feature 'keyring')".to_owned())
        }
        None if text == "keyring" => Ok(StoreUrl::Keyring(config_dir.join("tokens"))),
        _ => Err("a store is 'file', 'file:/path', 'keyring' or 'postgres://USER@HOST/DATABASE'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::ProviderKind;

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
    fn knows_an_oauth_2_provider_by_its_issuer_or_its_token_endpoint() {
        let base = |keys: &str| {
            let toml = format!("[provider.acme]\nkind = \"oauth2\"\n{keys}\n");
            let acme = settings(Options::default(), &toml).unwrap().provider(&name("acme"));
            acme.map(|acme| acme.base_url.value.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(base("issuer = \"https://a.example/t\"").unwrap(), "https://a.example/t");
        assert_eq!(base("token_endpoint = \"https://a.example/t/token?x=1\"").unwrap(), "https://a.example/");
        assert_eq!(base("").unwrap_err(), "no issuer or token_endpoint for acme");
        for (keys, why) in [
            ("issuer = \"http://a.example\"", "[provider.acme] issuer in config.toml: the address must be https"),
            ("issuer = \"https://a.example/?x\"", "[provider.acme] issuer in config.toml: the address has a query"),
            (
                "issuer = \"https://a.example\"\nrevocation_endpoint = \"http://a.example/r\"",
                "[provider.acme] revocation_endpoint in config.toml: the address must be https",
            ),
            ("client_auth = \"jwt\"", "config.toml:3: unknown value, expected one of"),
        ] {
            let error = settings(Options::default(), &format!("[provider.acme]\nkind = \"oauth2\"\n{keys}\n"))
                .and_then(|settings| settings.provider(&name("acme")).map(drop))
                .unwrap_err();
            assert!(error.to_string().starts_with(why), "{error}");
        }
    }

    #[test]
    fn names_the_three_ways_to_give_what_is_missing() {
        let square = settings(Options::default(), "").unwrap().provider(&name("square")).unwrap();
        let remedy = square.client_id().unwrap_err().remedy().unwrap();
        let file = format!("[provider.square] in {}", Path::new("/c").join("config.toml").display());
        for way in ["--client-id", "TOKMAN_SQUARE_CLIENT_ID", &file] {
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
        for (url, ok) in [
            ("file", true),
            #[cfg(unix)]
            ("file:/x", true),
            #[cfg(unix)]
            ("file:///x", true),
            #[cfg(windows)]
            ("file:C:/x", true),
            ("file:x", false),
            ("s3:x", false),
            ("postgres://u@db/d", true),
            ("postgres:x", false),
        ] {
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
