//! Other programs: found in absolute directories of `PATH` only, given no secrets of ours, and not waited for too long.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use crate::env;

/// How often a program that was written to and read from is asked whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// Why a program gave nothing.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// Nothing to run.
    #[error("the command is empty")]
    Empty,
    /// A relative path: it would be another program in another directory.
    #[error("the command {0} must be a name found in PATH or an absolute path")]
    Relative(String),
    /// No such program, or it cannot be run.
    #[error("the command {program} cannot be run: {source}")]
    Run {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It did not end in time, and was ended.
    #[error("the command {program} did not end within {} s", limit.as_secs())]
    TimedOut {
        /// Its name.
        program: String,
        /// How long it had.
        limit: Duration,
    },
    /// It ended, but not well.
    #[error("the command {program} failed: {status}")]
    Failed {
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
}

/// Runs a program without a shell: `input` on its stdin, at most `capture` bytes of its stdout returned, its stderr
/// ours. Variables of ours that hold secrets are not in its environment.
///
/// # Errors
/// Where it cannot be run, does not end within `limit`, or ends otherwise than well.
pub fn run(argv: &[String], input: &[u8], capture: u64, limit: Duration) -> Result<Vec<u8>, ProcessError> {
    let (name, rest) = argv.split_first().ok_or(ProcessError::Empty)?;
    let program = find(name)?;
    let failed = |source| ProcessError::Run { program: name.clone(), source };
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::piped()).stdout(if capture > 0 { Stdio::piped() } else { Stdio::null() });
    for secret in env::secret_names() {
        command.env_remove(secret);
    }
    let mut child = command.spawn().map_err(failed)?;
    let end = Instant::now() + limit;
    // In threads of their own, so that a program that neither reads nor writes can be given up.
    if let Some(mut stdin) = child.stdin.take() {
        let input = zeroize::Zeroizing::new(input.to_vec());
        std::thread::spawn(move || {
            // A program that does not want it closes its end: that is its business.
            let _ = stdin.write_all(&input);
        });
    }
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = sender.send(stdout.take(capture).read_to_end(&mut bytes).map(|_| bytes));
        });
    }
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if Instant::now() >= end => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(ProcessError::TimedOut { program: name.clone(), limit });
            }
            None => std::thread::sleep(POLL),
        }
    };
    if !status.success() {
        return Err(ProcessError::Failed { program: name.clone(), status });
    }
    if capture == 0 {
        return Ok(Vec::new());
    }
    match receiver.recv_timeout(end.saturating_duration_since(Instant::now()).max(POLL)) {
        Ok(read) => read.map_err(failed),
        // It ended, but something that it left behind keeps its stdout open.
        Err(_) => Err(ProcessError::TimedOut { program: name.clone(), limit }),
    }
}

/// The limit of core dumps that this process was started with.
#[cfg(unix)]
static CORE: std::sync::OnceLock<Rlimit> = std::sync::OnceLock::new();

/// Sets the limit of core dumps to nothing, in a way that [`replace`] can take back. Best effort.
#[cfg(unix)]
pub fn lower_core_dumps() {
    let before = CORE.get_or_init(|| getrlimit(Resource::Core));
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: before.maximum });
}

/// Sets the limit of core dumps to nothing for good. Best effort.
#[cfg(unix)]
pub fn give_up_core_dumps() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Nothing: there are no core dumps here.
#[cfg(not(unix))]
pub const fn give_up_core_dumps() {}

/// Those of these signals that this process does not ignore, as what `nohup` starts does with one; all of them where the
/// system does not tell.
pub fn heeded(signals: &[i32]) -> impl Iterator<Item = i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let ignores = move |signal: i32| {
        u32::try_from(signal - 1).ok().and_then(|bit| mask.checked_shr(bit)).is_some_and(|mask| mask & 1 == 1)
    };
    signals.iter().copied().filter(move |signal| !ignores(*signal))
}

/// Becomes another program, as `env` would find it, with one more variable and without our secrets. Its core dumps are
/// those that we were started with, its memory is its own again, SIGPIPE is as it is by default; what was ignored when
/// we were started is still ignored. Returns only where that fails.
///
/// # Errors
/// What the system said: [`io::ErrorKind::NotFound`] where there is no such program.
#[cfg(unix)]
pub fn replace(command: &[OsString], name: &str, value: &str) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    let mut command = without_secrets(command, name, value)?;
    if let Some(limit) = CORE.get() {
        let _ = setrlimit(Resource::Core, *limit);
    }
    let error = command.exec();
    // Still here, and the token with us.
    lower_core_dumps();
    Err(error)
}

/// Runs another program with one more variable and without our secrets, and waits for its exit code: here no process
/// can become another.
///
/// # Errors
/// What the system said: [`io::ErrorKind::NotFound`] where there is no such program.
#[cfg(not(unix))]
pub fn replace(command: &[OsString], name: &str, value: &str) -> io::Result<ExitCode> {
    let status = without_secrets(command, name, value)?.status()?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

fn without_secrets(command: &[OsString], name: &str, value: &str) -> io::Result<Command> {
    let (program, rest) = command.split_first().ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(program);
    command.args(rest);
    for secret in env::secret_names() {
        command.env_remove(secret);
    }
    command.env(name, value);
    Ok(command)
}

/// The program of a name: absolute as it is, else from the absolute directories of `PATH`; on Windows also without its
/// `.exe`. An empty entry or `.` means the current directory, where anybody may have put a program.
///
/// # Errors
/// A relative path, and a name that is in none of these directories.
pub fn find(name: &str) -> Result<PathBuf, ProcessError> {
    if Path::new(name).is_absolute() {
        return Ok(name.into());
    }
    if name.contains(std::path::MAIN_SEPARATOR) || name.contains('/') {
        return Err(ProcessError::Relative(name.to_owned()));
    }
    // Batch files are not looked for: a shell would run them.
    let with_suffix = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    env::search_path()
        .into_iter()
        .filter(|dir| dir.is_absolute())
        .flat_map(|dir| [dir.join(name), dir.join(&with_suffix)])
        .find(|path| path.is_file())
        .ok_or_else(|| ProcessError::Run { program: name.to_owned(), source: io::ErrorKind::NotFound.into() })
}

/// The name of this machine.
#[cfg(unix)]
#[must_use]
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The name of this machine; empty where the system does not tell.
#[cfg(not(unix))]
#[must_use]
pub fn host() -> String {
    env::text("COMPUTERNAME").unwrap_or_default()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn gives_input_and_takes_output() {
        assert_eq!(run(&argv(&["cat"]), b"text", 100, SOON).unwrap(), b"text");
        assert_eq!(run(&argv(&["true"]), &vec![b'x'; 100_000], 0, SOON).unwrap(), b"");
    }

    #[test]
    fn does_not_wait_for_ever() {
        let started = Instant::now();
        let error = run(&argv(&["sleep", "60"]), b"", 10, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ProcessError::TimedOut { .. }) && started.elapsed() < SOON, "{error}");
    }

    #[test]
    fn finds_nothing_relative_to_where_it_stands() {
        assert!(matches!(run(&argv(&["./cat"]), b"", 0, SOON), Err(ProcessError::Relative(_))));
        assert!(matches!(run(&argv(&["bin/cat"]), b"", 0, SOON), Err(ProcessError::Relative(_))));
        assert!(matches!(run(&[], b"", 0, SOON), Err(ProcessError::Empty)));
        assert!(matches!(run(&argv(&["no-such-program"]), b"", 0, SOON), Err(ProcessError::Run { .. })));
        assert!(matches!(run(&argv(&["false"]), b"", 0, SOON), Err(ProcessError::Failed { .. })));
    }
}

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    #[test]
    fn finds_a_program_with_and_without_its_suffix() {
        for name in ["cmd", "cmd.exe"] {
            assert!(find(name).is_ok_and(|path| path.is_absolute() && path.ends_with("cmd.exe")), "{name}");
        }
        assert!(find("no-such-program").is_err());
    }
}
