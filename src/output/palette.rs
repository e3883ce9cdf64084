//! The colours of what is printed for people. Each stands beside a word that says the same.

use anstyle::{AnsiColor, Style};

use crate::ops::health::State;

/// Headers, and what begins a line.
pub const TITLE: Style = Style::new().bold();
/// What went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What will need something soon.
pub const SOON: Style = AnsiColor::Yellow.on_default();
/// What did not go well.
pub const BAD: Style = AnsiColor::Red.on_default();
/// What a person has to look after.
pub const URGENT: Style = BAD.bold();
/// What nobody knows for certain.
pub const DOUBT: Style = AnsiColor::Magenta.on_default();
/// What is read last.
pub const FAINT: Style = Style::new().dimmed();
/// What stands out from nothing.
pub const PLAIN: Style = Style::new();

/// The colour of a state.
#[must_use]
pub const fn of_state(state: State) -> Style {
    match state {
        State::Fresh => GOOD,
        State::Expiring => SOON,
        State::Expired => BAD,
        State::NeedsLogin => URGENT,
        State::InDoubt => DOUBT,
        State::Unknown => FAINT,
    }
}
