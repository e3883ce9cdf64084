//! Seals what is stored with the first of the configured keys, so that the others can be taken away.

use std::path::Path;

use crate::config::ConfigError;
use crate::model::Key;
use crate::ops::{Broker, Error, Selection, rescue};
use crate::store::{StoreError, seal};

/// How it ended.
#[derive(Debug, Default)]
pub struct Resealed {
    /// The id of the key that everything is sealed with now.
    pub id: String,
    /// How many were sealed anew.
    pub sealed: u64,
    /// How many were sealed with that key already.
    pub left: u64,
    /// How many could not be.
    pub failed: u64,
    /// The first thing that went wrong; absent where nothing did.
    pub error: Option<Error>,
}

impl Broker {
    /// Seals the selected records with the first key, each under its lease. What a record is in doubt of, it is still.
    /// `tokens` is the directory of a store that has one.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] without a sealing key; a listing that fails. A record that cannot be opened is counted.
    pub async fn reseal(&self, selection: &Selection, tokens: Option<&Path>) -> Result<Resealed, Error> {
        let id = self.sealer.id().map_err(seal::SealError::to_config)?.ok_or_else(|| ConfigError::Missing {
            what: "sealing key",
            provider: "the store".to_owned(),
            ways: "make one with 'tokman key new', keep it safe, and name it first in the list [store] key of the config file, the present one after it".to_owned(),
        })?;
        let mut ended = Resealed { id, ..Resealed::default() };
        let mut selected = self.select(selection).await?;
        while let Some(listed) = selected.next().await? {
            let sealed_with = match &listed.summary {
                Ok(summary) => summary.sealed_with.as_ref(),
                Err(_) => None,
            };
            if sealed_with == Some(&ended.id) {
                ended.left += 1;
                continue;
            }
            let done = match listed.summary {
                Ok(_) => self.reseal_one(&listed.key).await,
                // What only looks sets nothing aside.
                Err(error) => Err(error.into()),
            };
            match done {
                Ok(done) => ended.sealed += u64::from(done),
                Err(error) => {
                    log::warn!("{}: {error}", listed.key);
                    ended.failed += 1;
                    ended.error.get_or_insert(error);
                }
            }
        }
        // Whoever throws the old key away would throw these away with it.
        for (path, key, id) in rescue::sealed_otherwise(&ended.id, tokens) {
            let why = seal::SealError::OtherKey { id, configured: vec![ended.id.clone()] };
            let error = Error::from(StoreError::Sealed { key, why });
            log::warn!(
                "{} is to be brought back before the old key goes (see 'tokman doctor'): {error}",
                path.display()
            );
            ended.failed += 1;
            ended.error.get_or_insert(error);
        }
        Ok(ended)
    }

    /// Seals one record; `false` where it is gone.
    async fn reseal_one(&self, key: &Key) -> Result<bool, Error> {
        let mut lease = self.store.lease(key, self.lease_wait()).await?;
        let signals = self.hold_signals();
        let done = async {
            let signals = signals?;
            let Some(record) = lease.get().await? else {
                return Ok(false);
            };
            // The same token is no later record.
            lease.rewrite(&record).await?;
            drop(signals);
            Ok(true)
        };
        let done = done.await;
        lease.end().await;
        done
    }
}
