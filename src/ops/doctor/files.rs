//! The checks of files: directories, locks, and what earlier runs left behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::config::paths;
use crate::fsutil::{self, FsError};
use crate::model::text::shell_word;
use crate::model::{Key, Response};
use crate::ops::doctor::{Doctor, Finding, Verdict};
use crate::ops::{Code, rescue};

/// What to do with a damaged record.
const MEND: &str = "a grant may be in it: mend it and move it back, or remove it once a new login is stored";

impl Doctor<'_> {
    pub(super) fn config_dir(&self) -> Finding {
        let dir = &self.settings.config_dir;
        let what = format!("config directory {}", dir.display());
        if !dir.exists() {
            return Finding::ok(what, "not there yet; it is made when something is stored");
        }
        self.judge_dir(what, dir)
    }

    pub(super) fn store_dirs(&self, tokens: &Path) -> Vec<Finding> {
        let providers = fs::read_dir(tokens).into_iter().flatten().flatten().map(|entry| entry.path());
        let dirs = std::iter::once(tokens.to_owned()).chain(providers.filter(|path| path.is_dir()));
        dirs.filter(|dir| dir.exists())
            .map(|dir| self.judge_dir(format!("directory {}", dir.display()), &dir))
            .collect()
    }

    pub(super) fn judge_dir(&self, what: String, dir: &Path) -> Finding {
        match fsutil::check_private_dir(dir) {
            Ok(()) => Finding::ok(what, "ours, nobody else can write into it"),
            Err(error) => self.mend_mode(what, &error, Code::Store),
        }
    }

    /// A file or directory that is open to others is closed, if asked to.
    pub(super) fn mend_mode(&self, what: String, error: &FsError, code: Code) -> Finding {
        if let (true, FsError::Exposed { path, wanted, .. }) = (self.repair, error)
            && fsutil::set_mode(path, *wanted).is_ok()
        {
            return Finding { verdict: Verdict::Mended, ..Finding::ok(what, format!("{error}; closed")) };
        }
        Finding::problem(what, error.to_string(), error.remedy(), code)
    }

    /// Records that could not be stored and wait to be brought back.
    pub(super) fn rescued(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for dir in paths::places_of_rescue() {
            if let Err(error @ FsError::Exposed { .. }) = fsutil::check_private_dir(&dir) {
                findings.push(self.mend_mode(format!("directory {}", dir.display()), &error, Code::Store));
            }
        }
        for path in rescue::files("") {
            if let Err(error @ FsError::Exposed { .. }) = fsutil::read_private(&path, rescue::LIMIT) {
                findings.push(self.mend_mode(path.display().to_string(), &error, Code::Store));
            }
            findings.push(waiting(&path, None));
        }
        findings
    }

    /// What lies beside the records: damaged ones that were set aside, lock files, and what processes that died left
    /// before anything was stored.
    pub(super) async fn beside_records(&self, tokens: &Path) -> Vec<Finding> {
        let mut findings = Vec::new();
        for dir in fs::read_dir(tokens).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let provider = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // Of the keyring's key, which is not a provider's.
            if is_lock(provider) {
                findings.extend(self.lock_file(&dir));
            }
            for path in fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
                let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                    continue;
                };
                if name.contains(".json.damaged") {
                    findings.push(Finding::warning(path.display().to_string(), "a damaged record, set aside", MEND));
                } else if is_lock(name) {
                    findings.extend(self.lock_file(&path));
                } else if let Some(profile) = rescue::profile_in_flight(name)
                    && let Ok(key) = format!("{provider}/{profile}").parse()
                {
                    // Beside a record, the record's own finding tells of it, if it can be read.
                    if dir.join(format!("{profile}.json")).exists() {
                        findings.extend(self.unusable(&path));
                    } else {
                        findings.push(self.stale(&path, &key).await);
                    }
                }
            }
        }
        findings
    }

    /// What lies where an answer is written, with nothing stored for its key: the answer itself, or a mark without one.
    async fn stale(&self, path: &Path, key: &Key) -> Finding {
        if let Some(finding) = self.unusable(path) {
            return finding;
        }
        let what = path.display().to_string();
        let bytes = match fsutil::read_private(path, rescue::LIMIT) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => return self.mend_mode(what, &error, Code::Store),
        };
        match Response::parse(&bytes) {
            Ok(left) if rescue::is_record(&left) => return waiting(path, Some(key)),
            // A mark names no token.
            Err(_) if rescue::names_token(&bytes) => {
                return Finding::warning(what, "an answer that a process had no time to write whole", MEND);
            }
            _ => {}
        }
        let found = "left by a process that died, with nothing stored for its key";
        let old = fs::metadata(path).and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if self.repair
            && old.is_some_and(|age| age > Duration::from_secs(600))
            && self.remove_mark(path, key, &bytes).await
        {
            return Finding { verdict: Verdict::Mended, ..Finding::ok(what, format!("{found}; removed")) };
        }
        Finding::warning(what, found, "tokman doctor --repair removes it once it is ten minutes old")
    }

    /// Removes a mark that nobody works with and that is as it was `seen`; whether it is gone.
    async fn remove_mark(&self, path: &Path, key: &Key, seen: &[u8]) -> bool {
        let Ok(lease) = self.broker.store.lease(key, Duration::ZERO).await else { return false };
        let is_same = fsutil::read_private(path, rescue::LIMIT).is_ok_and(|bytes| bytes.as_deref() == Some(seen));
        let removed = is_same && fsutil::remove(path, true).is_ok();
        lease.end().await;
        removed
    }
}

fn is_lock(name: &str) -> bool {
    name.strip_prefix('.').is_some_and(|name| name.strip_suffix(".lock").is_some())
}

/// A record that waits to be brought back, as that of a key where it is known whose it is.
fn waiting(path: &Path, key: Option<&Key>) -> Finding {
    let named = rescue::opened(path).map(|(key, _)| key);
    let (provider, profile) =
        key.or(named.as_ref()).map_or(("NAME", "NAME"), |key| (key.provider.as_str(), key.profile.as_str()));
    let file = shell_word(&path.display().to_string());
    let hint = format!("tokman import --provider {provider} --profile {profile} --rescue {file}");
    let found = "a token that could not be stored";
    Finding::problem(path.display().to_string(), found, Some(hint), Code::NotSaved)
}
