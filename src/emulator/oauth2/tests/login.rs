//! Logins: the consent page, the codes, and the refresh tokens that they bring.

use http::StatusCode;
use http::header::LOCATION;

use super::{ISSUER, Proof, REDIRECT, VERIFIER, assert_error};
use crate::emulator::Options;
use crate::emulator::trial::{Trial, brought, location, page, question};

#[test]
fn redirects_with_the_code_the_state_and_the_issuer() {
    let mut trial = Trial::approving();
    let path = trial.authorization(Proof::Basic, &[("redirect_uri", "http://localhost:1/cb?keep=1")]);
    let reply = trial.get(&path);
    let names: Vec<_> = location(&reply).query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["keep", "code", "state", "iss"]);
    assert_eq!(brought(&reply, "state").as_deref(), Some("a b"));
    assert_eq!(brought(&reply, "iss").as_deref(), Some(ISSUER));
}

#[test]
fn shows_a_page_where_it_does_not_know_whom_to_answer() {
    let mut trial = Trial::approving();
    let unknown = trial.authorization(Proof::Basic, &[("client_id", "acme-other")]);
    let repeated = format!("{}&client_id={}", trial.authorization(Proof::Basic, &[]), trial.client());
    let mut paths = vec![unknown, repeated];
    for address in ["", "http://a.example/cb", "myapp:x", "javascript:alert(1)", "http://127.0.0.1:1/cb#x", "/cb"] {
        paths.push(trial.authorization(Proof::Basic, &[("redirect_uri", address)]));
    }
    for path in paths {
        let reply = trial.get(&path);
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{path}");
        assert!(!reply.headers().contains_key(LOCATION) && page(&reply).contains("Acme cannot go on"), "{path}");
    }
}

#[test]
fn sends_other_errors_back_with_state_and_issuer() {
    let mut trial = Trial::approving();
    for (change, error) in [
        (("response_type", ""), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("response_mode", "fragment"), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("scope", "read everything"), "invalid_scope"),
    ] {
        for proof in [Proof::Basic, Proof::Public] {
            let path = trial.authorization(proof, &[change]);
            let reply = trial.get(&path);
            assert_eq!(brought(&reply, "error").as_deref(), Some(error), "{change:?}");
            assert_eq!(brought(&reply, "state").as_deref(), Some("a b"));
            assert_eq!(brought(&reply, "iss").as_deref(), Some(ISSUER));
            assert!(brought(&reply, "error_description").is_some() && brought(&reply, "code").is_none());
        }
    }
    let repeated = format!("{}&scope=read", trial.authorization(Proof::Basic, &[]));
    assert_eq!(brought(&trial.get(&repeated), "error").as_deref(), Some("invalid_request"));
}

#[test]
fn asks_for_consent_and_takes_yes_once() {
    let mut trial = Trial::new(Options::default());
    let path = trial.authorization(Proof::Basic, &[]);
    let reply = trial.get(&path);
    assert!(page(&reply).contains("offline_access") && page(&reply).contains("action=\"/acme/consent\""));
    let form = format!("consent={}&decision=allow", question(&reply));
    let allowed = trial.submit("/acme/consent", &form);
    let code = brought(&allowed, "code").unwrap();
    assert_eq!(brought(&allowed, "iss").as_deref(), Some(ISSUER));
    assert_eq!(trial.exchange_code(Proof::Basic, &code).status, 200);
    assert_eq!(trial.submit("/acme/consent", &form).status(), StatusCode::BAD_REQUEST);
}

#[test]
fn takes_no_for_an_answer_to_consent() {
    let mut trial = Trial::new(Options::default());
    let path = trial.authorization(Proof::Basic, &[]);
    let reply = trial.get(&path);
    let denied = trial.submit("/acme/consent", &format!("consent={}&decision=deny", question(&reply)));
    assert_eq!(brought(&denied, "error").as_deref(), Some("access_denied"));
    assert_eq!(brought(&denied, "state").as_deref(), Some("a b"));
    assert_eq!(brought(&denied, "iss").as_deref(), Some(ISSUER));
}

#[test]
fn forgets_a_consent_page_after_ten_minutes() {
    let mut trial = Trial::new(Options::default());
    let path = trial.authorization(Proof::Basic, &[]);
    let reply = trial.get(&path);
    trial.pass(600);
    let late = trial.submit("/acme/consent", &format!("consent={}&decision=allow", question(&reply)));
    assert_eq!(late.status(), StatusCode::BAD_REQUEST);
}

#[test]
fn answers_a_code_with_a_refresh_token_even_without_offline_access() {
    let mut trial = Trial::approving();
    let path = trial.authorization(Proof::Public, &[("scope", "read")]);
    let code = brought(&trial.get(&path), "code").unwrap();
    let answer = trial.exchange_code(Proof::Public, &code);
    let names: Vec<_> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["access_token", "token_type", "expires_in", "refresh_token", "scope"]);
    assert_eq!(answer.text("scope"), "read");
}

#[test]
fn ends_what_a_code_brought_when_it_comes_again() {
    let mut trial = Trial::approving();
    let code = trial.code(Proof::Basic);
    let answer = trial.exchange_code(Proof::Basic, &code);
    let other = trial.logged_in(Proof::Basic);
    assert_error(&trial.exchange_code(Proof::Basic, &code), 400, "invalid_grant");
    assert!(!trial.is_active(&answer.text("access_token")) && !trial.is_active(&answer.text("refresh_token")));
    assert!(trial.is_active(&other.text("access_token")), "another login lives on");
}

#[test]
fn takes_a_code_for_ten_minutes() {
    let mut trial = Trial::approving();
    let (code, late) = (trial.code(Proof::Basic), trial.code(Proof::Basic));
    trial.pass(599);
    assert_eq!(trial.exchange_code(Proof::Basic, &code).status, 200);
    trial.pass(1);
    assert_error(&trial.exchange_code(Proof::Basic, &late), 400, "invalid_grant");
}

#[test]
fn takes_a_code_from_its_own_client_with_its_own_address_and_verifier_only() {
    let mut trial = Trial::approving();
    let other = "X".repeat(43);
    for (redirect_uri, verifier) in [("http://127.0.0.1:1/cb/", VERIFIER), (REDIRECT, other.as_str())] {
        let code = trial.code(Proof::Basic);
        let grant = [("grant_type", "authorization_code"), ("code", &*code)];
        let rest = [("redirect_uri", redirect_uri), ("code_verifier", verifier)];
        assert_error(&trial.grant(Proof::Basic, &[&grant[..], &rest].concat()), 400, "invalid_grant");
        assert_error(&trial.exchange_code(Proof::Basic, &code), 400, "invalid_grant");
    }
    let code = trial.code(Proof::Basic);
    assert_error(&trial.exchange_code(Proof::Public, &code), 400, "invalid_grant");
    assert_eq!(trial.exchange_code(Proof::Basic, &code).status, 200, "another client cannot spend it");
}

#[test]
fn does_not_spend_a_code_on_a_request_that_is_incomplete() {
    let mut trial = Trial::approving();
    let code = trial.code(Proof::Public);
    let grant = [("grant_type", "authorization_code"), ("code", &*code)];
    for rest in [
        &[("redirect_uri", REDIRECT)][..],
        &[("code_verifier", VERIFIER)],
        &[("redirect_uri", REDIRECT), ("code_verifier", "short")],
    ] {
        assert_error(&trial.grant(Proof::Public, &[&grant[..], rest].concat()), 400, "invalid_request");
    }
    assert_eq!(trial.exchange_code(Proof::Public, &code).status, 200);
}

#[test]
fn replaces_a_refresh_token_at_every_use() {
    let mut trial = Trial::approving();
    for proof in [Proof::Basic, Proof::Post, Proof::Public] {
        let first = trial.logged_in(proof);
        let second = trial.spend(proof, &first.text("refresh_token"), &[]);
        assert_eq!(second.status, 200, "{second:?}");
        assert_ne!(first.text("refresh_token"), second.text("refresh_token"));
        assert_ne!(first.text("access_token"), second.text("access_token"));
        assert!(trial.is_active(&first.text("access_token")), "the old access token lives until its end");
    }
}

#[test]
fn ends_the_family_when_a_spent_refresh_token_comes_again() {
    let mut trial = Trial::approving();
    let first = trial.logged_in(Proof::Public);
    let second = trial.spend(Proof::Public, &first.text("refresh_token"), &[]);
    let other = trial.logged_in(Proof::Public);
    assert_error(&trial.spend(Proof::Public, &first.text("refresh_token"), &[]), 400, "invalid_grant");
    assert_error(&trial.spend(Proof::Public, &second.text("refresh_token"), &[]), 400, "invalid_grant");
    assert!(!trial.is_active(&first.text("access_token")) && !trial.is_active(&second.text("access_token")));
    assert!(trial.is_active(&other.text("refresh_token")));
}

#[test]
fn takes_a_refresh_token_from_its_own_client_only() {
    let mut trial = Trial::approving();
    let token = trial.logged_in(Proof::Basic).text("refresh_token");
    assert_error(&trial.spend(Proof::Public, &token, &[]), 400, "invalid_grant");
    assert_error(&trial.spend(Proof::Basic, "acme_rt_x", &[]), 400, "invalid_grant");
    assert_eq!(trial.spend(Proof::Basic, &token, &[]).status, 200);
}

#[test]
fn narrows_the_scope_of_one_access_token_and_never_widens_it() {
    let mut trial = Trial::approving();
    let path = trial.authorization(Proof::Basic, &[("scope", "read write")]);
    let code = brought(&trial.get(&path), "code").unwrap();
    let token = trial.exchange_code(Proof::Basic, &code).text("refresh_token");
    let wide = trial.spend(Proof::Basic, &token, &[("scope", "read profile")]);
    assert_error(&wide, 400, "invalid_scope");
    let narrow = trial.spend(Proof::Basic, &token, &[("scope", "read")]);
    assert_eq!(narrow.text("scope"), "read", "a refused scope has not spent the token");
    let whole = trial.spend(Proof::Basic, &narrow.text("refresh_token"), &[]);
    assert_eq!(whole.text("scope"), "read write");
}
