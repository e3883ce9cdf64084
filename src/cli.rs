//! Flags: what can be written on the command line, and nothing of what it does.

use std::ffi::OsString;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Args as _, FromArgMatches as _, Parser};

use crate::commands::Command;
use crate::commands::token::TokenArgs;
use crate::flags::GlobalArgs;

const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Keeps OAuth tokens for Square, Wix and any OAuth 2.0 provider: obtains, refreshes, revokes and prints them, and never loses a grant
#[derive(Debug, Parser)]
#[command(version, styles = STYLES, propagate_version = true, subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(
    after_help = "Try it without an account:\n  tokman emulator --demo\n\nMore help:\n  tokman help COMMAND       a command\n  tokman help exit-codes    what each exit code means, and who has to act\n  tokman help files         where settings and tokens are, and what is in them\n  tokman help cron          keeping tokens fresh by cron or a systemd timer\n  tokman help ci            tokens in CI jobs"
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses a command line.
    ///
    /// # Errors
    /// What clap has to say: what is wrong, or the help that was asked for.
    pub fn read(args: &[OsString]) -> Result<Self, clap::Error> {
        Self::read_token(args).map_or_else(|| Self::try_parse_from(args), Ok)
    }

    /// Parses a command line that begins with `token`, which runs more often than all others, without the definitions
    /// of the others: they take longer to put together than a stored token to print. `None` for every other one and
    /// wherever clap has something to say: then the whole definition says it.
    fn read_token(args: &[OsString]) -> Option<Self> {
        const TOKEN: &str = "token";
        args.get(1).filter(|verb| *verb == TOKEN)?;
        let token = TokenArgs::augment_args(clap::Command::new(TOKEN));
        let root = GlobalArgs::augment_args(clap::Command::new("tokman")).subcommand(token);
        Self::from_arg_matches(&root.try_get_matches_from(args).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn has_no_contradiction_in_its_flags() {
        Cli::command().debug_assert();
    }

    /// Every command with its words, as `["config", "init"]`.
    fn commands(command: &clap::Command, words: &[String], found: &mut Vec<(Vec<String>, clap::Command)>) {
        for sub in command.get_subcommands() {
            let words = [words, &[sub.get_name().to_owned()]].concat();
            commands(sub, &words, found);
            found.push((words, sub.clone()));
        }
    }

    /// The words of an example, as a shell would have them: no quotes, no comment, no pipe, nothing behind `$(…)`.
    fn words(example: &str) -> Vec<String> {
        let mut words = Vec::new();
        for word in example.split_whitespace().take_while(|word| !matches!(*word, "|" | "<" | ">" | ">>" | "#")) {
            words.push(word.trim_matches(['\'', '"', ')']).to_owned());
            if word.contains(')') {
                break;
            }
        }
        words
    }

    #[test]
    fn shows_examples_of_every_command_and_each_can_be_run() {
        let mut found = Vec::new();
        commands(&Cli::command(), &[], &mut found);
        for (name, command) in found {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let Some(examples) = help.strip_prefix("Examples:\n") else { panic!("{name:?} has no examples: {help}") };
            assert!((2..=6).contains(&examples.lines().count()), "{name:?} has two or three examples");
            for example in examples.lines() {
                let example = example.strip_prefix("  ").unwrap();
                let Some((_, ours)) = example.split_once("tokman ") else { panic!("{example}") };
                let parsed = Cli::try_parse_from([vec!["tokman".to_owned()], words(ours)].concat());
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            }
        }
    }

    #[test]
    fn names_no_command_in_a_page_that_cannot_be_run() {
        for page in [
            include_str!("commands/help/exit-codes.txt"),
            include_str!("commands/help/files.txt"),
            include_str!("commands/help/cron.txt"),
            include_str!("commands/help/ci.txt"),
        ] {
            let is_command = |before: &str| {
                let ends = ["$(", "run:", "* * *", "/usr/bin/"];
                before.is_empty() || ends.into_iter().any(|end| before.ends_with(end))
            };
            let lines = page.lines().filter_map(|line| line.split_once("tokman "));
            let lines = lines.filter(|(before, _)| before.starts_with("  ") && is_command(before.trim()));
            let mut seen = 0;
            for (_, line) in lines {
                // After two blanks there is a remark.
                let ours = words(line.split("  ").next().unwrap_or_default());
                let ours = ours.split(|word| word == "||").next().unwrap_or_default().to_vec();
                let parsed = Cli::try_parse_from([vec!["tokman".to_owned()], ours].concat());
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                seen += 1;
            }
            assert!(seen > 0, "{page}");
        }
    }

    #[test]
    fn reads_token_alone_as_it_would_among_all_commands() {
        for line in [
            "token",
            "token -p square -n shop -qo json",
            "token --provider=square --min-ttl 5m --no-refresh",
            "token -o env --shell fish -vv --color never --timeout 5s --log-format json",
            "token --config-dir /c --store file:/s --client-id x --client-secret-file - --instance-id i",
            "token --environment sandbox",
        ] {
            let args: Vec<OsString> = ["tokman"].into_iter().chain(line.split(' ')).map(OsString::from).collect();
            let quick = Cli::read_token(&args).unwrap();
            assert_eq!(format!("{quick:?}"), format!("{:?}", Cli::try_parse_from(&args).unwrap()), "{line}");
        }
        for line in [
            "-p square token",
            "status",
            "tokens",
            "token --help",
            "token -h",
            "token --version",
            "token --no-such-option",
            "token -q -v",
            "token x",
            "help token",
        ] {
            let args: Vec<OsString> = ["tokman"].into_iter().chain(line.split(' ')).map(OsString::from).collect();
            assert!(Cli::read_token(&args).is_none(), "{line}");
        }
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
