//! What the providers were seen to answer when they say no: who has to act, and whether the grant is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::shop::MERCHANT;
use crate::support::{Answer, Request, Server, Shop, Sort};

/// What becomes of the stored grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    /// The file is what it was, and the next refresh is sent.
    Kept,
    /// The file says so, and the next refresh sends nothing.
    Dead,
    /// The file is gone.
    Forgotten,
}
use Grant::{Dead, Forgotten, Kept};

/// A command, what it is answered with, its exit code and what becomes of the grant.
type Row = (&'static str, u16, Body, i32, Grant);

/// A body that says no.
#[derive(Debug, Clone)]
enum Body {
    Json(Value),
    Html(&'static str),
    Empty,
}

impl Body {
    /// No second attempt fits into the time until the provider wants to be asked again.
    fn answer(&self, status: u16) -> Answer {
        let answer = match self {
            Self::Json(body) => Answer::json(status, body.clone()),
            Self::Html(page) => Answer::html(status, page),
            Self::Empty => Answer::new(status, "text/plain", ""),
        };
        answer.header("Retry-After", "3600").header("x-wix-request-id", "1795276800.4711")
    }
}

/// Square's older shape.
fn a(kind: &str, message: &str) -> Body {
    Body::Json(json!({"message": message, "type": kind}))
}

/// Square's shape of today.
fn b(category: &str, code: &str, detail: &str) -> Body {
    Body::Json(json!({"errors": [{"category": category, "code": code, "detail": detail}]}))
}

/// The arguments of a command, and what it reads from stdin.
fn args(command: &str) -> (Vec<&str>, &'static str) {
    match command {
        "code" => (vec!["obtain", "--code", "-"], "sq0cgp-code"),
        "revoke" => (vec!["revoke", "--yes"], ""),
        "merchant" => (vec!["revoke", "--yes", "--merchant-id", MERCHANT], ""),
        "status" => (vec!["status", "--remote"], ""),
        command => (vec![command], ""),
    }
}

#[track_caller]
fn assert_rows(sort: Sort, rows: &[Row]) {
    for row in rows {
        let (command, status, body, code, grant) = row;
        let mut shop = Shop::new(sort);
        let (refusal, good) = (body.answer(*status), Answer::json(200, shop.answer()));
        let mended = Arc::new(AtomicBool::new(false));
        let is_mended = Arc::clone(&mended);
        let server = Server::with(move |_, _| if is_mended.load(Ordering::Relaxed) { &good } else { &refusal }.clone());
        shop.at(&server).store(-3600);
        let (before, bytes) = (shop.stored(), shop.bytes());

        let (arguments, stdin) = args(command);
        let run = shop.env.command(&arguments).stdin(stdin).run();
        assert_eq!(run.status, Some(*code), "{row:?}\n{run}");
        assert_eq!(server.requests().len(), 1, "{row:?}");

        mended.store(true, Ordering::Relaxed);
        match grant {
            Kept => assert!(shop.bytes() == bytes, "{row:?}: the file changed"),
            Forgotten => assert!(!shop.has_token(), "{row:?}: not forgotten"),
            Dead => {
                let mut after = shop.stored();
                assert!(after["tokman"]["needs_login"].is_string(), "{row:?}");
                after["tokman"]["generation"] = before["tokman"]["generation"].clone();
                after["tokman"].as_object_mut().expect("an object").remove("needs_login");
                assert_eq!(after, before, "{row:?}: more than the mark changed");
            }
        }
        let (again, requests) = match grant {
            Kept => (0, 2),
            Dead => (5, 1),
            Forgotten => (if sort == Sort::WixApp { 0 } else { 4 }, 1),
        };
        for refresh in [&["refresh", "-o", "none"][..], &["refresh", "--force", "-o", "none"]] {
            let run = shop.env.tokman(refresh);
            assert_eq!(run.status, Some(again), "{row:?}, then {refresh:?}\n{run}");
            if *grant == Kept {
                break;
            }
        }
        assert_eq!(server.requests().len(), requests, "{row:?}");
        server.finish();
    }
}

const BAD: &str = "INVALID_REQUEST_ERROR";
const AUTH: &str = "AUTHENTICATION_ERROR";
const MISSING: &str = "bad_request.missing_parameter";
const PAGE: Body = Body::Html("<html><body><h1>502 Bad Gateway</h1></body></html>");

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

#[test]
fn a_provider_that_is_down_is_asked_four_times_within_the_budget() {
    let mut shop = Shop::square();
    let server = Server::with(|_, _| Answer::html(503, "<html>down</html>")).exactly(4);
    shop.at(&server).store(-60);
    let bytes = shop.bytes();
    shop.env.tokman(&["refresh"]).code(7).stderr_has("HTTP 503").stderr_has("hint: the stored grant is kept");
    assert!(shop.bytes() == bytes);
    server.finish();
}

#[test]
fn a_provider_that_recovers_meanwhile_is_asked_until_it_does() {
    for status in [408, 429, 500, 503] {
        let mut shop = Shop::square();
        let good = shop.answer();
        let server = Server::with(move |_, nth| match nth {
            0 => Answer::json(status, json!({})),
            _ => Answer::json(200, good.clone()),
        })
        .exactly(2);
        shop.at(&server).store(-60);
        shop.run(&["token"]).code(0).stdout_is(&format!("{}\n", shop.new_access)).stderr_is("");
        server.finish();
    }
}

#[test]
fn a_redirect_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let target = Server::start(vec![]);
        let mut shop = Shop::square();
        let location = format!("{}/oauth2/token", target.url());
        let server =
            Server::with(move |_, _| Answer::html(status, "<p>moved").header("Location", &location)).exactly(1);
        shop.at(&server).store(-60);
        shop.env.tokman(&["refresh"]).code(7);
        server.finish();
        target.finish();
    }
}

#[test]
fn a_refusal_is_one_object_that_names_what_the_provider_said() {
    let mut shop = Shop::new(Sort::WixLegacy);
    let body = json!({"error": "invalid_grant", "error_description": "revoked"});
    let server = Server::with(move |_, _| Answer::json(400, body.clone()).header("x-wix-request-id", "1795.4711"));
    shop.at(&server).store(-60);
    let run = shop.env.tokman(&["refresh", "--log-format", "json"]);
    let error: Value = serde_json::from_str(run.code(5).stderr.trim()).expect("one object");
    assert_eq!(error["level"], "error");
    assert_eq!((&error["code"], &error["name"]), (&json!(5), &json!("needs_login")));
    assert_eq!(error["key"], "wix/default");
    assert_eq!(error["hint"], "tokman obtain --provider wix");
    let provider = &error["provider"];
    assert_eq!(provider["status"], 400);
    assert_eq!(provider["code"], "invalid_grant");
    assert_eq!(provider["request_id"], "1795.4711");
    server.finish();
}

#[test]
fn an_error_in_text_ends_with_the_command_that_mends_it() {
    let mut shop = Shop::square();
    let server = Server::with(|_: &Request, _| {
        Answer::json(401, json!({"type": "service.not_authorized", "message": "Invalid refresh token"}))
    });
    shop.at(&server).store(-60);
    let run = shop.env.tokman(&["refresh"]);
    run.code(5).stdout_is("").stderr_is(
        "error: Invalid refresh token (HTTP 401, service.not_authorized)\nhint: tokman obtain --provider square\n",
    );
    let run = shop.env.tokman(&["refresh"]);
    run.code(5)
        .stderr_has("error: the grant of square/default ended")
        .stderr_has("hint: tokman obtain --provider square");
    server.finish();
}
