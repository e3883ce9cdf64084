//! The one place where errors become words, hints and exit codes. Nothing else prints an error.

mod block;

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::config::ConfigError;
use crate::flags::LogFormat;
use crate::model::Key;
use crate::net::NetError;
use crate::net::loopback::ListenError;
use crate::ops::bulk::tally::Tally;
use crate::ops::{Code, Error, error};
use crate::output::response::UnprintableToken;
use crate::output::{OutputError, Printer, terminal};
use crate::provider::{Need, ProviderError, Refusal, RefusalClass};
use crate::store::{Place, SealError, StoreError};
use block::{block, line};

/// A command that cannot be run as it was written.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct Usage {
    message: String,
    hint: Option<String>,
}

impl Usage {
    /// What is wrong with the command.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// The same with a command that would do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A command that `exec` could not become.
#[derive(Debug, Error)]
#[error("cannot run {program}")]
pub struct NotRun {
    /// Its name, as it was given.
    pub program: String,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

/// The exit code of `exec` for an error: where a command did not run, 126 and 127 say why, as `env` has it; where there
/// was no token for it, 125.
#[must_use]
pub const fn of_exec(code: Code) -> u8 {
    match code {
        Code::NotExecutable | Code::NoCommand => code as u8,
        _ => 125,
    }
}

/// An error taken apart for printing.
struct Report<'a> {
    code: Code,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    refusal: Option<&'a Refusal>,
}

/// Prints an error and tells the exit code.
#[must_use]
pub fn report(error: &anyhow::Error, key: Option<&Key>, format: LogFormat, printer: &Printer) -> Code {
    let report = take_apart(error, key);
    match format {
        LogFormat::Text => printer.complain(&block(&report, terminal::of_stderr().map(|size| size.columns))),
        LogFormat::Json => printer.complain(&object(&report, key)),
    }
    report.code
}

fn take_apart<'a>(error: &'a anyhow::Error, key: Option<&Key>) -> Report<'a> {
    let (code, hint) = if let Some(error) = error.downcast_ref::<Error>() {
        (error.code(), hint_of(error, key))
    } else if let Some(error) = error.downcast_ref::<ConfigError>() {
        (error::of_config(error), error.remedy())
    } else if let Some(error) = error.downcast_ref::<StoreError>() {
        (error::of_store(error), hint_of_store(error))
    } else if let Some(usage) = error.downcast_ref::<Usage>() {
        (Code::Usage, usage.hint.clone())
    } else if let Some(not_run) = error.downcast_ref::<NotRun>() {
        let absent = not_run.source.kind() == std::io::ErrorKind::NotFound;
        (if absent { Code::NoCommand } else { Code::NotExecutable }, None)
    } else if error.is::<UnprintableToken>() {
        (Code::Rejected, None)
    } else if error.is::<OutputError>() {
        (Code::Internal, None)
    } else {
        (Code::Internal, Some("this should not happen; please report it".to_owned()))
    };
    let message = error.to_string();
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        let said = message.contains(&cause) || causes.iter().any(|earlier| earlier.contains(&cause));
        if !said {
            causes.push(cause);
        }
    }
    let refusal = match error.downcast_ref::<Error>() {
        Some(Error::Provider(ProviderError::Refused(refusal))) => Some(refusal.as_ref()),
        _ => None,
    };
    let hint = hint.map(|hint| with_key(&hint, key));
    Report { code, message, causes, hint, refusal }
}

fn object(report: &Report<'_>, key: Option<&Key>) -> String {
    let mut members = Map::new();
    members.insert("level".into(), "error".into());
    members.insert("code".into(), (report.code as u8).into());
    members.insert("name".into(), report.code.name().into());
    if let Some(key) = key {
        members.insert("key".into(), key.to_string().into());
    }
    let message = std::iter::once(&report.message).chain(&report.causes).map(|text| line(text)).collect::<Vec<_>>();
    members.insert("message".into(), message.join(": ").into());
    if let Some(hint) = &report.hint {
        members.insert("hint".into(), line(hint).into());
    }
    if let Some(refusal) = report.refusal {
        let text = |text: &Option<crate::model::ServerText>| text.as_ref().map(ToString::to_string);
        members.insert(
            "provider".into(),
            json!({
                "status": refusal.status,
                "code": text(&refusal.code),
                "message": refusal.message.to_string(),
                "request_id": text(&refusal.request_id),
            }),
        );
    }
    Value::Object(members).to_string()
}

fn hint_of(error: &Error, key: Option<&Key>) -> Option<String> {
    let obtain = |key: &Key| format!("tokman obtain {}", options(key));
    match error {
        Error::Config(error) => error.remedy(),
        Error::Provider(ProviderError::Refused(refusal)) => refusal.hint.clone().or_else(|| match refusal.class {
            RefusalClass::GrantDead => key.map(obtain),
            RefusalClass::Application => {
                Some("check the client id and the client secret; the stored grant is kept".to_owned())
            }
            RefusalClass::Passing => Some("the stored grant is kept; try again later".to_owned()),
            RefusalClass::Other => None,
        }),
        Error::Provider(ProviderError::Unsupported { hint, .. }) => hint.clone(),
        Error::Provider(ProviderError::Missing { need: Need::RefreshToken, .. }) => key.map(obtain),
        Error::Store(error) => hint_of_store(error),
        // Nothing was sent, and nothing changes by waiting.
        Error::Net(NetError::Setup(_)) => None,
        Error::Net(_) | Error::Shared { .. } | Error::Provider(ProviderError::NoAnswer { .. }) => {
            Some("the stored grant is kept; try again later".to_owned())
        }
        Error::NotFound { key } | Error::NeedsLogin { key, .. } => Some(obtain(key)),
        Error::Bound { key, .. } => Some(format!(
            "use another profile (-n NAME) for the other application, or forget this one: tokman remove {}",
            options(key)
        )),
        Error::TooOld { key, .. } => Some(format!("tokman refresh {}", options(key))),
        Error::OtherAccount { key, rescue, .. } | Error::RefreshTokenOnly { key, rescue, .. } => Some(format!(
            "to overwrite the stored one all the same: tokman import --rescue '{}' {} --replace",
            rescue.display(),
            options(key)
        )),
        Error::NotSaved { key, rescue, .. } => Some(format!(
            "mend the store, then put it back: tokman import --rescue '{}' {}",
            rescue.display(),
            options(key)
        )),
        Error::Rescued { key, rescue } => {
            Some(format!("put it back: tokman import --rescue '{}' {}", rescue.display(), options(key)))
        }
        Error::Listen(ListenError::Port { redirect_uri, .. }) => Some(format!(
            "end the other program, or take another port: --port N, and register http://{}:N/callback with the provider",
            redirect_uri.host_str().unwrap_or("localhost")
        )),
        Error::Listen(ListenError::NotLoopback(_)) => {
            Some("give an https address of your own and paste what the browser ends at: --no-browser".to_owned())
        }
        Error::NoAccount { key, rescue } => {
            Some(format!("keep it as {key}: tokman import --rescue '{}' {}", rescue.display(), options(key)))
        }
        Error::LoginTimedOut { provider, redirect_uri } => Some(format!(
            "providers match redirect addresses exactly: register {redirect_uri} with {provider}, or give the registered one with --redirect-uri"
        )),
        Error::Import { taken: true, .. } => Some(
            "with --replace what is stored is overwritten: make sure that it is the older one, it may have been refreshed since"
                .to_owned(),
        ),
        Error::Import { .. } => Some(
            "one JSON object on each line ('jq -c .' makes them so), or a single one; see 'tokman import --help'"
                .to_owned(),
        ),
        Error::Stopped { why, rest, .. } => Some(format!(
            "mend it, then {}{}",
            rest.as_ref().map_or_else(|| "run it again".to_owned(), |rest| format!("store the rest and only that: {rest}")),
            hint_of(why, key).map(|hint| format!(" ({hint})")).unwrap_or_default()
        )),
        Error::Keys { code, tally, .. } => Some(hint_of_keys(*code, tally)),
        Error::Login(_) => key.map(|key| format!("begin again: tokman obtain {} --no-browser", options(key))),
        Error::Provider(_) | Error::Lost { .. } | Error::Rescue(_) | Error::System(_) => None,
    }
}

/// What a person has to do after a run; the next run does the rest.
fn hint_of_keys(code: Code, tally: &Tally) -> String {
    let rescued = (tally.rescued > 0).then_some("see which rescue files to put back: tokman doctor");
    let dead = (tally.needs_login > 0).then_some("see who has to log in: tokman status --only needs_login");
    let rest = match code {
        Code::Rejected => "check the client id and the client secret; the stored grants are kept",
        _ => "the stored grants are kept; the next run takes up the rest",
    };
    let hints: Vec<&str> = rescued.into_iter().chain(dead).collect();
    if hints.is_empty() { rest.to_owned() } else { hints.join("; ") }
}

fn hint_of_store(error: &StoreError) -> Option<String> {
    match error {
        StoreError::Fs(error) => error.remedy(),
        StoreError::SetAside { place: Place::Row { key, .. }, .. } => Some(format!(
            "a grant may be in it: write it into a file, mend it, and give it to 'tokman import --replace <FILE', or log in anew, which leaves it where it is: tokman obtain {}", options(key)
        )),
        StoreError::Damaged { .. } | StoreError::SetAside { .. } => Some(
            "a grant may be in it: mend it and move it back, or log in anew with 'tokman obtain', which leaves it where it is".to_owned()
        ),
        StoreError::Newer { .. } | StoreError::NewerTables { .. } => Some("use the newer tokman".to_owned()),
        StoreError::Busy { .. } => Some("try again; if it stays so, look for a tokman that hangs".to_owned()),
        StoreError::Overtaken { .. } => Some("try again, with a longer --timeout if this process was slow".to_owned()),
        StoreError::Unreachable { .. } | StoreError::Refused { .. } => Some("see what the database says: tokman doctor".to_owned()),
        StoreError::Config(error) => error.remedy(),
        StoreError::Sealed { why, .. } => Some(match why {
            SealError::NoKey { .. } | SealError::OtherKey { .. } => {
                "name the key that sealed it: [store] key in the config file, TOKMAN_STORE_KEY or TOKMAN_STORE_KEY_FILE".to_owned()
            }
            SealError::Needed => {
                "make a key with 'tokman key new', keep it safe, and name it: [store] key in the config file, TOKMAN_STORE_KEY or TOKMAN_STORE_KEY_FILE".to_owned()
            }
            SealError::Unusable(_) | SealError::Absent(_) | SealError::NoRandomness => {
                "see where it is looked for: tokman config show".to_owned()
            }
        }),
        StoreError::NoLocks { .. } => Some("keep the tokens on a local disk: --store file:/path".to_owned()),
    }
}

/// A hint with every command in it complete: a provider names the verb only, between backticks.
fn with_key(hint: &str, key: Option<&Key>) -> String {
    const VERBS: [&str; 4] = ["tokman obtain", "tokman refresh", "tokman remove", "tokman revoke"];
    let Some(key) = key else { return hint.to_owned() };
    let complete = |(at, part): (usize, &str)| {
        let verb = VERBS.into_iter().find(|verb| at % 2 == 1 && part.starts_with(verb));
        verb.map_or_else(|| part.to_owned(), |verb| format!("{verb} {}{}", options(key), &part[verb.len()..]))
    };
    hint.split('`').enumerate().map(complete).collect::<Vec<_>>().join("`")
}

/// The options that name a key, as a command would have them.
fn options(key: &Key) -> String {
    if key.profile == crate::model::ProfileName::default() {
        format!("--provider {}", key.provider)
    } else {
        format!("--provider {} --profile {}", key.provider, key.profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(error: Error) -> String {
        let key: Key = "acme/default".parse().unwrap();
        take_apart(&error.into(), Some(&key)).hint.unwrap()
    }

    #[test]
    fn tells_which_redirect_address_to_register_when_the_browser_did_not_come_back() {
        let redirect_uri = "http://127.0.0.1:8917/callback".parse().unwrap();
        let error = Error::LoginTimedOut { provider: "acme".parse().unwrap(), redirect_uri };
        assert_eq!(error.code(), Code::NeedsLogin);
        let hint = hint(error);
        assert!(hint.contains("register http://127.0.0.1:8917/callback with acme") && hint.contains("--redirect-uri"));
    }

    #[test]
    fn tells_the_redirect_address_of_another_port_as_this_provider_has_it() {
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            let redirect_uri = format!("http://{host}:8917/callback").parse().unwrap();
            let source = std::io::ErrorKind::AddrInUse.into();
            let hint = hint(Error::Listen(ListenError::Port { redirect_uri, source }));
            assert!(
                hint.contains("--port N") && hint.contains(&format!("register http://{host}:N/callback")),
                "{hint}"
            );
        }
    }
}
