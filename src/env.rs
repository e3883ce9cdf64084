//! Every environment variable that tokman reads. Nothing else reads the environment.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use thiserror::Error;

use crate::model::ProviderName;

/// `-p, --provider`
pub const PROVIDER: &str = "TOKMAN_PROVIDER";
/// `-n, --profile`
pub const PROFILE: &str = "TOKMAN_PROFILE";
/// `--config-dir`
pub const CONFIG_DIR: &str = "TOKMAN_CONFIG_DIR";
/// `--store`
pub const STORE: &str = "TOKMAN_STORE";
/// The key that seals stored tokens at rest
pub const STORE_KEY: &str = "TOKMAN_STORE_KEY";
/// A file with that key
pub const STORE_KEY_FILE: &str = "TOKMAN_STORE_KEY_FILE";
/// The password of a PostgreSQL store, as libpq has it
pub const PGPASSWORD: &str = "PGPASSWORD";
/// A file with such passwords, as libpq has it
pub const PGPASSFILE: &str = "PGPASSFILE";
/// The certificates to trust for a PostgreSQL store, as libpq has it
pub const PGSSLROOTCERT: &str = "PGSSLROOTCERT";
/// `-v`: `warn`, `info` or `debug`
pub const LOG: &str = "TOKMAN_LOG";
/// `--log-format`
pub const LOG_FORMAT: &str = "TOKMAN_LOG_FORMAT";

/// The proxy for https, each pair before the next: of a pair the first that is set counts, an empty one says nothing.
pub const PROXIES: [[&str; 2]; 2] = [["HTTPS_PROXY", "https_proxy"], ["ALL_PROXY", "all_proxy"]];
/// What is not asked for through a proxy
pub const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Set by a shell that asks for completions: which shell. Nobody else sets it.
pub const COMPLETE: &str = "TOKMAN_COMPLETE";

/// A value that is not UTF-8. It is never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not UTF-8 text")]
pub struct NotText;

/// What a provider's own variables end in: `TOKMAN_<PROVIDER>_<NAME>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// `…_CLIENT_ID`
    ClientId,
    /// `…_CLIENT_SECRET`
    ClientSecret,
    /// `…_CLIENT_SECRET_FILE`
    ClientSecretFile,
    /// `…_INSTANCE_ID`
    InstanceId,
    /// `…_BASE_URL`
    BaseUrl,
    /// `…_ENVIRONMENT`
    Environment,
    /// `…_REFRESH_TOKEN`
    RefreshToken,
}

impl Name {
    /// The whole name of this variable of a provider.
    #[must_use]
    pub fn of(self, provider: &ProviderName) -> String {
        let name = match self {
            Self::ClientId => "CLIENT_ID",
            Self::ClientSecret => "CLIENT_SECRET",
            Self::ClientSecretFile => "CLIENT_SECRET_FILE",
            Self::InstanceId => "INSTANCE_ID",
            Self::BaseUrl => "BASE_URL",
            Self::Environment => "ENVIRONMENT",
            Self::RefreshToken => "REFRESH_TOKEN",
        };
        format!("TOKMAN_{}_{name}", provider.as_env())
    }
}

/// A variable's value; unset, empty and not UTF-8 are the same: absent. For what decides about tokens there is
/// [`strict`].
#[must_use]
pub fn text(name: &str) -> Option<String> {
    os(name).and_then(|value| value.into_string().ok())
}

/// A variable's value where nothing may take the place of one that is not UTF-8; unset and empty are the same: absent.
///
/// # Errors
/// [`NotText`] for a value that is not UTF-8.
pub fn strict(name: &str) -> Result<Option<String>, NotText> {
    os(name).map(|value| value.into_string().map_err(|_| NotText)).transpose()
}

/// The first of these variables that is set, empty or not, and its value.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the module that everything else is told to use")]
pub fn first_set<const N: usize>(names: [&'static str; N]) -> Option<(&'static str, OsString)> {
    names.into_iter().find_map(|name| std::env::var_os(name).map(|value| (name, value)))
}

/// Whether a variable says something, be it text or not.
#[must_use]
pub fn is_set(name: &str) -> bool {
    os(name).is_some()
}

/// A variable that is a path; unset and empty are the same: absent.
#[must_use]
pub fn path(name: &str) -> Option<PathBuf> {
    os(name).map(PathBuf::from)
}

/// `XDG_CONFIG_HOME`, where it is absolute as the specification demands.
#[must_use]
pub fn config_home() -> Option<PathBuf> {
    path("XDG_CONFIG_HOME").filter(|path| path.is_absolute())
}

/// `XDG_RUNTIME_DIR`, where it is absolute; unset under cron.
#[must_use]
pub fn runtime_dir() -> Option<PathBuf> {
    path("XDG_RUNTIME_DIR").filter(|path| path.is_absolute())
}

/// `XDG_STATE_HOME`, where it is absolute.
#[must_use]
pub fn state_home() -> Option<PathBuf> {
    path("XDG_STATE_HOME").filter(|path| path.is_absolute())
}

/// `SSL_CERT_FILE` and `SSL_CERT_DIR`: certificates to trust instead of the system's.
#[must_use]
pub fn trusted_certificates() -> Option<(Option<PathBuf>, Option<PathBuf>)> {
    let (file, dir) = (path("SSL_CERT_FILE"), path("SSL_CERT_DIR"));
    (file.is_some() || dir.is_some()).then_some((file, dir))
}

#[expect(clippy::disallowed_methods, reason = "this is the module that everything else is told to use")]
fn os(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The names of all variables that are set and that only tokman reads: `TOKMAN_…`.
#[expect(clippy::disallowed_methods, reason = "this is the module that everything else is told to use")]
pub fn our_names() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(|name| name.as_encoded_bytes().starts_with(b"TOKMAN_"))
}

/// The names that the config file gives for variables with secrets.
static NAMED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Remembers that a variable holds a secret of ours, whatever it is called.
pub fn holds_secret(name: &str) {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
}

/// The names of the variables that hold secrets of ours: no program that tokman runs gets them.
pub fn secret_names() -> impl Iterator<Item = OsString> {
    let named = NAMED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let ours = our_names().filter(|name| {
        let name = name.as_encoded_bytes();
        [&b"_SECRET"[..], b"_REFRESH_TOKEN", b"_STORE", b"_STORE_KEY"].iter().any(|end| name.ends_with(end))
    });
    // A name that no variable can have would be a panic when it is taken out.
    let named = named.into_iter().filter(|name| !name.is_empty() && !name.contains(['=', '\0']));
    ours.chain(named.map(OsString::from))
}

/// The file that GitHub Actions reads the outputs of a step from; `None` where this is no such step.
#[must_use]
pub fn github_output() -> Option<PathBuf> {
    let in_actions = text("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    path("GITHUB_OUTPUT").filter(|_| in_actions)
}

/// `COLUMNS`: how long lines may be where no terminal says so.
#[must_use]
pub fn columns() -> Option<usize> {
    text("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0)
}

/// The directories of `PATH`.
#[must_use]
pub fn search_path() -> Vec<PathBuf> {
    os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// Whether a browser that is started here would show on another screen than the person's, or on none: over ssh, or
/// without a display. `$BROWSER` says that the person knows better.
#[must_use]
pub fn has_no_browser() -> bool {
    let remote = os("SSH_CONNECTION").is_some() || os("SSH_TTY").is_some();
    let blind = cfg!(all(unix, not(target_os = "macos"))) && os("DISPLAY").is_none() && os("WAYLAND_DISPLAY").is_none();
    os("BROWSER").is_none() && (remote || blind)
}
