//! Private and durable files: what is made here is readable by its owner only, from the first instant, and is on the
//! disk when the call returns. What others could have written or can read is refused.

mod directories;
mod error;
mod temporary;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

pub use directories::{check_private_dir, make_private_dir, make_public_dir};
pub use error::FsError;
pub use temporary::{Replacement, spool};
#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

pub use platform::{is_same, is_unlockable, keep_name, mode_of_stdout, network_file_system, set_mode};

/// Reads a private file whole: a regular file of ours that others cannot read, at most `limit` bytes. `None` where
/// there is none. Nothing else is opened for longer than it takes to see what it is: a FIFO does not block.
///
/// # Errors
/// What is wrong with the file.
pub fn read_private(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
    let Some(file) = open_private(path, OpenOptions::new().read(true), 0o600)? else {
        return Ok(None);
    };
    read_capped(file, path, limit).map(Some)
}

/// Reads a secret that root may have handed over: a private file as [`read_private`] has it, or root's own file that a
/// group or an access list lets us read and everybody else not, also where a link of root's leads to it. That is how
/// systemd hands over credentials and Kubernetes secrets.
///
/// # Errors
/// What is wrong with the file.
pub fn read_handed_over(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
    let refused = match read_private(path, limit) {
        Err(error @ (FsError::Foreign { .. } | FsError::NotAFile { .. })) => error,
        read => return read,
    };
    if !fs::symlink_metadata(path).is_ok_and(|meta| platform::is_of_root(&meta)) {
        return Err(refused);
    }
    let file = platform::open_at_once(OpenOptions::new().read(true)).open(path).map_err(FsError::io("open", path))?;
    let meta = file.metadata().map_err(FsError::io("open", path))?;
    if !meta.is_file() || !platform::is_of_root(&meta) {
        return Err(refused);
    }
    let mode = platform::mode(&meta);
    if mode & 0o037 != 0 {
        return Err(FsError::Exposed { path: path.to_owned(), mode, wanted: 0o640 });
    }
    read_capped(file, path, limit).map(Some)
}

/// Reads a file that others may read but that is our own word, or root's, as a config file without secrets: nobody else
/// may write it. Tells its permission bits.
///
/// # Errors
/// What is wrong with the file.
pub fn read_trusted(path: &Path, limit: u64) -> Result<Option<(Vec<u8>, u32)>, FsError> {
    let file = match platform::open_at_once(OpenOptions::new().read(true)).open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(FsError::io("read", path)(error)),
    };
    let meta = file.metadata().map_err(FsError::io("read", path))?;
    if !meta.is_file() {
        return Err(FsError::NotAFile { path: path.to_owned(), what: platform::kind(&meta) });
    }
    platform::check_writers(path, &meta)?;
    read_capped(file, path, limit).map(|bytes| Some((bytes, platform::mode(&meta))))
}

/// Opens an existing private file with `options`; `None` where there is none.
///
/// # Errors
/// Not a regular file (symbolic links are not followed), not ours, or open to others beyond `wanted`.
pub fn open_private(path: &Path, options: &OpenOptions, wanted: u32) -> Result<Option<File>, FsError> {
    Ok(open_seen(path, options, wanted)?.map(|(file, _)| file))
}

/// The same with what was seen of the file when it was checked.
///
/// # Errors
/// As for [`open_private`].
pub fn open_seen(path: &Path, options: &OpenOptions, wanted: u32) -> Result<Option<(File, Metadata)>, FsError> {
    let file = match platform::open_as_it_is(&mut options.clone(), wanted).open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => {
            return Err(match fs::symlink_metadata(path) {
                Ok(meta) if !meta.is_file() => FsError::NotAFile { path: path.to_owned(), what: platform::kind(&meta) },
                _ => FsError::io("open", path)(error),
            });
        }
    };
    let meta = file.metadata().map_err(FsError::io("open", path))?;
    if !meta.is_file() {
        return Err(FsError::NotAFile { path: path.to_owned(), what: platform::kind(&meta) });
    }
    platform::check_access(path, &meta, 0o077 & !wanted, wanted)?;
    Ok(Some((file, meta)))
}

/// Makes a new private file with `bytes` in it; where `durable`, they and its name are on the disk on return.
///
/// # Errors
/// What the system refused; where that is for want of room, nothing is left behind.
pub fn create_private(path: &Path, bytes: &[u8], durable: bool) -> Result<File, FsError> {
    let mut options = OpenOptions::new();
    let options = platform::open_as_it_is(options.read(true).write(true).create_new(true), 0o600);
    let mut file = options.open(path).map_err(FsError::io("create", path))?;
    let written = (|| {
        platform::set_mode_of(&file, 0o600)?;
        file.write_all(bytes)?;
        if durable { file.sync_all() } else { Ok(()) }
    })();
    let written = written.map_err(FsError::io("write", path));
    if let Err(error) = written.and_then(|()| if durable { sync_parent(path) } else { Ok(()) }) {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

/// Gives an open private file the bits of its owner that a umask took when it was made, as was `seen` of it.
///
/// # Errors
/// What the system refused.
pub fn restore_owner_bits(file: &File, seen: &Metadata, path: &Path) -> Result<(), FsError> {
    if platform::mode(seen) & 0o600 == 0o600 {
        return Ok(());
    }
    platform::set_mode_of(file, 0o600).map_err(FsError::io("set the mode of", path))
}

/// Replaces all that is in an open file by `bytes`, on the disk on return. Where the file was as large already, this
/// needs no more room.
///
/// # Errors
/// What the system refused.
pub fn rewrite(file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    let rewritten = (|| {
        file.rewind()?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()
    })();
    rewritten.map_err(FsError::io("write", path))
}

/// Cuts a private file to `length` bytes; what is left is on the disk on return.
///
/// # Errors
/// What the system refused, or what is wrong with the file.
pub fn shorten(path: &Path, length: u64) -> Result<(), FsError> {
    let shortened = match open_private(path, OpenOptions::new().write(true), 0o600)? {
        Some(file) => file.set_len(length).and_then(|()| file.sync_all()),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    shortened.map_err(FsError::io("write", path))
}

/// Moves a finished file to its name and puts that on the disk.
///
/// # Errors
/// What the system refused.
pub fn publish(from: &Path, to: &Path) -> Result<(), FsError> {
    rename(from, to)?;
    sync_parent(to)
}

/// Moves a finished file to its name. That is on the disk once [`sync_names`] was called for its directory.
///
/// # Errors
/// What the system refused.
pub fn rename(from: &Path, to: &Path) -> Result<(), FsError> {
    fs::rename(from, to).map_err(FsError::io("replace", to))
}

/// Removes a file, on the disk on return where `durable`; `false` where there was none.
///
/// # Errors
/// What the system refused.
pub fn remove(path: &Path, durable: bool) -> Result<bool, FsError> {
    match fs::remove_file(path) {
        Ok(()) if durable => sync_parent(path).map(|()| true),
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(FsError::io("remove", path)(error)),
    }
}

/// Overwrites a private file that is there, or makes one; where `durable`, it is on the disk on return. It is not
/// replaced atomically: whoever reads it in between sees a torn one.
///
/// # Errors
/// What the system refused, or what is wrong with the file that is there.
pub fn overwrite_private(path: &Path, bytes: &[u8], durable: bool) -> Result<File, FsError> {
    // Mostly there is none: then one look is enough.
    match create_private(path, bytes, durable) {
        Err(FsError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let Some(mut file) = open_private(path, OpenOptions::new().read(true).write(true), 0o600)? else {
        return create_private(path, bytes, durable);
    };
    rewrite(&mut file, path, bytes)?;
    if durable {
        sync_parent(path)?;
    }
    Ok(file)
}

/// Writes a file that holds no secret and that others are to read, as far as the umask lets them. Replaces what is there.
///
/// # Errors
/// What the system refused.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).open(path);
    opened.and_then(|mut file| file.write_all(bytes)).map_err(FsError::io("write", path))
}

/// Appends whole lines to a regular file that is there, whoever made it and with the mode that it has: others read it
/// after us. A last line that was not ended is ended first.
///
/// # Errors
/// What the system refused, also where there is no such file.
pub fn append_lines(path: &Path, lines: &str) -> Result<(), FsError> {
    let appended = (|| {
        let mut file = platform::open_at_once(OpenOptions::new().read(true).append(true)).open(path)?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(io::SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let start = if last == [b'\n'] { "" } else { "\n" };
        // One write: what others append stands before it or after it.
        file.write_all(zeroize::Zeroizing::new(format!("{start}{lines}\n")).as_bytes())
    })();
    appended.map_err(FsError::io("append to", path))
}

/// Moves a file out of the way to a name that is free: `name`, else `name-2`, `name-3`, … Tells which.
///
/// # Errors
/// What the system refused.
pub fn set_aside(path: &Path, name: &str) -> Result<PathBuf, FsError> {
    let free = (1..1000).map(|n| if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
    let free = free.map(|name| path.with_file_name(name)).find(|aside| fs::symlink_metadata(aside).is_err());
    let aside = free.ok_or_else(|| FsError::io("set aside", path)(io::ErrorKind::AlreadyExists.into()))?;
    publish(path, &aside)?;
    Ok(aside)
}

/// Puts the names in the file's directory on the disk.
fn sync_parent(path: &Path) -> Result<(), FsError> {
    sync_names(path.parent().unwrap_or(Path::new(".")))
}

/// Puts the names in a directory on the disk.
///
/// # Errors
/// What the system refused.
pub fn sync_names(path: &Path) -> Result<(), FsError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    platform::sync_dir(path).map_err(FsError::io("sync", path))
}

/// Whether the error says that there is no such thing.
#[must_use]
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read_capped(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, FsError> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(FsError::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(FsError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    fn mode_of(path: &Path) -> u32 {
        platform::mode(&fs::metadata(path).unwrap())
    }

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn makes_private_files_and_directories_and_reads_them_back() {
        let root = dir();
        let inner = root.path().join("a/b");
        make_private_dir(&inner).unwrap();
        make_private_dir(&inner).unwrap();
        let path = inner.join("f");
        create_private(&path, b"text", true).unwrap();
        #[cfg(unix)]
        assert_eq!((mode_of(&inner), mode_of(&path)), (0o700, 0o600));
        assert_eq!(read_private(&path, 10).unwrap().unwrap(), b"text");
        assert_eq!(read_private(&inner.join("none"), 10).unwrap(), None);
        assert!(matches!(create_private(&path, b"", false), Err(FsError::Io { .. })));
        assert!(remove(&path, true).unwrap() && !remove(&path, true).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn refuses_what_others_can_read_and_what_is_no_file() {
        let root = dir();
        let path = root.path().join("f");
        create_private(&path, b"text", false).unwrap();
        set_mode(&path, 0o644).unwrap();
        let error = read_private(&path, 10).unwrap_err();
        assert!(error.remedy().unwrap().starts_with("chmod 600 "));
        set_mode(&path, 0o600).unwrap();
        assert!(matches!(read_private(&path, 3), Err(FsError::TooLarge { .. })));

        let link = root.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(read_private(&link, 10), Err(FsError::NotAFile { what: "a symbolic link", .. })));
        assert!(matches!(read_private(root.path(), 10), Err(FsError::NotAFile { what: "a directory", .. })));
        let socket = root.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(matches!(read_private(&socket, 10), Err(FsError::NotAFile { what: "a socket", .. })));
    }

    #[cfg(unix)]
    #[test]
    fn refuses_a_directory_that_others_can_write_into() {
        let root = dir();
        let inner = root.path().join("open");
        make_private_dir(&inner).unwrap();
        set_mode(&inner, 0o777).unwrap();
        assert!(matches!(make_private_dir(&inner), Err(FsError::Exposed { mode: 0o777, .. })));
    }

    #[test]
    fn replaces_a_file_whole() {
        let root = dir();
        let (from, to) = (root.path().join("new"), root.path().join("old"));
        create_private(&to, b"old and long", true).unwrap();
        let mut file = create_private(&from, &[b' '; 100], true).unwrap();
        rewrite(&mut file, &from, b"new").unwrap();
        publish(&from, &to).unwrap();
        assert_eq!(read_private(&to, 100).unwrap().unwrap(), b"new");
    }
}
