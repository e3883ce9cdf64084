//! The address of a PostgreSQL store: which host, which database, who comes, and that nobody else listens. What is
//! weaker than a checked certificate is for this machine only.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::passfile::{self, Wanted};
use crate::config::{ConfigError, Origin, paths};
use crate::model::Secret;
use crate::{env, fsutil};

/// PostgreSQL's own port.
const PORT: u16 = 5432;

/// The most that is read of a password file.
const LIMIT: u64 = 1 << 20;

/// The parameters that an address may have.
const PARAMETERS: [&str; 9] =
    ["host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "passfile", "application_name"];

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresHost {
    /// A name or an address.
    Tcp(String),
    /// The directory of a Unix socket.
    Socket(PathBuf),
}

impl PostgresHost {
    /// Whether it is this machine, by its spelling and not by what a resolver says.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        }
    }
}

/// A PostgreSQL store. Its `Display` has no password in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// The host.
    pub host: PostgresHost,
    /// The port; it names the socket too.
    pub port: u16,
    /// Who comes.
    pub user: String,
    /// The database.
    pub database: String,
    /// What the server calls this client in its views.
    pub application_name: String,
    /// Whether the connection is encrypted and the server's certificate and name are checked.
    pub tls: bool,
    /// The certificates to trust; absent where the system's are.
    pub roots: Option<PathBuf>,
    /// The password in the address; absent where it is elsewhere.
    password: Option<Secret>,
    /// The password file that the address names.
    passfile: Option<PathBuf>,
}

/// Why an address is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// It is not written as one.
    Wrong(String),
    /// It is, but it is not safe.
    Unsafe(String),
}

impl PostgresSettings {
    /// Parses `postgres://user@host:port/database?sslmode=…`, as libpq has it; no message shows a part of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Objection> {
        let wrong = |why: &str| Objection::Wrong(why.to_owned());
        let url = Url::parse(text).map_err(|_| wrong("write postgres://USER@HOST/DATABASE"))?;
        for (at, (name, _)) in url.query_pairs().enumerate() {
            if !PARAMETERS.contains(&name.as_ref()) {
                let known = PARAMETERS.join(", ");
                return Err(Objection::Wrong(format!("parameter {} is none of {known}", at + 1)));
            }
        }
        let parameter = |wanted: &str| {
            let found = url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
            found.filter(|value| !value.is_empty())
        };
        let decoded = |part: &str| decode(part).filter(|part| !part.is_empty());
        let host = parameter("host").or_else(|| decoded(url.host_str()?));
        let host = host.ok_or_else(|| wrong("it names no host: postgres://USER@HOST/DATABASE"))?;
        if host.contains(',') {
            return Err(wrong("it names several hosts; one address that moves with the primary is what is needed"));
        }
        let host = if host.starts_with('/') {
            PostgresHost::Socket(host.into())
        } else {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
            PostgresHost::Tcp(bare.to_ascii_lowercase())
        };
        let port = match parameter("port") {
            Some(port) => port.parse().map_err(|_| wrong("its port is no number"))?,
            None => url.port().unwrap_or(PORT),
        };
        let user = parameter("user").or_else(|| decoded(url.username()));
        let user = user.ok_or_else(|| wrong("it names no user: postgres://USER@HOST/DATABASE"))?;
        if user.contains(':') {
            return Err(wrong("its user has a colon in it, as if a password followed"));
        }
        let database = parameter("dbname").or_else(|| decoded(url.path().trim_start_matches('/')));
        Ok(Self {
            tls: checks(parameter("sslmode").as_deref(), &host)?,
            host,
            port,
            database: database.unwrap_or_else(|| user.clone()),
            user,
            application_name: parameter("application_name").unwrap_or_else(|| "tokman".to_owned()),
            roots: parameter("sslrootcert")
                .map(PathBuf::from)
                .or_else(|| env::path(env::PGSSLROOTCERT))
                // libpq's word for what is done where nothing is said.
                .filter(|path| path != Path::new("system")),
            password: parameter("password").or_else(|| decoded(url.password()?)).map(Secret::new),
            passfile: parameter("passfile").map(PathBuf::from),
        })
    }

    /// The password: of the address, of `PGPASSWORD`, of the password file; `None` where there is none, for servers
    /// that know this machine's users.
    ///
    /// # Errors
    /// A password file that cannot be read, or that others can read.
    pub fn password(&self) -> Result<Option<Secret>, ConfigError> {
        if let Some(password) = &self.password {
            return Ok(Some(password.clone()));
        }
        let unreadable = |why: env::NotText| ConfigError::Value {
            origin: Origin::Env(env::PGPASSWORD.to_owned()),
            why: why.to_string(),
        };
        if let Some(password) = env::strict(env::PGPASSWORD).map_err(unreadable)? {
            return Ok(Some(Secret::new(password)));
        }
        let named = self.passfile.clone().or_else(|| env::path(env::PGPASSFILE));
        let Some(path) = named.or_else(paths::pgpass) else { return Ok(None) };
        let Some(bytes) = fsutil::read_private(&path, LIMIT)? else { return Ok(None) };
        let text = Secret::new(String::from_utf8(bytes).map_err(|_| ConfigError::Secret {
            what: "the password of the database".to_owned(),
            why: format!("{} is not text", path.display()),
        })?);
        let host = match &self.host {
            PostgresHost::Tcp(name) => Cow::Borrowed(name.as_str()),
            PostgresHost::Socket(dir) => dir.to_string_lossy(),
        };
        let wanted = Wanted { host: &host, port: self.port, database: &self.database, user: &self.user };
        Ok(passfile::find(text.expose(), wanted))
    }
}

impl fmt::Display for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, port, database, .. } = self;
        match &self.host {
            PostgresHost::Tcp(name) if name.contains(':') => write!(f, "postgres://{user}@[{name}]:{port}/{database}"),
            PostgresHost::Tcp(name) => write!(f, "postgres://{user}@{name}:{port}/{database}"),
            PostgresHost::Socket(dir) => {
                write!(f, "postgres://{user}@:{port}/{database}?host={}", dir.display())
            }
        }
    }
}

/// Whether an address has a password in it. What cannot be parsed may have one all the same.
#[must_use]
pub fn has_password(url: &str) -> bool {
    let by_eye =
        || url.split_once("://").is_some_and(|(_, rest)| rest.split('@').next().unwrap_or_default().contains(':'));
    Url::parse(url).map_or_else(
        |_| url.contains("password=") || (url.contains('@') && by_eye()),
        |url| url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password"),
    )
}

/// Whether `sslmode` asks for a checked certificate; the default where the host is not this machine.
fn checks(mode: Option<&str>, host: &PostgresHost) -> Result<bool, Objection> {
    match (mode, host) {
        (None, _) => Ok(!host.is_local()),
        // There is nobody to listen in on a socket, and no name to check.
        (Some("disable" | "allow" | "prefer"), host) if host.is_local() => Ok(false),
        (Some(_), PostgresHost::Socket(_)) => {
            Err(Objection::Wrong("TLS is not spoken on a Unix socket: leave sslmode out".to_owned()))
        }
        (Some("verify-full"), _) => Ok(true),
        (Some("require" | "verify-ca"), host) if host.is_local() => Ok(true),
        (Some("disable" | "allow" | "prefer" | "require" | "verify-ca"), _) => Err(Objection::Unsafe(
            "that sslmode lets others pose as the database; only verify-full is taken for a host that is not this \
             machine (sslrootcert names the certificates to trust)"
                .to_owned(),
        )),
        _ => Err(Objection::Wrong("its sslmode is none of PostgreSQL's; verify-full is the one to use".to_owned())),
    }
}

fn decode(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> PostgresSettings {
        PostgresSettings::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    #[test]
    fn reads_addresses_as_libpq_writes_them() {
        for (text, shown) in [
            ("postgres://tokman@db.internal/tokens", "postgres://tokman@db.internal:5432/tokens"),
            ("postgresql://u%40x:canary@DB:6432/", "postgres://u@x@db:6432/u@x"),
            ("postgres://u@[::1]/d", "postgres://u@[::1]:5432/d"),
            ("postgres://u@%2Frun%2Fpg/d", "postgres://u@:5432/d?host=/run/pg"),
            ("postgres:///d?host=/run/pg&user=u&password=canary&port=1", "postgres://u@:1/d?host=/run/pg"),
        ] {
            let settings = parse(text);
            assert_eq!(settings.to_string(), shown);
            assert!(!format!("{settings:?}").contains("canary"));
        }
        assert_eq!(parse("postgres://u:a%3Ab@db/d").password, Some(Secret::new("a:b")));
    }

    #[test]
    fn checks_certificates_unless_the_host_is_this_machine() {
        for (text, tls) in [
            ("postgres://u@db/d", true),
            ("postgres://u@db/d?sslmode=verify-full", true),
            ("postgres://u@localhost/d", false),
            ("postgres://u@127.0.0.1/d", false),
            ("postgres://u@[::1]/d", false),
            ("postgres://u@%2Frun/d", false),
            ("postgres://u@localhost/d?sslmode=verify-full", true),
            ("postgres://u@localhost/d?sslmode=require", true),
            ("postgres://u@localhost/d?sslmode=prefer", false),
        ] {
            assert_eq!(parse(text).tls, tls, "{text}");
        }
        for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
            for host in ["db", "localhost.evil.test", "127.0.0.1.evil.test", "10.0.0.1", "0.0.0.0"] {
                let refused = PostgresSettings::parse(&format!("postgres://u@{host}/d?sslmode={mode}"));
                assert!(matches!(refused, Err(Objection::Unsafe(_))), "{host} {mode}");
            }
        }
    }

    #[test]
    fn refuses_what_it_cannot_take_without_showing_it() {
        for text in [
            "postgres:",
            "postgres://db/d",
            "postgres:///d",
            "postgres://u@a,b/d",
            "postgres://u:canary@db/d?canary=1",
            "postgres://u@db/d?sslmode=canary",
            "postgres://u@db/d?port=canary",
            "postgres://u@%2Frun/d?sslmode=verify-full",
        ] {
            match PostgresSettings::parse(text) {
                Err(Objection::Wrong(why)) => assert!(!why.contains("canary"), "{why}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn sees_a_password_wherever_it_stands() {
        for url in ["postgres://u:p@db/x", "postgres://db/x?password=p", "postgres://u:p@h:x/d", "postgres://u:p@[/d"] {
            assert!(has_password(url), "{url}");
        }
        for url in ["file", "file:/x", "postgres://u@db:5432/x", "postgres://u@db/x?host=/run"] {
            assert!(!has_password(url), "{url}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_leaves_this_machine_unchecked(text in "postgres://[a-z0-9.@:#%/?=&,\\[\\]-]{0,60}") {
            if let Ok(settings) = PostgresSettings::parse(&text) {
                prop_assert!(settings.tls || settings.host.is_local());
            }
        }
    }
}
