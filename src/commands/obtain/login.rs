//! The logins of `tokman obtain`: with a browser that comes back, and with an address that is pasted.

use std::io;

use tokio::sync::oneshot;
use url::Url;

use super::Run;
use super::input::read_line;
use crate::config::{ProviderKind, provider};
use crate::env;
use crate::exit::Usage;
use crate::model::Grant;
use crate::ops::browser_login::{Announcement, LoginRequest};
use crate::ops::login::Pending;
use crate::ops::{self, browser};
use crate::provider::Wanted;

impl Run<'_> {
    /// Where the browser goes after the login.
    pub(super) fn redirect_uri(&self) -> anyhow::Result<Url> {
        let configured = self.issuer.settings().redirect_uri.as_ref().map(|setting| setting.value.clone());
        Ok(match (&self.args.redirect_uri, configured) {
            (Some(text), _) => {
                provider::redirect_uri(text).map_err(|why| Usage::new(format!("--redirect-uri {why}")))?
            }
            (None, Some(configured)) => configured,
            // RFC 8252 §7.3 has the literal; Square and Wix register the name.
            (None, None) if self.issuer.settings().kind == ProviderKind::OAuth2 => {
                Url::parse(&format!("http://127.0.0.1:{}/callback", self.args.port))?
            }
            (None, None) => Url::parse(&format!("http://localhost:{}/callback", self.args.port))?,
        })
    }

    pub(super) fn begin(&self) -> anyhow::Result<(Url, Pending)> {
        let redirect_uri = self.redirect_uri()?;
        let begun = self.broker.begin_login(&self.issuer, redirect_uri, self.scopes.clone());
        Ok(ops::runtime()?.block_on(begun)?)
    }

    /// Logs in with the browser coming back by itself, or with what is pasted, whichever is first.
    pub(super) fn log_in(&self, wanted: Wanted) -> anyhow::Result<ops::Outcome> {
        let request = LoginRequest { redirect_uri: self.redirect_uri()?, wanted, keep: self.keep };
        let printer = &self.context.printer;
        let announce = |login: &Announcement| {
            let opened = login.listens && !env::has_no_browser() && browser::open(&login.address);
            let what = if opened {
                "Your browser opens this address; consent there"
            } else {
                "Open this address in a browser and consent"
            };
            printer.ask(&format!("{what}:\n\n  {}\n", login.address));
            let waits =
                if login.listens { "Waiting for the browser to come back to" } else { "The browser then goes to" };
            printer.ask(&format!(
                "{waits} {}. If it cannot, paste the address it shows, or the code:",
                login.redirect_uri
            ));
            let (sender, receiver) = oneshot::channel();
            // Ends with the process: a read of the terminal cannot be called off.
            std::thread::spawn(move || {
                read_line(&io::stdin()).ok().filter(|line| !line.is_empty()).map(|line| sender.send(line))
            });
            receiver
        };
        let login = self.broker.login(&self.key, &self.issuer, request, announce);
        Ok(ops::runtime()?.block_on(login)?)
    }

    /// Shows the address and waits for what the browser ends at.
    pub(super) fn ask_for_redirect(&self) -> anyhow::Result<Grant> {
        self.stdin_is_free("redirected address")?;
        let (address, pending) = self.begin()?;
        // Not silenced by --quiet: without it nothing goes on.
        let printer = &self.context.printer;
        printer.ask(&format!("Open this address in a browser and consent:\n\n  {address}\n"));
        printer.ask(&format!(
            "The browser then goes to {}, which need not load. Paste the address it shows, or the code:",
            pending.redirect_uri
        ));
        let pasted = read_line(&io::stdin())?;
        Ok(pending.grant(&self.issuer, &pasted)?)
    }
}
