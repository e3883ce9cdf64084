//! The endpoints of an OAuth 2.0 issuer, from its own metadata: fetched before the first request that needs them, kept
//! between runs, and fetched anew when an endpoint is not where they say. A token that is handed out from the store
//! needs none of this.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::fsutil::{self, FsError};
use crate::model::Response;
use crate::net::{Answer, NetError};
use crate::ops::{Broker, Error, Issuer};
use crate::provider::oauth2::metadata::{self, Metadata};

/// The most that is read of kept metadata: what is read of any answer.
const LIMIT: u64 = 1 << 20;

impl Broker {
    /// Sees to it that the endpoints of an issuer are known: as they were kept, else as the issuer says now. Nothing
    /// is sent for an issuer that is known already or whose endpoints are all given.
    ///
    /// # Errors
    /// No metadata, those of another issuer, or an endpoint that is not safe to speak to: nothing else is sent then.
    pub async fn discover(&self, issuer: &Issuer) -> Result<(), Error> {
        let Some(name) = issuer.discovers() else { return Ok(()) };
        if issuer.metadata().is_some() {
            return Ok(());
        }
        if let Some(kept) = load(&issuer.settings().metadata_file(), name) {
            issuer.learn(kept, true);
            return Ok(());
        }
        self.discover_anew(issuer).await
    }

    /// The same with what the issuer says now. A login begins with it: where the browser goes astray, nobody notices.
    ///
    /// # Errors
    /// As for [`Broker::discover`].
    pub async fn discover_anew(&self, issuer: &Issuer) -> Result<(), Error> {
        let Some(name) = issuer.discovers() else { return Ok(()) };
        let address = &issuer.settings().base_url.value;
        // Half of the budget: the request that this is for has to fit in as well.
        let end = Instant::now() + self.budget / 2;
        for place in metadata::addresses(address) {
            let (request, replay, reader) = metadata::ask(&place, name).split();
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            log::info!("{}: GET {}", issuer.settings().name, place.path());
            let answer = self.net.send(&request, replay, left).await?;
            if let Some(metadata) = reader.read(&answer.response, answer.sent_at)? {
                let file = issuer.settings().metadata_file();
                if let Err(error) = save(&file, &metadata) {
                    log::warn!("the metadata of {name} cannot be kept: {error}");
                }
                issuer.learn(metadata, false);
                return Ok(());
            }
        }
        if issuer.has_token_endpoint() {
            log::info!("{name} has no metadata; only the endpoints that are configured are known");
            issuer.learn(Metadata::default(), false);
            return Ok(());
        }
        Err(metadata::nowhere(address).into())
    }

    /// Whether a request failed because kept metadata are out of date: nobody listens there, or nobody knows the
    /// address; and the issuer says something else now, which is known on return. The request was not acted upon.
    pub(super) async fn has_moved(&self, issuer: &Issuer, answer: &Result<Answer, NetError>) -> bool {
        let astray = match answer {
            Ok(answer) => matches!(answer.response.status().as_u16(), 404 | 405),
            Err(error) => matches!(error, NetError::Unreachable { .. }),
        };
        let Some(kept) = issuer.metadata().filter(|_| astray && issuer.has_kept_metadata()) else { return false };
        log::info!("{}: an endpoint is not where it was; asking the issuer", issuer.settings().name);
        match self.discover_anew(issuer).await {
            Ok(()) => issuer.metadata().is_some_and(|now| now.endpoints != kept.endpoints),
            Err(error) => {
                log::info!("{}: {error}", issuer.settings().name);
                false
            }
        }
    }
}

/// Kept metadata of this very issuer, checked as if they had just come; `None` where there are none that will do.
fn load(path: &Path, issuer: &str) -> Option<Metadata> {
    let bytes = fsutil::read_private(path, LIMIT).unwrap_or_else(|error| {
        log::warn!("not used: {error}");
        None
    })?;
    metadata::parse(Response::parse(&bytes).ok()?, issuer).ok()
}

/// Keeps metadata, replaced as a whole: whoever reads them meanwhile sees the old ones.
fn save(path: &Path, metadata: &Metadata) -> Result<(), FsError> {
    fsutil::make_private_dir(path.parent().unwrap_or(Path::new(".")))?;
    let new = path.with_extension(format!("{}.new", std::process::id()));
    fsutil::remove(&new, false)?;
    fsutil::create_private(&new, metadata.response.to_pretty().as_bytes(), false)?;
    fsutil::publish(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://a.example";

    #[test]
    fn keeps_metadata_privately_and_for_their_issuer_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metadata/acme.json");
        assert!(load(&path, ISSUER).is_none());
        let body = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"https://a.example/token"}}"#);
        let metadata = metadata::parse(Response::parse(body.as_bytes()).unwrap(), ISSUER).unwrap();
        for _ in 0..2 {
            save(&path, &metadata).unwrap();
            assert_eq!(load(&path, ISSUER).unwrap().endpoints, metadata.endpoints);
        }
        assert!(fsutil::read_private(&path, LIMIT).unwrap().is_some(), "nobody else can read it");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(load(&path, "https://b.example").is_none());
    }

    #[cfg(unix)]
    #[test]
    fn does_not_trust_metadata_that_others_could_have_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acme.json");
        let body = format!(r#"{{"issuer":"{ISSUER}"}}"#);
        let metadata = metadata::parse(Response::parse(body.as_bytes()).unwrap(), ISSUER).unwrap();
        save(&path, &metadata).unwrap();
        fsutil::set_mode(&path, 0o666).unwrap();
        assert!(load(&path, ISSUER).is_none());
        fsutil::overwrite_private(&dir.path().join("torn.json"), b"{\"issuer\":", false).unwrap();
        assert!(load(&dir.path().join("torn.json"), ISSUER).is_none());
    }
}
