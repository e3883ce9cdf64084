//! The application's credentials: where they come from, what is said when they are missing, and what they are bound to.

use serde_json::json;

use crate::support::shop::{INSTANCE, MERCHANT, WIX_ID};
use crate::support::{Answer, Request, Server, Shop, Sort, Step, TestEnv, canary};

#[test]
fn what_is_missing_is_named_with_every_way_to_give_it() {
    let record = |key: &str| {
        json!({"access_token": canary("a"), "refresh_token": canary("r"), "tokman": {
            "version": 1, "provider": key, "profile": "default", "generation": 1,
            "kind": if key == "square" { "square" } else { "wix-app" },
        }})
    };
    for (provider, set, missing) in [
        ("square", &[][..], ["no client id for square", "--client-id", "TOKMAN_SQUARE_CLIENT_ID", "client_id ="]),
        ("wix", &[], ["no client id for wix", "--client-id", "TOKMAN_WIX_CLIENT_ID", "client_id ="]),
        (
            "square",
            &[("TOKMAN_SQUARE_CLIENT_ID", "sq0idp-x")],
            ["no client secret for square", "--client-secret-file", "TOKMAN_SQUARE_CLIENT_SECRET", "client_secret = {"],
        ),
        (
            "wix",
            &[("TOKMAN_WIX_CLIENT_ID", WIX_ID), ("TOKMAN_WIX_INSTANCE_ID", INSTANCE)],
            ["no client secret for wix", "--client-secret-file", "TOKMAN_WIX_CLIENT_SECRET", "client_secret = {"],
        ),
        (
            "wix",
            &[("TOKMAN_WIX_CLIENT_ID", WIX_ID), ("TOKMAN_WIX_CLIENT_SECRET", "s")],
            ["no app instance for wix", "--instance-id", "TOKMAN_WIX_INSTANCE_ID", "instance_id ="],
        ),
    ] {
        let mut env = TestEnv::new();
        let server = Server::start(vec![]);
        env.set("TOKMAN_SQUARE_BASE_URL", server.url());
        env.set("TOKMAN_WIX_BASE_URL", server.url());
        for (name, value) in set {
            env.set(name, *value);
        }
        env.write_token(&format!("{provider}/default"), &record(provider));
        let run = env.tokman(&["refresh", "-p", provider]);
        run.code(3).stdout_is("").stderr_has(&format!("[provider.{provider}]"));
        for word in missing {
            run.stderr_has(word);
        }
        server.finish();
    }
}

#[test]
fn an_unknown_provider_is_refused_with_the_known_ones() {
    let env = TestEnv::new();
    env.write_config("[provider.acme]\nkind = \"square\"\n");
    for command in ["refresh", "token", "obtain", "revoke", "renew", "status"] {
        let run = env.tokman(&[command, "-p", "squrae"]);
        run.code(3).stderr_has("unknown provider 'squrae'; known are square, wix, acme");
    }
    env.tokman(&["refresh"]).code(3).stderr_has("TOKMAN_PROVIDER");
    env.tokman(&["token", "-p", "acme"]).code(4);
}

#[test]
fn a_record_of_another_application_or_address_is_not_sent() {
    for (sort, variable, value, said) in [
        (Sort::Square, "TOKMAN_SQUARE_CLIENT_ID", "sq0idp-other", "was issued to sq0idp-MADEUP"),
        (Sort::Square, "TOKMAN_SQUARE_BASE_URL", "", "was issued by http://127.0.0.1:"),
        (Sort::Square, "TOKMAN_SQUARE_ENVIRONMENT", "sandbox", "not https://connect.squareupsandbox.com"),
        (Sort::WixApp, "TOKMAN_WIX_INSTANCE_ID", WIX_ID, "was issued for 89abcdef"),
    ] {
        let mut shop = Shop::new(sort);
        let (server, other) = (Server::start(vec![]), Server::start(vec![]));
        shop.at(&server).store(-60);
        if variable.ends_with("ENVIRONMENT") {
            shop.env.unset("TOKMAN_SQUARE_BASE_URL");
        }
        shop.env.set(variable, if value.is_empty() { other.url() } else { value.to_owned() });
        let bytes = shop.bytes();
        for args in
            [&["refresh"][..], &["refresh", "--force"], &["token"], &["revoke", "--yes"], &["status", "--remote"]]
        {
            shop.run(args).code(3).stderr_has(said);
        }
        assert!(shop.bytes() == bytes);
        // Nor is it printed, however fresh.
        shop.store(3600);
        shop.run(&["token"]).code(3).stdout_is("");
        shop.run(&["token", "--no-refresh"]).code(3).stdout_is("");
        server.finish();
        other.finish();
    }
}

#[test]
fn options_win_over_variables_and_these_over_the_file() {
    let mut shop = Shop::square();
    let answer = Answer::json(200, shop.answer());
    let server = Server::with(move |_, _| answer.clone());
    shop.at(&server);
    let in_file = canary("in-file");
    shop.env.write_config(&format!("[provider.square]\nclient_id = \"sq0idp-file\"\nclient_secret = \"{in_file}\"\n"));
    let obtain = |shop: &Shop, options: &[&str]| {
        shop.command(&[&["obtain", "--code", "-", "--replace"], options].concat()).stdin("code").run().code(0);
        let body = server.requests().last().expect("a request").json();
        (body["client_id"].clone(), body["client_secret"].clone())
    };
    shop.env.write("work/secret", format!("\n {}\t\n", shop.new_refresh));
    let options = ["--client-id", "sq0idp-option", "--client-secret-file", "secret"];
    assert_eq!(obtain(&shop, &options), (json!("sq0idp-option"), json!(shop.new_refresh)));
    assert_eq!(obtain(&shop, &[]), (json!(shop.id), json!(shop.secret)));
    shop.env.unset("TOKMAN_SQUARE_CLIENT_ID");
    shop.env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    shop.env.set("TOKMAN_SQUARE_CLIENT_SECRET_FILE", shop.env.work().join("secret"));
    assert_eq!(obtain(&shop, &[]), (json!("sq0idp-file"), json!(shop.new_refresh)));
    shop.env.unset("TOKMAN_SQUARE_CLIENT_SECRET_FILE");
    assert_eq!(obtain(&shop, &[]), (json!("sq0idp-file"), json!(in_file)));
}

#[test]
fn a_secret_comes_from_wherever_the_file_says() {
    let mut shop = Shop::square();
    shop.env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    shop.env.set("MY_SECRET", shop.secret.as_str());
    shop.env.write("work/secret", format!("{}\n", shop.secret));
    let file = shop.env.work().join("secret").display().to_string();
    let answer = Answer::json(200, shop.answer());
    let server = Server::with(move |_, _| answer.clone());
    shop.at(&server).store(-60);
    for (times, source) in [
        "{ env = \"MY_SECRET\" }".to_owned(),
        format!("{{ file = \"{file}\" }}"),
        format!("{{ command = [\"cat\", \"{file}\"] }}"),
        "{ command = [\"sh\", \"-c\", \"echo $MY_SECRET\"] }".to_owned(),
        // What is not there is passed over.
        format!("[{{ env = \"NOT_SET\" }}, {{ file = \"/nowhere/secret\" }}, {{ file = \"{file}\" }}]"),
    ]
    .iter()
    .enumerate()
    {
        shop.env.write_config(&format!("[provider.square]\nclient_secret = {source}\n"));
        shop.run(&["refresh"]).code(0).stderr_is("");
        let requests = server.requests();
        assert_eq!(requests.len(), times + 1, "{source}");
        assert_eq!(shop.refresh_request().objection(&requests[times]), None, "{source}");
    }
    let secret = shop.secret.clone();
    shop.env.write_config("");
    shop.command(&["refresh", "--client-secret-file", "-"]).stdin(secret).run().code(0);
}

#[test]
fn a_secret_that_cannot_be_had_is_an_error_before_anything_is_sent() {
    let mut shop = Shop::square();
    shop.env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    let server = Server::start(vec![]);
    shop.at(&server).store(-60);
    let leaky = format!("echo {} >&2; exit 1", "nothing");
    for (source, said) in [
        ("{ env = \"NOT_SET\" }".to_owned(), "the variable NOT_SET"),
        ("{ file = \"/nowhere/secret\" }".to_owned(), "/nowhere/secret"),
        ("{ command = [\"false\"] }".to_owned(), "the command false failed"),
        ("{ command = [\"true\"] }".to_owned(), "printed nothing"),
        ("{ command = [\"./local\"] }".to_owned(), "absolute path"),
        ("{ command = [] }".to_owned(), "empty"),
        ("{ command = [\"no-such-program\"] }".to_owned(), "cannot be run"),
        (format!("{{ command = [\"sh\", \"-c\", \"{leaky}\"] }}"), "failed"),
        ("{ vault = \"x\" }".to_owned(), "vault"),
    ] {
        shop.env.write_config(&format!("[provider.square]\nclient_secret = {source}\n"));
        shop.run(&["refresh"]).code(3).stderr_has(said);
        // A fresh token needs no secret.
        shop.store(3600);
        let code = if said == "vault" { 3 } else { 0 };
        shop.run(&["token"]).code(code);
        shop.store(-60);
    }
    server.finish();
}

#[test]
fn a_secret_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    for mode in [0o644, 0o640, 0o604, 0o660] {
        let mut shop = Shop::square();
        shop.env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
        let server = Server::start(vec![]);
        shop.at(&server).store(-60);
        let file = shop.env.work().join("secret");
        shop.env.write(&file, &shop.secret);
        shop.env.set_mode(&file, mode);
        let hint = format!("hint: chmod 600 '{}'", file.display());
        shop.run(&["refresh", "--client-secret-file", "secret"]).code(3).stderr_has("hint: chmod 600 'secret'");
        shop.env.set("TOKMAN_SQUARE_CLIENT_SECRET_FILE", &file);
        shop.run(&["refresh"]).code(3).stderr_has(&hint);

        let config = shop.env.config_dir().join("config.toml");
        shop.env.write_config(&format!("[provider.square]\nclient_secret = \"{}\"\n", shop.secret));
        shop.env.set_mode(&config, mode);
        let hint = format!("hint: chmod 600 '{}'", config.display());
        shop.run(&["token"]).code(3).stderr_has(&hint);
        // Without a secret in it there is nothing to hide.
        shop.env.write_config("[defaults]\nmin_ttl = \"60s\"\n");
        shop.store(3600);
        shop.run(&["token"]).code(0);

        let token = shop.env.token_path("square/default");
        shop.env.set_mode(&token, mode);
        let hint = format!("hint: chmod 600 '{}'", token.display());
        shop.run(&["token"]).code(8).stdout_is("").stderr_has(&hint);
        server.finish();
    }
}

/// The step of a refresh with another secret.
fn with_secret(shop: &Shop, secret: &str, answer: Answer) -> Step {
    let body = json!({
        "client_id": shop.id, "client_secret": secret, "grant_type": "refresh_token", "refresh_token": shop.refresh,
    });
    Step::expect(Request::post("/oauth2/token").json(body)).answer_with(answer)
}

#[test]
fn a_list_of_secrets_is_tried_in_its_order_until_one_is_accepted() {
    let refused = || Answer::json(401, json!({"type": "service.not_authorized", "message": "Not Authorized"}));
    let mut shop = Shop::square();
    let old = canary("rolled-over");
    shop.env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    shop.env.set("OLD_SECRET", old.as_str());
    shop.env.write_config(&format!(
        "[provider.square]\nclient_secret = [{{ env = \"OLD_SECRET\" }}, \"{}\"]\n",
        shop.secret
    ));
    let good = || Answer::json(200, shop.answer());
    let server = Server::start(vec![
        with_secret(&shop, &old, refused()),
        with_secret(&shop, &shop.secret, good()),
        with_secret(&shop, &old, good()),
        with_secret(&shop, &old, refused()),
        with_secret(&shop, &shop.secret, refused()),
        // What is no word on the secret is no reason to try another.
        with_secret(&shop, &old, Answer::json(401, json!({"type": "unauthorized", "message": "?"}))),
    ]);
    shop.at(&server).store(-60);
    for code in [0, 0, 6, 6] {
        shop.run(&["refresh", "-o", "none"]).code(code);
    }
    server.finish();
}

#[test]
fn an_address_that_is_not_safe_is_refused_before_connecting() {
    let mut shop = Shop::square();
    for address in [
        "http://connect.squareup.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "http://[::2]",
        "http://0.0.0.0",
        "ftp://localhost",
        "localhost:80",
        "nonsense",
    ] {
        shop.env.set("TOKMAN_SQUARE_BASE_URL", address);
        shop.run(&["refresh"]).code(3).stderr_has("TOKMAN_SQUARE_BASE_URL");
    }
}

#[test]
fn what_looks_mixed_up_is_said_before_it_is_refused() {
    let mut shop = Shop::square();
    let server =
        Server::with(|_, _| Answer::json(401, json!({"type": "service.not_authorized", "message": "Not Authorized"})));
    shop.at(&server).store(-60);
    shop.env.set("TOKMAN_SQUARE_CLIENT_SECRET", shop.access.as_str());
    shop.run(&["refresh"]).code(6).stderr_has("warning: ").stderr_has("looks like a Square token");
    shop.run(&["revoke", "--yes", "--merchant-id", MERCHANT, "-q"]).code(6).stderr_lacks("warning");
}
