//! How far a long run is: a bar on a terminal, else a line now and then. Whatever else is written while the bar stands
//! is written above it.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::model::duration;
use crate::ops::bulk::tally::Tally;
use crate::output::Printer;

/// How often a line says how far it is where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// The bar that stands on the terminal just now.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Writes something, with the bar out of the way.
pub fn aside<T>(write: impl FnOnce() -> T) -> T {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Stderr, with the bar out of the way.
#[derive(Debug)]
pub(super) struct Aside;

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nobody is told when stderr takes nothing.
        let _ = aside(|| io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Shows how far a run is, until it is dropped.
#[derive(Debug)]
pub struct Progress {
    printer: Printer,
    /// When it began, and how many keys were to come then; absent before the first look.
    begun: Option<(Instant, usize)>,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Progress that this printer shows.
    #[must_use]
    pub fn new(printer: Printer) -> Self {
        Self { printer, begun: None, said: Instant::now(), bar: None }
    }

    /// Shows how far it is now.
    pub fn look(&mut self, tally: &Tally) {
        let (begun, whole) = *self.begun.get_or_insert_with(|| (Instant::now(), tally.left));
        if self.printer.has_bars() && io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(|| stand(whole));
            bar.set_message(trouble(tally));
            bar.set_position((whole.saturating_sub(tally.left)) as u64);
        } else if self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            self.printer.note(&line(tally, whole, begun.elapsed()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            *BAR.lock().unwrap_or_else(PoisonError::into_inner) = None;
            bar.finish_and_clear();
        }
    }
}

fn stand(whole: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(whole as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len}  {rate}  {eta} left{msg}");
    if let Ok(style) = style {
        let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.1}/s", state.per_sec());
        };
        bar.set_style(style.with_key("rate", rate).progress_chars("█▌░"));
    }
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
    bar
}

fn trouble(tally: &Tally) -> String {
    let bad = tally.failed + tally.needs_login;
    if bad == 0 { String::new() } else { format!("  {bad} failed") }
}

/// `120 of 5000 keys, 40.0/s, about 2m 2s left; 119 refreshed, 1 failed`
fn line(tally: &Tally, whole: usize, elapsed: Duration) -> String {
    let done = whole.saturating_sub(tally.left);
    let mut text = format!("{done} of {whole} keys");
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    if done > 0 {
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
        let left = (tally.left as f64 / rate) as i64;
        let _ = write!(text, ", {rate:.1}/s, about {} left", duration::humane(left));
    }
    let words = tally.words();
    if !words.is_empty() {
        let _ = write!(text, "; {words}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_far_it_is_and_how_long_it_will_take() {
        let tally = Tally { refreshed: 119, failed: 1, left: 4880, ..Tally::default() };
        assert_eq!(
            line(&tally, 5000, Duration::from_secs(3)),
            "120 of 5000 keys, 40.0/s, about 2m 2s left; 119 refreshed, 1 failed"
        );
        let tally = Tally { left: 5, ..Tally::default() };
        assert_eq!(line(&tally, 5, Duration::ZERO), "0 of 5 keys");
    }

    #[test]
    fn writes_while_a_bar_stands_and_after_it_is_gone() {
        let bar = ProgressBar::hidden();
        *BAR.lock().unwrap() = Some(bar);
        assert_eq!(aside(|| 1), 1);
        *BAR.lock().unwrap() = None;
        assert_eq!(aside(|| 2), 2);
    }
}
