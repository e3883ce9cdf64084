//! Secrets with a canary in them, and the search for canaries where they do not belong.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

/// What every secret of every test contains.
const MARKER: &str = "canary-";

/// The random end of every canary so far: the tail of a secret is a leak as much as its head.
static TAILS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A new secret: `canary-NAME-` and 16 random hexadecimal digits.
pub fn canary(name: &str) -> String {
    prefixed("", name)
}

/// A new secret that begins as the provider's own do, as `EAAA` or `OAUTH2.`.
pub fn prefixed(prefix: &str, name: &str) -> String {
    let tail = format!("{:016x}", RandomState::new().hash_one(name));
    TAILS.lock().unwrap_or_else(PoisonError::into_inner).push(tail.clone());
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
    let tails = TAILS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let needles = tails.iter().map(|tail| &tail[4..]).chain([MARKER]);
    needles.flat_map(forms).find(|needle| text.contains(needle.as_str())).map(|needle| around(&text, &needle))
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
