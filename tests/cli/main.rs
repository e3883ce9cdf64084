//! The binary from outside: what it prints, sends, stores and exits with. Every file here is about one command or
//! one promise; `support` is what they stand on.
#![expect(clippy::expect_used, reason = "what a test cannot set up must fail it")]

mod answers;
mod application;
mod around;
#[cfg(feature = "emulator")]
mod browser;
mod bulk;
mod check;
mod completions;
mod concurrency;
mod config;
mod crash;
mod disk;
mod doctor;
#[cfg(feature = "emulator")]
mod emulator;
mod exec;
mod exit_codes;
mod forms;
mod help;
mod history;
mod hooks;
mod hostile;
mod interview;
mod key;
#[cfg(feature = "keyring")]
mod keyring;
#[cfg(feature = "emulator")]
mod life;
#[cfg(feature = "emulator")]
mod life_oauth2;
mod listener;
mod login;
mod looks;
mod man;
mod oauth2;
mod obtain;
#[cfg(feature = "postgres")]
mod postgres;
mod process;
mod prompt;
mod recorded;
mod refresh;
mod refusals;
mod remove;
mod renew;
mod rescue;
mod revoke;
mod sealing;
mod secrets;
mod status;
mod storm;
mod support;
mod support_works;
mod time;
mod tls;
mod token;
mod transfer;
mod variables;
mod verbose;
mod watch;
