//! The names of what is stored, for completions and for those who misspelt one. Reads no token.

use crate::config::Settings;
use crate::model::{Key, ProfileName, ProviderName, text};
use crate::store::profiles;

/// The stored profiles of a provider, where they are files: nobody waits for a database to complete a word.
#[must_use]
pub fn of_provider(settings: &Settings, provider: &ProviderName) -> Vec<ProfileName> {
    settings.store.value.directory().map(|root| profiles::profiles(root, provider)).unwrap_or_default()
}

/// The stored key of the same provider that was probably meant by one that is not stored.
#[must_use]
pub fn nearest(settings: &Settings, key: &Key) -> Option<Key> {
    let names: Vec<String> = of_provider(settings, &key.provider).iter().map(ToString::to_string).collect();
    let meant = text::nearest(key.profile.as_str(), names.iter().map(String::as_str))?;
    Some(Key { provider: key.provider.clone(), profile: meant.parse().ok()? })
}
