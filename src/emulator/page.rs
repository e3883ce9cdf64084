//! The pages a browser is shown: consent, and notices. Escaped by type, without scripts or anything from elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY};
use http::header::{X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{Response, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use ring::digest::{SHA256, digest};
use url::Url;

use super::wire::Reply;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2430;--soft:#5b6675;--card:#fff;--ground:#eef1f5;--line:#d5dbe3;--go:#1f5fd0;--over:#194fae;--hover:#f4f6f9;--wrong:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf2;--soft:#9aa6b6;--card:#1b212b;--ground:#11151c;--line:#3a4453;--go:#2f6be0;--over:#3f79ea;--hover:#242c38;--wrong:#ff9a90}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;min-height:100dvh;display:grid;place-items:center;padding:1rem;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{width:100%;max-width:30rem;padding:clamp(1.25rem,5vw,2rem);background:var(--card);border:1px solid var(--line);border-radius:12px;overflow-wrap:anywhere}
h1{margin:0 0 1rem;font-size:1.3rem;line-height:1.3;text-wrap:balance}
p,ul{margin:0 0 1rem}
ul{padding-left:1.2rem}
label{display:block;margin-bottom:.5rem}
code,.code{font-family:ui-monospace,monospace}
code{font-size:.9em}
.code{width:100%;padding:.6rem;font-size:1.5rem;letter-spacing:.1em;text-align:center;border:1px solid var(--line);border-radius:8px}
input.code{display:block;color:inherit;background:none;text-transform:uppercase}
.soft{color:var(--soft);font-size:.9rem}
.wrong{margin:.75rem 0 0;color:var(--wrong)}
form{margin:1.5rem 0}
h1+form{margin-top:0}
.choice{display:flex;gap:.75rem;margin-top:1.5rem}
button{flex:1;min-height:2.75rem;padding:.6rem;font:inherit;color:inherit;background:none;border:1px solid var(--line);border-radius:8px;cursor:pointer}
button:hover{background:var(--hover)}
button.go{color:#fff;background:var(--go);border-color:var(--go)}
button.go:hover{background:var(--over)}
:focus-visible{outline:2px solid var(--go);outline-offset:2px}
.foot{margin:0;text-wrap:balance;padding-top:1rem;border-top:1px solid var(--line)}
";

/// What a consent page asks.
#[derive(Debug)]
pub(super) struct Consent<'a> {
    /// Whose page it stands for.
    pub(super) provider: &'a str,
    /// What the application wants, as a sentence.
    pub(super) wish: &'a str,
    /// The scopes it wants; may be empty.
    pub(super) scopes: &'a [String],
    /// The code that a device shows and the person compares; absent where there is no device.
    pub(super) code: Option<&'a str>,
    /// Where the form goes.
    pub(super) action: String,
    /// The name of the question, sent back with the answer.
    pub(super) id: &'a str,
    /// Where the browser goes afterwards; absent where it stays.
    pub(super) redirect: Option<&'a Url>,
}

/// A page with "Allow" and "Deny".
pub(super) fn consent(consent: &Consent) -> Reply {
    let body = html! {
        @if let Some(code) = consent.code {
            p { "Go on only if your device shows this code:" }
            p.code { (code) }
        }
        p { (consent.wish) }
        @if !consent.scopes.is_empty() {
            ul { @for scope in consent.scopes { li { code { (scope) } } } }
        }
        form method="post" action=(consent.action) {
            input type="hidden" name="consent" value=(consent.id);
            div.choice {
                button type="submit" name="decision" value="deny" { "Deny" }
                button.go type="submit" name="decision" value="allow" { "Allow" }
            }
        }
        @if let Some(redirect) = consent.redirect {
            p.soft { "Afterwards the browser goes to " code { (redirect) } }
        }
    };
    page(StatusCode::OK, &format!("{} asks for your consent", consent.provider), &body, consent.redirect)
}

/// A page that asks for the code that a device shows, and may say what was wrong with the one before.
pub(super) fn code_form(status: StatusCode, provider: &str, action: &str, note: Option<&str>) -> Reply {
    let body = html! {
        form method="get" action=(action) {
            label for="user_code" { "The code that your device shows" }
            input.code type="text" id="user_code" name="user_code" required autofocus maxlength="20"
                autocomplete="off" autocapitalize="characters" spellcheck="false";
            @if let Some(note) = note { p.wrong role="alert" { (note) } }
            div.choice { button.go type="submit" { "Continue" } }
        }
    };
    page(status, &format!("Connect a device to {provider}"), &body, None)
}

/// A page that says something.
pub(super) fn notice(status: StatusCode, title: &str, text: &str) -> Reply {
    page(status, title, &html! { p { (text) } }, None)
}

fn page(status: StatusCode, title: &str, body: &Markup, redirect: Option<&Url>) -> Reply {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    (body)
                    p.soft.foot { "This is an emulator on your machine. No real account is involved." }
                }
            }
        }
    };
    let mut reply = Response::new(Bytes::from(page.into_string()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(CONTENT_TYPE, "text/html; charset=utf-8");
    set(CACHE_CONTROL, "no-store");
    set(REFERRER_POLICY, "no-referrer");
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(X_FRAME_OPTIONS, "DENY");
    if let Ok(policy) = HeaderValue::from_str(&policy(redirect)) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    reply
}

/// Browsers hold the redirect after a form to `form-action` too, so its origin has to be named.
fn policy(redirect: Option<&Url>) -> String {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let origin = redirect.map(|url| url.origin().ascii_serialization()).filter(|origin| !origin.contains([';', ',']));
    let origin = origin.map(|origin| format!(" {origin}")).unwrap_or_default();
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'{origin}; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_it_is_given_and_names_where_the_form_may_lead() {
        let redirect = Url::parse("http://localhost:8917/callback?x=%22%3E").unwrap();
        let scopes = ["<script>".to_owned()];
        let reply = consent(&Consent {
            provider: "Square",
            wish: "a\"<b>",
            scopes: &scopes,
            code: None,
            action: "/consent".to_owned(),
            id: "\"><x",
            redirect: Some(&redirect),
        });
        let text = String::from_utf8(reply.body().to_vec()).unwrap();
        assert!(!text.contains("<script") && !text.contains("<b>") && !text.contains("<x"), "{text}");
        let policy = reply.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("form-action 'self' http://localhost:8917;"), "{policy}");
        assert_eq!(reply.headers()[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn does_not_let_an_address_extend_the_policy() {
        let redirect = Url::parse("https://a;script-src/").unwrap();
        assert!(!policy(Some(&redirect)).contains("script-src"));
    }
}
