//! A stored token as a JSON file has it: the provider's last answer, flat, and one member `tokman` beside it.

mod look;
mod meta;

use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::model::{Freshness, GrantType, Key, Kind, Response, Secret, Token, lifetime};
use crate::store::seal::{Sealed, Sealer};
use crate::store::{StoreError, Summary};
use meta::{MEMBER, Meta, VERSION};

/// The member that has the whole answer, where the record is sealed.
const SEALED: &str = "sealed";

/// The members of an answer that stay readable in a sealed record: what is not known to be public is sealed.
const READABLE: [&str; 12] = [
    "token_type",
    "tokenType",
    "expires_in",
    "expiresIn",
    "expires_at",
    "expiresAt",
    "refresh_token_expires_at",
    "merchant_id",
    "instance_id",
    "instanceId",
    "scope",
    "short_lived",
];

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

/// As much of a record as a listing reads.
#[derive(Deserialize)]
struct Glance {
    tokman: Option<Meta>,
}

impl Record {
    /// Whether the access token is fresh at `now`, with a margin.
    #[must_use]
    pub fn freshness(&self, now: Timestamp, margin: std::time::Duration) -> Freshness {
        if self.token.access.is_empty() {
            return Freshness::Expired;
        }
        lifetime::freshness(self.token.expires_at, self.refreshed_at, now, margin)
    }

    /// Writes the record as it is stored: sealed, where the sealer has a key.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] where the sealing key cannot be had.
    pub fn to_json(&self, key: &Key, sealer: &Sealer) -> Result<Zeroizing<String>, StoreError> {
        self.to_rescue(key, sealer, None)
    }

    /// Writes the record as it is stored, and the fingerprint of the refresh token whose place it is to take, where it
    /// could not take it.
    ///
    /// # Errors
    /// As for [`Record::to_json`].
    pub fn to_rescue(
        &self,
        key: &Key,
        sealer: &Sealer,
        spent: Option<String>,
    ) -> Result<Zeroizing<String>, StoreError> {
        let mut text = self.to_response(key, sealer, spent)?.to_pretty();
        text.push('\n');
        Ok(Zeroizing::new(text))
    }

    /// The record on one line, opened: its secrets are in it as they are.
    ///
    /// # Errors
    /// None but those of [`Record::to_json`], which needs no sealing key here.
    pub fn to_line(&self, key: &Key) -> Result<Zeroizing<String>, StoreError> {
        Ok(Zeroizing::new(self.to_response(key, &Sealer::default(), None)?.to_line()))
    }

    fn to_response(&self, key: &Key, sealer: &Sealer, spent: Option<String>) -> Result<Response, StoreError> {
        let token = &self.token;
        let mut flat = token.response.clone();
        if !token.access.is_empty() {
            flat.set("access_token", Value::from(token.access.expose()));
        }
        // An answer that omits the refresh token leaves the old one good: it has to be in the file all the same.
        if let Some(refresh) = &token.refresh {
            flat.set("refresh_token", Value::from(refresh.expose()));
        }
        let whole = Zeroizing::new(if sealer.seals() { flat.to_pretty() } else { String::new() });
        let secrets = sealer
            .seal(key, self.generation, whole.as_bytes())
            .map_err(|why| StoreError::Sealed { key: key.clone(), why })?;
        let mut meta = self.meta(key);
        meta.spent = spent;
        if let Some(Sealed { id, text }) = secrets {
            flat.keep(|name, value| READABLE.contains(&name) && !value.is_object() && !value.is_array());
            flat.set(SEALED, Value::from(text));
            meta.sealed_with = Some(id);
            meta.has_refresh_token = token.refresh.is_some();
        }
        flat.set(MEMBER, serde_json::to_value(meta).unwrap_or_default());
        Ok(flat)
    }

    fn meta(&self, key: &Key) -> Meta {
        let token = &self.token;
        Meta {
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
            sealed_with: None,
            spent: None,
            has_refresh_token: false,
        }
    }

    /// Reads a record, or the bare answer of a provider that another tool saved; `written` is when the file was.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] naming what is wrong, [`StoreError::Newer`] for a record of a later version,
    /// [`StoreError::Sealed`] where the key that opens it cannot be had.
    pub fn parse(
        bytes: &[u8],
        key: &Key,
        path: &Path,
        written: Option<Timestamp>,
        sealer: &Sealer,
    ) -> Result<Self, StoreError> {
        let damaged = |why: String| StoreError::Damaged { path: path.to_owned(), why };
        let read = |bytes: &[u8]| Response::parse(bytes).map_err(|error| damaged(why_unreadable(bytes, &error)));
        let mut flat = read(bytes)?;
        let meta = flat.take(MEMBER).map(|value| Meta::parse(value, key, path)).transpose()?;
        if let Some((meta, id)) = meta.as_ref().and_then(|meta| Some((meta, meta.sealed_with.clone()?))) {
            let text = flat.text(SEALED).ok_or_else(|| damaged(format!("it has no member '{SEALED}'")))?.to_owned();
            let opened = sealer
                .open(key, meta.generation, &Sealed { id, text })
                .map_err(|why| StoreError::Sealed { key: key.clone(), why })?;
            flat = read(&opened.ok_or_else(|| {
                damaged("what is sealed in it was changed, or belongs to another record or generation".to_owned())
            })?)?;
        }
        let text = |names: [&str; 2]| names.iter().find_map(|name| flat.text(name)).map(str::to_owned);
        let refresh = text(["refresh_token", "refreshToken"]).map(Secret::new);
        // A record of ours may have a refresh token only: all that was of use in an answer.
        let has_none = ["access_token", "accessToken"].iter().all(|name| flat.get(name).is_none());
        let refresh_only = (meta.is_some() && refresh.is_some() && has_none).then(String::new);
        let access = text(["access_token", "accessToken"])
            .or(refresh_only)
            .ok_or_else(|| damaged("it has no access_token".to_owned()))?;
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

    /// Reads what needs no sealing key, as [`Record::parse`] reads the rest.
    ///
    /// # Errors
    /// As for [`Record::parse`], but for what is sealed.
    pub fn glance(bytes: &[u8], key: &Key, path: &Path, written: Option<Timestamp>) -> Result<Summary, StoreError> {
        let looked =
            look::look(bytes).and_then(|seen| Some((seen, serde_json::from_slice::<Glance>(bytes).ok()?.tokman?)));
        // A bare answer, or one that has to be said what is wrong with.
        let Some((seen, meta)) = looked else {
            return Self::parse(bytes, key, path, written, &Sealer::default()).map(|record| record.summary());
        };
        let meta = meta.check(key, path)?;
        let is_sealed = meta.sealed_with.is_some();
        let missing = match is_sealed {
            true if !seen.has_sealed => Some(format!("it has no member '{SEALED}'")),
            false if !seen.access.unwrap_or(seen.has_refresh) => Some("it has no access_token".to_owned()),
            _ => None,
        };
        if let Some(why) = missing {
            return Err(StoreError::Damaged { path: path.to_owned(), why });
        }
        Ok(Summary {
            account: meta.account,
            obtained_at: meta.obtained_at,
            refreshed_at: meta.refreshed_at,
            expires_at: meta.expires_at,
            refresh_expires_at: meta.refresh_token_expires_at,
            has_refresh_token: if is_sealed { meta.has_refresh_token } else { seen.has_refresh },
            minted: is_minted(meta.grant.as_deref()),
            generation: meta.generation,
            needs_login: meta.needs_login,
            sealed_with: meta.sealed_with,
        })
    }

    /// What a listing shows of it.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            account: self.token.account.clone(),
            obtained_at: self.obtained_at,
            refreshed_at: self.refreshed_at,
            expires_at: self.token.expires_at,
            refresh_expires_at: self.token.refresh_expires_at,
            has_refresh_token: self.token.refresh.is_some(),
            minted: is_minted(self.grant.as_deref()),
            generation: self.generation,
            needs_login: self.needs_login,
            sealed_with: None,
        }
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

fn is_minted(grant: Option<&str>) -> Option<bool> {
    grant.map(|grant| grant == GrantType::ClientCredentials.to_string())
}

/// Says what a damaged file looks like, without showing any of it.
fn why_unreadable(bytes: &[u8], error: &crate::model::response::ResponseError) -> String {
    use crate::model::response::ResponseError;
    match error {
        ResponseError::Empty => "it is empty".to_owned(),
        ResponseError::NotJson if bytes.iter().all(|byte| *byte == 0) => "it is full of zero bytes".to_owned(),
        ResponseError::NotJson => "it is not JSON, or breaks off".to_owned(),
        ResponseError::NotAnObject => "it is JSON but not an object".to_owned(),
        ResponseError::TooDeep => "it is nested too deeply".to_owned(),
        ResponseError::NotText => "it has a string in it that is no Unicode text".to_owned(),
        why @ ResponseError::Redirect(_) => why.to_string(),
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
        Record::parse(
            text.as_bytes(),
            &key(),
            Path::new("f.json"),
            "2026-11-21T12:00:00Z".parse().ok(),
            &Sealer::default(),
        )
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
        let text = record.to_json(&key(), &Sealer::default()).unwrap();
        let again = parse(&text).unwrap();
        assert_eq!(again.to_json(&key(), &Sealer::default()).unwrap(), text);
        assert_eq!(again.token.refresh, Some(Secret::new("old")));
        assert!(text.starts_with("{\n  \"z\": 1.50,\n  \"access_token\": \"a\""), "{}", text.as_str());
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
        let text = parse(r#"{"access_token":"a"}"#)
            .unwrap()
            .to_json(&"wix/default".parse().unwrap(), &Sealer::default())
            .unwrap();
        assert!(parse(&text).unwrap_err().to_string().contains("it is the record of wix/default"));
    }

    #[test]
    fn seals_what_is_not_known_to_be_public_and_leaves_the_rest_readable() {
        let body = r#"{"accessToken":"canary-1","access_token":"canary-2","refresh_token":"canary-3","id_token":"canary-4","x":{"merchant_id":"canary-5"},"merchant_id":"M","expires_at":"2026-12-21T21:00:00Z"}"#;
        let record = Record { generation: 3, ..parse(body).unwrap() };
        let secret = crate::store::seal::new_key().unwrap();
        let sealer = Sealer::new(vec![crate::config::SecretSource::Literal(secret)]);
        let text = record.to_json(&key(), &sealer).unwrap();
        assert!(!text.contains("canary") && text.contains("\"merchant_id\": \"M\""), "{}", text.as_str());
        let read = |text: &str, sealer: &Sealer| Record::parse(text.as_bytes(), &key(), Path::new("f"), None, sealer);
        assert_eq!(read(&text, &sealer).unwrap().token.response, record.token.response);
        let summary = Record::glance(text.as_bytes(), &key(), Path::new("f"), None).unwrap();
        assert!(summary.has_refresh_token && summary.sealed_with.is_some());
        assert_eq!(Summary { sealed_with: None, ..summary }, record.summary());
        assert!(matches!(read(&text, &Sealer::default()), Err(StoreError::Sealed { .. })));
        let rolled_back = text.replace("\"generation\": 3", "\"generation\": 4");
        assert!(matches!(read(&rolled_back, &sealer), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_glance_sees_what_is_wrong_with_a_record_of_ours() {
        let sound = parse(r#"{"access_token":"a","x":1.50,"y":[{}]}"#).unwrap();
        let sound = sound.to_json(&key(), &Sealer::default()).unwrap();
        let glance = |bytes: &[u8]| Record::glance(bytes, &key(), Path::new("f"), None);
        assert_eq!(glance(sound.as_bytes()).unwrap(), parse(&sound).unwrap().summary());
        for (from, to) in [
            ("\"a\"", "5"),
            ("\"a\"", "\"\""),
            ("\"a\"", "{}"),
            ("\"a\"", "\"\\ud800\""),
            ("\"x\": 1.50", "\"access_token\": \"a\""),
            ("\"x\": 1.50", "\"x\": {\"$serde_json::private::Number\": 5}"),
            ("1.50", "1."),
            ("\"version\"", "\"unknown\": \"\\udc00\", \"version\""),
        ] {
            let text = sound.replacen(from, to, 1);
            assert!(text != *sound && parse(&text).is_err() && glance(text.as_bytes()).is_err(), "{text}");
        }
        let deep = sound.replacen("1.50", &"[".repeat(200), 1).replacen("[{}]", &"]".repeat(200), 1);
        assert!(glance(deep.as_bytes()).is_err());
        let mut bytes = sound.as_bytes().to_vec();
        let at = sound.find("bearer").or_else(|| sound.find("square")).unwrap();
        bytes[at] = 0xff;
        assert!(glance(&bytes).is_err());
    }

    /// A change of a text: where, as a share of it; how many bytes go; what comes in their place.
    fn change() -> impl Strategy<Value = (f64, usize, Vec<u8>)> {
        let piece = prop::sample::select(vec![
            "",
            "5",
            "\"\"",
            "{}",
            "[]",
            "null",
            "\"",
            "\\",
            ",",
            ":",
            "}",
            "]",
            "-0",
            "1e999",
            "\\ud800",
            "\\u0041",
            "\"a\":1,",
            "\"access_token\":\"b\",",
            "\"refreshToken\":\"b\",",
            "\"x\":1,\"x\":2,",
            "\"tokman\":null,",
            " ",
            "\u{feff}",
        ]);
        let piece = prop_oneof![
            piece.prop_map(|text| text.as_bytes().to_vec()),
            any::<u8>().prop_map(|byte| vec![byte]),
            prop::collection::vec(any::<u8>(), 0..4),
        ];
        (0.0..1.0, prop_oneof![Just(0), Just(1), 0..40_usize], piece)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn a_glance_agrees_with_reading(changes in prop::collection::vec(change(), 0..3)) {
            let body = r#"{"access_token":"a","n":1.50,"o":{"p":[1,"\u00e9",null,true]},"refresh_token":"r"}"#;
            let record = Record { generation: 3, ..parse(body).unwrap() };
            let mut bytes = record.to_json(&key(), &Sealer::default()).unwrap().as_bytes().to_vec();
            for (share, gone, piece) in changes {
                #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "somewhere in a short text")]
                let at = (share * bytes.len() as f64) as usize;
                bytes.splice(at..(at + gone).min(bytes.len()), piece);
            }
            let read = Record::parse(&bytes, &key(), Path::new("f"), None, &Sealer::default());
            let glanced = Record::glance(&bytes, &key(), Path::new("f"), None);
            prop_assert_eq!(read.ok().map(|record| record.summary()), glanced.ok());
        }

        #[test]
        fn never_panics(bytes in any::<Vec<u8>>()) {
            let _ = Record::parse(&bytes, &key(), Path::new("f"), None, &Sealer::default());
        }
    }
}
