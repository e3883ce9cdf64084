//! Environment variables that say nothing that can be understood: nothing else is taken in their place.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use serde_json::json;

use crate::support::stored::{SQUARE_ID, answer, applications, record};
use crate::support::{Request, Server, Step, TestEnv, canary, sealing_key};

const DAY: i64 = 86_400;

/// A text, and one byte more that is no UTF-8.
fn broken(text: &str) -> OsString {
    OsString::from_vec([text.as_bytes(), b"\xff"].concat())
}

#[test]
fn refuses_a_variable_that_is_no_text_and_touches_nothing() {
    for name in [
        "TOKMAN_PROVIDER",
        "TOKMAN_PROFILE",
        "TOKMAN_STORE",
        "TOKMAN_STORE_KEY",
        "TOKMAN_SQUARE_BASE_URL",
        "TOKMAN_SQUARE_ENVIRONMENT",
        "TOKMAN_SQUARE_CLIENT_ID",
        "TOKMAN_SQUARE_CLIENT_SECRET",
        "TOKMAN_SQUARE_REFRESH_TOKEN",
    ] {
        let is_for_all = !name.starts_with("TOKMAN_SQUARE_");
        let server = Server::start(vec![]);
        let mut env = applications(&server.url());
        let stored = record("square/default", &server.url(), DAY, 29 * DAY);
        env.write_token("square/default", &stored);
        if name == "TOKMAN_SQUARE_ENVIRONMENT" {
            // An address would win over it.
            env.unset("TOKMAN_SQUARE_BASE_URL");
        }
        env.set(name, broken("Caf"));
        for args in [
            // A plain line of `token` is read without clap.
            &["token", "-p", "square", "-o", "none"][..],
            &["token", "-p", "square", "-o", "none", "--min-ttl", "1s"],
            &["revoke", "-p", "square", "--yes"],
            &["refresh", "-p", "square", "--force"],
            &["refresh", "--all"],
            &["config", "show"],
        ] {
            let run = env.tokman(args);
            let named = if args == ["refresh", "--all"] && !is_for_all { &run.stdout } else { &run.stderr };
            assert!(named.contains(&format!("{name}: is not UTF-8 text")), "{run}");
            assert!(!named.contains("Caf") && !matches!(run.status, Some(0)), "{run}");
        }
        // What these do not ask for is nothing to them.
        for args in [["import"], ["status"]] {
            let run = env.tokman(&args);
            assert_eq!(run.status == Some(3), is_for_all, "{run}");
        }
        assert_eq!(env.read_token("square/default"), stored);
        server.finish();
    }
}

#[test]
fn warns_of_a_variable_of_the_log_that_is_no_text() {
    let mut env = TestEnv::new();
    env.write_token("square/default", &record("square/default", "https://connect.squareup.com", DAY, 29 * DAY));
    for name in ["TOKMAN_LOG", "TOKMAN_LOG_FORMAT"] {
        env.set(name, broken("debug"));
        env.tokman(&["token", "-p", "square", "-o", "none"]).code(0).stderr_has(&format!("warning: {name} is n"));
        env.unset(name);
    }
}

#[test]
fn takes_a_variable_that_is_a_path_as_it_is() {
    let mut env = TestEnv::new();
    let dir = OsString::from_vec([env.home().as_os_str().as_encoded_bytes(), b"/of\xff"].concat());
    env.set("TOKMAN_CONFIG_DIR", &dir);
    env.set("TOKMAN_STORE_KEY_FILE", [dir.as_os_str(), "/key".as_ref()].into_iter().collect::<OsString>());
    env.set(
        "TOKMAN_SQUARE_CLIENT_SECRET_FILE",
        [dir.as_os_str(), "/secret".as_ref()].into_iter().collect::<OsString>(),
    );
    let path = std::path::PathBuf::from(&dir);
    env.write(path.join("key"), sealing_key());
    let secret = canary("secret");
    env.write(path.join("secret"), &secret);
    let (body, _) = answer();
    let server = Server::start(vec![
        Step::expect(Request::post("/oauth2/token").json_with(json!({ "client_secret": secret }))).answer(200, body),
    ]);
    env.set("TOKMAN_SQUARE_BASE_URL", server.url());
    env.set("TOKMAN_SQUARE_CLIENT_ID", SQUARE_ID);
    let refresh = canary("refresh");
    env.command(&["obtain", "-p", "square", "--refresh-token", "-", "-o", "none"]).stdin(refresh).run().code(0);
    server.finish();
    let stored = std::fs::read_to_string(path.join("tokens/square/default.json")).expect("a record");
    assert!(stored.contains("\"sealed\""), "{stored}");
}

#[test]
fn refuses_a_secrets_variable_of_the_config_file_that_is_no_text() {
    let mut env = TestEnv::new();
    env.write_config("[provider.square]\nclient_id = \"sq0idp-x\"\nclient_secret = { env = \"OWN\" }\n");
    env.set("OWN", broken("Caf"));
    let run = env.command(&["obtain", "-p", "square", "--refresh-token", "-"]).stdin(canary("refresh")).run();
    run.code(3).stderr_has("the variable OWN is not UTF-8 text").stderr_lacks("Caf");
}

#[cfg(feature = "postgres")]
#[test]
fn refuses_a_password_of_the_database_that_is_no_text() {
    let mut env = TestEnv::new();
    env.set("TOKMAN_STORE", "postgres://u@127.0.0.1:1/d");
    env.set("TOKMAN_STORE_KEY", sealing_key());
    env.set("PGPASSWORD", broken("Caf"));
    env.tokman(&["status"]).code(3).stderr_has("PGPASSWORD: is not UTF-8 text").stderr_lacks("Caf");
}

#[test]
fn sends_neither_a_line_break_nor_a_blank_around_a_variable() {
    let (body, _) = answer();
    let refresh = canary("refresh");
    let expected =
        Request::post("/oauth2/token").json_with(json!({ "refresh_token": refresh, "client_id": SQUARE_ID }));
    let server = Server::start(vec![Step::expect(expected).answer(200, body)]);
    let mut env = applications(&server.url());
    env.set("TOKMAN_SQUARE_REFRESH_TOKEN", format!(" {refresh}\r\n"));
    env.set("TOKMAN_SQUARE_CLIENT_ID", format!("{SQUARE_ID}\n"));
    env.tokman(&["token", "-p", "square", "-o", "none"]).code(0);
    server.finish();
}

#[test]
fn refuses_a_control_character_within_a_variable_that_is_sent() {
    for (provider, name) in [
        ("square", "TOKMAN_SQUARE_REFRESH_TOKEN"),
        ("square", "TOKMAN_SQUARE_CLIENT_ID"),
        ("wix", "TOKMAN_WIX_INSTANCE_ID"),
    ] {
        let server = Server::start(vec![]);
        let mut env = applications(&server.url());
        env.set("TOKMAN_SQUARE_REFRESH_TOKEN", canary("refresh"));
        env.set(name, "Caf\nCaf");
        let run = env.tokman(&["token", "-p", provider]);
        run.code(3).stderr_has(&format!("{name}: has a control character in it")).stderr_lacks("Caf");
        server.finish();
    }
}

#[test]
fn refuses_what_only_another_kind_of_provider_has() {
    let server = Server::start(vec![]);
    let mut env = applications(&server.url());
    env.set("TOKMAN_ACME_BASE_URL", server.url());
    for (provider, option, variable) in [
        ("wix", "--environment", "TOKMAN_WIX_ENVIRONMENT"),
        ("acme", "--environment", "TOKMAN_ACME_ENVIRONMENT"),
        ("square", "--instance-id", "TOKMAN_SQUARE_INSTANCE_ID"),
        ("acme", "--instance-id", "TOKMAN_ACME_INSTANCE_ID"),
    ] {
        let has_none = format!("; {provider} has none");
        let run = env.tokman(&["token", "-p", provider, option, "sandbox"]);
        run.code(2).stderr_has(&format!("{option} is ")).stderr_has(&has_none);
        env.set(variable, "sandbox");
        env.tokman(&["token", "-p", provider]).code(3).stderr_has(&format!("{variable}: is ")).stderr_has(&has_none);
        env.unset(variable);
    }
    server.finish();
}
