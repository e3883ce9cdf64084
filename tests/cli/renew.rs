//! `tokman renew`: Square's retired RenewToken.

use serde_json::{Value, json};

use crate::support::shop::time;
use crate::support::{Request, Server, Shop, Sort, Step};

fn renews(shop: &Shop) -> Step {
    let request = Request::post(&format!("/oauth2/clients/{}/access-token/renew", shop.id))
        .header("authorization", &format!("Client {}", shop.secret))
        .json(json!({"access_token": shop.access}));
    let answer = json!({"access_token": shop.new_access, "token_type": "bearer", "expires_at": time(30 * 24 * 3600)});
    Step::expect(request).answer(200, answer)
}

#[test]
fn an_access_token_is_extended_with_a_warning() {
    let mut shop = Shop::square();
    let server = Server::start(vec![renews(&shop)]);
    shop.at(&server).store(-60);
    let run = shop.run(&["renew"]);
    assert_eq!(run.code(0).stderr_has("warning: ").stderr_has("2024-04-17").json()["access_token"], shop.new_access);
    // The answer has no refresh token: the one that is there stays good.
    assert_eq!(shop.stored()["refresh_token"], shop.refresh);
    shop.run(&["token"]).code(0).stdout_is(&format!("{}\n", shop.new_access));
    server.finish();
}

#[test]
fn a_token_without_a_refresh_token_can_be_renewed() {
    let mut shop = Shop::square();
    let server = Server::start(vec![renews(&shop)]);
    shop.at(&server);
    let bare = json!({"access_token": shop.access, "token_type": "bearer", "expires_at": time(-60)});
    shop.env.write_token("square/default", &bare);
    shop.run(&["renew", "-q"]).code(0).stdout_is("").stderr_is("");
    assert_eq!(shop.stored()["access_token"], shop.new_access);
    assert_eq!(shop.stored()["refresh_token"], Value::Null);
    server.finish();
}

#[test]
fn nobody_else_has_it() {
    for sort in [Sort::WixApp, Sort::WixLegacy, Sort::WixHeadless] {
        let mut shop = Shop::new(sort);
        let server = Server::start(vec![]);
        shop.at(&server).store(-60);
        let bytes = shop.bytes();
        shop.run(&["renew"])
            .code(6)
            .stdout_is("")
            .stderr_has("hint: use `tokman refresh --provider ")
            .stderr_lacks("warning");
        assert!(shop.bytes() == bytes);
        server.finish();
    }
}

#[test]
fn there_must_be_something_to_renew() {
    let shop = Shop::square();
    shop.run(&["renew"]).code(4).stderr_has("hint: tokman obtain --provider square");
}
