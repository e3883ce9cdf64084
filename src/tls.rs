//! TLS: which library, which versions, which certificates are trusted. The one place that names a crypto provider.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::CertificateResult;

use crate::env;

/// Where systems keep their trusted certificates in one file: one read instead of hundreds.
#[cfg(not(any(windows, target_os = "macos")))]
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// TLS 1.2 and newer with the trusted certificates of `SSL_CERT_FILE` and `SSL_CERT_DIR`, else of the system, else
/// Mozilla's.
///
/// # Errors
/// Where certificates are named that cannot be read, in words.
pub fn config() -> Result<ClientConfig, String> {
    with_roots(roots()?)
}

/// TLS that trusts the certificates of one file and no others.
///
/// # Errors
/// Where none can be read from it, in words.
pub fn trusting(file: &Path) -> Result<ClientConfig, String> {
    let roots = load(Some(file), None);
    if roots.is_empty() {
        return Err(format!("no certificate can be read from {}", file.display()));
    }
    with_roots(roots)
}

/// TLS that trusts nobody: for http on loopback, where none is needed but the client wants one.
///
/// # Errors
/// Where the library refuses its own defaults.
pub fn none() -> Result<ClientConfig, String> {
    with_roots(RootCertStore::empty())
}

fn with_roots(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn roots() -> Result<RootCertStore, String> {
    if let Some((file, dir)) = env::trusted_certificates() {
        let roots = load(file.as_deref(), dir.as_deref());
        // Whoever names certificates wants these and no others.
        return if roots.is_empty() {
            let named: Vec<String> =
                [file, dir].into_iter().flatten().map(|path: PathBuf| path.display().to_string()).collect();
            Err(format!("no certificate can be read from SSL_CERT_FILE or SSL_CERT_DIR ({})", named.join(", ")))
        } else {
            Ok(roots)
        };
    }
    let roots = system_roots();
    if roots.is_empty() {
        log::debug!("no trusted certificates on this system: using Mozilla's, built in");
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    }
    Ok(roots)
}

#[cfg(not(any(windows, target_os = "macos")))]
fn system_roots() -> RootCertStore {
    BUNDLES
        .iter()
        .map(Path::new)
        .filter(|path| path.is_file())
        .map(|path| load(Some(path), None))
        .find(|roots| !roots.is_empty())
        .unwrap_or_else(RootCertStore::empty)
}

#[cfg(any(windows, target_os = "macos"))]
fn system_roots() -> RootCertStore {
    store(rustls_native_certs::load_native_certs())
}

fn load(file: Option<&Path>, dir: Option<&Path>) -> RootCertStore {
    store(rustls_native_certs::load_certs_from_paths(file, dir))
}

fn store(loaded: CertificateResult) -> RootCertStore {
    for error in &loaded.errors {
        log::debug!("a trusted certificate cannot be read: {error}");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_a_configuration_that_trusts_somebody() {
        assert!(config().is_ok());
        assert!(!roots().unwrap().is_empty());
    }
}
