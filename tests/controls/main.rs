//! Negative controls: a store or a runner that lacks one thing each, and the check that notices. A check that no
//! defect fails would show nothing.
#![expect(clippy::expect_used, reason = "what a test cannot set up must fail it")]

mod doubles;
#[path = "../cli/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "what all black-box tests stand on; these need a part of it")]
mod support;

use std::io::Write as _;
use std::process::Command;
use std::str::FromStr as _;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use tokman::config::{Options, Settings};
use tokman::model::{Key, SystemClock};
use tokman::net::Client;
use tokman::ops::demand::{Demand, How};
use tokman::ops::history::History;
use tokman::ops::{Broker, Hooks, Issuer};
use tokman::provider::Wanted;

use doubles::Lack;
use support::disk::{Disk, Promise, cut_power};
use support::light;
use support::report::{figure, skipped};
use support::rotating::{access_token, refresh_token};
use support::{Delivery, Gate, Phase, Rotating, Rotation, TestEnv, strace};

/// The brokers that ask at once.
const CROWD: usize = 8;

/// The test that is a process of its own.
const PROCESS: &str = "a_process_of_its_own";

/// What such a process is told, by its environment.
const LACK: &str = "CONTROL_LACK";
const BROKERS: &str = "CONTROL_BROKERS";
const FULL: &str = "CONTROL_FULL";

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "these variables are between this test and itself")]
    std::env::var(name).ok()
}

/// Asks for a fresh token with as many brokers as it is told, and prints what they got.
#[test]
#[ignore = "a part of the others: they run it as a process of its own"]
fn a_process_of_its_own() {
    let Some(lack) = variable(LACK) else { return };
    let lack = Lack::from_str(&lack).expect("a lack");
    let brokers = variable(BROKERS).map_or(1, |number| number.parse().expect("a number"));
    let settings = Settings::load(Options { provider: Some("square".to_owned()), ..Options::default() });
    let settings = settings.expect("settings");
    let key: Key = "square/default".parse().expect("a key");
    let made: Vec<_> = (0..brokers).map(|_| broker(&settings, lack)).collect();
    if variable(FULL).is_some() {
        // A write beyond the limit is then an error, not the end.
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()).expect("a handler");
        setrlimit(Resource::Fsize, Rlimit { current: Some(0), maximum: Some(0) }).expect("a limit");
    }
    let together = Barrier::new(brokers);
    let ask = |broker: &Broker| {
        let issuer = Issuer::new(settings.provider(&key.provider).expect("a provider"));
        together.wait();
        let (demand, how) = (Demand::Valid(Duration::from_secs(60)), How::Refresh(Wanted::default()));
        let runtime = tokman::ops::runtime().expect("a runtime");
        let said = match runtime.block_on(broker.fresh(&key, &issuer, demand, how)) {
            Ok(outcome) => outcome.record.token.access.expose().to_owned(),
            Err(error) => error.to_string(),
        };
        std::io::stdout().write_all(format!("{said}\n").as_bytes()).expect("stdout");
    };
    match &made[..] {
        [broker] => ask(broker),
        brokers => thread::scope(|scope| brokers.iter().for_each(|broker| drop(scope.spawn(|| ask(broker))))),
    }
}

fn broker(settings: &Settings, lack: Lack) -> Broker {
    let clock = Arc::new(SystemClock);
    let tokman::config::StoreUrl::File(root) = &settings.store.value else {
        panic!("these tests have files only");
    };
    Broker {
        store: doubles::store(root, lack),
        sealer: Arc::default(),
        clock: clock.clone(),
        net: Client::new(clock),
        budget: Duration::from_secs(10),
        signals: doubles::signals(lack),
        history: History::new(&settings.config_dir),
        hooks: Hooks::default(),
        untold: std::sync::Mutex::default(),
    }
}

/// The words that start [`a_process_of_its_own`].
fn words() -> Vec<String> {
    let program = std::env::current_exe().expect("this test").to_string_lossy().into_owned();
    [&program, PROCESS, "--exact", "--ignored", "--nocapture", "--test-threads=1"].map(str::to_owned).to_vec()
}

fn process(env: &TestEnv, lack: Lack) -> Command {
    let words = words();
    let args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let mut command = light::command(env, &words[0], &args);
    command.env(LACK, lack.to_string());
    command
}

/// How many requests the brokers send that find one expired single-use token.
fn requests_of_a_crowd(lack: Lack) -> usize {
    let server = Rotating::start(Rotation::Once).deliver_always(Delivery::Delayed(Duration::from_millis(300)));
    let env = server.world();
    let mut command = process(&env, lack);
    command.env(BROKERS, CROWD.to_string());
    let ended = light::run(command);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    server.requests()
}

/// How many requests are sent where not a byte can be stored.
fn requests_with_a_full_store(lack: Lack) -> usize {
    let server = Rotating::start(Rotation::Once);
    let env = server.world();
    let mut command = process(&env, lack);
    command.env(FULL, "1");
    let ended = light::run(command);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains(&access_token(2)), "{ended:?}");
    server.requests()
}

/// What a power cut after each call breaks of the promise.
fn breach_by_a_power_cut(lack: Lack) -> Option<String> {
    let server = Rotating::start(Rotation::Once);
    let mut env = server.world();
    env.set(LACK, lack.to_string());
    let mut disk = Disk::of(&env.config_dir().join("tokens/square"));
    let words = words();
    let (ended, calls) = strace::trace(&env, &words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(ended.stdout.contains(&access_token(2)), "{ended:?}");
    let promise = Promise {
        record: "default.json",
        mark: ".default.inflight",
        spent: &refresh_token(1),
        access: &access_token(2),
        refresh: &refresh_token(2),
    };
    cut_power(&mut disk, &calls, &promise).err()
}

/// Whether SIGTERM loses the grant while the provider, which forgives nothing, holds its answer back.
fn sigterm_loses_the_grant(lack: Lack) -> bool {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Rotating::with_hook(Rotation::Once, move |phase| {
        if phase == Phase::Committed {
            held.wait(Duration::from_secs(30));
        }
    });
    let env = server.world();
    let child = process(&env, lack).spawn().expect("a program that starts");
    server.wait_for_requests(1);
    kill_process(Pid::from_child(&child), Signal::TERM).expect("a process that still runs");
    thread::sleep(Duration::from_millis(200));
    gate.open();
    let ended = light::wait(child);
    assert_eq!(ended.signal, Some(15), "{ended:?}");
    server.lost(&env)
}

#[test]
fn without_a_lease_a_crowd_sends_more_than_one_request() {
    assert_eq!(requests_of_a_crowd(Lack::Nothing), 1);
    let requests = requests_of_a_crowd(Lack::Lease);
    figure(&format!("control: {CROWD} brokers without a lease send {requests} requests"));
    assert!(requests > 1);
}

#[test]
fn without_a_reservation_a_request_is_sent_that_cannot_be_stored() {
    assert_eq!(requests_with_a_full_store(Lack::Nothing), 0);
    let requests = requests_with_a_full_store(Lack::Reservation);
    figure(&format!("control: without a reservation a full store sends {requests} request"));
    assert!(requests > 0);
}

#[test]
fn without_fsync_a_power_cut_takes_the_mark_or_the_printed_token() {
    if let Some(why) = strace::missing() {
        return skipped("the controls of the power cut", why);
    }
    assert_eq!(breach_by_a_power_cut(Lack::Nothing), None);
    for (lack, breach) in [
        (Lack::FsyncOfTheMark, "the request is sent, and its mark"),
        (Lack::FsyncOfTheRecord, "no whole record is on the disk"),
        (Lack::FsyncOfTheName, "the access token is printed, and is not on the disk"),
    ] {
        let found = breach_by_a_power_cut(lack).unwrap_or_default();
        figure(&format!("control: without the {lack}: {}", found.split(": ").last().unwrap_or_default()));
        assert!(found.contains(breach), "{lack}: {found}");
    }
}

#[test]
fn without_a_hold_on_signals_sigterm_loses_the_grant() {
    assert!(!sigterm_loses_the_grant(Lack::Nothing));
    assert!(sigterm_loses_the_grant(Lack::Signals));
    figure("control: without a hold on signals SIGTERM loses the grant");
}
