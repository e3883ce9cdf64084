//! A string that cannot be printed by accident and is wiped when it is dropped.

use std::fmt::{self, Write as _};

use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A client secret, a token, a code or a verifier.
///
/// It has no `Display`, `Deref` or `Serialize`, and its `Debug` is `Secret(..)`: [`Secret::expose`] is the one way out.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a value into custody.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// Hands out the value: only where it is sent, stored or printed on purpose.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value as a form or a query carries it; `None` where that is the same.
    #[must_use]
    pub fn form_encoded(&self) -> Option<Self> {
        let encoded = Self::new(url::form_urlencoded::byte_serialize(self.0.as_bytes()).collect::<String>());
        (encoded != *self).then_some(encoded)
    }

    /// A short name for this value that does not lead back to it: the first 64 bits, in hexadecimal, of
    /// HMAC-SHA-256 under `context`, so that the same value in two places has two names.
    #[must_use]
    pub fn fingerprint(&self, context: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, format!("tokman fingerprint 1\0{context}").as_bytes());
        let tag = hmac::sign(&key, self.0.as_bytes());
        tag.as_ref()[..8].iter().fold(String::with_capacity(16), |mut name, byte| {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
            name
        })
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_show_its_value_when_formatted() {
        assert_eq!(format!("{:?}", Secret::new("canary")), "Secret(..)");
    }

    #[test]
    fn has_a_fingerprint_that_depends_on_the_context() {
        let secret = Secret::new("value");
        assert_eq!(secret.fingerprint("a/b"), secret.fingerprint("a/b"));
        assert_ne!(secret.fingerprint("a/b"), secret.fingerprint("a/c"));
        assert_eq!(secret.fingerprint("a/b").len(), 16);
    }
}
