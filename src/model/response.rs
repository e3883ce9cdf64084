//! A provider's answer as it came: every member, in its order, numbers as they were written.

use std::fmt;
use std::io;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::ser::{CharEscape, Formatter, PrettyFormatter};
use serde_json::{Map, Value};
use thiserror::Error;
use zeroize::Zeroize;

use crate::model::Secret;
use crate::model::text::is_unprintable;

/// Why a body is no answer.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ResponseError {
    /// Nothing came.
    #[error("the answer is empty")]
    Empty,
    /// HTML, text, or JSON that breaks off.
    #[error("the answer is not JSON")]
    NotJson,
    /// An array, a string, a number.
    #[error("the answer is JSON but not an object")]
    NotAnObject,
    /// An object, but with more levels in it than are read.
    #[error("the answer is nested too deeply")]
    TooDeep,
    /// An object with a string in it that is no Unicode text: bytes that are not UTF-8, half of a surrogate pair.
    #[error("the answer has a string in it that is no Unicode text")]
    NotText,
    /// It says where to go instead of what was asked for; the host, printable.
    #[error("the answer is a redirect to {0}; redirects are not followed")]
    Redirect(String),
    /// The same member twice: which one is meant cannot be known.
    #[error("the answer has a member twice")]
    DuplicateMember,
}

/// A JSON object from a provider or a file. Its `Debug` names the members only; its strings are wiped on drop.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Response(Map<String, Value>);

impl Response {
    /// Parses a body: one JSON object, no member twice, a byte-order mark tolerated.
    ///
    /// # Errors
    /// Everything else, by [`ResponseError`]. Never with a part of the body in it.
    pub fn parse(body: &[u8]) -> Result<Self, ResponseError> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(ResponseError::Empty);
        }
        match serde_json::from_slice::<Object>(body) {
            Ok(Object::Members(map)) => Ok(Self(map)),
            Ok(Object::Twice) => Err(ResponseError::DuplicateMember),
            Err(error) => Err(objection(body, &error)),
        }
    }

    /// Takes a map that was built here.
    #[must_use]
    pub const fn from_map(map: Map<String, Value>) -> Self {
        Self(map)
    }

    /// A member; absent and `null` are the same.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A member that is a string and not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A member that is true or false, also where it was written as a string (Wix's token-info does that).
    #[must_use]
    pub fn truth(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            _ => None,
        }
    }

    /// All members.
    #[must_use]
    pub const fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Adds or replaces a member.
    pub fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// Takes a member out, keeping the order of the rest.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }

    /// Keeps the members that `keep` says, in their order, and wipes the others.
    pub fn keep(&mut self, keep: impl Fn(&str, &Value) -> bool) {
        let mut gone = Self(std::mem::take(&mut self.0));
        let names: Vec<String> =
            gone.0.iter().filter(|(name, value)| keep(name, value)).map(|(n, _)| n.clone()).collect();
        for name in names {
            if let Some(value) = gone.0.get_mut(&name) {
                self.0.insert(name, value.take());
            }
        }
    }

    /// The text that is printed and stored: two spaces of indentation, and characters that could drive a terminal
    /// as `\u` escapes, which are the same JSON.
    #[must_use]
    pub fn to_pretty(&self) -> String {
        pretty(&self.0)
    }

    /// The same on one line, for programs.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// Why a body is no object. What is passed over is not read, so that any depth and any string will do.
fn objection(body: &[u8], error: &serde_json::Error) -> ResponseError {
    if serde_json::from_slice::<de::IgnoredAny>(body).is_err() {
        ResponseError::NotJson
    } else if !body.trim_ascii_start().starts_with(b"{") {
        ResponseError::NotAnObject
    } else if error.to_string().starts_with("recursion limit exceeded") {
        ResponseError::TooDeep
    } else {
        ResponseError::NotText
    }
}

/// A string member of an object whose other members cannot be read, or are there twice; `None` where it is not there
/// once. What is passed over may be nested as deeply as it likes.
#[must_use]
pub fn lone_text(body: &[u8], name: &str) -> Option<Secret> {
    struct Lone<'a>(&'a str);
    impl<'de> Visitor<'de> for Lone<'_> {
        type Value = Option<Secret>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let (mut found, mut times) = (None, 0);
            while let Some(key) = access.next_key::<String>()? {
                if key == self.0 {
                    times += 1;
                    found = Some(Secret::new(access.next_value::<String>()?));
                } else {
                    access.next_value::<de::IgnoredAny>()?;
                }
            }
            Ok(found.filter(|_| times == 1))
        }
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let found = deserializer.deserialize_map(Lone(name)).ok()?;
    deserializer.end().ok()?;
    found
}

/// Writes any value as [`Response::to_pretty`] does.
pub fn pretty<T: serde::Serialize>(value: &T) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Printable(PrettyFormatter::new()));
    // Writing maps with string keys into memory cannot fail; an empty text would be the visible sign if it did.
    if value.serialize(&mut serializer).is_err() {
        return String::new();
    }
    String::from_utf8(out).unwrap_or_default()
}

impl Drop for Response {
    fn drop(&mut self) {
        fn wipe(value: &mut Value) {
            match value {
                Value::String(text) => text.zeroize(),
                Value::Array(items) => items.iter_mut().for_each(wipe),
                Value::Object(members) => members.values_mut().for_each(wipe),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        self.0.values_mut().for_each(wipe);
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Response")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A JSON object read so that a repeated member is noticed: `serde_json` alone would keep the last.
enum Object {
    Members(Map<String, Value>),
    Twice,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object, A::Error> {
                let mut map = Map::new();
                let mut twice = false;
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    twice |= map.insert(name, value).is_some();
                }
                Ok(if twice { Object::Twice } else { Object::Members(map) })
            }
        }
        deserializer.deserialize_map(Once)
    }
}

/// Pretty-printing that escapes what a terminal could act on.
struct Printable<'a>(PrettyFormatter<'a>);

impl Formatter for Printable<'_> {
    fn begin_array<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_array(w)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array(w)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(w, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array_value(w)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object(w)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object(w)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(w, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object_value(w)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object_value(w)
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, w: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain_from = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| is_unprintable(*c)) {
            w.write_all(&fragment.as_bytes()[plain_from..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(w, "\\u{unit:04x}")?;
            }
            plain_from = at + c.len_utf8();
        }
        w.write_all(&fragment.as_bytes()[plain_from..])
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, w: &mut W, escape: CharEscape) -> io::Result<()> {
        self.0.write_char_escape(w, escape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_members_their_order_and_their_numbers() {
        let body = r#"{"z":1.50,"a":1e400,"n":null,"access_token":"x","big":123456789012345678901234567890}"#;
        let response = Response::parse(body.as_bytes()).unwrap();
        let pretty = response.to_pretty();
        assert_eq!(pretty.replace(['\n', ' '], ""), body.replace("1e400", "1e+400"), "{pretty}");
    }

    #[test]
    fn tells_the_ways_of_being_no_answer_apart() {
        for (body, error) in [
            ("", ResponseError::Empty),
            (" \n", ResponseError::Empty),
            ("<html>", ResponseError::NotJson),
            (r#"{"access_token":"x"#, ResponseError::NotJson),
            ("[]", ResponseError::NotAnObject),
            ("\"x\"", ResponseError::NotAnObject),
            ("12", ResponseError::NotAnObject),
            (r#"{"a":1,"a":1}"#, ResponseError::DuplicateMember),
        ] {
            assert_eq!(Response::parse(body.as_bytes()).unwrap_err(), error, "{body}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(Response::parse(deep.as_bytes()).unwrap_err(), ResponseError::NotJson);
        assert!(Response::parse(b"\xef\xbb\xbf{}").is_ok());
        let nest = |open: &str, close: &str, levels| format!("{}{}", open.repeat(levels), close.repeat(levels));
        let inside = format!("{{\"a\":{}}}", nest("[", "]", 1000));
        assert_eq!(Response::parse(inside.as_bytes()).unwrap_err(), ResponseError::TooDeep);
        let outside = nest("[", "]", 1000);
        assert_eq!(Response::parse(outside.as_bytes()).unwrap_err(), ResponseError::NotAnObject);
        for body in [&b"{\"a\":\"\xff\"}"[..], b" {\"\xc3\":1}", b"{\"a\":[\"\xe9\"]}", br#"{"a":"\ud800"}"#] {
            assert_eq!(Response::parse(body).unwrap_err(), ResponseError::NotText, "{}", body.escape_ascii());
        }
        assert_eq!(Response::parse(b"{\"a\":\xff}").unwrap_err(), ResponseError::NotJson);
    }

    #[test]
    fn finds_one_text_among_what_cannot_be_read() {
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        let found = |body: &[u8]| lone_text(body, "r").map(|secret| secret.expose().to_owned());
        assert_eq!(found(format!(r#"{{"x":{deep},"r":"R","y":{deep}}}"#).as_bytes()).as_deref(), Some("R"));
        assert_eq!(found(b"{\"x\":\"\xff\",\"r\":\"R\"}").as_deref(), Some("R"));
        assert_eq!(found(br#"{"x":1,"x":2,"r":"R"}"#).as_deref(), Some("R"));
        for body in [&br#"{"r":"R","r":"R"}"#[..], br#"{"r":1}"#, br#"{"x":{"r":"R"}}"#, br#"{"r":"R"} x"#, b"[]", b"{"]
        {
            assert_eq!(found(body), None, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn prints_terminal_escapes_as_json_escapes() {
        let response = Response::parse("{\"m\":\"a\u{9b}31m\u{202e}\u{1b}\"}".as_bytes()).unwrap_or_default();
        assert!(!response.to_pretty().chars().any(|c| c != '\n' && is_unprintable(c)));
        let response = Response::parse("{\"m\":\"a\u{9b}b\"}".as_bytes()).unwrap();
        assert!(response.to_pretty().contains("a\\u009bb"));
        assert_eq!(Response::parse(response.to_pretty().as_bytes()).unwrap(), response);
    }

    #[test]
    fn does_not_show_values_when_formatted() {
        let response = Response::parse(br#"{"access_token":"canary"}"#).unwrap();
        assert_eq!(format!("{response:?}"), "Response{\"access_token\"}");
    }

    proptest! {
        #[test]
        fn never_panics_and_reads_back_what_it_prints(body in any::<Vec<u8>>(), text in any::<String>()) {
            let _ = Response::parse(&body);
            let mut response = Response::default();
            response.set("t", Value::String(text));
            prop_assert_eq!(Response::parse(response.to_pretty().as_bytes()).unwrap(), response);
        }
    }
}
