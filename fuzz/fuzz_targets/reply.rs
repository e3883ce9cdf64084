//! Whatever a provider answers, its reader says what it is, and a token that it finds can be sent.

#![no_main]

use bytes::Bytes;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use tokman::config::ProviderKind;
use tokman::model::{Grant, Secret};
use tokman::provider::{self, Application, Wanted};

fuzz_target!(|input: (u16, Option<String>, Vec<u8>)| {
    let (status, date, body) = input;
    let Ok(status) = http::StatusCode::from_u16(status) else { return };
    let mut answer = http::Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    if let Some(date) = date.and_then(|date| date.parse().ok()) {
        answer.headers_mut().insert(http::header::DATE, date);
    }
    for kind in [ProviderKind::Square, ProviderKind::Wix] {
        let application = Application {
            name: "acme".parse().expect("a name"),
            base_url: "https://localhost".parse().expect("an address"),
            client_id: "id".to_owned(),
            client_secret: Some(Secret::new("secret")),
            instance_id: None,
            mode: None,
            oauth2: None,
        };
        let grant = Grant::Refresh { refresh_token: Secret::new("refresh") };
        let Ok(exchange) = provider::open(kind, application).obtain(&grant, &Wanted::default()) else { continue };
        let (_, _, reader) = exchange.split();
        match reader.read(&answer, Timestamp::UNIX_EPOCH) {
            Ok(token) => assert!(token.access.expose().bytes().all(|byte| byte.is_ascii_graphic())),
            Err(error) => assert!(!error.to_string().contains('\u{1b}')),
        }
    }
});
