//! `tokman completions`: what a shell needs to complete command lines of tokman.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::context::Context;
use crate::env;

/// The options of `tokman completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  echo 'source <(tokman completions bash)' >> ~/.bashrc\n  echo 'source <(tokman completions zsh)' >> ~/.zshrc    # after compinit\n  tokman completions fish | source                          # in config.fish\n  tokman completions powershell | Out-String | iex          # in $PROFILE\n  eval (tokman completions elvish | slurp)                  # in rc.elv"
)]
pub struct CompletionsArgs {
    /// The shell: bash, zsh, fish, powershell or elvish
    #[arg(value_enum, hide_possible_values = true)]
    shell: Shell,
}

/// The shells that can be helped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
    /// PowerShell
    #[value(alias = "pwsh")]
    Powershell,
    /// Elvish
    Elvish,
}

impl Shell {
    const fn completer(self) -> &'static dyn EnvCompleter {
        match self {
            Self::Bash => &Bash,
            Self::Zsh => &Zsh,
            Self::Fish => &Fish,
            Self::Powershell => &Powershell,
            Self::Elvish => &Elvish,
        }
    }
}

/// Runs the command. The script asks the tokman that it finds in `PATH`, which may be a later one.
///
/// # Errors
/// What stdout refused.
pub fn run(context: &Context, args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    context.format(&[])?;
    let mut script = Vec::new();
    let written = args.shell.completer().write_registration(env::COMPLETE, "tokman", "tokman", "tokman", &mut script);
    written.context("cannot write the script")?;
    context.printer.essential(String::from_utf8_lossy(&script).trim())?;
    Ok(ExitCode::SUCCESS)
}
