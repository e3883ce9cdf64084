//! Answers that are no use, or only half of one; and what is shown of what a server wrote.

use serde_json::{Value, json};

use crate::support::{Answer, Server, Shop, Sort, Step};

/// A refresh that is answered like this, until the end of the test.
#[track_caller]
fn refresh(sort: Sort, code: i32, answer: impl Fn(&Shop) -> Answer) -> (Shop, Server) {
    let mut shop = Shop::new(sort);
    let answer = answer(&shop);
    let server = Server::with(move |_, _| answer.clone());
    shop.at(&server).store(-60);
    shop.run(&["refresh", "-o", "none"]).code(code).stdout_is("");
    (shop, server)
}

/// The answer of a single-use refresh with some members replaced.
fn with(shop: &Shop, members: Value) -> Value {
    let mut body = shop.answer();
    let Value::Object(members) = members else { panic!("members") };
    for (name, value) in members {
        body[name] = value;
    }
    body
}

#[test]
fn what_is_no_json_object_is_no_answer() {
    type Row = (&'static str, fn(&Shop) -> Answer, i32);
    let rows: [Row; 12] = [
        ("a page", |_| Answer::html(200, "<!doctype html><title>Log in to the Wi-Fi</title>"), 7),
        ("nothing", |_| Answer::new(200, "application/json", ""), 7),
        ("blanks", |_| Answer::new(200, "application/json", " \r\n"), 7),
        ("JSON that breaks off", |_| Answer::new(200, "application/json", r#"{"access_token":"a"#), 7),
        ("too deep", |_| Answer::new(200, "application/json", format!("{{\"a\":{}", "[".repeat(10_000))), 7),
        (
            "too deep within",
            |_| {
                Answer::new(
                    200,
                    "application/json",
                    format!("{{\"access_token\":\"a\",\"x\":{}}}", "[".repeat(200) + &"]".repeat(200)),
                )
            },
            7,
        ),
        ("no UTF-8", |_| Answer::new(200, "application/json", b"{\"access_token\":\"a\",\"x\":\"\xff\"}"), 7),
        ("half a pair", |_| Answer::new(200, "application/json", r#"{"access_token":"a","x":"\ud800"}"#), 7),
        ("an array", |shop| Answer::json(200, json!([shop.answer()])), 6),
        ("a string", |_| Answer::json(200, json!("access_token")), 6),
        ("a number", |_| Answer::json(200, json!(200)), 6),
        ("no content", |_| Answer::new(204, "application/json", ""), 7),
    ];
    for (what, answer, code) in rows {
        for sort in [Sort::SquarePkce, Sort::WixLegacy] {
            let (shop, server) = refresh(sort, code, answer);
            let stored = shop.stored();
            assert_eq!(
                (&stored["access_token"], &stored["refresh_token"]),
                (&json!(shop.access), &json!(shop.refresh))
            );
            assert_eq!(stored["tokman"]["needs_login"], Value::Null, "{what}, {sort:?}");
            // Nobody knows whether the grant was spent: a mark says so, where it is good once.
            if sort == Sort::SquarePkce {
                let doubted = shop.env.tokman(&["status", "-o", "json"]).json()[0]["state"] == "in_doubt";
                assert_eq!(doubted, code == 7, "{what}");
            }
            // What is no JSON may be an answer that was lost on the way: it is asked for once more.
            assert_eq!(server.requests().len(), if code == 7 { 2 } else { 1 }, "{what}, {sort:?}");
        }
    }
}

#[test]
fn an_answer_without_a_token_leaves_the_old_one() {
    for (body, code) in [
        (json!({}), 6),
        (json!({"ok": true}), 6),
        (json!({"access_token": null}), 6),
        (json!({"access_token": ""}), 6),
        (json!({"access_token": 5}), 6),
        (json!({"access_token": ["a"]}), 6),
        (json!({"data": {"access_token": "a"}}), 6),
        (json!({"errors": [{"category": "AUTHENTICATION_ERROR", "code": "UNAUTHORIZED", "detail": "no"}]}), 6),
        (json!({"type": "service.not_authorized", "message": "Not Authorized"}), 6),
        (json!({"type": "too_many_requests", "message": "later"}), 7),
    ] {
        let (shop, server) = refresh(Sort::Square, code, |_| Answer::json(200, body.clone()));
        let before = shop.bytes();
        shop.env.tokman(&["refresh"]).code(code);
        assert!(shop.bytes() == before && shop.stored()["access_token"] == shop.access);
        assert_eq!(server.requests().len(), 2, "{body}");
    }
}

#[test]
fn a_dead_grant_in_a_200_is_dead_all_the_same() {
    let invalid = json!({"error": "invalid_grant", "error_description": "revoked"});
    let (shop, server) = refresh(Sort::WixLegacy, 5, |_| Answer::json(200, invalid.clone()));
    assert!(shop.stored()["tokman"]["needs_login"].is_string());
    shop.run(&["refresh"]).code(5);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_new_refresh_token_is_stored_however_useless_the_rest_is() {
    type Row = (&'static str, fn(&Shop) -> Answer);
    let rows: [Row; 10] = [
        ("no access token", |shop| Answer::json(200, json!({"refresh_token": shop.new_refresh}))),
        ("an empty one", |shop| Answer::json(200, with(shop, json!({"access_token": ""})))),
        ("a blank in it", |shop| Answer::json(200, with(shop, json!({"access_token": "a b"})))),
        ("a line break in it", |shop| Answer::json(200, with(shop, json!({"access_token": "a\nb"})))),
        ("a control character in it", |shop| Answer::json(200, with(shop, json!({"access_token": "a\u{1b}[2Jb"})))),
        ("a letter beyond ASCII in it", |shop| Answer::json(200, with(shop, json!({"access_token": "é"})))),
        ("another token type", |shop| Answer::json(200, with(shop, json!({"token_type": "DPoP"})))),
        ("a member too deep", |shop| {
            let body = with(shop, json!({"access_token": "a", "x": 0}));
            let deep = "[".repeat(200) + &"]".repeat(200);
            Answer::new(200, "application/json", body.to_string().replace("\"x\":0", &format!("\"x\":{deep}")))
        }),
        ("a member that is no text", |shop| {
            let body = with(shop, json!({"access_token": "a", "x": 0}));
            Answer::new(200, "application/json", body.to_string().replace("\"x\":0", "\"x\":\"\\udc00\""))
        }),
        ("the access token twice", |shop| {
            let body = format!(r#"{{"access_token":"a","access_token":"b","refresh_token":"{}"}}"#, shop.new_refresh);
            Answer::new(200, "application/json", body)
        }),
    ];
    for (what, answer) in rows {
        for sort in [Sort::SquarePkce, Sort::WixHeadless] {
            let (shop, server) = refresh(sort, 6, answer);
            let stored = shop.stored();
            assert_eq!(
                (&stored["access_token"], &stored["refresh_token"]),
                (&json!(shop.access), &json!(shop.new_refresh))
            );
            assert_eq!(stored["tokman"]["needs_login"], Value::Null, "{what}, {sort:?}");
            // The next attempt hands in the new one.
            shop.run(&["refresh", "-o", "none"]).code(6);
            let objection = shop.refresh_with(&shop.new_refresh).objection(&server.requests()[1]);
            assert_eq!(objection, None, "{what}, {sort:?}");
        }
    }
}

#[test]
fn a_refresh_token_that_no_request_could_carry_does_not_replace_a_good_one() {
    let (shop, _server) =
        refresh(Sort::SquarePkce, 6, |shop| Answer::json(200, with(shop, json!({"refresh_token": "a\nb"}))));
    assert_eq!(shop.stored()["refresh_token"], shop.refresh);
}

#[test]
fn an_answer_that_breaks_off_is_asked_for_again_as_often_as_its_grant_allows() {
    for (sort, requests) in [(Sort::SquarePkce, 2), (Sort::WixHeadless, 2)] {
        let (shop, server) = refresh(sort, 7, |shop| Answer::json(200, shop.answer()).truncated_at(20));
        assert_eq!(shop.stored()["refresh_token"], shop.refresh);
        assert_eq!(server.requests().len(), requests, "{sort:?}");
    }
    let mut shop = Shop::square();
    let server = Server::start(vec![
        Step::expect(shop.refresh_request()).answer_with(Answer::json(200, shop.answer()).truncated_at(20)),
        Step::expect(shop.refresh_request()).answer_with(Answer::close()),
        shop.refreshes(),
    ]);
    shop.at(&server).store(-60);
    shop.run(&["token"]).code(0).stdout_is(&format!("{}\n", shop.new_access));
    server.finish();
}

#[test]
fn an_endless_answer_is_cut_off() {
    let (shop, _server) =
        refresh(Sort::SquarePkce, 7, |_| Answer::new(200, "application/json", "[".repeat(4096)).endless());
    assert_eq!(shop.stored()["refresh_token"], shop.refresh);
}

#[test]
fn a_lifetime_in_any_form_is_read_exactly_or_not_at_all() {
    let digits = "9".repeat(400);
    for (written, lifetime) in [
        ("14400", Some(14400)),
        ("\"14400\"", Some(14400)),
        ("14400.75", Some(14400)),
        ("1.44e4", Some(14400)),
        ("0", Some(0)),
        ("-5", Some(0)),
        ("1e999", None),
        ("-1e999", None),
        (digits.as_str(), None),
        ("\"soon\"", None),
        ("\"\"", None),
        ("null", None),
        ("true", None),
        ("{}", None),
        ("[14400]", None),
    ] {
        let mut shop = Shop::new(Sort::WixHeadless);
        let body = format!(
            r#"{{"access_token":"{}","token_type":"Bearer","expires_in":{written},"refresh_token":"{}"}}"#,
            shop.new_access, shop.refresh
        );
        let server = Server::with(move |_, _| Answer::new(200, "application/json", body.clone()));
        shop.at(&server).store(-60);
        // Short as its life may be, a token is asked for once a run.
        for run in 1..=2 {
            shop.run(&["token"]).code(0).stdout_is(&format!("{}\n", shop.new_access)).stderr_is("");
            let expected = if lifetime == Some(0) { run } else { 1 };
            assert_eq!(server.requests().len(), expected);
        }
        let meta = &shop.stored()["tokman"];
        let at = |name: &str| meta[name].as_str().map(|text| text.parse::<jiff::Timestamp>().expect("a time"));
        let life = at("expires_at").map(|end| end.duration_since(at("refreshed_at").expect("a time")).as_secs());
        assert!(
            (life.map(|life| (life + 1) / 10 * 10)) == lifetime.map(|life: i64| life / 10 * 10),
            "{written:.20}: {life:?}"
        );
    }
}

#[test]
fn an_end_in_any_form_is_read_exactly_or_not_at_all() {
    for (written, end) in [
        (json!("2036-12-21T21:00:00Z"), Some("2036-12-21T21:00:00Z")),
        (json!("2036-12-21t21:00:00z"), Some("2036-12-21T21:00:00Z")),
        (json!("2036-12-21T22:00:00+01:00"), Some("2036-12-21T21:00:00Z")),
        (json!("2036-12-21T21:00:00.000000Z"), Some("2036-12-21T21:00:00Z")),
        (json!("2036-13-01T00:00:00Z"), None),
        (json!("tomorrow"), None),
        (json!(""), None),
        (json!(true), None),
    ] {
        let (shop, server) =
            refresh(Sort::Square, 0, |shop| Answer::json(200, with(shop, json!({"expires_at": written}))));
        assert_eq!(shop.stored()["tokman"]["expires_at"], json!(end), "{written}");
        assert_eq!(shop.stored()["expires_at"], written);
        shop.run(&["token"]).code(0);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn members_that_nobody_knows_are_kept_and_printed_as_they_came() {
    let mut shop = Shop::square();
    let body = format!(
        r#"{{"z":1.50,"access_token":"{}","expires_at":"2036-12-21T21:00:00Z","a":{{"b":[1e3,null]}},"refresh_token":"{}"}}"#,
        shop.new_access, shop.refresh
    );
    let whole = body.clone();
    let server = Server::with(move |_, _| Answer::new(200, "application/json", format!("\u{feff}{body}"))).exactly(1);
    shop.at(&server).store(-60);
    let run = shop.run(&["refresh"]);
    assert_eq!(run.code(0).stdout.replace(['\n', ' '], ""), whole.replace("1e3", "1e+3"));
    assert!(run.stdout.starts_with("{\n  \"z\": 1.50,\n  \"access_token\": \""), "{run}");
    let text = String::from_utf8(shop.bytes()).expect("text");
    assert!(text.starts_with("{\n  \"z\": 1.50,\n  \"access_token\": \""), "{text}");
    server.finish();
}

/// What a server wrote on stderr, as text and as JSON: both without secrets, or the run itself fails the test.
#[track_caller]
fn said(sort: Sort, code: i32, answer: impl Fn(&Shop) -> Answer) -> [String; 2] {
    ["text", "json"].map(|format| {
        let mut shop = Shop::new(sort);
        let answer = answer(&shop);
        let server = Server::with(move |_, _| answer.clone());
        shop.at(&server).store(-60);
        let run = shop.env.tokman(&["refresh", "--log-format", format, "-vv"]);
        let stderr = run.code(code).stdout_is("").stderr.clone();
        assert!(!stderr.chars().any(|c| c != '\n' && c.is_control()), "{run}");
        if format == "json" {
            for line in stderr.lines() {
                let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert!(object["level"].is_string() && object["message"].is_string(), "{line}");
            }
        }
        stderr
    })
}

#[test]
fn what_a_server_writes_drives_no_terminal_and_fills_no_screen() {
    let hostile = format!("\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}bad\r\nerror: forged {}", "x".repeat(10_000));
    for (sort, body) in [
        (Sort::Square, json!({"errors": [{"code": hostile, "detail": hostile}]})),
        (Sort::Square, json!({"type": "bad\u{1b}c", "message": hostile})),
        (Sort::WixLegacy, json!({"error": "invalid\u{1b}c", "error_description": hostile})),
        (Sort::WixLegacy, json!({"message": hostile})),
    ] {
        for stderr in said(sort, 6, |_| Answer::json(400, body.clone()).header("x-wix-request-id", &"y".repeat(5000))) {
            assert!(!stderr.contains('\u{202e}') && !stderr.contains("\nerror: forged"), "{stderr}");
            assert!(!stderr.contains(&"x".repeat(301)) && !stderr.contains(&"y".repeat(301)), "{stderr}");
            assert!(stderr.contains("bad") && stderr.contains('…'), "{stderr}");
        }
    }
}

#[test]
fn secrets_that_a_server_echoes_are_masked() {
    for sort in [Sort::Square, Sort::WixLegacy] {
        let echo = |shop: &Shop| {
            let text = format!("client_secret={} refresh_token={} is wrong", shop.secret, shop.refresh);
            let body = json!({"type": text, "error": text, "error_description": text, "message": text});
            Answer::json(400, body).header("x-wix-request-id", &shop.refresh)
        };
        for stderr in said(sort, 6, echo) {
            assert!(stderr.contains("client_secret=*** refresh_token=*** is wrong"), "{stderr}");
        }
    }
}

#[test]
fn secrets_in_an_answer_that_cannot_be_used_are_not_shown() {
    for stderr in said(Sort::SquarePkce, 6, |shop| Answer::json(200, with(shop, json!({"token_type": shop.refresh})))) {
        assert!(stderr.contains("cannot be used"), "{stderr}");
    }
    let broken =
        |shop: &Shop| Answer::new(200, "application/json", format!(r#"{{"access_token":"{}"#, shop.new_access));
    for stderr in said(Sort::SquarePkce, 7, broken) {
        assert!(stderr.contains("the answer is not JSON"), "{stderr}");
    }
}

#[test]
fn wixs_name_for_a_request_is_shown() {
    let refused = |_: &Shop| Answer::json(400, json!({"message": "no"})).header("x-wix-request-id", "1795276800.4711");
    for stderr in said(Sort::WixApp, 6, refused) {
        assert!(stderr.contains("1795276800.4711"), "{stderr}");
    }
}
