//! What the providers' readers share: an answer's JSON object, the token in it, and the refusal in a redirect.
//! It knows no provider's error bodies.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::{HttpResponse, ProviderError, Redirect, Refusal, RefusalClass, Wanted};
use crate::model::response::{self, ResponseError};
use crate::model::{Grant, Kind, Response, Secret, ServerText, Token, lifetime, text};

/// Whether a status says that the same request may succeed later: 408, 429 and everything from 500 on.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500..)
}

/// How far the local clock is ahead of the provider's, by the answer's `Date`.
pub(super) fn clock_error(answer: &HttpResponse, sent: Timestamp) -> SignedDuration {
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    lifetime::clock_error(date, sent)
}

/// The JSON object of an answer.
///
/// # Errors
/// [`RefusalClass::Passing`] for a passing status without one; [`ProviderError::NoAnswer`] for any other status without
/// JSON, and for an object that cannot be read: it may have been an answer; [`ProviderError::Unusable`] for JSON that is
/// no object or has a member twice, and for whatever else has a refresh token in it.
pub(super) fn object(answer: &HttpResponse, request_id: Option<&str>) -> Result<Response, ProviderError> {
    let status = answer.status();
    Response::parse(answer.body()).map_err(|why| match why {
        why if is_passing(status) => ProviderError::Refused(Box::new(Refusal {
            class: RefusalClass::Passing,
            status: Some(status.as_u16()),
            code: None,
            message: ServerText::new(why.to_string()),
            request_id: request_id.map(ServerText::new),
            hint: None,
        })),
        why => {
            let why = redirect(answer).map_or(why, ResponseError::Redirect);
            let may_be_lost = !matches!(why, ResponseError::NotAnObject | ResponseError::DuplicateMember);
            let refresh = status.is_success().then(|| lone_refresh_token(answer.body())).flatten();
            let status = status.as_u16();
            match refresh {
                None if may_be_lost => ProviderError::NoAnswer { status, why },
                refresh => ProviderError::Unusable { status, why: why.to_string(), refresh },
            }
        }
    })
}

/// The host that an answer sends whoever asked to; `None` where it does not.
fn redirect(answer: &HttpResponse) -> Option<String> {
    let location = answer.headers().get(http::header::LOCATION).filter(|_| answer.status().is_redirection())?;
    let address = std::str::from_utf8(location.as_bytes()).ok().and_then(|location| Url::parse(location).ok());
    let host = address.as_ref().and_then(Url::host_str);
    Some(host.map_or_else(|| "another path".to_owned(), |host| text::escape(host, 100)))
}

/// The refresh token of an object that cannot be read otherwise, or has some other member twice.
fn lone_refresh_token(body: &[u8]) -> Option<Secret> {
    response::lone_text(body, "refresh_token").filter(|token| is_sendable(token.expose()))
}

/// Whether a token can travel in a header and in a shell variable: visible ASCII. RFC 6749 appendix A.12 allows a
/// blank too, which no provider uses and which would end the token for many a reader.
fn is_sendable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A string member under either of its spellings: Wix wrote them in camel case in older answers.
fn either<'a>(response: &'a Response, snake: &str, camel: &str) -> Option<&'a str> {
    response.text(snake).or_else(|| response.text(camel))
}

/// Whether an answer has an access or a refresh token in it, usable or not.
pub(super) fn has_token(response: &Response) -> bool {
    ["access_token", "accessToken", "refresh_token", "refreshToken"].iter().any(|name| response.text(name).is_some())
}

/// The tokens of an answer.
pub(super) struct Granted {
    /// The access token: visible ASCII.
    pub(super) access: Secret,
    refresh: Option<Secret>,
    token_type: Option<String>,
}

impl Granted {
    /// Finds the tokens in a successful answer.
    ///
    /// # Errors
    /// [`ProviderError::Unusable`], with the refresh token if there is a good one: no access token, a token that is
    /// not visible ASCII, or one of another type than `bearer` (RFC 6749 §7.1).
    pub(super) fn find(response: &Response, status: StatusCode) -> Result<Self, ProviderError> {
        let brought = either(response, "refresh_token", "refreshToken");
        let refresh = brought.filter(|text| is_sendable(text)).map(Secret::new);
        let unusable = |why: &str| ProviderError::Unusable {
            status: status.as_u16(),
            why: why.to_owned(),
            refresh: refresh.clone(),
        };

        let access = either(response, "access_token", "accessToken")
            .ok_or_else(|| unusable("there is no access token in it"))?;
        if !is_sendable(access) {
            return Err(unusable("the access token has characters in it that no token has"));
        }
        if brought.is_some() && refresh.is_none() {
            return Err(unusable("the refresh token has characters in it that no token has"));
        }
        let token_type = either(response, "token_type", "tokenType");
        if token_type.is_some_and(|name| !name.eq_ignore_ascii_case("bearer")) {
            return Err(unusable("the token is not of the type 'bearer'"));
        }
        Ok(Self { access: Secret::new(access), refresh, token_type: token_type.map(str::to_owned) })
    }
}

/// What a token keeps of the one before it, or knows from its grant, where the answer does not say.
pub(super) struct Before {
    /// The sort of credential.
    pub(super) kind: Kind,
    /// The account.
    pub(super) account: Option<String>,
    refresh: Option<Secret>,
    refresh_expires_at: Option<Timestamp>,
    scopes: Vec<String>,
}

impl Before {
    /// Nothing came before: the first token of a grant.
    pub(super) fn nothing(kind: Kind, scopes: &[String]) -> Self {
        Self { kind, account: None, refresh: None, refresh_expires_at: None, scopes: scopes.to_vec() }
    }

    /// The grant was a refresh token obtained elsewhere.
    pub(super) fn refresh_token(kind: Kind, refresh_token: &Secret, scopes: &[String]) -> Self {
        Self { refresh: Some(refresh_token.clone()), ..Self::nothing(kind, scopes) }
    }

    /// What the token will be, and whose.
    pub(super) fn is_of(&self) -> (Kind, Option<String>) {
        (self.kind.clone(), self.account.clone())
    }

    /// The token that is refreshed.
    pub(super) fn token(kind: Kind, token: &Token, wanted: &Wanted) -> Self {
        let scopes = if wanted.scopes.is_empty() { &token.scopes } else { &wanted.scopes };
        Self {
            kind,
            account: token.account.clone(),
            refresh: token.refresh.clone(),
            refresh_expires_at: token.refresh_expires_at,
            scopes: scopes.clone(),
        }
    }

    /// The token of an answer. The refresh token is the answer's, else the one before; its end goes with it.
    pub(super) fn then(
        self,
        granted: Granted,
        expires_at: Option<Timestamp>,
        refresh_expires_at: Option<Timestamp>,
        response: Response,
    ) -> Token {
        let is_new = granted.refresh.is_some() && granted.refresh != self.refresh;
        let old_end = if is_new { None } else { self.refresh_expires_at };
        Token {
            kind: Some(self.kind),
            access: granted.access,
            token_type: granted.token_type,
            refresh: granted.refresh.or(self.refresh),
            expires_at,
            refresh_expires_at: refresh_expires_at.or(old_end),
            account: self.account,
            scopes: self.scopes,
            response,
        }
    }
}

/// A refusal that came with a redirect instead of an answer, or that is ours.
pub(super) fn refused_redirect(class: RefusalClass, code: Option<&str>, message: &str) -> ProviderError {
    ProviderError::Refused(Box::new(Refusal {
        class,
        status: None,
        code: code.map(ServerText::new),
        message: ServerText::new(message),
        request_id: None,
        hint: None,
    }))
}

/// Reads the error of a redirect (RFC 6749 §4.1.2.1), if it carries one.
///
/// # Errors
/// The refusal. Consent that was denied is [`RefusalClass::GrantDead`], and so is what the RFC does not know: a
/// person has to log in again. What the RFC lays at the application's door is for its operator.
pub(super) fn check_redirect(redirect: &Redirect) -> Result<(), ProviderError> {
    let Some(code) = redirect.get("error").map(Secret::expose) else { return Ok(()) };
    let class = match code {
        "server_error" | "temporarily_unavailable" => RefusalClass::Passing,
        "unauthorized_client" => RefusalClass::Application,
        "invalid_request" | "invalid_scope" | "unsupported_response_type" => RefusalClass::Other,
        _ => RefusalClass::GrantDead,
    };
    let description = redirect.get("error_description").map_or(code, Secret::expose);
    Err(refused_redirect(class, Some(code), description))
}

/// A parameter that a redirect has to carry.
///
/// # Errors
/// A refusal that names the parameter.
pub(super) fn required<'a>(redirect: &'a Redirect, name: &str) -> Result<&'a Secret, ProviderError> {
    redirect.get(name).ok_or_else(|| {
        refused_redirect(RefusalClass::Other, None, &format!("the redirected address has no '{name}' in it"))
    })
}

/// The code that came back with a redirect, and what its login sent along.
///
/// # Errors
/// A redirect without a code.
pub(super) fn code(
    redirect: &Redirect,
    redirect_uri: &Url,
    code_verifier: Option<&Secret>,
) -> Result<Grant, ProviderError> {
    Ok(Grant::Code {
        code: required(redirect, "code")?.clone(),
        redirect_uri: Some(redirect_uri.as_str().to_owned()),
        code_verifier: code_verifier.cloned(),
        account: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn answer(status: u16, body: &str) -> HttpResponse {
        http::Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap()
    }

    fn found(body: &str) -> Result<Granted, ProviderError> {
        Granted::find(&Response::parse(body.as_bytes()).unwrap(), StatusCode::OK)
    }

    #[test]
    fn tells_a_proxys_page_from_a_provider_that_is_down() {
        for status in [200, 302, 400, 403, 404] {
            for body in ["", "<html>403</html>", r#"{"access_token":"x"#] {
                let error = object(&answer(status, body), None).unwrap_err();
                assert!(matches!(error, ProviderError::NoAnswer { .. }), "{status} {body}");
            }
        }
        for status in [408, 429, 500, 502, 503, 599] {
            for body in ["", "<html>", "[]"] {
                let error = object(&answer(status, body), Some("id-1")).unwrap_err();
                assert_eq!(error.class(), Some(RefusalClass::Passing), "{status} {body}");
                assert!(error.to_string().contains("id-1"));
            }
        }
    }

    #[test]
    fn takes_an_object_that_cannot_be_read_for_a_lost_answer() {
        let deep = format!(r#"{{"access_token":"a","x":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        let error = object(&answer(200, &deep), None).unwrap_err();
        assert!(matches!(error, ProviderError::NoAnswer { .. }) && error.to_string().contains("too deeply"), "{error}");
        let with_refresh = deep.replace("\"a\"", "\"a\",\"refresh_token\":\"r\"");
        match object(&answer(200, &with_refresh), None).unwrap_err() {
            ProviderError::Unusable { refresh: Some(refresh), why, .. } => {
                assert!(refresh.expose() == "r" && why.contains("too deeply"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        // What does not say that it was carried out brings nothing.
        assert!(matches!(object(&answer(400, &with_refresh), None), Err(ProviderError::NoAnswer { .. })));
    }

    #[test]
    fn tells_where_a_redirect_goes_and_nothing_more_of_it() {
        let redirected = |to: &[u8]| {
            let answer = http::Response::builder().status(302).header("location", to).body(Bytes::new()).unwrap();
            object(&answer, None).unwrap_err().to_string()
        };
        let said = redirected(b"https://login.example/?code=canary");
        assert_eq!(said, "the answer is a redirect to login.example; redirects are not followed (HTTP 302)");
        for elsewhere in [&b"/login?canary"[..], b"canary", b"\xff", b"data:canary"] {
            let said = redirected(elsewhere);
            assert!(said.starts_with("the answer is a redirect to another path; "), "{said}");
        }
        assert_eq!(object(&answer(302, ""), None).unwrap_err().to_string(), "the answer is empty (HTTP 302)");
    }

    #[test]
    fn keeps_the_refresh_token_of_an_answer_that_has_another_member_twice() {
        let refresh_of = |body: &str| match object(&answer(200, body), None).unwrap_err() {
            ProviderError::Unusable { refresh, .. } => refresh.map(|secret| secret.expose().to_owned()),
            other => panic!("{other:?}"),
        };
        let twice = r#""access_token":"a","access_token":"b""#;
        assert_eq!(refresh_of(&format!(r#"{{{twice},"refresh_token":"r"}}"#)).as_deref(), Some("r"));
        assert_eq!(refresh_of(r#"{"access_token":"a","refresh_token":"r","refresh_token":"s"}"#), None);
        assert_eq!(refresh_of(&format!(r#"{{{twice},"refresh_token":"r r"}}"#)), None);
        assert_eq!(refresh_of("[]"), None);
    }

    #[test]
    fn refuses_tokens_that_no_header_could_carry_and_keeps_the_refresh_token() {
        for access in ["", "a b", "a\\nb", "é", "a\\u0000", "a\\u007f"] {
            let body = format!(r#"{{"access_token":"{access}","refresh_token":"r"}}"#);
            match found(&body) {
                Err(ProviderError::Unusable { refresh: Some(refresh), why, .. }) => {
                    assert_eq!(refresh.expose(), "r");
                    assert!(why.contains("access token"), "{why}");
                }
                _ => panic!("{body}"),
            }
        }
        assert!(matches!(
            found(r#"{"access_token":"a","refresh_token":"r\n"}"#),
            Err(ProviderError::Unusable { refresh: None, .. })
        ));
    }

    #[test]
    fn takes_bearer_in_any_spelling_or_unsaid_and_nothing_else() {
        for body in [
            r#"{"access_token":"a","token_type":"bearer"}"#,
            r#"{"access_token":"a","token_type":"BEARER"}"#,
            r#"{"access_token":"a","token_type":null}"#,
            r#"{"accessToken":"a","tokenType":"Bearer"}"#,
        ] {
            assert!(found(body).is_ok_and(|granted| granted.access.expose() == "a"), "{body}");
        }
        assert!(matches!(
            found(r#"{"access_token":"a","token_type":"DPoP","refresh_token":"r"}"#),
            Err(ProviderError::Unusable { refresh: Some(_), .. })
        ));
    }

    #[test]
    fn lays_a_redirects_error_at_the_right_door() {
        for (code, class) in [
            ("access_denied", RefusalClass::GrantDead),
            ("login_required", RefusalClass::GrantDead),
            ("invalid_scope", RefusalClass::Other),
            ("unauthorized_client", RefusalClass::Application),
            ("temporarily_unavailable", RefusalClass::Passing),
        ] {
            let redirect = Redirect { parameters: vec![("error".to_owned(), Secret::new(code))] };
            assert_eq!(check_redirect(&redirect).unwrap_err().class(), Some(class), "{code}");
        }
        assert!(check_redirect(&Redirect::default()).is_ok());
        assert!(required(&Redirect::default(), "code").unwrap_err().to_string().contains("'code'"));
    }
}
