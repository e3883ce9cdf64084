//! A login on another device (RFC 8628): what the provider says of it, and what its error codes mean to who polls.

use std::time::Duration;

use url::Url;

use super::refusal::accepted;
use crate::config::address;
use crate::model::{Secret, ServerText, lifetime};
use crate::provider::{HttpResponse, ProviderError, Refusal, RefusalClass};

/// How often to ask where the provider does not say (RFC 8628 §3.2).
const INTERVAL: Duration = Duration::from_secs(5);

/// How long a code is good where the provider does not say, although it has to.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// What a person has to do elsewhere, and how to ask whether they have (RFC 8628 §3.2).
#[derive(Debug, Clone)]
pub struct DeviceAuthorization {
    /// What tokman asks with.
    pub device_code: Secret,
    /// What the person enters; shown escaped.
    pub user_code: ServerText,
    /// Where they enter it: https, or http on loopback.
    pub verification_uri: Url,
    /// The same with the code in it; absent where the provider gives none, or an unsafe one.
    pub verification_uri_complete: Option<Url>,
    /// How long the codes are good.
    pub expires_in: Duration,
    /// How long to wait between two questions; a second at least.
    pub interval: Duration,
}

/// What a refusal means to who polls (RFC 8628 §3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// The person has not decided yet.
    Pending,
    /// The same, and ask five seconds less often from now on.
    SlowDown,
    /// It says nothing of the grant: ask again later.
    Passing,
    /// It is over.
    Over,
}

impl Poll {
    /// What an error of the token endpoint means.
    #[must_use]
    pub fn of(error: &ProviderError) -> Self {
        let ProviderError::Refused(refusal) = error else {
            return if matches!(error, ProviderError::NoAnswer { .. }) { Self::Passing } else { Self::Over };
        };
        match refusal.code.as_ref().map(ServerText::as_received) {
            Some("authorization_pending") => Self::Pending,
            Some("slow_down") => Self::SlowDown,
            _ if refusal.class == RefusalClass::Passing => Self::Passing,
            _ => Self::Over,
        }
    }
}

/// The error of a code that nobody entered in time; the same as the provider's own `expired_token`.
#[must_use]
pub fn expired() -> ProviderError {
    ProviderError::Refused(Box::new(Refusal {
        class: RefusalClass::GrantDead,
        status: None,
        code: Some(ServerText::new("expired_token")),
        message: ServerText::new("the code was not entered in time"),
        request_id: None,
        hint: None,
    }))
}

/// Reads the answer of the device authorization endpoint.
pub(super) fn read(answer: &HttpResponse) -> Result<DeviceAuthorization, ProviderError> {
    let response = accepted(answer)?;
    let unusable =
        |why: &str| ProviderError::Unusable { status: answer.status().as_u16(), why: why.to_owned(), refresh: None };
    let text = |names: [&str; 2]| names.iter().find_map(|name| response.text(name));
    let device_code = response.text("device_code").ok_or_else(|| unusable("there is no device code in it"))?;
    let user_code = response.text("user_code").ok_or_else(|| unusable("there is no code for a person in it"))?;
    // `verification_url` was the name in the drafts.
    let address = text(["verification_uri", "verification_url"])
        .ok_or_else(|| unusable("there is no address for a person in it"))?;
    let verification_uri = address::endpoint(address).map_err(|why| unusable(&format!("the address to open {why}")))?;
    let complete = text(["verification_uri_complete", "verification_url_complete"]);
    let seconds = |name: &str| {
        let seconds = response.get(name).and_then(lifetime::seconds);
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
    };
    Ok(DeviceAuthorization {
        device_code: Secret::new(device_code),
        user_code: ServerText::new(user_code),
        verification_uri,
        verification_uri_complete: complete.and_then(|text| address::endpoint(text).ok()),
        expires_in: seconds("expires_in").unwrap_or(LIFETIME),
        interval: seconds("interval").unwrap_or(INTERVAL).max(Duration::from_secs(1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::recorded::answer as answered;

    fn with(members: &str) -> Result<DeviceAuthorization, ProviderError> {
        let body = format!(r#"{{"device_code":"d","user_code":"WDJB-MJHT"{members}}}"#);
        read(&answered(200, &body))
    }

    #[test]
    fn asks_every_five_seconds_unless_the_provider_says_otherwise() {
        let interval = |member: &str| {
            let uri = r#","verification_uri":"https://a.example/device""#;
            with(&format!("{uri}{member}")).unwrap().interval.as_secs()
        };
        for (member, seconds) in [
            ("", 5),
            (r#","interval":null"#, 5),
            (r#","interval":"soon""#, 5),
            (r#","interval":10"#, 10),
            (r#","interval":"7""#, 7),
            (r#","interval":0"#, 1),
            (r#","interval":-3"#, 1),
        ] {
            assert_eq!(interval(member), seconds, "{member}");
        }
    }

    #[test]
    fn shows_code_and_address_that_cannot_drive_a_terminal() {
        let body = r#"{"device_code":"d","user_code":"A\u001b[2JB","verification_uri":"https://a.example/\u001b[2J",
                       "verification_uri_complete":"javascript:alert(1)","expires_in":1800}"#;
        let device = read(&answered(200, body)).unwrap();
        assert_eq!(device.user_code.to_string(), "A\\u{1b}[2JB");
        assert_eq!(device.verification_uri.as_str(), "https://a.example/%1B[2J");
        assert_eq!(device.verification_uri_complete, None);
        assert_eq!(device.expires_in, Duration::from_secs(1800));
        assert!(with(r#","verification_url":"https://a.example""#).is_ok());
    }

    #[test]
    fn refuses_an_answer_that_nobody_could_act_on() {
        for members in ["", r#","verification_uri":"http://a.example""#, r#","verification_uri":"no address""#] {
            assert!(matches!(with(members), Err(ProviderError::Unusable { .. })), "{members}");
        }
        assert!(read(&answered(200, r#"{"user_code":"a","verification_uri":"https://a.example"}"#)).is_err());
        let refused = read(&answered(200, r#"{"error":"unauthorized_client"}"#)).unwrap_err();
        assert_eq!(refused.class(), Some(RefusalClass::Application));
    }

    #[test]
    fn tells_what_to_wait_for_from_what_is_over() {
        let poll = |status: u16, code: &str| {
            let body = format!(r#"{{"error":"{code}"}}"#);
            Poll::of(&accepted(&answered(status, &body)).unwrap_err())
        };
        for (status, code, expected) in [
            (400, "authorization_pending", Poll::Pending),
            (428, "authorization_pending", Poll::Pending),
            (200, "authorization_pending", Poll::Pending),
            (400, "slow_down", Poll::SlowDown),
            (429, "slow_down", Poll::SlowDown),
            (503, "", Poll::Passing),
            (400, "access_denied", Poll::Over),
            (400, "expired_token", Poll::Over),
            (400, "invalid_grant", Poll::Over),
            (401, "invalid_client", Poll::Over),
        ] {
            assert_eq!(poll(status, code), expected, "{status} {code}");
        }
        assert_eq!(Poll::of(&accepted(&answered(400, "<html>")).unwrap_err()), Poll::Passing);
        assert_eq!(Poll::of(&expired()), Poll::Over);
    }
}
