//! What reaches stdout. Data only; a closed pipe is not an error.

pub mod github;
pub mod log;
pub mod palette;
pub mod progress;
pub mod prometheus;
pub mod response;
pub mod sparkline;
pub mod stream;
pub mod table;
pub mod terminal;

use std::io::{self, Write as _};

use anstream::{AutoStream, ColorChoice};
use serde_json::json;
use thiserror::Error;

pub use stream::Stream;

use crate::fsutil::FsError;

/// What was asked for could not be handed out.
#[derive(Debug, Error)]
pub enum OutputError {
    /// Stdout took nothing more.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[source] io::Error),
    /// The file that GitHub Actions reads took nothing.
    #[error("cannot give the token to the job: {0}")]
    Github(#[source] FsError),
}

/// Prints data.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    quiet: bool,
    color: ColorChoice,
    json: bool,
}

impl Printer {
    /// A printer; a quiet one prints only what a command is for, and with `json` every line of stderr is an object.
    #[must_use]
    pub const fn new(quiet: bool, color: ColorChoice, json: bool) -> Self {
        Self { quiet, color, json }
    }

    /// Whether `--quiet` was given.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints what `--quiet` silences, with a line break.
    ///
    /// # Errors
    /// Where stdout takes nothing more; a closed pipe is no error.
    pub fn line(&self, text: &str) -> Result<(), OutputError> {
        if self.quiet { Ok(()) } else { self.essential(text) }
    }

    /// Prints what `--quiet` silences, without a line break.
    ///
    /// # Errors
    /// Where stdout takes nothing more; a closed pipe is no error.
    pub fn fragment(&self, text: &str) -> Result<(), OutputError> {
        if self.quiet { Ok(()) } else { self.write(text, "").map(drop) }
    }

    /// Prints what the command is for, with a line break, also when quiet.
    ///
    /// # Errors
    /// Where stdout takes nothing more; a closed pipe is no error.
    pub fn essential(&self, text: &str) -> Result<(), OutputError> {
        self.write(text, "\n").map(drop)
    }

    /// Much of what `--quiet` silences, a little at a time.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::new(*self, self.quiet)
    }

    /// Much of what the command is for, a little at a time, also when quiet.
    #[must_use]
    pub fn essential_stream(&self) -> Stream {
        Stream::new(*self, false)
    }

    /// Writes; `false` where nobody reads on.
    fn write(self, text: &str, end: &str) -> Result<bool, OutputError> {
        let written = progress::aside(|| {
            let mut out = AutoStream::new(io::stdout().lock(), self.color);
            out.write_all(text.as_bytes()).and_then(|()| out.write_all(end.as_bytes())).and_then(|()| out.flush())
        });
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(OutputError::Stdout(error)),
            Ok(()) => Ok(true),
        }
    }

    /// Whether a bar may stand on stderr, should that be a terminal.
    #[must_use]
    pub const fn has_bars(&self) -> bool {
        !self.quiet && !self.json
    }

    /// Replaces what the terminal shows by these lines; the cursor is left under them. `false` where nobody looks on.
    ///
    /// # Errors
    /// Where stdout takes nothing more.
    pub fn screen(&self, text: &str) -> Result<bool, OutputError> {
        let colored = match self.color {
            ColorChoice::Auto => AutoStream::choice(&io::stdout()) != ColorChoice::Never,
            choice => choice != ColorChoice::Never,
        };
        let plain = (!colored).then(|| anstream::adapter::strip_str(text).to_string());
        // Each line is written over the one that was there, so that nothing flickers.
        let lines = plain.as_deref().unwrap_or(text).lines().map(|line| format!("{line}\x1b[K\n"));
        self.control(&format!("\x1b[H{}\x1b[J", lines.collect::<String>()))
    }

    /// Drives the terminal that stdout is. `false` where nobody looks on.
    ///
    /// # Errors
    /// Where stdout takes nothing more.
    pub fn control(&self, codes: &str) -> Result<bool, OutputError> {
        Printer { color: ColorChoice::AlwaysAnsi, ..*self }.write(codes, "")
    }

    /// Prints to stderr, for people; silenced by `--quiet`. Nobody is told when stderr takes nothing.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.ask(text);
        }
    }

    /// Prints to stderr, also when quiet: what a person must answer before anything goes on.
    pub fn ask(&self, text: &str) {
        if self.json {
            let plain = anstream::adapter::strip_str(text).to_string();
            self.complain(&json!({ "level": "info", "message": plain.trim() }).to_string());
        } else {
            self.complain(text);
        }
    }

    /// Prints to stderr as it is, also when quiet: errors.
    pub fn complain(&self, text: &str) {
        progress::aside(|| {
            let mut err = AutoStream::new(io::stderr().lock(), self.color);
            let _ = err.write_all(text.as_bytes()).and_then(|()| err.write_all(b"\n"));
        });
    }
}
