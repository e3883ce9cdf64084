//! `tokman check`: one line and an exit code, as monitoring plugins have them. Whatever goes wrong here is UNKNOWN, on
//! stdout: that is where a watcher looks. Where stderr is for programs, it is told there too.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, json};

use crate::context::Context;
use crate::exit::{self, Usage};
use crate::flags::LogFormat;
use crate::model::{duration, response, text};
use crate::ops;
use crate::ops::health::State;
use crate::ops::survey::{Level, Limits, Survey};
use crate::output::response::Format;
use crate::output::{OutputError, Printer};

/// The longest reason why nothing can be said, in characters.
const LONGEST: usize = 600;

/// Checks the stored tokens for monitoring: one line, and a plugin's exit code
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman check\n  tokman check -p square --warn-age 2d --crit-age 5d\n  tokman check --warn-expiry 3d -o json"
)]
pub struct CheckArgs {
    /// Warn where the last refresh is older
    #[arg(long, value_name = "DURATION", default_value = "8d", value_parser = duration::parse)]
    warn_age: Duration,
    /// Critical where the last refresh is older
    #[arg(long, value_name = "DURATION", default_value = "15d", value_parser = duration::parse)]
    crit_age: Duration,
    /// Warn where an access token or its refresh token has less left
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    warn_expiry: Option<Duration>,
}

/// Runs the command.
///
/// # Errors
/// None: they are the line that it prints.
pub fn run(context: &Context, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let json = context.global.output == Some(Format::Json);
    let said = match look(context, args) {
        Ok(survey) if survey.tokens > 0 => say(context, &survey, json),
        Ok(_) => unknown(&context.printer, "nothing is stored", json),
        Err(error) => {
            if context.json {
                let _ = exit::report(&error, context.known_key(), &context.place(), LogFormat::Json, &context.printer);
            }
            unknown(&context.printer, &format!("{error:#}"), json)
        }
    };
    // Where stdout takes nothing, the code is all that is left to say.
    Ok(said.unwrap_or(ExitCode::from(Level::Unknown as u8)))
}

fn look(context: &Context, args: &CheckArgs) -> anyhow::Result<Survey> {
    context.format(&[Format::Json, Format::None])?;
    if args.warn_age > args.crit_age {
        return Err(Usage::new("--warn-age is above --crit-age").into());
    }
    let settings = context.settings(None)?;
    let selection = context.selection(&settings)?;
    let broker = context.broker(&settings)?;
    let limits = Limits { warn_age: args.warn_age, crit_age: args.crit_age, warn_expiry: args.warn_expiry };
    let mut survey = Survey::new(limits, context.clock.now());
    ops::runtime()?.block_on(async {
        let mut selected = broker.select(&selection).await?;
        while let Some(listed) = selected.next().await? {
            survey.add(&listed);
        }
        Ok(survey)
    })
}

fn say(context: &Context, survey: &Survey, json: bool) -> Result<ExitCode, OutputError> {
    let level = survey.level();
    let text = if json {
        let states: Map<_, _> =
            State::ALL.into_iter().map(|state| (state.as_str().to_owned(), survey.count(state).into())).collect();
        let worst: Vec<_> =
            survey.worst.iter().map(|one| json!({ "key": one.key.to_string(), "why": one.why })).collect();
        response::pretty(&json!({
            "status": level.as_str(),
            "code": level as u8,
            "message": survey.sentence(),
            "tokens": survey.tokens,
            "states": states,
            "unreadable": survey.unreadable,
            "troubled": survey.troubled,
            "worst": worst,
            "oldest_age_seconds": survey.oldest,
            "soonest_expiry_seconds": survey.soonest,
        }))
    } else {
        format!("TOKMAN {} - {} | {}", level.as_str(), survey.sentence(), survey.performance())
    };
    if context.global.output != Some(Format::None) {
        // Quiet is for when all is well.
        if level == Level::Ok { context.printer.line(&text) } else { context.printer.essential(&text) }?;
    }
    Ok(ExitCode::from(level as u8))
}

/// Says that nothing can be said, and why.
///
/// # Errors
/// Where stdout takes nothing more.
pub fn unknown(printer: &Printer, why: &str, json: bool) -> Result<ExitCode, OutputError> {
    let level = Level::Unknown;
    // What stands after a bar would be read as performance data.
    let why = text::escape(why, LONGEST).replace('|', "/");
    let text = if json {
        response::pretty(&json!({ "status": level.as_str(), "code": level as u8, "message": why }))
    } else {
        format!("TOKMAN {} - {why}", level.as_str())
    };
    printer.essential(&text)?;
    Ok(ExitCode::from(level as u8))
}
