//! What the provider says of a stored token. Changes nothing.

use crate::model::Replay;
use crate::ops::{Broker, Error, Issuer};
use crate::provider::{Inspection, RefusalClass};
use crate::store::Record;

impl Broker {
    /// Asks the provider about a record's access token.
    ///
    /// # Errors
    /// Where the provider cannot say. A token that it calls dead is no error.
    pub async fn inspect(&self, issuer: &Issuer, record: &Record) -> Result<Inspection, Error> {
        let mut providers = issuer.providers();
        let mut refused = None;
        while let Some(provider) = providers.next()? {
            let exchange = provider.inspect(&record.token).map_err(|error| issuer.explain(error))?;
            let (request, _, reader) = exchange.split();
            let answer = self.net.send(&request, Replay::Safe, self.budget).await?;
            match reader.read(&answer.response, answer.sent_at) {
                Ok(inspection) => return Ok(inspection),
                Err(error) if error.class() == Some(RefusalClass::Application) => refused = Some(error),
                Err(error) => return Err(issuer.explain(error)),
            }
        }
        Err(refused.map_or_else(|| issuer.settings().missing_secret().into(), |error| issuer.explain(error)))
    }
}
