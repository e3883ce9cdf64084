//! The checks of a store that is a database.

use std::time::Duration;

use crate::ops::doctor::{Doctor, Finding};
use crate::ops::{Code, Error, error};
use crate::store::{SealError, StoreError};

impl Doctor<'_> {
    /// What the database says of itself, whether it lets us do what a refresh does, and every record in it.
    pub(super) async fn database(&self) -> Result<Vec<Finding>, Error> {
        let trouble = |what: &str, error: &StoreError| {
            let hint = match error {
                StoreError::Unreachable { .. } => "look at the network, and whether the database runs",
                StoreError::Config(error) => {
                    return Finding::problem(what, error.to_string(), error.remedy(), Code::Config);
                }
                _ => {
                    "the role needs SELECT, INSERT, UPDATE and DELETE on what is in the schema tokman, and for the first run \
                     CREATE on the database"
                }
            };
            Finding::problem(what, error.to_string(), Some(hint.to_owned()), error::of_store(error))
        };
        let facts = match self.broker.store.facts().await {
            Ok(facts) => facts,
            Err(error) => return Ok(vec![trouble("database", &error)]),
        };
        let mut findings: Vec<Finding> = facts.said.into_iter().map(|(what, found)| Finding::ok(what, found)).collect();
        if !self.broker.sealer.seals() {
            let hint = "make a key with 'tokman key new' and name it: [store] key, or TOKMAN_STORE_KEY".to_owned();
            let found = SealError::Needed.to_string();
            findings.push(Finding::problem("sealing key", found, Some(hint), Code::Store));
        }
        // A lease would make the tables.
        if facts.is_in_use {
            findings.push(match &self.probe().await? {
                // Another doctor is at it: that works too.
                Ok(()) | Err(StoreError::Busy { .. }) => Finding::ok("leases", "can be taken and given back"),
                Err(error) => trouble("leases", error),
            });
        }
        findings.extend(self.records().await?);
        Ok(findings)
    }

    /// Takes a lease that nobody else uses.
    async fn probe(&self) -> Result<Result<(), StoreError>, Error> {
        let key = "probe/probe".parse().map_err(|_| Error::System("no key is called probe/probe".to_owned()))?;
        Ok(match self.broker.store.lease(&key, Duration::ZERO).await {
            Ok(lease) => {
                lease.end().await;
                Ok(())
            }
            Err(error) => Err(error),
        })
    }
}
