//! What a command is given: the flags, the settings, a printer, a clock, and the broker when it asks for it.

use std::cell::OnceCell;
use std::sync::Arc;

use anstream::ColorChoice;

use crate::config::{Options, Settings};
use crate::exit::Usage;
use crate::flags::{ApplicationArgs, ColorWhen, GlobalArgs};
use crate::model::{Clock, Key, SystemClock};
use crate::net::Client;
use crate::ops::history::History;
use crate::ops::signals::ProcessSignals;
use crate::ops::{Broker, Hooks, Issuer};
use crate::output::Printer;
use crate::output::response::Format;
use crate::store::{self, Sealer};

/// What a command is given.
#[derive(Debug)]
pub struct Context {
    /// The options of every command.
    pub global: GlobalArgs,
    /// Prints.
    pub printer: Printer,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The key that the command is about, once it is known: errors name it.
    key: OnceCell<Key>,
}

impl Context {
    /// The context of a run, whose stderr is for people or (`json`) for programs. Nothing is read yet.
    #[must_use]
    pub fn new(global: GlobalArgs, json: bool) -> Self {
        let printer = Printer::new(global.quiet, color_choice(global.color), json);
        Self { global, printer, clock: Arc::new(SystemClock), key: OnceCell::new() }
    }

    /// Loads the settings.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn settings(&self, application: Option<&ApplicationArgs>) -> anyhow::Result<Settings> {
        self.settings_with(application, |_| {})
    }

    /// Loads the settings with what a command's own flags say.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn settings_with(
        &self,
        application: Option<&ApplicationArgs>,
        say: impl FnOnce(&mut Options),
    ) -> anyhow::Result<Settings> {
        let mut options = self.global.options(application);
        say(&mut options);
        Ok(Settings::load(options)?)
    }

    /// The key that the command is about, remembered for errors.
    ///
    /// # Errors
    /// Where no provider was named.
    pub fn key(&self, settings: &Settings) -> anyhow::Result<Key> {
        let key = settings.key()?;
        let _ = self.key.set(key.clone());
        Ok(key)
    }

    /// The key that an answer will be stored under, remembered for errors where it is known already.
    ///
    /// # Errors
    /// Where no provider was named.
    pub fn key_or_account(&self, settings: &Settings) -> anyhow::Result<Key> {
        let key = settings.key_or_account()?;
        if !settings.by_account {
            let _ = self.key.set(key.clone());
        }
        Ok(key)
    }

    /// The key that the command is about, if it was known before it failed.
    #[must_use]
    pub fn known_key(&self) -> Option<&Key> {
        self.key.get()
    }

    /// The issuer of a key's tokens.
    ///
    /// # Errors
    /// An unknown provider, or a setting of it that is wrong.
    pub fn issuer(&self, settings: &Settings, key: &Key) -> anyhow::Result<Issuer> {
        Ok(Issuer::new(settings.provider(&key.provider)?))
    }

    /// The broker: store and wire. Opens nothing yet.
    ///
    /// # Errors
    /// A store that is not in this build.
    pub fn broker(&self, settings: &Settings) -> anyhow::Result<Broker> {
        let sealer = Arc::new(Sealer::new(settings.store_key.value.clone()));
        Ok(Broker {
            store: store::open(&settings.store.value, Arc::clone(&sealer), self.global.timeout)?,
            sealer,
            clock: Arc::clone(&self.clock),
            net: Client::new(Arc::clone(&self.clock)),
            budget: self.global.timeout,
            signals: Box::new(ProcessSignals),
            history: History::new(&settings.config_dir),
            hooks: Hooks {
                on_refresh: settings.hooks().on_refresh.clone(),
                on_failure: settings.hooks().on_failure.clone(),
            },
            untold: std::sync::Mutex::default(),
        })
    }

    /// The form to print in, of those that the command has; the first where none was asked for.
    ///
    /// # Errors
    /// A form that the command does not have.
    pub fn format(&self, known: &[Format]) -> anyhow::Result<Option<Format>> {
        match self.global.output {
            Some(format) if !known.contains(&format) => {
                let names: Vec<String> = known.iter().map(|format| format!("{format:?}").to_lowercase()).collect();
                let what = if names.is_empty() {
                    "this command prints no data".to_owned()
                } else {
                    format!("this command prints {} only", names.join(", "))
                };
                Err(Usage::new(what).into())
            }
            format => Ok(format),
        }
    }

    /// Prints a warning to stderr, in the format of the log.
    pub fn warn(&self, text: &str) {
        log::warn!("{text}");
    }
}

/// Whether to colour, before the stream is known.
fn color_choice(when: ColorWhen) -> ColorChoice {
    match when {
        ColorWhen::Auto => ColorChoice::Auto,
        ColorWhen::Always => ColorChoice::Always,
        ColorWhen::Never => ColorChoice::Never,
    }
}
