//! What the benches measure tokman against: a token endpoint that takes its time, a client that does nothing but post
//! to it, and loops that do nothing but write files durably.
//!
//! ```text
//! peer serve MILLISECONDS [FILE]   prints its address; with each line on stdin the number of connections and requests.
//!                                  With FILE it speaks TLS, and writes there the certificate of its own authority
//! peer post ADDRESS JOBS NUMBER    that many posts over that many connections
//! peer write DIRECTORY NUMBER      create, fsync, rename, fsync of the directory, that many times, over what is there
//! peer fsync DIRECTORY NUMBER      create and fsync, that many times; prints the microseconds of one, the median
//! ```
#![expect(clippy::expect_used, reason = "a bench that cannot be made ends")]
#![expect(clippy::print_stdout, clippy::disallowed_macros, clippy::disallowed_methods, reason = "no part of tokman")]

use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
static REQUESTS: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).expect("a number");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match words.first().map(String::as_str) {
        Some("serve") => {
            let acceptor = words.get(2).map(|file| authority(Path::new(file)));
            runtime.block_on(serve(Duration::from_millis(number(1) as u64), acceptor));
        }
        Some("post") => runtime.block_on(post(&words[1], number(2), number(3))),
        Some("write") => write(Path::new(&words[1]), number(2)),
        Some("fsync") => println!("{}", fsync(Path::new(&words[1]), number(2)).as_micros()),
        _ => panic!("serve, post, write or fsync"),
    }
}

/// What an answer of Square's looks like, with tokens of the usual length.
fn answer(number: usize) -> String {
    let merchant = number % 1_000_000;
    format!(
        "{{\"access_token\":\"EAAAE{number:0>59}\",\"token_type\":\"bearer\",\"expires_at\":\"2099-01-01T00:00:00Z\",\
         \"merchant_id\":\"M{merchant:0>12}\",\"refresh_token\":\"EQAAE{number:0>59}\",\"short_lived\":false}}"
    )
}

/// TLS with a certificate for 127.0.0.1 of a new authority, whose own certificate it writes to `file`.
fn authority(file: &Path) -> TlsAcceptor {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // OpenSSL takes a certificate for self-signed whose name is its issuer's.
    params.distinguished_name.push(DnType::CommonName, "authority");
    let key = KeyPair::generate().expect("a key");
    fs::write(file, params.self_signed(&key).expect("a certificate").pem()).expect("a file");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, "peer");
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private))
        .expect("a configuration");
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(latency: Duration, acceptor: Option<TlsAcceptor>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    println!("{scheme}://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(|| {
        for _ in std::io::stdin().lock().lines() {
            println!("{} {}", CONNECTIONS.swap(0, Ordering::SeqCst), REQUESTS.swap(0, Ordering::SeqCst));
        }
        std::process::exit(0);
    });
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.set_nodelay(true);
        CONNECTIONS.fetch_add(1, Ordering::SeqCst);
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match acceptor {
                None => attend(stream, latency).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        attend(stream, latency).await;
                    }
                }
            }
        });
    }
}

/// One connection, to its end.
async fn attend(stream: impl AsyncRead + AsyncWrite + Unpin, latency: Duration) {
    let service = service_fn(move |request: Request<Incoming>| async move {
        let _ = request.into_body().collect().await;
        let number = REQUESTS.fetch_add(1, Ordering::SeqCst);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let answer = Response::builder()
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(answer(number))))
            .expect("an answer");
        Ok::<_, Infallible>(answer)
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn post(address: &str, jobs: usize, number: usize) {
    let host = address.trim_start_matches("http://").to_owned();
    let body = "{\"client_id\":\"c\",\"client_secret\":\"s\",\"grant_type\":\"refresh_token\",\"refresh_token\":\"r\"}";
    let request = format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let left = Arc::new(AtomicUsize::new(number));
    let mut tasks = Vec::new();
    for _ in 0..jobs {
        let (host, request, left) = (host.clone(), request.clone(), left.clone());
        tasks.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(&host).await.expect("a connection");
            let _ = stream.set_nodelay(true);
            let mut buffer = vec![0; 4096];
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                stream.write_all(request.as_bytes()).await.expect("a request sent");
                let mut read = 0;
                while !buffer[..read].ends_with(b"}") {
                    read += stream.read(&mut buffer[read..]).await.expect("an answer");
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("a task that ends");
    }
}

/// What a stored token weighs.
const TEXT: [u8; 900] = [b' '; 900];

fn write(directory: &Path, number: usize) {
    fs::create_dir_all(directory).expect("a directory");
    let whole = File::open(directory).expect("a directory");
    for at in 0..number {
        let (new, path) = (directory.join(format!(".{at}.new")), directory.join(format!("m{at:0>7}.json")));
        create(&new);
        fs::rename(&new, &path).and_then(|()| whole.sync_all()).expect("a durable name");
    }
}

fn fsync(directory: &Path, number: usize) -> Duration {
    fs::create_dir_all(directory).expect("a directory");
    let mut each: Vec<Duration> = (0..number)
        .map(|at| {
            let began = Instant::now();
            create(&directory.join(at.to_string()));
            began.elapsed()
        })
        .collect();
    each.sort_unstable();
    each[number / 2]
}

/// A new file that is on the disk.
fn create(path: &Path) {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("a file");
    file.write_all(&TEXT).and_then(|()| file.sync_all()).expect("a durable file");
}
