//! `tokman import`: stores tokens obtained elsewhere, or brings back a record that could not be stored.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};
use serde_json::json;

use crate::config::{Origin, Settings};
use crate::context::Context;
use crate::exit::Usage;
use crate::model::response;
use crate::ops;
use crate::ops::import::Named;
use crate::output::response::Format;

/// The options of `tokman import`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman export | ssh backup tokman import\n  tokman import -p square -n shop < response.json\n  jq -c '. + {provider: \"square\", profile: .merchant_id}' *.json | tokman import\n  tokman import -p square --rescue rescue-square-default-1795276800000.json"
)]
pub struct ImportArgs {
    /// The file that an earlier run named, instead of stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    rescue: Option<PathBuf>,
    /// Overwrite what is stored already
    #[arg(long)]
    replace: bool,
}

/// Runs the command.
///
/// # Errors
/// What is refused, then nothing is stored; or what kept it from being stored.
pub fn run(context: &Context, args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let format = context.format(&[Format::Json, Format::None])?;
    let settings = context.settings(None)?;
    let imported = if let Some(rescue) = &args.rescue {
        let key = context.key(&settings)?;
        let broker = context.broker(&settings)?;
        let removed = ops::runtime()?.block_on(broker.bring_back(&key, rescue, args.replace))?;
        let file = if removed { format!("{} is removed", rescue.display()) } else { "it was already".to_owned() };
        context.printer.note(&format!("{key} is stored; {file}."));
        1
    } else {
        if io::stdin().is_terminal() {
            return Err(Usage::new("there is nothing on stdin: tokens are piped in, one JSON object on each line; a rescue file is named with --rescue")
                .hint("tokman import < tokens.ndjson, or tokman import --rescue FILE")
                .into());
        }
        let named = named(&settings)?;
        let broker = context.broker(&settings)?;
        ops::runtime()?.block_on(broker.import(io::stdin().lock(), &named, args.replace))?
    };
    match format {
        Some(Format::Json) => context.printer.line(&response::pretty(&json!({ "imported": imported })))?,
        None if args.rescue.is_none() => context.printer.line(&imported.to_string())?,
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What the settings say of the keys. Only the command line narrows: what stands elsewhere helps out.
fn named(settings: &Settings) -> anyhow::Result<Named> {
    let option = |origin: &Origin| matches!(origin, Origin::Option(_));
    let key = if settings.provider.is_some() { Some(settings.key()?) } else { None };
    if let Some(key) = &key {
        settings.provider(&key.provider)?;
    }
    Ok(Named {
        provider: settings.provider.as_ref().filter(|named| option(&named.origin)).map(|named| named.value.clone()),
        profile: option(&settings.profile.origin).then(|| settings.profile.value.clone()),
        key,
    })
}
