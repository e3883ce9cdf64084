//! When a token ends, from whatever the provider said of it, and whether it is still fresh enough. Pure.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::model::{Freshness, Response};

/// How far in the future a record's own times may lie before the local clock is taken to have jumped.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// The end of an access token: the earliest of `expires_in` after `received`, `expires_at`, and the `exp` inside a
/// readable token. Whatever of these is absent or absurd does not count; none of them: unknown. The absolute ones are
/// the provider's, told here as the local clock will show them, which is ahead by `clock_error`.
#[must_use]
pub fn end_of(
    response: &Response,
    access_token: &str,
    received: Timestamp,
    clock_error: SignedDuration,
) -> Option<Timestamp> {
    let local = |instant: Timestamp| instant.checked_add(clock_error).ok();
    [
        response.get("expires_in").and_then(seconds).and_then(|secs| after(received, secs)),
        response.get("expires_at").and_then(instant).and_then(local),
        claimed_end(access_token).and_then(local),
    ]
    .into_iter()
    .flatten()
    .min()
}

/// How far the local clock is ahead of the provider's, from the `Date` of an answer (RFC 9110 §6.6.1) to a request of
/// `sent`. What the network's time and whole seconds can explain counts as nothing.
#[must_use]
pub fn clock_error(date: Option<&str>, sent: Timestamp) -> SignedDuration {
    let Some(error) = date.and_then(http_date).map(|date| sent.duration_since(date)) else {
        return SignedDuration::ZERO;
    };
    if error.abs() > CLOCK_TOLERANCE { error } else { SignedDuration::ZERO }
}

/// A date as HTTP writes it (RFC 9110 §5.6.7).
#[must_use]
pub fn http_date(text: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text).ok()
}

/// A number of seconds: a number, a fraction or a string of either; below zero counts as zero, absurd as unknown.
#[must_use]
pub fn seconds(value: &Value) -> Option<i64> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    if text.len() > 32 {
        return None;
    }
    let float: f64 = text.parse().ok().filter(|float: &f64| float.is_finite())?;
    // Ten digits reach the year 2286 as an instant: what is larger is no lifetime that anybody meant.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked, and the fraction is meant to go")]
    (float < 1e10).then(|| float.max(0.0) as i64)
}

/// An instant: RFC 3339 in any of its forms, or seconds since 1970.
#[must_use]
pub fn instant(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) if text.len() <= 64 => text.trim().parse().ok().or_else(|| {
            let digits = text.trim();
            (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| seconds(value))
                .flatten()
                .and_then(from_unix)
        }),
        Value::Number(_) => seconds(value).filter(|secs| *secs > 0).and_then(from_unix),
        _ => None,
    }
}

/// The instant `secs` after `start`, if there is one, without the fraction of a second: a lifetime is no more exact.
#[must_use]
pub fn after(start: Timestamp, secs: i64) -> Option<Timestamp> {
    let end = start.checked_add(SignedDuration::from_secs(secs)).ok()?;
    Timestamp::from_second(end.as_second()).ok()
}

/// The `exp` claim of a token that carries readable claims. It only ever shortens a life.
#[must_use]
pub fn claimed_end(access_token: &str) -> Option<Timestamp> {
    instant(claims(access_token)?.get("exp")?)
}

/// The claims of a token that carries readable ones: the last part but one of its dots, as in a JWS and in Wix's
/// `OauthNG.JWS.<header>.<payload>.<signature>`. Nothing is verified.
#[must_use]
pub fn claims(access_token: &str) -> Option<Response> {
    let mut parts = access_token.rsplit('.');
    let (_signature, payload, _header) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    Response::parse(&claims).ok()
}

fn from_unix(secs: i64) -> Option<Timestamp> {
    Timestamp::from_second(secs).ok()
}

/// How long a token must still live to count as fresh: `margin`, cut to a tenth of its whole life where that is
/// shorter, so that a token of five minutes is not refreshed for ever.
#[must_use]
pub fn margin_for(margin: Duration, issued_at: Option<Timestamp>, expires_at: Timestamp) -> SignedDuration {
    let margin = SignedDuration::try_from(margin).unwrap_or(SignedDuration::MAX);
    issued_at.map_or(margin, |issued| {
        let life = expires_at.duration_since(issued).max(SignedDuration::ZERO);
        margin.min(life / 10)
    })
}

/// Whether a token that was issued at `issued_at` is fresh at `now`. A token issued in the future says that a clock
/// jumped: its expiry is not trusted, and it counts as expired.
#[must_use]
pub fn freshness(
    expires_at: Option<Timestamp>,
    issued_at: Option<Timestamp>,
    now: Timestamp,
    margin: Duration,
) -> Freshness {
    let Some(expires_at) = expires_at else {
        return Freshness::Unknown;
    };
    if issued_at.is_some_and(|issued| issued.duration_since(now) > CLOCK_TOLERANCE) {
        return Freshness::Expired;
    }
    let left = expires_at.duration_since(now);
    if left <= SignedDuration::ZERO {
        Freshness::Expired
    } else if left <= margin_for(margin, issued_at, expires_at) {
        Freshness::Expiring
    } else {
        Freshness::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const NOW: &str = "2026-11-21T12:00:00Z";

    fn response(body: &str) -> Response {
        Response::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn takes_a_lifetime_in_every_form_that_was_seen() {
        for (body, secs) in [("300", 300), ("\"14400\"", 14_400), ("299.9", 299), ("0", 0), ("-5", 0), ("3e2", 300)] {
            let end = end_of(&response(&format!("{{\"expires_in\":{body}}}")), "opaque", at(NOW), SignedDuration::ZERO);
            assert_eq!(end, after(at(NOW), secs), "{body}");
        }
    }

    #[test]
    fn treats_an_absurd_lifetime_as_unknown() {
        for body in ["1e999", &"9".repeat(400), "true", "\"soon\"", "null", "[]", "\"1e999\"", "\"NaN\"", "99999999999"]
        {
            assert_eq!(
                end_of(&response(&format!("{{\"expires_in\":{body}}}")), "opaque", at(NOW), SignedDuration::ZERO),
                None,
                "{body}"
            );
        }
    }

    #[test]
    fn reads_an_instant_in_any_rfc_3339_form() {
        for text in
            ["2026-12-21T21:00:00Z", "2026-12-21t21:00:00z", "2026-12-21T21:00:00.000Z", "2026-12-21 22:00:00+01:00"]
        {
            assert_eq!(instant(&json!(text)), Some(at("2026-12-21T21:00:00Z")), "{text}");
        }
        assert_eq!(instant(&json!("1715096067")), Some(Timestamp::from_second(1_715_096_067).unwrap()));
        for value in
            [json!(""), json!("tomorrow"), json!("2026-13-01T00:00:00Z"), json!(null), json!("2026-12-21T21:00:00")]
        {
            assert_eq!(instant(&value), None, "{value}");
        }
    }

    #[test]
    fn finds_the_claims_of_a_jws_and_of_wixs_prefixed_form() {
        let payload = URL_SAFE_NO_PAD.encode(br#"{"data":"{}","iat":1,"exp":1796000000}"#);
        for token in [format!("h.{payload}.s"), format!("OauthNG.JWS.h.{payload}.s")] {
            assert_eq!(claimed_end(&token), Some(Timestamp::from_second(1_796_000_000).unwrap()));
        }
        for token in ["", "a.b", "a.b.c", "EAAAE", "....", "OauthNG.JWS.h.é.s"] {
            assert_eq!(claimed_end(token), None, "{token}");
        }
    }

    #[test]
    fn takes_the_earliest_of_what_disagrees() {
        let payload = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{}}}", at(NOW).as_second() + 60));
        let body = response(r#"{"expires_in":14400,"expires_at":"2026-12-21T21:00:00Z"}"#);
        assert_eq!(end_of(&body, &format!("h.{payload}.s"), at(NOW), SignedDuration::ZERO), after(at(NOW), 60));
    }

    #[test]
    fn corrects_absolute_times_by_the_local_clocks_error() {
        let sent = at(NOW);
        let error = |date| clock_error(Some(date), sent);
        assert_eq!(error("Sat, 21 Nov 2026 11:00:00 GMT"), SignedDuration::from_hours(1));
        assert_eq!(error("Sat, 21 Nov 2026 12:00:20 GMT"), SignedDuration::ZERO);
        assert_eq!(error("yesterday"), SignedDuration::ZERO);
        assert_eq!(clock_error(None, sent), SignedDuration::ZERO);
        // The local clock is an hour ahead: what ends at 13:00 ends when it shows 14:00.
        let body = response(r#"{"expires_at":"2026-11-21T13:00:00Z"}"#);
        assert_eq!(end_of(&body, "opaque", sent, SignedDuration::from_hours(1)), after(sent, 7200));
    }

    #[test]
    fn cuts_the_margin_for_short_lives() {
        let issued = at(NOW);
        let five_minutes = after(issued, 300);
        let margin = Duration::from_secs(60);
        let fresh = |secs| freshness(five_minutes, Some(issued), after(issued, secs).unwrap(), margin);
        assert_eq!(fresh(0), Freshness::Fresh);
        assert_eq!(fresh(269), Freshness::Fresh);
        assert_eq!(fresh(270), Freshness::Expiring);
        assert_eq!(fresh(300), Freshness::Expired);
        assert_eq!(freshness(None, None, issued, margin), Freshness::Unknown);
    }

    #[test]
    fn distrusts_the_expiry_when_the_clock_jumped_back() {
        let issued = at(NOW);
        let end = after(issued, 86_400);
        assert_eq!(freshness(end, Some(issued), after(issued, -3600).unwrap(), Duration::ZERO), Freshness::Expired);
        assert_eq!(freshness(end, Some(issued), after(issued, -10).unwrap(), Duration::ZERO), Freshness::Fresh);
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>(), number in any::<f64>(), token in "[A-Za-z0-9._-]{0,80}") {
            let _ = instant(&json!(text));
            let _ = seconds(&json!(number));
            let _ = seconds(&json!(text));
            let _ = claimed_end(&token);
            let _ = claimed_end(&text);
        }
    }
}
