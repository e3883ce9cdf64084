//! The listener: HTTP/1.1 on the loopback address. Bounds what a connection may cost; what is answered is `state`'s.

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::oauth2;
use super::state::{State, unreadable};
use super::wire::Reply;
use super::{EmulatorError, Options};
use crate::model::Clock;

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// How long the head, and then the body, of a request may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How often in a row accepting may fail, and the pause after each: a process may be short of descriptors for a while.
const ACCEPT_ATTEMPTS: u32 = 100;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The emulator, listening but not yet answering.
pub struct Emulator {
    listener: TcpListener,
    address: SocketAddr,
    environment: Vec<(&'static str, String)>,
    latency: Duration,
    state: Arc<Mutex<State>>,
}

impl Emulator {
    /// Listens on 127.0.0.1 and invents an application: its identifiers and secrets are new each time.
    ///
    /// # Errors
    /// A port that cannot be had, or a system without random bytes.
    pub async fn bind(options: Options, clock: Arc<dyn Clock>) -> Result<Self, EmulatorError> {
        let port = options.port;
        let refused = |source| EmulatorError::Bind { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let latency = options.latency;
        let state = State::new(options, clock, format!("http://{address}"))?;
        let environment = state.environment();
        Ok(Self { listener, address, environment, latency, state: Arc::new(Mutex::new(state)) })
    }

    /// Where it listens, with the port it got.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The issuer of the OAuth 2.0 provider.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://{}{}", self.address, oauth2::PREFIX)
    }

    /// The environment variables that lead a client here: base addresses, the applications' identifiers and secrets,
    /// Wix's instance, and, as `TOKMAN_EMULATOR_…`, what tokman does not read: Acme's issuer and its client without a
    /// secret, and an access token of Square that can be migrated.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        self.environment.clone()
    }

    /// Answers until it is dropped; open connections end with it.
    ///
    /// # Errors
    /// Only where connections cannot be accepted for several seconds.
    pub async fn serve(self) -> Result<(), EmulatorError> {
        let mut connections = JoinSet::new();
        let mut failures = 0;
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    failures = 0;
                    connections.spawn(converse(stream, Arc::clone(&self.state), self.latency));
                }
                Err(error) if failures >= ACCEPT_ATTEMPTS => return Err(EmulatorError::Accept(error)),
                Err(_) => {
                    failures += 1;
                    sleep(ACCEPT_PAUSE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn converse(stream: TcpStream, state: Arc<Mutex<State>>, latency: Duration) {
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(request, &state, latency).await.map(Full::new)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // A client that hangs up or speaks no HTTP is its own affair.
    if let Err(error) = connection.await {
        log::debug!("emulator: a connection ended: {error}");
    }
}

async fn answer(request: Request<Incoming>, state: &Mutex<State>, latency: Duration) -> Reply {
    let (head, body) = request.into_parts();
    let reply = match timeout(READ_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => {
            let request: Request<Bytes> = Request::from_parts(head, body.to_bytes());
            // Held while the answer is made, not while anything is waited for. A panic leaves no half-made change
            // that would matter here, so the server goes on.
            let reply = state.lock().unwrap_or_else(PoisonError::into_inner).answer(&request);
            log::debug!("emulator: {} {} {}", request.method(), request.uri().path(), reply.status());
            reply
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => unreadable(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => unreadable(StatusCode::BAD_REQUEST),
        Err(_) => unreadable(StatusCode::REQUEST_TIMEOUT),
    };
    if !latency.is_zero() {
        sleep(latency).await;
    }
    reply
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::runtime;

    use super::*;
    use crate::model::SystemClock;

    async fn say(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may refuse before everything is said, which ends the connection.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn post(path: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
    }

    #[test]
    fn answers_over_a_socket_and_outlives_bad_requests() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let emulator = Emulator::bind(Options::default(), Arc::new(SystemClock)).await.unwrap();
            let address = emulator.address();
            let environment = emulator.environment();
            let find = |name: &str| environment.iter().find(|(key, _)| *key == name).unwrap().1.clone();
            assert_eq!(find("TOKMAN_SQUARE_BASE_URL"), format!("http://{address}/square"));
            assert_eq!(find("TOKMAN_WIX_BASE_URL"), format!("http://{address}/wix"));
            assert_eq!(find("TOKMAN_EMULATOR_ISSUER"), emulator.issuer());
            let serving = tokio::spawn(emulator.serve());

            assert!(say(address, "rubbish\r\n\r\n").await.starts_with("HTTP/1.1 400"));
            let large = say(address, &post("/square/oauth2/token", &" ".repeat(MAX_BODY + 1))).await;
            assert!(large.starts_with("HTTP/1.1 413"), "{large}");
            let id = find("TOKMAN_WIX_CLIENT_ID");
            let body = format!("{{\"clientId\":\"{id}\",\"grantType\":\"anonymous\"}}");
            let answer = say(address, &post("/wix/oauth2/token", &body)).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("OauthNG.JWS."), "{answer}");

            serving.abort();
            assert!(serving.await.unwrap_err().is_cancelled());
            assert!(TcpStream::connect(address).await.is_err());
        });
    }

    #[test]
    fn says_which_port_it_could_not_have() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let first = Emulator::bind(Options::default(), Arc::new(SystemClock)).await.unwrap();
            let options = Options { port: first.address().port(), ..Options::default() };
            let error = Emulator::bind(options, Arc::new(SystemClock)).await.unwrap_err();
            assert_eq!(error.to_string(), format!("cannot listen on 127.0.0.1:{}", first.address().port()));
        });
    }
}
