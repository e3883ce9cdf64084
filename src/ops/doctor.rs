//! Looks at everything that a refresh will need, before it is needed, and mends what is safe to mend. Sends nothing that
//! carries a credential.

mod config;
mod database;
mod files;
mod locks;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

pub use config::load;

use crate::config::{ConfigError, ProviderSettings, SecretSource, Settings};
use crate::model::{Key, Replay, lifetime, text};
use crate::ops::{Broker, Code, error};
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
#[derive(Debug, Clone, Serialize)]
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

/// Records that no key opens which can be had.
struct Unopened {
    first: Key,
    count: u64,
}

impl Unopened {
    /// What is to be said of those that were sealed with a key.
    fn finding(&self, id: &str, keys: &[String]) -> Finding {
        let others = match self.count - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let why = if keys.is_empty() {
            "no sealing key can be had".to_owned()
        } else {
            format!("only {} can be had", keys.join(" and "))
        };
        let id = text::escape(id, 16);
        let hint =
            "name the key that sealed it: [store] key in the config file, TOKMAN_STORE_KEY or TOKMAN_STORE_KEY_FILE";
        Finding::problem(
            format!("sealing key {id}"),
            format!("{}{others} cannot be opened without it, and {why}", self.first),
            Some(hint.to_owned()),
            Code::Store,
        )
    }
}

/// The checks that need no network: settings, files, locks, what earlier runs left behind.
#[derive(Debug)]
pub struct Doctor<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The store and the wire.
    pub broker: &'a Broker,
    /// How it is with the config file: what [`load`] found.
    pub config_file: Finding,
    /// Whether to mend what is safe to mend.
    pub repair: bool,
}

impl Doctor<'_> {
    /// Runs every check, those of the network only if `online`.
    pub async fn examine(&self, online: bool) -> Vec<Finding> {
        let mut findings = vec![self.config_dir(), self.config_file.clone()];
        findings.extend(self.sealing_key());
        if let Some(tokens) = self.settings.store.value.directory() {
            findings.extend(self.store_dirs(tokens));
            findings.push(self.lock(tokens).await);
            findings.extend(self.records().await);
            findings.extend(self.beside_records(tokens).await);
        } else {
            findings.extend(self.database().await);
        }
        findings.extend(self.rescued());
        for name in self.settings.known_providers() {
            let Ok(name) = name.parse() else { continue };
            let provider = match self.settings.provider(&name) {
                Ok(provider) => provider,
                Err(error) => {
                    let what = format!("the settings of {name}");
                    findings.push(Finding::problem(what, error.to_string(), error.remedy(), Code::Config));
                    continue;
                }
            };
            if provider.client_id.is_some() {
                findings.extend(self.secret(&provider));
                if online {
                    findings.push(self.host(&provider).await);
                }
            }
        }
        findings
    }

    /// Whether the sealing key can be had; nothing where records are not sealed.
    fn sealing_key(&self) -> Option<Finding> {
        let what = "sealing key";
        match self.broker.sealer.found() {
            Ok(None) => None,
            Ok(Some(id)) => Some(Finding::ok(what, format!("{id}, from {}", self.settings.store_key.origin))),
            Err(error) => {
                let hint = "see where it is looked for: tokman config show".to_owned();
                Some(Finding::problem(what, error.to_string(), Some(hint), Code::Store))
            }
        }
    }

    /// Every record: readable, its grant alive, nothing in doubt.
    async fn records(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut good = 0;
        let mut unopened: BTreeMap<String, Unopened> = BTreeMap::new();
        // Where none can be had, the key's own finding says why.
        let keys = self.broker.sealer.ids().unwrap_or_default();
        let mut listing = match self.broker.store.list(None).await {
            Ok(listing) => listing,
            Err(error) => return vec![self.trouble("stored tokens", &error)],
        };
        loop {
            let listed = match listing.next().await {
                Ok(Some(listed)) => listed,
                Ok(None) => break,
                Err(error) => {
                    findings.push(self.trouble("stored tokens", &error));
                    break;
                }
            };
            let what = listed.key.to_string();
            match listed.summary {
                Err(error) => {
                    let finding = self.trouble(&what, &error);
                    let obtain = format!("'tokman obtain {}'", listed.key.options());
                    let hint = finding.hint.map(|hint| hint.replace("'tokman obtain'", &obtain));
                    findings.push(Finding { hint, ..finding });
                }
                Ok(record) if record.needs_login.is_some() => {
                    let obtain =
                        format!("tokman obtain --provider {} --profile {}", listed.key.provider, listed.key.profile);
                    let found = "the provider refused its grant for good";
                    findings.push(Finding::problem(what, found, Some(obtain), Code::NeedsLogin));
                }
                Ok(record) => {
                    let other = record.sealed_with.filter(|id| !keys.contains(id));
                    good += u64::from(!listed.in_doubt && other.is_none());
                    if listed.in_doubt {
                        let hint = format!(
                            "tokman refresh --provider {} --profile {}",
                            listed.key.provider, listed.key.profile
                        );
                        findings.push(Finding::warning(what, "the answer to a refresh may have been lost", hint));
                    }
                    if let Some(id) = other {
                        unopened.entry(id).or_insert_with(|| Unopened { first: listed.key, count: 0 }).count += 1;
                    }
                }
            }
        }
        findings.extend(unopened.into_iter().map(|(id, unopened)| unopened.finding(&id, &keys)));
        findings.push(Finding::ok("stored tokens", format!("{good} readable and in no doubt")));
        findings
    }

    /// What the store could not do.
    fn trouble(&self, what: &str, error: &StoreError) -> Finding {
        let hint = match error {
            StoreError::Fs(error) => return self.mend_mode(what.to_owned(), error, Code::Store),
            StoreError::Config(ConfigError::Fs(error)) => return self.mend_mode(what.to_owned(), error, Code::Config),
            StoreError::Config(error) => error.remedy(),
            StoreError::Unreachable { .. } => Some("look at the network, and whether the database runs".to_owned()),
            error => error.remedy(),
        };
        Finding::problem(what, error.to_string(), hint, error::of_store(error))
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
                Ok(Some(_)) => {
                    let place = match source {
                        SecretSource::Literal(_) => provider.client_secret.origin.to_string(),
                        source => source.describe(),
                    };
                    return Some(Finding::ok(what, format!("found in {place}")));
                }
                Ok(None) => {}
                Err(ConfigError::Fs(error)) => return Some(self.mend_mode(what, &error, Code::Config)),
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
