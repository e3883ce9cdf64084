//! `tokman history`: what was done to a key and when.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use anstyle::Style;
use clap::Args;

use crate::context::{self, Context};
use crate::model::{response, text};
use crate::ops::history::days::Days;
use crate::ops::history::{Event, History};
use crate::output::palette;
use crate::output::response::Format;
use crate::output::sparkline::sparkline;
use crate::output::table::{Cell, Column, Pages};
use crate::output::terminal::{self, Size};

/// Shows what was done to a key and when; never a secret
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman history\n  tokman history -p square -n MLFAKE000MERCHANT --limit 5\n  tokman history -o json | jq -r '.[] | select(.outcome != \"ok\")'"
)]
pub struct HistoryArgs {
    /// How many of the last events to show
    #[arg(long, value_name = "N", default_value = "50")]
    limit: NonZeroUsize,
}

/// Runs the command.
///
/// # Errors
/// A history that cannot be read.
pub fn run(context: &Context, args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let format = context.format(&[Format::Json, Format::None])?;
    let settings = context.settings(None)?;
    // It may be of a provider that is configured no more.
    let selection = context.any_selection(&settings)?;
    let wanted = |event: &Event| {
        let Some((of_provider, of_profile)) = event.key.split_once('/') else {
            return false;
        };
        selection.provider.as_ref().is_none_or(|provider| provider.as_str() == of_provider)
            && selection.profile.as_ref().is_none_or(|profile| profile.as_str() == of_profile)
    };
    let mut last: VecDeque<Event> = VecDeque::new();
    let terminal = terminal::of_stdout();
    let mut days = Days::until(context.clock.now(), days_in(terminal));
    let read = History::new(&settings.config_dir).for_each(|event| {
        if wanted(&event) {
            days.add(&event);
            last.push_back(event);
            if last.len() > args.limit.get() {
                last.pop_front();
            }
        }
    });
    read.map_err(crate::store::StoreError::from)?;
    if last.is_empty() {
        // A name that was never one is an error, not an empty list.
        context.selection(&settings)?;
    }
    match format {
        Some(Format::Json) => context.printer.line(&response::pretty(&last))?,
        Some(_) => {}
        None if last.is_empty() => context.printer.note(&match context::narrowed(&selection) {
            Some(which) => format!("Nothing has happened yet {which}."),
            None => "Nothing has happened yet.".to_owned(),
        }),
        None => {
            if terminal.is_some() {
                context.printer.fragment(&refreshes(&days))?;
            }
            let mut pages = Pages::new(columns(), terminal::table_width());
            for event in &last {
                pages.push(row(event)).map_or(Ok(()), |page| context.printer.line(&page))?;
            }
            pages.end().map_or(Ok(()), |page| context.printer.line(&page))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How many days a terminal has room for.
fn days_in(terminal: Option<Size>) -> u16 {
    terminal.map_or(0, |size| if size.columns < 60 { 14 } else { 30 })
}

/// The refreshes of each day and those that failed, as two lines of bars of one scale; nothing where there were none.
fn refreshes(days: &Days) -> String {
    let top = days.done.iter().chain(&days.failed).copied().max().unwrap_or(0);
    let line = |name: &str, counts: &[u32], style: Style| {
        let (bars, sum) = (sparkline(counts, top), counts.iter().map(|&count| u64::from(count)).sum::<u64>());
        format!("{name:<9}  {style}{bars}{style:#}  {sum} in {} days\n", counts.len())
    };
    if top == 0 {
        return String::new();
    }
    let (done, failed) = (line("refreshed", &days.done, palette::GOOD), line("failed", &days.failed, palette::BAD));
    format!("{done}{failed}\n")
}

/// The columns, and which of them are left out first on a narrow terminal.
fn columns() -> Vec<Column> {
    vec![
        Column::new("TIME"),
        Column::new("KEY").down_to(16),
        Column::new("ACTION").leaving(5),
        Column::new("OUTCOME"),
        Column::new("TOKEN").leaving(3),
        Column::new("TOOK").leaving(2),
        Column::new("PROCESS").leaving(1),
        Column::new("WHY").leaving(4).down_to(16),
    ]
}

fn row(event: &Event) -> Vec<Cell> {
    let short = |fingerprint: &Option<String>| {
        fingerprint.as_deref().map_or_else(|| "–".to_owned(), |text| text.chars().take(8).collect())
    };
    let tokens = match (&event.old, &event.new) {
        (Some(old), Some(new)) if old == new => format!("{} kept", short(&event.old)),
        (None, None) => "–".to_owned(),
        (old, None) => short(old),
        (old, new) => format!("{} → {}", short(old), short(new)),
    };
    let style = if event.is_ok() { palette::GOOD } else { palette::BAD };
    vec![
        format!("{:.0}", event.at).into(),
        text::escape(&event.key, 100).into(),
        event.action.as_str().into(),
        Cell::new(text::escape(&event.outcome, 20), style),
        text::escape(&tokens, 40).into(),
        format!("{} ms", event.duration_ms).into(),
        format!("{}@{}", event.pid, text::escape(&event.host, 40)).into(),
        event.error.as_deref().map_or_else(String::new, |why| text::escape(why, 80)).into(),
    ]
}
