//! A secret that is typed in: never echoed, and the terminal is as it was afterwards, also where a signal ends the wait.

use std::io;

use crate::model::Secret;
use crate::signals::{ProcessSignals, Signals as _};

/// Asks for a secret on the terminal, without an echo; without the blanks around it.
///
/// # Errors
/// What the terminal said, and the end of its input.
pub fn hidden(what: &str) -> io::Result<Secret> {
    // A signal that comes meanwhile does what it does by default when this is dropped: the terminal is mended by then.
    let held = ProcessSignals.hold()?;
    let text = {
        let _guard = restore::Guard::watch();
        rpassword::prompt_password(format!("{what}: "))
    };
    drop(held);
    let text = zeroize::Zeroizing::new(text?);
    Ok(Secret::new(text.trim()))
}

#[cfg(unix)]
mod restore {
    //! Nothing calls off a read of the terminal: whoever waits for it cannot see that a signal came.

    use std::fs::File;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
    use signal_hook::low_level;

    use crate::signals;

    /// How often a signal is looked for.
    const POLL: Duration = Duration::from_millis(20);

    /// The terminal, and how it was.
    struct Before {
        terminal: File,
        modes: Termios,
    }

    impl Before {
        fn restore(&self) {
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.modes);
        }
    }

    /// Watches for a signal until it is dropped.
    pub(super) struct Guard {
        over: Arc<AtomicBool>,
        watcher: Option<(Arc<Before>, JoinHandle<()>)>,
    }

    impl Guard {
        /// Turns the echo off, before the question can be answered. When a signal comes the terminal is made what it was,
        /// and the process ends as it would have.
        pub(super) fn watch() -> Self {
            let over = Arc::new(AtomicBool::new(false));
            let Some(before) = silence().map(Arc::new) else { return Self { over, watcher: None } };
            let (mended, is_over) = (Arc::clone(&before), Arc::clone(&over));
            let watcher = thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    if let Some(signal) = signals::held() {
                        mended.restore();
                        let _ = low_level::emulate_default_handler(signal);
                    }
                    thread::sleep(POLL);
                }
            });
            Self { over, watcher: Some((before, watcher)) }
        }
    }

    /// Turns the echo off; how the terminal was before. `None` where there is none.
    fn silence() -> Option<Before> {
        let terminal = File::open("/dev/tty").ok()?;
        let modes = tcgetattr(&terminal).ok()?;
        let mut silent = modes.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &silent).ok()?;
        Some(Before { terminal, modes })
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            self.over.store(true, Ordering::SeqCst);
            if let Some((before, watcher)) = self.watcher.take() {
                let _ = watcher.join();
                before.restore();
            }
        }
    }
}

#[cfg(not(unix))]
mod restore {
    /// Nothing: here the terminal mends itself.
    pub(super) struct Guard;

    impl Guard {
        pub(super) const fn watch() -> Self {
            Self
        }
    }
}
