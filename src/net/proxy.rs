//! The proxy of the environment, looked at before the HTTP client reads it: that passes over what it cannot read, and
//! then goes straight to where the person meant a proxy to stand. Nothing here shows a value: there may be a password in it.

use http::Uri;

use crate::env;

/// Whether the variables that name a proxy for https say what the client understands; of a host that none is for, they
/// need not.
///
/// # Errors
/// Which one does not, in words.
pub(super) fn check(host: &str) -> Result<(), String> {
    for names in env::PROXIES {
        let Some((name, value)) = env::first_set(names) else { continue };
        let value = value.to_str().ok_or_else(|| format!("{name} {}", env::NotText))?;
        if value.is_empty() {
            continue;
        }
        let exempt = env::first_set(env::NO_PROXY);
        let exempt = exempt.map(|(name, value)| value.into_string().map_err(|_| format!("{name} {}", env::NotText)));
        let exempt = exempt.transpose()?.unwrap_or_default();
        return match is_proxy(value) {
            Proxy::Usable => Ok(()),
            _ if is_exempt(host, &exempt) => Ok(()),
            Proxy::Socks => Err(format!("{name} names a SOCKS proxy, and tokman goes through HTTP proxies only")),
            Proxy::None => {
                Err(format!("{name} is no address of a proxy, as http://HOST:PORT is; nothing is sent past it"))
            }
        };
    }
    Ok(())
}

/// Whether a list of NO_PROXY has a host: by its name, a domain above it, or `*`.
fn is_exempt(host: &str, list: &str) -> bool {
    let host = host.to_ascii_lowercase();
    list.split(',').map(|entry| entry.trim().trim_start_matches('.').to_ascii_lowercase()).any(|entry| {
        let above = host.strip_suffix(&entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        entry == "*" || (!entry.is_empty() && above)
    })
}

/// What a variable names.
#[derive(Debug, PartialEq, Eq)]
enum Proxy {
    /// One that the client goes through.
    Usable,
    /// One that speaks SOCKS.
    Socks,
    /// None.
    None,
}

/// Whether it is `[SCHEME://][USER:PASSWORD@]HOST[:PORT]`; a path behind it says nothing.
fn is_proxy(text: &str) -> Proxy {
    let Ok(uri) = text.parse::<Uri>() else { return Proxy::None };
    let Some(authority) = uri.authority() else { return Proxy::None };
    let host = authority.as_str().split_once('@').map_or(authority.as_str(), |(_, host)| host);
    // A colon that no port follows, or no number.
    let port = authority.host().len() == host.len() || authority.port_u16().is_some_and(|port| port != 0);
    if authority.host().is_empty() || host.contains('@') || !port {
        return Proxy::None;
    }
    match uri.scheme_str() {
        None | Some("http" | "https") => Proxy::Usable,
        Some(scheme) if scheme.starts_with("socks") => Proxy::Socks,
        Some(_) => Proxy::None,
    }
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
            "http://proxy:1/path",
            "http://proxy:1/?x",
        ] {
            assert_eq!(is_proxy(good), Proxy::Usable, "{good}");
        }
        for socks in ["socks5://127.0.0.1:1", "socks://127.0.0.1:1080/", "socks4a://x", "socks5h://x:1"] {
            assert_eq!(is_proxy(socks), Proxy::Socks, "{socks}");
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
            "http://proxy:1\n",
            " http://proxy:1",
            "/proxy",
            "*",
        ] {
            assert_eq!(is_proxy(bad), Proxy::None, "{bad}");
        }
    }

    #[test]
    fn knows_a_host_that_no_proxy_is_for() {
        for (list, exempt) in [
            ("*", true),
            ("www.wixapis.com", true),
            ("localhost, .wixapis.com", true),
            ("WIXAPIS.com", true),
            ("", false),
            (",", false),
            ("apis.com", false),
            ("api.www.wixapis.com", false),
        ] {
            assert_eq!(is_exempt("www.wixapis.com", list), exempt, "{list}");
        }
    }
}
