//! The requests that the providers' own clients were recorded sending: for each of them the command that sends the
//! same, or why there is none.

use serde_json::{Value, json};

use crate::support::shop::time;
use crate::support::{Answer, Request, Server, TestEnv};

/// One recorded request.
struct Recorded(Value);

impl Recorded {
    fn all(fixture: &str) -> Vec<Self> {
        let fixture: Value = serde_json::from_str(fixture).expect("JSON");
        fixture["requests"].as_array().expect("a list").iter().cloned().map(Self).collect()
    }

    fn call(&self) -> &str {
        self.0["call"].as_str().expect("a name")
    }

    fn path(&self) -> &str {
        let address = self.0.get("path").or_else(|| self.0.get("url")).and_then(Value::as_str).expect("an address");
        address.strip_prefix("https://www.wixapis.com").unwrap_or(address)
    }

    /// A member of the body.
    fn member(&self, pointer: &str) -> &str {
        self.0["body"].pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Method, path, authorization and members are the same.
    #[track_caller]
    fn assert_same(&self, sent: &Request) {
        let call = self.call();
        assert_eq!(sent.method, self.0["method"], "{call}");
        assert_eq!(sent.path, self.path(), "{call}");
        let authorization = self.0["headers"].get("authorization").and_then(Value::as_str);
        assert_eq!(sent.header("authorization"), authorization.filter(|value| !value.is_empty()), "{call}");
        let mut body = sent.json();
        for pointer in ["/auth/authRequest/state", "/auth/authRequest/codeChallenge"] {
            // These differ from login to login.
            if let Some(member) = body.pointer_mut(pointer) {
                let text = member.as_str().expect("text");
                assert_eq!(text.len(), 43, "{call}: {pointer}");
                assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{call}");
                *member = self.member(pointer).into();
            }
        }
        assert_eq!(body, self.0["body"], "{call}");
        if self.0["body"].is_null() {
            assert_eq!(sent.text(), "", "{call}");
        } else {
            assert_eq!(sent.header("content-type"), Some("application/json"), "{call}");
        }
    }
}

/// Runs a command in an environment against a provider that says yes to everything; what it sent.
fn sent(variables: &[(&str, &str)], record: Option<(&str, Value)>, args: &[&str], stdin: &str) -> Vec<Request> {
    let server = Server::with(|request, _| {
        Answer::json(
            200,
            match request.path.as_str() {
                "/oauth2/token/status" => json!({"merchant_id": "MLFAKE000MERCHANT", "scopes": []}),
                "/oauth2/token-info" => json!({"active": true}),
                "/oauth2/revoke" => json!({"success": true}),
                "/_api/redirects-api/v1/redirect-session" => {
                    json!({"redirectSession": {"fullUrl": "https://login.example/?session=1"}})
                }
                _ => json!({"access_token": "SIM_ACCESS", "refresh_token": "SIM_REFRESH", "expires_in": 14400}),
            },
        )
    });
    let mut env = TestEnv::new();
    for (name, value) in variables {
        env.set(name, *value);
    }
    for name in ["TOKMAN_SQUARE_BASE_URL", "TOKMAN_WIX_BASE_URL"] {
        env.set(name, server.url());
    }
    if variables.iter().any(|(name, _)| *name == "HEADLESS") {
        env.write_config("[provider.wix]\nmode = \"headless\"\n");
    }
    if let Some((key, mut record)) = record {
        record["tokman"]["base_url"] = server.url().into();
        env.write_token(key, &record);
    }
    env.command(args).stdin(stdin).run().code(0);
    let requests = server.requests();
    server.finish();
    requests
}

/// A record of these tokens, past its end.
fn record(key: &str, kind: &str, access: &str, refresh: &str) -> Value {
    let (provider, profile) = key.split_once('/').expect("a key");
    json!({
        "access_token": access,
        "refresh_token": refresh,
        "tokman": {
            "version": 1, "provider": provider, "profile": profile, "kind": kind, "grant": "authorization_code",
            "account": null, "refreshed_at": time(-7200), "expires_at": time(-3600), "generation": 1,
        },
    })
}

const ID: (&str, &str) = ("TOKMAN_SQUARE_CLIENT_ID", "sq0idp-FAKECLIENTID0000000000");
const SECRET: (&str, &str) = ("TOKMAN_SQUARE_CLIENT_SECRET", "sq0csp-FAKESECRET_do_not_use_000000000000000000");
const ACCESS: &str = "EAAAEFAKEACCESSTOKEN0000000";
const REFRESH: &str = "EQAAEFAKEREFRESHTOKEN000000";

/// What Square's commands send; `None` where there is no command for a request.
fn square(recorded: &Recorded) -> Option<Vec<Request>> {
    let code = recorded.member("/code");
    let redirect = recorded.member("/redirect_uri");
    let stored = |kind| Some(("square/default", record("square/default", kind, ACCESS, REFRESH)));
    // The secret is configured for PKCE too: it must not be sent.
    let run = |record, args: &[&str], stdin: &str| {
        let args = [&["-p", "square"], args].concat();
        Some(sent(&[ID, SECRET], record, &args, stdin))
    };
    match recorded.call() {
        "obtain_token authorization_code" => run(None, &["obtain", "--code", code, "--redirect-uri", redirect], ""),
        "obtain_token authorization_code PKCE" => run(
            None,
            &["obtain", "--code", code, "--redirect-uri", redirect, "--code-verifier-file", "-"],
            recorded.member("/code_verifier"),
        ),
        "obtain_token refresh_token" => run(stored("square"), &["refresh"], ""),
        "obtain_token refresh_token PKCE" => run(stored("square-pkce"), &["token"], ""),
        "obtain_token refresh_token short_lived+scopes" => run(
            stored("square"),
            &["refresh", "--scope", "PAYMENTS_READ", "--scope", "ITEMS_READ", "--short-lived"],
            "",
        ),
        "obtain_token migration_token" => run(None, &["obtain", "--migration-token", "-"], ACCESS),
        "renew_token" => run(stored("square"), &["renew"], ""),
        "revoke_token access_token" => run(stored("square"), &["revoke", "--yes"], ""),
        "revoke_token merchant_id" => {
            run(None, &["revoke", "--yes", "--merchant-id", recorded.member("/merchant_id")], "")
        }
        "revoke_token revoke_only_access_token" => run(stored("square"), &["revoke", "--only-access-token"], ""),
        "retrieve_token_status" => run(stored("square"), &["status", "--remote"], ""),
        _ => None,
    }
}

/// What Wix's commands send; `None` where there is no command for a request.
fn wix(recorded: &Recorded) -> Option<Vec<Request>> {
    let app = [("TOKMAN_WIX_CLIENT_ID", "APP_ID"), ("TOKMAN_WIX_CLIENT_SECRET", "APP_SECRET")];
    let instance = [app[0], app[1], ("TOKMAN_WIX_INSTANCE_ID", "INSTANCE_ID")];
    let headless = [("TOKMAN_WIX_CLIENT_ID", "CLIENT_ID")];
    let session = [headless[0], ("HEADLESS", "1")];
    let stored = |kind| Some(("wix/default", record("wix/default", kind, "ACCESS", "REFRESH")));
    let run = |variables: &[(&str, &str)], record, args: &[&str], stdin: &str| {
        let args = [&["-p", "wix"], args].concat();
        Some(sent(variables, record, &args, stdin))
    };
    match recorded.call() {
        "app.client_credentials.instanceId" => run(&instance, None, &["obtain"], ""),
        "app-management.getAppInstance(+token)" if recorded.path() == "/oauth2/token" => {
            run(&instance, None, &["token"], "")
        }
        "app.legacy.authorization_code" => run(&app, None, &["obtain", "--code", "-"], recorded.member("/code")),
        "app.legacy.refresh_token" => run(&app, stored("wix-legacy"), &["token"], ""),
        "app.legacy.refresh_token.second-call" => {
            run(&app, None, &["obtain", "--refresh-token", "-"], recorded.member("/refresh_token"))
        }
        "app.token-info" => run(&app, stored("wix-legacy"), &["status", "--remote"], ""),
        "headless.anonymous" => run(&headless, None, &["obtain", "--client-credentials"], ""),
        "headless.refresh_token" => run(&headless, stored("wix-headless"), &["refresh"], ""),
        "headless.authorization_code.pkce" => {
            let (code, redirect) = (recorded.member("/code"), recorded.member("/redirectUri"));
            let args = ["obtain", "--code", code, "--redirect-uri", redirect, "--code-verifier-file", "-"];
            run(&headless, None, &args, recorded.member("/codeVerifier"))
        }
        "headless.redirect-session.auth(login url)" => {
            run(&session, None, &["obtain", "--print-url", "--redirect-uri", "http://localhost:8976/callback"], "")
        }
        call if call.contains("revokeRefreshToken") && recorded.path() == "/oauth2/revoke" => {
            run(&headless, stored("wix-headless"), &["revoke"], "")
        }
        _ => None,
    }
}

/// Requests that no command sends, and why.
const LEFT_OUT: [(&str, &str, &str); 7] = [
    ("obtain_token refresh_token use_jwt", "/oauth2/token", "tokens in the form of a JWT are not asked for"),
    ("app.strip_bound_session", "/oauth2/token", "exchanges a browser's token, which tokman never has"),
    (
        "app.token-info.refreshToken(SDK passes refresh token)",
        "/oauth2/token-info",
        "only access tokens are asked about: a refresh token is shown to whoever issues the next one",
    ),
    (
        "headless.redirect-session.logout",
        "/_api/redirects-api/v1/redirect-session",
        "ends a browser's session, not a token",
    ),
    ("headless.authorized_client(external login)", "/oauth2/token", "wants an API key, which is no OAuth"),
    ("app-management.getAppInstance(+token)", "/apps/v1/instance", "a call of the API, not of OAuth"),
    (
        "api-client@1.1.55 OAuthStrategy.logout -> revokeRefreshToken + redirect session",
        "/_api/redirects-api/v1/redirect-session",
        "ends a browser's session, not a token",
    ),
];

#[track_caller]
fn assert_covered(fixture: &str, run: fn(&Recorded) -> Option<Vec<Request>>) -> usize {
    let mut compared = 0;
    for recorded in Recorded::all(fixture) {
        let (call, path) = (recorded.call(), recorded.path());
        let left_out = LEFT_OUT.iter().any(|(name, at, _)| (*name, *at) == (call, path));
        let Some(requests) = run(&recorded).filter(|_| !left_out) else {
            assert!(left_out, "neither a command nor a reason for '{call}' to {path}");
            continue;
        };
        let Some(request) = requests.iter().find(|request| request.path == path) else {
            panic!("'{call}': nothing was sent to {path}");
        };
        recorded.assert_same(request);
        let is_square = recorded.0["headers"].get("square-version").is_some();
        assert!(
            !is_square || request.header("square-version").is_some_and(|version| version >= "2019-03-13"),
            "{call}"
        );
        compared += 1;
    }
    compared
}

#[test]
fn every_request_that_squares_own_clients_send_is_sent_by_a_command() {
    assert_eq!(assert_covered(include_str!("../fixtures/square-requests.json"), square), 11);
}

#[test]
fn every_request_that_wixs_own_clients_send_is_sent_by_a_command() {
    assert_eq!(assert_covered(include_str!("../fixtures/wix-requests.json"), wix), 12);
}
