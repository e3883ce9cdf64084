//! The walk through the main commands against the emulator, each shown with what it prints.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;

use crate::context::Context;
use crate::model::Replay;
use crate::net::Client;
use crate::ops;

/// The walk: what to say, what to run, the exit code that belongs to it.
const SQUARE: [(&str, &[&str], i32); 7] = [
    ("What is stored now:", &["status"], 0),
    ("A new access token for the refresh token:", &["refresh", "-p", "square"], 0),
    ("Square's retired RenewToken:", &["renew", "-p", "square"], 0),
    ("The token, for a script. Nothing is sent while it is fresh:", &["token", "-p", "square"], 0),
    ("What Square says of it:", &["status", "-p", "square", "--remote"], 0),
    ("The end of it, at Square and here:", &["revoke", "-p", "square", "--yes"], 0),
    ("A token that is not there is exit 4, with the way to get one:", &["token", "-p", "square"], 4),
];

const WIX: [(&str, &[&str], i32); 7] = [
    ("An app with an instance id needs no login:", &["obtain", "-p", "wix"], 0),
    ("A new access token:", &["refresh", "-p", "wix"], 0),
    ("For curl -H; Wix takes the token without 'Bearer':", &["token", "-p", "wix", "-o", "header"], 0),
    ("What is stored now, as Wix sees it:", &["status", "--remote"], 0),
    ("Wix has no RenewToken:", &["renew", "-p", "wix"], 6),
    ("Nor can an app's token be revoked, and tokman does not pretend:", &["revoke", "-p", "wix"], 6),
    ("It can be forgotten here:", &["remove", "-p", "wix"], 0),
];

/// Runs the demo.
///
/// # Errors
/// A step that did not end as it should.
pub fn run(context: &Context, environment: &[(&'static str, String)], home: &Path) -> anyhow::Result<ExitCode> {
    let demo =
        Demo { context, environment, home, program: std::env::current_exe().context("cannot find tokman itself")? };
    demo.title("Square")?;
    demo.login()?;
    demo.walk(&SQUARE)?;
    demo.title("Wix")?;
    demo.walk(&WIX)?;
    context.printer.note("\nThat was all on this machine. With an application of your own: tokman config init");
    Ok(ExitCode::SUCCESS)
}

struct Demo<'a> {
    context: &'a Context,
    environment: &'a [(&'static str, String)],
    home: &'a Path,
    program: std::path::PathBuf,
}

impl Demo<'_> {
    fn title(&self, text: &str) -> anyhow::Result<()> {
        let bold = anstyle::Style::new().bold().underline();
        Ok(self.context.printer.line(&format!("\n{bold}{text}{bold:#}"))?)
    }

    fn say(&self, what: &str, args: &[&str]) -> anyhow::Result<()> {
        let (dim, bold) = (anstyle::Style::new().dimmed(), anstyle::Style::new().bold());
        let printer = &self.context.printer;
        printer.line(&format!("\n{dim}# {what}{dim:#}\n{bold}$ tokman {}{bold:#}", args.join(" ")))?;
        Ok(())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null());
        super::in_environment(&mut command, self.environment, self.home);
        command
    }

    fn walk(&self, steps: &[(&str, &[&str], i32)]) -> anyhow::Result<()> {
        for (what, args, expected) in steps {
            self.say(what, args)?;
            let status = self.command(args).status().context("cannot run tokman itself")?;
            if status.code() != Some(*expected) {
                bail!("'tokman {}' ended with {status}, not {expected}", args.join(" "));
            }
        }
        Ok(())
    }

    /// A login as a person does it, with this process as the browser.
    fn login(&self) -> anyhow::Result<()> {
        let args = ["obtain", "-p", "square", "--print-url"];
        self.say("The address to open in a browser:", &args)?;
        let output = self.command(&args).stderr(Stdio::inherit()).output().context("cannot run tokman itself")?;
        let address = String::from_utf8(output.stdout).context("the address is not text")?;
        self.context.printer.line(address.trim())?;
        if !output.status.success() {
            bail!("'tokman {}' ended with {}", args.join(" "), output.status);
        }
        let redirected = self.browse(address.trim())?;
        let args = ["obtain", "-p", "square", "--code", "-"];
        self.say(&format!("The browser consented and was sent to {redirected}\n# That address on stdin:"), &args)?;
        let mut child = self.command(&args).stdin(Stdio::piped()).spawn().context("cannot run tokman itself")?;
        let mut stdin = child.stdin.take().context("the child has no stdin")?;
        stdin.write_all(redirected.as_bytes()).context("cannot write to tokman's stdin")?;
        drop(stdin);
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(anyhow!("'tokman {}' ended with {status}", args.join(" "))) }
    }

    /// Opens an address as a browser would, and tells where it was sent.
    fn browse(&self, address: &str) -> anyhow::Result<String> {
        let client = Client::new(Arc::clone(&self.context.clock));
        let request = http::Request::get(address).body(Bytes::new())?;
        let answer = ops::runtime()?.block_on(client.send(&request, Replay::Safe, Duration::from_secs(10)))?;
        let location = answer.response.headers().get(http::header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok()).context("the emulator did not redirect")?;
        Ok(location.to_owned())
    }
}
