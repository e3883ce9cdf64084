//! Whatever stands for an instant, a lifetime or a duration, reading it ends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokman::model::{duration, lifetime};

fuzz_target!(|text: &str| {
    let _ = duration::parse(text);
    let _ = lifetime::http_date(text);
    let _ = lifetime::claims(text);
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    let _ = lifetime::instant(&value);
    if let Some(seconds) = lifetime::seconds(&value) {
        assert!(seconds >= 0);
        let _ = lifetime::after(jiff::Timestamp::MAX, seconds);
    }
});
