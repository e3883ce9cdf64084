//! The keys of the store, in order.

use std::path::Path;

use async_trait::async_trait;

use crate::fsutil::{self, FsError};
use crate::model::{Key, ProviderName};
use crate::store::file::FileStore;
use crate::store::{Listed, Listing, StoreError};

/// Walks the providers. Of the keys it holds no more than the names of one provider's profiles: they have to be put in
/// order.
pub(super) struct FileListing {
    store: FileStore,
    /// Those still to come, the next one last.
    providers: Vec<ProviderName>,
    /// The present one; absent before the first.
    provider: Option<ProviderName>,
    /// The profiles of the present provider that are still to come.
    profiles: std::vec::IntoIter<Box<str>>,
    /// Those of the present provider that are in doubt, in order.
    in_doubt: Vec<Box<str>>,
    /// Whether the directory of the present provider was looked at, and found private.
    is_private: bool,
}

impl FileListing {
    /// The keys of one provider, or of all.
    pub(super) fn new(store: FileStore, provider: Option<&ProviderName>) -> Result<Self, StoreError> {
        let mut providers = Vec::new();
        match provider {
            Some(provider) => providers.push(provider.clone()),
            None => for_each_name(&store.root, |name| providers.extend(name.parse().ok()))?,
        }
        providers.sort_unstable_by(|a: &ProviderName, b| b.cmp(a));
        let (profiles, in_doubt) = (Vec::new().into_iter(), Vec::new());
        Ok(Self { store, providers, provider: None, profiles, in_doubt, is_private: false })
    }

    /// Reads the names of a provider's profiles.
    fn enter(&mut self, provider: ProviderName) -> Result<(), StoreError> {
        let (mut profiles, mut in_doubt): (Vec<Box<str>>, Vec<Box<str>>) = (Vec::new(), Vec::new());
        for_each_name(&self.store.dir(&provider), |name| {
            if let Some(profile) = name.strip_prefix('.').and_then(|name| name.strip_suffix(".inflight")) {
                in_doubt.push(profile.into());
            // A record that was set aside is listed too, once: reading it says where it is.
            } else if let Some(profile) = name.strip_suffix(".json").or_else(|| name.strip_suffix(".json.damaged")) {
                profiles.push(profile.into());
            }
        })?;
        profiles.sort_unstable();
        profiles.dedup();
        in_doubt.sort_unstable();
        (self.provider, self.profiles, self.in_doubt) = (Some(provider), profiles.into_iter(), in_doubt);
        self.is_private = false;
        Ok(())
    }
}

#[async_trait]
impl Listing for FileListing {
    async fn next(&mut self) -> Result<Option<Listed>, StoreError> {
        loop {
            let Some(name) = self.profiles.next() else {
                let Some(provider) = self.providers.pop() else { return Ok(None) };
                self.enter(provider)?;
                continue;
            };
            let Some((provider, profile)) = self.provider.clone().zip(name.parse().ok()) else { continue };
            let key = Key { provider, profile };
            // One that is gone was removed since its name was read.
            if let Some(summary) = self.store.glance(&key, self.is_private).transpose() {
                self.is_private |= summary.is_ok();
                let in_doubt = self.in_doubt.binary_search(&name).is_ok();
                return Ok(Some(Listed { key, summary, in_doubt }));
            }
        }
    }
}

/// Calls `take` with each name in a directory; none where there is no directory.
fn for_each_name(dir: &Path, mut take: impl FnMut(&str)) -> Result<(), StoreError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if fsutil::is_absent(&error) => return Ok(()),
        Err(error) => return Err(FsError::io("list", dir)(error).into()),
    };
    for entry in entries {
        if let Some(name) = entry.map_err(FsError::io("list", dir))?.file_name().to_str() {
            take(name);
        }
    }
    Ok(())
}
