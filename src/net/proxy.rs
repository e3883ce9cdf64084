//! The proxy of the environment, looked at before the HTTP client reads it: that passes over what it cannot read, and
//! then goes straight to where the person meant a proxy to stand. Nothing here shows a value: there may be a password in it.

use http::Uri;

use crate::env;

/// Whether the variables that name a proxy for https say what the client understands.
///
/// # Errors
/// Which one does not, in words.
pub(super) fn check() -> Result<(), String> {
    for names in env::PROXIES {
        let Some((name, value)) = env::first_set(names) else { continue };
        let value = value.to_str().ok_or_else(|| format!("{name} {}", env::NotText))?;
        if value.is_empty() {
            continue;
        }
        if !is_proxy(value) {
            return Err(format!("{name} is no address of a proxy, as http://HOST:PORT is; nothing is sent past it"));
        }
        return match env::first_set(env::NO_PROXY) {
            Some((name, value)) if value.to_str().is_none() => Err(format!("{name} {}", env::NotText)),
            _ => Ok(()),
        };
    }
    Ok(())
}

/// Whether it is `[SCHEME://][USER:PASSWORD@]HOST[:PORT][/]`. What speaks SOCKS is one, which the client refuses in its
/// own words.
fn is_proxy(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let known = |scheme: &str| matches!(scheme, "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h");
    let Some(authority) = uri.authority() else { return false };
    let host = authority.as_str().split_once('@').map_or(authority.as_str(), |(_, host)| host);
    // A colon that no port follows, or no number.
    let port = authority.host().len() == host.len() || authority.port_u16().is_some_and(|port| port != 0);
    uri.scheme_str().is_none_or(known)
        && !authority.host().is_empty()
        && !host.contains('@')
        && port
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_proxy_from_what_the_client_would_pass_over() {
        for good in [
            "http://proxy:3128",
            "http://proxy:3128/",
            "https://user:p%40ss@proxy.example",
            "proxy:3128",
            "proxy",
            "http://[::1]:3128",
            "socks5://127.0.0.1:1",
        ] {
            assert!(is_proxy(good), "{good}");
        }
        for bad in [
            "garbage::",
            "http:/127.0.0.1:1",
            "http:127.0.0.1:1",
            "ftp://127.0.0.1:1",
            "http://",
            "http://:3128",
            "http://proxy:99999",
            "http://proxy:",
            "http://proxy:0",
            "http://user:p@ss@proxy:1",
            "http://proxy:1/path",
            "http://proxy:1?x",
            "http://proxy:1\n",
            " http://proxy:1",
            "/proxy",
            "*",
        ] {
            assert!(!is_proxy(bad), "{bad}");
        }
    }
}
