//! `tokman obtain`: grants that were got elsewhere, and what becomes of what is stored already.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::run::Run;
use crate::support::shop::{INSTANCE, MERCHANT};
use crate::support::{Answer, Request, Server, Shop, Sort, Step, canary};

/// A code that was got elsewhere, handed in and answered like this.
fn code_step(shop: &Shop, code: &str, answer: Answer) -> Step {
    let body = json!({
        "client_id": shop.id, "client_secret": shop.secret, "grant_type": "authorization_code", "code": code,
    });
    Step::expect(Request::post("/oauth2/token").without_header("authorization").json(body)).answer_with(answer)
}

#[test]
fn a_code_becomes_a_record() {
    let (mut shop, code) = (Shop::square(), canary("code"));
    let server = Server::start(vec![code_step(&shop, &code, Answer::json(200, shop.answer()))]);
    shop.at(&server);
    let run = shop.command(&["obtain", "--code", &code]).may_pass(&[&code]).run();
    run.code(0).stderr_is("");
    let mut stored = shop.stored();
    let Value::Object(meta) = stored["tokman"].take() else { panic!("no member 'tokman'") };
    stored.as_object_mut().expect("an object").remove("tokman");
    assert_eq!((&run.json(), &stored), (&shop.answer(), &shop.answer()));
    for (name, value) in [
        ("version", json!(1)),
        ("provider", json!("square")),
        ("profile", json!("default")),
        ("kind", json!("square")),
        ("grant", json!("authorization_code")),
        ("client_id", json!(shop.id)),
        ("base_url", json!(server.url())),
        ("account", json!(MERCHANT)),
        ("expires_at", stored["expires_at"].clone()),
        ("generation", json!(1)),
    ] {
        assert_eq!(meta.get(name), Some(&value), "{name}");
    }
    assert_eq!(meta["obtained_at"], meta["refreshed_at"]);
    server.finish();
}

#[test]
fn a_code_is_sent_again_only_when_it_was_explicitly_not_taken() {
    let lost: [fn(&Shop) -> Answer; 3] = [
        |_| Answer::close(),
        |shop| Answer::json(200, shop.answer()).truncated_at(10),
        |_| Answer::html(200, "<html>"),
    ];
    for answer in lost {
        let (mut shop, code) = (Shop::square(), canary("code"));
        let server = Server::start(vec![code_step(&shop, &code, answer(&shop))]);
        shop.at(&server).store(3600);
        let bytes = shop.bytes();
        shop.command(&["obtain", "--code", "-"]).stdin(code.as_str()).run().code(7);
        assert!(shop.bytes() == bytes);
        server.finish();
    }
    for status in [429, 503] {
        let (mut shop, code) = (Shop::square(), canary("code"));
        let not_now = Answer::json(status, json!({"type": "later", "message": "later"}));
        let good = Answer::json(200, shop.answer());
        let server = Server::start(vec![code_step(&shop, &code, not_now), code_step(&shop, &code, good)]);
        shop.at(&server);
        shop.command(&["obtain", "--code", "-"]).stdin(code.as_str()).run().code(0);
        server.finish();
    }
}

#[test]
fn a_refresh_token_from_elsewhere_begins_a_record() {
    for sort in [Sort::Square, Sort::SquarePkce, Sort::WixLegacy, Sort::WixHeadless] {
        let mut shop = Shop::new(sort);
        let server = Server::start(vec![shop.refreshes()]);
        shop.at(&server);
        shop.command(&["obtain", "--refresh-token", "-"]).stdin(format!("{}\n", shop.refresh)).run().code(0);
        let stored = shop.stored();
        assert_eq!(stored["access_token"], shop.new_access);
        assert_eq!(stored["refresh_token"], shop.answer()["refresh_token"]);
        assert_eq!(stored["tokman"]["grant"], "refresh_token");
        server.finish();
    }
}

#[test]
fn an_instance_id_implies_client_credentials() {
    let mut shop = Shop::new(Sort::WixApp);
    let server = Server::start(vec![shop.refreshes(), shop.refreshes()]);
    shop.at(&server);
    shop.env.unset("TOKMAN_WIX_INSTANCE_ID");
    shop.run(&["obtain", "--instance-id", INSTANCE, "-o", "token"])
        .code(0)
        .stdout_is(&format!("{}\n", shop.new_access));
    assert_eq!(shop.stored()["tokman"]["grant"], "client_credentials");
    assert_eq!(shop.stored()["refresh_token"], Value::Null);
    // The record remembers the instance.
    shop.run(&["refresh", "-o", "none"]).code(0);
    server.finish();
}

#[test]
fn an_old_access_token_migrates() {
    let mut shop = Shop::square();
    let body = json!({
        "client_id": shop.id, "client_secret": shop.secret,
        "grant_type": "migration_token", "migration_token": shop.access,
    });
    let step = Step::expect(Request::post("/oauth2/token").json(body)).answer(200, shop.answer());
    let server = Server::start(vec![step]);
    shop.at(&server);
    shop.command(&["obtain", "--migration-token", "-"]).stdin(shop.access.as_str()).run().code(0);
    assert_eq!(shop.stored()["refresh_token"], shop.refresh);
    server.finish();
}

#[test]
fn what_a_provider_does_not_have_is_refused_before_anything_is_sent() {
    for (sort, args, hint) in [
        (Sort::Square, &["obtain", "--client-credentials"][..], "tokman obtain --provider square --code"),
        (Sort::WixLegacy, &["obtain", "--migration-token", "-"], "mode"),
    ] {
        let mut shop = Shop::new(sort);
        let server = Server::start(vec![]);
        shop.at(&server);
        shop.env.command(args).stdin("x").run().code(6).stderr_has("hint: ").stderr_has(hint);
        assert!(!shop.has_token());
        server.finish();
    }
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let shop = Shop::square();
    for args in [
        &["--code", "-", "--refresh-token", "-"][..],
        &["--print-url", "--code", "-"],
        &["--no-browser", "--client-credentials"],
        &["--refresh-token", "value"],
        &["--migration-token", "value"],
        &["--code-verifier-file", "f"],
        &["--code", "-", "--code-verifier-file", "-"],
        &["--code", "-", "--client-secret-file", "-"],
        &["--refresh-token", "-", "--client-secret-file", "-"],
        &["--code", "x", "--code-verifier-file", "/nowhere"],
        &["--client-secret", "x"],
    ] {
        shop.env.tokman(&[&["obtain"], args].concat()).code(2).stdout_is("");
    }
    shop.env.tokman(&["obtain", "--refresh-token", "-"]).code(2).stderr_has("stdin has no refresh token");
    shop.env.command(&["obtain", "--code", "c", "--code-verifier-file", "-"]).stdin("short").run().code(2);
}

/// Obtains a token of another merchant than the stored one.
fn other_account(options: &[&str], code: i32) -> (Shop, Run) {
    let mut shop = Shop::square();
    let mut answer = shop.answer();
    answer["merchant_id"] = "MLOTHER000MERCHANT".into();
    answer["refresh_token"] = shop.new_refresh.clone().into();
    let server = Server::with(move |_, _| Answer::json(200, answer.clone())).exactly(1);
    shop.at(&server).store(-60);
    let run = shop.command(&[&["obtain", "--code", "-", "-o", "none"], options].concat()).stdin("code").run();
    run.code(code);
    server.finish();
    (shop, run)
}

/// The file that a hint names.
#[track_caller]
fn rescued(run: &Run) -> PathBuf {
    let path = run.stderr.split('\'').find(|part| part.starts_with('/') && part.contains("rescue-"));
    PathBuf::from(path.unwrap_or_else(|| panic!("no rescue file in: {run}")))
}

#[test]
fn a_live_token_of_another_account_is_not_overwritten_and_the_new_one_not_lost() {
    let (shop, run) = other_account(&[], 10);
    assert_eq!(shop.stored()["refresh_token"], shop.refresh);
    let file = rescued(&run);
    assert_eq!(std::fs::metadata(&file).expect("a rescue file").permissions().mode() & 0o7777, 0o600);
    let file = file.to_str().expect("text");
    shop.env.tokman(&["import", "--rescue", file]).code(2).stderr_has("--replace");
    assert_eq!(shop.stored()["refresh_token"], shop.refresh);
    // Under another profile it would be the record of another key.
    assert_ne!(shop.env.tokman(&["import", "--rescue", file, "-n", "other"]).status, Some(0));
    assert!(!shop.env.token_path("square/other").exists());
    shop.env.tokman(&["import", "--rescue", file, "--replace"]).code(0).stdout_is("");
    assert_eq!(shop.stored()["refresh_token"], shop.new_refresh);
    assert_eq!(shop.stored()["tokman"]["account"], "MLOTHER000MERCHANT");
    shop.env.tokman(&["import", "--rescue", file]).code(2).stderr_has("there is no file");
}

#[test]
fn a_refresh_token_that_is_kept_alone_is_of_the_sort_that_was_asked_for() {
    let mut shop = Shop::new(Sort::SquarePkce);
    let refresh = shop.new_refresh.clone();
    let server = Server::with(move |_, _| Answer::json(200, json!({"refresh_token": refresh}))).exactly(1);
    shop.at(&server);
    shop.env.write("home/verifier", "v".repeat(43));
    let verifier = shop.env.home().join("verifier");
    let verifier = verifier.to_str().expect("text");
    shop.command(&["obtain", "--code", "c", "--code-verifier-file", verifier]).run().code(6);
    assert_eq!(shop.stored()["refresh_token"], shop.new_refresh);
    assert_eq!(shop.stored()["tokman"]["kind"], "square-pkce");
    // What needs an access token is not asked for with an empty one.
    shop.run(&["status", "--remote"]).stderr_lacks("panicked");
    shop.env.set("TOKMAN_SQUARE_CLIENT_SECRET", canary("secret"));
    let run = shop.run(&["revoke", "--yes"]);
    run.code(6).stderr_has("there is no access token in the record").stderr_has("hint: tokman refresh");
    server.finish();
}

#[test]
fn a_live_token_of_another_application_is_not_overwritten_unasked() {
    let mut shop = Shop::square();
    let answer = shop.answer();
    let server = Server::with(move |_, _| Answer::json(200, answer.clone())).exactly(1);
    shop.at(&server).store(-60);
    let mut record = shop.stored();
    record["tokman"]["client_id"] = "of-another-application".into();
    shop.env.write_token("square/default", &record);
    let obtain = |more: &[&str]| {
        let words = [&["obtain", "--code", "-", "-o", "none"], more].concat();
        shop.command(&words).stdin("code").run()
    };
    obtain(&[]).code(3).stderr_has("issued to of-another-application");
    assert_eq!(shop.stored()["refresh_token"], shop.refresh);
    obtain(&["--replace"]).code(0);
    server.finish();
}

#[test]
fn another_account_replaces_a_live_token_where_that_is_asked_for() {
    let (shop, _) = other_account(&["--replace"], 0);
    assert_eq!(shop.stored()["refresh_token"], shop.new_refresh);
    assert_eq!(shop.stored()["tokman"]["generation"], 8);
}

#[test]
fn a_new_login_brings_a_dead_grant_back_to_life() {
    let (mut shop, code) = (Shop::square(), canary("code"));
    let server = Server::start(vec![code_step(&shop, &code, Answer::json(200, shop.answer())), shop.refreshes()]);
    shop.at(&server);
    let mut record = shop.record(-60);
    record["tokman"]["needs_login"] = record["tokman"]["obtained_at"].clone();
    shop.env.write_token("square/default", &record);
    shop.run(&["refresh", "--force"]).code(5).stderr_has("hint: tokman obtain --provider square");
    shop.command(&["obtain", "--code", "-"]).stdin(code.as_str()).run().code(0);
    assert_eq!(shop.stored()["tokman"]["needs_login"], Value::Null);
    shop.run(&["refresh"]).code(0);
    server.finish();
}

#[test]
fn a_damaged_record_is_kept_beside_the_new_one() {
    let (mut shop, code) = (Shop::square(), canary("code"));
    let server = Server::start(vec![code_step(&shop, &code, Answer::json(200, shop.answer()))]);
    shop.at(&server);
    let damaged = format!(r#"{{"access_token":"{}"#, shop.access);
    shop.env.write(shop.env.token_path("square/default"), &damaged);
    let run = shop.command(&["obtain", "--code", "-"]).stdin(code.as_str()).run();
    run.code(0).stderr_has("the record was damaged");
    assert_eq!(shop.stored()["access_token"], shop.new_access);
    let aside = shop.env.token_path("square/default").with_extension("json.damaged");
    assert_eq!(std::fs::read_to_string(aside).expect("it was set aside"), damaged);
    server.finish();
}

#[test]
fn files_are_private_whatever_the_umask() {
    for umask in ["umask 0", "umask 0777"] {
        let mut shop = Shop::square();
        let answer = Answer::json(200, shop.answer());
        let server = Server::with(move |_, _| answer.clone()).exactly(2);
        shop.at(&server);
        shop.command(&["obtain", "--print-url"]).after(umask).run().code(0);
        shop.command(&["obtain", "--code", "-"]).after(umask).stdin("code").run().code(0);
        shop.command(&["refresh"]).after(umask).run().code(0);
        let tokens = shop.env.config_dir().join("tokens");
        for (path, mode) in [
            (tokens.clone(), 0o700),
            (tokens.join("square"), 0o700),
            (tokens.join("square/default.json"), 0o600),
            (tokens.join("square/.default.lock"), 0o600),
            (shop.env.config_dir().join("logins/square"), 0o700),
        ] {
            let found = std::fs::metadata(&path).expect("a file").permissions().mode() & 0o7777;
            assert_eq!(found, mode, "{} after {umask}", path.display());
        }
        server.finish();
    }
}

#[test]
fn each_profile_is_a_key_of_its_own() {
    let mut shop = Shop::square();
    let answer = Answer::json(200, shop.answer());
    let server = Server::with(move |_, _| answer.clone()).exactly(1);
    shop.at(&server).store(3600);
    let bytes = shop.bytes();
    shop.command(&["obtain", "--code", "-", "-n", "Shop_2@example.com"]).stdin("code").run().code(0);
    assert!(shop.bytes() == bytes);
    assert_eq!(shop.env.read_token("square/Shop_2@example.com")["tokman"]["profile"], "Shop_2@example.com");
    for name in ["../x", "a/b", "", ".hidden", "-x", "a b", "é", &"x".repeat(129)] {
        shop.env.command(&["obtain", "--code", "-", &format!("--profile={name}")]).stdin("code").run().code(2);
    }
    server.finish();
}

#[test]
fn a_stdin_that_cannot_be_read_is_the_callers_mistake() {
    let shop = Shop::square();
    for args in [&["--refresh-token", "-"][..], &["--code", "-"], &["--migration-token", "-"], &["--no-browser"]] {
        let args = [&["obtain"], args].concat();
        let run = shop.command(&args).stdin(b"\xff\xfe".to_vec()).run();
        run.code(2).stderr_has("stdin is not UTF-8 text").stderr_lacks("please report");
        let run = shop.command(&args).after("exec < /").run();
        run.code(2).stderr_has("stdin cannot be read: ").stderr_lacks("please report");
    }
}

#[test]
fn a_redirect_address_has_neither_a_fragment_nor_a_name_and_password() {
    let shop = Shop::square();
    for address in [
        "https://shop.example/cb#part",
        "https://user:word@shop.example/cb",
        "https://user@shop.example/cb",
        "http://localhost:8917/callback#",
    ] {
        for way in [&["--print-url"][..], &["--no-browser"], &["--code", "c"]] {
            let run = shop.env.tokman(&[&["obtain", "--redirect-uri", address], way].concat());
            run.code(2).stdout_is("").stderr_has("--redirect-uri has a ").stderr_lacks("word@");
        }
    }
    let mut shop = Shop::square();
    shop.env.unset("TOKMAN_SQUARE_CLIENT_ID");
    shop.env.write_config("[provider.square]\nclient_id = \"sq0idp-x\"\nredirect_uri = \"https://a.example/cb#x\"\n");
    let run = shop.env.tokman(&["obtain", "--print-url"]);
    run.code(3).stderr_has("[provider.square] redirect_uri in config.toml: has a fragment");
}

#[test]
fn a_port_that_is_none_is_refused() {
    let shop = Shop::square();
    for way in ["--print-url", "--no-browser"] {
        shop.env.tokman(&["obtain", way, "--port", "0"]).code(2).stdout_is("").stderr_has("--port");
    }
}
