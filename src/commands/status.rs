//! `tokman status`: what is stored, its age, its end and its health.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::config::{Origin, Settings};
use crate::context::Context;
use crate::flags::ApplicationArgs;
use crate::model::{Freshness, Key, duration, response};
use crate::ops::{self, Broker, Error, Issuer};
use crate::output::response::Format;
use crate::output::table;
use crate::store::{Listed, Summary};

/// Shows what is stored, its age, its end and its health
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman status\n  tokman status -p square --remote\n  tokman status -o json | jq -r '.[] | select(.state != \"fresh\") | .key'"
)]
pub struct StatusArgs {
    /// Ask the provider too: a token that it calls dead is a finding, not an error
    #[arg(long)]
    remote: bool,
    #[command(flatten)]
    application: ApplicationArgs,
}

/// One key, as `-o json` prints it. The names are public.
#[derive(Debug, Serialize)]
struct KeyView {
    key: String,
    provider: String,
    profile: String,
    account: Option<String>,
    state: &'static str,
    obtained_at: Option<Timestamp>,
    refreshed_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    refresh_token_expires_at: Option<Timestamp>,
    remote: Option<&'static str>,
}

/// Runs the command.
///
/// # Errors
/// The first record that cannot be read, after all others are shown.
pub fn run(context: &Context, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let format = context.format(&[Format::Json, Format::None])?;
    let settings = context.settings(Some(&args.application))?;
    if settings.provider.is_some() {
        // An unknown provider is an error, not an empty list.
        settings.provider(&settings.key()?.provider)?;
    }
    let broker = context.broker(&settings)?;
    ops::runtime()?.block_on(show(context, args, &settings, &broker, format))
}

async fn show(
    context: &Context,
    args: &StatusArgs,
    settings: &Settings,
    broker: &Broker,
    format: Option<Format>,
) -> anyhow::Result<ExitCode> {
    let one = (settings.profile.origin != Origin::Default).then_some(&settings.profile.value);
    let provider = settings.provider.as_ref().map(|setting| &setting.value);
    let mut listing = broker.store.list(provider).await.map_err(Error::from)?;
    let mut rows = Vec::new();
    let mut shown = 0;
    let mut failed: Option<anyhow::Error> = None;
    while let Some(listed) = listing.next().await.map_err(Error::from)? {
        if one.is_some_and(|profile| listed.key.profile != *profile) {
            continue;
        }
        let remote = match (&listed.summary, args.remote) {
            (Ok(_), true) => remote(context, settings, broker, &listed.key).await,
            _ => Ok(None),
        };
        let remote = remote.unwrap_or_else(|error| {
            context.warn(&format!("{}: {error}", listed.key));
            failed.get_or_insert(error.into());
            None
        });
        let (view, summary) = view(listed, context.clock.now(), remote, context, &mut failed);
        if format == Some(Format::Json) {
            context.printer.line(if shown == 0 { "[" } else { "," })?;
            context.printer.fragment(&indent(&response::pretty(&view)))?;
        } else {
            rows.push(row(&view, summary.as_ref(), context.clock.now(), args.remote));
        }
        shown += 1;
    }
    match format {
        Some(Format::Json) => context.printer.line(if shown == 0 { "[]" } else { "\n]" })?,
        None if shown > 0 => {
            let mut header = vec!["KEY", "ACCOUNT", "STATE", "LIFE LEFT", "REFRESHED", "REFRESH TOKEN ENDS"];
            header.extend(args.remote.then_some("REMOTE"));
            context.printer.line(&table::table(&header, rows))?;
        }
        _ => {}
    }
    if let Some(error) = failed {
        return Err(error);
    }
    if shown == 0 {
        if let (Some(provider), Some(profile)) = (provider, one) {
            let key = Key { provider: provider.clone(), profile: profile.clone() };
            return Err(Error::NotFound { key }.into());
        }
        context.printer.note("Nothing is stored yet. Begin with: tokman obtain --provider square");
    }
    Ok(ExitCode::SUCCESS)
}

/// What the provider says of a token, in a word.
async fn remote(
    context: &Context,
    settings: &Settings,
    broker: &Broker,
    key: &Key,
) -> Result<Option<&'static str>, Error> {
    let issuer = Issuer::new(settings.provider(&key.provider)?);
    // One that is gone was removed since it was listed.
    let Some(record) = broker.store.get(key).await? else {
        return Ok(None);
    };
    issuer.check(key, &record)?;
    let inspection = broker.inspect(&issuer, &record).await?;
    if let Some(note) = &inspection.note {
        context.printer.note(&format!("note: {key}: {note}"));
    }
    Ok(Some(if inspection.active { "active" } else { "inactive" }))
}

fn view(
    listed: Listed,
    now: Timestamp,
    remote: Option<&'static str>,
    context: &Context,
    failed: &mut Option<anyhow::Error>,
) -> (KeyView, Option<Summary>) {
    let Listed { key, summary, in_doubt } = listed;
    let summary = match summary {
        Ok(summary) => Some(summary),
        Err(error) => {
            context.warn(&format!("{key}: {error}"));
            failed.get_or_insert(Error::from(error).into());
            None
        }
    };
    let said = summary.as_ref();
    let view = KeyView {
        key: key.to_string(),
        provider: key.provider.to_string(),
        profile: key.profile.to_string(),
        account: said.and_then(|said| said.account.clone()),
        state: said.map_or("unknown", |said| state(said, in_doubt, now)),
        obtained_at: said.and_then(|said| said.obtained_at),
        refreshed_at: said.and_then(|said| said.refreshed_at),
        expires_at: said.and_then(|said| said.expires_at),
        refresh_token_expires_at: said.and_then(|said| said.refresh_expires_at),
        remote,
    };
    (view, summary)
}

/// The health of a record in a word. The last tenth of a life is `expiring`: any margin is cut to that.
fn state(summary: &Summary, in_doubt: bool, now: Timestamp) -> &'static str {
    if summary.needs_login.is_some() {
        return "needs_login";
    }
    if in_doubt {
        return "in_doubt";
    }
    match summary.freshness(now, Duration::MAX) {
        Freshness::Fresh => "fresh",
        Freshness::Expiring => "expiring",
        Freshness::Expired => "expired",
        Freshness::Unknown => "unknown",
    }
}

fn row(view: &KeyView, summary: Option<&Summary>, now: Timestamp, remote: bool) -> Vec<String> {
    let ago = |at: Timestamp| format!("{} ago", duration::humane(now.duration_since(at).as_secs()));
    let dash = || "–".to_owned();
    let mut row = vec![
        view.key.clone(),
        view.account.as_deref().map_or_else(dash, |account| crate::model::text::escape(account, 40)),
        view.state.to_owned(),
        summary.and_then(|summary| life_left(summary, now)).unwrap_or_else(dash),
        view.refreshed_at.map_or_else(dash, ago),
        match (view.refresh_token_expires_at, summary) {
            (Some(end), _) => format!("in {}", duration::humane(end.duration_since(now).as_secs())),
            (None, Some(summary)) if summary.has_refresh_token => "never".to_owned(),
            _ => dash(),
        },
    ];
    if remote {
        row.push(view.remote.map_or_else(dash, str::to_owned));
    }
    row
}

/// A bar and the time that is left; `None` where the end is not known.
fn life_left(summary: &Summary, now: Timestamp) -> Option<String> {
    let end = summary.expires_at?;
    let left = end.duration_since(now).as_secs();
    let whole = summary.refreshed_at.map_or(left, |start| end.duration_since(start).as_secs());
    #[expect(clippy::cast_precision_loss, reason = "a bar has ten cells")]
    let share = if whole > 0 { left as f64 / whole as f64 } else { 0.0 };
    Some(format!("{} {}", table::bar(share), duration::humane(left)))
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
