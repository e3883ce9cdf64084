//! The config file: the one thing that is looked at before there are settings.

use crate::config::{ConfigError, Options, Settings, config_file, paths};
use crate::fsutil::{self, FsError};
use crate::ops::Code;
use crate::ops::doctor::{Finding, Verdict};

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
            Err(error @ ConfigError::Fs(_)) => error,
            Err(error) => return Err(error),
        };
        if let (true, ConfigError::Fs(FsError::Exposed { path, mode, wanted })) = (repair && mended.len() < 2, &error)
            && fsutil::set_mode(path, *wanted).is_ok()
        {
            // What is closed to readers only may be one's own group's to write.
            was_writable |= mode & 0o002 != 0 || (mode & 0o020 != 0 && *wanted != 0o600);
            mended.push(error.to_string());
            continue;
        }
        let hint = error.remedy();
        let found = format!("{error}; the rest was looked at without it");
        let finding = Finding::problem(what, found, hint, Code::Config);
        return Ok((Settings::load_without_file(options.clone())?, finding));
    }
}
