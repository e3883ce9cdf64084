//! A provider together with the settings of our application at it. Secrets are fetched when a request is made, not
//! before, and each of several is tried in turn, so that a secret can be rolled over.

use crate::config::{ConfigError, ProviderSettings};
use crate::model::{Key, Secret};
use crate::ops::Error;
use crate::provider::{self, Application, Need, Provider, ProviderError};
use crate::store::Record;

/// Opens providers for the application that the settings describe.
#[derive(Debug)]
pub struct Issuer {
    settings: ProviderSettings,
    /// Scopes that are going to be asked for.
    scopes: Vec<String>,
}

impl Issuer {
    /// The issuer of these settings; nothing is fetched yet.
    #[must_use]
    pub const fn new(settings: ProviderSettings) -> Self {
        Self { settings, scopes: Vec::new() }
    }

    /// The same for a request of these scopes: what looks wrong about them is warned about.
    #[must_use]
    pub fn asking_for(self, scopes: &[String]) -> Self {
        Self { scopes: scopes.to_vec(), ..self }
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &ProviderSettings {
        &self.settings
    }

    /// The address that issues the tokens, as records name it.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.settings.base_url.value.as_str().trim_end_matches('/').to_owned()
    }

    /// The provider with each of the secrets in turn; one without a secret where none is configured.
    #[must_use]
    pub fn providers(&self) -> Providers<'_> {
        Providers { issuer: self, next: 0, opened: 0 }
    }

    /// The provider with the first secret.
    ///
    /// # Errors
    /// A secret that cannot be fetched, or no client id.
    pub fn provider(&self) -> Result<Box<dyn Provider>, Error> {
        self.providers().next()?.ok_or_else(|| Error::Config(self.settings.missing_secret()))
    }

    /// Whether a token can be had with nothing stored and no login: by the application's own credentials.
    #[must_use]
    pub fn mints(&self) -> bool {
        use crate::config::{ProviderKind, WixMode};
        match self.settings.kind {
            ProviderKind::Square => false,
            ProviderKind::Wix => match self.settings.mode.as_ref().map(|mode| mode.value) {
                Some(mode) => matches!(mode, WixMode::App | WixMode::HeadlessAdmin),
                None => self.settings.instance_id.is_some(),
            },
        }
    }

    /// Refuses a record that another application or another address issued: nothing is sent for it.
    ///
    /// # Errors
    /// [`Error::Bound`].
    pub fn check(&self, key: &Key, record: &Record) -> Result<(), Error> {
        let bound = |what, stored: &str, configured: &str| Error::Bound {
            key: key.clone(),
            what,
            stored: crate::model::text::escape(stored, 120),
            configured: configured.to_owned(),
        };
        let base_url = self.base_url();
        if let Some(stored) = record.base_url.as_deref().filter(|stored| stored.trim_end_matches('/') != base_url) {
            return Err(bound("by", stored, &base_url));
        }
        let client_id = self.settings.client_id.as_ref().map(|setting| setting.value.as_str());
        if let (Some(stored), Some(configured)) = (record.client_id.as_deref(), client_id)
            && stored != configured
        {
            return Err(bound("to", stored, configured));
        }
        let instance = self.settings.instance_id.as_ref().map(|setting| setting.value.as_str());
        match (record.token.account.as_deref(), instance) {
            (Some(stored), Some(configured)) if stored != configured => Err(bound("for", stored, configured)),
            _ => Ok(()),
        }
    }

    /// Turns what a provider lacks into the error that names how to give it.
    #[must_use]
    pub fn explain(&self, error: ProviderError) -> Error {
        match error {
            ProviderError::Missing { need: Need::ClientSecret, .. } => self.settings.missing_secret().into(),
            ProviderError::Missing { need: Need::InstanceId, .. } => self.settings.missing_instance().into(),
            error => error.into(),
        }
    }

    fn application(&self, client_secret: Option<Secret>) -> Result<Application, ConfigError> {
        Ok(Application {
            name: self.settings.name.clone(),
            base_url: self.settings.base_url.value.clone(),
            client_id: self.settings.client_id()?.to_owned(),
            client_secret,
            instance_id: self.settings.instance_id.as_ref().map(|setting| setting.value.clone()),
            mode: self.settings.mode.as_ref().map(|setting| setting.value),
        })
    }
}

/// Gives the provider with one secret after the other.
#[derive(Debug)]
pub struct Providers<'a> {
    issuer: &'a Issuer,
    next: usize,
    opened: usize,
}

impl Providers<'_> {
    /// The provider with the next secret that there is; `None` after the last.
    ///
    /// # Errors
    /// A source that cannot be used; no client id; sources that have no secret at all.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not say why a secret cannot be fetched")]
    pub fn next(&mut self) -> Result<Option<Box<dyn Provider>>, Error> {
        let settings = &self.issuer.settings;
        // Before a command is run for nothing.
        settings.client_id()?;
        let sources = &settings.client_secret.value;
        while let Some(source) = sources.get(self.next) {
            self.next += 1;
            if let Some(secret) = source.fetch(&settings.name)? {
                self.opened += 1;
                return self.open(Some(secret)).map(Some);
            }
        }
        if self.opened > 0 || self.next > sources.len() {
            return Ok(None);
        }
        self.next = sources.len() + 1;
        if sources.is_empty() {
            return self.open(None).map(Some);
        }
        let tried: Vec<String> = sources.iter().map(crate::config::SecretSource::describe).collect();
        let why = format!("there is none in {}", tried.join(" nor in "));
        Err(ConfigError::Secret { provider: settings.name.to_string(), why }.into())
    }

    fn open(&self, secret: Option<Secret>) -> Result<Box<dyn Provider>, Error> {
        let issuer = self.issuer;
        let provider = provider::open(issuer.settings.kind, issuer.application(secret)?);
        for warning in provider.warnings().into_iter().chain(provider.scope_warnings(&issuer.scopes)) {
            log::warn!("{}: {warning}", provider.name());
        }
        Ok(provider)
    }
}
