//! What is read from outside never panics and never lets through what it must not: the functions of `fuzz/`, on fewer
//! and likelier inputs.
#![expect(clippy::expect_used, reason = "what a test cannot set up must fail it")]

use std::path::Path;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokman::config::{Options, ProviderKind, SecretSource, Settings};
use tokman::model::{Grant, Kind, Secret, Token};
use tokman::ops::Issuer;
use tokman::ops::login::Pending;
use tokman::provider::{self, Application, Exchange, Provider, Wanted};
use tokman::store::{Record, Sealer, seal};

fn open(kind: ProviderKind) -> Box<dyn Provider> {
    let application = Application {
        name: "acme".parse().expect("a name"),
        base_url: "https://localhost".parse().expect("an address"),
        client_id: "id".to_owned(),
        client_secret: Some(Secret::new("the-secret")),
        instance_id: Some("instance".to_owned()),
        mode: None,
        oauth2: None,
    };
    provider::open(kind, application)
}

fn token() -> Token {
    Token {
        kind: None::<Kind>,
        access: Secret::new("the-access"),
        token_type: None,
        refresh: Some(Secret::new("the-refresh")),
        expires_at: None,
        refresh_expires_at: None,
        account: None,
        scopes: Vec::new(),
        response: tokman::model::Response::default(),
    }
}

fn answer(status: u16, body: Vec<u8>) -> provider::HttpResponse {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer.headers_mut().insert(header::DATE, header::HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
    answer
}

/// Whatever came, a token that was found can be sent, and an error shows no secret of the request and drives no
/// terminal.
fn check(exchange: Exchange<Token>, answer: &provider::HttpResponse) {
    let (request, _, reader) = exchange.split();
    let sent = String::from_utf8_lossy(request.body()).into_owned();
    match reader.read(answer, Timestamp::UNIX_EPOCH) {
        Ok(token) => {
            let access = token.access.expose();
            assert!(!access.is_empty() && access.bytes().all(|byte| byte.is_ascii_graphic()), "{access:?}");
            let refresh = token.refresh.as_ref().map_or("", Secret::expose);
            assert!(refresh.bytes().all(|byte| byte.is_ascii_graphic()), "{refresh:?}");
        }
        Err(error) => {
            let said = error.to_string();
            for secret in ["the-secret", "the-refresh"].iter().filter(|secret| sent.contains(**secret)) {
                assert!(!said.contains(secret), "{said}");
            }
            assert!(!said.chars().any(char::is_control), "{said:?}");
        }
    }
}

/// Reads one answer with every reader of both providers.
fn read_all(status: u16, body: &[u8]) {
    let answer = answer(status, body.to_vec());
    let (wanted, now) = (Wanted::default(), Timestamp::UNIX_EPOCH);
    for kind in [ProviderKind::Square, ProviderKind::Wix] {
        let provider = open(kind);
        let grants = [
            Grant::Refresh { refresh_token: Secret::new("the-refresh") },
            Grant::ClientCredentials { account: None },
            Grant::Migration { access_token: Secret::new("the-access") },
        ];
        let obtained = grants.iter().filter_map(|grant| provider.obtain(grant, &wanted).ok());
        for exchange in obtained.chain(provider.refresh(&token(), &wanted)).chain(provider.renew(&token())) {
            check(exchange, &answer);
        }
        if let Ok(exchange) = provider.inspect(&token()) {
            let _ = exchange.split().2.read(&answer, now);
        }
    }
}

/// JSON as a provider, a broken one or a hostile one might send it: its own names with values of any sort.
fn reply() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("the-secret the-refresh".to_owned()),
        "[!-~]{0,20}",
        ".{0,20}",
        Just("2026-12-21T21:00:00Z".to_owned()),
        Just("invalid_grant".to_owned()),
        Just("bearer".to_owned()),
        Just("\u{1b}[2J".to_owned()),
    ];
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let names = prop::sample::select(vec![
        "access_token",
        "accessToken",
        "refresh_token",
        "refreshToken",
        "token_type",
        "expires_in",
        "expires_at",
        "expiresIn",
        "refresh_token_expires_at",
        "merchant_id",
        "instance_id",
        "instanceId",
        "scope",
        "scopes",
        "error",
        "error_description",
        "errors",
        "code",
        "detail",
        "category",
        "message",
        "type",
        "details",
        "applicationError",
        "success",
        "active",
        "exp",
        "siteId",
    ]);
    leaf.prop_recursive(3, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..8)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

fn status() -> impl Strategy<Value = u16> {
    prop_oneof![Just(200), Just(400), Just(401), Just(404), Just(429), Just(503), 100_u16..600]
}

fn pending() -> (Settings, Pending) {
    let options = Options {
        config_dir: Some(Path::new("/nonexistent").to_owned()),
        client_id: Some("id".to_owned()),
        ..Options::default()
    };
    let pending = Pending {
        state: Secret::new("the-state"),
        code_verifier: None,
        redirect_uri: "http://localhost:8917/callback".parse().expect("an address"),
        started_at: Timestamp::UNIX_EPOCH,
        client_id: "id".to_owned(),
        base_url: "https://localhost".to_owned(),
    };
    (Settings::load(options).expect("settings"), pending)
}

/// The grant in a pasted text, for both providers.
fn paste(text: &str) -> Vec<Result<Grant, tokman::ops::Error>> {
    let (settings, pending) = pending();
    ["square", "wix"]
        .iter()
        .map(|name| {
            let issuer = Issuer::new(settings.provider(&name.parse().expect("a name")).expect("a provider"));
            pending.grant(&issuer, &Secret::new(text))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_of_a_provider_are_a_panic(status in status(), body in any::<Vec<u8>>()) {
        read_all(status, &body);
    }

    #[test]
    fn no_json_of_a_provider_is_a_panic_or_shows_a_secret(status in status(), body in reply()) {
        read_all(status, body.to_string().as_bytes());
    }

    #[test]
    fn no_json_cut_anywhere_is_a_panic(body in reply(), cut in any::<prop::sample::Index>()) {
        let text = body.to_string();
        read_all(200, &text.as_bytes()[..cut.index(text.len() + 1)]);
    }

    #[test]
    fn a_record_is_written_and_read_as_the_same(body in reply()) {
        let key = "square/default".parse().expect("a key");
        let path = Path::new("default.json");
        let sealing = Sealer::new(vec![SecretSource::Literal(seal::new_key().expect("random bytes"))]);
        let read = |text: &str, sealer: &Sealer| Record::parse(text.as_bytes(), &key, path, Some(Timestamp::UNIX_EPOCH), sealer);
        for sealer in [Sealer::default(), sealing] {
            let Ok(record) = read(&body.to_string(), &sealer) else { break };
            let text = record.to_json(&key, &sealer).expect("a text");
            let again = read(&text, &sealer).expect("what tokman wrote");
            prop_assert!(again.token.access == record.token.access && again.token.refresh == record.token.refresh);
            prop_assert_eq!(again.token.expires_at, record.token.expires_at);
        }
    }

    #[test]
    fn no_pasted_text_is_a_panic(text in any::<String>()) {
        paste(&text);
    }

    #[test]
    fn only_the_logins_own_address_and_state_are_taken(
        scheme in "http|https|ftp|HTTP", host in "localhost|127\\.0\\.0\\.1|evil\\.test|localhost\\.evil\\.test|a@localhost",
        port in "8917|8918|", path in "/callback|/|/callback/|/%63allback", state in "the-state|the-stat|the-state2|",
        rest in "(&(code|error|state|instanceId|x)=[a-z%&=+]{0,6}){0,3}",
    ) {
        let colon = if port.is_empty() { "" } else { ":" };
        let text = format!("{scheme}://{host}{colon}{port}{path}?code=c&state={state}{rest}");
        let own = scheme.eq_ignore_ascii_case("http") && host.trim_start_matches("a@") == "localhost"
            && port == "8917" && ["/callback"].contains(&&path[..]) && state == "the-state";
        for granted in paste(&text) {
            prop_assert!(granted.is_err() || own, "{} was taken", text);
        }
    }
}
