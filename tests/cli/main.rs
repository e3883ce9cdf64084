//! The binary from outside: what it prints, sends, stores and exits with. Every file here is about one command or
//! one promise; `support` is what they stand on.
#![expect(clippy::expect_used, reason = "what a test cannot set up must fail it")]

mod around;
mod disk;
mod doctor;
mod history;
mod hooks;
mod hostile;
mod process;
mod rescue;
mod support;
mod support_works;
mod time;
mod tls;
