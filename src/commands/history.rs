//! `tokman history`: what was done to a key and when.

use std::collections::VecDeque;
use std::process::ExitCode;

use clap::Args;

use crate::config::Origin;
use crate::context::Context;
use crate::model::{response, text};
use crate::ops::history::{Event, History};
use crate::output::response::Format;
use crate::output::table;

/// Shows what was done to a key and when; never a secret
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman history\n  tokman history -p square -n MLFAKE000MERCHANT --limit 5\n  tokman history -o json | jq -r '.[] | select(.outcome != \"ok\")'"
)]
pub struct HistoryArgs {
    /// How many of the last events to show
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Runs the command.
///
/// # Errors
/// A history that cannot be read.
pub fn run(context: &Context, args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let format = context.format(&[Format::Json, Format::None])?;
    let settings = context.settings(None)?;
    let provider = settings.provider.as_ref().filter(|provider| matches!(provider.origin, Origin::Option(_)));
    let wanted = |event: &Event| {
        let Some((of_provider, of_profile)) = event.key.split_once('/') else {
            return false;
        };
        provider.is_none_or(|provider| provider.value.as_str() == of_provider)
            && (settings.profile.origin == Origin::Default || settings.profile.value.as_str() == of_profile)
    };
    let mut last: VecDeque<Event> = VecDeque::new();
    let read = History::new(&settings.config_dir).for_each(|event| {
        if wanted(&event) {
            last.push_back(event);
            if last.len() > args.limit {
                last.pop_front();
            }
        }
    });
    read.map_err(crate::store::StoreError::from)?;
    match format {
        Some(Format::Json) => context.printer.line(&response::pretty(&last))?,
        Some(_) => {}
        None if last.is_empty() => context.printer.note("Nothing has happened yet."),
        None => {
            let rows = last.iter().map(row).collect();
            let header = ["TIME", "KEY", "ACTION", "OUTCOME", "TOKEN", "TOOK", "PROCESS", "WHY"];
            context.printer.line(&table::table(&header, rows))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(event: &Event) -> Vec<String> {
    let short = |fingerprint: &Option<String>| {
        fingerprint.as_deref().map_or_else(|| "–".to_owned(), |text| text.chars().take(8).collect())
    };
    let tokens = match (&event.old, &event.new) {
        (Some(old), Some(new)) if old == new => format!("{} kept", short(&event.old)),
        (None, None) => "–".to_owned(),
        (old, None) => short(old),
        (old, new) => format!("{} → {}", short(old), short(new)),
    };
    vec![
        format!("{:.0}", event.at),
        text::escape(&event.key, 100),
        event.action.as_str().to_owned(),
        text::escape(&event.outcome, 20),
        text::escape(&tokens, 40),
        format!("{} ms", event.duration_ms),
        format!("{}@{}", event.pid, text::escape(&event.host, 40)),
        event.error.as_deref().map_or_else(String::new, |why| text::escape(why, 80)),
    ]
}
