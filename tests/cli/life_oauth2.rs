//! Whole lives of tokens of an OAuth 2.0 provider, and logins that end in another process than they began in.

use serde_json::{Value, json};

use crate::support::emulated::{Emulated, fetch, open, submit};
use crate::support::{Run, TestEnv};

/// A world in which `acme` is the emulator's OAuth 2.0 provider.
fn world(emulated: &Emulated<'_>) -> TestEnv {
    let mut env = emulated.client(&[]);
    env.set("TOKMAN_PROVIDER", "acme");
    env.set("TOKMAN_ACME_BASE_URL", emulated.get("TOKMAN_EMULATOR_ISSUER"));
    env
}

/// A member of a run's response.
#[track_caller]
fn member(run: &Run, name: &str) -> String {
    run.code(0).json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {run}")).to_owned()
}

fn refresh_of(env: &TestEnv, key: &str) -> String {
    env.read_token(key)["refresh_token"].as_str().expect("a refresh token").to_owned()
}

#[track_caller]
fn remote(env: &TestEnv) -> Value {
    env.tokman(&["status", "-p", "acme", "--remote", "-o", "json"]).code(0).json()[0]["remote"].clone()
}

/// Logs in by an address in one process and what came of it in another.
#[track_caller]
fn log_in(env: &TestEnv, options: &[&str]) -> Run {
    let printed = env.tokman(&[&["obtain", "--print-url"], options].concat());
    let redirected = open(printed.code(0).stdout.trim());
    env.command(&[&["obtain", "--code", "-"], options].concat()).stdin(redirected).run()
}

#[test]
fn of_a_login_from_its_address_to_its_revocation() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let env = world(&emulated);
    let run = log_in(&env, &["--scope", "read offline_access"]);
    let first = member(&run, "access_token");
    assert_eq!(run.json()["scope"], "read offline_access");
    let stored = env.read_token("acme/default");
    assert_eq!(stored["tokman"]["grant"], "authorization_code");
    env.tokman(&["token"]).code(0).stdout_is(&format!("{first}\n")).stderr_is("");
    assert_eq!(remote(&env), "active");
    let spent = refresh_of(&env, "acme/default");
    let second = member(&env.tokman(&["refresh"]), "access_token");
    assert!(second != first && refresh_of(&env, "acme/default") != spent, "a refresh replaces both");
    assert_eq!(remote(&env), "active");
    env.tokman(&["revoke", "--yes"]).code(0);
    assert!(!env.token_path("acme/default").exists());
    env.tokman(&["revoke", "--yes"]).code(4);
    env.tokman(&["token"]).code(4).stderr_has("hint: tokman obtain --provider acme");
}

#[test]
fn of_a_login_whose_spent_refresh_token_somebody_presents_again() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let env = world(&emulated);
    log_in(&env, &[]).code(0);
    let spent = refresh_of(&env, "acme/default");
    env.tokman(&["refresh"]).code(0);
    let run = env.command(&["obtain", "-n", "thief", "--refresh-token", "-"]).stdin(spent.clone()).run();
    run.code(5).stdout_is("").stderr_has("was used before").stderr_lacks(&spent);
    assert!(!env.token_path("acme/thief").exists());
    // The whole family has ended: the one who has the newest token needs a new login, and is told so once and for all.
    assert_eq!(remote(&env), "inactive");
    env.tokman(&["refresh"]).code(5).stderr_has("hint: tokman obtain");
    assert!(env.read_token("acme/default")["tokman"]["needs_login"].is_string());
    assert_eq!(env.tokman(&["status", "-o", "json"]).code(0).json()[0]["state"], "needs_login");
    log_in(&env, &[]).code(0);
    assert_eq!(env.tokman(&["status", "-o", "json"]).code(0).json()[0]["state"], "fresh");
    env.tokman(&["refresh"]).code(0);
}

#[test]
fn of_a_device_that_is_connected() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let env = world(&emulated);
    let run = env.tokman(&["obtain", "--device"]);
    let first = member(&run, "access_token");
    run.stderr_has("Open this address on any device").stderr_has("With the code in it: ").stderr_lacks("acme_dc_");
    let spent = refresh_of(&env, "acme/default");
    assert_ne!(member(&env.tokman(&["refresh"]), "access_token"), first);
    assert_ne!(refresh_of(&env, "acme/default"), spent);
    assert_eq!(remote(&env), "active");
}

#[test]
fn of_a_device_that_a_person_allows_or_refuses_on_the_page() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &[]);
    let env = world(&emulated);
    for (decision, shown, code) in [("allow", "is connected", 0), ("deny", "was refused", 5)] {
        let profile = ["obtain", "--device", "-n", decision, "-o", "none"];
        let running = env.command(&profile).spawn();
        let said = running.wait_for_stderr("Waiting");
        let line = said.lines().find_map(|line| line.strip_prefix("With the code in it: ")).expect("an address");
        let page = fetch(line);
        let id = page.split("name=\"consent\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let id = id.unwrap_or_else(|| panic!("no question: {page}"));
        let form = format!("consent={id}&decision={decision}");
        let answer = submit(&format!("{}/consent", emulated.get("TOKMAN_EMULATOR_ISSUER")), &form);
        assert!(answer.contains(shown), "{answer}");
        let run = running.wait();
        run.code(code).stdout_is("");
        assert_eq!(env.token_path(&format!("acme/{decision}")).exists(), code == 0);
        if code != 0 {
            run.stderr_has("The person denied the request");
        }
    }
}

#[test]
fn of_a_clients_own_credentials() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &[]);
    let env = world(&emulated);
    let run = env.tokman(&["obtain", "--client-credentials", "--scope", "write"]);
    let first = member(&run, "access_token");
    assert_eq!((run.json()["scope"].as_str(), run.json().get("refresh_token")), (Some("write"), None));
    let again = env.tokman(&["refresh"]);
    assert_ne!(member(&again, "access_token"), first);
    assert_eq!(again.json()["scope"], "write");
    assert_eq!(remote(&env), "active");
    env.tokman(&["revoke", "--yes"]).code(0);
    assert!(!env.token_path("acme/default").exists());
}

#[test]
fn of_keys_that_are_named_after_their_accounts() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let env = emulated.client(&[]);
    // Between the processes the login waits under the name that was given; the token is kept under the account's.
    let run = log_in(&env, &["-p", "square", "-n", "@account"]);
    let merchant = member(&run, "merchant_id");
    let key = format!("square/{merchant}");
    assert_eq!(env.read_token(&key)["tokman"]["account"].as_str(), Some(&merchant[..]));
    assert!(!env.token_path("square/@account").exists() && !env.token_path("square/default").exists());
    env.tokman(&["refresh", "-p", "square", "-n", &merchant]).code(0);
    let instance = emulated.get("TOKMAN_WIX_INSTANCE_ID");
    env.tokman(&["obtain", "-p", "wix", "-n", "@account"]).code(0);
    assert_eq!(env.read_token(&format!("wix/{instance}"))["tokman"]["account"].as_str(), Some(instance));
    assert!(!env.token_path("wix/default").exists());
}

#[test]
fn of_a_login_in_two_processes_that_ends_once() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let env = world(&emulated);
    let redirected = open(env.tokman(&["obtain", "--print-url"]).code(0).stdout.trim());
    assert!(redirected.starts_with("http://127.0.0.1:8917/callback?"), "{redirected}");
    // Another login's answer changes nothing, and the right one is still taken.
    let forged = redirected.replace("state=", "state=x");
    env.command(&["obtain", "--code", "-"]).stdin(forged).run().code(2).stdout_is("");
    env.command(&["obtain", "--code", "-"]).stdin(redirected.clone()).run().code(0);
    env.command(&["obtain", "--code", "-"]).stdin(redirected).run().code(2).stderr_has("no login waits");
    assert_eq!(remote(&env), "active");
}

#[test]
fn of_a_login_that_misspells_a_scope() {
    let home = TestEnv::new();
    let emulated = Emulated::start(&home, &["--auto-approve"]);
    let env = emulated.client(&[]);
    let run = env.tokman(&["obtain", "-p", "square", "--print-url", "--scope", "PAYMENT_READ ITEMS_READ"]);
    run.code(0).stderr_has("did you mean PAYMENTS_READ?").stderr_lacks("'ITEMS_READ'");
    assert!(run.stdout.contains("scope=PAYMENT_READ"), "{run}");
    assert_eq!(run.stdout.lines().count(), 1);
    assert_eq!(json!(env.token_path("square/default").exists()), json!(false));
}
