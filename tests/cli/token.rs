//! `tokman token`: a token that works, with as little done for it as can be.

use serde_json::json;

use crate::support::{Answer, Server, Shop, Sort, Step, canary, server};

#[test]
fn a_fresh_token_is_printed_without_a_lock_or_a_request() {
    let mut shop = Shop::square();
    let server = Server::start(vec![]);
    shop.at(&server).store(3600);
    let before = shop.bytes();
    let access = shop.access.clone();
    let end = shop.stored()["tokman"]["expires_at"].clone();
    for (format, expected) in [
        ("token", format!("{access}\n")),
        ("header", format!("Authorization: Bearer {access}\n")),
        ("env", format!("export SQUARE_ACCESS_TOKEN='{access}'\n")),
        ("none", String::new()),
    ] {
        shop.run(&["token", "-o", format]).code(0).stdout_is(&expected).stderr_is("");
    }
    let run = shop.run(&["token", "-o", "json"]);
    let expected = json!({
        "key": "square/default", "access_token": access, "token_type": "bearer", "expires_at": end,
    });
    assert_eq!(run.code(0).json(), expected);
    shop.run(&["token", "-q"]).code(0).stdout_is(&format!("{access}\n"));
    shop.run(&["token", "--no-refresh"]).code(0).stdout_is(&format!("{access}\n"));
    assert!(shop.bytes() == before);
    let names = std::fs::read_dir(shop.env.config_dir().join("tokens/square")).expect("a directory").count();
    assert_eq!(names, 1, "something was left beside the token");
    server.finish();
}

#[test]
fn wix_takes_its_token_without_a_word_before_it() {
    let mut shop = Shop::new(Sort::WixApp);
    let server = Server::start(vec![]);
    shop.at(&server).store(3600);
    shop.run(&["token", "-o", "header"]).code(0).stdout_is(&format!("Authorization: {}\n", shop.access));
    shop.run(&["token", "-o", "env"]).code(0).stdout_is(&format!("export WIX_ACCESS_TOKEN='{}'\n", shop.access));
    server.finish();
}

#[test]
fn a_token_that_ends_is_refreshed_once_and_then_printed_from_the_disk() {
    for sort in [Sort::Square, Sort::SquarePkce, Sort::WixApp, Sort::WixLegacy, Sort::WixHeadless] {
        for ends_in in [-3600, 0, 30] {
            let mut shop = Shop::new(sort);
            let server = Server::start(vec![shop.refreshes()]);
            shop.at(&server).store(ends_in);
            for _ in 0..2 {
                shop.run(&["token"]).code(0).stdout_is(&format!("{}\n", shop.new_access)).stderr_is("");
            }
            assert_eq!(shop.stored()["access_token"], shop.new_access);
            server.finish();
        }
    }
}

#[test]
fn three_variables_and_an_empty_disk_are_enough() {
    let mut shop = Shop::square();
    let server = Server::start(vec![shop.refreshes()]);
    shop.at(&server);
    shop.env.unset("TOKMAN_PROVIDER");
    shop.env.set("TOKMAN_SQUARE_REFRESH_TOKEN", shop.refresh.as_str());
    shop.run(&["token", "-p", "square"]).code(0).stdout_is(&format!("{}\n", shop.new_access));
    // From now on the disk has it.
    shop.env.unset("TOKMAN_SQUARE_REFRESH_TOKEN");
    shop.run(&["token", "-p", "square"]).code(0).stdout_is(&format!("{}\n", shop.new_access));
    server.finish();
}

#[test]
fn the_time_that_a_token_must_live_decides() {
    let mut shop = Shop::square();
    let answer = Answer::json(200, shop.answer());
    let server = Server::with(move |_, _| answer.clone());
    shop.at(&server);
    // Of a life of ten hours no more than the last hour can be asked for.
    for (left, options, requests) in [
        (9 * 3600 - 60, &["--min-ttl", "5m"][..], 0),
        (9 * 3600 - 60, &["--min-ttl", "0s"], 0),
        (9 * 3600 - 60, &["--min-ttl", "7d"], 0),
        (1800, &["--min-ttl", "15m"], 0),
        (1800, &["--min-ttl", "45m"], 1),
        (90, &[], 0),
        (50, &[], 1),
        (50, &["--min-ttl", "10s"], 0),
    ] {
        let before = server.requests().len();
        let mut record = shop.record(left);
        record["tokman"]["refreshed_at"] = crate::support::shop::time(left - 36_000).into();
        shop.env.write_token("square/default", &record);
        shop.run(&[&["token"], options].concat()).code(0);
        assert_eq!(server.requests().len() - before, requests, "{left} s left, {options:?}");
    }
    shop.store(50);
    shop.env.write_config("[defaults]\nmin_ttl = \"10s\"\n");
    shop.run(&["token"]).code(0).stdout_is(&format!("{}\n", shop.access));
    for wrong in ["", "5", "-5m", "5x", "1.5h"] {
        shop.env.tokman(&["token", &format!("--min-ttl={wrong}")]).code(2);
    }
}

#[test]
fn a_token_of_five_minutes_is_not_refreshed_for_ever() {
    let mut shop = Shop::new(Sort::WixLegacy);
    let server = Server::start(vec![shop.refreshes()]);
    shop.at(&server).store(-60);
    for options in [&["token"][..], &["token", "--min-ttl", "1h"], &["token", "--min-ttl", "7d"], &["token"]] {
        shop.run(options).code(0).stdout_is(&format!("{}\n", shop.new_access));
    }
    server.finish();
}

#[test]
fn a_consumer_that_must_not_refresh_spends_nothing() {
    let mut shop = Shop::square();
    let server = Server::start(vec![]);
    shop.at(&server);
    shop.env.set("TOKMAN_SQUARE_REFRESH_TOKEN", shop.refresh.as_str());
    shop.run(&["token", "--no-refresh"]).code(4).stderr_has("hint: tokman obtain --provider square");
    shop.store(-60);
    shop.run(&["token", "--no-refresh"])
        .code(7)
        .stdout_is("")
        .stderr_has("has expired")
        .stderr_has("hint: tokman refresh");
    shop.store(50);
    shop.run(&["token", "--no-refresh"]).code(7).stdout_is("").stderr_has("expires too soon");
    shop.run(&["token", "--no-refresh", "--min-ttl", "10s"]).code(0).stdout_is(&format!("{}\n", shop.access));
    assert!(!shop.env.config_dir().join("tokens/square/.default.lock").exists());
    server.finish();
}

#[test]
fn where_nothing_is_stored_it_says_what_to_run() {
    let shop = Shop::square();
    shop.env.tokman(&["token"]).code(4).stdout_is("").stderr_has("hint: tokman obtain --provider square");
}

#[test]
fn the_old_token_is_printed_with_a_warning_while_a_failure_passes() {
    type Row = (&'static str, fn() -> Answer);
    let answers: [Row; 5] = [
        ("503", || Answer::html(503, "<html>").header("Retry-After", "3600")),
        ("429", || Answer::json(429, json!({"type": "too_many_requests"})).header("Retry-After", "3600")),
        ("408", || Answer::json(408, json!({})).header("Retry-After", "3600")),
        ("a page", || Answer::html(200, "<html>")),
        ("no answer", Answer::close),
    ];
    for (what, answer) in answers {
        let mut shop = Shop::new(Sort::SquarePkce);
        let server = Server::with(move |_, _| answer());
        shop.at(&server).store(50);
        let run = shop.run(&["token"]);
        run.code(0).stdout_is(&format!("{}\n", shop.access)).stderr_has("warning: ");
        shop.run(&["token", "-q"]).code(0).stdout_is(&format!("{}\n", shop.access)).stderr_is("");
        shop.run(&["token", "-o", "json", "--log-format", "json"]).code(0).stderr_has("\"level\":\"warning\"");
        assert!(run.stderr.contains("no new token could be had"), "{what}: {run}");
        // Who asks for a new one is told that there is none.
        shop.run(&["refresh"]).code(7).stdout_is("");
        // And what no longer works is not printed.
        shop.store(-1);
        shop.run(&["token"]).code(7).stdout_is("");
        server.finish();
    }
    let mut shop = Shop::square();
    shop.env.set("TOKMAN_SQUARE_BASE_URL", server::nobody());
    let mut record = shop.record(50);
    record["tokman"]["base_url"] = serde_json::Value::Null;
    shop.env.write_token("square/default", &record);
    let run = shop.run(&["token", "--timeout", "1s"]);
    run.code(0).stdout_is(&format!("{}\n", shop.access)).stderr_has("warning: ").stderr_has("cannot connect");
}

#[test]
fn the_old_token_is_not_printed_when_the_grant_is_dead() {
    let mut shop = Shop::square();
    let refusal = json!({"type": "service.not_authorized", "message": "Invalid refresh token"});
    let server = Server::start(vec![Step::expect(shop.refresh_request()).answer(401, refusal)]);
    shop.at(&server).store(30);
    shop.run(&["token"]).code(5).stdout_is("");
    shop.run(&["token"]).code(5).stdout_is("");
    server.finish();
}

#[test]
fn a_token_that_could_break_out_of_its_line_is_not_printed() {
    for access in ["a b", "a\nb", "a\u{1b}[2J", "é", "a'b;\u{7f}"] {
        let mut shop = Shop::square();
        let server = Server::start(vec![]);
        shop.at(&server);
        let mut record = shop.record(3600);
        record["access_token"] = access.into();
        shop.env.write_token("square/default", &record);
        for format in ["token", "header", "env", "json"] {
            shop.run(&["token", "-o", format]).code(6).stdout_is("");
        }
        server.finish();
    }
    let mut shop = Shop::square();
    let server = Server::start(vec![]);
    shop.at(&server);
    let mut record = shop.record(3600);
    record["access_token"] = "a'$(id>broken)\\b`".into();
    shop.env.write_token("square/default", &record);
    let run = shop.run(&["token", "-o", "env"]);
    let script = format!("{}printf %s \"$SQUARE_ACCESS_TOKEN\"", run.code(0).stdout);
    shop.env.program("sh", &["-c", &script]).run().code(0).stdout_is("a'$(id>broken)\\b`");
    assert!(!shop.env.work().join("broken").exists());
    server.finish();
}

#[test]
fn a_token_issued_in_the_future_is_not_trusted() {
    let mut shop = Shop::square();
    let server = Server::start(vec![shop.refreshes()]);
    shop.at(&server);
    let mut record = shop.record(48 * 3600);
    record["tokman"]["refreshed_at"] = crate::support::shop::time(24 * 3600).into();
    shop.env.write_token("square/default", &record);
    shop.run(&["token"]).code(0).stdout_is(&format!("{}\n", shop.new_access));
    server.finish();
}

#[test]
fn the_end_inside_a_token_counts_when_it_comes_first() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut shop = Shop::new(Sort::WixHeadless);
    let claims = json!({"exp": 1_000_000_000, "x": canary("inside")}).to_string();
    let access = format!("OauthNG.JWS.{}.{}.c", "h", URL_SAFE_NO_PAD.encode(claims));
    let mut answer = shop.answer();
    answer["access_token"] = access.clone().into();
    let server = Server::with(move |_, _| Answer::json(200, answer.clone())).exactly(2);
    shop.at(&server).store(-60);
    for _ in 0..2 {
        shop.command(&["token"]).may_print(&[&access]).run().code(0).stdout_is(&format!("{access}\n"));
    }
    assert_eq!(shop.stored()["tokman"]["expires_at"], "2001-09-09T01:46:40Z");
    server.finish();
}
