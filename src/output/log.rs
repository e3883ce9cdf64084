//! What is said on stderr while tokman works: warnings always, steps with `-v`, requests and answers with `-vv`. Our
//! own messages only: the HTTP and TLS crates can show bodies and keys in theirs.

use std::io::Write as _;

use env_logger::{Builder, Target, WriteStyle};
use log::{Level, LevelFilter};
use serde_json::json;

use crate::model::text::escape;
use crate::output::progress::Aside;

/// The longest message that is shown, in characters.
const MAX: usize = 4000;

/// Starts the log. Later calls change nothing.
pub fn init(level: LevelFilter, json: bool) {
    let mut builder = Builder::new();
    builder
        .filter_level(LevelFilter::Off)
        .filter_module(env!("CARGO_CRATE_NAME"), level)
        .target(Target::Pipe(Box::new(Aside)))
        .write_style(WriteStyle::Never)
        .format(move |out, record| {
            let message = escape(&record.args().to_string(), MAX);
            if json {
                writeln!(out, "{}", json!({ "level": name(record.level()), "message": message }))
            } else {
                writeln!(out, "{}: {message}", name(record.level()))
            }
        });
    // Only the first call in a process can succeed.
    let _ = builder.try_init();
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}
