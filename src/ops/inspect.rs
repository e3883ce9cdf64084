//! What the provider says of a stored token. Changes nothing.

use crate::ops::{Broker, Error, Issuer};
use crate::provider::Inspection;
use crate::store::Record;

impl Broker {
    /// Asks the provider about a record's access token.
    ///
    /// # Errors
    /// Where the provider cannot say. A token that it calls dead is no error.
    pub async fn inspect(&self, issuer: &Issuer, record: &Record) -> Result<Inspection, Error> {
        self.ask_provider(issuer, |provider| provider.inspect(&record.token)).await
    }
}
