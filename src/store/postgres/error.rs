//! What a database's refusals mean: whether they will pass, or somebody has to act.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::{Error, SqlState};

use crate::model::text::escape;
use crate::store::{Lack, StoreError};

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
        matches!(self, Self::Store(StoreError::Unreachable { .. } | StoreError::Cancelled { .. }))
    }

    /// Whether it may be the connection's end, and another connection may do.
    pub(super) const fn is_of_connection(&self) -> bool {
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
        return Trouble::Store(match meaning(state, said.message()) {
            Meaning::Passes => unreachable_at(place, &why),
            Meaning::Cancelled => StoreError::Cancelled { place: place.to_owned(), why },
            Meaning::Refuses(lack) => lacks(lack, place, &why),
        });
    }
    let why = words(error);
    let lack = match error.source().and_then(refusal) {
        _ if why.contains("password missing") => Some(Lack::Password),
        None if why.contains("unsupported authentication") || why.contains("server does not support TLS") => {
            Some(Lack::Other)
        }
        lack => lack,
    };
    Trouble::Store(lack.map_or_else(|| unreachable_at(place, &why), |lack| lacks(lack, place, &why)))
}

/// What becomes of a statement that was not answered.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// The database may be reached a little later.
    Passes,
    /// The database had no time for it, or gave others the way.
    Cancelled,
    /// It will be refused again.
    Refuses(Lack),
}

/// What a state means, and a message where a pooler says with one state what is many things.
fn meaning(state: &SqlState, message: &str) -> Meaning {
    // Statements and locks that took too long, deadlocks and conflicts; then connections, shutdown and recovery, too
    // many clients.
    const CANCELLED: [&str; 2] = ["57014", "55P03"];
    const PASSING: [&str; 5] = ["57P01", "57P02", "57P03", "57P05", "53300"];
    let code = state.code();
    let unknown = ["no such database", "no such user"].iter().position(|said| message.starts_with(said));
    match (code, unknown) {
        // PgBouncer's, which says with the same state that a server did not answer.
        ("08P01", Some(0)) => Meaning::Refuses(Lack::Database),
        ("08P01", Some(_)) => Meaning::Refuses(Lack::Entry),
        _ if CANCELLED.contains(&code) || code.starts_with("40") => Meaning::Cancelled,
        _ if PASSING.contains(&code) || code.starts_with("08") => Meaning::Passes,
        ("25006", _) => Meaning::Refuses(Lack::Writes),
        ("42501", _) => Meaning::Refuses(Lack::Rights),
        ("28P01", _) => Meaning::Refuses(Lack::Password),
        ("28000", _) => Meaning::Refuses(Lack::Entry),
        ("3D000", _) => Meaning::Refuses(Lack::Database),
        _ => Meaning::Refuses(Lack::Other),
    }
}

/// What is lacking where TLS itself says no; `None` where it does not.
fn refusal(source: &(dyn std::error::Error + 'static)) -> Option<Lack> {
    use rustls::CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
    let inner = source.downcast_ref::<io::Error>().and_then(io::Error::get_ref)?;
    match inner.downcast_ref()? {
        rustls::Error::InvalidCertificate(UnknownIssuer) => Some(Lack::Trust),
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => Some(Lack::Name),
        rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_) => Some(Lack::Other),
        _ => None,
    }
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

/// It was reached and does not do what is asked, for a reason of its own.
pub(super) fn refused(place: &str, why: &str) -> StoreError {
    lacks(Lack::Other, place, why)
}

/// It was reached and does not do what is asked, for want of something.
pub(super) fn lacks(lack: Lack, place: &str, why: &str) -> StoreError {
    StoreError::Refused { place: place.to_owned(), lack, why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_will_pass() {
        use Meaning::{Cancelled, Passes, Refuses};
        for (code, message, expected) in [
            ("08006", "", Passes),
            ("08P01", "server login failed", Passes),
            ("08P01", "no such database: x", Refuses(Lack::Database)),
            ("08P01", "no such user: x", Refuses(Lack::Entry)),
            ("57P01", "", Passes),
            ("57P03", "", Passes),
            ("53300", "", Passes),
            ("40001", "", Cancelled),
            ("57014", "", Cancelled),
            ("25006", "", Refuses(Lack::Writes)),
            ("42501", "", Refuses(Lack::Rights)),
            ("28P01", "", Refuses(Lack::Password)),
            ("3D000", "", Refuses(Lack::Database)),
            ("53100", "", Refuses(Lack::Other)),
            ("42703", "", Refuses(Lack::Other)),
        ] {
            assert_eq!(meaning(&SqlState::from_code(code), message), expected, "{code}");
        }
    }
}
