//! Questions on a terminal, a line each: they work on every terminal and for those who have a screen read to them.

use std::io;

use crate::exit::Usage;
use crate::output::Printer;

/// The most that is read of an answer, in bytes.
const LIMIT: u64 = 4 << 10;

/// Asks until the answer will do.
pub(super) fn answer<T>(
    printer: Printer,
    question: &str,
    default: Option<&str>,
    check: impl Fn(&str) -> Result<T, String>,
) -> anyhow::Result<T> {
    let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    loop {
        printer.ask(&format!("\n{question}{shown}:"));
        let line = read_line()?;
        let text = if line.is_empty() { default.unwrap_or_default() } else { &line };
        match check(text) {
            _ if text.is_empty() => printer.ask("There has to be one."),
            _ if text.contains(char::is_control) => printer.ask("There is a control character in it."),
            Ok(answer) => return Ok(answer),
            Err(why) => printer.ask(&format!("{why}.")),
        }
    }
}

/// Asks for a yes or a no.
pub(super) fn confirm(printer: Printer, question: &str, default: bool) -> anyhow::Result<bool> {
    let choice = if default { "Y/n" } else { "y/N" };
    printer.ask(&format!("\n{question} [{choice}]"));
    Ok(match read_line()?.as_str() {
        "" => default,
        line => matches!(line, "y" | "Y" | "yes"),
    })
}

/// A line of stdin, trimmed; its end is an error: nobody is there to ask again.
fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    let read = io::BufRead::read_line(&mut io::Read::take(io::stdin().lock(), LIMIT), &mut line);
    if read.map_err(|error| Usage::new(format!("the answer cannot be read: {error}")))? == 0 {
        return Err(Usage::new("nothing was written: the answers ended too soon").into());
    }
    Ok(line.trim().to_owned())
}
