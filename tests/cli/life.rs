//! Whole lives of tokens at the emulator: from the login to the end, for every sort of credential.

use serde_json::{Value, json};

use crate::support::emulated::{Emulated, log_in, open};
use crate::support::{Run, TestEnv};

const SECRET: &str = "TOKMAN_SQUARE_CLIENT_SECRET";

/// The access token in a run's response, which is pretty JSON.
#[track_caller]
fn access_of(run: &Run) -> String {
    run.code(0).json()["access_token"].as_str().unwrap_or_else(|| panic!("no token: {run}")).to_owned()
}

/// What the store holds as refresh token.
fn refresh_of(env: &TestEnv, key: &str) -> String {
    env.read_token(key)["refresh_token"].as_str().expect("a refresh token").to_owned()
}

#[track_caller]
fn remote(env: &TestEnv, provider: &str) -> Value {
    env.tokman(&["status", "-p", provider, "--remote", "-o", "json"]).code(0).json()[0]["remote"].clone()
}

#[test]
fn of_square_with_a_secret() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let env = emulated.client(&[]);
    let first = access_of(&log_in(&env, "square"));
    let refresh = refresh_of(&env, "square/default");
    assert_eq!(env.read_token("square/default")["tokman"]["kind"], "square");
    env.tokman(&["token", "-p", "square"]).code(0).stdout_is(&format!("{first}\n")).stderr_is("");
    // The code flow keeps its refresh token; the access token is another.
    let second = access_of(&env.tokman(&["refresh", "-p", "square"]));
    assert!(second != first && refresh_of(&env, "square/default") == refresh);
    let third = access_of(&env.tokman(&["renew", "-p", "square"]));
    assert!(third != second && refresh_of(&env, "square/default") == refresh);
    assert_eq!(remote(&env, "square"), "active");
    let narrow = env.tokman(&["refresh", "-p", "square", "--scope", "PAYMENTS_READ", "--short-lived"]);
    assert_eq!(narrow.code(0).json()["short_lived"], true);
    // One token ends, the grant goes on.
    let run = env.tokman(&["revoke", "-p", "square", "--only-access-token"]);
    assert_eq!(run.code(0).json(), json!({"success": true}));
    assert_eq!(remote(&env, "square"), "inactive");
    let fourth = env.tokman(&["token", "-p", "square"]).code(0).stdout.trim().to_owned();
    assert!(![first, second, third].contains(&fourth) && refresh_of(&env, "square/default") == refresh);
    // All of it ends, and a second time there is nothing.
    assert_eq!(env.tokman(&["revoke", "-p", "square", "--yes"]).code(0).json(), json!({"success": true}));
    assert!(!env.token_path("square/default").exists());
    env.tokman(&["revoke", "-p", "square", "--yes"]).code(4);
    let run = env.command(&["obtain", "-p", "square", "--refresh-token", "-"]).stdin(refresh).run();
    run.code(5).stdout_is("").stderr_has("Invalid refresh token");
}

#[test]
fn of_square_with_pkce() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let env = emulated.client(&[SECRET]);
    let first = access_of(&log_in(&env, "square"));
    let stored = env.read_token("square/default");
    assert_eq!(stored["tokman"]["kind"], "square-pkce");
    assert!(stored["tokman"]["refresh_token_expires_at"].is_string(), "{stored}");
    // A refresh token is good once: the next one is stored.
    let spent = refresh_of(&env, "square/default");
    let second = access_of(&env.tokman(&["refresh", "-p", "square"]));
    assert!(second != first && refresh_of(&env, "square/default") != spent);
    let run = env.command(&["obtain", "-p", "square", "-n", "late", "--refresh-token", "-"]).stdin(spent.clone()).run();
    run.code(5).stdout_is("").stderr_has("hint: tokman obtain").stderr_lacks(&spent);
    assert!(!env.token_path("square/late").exists());
    // A record that presents a spent one is marked, and not asked about again.
    let mut old = env.read_token("square/default");
    old["refresh_token"] = spent.into();
    let good = env.read_token("square/default");
    env.write_token("square/default", &old);
    env.tokman(&["refresh", "-p", "square"]).code(5);
    assert!(env.read_token("square/default")["tokman"]["needs_login"].is_string());
    let states = env.tokman(&["status", "-o", "json"]).code(0).json();
    assert_eq!(states[0]["state"], "needs_login");
    env.write_token("square/default", &good);
    access_of(&env.tokman(&["refresh", "-p", "square"]));
    // A secret that is configured later does not go with a grant that was obtained without.
    env.command(&["refresh", "-p", "square"]).var(SECRET, emulated.get(SECRET)).run().code(0);
    env.tokman(&["revoke", "-p", "square", "--yes"]).code(6).stderr_has("(PKCE) cannot revoke");
    assert!(env.token_path("square/default").exists());
}

#[test]
fn of_square_from_an_old_token() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &[]);
    let env = emulated.client(&[]);
    let old = emulated.get("TOKMAN_EMULATOR_SQUARE_OLD_TOKEN");
    let run = env.command(&["obtain", "-p", "square", "--migration-token", "-"]).stdin(format!("{old}\n")).run();
    let access = access_of(&run);
    assert!(access != old && !refresh_of(&env, "square/default").is_empty());
    assert_eq!(env.read_token("square/default")["tokman"]["grant"], "migration_token");
    assert_ne!(access_of(&env.tokman(&["refresh", "-p", "square"])), access);
    let run =
        env.command(&["obtain", "-p", "square", "-n", "two", "--migration-token", "-"]).stdin("sq0atp-none").run();
    run.code(6).stdout_is("");
}

#[test]
fn of_a_wix_app() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let env = emulated.client(&[]);
    // Nothing need be stored beforehand.
    let first = env.tokman(&["token", "-p", "wix"]).code(0).stdout.trim().to_owned();
    assert!(first.starts_with("OauthNG.JWS."), "{first}");
    let stored = env.read_token("wix/default");
    assert_eq!(stored["tokman"]["account"].as_str(), Some(emulated.get("TOKMAN_WIX_INSTANCE_ID")));
    assert_eq!((&stored["tokman"]["kind"], &stored["expires_in"]), (&json!("wix-app"), &json!(14400)));
    env.tokman(&["token", "-p", "wix", "-o", "header"]).code(0).stdout_is(&format!("Authorization: {first}\n"));
    assert_ne!(access_of(&env.tokman(&["refresh", "-p", "wix"])), first);
    assert_ne!(access_of(&env.tokman(&["obtain", "-p", "wix"])), first);
    assert_eq!(remote(&env, "wix"), "active");
    env.tokman(&["renew", "-p", "wix"]).code(6).stderr_has("tokman refresh");
    env.tokman(&["revoke", "-p", "wix"]).code(6).stderr_has("no revocation").stderr_has("tokman remove");
    env.tokman(&["remove", "-p", "wix"]).code(0).stdout_is("").stderr_has("stays valid");
    env.tokman(&["remove", "-p", "wix"]).code(4);
    let run = env.tokman(&["obtain", "-p", "wix", "--instance-id", "00000000-0000-4000-8000-000000000000"]);
    run.code(6).stderr_has("app not found in any meta-site").stderr_has("hint: ");
}

#[test]
fn of_a_wix_app_that_is_installed_in_a_browser() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let env = emulated.client(&["TOKMAN_WIX_INSTANCE_ID"]);
    let login = |env: &TestEnv| {
        let address = env.tokman(&["obtain", "-p", "wix", "--print-url"]).code(0).stdout.trim().to_owned();
        assert!(address.contains("/wix/app-installer?"), "{address}");
        open(&address)
    };
    let redirected = login(&env);
    let forged = redirected.replace("instanceId=", "instanceId=0");
    env.command(&["obtain", "-p", "wix", "--code", "-"]).stdin(forged).run().code(6).stderr_has("cannot be trusted");
    let redirected = login(&env);
    access_of(&env.command(&["obtain", "-p", "wix", "--code", "-"]).stdin(redirected).run());
    let stored = env.read_token("wix/default");
    assert_eq!(stored["tokman"]["account"].as_str(), Some(emulated.get("TOKMAN_WIX_INSTANCE_ID")));
    // The instance is in the record: nobody has to name it again.
    access_of(&env.tokman(&["refresh", "-p", "wix"]));
}

#[test]
fn of_a_wix_app_with_legacy_authentication() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let env = emulated.client(&["TOKMAN_WIX_INSTANCE_ID"]);
    env.write_config("[provider.wix]\nmode = \"legacy\"\n");
    let first = access_of(&log_in(&env, "wix"));
    assert!(first.starts_with("OAUTH2."), "{first}");
    let stored = env.read_token("wix/default");
    assert_eq!(stored["tokman"]["kind"], "wix-legacy");
    let seconds = |name: &str| stored["tokman"][name].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let (start, end) = (seconds("refreshed_at").expect("a time"), seconds("expires_at").expect("a time"));
    assert!((295..=300).contains(&end.duration_since(start).as_secs()), "{stored}");
    // Five minutes are fresh enough for any margin: it is cut to a tenth of them.
    env.tokman(&["token", "-p", "wix", "--min-ttl", "1h"]).code(0).stdout_is(&format!("{first}\n"));
    assert_ne!(access_of(&env.tokman(&["refresh", "-p", "wix"])), first);
    env.tokman(&["revoke", "-p", "wix"]).code(6);
}

#[test]
fn of_a_headless_wix_site() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve", "--rotate"]);
    let env = emulated.client(&["TOKMAN_WIX_INSTANCE_ID", "TOKMAN_WIX_CLIENT_SECRET"]);
    env.write_config("[provider.wix]\nscopes = [\"offline_access\"]\n");
    let first = access_of(&log_in(&env, "wix"));
    assert_eq!(env.read_token("wix/default")["tokman"]["kind"], "wix-headless");
    let spent = refresh_of(&env, "wix/default");
    assert_ne!(access_of(&env.tokman(&["refresh", "-p", "wix"])), first);
    let refresh = refresh_of(&env, "wix/default");
    assert_ne!(refresh, spent);
    let run = env.command(&["obtain", "-p", "wix", "-n", "late", "--refresh-token", "-"]).stdin(spent).run();
    run.code(5).stderr_has("invalid_grant");
    assert_eq!(remote(&env, "wix"), "active");
    env.tokman(&["revoke", "-p", "wix"]).code(0).stderr_has("undocumented").stderr_has("wix/default is forgotten here");
    let run = env.command(&["obtain", "-p", "wix", "--refresh-token", "-"]).stdin(refresh).run();
    run.code(5).stdout_is("");
}

#[test]
fn of_a_headless_wix_projects_own_credentials() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &[]);
    let env = emulated.client(&["TOKMAN_WIX_INSTANCE_ID"]);
    env.write_config("[provider.wix]\nmode = \"headless-admin\"\n");
    let first = access_of(&env.tokman(&["obtain", "-p", "wix", "--client-credentials"]));
    assert_eq!(env.read_token("wix/default")["tokman"]["kind"], "wix-headless-admin");
    assert_ne!(access_of(&env.tokman(&["refresh", "-p", "wix"])), first);
    env.tokman(&["obtain", "-p", "wix", "--print-url"]).code(6).stderr_has("no login");
}

#[test]
fn of_a_ci_job_that_has_secrets_and_an_empty_disk() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let seed = {
        let env = emulated.client(&[]);
        log_in(&env, "square").code(0);
        refresh_of(&env, "square/default")
    };
    let mut env = emulated.client(&[]);
    env.set("TOKMAN_SQUARE_REFRESH_TOKEN", seed);
    let first = env.tokman(&["token", "-p", "square"]).code(0).stdout.clone();
    assert!(first.starts_with("EAAA"), "{first}");
    env.tokman(&["token", "-p", "square"]).code(0).stdout_is(&first);
}

#[test]
fn of_a_secret_that_is_rolled_over() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    for (provider, name) in [("square", SECRET), ("wix", "TOKMAN_WIX_CLIENT_SECRET")] {
        let mut env = emulated.client(&[name]);
        env.set("OLD", "the-secret-of-last-month");
        env.set("NEW", emulated.get(name));
        env.write_config(&format!(
            "[provider.{provider}]\nclient_secret = [{{ env = \"OLD\" }}, {{ env = \"NEW\" }}]\n"
        ));
        if provider == "square" {
            let old = emulated.get("TOKMAN_EMULATOR_SQUARE_OLD_TOKEN");
            env.command(&["obtain", "-p", provider, "--migration-token", "-"]).stdin(old).run().code(0);
        } else {
            env.tokman(&["obtain", "-p", provider]).code(0);
        }
        access_of(&env.tokman(&["refresh", "-p", provider]));
        let alone = env.command(&["refresh", "-p", provider]).var(name, "the-secret-of-last-month").run();
        alone.code(6).stderr_has("hint: ");
    }
}
