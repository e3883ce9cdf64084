//! Directories that are ours alone.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::path::Path;

use super::{FsError, is_absent, platform, set_mode, sync_names};

/// Makes a directory and its missing parents, each 0700 whatever the umask; checks that the last one is ours and that
/// nobody else can write into it.
///
/// # Errors
/// What the system refused, or what is wrong with a directory that is there.
pub fn make_private_dir(path: &Path) -> Result<(), FsError> {
    match fs::metadata(path) {
        Ok(meta) => return check_dir(path, &meta),
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(FsError::io("look at", path)(error)),
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_ancestors(parent)?;
    }
    make_one_dir(path)?;
    check_private_dir(path)
}

/// Checks a directory that holds private files: ours, and nobody else can put something into it.
///
/// # Errors
/// What is wrong with it, also where it is absent.
pub fn check_private_dir(path: &Path) -> Result<(), FsError> {
    let meta = fs::metadata(path).map_err(FsError::io("look at", path))?;
    check_dir(path, &meta)
}

fn check_dir(path: &Path, meta: &Metadata) -> Result<(), FsError> {
    if !meta.is_dir() {
        return Err(FsError::Io {
            action: "use",
            path: path.display().to_string(),
            source: io::ErrorKind::NotADirectory.into(),
        });
    }
    platform::check_access(path, meta, 0o022, 0o700)
}

fn make_ancestors(path: &Path) -> Result<(), FsError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_ancestors(parent)?;
    }
    make_one_dir(path)
}

fn make_one_dir(path: &Path) -> Result<(), FsError> {
    match platform::make_dir(path) {
        // The umask may have taken the owner's own bits.
        Ok(()) => set_mode(path, 0o700).map_err(FsError::io("set the mode of", path))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(FsError::io("make the directory", path)(error)),
    }
    match path.parent() {
        Some(parent) => sync_names(parent),
        None => Ok(()),
    }
}

/// Makes a directory that holds no secret and that others are to read, as far as the umask lets them, and those above
/// it. One that is there is left as it is.
///
/// # Errors
/// What the system refused.
pub fn make_public_dir(path: &Path) -> Result<(), FsError> {
    DirBuilder::new().recursive(true).create(path).map_err(FsError::io("make the directory", path))
}
