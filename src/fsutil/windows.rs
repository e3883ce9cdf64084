//! What there is on Windows in place of owners and permission bits: a file in the user's profile inherits an access
//! list that lets the user, the system and administrators in, and nobody else. It is not looked at here.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Component, Path, Prefix};

use super::FsError;

/// `FILE_FLAG_OPEN_REPARSE_POINT` of CreateFile.
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;

/// `FILE_SHARE_READ | FILE_SHARE_WRITE`, without `FILE_SHARE_DELETE`.
const SHARE_READ_WRITE: u32 = 3;

/// `ERROR_INVALID_FUNCTION` and `ERROR_NOT_SUPPORTED`: what file systems without locks answer.
const UNLOCKABLE: [i32; 2] = [1, 50];

/// Has a private file opened as it is, not where a link leads.
pub fn open_as_it_is(options: &mut OpenOptions, _mode: u32) -> &mut OpenOptions {
    options.custom_flags(OPEN_REPARSE_POINT)
}

/// Nothing is needed: there are no FIFOs among files.
pub fn open_at_once(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Has a file opened such that nobody can remove or replace it before it is closed.
pub fn keep_name(options: &mut OpenOptions) -> &mut OpenOptions {
    options.share_mode(SHARE_READ_WRITE)
}

/// Always: what is open by [`keep_name`] keeps its name.
#[must_use]
pub fn is_same(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

/// As if nobody else had any rights.
pub fn mode(meta: &Metadata) -> u32 {
    if meta.is_dir() { 0o700 } else { 0o600 }
}

/// Absent: who can read a file is not in bits.
#[must_use]
pub fn mode_of_stdout() -> Option<u32> {
    None
}

/// Nothing to set.
///
/// # Errors
/// What the system refused.
pub fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Nothing to set.
pub fn set_mode_of(_file: &File, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Makes a directory.
pub fn make_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// Directories cannot be flushed; the file system's journal keeps names.
pub fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Nothing is checked: see the head of this file.
pub fn check_access(_path: &Path, _meta: &Metadata, _forbidden: u32, _wanted: u32) -> Result<(), FsError> {
    Ok(())
}

/// As for [`check_access`].
pub fn check_writers(_path: &Path, _meta: &Metadata) -> Result<(), FsError> {
    Ok(())
}

/// There is no root here.
pub const fn is_root() -> bool {
    false
}

/// There is no root here.
pub fn is_of_root(_meta: &Metadata) -> bool {
    false
}

/// What is there in place of a regular file.
pub fn kind(meta: &Metadata) -> &'static str {
    if meta.is_dir() {
        "a directory"
    } else if meta.is_symlink() {
        "a symbolic link"
    } else {
        "a device"
    }
}

/// Whether the error says that there are no locks on this file system.
#[must_use]
pub fn is_unlockable(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| UNLOCKABLE.contains(&code))
}

/// The network file system that a directory is on, also behind the letter of a drive.
///
/// # Errors
/// Where the system does not tell.
pub fn network_file_system(dir: &Path) -> io::Result<Option<&'static str>> {
    let whole = fs::canonicalize(dir)?;
    let is_share = match whole.components().next() {
        Some(Component::Prefix(prefix)) => matches!(prefix.kind(), Prefix::VerbatimUNC(..) | Prefix::UNC(..)),
        _ => false,
    };
    Ok(is_share.then_some("a network share"))
}
