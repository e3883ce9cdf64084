//! The checks of a store that is a database.

use std::time::Duration;

use crate::ops::Code;
use crate::ops::doctor::{Doctor, Finding};
use crate::store::{SealError, StoreError};

impl Doctor<'_> {
    /// What the database says of itself, whether it lets us do what a refresh does, and every record in it.
    pub(super) async fn database(&self) -> Vec<Finding> {
        let facts = match self.broker.store.facts().await {
            Ok(facts) => facts,
            Err(error) => return vec![self.trouble("database", &error)],
        };
        let mut findings: Vec<Finding> = facts.said.into_iter().map(|(what, found)| Finding::ok(what, found)).collect();
        if !self.broker.sealer.seals() {
            let hint = "make a key with 'tokman key new' and name it: [store] key, or TOKMAN_STORE_KEY".to_owned();
            let found = SealError::Needed.to_string();
            findings.push(Finding::problem("sealing key", found, Some(hint), Code::Store));
        }
        // A lease would make the tables.
        if facts.is_in_use {
            findings.push(match &self.probe().await {
                // Another doctor is at it: that works too.
                Ok(()) | Err(StoreError::Busy { .. }) => Finding::ok("leases", "can be taken and given back"),
                Err(error) => self.trouble("leases", error),
            });
        }
        findings.extend(self.records().await);
        findings
    }

    /// Takes a lease that nobody else uses.
    async fn probe(&self) -> Result<(), StoreError> {
        let Ok(key) = "probe/probe".parse() else { return Ok(()) };
        self.broker.store.lease(&key, Duration::ZERO).await?.end().await;
        Ok(())
    }
}
