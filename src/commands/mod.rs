//! The verbs: one file each, and the one match that finds them.

pub mod config;
pub mod doctor;
pub mod emulator;
pub mod history;
pub mod import;
pub mod obtain;
pub mod refresh;
pub mod remove;
pub mod renew;
pub mod revoke;
pub mod status;
pub mod token;

use std::process::ExitCode;

use clap::Subcommand;

use crate::context::Context;

/// What tokman can do. What stands here is the help of each command, short and long.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Gets the first token of a key by a grant and stores it
    Obtain(obtain::ObtainArgs),
    /// Spends the refresh token and stores the result
    ///
    /// If another process refreshed the same key after this one started, that result is used. Client credentials (Wix
    /// apps) have no refresh token: a new access token is minted. With --all, every key in the store.
    Refresh(refresh::RefreshArgs),
    /// Extends an access token without a refresh token (Square's retired RenewToken)
    Renew(renew::RenewArgs),
    /// Ends the token at the provider, then forgets it locally
    ///
    /// For Square this ends every token that the merchant granted to the application, and the refresh token with them,
    /// unless --only-access-token is given.
    Revoke(revoke::RevokeArgs),
    /// Prints a valid access token; refreshes first only if it must
    Token(token::TokenArgs),
    /// Shows what is stored, its age, its end and its health
    #[command(visible_alias = "list")]
    Status(status::StatusArgs),
    /// Brings back a record that could not be stored
    ///
    /// When a provider's answer cannot be stored, tokman puts it into a private file elsewhere, names that file and exits
    /// with 10. This stores it and removes the file.
    Import(import::ImportArgs),
    /// Forgets a key locally; says what stays valid at the provider
    Remove(remove::RemoveArgs),
    /// Shows where settings are, what they are, and a template for them
    Config(config::ConfigArgs),
    /// Shows what was done to a key and when; never a secret
    History(history::HistoryArgs),
    /// Checks files, locks, clock, network and settings; --repair mends what is safe to mend
    ///
    /// Ends with 0 where nothing is broken, else with the exit code that the worst trouble would give.
    Doctor(doctor::DoctorArgs),
    /// Runs a local Square, Wix and OAuth 2.0 provider for trials and tests
    ///
    /// Serves their OAuth endpoints on 127.0.0.1, with their strictness and their error bodies, for one invented
    /// application each. Prints the environment to use and serves until it is stopped; with a command, runs that in the
    /// environment and ends with its exit code.
    Emulator(emulator::EmulatorArgs),
}

/// Runs a command.
///
/// # Errors
/// What went wrong, for [`crate::exit::report`].
pub fn run(context: &Context, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Obtain(args) => obtain::run(context, &args),
        Command::Refresh(args) => refresh::run(context, &args),
        Command::Renew(args) => renew::run(context, &args),
        Command::Revoke(args) => revoke::run(context, &args),
        Command::Token(args) => token::run(context, &args),
        Command::Status(args) => status::run(context, &args),
        Command::Import(args) => import::run(context, &args),
        Command::Remove(args) => remove::run(context, &args),
        Command::Config(args) => config::run(context, &args),
        Command::History(args) => history::run(context, &args),
        Command::Doctor(args) => doctor::run(context, &args),
        Command::Emulator(args) => emulator::run(context, &args),
    }
}
