//! `tokman help`: the help of a command, or a page about something that is no command.

use std::process::ExitCode;

use clap::{Args, Subcommand as _};
use clap_complete::{ArgValueCandidates, CompletionCandidate};

use crate::context::Context;
use crate::exit::Usage;
use crate::flags::complete;
use crate::model::text;

#[cfg(feature = "emulator")]
const CI: &str = concat!(include_str!("help/ci.txt"), include_str!("help/ci-emulator.txt"));
#[cfg(not(feature = "emulator"))]
const CI: &str = include_str!("help/ci.txt");

/// The pages: name, what it is about, text.
const TOPICS: [(&str, &str, &str); 4] = [
    ("exit-codes", "what each exit code means, and who has to act", include_str!("help/exit-codes.txt")),
    ("files", "where settings and tokens are, and what is in them", include_str!("help/files.txt")),
    ("cron", "keeping tokens fresh by cron or a systemd timer", include_str!("help/cron.txt")),
    ("ci", "tokens in CI jobs", CI),
];

/// The options of `tokman help`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tokman help obtain\n  tokman help exit-codes\n  tokman help config init")]
pub struct HelpArgs {
    /// A command, or one of: exit-codes, files, cron, ci
    #[arg(value_name = "COMMAND|TOPIC", add = ArgValueCandidates::new(topics))]
    about: Vec<String>,
}

/// What there is help about: commands and pages, or behind a command the ones below it.
fn topics() -> Vec<CompletionCandidate> {
    let line = complete::words();
    let before = line.iter().skip_while(|word| *word != "help").skip(1);
    let before: Vec<&String> = before.filter(|word| !word.starts_with('-')).collect();
    let above = before.split_last().map_or(&[][..], |(_, above)| above);
    let mut command = super::Command::augment_subcommands(clap::Command::new("tokman"));
    for word in above {
        match command.find_subcommand(word) {
            Some(found) => command = found.clone(),
            None => return Vec::new(),
        }
    }
    let commands =
        command.get_subcommands().map(|sub| CompletionCandidate::new(sub.get_name()).help(sub.get_about().cloned()));
    let pages = TOPICS.iter().filter(|_| above.is_empty());
    let pages = pages.map(|(name, about, _)| CompletionCandidate::new(*name).help(Some((*about).into())));
    commands.chain(pages).collect()
}

/// Runs the command.
///
/// # Errors
/// What there is no help about, or what stdout refused.
pub fn run(context: &Context, args: &HelpArgs) -> anyhow::Result<ExitCode> {
    context.format(&[])?;
    if let [topic] = args.about.as_slice()
        && let Some((_, _, page)) = TOPICS.iter().find(|(name, _, _)| name == topic)
    {
        context.printer.essential(page.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut command = (context.definition)();
    command.build();
    let mut found = &mut command;
    for (depth, word) in args.about.iter().enumerate() {
        let mut known: Vec<String> = found.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        if depth == 0 {
            known.extend(TOPICS.iter().map(|(name, _, _)| (*name).to_owned()));
        }
        found = found.find_subcommand_mut(word).ok_or_else(|| nothing_about(word, &known))?;
    }
    context.printer.essential(found.render_long_help().ansi().to_string().trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn nothing_about(word: &str, known: &[String]) -> Usage {
    let what = format!("there is no help about '{}'", text::escape(word, 60));
    match text::nearest(word, known.iter().map(String::as_str)) {
        Some(meant) => Usage::new(format!("{what}; did you mean '{meant}'?")).hint("tokman help"),
        None if known.is_empty() => Usage::new(format!("{what}: that command has no others")).hint("tokman help"),
        None => Usage::new(format!("{what}; there is {}", known.join(", "))).hint("tokman help"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Code;

    #[test]
    fn explains_every_exit_code_by_its_number_and_its_name() {
        use Code::{
            Config, Internal, NeedsLogin, NoCommand, NotExecutable, NotFound, NotSaved, Partial, Rejected, Store,
            TryAgain, Usage,
        };
        let page = TOPICS[0].2;
        for code in [
            Internal,
            Usage,
            Config,
            NotFound,
            NeedsLogin,
            Rejected,
            TryAgain,
            Store,
            Partial,
            NotSaved,
            NotExecutable,
            NoCommand,
        ] {
            let line = page.lines().find(|line| line.trim_start().starts_with(&format!("{} ", code as u8)));
            assert!(line.is_some_and(|line| line.contains(code.name())), "{code:?}");
        }
    }

    #[test]
    fn fits_a_page_on_a_narrow_terminal() {
        for (name, _, page) in TOPICS {
            assert!(page.lines().all(|line| line.chars().count() <= 80), "{name}");
            assert!(page.lines().count() <= 60, "{name}");
        }
    }
}
