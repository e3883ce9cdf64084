//! Flags: what can be written on the command line, and nothing of what it does.

use clap::Parser;
use clap::builder::styling::{AnsiColor, Style, Styles};

use crate::commands::Command;
use crate::flags::GlobalArgs;

const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Keeps OAuth tokens for Square, Wix and any OAuth 2.0 provider: obtains, refreshes, revokes and prints them, and never loses a grant
#[derive(Debug, Parser)]
#[command(version, styles = STYLES, propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Try it without an account:\n  tokman emulator --demo\n\nExit codes: 0 ok, 2 usage, 3 config, 4 not found, 5 needs login, 6 rejected, 7 try again, 8 store, 9 partial, 10 not saved"
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn has_no_contradiction_in_its_flags() {
        Cli::command().debug_assert();
    }

    #[test]
    fn gives_short_names_to_a_few_options_only() {
        fn shorts(command: &clap::Command, found: &mut Vec<char>) {
            found.extend(command.get_arguments().filter_map(clap::Arg::get_short));
            command.get_subcommands().for_each(|sub| shorts(sub, found));
        }
        let mut found = Vec::new();
        let mut command = Cli::command();
        command.build();
        shorts(&command, &mut found);
        assert!(found.iter().all(|short| "pnoqvhV".contains(*short)), "{found:?}");
    }
}
