//! Answers that no provider should give: an error within the time limit, the right exit code, little memory, the grant
//! kept.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::machine::skip;
use crate::support::run::Run;
use crate::support::{Answer, Server, Stored, TestEnv};

/// The most memory that tokman may use whatever comes, in KiB.
const PEAK: u64 = 32 << 10;

/// Refreshes within three seconds; the run, and the most memory that it used, in KiB.
#[track_caller]
fn refresh(env: &TestEnv) -> (Run, u64) {
    let started = Instant::now();
    // What is asked for beyond this is refused by the system: an exact bound, and the figure beside it.
    let running = env
        .command(&["refresh", "-p", "square", "--timeout", "3s", "-o", "none"])
        .after(&format!("ulimit -d {PEAK}"))
        .spawn();
    let status = format!("/proc/{}/status", running.id());
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while let Ok(status) = std::fs::read_to_string(&status) {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(size) = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()) else { break };
            peak = size;
            std::thread::sleep(Duration::from_millis(1));
        }
        peak
    });
    let run = running.wait();
    let peak = watch.join().expect("a figure");
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}: {run}", started.elapsed());
    assert!(peak <= PEAK, "{peak} KiB: {run}");
    (run, peak)
}

/// Refreshes against one answer, given as often as it is asked for. The record stays as it was.
#[track_caller]
fn refused(answer: Answer, code: i32, says: &str) -> Run {
    let server = Server::with(move |_, _| answer.clone());
    let mut env = TestEnv::new();
    let stored = Stored::expired(&server.url());
    stored.put(&mut env);
    let (run, _) = refresh(&env);
    run.code(code).stdout_is("").stderr_has(says);
    assert_eq!(env.read_token(&stored.key), stored.record());
    server.finish();
    run
}

/// Does the same to each of many, at the same time: most of them wait.
fn each<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| check(case));
        }
    });
}

fn body(content_type: &str, bytes: impl Into<Vec<u8>>) -> Answer {
    Answer::new(200, content_type, bytes)
}

#[test]
fn redirects_are_never_followed() {
    let target = Server::with(|_, _| Answer::json(200, json!({"access_token": "stolen"}))).exactly(0);
    for status in [301, 302, 303, 307, 308] {
        for body in ["", "<html>", "{}"] {
            let answer = Answer::new(status, "application/json", body).header("Location", &target.url());
            let server = Server::with(move |_, _| answer.clone());
            let mut env = TestEnv::new();
            let stored = Stored::expired(&server.url());
            stored.put(&mut env);
            let run = env.tokman(&["refresh", "-p", "square"]);
            assert!(matches!(run.status, Some(6 | 7)), "{status}: {run}");
            if body != "{}" {
                run.stderr_has("the answer is a redirect to 127.0.0.1; redirects are not followed");
            }
            assert_eq!(env.read_token(&stored.key), stored.record());
            server.exactly(1).finish();
        }
    }
    target.finish();
}

#[test]
fn a_compressed_answer_is_never_unpacked() {
    let zeros = Command::new("sh").args(["-c", "head -c 200000000 /dev/zero | gzip -1"]).output().expect("a shell");
    if zeros.stdout.len() < 100_000 {
        return skip("nothing to compress with here (needs gzip)");
    }
    each(["gzip", "deflate", "br"], |encoding| {
        let answer = body("application/json", zeros.stdout.clone()).header("Content-Encoding", encoding);
        drop(refused(answer, 7, "not JSON"));
    });
}

#[test]
fn an_endless_answer_is_cut_off() {
    let chunk = vec![b' '; 64 << 10];
    refused(body("application/json", chunk.clone()).endless(), 7, "is larger than 1048576 bytes");
    refused(body("application/json", b"[".repeat(64 << 10)).endless(), 7, "is larger than 1048576 bytes");
    refused(Answer::endless_head(), 7, "error: ");
}

#[test]
fn a_flood_of_header_fields_is_refused() {
    let fields = "X: a\r\n".repeat(101);
    let reply = r#"{"access_token":"a"}"#;
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{reply}", reply.len());
    refused(Answer::raw(head), 7, "error: ");
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n{{}}", "a".repeat(1 << 20));
    refused(Answer::raw(long), 7, "error: ");
}

#[test]
fn an_answer_that_comes_byte_by_byte_ends_with_the_budget() {
    let slow = Answer::json(200, json!({"access_token": "a"})).dripping(Duration::from_millis(500));
    each([slow, Answer::hang()], |answer| drop(refused(answer, 7, "no answer within")));
}

#[test]
fn what_is_larger_than_any_token_is_refused_and_what_is_not_is_taken() {
    let padded = |size: usize| {
        let reply = r#"{"access_token":"a","expires_in":86400}"#;
        format!("{reply}{}", " ".repeat(size - reply.len()))
    };
    refused(body("application/json", padded((1 << 20) + 1)), 7, "is larger than 1048576 bytes");
    let server = Server::with(move |_, _| body("application/json", padded(1 << 20)));
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    let (run, peak) = refresh(&env);
    run.code(0).stderr_is("");
    assert!(peak > 1024, "{peak} KiB is not what was measured");
    server.finish();
}

#[test]
fn what_is_not_json_is_no_answer() {
    let utf16: Vec<u8> = "\u{feff}{\"access_token\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases = [
        Vec::new(),
        vec![b'['; 100_000],
        br#"{"a":"#.repeat(100_000),
        utf16,
        vec![0; 1000],
        b"{\"access_token\":\"a\"}\0".to_vec(),
        b"{\"access_token\":\"a".to_vec(),
        b"\xff\xfe\xfd".to_vec(),
        b"<html><body>Sign in</body></html>".to_vec(),
    ];
    each(cases, |bytes| {
        drop(refused(body("application/json", bytes), 7, "hint: the stored grant is kept; try again later"));
    });
}

#[test]
fn what_is_no_http_is_no_answer() {
    let cases = [
        &b"220 mail.example ESMTP\r\n"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\nX\0: a\r\n\r\n{}",
        b"\0\0\0\0\0\0\0\0",
        b"\n",
    ];
    each(cases, |bytes| drop(refused(Answer::raw(bytes), 7, "the answer of 127.0.0.1:")));
    let half = Answer::json(200, json!({"access_token": "a"})).truncated_at(5);
    each([Answer::close(), half], |answer| drop(refused(answer, 7, "was lost")));
}

#[test]
fn json_without_a_usable_token_is_a_refusal() {
    let cases = [
        r#"{"access_token":"a","access_token":"b"}"#,
        r#"{"access_token":"a","refresh_token":"b","refresh_token":"c"}"#,
        r#"{"access_token":"a\u0000"}"#,
        r#"{"access_token":"a b"}"#,
        r#"{"access_token":"a\nb"}"#,
        r#"{"access_token":"ä"}"#,
        r#"{"access_token":""}"#,
        r#"{"access_token":null}"#,
        r#"{"access_token":["a"]}"#,
        r#"{"access_token":"a","token_type":"mac"}"#,
        "{}",
        "[]",
        "null",
        "1e999",
        "\"a\"",
    ];
    each(cases, |text| drop(refused(body("application/json", text), 6, "error: ")));
}

#[test]
fn what_is_only_odd_is_taken() {
    for (content_type, text) in [
        ("text/html", r#"{"access_token":"a","expires_in":86400}"#),
        ("", r#"{"access_token":"a","expires_in":"86400"}"#),
        ("application/json; charset=utf-8", "\u{feff}{\"access_token\":\"a\",\"expires_in\":86400}"),
        ("application/json", "\r\n\t {\"access_token\":\"a\",\"expires_in\":86400.5} \n"),
        ("application/json", r#"{"access_token":"a","expires_in":1e999}"#),
        ("application/json", r#"{"access_token":"a","expires_in":-5}"#),
        ("application/json", r#"{"access_token":"a","expires_at":"never"}"#),
        ("application/json", r#"{"access_token":"a","expires_in":null,"errors":null,"x":{"y":[1,{}]}}"#),
    ] {
        let answer = body(content_type, text);
        let server = Server::with(move |_, _| answer.clone());
        let mut env = TestEnv::new();
        let stored = Stored::expired(&server.url());
        stored.put(&mut env);
        let (run, _) = refresh(&env);
        run.code(0);
        let now = env.read_token(&stored.key);
        assert_eq!(
            (now["access_token"].as_str(), now["refresh_token"].as_str()),
            (Some("a"), Some(&stored.refresh[..]))
        );
        server.exactly(1).finish();
    }
}
