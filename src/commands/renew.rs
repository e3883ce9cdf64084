//! `tokman renew`: Square's RenewToken, for whoever still finds it answered.

use std::process::ExitCode;

use clap::Args;

use crate::config::ProviderKind;
use crate::context::Context;
use crate::flags::{ApplicationArgs, PrintedArgs};
use crate::ops;
use crate::ops::demand::{Demand, How};
use crate::output::response::Json;

/// Extends an access token without a refresh token (Square's retired RenewToken)
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman renew -p square\n  tokman obtain -p square --migration-token - < old-access-token"
)]
pub struct RenewArgs {
    #[command(flatten)]
    printed: PrintedArgs,
    #[command(flatten)]
    application: ApplicationArgs,
}

/// Runs the command.
///
/// # Errors
/// Why there is no new token.
pub fn run(context: &Context, args: &RenewArgs) -> anyhow::Result<ExitCode> {
    let form = context.form(args.printed, Json::Response)?;
    let settings = context.settings(Some(&args.application))?;
    let key = context.key(&settings)?;
    let issuer = context.issuer(&settings, &key)?;
    let broker = context.broker(&settings)?;
    let kind = issuer.settings().kind;
    if kind == ProviderKind::Square {
        context.warn(
            "Square retired RenewToken on 2024-04-17: it may be gone at any time; 'tokman refresh' is what replaces it",
        );
    }
    let outcome = ops::runtime()?.block_on(broker.fresh(&key, &issuer, Demand::NewOfOurOwn, How::Renew))?;
    context.print_token(kind, &outcome, form)?;
    Ok(ExitCode::SUCCESS)
}
