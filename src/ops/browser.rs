//! Opens an address in the person's browser. Only the address goes to it: no variable of ours that holds a secret.

use std::process::{Command, Stdio};

use url::Url;

use crate::env;
#[cfg(unix)]
use crate::process;

/// Opens the address with `$BROWSER`, else with whatever the platform opens addresses with. `false` where nothing could
/// be started: then the person opens it.
#[must_use]
pub fn open(address: &Url) -> bool {
    let own = match env::strict("BROWSER") {
        Ok(browser) => browser.map(|browser| chosen(&browser, address)).unwrap_or_default(),
        Err(why) => {
            log::warn!("BROWSER {why}: no browser is opened");
            return false;
        }
    };
    let mut commands = own.into_iter().chain(open::commands(address.as_str()));
    #[cfg(unix)]
    return commands.any(|command| start_found(&command));
    // Here the system does not look where a process stands, and what opens addresses takes its words in a way of its own.
    #[cfg(not(unix))]
    return commands.any(start);
}

/// The commands of `$BROWSER`: programs separated by `:`, `%s` in one standing for the address, else it comes last.
fn chosen(browser: &str, address: &Url) -> Vec<Command> {
    let programs = browser.split(':').map(str::trim).filter(|program| !program.is_empty());
    let command = |program: &str| {
        let mut words = program.split_whitespace();
        let mut command = Command::new(words.next()?);
        command.args(words.map(|word| word.replace("%s", address.as_str())));
        if !program.contains("%s") {
            command.arg(address.as_str());
        }
        Some(command)
    };
    programs.filter_map(command).collect()
}

/// Starts a command whose program [`process::find`] finds, which is never where this process happens to stand.
#[cfg(unix)]
fn start_found(command: &Command) -> bool {
    match process::find(&command.get_program().to_string_lossy()) {
        Ok(program) => {
            let mut found = Command::new(program);
            found.args(command.get_args());
            start(found)
        }
        Err(error) => {
            log::debug!("no browser: {error}");
            false
        }
    }
}

fn start(mut command: Command) -> bool {
    for name in env::secret_names() {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        // It lives as long as it likes; its end is of no interest.
        Ok(_) => true,
        Err(error) => {
            log::debug!("{} cannot be started: {error}", command.get_program().display());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_variable_as_other_programs_do() {
        let address = Url::parse("http://127.0.0.1/?a=b%20c").unwrap();
        let words = |browser: &str| -> Vec<Vec<String>> {
            chosen(browser, &address)
                .iter()
                .map(|command| {
                    let words = std::iter::once(command.get_program()).chain(command.get_args());
                    words.map(|word| word.to_string_lossy().into_owned()).collect()
                })
                .collect()
        };
        assert_eq!(words("firefox"), [["firefox", address.as_str()]]);
        let both = words("w3m -o x=1 %s:lynx");
        assert_eq!(both[0], ["w3m", "-o", "x=1", address.as_str()]);
        assert_eq!(both[1], ["lynx", address.as_str()]);
        assert!(words("").is_empty() && words(" : ").is_empty());
    }
}
