//! What an OAuth 2.0 provider says when it says no (RFC 6749 §5.2, RFC 8628 §3.5, RFC 7009 §2.2.1).

use http::StatusCode;

use crate::model::{Response, ServerText};
use crate::provider::{HttpResponse, ProviderError, Refusal, RefusalClass, answer};

/// The object of an answer that does not say no. A success whose body is an error is an error.
///
/// # Errors
/// The refusal, or what is no answer.
pub(super) fn accepted(answer: &HttpResponse) -> Result<Response, ProviderError> {
    let response = answer::object(answer, None)?;
    let says_no = response.get("error").is_some() && !answer::has_token(&response);
    if answer.status().is_success() && !says_no { Ok(response) } else { Err(refused(answer.status(), &response)) }
}

/// The refusal in an answer. The code counts more than the status.
pub(super) fn refused(status: StatusCode, response: &Response) -> ProviderError {
    let code = response.text("error").unwrap_or_default();
    let class = classify(status, code);
    ProviderError::Refused(Box::new(Refusal {
        class,
        status: Some(status.as_u16()),
        code: (!code.is_empty()).then(|| ServerText::new(code)),
        message: ServerText::new(response.text("error_description").unwrap_or(code)),
        request_id: None,
        hint: hint(code).map(str::to_owned),
    }))
}

fn classify(status: StatusCode, code: &str) -> RefusalClass {
    match code {
        _ if answer::is_passing(status) => RefusalClass::Passing,
        "invalid_grant" | "access_denied" | "expired_token" => RefusalClass::GrantDead,
        "invalid_client" | "unauthorized_client" => RefusalClass::Application,
        "temporarily_unavailable" | "server_error" | "authorization_pending" | "slow_down" => RefusalClass::Passing,
        _ => RefusalClass::Other,
    }
}

/// A refused refresh. Only `invalid_grant` says that a refresh token is dead (RFC 6749 §5.2): what ends a login, a
/// person's no or a code that was not entered in time, does not.
pub(super) fn of_refresh(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::Refused(mut refusal)
            if refusal.class == RefusalClass::GrantDead
                && refusal.code.as_ref().is_none_or(|code| code.as_received() != "invalid_grant") =>
        {
            refusal.class = RefusalClass::Other;
            refusal.hint = Some("the provider does not call the grant dead: it is kept".to_owned());
            ProviderError::Refused(refusal)
        }
        other => other,
    }
}

fn hint(code: &str) -> Option<&'static str> {
    match code {
        "invalid_scope" => Some("ask for other scopes: `--scope`, or scopes in the config file"),
        "unauthorized_client" => Some("the provider does not let this application use this grant"),
        "unsupported_grant_type" => Some("the provider does not have this grant"),
        "invalid_dpop_proof" | "use_dpop_nonce" => {
            Some("the provider wants DPoP proofs (RFC 9449), which tokman does not make: have it issue bearer tokens")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::recorded::answer as answered;

    #[test]
    fn lays_every_error_code_at_the_right_door() {
        use RefusalClass::{Application, GrantDead, Other, Passing};
        for (status, code, class) in [
            (400, "invalid_grant", GrantDead),
            (401, "invalid_grant", GrantDead),
            (400, "invalid_client", Application),
            (401, "invalid_client", Application),
            (400, "unauthorized_client", Application),
            (400, "invalid_request", Other),
            (400, "invalid_scope", Other),
            (400, "unsupported_grant_type", Other),
            (400, "made_up", Other),
            (401, "", Other),
            (403, "access_denied", GrantDead),
            (400, "expired_token", GrantDead),
            (400, "authorization_pending", Passing),
            (429, "slow_down", Passing),
            (400, "temporarily_unavailable", Passing),
            (503, "invalid_grant", Passing),
            (200, "invalid_grant", GrantDead),
            (200, "invalid_client", Application),
        ] {
            let body = format!(r#"{{"error":"{code}","error_description":"words"}}"#);
            let error = accepted(&answered(status, &body)).unwrap_err();
            assert_eq!(error.class(), Some(class), "{status} {code}");
        }
    }

    #[test]
    fn calls_a_refresh_token_dead_only_where_the_provider_does() {
        for (code, class) in [
            ("invalid_grant", RefusalClass::GrantDead),
            ("access_denied", RefusalClass::Other),
            ("expired_token", RefusalClass::Other),
            ("invalid_client", RefusalClass::Application),
        ] {
            let body = format!(r#"{{"error":"{code}"}}"#);
            let error = of_refresh(accepted(&answered(403, &body)).unwrap_err());
            assert_eq!(error.class(), Some(class), "{code}");
        }
    }

    #[test]
    fn shows_what_the_provider_says_without_letting_it_drive_the_terminal() {
        let body = r#"{"error":"invalid_request","error_description":"a\u001b[31mb\u202ec"}"#;
        let error = accepted(&answered(400, body)).unwrap_err();
        assert_eq!(error.to_string(), "a\\u{1b}[31mb\\u{202e}c (HTTP 400, invalid_request)");
    }

    #[test]
    fn takes_tokens_that_come_with_an_error_beside_them() {
        assert!(accepted(&answered(200, r#"{"access_token":"a","error":null}"#)).is_ok());
        assert!(accepted(&answered(200, r#"{"access_token":"a","error":"none"}"#)).is_ok());
    }
}
