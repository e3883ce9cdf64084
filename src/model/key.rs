//! The key of a stored token: `provider/profile`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest name, in characters.
const MAX_NAME: usize = 128;

/// A name that cannot be a path, an option or a hidden file.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// A provider's name.
    #[error(
        "'{0}' is not a provider name: lower-case letters, digits, '-' and '_', starting with a letter, at most 128"
    )]
    Provider(String),
    /// A profile's name.
    #[error("'{0}' is not a profile name: letters, digits and '._@-', starting with a letter or digit, at most 128")]
    Profile(String),
    /// A key without its slash.
    #[error("'{0}' is not a key: it is written provider/profile")]
    Key(String),
}

/// The name of a provider: `square`, `wix` or one from the config file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderName(String);

impl ProviderName {
    /// The name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as environment variables have it: capitals, `-` as `_`.
    #[must_use]
    pub fn as_env(&self) -> String {
        self.0.to_ascii_uppercase().replace('-', "_")
    }
}

impl FromStr for ProviderName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let rest_ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if text.len() <= MAX_NAME && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(rest_ok) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Provider(crate::model::text::escape(text, 60)))
        }
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one stored token of a provider; `default` if unnamed. Small: a run over all keys holds them all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileName(Box<str>);

impl ProfileName {
    /// The name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ProfileName {
    fn default() -> Self {
        Self("default".into())
    }
}

impl FromStr for ProfileName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let rest_ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-');
        if text.len() <= MAX_NAME && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(rest_ok)
        {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Profile(crate::model::text::escape(text, 60)))
        }
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one stored token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Who issued it.
    pub provider: ProviderName,
    /// Which one of that provider's.
    pub profile: ProfileName,
}

impl Key {
    /// The options that name it, as a command would have them.
    #[must_use]
    pub fn options(&self) -> String {
        if self.profile == ProfileName::default() {
            format!("--provider {}", self.provider)
        } else {
            format!("--provider {} --profile {}", self.provider, self.profile)
        }
    }
}

impl FromStr for Key {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (provider, profile) =
            text.split_once('/').ok_or_else(|| NameError::Key(crate::model::text::escape(text, 60)))?;
        Ok(Self { provider: provider.parse()?, profile: profile.parse()? })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_could_leave_the_directory_or_look_like_options() {
        for bad in ["", ".", "..", "../x", "a/b", "-x", ".x", "a b", "é", "a\0", &"x".repeat(129)] {
            assert!(bad.parse::<ProfileName>().is_err(), "{bad:?}");
            assert!(bad.parse::<ProviderName>().is_err(), "{bad:?}");
        }
        for good in ["default", "MLFAKE000", "shop@example.com", "a..b", "1", &"x".repeat(128)] {
            assert!(good.parse::<ProfileName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn writes_the_provider_as_environment_variables_have_it() {
        assert_eq!("my-idp".parse::<ProviderName>().unwrap().as_env(), "MY_IDP");
    }

    #[test]
    fn reads_back_what_it_writes() {
        let key: Key = "square/shop@example.com".parse().unwrap();
        assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        assert!("square".parse::<Key>().is_err());
    }
}
