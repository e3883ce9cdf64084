//! `tokman token`: prints a valid access token.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::context::Context;
use crate::flags::{ApplicationArgs, PrintedArgs};
use crate::model::duration;
use crate::output::response::Json;

/// Prints a valid access token; refreshes first only if it must
#[derive(Debug, Default, Args)]
#[command(
    after_help = "Examples:\n  curl -H \"Authorization: Bearer $(tokman token -p square)\" \"$URL\"\n  eval \"$(tokman token -p square -o env)\"\n  tokman token -p square -o env --shell fish | source\n  tokman token -p wix -o header"
)]
pub struct TokenArgs {
    /// How long the printed token must still live [default: 60s, cut to a tenth of its whole life]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    min_ttl: Option<Duration>,
    /// Never refresh: no network, no lock; exit 7 if the stored token is too old
    #[arg(long)]
    no_refresh: bool,
    #[command(flatten)]
    printed: PrintedArgs,
    #[command(flatten)]
    application: ApplicationArgs,
}

/// Runs the command.
///
/// # Errors
/// Why there is no token.
pub fn run(context: &Context, args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let form = context.form(args.printed, Json::Token)?;
    let settings = context.settings(Some(&args.application))?;
    let key = context.key(&settings)?;
    let issuer = context.issuer(&settings, &key)?;
    let ttl = args.min_ttl.unwrap_or(settings.min_ttl.value);
    let outcome = context.broker(&settings)?.valid(&key, &issuer, ttl, !args.no_refresh)?;
    context.warn_of(&outcome);
    context.print_token(issuer.settings().kind, &outcome, form)?;
    Ok(ExitCode::SUCCESS)
}
