//! A stored token as a JSON file has it: the provider's last answer, flat, and one member `tokman` beside it.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{Freshness, Key, Kind, Response, Secret, Token, lifetime};
use crate::store::StoreError;

/// The version of the record that this tokman writes.
const VERSION: u64 = 1;

/// The member that carries what the answer does not say.
const MEMBER: &str = "tokman";

/// A token and what tokman knows about it.
#[derive(Debug, Clone)]
pub struct Record {
    /// The token.
    pub token: Token,
    /// The grant it began with (`authorization_code`, …); absent in a file of another tool.
    pub grant: Option<String>,
    /// The application that it was issued to; absent in a file of another tool.
    pub client_id: Option<String>,
    /// The address that issued it; absent in a file of another tool.
    pub base_url: Option<String>,
    /// When the grant was obtained.
    pub obtained_at: Option<Timestamp>,
    /// When the access token was issued: the last exchange, or for a file of another tool when it was written.
    pub refreshed_at: Option<Timestamp>,
    /// Counts the changes: a higher number is a later record.
    pub generation: u64,
    /// When the provider called the grant dead; absent while it is not known to be.
    pub needs_login: Option<Timestamp>,
    /// Whether a request that spends its refresh token is under way, or was when a process died. Not in the file: the
    /// store knows.
    pub in_flight: bool,
}

/// The member `tokman`.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    version: u64,
    provider: String,
    profile: String,
    kind: Option<String>,
    grant: Option<String>,
    client_id: Option<String>,
    base_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    obtained_at: Option<Timestamp>,
    refreshed_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    refresh_token_expires_at: Option<Timestamp>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    needs_login: Option<Timestamp>,
}

impl Record {
    /// Whether the access token is fresh at `now`, with a margin.
    #[must_use]
    pub fn freshness(&self, now: Timestamp, margin: std::time::Duration) -> Freshness {
        lifetime::freshness(self.token.expires_at, self.refreshed_at, now, margin)
    }

    /// Writes the record as it is stored.
    #[must_use]
    pub fn to_json(&self, key: &Key) -> String {
        let token = &self.token;
        let mut flat = token.response.clone();
        flat.set("access_token", Value::from(token.access.expose()));
        // An answer that omits the refresh token leaves the old one good: it has to be in the file all the same.
        if let Some(refresh) = &token.refresh {
            flat.set("refresh_token", Value::from(refresh.expose()));
        }
        let meta = Meta {
            version: VERSION,
            provider: key.provider.to_string(),
            profile: key.profile.to_string(),
            kind: token.kind.as_ref().map(Kind::to_string),
            grant: self.grant.clone(),
            client_id: self.client_id.clone(),
            base_url: self.base_url.clone(),
            account: token.account.clone(),
            obtained_at: self.obtained_at,
            refreshed_at: self.refreshed_at,
            expires_at: token.expires_at,
            refresh_token_expires_at: token.refresh_expires_at,
            scopes: token.scopes.clone(),
            generation: self.generation,
            needs_login: self.needs_login,
        };
        flat.set(MEMBER, serde_json::to_value(meta).unwrap_or_default());
        let mut text = flat.to_pretty();
        text.push('\n');
        text
    }

    /// Reads a record, or the bare answer of a provider that another tool saved; `written` is when the file was.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] naming what is wrong, [`StoreError::Newer`] for a record of a later version.
    pub fn parse(bytes: &[u8], key: &Key, path: &Path, written: Option<Timestamp>) -> Result<Self, StoreError> {
        let damaged = |why: String| StoreError::Damaged { path: path.to_owned(), why };
        let mut flat = Response::parse(bytes).map_err(|error| damaged(why_unreadable(bytes, &error)))?;
        let meta = match flat.take(MEMBER) {
            None => None,
            Some(value) => {
                let version = value.get("version").and_then(Value::as_u64).unwrap_or_default();
                if version > VERSION {
                    return Err(StoreError::Newer { path: path.to_owned(), version });
                }
                let meta: Meta = serde_json::from_value(value)
                    .map_err(|_| damaged(format!("its member '{MEMBER}' is not what tokman writes")))?;
                if (meta.provider.as_str(), meta.profile.as_str()) != (key.provider.as_str(), key.profile.as_str()) {
                    return Err(damaged(format!(
                        "it is the record of {}",
                        crate::model::text::escape(&format!("{}/{}", meta.provider, meta.profile), 80)
                    )));
                }
                Some(meta)
            }
        };
        let text = |names: [&str; 2]| names.iter().find_map(|name| flat.text(name)).map(str::to_owned);
        let access =
            text(["access_token", "accessToken"]).ok_or_else(|| damaged("it has no access_token".to_owned()))?;
        let refresh = text(["refresh_token", "refreshToken"]).map(Secret::new);
        let token_type = text(["token_type", "tokenType"]);
        Ok(match meta {
            Some(meta) => Self {
                token: Token {
                    kind: meta.kind.map(Kind::from_record),
                    access: Secret::new(access),
                    token_type,
                    refresh,
                    expires_at: meta.expires_at,
                    refresh_expires_at: meta.refresh_token_expires_at,
                    account: meta.account,
                    scopes: meta.scopes,
                    response: flat,
                },
                grant: meta.grant,
                client_id: meta.client_id,
                base_url: meta.base_url,
                obtained_at: meta.obtained_at,
                refreshed_at: meta.refreshed_at,
                generation: meta.generation,
                needs_login: meta.needs_login,
                in_flight: false,
            },
            None => Self::bare(flat, access, refresh, token_type, written),
        })
    }

    /// A record from a bare answer: lifetimes count from when the file was written, which is when the answer came.
    fn bare(
        flat: Response,
        access: String,
        refresh: Option<Secret>,
        token_type: Option<String>,
        written: Option<Timestamp>,
    ) -> Self {
        let expires_at =
            lifetime::end_of(&flat, &access, written.unwrap_or(Timestamp::UNIX_EPOCH), jiff::SignedDuration::ZERO);
        let refresh_expires_at = flat.get("refresh_token_expires_at").and_then(lifetime::instant);
        let account =
            ["merchant_id", "instance_id", "instanceId"].iter().find_map(|name| flat.text(name)).map(str::to_owned);
        Self {
            token: Token {
                kind: None,
                access: Secret::new(access),
                token_type,
                refresh,
                expires_at,
                refresh_expires_at,
                account,
                scopes: Vec::new(),
                response: flat,
            },
            grant: None,
            client_id: None,
            base_url: None,
            obtained_at: None,
            refreshed_at: written,
            generation: 0,
            needs_login: None,
            in_flight: false,
        }
    }
}

/// Says what a damaged file looks like, without showing any of it.
fn why_unreadable(bytes: &[u8], error: &crate::model::response::ResponseError) -> String {
    use crate::model::response::ResponseError;
    match error {
        ResponseError::Empty => "it is empty".to_owned(),
        ResponseError::NotJson if bytes.iter().all(|byte| *byte == 0) => "it is full of zero bytes".to_owned(),
        ResponseError::NotJson => "it is not JSON, or breaks off".to_owned(),
        ResponseError::NotAnObject => "it is JSON but not an object".to_owned(),
        ResponseError::DuplicateMember => "it has a member twice".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> Key {
        "square/default".parse().unwrap()
    }

    fn parse(text: &str) -> Result<Record, StoreError> {
        Record::parse(text.as_bytes(), &key(), Path::new("f.json"), "2026-11-21T12:00:00Z".parse().ok())
    }

    #[test]
    fn reads_a_bare_answer_of_another_tool() {
        let record = parse(
            r#"{"access_token":"a","token_type":"bearer","expires_at":"2026-12-21T21:00:00Z","merchant_id":"M","refresh_token":"r","x":1.50}"#,
        )
        .unwrap();
        assert_eq!(record.token.account.as_deref(), Some("M"));
        assert_eq!(record.token.expires_at, "2026-12-21T21:00:00Z".parse().ok());
        assert_eq!(record.token.refresh, Some(Secret::new("r")));
        assert_eq!((record.generation, record.token.kind), (0, None));
        let wix = parse(r#"{"accessToken":"a","expires_in":14400}"#).unwrap();
        assert_eq!(wix.token.expires_at, "2026-11-21T16:00:00Z".parse().ok());
    }

    #[test]
    fn keeps_every_member_and_an_old_refresh_token_through_the_file() {
        let mut record = parse(r#"{"z":1.50,"access_token":"a","a":[1e400]}"#).unwrap();
        record.token.refresh = Some(Secret::new("old"));
        record.token.kind = Some(Kind::new("square"));
        record.generation = 7;
        let text = record.to_json(&key());
        let again = parse(&text).unwrap();
        assert_eq!(again.to_json(&key()), text);
        assert_eq!(again.token.refresh, Some(Secret::new("old")));
        assert!(text.starts_with("{\n  \"z\": 1.50,\n  \"access_token\": \"a\""), "{text}");
        assert_eq!(again.generation, 7);
    }

    #[test]
    fn says_what_is_wrong_with_a_damaged_file() {
        for (text, why) in [
            ("", "it is empty"),
            ("\0\0\0\0", "it is full of zero bytes"),
            (r#"{"access_token":"canary"#, "it is not JSON, or breaks off"),
            ("[]", "it is JSON but not an object"),
            (r#"{"refresh_token":"canary"}"#, "it has no access_token"),
            (r#"{"access_token":"canary","access_token":"canary"}"#, "it has a member twice"),
            (r#"{"access_token":"canary","tokman":7}"#, "its member 'tokman' is not what tokman writes"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("f.json is damaged: {why}"));
        }
        let newer = parse(r#"{"access_token":"canary","tokman":{"version":2}}"#).unwrap_err();
        assert!(matches!(newer, StoreError::Newer { version: 2, .. }));
    }

    #[test]
    fn refuses_the_record_of_another_key() {
        let text = parse(r#"{"access_token":"a"}"#).unwrap().to_json(&"wix/default".parse().unwrap());
        assert!(parse(&text).unwrap_err().to_string().contains("it is the record of wix/default"));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in any::<Vec<u8>>()) {
            let _ = Record::parse(&bytes, &key(), Path::new("f"), None);
        }
    }
}
