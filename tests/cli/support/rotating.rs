//! A token endpoint that remembers: refresh tokens that are good once or for ever, answers that get lost on their way,
//! and whether a grant is still alive.

use std::collections::VecDeque;
use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use super::env::TestEnv;
use super::light::until;
use super::request::Request;

const PATIENCE: Duration = Duration::from_secs(30);

/// What becomes of a refresh token that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Good once. A second use ends the whole grant.
    Once,
    /// Good once, but presented again it is answered as before while its successor is unused. Anything older ends the
    /// grant.
    Grace,
    /// Good once. A second use is refused, and its successor stays good.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only leases that end by themselves need it"))]
    Refused,
    /// Good for ever; every answer repeats it.
    Same,
    /// Good for ever; no answer mentions it.
    Omitted,
}

/// How an answer reaches its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As it should.
    Whole,
    /// Not at all: the connection closes after the grant was rotated.
    Dropped,
    /// The first half of its body only.
    Cut,
    /// This much later.
    Delayed(Duration),
    /// Without its access token.
    WithoutAccess,
    /// In place of it `503`, and nothing is rotated.
    Unavailable,
}

/// The moments of a connection at which a test can act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before the request is read.
    Connected,
    /// The grant is rotated, no byte of the answer is sent.
    Committed,
    /// Half of the body is sent.
    Halfway,
    /// The answer is sent.
    Answered,
}

type Hook = dyn Fn(Phase) + Send + Sync;

/// What the endpoint remembers.
struct Ledger {
    rotation: Rotation,
    /// The number of the refresh token that is good now.
    current: usize,
    /// How many access tokens were issued.
    issued: usize,
    /// How often a token was presented.
    requests: usize,
    /// How often the grant was rotated.
    commits: usize,
    dead: bool,
    deliveries: VecDeque<Delivery>,
    always: Delivery,
}

struct Shared {
    ledger: Mutex<Ledger>,
    hook: Box<Hook>,
    stop: AtomicBool,
    accepted: AtomicUsize,
    finished: AtomicUsize,
}

/// The endpoint, on loopback, one thread a connection.
pub struct Rotating {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

/// The refresh token with this number; the first is 1.
pub fn refresh_token(number: usize) -> String {
    format!("EQAAcanary-refresh-{number}.")
}

/// The access token with this number.
pub fn access_token(number: usize) -> String {
    format!("EAAAcanary-access-{number}.")
}

impl Rotating {
    /// Serves one grant whose first refresh token is number 1.
    pub fn start(rotation: Rotation) -> Self {
        Self::with_hook(rotation, |_| {})
    }

    /// The same, and the test acts at each phase of each connection.
    pub fn with_hook(rotation: Rotation, hook: impl Fn(Phase) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound address");
        let ledger = Ledger {
            rotation,
            current: 1,
            issued: 1,
            requests: 0,
            commits: 0,
            dead: false,
            deliveries: VecDeque::new(),
            always: Delivery::Whole,
        };
        let shared = Arc::new(Shared {
            ledger: Mutex::new(ledger),
            hook: Box::new(hook),
            stop: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
        });
        let state = Arc::clone(&shared);
        let listener = thread::spawn(move || accept(&listener, &state));
        Self { address, shared, listener: Some(listener) }
    }

    /// The next answers, in this order; later ones are whole.
    pub fn deliver(self, deliveries: &[Delivery]) -> Self {
        self.ledger().deliveries.extend(deliveries);
        self
    }

    /// Every answer that nothing else is said of.
    pub fn deliver_always(self, delivery: Delivery) -> Self {
        self.ledger().always = delivery;
        self
    }

    /// As if the first refresh token had been used before, and its successor never seen.
    pub fn used_before(self) -> Self {
        self.ledger().exchange(&refresh_token(1));
        self
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.ledger().requests
    }

    /// How often the grant was rotated.
    pub fn commits(&self) -> usize {
        self.ledger().commits
    }

    /// Waits until this many requests have come.
    #[track_caller]
    pub fn wait_for_requests(&self, number: usize) {
        until("the requests have come", PATIENCE, || self.requests() >= number);
    }

    /// Waits until all that clients sent so far is dealt with.
    #[track_caller]
    pub fn settle(&self) {
        // Connections are accepted in their order: when this one is, all earlier ones are.
        let before = self.shared.accepted.load(Ordering::SeqCst);
        drop(TcpStream::connect(self.address).expect("the endpoint"));
        until("the endpoint is quiet", PATIENCE, || {
            let accepted = self.shared.accepted.load(Ordering::SeqCst);
            accepted > before && self.shared.finished.load(Ordering::SeqCst) == accepted
        });
    }

    /// Whether a refresh token would still be answered with a token.
    pub fn is_alive(&self, refresh: &str) -> bool {
        let ledger = self.ledger();
        let is = |number: usize| number > 0 && refresh == refresh_token(number);
        let forgiven = ledger.rotation == Rotation::Grace && is(ledger.current - 1);
        !ledger.dead && (is(ledger.current) || forgiven)
    }

    /// Whether nothing on the disk can bring another token: neither the record nor a rescue file.
    pub fn lost(&self, env: &TestEnv) -> bool {
        self.settle();
        !on_disk(env).iter().any(|refresh| self.is_alive(refresh))
    }

    /// A world whose `square/default` is this grant, obtained with PKCE: its access token has expired.
    pub fn world(&self) -> TestEnv {
        let mut env = TestEnv::new();
        env.set("TOKMAN_SQUARE_BASE_URL", self.url());
        env.set("TOKMAN_SQUARE_CLIENT_ID", "sq0idp-rotating");
        env.write_token("square/default", &self.record("2020-01-01T00:00:00Z"));
        env
    }

    /// The record of the grant's first tokens.
    pub fn record(&self, expires_at: &str) -> Value {
        json!({
            "access_token": access_token(1), "token_type": "bearer", "expires_at": expires_at, "merchant_id": "M",
            "refresh_token": refresh_token(1),
            "tokman": {
                "version": 1, "provider": "square", "profile": "default", "kind": "square-pkce",
                "grant": "authorization_code", "client_id": "sq0idp-rotating", "base_url": self.url(), "account": "M",
                "obtained_at": "2020-01-01T00:00:00Z", "refreshed_at": "2020-01-01T00:00:00Z",
                "expires_at": expires_at, "refresh_token_expires_at": null, "scopes": [], "generation": 1
            }
        })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger()
    }
}

impl Drop for Rotating {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(listener) = self.listener.take() {
            assert!(listener.join().is_ok() || thread::panicking(), "the endpoint panicked");
        }
    }
}

/// The refresh tokens in the record and in rescue files.
pub fn on_disk(env: &TestEnv) -> Vec<String> {
    let rescue = env.home().join(".local/state/tokman");
    let rescued = fs::read_dir(rescue).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(env.token_path("square/default")).chain(rescued).filter_map(|path| refresh_in(&path)).collect()
}

/// The refresh token in a file.
pub fn refresh_in(path: &Path) -> Option<String> {
    let value: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    value.get("refresh_token")?.as_str().map(str::to_owned)
}

impl Ledger {
    /// The number of the refresh token that answers the presented one; `None` where it is refused.
    fn exchange(&mut self, presented: &str) -> Option<usize> {
        let is = |number: usize| presented == refresh_token(number);
        match self.rotation {
            _ if self.dead => return None,
            Rotation::Same | Rotation::Omitted if is(self.current) => self.issued += 1,
            Rotation::Once | Rotation::Refused | Rotation::Grace if is(self.current) => {
                self.current += 1;
                self.commits += 1;
                self.issued = self.current;
            }
            Rotation::Grace if is(self.current - 1) => {}
            Rotation::Refused => return None,
            _ => {
                self.dead = true;
                return None;
            }
        }
        Some(self.current)
    }

    fn answer(&mut self, request: &Request, delivery: Delivery) -> (u16, Value) {
        self.requests += 1;
        if delivery == Delivery::Unavailable {
            return (503, json!({"errors": [{"code": "SERVICE_UNAVAILABLE", "detail": "later"}]}));
        }
        let body = request.json();
        let Some(number) = self.exchange(body["refresh_token"].as_str().unwrap_or_default()) else {
            return (401, json!({"message": "Invalid refresh token", "type": "service.not_authorized"}));
        };
        let mut answer = json!({
            "access_token": access_token(self.issued), "token_type": "bearer", "expires_at": "2099-01-01T00:00:00Z",
            "merchant_id": "M", "refresh_token": refresh_token(number)
        });
        let left_out = match (self.rotation, delivery) {
            (Rotation::Omitted, _) => "refresh_token",
            (_, Delivery::WithoutAccess) => "access_token",
            _ => "",
        };
        answer.as_object_mut().map(|members| members.remove(left_out));
        (200, answer)
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a connection; a client that went away is for its own test to judge.
    fn serve(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        (self.hook)(Phase::Connected);
        let Some(request) = Request::read(stream)? else { return Ok(()) };
        let (delivery, (status, body)) = {
            let mut ledger = self.ledger();
            let delivery = ledger.deliveries.pop_front().unwrap_or(ledger.always);
            (delivery, ledger.answer(&request, delivery))
        };
        (self.hook)(Phase::Committed);
        match delivery {
            Delivery::Dropped => return stream.shutdown(Shutdown::Both),
            Delivery::Delayed(time) => thread::sleep(time),
            _ => {}
        }
        let body = body.to_string();
        let (first, rest) = body.split_at(body.len() / 2);
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Rotating\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{first}"
        );
        stream.write_all(head.as_bytes())?;
        (self.hook)(Phase::Halfway);
        if delivery != Delivery::Cut {
            stream.write_all(rest.as_bytes())?;
        }
        stream.shutdown(Shutdown::Write)?;
        (self.hook)(Phase::Answered);
        Ok(())
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((mut stream, _)) = listener.accept() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            drop(shared.serve(&mut stream));
            shared.finished.fetch_add(1, Ordering::SeqCst);
        });
    }
}
