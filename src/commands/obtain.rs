//! `tokman obtain`: the first token of a key.

mod device;
mod input;
mod login;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};
use url::Url;

use crate::config::provider;
use crate::context::Context;
use crate::exit::Usage;
use crate::flags::{ApplicationArgs, PrintedArgs};
use crate::model::{Grant, Key, Secret};
use crate::ops::login::Pending;
use crate::ops::obtain::Keep;
use crate::ops::{self, Broker, Issuer};
use crate::output::response::Json;
use crate::provider::Wanted;

/// The groups of options in the help.
const GRANT: &str = "Grant";
const LOGIN: &str = "Login";
const TOKEN: &str = "Token";

/// Gets the first token of a key by a grant and stores it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tokman obtain -p square                   # logs in with the browser\n  tokman obtain -p square --no-browser      # the same by hand, over ssh\n  tokman obtain -p square --print-url  # then: tokman obtain -p square --code -\n  tokman obtain -p square --refresh-token - < refresh-token\n  tokman obtain -p wix --instance-id 2f0f…  # client credentials\n  tokman obtain -p acme --device            # a code to enter on another device"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct ObtainArgs {
    /// The authorization code or the redirected address, or - for stdin
    #[arg(long, value_name = "CODE|-", group = "grant", help_heading = GRANT)]
    code: Option<String>,
    /// A file with the PKCE verifier of the code, or - for stdin
    #[arg(long, value_name = "PATH|-", value_hint = ValueHint::FilePath, requires = "code", help_heading = GRANT)]
    code_verifier_file: Option<PathBuf>,
    /// The application's own credentials; implied by an instance id for Wix
    #[arg(long, group = "grant", help_heading = GRANT)]
    client_credentials: bool,
    /// Show a code to enter on another device, and wait until it was (RFC 8628)
    #[arg(long, group = "grant", help_heading = GRANT)]
    device: bool,
    /// Square: an access token of the time before refresh tokens, on stdin
    #[arg(long, value_name = "-", group = "grant", help_heading = GRANT)]
    migration_token: Option<String>,
    /// A refresh token obtained elsewhere, on stdin
    #[arg(long, value_name = "-", group = "grant", help_heading = GRANT)]
    refresh_token: Option<String>,
    /// Print the address to open, and read the redirected address or the code from stdin
    #[arg(long, group = "grant", help_heading = GRANT)]
    no_browser: bool,
    /// Print the address to open and stop; --code finishes within ten minutes
    #[arg(long, group = "grant", help_heading = GRANT)]
    print_url: bool,
    /// The redirect address that is registered with the provider
    #[arg(long, value_name = "URL", help_heading = LOGIN)]
    redirect_uri: Option<String>,
    /// The port of the default redirect address, http://localhost:PORT/callback (OAuth 2.0: 127.0.0.1)
    #[arg(long, value_name = "N", default_value_t = 8917, value_parser = clap::value_parser!(u16).range(1..), help_heading = LOGIN)]
    port: u16,
    /// Wix: log in by the older installer of apps with custom authentication (legacy)
    #[arg(long, help_heading = LOGIN)]
    legacy: bool,
    /// Scopes to ask for; repeat or separate by blanks
    #[arg(long, value_name = "SCOPE", value_delimiter = ' ', help_heading = TOKEN)]
    scope: Vec<String>,
    /// Square: an access token of 24 hours instead of 30 days
    #[arg(long, help_heading = TOKEN)]
    short_lived: bool,
    /// Overwrite a live token of another account
    #[arg(long, help_heading = TOKEN)]
    replace: bool,
    #[command(flatten, next_help_heading = TOKEN)]
    printed: PrintedArgs,
    #[command(flatten)]
    application: ApplicationArgs,
}

/// One run of the command.
struct Run<'a> {
    context: &'a Context,
    args: &'a ObtainArgs,
    key: Key,
    issuer: Issuer,
    broker: Broker,
    /// Where pending logins are.
    logins: PathBuf,
    scopes: Vec<String>,
    keep: Keep,
}

/// Runs the command.
///
/// # Errors
/// Why there is no token. A refused grant leaves what is stored as it was.
pub fn run(context: &Context, args: &ObtainArgs) -> anyhow::Result<ExitCode> {
    let form = context.form(args.printed, Json::Response)?;
    args.check_stdin_only()?;
    let settings = context.settings_with(Some(&args.application), |options| options.legacy = args.legacy)?;
    let key = context.key_or_account(&settings)?;
    let issuer = context.issuer(&settings, &key)?;
    let asked: Vec<String> = args.scope.iter().filter(|scope| !scope.is_empty()).cloned().collect();
    // Those of the settings are for logins: what a refresh token was granted for may be less (RFC 6749 §6).
    let is_login = args.refresh_token.is_none();
    let scopes = if asked.is_empty() && is_login { issuer.settings().scopes.value.clone() } else { asked };
    let issuer = issuer.asking_for(&scopes);
    let broker = context.broker(&settings)?;
    let keep = Keep { replace: args.replace, by_account: settings.by_account };
    let run = Run { context, args, key, issuer, broker, logins: settings.config_dir.join("logins"), scopes, keep };
    let wanted = Wanted { scopes: run.scopes.clone(), short_lived: args.short_lived };
    let outcome = match run.way()? {
        Way::Done => return Ok(ExitCode::SUCCESS),
        Way::Device => device::obtain(&run, &wanted)?,
        Way::Browser => run.log_in(wanted)?,
        Way::Grant(grant) => {
            let obtained = run.broker.obtain(&run.key, &run.issuer, &grant, &wanted, run.keep);
            let outcome = ops::runtime()?.block_on(obtained)?;
            if matches!(grant, Grant::Code { .. }) {
                Pending::forget(&run.logins, &run.key);
            }
            outcome
        }
    };
    let kind = run.issuer.settings().kind;
    context.print_token(kind, &outcome, form)?;
    Ok(ExitCode::SUCCESS)
}

/// How the token is had.
enum Way {
    /// With this grant.
    Grant(Grant),
    /// By a login whose browser comes back by itself.
    Browser,
    /// By a code that is entered on another device.
    Device,
    /// It is not: all there was to do is done.
    Done,
}

impl ObtainArgs {
    /// Refuses a token on the command line, without repeating it as a parser would.
    fn check_stdin_only(&self) -> Result<(), Usage> {
        let options = [("--refresh-token", &self.refresh_token), ("--migration-token", &self.migration_token)];
        match options.into_iter().find(|(_, given)| given.as_deref().is_some_and(|given| given != "-")) {
            Some((name, _)) => Err(Usage::new(format!(
                "{name} takes - only, and reads the token from stdin: everyone on this machine can read a command line"
            ))
            .hint(format!("tokman obtain {name} - < file"))),
            None => Ok(()),
        }
    }
}

impl Run<'_> {
    /// The way that the options name.
    fn way(&self) -> anyhow::Result<Way> {
        let args = self.args;
        if args.print_url {
            let (address, pending) = self.begin()?;
            pending.save(&self.logins, &self.key)?;
            self.context.printer.essential(address.as_str())?;
            return Ok(Way::Done);
        }
        if args.no_browser {
            return self.ask_for_redirect().map(Way::Grant);
        }
        if args.device {
            return Ok(Way::Device);
        }
        if let Some(code) = &args.code {
            return self.code(code).map(Way::Grant);
        }
        if args.refresh_token.is_some() {
            let refresh_token = self.read_stdin("refresh token")?;
            return Ok(Way::Grant(Grant::Refresh { refresh_token }));
        }
        if args.migration_token.is_some() {
            let access_token = self.read_stdin("access token")?;
            return Ok(Way::Grant(Grant::Migration { access_token }));
        }
        if args.client_credentials || self.issuer.mints() {
            return Ok(Way::Grant(Grant::ClientCredentials { account: None }));
        }
        if io::stdin().is_terminal() && io::stderr().is_terminal() {
            return Ok(Way::Browser);
        }
        Err(Usage::new("there is no terminal for a login, and no option names a grant")
            .hint(format!(
                "tokman obtain {} --no-browser; or --refresh-token -, --code CODE, --client-credentials, --device",
                self.key.options()
            ))
            .into())
    }

    /// The grant of a code, or of a redirected address, with what a pending login remembers of it.
    fn code(&self, code: &str) -> anyhow::Result<Grant> {
        // One that was registered elsewhere may have any scheme.
        let own = self.args.redirect_uri.as_deref().and_then(|text| Url::parse(text).ok());
        if let Some(Err(why)) = own.as_ref().map(provider::bare_redirect_uri) {
            return Err(Usage::new(format!("--redirect-uri {why}")).into());
        }
        let code = if code == "-" { self.read_stdin("code or redirected address")? } else { Secret::new(code) };
        let now = self.context.clock.now();
        let pending = Pending::load(&self.logins, &self.key, &self.issuer, now)?;
        let code_verifier = self.args.code_verifier_file.as_deref().map(|path| self.read_verifier(path)).transpose()?;
        if let Some(pending) = pending.filter(|_| code_verifier.is_none() && self.args.redirect_uri.is_none()) {
            // Whether the provider names itself in a redirect, its metadata say.
            ops::runtime()?.block_on(self.broker.discover(&self.issuer))?;
            return Ok(pending.grant(&self.issuer, &code)?);
        }
        if code.expose().contains("://") {
            return Err(Usage::new(
                "no login waits for this address: it was begun elsewhere, is finished, or is older than ten minutes",
            )
            .hint(format!("tokman obtain {} --print-url", self.key.options()))
            .into());
        }
        Ok(Grant::Code { code, redirect_uri: self.args.redirect_uri.clone(), code_verifier, account: None })
    }
}
