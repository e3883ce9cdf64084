//! `tokman revoke`: the provider's end of a token first, then ours.

use serde_json::{Value, json};

use crate::support::shop::{MERCHANT, WIX_ID};
use crate::support::{Answer, Request, Server, Shop, Sort, Step};

/// The request that ends something at Square.
fn revokes(shop: &Shop, what: &Value) -> Step {
    let mut body = json!({"client_id": shop.id});
    for (name, value) in what.as_object().expect("members") {
        body[name] = value.clone();
    }
    let header = format!("Client {}", shop.secret);
    let request = Request::post("/oauth2/revoke").header("authorization", &header).json(body);
    Step::expect(request).answer(200, json!({"success": true}))
}

#[test]
fn the_token_is_ended_and_then_forgotten() {
    let mut shop = Shop::square();
    let server = Server::start(vec![revokes(&shop, &json!({"access_token": shop.access}))]);
    shop.at(&server).store(3600);
    shop.store_as("other", 3600);
    let run = shop.run(&["revoke", "--yes"]);
    run.code(0).stdout_is("{\n  \"success\": true\n}\n").stderr_is("square/default is forgotten here.\n");
    assert!(!shop.has_token());
    assert!(shop.env.token_path("square/other").exists());
    shop.run(&["revoke", "--yes"]).code(4).stdout_is("").stderr_has("hint: tokman obtain --provider square");
    server.finish();
}

#[test]
fn nobody_is_asked_where_there_is_no_terminal() {
    let mut shop = Shop::square();
    let server = Server::start(vec![revokes(&shop, &json!({"access_token": shop.access}))]);
    shop.at(&server).store(3600);
    shop.run(&["revoke", "-q"]).code(0).stdout_is("").stderr_is("");
    server.finish();
}

#[test]
fn what_is_kept_is_not_forgotten_and_not_handed_out() {
    let mut shop = Shop::square();
    let server = Server::start(vec![revokes(&shop, &json!({"access_token": shop.access}))]);
    shop.at(&server).store(3600);
    shop.run(&["revoke", "--yes", "--keep", "-o", "none"]).code(0).stdout_is("").stderr_is("");
    assert_eq!(shop.stored()["refresh_token"], shop.refresh);
    shop.run(&["status"]).code(0).stdout_has("needs_login");
    shop.run(&["token"]).code(5).stdout_is("");
    server.finish();
}

#[test]
fn the_access_token_alone_can_be_ended_and_is_never_printed_again() {
    let mut shop = Shop::square();
    let down = Answer::html(503, "<html>").header("Retry-After", "3600");
    let server = Server::start(vec![
        revokes(&shop, &json!({"access_token": shop.access, "revoke_only_access_token": true})),
        Step::expect(shop.refresh_request()).answer_with(down),
        shop.refreshes(),
    ]);
    shop.at(&server).store(20 * 24 * 3600);
    shop.run(&["revoke", "--only-access-token"]).code(0).stdout_is("{\n  \"success\": true\n}\n");
    assert_eq!(shop.stored()["refresh_token"], shop.refresh);
    shop.env.tokman(&["token", "--no-refresh", "--min-ttl", "0s"]).code(7).stdout_is("");
    assert_eq!(shop.run(&["status", "-o", "json"]).code(0).json()[0]["state"], "expired");
    // Not even while a new one cannot be had.
    shop.env.tokman(&["token", "--min-ttl", "0s"]).code(7).stdout_is("");
    shop.run(&["token"]).code(0).stdout_is(&format!("{}\n", shop.new_access));
    server.finish();
}

#[test]
fn a_token_that_square_no_longer_knows_counts_as_revoked() {
    for (status, body) in [
        (404, json!({"type": "not_found", "message": "access token not found"})),
        (404, json!({"errors": [{"category": "INVALID_REQUEST_ERROR", "code": "NOT_FOUND", "detail": "gone"}]})),
        (401, json!({"type": "oauth.revoked", "message": "revoked"})),
    ] {
        let mut shop = Shop::square();
        let step = revokes(&shop, &json!({"access_token": shop.access})).answer(status, body.clone());
        let server = Server::start(vec![step]);
        shop.at(&server).store(3600);
        let run = shop.run(&["revoke", "--yes"]);
        assert_eq!(run.code(0).stderr_has("note: ").stderr_has("counts as revoked").json(), body);
        assert!(!shop.has_token());
        server.finish();
    }
}

#[test]
fn a_success_that_is_none_forgets_nothing() {
    for body in [
        json!({"success": false}),
        json!({"errors": [{"category": "API_ERROR", "code": "INTERNAL_SERVER_ERROR"}]}),
        json!({"success": false, "errors": []}),
    ] {
        let mut shop = Shop::square();
        let step = revokes(&shop, &json!({"access_token": shop.access})).answer(200, body);
        let server = Server::start(vec![step]);
        shop.at(&server).store(3600);
        shop.run(&["revoke", "--yes"]).code(6).stdout_is("");
        assert!(shop.has_token());
        server.finish();
    }
}

#[test]
fn a_merchant_can_be_ended_without_a_token() {
    let other = "MLOTHER000MERCHANT";
    for (merchant, is_stored, is_forgotten) in [(MERCHANT, false, false), (MERCHANT, true, true), (other, true, false)]
    {
        let mut shop = Shop::square();
        let server = Server::start(vec![revokes(&shop, &json!({"merchant_id": merchant}))]);
        shop.at(&server);
        if is_stored {
            shop.store(3600);
        }
        shop.run(&["revoke", "--yes", "--merchant-id", merchant]).code(0).stdout_has("\"success\": true");
        assert_eq!(shop.has_token(), is_stored && !is_forgotten, "{merchant}");
        server.finish();
    }
}

#[test]
fn a_public_client_cannot_revoke() {
    let mut shop = Shop::new(Sort::SquarePkce);
    let server = Server::start(vec![]);
    shop.at(&server).store(3600);
    shop.run(&["revoke", "--yes"]).code(6).stdout_is("").stderr_has("PKCE").stderr_has("tokman remove");
    assert!(shop.has_token());
    server.finish();
}

#[test]
fn wix_apps_have_no_revocation_and_nothing_is_removed() {
    for (sort, stays) in [(Sort::WixApp, "uninstall the app"), (Sort::WixLegacy, "refresh token for as long as")] {
        let mut shop = Shop::new(sort);
        let server = Server::start(vec![]);
        shop.at(&server).store(3600);
        let (bytes, end) = (shop.bytes(), shop.stored()["tokman"]["expires_at"].clone());
        let run = shop.run(&["revoke"]);
        run.code(6).stdout_is("").stderr_has(stays).stderr_has(end.as_str().expect("a time"));
        run.stderr_has("hint: `tokman remove --provider wix`");
        for other in [&["--only-access-token"][..], &["--merchant-id", MERCHANT]] {
            shop.run(&[&["revoke"], other].concat()).code(6);
        }
        assert!(shop.bytes() == bytes);
        server.finish();
    }
}

#[test]
fn a_headless_refresh_token_is_ended_and_what_that_is_worth_is_said() {
    for (status, answer) in [
        (200, Answer::json(200, json!({}))),
        (200, Answer::new(200, "text/plain", "")),
        (204, Answer::new(204, "text/plain", "")),
        (400, Answer::json(400, json!({"error": "invalid_grant"}))),
        (404, Answer::json(404, json!({"message": "not found"}))),
    ] {
        let mut shop = Shop::new(Sort::WixHeadless);
        let request = Request::post("/oauth2/revoke").json(json!({"token": shop.refresh}));
        let server = Server::start(vec![Step::expect(request.without_header("authorization")).answer_with(answer)]);
        shop.at(&server).store(3600);
        shop.run(&["revoke"]).code(0).stderr_has("note: ").stderr_has("undocumented");
        assert!(!shop.has_token(), "{status}");
        server.finish();
    }
}

#[test]
fn a_lost_answer_forgets_nothing_and_is_asked_for_again() {
    let mut shop = Shop::square();
    let what = json!({"access_token": shop.access});
    let server = Server::start(vec![revokes(&shop, &what).answer_with(Answer::close()), revokes(&shop, &what)]);
    shop.at(&server).store(3600);
    shop.run(&["revoke", "--yes"]).code(0);
    server.finish();
    let mut shop = Shop::square();
    let server = Server::with(|_, _| Answer::hang());
    shop.at(&server).store(3600);
    shop.run(&["revoke", "--yes", "--timeout", "1s"]).code(7);
    assert!(shop.has_token());
    server.finish();
}

#[test]
fn a_token_and_a_merchant_are_not_named_together() {
    let shop = Shop::square();
    shop.env.tokman(&["revoke", "--only-access-token", "--merchant-id", MERCHANT]).code(2);
    shop.env.tokman(&["revoke", "-o", "token"]).code(2).stderr_has("json, none");
}

#[test]
fn what_the_provider_says_of_a_token_is_a_finding() {
    for (sort, status, body, remote, note) in [
        (Sort::Square, 200, json!({"merchant_id": MERCHANT, "scopes": []}), "active", ""),
        (Sort::Square, 200, json!({"merchant_id": MERCHANT, "client_id": "sq0idp-x"}), "active", "another application"),
        (Sort::Square, 401, json!({"errors": [{"code": "ACCESS_TOKEN_REVOKED"}]}), "inactive", "revoked"),
        (Sort::WixApp, 200, json!({"active": true, "clientId": WIX_ID, "exp": "4102444800"}), "active", ""),
        (Sort::WixApp, 200, json!({"active": "true"}), "active", ""),
        (Sort::WixApp, 200, json!({"active": false}), "inactive", ""),
        (Sort::WixApp, 401, json!({"message": "expired"}), "inactive", "does not accept"),
    ] {
        let mut shop = Shop::new(sort);
        let answer = Answer::json(status, body);
        let server = Server::with(move |_, _| answer.clone()).exactly(1);
        shop.at(&server).store(3600);
        let bytes = shop.bytes();
        let run = shop.run(&["status", "--remote", "-o", "json"]);
        assert_eq!(run.code(0).stderr_has(note).json()[0]["remote"], remote);
        assert!(shop.bytes() == bytes);
        server.finish();
    }
}
