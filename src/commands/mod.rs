//! The verbs: one file each, and the one match that finds them.

pub mod check;
pub mod completions;
pub mod config;
pub mod doctor;
#[cfg(feature = "emulator")]
pub mod emulator;
pub mod exec;
pub mod export;
pub mod help;
pub mod history;
pub mod import;
pub mod key;
pub mod man;
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
    ///
    /// Where no option names a grant it logs in with the browser, which needs a terminal; a Wix app with an instance id
    /// needs no login.
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
    /// Runs a command with a valid access token in its environment
    ///
    /// The token is in SQUARE_ACCESS_TOKEN, WIX_ACCESS_TOKEN and so on, or where --env says; tokman's own secrets are
    /// taken out. The command takes tokman's place: signals and the exit code are its own. Without a token, or where
    /// tokman's own options are wrong, the exit code is 125; a command that cannot be run is 126, one that is not there
    /// 127.
    Exec(exec::ExecArgs),
    /// Shows what is stored, its age, its end and its health; 'list' is the same
    ///
    /// Times are told by how far away they are, with -v as they are. A terminal that is too narrow for all columns shows
    /// fewer of them; -o json has everything.
    // Not a visible one: a shell would offer it in the place of the name.
    #[command(alias = "list")]
    Status(status::StatusArgs),
    /// Checks the stored tokens for monitoring: one line, and a plugin's exit code
    ///
    /// OK (exit 0), WARNING (1), CRITICAL (2) or UNKNOWN (3) with performance data, as Nagios, Icinga and their like read it. A token that
    /// needs a login and a record that cannot be read are CRITICAL; nothing stored, and whatever keeps tokman from
    /// looking, is UNKNOWN.
    Check(check::CheckArgs),
    /// Stores tokens obtained elsewhere: JSON or NDJSON on stdin
    ///
    /// Each line is a token as 'export' prints it, or a provider's response with members 'provider' and 'profile'; a single
    /// one takes its key from -p and -n. All are checked before the first is stored. With --rescue it brings back the
    /// record that an earlier run could not store: that run ended with 10 and named the file.
    Import(import::ImportArgs),
    /// Prints stored tokens as NDJSON, refresh tokens included
    ///
    /// Sealed ones are opened: whoever has the output has the grants.
    Export(export::ExportArgs),
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
    /// Makes keys that seal stored tokens at rest, and seals what is stored anew
    Key(key::KeyArgs),
    /// Runs a local Square, Wix and OAuth 2.0 provider for trials and tests
    ///
    /// Serves their OAuth endpoints on 127.0.0.1, with their strictness and their error bodies, for one invented
    /// application each. Prints the environment to use and serves until it is stopped; with a command, runs that in the
    /// environment and ends with its exit code; 126 where it cannot be run, 127 where it is not there.
    #[cfg(feature = "emulator")]
    Emulator(emulator::EmulatorArgs),
    /// Prints what a shell needs to complete commands, providers and profiles
    Completions(completions::CompletionsArgs),
    /// Prints the manual page, or writes all manual pages into a directory
    Man(man::ManArgs),
    /// Explains a command, or exit codes, files, cron and CI
    Help(help::HelpArgs),
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
        Command::Exec(args) => exec::run(context, &args),
        Command::Status(args) => status::run(context, &args),
        Command::Check(args) => check::run(context, &args),
        Command::Import(args) => import::run(context, &args),
        Command::Export(args) => export::run(context, &args),
        Command::Remove(args) => remove::run(context, &args),
        Command::Config(args) => config::run(context, &args),
        Command::History(args) => history::run(context, &args),
        Command::Doctor(args) => doctor::run(context, &args),
        Command::Key(args) => key::run(context, &args),
        #[cfg(feature = "emulator")]
        Command::Emulator(args) => emulator::run(context, &args),
        Command::Completions(args) => completions::run(context, &args),
        Command::Man(args) => man::run(context, &args),
        Command::Help(args) => help::run(context, &args),
    }
}
