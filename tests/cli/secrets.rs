//! No secret where it does not belong. Every secret of every test has a canary in it and every run looks for it; here
//! every verb is driven where most is said: at `-vv`, as text and as JSON, by servers that echo what they were sent.

use std::{fs, thread};

use serde_json::json;

use crate::support::stored::{answer, applications, logged, record, wix_record};
use crate::support::{Answer, Request, Server, Step, canary, server};

/// Every verb with what it reads from stdin, once for each way to a token.
const VERBS: [(&[&str], Option<&str>); 13] = [
    (&["obtain", "-p", "square", "--code", "-", "--code-verifier-file", "verifier", "-o", "none"], Some("code")),
    (&["obtain", "-p", "square", "--no-browser", "-o", "none"], Some("code")),
    (&["obtain", "-p", "square", "--refresh-token", "-", "-o", "none"], Some("refresh")),
    (&["obtain", "-p", "square", "--migration-token", "-", "-o", "none"], Some("migration")),
    (&["obtain", "-p", "wix", "-o", "none"], None),
    (&["refresh", "-p", "square", "-o", "none"], None),
    (&["refresh", "-p", "wix", "--force", "-o", "none"], None),
    (&["renew", "-p", "square", "-o", "none"], None),
    (&["token", "-p", "square", "-o", "none"], None),
    (&["status", "--remote"], None),
    (&["config", "show"], None),
    (&["revoke", "-p", "square", "--yes", "-o", "none"], None),
    (&["remove", "-p", "wix"], None),
];

/// Time enough for an answer on a busy machine, and little enough where it is used up.
const LONG: &str = "30s";
const SHORT: &str = "1s";

/// Runs every verb at `-vv` with fresh secrets against a server that answers like this; the exit codes.
fn drive(budget: &str, answer: impl Fn(&Request) -> Answer + Send + Sync + Copy + 'static) -> Vec<Option<i32>> {
    let one = |args: &[&str], stdin: Option<&str>, format: &str| {
        let server = Server::with(move |request, _| answer(request)).allow_any_number();
        let env = applications(&server.url());
        env.write_token("square/default", &record("square/default", &server.url(), 31 * 86_400, -60));
        env.write_token("wix/default", &wix_record("wix/default", &server.url(), 14_400, -60));
        env.write("work/verifier", format!("{}{}", canary("verifier"), "v".repeat(20)));
        let stdin = stdin.map(canary).unwrap_or_default();
        let run =
            env.command(&[args, &["-vv", "--timeout", budget, "--log-format", format]].concat()).stdin(stdin).run();
        if format == "json" {
            logged(&run);
        }
        run.stderr_lacks("panicked");
        server.finish();
        run.status
    };
    thread::scope(|scope| {
        let runs: Vec<_> = VERBS
            .iter()
            .flat_map(|(args, stdin)| ["text", "json"].map(|format| scope.spawn(move || one(args, *stdin, format))))
            .collect();
        runs.into_iter().map(|run| run.join().expect("a run without findings")).collect()
    })
}

/// All that a request carries.
fn echo(request: &Request) -> String {
    let header = request.header("authorization").unwrap_or_default();
    format!("{} {header} {}", request.path, request.text())
}

#[test]
fn stay_hidden_when_all_goes_well() {
    let codes = drive(LONG, |_| Answer::json(200, answer().0));
    let failed = codes.iter().filter(|code| **code != Some(0)).count();
    // Token-info has no `active` in that answer.
    assert!(failed <= 2, "{codes:?}");
}

#[test]
fn stay_hidden_when_a_server_echoes_it_in_its_refusal() {
    let codes = drive(LONG, |request| {
        let said = echo(request);
        Answer::json(
            400,
            json!({"errors": [{"category": "INVALID_REQUEST_ERROR", "code": "BAD_REQUEST", "detail": said}]}),
        )
    });
    assert!(codes.contains(&Some(6)), "{codes:?}");
    drive(LONG, |request| Answer::json(400, json!({"error": "invalid_request", "error_description": echo(request)})));
    drive(LONG, |request| Answer::json(401, json!({"message": echo(request), "type": "service.not_authorized"})));
}

#[test]
fn stay_hidden_when_a_server_echoes_it_where_words_belong() {
    drive(LONG, |request| {
        let said = echo(request);
        Answer::json(400, json!({"error": said, "type": said, "code": said, "scope": [said], "merchant_id": said}))
            .header("x-wix-request-id", &said)
            .header("server", &said)
    });
    drive(LONG, |request| Answer::json(400, json!({echo(request): {"errors": [{"code": echo(request)}]}})));
    drive(LONG, |request| Answer::new(400, "text/plain", echo(request)).header("Content-Type", &echo(request)));
}

#[test]
fn stay_hidden_when_what_a_server_echoes_is_cut() {
    for padding in [0, 40, 80, 110, 260, 280, 290, 295] {
        let server = Server::with(move |request, _| {
            let detail = "x".repeat(padding) + request.json()["refresh_token"].as_str().unwrap_or_default();
            Answer::json(400, json!({"errors": [{"code": detail, "detail": detail}]}))
        });
        let env = applications(&server.url());
        env.write_token("square/default", &record("square/default", &server.url(), 31 * 86_400, -60));
        env.tokman(&["refresh", "-p", "square", "-vv"]).code(6);
        server.finish();
    }
}

#[test]
fn stay_hidden_when_a_page_comes_in_place_of_an_answer() {
    let codes = drive(SHORT, |request| Answer::html(200, &format!("<p>{}</p>", echo(request))));
    assert!(codes.contains(&Some(7)), "{codes:?}");
    drive(SHORT, |request| Answer::html(502, &echo(request)));
    drive(SHORT, |request| Answer::raw(echo(request)));
}

#[test]
fn are_not_carried_to_where_a_redirect_leads() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Server::with(|_, _| unreachable!("a redirect was followed")).exactly(0);
        let address = elsewhere.url();
        let server = Server::with(move |request, _| {
            let secret = request.json()["client_secret"].as_str().unwrap_or_default().to_owned();
            let location = format!("{address}/oauth2/token?client_secret={secret}#{secret}");
            Answer::json(status, json!({"moved": location})).header("Location", &location)
        })
        .exactly(1);
        let env = applications(&server.url());
        env.write_token("square/default", &record("square/default", &server.url(), 31 * 86_400, -60));
        let before = env.read_token("square/default");
        let run = env.tokman(&["refresh", "-p", "square", "-vv"]);
        assert!(matches!(run.status, Some(6 | 7)), "{run}");
        assert_eq!(env.read_token("square/default"), before);
        server.finish();
        elsewhere.finish();
    }
}

#[test]
fn stay_hidden_when_a_redirected_address_is_pasted() {
    let env = applications("http://127.0.0.1:1");
    let run = env.tokman(&["obtain", "-p", "square", "--print-url", "-vv"]);
    run.code(0);
    let state = run.stdout.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state").to_owned();
    let code = canary("code");
    for pasted in [
        format!("http://localhost:8917/callback?code={code}&state=wrong"),
        format!("http://localhost:8917/callback?code={code}"),
        format!("http://evil.test/callback?code={code}&state={state}"),
        format!("http://localhost:8917/callback?code={code}&code={code}&state={state}"),
        format!("http://localhost:8917/callback?error={code}&error_description={code}&state=wrong"),
        format!("{code}://not an address"),
    ] {
        let run = env.command(&["obtain", "-p", "square", "--code", "-", "-vv"]).stdin(pasted).run();
        assert!(run.status.is_some_and(|code| (2..=6).contains(&code)), "{run}");
    }
}

#[test]
fn are_refused_on_the_command_line_and_not_repeated() {
    let env = applications("http://127.0.0.1:1");
    let secret = canary("argument");
    for option in ["--refresh-token", "--migration-token"] {
        for format in ["text", "json"] {
            let args = ["obtain", "-p", "square", option, &secret, "--log-format", format];
            let run = env.command(&args).may_pass(&[&secret]).run();
            run.code(2).stdout_is("").stderr_has(option).stderr_has("stdin");
        }
    }
}

#[test]
fn are_on_no_command_line_of_a_running_tokman() {
    let gate = crate::support::Gate::default();
    let held = gate.clone();
    let server = Server::with(move |_, _| Answer::json(200, answer().0).held_by(&held));
    let env = applications(&server.url());
    let running = env.command(&["obtain", "-p", "square", "--refresh-token", "-", "-o", "none"]);
    let mut running = running.spawn();
    running.feed(canary("refresh").as_bytes());
    server.wait_for_requests(1);
    let read = |name: &str| fs::read(format!("/proc/{}/{name}", running.id())).unwrap_or_default();
    let cmdline = read("cmdline");
    assert!(cmdline.starts_with(env!("CARGO_BIN_EXE_tokman").as_bytes()));
    assert_eq!(crate::support::secrets::leaked(&cmdline, &[]), None);
    // Nor can it be dumped, nor its children name it.
    let limits = String::from_utf8_lossy(&read("limits")).into_owned();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert!(core.split_whitespace().skip(4).take(2).all(|limit| limit == "0"), "{core}");
    gate.open();
    running.wait().code(0);
    server.finish();
}

#[test]
fn stay_hidden_and_nothing_panics_with_closed_streams() {
    let closed = [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full 2>/dev/full"];
    let one = |args: &[&str], streams: &str| {
        let address = server::nobody();
        let env = applications(&address);
        env.write_token("square/default", &record("square/default", &address, 60, 86_400));
        env.write_token("wix/default", &wix_record("wix/default", &address, 60, 3600));
        let script = format!("\"$0\" \"$@\" -vv --timeout 1s {streams}; code=$?; echo \"$code\"");
        let run = env.program("sh", &[&["-c", &script, env!("CARGO_BIN_EXE_tokman")], args].concat()).run();
        let code = run.stdout.trim().rsplit('\n').next().and_then(|code| code.parse::<i32>().ok()).expect("a code");
        // 101 is a panic, 128 and more a signal.
        assert!((0..=10).contains(&code), "{streams} {run}");
        run.stderr_lacks("panicked");
    };
    thread::scope(|scope| {
        for streams in closed {
            for (args, _) in VERBS {
                scope.spawn(move || one(args, streams));
            }
        }
    });
}

#[test]
fn stay_in_the_store_when_a_token_is_printed() {
    let (body, access) = answer();
    let server = Server::start(vec![Step::expect(Request::post("/oauth2/token")).answer(200, body.clone())]);
    let env = applications(&server.url());
    env.write_token("square/default", &record("square/default", &server.url(), 31 * 86_400, -60));
    env.command(&["token", "-p", "square", "-vv"]).may_print(&[&access]).run().code(0);
    server.finish();
    for format in ["json", "header", "env"] {
        env.command(&["token", "-p", "square", "-vv", "-o", format])
            .may_print(&[&access])
            .run()
            .code(0)
            .stdout_has(&access);
    }
    assert_eq!(env.read_token("square/default")["refresh_token"], body["refresh_token"]);
}
