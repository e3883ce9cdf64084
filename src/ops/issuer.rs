//! A provider together with the settings of our application at it. Secrets are fetched when a request is made, not
//! before, and each of several is tried in turn, so that a secret can be rolled over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::config::{ConfigError, Endpoint, OAuth2Settings, ProviderKind, ProviderSettings, WixMode};
use crate::model::{GrantType, Key, Secret};
use crate::net::Pace;
use crate::ops::Error;
use crate::provider::oauth2::Server;
use crate::provider::oauth2::metadata::Metadata;
use crate::provider::{self, Application, Need, Provider, ProviderError};
use crate::store::Record;

/// Opens providers for the application that the settings describe.
#[derive(Debug)]
pub struct Issuer {
    settings: ProviderSettings,
    /// OAuth 2.0: what the issuer says of itself, once it is known.
    metadata: Mutex<Option<Known>>,
    /// Scopes that are going to be asked for.
    scopes: Vec<String>,
    /// How fast it is asked.
    pace: Pace,
    /// The secrets that were fetched: a command that gives one is run once, however many keys need it.
    secrets: Vec<OnceLock<Option<Secret>>>,
    /// The source whose secret the provider took last.
    accepted: Mutex<usize>,
    /// Whether records of every instance are meant, not only those of the configured one.
    all_instances: bool,
    /// What is the same for every key was said already: about the settings, about the clock.
    said: [AtomicBool; 2],
}

/// What an issuer says of itself.
#[derive(Debug, Clone)]
struct Known {
    metadata: Metadata,
    /// Whether an earlier run kept it: it may be out of date.
    kept: bool,
}

impl Issuer {
    /// The issuer of these settings; nothing is fetched yet.
    #[must_use]
    pub fn new(settings: ProviderSettings) -> Self {
        Self {
            secrets: settings.client_secret.value.iter().map(|_| OnceLock::new()).collect(),
            settings,
            metadata: Mutex::new(None),
            scopes: Vec::new(),
            pace: Pace::default(),
            accepted: Mutex::new(0),
            all_instances: false,
            said: Default::default(),
        }
    }

    /// The same for many keys at a common pace. The configured instance is that of one key: each record has its own.
    #[must_use]
    pub fn for_many(self, pace: Pace) -> Self {
        Self { pace, all_instances: true, ..self }
    }

    /// How fast it is asked.
    #[must_use]
    pub const fn pace(&self) -> &Pace {
        &self.pace
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
        // The one that was taken last comes first; the others after it, in their order.
        let first = *self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        Providers { issuer: self, first, present: first, next: 0, opened: 0, secret: None }
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
        match self.settings.kind {
            ProviderKind::Square | ProviderKind::OAuth2 => false,
            ProviderKind::Wix => match self.settings.mode.as_ref().map(|mode| mode.value) {
                Some(mode) => matches!(mode, WixMode::App | WixMode::HeadlessAdmin),
                None => self.settings.instance_id.is_some(),
            },
        }
    }

    /// Whether the next token of a record is minted by the application's credentials, as its first one was, whatever
    /// came with that (RFC 6749 §4.4.3). Wix's records tell their provider so themselves.
    pub(super) fn mints_again(&self, record: &Record) -> bool {
        let minted = record.grant.as_deref() == Some(GrantType::ClientCredentials.as_str());
        minted && self.settings.kind == ProviderKind::OAuth2
    }

    /// The issuer whose metadata are needed before anything is sent; `None` where nothing has to be discovered.
    pub(super) fn discovers(&self) -> Option<&str> {
        self.settings.oauth2.as_ref().and_then(OAuth2Settings::discovers)
    }

    /// Whether the settings themselves give a token endpoint.
    pub(super) fn has_token_endpoint(&self) -> bool {
        self.settings.oauth2.as_ref().is_some_and(|oauth2| oauth2.endpoints.contains_key(&Endpoint::Token))
    }

    /// What the issuer says of itself, where that is known already.
    pub(super) fn metadata(&self) -> Option<Metadata> {
        self.known().map(|known| known.metadata)
    }

    /// Whether what is known of the issuer may be out of date.
    pub(super) fn has_kept_metadata(&self) -> bool {
        self.known().is_some_and(|known| known.kept)
    }

    /// Takes what the issuer says of itself; `kept` where an earlier run did.
    pub(super) fn learn(&self, metadata: Metadata, kept: bool) {
        *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = Some(Known { metadata, kept });
    }

    fn known(&self) -> Option<Known> {
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let instance = self.settings.instance_id.as_ref().filter(|_| !self.all_instances);
        let instance = instance.map(|setting| setting.value.as_str());
        match (record.token.account.as_deref(), instance) {
            (Some(stored), Some(configured)) if stored != configured => Err(bound("for", stored, configured)),
            _ => Ok(()),
        }
    }

    /// Whether something about the clock is to be said: the first time only.
    pub(super) fn tells_of_clock(&self) -> bool {
        !self.said[1].swap(true, Ordering::Relaxed)
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

    /// The endpoints: those that the settings give win over those of the metadata.
    fn server(&self, settings: &OAuth2Settings) -> Result<Server, Error> {
        let mut metadata = match (settings.discovers(), self.metadata()) {
            (None, _) => Metadata::default(),
            (Some(_), Some(metadata)) => metadata,
            (Some(issuer), None) => return Err(Error::System(format!("the metadata of {issuer} were not asked for"))),
        };
        metadata.endpoints.extend(settings.endpoints.iter().map(|(endpoint, url)| (*endpoint, url.value.clone())));
        Ok(Server {
            issuer: settings.issuer.as_ref().map(|issuer| issuer.value.clone()),
            client_auth: settings.client_auth.as_ref().map(|client_auth| client_auth.value),
            metadata,
        })
    }

    /// The secret of a source, fetched once.
    fn secret(&self, at: usize) -> Result<Option<Secret>, Error> {
        let (Some(source), Some(fetched)) = (self.settings.client_secret.value.get(at), self.secrets.get(at)) else {
            return Ok(None);
        };
        if let Some(secret) = fetched.get() {
            return Ok(secret.clone());
        }
        let secret = source.fetch(&self.settings.secret_name())?;
        Ok(fetched.get_or_init(|| secret).clone())
    }

    fn application(&self, client_secret: Option<Secret>) -> Result<Application, Error> {
        Ok(Application {
            name: self.settings.name.clone(),
            base_url: self.settings.base_url.value.clone(),
            client_id: self.settings.client_id()?.to_owned(),
            client_secret,
            instance_id: self.settings.instance_id.as_ref().map(|setting| setting.value.clone()),
            mode: self.settings.mode.as_ref().map(|setting| setting.value),
            oauth2: self.settings.oauth2.as_ref().map(|settings| self.server(settings)).transpose()?,
        })
    }
}

/// Gives the provider with one secret after the other.
#[derive(Debug)]
pub struct Providers<'a> {
    issuer: &'a Issuer,
    first: usize,
    present: usize,
    next: usize,
    opened: usize,
    secret: Option<Secret>,
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
        while self.next < sources.len() {
            self.present = self.place();
            self.next += 1;
            if let Some(secret) = self.issuer.secret(self.present)? {
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
        Err(ConfigError::Secret { what: settings.secret_name(), why }.into())
    }

    /// The place of the next source among all.
    fn place(&self) -> usize {
        match self.next {
            0 => self.first,
            next if next <= self.first => next - 1,
            next => next,
        }
    }

    /// Remembers that the provider took the present secret: the next key begins with it.
    pub(super) fn was_accepted(&self) {
        if self.opened > 0 {
            *self.issuer.accepted.lock().unwrap_or_else(PoisonError::into_inner) = self.present;
        }
    }

    /// The provider with the same secret once more: something else about it is known now.
    ///
    /// # Errors
    /// As for [`Providers::next`].
    pub(super) fn again(&self) -> Result<Box<dyn Provider>, Error> {
        Ok(provider::open(self.issuer.settings.kind, self.issuer.application(self.secret.clone())?))
    }

    fn open(&mut self, secret: Option<Secret>) -> Result<Box<dyn Provider>, Error> {
        self.secret = secret;
        let provider = self.again()?;
        if self.issuer.said[0].swap(true, Ordering::Relaxed) {
            return Ok(provider);
        }
        for warning in provider.warnings().into_iter().chain(provider.scope_warnings(&self.issuer.scopes)) {
            log::warn!("{}: {warning}", provider.name());
        }
        Ok(provider)
    }
}
