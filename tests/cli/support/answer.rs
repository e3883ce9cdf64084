//! What the scripted server does with a request: an answer, or a fault in place of one.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// Opens once, for everyone who waits: how a test holds answers back until it has seen what it wants to see.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everyone through, now and later.
    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open, or for `limit`; whether it is open.
    pub fn wait(&self, limit: Duration) -> bool {
        let shut = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(shut, limit, |open| !*open);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// An answer, made wrong on purpose where a test says so.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    delay: Duration,
    held: Option<Gate>,
    fault: Option<Fault>,
}

/// What goes wrong after a request was read.
#[derive(Debug, Clone)]
enum Fault {
    /// The connection closes without a byte.
    Close,
    /// Nothing comes, and the connection stays, until the server ends.
    Hang,
    /// This much of the body comes, then the connection closes.
    Truncate(usize),
    /// The body comes byte by byte, with this pause before each.
    Drip(Duration),
    /// The body comes again and again, without end.
    Endless,
    /// The body comes first and then header fields without end.
    EndlessHead,
    /// The body alone comes: no status line, no headers.
    Raw,
}

impl Answer {
    /// Any status and any bytes.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into(),
            delay: Duration::ZERO,
            held: None,
            fault: None,
        }
    }

    /// JSON, as providers answer.
    #[expect(clippy::needless_pass_by_value, reason = "tests write json!(…) in place")]
    pub fn json(status: u16, body: Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// A page, as proxies and portals answer.
    pub fn html(status: u16, body: &str) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    /// Closes the connection without an answer: the request was read, its answer is lost.
    pub fn close() -> Self {
        Self::new(0, "", "").with(Fault::Close)
    }

    /// Never answers, and keeps the connection open until the server ends.
    pub fn hang() -> Self {
        Self::new(0, "", "").with(Fault::Hang)
    }

    /// Sends these bytes and nothing else: no HTTP unless they are.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(0, "", bytes).with(Fault::Raw)
    }

    /// With this header as well; a `Content-Type` replaces the present one.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| !(name.eq_ignore_ascii_case("content-type") && n.eq_ignore_ascii_case(name)));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// After this time.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Not before the gate is open.
    pub fn held_by(mut self, gate: &Gate) -> Self {
        self.held = Some(gate.clone());
        self
    }

    /// Sends only this many bytes of the body, with the whole length announced.
    pub fn truncated_at(self, bytes: usize) -> Self {
        self.with(Fault::Truncate(bytes))
    }

    /// Sends the body byte by byte: every pause is short, the whole is long.
    pub fn dripping(self, pause: Duration) -> Self {
        self.with(Fault::Drip(pause))
    }

    /// Sends the body again and again until the client has had enough.
    pub fn endless(self) -> Self {
        self.with(Fault::Endless)
    }

    /// Header fields without end.
    pub fn endless_head() -> Self {
        Self::new(0, "", "HTTP/1.1 200 OK\r\n").with(Fault::EndlessHead)
    }

    fn with(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Does all that to a connection. `stop` ends every wait.
    ///
    /// # Errors
    /// Where the client went away; that is for its own test to judge.
    pub fn send(&self, stream: &mut TcpStream, stop: &Gate) -> io::Result<()> {
        if let Some(gate) = &self.held {
            while !gate.wait(Duration::from_millis(20)) && !stop.wait(Duration::ZERO) {}
        }
        stop.wait(self.delay);
        match self.fault {
            Some(Fault::Close) => return stream.shutdown(Shutdown::Both),
            Some(Fault::Hang) => {
                stop.wait(Duration::from_secs(3600));
                return stream.shutdown(Shutdown::Both);
            }
            Some(Fault::Raw | Fault::EndlessHead) => {}
            _ => stream.write_all(self.head().as_bytes())?,
        }
        match self.fault {
            Some(Fault::Truncate(bytes)) => stream.write_all(&self.body[..bytes.min(self.body.len())])?,
            Some(Fault::Drip(pause)) => {
                for byte in &self.body {
                    stop.wait(pause);
                    stream.write_all(&[*byte])?;
                }
            }
            Some(Fault::Endless) => {
                while !stop.wait(Duration::ZERO) {
                    stream.write_all(&self.body)?;
                }
            }
            Some(Fault::EndlessHead) => {
                stream.write_all(&self.body)?;
                while !stop.wait(Duration::ZERO) {
                    stream.write_all(
                        b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
                    )?;
                }
            }
            _ => stream.write_all(&self.body)?,
        }
        stream.shutdown(Shutdown::Write)
    }

    fn head(&self) -> String {
        let length = format!("Content-Length: {}\r\n", self.body.len());
        let length = if matches!(self.fault, Some(Fault::Endless)) { "" } else { &length };
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("HTTP/1.1 {} Scripted\r\nConnection: close\r\n{}{length}\r\n", self.status, headers.concat())
    }
}
