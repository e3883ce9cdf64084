//! Where a client secret comes from. It is fetched only when something has to be sent: printing a cached token runs
//! no command and opens no file of these.

use std::fmt;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::config::ConfigError;
use crate::model::Secret;
use crate::{env, fsutil, keyring, process, prompt};

/// The most that is read of a secret, in bytes.
const LIMIT: u64 = 64 << 10;

/// How long a command may take to print a secret: a person may have to touch a key for it.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// One place to fetch a secret from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The config file itself.
    Literal(Secret),
    /// `{ env = "NAME" }`, and the variables that are tokman's own.
    Env(String),
    /// `{ file = "/path" }`, or the file of `--client-secret-file`.
    File(PathBuf),
    /// Stdin, asked for by `--client-secret-file -`.
    Stdin,
    /// `{ command = ["pass", "show", "square"] }`: its stdout, run without a shell.
    Command(Vec<String>),
    /// `{ keyring = "name" }`
    Keyring(String),
}

impl SecretSource {
    /// Fetches the secret; `None` where the source does not have one (variable unset, no such file), so that the next
    /// of a list is tried. Blanks and line breaks around it are not part of it.
    ///
    /// # Errors
    /// Where the source is there but cannot be used; `what` says which secret it is.
    pub fn fetch(&self, what: &str) -> Result<Option<Secret>, ConfigError> {
        let error = |why: String| ConfigError::Secret { what: what.to_owned(), why };
        let text = match self {
            Self::Literal(secret) => Some(secret.clone()),
            Self::Env(name) => {
                let text = env::strict(name).map_err(|why| error(format!("the variable {name} {why}")))?;
                text.map(Secret::new)
            }
            Self::File(path) => match fsutil::read_handed_over(path, LIMIT)? {
                Some(bytes) => Some(utf8(bytes).ok_or_else(|| error(format!("{} is not text", path.display())))?),
                None => None,
            },
            Self::Stdin => {
                // It can be read once, and a login needs the secret before and after the browser.
                static READ: Mutex<Option<Secret>> = Mutex::new(None);
                let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
                if read.is_none() && io::stdin().is_terminal() {
                    let asked = what.strip_prefix("the ").unwrap_or(what);
                    *read = Some(prompt::hidden(asked).map_err(|e| error(format!("the terminal: {e}")))?);
                }
                if read.is_none() {
                    let mut bytes = Vec::new();
                    io::stdin().take(LIMIT).read_to_end(&mut bytes).map_err(|e| error(format!("stdin: {e}")))?;
                    *read = Some(utf8(bytes).ok_or_else(|| error("stdin is not text".to_owned()))?);
                }
                read.clone()
            }
            Self::Command(argv) => Some(run(argv).map_err(error)?),
            Self::Keyring(name) => keyring::get(name).map_err(|why| error(why.to_string()))?,
        };
        Ok(text.map(|secret| Secret::new(secret.expose().trim())).filter(|secret| !secret.is_empty()))
    }

    /// Where it comes from, in words, never with a value.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Literal(_) => "a value".to_owned(),
            Self::Env(name) => format!("the variable {name}"),
            Self::File(path) => format!("the file {}", path.display()),
            Self::Stdin => "stdin".to_owned(),
            Self::Command(argv) => format!("the command {}", argv.first().map_or("", String::as_str)),
            Self::Keyring(name) => format!("the keyring entry {name}"),
        }
    }
}

fn utf8(bytes: Vec<u8>) -> Option<Secret> {
    String::from_utf8(bytes).ok().map(Secret::new)
}

/// Runs a command for its stdout.
fn run(argv: &[String]) -> Result<Secret, String> {
    let bytes = process::run(argv, b"", LIMIT, COMMAND_LIMIT).map_err(|error| error.to_string())?;
    let program = argv.first().map_or("", String::as_str);
    let text = utf8(bytes).ok_or_else(|| format!("the command {program} printed no text"))?;
    if text.expose().trim().is_empty() {
        return Err(format!("the command {program} printed nothing"));
    }
    Ok(text)
}

/// A secret in the config file: a string, a table of one member, or a list of these that is tried in order.
#[derive(Debug, Clone, Default)]
pub struct SecretSources(pub Vec<SecretSource>);

impl<'de> Deserialize<'de> for SecretSources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sources;
        impl<'de> Visitor<'de> for Sources {
            type Value = SecretSources;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a string, { env = \"NAME\" }, { file = \"/path\" }, { command = [\"…\"] } or a list of these",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretSources, E> {
                Ok(SecretSources(vec![SecretSource::Literal(Secret::new(text))]))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSources, A::Error> {
                let Some(name) = map.next_key::<String>()? else {
                    return Err(de::Error::custom(
                        "an empty table says nothing: write { env = … }, { file = … } or { command = … }",
                    ));
                };
                let source = match name.as_str() {
                    "env" => {
                        let name: String = map.next_value()?;
                        env::holds_secret(&name);
                        SecretSource::Env(name)
                    }
                    "file" => SecretSource::File(map.next_value()?),
                    "command" => SecretSource::Command(map.next_value()?),
                    "keyring" => SecretSource::Keyring(map.next_value()?),
                    _ => return Err(de::Error::unknown_field(&name, &["env", "file", "command", "keyring"])),
                };
                if map.next_key::<String>()?.is_some() {
                    return Err(de::Error::custom("one of env, file, command and keyring; for several write a list"));
                }
                Ok(SecretSources(vec![source]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<SecretSources, A::Error> {
                let mut all = Vec::new();
                while let Some(SecretSources(one)) = list.next_element()? {
                    all.extend(one);
                }
                Ok(SecretSources(all))
            }
        }
        deserializer.deserialize_any(Sources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<Vec<SecretSource>, String> {
        #[derive(serde::Deserialize)]
        struct Holder {
            s: SecretSources,
        }
        toml::from_str::<Holder>(toml).map(|holder| holder.s.0).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn reads_one_source_or_a_list() {
        assert_eq!(read("s = \"x\"").unwrap(), [SecretSource::Literal(Secret::new("x"))]);
        assert_eq!(
            read("s = [{ env = \"A\" }, { file = \"/b\" }, { command = [\"c\", \"d\"] }]").unwrap(),
            [
                SecretSource::Env("A".into()),
                SecretSource::File("/b".into()),
                SecretSource::Command(vec!["c".into(), "d".into()])
            ]
        );
        assert!(read("s = { envv = \"A\" }").unwrap_err().contains("envv"));
        assert!(read("s = { env = \"A\", file = \"b\" }").unwrap_err().contains("write a list"));
        assert!(read("s = {}").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn fetches_from_a_command_and_trims_what_surrounds_it() {
        let echo = SecretSource::Command(["echo", " from-command "].map(String::from).to_vec());
        assert_eq!(echo.fetch("the client secret of square").unwrap(), Some(Secret::new("from-command")));
    }

    #[test]
    fn says_what_is_wrong_with_a_command() {
        for (argv, why) in [
            #[cfg(unix)]
            (vec!["false"], "failed"),
            #[cfg(unix)]
            (vec!["true"], "printed nothing"),
            (vec!["no-such-program-here"], "cannot be run"),
            (vec!["./here"], "must be a name found in PATH"),
            (vec![], "empty"),
        ] {
            let source = SecretSource::Command(argv.into_iter().map(String::from).collect());
            let error = source.fetch("the client secret of square").unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn passes_over_a_file_or_variable_that_is_not_there() {
        assert_eq!(
            SecretSource::File("/nonexistent/secret".into()).fetch("the client secret of square").unwrap(),
            None
        );
        assert_eq!(
            SecretSource::Env("TOKMAN_TEST_NEVER_SET".into()).fetch("the client secret of square").unwrap(),
            None
        );
    }

    #[cfg(not(feature = "keyring"))]
    #[test]
    fn says_that_the_keyring_is_not_in_this_build() {
        let error = SecretSource::Keyring("x".into()).fetch("the client secret of square").unwrap_err();
        assert!(error.to_string().contains("the keyring is not in this build"), "{error}");
    }
}
