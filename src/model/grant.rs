//! What is handed in to obtain a token, and what may be handed in twice.

use std::fmt;
use std::str::FromStr;

use crate::model::Secret;

/// A grant with everything needed to ask for the first token of a key.
#[derive(Debug, Clone)]
pub enum Grant {
    /// An authorization code (RFC 6749 §4.1), from Wix's legacy installer too.
    Code {
        /// The code.
        code: Secret,
        /// The redirect address of the authorization request; absent where none was sent.
        redirect_uri: Option<String>,
        /// The PKCE verifier (RFC 7636); absent where the request carried no challenge.
        code_verifier: Option<Secret>,
        /// The account that came back with the code (Wix: the instance); absent where none did.
        account: Option<String>,
    },
    /// The application's own credentials (RFC 6749 §4.4). For Wix, those of one instance of the app; for a public
    /// headless client, Wix's `anonymous` grant.
    ClientCredentials {
        /// The account to act for (Wix: the instance); absent where the settings name it or none is needed.
        account: Option<String>,
    },
    /// Square: an access token of the time before refresh tokens.
    Migration {
        /// That access token.
        access_token: Secret,
    },
    /// A device code that a person has consented to elsewhere, or has yet to (RFC 8628 §3.4).
    Device {
        /// The device code.
        device_code: Secret,
    },
    /// A refresh token obtained elsewhere (RFC 6749 §6).
    Refresh {
        /// The refresh token.
        refresh_token: Secret,
    },
}

impl Grant {
    /// Which grant this is, as records name it.
    #[must_use]
    pub const fn grant_type(&self) -> GrantType {
        match self {
            Self::Code { .. } => GrantType::AuthorizationCode,
            Self::ClientCredentials { .. } => GrantType::ClientCredentials,
            Self::Migration { .. } => GrantType::MigrationToken,
            Self::Device { .. } => GrantType::DeviceCode,
            Self::Refresh { .. } => GrantType::RefreshToken,
        }
    }
}

/// The grant that a record began with, in the words of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantType {
    /// `authorization_code`
    AuthorizationCode,
    /// `client_credentials`
    ClientCredentials,
    /// `migration_token`, Square's
    MigrationToken,
    /// `urn:ietf:params:oauth:grant-type:device_code`
    DeviceCode,
    /// `refresh_token`: the record began with a refresh token obtained elsewhere
    RefreshToken,
}

impl GrantType {
    /// The word on the wire and in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::MigrationToken => "migration_token",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::RefreshToken => "refresh_token",
        }
    }
}

impl fmt::Display for GrantType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for GrantType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::AuthorizationCode, Self::ClientCredentials, Self::MigrationToken, Self::DeviceCode, Self::RefreshToken]
            .into_iter()
            .find(|grant| grant.as_str() == text)
            .ok_or(())
    }
}

/// What may be sent again when the answer was lost: nobody knows then whether the provider acted on the request.
///
/// A refusal that did arrive (429, 503) says that it did not act; after one, everything may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// As often as the time budget allows: the grant is not spent by using it.
    Safe,
    /// Once, at once, under the lease: a single-use refresh token, which a provider with a grace period takes again.
    OnceUnderLease,
    /// Not at all: an authorization code.
    Never,
    /// Not even after a refusal: whoever polls asks again in their own time (RFC 8628 §3.5).
    Polled,
}
