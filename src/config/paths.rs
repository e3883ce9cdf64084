//! Where files are.

use std::path::PathBuf;

use directories::ProjectDirs;

use crate::config::ConfigError;
use crate::env;

/// The config directory: the option, `TOKMAN_CONFIG_DIR`, `$XDG_CONFIG_HOME/tokman`, else the platform's.
///
/// # Errors
/// [`ConfigError::NoHome`] where there is no home directory either.
pub fn config_dir(option: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    option
        .or_else(|| env::path(env::CONFIG_DIR))
        .or_else(|| env::config_home().map(|home| home.join("tokman")))
        .or_else(|| project().map(|dirs| dirs.config_dir().to_owned()))
        .ok_or(ConfigError::NoHome)
}

/// `~/.pgpass`, where libpq keeps passwords; absent where there is no home directory.
#[must_use]
pub fn pgpass() -> Option<PathBuf> {
    directories::BaseDirs::new().map(|dirs| dirs.home_dir().join(".pgpass"))
}

/// Where a record goes that the store would not take: the runtime directory, else the state directory, else the
/// system's temporary one; the first that can be written is used.
#[must_use]
pub fn rescue_dirs() -> Vec<PathBuf> {
    let state = env::state_home()
        .map(|home| home.join("tokman"))
        .or_else(|| project().and_then(|dirs| dirs.state_dir().or(Some(dirs.data_local_dir())).map(PathBuf::from)));
    env::runtime_dir().map(|dir| dir.join("tokman")).into_iter().chain(state).chain([temporary()]).collect()
}

/// Where such records may lie: also where a login session, whose environment this process may not have, put them.
#[must_use]
pub fn places_of_rescue() -> Vec<PathBuf> {
    let mut dirs = rescue_dirs();
    #[cfg(unix)]
    {
        let session = PathBuf::from(format!("/run/user/{}/tokman", rustix::process::geteuid().as_raw()));
        if !dirs.contains(&session) {
            dirs.push(session);
        }
    }
    dirs
}

/// The system's temporary directory is everybody's: one of our own in it.
#[cfg(unix)]
fn temporary() -> PathBuf {
    std::env::temp_dir().join(format!("tokman-{}", rustix::process::geteuid().as_raw()))
}

/// The temporary directory is the user's own.
#[cfg(not(unix))]
fn temporary() -> PathBuf {
    std::env::temp_dir().join("tokman")
}

fn project() -> Option<ProjectDirs> {
    // A home that is relative would be another one in another directory.
    ProjectDirs::from("", "", "tokman").filter(|dirs| dirs.config_dir().is_absolute())
}
