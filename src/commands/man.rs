//! `tokman man`: manual pages, from the same definitions as the help.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command, ValueHint};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::config::ConfigError;
use crate::context::Context;
use crate::exit::Usage;
use crate::fsutil;

/// The options of `tokman man`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman man | man -l -\n  tokman man ~/.local/share/man/man1    # then: man tokman-obtain"
)]
pub struct ManArgs {
    /// A directory for the pages of tokman and of every command; made where it is not there
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// What stdout or the directory refused.
pub fn run(context: &Context, args: &ManArgs) -> anyhow::Result<ExitCode> {
    context.format(&[])?;
    let mut command = (context.definition)();
    command.build();
    let Some(dir) = &args.dir else {
        context.printer.essential(page(&command)?.1.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    };
    if dir.exists() && !dir.is_dir() {
        return Err(Usage::new(format!("{} is no directory", dir.display())).into());
    }
    fsutil::make_public_dir(dir).map_err(ConfigError::from)?;
    let mut waiting = vec![&command];
    while let Some(command) = waiting.pop() {
        let (name, text) = page(command)?;
        fsutil::write_public(&dir.join(name), text.as_bytes()).map_err(ConfigError::from)?;
        waiting.extend(command.get_subcommands().filter(|sub| is_documented(sub)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Not clap's own `help` of a command with commands below it.
fn is_documented(command: &Command) -> bool {
    command.get_name() != "help" || command.get_display_name() == Some("tokman-help")
}

/// The file name and the text of a command's page.
fn page(command: &Command) -> anyhow::Result<(String, String)> {
    // One line: every option of every command would be listed else.
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let man = Man::new(command.clone().override_usage(usage))
        .source(concat!("tokman ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut bytes = Vec::new();
    let rendered = (|| -> io::Result<()> {
        man.render_title(&mut bytes)?;
        man.render_name_section(&mut bytes)?;
        man.render_synopsis_section(&mut bytes)?;
        man.render_description_section(&mut bytes)?;
        man.render_options_section(&mut bytes)?;
        if command.get_subcommands().any(is_documented) {
            man.render_subcommands_section(&mut bytes)?;
        }
        end(command).to_writer(&mut bytes)
    })();
    rendered.context("cannot write the page")?;
    Ok((man.get_filename(), in_ascii(&String::from_utf8_lossy(&bytes))))
}

/// With roff's own names of characters: not every roff reads UTF-8.
fn in_ascii(text: &str) -> String {
    let escape = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    text.chars().map(escape).collect()
}

/// The examples of the help, line by line, and where else to look.
fn end(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let examples = after.strip_prefix("Examples:\n").or_else(|| after.strip_prefix("Example:\n"));
    if !after.is_empty() {
        roff.control("SH", [if examples.is_some() { "EXAMPLES" } else { "NOTES" }]);
        roff.control("nf", []);
        for line in examples.unwrap_or(&after).lines() {
            let line = if examples.is_some() { line.trim_start() } else { line };
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff.control("SH", ["SEE ALSO"]);
    let is_root = command.get_display_name().is_none_or(|name| name == "tokman");
    roff.text([roman(if is_root {
        "tokman-COMMAND(1) for each command; tokman help exit-codes, files, cron, ci."
    } else {
        "tokman(1); tokman help exit-codes, files, cron, ci."
    })]);
    roff
}
