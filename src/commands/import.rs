//! `tokman import`: brings back a record that could not be stored.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};

use crate::context::Context;
use crate::ops;

/// The options of `tokman import`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tokman import -p square --rescue ~/.local/state/tokman/rescue-square-default-1795276800000.json"
)]
pub struct ImportArgs {
    /// The file that an earlier run named
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, required = true)]
    rescue: PathBuf,
    /// Overwrite a stored token that is newer, or of another account
    #[arg(long)]
    replace: bool,
}

/// Runs the command.
///
/// # Errors
/// Where the file is no record of the key, or it cannot be stored.
pub fn run(context: &Context, args: &ImportArgs) -> anyhow::Result<ExitCode> {
    context.format(&[])?;
    let settings = context.settings(None)?;
    let key = context.key(&settings)?;
    let broker = context.broker(&settings)?;
    ops::runtime()?.block_on(broker.bring_back(&key, &args.rescue, args.replace))?;
    context.printer.note(&format!("{key} is stored; {} is removed.", args.rescue.display()));
    Ok(ExitCode::SUCCESS)
}
