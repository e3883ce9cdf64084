//! The support itself: a server that nobody called, or a secret in the wrong place, must fail a test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Answer, Gate, Request, Server, Step, TestEnv, canary, secrets, server};

/// Sends a request and gives back all that comes.
fn send(url: &str, method: &str, path: &str, headers: &[&str], body: &str) -> String {
    let address = url.strip_prefix("http://").unwrap_or(url);
    let mut stream = TcpStream::connect(address).expect("a server");
    let headers = headers.join("\r\n") + if headers.is_empty() { "" } else { "\r\n" };
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}").expect("a request");
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// What the closure panicked with.
#[track_caller]
fn panic_of<T>(action: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(action()))) else { panic!("nothing failed") };
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&s| s.to_owned()))
        .expect("text")
}

fn status_step() -> Step {
    Step::expect(Request::post("/oauth2/token/status").bearer("t")).answer(200, json!({"merchant_id": "M"}))
}

mod the_server {
    use super::*;

    #[test]
    fn answers_the_steps_in_their_order() {
        let server = Server::start(vec![
            Step::expect(Request::post("/oauth2/token").json(json!({"grant_type": "refresh_token"})))
                .answer_with(Answer::json(429, json!({"n": 1})).header("Retry-After", "1")),
            Step::expect(Request::post("/form").form(&[("b", "2"), ("a", "1 2")]).basic("id", "secret")),
            Step::expect(Request::get("/oauth2/authorize").text("").without_header("authorization")),
            Step::expect(Request::post("/oauth2/token").json_with(json!({"a": 1})))
                .answer_with(Answer::html(502, "<p>")),
        ]);
        let url = server.url();
        let first = send(&url, "POST", "/oauth2/token", &["X-Trace: 7"], r#"{"grant_type":"refresh_token"}"#);
        assert!(first.starts_with("HTTP/1.1 429 ") && first.contains("Retry-After: 1\r\n"), "{first}");
        assert!(first.ends_with(r#"{"n":1}"#), "{first}");
        assert!(send(&url, "POST", "/form", &["Authorization: Basic aWQ6c2VjcmV0"], "a=1+2&b=2").ends_with("{}"));
        assert!(send(&url, "GET", "/oauth2/authorize?state=s&a=b", &[], "").ends_with("{}"));
        assert!(send(&url, "POST", "/oauth2/token", &[], r#"{"a":1,"b":2}"#).contains("text/html"));
        let requests = server.requests();
        assert_eq!(requests[0].header("x-trace"), Some("7"));
        assert_eq!(requests[0].json()["grant_type"], "refresh_token");
        assert_eq!(requests[1].form()[0], ("a".to_owned(), "1 2".to_owned()));
        assert_eq!(requests[2].query()[1], ("state".to_owned(), "s".to_owned()));
        assert_eq!(requests[3].text(), r#"{"a":1,"b":2}"#);
        server.finish();
    }

    #[test]
    fn fails_the_test_when_a_call_never_came() {
        assert!(panic_of(|| Server::start(vec![status_step()]).finish()).contains("never came"));
        assert!(panic_of(|| Server::start(vec![status_step()])).contains("/oauth2/token/status"));
    }

    #[test]
    fn fails_the_test_when_a_call_came_too_often() {
        let server = Server::start(vec![status_step()]);
        let call = || send(&server.url(), "POST", "/oauth2/token/status", &["Authorization: Bearer t"], "");
        assert!(call().starts_with("HTTP/1.1 200 "));
        assert!(call().starts_with("HTTP/1.1 599 "));
        assert!(panic_of(|| server.finish()).contains("expected no further request"));
    }

    #[test]
    fn fails_the_test_when_another_call_came() {
        for (method, path, header, why) in [
            ("GET", "/oauth2/token/status", "Authorization: Bearer t", "expected POST /oauth2/token/status"),
            ("POST", "/oauth2/token", "Authorization: Bearer t", "expected POST /oauth2/token/status"),
            ("POST", "/oauth2/token/status", "Authorization: Bearer other", "header authorization"),
        ] {
            let server = Server::start(vec![status_step()]);
            assert!(send(&server.url(), method, path, &[header], "").starts_with("HTTP/1.1 599 "));
            let said = panic_of(|| server.finish());
            assert!(said.contains(why) && said.contains("never came"), "{said}");
        }
        let server = Server::start(vec![Step::expect(Request::post("/").json(json!({"a": 1})))]);
        send(&server.url(), "POST", "/", &[], r#"{"a":1,"b":2}"#);
        assert!(panic_of(|| server.finish()).contains("expected another body"));
    }

    #[test]
    fn fails_the_test_when_what_came_is_no_request() {
        let server = Server::with(|_, _| Answer::json(200, json!({}))).allow_any_number();
        send(&server.url(), "POST", "/", &["Transfer-Encoding: chunked"], "");
        assert!(panic_of(|| server.finish()).contains("unreadable"));
    }

    #[test]
    fn counts_the_calls_of_a_handler() {
        let handler = |request: &Request, nth: usize| Answer::new(200, "text/plain", format!("{nth} {}", request.path));
        assert!(panic_of(|| Server::with(handler).finish()).contains("no request came"));
        Server::with(handler).allow_any_number().finish();
        let server = Server::with(handler).exactly(2);
        assert!(send(&server.url(), "GET", "/a", &[], "").ends_with("0 /a"));
        assert!(send(&server.url(), "GET", "/b", &[], "").ends_with("1 /b"));
        send(&server.url(), "GET", "/c", &[], "");
        assert!(panic_of(|| server.finish()).contains("3 requests came, not 2"));
        let server = Server::with(|request, _| panic!("no {}", request.path));
        assert_eq!(send(&server.url(), "GET", "/", &[], ""), "");
        assert!(panic_of(|| server.finish()).contains("panicked"));
    }

    #[test]
    fn holds_answers_back_until_the_test_has_seen_enough() {
        let gate = Gate::default();
        let held = gate.clone();
        let server = Server::with(move |_, _| Answer::json(200, json!({})).held_by(&held)).exactly(4);
        let url = server.url();
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let url = url.clone();
                std::thread::spawn(move || send(&url, "GET", "/", &[], ""))
            })
            .collect();
        server.wait_for_requests(4);
        assert!(clients.iter().all(|client| !client.is_finished()));
        gate.open();
        assert!(clients.into_iter().all(|client| client.join().is_ok_and(|answer| answer.ends_with("{}"))));
        server.finish();
    }

    #[test]
    fn goes_wrong_as_it_is_told() {
        let answer_of = |answer: Answer| {
            let server = Server::with(move |_, _| answer.clone());
            send(&server.url(), "GET", "/", &[], "")
        };
        let word = || Answer::new(200, "text/plain", "word");
        assert_eq!(answer_of(Answer::close()), "");
        assert_eq!(answer_of(Answer::raw("220 mail\r\n")), "220 mail\r\n");
        let truncated = answer_of(word().truncated_at(2));
        assert!(truncated.contains("Content-Length: 4\r\n") && truncated.ends_with("\r\n\r\nwo"), "{truncated}");
        assert!(answer_of(word().dripping(Duration::from_millis(1))).ends_with("\r\n\r\nword"));
        assert!(answer_of(word().after(Duration::from_millis(1))).ends_with("word"));
        assert!(answer_of(word().header("content-type", "text/csv")).contains("\r\ncontent-type: text/csv\r\n"));
    }

    #[test]
    fn hangs_and_floods_until_the_client_or_the_server_ends() {
        let server = Server::with(|_, nth| match nth {
            0 => Answer::hang(),
            _ => Answer::new(200, "text/plain", "x".repeat(4096)).endless(),
        });
        let url = server.url();
        let waiting = std::thread::spawn(move || send(&url, "GET", "/", &[], ""));
        server.wait_for_requests(1);
        let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).expect("a server");
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("a request");
        let mut flood = vec![0; 1 << 20];
        stream.read_exact(&mut flood).expect("a megabyte");
        drop(stream);
        assert!(!waiting.is_finished());
        server.finish();
        assert_eq!(waiting.join().expect("an end"), "");
    }

    #[test]
    fn nobody_is_not_there() {
        assert!(TcpStream::connect(server::nobody().trim_start_matches("http://")).is_err());
    }
}

mod the_world {
    use super::*;

    #[test]
    fn has_nothing_in_it_but_a_path_a_home_and_a_place_for_temporary_files() {
        let mut env = TestEnv::new();
        env.set("GIVEN", "1");
        env.set("TAKEN", "1");
        env.unset("TAKEN");
        let run = env.program("env", &[]).var("ONCE", "2").run();
        let mut names: Vec<_> = run.stdout.lines().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["GIVEN", "HOME", "ONCE", "PATH", "TMPDIR"]);
        assert_eq!(env.home().join(".config/tokman/tokens/square/default.json"), env.token_path("square/default"));
    }

    #[test]
    fn runs_a_program_and_says_what_it_did() {
        let env = TestEnv::new();
        let run = env.program("sh", &["-c", "cat; echo oops >&2; exit 5"]).stdin(r#"{"a": 1}"#).run();
        run.code(5).stdout_is(r#"{"a": 1}"#).stdout_has("a").stderr_is("oops\n").stderr_has("oops").stderr_lacks("a");
        assert_eq!(run.json()["a"], 1);
        assert!(panic_of(|| run.code(0).stdout.len()).contains("oops"));
        assert!(panic_of(|| run.stderr_is("").status).contains("oops"));
        assert!(panic_of(|| run.stderr_lacks("oops").status).contains("oops"));
    }

    #[test]
    fn runs_tokman() {
        // Whatever it says to that, it ends.
        assert!(TestEnv::new().tokman(&["--help"]).status.is_some());
    }

    #[test]
    fn talks_to_a_program_that_still_runs() {
        let env = TestEnv::new();
        let mut running = env.program("sh", &["-c", "echo ready; echo waiting >&2; read word; echo $word"]).spawn();
        assert_eq!(running.wait_for_stdout("ready"), "ready\n");
        running.wait_for_stderr("waiting");
        running.feed(b"go\n");
        running.wait().code(0).stdout_is("ready\ngo\n");
        let running = env.program("sleep", &["60"]).spawn();
        assert!(running.id() > 0);
        running.signal(Signal::TERM);
        assert_eq!(running.wait().status, None);
    }

    #[test]
    fn prepares_a_program_with_words_of_a_shell() {
        let env = TestEnv::new();
        env.program("sh", &["-c", "umask"]).after("umask 0026").run().code(0).stdout_is("0026\n");
    }
}

mod a_secret {
    use super::*;

    #[test]
    fn fails_the_test_on_stderr_and_on_stdout() {
        let mut env = TestEnv::new();
        let secret = canary("access");
        env.set("SECRET", secret.as_str());
        let print = |script| env.program("sh", &["-c", script]);
        assert!(panic_of(|| print("echo $SECRET >&2").run()).contains("a secret on stderr"));
        assert!(panic_of(|| print("echo $SECRET").run()).contains("a secret on stdout"));
        print("echo $SECRET").may_print(&[&secret]).run().code(0);
        assert!(panic_of(|| print("echo $SECRET >&2").may_print(&[&secret]).run()).contains("a secret on stderr"));
    }

    #[test]
    fn fails_the_test_on_the_command_line() {
        let env = TestEnv::new();
        let code = canary("code");
        assert!(panic_of(|| env.program("true", &[&code]).run()).contains("a secret on the command line"));
        env.program("true", &[&code]).may_pass(&[&code]).run().code(0);
    }

    #[test]
    fn fails_the_test_in_a_file_that_others_can_read() {
        let mut env = TestEnv::new();
        env.set("SECRET", canary("refresh"));
        let run = |script| env.program("sh", &["-c", script]).after("umask 0077").run();
        run("mkdir -p $HOME/.config/tokman; echo $SECRET >$HOME/.config/tokman/a.json").code(0);
        assert!(panic_of(|| run("umask 0027; echo $SECRET >$HOME/b.json").status).contains("mode 640"));
        run("rm $HOME/b.json");
        assert!(panic_of(|| run("chmod 0755 $HOME/.config/tokman").status).contains("mode 755"));
        run("chmod 0700 $HOME/.config/tokman");
        assert!(panic_of(|| run("echo $SECRET >$HOME/history.jsonl").status).contains("where none belongs"));
        run("rm $HOME/history.jsonl");
        // What the test itself opened to others is what it wants to see refused.
        env.set_mode(env.config_dir().join("a.json"), 0o644);
        run("true").code(0);
    }

    #[test]
    fn is_found_whole_cut_and_in_base64() {
        use base64::Engine as _;
        let secret = secrets::prefixed("EAAA", "access");
        assert!(secret.starts_with("EAAAcanary-access-"));
        for text in [&secret[..11], &secret[secret.len() - 12..], &format!("token={secret}&a=b")] {
            assert!(secrets::leaked(text.as_bytes(), &[]).is_some(), "{text}");
        }
        for user in ["a", "ab", "abc"] {
            let header = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{secret}"));
            assert!(secrets::leaked(header.as_bytes(), &[]).is_some(), "{header}");
        }
        assert_eq!(secrets::leaked(b"nothing of the sort", &[]), None);
        assert_eq!(secrets::leaked(secret.as_bytes(), std::slice::from_ref(&secret)), None);
    }

    #[test]
    fn is_stored_privately_by_the_test_itself() {
        let env = TestEnv::new();
        let token = json!({"access_token": canary("access"), "refresh_token": canary("refresh")});
        env.write_token("square/default", &token);
        env.write_config(&format!("[provider.square]\nclient_secret = \"{}\"\n", canary("secret")));
        env.write("work/secret", canary("file"));
        assert_eq!(env.read_token("square/default"), token);
        env.program("true", &[]).run().code(0);
    }
}
