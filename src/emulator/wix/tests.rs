//! Wix's rules, one a test, against the handlers without a socket.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use crate::emulator::Options;
use crate::emulator::trial::{Answer, START, Trial, brought, location, page, question};
use crate::emulator::wire::challenge;
use crate::model::lifetime::claimed_end;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const TOKEN: &str = "/wix/oauth2/token";
const ACCESS: &str = "/wix/oauth/access";
const SESSION: &str = "/wix/_api/redirects-api/v1/redirect-session";

impl Trial {
    fn app(&self) -> String {
        self.variable("TOKMAN_WIX_CLIENT_ID")
    }

    fn app_secret(&self) -> String {
        self.variable("TOKMAN_WIX_CLIENT_SECRET")
    }

    fn instance(&self) -> String {
        self.variable("TOKMAN_WIX_INSTANCE_ID")
    }

    fn credentials(&self, more: &Value) -> Value {
        let mut body = json!({ "client_id": self.app(), "client_secret": self.app_secret() });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    fn legacy_code(&mut self) -> String {
        let path = format!("/wix/installer/install?appId={}&redirectUrl=http://localhost:1/cb", self.app());
        brought(&self.get(&path), "code").unwrap()
    }

    fn legacy(&mut self, more: &Value) -> Answer {
        self.post(ACCESS, &self.credentials(more))
    }

    fn mint(&mut self) -> Answer {
        let instance = self.instance();
        self.post(TOKEN, &self.credentials(&json!({ "grant_type": "client_credentials", "instance_id": instance })))
    }

    fn anonymous(&mut self) -> Answer {
        self.post(TOKEN, &json!({ "clientId": self.app(), "grantType": "anonymous" }))
    }

    /// Opens a session and returns the path of its login page.
    fn session(&mut self, more: &Value) -> String {
        let visitor = self.anonymous().text("access_token");
        let mut request = json!({
            "redirectUri": "http://localhost:1/cb", "clientId": self.app(), "codeChallenge": challenge(VERIFIER),
            "codeChallengeMethod": "S256", "responseMode": "query", "responseType": "code",
            "scope": "offline_access", "state": "s",
        });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.post_as(&visitor, SESSION, &json!({ "auth": { "authRequest": request } }));
        let url = answer.body["redirectSession"]["fullUrl"].as_str().unwrap_or_else(|| panic!("{answer:?}"));
        url.strip_prefix("http://127.0.0.1:1").unwrap().to_owned()
    }

    fn exchange(&mut self, code: &str) -> Answer {
        let app = self.app();
        self.post(
            TOKEN,
            &json!({ "clientId": app, "grantType": "authorization_code", "redirectUri": "http://localhost:1/cb",
                     "code": code, "codeVerifier": VERIFIER }),
        )
    }

    fn probe(&mut self, authorization: &str) -> Answer {
        Answer::of(&self.send("GET", "/wix/apps/v1/instance", &[("authorization", authorization)], ""))
    }
}

fn assert_invalid_grant(answer: &Answer) {
    assert_eq!((answer.status, answer.body["error"].as_str()), (400, Some("invalid_grant")), "{answer:?}");
}

fn names(answer: &Answer) -> Vec<String> {
    answer.body.as_object().unwrap().keys().cloned().collect()
}

fn life_of(token: &str) -> i64 {
    let start: jiff::Timestamp = START.parse().unwrap();
    claimed_end(token).unwrap().as_second() - start.as_second()
}

#[test]
fn mints_for_an_instance_without_a_refresh_token() {
    let mut trial = Trial::approving();
    let (one, other) = (trial.mint(), trial.mint());
    assert_eq!(names(&one), ["access_token", "token_type", "expires_in"]);
    assert_eq!((one.text("token_type").as_str(), &one.body["expires_in"]), ("Bearer", &json!(14_400)));
    let token = one.text("access_token");
    assert!(token.starts_with("OauthNG.JWS.") && token.split('.').count() == 5);
    assert_eq!(life_of(&token), 14_400);
    assert_ne!(token, other.text("access_token"));
}

#[test]
fn refuses_an_unknown_instance_with_404() {
    let mut trial = Trial::approving();
    let nil = "00000000-0000-0000-0000-000000000000";
    let body = trial.credentials(&json!({ "grant_type": "client_credentials", "instance_id": nil }));
    let answer = trial.post(TOKEN, &body);
    assert_eq!((answer.status, answer.text("message").as_str()), (404, "app not found in any meta-site"));
    assert!(answer.body["details"]["applicationError"]["code"].is_string());
}

#[test]
fn refuses_another_application() {
    let mut trial = Trial::approving();
    let (id, instance) = (trial.app(), trial.instance());
    for (id, secret, status) in [(id.as_str(), "wrong", 401), (instance.as_str(), "wrong", 401), ("app", "wrong", 400)]
    {
        for path in [TOKEN, ACCESS] {
            let grant = if path == TOKEN { "client_credentials" } else { "refresh_token" };
            let body = json!({ "client_id": id, "client_secret": secret, "grant_type": grant, "refresh_token": "x" });
            let answer = trial.post(path, &body);
            assert_eq!(answer.status, status, "{answer:?}");
            if status == 400 {
                let message = "appRuntimeKeys [at index 0] is invalid: appId is not a valid GUID";
                assert_eq!(answer.text("message"), message);
            }
        }
    }
}

#[test]
fn names_a_missing_member() {
    let mut trial = Trial::approving();
    for (path, body) in [(TOKEN, json!({})), (ACCESS, json!({})), ("/wix/oauth2/revoke", json!({}))] {
        let answer = trial.post(path, &body);
        assert_eq!(answer.status, 400);
        assert!(answer.body["details"]["validationError"]["fieldViolations"][0]["field"].is_string(), "{answer:?}");
    }
    assert_eq!(trial.post(TOKEN, &json!({ "grant_type": "password" })).text("error"), "unsupported_grant_type");
}

#[test]
fn mints_for_the_headless_admin_without_an_instance() {
    let mut trial = Trial::approving();
    let body = trial.credentials(&json!({ "grant_type": "client_credentials" }));
    let answer = trial.post(TOKEN, &body);
    assert_eq!(answer.status, 200);
    assert_eq!(trial.probe(&answer.text("access_token")).status, 403);
}

#[test]
fn takes_forms_and_both_spellings() {
    let mut trial = Trial::approving();
    let form = format!("client_id={}&grant_type=anonymous", trial.app());
    let answer = Answer::of(&trial.submit(TOKEN, &form));
    let refresh = answer.text("refresh_token");
    assert!(refresh.starts_with("JWS."));
    for body in [
        json!({ "clientId": trial.app(), "grantType": "refresh_token", "refreshToken": refresh }),
        json!({ "grant_type": "refresh_token", "refresh_token": refresh }),
    ] {
        assert_eq!(trial.post(TOKEN, &body).text("refresh_token"), refresh);
    }
}

#[test]
fn revokes_a_headless_refresh_token_for_whoever_has_it() {
    let mut trial = Trial::approving();
    let refresh = trial.anonymous().text("refresh_token");
    let revoke = "/wix/oauth2/revoke";
    let reply = trial.send("POST", revoke, &[("content-type", "text/plain")], &format!("{{\"token\":\"{refresh}\"}}"));
    assert_eq!((reply.status().as_u16(), page(&reply).as_str()), (200, "{}"));
    assert_invalid_grant(&trial.post(TOKEN, &json!({ "grantType": "refresh_token", "refreshToken": refresh })));
    assert_invalid_grant(&trial.post(revoke, &json!({ "token": refresh })));
}

#[test]
fn rotates_refresh_tokens_when_asked_to() {
    let mut trial = Trial::new(Options { auto_approve: true, rotate: true, ..Options::default() });
    let headless = trial.anonymous().text("refresh_token");
    let body = json!({ "grantType": "refresh_token", "refreshToken": headless });
    assert_ne!(trial.post(TOKEN, &body).text("refresh_token"), headless);
    assert_invalid_grant(&trial.post(TOKEN, &body));
    let code = trial.legacy_code();
    let legacy = trial.legacy(&json!({ "grant_type": "authorization_code", "code": code })).text("refresh_token");
    let body = json!({ "grant_type": "refresh_token", "refresh_token": legacy });
    assert_ne!(trial.legacy(&body).text("refresh_token"), legacy);
    assert_invalid_grant(&trial.legacy(&body));
}

#[test]
fn answers_the_legacy_flow_with_two_members_and_keeps_its_refresh_token() {
    let mut trial = Trial::approving();
    let code = trial.legacy_code();
    let body = json!({ "grant_type": "authorization_code", "code": code });
    let answer = trial.legacy(&body);
    assert_eq!(names(&answer), ["access_token", "refresh_token"]);
    let (access, refresh) = (answer.text("access_token"), answer.text("refresh_token"));
    assert!(access.starts_with("OAUTH2."));
    assert_eq!(life_of(&access), 300);
    assert_invalid_grant(&trial.legacy(&body));
    let refreshed = trial.legacy(&json!({ "grant_type": "refresh_token", "refresh_token": refresh }));
    assert_eq!(refreshed.text("refresh_token"), refresh);
    assert_eq!(trial.probe(&access).status, 200);
    trial.pass(300);
    assert_eq!(trial.probe(&access).status, 401);
}

#[test]
fn keeps_legacy_and_headless_tokens_apart() {
    let mut trial = Trial::approving();
    let code = trial.legacy_code();
    let legacy = trial.legacy(&json!({ "grant_type": "authorization_code", "code": code })).text("refresh_token");
    assert_invalid_grant(&trial.post(TOKEN, &json!({ "grantType": "refresh_token", "refreshToken": legacy })));
    assert_invalid_grant(&trial.post("/wix/oauth2/revoke", &json!({ "token": legacy })));
    let headless = trial.anonymous().text("refresh_token");
    assert_invalid_grant(&trial.legacy(&json!({ "grant_type": "refresh_token", "refresh_token": headless })));
}

#[test]
fn lets_a_legacy_code_end_after_ten_minutes() {
    let mut trial = Trial::approving();
    let code = trial.legacy_code();
    trial.pass(600);
    assert_invalid_grant(&trial.legacy(&json!({ "grant_type": "authorization_code", "code": code })));
}

#[test]
fn installs_and_signs_the_instance() {
    let mut trial = Trial::approving();
    let path = format!("/wix/app-installer?appId={}&postInstallationUrl=http://localhost:1/cb?state=s", trial.app());
    let reply = trial.get(&path);
    assert!(location(&reply).as_str().starts_with("http://localhost:1/cb?state=s&appId="));
    assert_eq!(brought(&reply, "instanceId"), Some(trial.instance()));
    assert!(brought(&reply, "tenantId").is_some());
    let signed = brought(&reply, "signedInstance").unwrap();
    let (signature, data) = signed.split_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, trial.app_secret().as_bytes());
    hmac::verify(&key, data.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let data: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(data).unwrap()).unwrap();
    assert_eq!(data["instanceId"], trial.instance());
}

#[test]
fn asks_before_installing_and_stays_when_denied() {
    let mut trial = Trial::new(Options::default());
    let path = format!("/wix/installer/install?appId={}&redirectUrl=http://localhost:1/cb&state=s", trial.app());
    let reply = trial.get(&path);
    let denied = trial.submit("/wix/consent", &format!("consent={}&decision=deny", question(&reply)));
    assert!(page(&denied).contains("not installed"));
    let reply = trial.get(&path);
    let allowed = trial.submit("/wix/consent", &format!("consent={}&decision=allow", question(&reply)));
    assert_eq!(brought(&allowed, "instanceId"), Some(trial.instance()));
    assert_eq!(brought(&allowed, "state").as_deref(), Some("s"));
    let path = format!("/wix/app-installer?appId={}", trial.app());
    let reply = trial.get(&path);
    let allowed = trial.submit("/wix/consent", &format!("consent={}&decision=allow", question(&reply)));
    assert!(page(&allowed).contains(&trial.instance()));
}

#[test]
fn shows_a_page_for_an_app_or_address_that_it_does_not_know() {
    let mut trial = Trial::approving();
    let app = trial.app();
    for query in ["appId=x&redirectUrl=http://localhost/".to_owned(), format!("appId={app}")] {
        let reply = trial.get(&format!("/wix/installer/install?{query}"));
        assert!(page(&reply).contains("We couldn't find an app with this redirect url"), "{}", page(&reply));
    }
    let path = format!("/wix/app-installer?appId={app}&postInstallationUrl=http://example.com/");
    assert_eq!(trial.get(&path).status(), 404);
}

#[test]
fn logs_a_member_in_with_a_session_and_a_verifier() {
    let mut trial = Trial::approving();
    let path = trial.session(&json!({}));
    let reply = trial.get(&path);
    assert_eq!(brought(&reply, "state").as_deref(), Some("s"));
    let code = brought(&reply, "code").unwrap();
    let answer = trial.exchange(&code);
    assert_eq!(names(&answer), ["access_token", "token_type", "expires_in", "refresh_token"]);
    assert_invalid_grant(&trial.exchange(&code));
    let info = trial.post("/wix/oauth2/token-info", &json!({ "token": answer.text("access_token") }));
    assert_eq!(info.text("subjectType"), "MEMBER");
}

#[test]
fn checks_the_verifier_and_the_address_of_a_login() {
    for (member, wrong) in [("codeVerifier", "x"), ("redirectUri", "http://localhost:1/other")] {
        let mut trial = Trial::approving();
        let path = trial.session(&json!({}));
        let code = brought(&trial.get(&path), "code").unwrap();
        let mut body = json!({
            "clientId": trial.app(), "grantType": "authorization_code", "redirectUri": "http://localhost:1/cb",
            "code": code, "codeVerifier": VERIFIER,
        });
        body[member] = wrong.into();
        assert_invalid_grant(&trial.post(TOKEN, &body));
    }
}

#[test]
fn gives_no_refresh_token_without_offline_access() {
    let mut trial = Trial::approving();
    let path = trial.session(&json!({ "scope": null }));
    let code = brought(&trial.get(&path), "code").unwrap();
    assert_eq!(names(&trial.exchange(&code)), ["access_token", "token_type", "expires_in"]);
}

#[test]
fn answers_a_login_in_the_fragment_when_asked_to() {
    let mut trial = Trial::approving();
    let path = trial.session(&json!({ "responseMode": "fragment" }));
    let url = location(&trial.get(&path));
    assert!(url.query().is_none() && url.fragment().unwrap().starts_with("code="), "{url}");
}

#[test]
fn sends_a_denied_login_back_with_the_error() {
    let mut trial = Trial::new(Options::default());
    let path = trial.session(&json!({}));
    let reply = trial.get(&path);
    let denied = trial.submit("/wix/consent", &format!("consent={}&decision=deny", question(&reply)));
    assert_eq!(brought(&denied, "error").as_deref(), Some("access_denied"));
    assert_eq!(brought(&denied, "state").as_deref(), Some("s"));
}

#[test]
fn keeps_an_unregistered_address_on_its_own_page() {
    let mut trial = Trial::approving();
    let path = trial.session(&json!({ "redirectUri": "http://example.com/" }));
    assert!(page(&trial.get(&path)).contains("Invalid redirect URI"));
}

#[test]
fn opens_sessions_for_visitors_only() {
    let mut trial = Trial::approving();
    let app = trial.mint().text("access_token");
    assert_eq!(trial.post_as(&app, SESSION, &json!({})).status, 401);
    assert_eq!(trial.post(SESSION, &json!({})).status, 401);
    let visitor = trial.anonymous().text("access_token");
    assert_eq!(trial.post_as(&visitor, SESSION, &json!({})).status, 400);
}

#[test]
fn describes_a_token_with_strings() {
    let mut trial = Trial::approving();
    let token = trial.mint().text("access_token");
    let path = "/wix/oauth2/token-info";
    let info = trial.post(path, &json!({ "token": format!("Bearer {token}") }));
    let exp: i64 = info.text("exp").parse().unwrap();
    assert_eq!(exp - info.text("iat").parse::<i64>().unwrap(), 14_400);
    assert_eq!((info.text("active").as_str(), info.text("subjectType").as_str()), ("true", "APP"));
    assert_eq!((info.text("clientId"), info.text("instanceId")), (trial.app(), trial.instance()));
    trial.pass(14_400);
    assert_eq!(trial.post(path, &json!({ "token": token })).text("active"), "false");
    assert_eq!(trial.post(path, &json!({ "token": "x" })).status, 400);
}

#[test]
fn shows_the_instance_to_the_app_with_or_without_bearer() {
    let mut trial = Trial::approving();
    let token = trial.mint().text("access_token");
    for authorization in [token.clone(), format!("Bearer {token}")] {
        let answer = trial.probe(&authorization);
        assert_eq!(answer.body["instance"]["instanceId"], trial.instance());
    }
    assert_eq!(trial.probe("x").status, 401);
    let visitor = trial.anonymous().text("access_token");
    assert_eq!(trial.probe(&visitor).status, 403);
}

#[test]
fn names_the_request_in_every_answer() {
    let mut trial = Trial::new(Options { fail_rate: 1.0, ..Options::default() });
    for (method, path, status) in
        [("GET", "/wix/x", 404), ("GET", TOKEN, 405), ("POST", TOKEN, 503), ("GET", "/wix/app-installer", 404)]
    {
        let reply = trial.send(method, path, &[], "");
        assert_eq!(reply.status(), status, "{path}");
        assert!(reply.headers().contains_key("x-wix-request-id"), "{path}");
    }
}

#[test]
fn gives_every_token_the_life_that_the_options_say() {
    let expires_in = Some(Duration::from_secs(10));
    let mut trial = Trial::new(Options { auto_approve: true, expires_in, ..Options::default() });
    let answer = trial.mint();
    assert_eq!((life_of(&answer.text("access_token")), &answer.body["expires_in"]), (10, &json!(10)));
    let code = trial.legacy_code();
    let legacy = trial.legacy(&json!({ "grant_type": "authorization_code", "code": code }));
    assert_eq!(life_of(&legacy.text("access_token")), 10);
}

#[test]
fn accepts_what_the_official_clients_send() {
    let recorded = include_str!("../../../tests/fixtures/wix-requests.json");
    let recorded: Value = serde_json::from_str(recorded).unwrap();
    let served = [
        "app.client_credentials.instanceId",
        "app.legacy.authorization_code",
        "app.legacy.refresh_token",
        "app.token-info",
        "headless.anonymous",
        "headless.refresh_token",
        "headless.redirect-session.auth(login url)",
        "app-management.getAppInstance(+token)",
        "api-client@1.1.55 OAuthStrategy.logout -> revokeRefreshToken + redirect session",
    ];
    let requests = recorded["requests"].as_array().unwrap().iter();
    let requests: Vec<_> = requests
        .filter(|request| served.iter().any(|call| request["call"] == *call) && request["body"]["logout"].is_null())
        .collect();
    assert!(requests.len() >= served.len());
    for request in requests {
        let mut trial = Trial::approving();
        let is_legacy = request["url"].as_str().unwrap().ends_with("/oauth/access");
        let is_session = request["url"].as_str().unwrap().ends_with("/redirect-session");
        let (code, other) = (trial.legacy_code(), trial.legacy_code());
        let legacy = trial.legacy(&json!({ "grant_type": "authorization_code", "code": other }));
        let visitor = trial.anonymous();
        let access = if is_session { visitor.text("access_token") } else { trial.mint().text("access_token") };
        let refresh = if is_legacy { &legacy } else { &visitor }.text("refresh_token");
        let mut text = request.to_string();
        for (fake, real) in [
            ("APP_ID", trial.app()),
            ("CLIENT_ID", trial.app()),
            ("APP_SECRET", trial.app_secret()),
            ("INSTANCE_ID", trial.instance()),
            ("CODE", code),
            ("ACCESS", access.clone()),
            ("SIM_ACCESS", access),
            ("REFRESH", refresh),
        ] {
            text = text.replace(&format!("\"{fake}\""), &format!("\"{real}\""));
        }
        let request: Value = serde_json::from_str(&text).unwrap();
        let headers = request["headers"].as_object().unwrap();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let body = if request["body"].is_null() { String::new() } else { request["body"].to_string() };
        let path = request["url"].as_str().unwrap().replace("https://www.wixapis.com", "/wix");
        let reply = trial.send(request["method"].as_str().unwrap(), &path, &headers, &body);
        assert_eq!(reply.status(), 200, "{} {}", request["call"], page(&reply));
    }
}
