//! Text that a server or a file wrote: shown only with control characters escaped, secrets masked, and cut.

use std::fmt;

use crate::model::Secret;

/// The longest piece of server text that is shown, in characters.
const MAX_SHOWN: usize = 300;

/// Text that a server sent. `Display` and `Debug` show the safe form only.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ServerText(String);

impl ServerText {
    /// Takes the text as it came.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as it came, for comparing only.
    #[must_use]
    pub fn as_received(&self) -> &str {
        &self.0
    }

    /// Replaces every occurrence of the secrets, so that a server that echoes one does not make us show it.
    pub fn mask(&mut self, secrets: &[Secret]) {
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            if self.0.contains(secret.expose()) {
                self.0 = self.0.replace(secret.expose(), "***");
            }
        }
    }

    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl fmt::Display for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(self.0.trim(), MAX_SHOWN))
    }
}

impl fmt::Debug for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Whether a character can move the cursor, hide text or turn its direction.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Escapes unprintable characters as `\u{…}` and cuts the text to `max` characters, marking the cut with `…`.
#[must_use]
pub fn escape(text: &str, max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(max * 2));
    for (count, c) in text.chars().enumerate() {
        if count == max {
            shown.push('…');
            break;
        }
        match c {
            '\n' | '\r' | '\t' => shown.push(' '),
            c if is_unprintable(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// A word as a POSIX shell takes it for one and for nothing else, so that a hint can be pasted whatever a name holds.
#[must_use]
pub fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// How alike two words must be for the one to be offered for the other, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The candidate that was probably meant by a word, whatever its case; `None` where none is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let likeness = |candidate: &str| strsim::jaro_winkler(&candidate.to_lowercase(), &word);
    let rated = candidates.into_iter().map(|candidate| (likeness(candidate), candidate));
    let best = rated.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness >= ALIKE);
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_what_could_drive_a_terminal() {
        assert_eq!(escape("a\x1b[31mb\u{9b}c\u{202e}d\ne", 100), "a\\u{1b}[31mb\\u{9b}c\\u{202e}d e");
    }

    #[test]
    fn masks_before_it_cuts() {
        let mut text = ServerText::new(format!("{}canary-secret", "x".repeat(295)));
        text.mask(&[Secret::new("canary-secret"), Secret::new("")]);
        assert!(!text.to_string().contains("canary"));
        assert!(!format!("{text:?}").contains("canary"));
    }

    #[test]
    fn quotes_a_word_for_a_shell() {
        for (text, word) in [
            ("/path", "'/path'"),
            ("", "''"),
            ("it's", r"'it'\''s'"),
            (r"a b$(id)`id`\", r"'a b$(id)`id`\'"),
            ("';id>$HOME/x;'", r"''\'';id>$HOME/x;'\'''"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }

    #[test]
    fn finds_what_was_meant_and_nothing_far_off() {
        let known = ["default", "shop", "MLFAKE000MERCHANT", "shop@example.com"];
        for (word, meant) in [
            ("shpo", Some("shop")),
            ("Shop", Some("shop")),
            ("defualt", Some("default")),
            ("mlfake000merchant", Some("MLFAKE000MERCHANT")),
            ("other", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        assert_eq!(nearest("x", []), None);
    }

    proptest! {
        #[test]
        fn never_shows_a_control_character(text in any::<String>()) {
            prop_assert!(!ServerText::new(text).to_string().chars().any(is_unprintable));
        }
    }
}
