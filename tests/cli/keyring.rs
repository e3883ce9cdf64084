//! The platform's keyring: the store that it keeps the key of, client secrets in it, and that nothing takes its place.

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Answer, Server, Stored, TestEnv, canary, report};

/// A session bus with an unlocked keyring on it, until it is dropped.
struct Session {
    bus: Child,
    keyring: Option<Child>,
    address: String,
}

impl Session {
    /// Starts both in the home of a test; `None` where they are not installed.
    fn start(env: &TestEnv) -> Option<Self> {
        let run = env.home().join("run");
        crate::support::env::make_directories(&run);
        let address = format!("unix:path={}", run.join("bus").display());
        let bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--address", &address])
            .stderr(Stdio::null())
            .spawn();
        let mut session = Self { bus: bus.ok()?, keyring: None, address };
        wait_for(|| run.join("bus").exists());
        let keyring = Command::new("gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            .env_clear()
            .env("HOME", env.home())
            .env("XDG_RUNTIME_DIR", &run)
            .env("DBUS_SESSION_BUS_ADDRESS", &session.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut keyring = keyring.ok()?;
        keyring.stdin.take()?.write_all(b"unlocked").ok()?;
        session.keyring = Some(keyring);
        // It answers before its keyring is open: it is there once it takes something.
        wait_for(|| session.keep("ready", "yes"));
        Some(session)
    }

    /// Puts a secret into the keyring; whether it was taken.
    fn keep(&self, username: &str, secret: &str) -> bool {
        let asked = Command::new("secret-tool")
            .args(["store", "--label=tokman", "service", "tokman", "username", username])
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut asked) = asked else { return false };
        let given = asked.stdin.take().is_some_and(|mut stdin| stdin.write_all(secret.as_bytes()).is_ok());
        asked.wait().is_ok_and(|status| status.success()) && given
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for child in self.keyring.iter_mut().chain([&mut self.bus]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn wait_for(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the session did not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A world with a session; `None`, and a word about it, where there can be none.
fn world() -> Option<(TestEnv, Session)> {
    let mut env = TestEnv::new();
    let installed = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if !["dbus-daemon", "gnome-keyring-daemon", "secret-tool"].into_iter().all(installed) {
        report::skipped("the keyring", "dbus-daemon, gnome-keyring-daemon and secret-tool are not all installed");
        return None;
    }
    let session = Session::start(&env)?;
    env.set("DBUS_SESSION_BUS_ADDRESS", &session.address);
    Some((env, session))
}

fn refreshing() -> Server {
    Server::with(|_, _| {
        Answer::json(
            200,
            json!({ "access_token": canary("new-access"), "refresh_token": canary("new-refresh"), "token_type": "bearer",
                    "expires_at": "2099-01-01T00:00:00Z", "merchant_id": "MERCHANT" }),
        )
    })
}

#[test]
fn seals_the_token_files_with_a_key_that_only_the_keyring_has() {
    let Some((mut env, _session)) = world() else { return };
    let server = refreshing();
    Stored::expired(&server.url()).put(&mut env);
    env.set("TOKMAN_STORE", "keyring");
    env.tokman(&["refresh", "-p", "square", "-o", "none"]).code(0).stderr_is("");
    let record = env.read_token("square/default");
    assert!(record["sealed"].is_string() && record.get("access_token").is_none(), "{record}");
    env.tokman(&["token", "-p", "square", "-o", "none"]).code(0).stderr_is("");
    env.tokman(&["doctor", "--offline"]).stdout_has("sealing key");
    // Another store, or another session, does not open it; status needs neither.
    env.set("TOKMAN_STORE", "file");
    env.tokman(&["token", "-p", "square"]).code(8).stderr_has("no sealing key is configured");
    env.tokman(&["status"]).code(0).stdout_has("fresh");
    env.set("TOKMAN_STORE", "keyring");
    env.set("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    env.tokman(&["token", "-p", "square"]).code(8).stderr_has("the keyring cannot be used").stderr_has("hint: ");
    assert_eq!(server.requests().len(), 1);
    server.finish();
}

#[test]
fn takes_a_client_secret_from_an_entry() {
    let Some((mut env, session)) = world() else { return };
    let secret = canary("kept-secret");
    assert!(session.keep("square secret", &secret));
    let sent = secret.clone();
    let server = Server::with(move |request, _| {
        assert!(request.text().contains(&sent), "the secret of the keyring is sent");
        Answer::json(200, json!({ "access_token": canary("new-access"), "token_type": "bearer" }))
    });
    Stored::expired(&server.url()).put(&mut env);
    env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    env.write_config("[provider.square]\nclient_secret = { keyring = \"square secret\" }\n");
    env.tokman(&["refresh", "-p", "square", "-o", "none"]).code(0);
    env.write_config("[provider.square]\nclient_secret = { keyring = \"no such entry\" }\n");
    env.tokman(&["refresh", "-p", "square"]).code(3).stderr_has("there is none in the keyring entry no such entry");
    server.finish();
}

#[test]
fn gives_up_on_a_keyring_that_does_not_answer() {
    let mut env = TestEnv::new();
    let server = Server::start(Vec::new());
    Stored::expired(&server.url()).put(&mut env);
    let path = env.home().join("bus");
    // Takes connections and says nothing, as a locked one does that waits for a person.
    let _silent = UnixListener::bind(&path).expect("a socket");
    env.set("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", path.display()));
    env.set("TOKMAN_STORE", "keyring");
    env.tokman(&["refresh", "-p", "square"]).code(8).stderr_has("did not answer within 3 s");
    server.finish();
}
