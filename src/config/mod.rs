//! Settings: the shapes of `config.toml`, then the checked values that everything else uses.

pub mod address;
pub mod file;
pub mod oauth2;
pub mod passfile;
pub mod paths;
pub mod postgres;
pub mod provider;
pub mod secret_source;
pub mod setting;
pub mod settings;
mod tables;

use std::path::PathBuf;

use thiserror::Error;

pub use file::{ProviderKind, SquareEnvironment, WixMode};
pub use oauth2::{ClientAuth, Endpoint, OAuth2Settings};
pub use postgres::{PostgresHost, PostgresSettings};
pub use provider::ProviderSettings;
pub use secret_source::SecretSource;
pub use setting::{Origin, Setting};
pub use settings::{KEYRING_ENTRY, Options, Settings, StoreUrl};

use crate::fsutil::FsError;
use crate::model::text;

/// What is wrong with the settings.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A value on the command line: the caller's mistake, not the operator's.
    #[error("{0}")]
    Usage(String),
    /// No place for the config directory.
    #[error("there is no home directory to keep the configuration in")]
    NoHome,
    /// The config file, or a secret's file, cannot be used.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The config file is not as it should be.
    #[error("{path}:{line}: {message}")]
    Syntax {
        /// The config file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there; never with a value in it.
        message: String,
    },
    /// A value from the environment or the config file that is not what it should be.
    #[error("{origin}: {why}")]
    Value {
        /// Where it came from.
        origin: Origin,
        /// What is wrong with it; never with a secret in it.
        why: String,
    },
    /// No provider was named.
    #[error("which provider?")]
    NoProvider,
    /// A provider that nobody described.
    #[error("unknown provider '{name}'; known are {}", known.join(", "))]
    UnknownProvider {
        /// The name that was given.
        name: String,
        /// The names that would do.
        known: Vec<String>,
    },
    /// A setting that is needed and not there.
    #[error("no {what} for {provider}")]
    Missing {
        /// What, in words.
        what: &'static str,
        /// For whom.
        provider: String,
        /// How to give it: option, variable and config key.
        ways: String,
    },
    /// A secret that its source did not give.
    #[error("{what}: {why}")]
    Secret {
        /// Which, as "the client secret of square".
        what: String,
        /// What went wrong; never with the secret in it.
        why: String,
    },
    /// Something that is described but not built into this binary.
    #[error("{0} is not in this build")]
    NotInThisBuild(&'static str),
}

impl ConfigError {
    /// The command that mends it, or how to give what is missing.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Fs(error) => error.remedy(),
            Self::Missing { ways, .. } => Some(ways.clone()),
            Self::NoHome => Some("set HOME, or give --config-dir".to_owned()),
            Self::NoProvider => {
                Some("give --provider square, set TOKMAN_PROVIDER, or write provider = \"square\" under [defaults] in the config file".to_owned())
            }
            Self::UnknownProvider { name, known } => {
                if let Some(meant) = text::nearest(name, known.iter().map(String::as_str)) {
                    return Some(format!("did you mean --provider {meant}?"));
                }
                Some(format!("describe it under [provider.{name}] in the config file (see 'tokman config init')"))
            }
            _ => None,
        }
    }
}

/// The path of the config file in a config directory.
#[must_use]
pub fn config_file(dir: &std::path::Path) -> PathBuf {
    dir.join("config.toml")
}
