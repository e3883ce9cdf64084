//! The wire: sends a request within a time budget, again where that is safe, and brings back a bounded answer. Knows
//! no provider; what it logs is on an allow-list.

pub mod client;
pub mod loopback;
pub mod pace;
mod proxy;
pub mod retry;
pub mod trace;

use thiserror::Error;

pub use client::{Answer, Client};
pub use pace::{Pace, Rate};

/// What kept an answer from coming.
#[derive(Debug, Error)]
pub enum NetError {
    /// No connection: the request was never sent.
    #[error("cannot connect to {host}: {why}")]
    Unreachable {
        /// The host.
        host: String,
        /// What the system, the resolver or TLS said.
        why: String,
    },
    /// The request was sent, or part of it, and no whole answer came: the provider may have acted on it.
    #[error("the answer of {host} was lost: {why}")]
    Lost {
        /// The host.
        host: String,
        /// What happened.
        why: String,
    },
    /// The answer is larger than any token.
    #[error("the answer of {host} is larger than {limit} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// The most that is read.
        limit: usize,
    },
    /// Nothing was sent: the provider asked to be left alone for longer than there is time.
    #[error("{host} asked to be left alone for {} s", left.as_secs())]
    Paused {
        /// The host.
        host: String,
        /// How much longer.
        left: std::time::Duration,
    },
    /// Nothing was sent: the run is to end, or its time is over.
    #[error("not begun in time")]
    TooLate,
    /// The client itself could not be set up.
    #[error("cannot set up HTTPS: {0}")]
    Setup(String),
}

impl NetError {
    /// Whether the provider may have acted on the request although no answer came.
    #[must_use]
    pub const fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::TooLarge { .. })
    }
}
