//! A token that is valid for a while, by the shortest way: from the store if it can be, without a runtime; else by a
//! refresh. What `token` and `exec` hand out.

use std::time::Duration;

use crate::model::Key;
use crate::ops::demand::{Demand, How};
use crate::ops::{self, Broker, Error, Issuer, Outcome};
use crate::provider::Wanted;

impl Broker {
    /// A token that lives at least `ttl`; without `may_refresh` the stored one or none. Blocks.
    ///
    /// # Errors
    /// Why there is none.
    pub fn valid(&self, key: &Key, issuer: &Issuer, ttl: Duration, may_refresh: bool) -> Result<Outcome, Error> {
        if let Some(outcome) = self.stored(key, issuer, ttl)? {
            return Ok(outcome);
        }
        let runtime = ops::runtime()?;
        if !may_refresh {
            return runtime.block_on(self.stored_only(key, issuer, ttl));
        }
        runtime.block_on(self.fresh(key, issuer, Demand::Valid(ttl), How::Refresh(Wanted::default())))
    }
}
