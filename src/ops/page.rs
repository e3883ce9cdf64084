//! What the browser shows at the end of a login: one self-contained page, escaped by type, nothing in it from elsewhere
//! and never a secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use ring::digest::{SHA256, digest};

use crate::model::Key;
use crate::model::text::escape;
use crate::net::loopback::Page;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1a2230;--soft:#5a6678;--ground:#f3f5f8;--card:#fff;--line:#dde3ea;--mark:#12805c}
@media(prefers-color-scheme:dark){:root{--ink:#e9edf3;--soft:#9ba8b9;--ground:#10141b;--card:#19202a;--line:#2d3643;--mark:#3ecf9a}}
.failed{--mark:#c0392b}
@media(prefers-color-scheme:dark){.failed{--mark:#ff7b6b}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.25rem;background:var(--ground);color:var(--ink);font:17px/1.55 system-ui,sans-serif}
main{width:100%;max-width:27rem;padding:2.25rem 2rem;background:var(--card);border:1px solid var(--line);border-radius:14px;text-align:center}
svg{width:56px;height:56px;margin:0 auto 1rem;display:block;fill:none;stroke:var(--mark);stroke-width:3;stroke-linecap:round;stroke-linejoin:round}
h1{margin:0 0 .6rem;font-size:1.4rem;line-height:1.25}
p{margin:0 0 .8rem;overflow-wrap:anywhere;text-wrap:balance}
p:last-child{margin:0}
code{font-size:.94em}
.soft{color:var(--soft);font-size:.93rem}";

/// The page of a login whose token is on the disk.
#[must_use]
pub fn success(key: &Key, account: Option<&str>) -> Page {
    let body = html! {
        svg viewBox="0 0 48 48" aria-hidden="true" { circle cx="24" cy="24" r="20" {} path d="M15 25l6 6 12-13" {} }
        h1 { "Logged in" }
        p {
            "The token is stored as " code { (key) }
            @if let Some(account) = account { ", for " code { (escape(account, 80)) } }
            "."
        }
        p.soft { "You may close this window and go back to the terminal." }
    };
    page("Logged in", &body, true)
}

/// The page of a login that failed. Whether anything was kept, and where, only the terminal says: a record that could not
/// be stored may be in a rescue file.
#[must_use]
pub fn failure(key: &Key, why: &str) -> Page {
    let body = html! {
        svg viewBox="0 0 48 48" aria-hidden="true" { circle cx="24" cy="24" r="20" {} path d="M17 17l14 14M31 17L17 31" {} }
        h1 { "Not logged in" }
        p { (escape(why, 400)) }
        p.soft { "The login was for " code { (key) } ". The terminal says what to do; you may close this window." }
    };
    page("Not logged in", &body, false)
}

fn page(title: &str, body: &Markup, is_success: bool) -> Page {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – tokman" }
                style { (PreEscaped(STYLE)) }
            }
            body { main.failed[!is_success] { (body) } }
        }
    };
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    Page {
        html: document.into_string(),
        policy: format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"),
        is_success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_provider_wrote() {
        let key = "square/default".parse().unwrap();
        let page = failure(&key, "<script>alert(1)</script>\u{202e}");
        assert!(!page.html.contains("<script>") && page.html.contains("&lt;script&gt;"), "{}", page.html);
        let page = success(&key, Some("\"><img src=x>"));
        assert!(!page.html.contains("<img"), "{}", page.html);
        assert!(page.html.contains("square/default"));
    }

    #[test]
    fn leaves_it_to_the_terminal_whether_a_failed_login_kept_anything() {
        let page = failure(&"square/default".parse().unwrap(), "the new token of square/default could not be stored");
        assert!(!page.html.contains("Nothing was stored") && page.html.contains("The terminal says what to do"));
        assert!(page.html.contains("<code>square/default</code>") && !page.is_success);
    }

    #[test]
    fn takes_nothing_from_elsewhere() {
        let page = success(&"square/default".parse().unwrap(), None);
        for word in ["http:", "https:", "src=", "url(", "@import", "<script"] {
            assert!(!page.html.contains(word), "{word}");
        }
        assert!(page.policy.starts_with("default-src 'none'; style-src 'sha256-"));
    }
}
