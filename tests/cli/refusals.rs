//! What the providers were seen to answer when they say no: who has to act, and whether the grant is kept.

mod square;
mod wix;

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

const PAGE: Body = Body::Html("<html><body><h1>502 Bad Gateway</h1></body></html>");

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
