//! What `-vv` shows of requests and answers. An allow-list: a member that is not on it shows its name only.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use serde_json::Value;

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
        uri.authority().map_or("", http::uri::Authority::as_str),
        uri.path(),
        headers(request.headers()),
        body(request.body(), true),
    )
}

/// An answer in a few words: status, open headers, members.
#[must_use]
pub fn response(response: &Response<Bytes>) -> String {
    format!("{} {} {}", response.status().as_u16(), headers(response.headers()), body(response.body(), false))
}

fn headers(headers: &HeaderMap) -> String {
    let shown: Vec<String> = headers
        .iter()
        .map(|(name, value)| match value.to_str() {
            Ok(text) if OPEN_HEADERS.contains(&name.as_str()) => format!("{name}: {}", escape(text, 80)),
            _ => format!("{name}: ***"),
        })
        .collect();
    format!("[{}]", shown.join(", "))
}

fn body(body: &Bytes, ours: bool) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => redact(&value, ours).to_string(),
        Err(_) => format!("({} bytes)", body.len()),
    }
}

/// Keeps the shape and the open values. A request's `code` is an authorization code; an error's is a word.
fn redact(value: &Value, ours: bool) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let open = OPEN_MEMBERS.contains(&name.as_str()) && !(ours && name == "code");
                let shown = match value {
                    Value::Object(_) => redact(value, ours),
                    Value::Array(items) if !open || items.iter().any(Value::is_object) => {
                        items.iter().map(|item| redact(item, ours)).collect()
                    }
                    Value::String(text) if open => Value::from(escape(text, 120)),
                    Value::Bool(_) | Value::Number(_) | Value::Null | Value::Array(_) if open => value.clone(),
                    _ => Value::from("***"),
                };
                (escape(name, 60), shown)
            })
            .collect(),
        Value::Array(items) => items.iter().map(|item| redact(item, ours)).collect(),
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
        let shown = response(&came);
        assert!(!shown.contains("canary") && shown.contains("UNAUTHORIZED"), "{shown}");
    }
}
