//! What can go wrong between a request and a token: what the provider refused, and what was never asked.

use std::fmt;

use thiserror::Error;

use crate::model::response::ResponseError;
use crate::model::{Secret, ServerText};

/// Who has to act on a refusal. Nothing else about it decides what happens to a stored grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalClass {
    /// The provider's own word that the grant is dead: a person has to log in again.
    GrantDead,
    /// The application's own credentials are refused. The grant is kept: the right secret mends it.
    Application,
    /// It will pass: 408, 429, 5xx, a proxy's page in place of an answer. The grant is kept.
    Passing,
    /// Anything else. The grant is kept.
    Other,
}

/// An answer that says no.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Who has to act.
    pub class: RefusalClass,
    /// The HTTP status; absent for a redirect in the browser.
    pub status: Option<u16>,
    /// The provider's code for it; absent where it gave none.
    pub code: Option<ServerText>,
    /// What the provider says.
    pub message: ServerText,
    /// The provider's name for this request, for its support; absent where it gave none.
    pub request_id: Option<ServerText>,
    /// What to do about it, where that is not the same for the whole class.
    pub hint: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            f.write_str("no reason given")?;
        } else {
            write!(f, "{}", self.message)?;
        }
        let mut details = Vec::new();
        if let Some(status) = self.status {
            details.push(format!("HTTP {status}"));
        }
        if let Some(code) = self.code.as_ref().filter(|code| !code.is_empty() && **code != self.message) {
            details.push(code.to_string());
        }
        if let Some(id) = self.request_id.as_ref().filter(|id| !id.is_empty()) {
            details.push(format!("request {id}"));
        }
        if details.is_empty() { Ok(()) } else { write!(f, " ({})", details.join(", ")) }
    }
}

/// Something that a request needs and that was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The application's secret.
    ClientSecret,
    /// Wix: the app instance.
    InstanceId,
    /// A refresh token in the record.
    RefreshToken,
    /// An access token in the record: it may have a refresh token only.
    AccessToken,
}

/// Why there is no request, or no use in its answer.
#[derive(Debug, Error)]
pub enum ProviderError {
    /// The provider said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The answer is no JSON: a proxy's page, nothing at all, or broken off. It may be sent again.
    #[error("{why} (HTTP {status})")]
    NoAnswer {
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        why: ResponseError,
    },
    /// The answer is JSON and not refused, but there is no token in it that could be used.
    #[error("the provider's answer cannot be used: {why} (HTTP {status})")]
    Unusable {
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        why: String,
        /// A refresh token that it brought all the same: it must be kept.
        refresh: Option<Secret>,
    },
    /// The provider has no such thing.
    #[error("{what}")]
    Unsupported {
        /// What it does not have, and what that means.
        what: String,
        /// What to do instead; absent where there is nothing.
        hint: Option<String>,
    },
    /// Something is missing before anything can be sent.
    #[error("{why}")]
    Missing {
        /// What.
        need: Need,
        /// Why it is needed.
        why: String,
    },
    /// A setting that the provider is known to refuse.
    #[error("{0}")]
    Setting(String),
    /// A value that cannot travel in a header.
    #[error("the {0} has a character in it that cannot be sent: is there a line break or a blank too many?")]
    NotSendable(&'static str),
}

impl ProviderError {
    /// The class of a refusal; absent where the provider did not refuse.
    #[must_use]
    pub fn class(&self) -> Option<RefusalClass> {
        match self {
            Self::Refused(refusal) => Some(refusal.class),
            _ => None,
        }
    }

    /// The same error with the secrets masked in what the provider wrote.
    #[must_use]
    pub fn masked(mut self, secrets: &[Secret]) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.message.mask(secrets);
            for text in [&mut refusal.code, &mut refusal.request_id].into_iter().flatten() {
                text.mask(secrets);
            }
        }
        if let Self::Unusable { why, .. } = &mut self {
            let mut text = ServerText::new(std::mem::take(why));
            text.mask(secrets);
            *why = text.to_string();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_what_the_provider_echoes() {
        let secret = Secret::new("canary");
        let refusal = Refusal {
            class: RefusalClass::Other,
            status: Some(400),
            code: Some(ServerText::new("bad canary")),
            message: ServerText::new("your secret canary is wrong"),
            request_id: Some(ServerText::new("canary-1")),
            hint: None,
        };
        let error = ProviderError::Refused(Box::new(refusal)).masked(&[secret]);
        assert_eq!(error.to_string(), "your secret *** is wrong (HTTP 400, bad ***, request ***-1)");
        assert!(!format!("{error:?}").contains("canary"));
    }
}
