//! A PostgreSQL of the tests' own: a cluster in a directory of its own, on ports and sockets of its own, that logs every
//! statement with all that was bound. It is stopped and removed when the tests end, however they end.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::env::TestEnv;
use super::light::{self, Ended};
use super::report::skipped;
use super::rotating::Rotating;
use super::secrets::{canary, sealing_key};

/// The user that owns the clusters and may do everything in them.
const OWNER: &str = "postgres";

/// The address that a bridge of the tests has on this machine: another one in another run.
pub fn bridge() -> &'static str {
    static ADDRESS: LazyLock<String> = LazyLock::new(|| format!("10.213.{}.1", std::process::id() % 250));
    &ADDRESS
}

/// An authority of the tests' own and what it signed.
#[derive(Debug)]
pub struct Authority {
    /// The authority's certificate, in PEM.
    pub pem: String,
    /// The server's certificate and key, in PEM.
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// A certificate for these names.
    pub fn new(names: &[&str]) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let signed = CertificateParams::new(names).and_then(|params| params.signed_by(&key, &issuer));
        let certificate = signed.expect("a certificate").pem();
        Self { pem: authority.pem(), certificate, key: key.serialize_pem() }
    }
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    dir: PathBuf,
    pub port: u16,
    pub authority: Authority,
    /// Ends the cluster when its stdin closes: also where this process is killed.
    _guard: Child,
}

/// Where the server's programs are; absent, and said so, where there are none.
fn programs() -> Option<&'static Path> {
    static FOUND: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
        found.retain(|dir| dir.join("initdb").exists() && dir.join("pg_ctl").exists());
        found.sort();
        // The server refuses root: root needs somebody to become.
        let somebody = !rustix::process::geteuid().is_root() || works("runuser", &["-u", OWNER, "--", "true"]);
        found.pop().filter(|_| somebody)
    });
    FOUND.as_deref()
}

fn works(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A program as the user that the server runs as.
fn as_owner(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", OWNER, "--"]).arg(program);
    command
}

/// Starts a shell that waits for the end of its stdin: in a process group of its own, as it has to outlive the tests.
pub fn watching(shell: &mut Command) -> Child {
    shell.process_group(0).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a shell")
}

fn done(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("a program that starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The cluster that tests share; absent, and said so, where there is no PostgreSQL.
pub fn shared(what: &str) -> Option<&'static Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    if programs().is_none() {
        skipped(what, "there is no PostgreSQL server here, or nobody to run it as");
    }
    SHARED.get_or_init(|| Cluster::start("127.0.0.1")).as_ref()
}

/// A cluster that a test may stop.
pub fn own(what: &str) -> Option<Cluster> {
    if programs().is_none() {
        skipped(what, "there is no PostgreSQL server here, or nobody to run it as");
    }
    Cluster::start("127.0.0.1")
}

impl Cluster {
    /// Starts one that listens at these addresses.
    pub fn start(addresses: &str) -> Option<Self> {
        let programs = programs()?.to_owned();
        let kept = tempfile::Builder::new().prefix("tokman-pg-").tempdir().expect("a directory").keep();
        let data = kept.join("data");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        if rustix::process::geteuid().is_root() {
            done(with(Command::new("chown"), &["-R", OWNER, &kept.to_string_lossy()]));
        }
        let stop = "cat >/dev/null; \"$1\" -D \"$2/data\" -m immediate stop >/dev/null 2>&1; rm -rf \"$2\"";
        let mut guard = as_owner(Path::new("/bin/sh"));
        guard.stdout(Stdio::null()).args(["-c", stop, "sh"]).arg(programs.join("pg_ctl")).arg(&kept);
        let guard = watching(&mut guard);
        let data_text = data.to_string_lossy().into_owned();
        let args = ["-D", &data_text, "-U", OWNER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"];
        done(with(as_owner(&programs.join("initdb")), &args));
        let authority = Authority::new(&["localhost", bridge()]);
        let cluster = Self { programs, dir: kept, port, authority, _guard: guard };
        let dir = cluster.dir.to_string_lossy().into_owned();
        cluster.write("data/server.crt", &cluster.authority.certificate);
        cluster.write("data/server.key", &cluster.authority.key);
        let settings = format!(
            "listen_addresses = '{addresses}'\nport = {port}\nunix_socket_directories = '{dir}'\nmax_connections = 250\nlog_line_prefix = '%d '\n\
             ssl = on\nlog_statement = all\nlog_min_duration_statement = 0\nlog_parameter_max_length = -1\n\
             log_parameter_max_length_on_error = -1\npassword_encryption = scram-sha-256\n"
        );
        cluster.append("data/postgresql.conf", &settings);
        let hosts = format!(
            "local all {OWNER} trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n\
             hostssl all all {}/24 scram-sha-256\n",
            bridge()
        );
        cluster.write("data/pg_hba.conf", &hosts);
        cluster.run();
        Some(cluster)
    }

    /// Writes a file as the server's own.
    fn write(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        let made = fs::OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        made.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
        if rustix::process::geteuid().is_root() {
            done(with(Command::new("chown"), &[OWNER, &path.to_string_lossy()]));
        }
        done(with(Command::new("chmod"), &["600", &path.to_string_lossy()]));
    }

    fn append(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        let mut file = fs::OpenOptions::new().append(true).open(path).expect("a file");
        file.write_all(text.as_bytes()).expect("a file");
    }

    fn control(&self, args: &[&str]) -> Command {
        let (data, log) = (self.dir.join("data"), self.dir.join("log"));
        let mut command = as_owner(&self.programs.join("pg_ctl"));
        command.arg("-D").arg(data).arg("-l").arg(log).args(["-w", "-s"]).args(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts the server, if it does not run.
    pub fn run(&self) {
        let started = self.control(&["start"]).stdin(Stdio::null()).status();
        assert!(started.is_ok_and(|status| status.success()), "{}", self.log());
    }

    /// Stops the server: who is connected is cut off.
    pub fn stop(&self) {
        let stopped = self.control(&["stop", "-m", "fast"]).stdin(Stdio::null()).status();
        assert!(stopped.is_ok_and(|status| status.success()), "{}", self.log());
    }

    /// All that the server logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("log")).unwrap_or_default()).into_owned()
    }

    /// The statements that a database was asked so far, but for those of the tests themselves.
    pub fn statements(&self, database: &str) -> usize {
        let asked = format!("{database} LOG:  execute <unnamed>: ");
        self.log().lines().filter(|line| line.starts_with(&asked)).count()
    }

    /// A program of PostgreSQL as the one who may do everything.
    fn program(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.arg("-h").arg(&self.dir).args(["-p", &self.port.to_string(), "-U", OWNER]).args(args);
        command
    }

    /// The text of a database as a backup has it.
    pub fn dump(&self, database: &str) -> String {
        done(self.program("pg_dump", &["-d", database]))
    }

    /// Runs statements, one after the other, and what they print; they come on stdin.
    #[track_caller]
    pub fn sql(&self, database: &str, text: &str) -> String {
        let mut command = self.program("psql", &["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database]);
        let mut psql =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql");
        drop(psql.stdin.take().map(|mut stdin| stdin.write_all(text.as_bytes())));
        let output = psql.wait_with_output().expect("psql");
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// A database that nobody else uses, and a role that may make a schema in it.
    pub fn database(&self) -> Database<'_> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("t{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        let password = canary("database");
        self.sql(
            "postgres",
            &format!(
                "SET log_statement = none; SET log_min_duration_statement = -1;\n\
                 CREATE ROLE {name} LOGIN PASSWORD '{password}';\nCREATE DATABASE {name} OWNER {OWNER};\n\
                 GRANT CREATE ON DATABASE {name} TO {name};\n"
            ),
        );
        Database { cluster: self, name, password, sealing: sealing_key() }
    }
}

fn with(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}

/// A database and the role that uses it, of the same name.
#[derive(Debug)]
pub struct Database<'a> {
    pub cluster: &'a Cluster,
    pub name: String,
    pub password: String,
    pub sealing: String,
}

impl Database<'_> {
    /// Its address, without the password.
    pub fn url(&self) -> String {
        self.url_at("127.0.0.1", self.cluster.port)
    }

    /// The same by another host and port.
    pub fn url_at(&self, host: &str, port: u16) -> String {
        format!("postgres://{0}@{host}:{port}/{0}", self.name)
    }

    /// Tells a world to keep its tokens here.
    pub fn serve(&self, env: &mut TestEnv) {
        env.set("TOKMAN_STORE", self.url());
        env.set("PGPASSWORD", &self.password);
        env.set("TOKMAN_STORE_KEY", &self.sealing);
    }

    /// A world whose `square/default` is the server's grant, stored here: its access token has expired.
    #[track_caller]
    pub fn world(&self, server: &Rotating) -> TestEnv {
        let mut env = server.world();
        self.serve(&mut env);
        bring_in(&env);
        env
    }

    /// Runs statements as the one who may do everything.
    #[track_caller]
    pub fn sql(&self, text: &str) -> String {
        self.cluster.sql(&self.name, text)
    }

    /// A column of the row of a key.
    #[track_caller]
    pub fn column(&self, key: &str, column: &str) -> String {
        self.sql(&format!("SELECT {column} FROM tokman.token WHERE provider || '/' || profile = '{key}';"))
    }
}

/// Moves `square/default` from its file into the database, as a rescued record.
#[track_caller]
pub fn bring_in(env: &TestEnv) {
    let file = env.token_path("square/default").to_string_lossy().into_owned();
    let end = light::run(light::tokman(env, &["import", "-p", "square", "--rescue", &file]));
    assert_eq!(end.code, Some(0), "{end:?}");
}

/// Brings the one rescue file of a world back.
#[track_caller]
pub fn bring_back(env: &TestEnv) -> Ended {
    let dir = env.home().join(".local/state/tokman");
    let files: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let [file] = &files[..] else { panic!("one rescue file, not {files:?}") };
    light::run(light::tokman(env, &["import", "-p", "square", "--rescue", &file.to_string_lossy()]))
}

/// Rows that nobody can change while this is held.
#[derive(Debug)]
pub struct HeldRows(Child);

impl HeldRows {
    /// Lets others have them.
    pub fn release(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

impl Drop for HeldRows {
    fn drop(&mut self) {
        self.release();
    }
}

/// A pooler that gives each transaction a connection of its own, until this is dropped or this process ends.
#[derive(Debug)]
pub struct Pooler {
    pub port: u16,
    guard: Child,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        drop(self.guard.wait());
    }
}

impl Database<'_> {
    /// Starts a pooler before this database; absent, and said so, where there is none.
    pub fn pooler(&self, what: &str) -> Option<Pooler> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            skipped(what, "there is no pgbouncer here");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let (name, cluster) = (&self.name, self.cluster);
        cluster.write(&format!("{name}.users"), &format!("\"{name}\" \"{}\"\n", self.password));
        let dir = cluster.dir.display();
        let settings = format!(
            "[databases]\n{name} = host=127.0.0.1 port={} dbname={name}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {dir}/{name}.users\n\
             pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 200\n",
            cluster.port
        );
        cluster.write(&format!("{name}.ini"), &settings);
        let script = "\"$1\" -q \"$2\" & pid=$!; cat >/dev/null; kill -INT $pid";
        let mut guard = as_owner(Path::new("/bin/sh"));
        guard.stdout(Stdio::null()).args(["-c", script, "sh", program, &format!("{dir}/{name}.ini")]);
        let guard = watching(&mut guard);
        light::until("the pooler listens", std::time::Duration::from_secs(10), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(Pooler { port, guard })
    }

    /// Locks every row, as another client could.
    pub fn hold_rows(&self) -> HeldRows {
        self.hold("SELECT count(*) FROM (SELECT FROM tokman.token FOR UPDATE) held;")
    }

    /// Locks the table: nobody reads it.
    pub fn hold_table(&self) -> HeldRows {
        self.hold("LOCK TABLE tokman.token; SELECT 1;")
    }

    fn hold(&self, lock: &str) -> HeldRows {
        use std::io::{BufRead as _, BufReader};
        let mut command = self.cluster.program("psql", &["-XAtq", "-d", &self.name]);
        let mut psql =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("psql");
        let lock = format!("BEGIN; {lock}\n");
        psql.stdin.as_mut().map(|stdin| stdin.write_all(lock.as_bytes())).transpose().expect("psql reads");
        let mut line = String::new();
        BufReader::new(psql.stdout.take().expect("a pipe")).read_line(&mut line).expect("psql answers");
        HeldRows(psql)
    }
}
