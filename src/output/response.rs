//! A token in the form that somebody asked for.

use clap::ValueEnum;
use serde_json::json;
use thiserror::Error;

use crate::config::ProviderKind;
use crate::model::{Key, response};
use crate::ops::Outcome;

/// The forms of `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON: the provider's response as it came, or what the command has to say
    Json,
    /// The access token
    Token,
    /// An HTTP header: Authorization: Bearer …
    Header,
    /// A shell assignment: export SQUARE_ACCESS_TOKEN='…'
    Env,
    /// Metrics for Prometheus
    Prometheus,
    /// Nothing
    None,
}

/// A token that could break out of the line it is printed on.
#[derive(Debug, Error)]
#[error("the access token of {0} has a character in it that no token may have (RFC 6749, appendix A.12)")]
pub struct UnprintableToken(Key);

/// What `json` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Json {
    /// The provider's response as it came.
    Response,
    /// `{"key","access_token","token_type","expires_at"}`
    Token,
}

/// The text for a token in a form; `None` for none.
///
/// # Errors
/// A token outside visible ASCII.
pub fn render(
    key: &Key,
    kind: ProviderKind,
    outcome: &Outcome,
    format: Format,
    json: Json,
) -> Result<Option<String>, UnprintableToken> {
    let token = &outcome.record.token;
    let access = token.access.expose();
    if access.is_empty() || !access.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UnprintableToken(key.clone()));
    }
    Ok(match (format, json) {
        (Format::Prometheus | Format::None, _) => None,
        (Format::Token, _) => Some(access.to_owned()),
        (Format::Header, _) => Some(match kind {
            // Wix takes the token as it is (developer documentation, "REST API authentication").
            ProviderKind::Wix => format!("Authorization: {access}"),
            ProviderKind::Square | ProviderKind::OAuth2 => format!("Authorization: Bearer {access}"),
        }),
        (Format::Env, _) => {
            let quoted = access.replace('\'', r"'\''");
            Some(format!("export {}_ACCESS_TOKEN='{quoted}'", key.provider.as_env()))
        }
        (Format::Json, Json::Response) => Some(token.response.to_pretty()),
        (Format::Json, Json::Token) => Some(response::pretty(&json!({
            "key": key.to_string(),
            "access_token": access,
            "token_type": token.token_type,
            "expires_at": token.expires_at,
        }))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Source;
    use crate::store::Record;
    use std::path::Path;

    fn rendered(access: &str, kind: ProviderKind, format: Format, json: Json) -> Result<String, UnprintableToken> {
        let key: Key = "my-shop/default".parse().unwrap();
        let body = json!({ "access_token": access, "token_type": "bearer", "x": 1 }).to_string();
        let record =
            Record::parse(body.as_bytes(), &key, Path::new("f"), None, &crate::store::Sealer::default()).unwrap();
        let outcome = Outcome { key: key.clone(), record, source: Source::Stored, warning: None };
        render(&key, kind, &outcome, format, json).map(Option::unwrap_or_default)
    }

    #[test]
    fn renders_every_form() {
        use ProviderKind::{OAuth2, Square, Wix};
        for (kind, format, json, expected) in [
            (Square, Format::Token, Json::Response, "a'b"),
            (Square, Format::Header, Json::Response, "Authorization: Bearer a'b"),
            (OAuth2, Format::Header, Json::Response, "Authorization: Bearer a'b"),
            (Wix, Format::Header, Json::Response, "Authorization: a'b"),
            (Square, Format::Env, Json::Response, r"export MY_SHOP_ACCESS_TOKEN='a'\''b'"),
            (Square, Format::None, Json::Response, ""),
            (
                Square,
                Format::Json,
                Json::Response,
                "{\n  \"access_token\": \"a'b\",\n  \"token_type\": \"bearer\",\n  \"x\": 1\n}",
            ),
            (
                Square,
                Format::Json,
                Json::Token,
                "{\n  \"key\": \"my-shop/default\",\n  \"access_token\": \"a'b\",\n  \"token_type\": \"bearer\",\n  \"expires_at\": null\n}",
            ),
        ] {
            assert_eq!(rendered("a'b", kind, format, json).unwrap(), expected);
        }
    }

    #[test]
    fn refuses_a_token_that_could_break_out() {
        for access in ["a b", "a\nb", "a\u{1b}b", "é"] {
            assert!(rendered(access, ProviderKind::Square, Format::Token, Json::Token).is_err(), "{access:?}");
        }
    }
}
