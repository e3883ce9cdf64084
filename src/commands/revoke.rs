//! `tokman revoke`: ends a token at the provider, then forgets it here.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Args;

use crate::config::ProviderKind;
use crate::context::Context;
use crate::exit::Usage;
use crate::flags::ApplicationArgs;
use crate::model::Key;
use crate::ops;
use crate::output::response::Format;
use crate::provider::Revocation;

/// The options of `tokman revoke`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman revoke -p square --yes\n  tokman revoke -p square --only-access-token\n  tokman revoke -p square --merchant-id MLFAKE000MERCHANT --yes"
)]
pub struct RevokeArgs {
    /// End this access token only; the refresh token stays good (Square, OAuth 2.0)
    #[arg(long, conflicts_with = "merchant_id")]
    only_access_token: bool,
    /// Square: end everything of this merchant, without a token
    #[arg(long, value_name = "ID")]
    merchant_id: Option<String>,
    /// Do not forget the key locally
    #[arg(long)]
    keep: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    application: ApplicationArgs,
}

/// Runs the command.
///
/// # Errors
/// Why it was not revoked. What the provider did not end is not forgotten.
pub fn run(context: &Context, args: &RevokeArgs) -> anyhow::Result<ExitCode> {
    let format = context.format(&[Format::Json, Format::None])?;
    let settings = context.settings(Some(&args.application))?;
    let key = context.key(&settings)?;
    let issuer = context.issuer(&settings, &key)?;
    let broker = context.broker(&settings)?;
    let what = match &args.merchant_id {
        Some(merchant) => Revocation::Merchant(merchant.clone()),
        None if args.only_access_token => Revocation::OnlyAccessToken,
        None => Revocation::Authorization,
    };
    let runtime = ops::runtime()?;
    let ends_all = issuer.settings().kind == ProviderKind::Square && what != Revocation::OnlyAccessToken;
    if ends_all && !args.yes && io::stdin().is_terminal() && io::stderr().is_terminal() {
        confirm(context, &key, &what)?;
    }
    let revoked = runtime.block_on(broker.revoke(&key, &issuer, &what, args.keep))?;
    if let Some(note) = &revoked.reply.note {
        context.printer.note(&format!("note: {note}"));
    }
    if revoked.forgotten {
        context.printer.note(&format!("{key} is forgotten here."));
    }
    if format != Some(Format::None) {
        context.printer.line(&revoked.reply.response.to_pretty())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn confirm(context: &Context, key: &Key, what: &Revocation) -> anyhow::Result<()> {
    let whose = match what {
        Revocation::Merchant(merchant) => format!("merchant {}", crate::model::text::escape(merchant, 60)),
        _ => format!("the merchant of {key}"),
    };
    context.printer.ask(&format!(
        "This ends every token that {whose} granted to this application, on every device. Revoke? [y/N]"
    ));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Usage::new("not revoked").into()) }
}
