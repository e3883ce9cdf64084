//! The platform's keyring: secrets that a person's session keeps. Asked with a limit, because a locked one waits for
//! somebody to unlock it, and never replaced by another place.

use std::time::Duration;

use thiserror::Error;

use crate::model::Secret;

/// How long the keyring may take.
const LIMIT: Duration = Duration::from_secs(3);

/// Why the keyring gave nothing.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum KeyringError {
    /// It did not answer: it is locked and waits for a person, or hangs.
    #[error("the keyring did not answer within {} s; it may be locked", LIMIT.as_secs())]
    TimedOut,
    /// There is none in this session, or it refused.
    #[error("the keyring cannot be used: {0}")]
    Refused(String),
    /// This build has no keyring.
    #[error("the keyring is not in this build (feature 'keyring')")]
    NotBuilt,
}

/// The secret of an entry; `None` where there is no such entry.
///
/// # Errors
/// Why the keyring cannot say.
pub fn get(entry: &str) -> Result<Option<Secret>, KeyringError> {
    let entry = entry.to_owned();
    within_limit(move || platform::get(&entry))
}

/// Sets the secret of an entry, and reads it back: what was set is there when this returns.
///
/// # Errors
/// Why the keyring did not take it.
pub fn set(entry: &str, secret: &Secret) -> Result<(), KeyringError> {
    let (entry, secret) = (entry.to_owned(), secret.clone());
    within_limit(move || {
        platform::set(&entry, &secret)?;
        match platform::get(&entry)? {
            Some(kept) if kept == secret => Ok(()),
            _ => Err(KeyringError::Refused("it did not keep what it was given".to_owned())),
        }
    })
}

/// Asks on a thread of its own: whoever waits for an answer that does not come can go on.
fn within_limit<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, KeyringError> + Send + 'static,
) -> Result<T, KeyringError> {
    let (sender, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(ask()));
    answer.recv_timeout(LIMIT).unwrap_or(Err(KeyringError::TimedOut))
}

/// The Secret Service of a desktop session (`org.freedesktop.secrets`), over D-Bus.
#[cfg(all(feature = "keyring", target_os = "linux"))]
mod platform {
    use std::sync::{Arc, OnceLock};

    use keyring_core::Error;
    use keyring_core::api::CredentialStore;

    use crate::keyring::KeyringError;
    use crate::model::Secret;

    /// What the keyring shows beside each entry.
    const SERVICE: &str = "tokman";

    fn open(entry: &str) -> Result<keyring_core::Entry, KeyringError> {
        static STORE: OnceLock<Arc<CredentialStore>> = OnceLock::new();
        let store = if let Some(store) = STORE.get() {
            Arc::clone(store)
        } else {
            let store = zbus_secret_service_keyring_store::Store::new().map_err(|error| refused(&error))?;
            Arc::clone(STORE.get_or_init(|| store))
        };
        store.build(SERVICE, entry, None).map_err(|error| refused(&error))
    }

    /// What the keyring says of itself; an error of encoding has the bytes in it and is not shown.
    fn refused(error: &Error) -> KeyringError {
        KeyringError::Refused(match error {
            Error::BadEncoding(_) | Error::BadDataFormat(..) => "the entry is not text".to_owned(),
            Error::Ambiguous(_) => "there are several entries of that name".to_owned(),
            error => crate::model::text::escape(&error.to_string(), 200),
        })
    }

    pub(super) fn get(entry: &str) -> Result<Option<Secret>, KeyringError> {
        match open(entry)?.get_password() {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(refused(&error)),
        }
    }

    pub(super) fn set(entry: &str, secret: &Secret) -> Result<(), KeyringError> {
        open(entry)?.set_password(secret.expose()).map_err(|error| refused(&error))
    }
}

#[cfg(not(all(feature = "keyring", target_os = "linux")))]
mod platform {
    use crate::keyring::KeyringError;
    use crate::model::Secret;

    pub(super) fn get(_entry: &str) -> Result<Option<Secret>, KeyringError> {
        Err(KeyringError::NotBuilt)
    }

    pub(super) fn set(_entry: &str, _secret: &Secret) -> Result<(), KeyringError> {
        Err(KeyringError::NotBuilt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_wait_for_a_keyring_that_does_not_answer() {
        let asked = within_limit(|| {
            std::thread::park();
            Ok(())
        });
        assert_eq!(asked, Err(KeyringError::TimedOut));
    }
}
