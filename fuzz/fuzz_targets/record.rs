//! Whatever lies in a token file, reading it ends; what was read is written and read again as the same.

#![no_main]

use std::path::Path;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use tokman::store::{Record, Sealer};

fuzz_target!(|bytes: &[u8]| {
    let key = "square/default".parse().expect("a key");
    let path = Path::new("default.json");
    let sealer = Sealer::default();
    if let Ok(record) = Record::parse(bytes, &key, path, Some(Timestamp::UNIX_EPOCH), &sealer) {
        let text = record.to_json(&key, &sealer).expect("nothing to seal");
        let again = Record::parse(text.as_bytes(), &key, path, None, &sealer).expect("what tokman wrote");
        assert!(again.token.access == record.token.access && again.token.refresh == record.token.refresh);
        assert_eq!(again.token.expires_at, record.token.expires_at);
        assert_eq!(again.generation, record.generation);
    }
});
