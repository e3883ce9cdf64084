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
use flags::{GlobalArgs, LogFormat};

/// Runs tokman with the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    harden();
    let args: Vec<OsString> = std::env::args_os().collect();
    if env::text(env::COMPLETE).is_some() {
        match complete(&args) {
            Ok(true) => return ExitCode::SUCCESS,
            Ok(false) => {}
            Err(error) => return refuse(&error, false),
        }
    }
    let cli = match Cli::read(&args) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && watches(&args) => return cannot_watch(&error),
        Err(error) => return refuse(&error, wants_json(&args)),
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
            let code = exit::report(&error, context.known_key(), format, &context.printer);
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

/// Whether a command line that cannot be parsed is one of `check`, whose errors have a form of their own: whether that
/// is its first word that is neither an option nor the value of one.
fn watches(args: &[OsString]) -> bool {
    let command = Cli::command();
    let takes = |is: &dyn Fn(&clap::Arg) -> bool| {
        command.get_arguments().any(|option| is(option) && option.get_action().takes_values())
    };
    let mut words = args.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let value_follows = if let Some(long) = word.strip_prefix("--") {
            takes(&|option| option.get_long() == Some(long))
        } else if let Some(shorts) = word.strip_prefix('-') {
            // What stands after the first that takes a value is that value.
            let at = shorts.chars().position(|short| takes(&|option| option.get_short() == Some(short)));
            at.is_some_and(|at| at + 1 == shorts.chars().count())
        } else {
            return word == "check";
        };
        if value_follows {
            words.next();
        }
    }
    false
}

/// Says to a watcher what clap has to say.
fn cannot_watch(error: &clap::Error) -> ExitCode {
    let printer = output::Printer::new(false, anstream::ColorChoice::Never, false);
    commands::check::unknown(&printer, &message_of(error), false)
        .unwrap_or(ExitCode::from(ops::survey::Level::Unknown as u8))
}

/// What clap has to say, on one line.
fn message_of(error: &clap::Error) -> String {
    let text = error.render().to_string();
    // What is missing stands in lines of its own.
    let message: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    message.join(" ").trim_start_matches("error: ").to_owned()
}

/// Prints what clap has to say: help and version on stdout, a refusal on stderr.
fn refuse(error: &clap::Error, json: bool) -> ExitCode {
    if json && error.use_stderr() {
        let usage = exit::Usage::new(message_of(error)).hint("tokman --help");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_watcher_by_its_first_word() {
        for (line, expected) in [
            ("check --x", true),
            ("--x check", true),
            ("-qp square -o xml --store file check", true),
            ("-psquare --store=file check", true),
            ("-p check token", false),
            ("token check", false),
            ("token -n check", false),
            ("--profile check", false),
            ("", false),
        ] {
            let args: Vec<OsString> =
                ["tokman"].into_iter().chain(line.split_whitespace()).map(OsString::from).collect();
            assert_eq!(watches(&args), expected, "{line}");
        }
    }
}
