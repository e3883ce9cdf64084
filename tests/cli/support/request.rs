//! A request as the scripted server received it, and what a test expects of one.

use std::fmt::Debug;
use std::io::{self, Read};

use base64::Engine as _;
use serde_json::Value;

/// The longest head and the longest body that are read.
const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 16 * 1024 * 1024;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path and query, as on the wire.
    pub path: String,
    /// In their order, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// Expects a POST to this path; a query is compared where the path has one.
    pub fn post(path: &str) -> Expected {
        Expected::new("POST", path)
    }

    /// Expects a GET of this path; a query is compared where the path has one.
    pub fn get(path: &str) -> Expected {
        Expected::new("GET", path)
    }

    /// A header; absent where it did not come.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as a form, sorted.
    pub fn form(&self) -> Vec<(String, String)> {
        sorted(&self.body)
    }

    /// The query, sorted.
    pub fn query(&self) -> Vec<(String, String)> {
        sorted(self.path.split_once('?').map_or("", |(_, query)| query).as_bytes())
    }

    /// Reads one request. Absent when the connection ended before its first byte.
    ///
    /// # Errors
    /// What is no HTTP/1.1 request, and a connection that ended within one.
    pub fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let Some((head, mut body)) = head(stream)? else { return Ok(None) };
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Err(io::Error::other(format!("no request line: {head:?}")));
        };
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut request = Self { method: method.to_owned(), path: path.to_owned(), headers, body: Vec::new() };
        if request.header("transfer-encoding").is_some() {
            return Err(io::Error::other("a request in chunks; this server reads Content-Length only"));
        }
        let length = request.header("content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
        if length > MAX_BODY || body.len() > length {
            return Err(io::Error::other(format!("{} bytes of body came with Content-Length {length}", body.len())));
        }
        let came = body.len();
        body.resize(length, 0);
        stream.read_exact(&mut body[came..])?;
        request.body = body;
        Ok(Some(request))
    }
}

/// The text before the empty line, and the first bytes after it.
fn head(stream: &mut impl Read) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            bytes.truncate(end);
            return Ok(Some((String::from_utf8(bytes).map_err(io::Error::other)?, body)));
        }
        match stream.read(&mut buffer)? {
            0 if bytes.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
        if bytes.len() > MAX_HEAD {
            return Err(io::Error::other("an endless head"));
        }
    }
}

fn sorted(text: &[u8]) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(text).into_owned().collect();
    pairs.sort();
    pairs
}

/// What a test expects of a request. What it does not mention may be anything.
#[derive(Debug, Clone)]
pub struct Expected {
    method: String,
    path: String,
    headers: Vec<(String, Option<String>)>,
    body: Body,
}

/// What is expected of a body.
#[derive(Debug, Clone)]
enum Body {
    Any,
    /// Exactly these members.
    Json(Value),
    /// At least these members.
    JsonWith(Value),
    /// Exactly these pairs, sorted.
    Form(Vec<(String, String)>),
    /// Exactly these bytes.
    Text(String),
}

impl Expected {
    fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Body::Any }
    }

    /// This JSON and no other member.
    pub fn json(mut self, body: Value) -> Self {
        self.body = Body::Json(body);
        self
    }

    /// JSON with at least these members.
    pub fn json_with(mut self, members: Value) -> Self {
        self.body = Body::JsonWith(members);
        self
    }

    /// This form and no other pair.
    pub fn form(mut self, pairs: &[(&str, &str)]) -> Self {
        let mut pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        pairs.sort();
        self.body = Body::Form(pairs);
        self
    }

    /// This text, byte for byte; empty for no body.
    pub fn text(mut self, body: &str) -> Self {
        self.body = Body::Text(body.to_owned());
        self
    }

    /// This header with this value.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// No header of this name.
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.push((name.to_owned(), None));
        self
    }

    /// `Authorization: Bearer` and the token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// `Authorization: Basic` of an identifier and a secret that need no percent-encoding.
    pub fn basic(self, id: &str, secret: &str) -> Self {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        self.header("authorization", &format!("Basic {pair}"))
    }

    /// What is not as expected; absent where all is.
    pub fn objection(&self, request: &Request) -> Option<String> {
        let path = if self.path.contains('?') {
            &request.path[..]
        } else {
            request.path.split('?').next().unwrap_or_default()
        };
        if request.method != self.method || path != self.path {
            return Some(format!("expected {} {}", self.method, self.path));
        }
        for (name, value) in &self.headers {
            if request.header(name) != value.as_deref() {
                return Some(format!("header {name}: {:?}, expected {value:?}", request.header(name)));
            }
        }
        let same = match &self.body {
            Body::Any => true,
            Body::Json(body) => request.json() == *body,
            Body::JsonWith(Value::Object(members)) => {
                members.iter().all(|(name, value)| request.json().get(name) == Some(value))
            }
            Body::JsonWith(other) => request.json() == *other,
            Body::Form(pairs) => request.form() == *pairs,
            Body::Text(text) => request.text() == *text,
        };
        (!same).then(|| format!("expected another body: {:?}", self.body))
    }
}
