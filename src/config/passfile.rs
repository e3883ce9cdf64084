//! libpq's password file: lines of `host:port:database:user:password`, `*` for any, `\` before a `:` or `\` that is
//! meant. The first line that fits counts (PostgreSQL documentation, "The Password File").

use crate::model::Secret;

/// What a line has to fit.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The host, or the directory of the socket.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: &'a str,
    /// The user.
    pub user: &'a str,
}

/// The password of the first line that fits; `None` where none does.
#[must_use]
pub fn find(text: &str, wanted: Wanted<'_>) -> Option<Secret> {
    let port = wanted.port.to_string();
    // A socket in its usual place is called localhost there.
    let host = if matches!(wanted.host, "/tmp" | "/var/run/postgresql") { "localhost" } else { wanted.host };
    let lines = text.lines().map(|line| line.strip_suffix('\r').unwrap_or(line));
    lines.filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for wanted in [host, &port, wanted.database, wanted.user] {
            let (field, after) = field(rest)?;
            if field != "*" && unescape(field) != wanted {
                return None;
            }
            rest = after;
        }
        // What stands behind a further colon is not part of it.
        let password = field(rest).map_or(rest, |(password, _)| password);
        Some(Secret::new(unescape(password)))
    })
}

/// The text before the first colon that is meant as one, still escaped, and what comes after it.
fn field(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b':' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some((&text[..end], &text[end + 1..]))
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next().unwrap_or(char) } else { char });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WANTED: Wanted<'_> = Wanted { host: "db", port: 5432, database: "tokens", user: "tokman" };

    fn password(text: &str) -> Option<String> {
        find(text, WANTED).map(|password| password.expose().to_owned())
    }

    #[test]
    fn takes_the_first_line_that_fits() {
        let text = "# db:5432:tokens:tokman:comment\nother:5432:tokens:tokman:a\ndb:5433:*:*:b\n\ndb:*:tokens:tokman:c\n*:*:*:*:d\n";
        assert_eq!(password(text).as_deref(), Some("c"));
        assert_eq!(password("*:*:*:*:d").as_deref(), Some("d"));
        for none in ["", "db:5432:tokens:tokman", "db:5432:tokens:other:x", "#*:*:*:*:d"] {
            assert_eq!(password(none), None, "{none}");
        }
    }

    #[test]
    fn takes_colons_and_backslashes_that_are_meant() {
        assert_eq!(password("db:5432:tokens:tokman:a\\:b\\\\c").as_deref(), Some("a:b\\c"));
        assert_eq!(password("db:5432:tokens:tokman:a:b").as_deref(), Some("a"));
        assert_eq!(password("db:5432:tokens:tokman:a\r\n").as_deref(), Some("a"));
        assert_eq!(find("a\\:b:*:*:*:x", Wanted { host: "a:b", ..WANTED }).unwrap().expose(), "x");
    }

    #[test]
    fn calls_a_socket_in_its_usual_place_localhost() {
        let socket = Wanted { host: "/var/run/postgresql", ..WANTED };
        assert!(find("localhost:*:*:*:x", socket).is_some());
        assert!(find("/run/pg:*:*:*:x", Wanted { host: "/run/pg", ..WANTED }).is_some());
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = find(&text, WANTED);
        }
    }
}
