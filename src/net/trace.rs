//! What `-vv` shows of requests and answers. An allow-list: a member that is not on it shows its name only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Request, Response};
use serde_json::Value;
use url::form_urlencoded;

use crate::model::text::escape;
use crate::model::{Secret, ServerText};

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
        uri.authority().map_or("", http::uri::Authority::as_str),
        uri.path(),
        headers(request.headers(), &[]),
        sent_members(request).map_or_else(|| bytes(request.body()), |value| redact(&value, true, &[]).to_string()),
    )
}

/// An answer in a few words: status, open headers, members. What it repeats of the request's secrets is masked.
#[must_use]
pub fn response(response: &Response<Bytes>, request: &Request<Bytes>) -> String {
    let sent = secrets_of(request);
    format!("{} {} {}", response.status().as_u16(), headers(response.headers(), &sent), body(response.body(), &sent))
}

/// What [`request`] hides of a request.
fn secrets_of(request: &Request<Bytes>) -> Vec<Secret> {
    fn collect(value: &Value, open: bool, found: &mut Vec<Secret>) {
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| collect(value, is_open(name, true), found));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, open, found)),
            Value::String(text) if !open => found.push(Secret::new(text.as_str())),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Some(value) = sent_members(request) {
        collect(&value, false, &mut found);
    }
    let credentials = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credentials = credentials.and_then(|text| text.split_whitespace().last());
    found.extend(credentials.map(Secret::new));
    // Basic: the secret is what follows the colon, form-encoded (RFC 6749 §2.3.1).
    let pair = credentials.and_then(|text| STANDARD.decode(text).ok()).map(zeroize::Zeroizing::new);
    let secret =
        pair.as_ref().and_then(|pair| std::str::from_utf8(pair).ok()?.split_once(':')).map(|(_, secret)| secret);
    if let Some(secret) = secret {
        let whole = format!("x={secret}");
        found.extend(form_urlencoded::parse(whole.as_bytes()).map(|(_, value)| Secret::new(value)));
    }
    // As a form would repeat it.
    let encoded: Vec<Secret> = found.iter().filter_map(Secret::form_encoded).collect();
    found.extend(encoded);
    found
}

/// The members of a request's body: a JSON object's, or a form's.
fn sent_members(request: &Request<Bytes>) -> Option<Value> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let pairs = form_urlencoded::parse(request.body());
        return Some(pairs.map(|(name, value)| (name.into_owned(), Value::from(value))).collect());
    }
    serde_json::from_slice(request.body()).ok()
}

fn headers(headers: &HeaderMap, sent: &[Secret]) -> String {
    let shown: Vec<String> = headers
        .iter()
        .map(|(name, value)| match value.to_str() {
            Ok(text) if OPEN_HEADERS.contains(&name.as_str()) => format!("{name}: {}", masked(text, sent, 80)),
            _ => format!("{name}: ***"),
        })
        .collect();
    format!("[{}]", shown.join(", "))
}

fn body(body: &Bytes, sent: &[Secret]) -> String {
    serde_json::from_slice(body).map_or_else(|_| bytes(body), |value: Value| redact(&value, false, sent).to_string())
}

fn bytes(body: &Bytes) -> String {
    format!("({} bytes)", body.len())
}

/// A request's `code` is an authorization code; an error's is a word.
fn is_open(name: &str, ours: bool) -> bool {
    OPEN_MEMBERS.contains(&name) && !(ours && name == "code")
}

/// Text of a server without what it repeats of ours, then cut.
fn masked(text: &str, sent: &[Secret], max: usize) -> String {
    let mut text = ServerText::new(text);
    text.mask(sent);
    escape(text.as_received(), max)
}

/// Keeps the shape and the open values.
fn redact(value: &Value, ours: bool, sent: &[Secret]) -> Value {
    let Value::Object(members) = value else {
        return show(value, false, ours, sent);
    };
    let shown = members.iter().map(|(name, value)| {
        let shown = show(value, is_open(name, ours), ours, sent);
        (masked(name, sent, 60), shown)
    });
    shown.collect()
}

/// A value as it is where it is open, else what it consists of.
fn show(value: &Value, open: bool, ours: bool, sent: &[Secret]) -> Value {
    match value {
        Value::Object(_) => redact(value, ours, sent),
        Value::Array(items) => items.iter().map(|item| show(item, open, ours, sent)).collect(),
        Value::String(text) if open => Value::from(masked(text, sent, 120)),
        Value::Bool(_) | Value::Number(_) | Value::Null if open => value.clone(),
        _ => Value::from("***"),
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
    fn masks_what_an_answer_repeats_of_the_request() {
        let sent = Request::post("https://example.com/")
            .header("authorization", "Bearer canary-token")
            .body(Bytes::from_static(br#"{"refresh_token":"canary-refresh","scopes":["READ"]}"#))
            .unwrap();
        let said = format!("{}canary-refresh canary-token READ", "x".repeat(70));
        let body = serde_json::json!({"code": said, "error": [said], &*said: {"type": said}}).to_string();
        let came = Response::builder().header("server", &said).body(Bytes::from(body)).unwrap();
        let shown = response(&came, &sent);
        assert!(!shown.contains("canary") && shown.contains("READ"), "{shown}");
    }

    #[test]
    fn masks_what_an_answer_repeats_of_a_form() {
        // `id:canary%2Fclient`
        let sent = Request::post("https://example.com/")
            .header("authorization", "Basic aWQ6Y2FuYXJ5JTJGY2xpZW50")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from_static(b"grant_type=refresh_token&refresh_token=canary%2Frefresh&scope=READ"))
            .unwrap();
        let shown = request(&sent);
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains(r#""grant_type":"refresh_token","refresh_token":"***","scope":"READ""#), "{shown}");

        let said = "canary/refresh canary%2Frefresh canary/client canary%2Fclient aWQ6Y2FuYXJ5JTJGY2xpZW50 READ";
        let body = serde_json::json!({"error": said}).to_string();
        let shown = response(&Response::new(Bytes::from(body)), &sent);
        assert!(shown.contains(r#""error":"*** *** *** *** *** READ""#), "{shown}");
    }
}
