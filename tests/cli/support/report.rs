//! What a test says for people to read: figures, and what it could not do on this machine. It is not captured: a
//! skipped test must not look like one that passed.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The tests of this process that were skipped so far.
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Says a figure.
pub fn figure(text: &str) {
    line(&format!("figure: {text}"));
}

/// Says what a test could not do here, and counts it.
pub fn skipped(what: &str, why: &str) {
    let number = SKIPPED.fetch_add(1, Ordering::SeqCst) + 1;
    line(&format!("skipped: {what}: {why}\nskipped so far: {number}"));
}

/// One write, on a line of its own, past the capture of the test harness.
fn line(text: &str) {
    drop(std::io::stdout().lock().write_all(format!("\n{text}\n").as_bytes()));
}
