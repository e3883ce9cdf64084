//! `tokman key`: keys that seal stored tokens at rest.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::context::Context;
use crate::model::response;
use crate::ops;
use crate::output::response::Format;
use crate::store::seal;

/// Makes keys that seal stored tokens at rest, and seals what is stored anew
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  (umask 077; tokman key new > ~/.config/tokman/store.key)\n  tokman key rotate")]
pub struct KeyArgs {
    #[command(subcommand)]
    what: What,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum What {
    /// Prints a new key that seals stored tokens at rest
    #[command(
        after_help = "Examples:\n  (umask 077; tokman key new > ~/.config/tokman/store.key)\n  tokman key new | pass insert -m tokman/store-key"
    )]
    New,
    /// Seals every stored token with the first of the configured keys
    ///
    /// The setting [store] key takes a list: the first key seals, all of them open. Put a new key first, as in
    /// key = [{ file = "/etc/tokman/new.key" }, { file = "/etc/tokman/old.key" }], run this, and take the old one away.
    /// It prints how many were sealed anew.
    #[command(after_help = "Examples:\n  tokman key rotate\n  tokman key rotate -o json")]
    Rotate,
}

/// Runs the command.
///
/// # Errors
/// Where there is no key; the first record that cannot be sealed anew, after all others are.
pub fn run(context: &Context, args: &KeyArgs) -> anyhow::Result<ExitCode> {
    match args.what {
        What::New => new(context),
        What::Rotate => rotate(context),
    }
}

fn new(context: &Context) -> anyhow::Result<ExitCode> {
    context.format(&[])?;
    let key = seal::new_key().map_err(|error| ops::Error::System(error.to_string()))?;
    context.printer.essential(key.expose())?;
    context.printer.note(
        "Keep it safe: without it nothing that it sealed can be opened. Name it with TOKMAN_STORE_KEY_FILE, or as key under [store] in the config file; its file must be 0600. 'tokman key rotate' seals what is stored already.",
    );
    Ok(ExitCode::SUCCESS)
}

fn rotate(context: &Context) -> anyhow::Result<ExitCode> {
    let format = context.format(&[Format::Json, Format::None])?;
    let settings = context.settings(None)?;
    let selection = context.selection(&settings)?;
    let broker = context.broker(&settings)?;
    let ended = ops::runtime()?.block_on(broker.reseal(&selection, settings.store.value.directory()))?;
    match format {
        Some(Format::Json) => context.printer.line(&response::pretty(&json!({
            "key_id": ended.id,
            "resealed": ended.sealed,
            "already": ended.left,
            "failed": ended.failed,
        })))?,
        Some(_) => {}
        None => {
            context.printer.line(&ended.sealed.to_string())?;
            if ended.left > 0 {
                context.printer.note(&format!("{} more were sealed with the key {} already.", ended.left, ended.id));
            }
        }
    }
    ended.error.map_or(Ok(ExitCode::SUCCESS), |error| Err(error.into()))
}
