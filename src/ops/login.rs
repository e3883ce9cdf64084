//! A login in the browser: its address, what has to be remembered until the browser comes back, and what it brings.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::fsutil;
use crate::model::{Grant, Key, Replay, Secret};
use crate::ops::{Broker, Error, Issuer};
use crate::provider::{Authorization, Exchange, Login, Redirect, pkce};

/// How long a login may take from its address to its code: the codes themselves live five minutes (Square) or ten.
const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// The most that is read of a pending login.
const LIMIT: u64 = 64 << 10;

/// A login that waits for the browser to come back.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Comes back with the redirect.
    pub state: Secret,
    /// The PKCE verifier; absent where the login goes without.
    pub code_verifier: Option<Secret>,
    /// Where the browser is sent.
    pub redirect_uri: Url,
    /// When it began.
    pub started_at: Timestamp,
    /// The application that it is for.
    pub client_id: String,
    /// The address that it is for.
    pub base_url: String,
}

/// A pending login as its file has it.
#[derive(Serialize, Deserialize)]
struct PendingFile {
    state: String,
    code_verifier: Option<String>,
    redirect_uri: Url,
    started_at: Timestamp,
    client_id: String,
    base_url: String,
}

impl Broker {
    /// Begins a login: the address to open, and what to remember.
    ///
    /// # Errors
    /// Where this application has no login, or (headless Wix) no redirect session can be had.
    pub async fn begin_login(
        &self,
        issuer: &Issuer,
        redirect_uri: Url,
        scopes: Vec<String>,
    ) -> Result<(Url, Pending), Error> {
        let random = || pkce::random().map_err(|error| Error::System(error.to_string()));
        self.discover_anew(issuer).await?;
        let provider = issuer.provider()?;
        let code_verifier = provider.uses_pkce().then(random).transpose()?;
        let login = Login {
            state: random()?,
            code_challenge: code_verifier.as_ref().map(pkce::challenge),
            redirect_uri: redirect_uri.clone(),
            scopes,
        };
        let address = match provider.authorization(&login).map_err(|error| issuer.explain(error))? {
            Authorization::Address(address) => address,
            Authorization::Session { visitor, open } => {
                let visitor = self.ask(issuer, visitor).await?;
                let session = open.0(&visitor).map_err(|error| issuer.explain(error))?;
                self.ask(issuer, session).await?
            }
        };
        let pending = Pending {
            state: login.state,
            code_verifier,
            redirect_uri,
            started_at: self.clock.now(),
            client_id: issuer.settings().client_id()?.to_owned(),
            base_url: issuer.base_url(),
        };
        Ok((address, pending))
    }

    /// One request of a login that changes nothing that is stored.
    async fn ask<T>(&self, issuer: &Issuer, exchange: Exchange<T>) -> Result<T, Error> {
        let (request, _, reader) = exchange.split();
        let answer = self.net.send(&request, Replay::Safe, self.budget).await?;
        reader.read(&answer.response, answer.sent_at).map_err(|error| issuer.explain(error))
    }
}

impl Pending {
    /// The grant in what a person pasted: the redirected address, or the bare code.
    ///
    /// # Errors
    /// An address that does not belong to this login, or the provider's reason for sending the browser back without a
    /// grant.
    pub fn grant(&self, issuer: &Issuer, pasted: &Secret) -> Result<Grant, Error> {
        let text = pasted.expose().trim();
        let redirect = if text.contains("://") {
            self.check_redirect(text)?
        } else if let Some(whole) = self.with_scheme(text) {
            self.check_redirect(whole.expose())?
        } else if text.is_empty() {
            return Err(Error::Login("nothing was pasted".to_owned()));
        } else {
            Redirect { parameters: vec![("code".to_owned(), Secret::new(text))] }
        };
        let provider = issuer.provider()?;
        provider
            .grant(&redirect, &self.redirect_uri, self.code_verifier.as_ref())
            .map_err(|error| issuer.explain(error))
    }

    /// The redirected address in what a browser shows of it, which many do without `http://`.
    fn with_scheme(&self, text: &str) -> Option<Secret> {
        let (scheme, rest) = self.redirect_uri.as_str().split_once("://")?;
        let place = rest.split('?').next().unwrap_or_default();
        text.strip_prefix(place)?.starts_with('?').then(|| Secret::new(format!("{scheme}://{text}")))
    }

    /// The query of a redirected address, if the address is the one that this login ends at.
    ///
    /// # Errors
    /// [`Error::Login`]: another place, another state, a parameter twice.
    pub(super) fn check_redirect(&self, text: &str) -> Result<Redirect, Error> {
        let refuse = |why: &str| Err(Error::Login(format!("this is not the address that the login ends at: {why}")));
        let Ok(address) = Url::parse(text) else {
            return refuse("it cannot be read as an address");
        };
        let expected = &self.redirect_uri;
        let place = |url: &Url| {
            (
                url.scheme().to_owned(),
                url.host_str().map(str::to_owned),
                url.port_or_known_default(),
                url.path().to_owned(),
            )
        };
        if place(&address) != place(expected) {
            return refuse(&format!("it should begin with {expected}"));
        }
        let mut parameters: Vec<(String, Secret)> = Vec::new();
        for (name, value) in address.query_pairs() {
            if parameters.iter().any(|(known, _)| *known == name) {
                return refuse("a parameter comes twice");
            }
            parameters.push((name.into_owned(), Secret::new(value)));
        }
        let redirect = Redirect { parameters };
        match redirect.get("state") {
            Some(state) if *state == self.state => Ok(redirect),
            Some(_) => refuse("its state is of another login"),
            None => refuse("it has no state"),
        }
    }

    /// Keeps the login for another process, for ten minutes, readable by its owner only.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&self, dir: &Path, key: &Key) -> Result<(), Error> {
        let file = PendingFile {
            state: self.state.expose().to_owned(),
            code_verifier: self.code_verifier.as_ref().map(|verifier| verifier.expose().to_owned()),
            redirect_uri: self.redirect_uri.clone(),
            started_at: self.started_at,
            client_id: self.client_id.clone(),
            base_url: self.base_url.clone(),
        };
        let text = zeroize::Zeroizing::new(crate::model::response::pretty(&file));
        let path = path(dir, key);
        let stored = fsutil::make_private_dir(path.parent().unwrap_or(dir)).and_then(|()| {
            fsutil::remove(&path, false)?;
            fsutil::create_private(&path, text.as_bytes(), false)
        });
        stored.map(drop).map_err(|error| Error::Store(error.into()))
    }

    /// The pending login of a key, begun by an earlier process for the same application; `None` where there is none, or
    /// where it took too long.
    ///
    /// # Errors
    /// A file that is there and cannot be used.
    pub fn load(dir: &Path, key: &Key, issuer: &Issuer, now: Timestamp) -> Result<Option<Self>, Error> {
        let read = fsutil::read_private(&path(dir, key), LIMIT).map_err(|error| Error::Store(error.into()))?;
        let Some(file) = read.and_then(|bytes| serde_json::from_slice::<PendingFile>(&bytes).ok()) else {
            return Ok(None);
        };
        let age = now.duration_since(file.started_at);
        let same =
            Some(file.client_id.as_str()) == issuer.settings().client_id().ok() && file.base_url == issuer.base_url();
        if !same || age > LIFETIME || age < -LIFETIME {
            return Ok(None);
        }
        Ok(Some(Self {
            state: Secret::new(file.state),
            code_verifier: file.code_verifier.map(Secret::new),
            redirect_uri: file.redirect_uri,
            started_at: file.started_at,
            client_id: file.client_id,
            base_url: file.base_url,
        }))
    }

    /// Forgets the pending login of a key: it is used up, or another one begins.
    pub fn forget(dir: &Path, key: &Key) {
        if let Err(error) = fsutil::remove(&path(dir, key), false) {
            log::debug!("cannot forget a login: {error}");
        }
    }
}

fn path(dir: &Path, key: &Key) -> PathBuf {
    dir.join(key.provider.as_str()).join(format!("{}.json", key.profile))
}
