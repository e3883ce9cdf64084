//! What Square was seen to answer: two shapes of its own, and pages of what stands before it.

use serde_json::json;

use super::Grant::{Dead, Forgotten, Kept};
use super::{Body, PAGE, assert_rows};
use crate::support::Sort;

/// Square's older shape.
fn a(kind: &str, message: &str) -> Body {
    Body::Json(json!({"message": message, "type": kind}))
}

/// Square's shape of today.
fn b(category: &str, code: &str, detail: &str) -> Body {
    Body::Json(json!({"errors": [{"category": category, "code": code, "detail": detail}]}))
}

const BAD: &str = "INVALID_REQUEST_ERROR";
const AUTH: &str = "AUTHENTICATION_ERROR";
const MISSING: &str = "bad_request.missing_parameter";

#[test]
fn square_refuses_the_application_and_the_grant_is_kept() {
    assert_rows(
        Sort::Square,
        &[
            ("refresh", 401, a("service.not_authorized", "Not Authorized"), 6, Kept),
            ("code", 401, a("service.not_authorized", "Not Authorized"), 6, Kept),
            ("revoke", 401, a("service.not_authorized", "Not Authorized"), 6, Kept),
            ("renew", 401, a("service.not_authorized", "Not Authorized"), 6, Kept),
            ("refresh", 401, b(AUTH, "CLIENT_DISABLED", "The client is disabled."), 6, Kept),
            ("refresh", 403, b(AUTH, "APPLICATION_DISABLED", "The application is disabled."), 6, Kept),
            ("refresh", 400, a(MISSING, "missing required parameter 'client_id'"), 6, Kept),
            (
                "refresh",
                400,
                b(BAD, "MISSING_REQUIRED_PARAMETER", "missing required parameter 'client_secret'"),
                6,
                Kept,
            ),
        ],
    );
}

#[test]
fn square_refuses_a_code_and_the_stored_grant_is_kept() {
    let claimed = "Authorization code is already claimed";
    assert_rows(
        Sort::Square,
        &[
            ("code", 401, b(AUTH, "UNAUTHORIZED", "Authorization code not found for app sq0idp-X"), 5, Kept),
            ("code", 401, a("service.not_authorized", "Authorization code not found for app [sq0idp-X]"), 5, Kept),
            ("code", 401, a("service.not_authorized", claimed), 5, Kept),
            ("code", 401, b(AUTH, "UNAUTHORIZED", claimed), 5, Kept),
            ("code", 400, b(BAD, "MISSING_REQUIRED_PARAMETER", "missing required parameter 'redirect_uri'"), 6, Kept),
            ("code", 429, a("too_many_requests", "This request was rate limited. Please retry later."), 7, Kept),
            ("code", 503, PAGE, 7, Kept),
        ],
    );
}

#[test]
fn square_calls_a_refresh_token_dead_and_it_is_never_sent_again() {
    for sort in [Sort::Square, Sort::SquarePkce] {
        assert_rows(
            sort,
            &[
                ("refresh", 401, a("service.not_authorized", "Invalid refresh token"), 5, Dead),
                ("refresh", 401, b(AUTH, "UNAUTHORIZED", "Invalid refresh token"), 5, Dead),
                ("token", 401, b(AUTH, "ACCESS_TOKEN_REVOKED", "The access token has been revoked."), 5, Dead),
                ("refresh", 401, a("oauth.revoked", "The OAuth token was revoked."), 5, Dead),
            ],
        );
    }
}

#[test]
fn square_says_something_else_and_the_grant_is_kept() {
    let unauthorized = "This request could not be authorized.";
    assert_rows(
        Sort::Square,
        &[
            ("refresh", 400, a(MISSING, "missing required parameter 'refresh_token'"), 6, Kept),
            ("refresh", 401, b(AUTH, "UNAUTHORIZED", unauthorized), 6, Kept),
            ("refresh", 401, a("unauthorized", "Unauthorized"), 6, Kept),
            ("refresh", 401, b(AUTH, "ACCESS_TOKEN_EXPIRED", "The access token has expired."), 6, Kept),
            ("refresh", 401, a("oauth.expired", "The OAuth token has expired."), 6, Kept),
            ("refresh", 403, a("forbidden", "Forbidden"), 6, Kept),
            ("refresh", 403, b(AUTH, "INSUFFICIENT_SCOPES", "The merchant has not given that."), 6, Kept),
            ("refresh", 404, a("not_found", "Not Found"), 6, Kept),
            ("refresh", 400, a("bad_request", "Bad Request"), 6, Kept),
            ("refresh", 409, b(BAD, "CONFLICT", "Conflict"), 6, Kept),
            ("refresh", 415, b(BAD, "UNSUPPORTED_MEDIA_TYPE", "Unsupported."), 6, Kept),
            ("refresh", 400, Body::Json(json!({})), 6, Kept),
            ("refresh", 401, Body::Json(json!({"errors": []})), 6, Kept),
        ],
    );
}

#[test]
fn square_asks_for_patience_and_the_grant_is_kept() {
    let quota = "access token creation quota exceeded for merchant, please retry later";
    let internal = "unable to authorize this request due to an internal error";
    assert_rows(
        Sort::Square,
        &[
            ("refresh", 429, a("too_many_requests", quota), 7, Kept),
            ("token", 429, a("too_many_requests", "This request was rate limited. Please retry later."), 7, Kept),
            ("refresh", 429, b("RATE_LIMIT_ERROR", "RATE_LIMITED", "Too many requests."), 7, Kept),
            ("refresh", 408, b("API_ERROR", "REQUEST_TIMEOUT", "Timeout."), 7, Kept),
            ("refresh", 500, b("API_ERROR", "INTERNAL_SERVER_ERROR", internal), 7, Kept),
            ("status", 500, b("API_ERROR", "INTERNAL_SERVER_ERROR", internal), 7, Kept),
            ("refresh", 500, a("internal_server_error", "Internal Server Error"), 7, Kept),
            ("refresh", 503, a("service_unavailable", "Service Unavailable"), 7, Kept),
            // Words for a dead grant from a server that is down are no word on the grant.
            ("refresh", 503, a("service.not_authorized", "Invalid refresh token"), 7, Kept),
            ("refresh", 502, PAGE, 7, Kept),
            ("refresh", 504, Body::Empty, 7, Kept),
            ("refresh", 403, PAGE, 7, Kept),
            ("refresh", 401, PAGE, 7, Kept),
            ("refresh", 407, PAGE, 7, Kept),
            ("revoke", 502, PAGE, 7, Kept),
            ("revoke", 404, PAGE, 7, Kept),
        ],
    );
}

#[test]
fn square_refuses_to_revoke_and_nothing_is_forgotten() {
    let neither = "one of either 'access_token' or 'merchant_id' is required";
    assert_rows(
        Sort::Square,
        &[
            ("revoke", 400, a("bad_request.invalid_parameter", "bad authorization header"), 6, Kept),
            ("revoke", 400, a(MISSING, neither), 6, Kept),
            ("merchant", 400, a(MISSING, neither), 6, Kept),
            ("revoke", 403, a("forbidden", "Forbidden"), 6, Kept),
            // Gone already is what was wanted.
            ("revoke", 404, a("not_found", "access token not found"), 0, Forgotten),
            ("revoke", 401, b(AUTH, "ACCESS_TOKEN_REVOKED", "The access token has been revoked."), 0, Forgotten),
        ],
    );
}

#[test]
fn square_refuses_to_renew_and_the_refresh_token_is_kept() {
    assert_rows(
        Sort::Square,
        &[
            ("renew", 400, a("bad_request", "cannot renew revoked token"), 5, Kept),
            ("renew", 404, a("not_found", "Not Found"), 6, Kept),
            ("renew", 410, b(BAD, "GONE", "This endpoint is retired."), 6, Kept),
            ("renew", 404, PAGE, 6, Kept),
            ("renew", 400, a("bad_request.invalid_parameter", "bad authorization header"), 6, Kept),
            ("renew", 503, PAGE, 7, Kept),
        ],
    );
}

#[test]
fn square_calls_an_access_token_dead_and_that_is_a_finding() {
    let malformed = "The `Authorization` http header of your request was malformed.";
    let expired = "The `Authorization` http header of your request was incorrect or expired.";
    assert_rows(
        Sort::Square,
        &[
            ("status", 401, b(AUTH, "UNAUTHORIZED", "This request could not be authorized."), 0, Kept),
            ("status", 401, b(AUTH, "UNAUTHORIZED", malformed), 0, Kept),
            ("status", 401, b(AUTH, "UNAUTHORIZED", expired), 0, Kept),
            ("status", 401, b(AUTH, "ACCESS_TOKEN_EXPIRED", "The access token has expired."), 0, Kept),
            ("status", 401, b(AUTH, "ACCESS_TOKEN_REVOKED", "The access token has been revoked."), 0, Kept),
            ("status", 401, a("unauthorized", "Unauthorized"), 0, Kept),
            ("status", 403, b(AUTH, "APPLICATION_DISABLED", "The application is disabled."), 6, Kept),
        ],
    );
}
