//! `tokman export`: stored tokens as lines of JSON, refresh tokens included.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Args;

use crate::context::Context;
use crate::exit::Usage;
use crate::fsutil;
use crate::ops::{self, Broker, Error, Selection};
use crate::output::response::Format;

/// The options of `tokman export`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  (umask 077; tokman export > tokens.ndjson)\n  tokman export -p square | age -r age1… > square.age"
)]
pub struct ExportArgs {
    /// Print to a terminal too
    #[arg(long)]
    yes: bool,
}

/// Runs the command.
///
/// # Errors
/// The first record that cannot be read, after all others are printed.
pub fn run(context: &Context, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    context.format(&[Format::Json])?;
    let settings = context.settings(None)?;
    let selection = context.selection(&settings)?;
    if io::stdout().is_terminal() && !args.yes {
        return Err(Usage::new("this would show refresh tokens on the terminal")
            .hint("(umask 077; tokman export > tokens.ndjson), or --yes")
            .into());
    }
    if let Some(mode) = open_to_others() {
        context.warn(&format!("others can read the file that the tokens go to (mode {mode:04o}): chmod 600"));
    }
    let broker = context.broker(&settings)?;
    ops::runtime()?.block_on(print(context, &broker, &selection))
}

async fn print(context: &Context, broker: &Broker, selection: &Selection) -> anyhow::Result<ExitCode> {
    let mut out = context.printer.essential_stream();
    let mut selected = broker.select(selection).await?;
    let mut seen = false;
    let mut failed: Option<Error> = None;
    while let Some(listed) = selected.next().await? {
        seen = true;
        let line = match broker.store.get(&listed.key).await {
            Ok(Some(record)) => record.to_line(&listed.key),
            // One that is gone was removed since it was listed.
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        match line {
            Ok(line) => out.line(&line)?,
            Err(error) => {
                context.warn(&format!("{}: {error}", listed.key));
                failed.get_or_insert(error.into());
            }
        }
        if out.is_closed() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    out.flush()?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if !seen {
        if let Some(key) = selection.key() {
            return Err(Error::NotFound { key }.into());
        }
        context.printer.note("Nothing is stored.");
    }
    Ok(ExitCode::SUCCESS)
}

/// The permission bits of the file that stdout is, where others can read it.
fn open_to_others() -> Option<u32> {
    fsutil::mode_of_stdout().filter(|mode| mode & 0o044 != 0)
}
