//! Flags: what can be written on the command line, and nothing of what it does.

use std::ffi::OsString;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Parser, ValueEnum as _};

use crate::commands::Command;
use crate::commands::token::TokenArgs;
use crate::flags::GlobalArgs;
use crate::output::response::Format;

const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// What whoever has just installed tokman does with it.
const FIRST_STEP: &str = if cfg!(feature = "emulator") {
    "Try it without an account:\n  tokman emulator --demo"
} else {
    "Begin with a config file:\n  tokman config init"
};

const MORE_HELP: &str = "\
More help:
  tokman help COMMAND       a command
  tokman help exit-codes    what each exit code means, and who has to act
  tokman help files         where settings and tokens are, and what is in them
  tokman help cron          keeping tokens fresh by cron or a systemd timer
  tokman help ci            tokens in CI jobs";

/// Keeps OAuth tokens for Square, Wix and any OAuth 2.0 provider: obtains, refreshes, revokes and prints them, and never loses a grant
#[derive(Debug, Parser)]
#[command(version, styles = STYLES, propagate_version = true, subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = format!("{FIRST_STEP}\n\n{MORE_HELP}"))]
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

    /// Reads the line that runs more often than all others without putting any definition together: `token`, and at
    /// most a provider, a profile and a format, each once and in a word of its own. `None` for every other line.
    fn read_token(args: &[OsString]) -> Option<Self> {
        let (first, options) = args.get(1..)?.split_first()?;
        let mut global = GlobalArgs::default();
        if first != "token" || options.len() % 2 != 0 {
            return None;
        }
        for pair in options.chunks_exact(2) {
            let [name, value] = pair else { return None };
            let value = value.to_str().filter(|value| !value.starts_with('-'))?;
            let taken = match name.to_str()? {
                "-p" | "--provider" => global.provider.replace(value.to_owned()).is_some(),
                "-n" | "--profile" => global.profile.replace(value.to_owned()).is_some(),
                "-o" | "--output" => global.output.replace(Format::from_str(value, false).ok()?).is_some(),
                _ => return None,
            };
            if taken {
                return None;
            }
        }
        Some(Self { global, command: Command::Token(TokenArgs::default()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use proptest::prelude::*;

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
            assert!((2..=6).contains(&examples.lines().count()), "{name:?} has two to six examples");
            for example in examples.lines() {
                let example = example.strip_prefix("  ").unwrap();
                assert!(example.chars().count() <= 78, "wrapped at 80 columns, it cannot be pasted: {example}");
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
            #[cfg(feature = "emulator")]
            include_str!("commands/help/ci-emulator.txt"),
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

    proptest! {
        #[test]
        fn reads_a_plain_token_line_as_clap_does(line in prop::collection::vec(prop::sample::select(vec![
            "token", "-p", "--provider", "-n", "--profile", "-o", "--output", "square", "wix", "json", "header", "none",
            "tokens", "-", "--", "", "-q", "-pwix", "--provider=wix", "--help", "-h", "--no-refresh", "JSON", "a b",
        ]), 0..7), begins in any::<bool>()) {
            let verb = begins.then_some("token");
            let args: Vec<OsString> = ["tokman"].into_iter().chain(verb).chain(line).map(OsString::from).collect();
            if let Some(quick) = Cli::read_token(&args) {
                let clap = Cli::try_parse_from(&args);
                prop_assert!(clap.is_ok(), "{args:?}");
                prop_assert_eq!(format!("{quick:?}"), format!("{:?}", clap.unwrap()));
            }
        }
    }

    #[test]
    fn reads_the_plain_token_lines_itself_and_no_others() {
        let quick = |line: &str| {
            let args: Vec<OsString> = ["tokman"].into_iter().chain(line.split(' ')).map(OsString::from).collect();
            Cli::read_token(&args).is_some()
        };
        for line in ["token", "token -p square", "token --provider wix -n shop -o header"] {
            assert!(quick(line), "{line}");
        }
        for line in ["-p square token", "tokens", "token --help", "token -p", "token x", "token -p a -p b", "token -q"]
        {
            assert!(!quick(line), "{line}");
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
