//! Files that are there for a while: one that takes another's place when it is whole, and one without a name.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, SpooledTempFile};

use crate::fsutil::{FsError, platform};

/// A file in the making that takes the place of another at once. Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct Replacement {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl Replacement {
    /// Begins one beside `path`, hidden until it has that name, and with these permission bits whatever the umask.
    ///
    /// # Errors
    /// What the system refused.
    pub fn begin(path: &Path, mode: u32) -> Result<Self, FsError> {
        // What is there and is no file, a device or a link, is not ours to replace.
        if let Ok(meta) = std::fs::symlink_metadata(path)
            && !meta.is_file()
        {
            return Err(FsError::NotAFile { path: path.to_owned(), what: platform::kind(&meta) });
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let begun = Builder::new().prefix(".tokman-").suffix(".tmp").tempfile_in(parent);
        let file = begun.and_then(|file| {
            platform::set_mode_of(file.as_file(), mode)?;
            Ok(BufWriter::new(file))
        });
        Ok(Self { file: file.map_err(FsError::io("replace", path))?, path: path.to_owned() })
    }

    /// Adds to it.
    ///
    /// # Errors
    /// What the system refused.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        self.file.write_all(bytes).map_err(FsError::io("replace", &self.path))
    }

    /// Gives it its name; its content is on the disk by then.
    ///
    /// # Errors
    /// What the system refused. What was there before is there still.
    pub fn finish(self) -> Result<(), FsError> {
        let replaced = self.file.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|file| {
            file.as_file().sync_all()?;
            file.persist(&self.path).map_err(|error| error.error)
        });
        replaced.map(drop).map_err(FsError::io("replace", &self.path))
    }
}

/// A place for bytes that are read back by this process only: memory up to `limit` bytes, then a file of 0600 in the
/// system's temporary directory that has no name, so that nothing is left behind however the process ends.
#[must_use]
pub fn spool(limit: usize) -> SpooledTempFile {
    tempfile::spooled_tempfile(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_file_when_it_is_whole_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokman.prom");
        let read = || std::fs::read_to_string(&path).ok();
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        let mut first = Replacement::begin(&path, 0o644).unwrap();
        first.write(b"one\n").unwrap();
        assert_eq!(read(), None);
        first.finish().unwrap();
        assert_eq!(read().as_deref(), Some("one\n"));
        #[cfg(unix)]
        assert_eq!(platform::mode(&std::fs::metadata(&path).unwrap()), 0o644);
        let mut second = Replacement::begin(&path, 0o644).unwrap();
        second.write(b"two\n").unwrap();
        drop(second);
        assert_eq!((read().as_deref(), names()), (Some("one\n"), 1));
        assert!(Replacement::begin(&dir.path().join("none/x"), 0o644).is_err());
        assert!(matches!(Replacement::begin(dir.path(), 0o644), Err(FsError::NotAFile { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn replaces_no_link_and_no_device() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokman.prom");
        Replacement::begin(&path, 0o644).unwrap().finish().unwrap();
        std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
        for other in [dir.path().join("link"), "/dev/null".into()] {
            assert!(matches!(Replacement::begin(&other, 0o644), Err(FsError::NotAFile { .. })), "{other:?}");
        }
    }
}
