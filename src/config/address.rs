//! Which addresses are spoken to: https, or http on this very machine. Look-alikes are refused before connecting.

use url::{Host, Url};

/// Parses the base address of a provider.
///
/// # Errors
/// What is wrong with it, in words that follow "the address".
pub fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|error| format!("is not an address ({error})"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name in it: what stands before '@' is not the host".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or fragment; a base address ends with its path".to_owned());
    }
    match url.scheme() {
        "https" if url.host().is_some() => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err("must be https; http is accepted on localhost, 127.0.0.0/8 and [::1] only".to_owned()),
        _ => Err("must begin with https://".to_owned()),
    }
}

/// Parses the address of an endpoint, which may have a query of its own but no fragment (RFC 6749 §3.1, §3.2).
///
/// # Errors
/// What is wrong with it, in words that follow "the address".
pub fn endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|error| format!("is not an address ({error})"))?;
    if url.fragment().is_some() {
        return Err("has a fragment; an endpoint has none".to_owned());
    }
    let mut without_query = url.clone();
    without_query.set_query(None);
    parse(without_query.as_str()).map(|_| url)
}

/// Whether the host of an address is this machine, by its spelling and not by what a resolver says.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_https_and_http_on_loopback() {
        for good in [
            "https://connect.squareup.com",
            "https://api.example.com/v2/",
            "http://localhost:8080",
            "http://127.0.0.1:1/square",
            "http://127.9.9.9",
            "http://[::1]:8080/x",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn refuses_look_alikes() {
        for bad in [
            "http://127.0.0.1.evil.test",
            "http://localhost@evil.test",
            "https://localhost:secret@evil.test",
            "http://localhost.evil.test",
            "http://evil.test#localhost",
            "http://evil.test?localhost",
            "http://[::ffff:127.0.0.1]",
            "http://0.0.0.0",
            "http://128.0.0.1",
            "ftp://localhost",
            "file:///etc/passwd",
            "https://",
            "localhost:80",
            "",
            "https://example.com/?a=b",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_hosts_of_other_scripts_as_browsers_do() {
        for (text, host) in [
            ("https://b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("https://fa\u{df}.example", "xn--fa-hia.example"),
            ("https://\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}", "xn--r8jz45g.xn--zckzah"),
            ("https://\u{645}\u{62b}\u{627}\u{644}.example", "xn--mgbh0fb.example"),
            ("https://\u{ff25}xample\u{3002}com", "example.com"),
        ] {
            assert_eq!(parse(text).unwrap().host_str(), Some(host), "{text}");
        }
        for bad in [
            "http://localh\u{43e}st",
            "https://a\u{200d}b.example",
            "https://xn--a.example",
            "https://\u{645}a.example",
            "https://a\u{2028}.example",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lets_an_endpoint_have_a_query_and_nothing_else_more() {
        assert_eq!(endpoint("https://a.example/t?tenant=1").unwrap().query(), Some("tenant=1"));
        for bad in ["https://a.example/t#f", "http://a.example/t?localhost", "https://a@b.example/t?x", "a.example"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_lets_plain_http_leave_this_machine(text in "(http|https)://[a-z0-9.@:#?\\[\\]/\\\\-]{0,40}") {
            if let Ok(url) = parse(&text) {
                prop_assert!(url.scheme() == "https" || is_loopback(&url));
            }
        }
    }
}
