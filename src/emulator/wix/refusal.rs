//! Wix's error bodies: its own, with `message` and `details`, and RFC 6749's where a grant is no good.

use http::StatusCode;
use serde_json::json;

use crate::emulator::wire::Refusal;

/// An error of the application's making or of Wix's state.
pub(super) fn application(status: StatusCode, code: &str, message: &str) -> Refusal {
    let error = json!({ "code": code, "description": message, "data": {} });
    Refusal { status, body: json!({ "message": message, "details": { "applicationError": error } }) }
}

/// A member that is absent or wrong.
pub(super) fn violation(field: &str, description: &str) -> Refusal {
    let violations = json!([{ "field": field, "description": description, "violatedRule": "OTHER" }]);
    Refusal {
        status: StatusCode::BAD_REQUEST,
        body: json!({
            "message": format!("{field} {description}"),
            "details": { "validationError": { "fieldViolations": violations } },
        }),
    }
}

/// RFC 6749 §5.2.
pub(super) fn oauth(error: &str, description: &str) -> Refusal {
    let body = json!({ "error": error, "error_description": description });
    Refusal { status: StatusCode::BAD_REQUEST, body }
}

/// A code or refresh token that is unknown, spent, revoked or past its end.
pub(super) fn invalid_grant(description: &str) -> Refusal {
    oauth("invalid_grant", description)
}

/// The application is unknown or its secret is wrong.
pub(super) fn invalid_client() -> Refusal {
    application(StatusCode::UNAUTHORIZED, "INVALID_CLIENT", "invalid client id or client secret")
}

/// The access token in `Authorization` is absent, unknown or past its end.
pub(super) fn unauthenticated() -> Refusal {
    application(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "No identity found")
}
