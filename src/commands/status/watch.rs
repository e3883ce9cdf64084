//! `status --watch`: a summary and the table, again and again in the same place. The cursor stays where it can be seen
//! and no other screen is used: whatever ends tokman, the terminal is as it was.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use super::Show;
use crate::context::Context;
use crate::exit::Usage;
use crate::ops::Error;
use crate::ops::health::{State, Tally};
use crate::ops::signals::Interrupt;
use crate::output::palette;
use crate::output::response::Format;
use crate::output::table::{self, Pages};
use crate::output::terminal::{self, Size};

/// The lines that are no rows: the summary, a blank one, the header, what is left out, the cursor's.
const AROUND: usize = 5;

/// The size of a terminal that does not tell it.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// Shows what is stored until somebody has seen enough.
#[derive(Debug)]
pub(super) struct Watch {
    interval: Duration,
    interrupt: Interrupt,
}

impl Watch {
    /// Begins to listen for Ctrl-C.
    ///
    /// # Errors
    /// Where nobody can look, or the system takes no handlers.
    pub(super) fn new(context: &Context, format: Option<Format>, interval: Duration) -> anyhow::Result<Self> {
        if format.is_some() || context.global.quiet {
            return Err(Usage::new("--watch shows a table, without -o and -q").hint("tokman status --watch").into());
        }
        if !io::stdout().is_terminal() {
            return Err(Usage::new("--watch is for a terminal").hint("tokman status -o json").into());
        }
        let interrupt = Interrupt::listen().map_err(|error| Error::System(format!("cannot await Ctrl-C: {error}")))?;
        Ok(Self { interval, interrupt })
    }

    /// Runs until Ctrl-C. A store that fails later may come back: that is shown, and it is asked again.
    ///
    /// # Errors
    /// A store that cannot be listed to begin with, a terminal that takes nothing more.
    pub(super) async fn run(self, show: &mut Show<'_>) -> anyhow::Result<ExitCode> {
        let printer = show.context.printer;
        let mut before = String::new();
        loop {
            show.now = show.context.clock.now();
            let size = terminal::of_stdout().unwrap_or(USUAL);
            let frame = match show.frame(size, self.interval).await {
                Err(error) if !before.is_empty() => {
                    format!("{}\n{before}", table::cut(&format!("error: {error}"), size.columns))
                }
                frame => {
                    before = frame?;
                    before.clone()
                }
            };
            let frame: Vec<&str> = frame.lines().take(size.rows.saturating_sub(1)).collect();
            if !printer.screen(&frame.join("\n"))? || self.interrupt.came_within(self.interval) {
                break;
            }
        }
        // Where the terminal showed ^C, the prompt comes next.
        printer.control("\r\x1b[K")?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Show<'_> {
    /// What a terminal of this size shows now. Rows that there is no room for are counted only.
    async fn frame(&self, size: Size, interval: Duration) -> Result<String, Error> {
        let look = self.look();
        let mut pages = Pages::new(look.columns(), Some(size.columns));
        let (mut tally, mut table, mut left_out) = (Tally::default(), String::new(), 0_u64);
        let mut selected = self.broker.select(&self.selection).await?;
        while let Some(listed) = selected.next().await? {
            if !self.wants(&listed) {
                continue;
            }
            tally.add(State::of(&listed, self.now));
            if tally.all() > u64::try_from(size.rows.saturating_sub(AROUND)).unwrap_or(u64::MAX) {
                left_out += 1;
            } else if let Some(page) = pages.push(look.row(&listed, None)) {
                table.push_str(&page);
                table.push('\n');
            }
        }
        if tally.all() > 0 {
            table.push_str(&pages.end().unwrap_or_default());
        }
        if left_out > 0 {
            let _ = write!(table, "\n… and {left_out} more: narrow it with -p, -n or --only");
        }
        let every = format!("{:.0}, every {} s, Ctrl-C ends", self.now, interval.as_secs());
        Ok(format!("{}\n\n{table}", summary(&tally, &every, size.columns)))
    }
}

/// `12 tokens: 10 fresh, 1 expired, 1 needs_login`, and what is read last where there is room for it.
fn summary(tally: &Tally, rest: &str, width: usize) -> String {
    let all = tally.all();
    let mut plain = format!("{all} token{}", if all == 1 { "" } else { "s" });
    let mut colored = plain.clone();
    for (nth, (state, count)) in tally.states().enumerate() {
        let (between, style) = (if nth == 0 { ": " } else { ", " }, palette::of_state(state));
        let word = format!("{count} {}", state.as_str());
        // Writing into a string cannot fail.
        let _ = write!(plain, "{between}{word}");
        let _ = write!(colored, "{between}{style}{word}{style:#}");
    }
    let length = plain.chars().count();
    let blanks = width.saturating_sub(length + rest.chars().count());
    if length > width {
        table::cut(&plain, width)
    } else if blanks < 2 {
        colored
    } else {
        format!("{colored}{}{faint}{rest}{faint:#}", " ".repeat(blanks), faint = palette::FAINT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_many_there_are_and_then_how_they_are() {
        let mut tally = Tally::default();
        let plain = |tally: &Tally, width| anstream::adapter::strip_str(&summary(tally, "now", width)).to_string();
        assert_eq!(plain(&tally, 80).split_whitespace().collect::<Vec<_>>(), ["0", "tokens", "now"]);
        tally.add(State::Expired);
        assert_eq!(plain(&tally, 20), "1 token: 1 expired");
        (0..11).for_each(|_| tally.add(State::Fresh));
        assert_eq!(plain(&tally, 36), "12 tokens: 11 fresh, 1 expired   now");
        assert_eq!(plain(&tally, 20), "12 tokens: 11 fresh…");
    }
}
