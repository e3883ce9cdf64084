//! What `tokman obtain` reads from stdin and files: secrets, never echoed.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use super::Run;
use crate::exit::Usage;
use crate::model::Secret;
use crate::provider::pkce;
use crate::{fsutil, prompt};

/// The most that is read of a secret from stdin or a file, in bytes.
const LIMIT: u64 = 64 << 10;

impl Run<'_> {
    pub(super) fn read_verifier(&self, path: &Path) -> anyhow::Result<Secret> {
        let verifier = if path == Path::new("-") {
            if self.args.code.as_deref() == Some("-") {
                return Err(Usage::new("stdin cannot be both the code and the verifier").into());
            }
            self.read_stdin("code verifier")?
        } else {
            let bytes = fsutil::read_private(path, LIMIT).map_err(crate::config::ConfigError::from)?;
            let bytes = bytes.ok_or_else(|| Usage::new(format!("there is no file {}", path.display())))?;
            Secret::new(String::from_utf8_lossy(&bytes).trim())
        };
        if pkce::is_verifier(verifier.expose()) {
            Ok(verifier)
        } else {
            Err(Usage::new("a code verifier has 43 to 128 letters, digits, '-', '.', '_' or '~' (RFC 7636)").into())
        }
    }

    pub(super) fn stdin_is_free(&self, what: &str) -> Result<(), Usage> {
        if self.args.application.client_secret_file.as_deref() == Some(Path::new("-")) {
            return Err(Usage::new(format!("stdin cannot be both the client secret and the {what}")));
        }
        Ok(())
    }

    /// A secret from stdin, without an echo where that is a terminal.
    pub(super) fn read_stdin(&self, what: &str) -> anyhow::Result<Secret> {
        self.stdin_is_free(what)?;
        let secret = if io::stdin().is_terminal() {
            prompt::hidden(what).map_err(|error| Usage::new(format!("the {what} cannot be read: {error}")))?
        } else {
            let mut text = zeroize::Zeroizing::new(String::new());
            io::stdin().take(LIMIT).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
            Secret::new(text.trim())
        };
        if secret.is_empty() {
            return Err(Usage::new(format!("stdin has no {what}")).into());
        }
        Ok(secret)
    }
}

/// One line, trimmed.
pub(super) fn read_line(stdin: &io::Stdin) -> anyhow::Result<Secret> {
    let mut line = zeroize::Zeroizing::new(String::new());
    io::BufRead::read_line(&mut stdin.lock().take(LIMIT), &mut line).map_err(|error| unreadable(&error))?;
    Ok(Secret::new(line.trim()))
}

/// Stdin that gives no text: a directory, bytes that are none.
fn unreadable(error: &io::Error) -> Usage {
    match error.kind() {
        io::ErrorKind::InvalidData => Usage::new("stdin is not UTF-8 text"),
        _ => Usage::new(format!("stdin cannot be read: {error}")),
    }
}
