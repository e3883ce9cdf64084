//! How a release for Linux is linked: most of what printing a stored token costs is the loading of the program.
//!
//! - The functions that printing a stored token calls lie side by side (`src/start.ld`): a page that the program touches
//!   brings its neighbours into memory, and these are then the ones that it calls next.
//! - glibc's builds take the unwinder into the program, as static ones do: one library less to open, map and search.
//!
//! GNU ld and LLD, which Rust links with, know such scripts; not every linker does, so one that is chosen is left alone.
#![expect(clippy::disallowed_macros, clippy::disallowed_methods, reason = "how cargo is told")]

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/start.ld");
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let chosen = env::var_os("RUSTC_LINKER").is_some()
        || env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"));
    if !is("PROFILE", "release") || !is("CARGO_CFG_TARGET_OS", "linux") || chosen {
        return;
    }
    // A copy: of what a build script said, cargo keeps only its own directory right where a checkout is moved.
    let script = Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("start.ld");
    if let Err(error) = fs::read("src/start.ld").and_then(|text| fs::write(&script, text)) {
        println!("cargo:warning=the program starts slower than it could: src/start.ld: {error}");
    } else {
        println!("cargo:rustc-link-arg-bins=-T{}", script.display());
    }
    if is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo:rustc-link-lib=static:-bundle,+verbatim=libgcc_eh.a");
    }
}
