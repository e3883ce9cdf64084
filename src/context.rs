//! What a command is given: the flags, the settings, a printer, a clock, and the broker when it asks for it.

use std::cell::OnceCell;
use std::sync::Arc;

use anstream::ColorChoice;

use crate::config::{KEYRING_ENTRY, Options, Origin, ProviderKind, Settings, StoreUrl};
use crate::exit::{Meant, Usage};
use crate::flags::{ApplicationArgs, ColorWhen, GlobalArgs, PrintedArgs, line};
use crate::model::text::shell_word;
use crate::model::{Clock, Key, SystemClock};
use crate::net::Client;
use crate::ops::history::History;
use crate::ops::signals::ProcessSignals;
use crate::ops::{Broker, Error, Hooks, Issuer, Outcome, Selection, stored_names};
use crate::output::response::{self, Form, Format, Json};
use crate::output::{OutputError, Printer, github};
use crate::provider::pkce;
use crate::store::{self, Sealer};
use crate::{env, fsutil};

/// What a command is given.
#[derive(Debug)]
pub struct Context {
    /// The options of every command.
    pub global: GlobalArgs,
    /// Prints.
    pub printer: Printer,
    /// Whether stderr is for programs: one JSON object a line.
    pub json: bool,
    /// Tells what can be written on the command line.
    pub definition: fn() -> clap::Command,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The key that the command is about, once it is known: errors name it.
    key: OnceCell<Key>,
}

impl Context {
    /// The context of a run, whose stderr is for people or (`json`) for programs. Nothing is read yet.
    #[must_use]
    pub fn new(global: GlobalArgs, definition: fn() -> clap::Command, json: bool) -> Self {
        let printer = Printer::new(global.quiet, color_choice(global.color), json);
        Self { global, printer, json, definition, clock: Arc::new(SystemClock), key: OnceCell::new() }
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

    /// Which of the stored keys the command is about. A provider that the config file names for want of another hides
    /// the other providers' only where a profile is named as well.
    ///
    /// # Errors
    /// An unknown provider, a profile that only an answer names.
    pub fn selection(&self, settings: &Settings) -> anyhow::Result<Selection> {
        let selection = self.any_selection(settings)?;
        if let Some(provider) = &selection.provider {
            // An unknown provider is an error, not an empty list.
            settings.provider(provider)?;
        }
        Ok(selection)
    }

    /// The same, also of providers that nobody knows any more.
    ///
    /// # Errors
    /// `@account` in place of a profile.
    pub fn any_selection(&self, settings: &Settings) -> anyhow::Result<Selection> {
        let profile = (settings.profile.origin != Origin::Default).then(|| settings.profile.value.clone());
        let named = settings
            .provider
            .as_ref()
            .filter(|provider| profile.is_some() || matches!(provider.origin, Origin::Option(_) | Origin::Env(_)));
        if settings.by_account {
            // No stored key has a name that an answer gives.
            settings.key()?;
        }
        Ok(Selection { provider: named.map(|provider| provider.value.clone()), profile })
    }

    /// The key that the command is about, if it was known before it failed.
    #[must_use]
    pub fn known_key(&self) -> Option<&Key> {
        self.key.get()
    }

    /// The options that a command needs to be about the same directory and store, as they were given: a space before each.
    #[must_use]
    pub fn place(&self) -> String {
        let directory = self.global.config_dir.as_ref().map(|dir| ("--config-dir", dir.display().to_string()));
        let store = self.global.store.clone().map(|store| ("--store", store));
        let words = directory.into_iter().chain(store).map(|(name, value)| format!(" {name} {}", shell_word(&value)));
        words.collect()
    }

    /// The error with the stored key that was probably meant, where there is one.
    #[must_use]
    pub fn suggest(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(Error::NotFound { key }) = error.downcast_ref() else { return error };
        let settings = Settings::load(self.global.options(None)).ok();
        match settings.and_then(|settings| stored_names::nearest(&settings, key)) {
            Some(meant) => {
                let text = format!("{error}; did you mean {meant}?");
                error.context(Meant(text))
            }
            None => error,
        }
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
        let sealer = Sealer::new(settings.store_key.value.clone());
        let sealer = Arc::new(match &settings.store.value {
            StoreUrl::Keyring(root) => sealer.kept_in_keyring(KEYRING_ENTRY, root),
            StoreUrl::File(_) | StoreUrl::Postgres(_) => sealer,
        });
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
                    format!("this command takes no -o; {} do", line::WITH_FORMATS)
                } else {
                    format!("this command prints {} only", names.join(", "))
                };
                Err(Usage::new(what).into())
            }
            format => Ok(format),
        }
    }

    /// How a command that prints a token is to print it.
    ///
    /// # Errors
    /// A form that it does not have, or that cannot be had here: told before anything is spent.
    pub fn form(&self, printed: PrintedArgs, json: Json) -> anyhow::Result<Form> {
        let default = if json == Json::Token { Format::Token } else { Format::Json };
        let format = self.format(&Format::OF_A_TOKEN)?.unwrap_or(default);
        if printed.shell.is_some() && format != Format::Env {
            return Err(Usage::new("--shell is for -o env only").hint("add: -o env").into());
        }
        if format == Format::Github {
            let why = match env::github_output() {
                Some(path) if path.is_file() => None,
                Some(path) => Some(format!("GITHUB_OUTPUT names {}, which is no file", path.display())),
                None => Some("GITHUB_ACTIONS is not 'true', or there is no GITHUB_OUTPUT here".to_owned()),
            };
            if let Some(why) = why {
                let what = format!("-o github is for a step of a GitHub Actions job: {why}");
                return Err(Usage::new(what).hint("elsewhere: -o token, or -o env").into());
            }
        }
        Ok(Form { format, shell: printed.shell.unwrap_or_default(), json })
    }

    /// Prints a token. What is there to print it does so also when quiet.
    ///
    /// # Errors
    /// A token that could break out of its line, or what stdout refused.
    pub fn print_token(&self, kind: ProviderKind, outcome: &Outcome, form: Form) -> anyhow::Result<()> {
        let Some(text) = response::render(kind, outcome, form)? else { return Ok(()) };
        if form.format == Format::Github {
            let nonce = pkce::random()?;
            // The mask comes first, also when quiet: nothing may show the token before the runner knows it.
            self.printer.essential(&text)?;
            let path = env::github_output().unwrap_or_default();
            let output = github::assignment(response::access(outcome)?, nonce.expose());
            fsutil::append_lines(&path, &output).map_err(OutputError::Github)?;
        } else if form.json == Json::Token {
            self.printer.essential(&text)?;
        } else {
            self.printer.line(&text)?;
        }
        Ok(())
    }

    /// Says what a person should know although a token was had.
    pub fn warn_of(&self, outcome: &Outcome) {
        if let Some(warning) = &outcome.warning {
            self.warn(warning);
        }
    }

    /// Prints a warning to stderr, in the format of the log.
    pub fn warn(&self, text: &str) {
        log::warn!("{text}");
    }
}

/// What a selection leaves, in words that follow "is stored" or "has happened"; `None` where it leaves all.
#[must_use]
pub fn narrowed(selection: &Selection) -> Option<String> {
    match (&selection.provider, &selection.profile) {
        (None, None) => None,
        (Some(provider), None) => Some(format!("for {provider}")),
        (None, Some(profile)) => Some(format!("under the profile {profile}")),
        (Some(provider), Some(profile)) => Some(format!("for {provider}/{profile}")),
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
