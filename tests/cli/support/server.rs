//! A scripted HTTP endpoint that fails the test when a call is missing, wrong or one too many.

use std::collections::VecDeque;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use super::answer::{Answer, Gate};
use super::request::{Expected, Request};

/// How long a test waits for something that should have happened long ago.
const PATIENCE: Duration = Duration::from_secs(30);

/// A call that must come, and its answer.
#[derive(Debug)]
pub struct Step {
    expected: Expected,
    answer: Answer,
}

impl Step {
    /// Expects a request. It is answered `{}` unless something else is said.
    pub fn expect(expected: Expected) -> Self {
        Self { expected, answer: Answer::json(200, json!({})) }
    }

    /// Answers with JSON.
    pub fn answer(self, status: u16, body: Value) -> Self {
        self.answer_with(Answer::json(status, body))
    }

    /// Answers like this, faults included.
    pub fn answer_with(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }
}

/// Answers a request and its number.
type Handler = dyn Fn(&Request, usize) -> Answer + Send + Sync;

/// What answers the requests.
enum Script {
    /// These, in this order.
    Steps(VecDeque<Step>),
    /// This, as often as `calls` says.
    Handler { answer: Arc<Handler>, calls: Calls },
}

/// How often a handler must be called.
#[derive(Debug, Clone, Copy)]
enum Calls {
    AtLeastOnce,
    Exactly(usize),
    AnyNumber,
}

/// What the connections share.
struct State {
    script: Mutex<Script>,
    requests: Mutex<Vec<Request>>,
    arrived: Condvar,
    failures: Mutex<Vec<String>>,
    connections: Mutex<Vec<Connection>>,
    stop: Gate,
}

/// A connection and the thread that serves it.
struct Connection {
    stream: Option<TcpStream>,
    thread: JoinHandle<()>,
}

/// A server on loopback, one thread a connection. Ends, and judges, in [`Server::finish`] or when it is dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    listener: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves these calls in this order; anything else is answered 599 and fails the test.
    pub fn start(steps: Vec<Step>) -> Self {
        Self::serve(Script::Steps(steps.into()))
    }

    /// Serves what `answer` says to each request and its number (from 0), several at a time. It must be called once
    /// at least, unless [`Server::exactly`] or [`Server::allow_any_number`] says otherwise.
    pub fn with(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(Script::Handler { answer: Arc::new(answer), calls: Calls::AtLeastOnce })
    }

    /// A handler must be called this often.
    pub fn exactly(self, number: usize) -> Self {
        self.set_calls(Calls::Exactly(number))
    }

    /// A handler may be called as often as it comes, or not at all.
    pub fn allow_any_number(self) -> Self {
        self.set_calls(Calls::AnyNumber)
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, in the order in which they had come whole.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state.requests).clone()
    }

    /// Waits until this many requests have come, answered or not.
    #[track_caller]
    pub fn wait_for_requests(&self, number: usize) {
        let requests = lock(&self.state.requests);
        let waited = self.state.arrived.wait_timeout_while(requests, PATIENCE, |came| came.len() < number);
        let came = waited.unwrap_or_else(PoisonError::into_inner).0.len();
        assert!(came >= number, "waited for {number} requests, {came} came");
    }

    /// Ends the server, and the test where the calls were not as scripted.
    #[track_caller]
    pub fn finish(mut self) {
        self.judge();
    }

    fn serve(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound address");
        let state = Arc::new(State {
            script: Mutex::new(script),
            requests: Mutex::default(),
            arrived: Condvar::new(),
            failures: Mutex::default(),
            connections: Mutex::default(),
            stop: Gate::default(),
        });
        let shared = Arc::clone(&state);
        let listener = thread::spawn(move || accept(&listener, &shared));
        Self { address, state, listener: Some(listener) }
    }

    fn set_calls(self, number: Calls) -> Self {
        match &mut *lock(&self.state.script) {
            Script::Handler { calls, .. } => *calls = number,
            Script::Steps(_) => panic!("steps are called once each"),
        }
        self
    }

    #[track_caller]
    fn judge(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        self.state.stop.open();
        // Wakes the listener, which then takes what is still waiting and ends.
        drop(TcpStream::connect(self.address));
        listener.join().expect("the listener never panics");
        for connection in lock(&self.state.connections).drain(..) {
            // What was sent before is still read.
            connection.stream.map(|stream| stream.shutdown(Shutdown::Read));
            connection.thread.join().expect("a connection never panics");
        }
        let mut failures = std::mem::take(&mut *lock(&self.state.failures));
        let came = lock(&self.state.requests).len();
        match &*lock(&self.state.script) {
            Script::Steps(steps) => {
                failures.extend(steps.iter().map(|step| format!("never came: {:?}", step.expected)));
            }
            Script::Handler { calls, .. } => match *calls {
                Calls::AtLeastOnce if came == 0 => failures.push("no request came".to_owned()),
                Calls::Exactly(number) if came != number => {
                    failures.push(format!("{came} requests came, not {number}"));
                }
                _ => {}
            },
        }
        assert!(failures.is_empty() || thread::panicking(), "the server says:\n{}", failures.join("\n"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.judge();
    }
}

impl State {
    fn fail(&self, why: String) {
        lock(&self.failures).push(why);
    }

    /// Records a request and finds its answer.
    fn answer_to(&self, request: &Request) -> Answer {
        // One lock at a time, in the order in which requests have come whole.
        let mut script = lock(&self.script);
        let nth = {
            let mut requests = lock(&self.requests);
            requests.push(request.clone());
            self.arrived.notify_all();
            requests.len() - 1
        };
        let why = match &mut *script {
            Script::Handler { answer, .. } => {
                let answer = Arc::clone(answer);
                drop(script);
                return answer(request, nth);
            }
            Script::Steps(steps) => match steps.front().map(|step| step.expected.objection(request)) {
                Some(None) => {
                    return steps.pop_front().map_or_else(Answer::close, |step| step.answer);
                }
                Some(Some(objection)) => objection,
                None => "expected no further request".to_owned(),
            },
        };
        let Request { method, path, headers, .. } = request;
        self.fail(format!("request {nth}: {why}\n  came: {method} {path}\n  {headers:?}\n  {}", request.text()));
        Answer::json(599, json!({"error": "unscripted", "error_description": "the test did not expect this request"}))
    }

    fn serve(&self, mut stream: TcpStream) {
        // A client that is stopped within a request must not hold up the end of the test.
        drop(stream.set_read_timeout(Some(PATIENCE)));
        drop(stream.set_write_timeout(Some(PATIENCE)));
        match Request::read(&mut stream) {
            Ok(Some(request)) => {
                // A handler that asserts: the client must see an end, and the test the panic.
                let answer = catch_unwind(AssertUnwindSafe(|| self.answer_to(&request)));
                let answer = answer.unwrap_or_else(|_| {
                    self.fail("what answers the requests panicked".to_owned());
                    Answer::close()
                });
                drop(answer.send(&mut stream, &self.stop));
            }
            Err(error) if error.kind() == std::io::ErrorKind::Other => self.fail(format!("unreadable: {error}")),
            // A client may open a connection and think better of it, or be killed within a request: not a request.
            Ok(None) | Err(_) => {}
        }
        drop(stream.shutdown(Shutdown::Both));
    }
}

/// An address where nobody listens, and where nobody will: the port is kept until the tests end.
pub fn nobody() -> String {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port on loopback");
    let address = socket.local_addr().expect("a bound address");
    std::mem::forget(socket);
    format!("http://{address}")
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    loop {
        if state.stop.wait(Duration::ZERO) && listener.set_nonblocking(true).is_err() {
            return;
        }
        match listener.accept() {
            Ok((stream, _)) => {
                drop(stream.set_nonblocking(false));
                let again = stream.try_clone().ok();
                let shared = Arc::clone(state);
                let thread = thread::spawn(move || shared.serve(stream));
                let mut connections = lock(&state.connections);
                connections.push(Connection { stream: again, thread });
                // A file descriptor each: thousands of requests must not use them up.
                connections.retain(|connection| !connection.thread.is_finished());
            }
            Err(_) if state.stop.wait(Duration::ZERO) => return,
            Err(_) => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
