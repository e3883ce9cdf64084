//! Clocks that are wrong, and providers that say when to come back.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::support::stored_square::now;
use crate::support::{Answer, Server, Stored, TestEnv};

/// A date as HTTP writes it.
fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[test]
fn a_wrong_clock_is_told_and_corrected() {
    for (ahead, words) in [(3600_i64, "ahead of"), (-3600, "behind")] {
        // Where this machine is ahead, the provider's times are earlier.
        let provider = now() - SignedDuration::from_secs(ahead);
        let end = provider + SignedDuration::from_secs(86_400 * 30);
        let reply = json!({"access_token": "a", "expires_at": format!("{end:.0}")});
        let date = http_date(provider);
        let server = Server::with(move |_, _| Answer::json(200, reply.clone()).header("Date", &date));
        let mut env = TestEnv::new();
        let stored = Stored::expired(&server.url());
        stored.put(&mut env);
        let run = env.tokman(&["refresh", "-p", "square", "-o", "none"]);
        run.code(0).stderr_has("warning: square/default: this machine's clock is ").stderr_has(words);
        let words = run.stderr.split("clock is ").nth(1).and_then(|rest| rest.split(' ').next());
        let off: i64 = words.and_then(|word| word.parse().ok()).expect("a number of seconds");
        assert!((off - 3600).abs() <= 5, "{run}");
        let kept: Timestamp = env.read_token(&stored.key)["tokman"]["expires_at"]
            .as_str()
            .and_then(|at| at.parse().ok())
            .expect("an end");
        let wanted = now() + SignedDuration::from_secs(86_400 * 30);
        assert!(kept.duration_since(wanted).abs() < SignedDuration::from_secs(10), "{kept} is not {wanted}");
        server.exactly(1).finish();
    }
}

#[test]
fn a_clock_that_is_a_little_off_is_not_worth_a_word() {
    let server = Server::with(|_, _| {
        let date = http_date(now() - SignedDuration::from_secs(20));
        Answer::json(200, json!({"access_token": "a", "expires_in": 86_400})).header("Date", &date)
    });
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    env.tokman(&["refresh", "-p", "square", "-o", "none"]).code(0).stderr_is("");
    server.finish();
}

#[test]
fn a_token_of_the_future_is_refreshed_once() {
    let server = Server::with(|_, _| Answer::json(200, json!({"access_token": "a", "expires_in": 86_400})));
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server.url()).living(86_400 * 20);
    stored.put(&mut env);
    let mut record = stored.record();
    record["tokman"]["refreshed_at"] = stored.at(86_400 * 10).into();
    env.write_token(&stored.key, &record);
    for _ in 0..3 {
        env.tokman(&["token", "-p", "square"]).code(0).stdout_is("a\n");
    }
    server.exactly(1).finish();
}

#[test]
fn a_life_that_is_shorter_than_the_margin_is_one_refresh_a_run() {
    let server = Server::with(|_, _| Answer::json(200, json!({"access_token": "a", "expires_in": 0})));
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    for _ in 0..2 {
        env.tokman(&["token", "-p", "square"]).code(0).stdout_is("a\n");
    }
    server.exactly(2).finish();
}

#[test]
fn retry_after_is_waited_for_in_both_its_forms() {
    for as_date in [false, true] {
        let server = Server::with(move |_, nth| match nth {
            0 => {
                // A date has whole seconds: of the next three, two at least are waited for.
                let date = http_date(now() + SignedDuration::from_secs(3));
                Answer::json(503, json!({})).header("Retry-After", if as_date { &date } else { "2" })
            }
            _ => Answer::json(200, json!({"access_token": "a", "expires_in": 86_400})),
        });
        let mut env = TestEnv::new();
        Stored::expired(&server.url()).put(&mut env);
        let started = Instant::now();
        env.tokman(&["refresh", "-p", "square", "-o", "none"]).code(0);
        let took = started.elapsed();
        assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(25), "{took:?}");
        server.exactly(2).finish();
    }
}

#[test]
fn retry_after_beyond_the_budget_is_the_end() {
    for wait in ["3600".to_owned(), http_date(now() + SignedDuration::from_secs(3600)), "999999999".to_owned()] {
        for status in [429, 503] {
            let wait = wait.clone();
            let server = Server::with(move |_, _| Answer::json(status, json!({})).header("Retry-After", &wait));
            let mut env = TestEnv::new();
            let stored = Stored::expired(&server.url());
            stored.put(&mut env);
            let started = Instant::now();
            env.tokman(&["refresh", "-p", "square", "--timeout", "50s"]).code(7);
            assert!(started.elapsed() < Duration::from_secs(40));
            assert_eq!(env.read_token(&stored.key), stored.record());
            server.exactly(1).finish();
        }
    }
}

#[test]
fn retry_after_that_says_nothing_changes_nothing() {
    for wait in ["-1", "soon", "", "1e3", "Thu, 01 Jan 1970 00:00:00 GMT"] {
        let server = Server::with(move |_, nth| match nth {
            0 => Answer::json(503, json!({})).header("Retry-After", wait),
            _ => Answer::json(200, json!({"access_token": "a", "expires_in": 86_400})),
        });
        let mut env = TestEnv::new();
        Stored::expired(&server.url()).put(&mut env);
        env.tokman(&["refresh", "-p", "square", "-o", "none", "--timeout", "10s"]).code(0);
        server.exactly(2).finish();
    }
}
