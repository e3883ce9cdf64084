//! `tokman exec`: runs a command with a valid access token in its environment.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueHint};

use crate::context::Context;
use crate::exit::NotRun;
use crate::flags::ApplicationArgs;
use crate::model::duration;
use crate::output::response;
use crate::process;

/// Variables that decide which program runs and how, where a token is never meant.
const VITAL: [&str; 9] = ["BASH_ENV", "ENV", "HOME", "IFS", "PATH", "PWD", "SHELL", "TERM", "TMPDIR"];

/// The beginnings of such variables. A loader prints what it does not understand; tokman would take it for a setting.
const VITAL_FAMILIES: [&str; 3] = ["DYLD_", "LD_", "TOKMAN_"];

/// The options of `tokman exec`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman exec -p square -- ./sync-orders\n  tokman exec -p wix --env WIX_TOKEN -- node import.mjs\n  tokman exec -p square --min-ttl 15m -- ./sync-orders --all"
)]
pub struct ExecArgs {
    // The first of all: behind the application's options it would stand under their heading.
    /// The command to run, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
    /// The variable that the token is in
    #[arg(
        long,
        value_name = "NAME",
        value_parser = variable,
        help = "The variable that the token is in [default: <PROVIDER>_ACCESS_TOKEN]"
    )]
    env: Option<String>,
    /// How long the token must still live [default: 60s, cut to a tenth of its whole life]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    min_ttl: Option<Duration>,
    #[command(flatten)]
    application: ApplicationArgs,
}

/// A name that every shell can use, of a variable that a token can be in.
fn variable(name: &str) -> Result<String, String> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err("a name has letters, digits and '_', and no digit first".to_owned());
    }
    let vital = VITAL.contains(&name) || VITAL_FAMILIES.iter().any(|family| name.starts_with(family));
    if vital { Err("a token there would change what runs, or how".to_owned()) } else { Ok(name.to_owned()) }
}

/// Runs the command: it takes the place of this process, so that signals and the exit code are its own.
///
/// # Errors
/// Why there is no token, or [`NotRun`].
pub fn run(context: &Context, args: &ExecArgs) -> anyhow::Result<ExitCode> {
    context.format(&[])?;
    let settings = context.settings(Some(&args.application))?;
    let key = context.key(&settings)?;
    let issuer = context.issuer(&settings, &key)?;
    let ttl = args.min_ttl.unwrap_or(settings.min_ttl.value);
    let outcome = context.broker(&settings)?.valid(&key, &issuer, ttl, true)?;
    context.warn_of(&outcome);
    let name = args.env.clone().unwrap_or_else(|| response::variable(&key));
    let replaced = process::replace(&args.command, &name, response::access(&outcome)?);
    let program = args.command.first().map(|program| program.display().to_string()).unwrap_or_default();
    Ok(replaced.map_err(|source| NotRun { program, source })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_that_every_shell_can_use_and_none_that_is_vital() {
        for good in ["T", "_t", "SQUARE_ACCESS_TOKEN", "PATHS", "a1"] {
            assert_eq!(variable(good).as_deref(), Ok(good));
        }
        for bad in ["", "=", "A=B", "1A", "A-B", "A B", "A.B", "É", "A\0", "PATH", "LD_PRELOAD", "TOKMAN_STORE"] {
            assert!(variable(bad).is_err(), "{bad:?}");
        }
    }
}
