//! `tokman config init` on a terminal: asks what a first config file needs, and writes it. It never asks for a secret,
//! only for where that is.

use std::fmt::Write as _;
use std::path::Path;

use crate::config::file::FileConfig;
use crate::config::{ConfigError, address, provider};
use crate::context::Context;
use crate::env;
use crate::exit::Usage;
use crate::fsutil;
use crate::model::{Key, ProfileName, ProviderName};
use crate::output::Printer;

use super::prompt::{answer, confirm};
use super::template::{Member, fill, quoted};

/// What was answered, as TOML values.
#[derive(Debug)]
struct Answers {
    provider: ProviderName,
    /// The members of the provider's table, in order.
    members: Vec<Member>,
    is_default: bool,
    /// The address that has to be registered; absent where no login is needed.
    redirect_uri: Option<String>,
    /// The secret's file, if it is in one.
    secret_file: Option<String>,
}

/// Asks, then writes the config file at `path`. One that is there is kept under another name.
///
/// # Errors
/// [`Usage`] where the person ends it or wants no other file; then nothing is written.
pub(super) fn run(context: &Context, path: &Path) -> anyhow::Result<()> {
    let printer = context.printer;
    printer.ask(&format!(
        "This writes {}. Enter alone takes what stands in [brackets]; Ctrl-C ends it, and nothing is written.",
        path.display()
    ));
    let is_there = std::fs::symlink_metadata(path).is_ok();
    if is_there && !confirm(printer, "It is there already. Write a new one, and keep it as config.toml.old?", false)? {
        return Err(Usage::new("nothing was written: the config file is there already").into());
    }
    let answers = ask(printer, path.parent().unwrap_or(Path::new("/")))?;
    let text = fill(&answers.provider, &answers.members, answers.is_default);
    FileConfig::parse(&text, path)?;
    let written = (|| {
        if let Some(dir) = path.parent() {
            fsutil::make_private_dir(dir)?;
        }
        let old = if is_there { Some(fsutil::set_aside(path, "config.toml.old")?) } else { None };
        fsutil::create_private(path, text.as_bytes(), true).map(|_| old)
    })();
    if let Some(old) = written.map_err(ConfigError::from)? {
        printer.note(&format!("The old one is {}.", old.display()));
    }
    printer.note(&format!("Written: {}\n\n{}", path.display(), next_steps(&answers)));
    Ok(())
}

fn ask(printer: Printer, dir: &Path) -> anyhow::Result<Answers> {
    let question = "Provider: square, wix, or a name of yours for another OAuth 2.0 provider";
    let provider = answer(printer, question, Some("square"), |text| {
        text.parse::<ProviderName>().map_err(|error| error.to_string())
    })?;
    let (is_square, is_wix) = (provider.as_str() == "square", provider.as_str() == "wix");
    let mut members = Vec::new();
    if !is_square && !is_wix {
        let check = |text: &str| address::parse(text).map_err(|why| format!("the address {why}"));
        let issuer = answer(printer, "Its issuer, as https://login.example.com", None, check)?;
        members.push(("kind", quoted("oauth2")));
        members.push(("issuer", quoted(issuer.as_str())));
    }
    let client_id = answer(printer, "Client id of your application", None, client_id)?;
    members.push(("client_id", quoted(&client_id)));
    if is_square && client_id.starts_with("sandbox-") {
        members.push(("environment", quoted("sandbox")));
    }
    let (secret, secret_file) = secret(printer, &provider, dir)?;
    members.extend(secret.map(|secret| ("client_secret", secret)));
    let mut instance = String::new();
    if is_wix {
        let question = "App instance id of the site; none for logins of members or the older installer";
        instance = answer(printer, question, Some("none"), |text| Ok(text.to_owned()))?;
    }
    let mut redirect_uri = None;
    if instance.is_empty() || instance == "none" {
        let default = format!("http://{}:8917/callback", if is_square || is_wix { "localhost" } else { "127.0.0.1" });
        let check = |text: &str| provider::redirect_uri(text).map_err(|why| format!("the address {why}"));
        let url = answer(printer, "Redirect address, as it is registered with the provider", Some(&default), check)?;
        members.push(("redirect_uri", quoted(url.as_str())));
        redirect_uri = Some(url.to_string());
    } else {
        members.push(("instance_id", quoted(&instance)));
    }
    let is_default = confirm(printer, &format!("Use {provider} where --provider is not given?"), true)?;
    Ok(Answers { provider, members, is_default, redirect_uri, secret_file })
}

fn client_id(text: &str) -> Result<String, String> {
    // Square's secrets have this in them: one that is pasted here would be sent as an id, and shown.
    match text {
        _ if text.contains("sq0csp-") || text.contains("sq0csb-") => Err("that is a secret, not an id".to_owned()),
        _ if text.contains(char::is_whitespace) => Err("an id has no blanks".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// The source of the client secret, as TOML; and its file, if it is in one.
fn secret(printer: Printer, name: &ProviderName, dir: &Path) -> anyhow::Result<(Option<String>, Option<String>)> {
    let question = "Where is the client secret: file, env (a variable), command, or none (a public client)";
    let kinds = ["file", "env", "command", "none"];
    // What was typed is not repeated: it may be the secret itself.
    let known = |text: &str| kinds.into_iter().find(|kind| *kind == text).ok_or("that is none of them".to_owned());
    match answer(printer, question, Some("file"), known)? {
        "file" => {
            let default = dir.join(format!("{name}.secret")).display().to_string();
            let whole = |text: &str| {
                let is_whole = Path::new(text).is_absolute();
                if is_whole { Ok(text.to_owned()) } else { Err("write the whole path".to_owned()) }
            };
            let path = answer(printer, "The file, readable by you only", Some(&default), whole)?;
            Ok((Some(format!("{{ file = {} }}", quoted(&path))), Some(path)))
        }
        "env" => {
            let variable = |text: &str| {
                let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if fits { Ok(text.to_owned()) } else { Err("a name has letters, digits and '_'".to_owned()) }
            };
            let default = env::Name::ClientSecret.of(name);
            let name = answer(printer, "The variable", Some(&default), variable)?;
            Ok((Some(format!("{{ env = {} }}", quoted(&name))), None))
        }
        "command" => {
            let words = |text: &str| Ok(text.split_whitespace().map(quoted).collect::<Vec<_>>().join(", "));
            let default = format!("pass show {name}");
            let words = answer(printer, "The command that prints it; no shell runs it", Some(&default), words)?;
            Ok((Some(format!("{{ command = [{words}] }}")), None))
        }
        _ => Ok((None, None)),
    }
}

fn next_steps(answers: &Answers) -> String {
    let mut text = String::new();
    if let Some(path) = answers.secret_file.as_deref().filter(|path| !Path::new(path).exists()) {
        let _ = writeln!(text, "Put the client secret into its file:  (umask 077; cat > '{path}')");
    }
    if let Some(uri) = &answers.redirect_uri {
        let _ = writeln!(text, "Register this redirect address with {}:  {uri}", answers.provider);
    }
    let key = Key { provider: answers.provider.clone(), profile: ProfileName::default() };
    let option = if answers.is_default { String::new() } else { format!(" --provider {}", key.provider) };
    let _ = write!(text, "Then get the first token:  tokman obtain{option}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_no_secret_for_an_id() {
        assert!(client_id("sq0csp-x").is_err() && client_id("sandbox-sq0csb-x").is_err() && client_id("a b").is_err());
        assert_eq!(client_id("sq0idp-x").as_deref(), Ok("sq0idp-x"));
    }
}
