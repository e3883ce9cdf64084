//! The checks of files: directories, locks, and what earlier runs left behind.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::fsutil::{self, FsError};
use crate::model::Response;
use crate::ops::doctor::{Doctor, Finding, Verdict};
use crate::ops::{Code, rescue};

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
            Err(error) => self.mend_mode(what, &error),
        }
    }

    /// A file or directory that is open to others is closed, if asked to.
    pub(super) fn mend_mode(&self, what: String, error: &FsError) -> Finding {
        if let (true, FsError::Exposed { path, wanted, .. }) = (self.repair, error)
            && fsutil::set_mode(path, *wanted).is_ok()
        {
            return Finding { verdict: Verdict::Mended, ..Finding::ok(what, format!("{error}; closed")) };
        }
        let hint = error.remedy();
        Finding::problem(what, error.to_string(), hint, Code::Store)
    }

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

    /// Damaged records that were set aside, and reservations of processes that died before anything was stored.
    pub(super) fn left_behind(&self, tokens: &Path) -> Vec<Finding> {
        let mut findings = Vec::new();
        for dir in fs::read_dir(tokens).into_iter().flatten().flatten().map(|entry| entry.path()) {
            for path in fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
                let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                    continue;
                };
                if name.contains(".json.damaged") {
                    let hint =
                        "a grant may be in it: mend it and move it back, or remove it once a new login is stored";
                    findings.push(Finding::warning(path.display().to_string(), "a damaged record, set aside", hint));
                } else if let Some(profile) = name.strip_prefix('.').and_then(|name| name.strip_suffix(".inflight")) {
                    // Beside a record, the record's own finding tells of it.
                    if !dir.join(format!("{profile}.json")).exists() {
                        findings.push(self.stale(&path));
                    }
                }
            }
        }
        findings
    }

    pub(super) fn stale(&self, path: &Path) -> Finding {
        let bytes = fsutil::read_private(path, rescue::LIMIT).ok().flatten().unwrap_or_default();
        if Response::parse(&bytes).is_ok_and(|left| left.text("access_token").is_some()) {
            return rescue_finding(path);
        }
        let (what, found) =
            (path.display().to_string(), "left by a process that died, with nothing stored for its key");
        let old = fs::metadata(path).and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if self.repair && old.is_some_and(|age| age > Duration::from_secs(600)) && fsutil::remove(path, true).is_ok() {
            return Finding { verdict: Verdict::Mended, ..Finding::ok(what, format!("{found}; removed")) };
        }
        Finding::warning(what, found, "tokman doctor --repair removes it once it is ten minutes old")
    }
}

/// Records that could not be stored and wait to be brought back.
pub(super) fn rescued() -> Vec<Finding> {
    rescue::files("").map(|path| rescue_finding(&path)).collect()
}

fn rescue_finding(path: &Path) -> Finding {
    let bytes = fsutil::read_private(path, rescue::LIMIT).ok().flatten().unwrap_or_default();
    let saved = Response::parse(&bytes).ok();
    let member = |name: &str| Some(saved.as_ref()?.get("tokman")?.get(name)?.as_str()?.to_owned());
    let key = |name: &str| member(name).unwrap_or_else(|| "NAME".to_owned());
    let hint = format!(
        "tokman import --provider {} --profile {} --rescue '{}'",
        key("provider"),
        key("profile"),
        path.display()
    );
    let found = "a token that could not be stored";
    Finding::problem(path.display().to_string(), found, Some(hint), Code::NotSaved)
}
