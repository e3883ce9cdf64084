//! What `tokman refresh --all` prints: a line or an object for each key, and how far it is.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::context::Context;
use crate::exit::with_place;
use crate::model::{Clock, duration, text};
use crate::ops::bulk::Watcher;
use crate::ops::bulk::tally::{Fate, KeyReport, Tally};
use crate::output::progress::Progress;
use crate::output::response::Format;
use crate::output::{OutputError, Printer};

/// One key, as `-o json` prints it. The names are public.
#[derive(Debug, Serialize)]
struct KeyView<'a> {
    key: String,
    outcome: Fate,
    expires_at: Option<Timestamp>,
    error: Option<&'a str>,
}

/// Prints a line for each key.
#[derive(Debug)]
pub(super) struct Lines {
    printer: Printer,
    format: Option<Format>,
    clock: Arc<dyn Clock>,
    /// The options that a command needs to be about the same store.
    place: String,
    progress: Progress,
    /// Stdout took nothing more. The keys are refreshed all the same.
    failed: Option<OutputError>,
}

impl Lines {
    /// Lines in this form.
    pub(super) fn new(context: &Context, format: Option<Format>) -> Self {
        let (printer, clock, place) = (context.printer, Arc::clone(&context.clock), context.place());
        Self { printer, format, clock, place, progress: Progress::new(printer), failed: None }
    }

    /// Shows no more progress; the error, where stdout did not take every line.
    pub(super) fn end(self) -> Option<OutputError> {
        self.failed
    }
}

impl Watcher for Lines {
    fn key(&mut self, report: &KeyReport) {
        let error = report.error.as_deref().map(|error| with_place(error, &self.place));
        let report = &KeyReport { error, ..report.clone() };
        // Whoever reads no list reads what needs somebody.
        let is_listed = !self.printer.is_quiet() && matches!(self.format, Some(Format::Json) | None);
        let said = report.error.as_deref().unwrap_or_default();
        if report.rescued || (self.printer.is_quiet() && is_bad(report)) {
            log::error!("{}: {said}", report.key);
        } else if !is_listed && is_bad(report) {
            log::warn!("{}: {said}", report.key);
        }
        let printed = match self.format {
            Some(Format::Json) => {
                let KeyReport { key, fate, expires_at, error, .. } = report;
                let view =
                    KeyView { key: key.to_string(), outcome: *fate, expires_at: *expires_at, error: error.as_deref() };
                self.printer.line(&serde_json::to_string(&view).unwrap_or_default())
            }
            Some(_) => Ok(()),
            None => self.printer.line(&line(report, self.clock.now())),
        };
        if let Err(error) = printed {
            self.failed.get_or_insert(error);
        }
    }

    fn look(&mut self, tally: &Tally) {
        self.progress.look(tally);
    }
}

fn is_bad(report: &KeyReport) -> bool {
    matches!(report.fate, Fate::Failed | Fate::NeedsLogin)
}

/// `square/shop-1  refreshed  ends in 29d 23h`
fn line(report: &KeyReport, now: Timestamp) -> String {
    let left = |end: Timestamp| match end.duration_since(now).as_secs() {
        left @ 1.. => format!("ends in {}", duration::humane(left)),
        ago => format!("ended {} ago", duration::humane(-ago)),
    };
    let said = report.error.as_deref().map(|error| text::escape(error, 1000));
    let said = said.or_else(|| report.expires_at.map(left)).unwrap_or_default();
    format!("{}  {}  {said}", report.key, report.fate.as_str()).trim_end().to_owned()
}
