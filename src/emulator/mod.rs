//! Square, Wix and an OAuth 2.0 provider on this machine: their OAuth endpoints with their strictness, their lifetimes
//! and their error bodies, for one invented application each. It keeps everything in memory and knows nothing of
//! tokman's own client.
//!
//! Square is served under `/square` and, for clients that accept no path in a base address, at the root too; Wix
//! under `/wix` and the OAuth 2.0 provider, Acme, under `/acme` only. Two of them have `/oauth2/token`, so what has no prefix is always Square's.

mod faults;
mod oauth2;
mod page;
mod random;
mod server;
mod square;
mod state;
#[cfg(test)]
mod trial;
mod wire;
mod wix;

use std::io;
use std::time::Duration;

use thiserror::Error;

pub use server::Emulator;

/// How the emulator behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The port on 127.0.0.1; 0 takes any that is free.
    pub port: u16,
    /// Consents without showing a page.
    pub auto_approve: bool,
    /// How long every answer is held back.
    pub latency: Duration,
    /// The life of every access token; absent leaves each provider its own.
    pub expires_in: Option<Duration>,
    /// Replaces a refresh token at every use, also where the provider would keep it.
    pub rotate: bool,
    /// The share of POST requests, 0 to 1, that are answered with 503 and change nothing.
    pub fail_rate: f64,
}

/// Why the emulator cannot run.
#[derive(Debug, Error)]
pub enum EmulatorError {
    /// The port is taken or not allowed.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Bind {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The system's generator gave nothing to make secrets of.
    #[error("the system has no random bytes to give")]
    NoRandomness,
    /// Connections could not be accepted for too long.
    #[error("cannot accept connections")]
    Accept(#[source] io::Error),
}
