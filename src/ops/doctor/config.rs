//! The config file: the one thing that is looked at before there are settings.

use crate::config::{ConfigError, Options, Settings, config_file, paths};
use crate::fsutil::{self, FsError};
use crate::model::text::shell_word;
use crate::ops::Code;
use crate::ops::doctor::{Finding, Verdict};

/// The permission bits with which others can change a file.
const WRITABLE: u32 = 0o022;

/// Loads the settings, and tells how it is with the config file. One that is open to others is closed if asked to. Where
/// it cannot be obeyed the settings are those without it; so also where others could change it until now: nobody has
/// looked at what is in it.
///
/// # Errors
/// What is wrong with a value.
pub fn load(options: &Options, repair: bool) -> Result<(Settings, Finding), ConfigError> {
    let path = config_file(&paths::config_dir(options.config_dir.clone())?);
    let what = format!("config file {}", path.display());
    let (mut mended, mut was_writable) = (Vec::new(), false);
    // Closed to writers, it may still be open to readers.
    loop {
        let error = match Settings::load(options.clone()) {
            Ok(settings) if mended.is_empty() => {
                let found = if path.exists() { "read" } else { "not there; defaults and the environment are used" };
                return Ok((settings, Finding::ok(what, found)));
            }
            Ok(_) if was_writable => {
                let found = format!("{}; closed, and not read: others could change it", mended.join("; "));
                let hint = Some("look through it, then: tokman doctor".to_owned());
                let finding = Finding { verdict: Verdict::Mended, hint, ..Finding::ok(what, found) };
                return Ok((Settings::load_without_file(options.clone())?, finding));
            }
            Ok(settings) => {
                let found = format!("{}; closed", mended.join("; "));
                return Ok((settings, Finding { verdict: Verdict::Mended, ..Finding::ok(what, found) }));
            }
            Err(ConfigError::Fs(error)) => error,
            Err(error) => return Err(error),
        };
        if let (true, FsError::Exposed { path, mode, wanted }) = (repair && mended.len() < 2, &error)
            && fsutil::set_mode(path, *wanted).is_ok()
        {
            was_writable |= mode & WRITABLE != 0;
            mended.push(error.to_string());
            continue;
        }
        let hint = match &error {
            FsError::Foreign { path, .. } => Some(format!(
                "look through it, then: sudo chown \"$(id -u)\" {}",
                shell_word(&path.display().to_string())
            )),
            error => error.remedy(),
        };
        let found = format!("{error}; the rest was looked at without it");
        let finding = Finding::problem(what, found, hint, Code::Config);
        return Ok((Settings::load_without_file(options.clone())?, finding));
    }
}
