//! Durations as people write them on the command line and in the config file: `250ms`, `45s`, `5m`, `36h`, `7d`.

use std::time::Duration;

use thiserror::Error;

/// The longest duration that is accepted: ten years, so that adding it to a time cannot overflow.
const MAX_SECS: u64 = 10 * 366 * 86_400;

/// Text that is no duration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{0}' is not a duration here: write a whole number and a unit, as 45s, 5m, 36h or 7d, at most ten years")]
pub struct DurationError(String);

/// Parses a whole number with one of the units `ms`, `s`, `m`, `h`, `d`.
///
/// # Errors
/// Anything else, or more than ten years.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(super::text::escape(text, 40));
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(error()),
    };
    let number: u64 = number.parse().map_err(|_| error())?;
    let total = number.checked_mul(milliseconds).map(Duration::from_millis);
    total.filter(|total| total.as_secs() <= MAX_SECS).ok_or_else(error)
}

/// Parses a duration that must not be zero: a budget.
///
/// # Errors
/// As [`parse`], and for zero.
pub fn parse_some(text: &str) -> Result<Duration, DurationError> {
    parse(text).and_then(|some| if some.is_zero() { Err(DurationError(text.to_owned())) } else { Ok(some) })
}

/// Writes a number of seconds with its two largest units: `29d 23h`, `4h 0m`, `59s`. Negative counts as zero.
#[must_use]
pub fn humane(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days}d {hours}h")
    } else if hours > 0 {
        format!("{hours}h {minutes}m")
    } else if minutes > 0 {
        format!("{minutes}m {}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_five_units() {
        assert!(parse_some("0s").is_err() && parse_some("1s").is_ok());
        for (text, seconds) in [("45s", 45), ("5m", 300), ("36h", 129_600), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "s", "5", "5 m", "-5m", "+5m", "1.5h", "5M", "5m5s", "99999999999999999999d", "3661d", "é"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn writes_the_two_largest_units() {
        for (seconds, text) in [(-5, "0s"), (59, "59s"), (61, "1m 1s"), (14_400, "4h 0m"), (2_591_999, "29d 23h")] {
            assert_eq!(humane(seconds), text);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
