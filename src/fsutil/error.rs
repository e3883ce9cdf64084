//! What is wrong with a file or a directory.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

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
            Self::Exposed { path, wanted, .. } => {
                Some(format!("chmod {wanted:o} {}", shell_word(&path.display().to_string())))
            }
            _ => None,
        }
    }
}
