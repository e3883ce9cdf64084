//! Flags that several commands share: those of every command, and those that describe the application.

pub mod complete;
pub mod line;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum, ValueHint};
use clap_complete::{ArgValueCandidates, ArgValueCompleter};

use crate::config::Options;
use crate::model::duration;
use crate::output::response::{Format, Shell};

/// The whole budget of one exchange where nobody says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct GlobalArgs {
    /// Who issues the token: square, wix, or a name from the config file [env: TOKMAN_PROVIDER]
    #[arg(short, long, global = true, value_name = "NAME", add = ArgValueCompleter::new(complete::providers))]
    pub provider: Option<String>,
    /// Which stored token of the provider [env: TOKMAN_PROFILE] [default: default]
    #[arg(short = 'n', long, global = true, value_name = "NAME", add = ArgValueCompleter::new(complete::profiles))]
    pub profile: Option<String>,
    /// Directory of config.toml and tokens/ [env: TOKMAN_CONFIG_DIR]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub config_dir: Option<PathBuf>,
    /// Where tokens are kept: file, file:/path, postgres://USER@HOST/DATABASE [env: TOKMAN_STORE] [default: file]
    #[arg(long, global = true, value_name = "URL")]
    pub store: Option<String>,
    /// What to print
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        hide_possible_values = true,
        add = ArgValueCompleter::new(complete::formats),
        long_help = "What to print: json (the provider's response as it came), token, header (an HTTP header), env (a shell assignment), github (masks it, and an output of the step), prometheus (status) or none"
    )]
    pub output: Option<Format>,
    /// Print nothing but errors, and what the command is for
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say what is done; twice: requests and answers too, without secrets [env: TOKMAN_LOG]
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Stderr as text, or as one JSON object a line [env: TOKMAN_LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "text|json", value_enum, hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
    /// Colours: auto, always, never [env: NO_COLOR, CLICOLOR_FORCE]
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value = "auto",
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub color: ColorWhen,
    /// The whole budget of one exchange with the provider, its retries included
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = duration::parse_some)]
    pub timeout: Duration,
}

/// How stderr is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Options of every command that talks to a provider.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Credentials of the application")]
pub struct ApplicationArgs {
    /// The client id
    #[arg(long, value_name = "ID", help = "The client id [env: TOKMAN_<PROVIDER>_CLIENT_ID]")]
    pub client_id: Option<String>,
    /// A file with the client secret, or - for stdin
    #[arg(
        long,
        value_name = "PATH",
        value_hint = ValueHint::FilePath,
        help = "A file with the client secret, or - for stdin [env: TOKMAN_<PROVIDER>_CLIENT_SECRET, …_CLIENT_SECRET_FILE]"
    )]
    pub client_secret_file: Option<PathBuf>,
    /// Wix: the app instance [env: TOKMAN_WIX_INSTANCE_ID]
    #[arg(long, value_name = "ID")]
    pub instance_id: Option<String>,
    /// Square: production or sandbox [env: TOKMAN_SQUARE_ENVIRONMENT]
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(complete::environments))]
    pub environment: Option<String>,
}

/// The options of every command that prints a token.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct PrintedArgs {
    /// The shell that -o env writes for: posix, bash, zsh, fish, powershell [default: posix]
    #[arg(long, value_name = "SHELL", value_enum, hide_possible_values = true)]
    pub shell: Option<Shell>,
}

impl Default for GlobalArgs {
    /// What they are where the command line says nothing.
    fn default() -> Self {
        Self {
            provider: None,
            profile: None,
            config_dir: None,
            store: None,
            output: None,
            quiet: false,
            verbose: 0,
            log_format: None,
            color: ColorWhen::Auto,
            timeout: TIMEOUT,
        }
    }
}

impl ApplicationArgs {
    /// Whether any of them was given.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        let Self { client_id, client_secret_file, instance_id, environment } = self;
        client_id.is_some() || client_secret_file.is_some() || instance_id.is_some() || environment.is_some()
    }
}

impl GlobalArgs {
    /// What the settings take from the command line.
    #[must_use]
    pub fn options(&self, application: Option<&ApplicationArgs>) -> Options {
        let application = application.cloned().unwrap_or_default();
        Options {
            provider: self.provider.clone(),
            profile: self.profile.clone(),
            config_dir: self.config_dir.clone(),
            store: self.store.clone(),
            client_id: application.client_id,
            client_secret_file: application.client_secret_file,
            instance_id: application.instance_id,
            environment: application.environment,
            legacy: false,
        }
    }
}
