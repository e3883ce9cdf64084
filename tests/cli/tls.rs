//! HTTPS and proxies: certificates are always checked, a private authority is trusted by `SSL_CERT_FILE` alone, this
//! machine is never reached through a proxy, and a proxy's password is never shown.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::support::{Answer, Request, Server, Stored, TestEnv, canary};

const REFRESH: [&str; 7] = ["refresh", "-p", "square", "-o", "none", "--timeout", "5s"];

/// A server that speaks TLS with a certificate of an authority of its own. It lives as long as the test's process.
struct Secure {
    port: u16,
    /// The authority's certificate, in PEM.
    authority: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Secure {
    /// A certificate for `name`. Where `tunnel`, connections begin as through a proxy.
    fn start(name: &str, tunnel: bool) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private)
            })
            .expect("a configuration");
        let (config, requests) = (Arc::new(config), Arc::new(Mutex::default()));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, tunnel, &config, &shared);
            }
        });
        Self { port, authority: authority.pem(), requests }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }
}

/// One connection: perhaps a tunnel, then TLS, a request and a token. A client that goes away is its own business.
fn serve(mut stream: TcpStream, tunnel: bool, config: &Arc<ServerConfig>, requests: &Mutex<Vec<Request>>) {
    drop(stream.set_read_timeout(Some(Duration::from_secs(5))));
    if tunnel {
        let Ok(Some(asked)) = Request::read(&mut stream) else { return };
        requests.lock().expect("no panic").push(asked);
        drop(stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n"));
    }
    let Ok(connection) = ServerConnection::new(Arc::clone(config)) else { return };
    let mut stream = StreamOwned::new(connection, stream);
    let Ok(Some(request)) = Request::read(&mut stream) else { return };
    requests.lock().expect("no panic").push(request);
    let reply = r#"{"access_token":"a","expires_in":86400}"#;
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", reply.len());
    drop(stream.write_all(format!("{head}{reply}").as_bytes()));
    stream.conn.send_close_notify();
    drop(stream.flush());
}

/// An expired token of that address, and certificates to trust.
fn world(url: &str, authority: &str) -> (TestEnv, Stored) {
    let mut env = TestEnv::new();
    let stored = Stored::expired(url);
    stored.put(&mut env);
    env.write("home/ca.pem", authority);
    env.set("SSL_CERT_FILE", env.home().join("ca.pem"));
    (env, stored)
}

#[test]
fn a_private_authority_is_trusted_where_it_is_named() {
    for host in ["localhost", "127.0.0.1"] {
        let server = Secure::start(host, false);
        let (env, stored) = world(&format!("https://{host}:{}", server.port), &server.authority);
        env.tokman(&REFRESH).code(0).stderr_is("");
        assert_eq!(env.read_token(&stored.key)["access_token"], "a");
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn an_authority_that_nobody_named_is_refused_before_anything_is_sent() {
    let server = Secure::start("localhost", false);
    let other = Secure::start("localhost", false);
    let (mut env, stored) = world(&format!("https://localhost:{}", server.port), &other.authority);
    env.tokman(&REFRESH).code(7).stderr_has("cannot connect to localhost:").stderr_has("certificate");
    // The system's authorities do not know it either.
    env.unset("SSL_CERT_FILE");
    env.tokman(&REFRESH).code(7).stderr_has("certificate");
    assert_eq!(env.read_token(&stored.key), stored.record());
    assert!(server.requests().is_empty());
}

#[test]
fn a_certificate_of_another_host_is_refused_before_anything_is_sent() {
    let server = Secure::start("other.example", false);
    let (env, stored) = world(&format!("https://localhost:{}", server.port), &server.authority);
    env.tokman(&REFRESH).code(7).stderr_has("certificate");
    assert_eq!(env.read_token(&stored.key), stored.record());
    assert!(server.requests().is_empty());
}

#[test]
fn certificates_that_cannot_be_read_are_a_fault_of_the_configuration() {
    let server = Secure::start("localhost", false);
    let (mut env, _) = world(&format!("https://localhost:{}", server.port), "no certificate");
    env.tokman(&REFRESH).code(3).stderr_has("no certificate can be read from SSL_CERT_FILE");
    env.set("SSL_CERT_FILE", env.home().join("nowhere.pem"));
    env.tokman(&REFRESH).code(3).stderr_has("nowhere.pem");
    assert!(server.requests().is_empty());
}

#[test]
fn tls_to_a_port_that_speaks_none_is_a_failed_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&seen);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = vec![0; 4096];
            let n = stream.read(&mut bytes).unwrap_or_default();
            shared.lock().expect("no panic").extend_from_slice(&bytes[..n]);
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let mut env = TestEnv::new();
    let stored = Stored::expired(&format!("https://127.0.0.1:{port}"));
    stored.put(&mut env);
    env.tokman(&REFRESH).code(7).stderr_has("cannot connect to 127.0.0.1:");
    let seen = String::from_utf8_lossy(&seen.lock().expect("no panic")).into_owned();
    assert!(!seen.is_empty() && !seen.contains("canary"), "{seen}");
    assert_eq!(env.read_token(&stored.key), stored.record());
}

const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

#[test]
fn this_machine_is_never_reached_through_a_proxy() {
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    thread::spawn(move || {
        for _ in proxy.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let plain = Server::with(|_, _| Answer::json(200, json!({"access_token": "a", "expires_in": 1}))).exactly(1);
    let secure = Secure::start("localhost", false);
    for url in [plain.url(), format!("https://localhost:{}", secure.port)] {
        let (mut env, _) = world(&url, &secure.authority);
        for name in PROXIES {
            env.set(name, &address);
        }
        env.tokman(&REFRESH).code(0).stderr_is("");
    }
    assert_eq!((asked.load(Ordering::SeqCst), secure.requests().len()), (0, 1));
    plain.finish();
}

#[test]
fn other_hosts_are_reached_through_the_proxy_and_its_password_is_not_shown() {
    let server = Secure::start("provider.example", true);
    let (mut env, stored) = world("https://provider.example", &server.authority);
    env.set("HTTPS_PROXY", format!("http://user:{}@127.0.0.1:{}", canary("proxy"), server.port));
    let args: Vec<&str> = REFRESH.into_iter().chain(["-vv"]).collect();
    env.tokman(&args).code(0).stderr_has("> POST https://provider.example/oauth2/token");
    assert_eq!(env.read_token(&stored.key)["access_token"], "a");
    let requests = server.requests();
    let [connect, request] = &requests[..] else { panic!("{} requests", requests.len()) };
    assert_eq!((&connect.method[..], &connect.path[..]), ("CONNECT", "provider.example:443"));
    assert!(connect.header("proxy-authorization").is_some());
    assert!(request.header("proxy-authorization").is_none(), "the proxy's password went to the provider");
}

#[test]
fn a_proxy_that_is_not_there_or_refuses_is_told_without_its_password() {
    let nobody = crate::support::server::nobody().replace("http://", "");
    let refusing = Server::with(|_, _| Answer::html(407, "<html>no</html>"));
    let (mut env, stored) = world("https://provider.example", "");
    env.unset("SSL_CERT_FILE");
    for address in [nobody, refusing.url().replace("http://", "")] {
        env.set("HTTPS_PROXY", format!("http://user:{}@{address}", canary("proxy")));
        let args: Vec<&str> = REFRESH.into_iter().chain(["-vv"]).collect();
        env.tokman(&args).code(7).stderr_has("cannot connect to provider.example");
        assert_eq!(env.read_token(&stored.key), stored.record());
    }
    refusing.finish();
}

#[test]
fn a_proxy_that_cannot_be_read_is_refused_and_nothing_goes_past_it() {
    let mut env = TestEnv::new();
    env.write_config("[provider.acme]\nkind = \"oauth2\"\ntoken_endpoint = \"https://example.invalid/token\"\n");
    env.set("TOKMAN_ACME_CLIENT_ID", "id");
    let secret = canary("proxy");
    let values = ["garbage::", "http:/127.0.0.1:1", "ftp://127.0.0.1:1", "http://127.0.0.1:99999"].map(str::to_owned);
    let with_password = format!("ftp://user:{secret}@127.0.0.1:1");
    for value in values.into_iter().chain([with_password]) {
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            env.set(name, &value);
            let obtain = ["obtain", "-p", "acme", "--client-credentials", "-o", "none"];
            let run = env.tokman(&obtain);
            run.code(3).stderr_has(&format!("{name} is no address of a proxy")).stderr_lacks("127.0.0.1");
            run.stderr_lacks("try again later");
            env.unset(name);
        }
    }
    env.set(
        "HTTPS_PROXY",
        <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(b"http://127.0.0.1:1\xff".to_vec()),
    );
    let run = env.tokman(&["obtain", "-p", "acme", "--client-credentials", "-o", "none"]);
    run.code(3).stderr_has("HTTPS_PROXY is not UTF-8 text").stderr_lacks("127.0.0.1");
}
