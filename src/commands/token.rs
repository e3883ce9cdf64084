//! `tokman token`: prints a valid access token.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::context::Context;
use crate::flags::ApplicationArgs;
use crate::model::duration;
use crate::ops;
use crate::ops::demand::{Demand, How};
use crate::output::response::{Format, Json, render};
use crate::provider::Wanted;

/// Prints a valid access token; refreshes first only if it must
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  curl -H \"Authorization: Bearer $(tokman token -p square)\" https://connect.squareup.com/v2/locations\n  eval \"$(tokman token -p square -o env)\"\n  tokman token -p wix -o header"
)]
pub struct TokenArgs {
    /// How long the printed token must still live [default: 60s, cut to a tenth of its whole life]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    min_ttl: Option<Duration>,
    /// Never refresh: no network, no lock; exit 7 if the stored token is too old
    #[arg(long)]
    no_refresh: bool,
    #[command(flatten)]
    application: ApplicationArgs,
}

/// Runs the command.
///
/// # Errors
/// Why there is no token.
pub fn run(context: &Context, args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let format = context.format(&[Format::Token, Format::Json, Format::Header, Format::Env, Format::None])?;
    let settings = context.settings(Some(&args.application))?;
    let key = context.key(&settings)?;
    let issuer = context.issuer(&settings, &key)?;
    let broker = context.broker(&settings)?;
    let ttl = args.min_ttl.unwrap_or(settings.min_ttl.value);
    let outcome = match broker.stored(&key, &issuer, ttl)? {
        Some(outcome) => outcome,
        None if args.no_refresh => ops::runtime()?.block_on(broker.stored_only(&key, &issuer, ttl))?,
        None => {
            let how = How::Refresh(Wanted::default());
            ops::runtime()?.block_on(broker.fresh(&key, &issuer, Demand::Valid(ttl), how))?
        }
    };
    if let Some(warning) = &outcome.warning {
        context.warn(warning);
    }
    let kind = issuer.settings().kind;
    if let Some(text) = render(&key, kind, &outcome, format.unwrap_or(Format::Token), Json::Token)? {
        context.printer.essential(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
