//! Random names and secrets. The system is asked once, at the start, so that nothing can fail later: the values
//! are HMAC-SHA-256 of a counter under that seed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;

use super::EmulatorError;

/// Without vowels and look-alikes no word is spelt by accident.
const CAPITALS: &[u8; 32] = b"0123456789BCDFGHJKLMNPQRSTVWXYZA";
const CONSONANTS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// A source of random values.
#[derive(Debug)]
pub(super) struct Random {
    seed: hmac::Key,
    drawn: u64,
}

impl Random {
    /// Takes a seed from the system.
    pub(super) fn new() -> Result<Self, EmulatorError> {
        let seed = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Ok(Self { seed: seed.map_err(|_| EmulatorError::NoRandomness)?, drawn: 0 })
    }

    /// Signs `text` as a provider signs its tokens: URL-safe base64, no padding.
    pub(super) fn sign(&self, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.seed, format!("signature {text}").as_bytes()))
    }

    /// `prefix`, followed by `length` characters of URL-safe base64.
    pub(super) fn text(&mut self, prefix: &str, length: usize) -> String {
        let mut text = prefix.to_owned();
        let end = prefix.len() + length;
        while text.len() < end {
            text.push_str(&URL_SAFE_NO_PAD.encode(self.draw()));
        }
        text.truncate(end);
        text
    }

    /// `prefix`, followed by ten capitals and digits.
    pub(super) fn capitals(&mut self, prefix: &str) -> String {
        let letters = self.draw();
        let letters = letters.as_ref().iter().take(10).map(|byte| char::from(CAPITALS[usize::from(byte % 32)]));
        prefix.chars().chain(letters).collect()
    }

    /// Capital letters without vowels, for codes that people type (RFC 8628 §6.1).
    pub(super) fn consonants(&mut self, count: usize) -> String {
        let letters = self.draw();
        letters.as_ref().iter().take(count).map(|byte| char::from(CONSONANTS[usize::from(byte % 20)])).collect()
    }

    /// A random GUID (RFC 9562, version 4).
    pub(super) fn guid(&mut self) -> String {
        let random = self.draw().as_ref().iter().take(16).fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
        // The version and the variant have their fixed places.
        let bits = random & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// A number from 0 up to but not including 1.
    pub(super) fn share(&mut self) -> f64 {
        let tag = self.draw();
        let number = tag.as_ref().iter().take(4).fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        f64::from(number) / 4_294_967_296.0
    }

    fn draw(&mut self) -> hmac::Tag {
        self.drawn += 1;
        hmac::sign(&self.seed, &self.drawn.to_be_bytes())
    }
}

/// Whether a text is written as a GUID is.
pub(super) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_values_of_the_asked_length_that_differ() {
        let mut random = Random::new().unwrap();
        let (one, other) = (random.text("EAAA", 60), random.text("EAAA", 60));
        assert!(one.len() == 64 && one.starts_with("EAAA") && one != other);
        assert_eq!(random.capitals("ML").len(), 12);
        assert_eq!(random.consonants(8).len(), 8);
    }

    #[test]
    fn makes_guids() {
        let mut random = Random::new().unwrap();
        let guid = random.guid();
        assert!(is_guid(&guid) && guid != random.guid(), "{guid}");
        assert!(guid.as_bytes()[14] == b'4' && b"89ab".contains(&guid.as_bytes()[19]), "{guid}");
        assert!(!is_guid("x") && !is_guid(&guid.replace('-', "0")));
    }

    #[test]
    fn draws_shares_between_nought_and_one() {
        let mut random = Random::new().unwrap();
        let shares: Vec<f64> = (0..200).map(|_| random.share()).collect();
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        assert!(shares.iter().any(|share| *share < 0.5) && shares.iter().any(|share| *share >= 0.5));
    }
}
