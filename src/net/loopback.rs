//! The listener that waits for the browser to come back from a login: on loopback only, on both families, only while a
//! login waits. Anything but the one redirect that is waited for gets a 4xx and changes nothing. It knows no provider:
//! whether a redirect is the right one is for the caller to judge.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use url::{Host, Url};

/// How long a connection may take to say what it wants.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// The most that is read of a request's head, in bytes: a redirect carries a code and a state.
const HEAD_LIMIT: usize = 16 << 10;

/// The most header fields of a request.
const HEADER_LIMIT: usize = 64;

/// The most connections at once; the oldest makes room for the newest, so that idle ones shut nobody out.
const CONNECTIONS: usize = 128;

/// How long the page may take to reach the browser.
const PAGE_TIME: Duration = Duration::from_secs(3);

/// Why nobody can listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The redirect address is not one of this machine over http.
    #[error("the browser cannot come back to {0}: it is not on this machine")]
    NotLoopback(Url),
    /// Somebody else has the port.
    #[error("cannot listen for the browser at {redirect_uri}: {source}")]
    Port {
        /// Where the browser would have come back to.
        redirect_uri: Url,
        /// What the system said.
        source: io::Error,
    },
}

/// What the caller thinks of a redirect's query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is the one that is waited for.
    Right,
    /// It is not: another login's, or none at all.
    Wrong,
}

/// Judges the whole redirected address.
pub type Judge = Arc<dyn Fn(&Url) -> Judgement + Send + Sync>;

/// A listener on both loopback families.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<TcpListener>,
    redirect_uri: Url,
}

/// The redirect that was waited for. The browser waits for its page.
#[derive(Debug)]
pub struct Callback {
    /// The whole redirected address.
    pub address: Url,
    page: oneshot::Sender<Page>,
    sent: oneshot::Receiver<()>,
}

/// What the browser shows in the end.
#[derive(Debug, Clone)]
pub struct Page {
    /// The whole document.
    pub html: String,
    /// Its `Content-Security-Policy`.
    pub policy: String,
    /// Whether the login went well.
    pub is_success: bool,
}

impl Listener {
    /// Listens for redirects to an address: `http`, a loopback host, its port.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(redirect_uri: &Url) -> Result<Self, ListenError> {
        let port = redirect_uri.port_or_known_default().unwrap_or(80);
        let error = |source| ListenError::Port { redirect_uri: redirect_uri.clone(), source };
        let families = match redirect_uri.host() {
            _ if redirect_uri.scheme() != "http" => (false, false),
            Some(Host::Domain("localhost")) => (true, true),
            Some(Host::Ipv4(address)) => (address.is_loopback(), address.is_loopback()),
            Some(Host::Ipv6(address)) => (address.is_loopback(), address.is_loopback()),
            _ => (false, false),
        };
        let mut sockets = Vec::new();
        if families.0 {
            sockets.push(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(error)?);
        }
        if families.1 {
            // A machine may have no IPv6; but a port that somebody else has there is one where codes would go astray.
            match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
                Ok(socket) => sockets.push(socket),
                Err(source) if source.kind() == io::ErrorKind::AddrInUse => return Err(error(source)),
                Err(error) => log::debug!("not listening on [::1]:{port}: {error}"),
            }
        }
        if sockets.is_empty() {
            return Err(ListenError::NotLoopback(redirect_uri.clone()));
        }
        Ok(Self { sockets, redirect_uri: redirect_uri.clone() })
    }

    /// Waits for the redirect that `judge` calls right. The listener is closed when this returns or is dropped; the
    /// browser's connection stays until its page is there.
    ///
    /// # Errors
    /// Where the sockets fail.
    pub async fn wait(self, judge: Judge) -> io::Result<Callback> {
        let (found, mut waiting) = mpsc::channel(1);
        let expected = Arc::new(Expected { redirect_uri: self.redirect_uri, judge, found: Mutex::new(Some(found)) });
        let connections = Connections::default();
        loop {
            let stream = tokio::select! {
                callback = waiting.recv() => return callback.ok_or_else(|| io::ErrorKind::BrokenPipe.into()),
                stream = accept(&self.sockets) => stream?,
            };
            connections.add(tokio::spawn(serve(stream, Arc::clone(&expected))).abort_handle());
        }
    }
}

impl Callback {
    /// Shows the page and waits, shortly, until the browser has it.
    pub async fn answer(self, page: Page) {
        if self.page.send(page).is_ok() {
            let _ = tokio::time::timeout(PAGE_TIME, self.sent).await;
        }
    }
}

/// The open connections, the oldest first. What is not finished is cut off with the login.
#[derive(Default)]
struct Connections(Mutex<VecDeque<AbortHandle>>);

impl Connections {
    fn add(&self, connection: AbortHandle) {
        let Ok(mut open) = self.0.lock() else { return };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(connection);
    }
}

/// What the requests are measured by.
struct Expected {
    redirect_uri: Url,
    judge: Judge,
    /// Where the right redirect goes; taken by the first.
    found: Mutex<Option<mpsc::Sender<Callback>>>,
}

async fn accept(sockets: &[TcpListener]) -> io::Result<TcpStream> {
    match sockets {
        [only] => accept_one(only).await,
        [first, second, ..] => tokio::select! {
            stream = accept_one(first) => stream,
            stream = accept_one(second) => stream,
        },
        [] => std::future::pending().await,
    }
}

/// The next connection. One that failed before it was accepted, or a moment without descriptors, ends nothing.
async fn accept_one(socket: &TcpListener) -> io::Result<TcpStream> {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => return Ok(stream),
            Err(error) => {
                log::debug!("a connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, expected: Arc<Expected>) {
    let (flushed, sent) = oneshot::channel();
    let sent = Arc::new(Mutex::new(Some(sent)));
    let service = service_fn(|request| {
        let (expected, sent) = (Arc::clone(&expected), Arc::clone(&sent));
        async move { Ok::<_, Infallible>(answer(&expected, &request, &sent).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_LIMIT)
        .max_headers(HEADER_LIMIT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        log::debug!("a connection to the listener ended: {error}");
    }
    // Nobody waits for this but the login that ended here.
    let _ = flushed.send(());
}

/// The answer to one request: the page, once the caller has it, for the right redirect; else a refusal.
async fn answer(
    expected: &Expected,
    request: &Request<Incoming>,
    sent: &Mutex<Option<oneshot::Receiver<()>>>,
) -> Response<Full<Bytes>> {
    let address = match expected.address(request) {
        Ok(address) => address,
        Err(status) => return refusal(status),
    };
    if (expected.judge)(&address) == Judgement::Wrong {
        return refusal(StatusCode::BAD_REQUEST);
    }
    let found = expected.found.lock().ok().and_then(|mut found| found.take());
    let sent = sent.lock().ok().and_then(|mut sent| sent.take());
    let (Some(found), Some(sent)) = (found, sent) else {
        // It came already: a code is good once.
        return refusal(StatusCode::GONE);
    };
    let (page, shown) = oneshot::channel();
    if found.send(Callback { address, page, sent }).await.is_err() {
        return refusal(StatusCode::GONE);
    }
    match shown.await {
        Ok(page) => document(page),
        Err(_) => refusal(StatusCode::SERVICE_UNAVAILABLE),
    }
}

impl Expected {
    /// The redirected address of a request that could be the right one, else the status that refuses it.
    fn address(&self, request: &Request<Incoming>) -> Result<Url, StatusCode> {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        // A name that somebody else's page resolved to this machine is not ours.
        if !host.is_some_and(|host| self.is_host(host)) || request.uri().host().is_some() {
            return Err(StatusCode::FORBIDDEN);
        }
        if request.uri().path() != self.redirect_uri.path() {
            return Err(StatusCode::NOT_FOUND);
        }
        if request.method() != Method::GET {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        let mut address = self.redirect_uri.clone();
        address.set_query(request.uri().query());
        Ok(address)
    }

    fn is_host(&self, host: &str) -> bool {
        let port = self.redirect_uri.port_or_known_default();
        let name = self.redirect_uri.host_str().unwrap_or_default();
        let with_port = port.map(|port| format!("{name}:{port}"));
        host.eq_ignore_ascii_case(name) && port == Some(80)
            || with_port.is_some_and(|full| host.eq_ignore_ascii_case(&full))
    }
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let text = format!("{status}: this is not what the login waits for.\n");
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    harden(headers);
    response
}

fn document(page: Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page.html)));
    *response.status_mut() = if page.is_success { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = header::HeaderValue::from_str(&page.policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    harden(headers);
    response
}

fn harden(headers: &mut http::HeaderMap) {
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, header::HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
}
