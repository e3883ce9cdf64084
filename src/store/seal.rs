//! Sealing at rest: the secrets of a record under XChaCha20-Poly1305, bound to the key and the generation that they
//! belong to, so that a swapped or rolled-back text does not open. What is not secret stays readable beside it.
//!
//! The sealing key is fetched when a record is opened or written, not before: `status` needs none.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use ring::rand::{SecureRandom as _, SystemRandom};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::{ConfigError, SecretSource};
use crate::fsutil::{self, FsError};
use crate::keyring;
use crate::model::{Key, Secret};

/// What the text of a sealing key begins with, so that another secret in its place is noticed.
const PREFIX: &str = "tokman-key-1-";

/// What messages call it.
const NAME: &str = "the sealing key";

/// The length of a sealing key, in bytes.
const KEY: usize = 32;

/// The length of a nonce, in bytes: long enough to be random.
const NONCE: usize = 24;

/// Why there is no sealing key to use.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SealError {
    /// A record is sealed, and nobody said with what.
    #[error("it is sealed with the key {id}, and no sealing key is configured")]
    NoKey {
        /// The key's id.
        id: String,
    },
    /// A record is sealed with a key that is not among those configured.
    #[error("it is sealed with the key {id}, not with {}", configured.join(" or "))]
    OtherKey {
        /// The key's id.
        id: String,
        /// The ids of the keys that there are.
        configured: Vec<String>,
    },
    /// The sources have no key that can be used.
    #[error("{NAME}: {0}")]
    Unusable(String),
    /// None of the sources has one.
    #[error("{NAME}: there is none in {}", .0.join(" nor in "))]
    Absent(Vec<String>),
    /// The store seals always, and nobody said with what.
    #[error("this store seals what it keeps, and no sealing key is configured")]
    Needed,
    /// The system has no random bytes to give.
    #[error("the system has no random bytes to give")]
    NoRandomness,
}

impl SealError {
    /// The same as an error of the settings, where no record is concerned.
    #[must_use]
    pub fn to_config(self) -> ConfigError {
        let why = match self {
            Self::Unusable(why) => why,
            other => other.to_string(),
        };
        ConfigError::Secret { what: NAME.to_owned(), why }
    }
}

/// One sealing key. Its `Debug` shows the id only.
#[derive(Clone)]
struct SealingKey {
    id: String,
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

impl SealingKey {
    fn parse(text: &Secret) -> Result<Self, SealError> {
        let not_one = || SealError::Unusable("it is not one that 'tokman key new' printed".to_owned());
        let encoded = text.expose().strip_prefix(PREFIX).ok_or_else(not_one)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| not_one())?);
        let bytes: &[u8; KEY] = bytes.as_slice().try_into().map_err(|_| not_one())?;
        let mut id = text.fingerprint("sealing key");
        id.truncate(8);
        Ok(Self { id, cipher: XChaCha20Poly1305::new(bytes.into()) })
    }
}

/// A new sealing key as text: a name, and 256 random bits in base64url.
///
/// # Errors
/// [`SealError::NoRandomness`].
pub fn new_key() -> Result<Secret, SealError> {
    let mut bytes = Zeroizing::new([0_u8; KEY]);
    SystemRandom::new().fill(bytes.as_mut_slice()).map_err(|_| SealError::NoRandomness)?;
    Ok(Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice()))))
}

/// A sealed text and the id of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The id of the key that opens it.
    pub id: String,
    /// Nonce and ciphertext in base64url.
    pub text: String,
}

/// Seals and opens, with the keys that the settings name. The first of them seals, all of them open: that is how a key
/// is replaced by another.
#[derive(Debug, Default)]
pub struct Sealer {
    sources: Vec<SecretSource>,
    /// Absent before they are fetched.
    keys: OnceLock<Vec<SealingKey>>,
    /// How the key is made that the keyring keeps; absent where nobody asked for that.
    make: Option<KeptKey>,
}

/// A key that the platform's keyring keeps, made when something is sealed for the first time.
#[derive(Debug)]
struct KeptKey {
    entry: String,
    /// Whose lock makes sure that two processes do not make two.
    lock: PathBuf,
}

impl KeptKey {
    fn ensure(&self) -> Result<(), SealError> {
        let kept = || keyring::get(&self.entry).map_err(|error| SealError::Unusable(error.to_string()));
        if kept()?.is_some() {
            return Ok(());
        }
        let _lock = self.lock().map_err(|error| SealError::Unusable(error.to_string()))?;
        if kept()?.is_some() {
            return Ok(());
        }
        keyring::set(&self.entry, &new_key()?).map_err(|error| SealError::Unusable(error.to_string()))
    }

    fn lock(&self) -> Result<File, FsError> {
        if let Some(dir) = self.lock.parent() {
            fsutil::make_private_dir(dir)?;
        }
        let options = OpenOptions::new().read(true).write(true).create(true).clone();
        let file = fsutil::open_private(&self.lock, &options, 0o600)?
            .ok_or_else(|| FsError::io("open", &self.lock)(std::io::ErrorKind::NotFound.into()))?;
        file.lock().map_err(FsError::io("lock", &self.lock))?;
        Ok(file)
    }
}

impl Sealer {
    /// One that fetches its keys from these sources when it needs them; with none, records stay as they are.
    #[must_use]
    pub const fn new(sources: Vec<SecretSource>) -> Self {
        Self { sources, keys: OnceLock::new(), make: None }
    }

    /// The same, with the first of its keys in this entry of the platform's keyring, made if need be under the lock of
    /// a file in `dir`.
    #[must_use]
    pub fn kept_in_keyring(self, entry: &str, dir: &Path) -> Self {
        Self { make: Some(KeptKey { entry: entry.to_owned(), lock: dir.join(".keyring.lock") }), ..self }
    }

    /// Whether records are sealed when they are written.
    #[must_use]
    pub fn seals(&self) -> bool {
        !self.sources.is_empty()
    }

    /// The id of the key that would seal, as far as there is one: nothing is made.
    ///
    /// # Errors
    /// Where the sources have none that can be used.
    pub fn found(&self) -> Result<Option<String>, SealError> {
        Ok(self.keys()?.first().map(|key| key.id.clone()))
    }

    /// The ids of all keys that open, as far as there are some: nothing is made.
    ///
    /// # Errors
    /// Where the sources have none that can be used.
    pub fn ids(&self) -> Result<Vec<String>, SealError> {
        Ok(self.keys()?.iter().map(|key| key.id.clone()).collect())
    }

    /// The id of the key that seals; `None` where records stay as they are. One that the keyring is to keep is made.
    ///
    /// # Errors
    /// Where the sources have none that can be used.
    pub fn id(&self) -> Result<Option<String>, SealError> {
        Ok(self.key_to_seal()?.map(|key| key.id.clone()))
    }

    /// The key that seals, made if it is one that we are to make.
    fn key_to_seal(&self) -> Result<Option<&SealingKey>, SealError> {
        if let (Some(make), None) = (&self.make, self.keys.get()) {
            make.ensure()?;
        }
        Ok(self.keys()?.first())
    }

    /// Fetches the keys, once.
    fn keys(&self) -> Result<&[SealingKey], SealError> {
        if let Some(keys) = self.keys.get() {
            return Ok(keys);
        }
        let mut keys = Vec::new();
        for source in &self.sources {
            let fetched = source.fetch(NAME).map_err(|error| {
                let why = error.to_string();
                SealError::Unusable(why.strip_prefix(&format!("{NAME}: ")).unwrap_or(&why).to_owned())
            })?;
            if let Some(text) = fetched {
                keys.push(SealingKey::parse(&text)?);
            }
        }
        if keys.is_empty() && self.seals() {
            let tried: Vec<String> = self.sources.iter().map(SecretSource::describe).collect();
            return Err(SealError::Absent(tried));
        }
        Ok(self.keys.get_or_init(|| keys))
    }

    /// Seals a text for a key's record of a generation; `None` where records stay as they are.
    ///
    /// # Errors
    /// Where the sealing key cannot be had.
    pub fn seal(&self, key: &Key, generation: u64, text: &[u8]) -> Result<Option<Sealed>, SealError> {
        let Some(sealing) = self.key_to_seal()? else {
            return Ok(None);
        };
        let mut nonce = [0_u8; NONCE];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let bound = bound(key, generation);
        let payload = Payload { msg: text, aad: bound.as_bytes() };
        let sealed = sealing.cipher.encrypt(&nonce.into(), payload).map_err(|_| SealError::NoRandomness)?;
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed);
        Ok(Some(Sealed { id: sealing.id.clone(), text: URL_SAFE_NO_PAD.encode(bytes) }))
    }

    /// Opens a text that was sealed for a key's record of a generation; `None` where it was not: it was changed, or
    /// belongs to another record.
    ///
    /// # Errors
    /// Where the key that it was sealed with cannot be had.
    pub fn open(&self, key: &Key, generation: u64, sealed: &Sealed) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
        let keys = match (&self.make, self.keys()) {
            // The keyring has none yet: it is made when something is sealed, not when something is read.
            (Some(_), Err(SealError::Absent(_))) => &[],
            (_, keys) => keys?,
        };
        let Some(sealing) = keys.iter().find(|sealing| sealing.id == sealed.id) else {
            let configured: Vec<String> = keys.iter().map(|key| key.id.clone()).collect();
            let id = crate::model::text::escape(&sealed.id, 16);
            return Err(if configured.is_empty() {
                SealError::NoKey { id }
            } else {
                SealError::OtherKey { id, configured }
            });
        };
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(&sealed.text) else {
            return Ok(None);
        };
        let Some((nonce, text)) = bytes.split_first_chunk::<NONCE>() else {
            return Ok(None);
        };
        let bound = bound(key, generation);
        let payload = Payload { msg: text, aad: bound.as_bytes() };
        Ok(sealing.cipher.decrypt(nonce.into(), payload).ok().map(Zeroizing::new))
    }
}

/// What a sealed text is bound to.
fn bound(key: &Key, generation: u64) -> String {
    format!("tokman record 1\0{key}\0{generation}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        name.parse().unwrap()
    }

    fn sealer(keys: &[&Secret]) -> Sealer {
        Sealer::new(keys.iter().map(|key| SecretSource::Literal((*key).clone())).collect())
    }

    #[test]
    fn opens_what_it_sealed_for_the_same_record_only() {
        let one = sealer(&[&new_key().unwrap()]);
        let sealed = one.seal(&key("square/a"), 7, b"text").unwrap().unwrap();
        let open = |name, generation| one.open(&key(name), generation, &sealed).unwrap();
        assert_eq!(open("square/a", 7).unwrap().as_slice(), b"text");
        assert_eq!(open("square/b", 7), None);
        assert_eq!(open("square/a", 8), None);
        let changed = Sealed { text: sealed.text.replace(|c: char| c.is_ascii_uppercase(), "x"), ..sealed };
        assert_eq!(one.open(&key("square/a"), 7, &changed).unwrap(), None);
    }

    #[test]
    fn seals_with_the_first_key_and_opens_with_all() {
        let (old, new) = (new_key().unwrap(), new_key().unwrap());
        let sealed = sealer(&[&old]).seal(&key("wix/a"), 1, b"text").unwrap().unwrap();
        let both = sealer(&[&new, &old]);
        assert_eq!(both.open(&key("wix/a"), 1, &sealed).unwrap().unwrap().as_slice(), b"text");
        assert_ne!(both.id().unwrap().unwrap(), sealed.id);
        let error = sealer(&[&new]).open(&key("wix/a"), 1, &sealed).unwrap_err();
        assert!(matches!(error, SealError::OtherKey { .. }), "{error}");
        assert!(matches!(Sealer::default().open(&key("wix/a"), 1, &sealed), Err(SealError::NoKey { .. })));
    }

    #[test]
    fn seals_nothing_without_a_key_and_says_what_is_no_key() {
        assert_eq!(Sealer::default().seal(&key("wix/a"), 1, b"text").unwrap(), None);
        for text in ["", "password", "tokman-key-1-", "tokman-key-1-AAAA", "tokman-key-1-%%%%"] {
            let error = sealer(&[&Secret::new(text)]).seal(&key("wix/a"), 1, b"text").unwrap_err();
            assert!(matches!(error, SealError::Unusable(_) | SealError::Absent(_)), "{error}");
        }
    }
}
