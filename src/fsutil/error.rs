//! What is wrong with a file or a directory.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::platform;
use crate::model::text::shell_word;

/// A file or directory that could not be used, always with its path.
#[derive(Debug, Error)]
pub enum FsError {
    /// The system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read it, or write into it.
    #[error("{path} is open to other users (mode {mode:04o})")]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The bits it should have.
        wanted: u32,
    },
    /// It belongs to somebody else.
    #[error("{path} belongs to another user (uid {uid})")]
    Foreign {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// A symbolic link, a directory, a FIFO, a device.
    #[error("{path} is not a regular file but {what}")]
    NotAFile {
        /// What was found there.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Larger than anything that belongs there.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
}

impl FsError {
    /// Wraps what the system said.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }

    /// The command that mends it, where there is one.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Exposed { path, wanted, .. } => Some(format!("chmod {wanted:o} {}", word(path))),
            Self::Foreign { path, uid } if platform::is_root() => {
                Some(format!("run it as that user: sudo -u '#{uid}' tokman …; or take it over: chown 0 {}", word(path)))
            }
            Self::Foreign { path, .. } => Some(format!(
                "run it as that user, or look through it and take it over: sudo chown \"$(id -u)\" {}",
                word(path)
            )),
            _ => None,
        }
    }
}

fn word(path: &Path) -> String {
    shell_word(&path.display().to_string())
}
