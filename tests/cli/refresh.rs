//! `tokman refresh`: the stored grant, spent once and never lost.

use serde_json::{Value, json};

use crate::support::shop::{INSTANCE, WIX_ID, time};
use crate::support::{Answer, Request, Server, Shop, Sort, Step, TestEnv, canary, server};

#[test]
fn the_providers_response_is_printed_as_it_came_and_stored() {
    for sort in [Sort::Square, Sort::SquarePkce, Sort::WixApp, Sort::WixLegacy, Sort::WixHeadless] {
        let mut shop = Shop::new(sort);
        let server = Server::start(vec![shop.refreshes()]);
        shop.at(&server).store(-60);
        let before = shop.stored();
        let run = shop.run(&["refresh"]);
        assert_eq!(run.code(0).stderr_is("").json(), shop.answer());
        let stored = shop.stored();
        for (name, value) in shop.answer().as_object().expect("an object") {
            assert_eq!(&stored[name], value, "{name}, {sort:?}");
        }
        let meta = |name: &str| (before["tokman"][name].clone(), stored["tokman"][name].clone());
        for kept in ["kind", "grant", "client_id", "base_url", "account", "obtained_at"] {
            let (before, after) = meta(kept);
            assert_eq!(after, before, "{kept}, {sort:?}");
        }
        assert_eq!(meta("generation"), (json!(7), json!(8)));
        let (before, after) = meta("refreshed_at");
        assert_ne!(after, before);
        server.finish();
    }
}

#[test]
fn the_refresh_token_of_the_answer_counts_else_the_old_one() {
    type Answered = fn(&Shop) -> Value;
    let rows: [(Answered, Answered); 5] = [
        (|shop| json!(shop.refresh), |shop| json!(shop.refresh)),
        (|shop| json!(shop.new_refresh), |shop| json!(shop.new_refresh)),
        (|_| Value::Null, |shop| json!(shop.refresh)),
        (|_| json!(""), |shop| json!(shop.refresh)),
        (|_| json!(7), |shop| json!(shop.refresh)),
    ];
    for sort in [Sort::Square, Sort::SquarePkce, Sort::WixLegacy, Sort::WixHeadless] {
        for (answered, expected) in rows {
            let mut shop = Shop::new(sort);
            let mut answer = shop.answer();
            match answered(&shop) {
                Value::Null => drop(answer.as_object_mut().expect("an object").remove("refresh_token")),
                token => answer["refresh_token"] = token,
            }
            let expected = expected(&shop);
            let next = expected.as_str().expect("a token");
            let server = Server::start(vec![
                Step::expect(shop.refresh_request()).answer(200, answer.clone()),
                Step::expect(shop.refresh_with(next)).answer(200, answer.clone()),
            ]);
            shop.at(&server).store(-60);
            shop.run(&["refresh"]).code(0);
            assert_eq!(shop.stored()["refresh_token"], expected, "{sort:?}");
            shop.run(&["refresh"]).code(0);
            server.finish();
        }
    }
}

#[test]
fn each_form_of_output_prints_just_that() {
    let mut shop = Shop::square();
    let answer = Answer::json(200, shop.answer());
    let server = Server::with(move |_, _| answer.clone()).exactly(6);
    shop.at(&server).store(-60);
    let access = shop.new_access.clone();
    for (format, expected) in [
        ("token", format!("{access}\n")),
        ("header", format!("Authorization: Bearer {access}\n")),
        ("env", format!("export SQUARE_ACCESS_TOKEN='{access}'\n")),
        ("none", String::new()),
    ] {
        shop.run(&["refresh", "-o", format]).code(0).stdout_is(&expected).stderr_is("");
    }
    shop.run(&["refresh", "-q"]).code(0).stdout_is("").stderr_is("");
    shop.run(&["refresh", "-v"]).code(0).stderr_has("POST /oauth2/token");
    shop.env.tokman(&["refresh", "-o", "nonsense"]).code(2);
    server.finish();
}

#[test]
fn where_nothing_is_stored_it_says_what_to_run() {
    let shop = Shop::square();
    shop.env
        .tokman(&["refresh"])
        .code(4)
        .stderr_is("error: nothing is stored for square/default\nhint: tokman obtain --provider square\n");
    shop.env
        .tokman(&["refresh", "-n", "shop"])
        .code(4)
        .stderr_has("hint: tokman obtain --provider square --profile shop\n");
    assert!(!shop.env.config_dir().join("tokens").exists(), "asking leaves nothing behind");
}

#[test]
fn a_wix_app_needs_nothing_but_its_variables() {
    let server = Server::with(|_, _| Answer::json(200, json!({"access_token": "OauthNG.JWS.a", "expires_in": 14400})));
    let secret = canary("app-secret");
    let mut env = TestEnv::new();
    for (name, value) in [
        ("TOKMAN_WIX_BASE_URL", server.url().as_str()),
        ("TOKMAN_WIX_CLIENT_ID", WIX_ID),
        ("TOKMAN_WIX_CLIENT_SECRET", &secret),
        ("TOKMAN_WIX_INSTANCE_ID", INSTANCE),
        // Given as well, it loses: minting needs none.
        ("TOKMAN_WIX_REFRESH_TOKEN", &canary("unused")),
    ] {
        env.set(name, value);
    }
    env.tokman(&["refresh", "--provider", "wix", "-o", "token"]).code(0).stdout_is("OauthNG.JWS.a\n").stderr_is("");
    let body = json!({
        "client_id": WIX_ID, "client_secret": secret, "grant_type": "client_credentials", "instance_id": INSTANCE,
    });
    assert_eq!(Request::post("/oauth2/token").json(body).objection(&server.requests()[0]), None);
    assert_eq!(env.read_token("wix/default")["tokman"]["kind"], "wix-app");
    env.tokman(&["refresh", "--provider", "wix"]).code(0);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_refresh_token_in_the_environment_is_a_seed() {
    for sort in [Sort::WixLegacy, Sort::WixHeadless, Sort::Square, Sort::SquarePkce] {
        let mut shop = Shop::new(sort);
        let next = shop.answer()["refresh_token"].as_str().expect("a token").to_owned();
        let server =
            Server::start(vec![shop.refreshes(), Step::expect(shop.refresh_with(&next)).answer(200, shop.answer())]);
        shop.at(&server);
        shop.env.set(&shop.variable("REFRESH_TOKEN"), shop.refresh.as_str());
        shop.run(&["refresh"]).code(0);
        assert_eq!(shop.stored()["tokman"]["grant"], "refresh_token");
        // From now on the stored one counts.
        shop.env.set(&shop.variable("REFRESH_TOKEN"), canary("stale-seed"));
        shop.run(&["refresh"]).code(0);
        server.finish();
    }
}

#[test]
fn a_seed_is_not_used_in_place_of_a_damaged_record() {
    for contents in ["", "{", "[]", "\0\0\0\0", "{\"refresh_token\":\"r\"}", "{\"a\":1,\"a\":2}"] {
        let mut shop = Shop::square();
        let server = Server::start(vec![]);
        shop.at(&server);
        shop.env.set("TOKMAN_SQUARE_REFRESH_TOKEN", shop.refresh.as_str());
        let path = shop.env.token_path("square/default");
        shop.env.write(&path, contents);
        for command in ["refresh", "token", "renew"] {
            let run = shop.env.tokman(&[command]);
            run.code(8).stdout_is("").stderr_has(&format!("is set aside in {}.damaged", path.display()));
        }
        let aside = path.with_extension("json.damaged");
        assert_eq!(std::fs::read_to_string(aside).expect("it was set aside"), contents);
        server.finish();
    }
}

#[test]
fn a_damaged_record_harms_no_other() {
    let mut shop = Shop::square();
    let server = Server::start(vec![shop.refreshes()]);
    shop.at(&server).store_as("good", -60);
    shop.env.write(shop.env.token_path("square/default"), "{");
    shop.run(&["refresh"]).code(8);
    shop.run(&["refresh", "-n", "good"]).code(0);
    let run = shop.run(&["status", "-o", "json"]);
    let states: Vec<_> =
        run.code(8).json().as_array().expect("a list").iter().map(|key| key["state"].clone()).collect();
    assert_eq!(states, ["unknown", "fresh"]);
    server.finish();
}

#[test]
fn a_record_of_another_key_is_not_taken_for_ones_own() {
    let mut shop = Shop::square();
    let server = Server::start(vec![]);
    shop.at(&server);
    let record = shop.record(3600);
    shop.env.write_token("square/copied", &record);
    shop.run(&["token", "-n", "copied"]).code(8).stderr_has("it is the record of square/default");
    let mut newer = record;
    newer["tokman"]["version"] = 2.into();
    shop.env.write_token("square/default", &newer);
    shop.run(&["token"]).code(8).stderr_has("newer tokman");
    server.finish();
}

#[test]
fn the_bare_response_of_another_tool_becomes_a_record() {
    for sort in [Sort::Square, Sort::SquarePkce, Sort::WixLegacy] {
        let mut shop = Shop::new(sort);
        let server = Server::start(vec![shop.refreshes()]);
        shop.at(&server);
        let mut bare = shop.answer();
        bare["access_token"] = shop.access.clone().into();
        bare["refresh_token"] = shop.refresh.clone().into();
        shop.env.write_token(&shop.key(), &bare);
        shop.run(&["token"]).code(0).stdout_is(&format!("{}\n", shop.access));
        assert_eq!(shop.stored(), bare, "reading changes nothing");
        shop.run(&["refresh"]).code(0);
        assert_eq!(shop.stored()["tokman"]["generation"], 1);
        assert_eq!(shop.stored()["tokman"]["client_id"], shop.id);
        server.finish();
    }
}

#[test]
fn a_record_without_a_refresh_token_needs_a_login() {
    let mut shop = Shop::square();
    let server = Server::start(vec![]);
    shop.at(&server);
    let mut record = shop.record(-60);
    record.as_object_mut().expect("an object").remove("refresh_token");
    shop.env.write_token("square/default", &record);
    shop.run(&["refresh"]).code(5).stderr_has("hint: tokman obtain --provider square");
    server.finish();
}

#[test]
fn scopes_and_a_short_life_are_asked_for_as_square_has_them() {
    let mut shop = Shop::square();
    let body = json!({"scopes": ["PAYMENTS_READ", "ITEMS_READ", "ORDERS_READ"], "short_lived": true});
    let step = Step::expect(Request::post("/oauth2/token").json_with(body)).answer(200, shop.answer());
    let server = Server::start(vec![step, shop.refreshes()]);
    shop.at(&server).store(-60);
    let scopes = ["--scope", "PAYMENTS_READ ITEMS_READ", "--scope", "ORDERS_READ", "--short-lived"];
    shop.run(&[&["refresh"], &scopes[..]].concat()).code(0);
    assert_eq!(shop.stored()["tokman"]["scopes"], json!(["PAYMENTS_READ", "ITEMS_READ", "ORDERS_READ"]));
    // The next one asks for all that was granted again.
    shop.run(&["refresh"]).code(0);
    server.finish();
}

#[test]
fn nobody_listens_and_the_grant_is_kept() {
    let mut shop = Shop::square();
    let server = Server::start(vec![]);
    shop.at(&server).store(-60);
    shop.env.set("TOKMAN_SQUARE_BASE_URL", server::nobody());
    let mut record = shop.record(-60);
    record["tokman"]["base_url"] = Value::Null;
    shop.env.write_token("square/default", &record);
    let bytes = shop.bytes();
    let run = shop.run(&["refresh", "--timeout", "1s"]);
    run.code(7).stdout_is("").stderr_has("cannot connect to 127.0.0.1").stderr_has("the stored grant is kept");
    assert!(shop.bytes() == bytes);
    server.finish();
}

#[test]
fn an_answer_that_does_not_come_ends_with_the_budget() {
    let mut shop = Shop::new(Sort::SquarePkce);
    let server = Server::with(|_, _| Answer::hang());
    shop.at(&server).store(-60);
    let started = std::time::Instant::now();
    shop.run(&["refresh", "--timeout", "2s"]).code(7).stderr_has("was lost");
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
    assert_eq!(shop.stored()["refresh_token"], shop.refresh);
    // It may have been spent: that is said until it is known.
    let run = shop.run(&["status", "-o", "json"]);
    assert_eq!(run.code(0).json()[0]["state"], "in_doubt");
    assert_eq!(server.requests().len(), 2);
    server.finish();
}

#[test]
fn a_refresh_token_that_may_have_been_spent_is_handed_in_once_more() {
    let mut shop = Shop::new(Sort::SquarePkce);
    let server = Server::start(vec![
        Step::expect(shop.refresh_request()).answer_with(Answer::close()),
        Step::expect(shop.refresh_request()).answer_with(Answer::close()),
        shop.refreshes(),
    ]);
    shop.at(&server).store(-60);
    shop.run(&["refresh"]).code(7);
    shop.run(&["refresh"]).code(0).stderr_has("may have been lost");
    assert_eq!(shop.stored()["refresh_token"], shop.new_refresh);
    let run = shop.run(&["status", "-o", "json"]);
    let status = run.code(0).json();
    assert_eq!(status[0]["state"], "fresh");
    assert!(status[0]["refresh_token_expires_at"].as_str() >= Some(&time(80 * 24 * 3600)));
    server.finish();
}

#[test]
fn a_doubt_lasts_until_somebody_answers_for_it() {
    let mut shop = Shop::new(Sort::SquarePkce);
    let server = Server::with(|_, nth| if nth < 2 { Answer::close() } else { Answer::html(429, "<html>") });
    shop.at(&server).store(-60);
    shop.run(&["refresh", "--timeout", "2s"]).code(7).stderr_has("was lost");
    let doubted = || shop.run(&["status", "-o", "json"]).code(0).json()[0]["state"] == "in_doubt";
    assert!(doubted());
    // Neither a provider that has no time nor another grant that it has no time for settles anything.
    shop.run(&["refresh", "--timeout", "2s"]).code(7).stderr_has("may have been lost");
    assert!(doubted());
    let other = canary("other");
    shop.command(&["obtain", "--refresh-token", "-", "--timeout", "2s"]).stdin(other).run().code(7);
    assert!(doubted());
    server.finish();
}
