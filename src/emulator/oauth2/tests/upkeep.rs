//! Revocation and introspection.

use serde_json::json;

use super::{ISSUER, MINT, Proof, assert_error};
use crate::emulator::trial::{Answer, START, Trial};

impl Trial {
    /// Revokes a token; 200 has no body.
    #[track_caller]
    fn revoke_acme(&mut self, proof: Proof, token: &str, hint: &str) {
        let reply = self.ask(proof, "/revoke", &[("token", token), ("token_type_hint", hint)]);
        assert_eq!((reply.status().as_u16(), reply.body().len()), (200, 0));
    }

    fn introspect(&mut self, token: &str) -> Answer {
        Answer::of(&self.ask(Proof::Basic, "/introspect", &[("token", token)]))
    }
}

#[test]
fn ends_everything_of_the_authorization_with_its_refresh_token() {
    let mut trial = Trial::approving();
    for (proof, hint) in [(Proof::Basic, "refresh_token"), (Proof::Post, "access_token"), (Proof::Public, "x")] {
        let first = trial.logged_in(proof);
        let second = trial.spend(proof, &first.text("refresh_token"), &[]);
        trial.revoke_acme(proof, &second.text("refresh_token"), hint);
        for token in [first.text("access_token"), second.text("access_token"), second.text("refresh_token")] {
            assert!(!trial.is_active(&token));
        }
        assert_error(&trial.spend(proof, &second.text("refresh_token"), &[]), 400, "invalid_grant");
    }
}

#[test]
fn ends_an_access_token_alone() {
    let mut trial = Trial::approving();
    let answer = trial.logged_in(Proof::Basic);
    trial.revoke_acme(Proof::Basic, &answer.text("access_token"), "refresh_token");
    assert!(!trial.is_active(&answer.text("access_token")) && trial.is_active(&answer.text("refresh_token")));
}

#[test]
fn counts_what_is_unknown_or_gone_as_revoked() {
    let mut trial = Trial::approving();
    let token = trial.logged_in(Proof::Basic).text("refresh_token");
    for token in ["x", &token, &token] {
        trial.revoke_acme(Proof::Basic, token, "refresh_token");
    }
}

#[test]
fn does_not_revoke_the_token_of_another_client() {
    let mut trial = Trial::approving();
    let token = trial.logged_in(Proof::Basic).text("refresh_token");
    let reply = trial.ask(Proof::Public, "/revoke", &[("token", &token)]);
    assert_error(&Answer::of(&reply), 400, "unauthorized_client");
    assert!(trial.is_active(&token));
}

#[test]
fn wants_to_know_which_token_is_meant() {
    let mut trial = Trial::approving();
    for endpoint in ["/revoke", "/introspect"] {
        assert_error(&Answer::of(&trial.ask(Proof::Basic, endpoint, &[])), 400, "invalid_request");
    }
}

#[test]
fn describes_an_access_token() {
    let mut trial = Trial::approving();
    let start = START.parse::<jiff::Timestamp>().unwrap().as_second();
    let token = trial.logged_in(Proof::Public).text("access_token");
    let mut body = trial.introspect(&token).body;
    let subject = body.as_object_mut().unwrap().shift_remove("sub").unwrap();
    assert!(subject.as_str().is_some_and(|subject| !subject.is_empty()));
    let expected = json!({
        "active": true, "scope": "read write offline_access", "client_id": trial.public(), "iss": ISSUER,
        "iat": start, "token_type": "Bearer", "exp": start + 3600,
    });
    assert_eq!(body, expected);
}

#[test]
fn describes_a_refresh_token_and_a_client_that_acts_for_itself() {
    let mut trial = Trial::approving();
    let refresh = trial.logged_in(Proof::Basic).text("refresh_token");
    let body = trial.introspect(&refresh).body;
    assert_eq!((&body["active"], &body["exp"], &body["token_type"]), (&json!(true), &json!(null), &json!(null)));
    let token = trial.grant(Proof::Basic, MINT).text("access_token");
    assert_eq!(trial.introspect(&token).text("sub"), trial.client());
}

#[test]
fn says_of_a_token_that_is_no_good_only_that() {
    let mut trial = Trial::approving();
    let answer = trial.logged_in(Proof::Basic);
    let spent = answer.text("refresh_token");
    trial.spend(Proof::Basic, &spent, &[]);
    trial.pass(3600);
    for token in ["x", &spent, &answer.text("access_token")] {
        let answer = trial.introspect(token);
        assert_eq!((answer.status, answer.body), (200, json!({ "active": false })));
    }
}

#[test]
fn describes_tokens_to_clients_with_a_secret_only() {
    let mut trial = Trial::approving();
    let reply = trial.ask(Proof::Public, "/introspect", &[("token", "x")]);
    assert_error(&Answer::of(&reply), 401, "invalid_client");
}
