//! Owners, permission bits, links and directories as Unix has them.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::FsError;

/// Has a private file opened as it is, not where a link leads, without waiting for the other end of a FIFO; one that is
/// made gets `mode`.
pub fn open_as_it_is(options: &mut OpenOptions, mode: u32) -> &mut OpenOptions {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    options.custom_flags(flags.bits().cast_signed()).mode(mode)
}

/// Has a file opened without waiting for the other end of a FIFO.
pub fn open_at_once(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags((OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed())
}

/// Nothing is needed: a locked file that was replaced is noticed by [`is_same`].
pub const fn keep_name(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Whether both are the same file.
#[must_use]
pub fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The permission bits.
pub fn mode(meta: &Metadata) -> u32 {
    meta.mode() & 0o7777
}

/// The permission bits of the file that stdout is; absent where it is none.
#[must_use]
pub fn mode_of_stdout() -> Option<u32> {
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
    stdout.metadata().ok().filter(Metadata::is_file).as_ref().map(mode)
}

/// Sets the permission bits.
///
/// # Errors
/// What the system refused.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Sets the permission bits of an open file.
pub fn set_mode_of(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))
}

/// Makes a directory that is ours alone from its first instant.
pub fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Puts the names in a directory on the disk.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|dir| dir.sync_all())
}

/// Checks that it is ours and that others have none of the `forbidden` bits.
pub fn check_access(path: &Path, meta: &Metadata, forbidden: u32, wanted: u32) -> Result<(), FsError> {
    let uid = meta.uid();
    if uid != rustix::process::geteuid().as_raw() {
        return Err(FsError::Foreign { path: path.to_owned(), uid });
    }
    let mode = mode(meta);
    if mode & forbidden != 0 {
        return Err(FsError::Exposed { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}

/// Checks that it is ours or root's, and that nobody else can write it; our own group can, and one that is named by the
/// user's number: it is most often of us alone.
pub fn check_writers(path: &Path, meta: &Metadata) -> Result<(), FsError> {
    let (uid, mode) = (meta.uid(), mode(meta));
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Err(FsError::Foreign { path: path.to_owned(), uid });
    }
    let is_own = |gid: u32| gid == uid || gid == rustix::process::getegid().as_raw();
    let of_others = if mode & 0o020 != 0 && !is_own(meta.gid()) { 0o022 } else { 0o002 };
    if mode & of_others != 0 {
        return Err(FsError::Exposed { path: path.to_owned(), mode, wanted: mode & 0o755 });
    }
    Ok(())
}

/// Whether we are root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether it is root's, and we are somebody else: what root has is ours already when we are root.
pub fn is_of_root(meta: &Metadata) -> bool {
    meta.uid() == 0 && !rustix::process::geteuid().is_root()
}

/// What is there in place of a regular file.
pub fn kind(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Whether the error says that there are no locks on this file system.
#[must_use]
pub fn is_unlockable(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| {
        [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS].iter().any(|errno| errno.raw_os_error() == code)
    })
}

/// The network file system that a directory is on: a lock there holds on this machine only, or not at all.
///
/// # Errors
/// Where the system does not tell.
#[cfg(target_os = "linux")]
pub fn network_file_system(dir: &Path) -> io::Result<Option<&'static str>> {
    let found = rustix::fs::statfs(dir)?;
    // The magic numbers of statfs(2). The field's type differs between architectures, the low 32 bits do not.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "only the low 32 bits are the number")]
    let name = match found.f_type as u32 {
        0x6969 => "NFS",
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x0116_1970 => "GFS2",
        _ => return Ok(None),
    };
    Ok(Some(name))
}

/// The network file system that a directory is on: a lock there holds on this machine only, or not at all.
///
/// # Errors
/// Where the system does not tell.
#[cfg(target_vendor = "apple")]
pub fn network_file_system(dir: &Path) -> io::Result<Option<&'static str>> {
    /// `MNT_LOCAL` of statfs(2): the file system is stored on this machine.
    const LOCAL: u32 = 0x1000;
    let found = rustix::fs::statfs(dir)?;
    Ok((found.f_flags & LOCAL == 0).then_some("a network file system"))
}

/// Not known here.
///
/// # Errors
/// Where the system does not tell.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub fn network_file_system(_dir: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}
