//! `tokman doctor`: what a refresh will need, looked at before it is needed.

use std::process::ExitCode;

use clap::Args;

use crate::context::Context;
use crate::exit;
use crate::model::{response, text};
use crate::ops;
use crate::ops::doctor::{self, Doctor, Finding, Verdict};
use crate::output::response::Format;

/// The options of `tokman doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tokman doctor\n  tokman doctor --repair --offline")]
pub struct DoctorArgs {
    /// Close files and directories that are open to others, and remove what dead processes left
    #[arg(long)]
    repair: bool,
    /// Do not try to reach the providers
    #[arg(long)]
    offline: bool,
}

/// Runs the command.
///
/// # Errors
/// Settings that cannot be read, or a check that cannot be made.
pub fn run(context: &Context, args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let format = context.format(&[Format::Json, Format::None])?;
    let (settings, config_file) = doctor::load(&context.global.options(None), args.repair)?;
    let broker = context.broker(&settings)?;
    let doctor = Doctor { settings: &settings, broker: &broker, config_file, repair: args.repair };
    let mut findings = ops::runtime()?.block_on(doctor.examine(!args.offline));
    let place = context.place();
    for hint in findings.iter_mut().filter_map(|finding| finding.hint.as_mut()) {
        *hint = exit::with_place(hint, &place);
    }
    match format {
        Some(Format::Json) => context.printer.line(&response::pretty(&findings))?,
        Some(_) => {}
        None => {
            for finding in &findings {
                context.printer.line(&line(finding))?;
            }
        }
    }
    let problems = findings.iter().filter(|finding| finding.verdict == Verdict::Problem);
    let worst = problems.map(|finding| finding.code as u8).max();
    Ok(worst.map_or(ExitCode::SUCCESS, ExitCode::from))
}

fn line(finding: &Finding) -> String {
    use anstyle::{AnsiColor, Style};
    let (word, color) = match finding.verdict {
        Verdict::Ok => ("ok     ", AnsiColor::Green),
        Verdict::Mended => ("mended ", AnsiColor::Cyan),
        Verdict::Warning => ("warning", AnsiColor::Yellow),
        Verdict::Problem => ("problem", AnsiColor::Red),
    };
    let style = Style::new().fg_color(Some(color.into())).bold();
    let mut line =
        format!("{style}{word}{style:#}  {}: {}", text::escape(&finding.what, 300), text::escape(&finding.found, 600));
    if let Some(hint) = &finding.hint {
        line.push_str("\n         hint: ");
        line.push_str(&text::escape(hint, 600));
    }
    line
}
