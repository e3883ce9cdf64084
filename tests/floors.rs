//! Keeps the floors apart: reads the sources and fails when a module looks up, or sideways at a sibling that it
//! must not know. The map is in `CONTRIBUTING.md`.
#![expect(clippy::expect_used, reason = "a source that cannot be read must fail the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of each floor, from the ground up.
const FLOORS: [&[&str]; 8] = [
    &["model", "env", "fsutil", "keyring", "process", "prompt", "signals", "tls"],
    &["config"],
    &["provider", "store", "net", "emulator"],
    &["ops"],
    &["output"],
    &["context", "exit", "flags"],
    &["commands"],
    &["cli", "lib", "main"],
];

/// The floor whose modules do not know each other.
const SIBLINGS: usize = 2;

/// One source file.
struct Source {
    /// Its path below `src`, with `/`.
    path: String,
    text: String,
}

#[test]
fn no_floor_looks_up_or_sideways() {
    let violations = violations(&sources());
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources().into_iter().filter(|s| !s.text.starts_with("//!")).map(|s| s.path).collect();
    assert!(silent.is_empty(), "these files do not begin with //!: {silent:?}");
}

/// Every Rust file of the package.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut directories: Vec<PathBuf> = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a readable source directory") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a readable source");
                let path = path.strip_prefix(&root).expect("a path below src").display().to_string();
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// What the sources do that they must not, a sentence each.
fn violations(sources: &[Source]) -> Vec<String> {
    let read: Vec<_> = sources.iter().map(|source| (module_of(&source.path), shipped(&tokens(&source.text)))).collect();
    let commands: Vec<&str> =
        read.iter().filter(|(m, _)| m[0] == "commands").filter_map(|(m, _)| m.get(1).map(String::as_str)).collect();
    let tests: Vec<Vec<String>> = read.iter().flat_map(|(m, s)| s.tests.iter().map(|t| child(m, t))).collect();
    let mut found = Vec::new();
    for (source, (module, shipped)) in sources.iter().zip(&read) {
        if tests.iter().any(|test| module.starts_with(test)) {
            continue;
        }
        for target in imports(&shipped.tokens, module) {
            if let Some(why) = objection(module, &target, &commands) {
                found.push(format!("src/{}: crate::{} {why}", source.path, target.join("::")));
            }
        }
    }
    found.dedup();
    found
}

/// Why `module` must not import `target`; absent where it may.
fn objection(module: &[String], target: &[String], commands: &[&str]) -> Option<String> {
    let Some(own) = floor_of(&module[0]) else {
        return Some(format!("cannot be judged: '{}' is on no floor; put it on the map in tests/floors.rs", module[0]));
    };
    let Some(other) = floor_of(&target[0]) else {
        return (own < FLOORS.len() - 1).then(|| "looks up: it is no module of a lower floor".to_owned());
    };
    if other > own {
        return Some(format!("looks up, from floor {own} to floor {other}"));
    }
    if own == SIBLINGS && other == SIBLINGS && module[0] != target[0] {
        return Some(format!("looks sideways: '{}' does not know '{}'", module[0], target[0]));
    }
    let (Some(command), Some(sibling)) = (module.get(1), target.get(1)) else { return None };
    (module[0] == "commands" && target[0] == "commands" && command != sibling && commands.contains(&sibling.as_str()))
        .then(|| format!("looks sideways: command '{command}' does not know command '{sibling}'"))
}

/// The floor of a top-level module.
fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// `store/file.rs` is `store::file`, `store/mod.rs` is `store`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// The module `name` declared in `module`; what the crate root declares is at the top.
fn child(module: &[String], name: &str) -> Vec<String> {
    let parent = if matches!(module[0].as_str(), "lib" | "main") { &[] } else { module };
    parent.iter().cloned().chain([name.to_owned()]).collect()
}

/// Every path from the crate's root that the tokens name, `super` resolved.
fn imports(tokens: &[String], module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = tokens.get(at + 1).is_some_and(|next| next == "::") && (at == 0 || tokens[at - 1] != "::");
        if starts && tokens[at] == "crate" {
            at = path_tree(tokens, at + 2, &[], &mut found);
        } else if starts && tokens[at] == "super" {
            let mut prefix = module.to_vec();
            while tokens.get(at).is_some_and(|t| t == "super") && tokens.get(at + 1).is_some_and(|t| t == "::") {
                prefix.pop();
                at += 2;
            }
            at = path_tree(tokens, at, &prefix, &mut found);
        } else {
            at += 1;
        }
    }
    found.retain(|path| !path.is_empty());
    found
}

/// Reads `a::b`, `a::{b, c::d}`, `*` below `prefix`; the index after it.
fn path_tree(tokens: &[String], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    let next = path_tree(tokens, at, &path, found);
                    at = if tokens.get(next).is_some_and(|token| token == ",") { next + 1 } else { next.max(at + 1) };
                }
                return at + 1;
            }
            Some(name) if is_name(name) => {
                if name != "self" {
                    path.push(name.to_owned());
                }
                at += 1;
                if tokens.get(at).is_some_and(|token| token == "::") {
                    at += 1;
                    continue;
                }
                if tokens.get(at).is_some_and(|token| token == "as") {
                    at += 2;
                }
            }
            Some("*") => at += 1,
            _ => {}
        }
        found.push(path);
        return at;
    }
}

/// What of a file goes into the program.
struct Shipped {
    tokens: Vec<String>,
    /// Modules in files of their own that are compiled for tests only.
    tests: Vec<String>,
}

/// Leaves out every item under `#[cfg(test)]`.
fn shipped(tokens: &[String]) -> Shipped {
    let mut shipped = Shipped { tokens: Vec::new(), tests: Vec::new() };
    let mut at = 0;
    while at < tokens.len() {
        if !is_test_attribute(&tokens[at..]) {
            shipped.tokens.push(tokens[at].clone());
            at += 1;
            continue;
        }
        while tokens.get(at).is_some_and(|token| token == "#") {
            at = group_end(tokens, at + 1);
        }
        let is_use = tokens[at..].iter().take_while(|t| *t != ";" && *t != "{").any(|token| token == "use");
        if let [module, name, end, ..] = &tokens[at..]
            && module == "mod"
            && end == ";"
        {
            shipped.tests.push(name.clone());
        }
        at = item_end(tokens, at, is_use);
    }
    shipped
}

/// Whether the tokens begin with `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_test_attribute(tokens: &[String]) -> bool {
    if tokens.len() < 3 || tokens[0] != "#" || tokens[1] != "[" || tokens[2] != "cfg" {
        return false;
    }
    let attribute = &tokens[..group_end(tokens, 1)];
    attribute.iter().any(|t| t == "test") && !attribute.iter().any(|t| t == "any" || t == "not")
}

/// The index after the item: its `;`, or the `}` of its body.
fn item_end(tokens: &[String], mut at: usize, is_use: bool) -> usize {
    while at < tokens.len() {
        match tokens[at].as_str() {
            ";" => return at + 1,
            "{" if !is_use => return group_end(tokens, at),
            "(" | "[" | "{" => at = group_end(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// The index after the bracket that closes the one at `at`.
fn group_end(tokens: &[String], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single characters; comments, strings and character literals left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = string(rest) {
            length
        } else if first == '\'' {
            character(rest)
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    tokens
}

/// The length of the block comment at the start, comments within it counted.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of the string literal at the start; absent where there is none.
fn string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            rest.starts_with('"') || (prefix.ends_with('r') && rest.trim_start_matches('#').starts_with('"'))
        })
    })?;
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let start = prefix.len() + hashes + 1;
        return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
    }
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// The length of the character literal at the start, or of the tick of a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        // From 3 on: the escaped character may itself be a tick.
        (Some((_, '\\')), _) => text.get(3..).and_then(|rest| rest.find('\'')).map_or(1, |at| at + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// The checker itself, on made-up sources.
mod the_checker {
    use super::{Source, violations};

    #[track_caller]
    fn assert_found(files: &[(&str, &str)], expected: &[&str]) {
        let sources: Vec<_> =
            files.iter().map(|(path, text)| Source { path: (*path).to_owned(), text: (*text).to_owned() }).collect();
        let found = violations(&sources);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "'{found}' does not say '{expected}'");
        }
    }

    #[test]
    fn finds_a_look_up() {
        assert_found(&[("model/key.rs", "use crate::config::Settings;")], &["from floor 0 to floor 1"]);
        assert_found(&[("context.rs", "use crate::commands::token;")], &["from floor 5 to floor 6"]);
        assert_found(&[("ops/mod.rs", "use crate::run;")], &["looks up: it is no module of a lower floor"]);
    }

    #[test]
    fn finds_siblings_that_know_each_other() {
        assert_found(&[("store/file.rs", "use crate::net::send;")], &["'store' does not know 'net'"]);
        assert_found(
            &[("provider/wix.rs", "use super::super::emulator::wix;")],
            &["'provider' does not know 'emulator'"],
        );
    }

    #[test]
    fn finds_a_command_that_imports_a_command() {
        let token = ("commands/token.rs", "");
        assert_found(&[("commands/exec.rs", "use super::token::run;"), token], &["command 'token'"]);
        assert_found(&[("commands/exec.rs", "fn f() { crate::commands::token::run() }"), token], &["command 'token'"]);
        assert_found(&[("commands/mod.rs", "use crate::commands::token::run;"), token], &[]);
        assert_found(&[("commands/exec.rs", "use super::Shared;"), token], &[]);
    }

    #[test]
    fn finds_every_member_of_a_group() {
        let text = "use crate::{model::{Key, Token as T}, net::{self, *}, ops};\n";
        assert_found(&[("store/mod.rs", text)], &["crate::net ", "crate::ops "]);
    }

    #[test]
    fn finds_paths_in_the_middle_of_code() {
        assert_found(&[("config/mod.rs", "fn f(x: &'a crate::store::Error) -> char { '\\'' }")], &["to floor 2"]);
        assert_found(&[("config/mod.rs", "fn f() { g('\"'); crate::ops::fresh() }")], &["to floor 3"]);
    }

    #[test]
    fn reads_no_comments_strings_or_visibilities() {
        let text = "// crate::ops\n/* crate::ops /* crate::net */ crate::cli */ pub(crate) const A: &str = \"crate::ops\";\n\
                    const B: &str = r#\"\"crate::ops\"\"#;";
        assert_found(&[("model/mod.rs", text)], &[]);
    }

    #[test]
    fn passes_over_tests_only() {
        let text = "#[cfg(test)]\nmod tests { use crate::cli::Cli; }\nuse crate::ops::fresh;";
        assert_found(&[("model/mod.rs", text)], &["crate::ops"]);
        let text = "#[cfg(test)]\nuse crate::{cli, net};\nuse crate::ops::fresh;";
        assert_found(&[("model/mod.rs", text)], &["crate::ops"]);
        let text = "#[cfg(not(test))]\nuse crate::ops::fresh;";
        assert_found(&[("model/mod.rs", text)], &["crate::ops"]);
        let files = [("store/mod.rs", "#[cfg(test)]\nmod contract;"), ("store/contract.rs", "use crate::net::send;")];
        assert_found(&files, &[]);
    }

    #[test]
    fn finds_a_module_that_is_on_no_floor() {
        assert_found(&[("helpers.rs", "use crate::model::Key;")], &["'helpers' is on no floor"]);
    }
}
