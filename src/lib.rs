//! tokman keeps OAuth tokens: it obtains, refreshes, revokes and prints them, and never loses a grant that could have
//! been kept.
//!
//! The house has floors. A module uses its own and lower ones, never a higher one, never a sibling:
//!
//! ```text
//! 7  lib · cli            start, flags; no behaviour
//! 6  commands             one verb, one file
//! 5  context · exit · flags   what a command is given; errors as words and exit codes
//! 4  output               stdout and stderr
//! 3  ops                  what tokman does: fresh, obtain, login, revoke
//! 2  provider │ store │ net │ emulator
//! 1  config               settings
//! 0  model · env · fsutil · process · tls
//! ```
//!
//! Begin with [`commands::token`], which uses every floor, then [`ops::fresh`], the heart.

pub mod cli;
pub mod commands;
pub mod config;
pub mod context;
pub mod emulator;
pub mod env;
pub mod exit;
pub mod flags;
pub mod fsutil;
pub mod model;
pub mod net;
pub mod ops;
pub mod output;
pub mod process;
pub mod provider;
pub mod store;
pub mod tls;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use log::LevelFilter;

use cli::Cli;
use context::Context;
use flags::{GlobalArgs, LogFormat};

/// Runs tokman with the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    harden();
    let args: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, wants_json(&args)),
    };
    let format = log_format(&cli.global);
    output::log::init(log_level(&cli.global), format == LogFormat::Json);
    warn_of_log_variables();
    let context = Context::new(cli.global, format == LogFormat::Json);
    match commands::run(&context, cli.command) {
        Ok(code) => code,
        Err(error) => ExitCode::from(exit::report(&error, context.known_key(), format, &context.printer) as u8),
    }
}

/// Keeps secrets in memory out of core dumps and other processes' reach. Best effort: an old kernel runs tokman too.
fn harden() {
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
    #[cfg(unix)]
    {
        let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
        // A file that may not grow is an error to report, not the end of the process: a handler that does nothing.
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    }
}

/// Prints what clap has to say: help and version on stdout, a refusal on stderr.
fn refuse(error: &clap::Error, json: bool) -> ExitCode {
    if json && error.use_stderr() {
        let text = error.render().to_string();
        // What is missing stands in lines of its own.
        let message: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let message = message.join(" ");
        let message = message.trim_start_matches("error: ");
        let usage = exit::Usage::new(message).hint("tokman --help");
        let printer = output::Printer::new(false, anstream::ColorChoice::Never, true);
        return ExitCode::from(exit::report(&usage.into(), None, LogFormat::Json, &printer) as u8);
    }
    // A closed pipe is no error.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(ops::Code::Usage as u8))
}

fn log_format(global: &GlobalArgs) -> LogFormat {
    let from_env = || env::text(env::LOG_FORMAT).filter(|format| format == "json").map(|_| LogFormat::Json);
    global.log_format.or_else(from_env).unwrap_or(LogFormat::Text)
}

/// A wrong word in a variable of the log is no reason to give nobody a token, but one to say so.
fn warn_of_log_variables() {
    if env::text(env::LOG_FORMAT).is_some_and(|format| !matches!(format.as_str(), "text" | "json")) {
        log::warn!("{} is neither 'text' nor 'json': text is used", env::LOG_FORMAT);
    }
    if env::text(env::LOG).is_some_and(|level| level.parse::<LevelFilter>().is_err()) {
        log::warn!("{} is none of 'warn', 'info', 'debug': it is ignored", env::LOG);
    }
}

/// Whether a command line that cannot be parsed asks for JSON on stderr.
fn wants_json(args: &[OsString]) -> bool {
    let asked = args.windows(2).any(|pair| pair[0] == "--log-format" && pair[1] == "json")
        || args.iter().any(|arg| arg == "--log-format=json");
    asked || env::text(env::LOG_FORMAT).is_some_and(|format| format == "json")
}

fn log_level(global: &GlobalArgs) -> LevelFilter {
    if global.quiet {
        return LevelFilter::Error;
    }
    match global.verbose {
        0 => env::text(env::LOG)
            .and_then(|level| level.parse::<LevelFilter>().ok())
            .map_or(LevelFilter::Warn, |level| level.max(LevelFilter::Warn)),
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    }
}
