//! What tokman writes beside a provider's answer.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Key;
use crate::store::StoreError;

/// The version of the record that this tokman writes.
pub(super) const VERSION: u64 = 1;

/// The highest generation of a record that is believed: nobody has changed a token more often, and there is room above.
const LAST_GENERATION: u64 = 1 << 53;

/// The member that carries what the answer does not say.
pub(super) const MEMBER: &str = "tokman";

/// The member `tokman`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) version: u64,
    pub(super) provider: String,
    pub(super) profile: String,
    pub(super) kind: Option<String>,
    pub(super) grant: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) base_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    pub(super) obtained_at: Option<Timestamp>,
    pub(super) refreshed_at: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) refresh_token_expires_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) needs_login: Option<Timestamp>,
    /// The id of the key that opens the member `sealed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sealed_with: Option<String>,
    /// In a rescue file, the fingerprint of the refresh token that the record is to take the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) spent: Option<String>,
    /// Whether a refresh token is sealed in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_refresh_token: bool,
}

impl Meta {
    /// Reads it, of a record of this version and key.
    pub(super) fn parse(value: Value, key: &Key, path: &Path) -> Result<Self, StoreError> {
        let damaged = |why: String| StoreError::Damaged { path: path.to_owned(), why };
        let version = value.get("version").and_then(Value::as_u64).unwrap_or_default();
        if version > VERSION {
            return Err(StoreError::Newer { path: path.to_owned(), version });
        }
        let meta: Self = serde_json::from_value(value)
            .map_err(|_| damaged(format!("its member '{MEMBER}' is not what tokman writes")))?;
        meta.check(key, path)
    }

    /// Whether it is one that this tokman reads, and of this key.
    pub(super) fn check(self, key: &Key, path: &Path) -> Result<Self, StoreError> {
        let damaged = |why: String| StoreError::Damaged { path: path.to_owned(), why };
        let meta = self;
        if meta.version > VERSION {
            return Err(StoreError::Newer { path: path.to_owned(), version: meta.version });
        }
        if meta.generation > LAST_GENERATION {
            return Err(damaged("its generation is beyond all that tokman counts".to_owned()));
        }
        if (meta.provider.as_str(), meta.profile.as_str()) != (key.provider.as_str(), key.profile.as_str()) {
            return Err(damaged(format!(
                "it is the record of {}",
                crate::model::text::escape(&format!("{}/{}", meta.provider, meta.profile), 80)
            )));
        }
        Ok(meta)
    }
}
