//! PKCE (RFC 7636) and the random values of a login. S256 only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use thiserror::Error;

use crate::model::Secret;

/// The system gave no random bytes.
#[derive(Debug, Error)]
#[error("the system has no random bytes to give")]
pub struct NoRandomness;

/// 256 random bits as 43 unreserved characters: a verifier (RFC 7636 §4.1) or a state.
///
/// # Errors
/// Where the system's generator fails.
pub fn random() -> Result<Secret, NoRandomness> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// The S256 challenge of a verifier (RFC 7636 §4.2).
#[must_use]
pub fn challenge(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.expose().as_bytes()))
}

/// Whether a text can be a verifier: 43 to 128 unreserved characters (RFC 7636 §4.1).
#[must_use]
pub fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_challenge_of_the_rfcs_appendix_b() {
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn makes_verifiers_that_are_fresh_and_valid() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert!(is_verifier(one.expose()) && one != other);
        assert!(!is_verifier("short") && !is_verifier(&"x".repeat(129)) && !is_verifier(&"ä".repeat(30)));
    }
}
