//! `tokman remove`: forgets a key here, and says what stays valid elsewhere.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use crate::context::Context;
use crate::ops;
use crate::store::Record;

/// Forgets a key locally; says what stays valid at the provider
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman remove -p wix\n  tokman revoke -p square    # to end the token at the provider too"
)]
pub struct RemoveArgs {}

/// Runs the command.
///
/// # Errors
/// Where nothing is stored, or it cannot be removed.
pub fn run(context: &Context, _args: &RemoveArgs) -> anyhow::Result<ExitCode> {
    context.format(&[])?;
    let settings = context.settings(None)?;
    let key = context.key(&settings)?;
    let broker = context.broker(&settings)?;
    let record = ops::runtime()?.block_on(broker.remove(&key))?;
    let stays = record.map_or_else(String::new, |record| what_stays(&record, context.clock.now()));
    context.printer.note(&format!("{key} is forgotten here.{stays}"));
    Ok(ExitCode::SUCCESS)
}

/// What removing a record locally did not end.
fn what_stays(record: &Record, now: Timestamp) -> String {
    if record.needs_login.is_some() {
        return String::new();
    }
    let access = match record.token.expires_at {
        Some(end) if end <= now => None,
        Some(end) => Some(format!("its access token until {end:.0}")),
        None => Some("its access token".to_owned()),
    };
    let refresh = record.token.refresh.as_ref().map(|_| match record.token.refresh_expires_at {
        Some(end) => format!("its refresh token until {end:.0}"),
        None => "its refresh token until it is revoked".to_owned(),
    });
    match (access, refresh) {
        (None, None) => String::new(),
        (Some(one), None) | (None, Some(one)) => format!(" At the provider {one} stays valid."),
        (Some(access), Some(refresh)) => format!(" At the provider {access} and {refresh} stay valid."),
    }
}
