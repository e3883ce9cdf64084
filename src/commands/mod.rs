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

/// What tokman can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Gets the first token of a key by a grant and stores it
    Obtain(obtain::ObtainArgs),
    /// Spends the refresh token and stores the result
    Refresh(refresh::RefreshArgs),
    /// Extends an access token without a refresh token (Square's retired RenewToken)
    Renew(renew::RenewArgs),
    /// Ends the token at the provider, then forgets it locally
    Revoke(revoke::RevokeArgs),
    /// Prints a valid access token; refreshes first only if it must
    Token(token::TokenArgs),
    /// Shows what is stored, its age, its end and its health
    #[command(visible_alias = "list")]
    Status(status::StatusArgs),
    /// Brings back a record that could not be stored
    Import(import::ImportArgs),
    /// Forgets a key locally; says what stays valid at the provider
    Remove(remove::RemoveArgs),
    /// Shows where settings are, what they are, and a template for them
    Config(config::ConfigArgs),
    /// Shows what was done to a key and when; never a secret
    History(history::HistoryArgs),
    /// Checks files, locks, clock, network and settings; --repair mends what is safe to mend
    Doctor(doctor::DoctorArgs),
    /// Runs a local Square, Wix and OAuth 2.0 provider for trials and tests
    Emulator(emulator::EmulatorArgs),
}

/// Runs a command.
///
/// # Errors
/// What went wrong, for [`crate::exit::report`].
pub fn run(context: &Context, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Obtain(args) => obtain::run(context, &args),
        Command::Refresh(args) => refresh::run(context, args),
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
