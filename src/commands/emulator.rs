//! `tokman emulator`: a local Square, Wix and OAuth 2.0 provider, for trials and tests.

mod child;
mod demo;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueHint};

use crate::context::Context;
use crate::emulator::{Emulator, Options};
use crate::env;
use crate::exit::{NotRun, Usage};
use crate::fsutil::{self, FsError};
use crate::model::duration;
use crate::ops;
use child::{Signals, exit_code};

/// The port where no other is asked for and nobody else has to know it.
const PORT: u16 = 8918;

/// The options of `tokman emulator`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman emulator --demo\n  tokman emulator --auto-approve -- sh -c 'tokman token -p wix'\n  tokman emulator --port 9000 --expires-in 60s --fail-rate 0.2"
)]
pub struct EmulatorArgs {
    /// The port on 127.0.0.1; 0 takes any that is free [default: 8918, with a command or --demo any]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Consent without showing a page
    #[arg(long)]
    auto_approve: bool,
    /// Hold every answer back for this long
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "0s", hide_default_value = true)]
    latency: Duration,
    /// The life of every access token, instead of the providers' own
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires_in: Option<Duration>,
    /// Replace every refresh token at each use
    #[arg(long)]
    rotate: bool,
    /// The share of requests that are answered with 503
    #[arg(long, value_name = "0..1", value_parser = share, default_value = "0", hide_default_value = true)]
    fail_rate: f64,
    /// Walk through obtain, refresh, renew, token, status and revoke against it
    #[arg(long, conflicts_with = "command")]
    demo: bool,
    /// A command to run in the emulator's environment
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a number from 0 to 1".to_owned())
}

/// Runs the command.
///
/// # Errors
/// Where the port is taken, or the command cannot be run.
pub fn run(context: &Context, args: &EmulatorArgs) -> anyhow::Result<ExitCode> {
    context.format(&[])?;
    let alone = args.command.is_empty() && !args.demo;
    let options = Options {
        port: args.port.unwrap_or(if alone { PORT } else { 0 }),
        auto_approve: args.auto_approve || args.demo,
        latency: args.latency,
        expires_in: args.expires_in,
        rotate: args.rotate,
        fail_rate: args.fail_rate,
    };
    let runtime = ops::runtime()?;
    let bound = runtime.block_on(Emulator::bind(options, Arc::clone(&context.clock)));
    let emulator = bound.map_err(|error| {
        let error = anyhow::Error::from(error);
        Usage::new(format!("{error:#}")).hint("tokman emulator --port 0    # any port that is free")
    })?;
    let (environment, issuer) = (emulator.environment(), emulator.issuer());
    if alone {
        for (name, value) in &environment {
            context.printer.essential(&format!("{name}={value}"))?;
        }
        context.printer.note(&format!("Serving on http://{} until it is stopped (Ctrl-C).", emulator.address()));
        runtime.block_on(emulator.serve())?;
        return Ok(ExitCode::SUCCESS);
    }
    // The server has this thread's runtime to itself; what talks to it waits in the main thread.
    std::thread::spawn(move || {
        if let Err(error) = runtime.block_on(emulator.serve()) {
            log::error!("the emulator ended: {error}");
        }
    });
    let home =
        tempfile::Builder::new().prefix("tokman-emulator-").tempdir().context("cannot make a temporary directory")?;
    configure(home.path(), &issuer)?;
    if args.demo {
        return demo::run(context, &environment, home.path());
    }
    let Some((program, rest)) = args.command.split_first() else {
        return Ok(ExitCode::SUCCESS);
    };
    // Signals are the command's to honour: the temporary directory goes away after it.
    let signals = Signals::hold()?;
    let mut command = Command::new(program);
    command.args(rest);
    in_environment(&mut command, &environment, home.path());
    let spawned = command.spawn();
    let mut child = spawned.map_err(|source| NotRun { program: program.display().to_string(), source })?;
    signals.hand_on(&child);
    let status = child.wait()?;
    Ok(exit_code(status))
}

/// Where the settings and tokens of a run are.
fn config_dir(home: &Path) -> PathBuf {
    home.join("config")
}

/// Writes the config file in which the provider `acme` is the emulator's. Square and Wix need none.
fn configure(home: &Path, issuer: &str) -> Result<(), FsError> {
    let directory = config_dir(home);
    fsutil::make_private_dir(&directory)?;
    let text = format!("[provider.acme]\nkind = \"oauth2\"\nissuer = \"{issuer}\"\n");
    fsutil::create_private(&directory.join("config.toml"), text.as_bytes(), false)?;
    Ok(())
}

/// Gives a command the emulator's environment, and nothing of the settings that tokman has otherwise.
fn in_environment(command: &mut Command, environment: &[(&'static str, String)], home: &Path) {
    for name in env::our_names() {
        command.env_remove(name);
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.env(env::CONFIG_DIR, config_dir(home));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_a_command_a_private_config_file_that_names_the_issuer() {
        let home = tempfile::tempdir().unwrap();
        configure(home.path(), "http://127.0.0.1:1/acme").unwrap();
        let file = home.path().join("config/config.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let provider = &text.parse::<toml::Table>().unwrap()["provider"]["acme"];
        assert_eq!(provider["kind"].as_str(), Some("oauth2"));
        assert_eq!(provider["issuer"].as_str(), Some("http://127.0.0.1:1/acme"));
        assert!(fsutil::read_private(&file, 1000).unwrap().is_some(), "nobody else can read it");
    }
}
