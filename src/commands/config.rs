//! `tokman config`: where the settings are, what they are, and a template for them.

mod interview;
mod prompt;
mod template;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::config::{Origin, ProviderSettings, SecretSource, Setting, Settings, config_file};
use crate::context::Context;
use crate::model::response;
use crate::output::response::Format;
use crate::output::table;

/// Shows where settings are, what they are, and a template for them
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tokman config init\n  tokman config show -p square\n  tokman config path")]
pub struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

/// What to show.
#[derive(Debug, Subcommand)]
enum What {
    /// Prints the path of the config file
    #[command(after_help = "Examples:\n  tokman config path\n  \"$EDITOR\" \"$(tokman config path)\"")]
    Path,
    /// Asks for a first provider and writes the config file; elsewhere prints a template
    ///
    /// On a terminal it asks for the provider, the client id, where the secret is and which redirect address is
    /// registered, and writes config.toml (0600). One that is there is kept under another name, after asking. Where
    /// stdin, stdout or stderr is no terminal, the commented template goes to stdout.
    #[command(after_help = "Examples:\n  tokman config init\n  tokman config init | less    # the template alone")]
    Init,
    /// Prints the settings and where each came from; never a secret
    #[command(after_help = "Examples:\n  tokman config show\n  tokman config show -p square -o json")]
    Show,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with the settings.
pub fn run(context: &Context, args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Path => path(context)?,
        What::Init => init(context)?,
        What::Show => show(context)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The path is told also where the file is broken: it is asked for to mend it.
fn path(context: &Context) -> anyhow::Result<()> {
    let format = context.format(&[Format::Json, Format::None])?;
    let path = config_file(&crate::config::paths::config_dir(context.global.config_dir.clone())?);
    match format {
        Some(Format::Json) => {
            context.printer.line(&response::pretty(&json!({ "path": path.display().to_string() })))?;
        }
        Some(_) => {}
        None => context.printer.line(&path.display().to_string())?,
    }
    Ok(())
}

fn init(context: &Context) -> anyhow::Result<()> {
    let format = context.format(&[Format::None])?;
    if is_dialogue() {
        let dir = crate::config::paths::config_dir(context.global.config_dir.clone())?;
        interview::run(context, &config_file(&dir))
    } else {
        // A template that goes into a file or a pipe is one, also from a terminal.
        let template = format.is_none().then(|| template::TEMPLATE.trim_end());
        template.map_or(Ok(()), |template| Ok(context.printer.line(template)?))
    }
}

fn show(context: &Context) -> anyhow::Result<()> {
    let format = context.format(&[Format::Json, Format::None])?;
    let shown = all(&context.settings(None)?)?;
    match format {
        Some(Format::Json) => {
            let members: serde_json::Map<String, Value> = shown
                .into_iter()
                .map(|(name, value, origin)| (name, json!({ "value": value, "origin": origin })))
                .collect();
            context.printer.line(&response::pretty(&members))?;
        }
        Some(_) => {}
        None => {
            let rows = shown.into_iter().map(|(name, value, origin)| vec![name, value, origin]).collect();
            context.printer.line(&table::table(&["SETTING", "VALUE", "FROM"], rows))?;
        }
    }
    Ok(())
}

/// Whether somebody is there to answer, and stdout is not for something else.
fn is_dialogue() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal() && io::stdout().is_terminal()
}

/// Name, value and origin of every setting.
fn all(settings: &Settings) -> anyhow::Result<Vec<(String, String, String)>> {
    let mut shown = vec![
        ("config_dir".to_owned(), settings.config_dir.display().to_string(), String::new()),
        entry("profile", &settings.profile, ToString::to_string),
        entry("min_ttl", &settings.min_ttl, |ttl| format!("{}s", ttl.as_secs())),
        entry("store", &settings.store, ToString::to_string),
    ];
    if !settings.store_key.value.is_empty() {
        shown.push(entry("store.key", &settings.store_key, |sources| describe(sources)));
    }
    if let Some(provider) = &settings.provider {
        shown.push(entry("provider", provider, ToString::to_string));
    }
    let names = match &settings.provider {
        Some(provider) => vec![provider.value.to_string()],
        None => settings.known_providers(),
    };
    for name in names {
        shown.extend(of_provider(&settings.provider(&name.parse()?)?));
    }
    Ok(shown)
}

fn of_provider(provider: &ProviderSettings) -> Vec<(String, String, String)> {
    let name = |key: &str| format!("{}.{key}", provider.name);
    let mut shown = vec![entry(&name("base_url"), &provider.base_url, ToString::to_string)];
    shown.extend(provider.client_id.as_ref().map(|id| entry(&name("client_id"), id, Clone::clone)));
    if !provider.client_secret.value.is_empty() {
        shown.push(entry(&name("client_secret"), &provider.client_secret, |sources| describe(sources)));
    }
    shown.extend(provider.instance_id.as_ref().map(|id| entry(&name("instance_id"), id, Clone::clone)));
    shown.extend(provider.mode.as_ref().map(|mode| entry(&name("mode"), mode, |mode| mode.as_str().to_owned())));
    if let Some(oauth2) = &provider.oauth2 {
        let endpoints = oauth2.endpoints.iter();
        shown.extend(endpoints.map(|(endpoint, url)| entry(&name(endpoint.name()), url, ToString::to_string)));
        let auth = oauth2.client_auth.as_ref();
        shown.extend(auth.map(|auth| entry(&name("client_auth"), auth, |auth| auth.as_str().to_owned())));
    }
    if provider.scopes.origin != Origin::Default {
        shown.push(entry(&name("scopes"), &provider.scopes, |scopes| scopes.join(" ")));
    }
    shown.extend(provider.redirect_uri.as_ref().map(|uri| entry(&name("redirect_uri"), uri, ToString::to_string)));
    if provider.seed.is_some() {
        let variable = crate::env::Name::RefreshToken.of(&provider.name);
        shown.push((name("refresh_token"), "a value, used while nothing is stored".to_owned(), variable));
    }
    shown
}

fn describe(sources: &[SecretSource]) -> String {
    sources.iter().map(SecretSource::describe).collect::<Vec<_>>().join(", else ")
}

fn entry<T>(name: &str, setting: &Setting<T>, show: impl FnOnce(&T) -> String) -> (String, String, String) {
    (name.to_owned(), crate::model::text::escape(&show(&setting.value), 300), setting.origin.to_string())
}
