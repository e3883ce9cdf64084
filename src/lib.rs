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
//! 0  model · env · fsutil · keyring · process · prompt · signals · tls
//! ```
//!
//! Begin with [`commands::token`], which uses every floor, then [`ops::fresh`], the heart.

pub mod cli;
pub mod commands;
pub mod config;
pub mod context;
#[cfg(feature = "emulator")]
pub mod emulator;
pub mod env;
pub mod exit;
pub mod flags;
pub mod fsutil;
pub mod keyring;
pub mod model;
pub mod net;
pub mod ops;
pub mod output;
pub mod process;
pub mod prompt;
pub mod provider;
pub mod signals;
pub mod store;
pub mod tls;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::CompleteEnv;
use log::LevelFilter;

use cli::Cli;
use commands::Command;
use context::Context;
use flags::{GlobalArgs, LogFormat, line};

/// Runs tokman with the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    harden();
    let args: Vec<OsString> = std::env::args_os().collect();
    if env::text(env::COMPLETE).is_some() {
        match complete(&args) {
            Ok(true) => return ExitCode::SUCCESS,
            Ok(false) => {}
            Err(error) => return refuse(&error, &args),
        }
    }
    let cli = match Cli::read(&args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &args),
    };
    let format = log_format(&cli.global);
    output::log::init(log_level(&cli.global), format == LogFormat::Json);
    warn_of_log_variables();
    let context = Context::new(cli.global, Cli::command, format == LogFormat::Json);
    let is_exec = matches!(cli.command, Command::Exec(_));
    if !is_exec {
        process::give_up_core_dumps();
    }
    match commands::run(&context, cli.command) {
        Ok(code) => code,
        Err(error) => {
            let error = context.suggest(error);
            let code = exit::report(&error, context.known_key(), &context.place(), format, &context.printer);
            ExitCode::from(if is_exec { exit::of_exec(code) } else { code as u8 })
        }
    }
}

/// Tells a shell what a command line may go on with; `false` where it was not asked.
fn complete(args: &[OsString]) -> clap::error::Result<bool> {
    let directory = std::env::current_dir().ok();
    CompleteEnv::with_factory(Cli::command).var(env::COMPLETE).try_complete(args, directory.as_deref())
}

/// Keeps secrets in memory out of core dumps and other processes' reach. Best effort: an old kernel runs tokman too.
fn harden() {
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
    #[cfg(unix)]
    {
        process::lower_core_dumps();
        // A file that may not grow is an error to report, not the end of the process: a handler that does nothing.
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
    }
}

/// What clap has to say, on one line.
fn message_of(error: &clap::Error) -> String {
    let text = error.render().to_string();
    // What is missing stands in lines of its own.
    let message: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    message.join(" ").trim_start_matches("error: ").to_owned()
}

/// Prints what clap has to say: help and version on stdout, a refusal on stderr, and one of `check` where a watcher
/// looks.
fn refuse(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let words = args.get(1..).unwrap_or_default();
    let (verb, json) = (line::verb(words), wants_json(words));
    let printer = output::Printer::new(false, anstream::ColorChoice::Auto, json);
    if !error.use_stderr() {
        return print_help(error, json, printer);
    }
    let code = if json {
        let usage = exit::Usage::new(message_of(error)).hint("tokman --help");
        exit::report(&usage.into(), None, "", LogFormat::Json, &printer) as u8
    } else {
        if verb.as_deref() != Some("check") {
            // Nobody is told when stderr takes nothing.
            let _ = error.print();
        }
        u8::try_from(error.exit_code()).unwrap_or(ops::Code::Usage as u8)
    };
    match verb.as_deref() {
        Some("check") => {
            commands::check::unknown(&printer, &message_of(error), line::asks(words, "output", Some('o'), "json"))
                .unwrap_or(ExitCode::from(ops::survey::Level::Unknown as u8))
        }
        // Its other codes are the command's.
        Some("exec") => ExitCode::from(exit::of_exec(ops::Code::Usage)),
        _ => ExitCode::from(code),
    }
}

/// Prints help or version, which clap has made into an error of its own.
fn print_help(help: &clap::Error, json: bool, printer: output::Printer) -> ExitCode {
    match help.print() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let format = if json { LogFormat::Json } else { LogFormat::Text };
            ExitCode::from(exit::report(&output::OutputError::Stdout(error).into(), None, "", format, &printer) as u8)
        }
        _ => ExitCode::SUCCESS,
    }
}

fn log_format(global: &GlobalArgs) -> LogFormat {
    let from_env = || env::text(env::LOG_FORMAT).filter(|format| format == "json").map(|_| LogFormat::Json);
    global.log_format.or_else(from_env).unwrap_or(LogFormat::Text)
}

/// A wrong word in a variable of the log is no reason to give nobody a token, but one to say so.
fn warn_of_log_variables() {
    let is_wrong = |name, is_known: fn(&str) -> bool| {
        env::strict(name).map_or(true, |word| word.is_some_and(|word| !is_known(&word)))
    };
    if is_wrong(env::LOG_FORMAT, |format| matches!(format, "text" | "json")) {
        log::warn!("{} is neither 'text' nor 'json': text is used", env::LOG_FORMAT);
    }
    if is_wrong(env::LOG, |level| level.parse::<LevelFilter>().is_ok()) {
        log::warn!("{} is none of 'warn', 'info', 'debug': it is ignored", env::LOG);
    }
}

/// Whether a command line that cannot be parsed asks for JSON on stderr.
fn wants_json(words: &[OsString]) -> bool {
    line::asks(words, "log-format", None, "json") || env::text(env::LOG_FORMAT).is_some_and(|format| format == "json")
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
