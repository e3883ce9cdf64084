//! Many processes and one grant: it is spent once, and all of them get the token.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::run::Running;
use crate::support::{Answer, Gate, Server, Shop, Sort};

/// Answers every request with a token of its own, once the gate is open.
fn numbered(gate: &Gate) -> Server {
    let gate = gate.clone();
    Server::with(move |_, nth| {
        let body = json!({"access_token": format!("token-{nth}"), "refresh_token": format!("refresh-{nth}"), "expires_in": 14400});
        Answer::json(200, body).held_by(&gate)
    })
}

fn start<'a>(shop: &'a Shop, args: &[&str], number: usize) -> Vec<Running<'a>> {
    (0..number).map(|_| shop.command(args).spawn()).collect()
}

/// Waits until all but the one whose request is under way wait for it: whoever asks again and again for the lease has
/// gone to sleep many times.
fn until_all_but_one_wait(running: &[Running<'_>]) {
    let started = Instant::now();
    let waiting = || running.iter().filter(|running| running.naps().is_some_and(|naps| naps > 15)).count() + 1;
    // Where the system does not tell, this has to be long enough.
    let patience = if running[0].naps().is_some() { 20 } else { 2 };
    // A program that is read from a slow disk sleeps often too, but not for long.
    let is_early = || started.elapsed() < Duration::from_millis(400);
    while (waiting() < running.len() || is_early()) && started.elapsed() < Duration::from_secs(patience) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn sixteen_processes_that_find_one_expired_token_send_one_request() {
    for sort in [Sort::SquarePkce, Sort::WixHeadless, Sort::Square, Sort::WixApp] {
        let mut shop = Shop::new(sort);
        let server = Server::with(|_, nth| {
            Answer::json(200, json!({"access_token": format!("token-{nth}"), "expires_in": 14400}))
                .after(Duration::from_millis(200))
        })
        .exactly(1);
        shop.at(&server).store(-60);
        for running in start(&shop, &["token"], 16) {
            running.wait().code(0).stdout_is("token-0\n").stderr_is("");
        }
        server.finish();
    }
}

#[test]
fn sixteen_processes_with_nothing_stored_spend_the_seed_once() {
    let mut shop = Shop::new(Sort::SquarePkce);
    let gate = Gate::default();
    let server = numbered(&gate).exactly(1);
    shop.at(&server);
    shop.env.set("TOKMAN_SQUARE_REFRESH_TOKEN", shop.refresh.as_str());
    let running = start(&shop, &["token"], 16);
    server.wait_for_requests(1);
    gate.open();
    for running in running {
        running.wait().code(0).stdout_is("token-0\n");
    }
    server.finish();
}

#[test]
fn refreshes_that_were_started_together_are_one() {
    let mut shop = Shop::new(Sort::SquarePkce);
    let gate = Gate::default();
    let server = numbered(&gate).exactly(1);
    shop.at(&server).store(3600);
    let running = start(&shop, &["refresh", "-o", "token"], 16);
    server.wait_for_requests(1);
    until_all_but_one_wait(&running);
    gate.open();
    for running in running {
        running.wait().code(0).stdout_is("token-0\n").stderr_is("");
    }
    assert_eq!(shop.stored()["refresh_token"], "refresh-0");
    server.finish();
}

#[test]
fn a_refresh_that_is_forced_is_one_of_its_own() {
    let mut shop = Shop::new(Sort::SquarePkce);
    let gate = Gate::default();
    let server = numbered(&gate).exactly(3);
    shop.at(&server).store(3600);
    let running = start(&shop, &["refresh", "--force", "-o", "token"], 3);
    server.wait_for_requests(1);
    until_all_but_one_wait(&running);
    gate.open();
    let mut printed: Vec<_> = running.into_iter().map(|running| running.wait().code(0).stdout.clone()).collect();
    printed.sort();
    assert_eq!(printed, ["token-0\n", "token-1\n", "token-2\n"]);
    // Each handed in the refresh token that the one before it had got.
    let handed_in: Vec<_> = server.requests().iter().map(|request| request.json()["refresh_token"].clone()).collect();
    assert_eq!(handed_in, [json!(shop.refresh), json!("refresh-0"), json!("refresh-1")]);
    server.finish();
}

#[test]
fn who_waited_for_a_failure_does_not_ask_the_same_again() {
    for (status, body, code) in [
        (401, json!({"type": "service.not_authorized", "message": "Not Authorized"}), 6),
        (503, json!({"type": "service_unavailable", "message": "down"}), 7),
        (401, json!({"type": "service.not_authorized", "message": "Invalid refresh token"}), 5),
    ] {
        let mut shop = Shop::square();
        let gate = Gate::default();
        let held = gate.clone();
        let server =
            Server::with(move |_, _| Answer::json(status, body.clone()).header("Retry-After", "3600").held_by(&held))
                .exactly(1);
        shop.at(&server).store(-60);
        let mut running = start(&shop, &["token"], 4);
        running.extend(start(&shop, &["refresh"], 4));
        server.wait_for_requests(1);
        until_all_but_one_wait(&running);
        gate.open();
        for running in running {
            running.wait().code(code).stdout_is("");
        }
        server.finish();
    }
}

#[test]
fn keys_do_not_wait_for_each_other() {
    let mut shop = Shop::square();
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::with(move |_, nth| {
        let answer = Answer::json(200, json!({"access_token": format!("token-{nth}"), "expires_in": 14400}));
        if nth == 0 { answer.held_by(&held) } else { answer }
    })
    .exactly(2);
    shop.at(&server).store_as("slow", -60);
    shop.store_as("quick", -60);
    let slow = shop.command(&["token", "-n", "slow"]).spawn();
    server.wait_for_requests(1);
    shop.run(&["token", "-n", "quick"]).code(0).stdout_is("token-1\n");
    gate.open();
    slow.wait().code(0).stdout_is("token-0\n");
    server.finish();
}

#[test]
fn a_fresh_token_is_read_while_another_process_refreshes_it() {
    let mut shop = Shop::square();
    let gate = Gate::default();
    let server = numbered(&gate).exactly(1);
    shop.at(&server).store(3600);
    let refreshing = shop.command(&["refresh", "-o", "token"]).spawn();
    server.wait_for_requests(1);
    shop.run(&["token"]).code(0).stdout_is(&format!("{}\n", shop.access));
    shop.run(&["status"]).code(0).stdout_has("square/default");
    gate.open();
    refreshing.wait().code(0).stdout_is("token-0\n");
    server.finish();
}

#[test]
fn who_waits_in_vain_says_so() {
    let mut shop = Shop::square();
    let gate = Gate::default();
    let server = numbered(&gate).exactly(1);
    shop.at(&server).store(-60);
    let holding = shop.command(&["refresh", "-o", "token"]).spawn();
    server.wait_for_requests(1);
    let running = start(&shop, &["token", "--timeout", "1s"], 1);
    for running in running {
        running.wait().code(7).stdout_is("").stderr_has("another process has been changing square/default");
    }
    gate.open();
    holding.wait().code(0).stdout_is("token-0\n");
    server.finish();
}
