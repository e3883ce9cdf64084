//! Runs that are ended at each of their system calls: by `kill -9`, by signals that ask, and by the power going.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::bulk::{generous, many};
use crate::support::disk::{Disk, Names, Promise, cut_power, cut_power_of_many};
use crate::support::light::{self, each};
use crate::support::report::{figure, skipped};
use crate::support::rotating::{access_token, refresh_in, refresh_token};
use crate::support::strace::{self, Point};
use crate::support::{Delivery, Rotating, Rotation, TestEnv};

const TOKMAN: &str = env!("CARGO_BIN_EXE_tokman");

/// The first call that is tokman's own, after the loader's and the runtime's.
const FIRST: &str = "prctl";

/// A run that is going to be ended, and what went before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    /// The first refresh of a grant.
    First,
    /// The first answer does not come, the second does.
    LostAnswer,
    /// An earlier process died after the grant was rotated.
    MarkLeft,
    /// The answer has a refresh token and no access token.
    NoAccessToken,
}

impl Story {
    fn begin(self, rotation: Rotation) -> (Rotating, TestEnv) {
        let server = Rotating::start(rotation);
        let server = match self {
            Self::First => server,
            Self::LostAnswer => server.deliver(&[Delivery::Dropped]),
            Self::MarkLeft => server.used_before(),
            Self::NoAccessToken => server.deliver(&[Delivery::WithoutAccess]),
        };
        let env = server.world();
        if self == Self::MarkLeft {
            let mark = json!({"tokman_in_flight": {"since": "2026-01-01T00:00:00Z", "fingerprint": "", "pid": 1}});
            env.write(env.config_dir().join("tokens/square/.default.inflight"), mark.to_string());
        }
        (server, env)
    }

    const fn program(self) -> [&'static str; 4] {
        [TOKMAN, if matches!(self, Self::First | Self::NoAccessToken) { "refresh" } else { "token" }, "-p", "square"]
    }

    /// Every point of an undisturbed run.
    fn points(self, rotation: Rotation) -> Vec<(Self, Point)> {
        let (_server, env) = self.begin(rotation);
        let (ended, calls) = strace::trace(&env, &self.program());
        assert_eq!(ended.code, Some(if self == Self::NoAccessToken { 6 } else { 0 }), "{ended:?}");
        // Up to its request, this run is as the first.
        let from = if self == Self::NoAccessToken { "connect" } else { FIRST };
        strace::points(&calls, from).into_iter().map(|point| (self, point)).collect()
    }
}

/// What became of a run that a signal was sent to, and of its grant.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct End {
    at: String,
    /// Whether the signal ended it. Another run than the traced one may have a call less.
    killed: bool,
    /// Whether the provider had rotated the grant.
    committed: bool,
    /// Whether the record was the new one.
    renamed: bool,
    lost: bool,
}

/// Ends a run at a point, then asks for a token as the next cron job would: that must work unless the grant is lost.
fn end_at(story: Story, rotation: Rotation, point: &Point, signal: &str) -> End {
    let (server, env) = story.begin(rotation);
    let ended = strace::signalled(&env, point, signal, &story.program());
    server.settle();
    let at = format!("{story:?}, SIG{signal} at {point}");
    let number = match signal {
        "KILL" => 9,
        "TERM" => 15,
        "INT" => 2,
        _ => 1,
    };
    let killed = ended.signal == Some(number);
    let own = if story == Story::NoAccessToken { 6 } else { 0 };
    assert!(killed || ended.code == Some(own), "{at}: {ended:?}");
    let committed = server.commits() > 0;
    let renamed = refresh_in(&env.token_path("square/default")) == Some(refresh_token(2));
    let mut next = light::run(light::tokman(&env, &["refresh", "-p", "square"]));
    if story == Story::NoAccessToken && next.code == Some(own) {
        // It did not come to that answer before.
        next = light::run(light::tokman(&env, &["refresh", "-p", "square"]));
    }
    let lost = server.lost(&env);
    assert!(next.code == Some(if lost { 5 } else { 0 }), "{at}: afterwards {next:?}");
    End { at, killed, committed, renamed, lost }
}

fn sweep(points: &[(Story, Point)], rotation: Rotation, signal: &str) -> Vec<End> {
    each(points, |(story, point)| end_at(*story, rotation, point, signal))
}

fn losses(ends: &[End]) -> Vec<&str> {
    ends.iter().filter(|end| end.lost).map(|end| end.at.as_str()).collect()
}

#[test]
fn kill_9_at_any_call_of_a_refresh_loses_no_grant_that_the_provider_forgives() {
    let ends = if let Some(why) = strace::missing() {
        figure(&format!("{why}: killing by the clock, not at each call"));
        kills_by_the_clock()
    } else {
        let stories = [Story::First, Story::LostAnswer, Story::MarkLeft];
        let points: Vec<_> = stories.iter().flat_map(|story| story.points(Rotation::Grace)).collect();
        sweep(&points, Rotation::Grace, "KILL")
    };
    let kills = ends.iter().filter(|end| end.killed).count();
    figure(&format!("{kills} kills with a grace period, {} grants lost", losses(&ends).len()));
    assert!(kills >= 200, "only {kills} of {} runs were killed", ends.len());
    assert_eq!(losses(&ends), Vec::<&str>::new());
}

/// Where there is no strace: kills spread over the time that a refresh takes, until 200 hit one.
fn kills_by_the_clock() -> Vec<End> {
    let waits: Vec<u64> = (0..100).map(|n| n * 100).collect();
    let kill = |wait: &u64| {
        let (server, env) = Story::First.begin(Rotation::Grace);
        let mut child = light::tokman(&env, &["refresh", "-p", "square"]).spawn().expect("a program that starts");
        thread::sleep(Duration::from_micros(*wait));
        drop(child.kill());
        let killed = light::wait(child).signal == Some(9);
        let next = light::run(light::tokman(&env, &["refresh", "-p", "square"]));
        let lost = server.lost(&env);
        assert_eq!(next.code, Some(if lost { 5 } else { 0 }), "{next:?}");
        End { at: format!("{wait} µs"), killed, committed: server.commits() > 0, renamed: false, lost }
    };
    let mut ends = Vec::new();
    while ends.iter().filter(|end: &&End| end.killed).count() < 200 {
        ends.extend(each(&waits, kill));
    }
    ends
}

#[test]
fn without_a_grace_period_kill_9_loses_a_grant_only_between_the_providers_commit_and_the_stored_answer() {
    if let Some(why) = strace::missing() {
        return skipped("kill -9 without a grace period", why);
    }
    let ends = sweep(&Story::First.points(Rotation::Once), Rotation::Once, "KILL");
    let outside: Vec<_> = ends.iter().filter(|end| end.lost && (!end.committed || end.renamed)).collect();
    let window = ends.iter().filter(|end| end.committed && !end.renamed).count();
    let kills = ends.iter().filter(|end| end.killed).count();
    figure(&format!(
        "{kills} kills without a grace period, {window} of them between the commit and the rename: {} grants lost \
         inside that window, {} outside",
        losses(&ends).len() - outside.len(),
        outside.len()
    ));
    assert!(outside.is_empty(), "{outside:?}");
    assert!(window > 0, "no kill hit the window: the sweep misses the point");
    // The answer is on the disk before it has its name: from then on nothing is lost.
    let whole: Vec<_> = ends.iter().filter(|end| end.lost && end.at.contains("rename")).collect();
    assert!(whole.is_empty(), "{whole:?}");
}

#[test]
fn an_answer_that_a_killed_process_left_is_used_and_refreshed_where_it_has_expired() {
    for (expires_at, requests) in [("2099-01-01T00:00:00Z", 0), ("2020-01-02T00:00:00Z", 1)] {
        let server = Rotating::start(Rotation::Once).used_before();
        let env = server.world();
        let mut answer = server.record(expires_at);
        answer["access_token"] = access_token(2).into();
        answer["refresh_token"] = refresh_token(2).into();
        answer["tokman"]["generation"] = 2.into();
        let left = env.config_dir().join("tokens/square/.default.inflight");
        env.write(&left, answer.to_string() + &" ".repeat(16 << 10));
        let end = light::run(light::tokman(&env, &["refresh", "-p", "square", "-o", "token"]));
        assert_eq!((end.code, end.stdout.trim_end()), (Some(0), access_token(2 + requests).as_str()), "{end:?}");
        assert_eq!(server.requests(), requests);
        assert!(!server.lost(&env) && !left.exists());
    }
}

#[test]
fn no_signal_that_asks_loses_a_grant_even_without_a_grace_period() {
    if let Some(why) = strace::missing() {
        return skipped("SIGTERM, SIGINT and SIGHUP at each call", why);
    }
    let stories = [Story::First, Story::NoAccessToken];
    let points: Vec<_> = stories.iter().flat_map(|story| story.points(Rotation::Once)).collect();
    for signal in ["TERM", "INT", "HUP"] {
        let ends = sweep(&points, Rotation::Once, signal);
        let ended = ends.iter().filter(|end| end.killed).count();
        let lost = losses(&ends);
        let sent = ends.len();
        figure(&format!(
            "SIG{signal} at {sent} points, no grace period: {ended} ended by it, {} grants lost",
            lost.len()
        ));
        assert!(ended > sent / 2, "{ended} of {sent} runs were ended by SIG{signal}");
        assert_eq!(lost, Vec::<&str>::new());
    }
}

#[test]
fn what_is_printed_survives_a_power_cut_and_nothing_is_sent_before_its_mark_does() {
    if let Some(why) = strace::missing() {
        return skipped("the power cut", why);
    }
    let (_server, env) = Story::First.begin(Rotation::Once);
    let directory = env.config_dir().join("tokens/square");
    let mut disk = Disk::of(&directory);
    let (ended, calls) = strace::trace(&env, &Story::First.program());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let promise = Promise {
        record: "default.json",
        mark: ".default.inflight",
        spent: &refresh_token(1),
        access: &access_token(2),
        refresh: &refresh_token(2),
    };
    let cuts = cut_power(&mut disk, &calls, &promise);
    figure(&format!(
        "power cut after each of {} calls: {}",
        calls.len(),
        match &cuts {
            Ok(_) => "0 printed tokens lost",
            Err(breach) => breach,
        }
    ));
    assert!(cuts.is_ok(), "{cuts:?}");
    assert_eq!(
        fs::read(env.token_path("square/default")).ok().as_deref(),
        disk.survives("default.json", Names::Synced),
        "the model is not what happened"
    );
}

#[test]
fn what_is_told_of_many_keys_survives_a_power_cut_although_they_share_the_calls_that_make_it_so() {
    if let Some(why) = strace::missing() {
        return skipped("the power cut of many keys", why);
    }
    let server = generous();
    let (env, stored) = many(&server.url(), 24);
    let spent = stored.values().map(|stored| (stored.key.replace("square/", ""), stored.refresh.clone())).collect();
    let mut disk = Disk::of(&env.config_dir().join("tokens/square"));
    let (ended, calls) =
        strace::trace_slow_disk(&env, 5_000, &[TOKMAN, "refresh", "--all", "--jobs", "12", "-o", "json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let cuts = cut_power_of_many(&mut disk, &calls, &spent);
    let synced = calls.iter().filter(|call| strace::is_sync(&call.name) && call.value().is_some()).count();
    figure(&format!(
        "power cut after each of {} calls over {} keys, {synced} of them syncs: {}",
        calls.len(),
        spent.len(),
        match &cuts {
            Ok(_) => "0 keys told of and lost",
            Err(breach) => breach,
        }
    ));
    assert!(cuts.is_ok(), "{cuts:?}");
}

#[test]
fn no_reader_sees_a_torn_record_while_it_is_replaced_200_times() {
    const ROTATIONS: usize = 200;
    let server = Rotating::start(Rotation::Once);
    let env = server.world();
    env.write_token("square/default", &server.record("2099-01-01T00:00:00Z"));
    let path = env.token_path("square/default");
    let (done, reads, torn) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let watch = |read: &(dyn Fn() -> bool + Sync)| {
        while !done.load(Ordering::SeqCst) {
            reads.fetch_add(1, Ordering::SeqCst);
            torn.fetch_add(usize::from(!read()), Ordering::SeqCst);
        }
    };
    let by_tokman = || {
        let run = light::run(light::tokman(&env, &["token", "--no-refresh", "-p", "square"]));
        run.code == Some(0) && run.stdout.starts_with("EAAAcanary-access-") && run.stdout.ends_with(".\n")
    };
    // Both tokens of one answer have the same number.
    let directly = || {
        thread::sleep(Duration::from_micros(200));
        let Ok(record) = serde_json::from_slice::<serde_json::Value>(&fs::read(&path).unwrap_or_default()) else {
            return false;
        };
        let number =
            |member: &str| record[member].as_str().and_then(|token| token.rsplit('-').next()).map(str::to_owned);
        number("access_token").is_some() && number("access_token") == number("refresh_token")
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| watch(&by_tokman));
            scope.spawn(|| watch(&directly));
        }
        for _ in 0..ROTATIONS {
            let run = light::run(light::tokman(&env, &["refresh", "-p", "square", "-o", "none"]));
            if run.code != Some(0) {
                done.store(true, Ordering::SeqCst);
                panic!("{run:?}");
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    let (reads, torn) = (reads.into_inner(), torn.into_inner());
    figure(&format!("{ROTATIONS} rotations under 8 readers: {reads} reads, {torn} torn"));
    assert_eq!((server.commits(), torn), (ROTATIONS, 0));
}
