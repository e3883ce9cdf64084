//! Sixty-four processes at once on one refresh token that is good once.

use std::os::unix::fs::symlink;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::light::{self, Ended};
use crate::support::report::{figure, skipped};
use crate::support::rotating::{access_token, refresh_token};
use crate::support::{Delivery, Gate, Phase, Rotating, Rotation, TestEnv};

const CROWD: usize = 64;

/// How long a process is given to reach the lock, on a busy machine with two processors.
const ARRIVAL: Duration = Duration::from_secs(3);

const TOKEN: [&str; 3] = ["token", "-p", "square"];

fn spawn(mut command: Command) -> Child {
    command.spawn().expect("a program that starts")
}

fn crowd(env: &TestEnv, number: usize) -> Vec<Child> {
    (0..number).map(|_| spawn(light::tokman(env, &TOKEN))).collect()
}

fn ends(children: Vec<Child>) -> Vec<Ended> {
    children.into_iter().map(light::wait).collect()
}

#[track_caller]
fn all_got(ended: &[Ended], token: &str) {
    for end in ended {
        assert!(end.code == Some(0) && end.stdout.trim_end() == token, "{end:?}");
    }
}

/// An endpoint that holds the answer to its first request until the gate opens.
fn holding_the_first(rotation: Rotation, gate: &Gate) -> Rotating {
    let (gate, first) = (gate.clone(), AtomicBool::new(true));
    Rotating::with_hook(rotation, move |phase| {
        if phase == Phase::Committed && first.swap(false, Ordering::SeqCst) {
            gate.wait(Duration::from_secs(30));
        }
    })
}

#[test]
fn sixty_four_processes_send_one_request_and_print_one_token_20_times() {
    let mut requests = 0;
    for _ in 0..20 {
        let server = Rotating::start(Rotation::Once).deliver_always(Delivery::Delayed(Duration::from_millis(50)));
        let env = server.world();
        all_got(&ends(crowd(&env, CROWD)), &access_token(2));
        assert_eq!(server.requests(), 1);
        assert!(!server.lost(&env));
        requests += server.requests();
    }
    figure(&format!("20 rounds of {CROWD} processes: {requests} requests, {CROWD} equal tokens each"));
}

#[test]
fn sixty_four_processes_ask_a_provider_that_is_down_no_more_often_than_one() {
    let alone = {
        let server = Rotating::start(Rotation::Once).deliver_always(Delivery::Unavailable);
        let env = server.world();
        let end = light::run(light::tokman(&env, &TOKEN));
        assert_eq!(end.code, Some(7), "{end:?}");
        server.requests()
    };
    let gate = Gate::default();
    let server = holding_the_first(Rotation::Once, &gate).deliver_always(Delivery::Unavailable);
    let env = server.world();
    let children = crowd(&env, CROWD);
    server.wait_for_requests(1);
    // Until all wait for the lease: who comes after the failure may ask again.
    thread::sleep(ARRIVAL);
    gate.open();
    let ended = ends(children);
    assert!(ended.iter().all(|end| end.code == Some(7)), "{ended:?}");
    let told = ended.iter().filter(|end| end.stderr.contains("another process failed")).count();
    assert_eq!(told, CROWD - 1, "{ended:?}");
    figure(&format!("a provider that is down: 1 process sent {alone} requests, {CROWD} sent {}", server.requests()));
    // The first one's time ran while the others came: it may have asked less often.
    assert!((1..=alone).contains(&server.requests()), "{} requests, one process sends {alone}", server.requests());
    assert!(!server.lost(&env));
}

#[test]
fn eight_waiters_take_over_at_once_when_the_holder_is_killed() {
    let gate = Gate::default();
    let server = holding_the_first(Rotation::Grace, &gate);
    let env = server.world();
    let mut holder = spawn(light::tokman(&env, &TOKEN));
    server.wait_for_requests(1);
    let waiters = crowd(&env, 8);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(server.requests(), 1, "the others wait");
    holder.kill().expect("a child of ours");
    let killed = Instant::now();
    assert_eq!(light::wait(holder).signal, Some(9));
    all_got(&ends(waiters), &access_token(2));
    let took = killed.elapsed();
    gate.open();
    figure(&format!("a holder killed under 8 waiters: all had the token {} ms later", took.as_millis()));
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!((server.requests(), server.commits()), (2, 1), "the killed one's and one replay");
    assert!(!server.lost(&env));
}

/// Four processes on the config directory itself and four on the other path to it.
fn two_paths_share_one_lock(path: &str, other: &(dyn Fn(&TestEnv) -> Command + Sync)) {
    let server = Rotating::start(Rotation::Once).deliver_always(Delivery::Delayed(Duration::from_millis(300)));
    let env = server.world();
    let children = (0..8).map(|n| spawn(if n % 2 == 0 { light::tokman(&env, &TOKEN) } else { other(&env) })).collect();
    all_got(&ends(children), &access_token(2));
    assert_eq!((server.requests(), server.commits()), (1, 1), "{path}");
    assert!(server.is_alive(&refresh_token(2)));
}

#[test]
fn a_symlinked_config_directory_shares_the_lock() {
    two_paths_share_one_lock("a symlink", &|env| {
        let link = env.work().join("link");
        if !link.is_symlink() {
            symlink(env.config_dir(), &link).expect("a symlink");
        }
        light::tokman(env, &["--config-dir", "link", "token", "-p", "square"])
    });
}

#[test]
fn a_bind_mounted_config_directory_shares_the_lock() {
    /// Mounts the first directory on the second, for itself alone, and becomes the rest.
    const MOUNT: &str = r#"mkdir -p "$2" && mount --bind "$1" "$2" && shift 2 && exec "$@""#;
    // With privileges, or with those that an own user namespace gives.
    let unshare = ["-m", "-rm"].into_iter().find(|flags| {
        let tried = Command::new("unshare").args([flags, "sh", "-c", MOUNT, "sh", "/etc", "/mnt", "true"]).output();
        tried.is_ok_and(|output| output.status.success())
    });
    let Some(flags) = unshare else {
        return skipped("a bind-mounted config directory", "nothing may be mounted here");
    };
    two_paths_share_one_lock("a bind mount", &|env| {
        let (from, to) = (env.config_dir(), env.work().join("mounted"));
        let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
        let tokman = [env!("CARGO_BIN_EXE_tokman"), "--config-dir", &to, "token", "-p", "square"];
        light::command(env, "unshare", &[&[flags, "sh", "-c", MOUNT, "sh", &from, &to], &tokman[..]].concat())
    });
}

#[test]
fn a_grant_that_is_not_rotated_lives_through_any_number_of_refreshes() {
    for rotation in [Rotation::Same, Rotation::Omitted] {
        let server = Rotating::start(rotation).deliver(&[Delivery::Cut]);
        let env = server.world();
        for number in 3..6 {
            let end = light::run(light::tokman(&env, &["refresh", "-p", "square", "-o", "token"]));
            assert_eq!((end.code, end.stdout.trim_end()), (Some(0), access_token(number).as_str()), "{end:?}");
        }
        assert!(!server.lost(&env));
        assert_eq!(env.read_token("square/default")["refresh_token"], refresh_token(1).as_str());
    }
}
