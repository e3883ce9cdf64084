//! The error bodies of RFC 6749 §5.2, which the RFCs for devices, revocation and introspection use too.

use http::StatusCode;
use serde_json::json;

use crate::emulator::wire::Refusal;

/// An error with status 400.
pub(super) fn refused(error: &str, description: &str) -> Refusal {
    with_status(StatusCode::BAD_REQUEST, error, description)
}

/// An error with a status of its own.
pub(super) fn with_status(status: StatusCode, error: &str, description: &str) -> Refusal {
    Refusal { status, body: json!({ "error": error, "error_description": description }) }
}

/// A request that is wrong in itself.
pub(super) fn invalid_request(description: &str) -> Refusal {
    refused("invalid_request", description)
}

/// A code or token that is unknown, spent, revoked, past its end or another client's.
pub(super) fn invalid_grant(description: &str) -> Refusal {
    refused("invalid_grant", description)
}

/// A scope that is unknown, or wider than what was granted.
pub(super) fn invalid_scope(description: &str) -> Refusal {
    refused("invalid_scope", description)
}

/// A client that is unknown or did not prove itself.
pub(super) fn invalid_client(description: &str) -> Refusal {
    with_status(StatusCode::UNAUTHORIZED, "invalid_client", description)
}

/// A client that may not do this.
pub(super) fn unauthorized_client(description: &str) -> Refusal {
    refused("unauthorized_client", description)
}
