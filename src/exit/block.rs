//! An error as people read it: `error: …`, `  caused by: …`, `hint: …`. On a terminal the lines are wrapped, but nothing
//! that somebody may want to paste: a command is one line.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSeparator, WordSplitter, fill};

use super::Report;
use crate::model::text::escape;

/// The longest text that is shown, in characters.
const LONGEST: usize = 2000;

/// What a command begins with.
const PROGRAMS: [&str; 2] = ["tokman ", "chmod "];

/// A blank that no line ends at.
const UNBROKEN: &str = "\u{a0}";

/// The block, in lines of `width` characters; `None` for lines as long as they are.
pub(super) fn block(report: &Report<'_>, width: Option<usize>) -> String {
    let style = Style::new().bold();
    let red = style.fg_color(Some(AnsiColor::Red.into()));
    let cyan = style.fg_color(Some(AnsiColor::Cyan.into()));
    let mut text = format!("{red}error:{red:#} {}", hang(&line(&report.message), "error: ", width));
    for cause in &report.causes {
        let _ = write!(text, "\n  caused by: {}", hang(&line(cause), "  caused by: ", width));
    }
    if let Some(hint) = &report.hint {
        let _ = write!(text, "\n{cyan}hint:{cyan:#} {}", hang(&line(hint), "hint: ", width));
    }
    text
}

/// Nothing in a message drives the terminal, whatever it quotes.
pub(super) fn line(text: &str) -> String {
    escape(text, LONGEST)
}

/// A text that follows a label, its later lines under the first.
fn hang(text: &str, label: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    if label.len() + text.chars().count() <= width {
        return text.to_owned();
    }
    let indent = " ".repeat(label.len());
    let (prose, command) = split(text);
    let options = Options::new(width.max(label.len() + 20))
        .initial_indent(&indent)
        .subsequent_indent(&indent)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let prose = fill(&keep_together(prose), options).replace(UNBROKEN, " ");
    let between = if prose.is_empty() { "" } else { "\n" };
    let lines = command.map_or_else(|| prose.clone(), |command| format!("{prose}{between}{indent}{command}"));
    lines.trim_start().to_owned()
}

/// What a text says, and the command that it ends with.
fn split(text: &str) -> (&str, Option<&str>) {
    let is_all = |text: &str| is_command(text) && !text.contains("; ");
    if is_all(text) {
        return ("", Some(text));
    }
    let mut after = text.match_indices(": ").map(|(at, colon)| text.split_at(at + colon.len()));
    after
        .find(|(_, command)| is_all(command))
        .map_or((text, None), |(prose, command)| (prose.trim_end(), Some(command)))
}

/// Whether a text begins as a command does.
fn is_command(text: &str) -> bool {
    PROGRAMS.iter().any(|program| text.starts_with(program))
}

/// The text with unbroken blanks in its commands: what is quoted, and what it begins with up to a semicolon.
fn keep_together(text: &str) -> String {
    let begins = text.find("; ").filter(|_| is_command(text)).unwrap_or(0);
    let (command, mut rest) = text.split_at(begins);
    let mut kept = command.replace(' ', UNBROKEN);
    while let Some((at, quote)) = rest.char_indices().find(|(_, c)| matches!(c, '`' | '\'')) {
        let (before, from) = rest.split_at(at + quote.len_utf8());
        kept.push_str(before);
        let end = from.find(quote).filter(|_| is_command(from)).unwrap_or(0);
        kept.push_str(&from[..end].replace(' ', UNBROKEN));
        rest = &from[end..];
        if end > 0 {
            kept.push(quote);
            rest = &rest[quote.len_utf8()..];
        }
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROSE: &str = "mend the store, then put it back: tokman import --rescue '/run/user/1000/tokman/rescue-square-default-1.json' --provider square";

    #[test]
    fn hangs_the_later_lines_under_the_first() {
        assert_eq!(
            hang("one two three four five six seven", "error: ", Some(30)),
            "one two three four five\n       six seven"
        );
        assert_eq!(hang("one two three four five six seven", "error: ", Some(40)), "one two three four five six seven");
        assert_eq!(hang("one two three four five six seven", "error: ", None), "one two three four five six seven");
    }

    #[test]
    fn keeps_a_command_on_one_line_however_narrow_the_terminal_is() {
        let (_, command) = PROSE.split_once(": ").unwrap();
        for width in [0, 10, 40, 60, 80] {
            let hint = hang(PROSE, "hint: ", Some(width));
            assert!(hint.lines().any(|line| line.trim_start() == command), "{hint}");
            assert_eq!(hang(command, "hint: ", Some(width)), command);
        }
        let hint = hang(
            "a grant may be in it, or log in anew with 'tokman obtain --provider square' at once",
            "hint: ",
            Some(60),
        );
        assert_eq!(hint, "a grant may be in it, or log in anew with\n      'tokman obtain --provider square' at once");
        let hint =
            hang("it isn't there; see `tokman config show --provider square` for where it is", "hint: ", Some(40));
        assert_eq!(hint, "it isn't there; see\n      `tokman config show --provider square`\n      for where it is");
    }

    #[test]
    fn wraps_the_words_that_follow_a_command() {
        let text = "tokman obtain --provider wix --no-browser; or --refresh-token -, --code CODE, --device";
        let hint = hang(text, "hint: ", Some(60));
        assert_eq!(
            hint,
            "tokman obtain --provider wix --no-browser; or\n      --refresh-token -, --code CODE, --device"
        );
        assert!(hang(text, "hint: ", Some(30)).starts_with("tokman obtain --provider wix --no-browser;\n"));
    }

    #[test]
    fn breaks_no_path_and_no_address() {
        let text = "cannot open /home/somebody/.config/tokman/tokens/square/default.json: Permission denied";
        let wrapped = hang(text, "error: ", Some(40));
        assert!(wrapped.contains("/home/somebody/.config/tokman/tokens/square/default.json:"), "{wrapped}");
    }

    proptest! {
        #[test]
        fn loses_no_word(text in "([a-z'`:é店]{0,9} ?){0,30}", width in prop::option::of(0_usize..100)) {
            let wrapped = hang(&text, "error: ", width);
            prop_assert!(wrapped.split_whitespace().eq(text.split_whitespace()), "{:?}", wrapped);
        }
    }
}
