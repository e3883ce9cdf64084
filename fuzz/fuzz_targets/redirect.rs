//! Whatever is pasted as the redirected address, a login takes a grant from its own address and state alone.

#![no_main]

use std::path::Path;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use tokman::config::{Options, Settings};
use tokman::model::Secret;
use tokman::ops::Issuer;
use tokman::ops::login::Pending;

fuzz_target!(|pasted: String| {
    let options = Options {
        config_dir: Some(Path::new("/nonexistent").to_owned()),
        client_id: Some("id".to_owned()),
        ..Options::default()
    };
    let settings = Settings::load(options).expect("settings");
    let pending = Pending {
        state: Secret::new("state"),
        code_verifier: None,
        redirect_uri: "http://localhost:8917/callback".parse().expect("an address"),
        started_at: Timestamp::UNIX_EPOCH,
        client_id: "id".to_owned(),
        base_url: "https://localhost".to_owned(),
    };
    for name in ["square", "wix"] {
        let provider = settings.provider(&name.parse().expect("a name")).expect("a provider");
        let granted = pending.grant(&Issuer::new(provider), &Secret::new(pasted.as_str()));
        assert!(granted.is_err() || !pasted.contains("://") || pasted.contains("state"));
    }
});
