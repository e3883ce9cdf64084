//! What a database's refusals mean: whether they will pass, or somebody has to act.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::{Error, SqlState};

use crate::model::text::escape;
use crate::store::StoreError;

/// The longest text of a server that is shown, in characters.
const MAX: usize = 300;

/// Why a statement did not do what it should.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The tables are not there: nothing was ever stored.
    NoTables,
    /// Anything else.
    Store(StoreError),
}

impl Trouble {
    /// Whether it is worth trying again.
    pub(super) const fn passes(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unreachable { .. }))
    }

    /// The error of somebody who needs the tables.
    pub(super) fn or_refused(self, place: &str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::NoTables => refused(place, "tokman's tables are gone"),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Takes an error of the client apart.
pub(super) fn trouble(place: &str, error: &Error) -> Trouble {
    if let Some(said) = error.as_db_error() {
        let state = said.code();
        if *state == SqlState::UNDEFINED_TABLE || *state == SqlState::INVALID_SCHEMA_NAME {
            return Trouble::NoTables;
        }
        // The detail and the statement stay out: they can repeat what was bound.
        let why = format!("{} ({})", escape(said.message(), MAX), state.code());
        return Trouble::Store(if will_pass(state) { unreachable_at(place, &why) } else { refused(place, &why) });
    }
    let why = words(error);
    let refuses = error.source().is_some_and(is_refusal) || why.contains("server does not support TLS");
    let lacks = why.contains("password missing") || why.contains("unsupported authentication");
    Trouble::Store(if refuses || lacks { refused(place, &why) } else { unreachable_at(place, &why) })
}

/// Whether the same statement may be answered a little later.
fn will_pass(state: &SqlState) -> bool {
    // Connections, shutdown and recovery, too many clients, deadlocks, a statement that was cancelled.
    const CLASSES: [&str; 2] = ["08", "40"];
    const STATES: [&str; 7] = ["57P01", "57P02", "57P03", "57P05", "57014", "53300", "55P03"];
    CLASSES.iter().any(|class| state.code().starts_with(class)) || STATES.contains(&state.code())
}

/// Whether TLS itself says no: a certificate that is not trusted, or of another name.
fn is_refusal(source: &(dyn std::error::Error + 'static)) -> bool {
    let inner = source.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.is_some_and(|inner| {
        matches!(inner.downcast_ref(), Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)))
    })
}

/// An error and its causes in a line.
fn words(error: &Error) -> String {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_says = cause.to_string();
        if !why.contains(&cause_says) {
            why = format!("{why}: {cause_says}");
        }
        source = cause.source();
    }
    escape(&why, MAX)
}

/// It cannot be reached just now.
pub(super) fn unreachable_at(place: &str, why: &str) -> StoreError {
    StoreError::Unreachable { place: place.to_owned(), why: why.to_owned() }
}

/// It was reached and does not do what is asked.
pub(super) fn refused(place: &str, why: &str) -> StoreError {
    StoreError::Refused { place: place.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_will_pass() {
        for (code, passes) in [
            ("08006", true),
            ("08P01", true),
            ("57P01", true),
            ("57P03", true),
            ("53300", true),
            ("40001", true),
            ("25006", false),
            ("42501", false),
            ("28P01", false),
            ("3D000", false),
            ("53100", false),
            ("42703", false),
        ] {
            assert_eq!(will_pass(&SqlState::from_code(code)), passes, "{code}");
        }
    }
}
