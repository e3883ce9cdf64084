//! What Square says when it says no. It publishes no table of these: the shapes and texts are those that were seen.

use http::StatusCode;
use serde_json::Value;

use crate::model::{Response, ServerText};
use crate::provider::{ProviderError, Refusal, RefusalClass, answer};

/// What an answer says went wrong, in whichever of the shapes that Square mixes.
pub(super) struct Said {
    /// `code`, or the older `type`; empty where there is none.
    pub(super) code: String,
    /// What it says in words; empty where it does not.
    pub(super) message: String,
}

impl Said {
    /// `{"errors":[{"code","detail"}]}`, the older `{"type","message"}`, or RFC 6749 §5.2.
    pub(super) fn read(response: &Response) -> Option<Self> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(first) = response.get("errors").and_then(Value::as_array).and_then(|errors| errors.first()) {
            return Some(Self { code: text(first.get("code")), message: text(first.get("detail")) });
        }
        let pair = |code: &str, message: &str| {
            let said = Self { code: text(response.get(code)), message: text(response.get(message)) };
            (!said.code.is_empty() || !said.message.is_empty()).then_some(said)
        };
        pair("type", "message").or_else(|| pair("error", "error_description"))
    }
}

/// The refusal in an answer. The status alone says little: 401 is a wrong secret as well as a dead grant.
pub(super) fn refused(status: StatusCode, response: &Response) -> ProviderError {
    let said = Said::read(response).unwrap_or(Said { code: String::new(), message: String::new() });
    let class = classify(status, &said);
    ProviderError::Refused(Box::new(Refusal {
        class,
        status: Some(status.as_u16()),
        hint: hint(class, &said).map(str::to_owned),
        code: (!said.code.is_empty()).then(|| ServerText::new(said.code)),
        message: ServerText::new(said.message),
        request_id: None,
    }))
}

fn classify(status: StatusCode, said: &Said) -> RefusalClass {
    if answer::is_passing(status) {
        return RefusalClass::Passing;
    }
    let message = said.message.to_ascii_lowercase();
    match said.code.as_str() {
        "CLIENT_DISABLED" | "APPLICATION_DISABLED" | "invalid_client" => RefusalClass::Application,
        "service.not_authorized" if said.message == "Not Authorized" => RefusalClass::Application,
        "ACCESS_TOKEN_REVOKED" | "oauth.revoked" | "invalid_grant" => RefusalClass::GrantDead,
        "RATE_LIMITED" | "too_many_requests" => RefusalClass::Passing,
        _ if message.starts_with("invalid refresh token")
            || message.starts_with("authorization code not found")
            || message.contains("already claimed")
            || message.starts_with("cannot renew revoked token") =>
        {
            RefusalClass::GrantDead
        }
        _ => RefusalClass::Other,
    }
}

fn hint(class: RefusalClass, said: &Said) -> Option<&'static str> {
    match class {
        RefusalClass::Application if said.code.ends_with("_DISABLED") => {
            Some("Square has disabled the application: see its page in the Developer Console")
        }
        RefusalClass::Application => Some(
            "usually an access token was given as the client secret, or sandbox and production are mixed: \
             `tokman config show` tells where each value comes from",
        ),
        RefusalClass::Other if said.message.contains("'redirect_uri'") => {
            Some("name the redirect address of the login with `--redirect-uri`")
        }
        RefusalClass::Other if said.message.contains("'client_secret'") => {
            Some("this token was not obtained with PKCE: configure the client secret")
        }
        _ => None,
    }
}

/// RenewToken is gone since 2024-04-17; what Square answers now is not known. Whatever it is, it says nothing of the
/// grant unless it says so.
pub(super) fn explain_retirement(status: StatusCode, error: ProviderError) -> ProviderError {
    let hint = "Square retired RenewToken on 2024-04-17: use `tokman refresh`, or, for an access token without a \
                refresh token that still works, `tokman obtain --migration-token -`";
    match error {
        ProviderError::Refused(mut refusal) if refusal.class == RefusalClass::Other => {
            refusal.hint = Some(hint.to_owned());
            ProviderError::Refused(refusal)
        }
        ProviderError::NoAnswer { why, .. } if !status.is_success() => ProviderError::Refused(Box::new(Refusal {
            class: RefusalClass::Other,
            status: Some(status.as_u16()),
            code: None,
            message: ServerText::new(why.to_string()),
            request_id: None,
            hint: Some(hint.to_owned()),
        })),
        other => other,
    }
}
