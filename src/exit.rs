//! The one place where errors become words, hints and exit codes. Nothing else prints an error.

mod block;
mod hints;

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::config::ConfigError;
use crate::flags::LogFormat;
use crate::model::Key;
use crate::ops::{Code, Error, error};
use crate::output::response::UnprintableToken;
use crate::output::{OutputError, Printer, terminal};
use crate::provider::{ProviderError, Refusal};
use crate::store::StoreError;
use block::{block, line};
pub use hints::with_place;
use hints::{hint_of, hint_of_store, with_key};

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

/// A key that nothing is stored for, and the one that was probably meant.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Meant(pub String);

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

/// Prints an error and tells the exit code. `place` are the options that name the directory and the store, for hints.
#[must_use]
pub fn report(error: &anyhow::Error, key: Option<&Key>, place: &str, format: LogFormat, printer: &Printer) -> Code {
    let mut report = take_apart(error, key);
    report.hint = report.hint.map(|hint| with_place(&hint, place));
    match format {
        LogFormat::Text => printer.complain(&block(&report, terminal::of_stderr().map(|size| size.columns))),
        LogFormat::Json => printer.complain(&object(&report, key)),
    }
    report.code
}

fn take_apart<'a>(error: &'a anyhow::Error, key: Option<&Key>) -> Report<'a> {
    let (code, hint) = if error.is::<Meant>() {
        (Code::NotFound, None)
    } else if let Some(error) = error.downcast_ref::<Error>() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::loopback::ListenError;

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
