//! `tokman refresh`: spends the refresh token, or mints again where there is none.

use std::process::ExitCode;

use clap::Args;

use crate::context::Context;
use crate::flags::ApplicationArgs;
use crate::ops;
use crate::ops::demand::{Demand, How};
use crate::output::response::{Format, Json, render};
use crate::provider::Wanted;

/// The options of `tokman refresh`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman refresh --provider wix\n  tokman refresh -p square -n MLFAKE000MERCHANT -o none"
)]
pub struct RefreshArgs {
    /// Never use another process's result
    #[arg(long)]
    force: bool,
    /// Scopes to narrow the token to, as Square allows; repeat or separate by blanks
    #[arg(long, value_name = "SCOPE", value_delimiter = ' ')]
    scope: Vec<String>,
    /// Square: an access token of 24 hours instead of 30 days
    #[arg(long)]
    short_lived: bool,
    #[command(flatten)]
    application: ApplicationArgs,
}

/// Runs the command.
///
/// # Errors
/// Why there is no new token.
pub fn run(context: &Context, args: RefreshArgs) -> anyhow::Result<ExitCode> {
    let format = context.format(&[Format::Json, Format::Token, Format::Header, Format::Env, Format::None])?;
    let settings = context.settings(Some(&args.application))?;
    let key = context.key(&settings)?;
    let issuer = context.issuer(&settings, &key)?;
    let broker = context.broker(&settings)?;
    let demand = if args.force { Demand::NewOfOurOwn } else { Demand::New };
    let scopes: Vec<String> = args.scope.into_iter().filter(|scope| !scope.is_empty()).collect();
    let issuer = issuer.asking_for(&scopes);
    let how = How::Refresh(Wanted { scopes, short_lived: args.short_lived });
    let outcome = ops::runtime()?.block_on(broker.fresh(&key, &issuer, demand, how))?;
    let kind = issuer.settings().kind;
    if let Some(text) = render(&key, kind, &outcome, format.unwrap_or(Format::Json), Json::Response)? {
        context.printer.line(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
