//! `tokman refresh --all`, and what `--dry-run` says: a line a key, progress, and a summary.

use std::process::ExitCode;

use super::RefreshArgs;
use super::lines::Lines;
use crate::config::{Origin, Settings};
use crate::context::Context;
use crate::exit::Usage;
use crate::model::Key;
use crate::ops::bulk::tally::{Fate, KeyReport, Tally};
use crate::ops::bulk::{self, Orders, Watcher as _};
use crate::ops::{self, Error, Issuer};
use crate::output::response::Format;

pub(super) fn run(context: &Context, args: &RefreshArgs) -> anyhow::Result<ExitCode> {
    let format = context.format(&[Format::Json, Format::None])?;
    if args.many.all {
        refuse_what_is_for_one_key(context, args)?;
    }
    let settings = context.settings(Some(&args.application))?;
    let key = if args.many.all { None } else { Some(context.key(&settings)?) };
    let orders = orders(args, &settings, key.as_ref());
    if let Some(provider) = &orders.provider {
        // Where nothing at all could be done, that is the error.
        settings.provider(provider)?.client_id()?;
    }
    if orders.provider.is_none() && args.application.is_given() {
        let what = "the credentials on the command line are one provider's: say which with --provider";
        return Err(Usage::new(what).into());
    }
    let broker = context.broker(&settings)?;
    let mut lines = Lines::new(context, format);
    let open = |name: &_| Ok(Issuer::new(settings.provider(name)?).asking_for(&orders.wanted.scopes));
    let ended = ops::runtime()?.block_on(async {
        if let Some(longest) = args.splay.filter(|_| !args.dry_run) {
            bulk::splay(longest).await?;
        }
        let mut ended = broker.refresh_all(&orders, open, &mut lines).await?;
        if let Some(key) = key.as_ref().filter(|_| ended.tally.done() == 0)
            && broker.store.get(key).await?.is_none()
            && begins_from_nothing(&open(&key.provider)?)
        {
            let (key, fate) = (key.clone(), Fate::WouldRefresh);
            lines.key(&KeyReport { key, fate, expires_at: None, error: None, rescued: false });
            ended.tally.would_refresh += 1;
        }
        Ok::<_, Error>(ended)
    })?;
    let failed = lines.end();
    sum_up(context, &orders, &ended.tally);
    // A signal that came meanwhile is honoured now.
    drop(ended.signals);
    if let Some(error) = failed {
        return Err(error.into());
    }
    match (ended.tally.error(), key) {
        (Some(error), _) => Err(error.into()),
        (None, Some(key)) if ended.tally.done() == 0 => Err(Error::NotFound { key }.into()),
        (None, _) => Ok(ExitCode::SUCCESS),
    }
}

/// Whether a refresh gets a token where nothing is stored: one that is minted, or one for a refresh token in the
/// environment.
fn begins_from_nothing(issuer: &Issuer) -> bool {
    issuer.mints() || issuer.settings().seed.is_some()
}

fn refuse_what_is_for_one_key(context: &Context, args: &RefreshArgs) -> Result<(), Usage> {
    let what = if context.global.profile.is_some() {
        "--profile"
    } else if args.application.instance_id.is_some() {
        "--instance-id"
    } else {
        return Ok(());
    };
    Err(Usage::new(format!("{what} names one key, and --all means every key: take one of the two")))
}

fn orders(args: &RefreshArgs, settings: &Settings, key: Option<&Key>) -> Orders {
    // The config file's default says whom to ask for one key; it leaves no key of another provider behind.
    let named = settings.provider.as_ref().filter(|named| !matches!(named.origin, Origin::File(_)));
    Orders {
        provider: key.map(|key| key.provider.clone()).or_else(|| named.map(|named| named.value.clone())),
        profile: key.map(|key| key.profile.clone()),
        due: args.due(),
        wanted: args.wanted(),
        jobs: args.many.jobs.into(),
        rate: args.many.rate,
        max_time: args.many.max_time,
        dry_run: args.dry_run,
    }
}

fn sum_up(context: &Context, orders: &Orders, tally: &Tally) {
    if tally.done() > 0 {
        let keys = if tally.done() == 1 { "key" } else { "keys" };
        return context.printer.note(&format!("{} {keys}: {}", tally.done(), tally.words()));
    }
    if orders.profile.is_none() {
        let of = orders.provider.as_ref().map_or_else(String::new, |provider| format!(" of {provider}"));
        let provider = orders.provider.as_ref().map_or("square", |provider| provider.as_str());
        context.printer.note(&format!("Nothing{of} is stored yet. Begin with: tokman obtain --provider {provider}"));
    }
}
