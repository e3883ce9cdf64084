//! `tokman remove`: forgets a key here, and says what goes on working elsewhere.

use crate::support::{Server, Shop, Sort};

#[test]
fn a_key_is_forgotten_and_what_stays_valid_is_said() {
    for (sort, ends_in, stays) in [
        (Sort::Square, 3600, &["its access token until", "its refresh token until it is revoked"][..]),
        (Sort::Square, -60, &["its refresh token until it is revoked"]),
        (Sort::WixApp, 3600, &["its access token until"]),
        (Sort::WixApp, -60, &[]),
    ] {
        let mut shop = Shop::new(sort);
        let server = Server::start(vec![]);
        shop.at(&server).store(ends_in);
        shop.store_as("other", ends_in);
        let run = shop.env.tokman(&["remove"]);
        run.code(0).stdout_is("").stderr_has(&format!("{} is forgotten here.", shop.key()));
        for what in stays {
            run.stderr_has(what);
        }
        assert_eq!(run.stderr.contains("At the provider"), !stays.is_empty(), "{run}");
        assert!(!shop.has_token());
        assert!(shop.env.token_path(&format!("{}/other", shop.provider())).exists());
        shop.env.tokman(&["remove"]).code(4).stderr_has("hint: tokman obtain");
        server.finish();
    }
}

#[test]
fn a_dead_grant_leaves_nothing_valid() {
    let shop = Shop::square();
    let mut record = shop.record(-60);
    record["tokman"]["needs_login"] = record["tokman"]["obtained_at"].clone();
    shop.env.write_token("square/default", &record);
    shop.env.tokman(&["remove"]).code(0).stderr_is("square/default is forgotten here.\n");
}

#[test]
fn a_record_that_cannot_be_read_can_be_forgotten() {
    let shop = Shop::square();
    shop.env.write(shop.env.token_path("square/default"), "{");
    shop.env.tokman(&["remove", "-q"]).code(0).stdout_is("").stderr_is("");
    assert!(!shop.has_token());
}

#[test]
fn no_credentials_are_needed_for_it() {
    let mut shop = Shop::square();
    shop.store(3600);
    shop.env.unset("TOKMAN_SQUARE_CLIENT_ID");
    shop.env.unset("TOKMAN_SQUARE_CLIENT_SECRET");
    shop.env.tokman(&["remove"]).code(0);
}
