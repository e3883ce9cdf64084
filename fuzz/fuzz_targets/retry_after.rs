//! Whatever `Retry-After` says, reading it ends.

#![no_main]

use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use tokman::net::retry::retry_after;

fuzz_target!(|value: &[u8]| {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, value);
        for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
            let _ = retry_after(&headers, now);
        }
    }
});
