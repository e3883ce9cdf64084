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
    /// GitHub Actions: masks the token in the log and makes it the step's output access_token
    Github,
    /// Nothing
    None,
}

impl Format {
    /// The forms of every command that prints a token.
    pub const OF_A_TOKEN: [Self; 6] = [Self::Json, Self::Token, Self::Header, Self::Env, Self::Github, Self::None];
}

/// The shells that `-o env` writes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Shell {
    /// Any POSIX shell
    #[default]
    #[value(alias = "sh")]
    Posix,
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
    /// PowerShell
    #[value(name = "powershell", alias = "pwsh")]
    PowerShell,
}

impl Shell {
    /// The command that gives a variable of the environment a value, which is in visible ASCII.
    #[must_use]
    pub fn export(self, name: &str, value: &str) -> String {
        match self {
            // Nothing but the quote itself means anything within quotes.
            Self::Posix | Self::Bash | Self::Zsh => format!("export {name}='{}'", value.replace('\'', r"'\''")),
            Self::Fish => format!("set -gx {name} '{}'", value.replace('\\', r"\\").replace('\'', r"\'")),
            Self::PowerShell => format!("$env:{name} = '{}'", value.replace('\'', "''")),
        }
    }
}

/// A token that could break out of the line it is printed on.
#[derive(Debug, Error)]
#[error("the access token of {0} has a character in it that no token may have (RFC 6749, appendix A.12)")]
pub struct UnprintableToken(Key);

/// What `json` shows, and so what a command is for: its response, or the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Json {
    /// The provider's response as it came.
    Response,
    /// `{"key","access_token","token_type","expires_at"}`
    Token,
}

/// How a token is shown.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// In which form.
    pub format: Format,
    /// For which shell, where the form is one's.
    pub shell: Shell,
    /// What `json` shows.
    pub json: Json,
}

/// The access token of an outcome, if it can be handed to anything without breaking out of it.
///
/// # Errors
/// A token outside visible ASCII.
pub fn access(outcome: &Outcome) -> Result<&str, UnprintableToken> {
    let access = outcome.record.token.access.expose();
    if access.is_empty() || !access.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UnprintableToken(outcome.key.clone()));
    }
    Ok(access)
}

/// The variable that a key's access token is in where nobody names another: `SQUARE_ACCESS_TOKEN`.
#[must_use]
pub fn variable(key: &Key) -> String {
    format!("{}_ACCESS_TOKEN", key.provider.as_env())
}

/// The text for a token in a form; `None` for none.
///
/// # Errors
/// A token outside visible ASCII.
pub fn render(kind: ProviderKind, outcome: &Outcome, form: Form) -> Result<Option<String>, UnprintableToken> {
    let token = &outcome.record.token;
    let access = access(outcome)?;
    Ok(match (form.format, form.json) {
        (Format::None, _) => None,
        (Format::Token, _) => Some(access.to_owned()),
        (Format::Header, _) => Some(match kind {
            // Wix takes the token as it is (developer documentation, "REST API authentication").
            ProviderKind::Wix => format!("Authorization: {access}"),
            ProviderKind::Square | ProviderKind::OAuth2 => format!("Authorization: Bearer {access}"),
        }),
        (Format::Env, _) => Some(form.shell.export(&variable(&outcome.key), access)),
        (Format::Github, _) => Some(super::github::mask(access)),
        (Format::Json, Json::Response) => Some(token.response.to_pretty()),
        (Format::Json, Json::Token) => Some(response::pretty(&json!({
            "key": outcome.key.to_string(),
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
        let outcome = Outcome { key, record, source: Source::Stored, warning: None };
        render(kind, &outcome, Form { format, shell: Shell::Posix, json }).map(Option::unwrap_or_default)
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
            (Square, Format::Github, Json::Token, "::add-mask::a'b"),
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

    #[test]
    fn quotes_for_every_shell() {
        for (shell, expected) in [
            (Shell::Posix, r"export N='a'\''b\$c'"),
            (Shell::Bash, r"export N='a'\''b\$c'"),
            (Shell::Zsh, r"export N='a'\''b\$c'"),
            (Shell::Fish, r"set -gx N 'a\'b\\$c'"),
            (Shell::PowerShell, r"$env:N = 'a''b\$c'"),
        ] {
            assert_eq!(shell.export("N", r"a'b\$c"), expected);
        }
    }
}
