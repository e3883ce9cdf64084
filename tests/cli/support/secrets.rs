//! Secrets with a canary in them, and the search for canaries where they do not belong.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex, PoisonError};

/// What every secret of every test contains.
const MARKER: &str = "canary-";

/// How much of a tail is looked for, and how much of that finds it in the index.
const TAIL: usize = 12;

/// The random end of every canary so far, in all its forms, by their first bytes: the tail of a secret is a leak as
/// much as its head, and every run looks for all of them.
static TAILS: LazyLock<Mutex<HashMap<[u8; TAIL], String>>> = LazyLock::new(Mutex::default);

/// A new secret: `canary-NAME-` and 16 random hexadecimal digits.
pub fn canary(name: &str) -> String {
    prefixed("", name)
}

/// A new key to seal with: what looks like 256 random bits in base64url is a secret like the others, filled up.
pub fn sealing_key() -> String {
    format!("tokman-key-1-{:A<43}", canary("sealing"))
}

/// A new secret that begins as the provider's own do, as `EAAA` or `OAUTH2.`.
pub fn prefixed(prefix: &str, name: &str) -> String {
    let tail = format!("{:016x}", RandomState::new().hash_one(name));
    let keyed =
        forms(&tail[tail.len() - TAIL..]).into_iter().filter_map(|form| Some((*form.as_bytes().first_chunk()?, form)));
    TAILS.lock().unwrap_or_else(PoisonError::into_inner).extend(keyed);
    format!("{prefix}{MARKER}{name}-{tail}")
}

/// A canary in the text, once every secret that may be in it is taken out; absent where there is none.
///
/// Finds a secret's head (the marker), its tail, and both in base64.
pub fn leaked(text: &[u8], allowed: &[String]) -> Option<String> {
    // Empty lines hold nothing: a test may fill a file with them.
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let mut text = String::from_utf8_lossy(&lines.join(&b'\n')).into_owned();
    for secret in allowed {
        text = text.replace(secret.as_str(), "");
    }
    if let Some(head) = forms(MARKER).into_iter().find(|head| text.contains(head.as_str())) {
        return Some(around(&text, &head));
    }
    let tails = TAILS.lock().unwrap_or_else(PoisonError::into_inner);
    let tail = text.as_bytes().windows(TAIL).enumerate().find_map(|(at, window)| {
        let tail = tails.get(<&[u8; TAIL]>::try_from(window).ok()?)?;
        text.as_bytes()[at..].starts_with(tail.as_bytes()).then_some(tail)
    })?;
    Some(around(&text, tail))
}

/// A text as it is, and the parts of its base64 that do not depend on what stands around it.
fn forms(text: &str) -> Vec<String> {
    use base64::Engine as _;
    let encoded = (0..3).map(|shift| {
        let padded = format!("{}{text}", "x".repeat(shift));
        let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&padded);
        let first = (shift * 8).div_ceil(6);
        encoded[first..padded.len() * 8 / 6].to_owned()
    });
    [text.to_owned()].into_iter().chain(encoded).collect()
}

/// A find with what stands before and after it.
fn around(text: &str, needle: &str) -> String {
    let at = text.find(needle).unwrap_or_default();
    let before: String = text[..at].chars().rev().take(60).collect();
    let after: String = text[at..].chars().take(80).collect();
    before.chars().rev().chain(after.chars()).collect()
}
