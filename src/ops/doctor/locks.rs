//! The checks of locks: whether there are some on the file system, and whether those of the keys can be taken.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::fsutil::{self, FsError};
use crate::model::text::shell_word;
use crate::ops::Code;
use crate::ops::doctor::{Doctor, Finding, Verdict};

impl Doctor<'_> {
    /// Takes a lease that nobody else uses: locks work there, and files can be made.
    pub(super) async fn lock(&self, tokens: &Path) -> Finding {
        let what = "locks";
        if !tokens.exists() {
            return Finding::ok(what, "not tried: nothing is stored yet");
        }
        let Ok(dir) = tempfile::Builder::new().prefix(".doctor-").tempdir_in(tokens) else {
            let hint = Some(format!("make {} writable, or free some room", tokens.display()));
            return Finding::problem(
                what,
                format!("nothing can be written in {}", tokens.display()),
                hint,
                Code::Store,
            );
        };
        let store = crate::store::file::FileStore::new(dir.path().to_owned(), Arc::default());
        let probe = async {
            let key = "probe/probe".parse().map_err(|_| "no key")?;
            let lease = crate::store::TokenStore::lease(&store, &key, Duration::ZERO).await;
            let mut lease = lease.map_err(|error| error.to_string())?;
            let reservation = lease.reserve(None).await.map_err(|error| error.to_string())?;
            lease.release(reservation).await.map_err(|error| error.to_string())
        };
        let probe: Result<(), String> = probe.await;
        match probe {
            Ok(()) => Finding::ok(what, format!("files can be locked and made in {}", tokens.display())),
            Err(why) => Finding::problem(
                what,
                why,
                Some("keep the tokens on a local disk: --store file:/path".to_owned()),
                Code::Store,
            ),
        }
    }

    /// A lock file that nobody could take the lock of; nothing where all is well. It is made anew by whoever needs it.
    pub(super) fn lock_file(&self, path: &Path) -> Option<Finding> {
        let finding = self.unusable(path)?;
        if self.repair && finding.verdict == Verdict::Problem && remove_free(path) {
            let found = format!("{}; nobody held it, removed", finding.found);
            return Some(Finding { verdict: Verdict::Mended, ..Finding::ok(finding.what, found) });
        }
        Some(finding)
    }

    /// A file of the store that cannot be opened, or not be trusted; nothing where all is well.
    pub(super) fn unusable(&self, path: &Path) -> Option<Finding> {
        let look = || fsutil::open_private(path, OpenOptions::new().read(true).write(true), 0o600).err();
        let (error, what) = (look()?, path.display().to_string());
        let file = shell_word(&what);
        let hint = match &error {
            FsError::Exposed { .. } => return Some(self.mend_mode(what, &error, Code::Store)),
            // The bits of its owner may be missing, if that is us.
            FsError::Io { .. } if self.repair && fsutil::set_mode(path, 0o600).is_ok() && look().is_none() => {
                return Some(Finding { verdict: Verdict::Mended, ..Finding::ok(what, format!("{error}; opened")) });
            }
            // The same file, whoever has it open: a lock on it stays one.
            FsError::Foreign { .. } | FsError::Io { .. } => {
                format!("sudo chown \"$(id -u)\" {file} && chmod 600 {file}")
            }
            _ => "move it away".to_owned(),
        };
        Some(Finding::problem(what, error.to_string(), Some(hint), Code::Store))
    }
}

/// Removes a lock file while nobody else holds its lock; whether it is gone. Whoever waits for that lock sees that the
/// file is no longer the one with that name.
fn remove_free(path: &Path) -> bool {
    let is_file = || fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    let Some((named, file)) = is_file().and_then(|named| Some((named, File::open(path).ok()?))) else { return false };
    let is_same = || file.metadata().is_ok_and(|opened| fsutil::is_same(&opened, &named));
    file.try_lock().is_ok() && is_same() && fsutil::remove(path, true).is_ok()
}
