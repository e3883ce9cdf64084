//! `-vv`: what was asked and answered, and no secret of it. The canaries in every secret are looked for after each run.

use serde_json::json;

use crate::support::shop::MERCHANT;
use crate::support::{Answer, Server, Shop, Sort, canary};

#[test]
fn requests_and_answers_are_shown_without_their_secrets() {
    for (sort, args, stdin, path) in [
        (Sort::Square, &["obtain", "--code", "-"][..], "code", "/oauth2/token"),
        (Sort::Square, &["obtain", "--refresh-token", "-"], "refresh", "/oauth2/token"),
        (Sort::Square, &["obtain", "--migration-token", "-"], "old", "/oauth2/token"),
        (Sort::Square, &["refresh"], "", "/oauth2/token"),
        (Sort::SquarePkce, &["token"], "", "/oauth2/token"),
        (Sort::Square, &["renew"], "", "/access-token/renew"),
        (Sort::Square, &["revoke", "--yes"], "", "/oauth2/revoke"),
        (Sort::Square, &["status", "--remote"], "", "/oauth2/token/status"),
        (Sort::WixApp, &["refresh"], "", "/oauth2/token"),
        (Sort::WixLegacy, &["refresh"], "", "/oauth/access"),
        (Sort::WixLegacy, &["status", "--remote"], "", "/oauth2/token-info"),
        (Sort::WixHeadless, &["refresh"], "", "/oauth2/token"),
        (Sort::WixHeadless, &["revoke"], "", "/oauth2/revoke"),
        (Sort::WixHeadless, &["obtain", "--print-url"], "", "/redirect-session"),
    ] {
        for format in ["text", "json"] {
            let mut shop = Shop::new(sort);
            let mut answer = shop.answer();
            answer["active"] = true.into();
            answer["success"] = true.into();
            answer["redirectSession"] = json!({"fullUrl": "https://login.example/", "sessionToken": canary("session")});
            let server =
                Server::with(move |_, _| Answer::json(200, answer.clone()).header("set-cookie", "canary-cookie"));
            shop.at(&server).store(-60);
            let stdin = if stdin.is_empty() { String::new() } else { canary(stdin) };
            let run = shop.command(&[args, &["-vv", "--log-format", format, "-o", "none"]].concat()).stdin(stdin).run();
            run.code(0).stderr_has(path).stderr_has("***").stderr_lacks("Bearer ").stderr_lacks("Client ");
        }
    }
}

#[test]
fn the_variable_asks_for_the_same() {
    let mut shop = Shop::square();
    let server = Server::start(vec![shop.refreshes(), shop.refreshes()]);
    shop.at(&server).store(-60);
    shop.env.set("TOKMAN_LOG", "debug");
    shop.run(&["refresh"]).code(0).stderr_has("POST").stderr_has("\"merchant_id\"").stderr_has(MERCHANT);
    shop.run(&["refresh", "-q"]).code(0).stderr_is("");
    server.finish();
}
