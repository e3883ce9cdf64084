//! Which of the stored keys a command is about: all, those of a provider, those of a name, or one.

use std::fmt;

use crate::model::{Key, ProfileName, ProviderName};
use crate::ops::{Broker, Error};
use crate::store::{Listed, Listing};

/// Which keys. With neither, all of them.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Of this provider only.
    pub provider: Option<ProviderName>,
    /// Of this name only.
    pub profile: Option<ProfileName>,
}

impl Selection {
    /// The key, where it is one.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        Some(Key { provider: self.provider.clone()?, profile: self.profile.clone()? })
    }
}

/// The selected keys, one after the other: memory does not grow with them.
pub struct Selected {
    listing: Box<dyn Listing>,
    profile: Option<ProfileName>,
}

impl fmt::Debug for Selected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selected").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Selected {
    /// The next key; `None` after the last.
    ///
    /// # Errors
    /// Where the store cannot be listed. A record that cannot be read is listed as such.
    pub async fn next(&mut self) -> Result<Option<Listed>, Error> {
        while let Some(listed) = self.listing.next().await? {
            if self.profile.as_ref().is_none_or(|profile| *profile == listed.key.profile) {
                return Ok(Some(listed));
            }
        }
        Ok(None)
    }
}

impl Broker {
    /// The selected keys in their order.
    ///
    /// # Errors
    /// Where the store cannot be listed.
    pub async fn select(&self, selection: &Selection) -> Result<Selected, Error> {
        let listing = self.store.list(selection.provider.as_ref()).await?;
        Ok(Selected { listing, profile: selection.profile.clone() })
    }
}
