//! The provider's rules, one a test, against the handlers without a socket.

mod device;
mod login;
mod upkeep;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use serde_json::json;
use url::form_urlencoded::Serializer;

use crate::emulator::Options;
use crate::emulator::trial::{Answer, Trial, brought};
use crate::emulator::wire::{Reply, challenge};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const REDIRECT: &str = "http://127.0.0.1:1/cb";
const ISSUER: &str = "http://127.0.0.1:1/acme";

/// How a client proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Basic,
    Post,
    Public,
}

impl Trial {
    fn client(&self) -> String {
        self.variable("TOKMAN_ACME_CLIENT_ID")
    }

    fn client_secret(&self) -> String {
        self.variable("TOKMAN_ACME_CLIENT_SECRET")
    }

    fn public(&self) -> String {
        self.variable("TOKMAN_EMULATOR_PUBLIC_CLIENT_ID")
    }

    fn basic(&self) -> String {
        basic(&self.client(), &self.client_secret())
    }

    /// POST of a form to an endpoint, by one of the clients.
    fn ask(&mut self, proof: Proof, endpoint: &str, members: &[(&str, &str)]) -> Reply {
        let mut members: Vec<_> = members.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        match proof {
            Proof::Basic => {}
            Proof::Post => members.extend([("client_id", self.client()), ("client_secret", self.client_secret())]),
            Proof::Public => members.push(("client_id", self.public())),
        }
        let form = Serializer::new(String::new()).extend_pairs(members).finish();
        let authorization = (proof == Proof::Basic).then(|| self.basic());
        self.raw(endpoint, authorization.as_deref(), &form)
    }

    fn raw(&mut self, endpoint: &str, authorization: Option<&str>, form: &str) -> Reply {
        let mut headers = vec![(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")];
        headers.extend(authorization.map(|value| (AUTHORIZATION.as_str(), value)));
        self.send("POST", &format!("/acme{endpoint}"), &headers, form)
    }

    fn grant(&mut self, proof: Proof, members: &[(&str, &str)]) -> Answer {
        Answer::of(&self.ask(proof, "/token", members))
    }

    fn id_of(&self, proof: Proof) -> String {
        if proof == Proof::Public { self.public() } else { self.client() }
    }

    /// The address of the consent page for a client, with members replaced or, where empty, left out.
    fn authorization(&self, proof: Proof, changes: &[(&str, &str)]) -> String {
        let (challenge, client_id) = (challenge(VERIFIER), self.id_of(proof));
        let mut members = vec![
            ("response_type", "code"),
            ("client_id", &client_id),
            ("redirect_uri", REDIRECT),
            ("scope", "read write offline_access"),
            ("state", "a b"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        members.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        members.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        format!("/acme/authorize?{}", Serializer::new(String::new()).extend_pairs(members).finish())
    }

    fn code(&mut self, proof: Proof) -> String {
        let path = self.authorization(proof, &[]);
        brought(&self.get(&path), "code").unwrap()
    }

    fn exchange_code(&mut self, proof: Proof, code: &str) -> Answer {
        let grant = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT)];
        self.grant(proof, &[&grant[..], &[("code_verifier", VERIFIER)]].concat())
    }

    fn logged_in(&mut self, proof: Proof) -> Answer {
        let code = self.code(proof);
        let answer = self.exchange_code(proof, &code);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    fn spend(&mut self, proof: Proof, token: &str, more: &[(&str, &str)]) -> Answer {
        let grant = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.grant(proof, &[&grant[..], more].concat())
    }

    fn is_active(&mut self, token: &str) -> bool {
        let answer = Answer::of(&self.ask(Proof::Basic, "/introspect", &[("token", token)]));
        answer.body["active"].as_bool().unwrap()
    }
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

#[track_caller]
fn assert_error(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.body["error"].as_str()), (status, Some(error)), "{answer:?}");
    assert!(!answer.text("error_description").is_empty());
}

const MINT: &[(&str, &str)] = &[("grant_type", "client_credentials")];

#[test]
fn publishes_the_same_metadata_at_both_addresses_and_nowhere_else() {
    let mut trial = Trial::approving();
    let openid = Answer::of(&trial.get("/acme/.well-known/openid-configuration"));
    let oauth = Answer::of(&trial.get("/.well-known/oauth-authorization-server/acme"));
    assert_eq!((openid.status, oauth.status), (200, 200));
    assert_eq!(openid.body, oauth.body);
    assert_eq!(oauth.text("issuer"), trial.variable("TOKMAN_EMULATOR_ISSUER"));
    for path in ["/acme/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server"] {
        assert_eq!(trial.get(path).status(), 404, "{path}");
    }
}

#[test]
fn announces_what_it_has() {
    let body = Answer::of(&Trial::approving().get("/acme/.well-known/openid-configuration")).body;
    for (name, path) in [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/token"),
        ("device_authorization_endpoint", "/device_authorization"),
        ("revocation_endpoint", "/revoke"),
        ("introspection_endpoint", "/introspect"),
    ] {
        assert_eq!(body[name], format!("{ISSUER}{path}"));
    }
    let methods = json!(["client_secret_basic", "client_secret_post", "none"]);
    assert_eq!(body["token_endpoint_auth_methods_supported"], methods);
    assert_eq!(body["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(body["authorization_response_iss_parameter_supported"], true);
    assert_eq!(body["response_types_supported"], json!(["code"]));
    assert_eq!(body["scopes_supported"], json!(["profile", "read", "write", "offline_access"]));
    assert_eq!(body["grant_types_supported"].as_array().unwrap().len(), 4);
}

#[test]
fn takes_each_way_of_proving_a_client_where_it_belongs() {
    let mut trial = Trial::approving();
    for proof in [Proof::Basic, Proof::Post] {
        assert_eq!(trial.grant(proof, MINT).status, 200, "{proof:?}");
    }
    for proof in [Proof::Basic, Proof::Post, Proof::Public] {
        trial.logged_in(proof);
    }
}

#[test]
fn decodes_basic_credentials_as_forms_and_takes_the_scheme_in_any_case() {
    let mut trial = Trial::approving();
    let (id, secret) = (trial.client().replace('a', "%61"), trial.client_secret().replace('-', "%2D"));
    let authorization = basic(&id, &secret).replace("Basic", "bAsIc");
    assert_eq!(trial.raw("/token", Some(&authorization), "grant_type=client_credentials").status(), 200);
}

#[test]
fn refuses_clients_it_does_not_know_with_401_and_a_challenge() {
    let mut trial = Trial::approving();
    let (id, secret, public) = (trial.client(), trial.client_secret(), trial.public());
    let attempts = [
        (Some(basic(&id, "wrong")), String::new()),
        (Some(basic("wrong", &secret)), String::new()),
        (Some(basic(&public, "x")), String::new()),
        (Some("Bearer x".to_owned()), String::new()),
        (Some("Basic ?".to_owned()), String::new()),
        (None, String::new()),
        (None, format!("&client_id={id}")),
        (None, format!("&client_id={id}&client_secret=wrong")),
        (None, format!("&client_id={public}&client_secret={secret}")),
        (None, "&client_id=wrong".to_owned()),
    ];
    for (authorization, more) in attempts {
        let form = format!("grant_type=client_credentials{more}");
        for endpoint in ["/token", "/revoke", "/introspect", "/device_authorization"] {
            let reply = trial.raw(endpoint, authorization.as_deref(), &form);
            assert_error(&Answer::of(&reply), 401, "invalid_client");
            assert_eq!(reply.headers()[WWW_AUTHENTICATE], "Basic realm=\"acme\"");
        }
    }
}

#[test]
fn refuses_credentials_given_in_two_ways_at_once() {
    let mut trial = Trial::approving();
    let (id, secret, basic) = (trial.client(), trial.client_secret(), trial.basic());
    for more in [format!("client_id={id}&client_secret={secret}"), format!("client_id={}", trial.public())] {
        let reply = trial.raw("/token", Some(&basic), &format!("grant_type=client_credentials&{more}"));
        assert_error(&Answer::of(&reply), 400, "invalid_request");
    }
    let same = format!("grant_type=client_credentials&client_id={id}");
    assert_eq!(trial.raw("/token", Some(&basic), &same).status(), 200);
}

#[test]
fn reads_forms_only_and_nothing_from_the_address() {
    let mut trial = Trial::approving();
    let basic = trial.basic();
    let json = trial.post_as(&basic, "/acme/token", &json!({ "grant_type": "client_credentials" }));
    assert_error(&json, 400, "invalid_request");
    for path in ["/token?grant_type=client_credentials", "/token?client_secret=x"] {
        let reply = trial.raw(path, Some(&basic), "grant_type=client_credentials");
        assert_error(&Answer::of(&reply), 400, "invalid_request");
    }
    let headers = [
        (CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded; charset=UTF-8"),
        (AUTHORIZATION.as_str(), basic.as_str()),
    ];
    assert_eq!(trial.send("POST", "/acme/token", &headers, "grant_type=client_credentials").status(), 200);
}

#[test]
fn refuses_parameters_that_are_repeated_or_empty_and_passes_over_unknown_ones() {
    let mut trial = Trial::approving();
    let basic = trial.basic();
    for more in ["scope=read&scope=read", "scope=", "scope", "x=1&x=2", "grant_type=client_credentials"] {
        let reply = trial.raw("/token", Some(&basic), &format!("grant_type=client_credentials&{more}"));
        assert_error(&Answer::of(&reply), 400, "invalid_request");
    }
    assert_eq!(trial.raw("/token", Some(&basic), "grant_type=client_credentials&audience=x").status(), 200);
}

#[test]
fn names_a_missing_parameter_and_an_unsupported_grant() {
    let mut trial = Trial::approving();
    for (grant, missing) in [
        ("authorization_code", "'code'"),
        ("refresh_token", "'refresh_token'"),
        ("urn:ietf:params:oauth:grant-type:device_code", "'device_code'"),
    ] {
        let answer = trial.grant(Proof::Basic, &[("grant_type", grant)]);
        assert_error(&answer, 400, "invalid_request");
        assert!(answer.text("error_description").contains(missing));
    }
    assert_error(&trial.grant(Proof::Basic, &[]), 400, "invalid_request");
    assert_error(&trial.grant(Proof::Basic, &[("grant_type", "password")]), 400, "unsupported_grant_type");
}

#[test]
fn lets_no_answer_be_stored() {
    let mut trial = Trial::approving();
    for members in [MINT, &[]] {
        let reply = trial.ask(Proof::Basic, "/token", members);
        assert_eq!(
            (&reply.headers()[CACHE_CONTROL], &reply.headers()[PRAGMA]),
            (&"no-store".parse().unwrap(), &"no-cache".parse().unwrap())
        );
        assert_eq!(reply.headers()[CONTENT_TYPE], "application/json");
    }
}

#[test]
fn mints_for_the_client_itself_without_a_refresh_token() {
    let mut trial = Trial::approving();
    let answer = trial.grant(Proof::Post, MINT);
    let names: Vec<_> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["access_token", "token_type", "expires_in", "scope"]);
    assert_eq!((answer.text("token_type").as_str(), answer.text("scope").as_str()), ("Bearer", "read"));
    assert_eq!(answer.body["expires_in"], 3600);
    let narrow = trial.grant(Proof::Basic, &[MINT, &[("scope", "write read write")]].concat());
    assert_eq!(narrow.text("scope"), "write read");
    let unknown = trial.grant(Proof::Basic, &[MINT, &[("scope", "read everything")]].concat());
    assert_error(&unknown, 400, "invalid_scope");
    assert_error(&trial.grant(Proof::Public, MINT), 400, "unauthorized_client");
}

#[test]
fn gives_tokens_the_life_that_is_asked_for() {
    let life = std::time::Duration::from_secs(60);
    let mut trial = Trial::new(Options { auto_approve: true, expires_in: Some(life), ..Options::default() });
    let answer = trial.logged_in(Proof::Basic);
    assert_eq!(answer.body["expires_in"], 60);
    let token = answer.text("access_token");
    trial.pass(59);
    assert!(trial.is_active(&token));
    trial.pass(1);
    assert!(!trial.is_active(&token) && trial.is_active(&answer.text("refresh_token")));
}

#[test]
fn has_no_other_paths_and_methods() {
    let mut trial = Trial::approving();
    assert_error(&Answer::of(&trial.get("/acme/x")), 404, "not_found");
    let reply = trial.get("/acme/token");
    assert_eq!((reply.status().as_u16(), reply.headers()["allow"].to_str().unwrap()), (405, "POST"));
    assert_eq!(trial.submit("/acme/authorize", "").headers()["allow"], "GET");
}

#[test]
fn answers_503_where_trouble_is_asked_for_and_changes_nothing() {
    let mut trial = Trial::new(Options { auto_approve: true, fail_rate: 1.0, ..Options::default() });
    assert_error(&trial.grant(Proof::Basic, MINT), 503, "temporarily_unavailable");
}
