//! A command that the emulator runs: signals are its to honour, and its end is ours.

use std::io;
use std::process::{Child, ExitCode, ExitStatus};

/// The signals that would end this process, held for its child.
#[cfg(unix)]
pub struct Signals(signal_hook::iterator::Signals);

#[cfg(unix)]
impl Signals {
    /// Begins to hold them.
    pub fn hold() -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).map(Self)
    }

    /// Sends the child what comes. Ctrl-C reaches it from the terminal; the others only this process.
    pub fn hand_on(mut self, child: &Child) {
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        std::thread::spawn(move || {
            for signal in self.0.forever().filter(|signal| *signal != signal_hook::consts::SIGINT) {
                let signal = rustix::process::Signal::from_named_raw(signal);
                if let (Some(pid), Some(signal)) = (pid, signal) {
                    let _ = rustix::process::kill_process(pid, signal);
                }
            }
        });
    }
}

/// Ctrl-C, which the child gets from the console as well; there is nothing else that could be handed on.
#[cfg(not(unix))]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    /// Begins to hold it.
    pub fn hold() -> io::Result<Self> {
        signal_hook::flag::register(signal_hook::consts::SIGINT, std::sync::Arc::default()).map(|_| Self)
    }

    /// The console does it.
    pub fn hand_on(self, _child: &Child) {}
}

/// A child's exit code; as shells have it, 128 and its number for a signal.
#[cfg(unix)]
pub fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    code(status.code().or_else(|| status.signal().map(|signal| 128 + signal)))
}

/// A child's exit code.
#[cfg(not(unix))]
pub fn exit_code(status: ExitStatus) -> ExitCode {
    code(status.code())
}

fn code(code: Option<i32>) -> ExitCode {
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
