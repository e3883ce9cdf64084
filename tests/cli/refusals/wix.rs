//! What Wix was seen to answer: RFC 6749, its own shapes, and its edge.

use serde_json::json;

use super::Grant::{Dead, Forgotten, Kept};
use super::{Body, PAGE, assert_rows};
use crate::support::Sort;

fn standard(message: &str, code: &str) -> Body {
    Body::Json(
        json!({"message": message, "details": {"applicationError": {"code": code, "description": "", "data": {}}}}),
    )
}

fn rfc(code: &str, description: &str) -> Body {
    Body::Json(json!({"error": code, "error_description": description}))
}

fn message(message: &str) -> Body {
    Body::Json(json!({"message": message}))
}

#[test]
fn wix_calls_a_refresh_token_dead_and_it_is_never_sent_again() {
    for sort in [Sort::WixLegacy, Sort::WixHeadless] {
        assert_rows(
            sort,
            &[
                ("refresh", 400, rfc("invalid_grant", "The refresh token was revoked"), 5, Dead),
                ("token", 400, Body::Json(json!({"error": "invalid_grant"})), 5, Dead),
            ],
        );
    }
}

#[test]
fn wix_finds_no_instance_and_the_record_is_kept() {
    assert_rows(
        Sort::WixApp,
        &[
            ("refresh", 404, message("app not found in any meta-site"), 6, Kept),
            ("token", 404, standard("app not found in any meta-site", "APP_NOT_FOUND"), 6, Kept),
            ("refresh", 401, rfc("invalid_client", "Client authentication failed"), 6, Kept),
            ("refresh", 400, rfc("unauthorized_client", ""), 6, Kept),
            ("refresh", 400, message("appRuntimeKeys [at index 0] is invalid: appId is not a valid GUID"), 6, Kept),
            ("refresh", 428, standard("Invalid api key", "48876"), 6, Kept),
            ("refresh", 402, message("Payment Required"), 6, Kept),
            ("refresh", 403, message("Forbidden"), 6, Kept),
            ("refresh", 401, message("No identity found"), 6, Kept),
        ],
    );
}

#[test]
fn wix_says_something_else_and_the_grant_is_kept() {
    let violation = json!({"message": "invalid", "details": {"validationError": {"fieldViolations": [
        {"field": "refreshToken", "description": "must not be empty", "violatedRule": "REQUIRED_FIELD"},
    ]}}});
    let stores = json!({"errorDescription": "invalid_token: the token has expired", "errorCode": -19999});
    assert_rows(
        Sort::WixLegacy,
        &[
            ("refresh", 400, Body::Json(violation), 6, Kept),
            ("refresh", 404, standard("Site not found", "SITE_NOT_FOUND"), 6, Kept),
            ("refresh", 400, standard("", "-19999"), 6, Kept),
            ("refresh", 400, rfc("authorization_pending", ""), 6, Kept),
            ("refresh", 400, message("Device code is not yet verified"), 6, Kept),
            ("refresh", 400, message("internal error"), 6, Kept),
            ("refresh", 400, Body::Json(stores), 6, Kept),
            ("refresh", 400, message("WDE0117: MetaSite not found"), 6, Kept),
            ("code", 400, rfc("invalid_grant", "The code has expired"), 5, Kept),
            ("code", 400, message("internal error"), 6, Kept),
        ],
    );
}

#[test]
fn wix_or_its_edge_asks_for_patience_and_the_grant_is_kept() {
    for sort in [Sort::WixApp, Sort::WixLegacy] {
        assert_rows(
            sort,
            &[
                ("refresh", 429, message("Too many requests"), 7, Kept),
                ("refresh", 500, message("internal error"), 7, Kept),
                ("refresh", 503, rfc("invalid_grant", "not now"), 7, Kept),
                ("refresh", 403, PAGE, 7, Kept),
                ("refresh", 403, Body::Empty, 7, Kept),
                ("refresh", 403, Body::Html("Forbidden"), 7, Kept),
                ("status", 403, PAGE, 7, Kept),
                ("status", 503, PAGE, 7, Kept),
            ],
        );
    }
}

#[test]
fn wix_no_longer_knows_a_token() {
    assert_rows(
        Sort::WixHeadless,
        &[
            ("revoke", 400, rfc("invalid_grant", ""), 0, Forgotten),
            ("revoke", 404, message("not found"), 0, Forgotten),
            ("revoke", 500, message("internal error"), 7, Kept),
            ("revoke", 401, rfc("invalid_client", ""), 6, Kept),
            ("status", 401, message("expired"), 0, Kept),
            ("status", 400, standard("invalid token", "INVALID_TOKEN"), 0, Kept),
        ],
    );
}
