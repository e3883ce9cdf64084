//! Looks at everything that a refresh will need, before it is needed, and mends what is safe to mend. Sends nothing that
//! carries a credential.

mod database;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::config::{ProviderSettings, SecretSource, Settings, config_file};
use crate::fsutil::{self, FsError};
use crate::model::{Replay, Response, lifetime};
use crate::ops::{Broker, Code, Error, error, rescue};
use crate::store::StoreError;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It was not, and was mended.
    Mended,
    /// It works, but somebody should look at it.
    Warning,
    /// It does not work.
    Problem,
}

/// One check.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; absent where there is nothing to do.
    pub hint: Option<String>,
    /// The exit code that the trouble would give.
    #[serde(skip)]
    pub code: Code,
}

impl Finding {
    fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Ok, found: found.into(), hint: None, code: Code::Internal }
    }

    fn warning(what: impl Into<String>, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, hint: Some(hint.into()), ..Self::ok(what, found) }
    }

    fn problem(what: impl Into<String>, found: impl Into<String>, hint: Option<String>, code: Code) -> Self {
        Self { verdict: Verdict::Problem, hint, code, ..Self::ok(what, found) }
    }
}

/// The checks that need no network: settings, files, locks, what earlier runs left behind.
#[derive(Debug)]
pub struct Doctor<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The store and the wire.
    pub broker: &'a Broker,
    /// Whether to mend what is safe to mend.
    pub repair: bool,
}

impl Doctor<'_> {
    /// Runs every check, those of the network only if `online`.
    ///
    /// # Errors
    /// Only where a check itself cannot be made.
    pub async fn examine(&self, online: bool) -> Result<Vec<Finding>, Error> {
        let mut findings = vec![self.config_dir(), self.config_file()];
        findings.extend(self.sealing_key());
        if let Some(tokens) = self.settings.store.value.directory() {
            findings.extend(self.store_dirs(tokens));
            findings.push(self.lock(tokens).await);
            findings.extend(self.records().await?);
            findings.extend(self.left_behind(tokens));
        } else {
            findings.extend(self.database().await?);
        }
        findings.extend(rescue_files());
        for name in self.settings.known_providers() {
            let Ok(provider) =
                name.parse().map_err(|_| ()).and_then(|name| self.settings.provider(&name).map_err(|_| ()))
            else {
                continue;
            };
            if provider.client_id.is_some() {
                findings.extend(self.secret(&provider));
                if online {
                    findings.push(self.host(&provider).await);
                }
            }
        }
        Ok(findings)
    }

    fn config_dir(&self) -> Finding {
        let dir = &self.settings.config_dir;
        let what = format!("config directory {}", dir.display());
        if !dir.exists() {
            return Finding::ok(what, "not there yet; it is made when something is stored");
        }
        self.judge_dir(what, dir)
    }

    fn config_file(&self) -> Finding {
        // That it can be read is known: the settings were loaded from it.
        let path = config_file(&self.settings.config_dir);
        let found = if path.exists() { "read" } else { "not there; defaults and the environment are used" };
        Finding::ok(format!("config file {}", path.display()), found)
    }

    /// Whether the sealing key can be had; nothing where records are not sealed.
    fn sealing_key(&self) -> Option<Finding> {
        let what = "sealing key";
        match self.broker.sealer.found() {
            Ok(None) => None,
            Ok(Some(id)) => Some(Finding::ok(what, format!("{id}, from {}", self.settings.store_key.origin))),
            Err(error) => Some(Finding::problem(what, error.to_string(), None, Code::Store)),
        }
    }

    fn store_dirs(&self, tokens: &Path) -> Vec<Finding> {
        let providers = fs::read_dir(tokens).into_iter().flatten().flatten().map(|entry| entry.path());
        let dirs = std::iter::once(tokens.to_owned()).chain(providers.filter(|path| path.is_dir()));
        dirs.filter(|dir| dir.exists())
            .map(|dir| self.judge_dir(format!("directory {}", dir.display()), &dir))
            .collect()
    }

    fn judge_dir(&self, what: String, dir: &Path) -> Finding {
        match fsutil::check_private_dir(dir) {
            Ok(()) => Finding::ok(what, "ours, nobody else can write into it"),
            Err(error) => self.mend_mode(what, &error),
        }
    }

    /// A file or directory that is open to others is closed, if asked to.
    fn mend_mode(&self, what: String, error: &FsError) -> Finding {
        if let (true, FsError::Exposed { path, wanted, .. }) = (self.repair, error)
            && fsutil::set_mode(path, *wanted).is_ok()
        {
            return Finding { verdict: Verdict::Mended, ..Finding::ok(what, format!("{error}; closed")) };
        }
        let hint = error.remedy();
        Finding::problem(what, error.to_string(), hint, Code::Store)
    }

    /// Takes a lease that nobody else uses: locks work there, and files can be made.
    async fn lock(&self, tokens: &Path) -> Finding {
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

    /// Every record: readable, its grant alive, nothing in doubt.
    async fn records(&self) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let mut good = 0;
        let mut listing = self.broker.store.list(None).await?;
        while let Some(listed) = listing.next().await? {
            let what = listed.key.to_string();
            let obtain = format!("tokman obtain --provider {} --profile {}", listed.key.provider, listed.key.profile);
            match listed.summary {
                Err(StoreError::Fs(error)) => findings.push(self.mend_mode(what, &error)),
                Err(error) => {
                    findings.push(Finding::problem(what, error.to_string(), Some(obtain), error::of_store(&error)));
                }
                Ok(record) if record.needs_login.is_some() => {
                    let found = "the provider refused its grant for good";
                    findings.push(Finding::problem(what, found, Some(obtain), Code::NeedsLogin));
                }
                Ok(_) if listed.in_doubt => {
                    let hint =
                        format!("tokman refresh --provider {} --profile {}", listed.key.provider, listed.key.profile);
                    findings.push(Finding::warning(what, "the answer to a refresh may have been lost", hint));
                }
                Ok(_) => good += 1,
            }
        }
        findings.push(Finding::ok("stored tokens", format!("{good} readable and in no doubt")));
        Ok(findings)
    }

    /// Damaged records that were set aside, and reservations of processes that died before anything was stored.
    fn left_behind(&self, tokens: &Path) -> Vec<Finding> {
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

    fn stale(&self, path: &Path) -> Finding {
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

    /// Whether a secret can be had. Commands are not run: they may ask a person.
    fn secret(&self, provider: &ProviderSettings) -> Option<Finding> {
        let what = provider.secret_name();
        for source in &provider.client_secret.value {
            let fetched = match source {
                SecretSource::Command(_) | SecretSource::Stdin => {
                    return Some(Finding::ok(what, format!("{}, not tried", source.describe())));
                }
                source => source.fetch(&what),
            };
            match fetched {
                Ok(Some(_)) => return Some(Finding::ok(what, format!("found in {}", source.describe()))),
                Ok(None) => {}
                Err(crate::config::ConfigError::Fs(error)) => return Some(self.mend_mode(what, &error)),
                Err(error) => return Some(Finding::problem(what, error.to_string(), error.remedy(), Code::Config)),
            }
        }
        let configured: Vec<String> = provider.client_secret.value.iter().map(SecretSource::describe).collect();
        (!configured.is_empty()).then(|| {
            Finding::problem(what, format!("there is none in {}", configured.join(" nor in ")), None, Code::Config)
        })
    }

    /// Whether the provider can be reached, by what way, and what its clock says.
    async fn host(&self, provider: &ProviderSettings) -> Finding {
        let address = &provider.base_url.value;
        let what = format!("{} at {}", provider.name, address.host_str().unwrap_or_default());
        let Ok(request) = http::Request::get(address.as_str()).body(Bytes::new()) else {
            return Finding::problem(what, "its address cannot be sent to", None, Code::Config);
        };
        match self.broker.net.send(&request, Replay::Never, Duration::from_secs(10)).await {
            Ok(answer) => {
                let date = answer.response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
                let off = lifetime::clock_error(date, answer.sent_at).as_secs();
                if off == 0 {
                    return Finding::ok(what, format!("answers (HTTP {})", answer.response.status().as_u16()));
                }
                let found = format!("answers, but this machine's clock is {off:+} s off");
                Finding::warning(what, found, "set the clock: timedatectl set-ntp true")
            }
            Err(error) => {
                let hint = "look at the network, HTTPS_PROXY and SSL_CERT_FILE".to_owned();
                Finding::problem(what, error.to_string(), Some(hint), Code::TryAgain)
            }
        }
    }
}

/// Records that could not be stored and wait to be brought back.
fn rescue_files() -> Vec<Finding> {
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
