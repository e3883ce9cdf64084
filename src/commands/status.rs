//! `tokman status`: what is stored, its age, its end and its health. Rows are printed as they are read: memory does not
//! grow with the store.

mod metrics;
mod row;
mod rows;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueHint};
use jiff::Timestamp;

use crate::config::Settings;
use crate::context::{Context, narrowed};
use crate::exit::Usage;
use crate::flags::ApplicationArgs;
use crate::model::duration;
use crate::ops::health::State;
use crate::ops::{self, Broker, Error, Selection};
use crate::output::response::Format;
use crate::store::Listed;
use row::Look;

/// Shows what is stored, its age, its end and its health
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman status\n  tokman status -p square --remote\n  tokman status --watch 5s --only expired,needs_login\n  tokman status --only needs_login,expired -o json | jq -r '.[].key'\n  tokman status -o prometheus --write /var/lib/node_exporter/tokman.prom"
)]
pub struct StatusArgs {
    /// Ask the provider too: a token that it calls dead is a finding, not an error
    #[arg(long)]
    remote: bool,
    /// Show these only: fresh, expiring, expired, needs_login, in_doubt, unknown
    #[arg(long, value_name = "STATE,…", value_delimiter = ',', hide_possible_values = true, value_parser = PossibleValuesParser::new(State::ALL.map(State::as_str)).try_map(|word| word.parse::<State>()))]
    only: Vec<State>,
    /// With -o prometheus: replace this file at once, instead of printing
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "remote")]
    write: Option<PathBuf>,
    /// Show it again and again, in place, until Ctrl-C; every 2s where no interval is given
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = duration::parse_some, conflicts_with_all = ["remote", "write"])]
    watch: Option<Duration>,
    #[command(flatten)]
    application: ApplicationArgs,
}

/// What one run shows, and of what.
#[derive(Debug)]
struct Show<'a> {
    context: &'a Context,
    args: &'a StatusArgs,
    settings: &'a Settings,
    broker: &'a Broker,
    selection: Selection,
    now: Timestamp,
}

/// How many keys were shown, and the first thing that went wrong meanwhile.
#[derive(Debug, Default)]
struct Shown {
    count: u64,
    failed: Option<anyhow::Error>,
}

/// Runs the command.
///
/// # Errors
/// The first record that cannot be read, after all others are shown.
pub fn run(context: &Context, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let format = context.format(&[Format::Json, Format::Prometheus, Format::None])?;
    if format != Some(Format::Prometheus) && args.write.is_some() {
        return Err(Usage::new("--write is for metrics").hint("tokman status -o prometheus --write FILE").into());
    }
    if format == Some(Format::Prometheus) && args.remote {
        return Err(Usage::new("-o prometheus shows what is stored, without --remote").into());
    }
    let watching = args.watch.map(|interval| watch::Watch::new(context, format, interval)).transpose()?;
    let settings = context.settings(Some(&args.application))?;
    let selection = context.selection(&settings)?;
    let broker = context.broker(&settings)?;
    let mut show = Show { context, args, settings: &settings, broker: &broker, selection, now: context.clock.now() };
    let runtime = ops::runtime()?;
    if let Some(watch) = watching {
        return runtime.block_on(watch.run(&mut show));
    }
    let shown = runtime.block_on(async {
        match format {
            Some(Format::Prometheus) => metrics::write(&show).await,
            format => show.rows(format).await,
        }
    })?;
    if let Some(error) = shown.failed {
        return Err(error);
    }
    if shown.count == 0 && args.only.is_empty() {
        if let Some(key) = show.selection.key() {
            return Err(Error::NotFound { key }.into());
        }
        context.printer.note(&nothing(&show.selection));
    }
    Ok(ExitCode::SUCCESS)
}

/// That nothing is stored, or not what was asked for; and what to do about it.
fn nothing(selection: &Selection) -> String {
    let begin = |provider: &str| format!("Begin with: tokman obtain --provider {provider}");
    match (narrowed(selection), &selection.provider) {
        (None, _) => format!("Nothing is stored yet. {}", begin("square")),
        (Some(which), Some(provider)) => format!("Nothing is stored {which}. {}", begin(provider.as_str())),
        (Some(which), None) => format!("Nothing is stored {which}. To see what is: tokman status"),
    }
}

impl Show<'_> {
    /// How rows are shown.
    fn look(&self) -> Look {
        Look { now: self.now, remote: self.args.remote, exact: self.context.global.verbose > 0 }
    }

    /// Whether a key is among those that were asked for.
    fn wants(&self, listed: &Listed) -> bool {
        self.args.only.is_empty() || self.args.only.contains(&State::of(listed, self.now))
    }

    /// Warns of a record that cannot be read.
    fn complain(&self, listed: Listed, shown: &mut Shown) {
        if let Err(error) = listed.summary {
            self.context.warn(&format!("{}: {error}", listed.key));
            shown.failed.get_or_insert(Error::from(error).into());
        }
    }
}
