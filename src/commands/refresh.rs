//! `tokman refresh`: spends the refresh token, or mints again where there is none; with `--all` for every key.

mod all;
mod lines;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::context::Context;
use crate::flags::{ApplicationArgs, PrintedArgs};
use crate::model::duration;
use crate::net::Rate;
use crate::ops;
use crate::ops::bulk::{self, plan::Due};
use crate::ops::demand::{Demand, How};
use crate::output::response::Json;
use crate::provider::Wanted;

/// The options of `tokman refresh`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman refresh --provider wix\n  tokman refresh -p square -n MLFAKE000MERCHANT -o none\n  tokman refresh --all --if-older-than 7d --splay 10m --max-time 2h"
)]
pub struct RefreshArgs {
    /// Never use another process's result
    #[arg(long, conflicts_with = "all")]
    force: bool,
    /// Scopes to narrow the token to, as Square allows; repeat or separate by blanks
    #[arg(long, value_name = "SCOPE", value_delimiter = ' ')]
    scope: Vec<String>,
    /// Square: an access token of 24 hours instead of 30 days
    #[arg(long)]
    short_lived: bool,
    /// Only where the last refresh is longer ago, or nobody knows when it was
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration::parse,
        long_help = "Only where the last refresh is longer ago, or nobody knows when it was. With --if-expires-within, either reason is enough"
    )]
    if_older_than: Option<Duration>,
    /// Only where a token has less left, or nobody knows how much
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    if_expires_within: Option<Duration>,
    /// Wait a random time first, at most this long, so that a fleet's cron jobs do not meet
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    splay: Option<Duration>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    printed: PrintedArgs,
    #[command(flatten)]
    many: ManyArgs,
    #[command(flatten)]
    application: ApplicationArgs,
}

/// The options of `tokman refresh --all`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Every key")]
struct ManyArgs {
    /// Every key in the store, or of --provider; the most urgent first
    #[arg(
        long,
        long_help = "Every key in the store, or of --provider; the most urgent first. Goes on after a failure, leaves alone what is left of a provider that is down, and ends with a summary and exit code 9 if some failed (6 or 7 if all did, for that one reason). Several at once share the work"
    )]
    all: bool,
    /// How many exchanges at once
    #[arg(long, value_name = "N", default_value = "16", requires = "all", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// How many requests at most, for each provider: 20/s, 300/m
    #[arg(long, value_name = "N/s|N/m", requires = "all")]
    rate: Option<Rate>,
    /// Begin no exchange after this; the rest is skipped, and taken up by the next run
    #[arg(long, value_name = "DURATION", requires = "all", value_parser = duration::parse_some)]
    max_time: Option<Duration>,
}

impl RefreshArgs {
    const fn due(&self) -> Due {
        Due { if_older_than: self.if_older_than, if_expires_within: self.if_expires_within }
    }

    fn wanted(&self) -> Wanted {
        let scopes = self.scope.iter().filter(|scope| !scope.is_empty()).cloned().collect();
        Wanted { scopes, short_lived: self.short_lived }
    }
}

/// Runs the command.
///
/// # Errors
/// Why there is no new token; of many keys, what became of them.
pub fn run(context: &Context, args: &RefreshArgs) -> anyhow::Result<ExitCode> {
    if args.many.all || args.dry_run {
        return all::run(context, args);
    }
    let form = context.form(args.printed, Json::Response)?;
    let settings = context.settings(Some(&args.application))?;
    let key = context.key(&settings)?;
    let wanted = args.wanted();
    let issuer = context.issuer(&settings, &key)?.asking_for(&wanted.scopes);
    let broker = context.broker(&settings)?;
    let demand = if args.force { Demand::NewOfOurOwn } else { Demand::New };
    let outcome = ops::runtime()?.block_on(async {
        if let Some(longest) = args.splay {
            bulk::splay(longest).await?;
        }
        match broker.undue(&key, &issuer, args.due()).await? {
            Some(outcome) => Ok(outcome),
            None => broker.fresh(&key, &issuer, demand, How::Refresh(wanted)).await,
        }
    })?;
    let kind = issuer.settings().kind;
    context.print_token(kind, &outcome, form)?;
    Ok(ExitCode::SUCCESS)
}
