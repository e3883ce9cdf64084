//! Square's error bodies. Two shapes live side by side: `message` with `type`, and a list of `errors`.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::emulator::wire::Refusal;

/// The older shape.
pub(super) fn legacy(status: StatusCode, message: &str, kind: &str) -> Refusal {
    Refusal { status, body: json!({ "message": message, "type": kind }) }
}

/// The newer shape.
pub(super) fn listed(status: StatusCode, category: &str, code: &str, detail: &str, field: Option<&str>) -> Refusal {
    let mut error = Map::new();
    error.insert("category".to_owned(), category.into());
    error.insert("code".to_owned(), code.into());
    error.insert("detail".to_owned(), detail.into());
    if let Some(field) = field {
        error.insert("field".to_owned(), field.into());
    }
    Refusal { status, body: json!({ "errors": [Value::Object(error)] }) }
}

/// A request that is wrong in itself, in the newer shape.
pub(super) fn invalid(code: &str, detail: &str, field: Option<&str>) -> Refusal {
    listed(StatusCode::BAD_REQUEST, "INVALID_REQUEST_ERROR", code, detail, field)
}

/// A member that is absent, in the newer shape: `client_secret`, `redirect_uri`, `code_verifier`.
pub(super) fn missing(name: &str) -> Refusal {
    invalid("MISSING_REQUIRED_PARAMETER", &format!("missing required parameter '{name}'"), Some(name))
}

/// A member that is absent, in the older shape: `client_id`, `refresh_token` and the like.
pub(super) fn missing_legacy(name: &str) -> Refusal {
    let message = format!("missing required parameter '{name}'");
    legacy(StatusCode::BAD_REQUEST, &message, "bad_request.missing_parameter")
}

/// The application is unknown or its secret is wrong.
pub(super) fn not_authorized() -> Refusal {
    legacy(StatusCode::UNAUTHORIZED, "Not Authorized", "service.not_authorized")
}

/// A grant that is unknown, spent or past its end.
pub(super) fn dead_token(message: &str) -> Refusal {
    legacy(StatusCode::UNAUTHORIZED, message, "service.not_authorized")
}

/// An access token or a code that is not accepted, in the newer shape.
pub(super) fn unauthorized(code: &str, detail: &str) -> Refusal {
    listed(StatusCode::UNAUTHORIZED, "AUTHENTICATION_ERROR", code, detail, None)
}
