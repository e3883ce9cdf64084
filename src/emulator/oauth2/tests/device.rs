//! The device flow.

use http::StatusCode;

use super::{ISSUER, Proof, assert_error};
use crate::emulator::Options;
use crate::emulator::trial::{Answer, Trial, page, question};

impl Trial {
    fn begin(&mut self, proof: Proof) -> Answer {
        let answer = Answer::of(&self.ask(proof, "/device_authorization", &[("scope", "read offline_access")]));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    fn poll(&mut self, proof: Proof, begun: &Answer) -> Answer {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        self.grant(proof, &[("grant_type", grant), ("device_code", &begun.text("device_code"))])
    }

    /// Opens the device's page and answers it.
    fn decide(&mut self, begun: &Answer, decision: &str) -> String {
        let path = format!("/acme/device?user_code={}", begun.text("user_code"));
        let id = question(&self.get(&path));
        page(&self.submit("/acme/consent", &format!("consent={id}&decision={decision}")))
    }
}

#[test]
fn begins_with_a_code_to_type_and_the_address_to_type_it_at() {
    let mut trial = Trial::new(Options::default());
    let begun = trial.begin(Proof::Public);
    let code = begun.text("user_code");
    assert!(code.len() == 9 && code.as_bytes()[4] == b'-', "{code}");
    assert!(code.chars().all(|letter| "BCDFGHJKLMNPQRSTVWXZ-".contains(letter)), "{code}");
    assert_eq!(begun.text("verification_uri"), format!("{ISSUER}/device"));
    assert_eq!(begun.text("verification_uri_complete"), format!("{ISSUER}/device?user_code={code}"));
    assert_eq!((begun.body["expires_in"].as_i64(), begun.body["interval"].as_i64()), (Some(600), Some(1)));
    let unknown = trial.ask(Proof::Public, "/device_authorization", &[("scope", "everything")]);
    assert_error(&Answer::of(&unknown), 400, "invalid_scope");
}

#[test]
fn keeps_a_device_waiting_until_the_person_allows_it() {
    let mut trial = Trial::new(Options::default());
    for proof in [Proof::Basic, Proof::Post, Proof::Public] {
        let begun = trial.begin(proof);
        assert_error(&trial.poll(proof, &begun), 400, "authorization_pending");
        assert!(trial.decide(&begun, "allow").contains("The device is connected"));
        trial.pass(1);
        let answer = trial.poll(proof, &begun);
        assert_eq!(answer.text("scope"), "read offline_access");
        assert_eq!(trial.spend(proof, &answer.text("refresh_token"), &[]).status, 200);
        assert_error(&trial.poll(proof, &begun), 400, "invalid_grant");
    }
}

#[test]
fn tells_a_device_that_the_person_denied_it() {
    let mut trial = Trial::new(Options::default());
    let begun = trial.begin(Proof::Basic);
    assert!(trial.decide(&begun, "deny").contains("The device was refused"));
    for _ in 0..2 {
        assert_error(&trial.poll(Proof::Basic, &begun), 400, "access_denied");
    }
}

#[test]
fn slows_down_a_device_that_polls_too_fast_for_good() {
    let mut trial = Trial::new(Options::default());
    let begun = trial.begin(Proof::Basic);
    assert_error(&trial.poll(Proof::Basic, &begun), 400, "authorization_pending");
    trial.pass(1);
    assert_error(&trial.poll(Proof::Basic, &begun), 400, "authorization_pending");
    assert_error(&trial.poll(Proof::Basic, &begun), 400, "slow_down");
    trial.pass(6);
    assert_error(&trial.poll(Proof::Basic, &begun), 400, "authorization_pending");
    trial.pass(5);
    assert_error(&trial.poll(Proof::Basic, &begun), 400, "slow_down");
    trial.pass(11);
    assert_error(&trial.poll(Proof::Basic, &begun), 400, "authorization_pending");
}

#[test]
fn ends_both_codes_after_ten_minutes() {
    let mut trial = Trial::new(Options::default());
    let begun = trial.begin(Proof::Basic);
    let path = format!("/acme/device?user_code={}", begun.text("user_code"));
    let open = question(&trial.get(&path));
    trial.pass(600);
    assert_error(&trial.poll(Proof::Basic, &begun), 400, "expired_token");
    assert_eq!(trial.get(&path).status(), StatusCode::NOT_FOUND);
    let late = trial.submit("/acme/consent", &format!("consent={open}&decision=allow"));
    assert_eq!(late.status(), StatusCode::BAD_REQUEST);
}

#[test]
fn knows_a_device_code_of_the_same_client_only() {
    let mut trial = Trial::approving();
    let begun = trial.begin(Proof::Basic);
    assert_error(&trial.poll(Proof::Public, &begun), 400, "invalid_grant");
    assert_error(&trial.poll(Proof::Basic, &begun), 400, "authorization_pending");
}

#[test]
fn asks_for_the_code_and_takes_it_as_people_type_it() {
    let mut trial = Trial::new(Options::default());
    assert!(page(&trial.get("/acme/device")).contains("name=\"user_code\""));
    let begun = trial.begin(Proof::Basic);
    let typed = begun.text("user_code").to_lowercase().replace('-', "+");
    let shown = page(&trial.get(&format!("/acme/device?user_code={typed}")));
    assert!(shown.contains(&begun.text("user_code")) && shown.contains("offline_access"), "{shown}");
    let wrong = trial.get("/acme/device?user_code=AAAA-AAAA");
    assert_eq!(wrong.status(), StatusCode::NOT_FOUND);
    assert!(page(&wrong).contains("No device waits with that code"));
}

#[test]
fn takes_the_decision_about_a_device_once() {
    let mut trial = Trial::new(Options::default());
    let begun = trial.begin(Proof::Basic);
    let path = format!("/acme/device?user_code={}", begun.text("user_code"));
    let (one, other) = (question(&trial.get(&path)), question(&trial.get(&path)));
    assert_eq!(trial.submit("/acme/consent", &format!("consent={one}&decision=deny")).status(), StatusCode::OK);
    let again = trial.submit("/acme/consent", &format!("consent={other}&decision=allow"));
    assert_eq!(again.status(), StatusCode::BAD_REQUEST);
    assert_error(&trial.poll(Proof::Basic, &begun), 400, "access_denied");
}

#[test]
fn approves_a_device_by_itself_at_the_second_poll_or_when_its_page_is_opened() {
    let mut trial = Trial::approving();
    let begun = trial.begin(Proof::Public);
    assert_error(&trial.poll(Proof::Public, &begun), 400, "authorization_pending");
    assert_error(&trial.poll(Proof::Public, &begun), 400, "slow_down");
    trial.pass(6);
    assert_eq!(trial.poll(Proof::Public, &begun).status, 200);
    let begun = trial.begin(Proof::Public);
    let path = format!("/acme/device?user_code={}", begun.text("user_code"));
    assert!(page(&trial.get(&path)).contains("The device is connected"));
    assert_eq!(trial.poll(Proof::Public, &begun).status, 200);
}
