//! Square's rules, one a test, against the handlers without a socket.

use std::time::Duration;

use serde_json::json;

use crate::emulator::Options;
use crate::emulator::trial::{Answer, Trial, brought, location, page, question};
use crate::emulator::wire::challenge;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const TOKEN: &str = "/square/oauth2/token";
const REVOKE: &str = "/square/oauth2/revoke";
const STATUS: &str = "/square/oauth2/token/status";

impl Trial {
    fn id(&self) -> String {
        self.variable("TOKMAN_SQUARE_CLIENT_ID")
    }

    fn secret(&self) -> String {
        self.variable("TOKMAN_SQUARE_CLIENT_SECRET")
    }

    fn authorize(&mut self, more: &str) -> String {
        let reply = self.get(&format!("/square/oauth2/authorize?client_id={}{more}", self.id()));
        brought(&reply, "code").unwrap()
    }

    /// POST to the token endpoint with the application's id added.
    fn token(&mut self, mut body: serde_json::Value) -> Answer {
        body["client_id"] = self.id().into();
        self.post(TOKEN, &body)
    }

    fn obtain(&mut self) -> Answer {
        let code = self.authorize("");
        let secret = self.secret();
        self.token(json!({ "grant_type": "authorization_code", "client_secret": secret, "code": code }))
    }

    fn obtain_pkce(&mut self) -> Answer {
        let code = self.authorize(&format!("&code_challenge={}", challenge(VERIFIER)));
        self.token(json!({ "grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER }))
    }

    fn refresh(&mut self, token: &str) -> Answer {
        let secret = self.secret();
        self.token(json!({ "grant_type": "refresh_token", "client_secret": secret, "refresh_token": token }))
    }

    fn refresh_pkce(&mut self, token: &str) -> Answer {
        self.token(json!({ "grant_type": "refresh_token", "refresh_token": token }))
    }

    fn status(&mut self, token: &str) -> Answer {
        self.post_as(&format!("Bearer {token}"), STATUS, &json!({}))
    }

    fn revoke(&mut self, body: &serde_json::Value) -> Answer {
        self.post_as(&format!("Client {}", self.secret()), REVOKE, body)
    }
}

/// Checks the older shape.
fn assert_legacy(answer: &Answer, status: u16, message: &str, kind: &str) {
    assert_eq!((answer.status, &answer.body), (status, &json!({ "message": message, "type": kind })));
}

/// Checks the newer shape.
fn assert_listed(answer: &Answer, status: u16, code: &str, detail: &str) {
    let error = &answer.body["errors"][0];
    assert_eq!((answer.status, error["code"].as_str()), (status, Some(code)), "{answer:?}");
    assert!(error["detail"].as_str().unwrap().starts_with(detail), "{answer:?}");
}

#[test]
fn answers_a_code_with_what_square_answers_and_in_its_order() {
    let mut trial = Trial::approving();
    let answer = trial.obtain();
    let names: Vec<_> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["access_token", "token_type", "expires_at", "merchant_id", "refresh_token", "short_lived"]);
    assert_eq!(answer.text("expires_at"), "2026-12-21T12:00:00Z");
    assert_eq!(answer.text("token_type"), "bearer");
    assert_eq!(answer.body["short_lived"], false);
    assert!(answer.text("access_token").starts_with("EAAA") && answer.text("refresh_token").starts_with("EQAA"));
}

#[test]
fn redirects_with_code_response_type_and_state() {
    let mut trial = Trial::approving();
    let path = format!("/oauth2/authorize?client_id={}&state=a%20b", trial.id());
    let reply = trial.get(&path);
    let url = location(&reply);
    assert!(url.as_str().starts_with("http://localhost:8917/callback?code=sq0cgp-"), "{url}");
    assert!(url.as_str().ends_with("&response_type=code&state=a+b"), "{url}");
}

#[test]
fn shows_a_page_instead_of_redirecting_a_wrong_request() {
    let mut trial = Trial::approving();
    let reply = trial.get("/oauth2/authorize?client_id=sq0idp-other");
    assert_eq!(reply.status(), 400);
    assert!(page(&reply).contains("Unable to find client by that `client_id`"));
    for (more, name) in [
        ("&redirect_uri=http://example.com/", "redirect_uri"),
        ("&redirect_uri=myapp:x", "redirect_uri"),
        ("&scope=A,B", "scope"),
        ("&code_challenge=short", "code_challenge"),
    ] {
        let path = format!("/oauth2/authorize?client_id={}{more}", trial.id());
        let reply = trial.get(&path);
        assert_eq!(reply.status(), 400, "{more}");
        assert!(page(&reply).contains(&format!("Invalid value for parameter `{name}`")), "{more}");
    }
}

#[test]
fn asks_for_consent_and_takes_yes_once() {
    let mut trial = Trial::new(Options::default());
    let path = format!("/square/oauth2/authorize?client_id={}&scope=ITEMS_READ&state=s", trial.id());
    let reply = trial.get(&path);
    assert!(page(&reply).contains("ITEMS_READ") && page(&reply).contains("action=\"/square/consent\""));
    let form = format!("consent={}&decision=allow", question(&reply));
    let allowed = trial.submit("/square/consent", &form);
    assert!(brought(&allowed, "code").unwrap().starts_with("sq0cgp-"));
    assert_eq!(brought(&allowed, "state").as_deref(), Some("s"));
    assert_eq!(trial.submit("/square/consent", &form).status(), 400);
}

#[test]
fn takes_no_for_an_answer_to_consent() {
    let mut trial = Trial::new(Options::default());
    let path = format!("/oauth2/authorize?client_id={}&state=s", trial.id());
    let reply = trial.get(&path);
    let denied = trial.submit("/consent", &format!("consent={}&decision=deny", question(&reply)));
    let query = "error=access_denied&error_description=user_denied&state=s";
    assert_eq!(location(&denied).query(), Some(query));
}

#[test]
fn forgets_a_consent_page_after_ten_minutes() {
    let mut trial = Trial::new(Options::default());
    let path = format!("/oauth2/authorize?client_id={}", trial.id());
    let reply = trial.get(&path);
    trial.pass(600);
    assert_eq!(trial.submit("/consent", &format!("consent={}&decision=allow", question(&reply))).status(), 400);
}

#[test]
fn takes_a_code_once_and_for_five_minutes() {
    let mut trial = Trial::approving();
    let (code, late, secret) = (trial.authorize(""), trial.authorize(""), trial.secret());
    let body = |code: &str| json!({ "grant_type": "authorization_code", "client_secret": secret, "code": code });
    assert_eq!(trial.token(body(&code)).status, 200);
    assert_listed(&trial.token(body(&code)), 401, "UNAUTHORIZED", "Authorization code is already claimed");
    let not_found = format!("Authorization code not found for app {}", trial.id());
    assert_listed(&trial.token(body("sq0cgp-x")), 401, "UNAUTHORIZED", &not_found);
    trial.pass(300);
    assert_listed(&trial.token(body(&late)), 401, "UNAUTHORIZED", &not_found);
}

#[test]
fn wants_the_redirect_address_again_if_it_was_sent_and_does_not_spend_the_code_on_it() {
    let mut trial = Trial::approving();
    let (code, secret) = (trial.authorize("&redirect_uri=http://localhost:1/cb"), trial.secret());
    let mut body = json!({ "grant_type": "authorization_code", "client_secret": secret, "code": code });
    let missing = trial.token(body.clone());
    assert_listed(&missing, 400, "MISSING_REQUIRED_PARAMETER", "missing required parameter 'redirect_uri'");
    body["redirect_uri"] = "http://localhost:1/cb/".into();
    assert_listed(&trial.token(body.clone()), 401, "UNAUTHORIZED", "Authorization code not found for app");
    body["redirect_uri"] = "http://localhost:1/cb".into();
    assert_eq!(trial.token(body).status, 200);
}

#[test]
fn names_what_is_missing_in_the_shape_that_each_has() {
    let mut trial = Trial::approving();
    let kind = "bad_request.missing_parameter";
    let answer = trial.post(TOKEN, &json!({ "grant_type": "refresh_token" }));
    assert_legacy(&answer, 400, "missing required parameter 'client_id'", kind);
    let secret = trial.secret();
    let answer = trial.token(json!({ "grant_type": "refresh_token", "client_secret": secret }));
    assert_legacy(&answer, 400, "missing required parameter 'refresh_token'", kind);
    let answer = trial.token(json!({ "grant_type": "authorization_code", "code": "x" }));
    assert_listed(&answer, 400, "MISSING_REQUIRED_PARAMETER", "missing required parameter 'client_secret'");
    assert_legacy(&trial.token(json!({})), 400, "missing required parameter 'grant_type'", kind);
    assert_listed(&trial.token(json!({ "grant_type": "password" })), 400, "INVALID_VALUE", "Invalid value");
    assert_listed(&trial.token(json!({ "grant_type": 1 })), 400, "INVALID_VALUE", "Invalid value");
}

#[test]
fn reads_json_only() {
    let mut trial = Trial::approving();
    let reply = trial.submit(TOKEN, "grant_type=refresh_token");
    assert_listed(&Answer::of(&reply), 400, "INVALID_CONTENT_TYPE", "Content-Type");
    let reply = trial.send("POST", TOKEN, &[("content-type", "application/json; charset=utf-8")], "[");
    assert_listed(&Answer::of(&reply), 400, "EXPECTED_JSON_BODY", "Expected");
}

#[test]
fn knows_one_application_only() {
    let mut trial = Trial::approving();
    let (code, id, secret) = (trial.authorize(""), trial.id(), trial.secret());
    for (id, secret) in [(id.as_str(), "sq0csp-wrong"), ("sq0idp-wrong", secret.as_str())] {
        for grant in ["authorization_code", "refresh_token", "migration_token"] {
            let answer = trial.post(
                TOKEN,
                &json!({ "client_id": id, "client_secret": secret, "grant_type": grant, "code": code,
                         "refresh_token": "x", "migration_token": "x" }),
            );
            assert_legacy(&answer, 401, "Not Authorized", "service.not_authorized");
        }
    }
}

#[test]
fn returns_the_same_refresh_token_for_as_often_as_it_is_used() {
    let mut trial = Trial::approving();
    let first = trial.obtain();
    let refresh = first.text("refresh_token");
    trial.pass(400 * 86_400);
    for _ in 0..3 {
        let answer = trial.refresh(&refresh);
        assert_eq!(answer.text("refresh_token"), refresh);
        assert_ne!(answer.text("access_token"), first.text("access_token"));
        assert_eq!(answer.body.get("refresh_token_expires_at"), None);
    }
    assert_eq!(trial.obtain().text("refresh_token"), refresh);
    let unproven = trial.refresh_pkce(&refresh);
    assert_listed(&unproven, 400, "MISSING_REQUIRED_PARAMETER", "missing required parameter 'client_secret'");
    assert_legacy(&trial.refresh("EQAAx"), 401, "Invalid refresh token", "service.not_authorized");
}

#[test]
fn rotates_the_refresh_token_when_asked_to() {
    let mut trial = Trial::new(Options { auto_approve: true, rotate: true, ..Options::default() });
    let first = trial.obtain().text("refresh_token");
    let second = trial.refresh(&first).text("refresh_token");
    assert_ne!(first, second);
    assert_legacy(&trial.refresh(&first), 401, "Invalid refresh token", "service.not_authorized");
    assert_eq!(trial.refresh(&second).status, 200);
}

#[test]
fn gives_pkce_a_refresh_token_for_one_use_and_ninety_days() {
    let mut trial = Trial::approving();
    let answer = trial.obtain_pkce();
    assert_eq!(answer.text("refresh_token_expires_at"), "2027-02-19T12:00:00Z");
    let first = answer.text("refresh_token");
    trial.pass(86_400);
    let answer = trial.refresh_pkce(&first);
    let second = answer.text("refresh_token");
    assert_ne!(first, second);
    assert_eq!(answer.text("refresh_token_expires_at"), "2027-02-20T12:00:00Z");
    assert_legacy(&trial.refresh_pkce(&first), 401, "Invalid refresh token", "service.not_authorized");
    assert_listed(&trial.refresh(&second), 400, "CONFLICTING_PARAMETERS", "'client_secret'");
    trial.pass(90 * 86_400);
    assert_legacy(&trial.refresh_pkce(&second), 401, "Invalid refresh token", "service.not_authorized");
}

#[test]
fn checks_the_verifier() {
    let mut trial = Trial::approving();
    let code = trial.authorize(&format!("&code_challenge={}", challenge(VERIFIER)));
    let secret = trial.secret();
    let ask = |more: serde_json::Value| {
        let mut body = json!({ "grant_type": "authorization_code", "code": code });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let both = trial.token(ask(json!({ "client_secret": secret, "code_verifier": VERIFIER })));
    assert_listed(&both, 400, "CONFLICTING_PARAMETERS", "'client_secret'");
    let absent = trial.token(ask(json!({ "client_secret": secret })));
    assert_listed(&absent, 400, "MISSING_REQUIRED_PARAMETER", "missing required parameter 'code_verifier'");
    let wrong = trial.token(ask(json!({ "code_verifier": "x".repeat(43) })));
    assert_listed(&wrong, 401, "UNAUTHORIZED", "Authorization code not found");
    assert_eq!(trial.token(ask(json!({ "code_verifier": VERIFIER }))).status, 200);
    let plain = trial.authorize("");
    let answer = trial.token(json!({ "grant_type": "authorization_code", "code": plain, "code_verifier": VERIFIER }));
    assert_listed(&answer, 400, "MISSING_REQUIRED_PARAMETER", "missing required parameter 'client_secret'");
}

#[test]
fn narrows_scopes_and_lives_for_a_day_on_request() {
    let mut trial = Trial::approving();
    let refresh = trial.obtain().text("refresh_token");
    let secret = trial.secret();
    let answer = trial.token(json!({
        "grant_type": "refresh_token", "client_secret": secret, "refresh_token": refresh,
        "scopes": ["PAYMENTS_READ", "ORDERS_WRITE"], "short_lived": true,
    }));
    assert_eq!(answer.text("expires_at"), "2026-11-22T12:00:00Z");
    assert_eq!(answer.body["short_lived"], true);
    assert_eq!(trial.status(&answer.text("access_token")).body["scopes"], json!(["PAYMENTS_READ"]));
}

#[test]
fn gives_every_token_the_life_that_the_options_say() {
    let expires_in = Some(Duration::from_secs(10));
    let mut trial = Trial::new(Options { auto_approve: true, expires_in, ..Options::default() });
    assert_eq!(trial.obtain().text("expires_at"), "2026-11-21T12:00:10Z");
}

#[test]
fn migrates_an_old_token_as_often_as_it_is_shown_until_it_ends() {
    let mut trial = Trial::approving();
    let (old, secret) = (trial.variable("TOKMAN_EMULATOR_SQUARE_OLD_TOKEN"), trial.secret());
    let body =
        |token: &str| json!({ "grant_type": "migration_token", "client_secret": secret, "migration_token": token });
    let first = trial.token(body(&old));
    assert_eq!(trial.token(body(&old)).text("refresh_token"), first.text("refresh_token"));
    assert_eq!(trial.token(body(&first.text("access_token"))).status, 200);
    assert_eq!(trial.refresh(&first.text("refresh_token")).status, 200);
    trial.pass(30 * 86_400);
    assert_legacy(&trial.token(body(&old)), 401, "Invalid migration token", "service.not_authorized");
}

#[test]
fn tells_the_status_of_a_token() {
    let mut trial = Trial::approving();
    let token = trial.obtain().text("access_token");
    let answer = trial.status(&token);
    assert_eq!(answer.text("expires_at"), "2026-12-21T12:00:00Z");
    assert_eq!(answer.text("client_id"), trial.id());
    assert!(answer.text("merchant_id").starts_with("ML"));
    assert_listed(&trial.status("EAAAx"), 401, "UNAUTHORIZED", "This request could not be authorized.");
    let bare = trial.post(STATUS, &json!({}));
    assert_listed(&bare, 401, "UNAUTHORIZED", "This request could not be authorized.");
    trial.pass(30 * 86_400);
    assert_listed(&trial.status(&token), 401, "ACCESS_TOKEN_EXPIRED", "");
}

#[test]
fn ends_all_of_the_merchants_tokens_when_one_is_revoked() {
    let mut trial = Trial::approving();
    let (first, second) = (trial.obtain(), trial.obtain_pkce());
    let answer = trial.revoke(&json!({ "access_token": first.text("access_token") }));
    assert_eq!((answer.status, answer.body), (200, json!({ "success": true })));
    assert_listed(&trial.status(&second.text("access_token")), 401, "ACCESS_TOKEN_REVOKED", "");
    assert_eq!(trial.refresh(&first.text("refresh_token")).status, 401);
    assert_eq!(trial.refresh_pkce(&second.text("refresh_token")).status, 401);
    let again = trial.obtain();
    assert_ne!(again.text("refresh_token"), first.text("refresh_token"));
    assert_eq!(trial.revoke(&json!({ "merchant_id": again.text("merchant_id") })).status, 200);
    assert_eq!(trial.refresh(&again.text("refresh_token")).status, 401);
}

#[test]
fn ends_one_access_token_alone_when_asked_to() {
    let mut trial = Trial::approving();
    let (first, second) = (trial.obtain(), trial.obtain());
    let body = json!({ "access_token": first.text("access_token"), "revoke_only_access_token": true });
    assert_eq!(trial.revoke(&body).status, 200);
    assert_listed(&trial.status(&first.text("access_token")), 401, "ACCESS_TOKEN_REVOKED", "");
    assert_eq!(trial.status(&second.text("access_token")).status, 200);
    assert_eq!(trial.refresh(&first.text("refresh_token")).status, 200);
    assert_legacy(&trial.revoke(&body), 404, "access token not found", "not_found");
}

#[test]
fn revokes_and_renews_with_the_clients_header_only() {
    let mut trial = Trial::approving();
    let token = trial.obtain().text("access_token");
    let renew = format!("/oauth2/clients/{}/access-token/renew", trial.id());
    let body = json!({ "access_token": token });
    for path in [REVOKE, renew.as_str()] {
        let kind = "bad_request.invalid_parameter";
        assert_legacy(&trial.post(path, &body), 400, "bad authorization header", kind);
        let bearer = format!("Bearer {}", trial.secret());
        assert_legacy(&trial.post_as(&bearer, path, &body), 400, "bad authorization header", kind);
        let answer = trial.post_as("Client sq0csp-wrong", path, &body);
        assert_legacy(&answer, 401, "Not Authorized", "service.not_authorized");
    }
    let message = "one of either 'access_token' or 'merchant_id' is required";
    assert_legacy(&trial.revoke(&json!({})), 400, message, "bad_request.missing_parameter");
    assert_legacy(&trial.revoke(&json!({ "access_token": "x" })), 404, "access token not found", "not_found");
    assert_eq!(trial.status(&token).status, 200);
}

#[test]
fn renews_as_it_once_did() {
    let mut trial = Trial::approving();
    let token = trial.obtain().text("access_token");
    let path = format!("/square/oauth2/clients/{}/access-token/renew", trial.id());
    let client = format!("Client {}", trial.secret());
    let answer = trial.post_as(&client, &path, &json!({ "access_token": token }));
    assert_ne!(answer.text("access_token"), token);
    assert_eq!(answer.body.get("refresh_token"), None);
    trial.pass(45 * 86_400 + 1);
    let late = trial.post_as(&client, &path, &json!({ "access_token": token }));
    assert_legacy(&late, 400, "cannot renew expired token", "bad_request");
    trial.revoke(&json!({ "access_token": token }));
    let revoked = trial.post_as(&client, &path, &json!({ "access_token": token }));
    assert_legacy(&revoked, 400, "cannot renew revoked token", "bad_request");
}

#[test]
fn refuses_other_methods_and_paths() {
    let mut trial = Trial::approving();
    for path in [TOKEN, "/oauth2/revoke", "/oauth2/clients/x/access-token/renew"] {
        assert_eq!(trial.get(path).status(), 405, "{path}");
    }
    for path in ["/", "/square", "/square/", "/squarex/oauth2/token", "/oauth2/clients//access-token/renew", "/v2/x"] {
        assert_legacy(&Answer::of(&trial.get(path)), 404, "Not Found", "not_found");
    }
}

#[test]
fn fails_before_anything_has_changed_when_asked_to() {
    let mut trial = Trial::new(Options { fail_rate: 1.0, ..Options::default() });
    let answer = trial.post(TOKEN, &json!({}));
    assert_legacy(&answer, 503, "Service Unavailable", "service_unavailable");
}

#[test]
fn accepts_what_the_official_clients_send() {
    let recorded = include_str!("../../../tests/fixtures/square-requests.json");
    let recorded: serde_json::Value = serde_json::from_str(recorded).unwrap();
    for request in recorded["requests"].as_array().unwrap() {
        for prefix in ["/square", ""] {
            assert_accepted(request, prefix);
        }
    }
}

fn assert_accepted(request: &serde_json::Value, prefix: &str) {
    let mut trial = Trial::approving();
    let verifier = request["body"]["code_verifier"].as_str().map(challenge);
    let verifier = verifier.map(|challenge| format!("&code_challenge={challenge}")).unwrap_or_default();
    let code = trial.authorize(&format!("&redirect_uri=http://localhost:8765/callback{verifier}"));
    let is_pkce = request["call"].as_str().unwrap().contains("PKCE");
    let held = if is_pkce { trial.obtain_pkce() } else { trial.obtain() };
    let mut text = request.to_string();
    for (fake, real) in [
        ("sq0idp-FAKECLIENTID0000000000", trial.id()),
        ("sq0csp-FAKESECRET_do_not_use_000000000000000000", trial.secret()),
        ("sq0cgp-FAKECODE00000000000000", code),
        ("EQAAEFAKEREFRESHTOKEN000000", held.text("refresh_token")),
        ("EAAAEFAKEACCESSTOKEN0000000", held.text("access_token")),
        ("MLFAKE000MERCHANT", held.text("merchant_id")),
    ] {
        text = text.replace(fake, &real);
    }
    let request: serde_json::Value = serde_json::from_str(&text).unwrap();
    let headers = request["headers"].as_object().unwrap();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    let body = if request["body"].is_null() { String::new() } else { request["body"].to_string() };
    let path = format!("{prefix}{}", request["path"].as_str().unwrap());
    let reply = trial.send(request["method"].as_str().unwrap(), &path, &headers, &body);
    assert_eq!(reply.status(), 200, "{} {}", request["call"], page(&reply));
}
