//! The settings that only an OAuth 2.0 provider has: its issuer, its endpoints, how the application shows who it is.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use url::Url;

use crate::config::file::ProviderConfig;
use crate::config::setting::{Origin, Setting, first, from_env, in_file};
use crate::config::{ConfigError, address};
use crate::env;
use crate::model::ProviderName;

/// How the application shows who it is (RFC 6749 §2.3): one way a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// Identifier and secret in the `Authorization` header (RFC 6749 §2.3.1).
    Basic,
    /// Identifier and secret in the body.
    Post,
    /// The identifier alone: a public client.
    None,
}

impl ClientAuth {
    /// The word in the config file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Post => "post",
            Self::None => "none",
        }
    }
}

/// An endpoint of an OAuth 2.0 provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// Grants become tokens (RFC 6749 §3.2).
    Token,
    /// A login begins (RFC 6749 §3.1).
    Authorization,
    /// Tokens are ended (RFC 7009).
    Revocation,
    /// Tokens are asked about (RFC 7662).
    Introspection,
    /// A login on another device begins (RFC 8628).
    DeviceAuthorization,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Token, Self::Authorization, Self::Revocation, Self::Introspection, Self::DeviceAuthorization];

    /// Its name in an issuer's metadata (RFC 8414 §2) and in the config file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token_endpoint",
            Self::Authorization => "authorization_endpoint",
            Self::Revocation => "revocation_endpoint",
            Self::Introspection => "introspection_endpoint",
            Self::DeviceAuthorization => "device_authorization_endpoint",
        }
    }

    const fn of(self, config: &ProviderConfig) -> Option<&String> {
        match self {
            Self::Token => config.token_endpoint.as_ref(),
            Self::Authorization => config.authorization_endpoint.as_ref(),
            Self::Revocation => config.revocation_endpoint.as_ref(),
            Self::Introspection => config.introspection_endpoint.as_ref(),
            Self::DeviceAuthorization => config.device_authorization_endpoint.as_ref(),
        }
    }
}

/// The settings that only an OAuth 2.0 provider has.
#[derive(Debug)]
pub struct OAuth2Settings {
    /// The issuer, letter for letter as it was given: its metadata have to repeat it (RFC 8414 §3.3). Absent where the
    /// endpoints are given one by one.
    pub issuer: Option<Setting<String>>,
    /// The endpoints that are given; they win over those of the metadata.
    pub endpoints: BTreeMap<Endpoint, Setting<Url>>,
    /// How the application shows who it is; absent where having a secret or not decides.
    pub client_auth: Option<Setting<ClientAuth>>,
}

impl OAuth2Settings {
    /// The issuer whose metadata are needed: there is one, and some endpoint is not given.
    #[must_use]
    pub fn discovers(&self) -> Option<&str> {
        let all_given = Endpoint::ALL.iter().all(|endpoint| self.endpoints.contains_key(endpoint));
        self.issuer.as_ref().filter(|_| !all_given).map(|issuer| issuer.value.as_str())
    }
}

/// The address that records name (the issuer, else the origin of the token endpoint), and the settings.
///
/// # Errors
/// An address that is none or not safe; neither an issuer nor a token endpoint.
pub(super) fn assemble(
    name: &ProviderName,
    config: &ProviderConfig,
    config_file: &Path,
) -> Result<(Setting<Url>, OAuth2Settings), ConfigError> {
    let key = |key: &str| format!("[provider.{name}] {key}");
    let safe = |parsed: Result<Url, String>| parsed.map_err(|why| format!("the address {why}"));
    let issuer = first([
        from_env(&env::Name::BaseUrl.of(name))?,
        in_file(&key("issuer"), config.issuer.clone()),
        in_file(&key("base_url"), config.base_url.clone()),
    ]);
    let mut endpoints = BTreeMap::new();
    for endpoint in Endpoint::ALL {
        if let Some(given) = in_file(&key(endpoint.name()), endpoint.of(config).cloned()) {
            endpoints.insert(endpoint, given.parse(|text| safe(address::endpoint(&text)))?);
        }
    }
    let base_url = match (&issuer, endpoints.get(&Endpoint::Token)) {
        (Some(issuer), _) => issuer.clone().parse(|text| safe(address::parse(&text)))?,
        (None, Some(token)) => {
            let origin = token.value.origin().ascii_serialization();
            Setting::new(origin, token.origin.clone()).parse(|text| safe(address::parse(&text)))?
        }
        (None, None) => {
            return Err(ConfigError::Missing {
                what: "issuer or token_endpoint",
                provider: name.to_string(),
                ways: format!(
                    "write issuer = \"https://…\" under [provider.{name}] in {}, or set {}",
                    config_file.display(),
                    env::Name::BaseUrl.of(name)
                ),
            });
        }
    };
    let issuer = issuer.map(|issuer| Setting { value: issuer.value.trim().to_owned(), origin: issuer.origin });
    let client_auth = config.client_auth.map(|auth| Setting::new(auth, Origin::File(key("client_auth"))));
    Ok((base_url, OAuth2Settings { issuer, endpoints, client_auth }))
}
