//! What `-vv` shows of requests and answers. An allow-list: a member that is not on it shows its name only.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use serde_json::Value;

use crate::model::Secret;
use crate::model::text::escape;

/// Members whose values are never secret.
const OPEN_MEMBERS: [&str; 24] = [
    "active",
    "client_id",
    "clientId",
    "code",
    "error",
    "errors",
    "expires_at",
    "expires_in",
    "expiresIn",
    "field",
    "grant_type",
    "grantType",
    "category",
    "instance_id",
    "instanceId",
    "merchant_id",
    "refresh_token_expires_at",
    "revoke_only_access_token",
    "scope",
    "scopes",
    "short_lived",
    "success",
    "token_type",
    "type",
];

/// Headers whose values are never secret.
const OPEN_HEADERS: [&str; 9] = [
    "accept",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "server",
    "square-version",
    "user-agent",
    "x-wix-request-id",
];

/// A request in a few words: method, address without its query, open headers, members.
#[must_use]
pub fn request(request: &Request<Bytes>) -> String {
    let uri = request.uri();
    format!(
        "{} {}://{}{} {} {}",
        request.method(),
        uri.scheme_str().unwrap_or_default(),
        uri.host().unwrap_or_default(),
        uri.path(),
        headers(request.headers(), &[]),
        body(request.body(), true, &[]),
    )
}

/// An answer in a few words: status, open headers, members. What the request kept secret is masked in it: a server may
/// echo it anywhere.
#[must_use]
pub fn response(response: &Response<Bytes>, request: &Request<Bytes>) -> String {
    let hidden = secrets(request);
    let (headers, body) = (headers(response.headers(), &hidden), body(response.body(), false, &hidden));
    format!("{} {headers} {body}", response.status().as_u16())
}

/// What a request carries and does not show.
fn secrets(request: &Request<Bytes>) -> Vec<Secret> {
    fn collect(value: &Value, found: &mut Vec<Secret>) {
        match value {
            Value::Object(members) => {
                members.iter().filter(|(name, _)| !is_open(name, true)).for_each(|(_, value)| collect(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::String(text) => found.push(Secret::new(text.as_str())),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_slice(request.body()) {
        collect(&value, &mut found);
    }
    let hidden = request.headers().iter().filter(|(name, _)| !OPEN_HEADERS.contains(&name.as_str()));
    let words = hidden.filter_map(|(_, value)| value.to_str().ok()?.split(' ').next_back());
    found.extend(words.map(Secret::new));
    // A word of a few letters is in many a text by chance.
    found.retain(|secret| secret.expose().len() >= 4);
    found
}

fn headers(headers: &HeaderMap, hidden: &[Secret]) -> String {
    let shown: Vec<String> = headers
        .iter()
        .map(|(name, value)| match value.to_str() {
            Ok(text) if OPEN_HEADERS.contains(&name.as_str()) => format!("{name}: {}", shown(text, 80, hidden)),
            _ => format!("{name}: ***"),
        })
        .collect();
    format!("[{}]", shown.join(", "))
}

fn body(body: &Bytes, ours: bool, hidden: &[Secret]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => redact(&value, ours, hidden).to_string(),
        Err(_) => format!("({} bytes)", body.len()),
    }
}

/// A request's `code` is an authorization code; an error's is a word.
fn is_open(name: &str, ours: bool) -> bool {
    OPEN_MEMBERS.contains(&name) && !(ours && name == "code")
}

fn shown(text: &str, max: usize, hidden: &[Secret]) -> String {
    escape(&hidden.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose(), "***")), max)
}

/// Keeps the shape and the open values.
fn redact(value: &Value, ours: bool, hidden: &[Secret]) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let value = if is_open(name, ours) { open(value, ours, hidden) } else { redact(value, ours, hidden) };
                (shown(name, 60, hidden), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(|item| redact(item, ours, hidden)).collect(),
        _ => Value::from("***"),
    }
}

/// The value of an open member. An object in it has members of its own.
fn open(value: &Value, ours: bool, hidden: &[Secret]) -> Value {
    match value {
        Value::Object(_) => redact(value, ours, hidden),
        Value::Array(items) => items.iter().map(|item| open(item, ours, hidden)).collect(),
        Value::String(text) => Value::from(shown(text, 120, hidden)),
        Value::Bool(_) | Value::Number(_) | Value::Null => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_only_what_is_on_the_list() {
        let sent = Request::post("https://example.com/oauth2/token?x=canary")
            .header("authorization", "Client canary")
            .header("content-type", "application/json")
            .body(Bytes::from_static(
                br#"{"client_id":"id","client_secret":"canary","code":"canary","scopes":["A"],"deep":{"x":["canary"]}}"#,
            ))
            .unwrap();
        let shown = request(&sent);
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("POST https://example.com/oauth2/token"), "{shown}");
        assert!(shown.contains(r#""client_id":"id""#) && shown.contains(r#""scopes":["A"]"#), "{shown}");

        let came = Response::builder().status(401).header("set-cookie", "canary");
        let came = came.body(Bytes::from_static(br#"{"errors":[{"code":"UNAUTHORIZED","detail":"canary"}]}"#)).unwrap();
        let shown = response(&came, &sent);
        assert!(!shown.contains("canary") && shown.contains("UNAUTHORIZED"), "{shown}");
    }

    #[test]
    fn masks_what_a_server_echoes_where_it_would_be_shown() {
        let sent = Request::post("https://example.com/oauth2/revoke").header("authorization", "Client canary-1");
        let sent = sent.body(Bytes::from_static(br#"{"refresh_token":"canary-2","deep":["canary-3"]}"#)).unwrap();
        let came = Response::builder().status(400).header("server", "canary-1").header("x-wix-request-id", "canary-2");
        let body = br#"{"error":"no canary-1","scopes":["canary-2"],"type":{"code":"canary-3"},"canary-3":1}"#;
        let shown = response(&came.body(Bytes::from_static(body)).unwrap(), &sent);
        assert!(!shown.contains("canary") && shown.contains(r#""error":"no ***""#), "{shown}");
    }
}
