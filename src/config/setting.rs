//! A value and where it came from: option, environment, config file or default, in this order.

use std::fmt;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::env;

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

    /// Turns the value into another.
    pub(super) fn map<U>(self, into: impl FnOnce(T) -> U) -> Setting<U> {
        Setting { value: into(self.value), origin: self.origin }
    }

    /// Turns the value into another; a failure becomes an error that names the origin. A value from the command line
    /// is the caller's mistake.
    pub(super) fn parse<U>(self, parse: impl FnOnce(T) -> Result<U, String>) -> Result<Setting<U>, ConfigError> {
        match parse(self.value) {
            Ok(value) => Ok(Setting { value, origin: self.origin }),
            Err(why) if matches!(self.origin, Origin::Option(_)) => {
                Err(ConfigError::Usage(format!("{}: {why}", self.origin)))
            }
            Err(why) => Err(ConfigError::Value { origin: self.origin, why }),
        }
    }
}

pub(super) fn first<T, const N: usize>(settings: [Option<Setting<T>>; N]) -> Option<Setting<T>> {
    settings.into_iter().flatten().next()
}

pub(super) fn option<T>(name: &'static str, value: Option<T>) -> Option<Setting<T>> {
    value.map(|value| Setting::new(value, Origin::Option(name)))
}

/// What a variable says; nothing takes the place of one that is not UTF-8.
pub(super) fn from_env(name: &str) -> Result<Option<Setting<String>>, ConfigError> {
    match env::strict(name) {
        Ok(value) => Ok(value.map(|value| Setting::new(value, Origin::Env(name.to_owned())))),
        Err(why) => Err(ConfigError::Value { origin: Origin::Env(name.to_owned()), why: why.to_string() }),
    }
}

pub(super) fn path_from_env(name: &str) -> Option<Setting<PathBuf>> {
    env::path(name).map(|value| Setting::new(value, Origin::Env(name.to_owned())))
}

pub(super) fn in_file<T>(key: &str, value: Option<T>) -> Option<Setting<T>> {
    value.map(|value| Setting::new(value, Origin::File(key.to_owned())))
}
