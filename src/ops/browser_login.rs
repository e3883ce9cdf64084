//! A login with the browser coming back by itself: listen, send the person to the provider, wait, hand the code in,
//! store, and only then show "done".

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use url::Url;

use crate::model::{Key, Secret};
use crate::net::loopback::{Callback, Judge, Judgement, Listener};
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
        let (text, callback) = come_back(key, listener, Arc::clone(&pending), pasted).await?;
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

/// What the browser came back with, or what was pasted, whichever is first.
async fn come_back(
    key: &Key,
    listener: Option<Listener>,
    pending: Arc<Pending>,
    pasted: oneshot::Receiver<Secret>,
) -> Result<(Secret, Option<Callback>), Error> {
    let timed_out = Error::LoginTimedOut { provider: key.provider.clone(), redirect_uri: pending.redirect_uri.clone() };
    let judge: Judge = Arc::new(move |address| judge(&pending, address));
    let redirected = async {
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
    tokio::select! {
        callback = redirected => {
            let callback = callback.map_err(|error| Error::System(format!("the listener failed: {error}")))?;
            Ok((Secret::new(callback.address.as_str()), Some(callback)))
        }
        text = was_pasted => Ok((text, None)),
        () = tokio::time::sleep(PATIENCE) => Err(timed_out),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Code;

    fn pending(redirect_uri: &str) -> Arc<Pending> {
        Arc::new(Pending {
            state: Secret::new("the-state"),
            code_verifier: None,
            redirect_uri: redirect_uri.parse().unwrap(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            client_id: "id".to_owned(),
            base_url: "https://a.example".to_owned(),
        })
    }

    async fn wait_in_vain(redirect_uri: &str, pasted: oneshot::Receiver<Secret>) {
        let pending = pending(redirect_uri);
        let listener = match pending.redirect_uri.scheme() {
            "http" => Some(Listener::bind(&pending.redirect_uri).await.unwrap()),
            _ => None,
        };
        let began = tokio::time::Instant::now();
        let error = come_back(&"square/default".parse().unwrap(), listener, pending, pasted).await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), 300);
        assert_eq!(error.code(), Code::NeedsLogin);
        let Error::LoginTimedOut { provider, redirect_uri: named } = error else { panic!("{error:?}") };
        assert_eq!((provider.as_str(), named.as_str()), ("square", redirect_uri));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_five_minutes_for_the_browser_and_no_longer() {
        let (_open, pasted) = oneshot::channel();
        wait_in_vain("http://127.0.0.1:0/callback", pasted).await;
        let (_open, pasted) = oneshot::channel();
        wait_in_vain("https://shop.example/done", pasted).await;
    }

    #[tokio::test(start_paused = true)]
    async fn goes_on_waiting_when_the_terminal_is_closed() {
        let (closed, pasted) = oneshot::channel();
        drop(closed);
        wait_in_vain("http://127.0.0.1:0/callback", pasted).await;
    }
}
