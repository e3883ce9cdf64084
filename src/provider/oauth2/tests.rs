//! The clauses, as tables of requests and answers.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use http::{Request, header};
use url::form_urlencoded;

use super::*;
use crate::model::Response;
use crate::provider::recorded::{application, read, sent, token};
use crate::provider::{RefusalClass, pkce};

const ISSUER: &str = "https://login.acme.example";

fn server() -> Server {
    let endpoints = Endpoint::ALL.map(|endpoint| {
        let address = format!("{ISSUER}/{}", endpoint.name().trim_end_matches("_endpoint"));
        (endpoint, address.parse::<Url>().unwrap())
    });
    let metadata = Metadata { endpoints: BTreeMap::from(endpoints), ..Metadata::default() };
    Server { issuer: Some(ISSUER.to_owned()), client_auth: None, metadata }
}

fn with(client_secret: Option<&str>, server: Server) -> OAuth2 {
    OAuth2::new(Application { oauth2: Some(server), ..application(ISSUER, "ID", client_secret) })
}

fn acme() -> OAuth2 {
    with(Some("SECRET"), server())
}

/// A provider whose metadata lack an endpoint.
fn lacking(endpoint: Endpoint) -> OAuth2 {
    let mut server = server();
    server.metadata.endpoints.remove(&endpoint);
    with(Some("SECRET"), server)
}

fn form(request: &Request<bytes::Bytes>) -> Vec<(String, String)> {
    assert_eq!(request.method(), "POST");
    assert_eq!(request.headers()[header::CONTENT_TYPE], "application/x-www-form-urlencoded");
    let pairs: Vec<_> = form_urlencoded::parse(request.body()).into_owned().collect();
    let names: BTreeSet<_> = pairs.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), pairs.len(), "a parameter comes twice: {pairs:?}");
    assert!(pairs.iter().all(|(_, value)| !value.is_empty()), "an empty parameter: {pairs:?}");
    pairs
}

fn assert_form<T>(exchange: &Exchange<T>, path: &str, pairs: &[(&str, &str)]) {
    assert_eq!(exchange.request.uri().path(), path);
    assert_eq!(exchange.request.uri().query(), None);
    let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    assert_eq!(form(&exchange.request), pairs);
}

fn basic(request: &Request<bytes::Bytes>) -> Option<String> {
    let value = request.headers().get(header::AUTHORIZATION)?;
    assert!(value.is_sensitive());
    let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
    Some(String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()).unwrap())
}

fn code(verifier: Option<&str>) -> Grant {
    Grant::Code {
        code: Secret::new("CODE"),
        redirect_uri: Some("http://127.0.0.1:8917/callback".to_owned()),
        code_verifier: verifier.map(Secret::new),
        account: None,
    }
}

fn device() -> Grant {
    Grant::Device { device_code: Secret::new("DEVICE") }
}

const MINT: Grant = Grant::ClientCredentials { account: None };

fn wanted(scopes: &[&str]) -> Wanted {
    Wanted { scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(), short_lived: false }
}

fn stored(scopes: &[&str]) -> Token {
    Token { scopes: wanted(scopes).scopes, ..token(Some("oauth2"), "ACCESS", Some("REFRESH")) }
}

fn minted(body: &str) -> Result<Token, ProviderError> {
    read(acme().obtain(&MINT, &wanted(&["a", "b"])).unwrap(), 200, body)
}

// RFC 6749 §3.2, §4.1.3, §4.4.2, §6; RFC 8628 §3.4

#[test]
fn sends_every_grant_as_a_form_without_credentials_in_the_address() {
    let none = Wanted::default();
    let acme = acme();
    let exchange = acme.obtain(&code(Some("V")), &wanted(&["a"])).unwrap();
    assert_eq!(exchange.replay, Replay::Never);
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", "CODE"),
        ("redirect_uri", "http://127.0.0.1:8917/callback"),
        ("code_verifier", "V"),
    ];
    assert_form(&exchange, "/token", &pairs);

    let exchange = acme.obtain(&MINT, &wanted(&["a", "b"])).unwrap();
    assert_eq!(exchange.replay, Replay::Safe);
    assert_form(&exchange, "/token", &[("grant_type", "client_credentials"), ("scope", "a b")]);

    let exchange = acme.obtain(&device(), &none).unwrap();
    assert_eq!(exchange.replay, Replay::Polled);
    let device_grant = "urn:ietf:params:oauth:grant-type:device_code";
    assert_form(&exchange, "/token", &[("grant_type", device_grant), ("device_code", "DEVICE")]);

    let handed_in = Grant::Refresh { refresh_token: Secret::new("REFRESH") };
    for exchange in [acme.refresh(&stored(&["a"]), &none).unwrap(), acme.obtain(&handed_in, &none).unwrap()] {
        assert_eq!(exchange.replay, Replay::OnceUnderLease);
        assert_form(&exchange, "/token", &[("grant_type", "refresh_token"), ("refresh_token", "REFRESH")]);
    }
    let exchange = acme.obtain(&handed_in, &wanted(&["a", "b"])).unwrap();
    let pairs = [("grant_type", "refresh_token"), ("refresh_token", "REFRESH"), ("scope", "a b")];
    assert_form(&exchange, "/token", &pairs);
}

#[test]
fn keeps_the_query_of_a_token_endpoint() {
    let mut server = server();
    server.metadata.endpoints.insert(Endpoint::Token, format!("{ISSUER}/token?tenant=1").parse().unwrap());
    let exchange = with(None, server).obtain(&MINT, &Wanted::default()).unwrap();
    assert_eq!(exchange.request.uri(), "https://login.acme.example/token?tenant=1");
}

// RFC 6749 §2.3

#[test]
fn shows_who_it_is_in_one_way_a_request() {
    let methods = |methods: &[&str]| {
        let auth_methods = methods.iter().map(|&method| method.to_owned()).collect();
        let server = server();
        Server { metadata: Metadata { auth_methods, ..server.metadata }, ..server }
    };
    let configured = |client_auth| Server { client_auth: Some(client_auth), ..server() };
    for (secret, server, in_header, in_body, id_in_body) in [
        (Some("S"), server(), true, false, false),
        (None, server(), false, false, true),
        (Some("S"), configured(ClientAuth::Basic), true, false, false),
        (Some("S"), configured(ClientAuth::Post), false, true, true),
        (Some("S"), configured(ClientAuth::None), false, false, true),
        (None, configured(ClientAuth::None), false, false, true),
        (Some("S"), methods(&["client_secret_post", "none"]), false, true, true),
        (Some("S"), methods(&["client_secret_post", "client_secret_basic"]), true, false, false),
        (Some("S"), methods(&["private_key_jwt"]), true, false, false),
    ] {
        let acme = with(secret, server);
        let token = stored(&[]);
        let requests = [
            acme.obtain(&MINT, &Wanted::default()).unwrap().request,
            acme.refresh(&token, &Wanted::default()).unwrap().request,
            acme.revoke(Some(&token), &Revocation::Authorization).unwrap().request,
            acme.inspect(&token).unwrap().request,
            acme.device_authorization(&Wanted::default()).unwrap().request,
        ];
        for request in requests {
            assert_eq!(basic(&request), in_header.then(|| "ID:S".to_owned()));
            let form = form(&request);
            let has = |name: &str, value: &str| form.contains(&(name.to_owned(), value.to_owned()));
            assert_eq!((has("client_secret", "S"), has("client_id", "ID")), (in_body, id_in_body), "{form:?}");
        }
    }
    for client_auth in [ClientAuth::Basic, ClientAuth::Post] {
        let error = with(None, configured(client_auth)).obtain(&MINT, &Wanted::default()).unwrap_err();
        assert!(matches!(error, ProviderError::Missing { need: Need::ClientSecret, .. }));
    }
}

#[test]
fn masks_the_secret_however_the_provider_repeats_it() {
    let exchange = acme().obtain(&MINT, &Wanted::default()).unwrap();
    let credentials = exchange.request.headers()[header::AUTHORIZATION].to_str().unwrap().to_owned();
    let body = format!(r#"{{"error":"invalid_client","error_description":"SECRET and {credentials}"}}"#);
    let error = read(exchange, 401, &body).unwrap_err();
    assert_eq!(error.to_string(), "*** and Basic *** (HTTP 401, invalid_client)");
}

// RFC 6749 §4.1.1, RFC 7636, RFC 9700 §2.1.1

fn address(acme: &OAuth2, scopes: &[&str]) -> Url {
    let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let login = Login {
        state: Secret::new("STATE"),
        code_challenge: Some(pkce::challenge(&verifier)),
        redirect_uri: "http://127.0.0.1:8917/callback".parse().unwrap(),
        scopes: wanted(scopes).scopes,
    };
    match acme.authorization(&login).unwrap() {
        Authorization::Address(address) => address,
        Authorization::Session { .. } => panic!("a session"),
    }
}

#[test]
fn begins_a_login_with_an_s256_challenge_whether_it_has_a_secret_or_not() {
    for acme in [acme(), with(None, server())] {
        assert!(acme.uses_pkce());
        assert_eq!(
            address(&acme, &["openid", "offline_access"]).as_str(),
            "https://login.acme.example/authorization?response_type=code&client_id=ID\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A8917%2Fcallback&scope=openid+offline_access&state=STATE\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
        );
    }
}

#[test]
fn asks_for_offline_access_only_where_the_scopes_name_it() {
    assert!(!address(&acme(), &[]).as_str().contains("scope"));
    assert!(!address(&acme(), &["a"]).as_str().contains("offline_access"));
    assert!(address(&acme(), &["offline_access"]).as_str().contains("scope=offline_access"));
}

#[test]
fn keeps_the_query_of_an_authorization_endpoint_and_repeats_nothing() {
    let mut server = server();
    let endpoint = format!("{ISSUER}/authorize?tenant=1&response_type=token&state=x");
    server.metadata.endpoints.insert(Endpoint::Authorization, endpoint.parse().unwrap());
    let address = address(&with(None, server), &[]);
    let names: Vec<_> = address.query_pairs().map(|(name, _)| name.into_owned()).collect();
    let expected =
        ["tenant", "response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method"];
    assert_eq!(names, expected);
    assert!(address.as_str().contains("response_type=code"));
}

#[test]
fn gives_a_thousand_logins_a_thousand_states_and_verifiers() {
    let mut values = BTreeSet::new();
    for _ in 0..1000 {
        for value in [pkce::random().unwrap(), pkce::random().unwrap()] {
            assert!(pkce::is_verifier(value.expose()));
            values.insert(value.expose().to_owned());
        }
    }
    assert_eq!(values.len(), 2000);
}

// RFC 9207

#[test]
fn takes_a_redirect_only_from_the_issuer_that_the_login_went_to() {
    let redirect = |parameters: &[(&str, &str)]| Redirect {
        parameters: parameters.iter().map(|(n, v)| ((*n).to_owned(), Secret::new(*v))).collect(),
    };
    let advertised = || {
        let server = server();
        Server { metadata: Metadata { names_itself: true, ..server.metadata }, ..server }
    };
    let unknown = || Server { issuer: None, ..server() };
    for (server, parameters, accepted) in [
        (server(), &[("code", "C")][..], true),
        (server(), &[("code", "C"), ("iss", ISSUER)], true),
        (server(), &[("code", "C"), ("iss", "https://evil.example")], false),
        (server(), &[("code", "C"), ("iss", "https://login.acme.example/")], false),
        (server(), &[("error", "access_denied"), ("iss", "https://evil.example")], false),
        (advertised(), &[("code", "C")], false),
        (advertised(), &[("code", "C"), ("iss", "")], false),
        (advertised(), &[("code", "C"), ("iss", ISSUER)], true),
        (unknown(), &[("code", "C"), ("iss", "https://any.example")], true),
    ] {
        let redirect_uri = "http://127.0.0.1:8917/callback".parse().unwrap();
        let grant = with(None, server).grant(&redirect(parameters), &redirect_uri, Some(&Secret::new("V")));
        assert_eq!(grant.is_ok(), accepted, "{parameters:?}");
        if let Ok(Grant::Code { code, redirect_uri, code_verifier, .. }) = grant {
            assert_eq!((code.expose(), code_verifier), ("C", Some(Secret::new("V"))));
            assert_eq!(redirect_uri.as_deref(), Some("http://127.0.0.1:8917/callback"));
        } else if let Err(error) = grant {
            assert!(error.to_string().contains("RFC 9207"), "{error}");
        }
    }
    let denied = redirect(&[("error", "access_denied"), ("iss", ISSUER)]);
    let error = acme().grant(&denied, &ISSUER.parse().unwrap(), None).unwrap_err();
    assert_eq!(error.class(), Some(RefusalClass::GrantDead));
}

// RFC 6749 §5.1, §7.1

#[test]
fn keeps_members_that_it_does_not_know() {
    let body = r#"{"z":1.50,"access_token":"A","token_type":"BEARER","expires_in":60,"x":{"y":[1]}}"#;
    let token = minted(body).unwrap();
    assert_eq!(token.response, Response::parse(body.as_bytes()).unwrap());
    assert_eq!(token.kind, Some(KIND));
    assert_eq!(token.expires_at, crate::model::lifetime::after(sent(), 60));
}

#[test]
fn round_trips_a_token_of_64_kib() {
    let access = "x".repeat(64 << 10);
    let token = minted(&format!(r#"{{"access_token":"{access}","token_type":"Bearer"}}"#)).unwrap();
    assert!(token.access.expose() == access && token.response.text("access_token") == Some(&access));
}

#[test]
fn refuses_a_token_of_a_type_that_it_cannot_use_and_keeps_the_refresh_token() {
    for (name, words) in [("DPoP", "RFC 9449"), ("dpop", "makes no proofs"), ("mac", "of the type 'mac'")] {
        let body = format!(r#"{{"access_token":"A","token_type":"{name}","refresh_token":"NEXT"}}"#);
        let error = read(acme().refresh(&stored(&[]), &Wanted::default()).unwrap(), 200, &body).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(matches!(error, ProviderError::Unusable { refresh: Some(refresh), .. } if refresh.expose() == "NEXT"));
    }
}

#[test]
fn reads_the_end_of_a_refresh_token_where_the_provider_tells_it() {
    for (member, seconds) in [
        (r#""refresh_token_expires_in":600"#, Some(600)),
        (r#""refresh_expires_in":"600""#, Some(600)),
        (r#""refresh_expires_in":0"#, None),
        (r#""x":1"#, None),
    ] {
        let token = minted(&format!(r#"{{"access_token":"A","refresh_token":"R",{member}}}"#)).unwrap();
        assert_eq!(
            token.refresh_expires_at,
            seconds.and_then(|s| crate::model::lifetime::after(sent(), s)),
            "{member}"
        );
    }
}

#[test]
fn knows_whose_token_it_is_where_an_openid_provider_says() {
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"sub":"alice"}"#);
    let token = minted(&format!(r#"{{"access_token":"A","id_token":"h.{claims}.s"}}"#)).unwrap();
    assert_eq!(token.account.as_deref(), Some("alice"));
    assert_eq!(minted(r#"{"access_token":"A","id_token":"?"}"#).unwrap().account, None);
}

#[test]
fn takes_the_scopes_that_the_answer_names() {
    assert_eq!(minted(r#"{"access_token":"A","scope":"b  c"}"#).unwrap().scopes, ["b", "c"]);
    assert_eq!(minted(r#"{"access_token":"A"}"#).unwrap().scopes, ["a", "b"]);
}

// RFC 6749 §5.2

#[test]
fn takes_an_error_in_a_success_for_an_error() {
    let error = minted(r#"{"error":"invalid_grant"}"#).unwrap_err();
    assert_eq!(error.class(), Some(RefusalClass::GrantDead));
}

// RFC 6749 §6

#[test]
fn replaces_the_refresh_token_where_a_new_one_comes_and_keeps_it_where_none_does() {
    let refreshed = |body| read(acme().refresh(&stored(&["a"]), &Wanted::default()).unwrap(), 200, body).unwrap();
    let token = refreshed(r#"{"access_token":"B","refresh_token":"NEXT"}"#);
    assert_eq!(token.refresh, Some(Secret::new("NEXT")));
    let token = refreshed(r#"{"access_token":"B"}"#);
    assert_eq!((token.refresh, token.scopes), (Some(Secret::new("REFRESH")), vec!["a".to_owned()]));
}

#[test]
fn never_asks_for_more_than_was_granted() {
    let acme = acme();
    let exchange = acme.refresh(&stored(&["a", "b"]), &wanted(&["b"])).unwrap();
    let pairs = [("grant_type", "refresh_token"), ("refresh_token", "REFRESH"), ("scope", "b")];
    assert_form(&exchange, "/token", &pairs);
    // The grant has all it had: another refresh may ask for the rest again.
    let narrowed = read(exchange, 200, r#"{"access_token":"B","scope":"b"}"#).unwrap();
    assert_eq!(narrowed.scopes, ["a", "b"]);
    let error = acme.refresh(&stored(&["a"]), &wanted(&["a", "admin"])).unwrap_err();
    assert!(matches!(&error, ProviderError::Unsupported { what, .. } if what.contains("'admin'")), "{error}");
    assert!(acme.refresh(&stored(&[]), &wanted(&["a"])).is_ok());
}

#[test]
fn says_how_a_refresh_token_is_had_where_there_is_none() {
    let token = Token { refresh: None, ..stored(&[]) };
    let error = acme().refresh(&token, &Wanted::default()).unwrap_err();
    assert!(error.to_string().contains("offline_access"), "{error}");
    assert!(error.to_string().contains("?prompt=consent"), "{error}");
}

// RFC 7009

#[test]
fn revokes_the_refresh_token_else_the_access_token() {
    let acme = acme();
    let bare = Token { refresh: None, ..stored(&[]) };
    for (token, what, name, hint) in [
        (stored(&[]), Revocation::Authorization, "REFRESH", "refresh_token"),
        (stored(&[]), Revocation::OnlyAccessToken, "ACCESS", "access_token"),
        (bare, Revocation::Authorization, "ACCESS", "access_token"),
    ] {
        let exchange = acme.revoke(Some(&token), &what).unwrap();
        assert_eq!(exchange.replay, Replay::Safe);
        assert_form(&exchange, "/revocation", &[("token", name), ("token_type_hint", hint)]);
    }
    assert!(acme.revoke(None, &Revocation::Authorization).is_err());
    assert!(acme.revoke(None, &Revocation::Merchant("M".to_owned())).is_err());
}

#[test]
fn takes_any_success_for_revoked_and_nothing_else() {
    let revoke = |status: u16, body: &str| {
        read(acme().revoke(Some(&stored(&[])), &Revocation::Authorization).unwrap(), status, body)
    };
    for (status, body) in [(200, ""), (204, ""), (200, "{}"), (200, "OK"), (200, r#"{"x":1}"#)] {
        assert!(revoke(status, body).unwrap().note.is_none(), "{status} {body}");
    }
    assert!(revoke(400, r#"{"error":"invalid_token"}"#).unwrap().note.unwrap().contains("does not know it"));
    for (status, body) in [
        (200, "<html>sign in to this network</html>"),
        (200, r#"{"error":"unsupported_token_type"}"#),
        (400, r#"{"error":"unsupported_token_type"}"#),
        (401, r#"{"error":"invalid_client"}"#),
        (404, ""),
        (302, ""),
        (503, r#"{"error":"invalid_token"}"#),
    ] {
        assert!(revoke(status, body).is_err(), "{status} {body}");
    }
    for body in ["", "<html>", "{}"] {
        let ProviderError::Refused(refusal) = revoke(503, body).unwrap_err() else { panic!("{body}") };
        assert_eq!(refusal.class, RefusalClass::Passing);
        assert!(refusal.hint.unwrap().contains("may still be alive"));
    }
}

#[test]
fn says_what_stays_valid_where_there_is_no_revocation() {
    let mut token = stored(&[]);
    token.expires_at = "2026-11-21T16:00:00Z".parse().ok();
    let says = |token: &Token| match lacking(Endpoint::Revocation).revoke(Some(token), &Revocation::Authorization) {
        Err(ProviderError::Unsupported { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    let said = says(&token);
    assert!(said.contains("until 2026-11-21T16:00:00Z") && said.contains("the refresh token until"), "{said}");
    token.refresh = None;
    assert!(!says(&token).contains("refresh token"));
}

// RFC 7662

#[test]
fn asks_about_the_access_token_and_takes_inactive_for_an_answer() {
    let exchange = acme().inspect(&stored(&[])).unwrap();
    assert_form(&exchange, "/introspection", &[("token", "ACCESS"), ("token_type_hint", "access_token")]);
    let inspect = |status: u16, body: &str| read(acme().inspect(&stored(&[])).unwrap(), status, body);
    let dead = inspect(200, r#"{"active":false}"#).unwrap();
    assert!(!dead.active && dead.note.is_none());
    let alive =
        inspect(200, r#"{"active":true,"sub":"alice","scope":"a b","exp":1796000000,"client_id":"OTHER"}"#).unwrap();
    assert!(alive.active && alive.note.unwrap().contains("another application"));
    assert_eq!((alive.account.as_deref(), alive.scopes), (Some("alice"), vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(alive.expires_at.unwrap().as_second(), 1_796_000_000);
    assert!(matches!(inspect(200, "{}"), Err(ProviderError::Unusable { .. })));
    let error = inspect(401, r#"{"error":"invalid_client"}"#).unwrap_err();
    assert_eq!(error.class(), Some(RefusalClass::Application));
    assert!(matches!(
        lacking(Endpoint::Introspection).inspect(&stored(&[])),
        Err(ProviderError::Unsupported { what, .. }) if what.contains("introspection endpoint")
    ));
}

// RFC 8628

#[test]
fn asks_for_a_device_code_with_the_scopes() {
    let exchange = acme().device_authorization(&wanted(&["a", "b"])).unwrap();
    assert_form(&exchange, "/device_authorization", &[("scope", "a b")]);
    assert!(matches!(
        lacking(Endpoint::DeviceAuthorization).device_authorization(&Wanted::default()),
        Err(ProviderError::Unsupported { .. })
    ));
}

#[test]
fn refuses_what_is_squares_and_what_has_no_endpoint() {
    let migration = Grant::Migration { access_token: Secret::new("A") };
    assert!(matches!(acme().obtain(&migration, &Wanted::default()), Err(ProviderError::Unsupported { .. })));
    assert!(matches!(acme().renew(&stored(&[])), Err(ProviderError::Unsupported { .. })));
    assert!(matches!(lacking(Endpoint::Token).obtain(&MINT, &Wanted::default()), Err(ProviderError::Setting(_))));
}

#[test]
fn warns_of_credentials_that_look_wrong() {
    assert!(acme().warnings().is_empty() && with(None, server()).warnings().is_empty());
    assert!(with(Some("ID"), server()).warnings()[0].contains("same as the client id"));
    let silent = Server { client_auth: Some(ClientAuth::None), ..server() };
    assert!(with(Some("S"), silent).warnings()[0].contains("client_auth"));
}
