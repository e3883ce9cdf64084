//! Logins without a browser of ours: an address to open, and what the browser brought back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{digest, hmac};
use serde_json::{Value, json};
use url::Url;

use crate::support::shop::{INSTANCE, MERCHANT, WIX_ID, time};
use crate::support::{Request, Server, Shop, Sort, Step, canary};

const CALLBACK: &str = "http://localhost:8917/callback";

/// Begins a login with `--print-url`: the address.
#[track_caller]
fn begin(shop: &Shop, options: &[&str]) -> Url {
    let run = shop.env.tokman(&[&["obtain", "--print-url"], options].concat());
    run.code(0).stderr_is("");
    assert_eq!(run.stdout.lines().count(), 1, "{run}");
    run.stdout.trim().parse().expect("an address")
}

/// A parameter of an address.
#[track_caller]
fn parameter(address: &Url, name: &str) -> Option<String> {
    let mut values = address.query_pairs().filter(|(n, _)| n == name).map(|(_, value)| value.into_owned());
    let value = values.next();
    assert!(values.next().is_none(), "{name} comes twice in {address}");
    value
}

fn state(address: &Url) -> String {
    parameter(address, "state").expect("a state")
}

/// Finishes a login with `--code -`: the exit code.
#[track_caller]
fn finish(shop: &Shop, pasted: &str, code: i32) -> crate::support::run::Run {
    let run = shop.command(&["obtain", "--code", "-"]).stdin(pasted).run();
    run.code(code);
    run
}

/// The request that a code is handed in with, with a secret.
fn hand_in(shop: &Shop, code: &str, redirect: &str) -> Step {
    Step::expect(Request::post("/oauth2/token").without_header("authorization").json(json!({
        "client_id": shop.id,
        "client_secret": shop.secret,
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect,
    })))
    .answer(200, shop.answer())
}

fn pending(shop: &Shop) -> std::path::PathBuf {
    shop.env.config_dir().join("logins").join(format!("{}.json", shop.key()))
}

#[test]
fn begins_in_one_process_and_ends_in_another() {
    let (mut shop, code) = (Shop::square(), canary("code"));
    let server = Server::start(vec![hand_in(&shop, &code, CALLBACK)]);
    shop.at(&server);
    let address = begin(&shop, &[]);
    assert_eq!(address.as_str().split('?').next(), Some(&format!("{}/oauth2/authorize", server.url())[..]));
    assert_eq!(parameter(&address, "client_id").as_deref(), Some(shop.id));
    assert_eq!(parameter(&address, "redirect_uri").as_deref(), Some(CALLBACK));
    assert_eq!(parameter(&address, "session").as_deref(), Some("false"));
    assert_eq!(parameter(&address, "code_challenge"), None);
    assert_eq!(state(&address).len(), 43);

    finish(&shop, &format!("{CALLBACK}?code={code}&response_type=code&state={}\n", state(&address)), 0);
    let stored = shop.stored();
    assert_eq!((&stored["access_token"], &stored["merchant_id"]), (&json!(shop.new_access), &json!(MERCHANT)));
    assert_eq!(stored["tokman"]["grant"], "authorization_code");
    assert!(!pending(&shop).exists(), "a login is good once");
    server.finish();
}

#[test]
fn takes_the_bare_code_with_what_the_login_remembers() {
    let (mut shop, code) = (Shop::square(), canary("code"));
    let server = Server::start(vec![hand_in(&shop, &code, "https://shop.example/done?x=1")]);
    shop.at(&server);
    begin(&shop, &["--redirect-uri", "https://shop.example/done?x=1"]);
    finish(&shop, &format!(" {code}\n"), 0);
    server.finish();
}

#[test]
fn with_pkce_shows_the_challenge_and_later_the_verifier_but_never_a_secret() {
    let (mut shop, code) = (Shop::new(Sort::SquarePkce), canary("code"));
    let answer = shop.answer();
    let server = Server::with(move |_, _| crate::support::Answer::json(200, answer.clone())).exactly(2);
    shop.at(&server);
    let address = begin(&shop, &["--scope", "PAYMENTS_READ ITEMS_READ", "--port", "9000"]);
    assert_eq!(parameter(&address, "scope").as_deref(), Some("PAYMENTS_READ ITEMS_READ"));
    assert_eq!(parameter(&address, "redirect_uri").as_deref(), Some("http://localhost:9000/callback"));
    let challenge = parameter(&address, "code_challenge").expect("a challenge");

    // A secret that turns up later makes no difference to this login, nor to the grant that comes of it.
    shop.env.set("TOKMAN_SQUARE_CLIENT_SECRET", shop.secret.as_str());
    finish(&shop, &format!("http://localhost:9000/callback?code={code}&state={}", state(&address)), 0);
    shop.run(&["refresh", "-o", "none"]).code(0);
    let requests = server.requests();
    let body = requests[0].json();
    let verifier = body["code_verifier"].as_str().expect("a verifier");
    assert_eq!(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes())), challenge);
    assert!(requests.iter().all(|request| !request.text().contains(&shop.secret)));
    assert_eq!(shop.refresh_with(&shop.new_refresh).objection(&requests[1]), None);
    assert_eq!(shop.stored()["tokman"]["kind"], "square-pkce");
    server.finish();
}

#[test]
fn refuses_an_address_of_another_login_and_still_takes_the_right_one() {
    let (mut shop, code) = (Shop::square(), canary("code"));
    let server = Server::start(vec![hand_in(&shop, &code, CALLBACK)]);
    shop.at(&server);
    let earlier = state(&begin(&shop, &[]));
    let state = state(&begin(&shop, &[]));
    assert_ne!(earlier, state);
    for wrong in [
        format!("{CALLBACK}?code={code}&state={earlier}"),
        format!("{CALLBACK}?code={code}&state="),
        format!("{CALLBACK}?code={code}"),
        format!("{CALLBACK}?code={code}&state={state}&state={state}"),
        format!("{CALLBACK}?code={code}&code=x&state={state}"),
        format!("{CALLBACK}?code={code}&state={}", state.to_uppercase()),
        format!("{CALLBACK}/?code={code}&state={state}"),
        format!("http://localhost:8918/callback?code={code}&state={state}"),
        format!("https://localhost:8917/callback?code={code}&state={state}"),
        format!("http://localhost.example:8917/callback?code={code}&state={state}"),
    ] {
        finish(&shop, &wrong, 2).stderr_has("error: this is not the address that the login ends at");
    }
    assert!(!shop.has_token());
    finish(&shop, &format!("{CALLBACK}?code={code}&state={state}"), 0);
    // It is used up: the same address is nobody's now.
    finish(&shop, &format!("{CALLBACK}?code={code}&state={state}"), 2).stderr_has("--print-url");
    server.finish();
}

#[test]
fn is_over_after_ten_minutes() {
    let mut shop = Shop::square();
    let server = Server::start(vec![]);
    shop.at(&server);
    let address = begin(&shop, &[]);
    let text = std::fs::read(pending(&shop)).expect("a pending login");
    let mut login: Value = serde_json::from_slice(&text).expect("JSON");
    login["started_at"] = time(-601).into();
    shop.env.write(pending(&shop), login.to_string());
    let run = finish(&shop, &format!("{CALLBACK}?code=x&state={}", state(&address)), 2);
    run.stderr_has("older than ten minutes").stderr_has("hint: tokman obtain --provider square --print-url");
    server.finish();
}

#[test]
fn of_another_application_is_not_continued() {
    let mut shop = Shop::square();
    let server = Server::start(vec![]);
    shop.at(&server);
    let address = begin(&shop, &[]);
    shop.env.set("TOKMAN_SQUARE_CLIENT_ID", "sq0idp-other");
    finish(&shop, &format!("{CALLBACK}?code=x&state={}", state(&address)), 2).stderr_has("no login waits");
    server.finish();
}

#[test]
fn that_was_denied_needs_a_person() {
    for (query, code) in [
        ("error=access_denied&error_description=user_denied", 5),
        ("error=server_error", 7),
        ("error=invalid_scope", 6),
        ("response_type=code", 6),
    ] {
        let mut shop = Shop::square();
        let server = Server::start(vec![]);
        shop.at(&server).store(-60);
        let bytes = shop.bytes();
        let state = state(&begin(&shop, &[]));
        finish(&shop, &format!("{CALLBACK}?{query}&state={state}"), code);
        assert!(shop.bytes() == bytes, "{query}");
        server.finish();
    }
}

#[test]
fn waits_for_the_redirected_address_on_stdin() {
    let (mut shop, code) = (Shop::square(), canary("code"));
    let server = Server::start(vec![hand_in(&shop, &code, CALLBACK)]);
    shop.at(&server);
    // The address is shown in spite of --quiet: without it nothing goes on.
    let mut running = shop.command(&["obtain", "--no-browser", "-q", "-o", "token"]).spawn();
    let shown = running.wait_for_stderr("Paste the address it shows");
    let address = shown.lines().find_map(|line| Url::parse(line.trim()).ok()).expect("an address");
    running.feed(format!("{CALLBACK}?code={code}&state={}\n", state(&address)).as_bytes());
    running.wait().code(0).stdout_is("");
    assert_eq!(shop.stored()["access_token"], shop.new_access);
    server.finish();
}

#[test]
fn ends_when_nothing_is_pasted() {
    let mut shop = Shop::square();
    let server = Server::start(vec![]);
    shop.at(&server);
    shop.env.tokman(&["obtain", "--no-browser"]).code(2).stderr_has("nothing was pasted");
    server.finish();
}

#[test]
fn never_asks_where_there_is_no_terminal() {
    let mut shop = Shop::square();
    let server = Server::start(vec![]);
    shop.at(&server);
    let running = shop.env.command(&["obtain"]).spawn();
    // Its stdin stays open, and nothing comes: whoever waits for it would wait for ever.
    running.wait_for_stderr("hint: ");
    running.wait().code(2).stdout_is("").stderr_has("--code").stderr_has("--refresh-token");
    server.finish();
}

#[test]
fn takes_no_redirect_address_that_no_provider_registers() {
    let shop = Shop::square();
    for address in ["http://shop.example/", "http://localhost.example/", "app:callback", "nonsense"] {
        shop.env.tokman(&["obtain", "--print-url", "--redirect-uri", address]).code(2).stderr_has("--redirect-uri");
    }
}

#[test]
fn of_a_wix_app_installs_it_and_mints() {
    let mut shop = Shop::new(Sort::WixApp);
    shop.env.unset("TOKMAN_WIX_INSTANCE_ID");
    let data = URL_SAFE_NO_PAD.encode(json!({"instanceId": INSTANCE}).to_string());
    let key = hmac::Key::new(hmac::HMAC_SHA256, shop.secret.as_bytes());
    let genuine = format!("{}.{data}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, data.as_bytes())));
    let forged = format!("{}.{data}", URL_SAFE_NO_PAD.encode([0; 32]));
    let server = Server::start(vec![shop.refreshes(), shop.refreshes()]);
    shop.at(&server);
    let begin = || {
        let address = begin(&shop, &[]);
        assert_eq!(address.path(), "/app-installer");
        assert_eq!(parameter(&address, "appId").as_deref(), Some(WIX_ID));
        parameter(&address, "postInstallationUrl").expect("where to go back to")
    };
    let back = format!("{}&appId={WIX_ID}&tenantId=t&instanceId=", begin());
    let other = "00000000-0000-4000-8000-000000000000";
    for refused in [
        format!("{back}{INSTANCE}&signedInstance={forged}"),
        format!("{back}{other}&signedInstance={genuine}"),
        back.clone(),
    ] {
        finish(&shop, &refused, 6);
        assert!(!shop.has_token());
    }
    finish(&shop, &format!("{back}{INSTANCE}&signedInstance={genuine}"), 0);
    assert_eq!(shop.stored()["tokman"]["account"], INSTANCE);
    finish(&shop, &format!("{}&instanceId={INSTANCE}", begin()), 0);
    server.finish();
}

#[test]
fn of_a_legacy_wix_app_hands_in_the_code() {
    let (mut shop, code) = (Shop::new(Sort::WixLegacy), canary("code"));
    shop.env.write_config("[provider.wix]\nmode = \"legacy\"\n");
    let body = json!({
        "client_id": WIX_ID, "client_secret": shop.secret, "grant_type": "authorization_code", "code": code,
    });
    let server =
        Server::start(vec![Step::expect(Request::post("/oauth/access").json(body)).answer(200, shop.answer())]);
    shop.at(&server);
    let address = begin(&shop, &[]);
    assert_eq!(address.path(), "/installer/install");
    assert_eq!(parameter(&address, "appId").as_deref(), Some(WIX_ID));
    assert_eq!(parameter(&address, "redirectUrl").as_deref(), Some(CALLBACK));
    finish(&shop, &format!("{CALLBACK}?code={code}&instanceId={INSTANCE}&state={}", state(&address)), 0);
    assert_eq!(shop.stored()["tokman"]["account"], INSTANCE);
    assert_eq!(shop.stored()["tokman"]["kind"], "wix-legacy");
    server.finish();
}

#[test]
fn of_a_wix_app_begins_at_the_older_installer_where_it_is_asked_for() {
    let mut shop = Shop::new(Sort::WixApp);
    let server = Server::start(vec![]);
    shop.at(&server);
    assert_eq!(begin(&shop, &[]).path(), "/app-installer");
    assert_eq!(begin(&shop, &["--legacy"]).path(), "/installer/install");
    server.finish();
}

#[test]
fn a_secret_on_stdin_is_read_once_and_lasts_for_the_whole_login() {
    let mut shop = Shop::square();
    let code = canary("code");
    let server = Server::start(vec![Step::expect(Request::post("/oauth2/token")).answer(200, shop.answer())]);
    shop.at(&server);
    let address = begin(&shop, &[]);
    let state = address.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    let secret = shop.secret.clone();
    shop.env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    let back = format!("{CALLBACK}?code={code}&state={state}");
    let run = shop.command(&["obtain", "--code", &back, "--client-secret-file", "-"]).may_pass(&[&code]).stdin(secret);
    run.run().code(0);
    server.finish();
}

#[test]
fn an_address_may_be_pasted_as_browsers_show_it() {
    let (mut shop, code) = (Shop::square(), canary("code"));
    let server = Server::start(vec![hand_in(&shop, &code, CALLBACK)]);
    shop.at(&server);
    let address = begin(&shop, &[]);
    let shown = CALLBACK.trim_start_matches("http://");
    finish(&shop, &format!("{shown}?code={code}&state=another"), 2).stderr_has("its state is of another login");
    finish(&shop, &format!("{shown}?code={code}&state={}", state(&address)), 0);
    server.finish();
}
