//! What can be told of a command line that cannot be parsed, or not yet: a shell asks how it goes on, or something in it
//! is refused.

use std::ffi::OsStr;

use clap::{Arg, Args as _, Command};

use crate::flags::GlobalArgs;
use crate::output::response::Format;

/// The first word that is neither an option of every command nor the value of one: the command's name, if it is one.
/// `words` are those behind the program's own name.
pub fn verb<S: AsRef<OsStr>>(words: &[S]) -> Option<String> {
    let command = GlobalArgs::augment_args(Command::new("tokman"));
    let takes = |is: &dyn Fn(&Arg) -> bool| {
        command.get_arguments().any(|option| is(option) && option.get_action().takes_values())
    };
    let mut words = words.iter().map(|word| word.as_ref().to_string_lossy());
    while let Some(word) = words.next() {
        let value_follows = if let Some(long) = word.strip_prefix("--") {
            takes(&|option| option.get_long() == Some(long))
        } else if let Some(shorts) = word.strip_prefix('-') {
            // What stands after the first that takes a value is that value.
            let at = shorts.chars().position(|short| takes(&|option| option.get_short() == Some(short)));
            at.is_some_and(|at| at + 1 == shorts.chars().count())
        } else {
            return Some(word.into_owned());
        };
        if value_follows {
            words.next();
        }
    }
    None
}

/// Whether an option of every command is given with this value. What follows `--` is another program's.
pub fn asks<S: AsRef<OsStr>>(words: &[S], long: &str, short: Option<char>, value: &str) -> bool {
    let words: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
    let ours = words.split(|word| word == "--").next().unwrap_or_default();
    let (long, short) = (format!("--{long}"), short.map(|short| format!("-{short}")));
    let is_name = |word: &str| word == long || Some(word) == short.as_deref();
    let is_whole = |word: &str| {
        word.strip_prefix(&long).and_then(|rest| rest.strip_prefix('=')) == Some(value)
            || short
                .as_deref()
                .and_then(|short| word.strip_prefix(short))
                .is_some_and(|rest| rest.trim_start_matches('=') == value)
    };
    ours.windows(2).any(|pair| is_name(&pair[0]) && pair[1] == value) || ours.iter().any(|word| is_whole(word))
}

/// The commands that [`formats`] has something for, in words.
pub const WITH_FORMATS: &str =
    "obtain, refresh, renew, revoke, token, status, check, import, export, history, config, doctor and key rotate";

/// The forms that a command prints in; all of them where nobody knows which command it is.
#[must_use]
pub fn formats(verb: Option<&str>) -> &'static [Format] {
    use Format::{Env, Github, Header, Json, None, Prometheus, Token};
    match verb {
        Some("obtain" | "refresh" | "renew" | "token") => &Format::OF_A_TOKEN,
        Some("status" | "list") => &[Json, Prometheus, None],
        Some("revoke" | "check" | "import" | "history" | "config" | "doctor" | "key") => &[Json, None],
        Some("export") => &[Json],
        Some("exec" | "remove" | "emulator" | "completions" | "man" | "help") => &[],
        _ => &[Json, Token, Header, Env, Github, Prometheus, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<&str> {
        line.split_whitespace().collect()
    }

    #[test]
    fn knows_a_command_by_its_first_word() {
        for (line, expected) in [
            ("check --x", Some("check")),
            ("--x check", Some("check")),
            ("-qp square -o xml --store file check", Some("check")),
            ("-psquare --store=file check", Some("check")),
            ("-p check token", Some("token")),
            ("token check", Some("token")),
            ("token -n check", Some("token")),
            ("--profile check", None),
            ("--profile", None),
            ("exec -- check", Some("exec")),
            ("", None),
        ] {
            assert_eq!(verb(&words(line)).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn knows_what_is_asked_for_however_it_is_written() {
        for (line, expected) in [
            ("check -o json --bad", true),
            ("check -ojson", true),
            ("check -o=json", true),
            ("check --output json", true),
            ("check --output=json", true),
            ("check --output=jsonl", false),
            ("check json -o", false),
            ("check -o none", false),
            ("exec -- jq -o json", false),
        ] {
            assert_eq!(asks(&words(line), "output", Some('o'), "json"), expected, "{line}");
        }
        assert!(asks(&words("--log-format json"), "log-format", None, "json"));
        assert!(!asks(&words("-l json"), "log-format", None, "json"));
    }
}
