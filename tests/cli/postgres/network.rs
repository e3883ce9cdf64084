//! Two hosts, in network namespaces of their own, on one database and one provider; one of them is cut off.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::fleet::Fleet;
use crate::bulk::NDJSON;
use crate::support::light;
use crate::support::postgres::{Authority, Cluster, Database, bridge, bring_in, watching};
use crate::support::report::{figure, skipped};
use crate::support::rotating::access_token;
use crate::support::stored_square::CLIENT_ID;
use crate::support::{Gate, Phase, Rotating, Rotation, TestEnv};

const TOKMAN: &str = env!("CARGO_BIN_EXE_tokman");

/// So that a lease lasts ten seconds.
const SHORT: [&str; 5] = ["token", "-p", "square", "--timeout", "5s"];

/// A bridge on this machine and two namespaces at it, until this is dropped or this process ends.
struct Hosts {
    guard: Child,
}

impl Hosts {
    fn name(number: usize) -> String {
        format!("tm{}-{number}", std::process::id() % 100_000)
    }

    /// Absent where this machine does not let the test make them.
    fn new() -> Option<Self> {
        let (name, address) = (format!("tm{}", std::process::id() % 100_000), bridge());
        let network = address.strip_suffix('1').unwrap_or_default();
        let script = format!(
            "down() {{ for n in 1 2; do ip netns del {name}-$n; ip link del {name}v$n; done; ip link del {name}b; }} 2>/dev/null\n\
             up() {{ ip link add {name}b type bridge && ip addr add {address}/24 dev {name}b && ip link set {name}b up &&\n\
             for n in 1 2; do ip netns add {name}-$n && ip link add {name}v$n type veth peer name eth0 netns {name}-$n &&\n\
             ip link set {name}v$n master {name}b up && ip -n {name}-$n addr add {network}1$n/24 dev eth0 &&\n\
             ip -n {name}-$n link set eth0 up && ip -n {name}-$n link set lo up || return 1; done; }}\n\
             up && echo up || echo no\ncat >/dev/null\ndown"
        );
        let mut shell = Command::new("sh");
        // Dropped, it takes down what came up.
        let mut hosts = Self { guard: watching(shell.args(["-c", &script]).stdout(Stdio::piped())) };
        let mut said = [0; 2];
        let read = hosts.guard.stdout.take().map(|mut stdout| stdout.read_exact(&mut said));
        Some(hosts).filter(|_| matches!(read, Some(Ok(()))) && said == *b"up")
    }

    /// Takes a host's cable out, or puts it back.
    fn cable(number: usize, state: &str) {
        let link = format!("tm{}v{number}", std::process::id() % 100_000);
        let done = Command::new("ip").args(["link", "set", &link, state]).status();
        assert!(done.is_ok_and(|status| status.success()), "{link} {state}");
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        drop(self.guard.wait());
    }
}

/// An https address in front of an endpoint; it lives as long as the tests.
fn front(authority: &Authority, upstream: String) -> String {
    let certificate = CertificateDer::from_pem_slice(authority.certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(authority.key.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key));
    let config = Arc::new(config.expect("a configuration"));
    let listener = TcpListener::bind((bridge(), 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, upstream) = (Arc::clone(&config), upstream.clone());
            // A client that goes away is its own business.
            thread::spawn(move || drop(pass_on(stream, config, &upstream)));
        }
    });
    format!("https://{}:{port}", bridge())
}

/// One request and its answer.
fn pass_on(stream: TcpStream, config: Arc<ServerConfig>, upstream: &str) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut outer = StreamOwned::new(connection, stream);
    let mut inner = TcpStream::connect(upstream)?;
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !is_whole(&request) {
        let read = outer.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..read]);
        if read == 0 {
            return Ok(());
        }
    }
    inner.write_all(&request)?;
    let mut answer = Vec::new();
    inner.read_to_end(&mut answer)?;
    outer.write_all(&answer)?;
    outer.conn.send_close_notify();
    outer.flush()
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// Two hosts that share a grant, whose database and provider are elsewhere.
struct World<'a> {
    database: Database<'a>,
    server: Rotating,
    hosts: [TestEnv; 2],
}

impl<'a> World<'a> {
    fn new(cluster: &'a Cluster, server: Rotating) -> Self {
        let database = cluster.database();
        let url = front(&cluster.authority, server.url().replace("http://", ""));
        let hosts = hosts(cluster, &database, &url, "sq0idp-rotating");
        let mut record = server.record("2020-01-01T00:00:00Z");
        record["tokman"]["base_url"] = url.into();
        hosts[0].write_token("square/default", &record);
        bring_in(&hosts[0]);
        Self { database, server, hosts }
    }

    fn start(&self, host: usize, args: &[&str]) -> Child {
        start(&self.hosts, host, args)
    }
}

/// Two hosts that know the database and the provider by the address of the bridge.
fn hosts(cluster: &Cluster, database: &Database<'_>, url: &str, client_id: &str) -> [TestEnv; 2] {
    [(); 2].map(|()| {
        let mut env = TestEnv::new();
        database.serve(&mut env);
        env.write("home/ca.pem", &cluster.authority.pem);
        let ca = env.home().join("ca.pem");
        for (name, value) in [("PGSSLROOTCERT", &ca), ("SSL_CERT_FILE", &ca)] {
            env.set(name, value);
        }
        env.set("TOKMAN_STORE", database.url_at(bridge(), cluster.port));
        env.set("TOKMAN_SQUARE_BASE_URL", url);
        env.set("TOKMAN_SQUARE_CLIENT_ID", client_id);
        env
    })
}

/// Runs tokman on one of the hosts.
fn start(hosts: &[TestEnv; 2], host: usize, args: &[&str]) -> Child {
    let name = Hosts::name(host);
    let args = [&["netns", "exec", &name, TOKMAN], args].concat();
    light::command(&hosts[host - 1], "ip", &args).spawn().expect("a program that starts")
}

#[test]
fn two_hosts_keep_one_grant_when_one_of_them_is_cut_off() {
    let what = "two hosts on one PostgreSQL";
    let Some(_hosts) = Hosts::new() else {
        return skipped(what, "no network namespaces can be made here (needs root and ip)");
    };
    let Some(cluster) = Cluster::start(&format!("127.0.0.1,{}", bridge())) else {
        return skipped(what, "there is no PostgreSQL server here");
    };

    // Both at once: one request.
    let world = World::new(&cluster, Rotating::start(Rotation::Once));
    let children: Vec<Child> = (0..16).map(|n| world.start(1 + n % 2, &["token", "-p", "square"])).collect();
    for end in children.into_iter().map(light::wait) {
        assert!(end.code == Some(0) && end.stdout.trim_end() == access_token(2), "{end:?}");
    }
    assert_eq!(world.server.requests(), 1);

    // Both refresh all keys at once: each key once.
    let fleet = Fleet::new(40);
    let database = cluster.database();
    let url = front(&cluster.authority, fleet.server.url().replace("http://", ""));
    let both = hosts(&cluster, &database, &url, CLIENT_ID);
    fleet.bring_in(&both[0], &url);
    let running = [1, 2].map(|host| start(&both, host, &NDJSON)).into();
    let each = fleet.shared_by(running, &database);
    figure(&format!("40 keys, two hosts at once: {} and {} refreshed, none twice", each[0], each[1]));

    // The first is cut off while its answer is on the way.
    let (gate, first) = (Gate::default(), AtomicBool::new(true));
    let held = gate.clone();
    let server = Rotating::with_hook(Rotation::Grace, move |phase| {
        if phase == Phase::Committed && first.swap(false, Ordering::SeqCst) {
            held.wait(Duration::from_secs(30));
        }
    });
    let world = World::new(&cluster, server);
    let holder = world.start(1, &SHORT);
    world.server.wait_for_requests(1);
    Hosts::cable(1, "down");
    let cut = Instant::now();
    gate.open();
    let next = light::wait(world.start(2, &SHORT));
    assert!(next.code == Some(0) && next.stdout.trim_end() == access_token(2), "{next:?}");
    let took = cut.elapsed();
    let end = light::wait(holder);
    assert!(matches!(end.code, Some(7 | 10)), "{end:?}");
    assert_eq!((world.server.requests(), world.server.commits()), (2, 1), "one request and one replay");
    Hosts::cable(1, "up");
    for host in [2, 1] {
        let end = light::wait(world.start(host, &["refresh", "-p", "square", "-o", "none"]));
        assert_eq!(end.code, Some(0), "host {host}: {end:?}");
    }
    assert_eq!(world.database.column("square/default", "generation"), "5", "each of four refreshes counts once");
    figure(&format!("a host cut off while it held the lease of 10 s: the other had the token after {took:.1?}"));
}
