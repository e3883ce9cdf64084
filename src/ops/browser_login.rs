//! A login with the browser coming back by itself: listen, send the person to the provider, wait, hand the code in,
//! store, and only then show "done".

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use url::Url;

use crate::model::{Key, Secret};
use crate::net::loopback::{Judge, Judgement, Listener};
use crate::ops::login::Pending;
use crate::ops::obtain::Keep;
use crate::ops::{Broker, Error, Issuer, Outcome, page};
use crate::provider::Wanted;

/// How long a login waits for the browser.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is asked of a login.
#[derive(Debug)]
pub struct LoginRequest {
    /// Where the browser comes back to.
    pub redirect_uri: Url,
    /// What is asked of the token.
    pub wanted: Wanted,
    /// How the token is kept.
    pub keep: Keep,
}

/// Where the person is sent, and what may come back another way.
#[derive(Debug)]
pub struct Announcement {
    /// The provider's page.
    pub address: Url,
    /// Where the browser comes back to.
    pub redirect_uri: Url,
    /// Whether this machine listens there.
    pub listens: bool,
}

impl Broker {
    /// Logs in. `announce` sends the person to the provider and returns what they may paste instead, where they can.
    ///
    /// # Errors
    /// [`Error::Listen`] before a browser opens; [`Error::LoginTimedOut`] after five minutes; the provider's reason.
    pub async fn login(
        &self,
        key: &Key,
        issuer: &Issuer,
        request: LoginRequest,
        announce: impl FnOnce(&Announcement) -> oneshot::Receiver<Secret>,
    ) -> Result<Outcome, Error> {
        let LoginRequest { redirect_uri, wanted, keep } = request;
        // A page of one's own on the web cannot be listened for: its address is pasted.
        let listener = match redirect_uri.scheme() {
            "http" => Some(Listener::bind(&redirect_uri).await?),
            _ => None,
        };
        let (address, pending) = self.begin_login(issuer, redirect_uri.clone(), wanted.scopes.clone()).await?;
        let pending = Arc::new(pending);
        let announcement = Announcement { address, redirect_uri: redirect_uri.clone(), listens: listener.is_some() };
        let pasted = announce(&announcement);
        let judged = Arc::clone(&pending);
        let judge: Judge = Arc::new(move |address| judge(&judged, address));
        let came_back = async {
            match listener {
                Some(listener) => listener.wait(judge).await,
                None => std::future::pending().await,
            }
        };
        let was_pasted = async {
            match pasted.await {
                Ok(text) => text,
                Err(_) => std::future::pending().await,
            }
        };
        let (text, callback) = tokio::select! {
            callback = came_back => {
                let callback = callback.map_err(|error| Error::System(format!("the listener failed: {error}")))?;
                (Secret::new(callback.address.as_str()), Some(callback))
            }
            text = was_pasted => (text, None),
            () = tokio::time::sleep(PATIENCE) => {
                return Err(Error::LoginTimedOut { provider: key.provider.clone(), redirect_uri });
            }
        };
        let result = match pending.grant(issuer, &text) {
            Ok(grant) => self.obtain(key, issuer, &grant, &wanted, keep).await,
            Err(error) => Err(error),
        };
        if let Some(callback) = callback {
            callback
                .answer(match &result {
                    Ok(outcome) => page::success(&outcome.key, outcome.record.token.account.as_deref()),
                    Err(error) => page::failure(key, &error.to_string()),
                })
                .await;
        }
        result
    }
}

/// Whether a redirect belongs to the login, by its state.
fn judge(pending: &Pending, address: &Url) -> Judgement {
    match pending.check_redirect(address.as_str()) {
        Ok(_) => Judgement::Right,
        Err(error) => {
            log::info!("a redirect was refused: {error}");
            Judgement::Wrong
        }
    }
}
