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
    let text = terminal::read(&format!("{what}: "));
    drop(held);
    let text = zeroize::Zeroizing::new(text?);
    Ok(Secret::new(text.trim()))
}

#[cfg(unix)]
mod terminal {
    //! The terminal's modes are changed here and nowhere else, before the question is shown, so that nobody changes them
    //! again once a signal has had them mended.

    use std::fs::{File, OpenOptions};
    use std::io::{self, Write as _};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use rpassword::ConfigBuilder;
    use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
    use signal_hook::low_level;

    use crate::signals;

    /// How often a signal is looked for: nothing calls off a read of the terminal.
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

    /// Shows the question and reads the answer.
    pub(super) fn read(question: &str) -> io::Result<String> {
        let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let guard = Guard::silence(terminal.try_clone()?)?;
        terminal.write_all(question.as_bytes())?;
        let config = ConfigBuilder::new().input_reader(terminal.try_clone()?).output_discard().build();
        let answer = rpassword::read_password_with_config(config);
        drop(guard);
        terminal.write_all(b"\n")?;
        answer
    }

    /// The terminal shows nothing of what is typed until this is dropped, or a signal comes.
    struct Guard {
        before: Arc<Before>,
        over: Arc<AtomicBool>,
        watcher: Option<JoinHandle<()>>,
    }

    impl Guard {
        fn silence(terminal: File) -> io::Result<Self> {
            let modes = tcgetattr(&terminal)?;
            let mut silent = modes.clone();
            // Without lines of the terminal's own, which end after 4095 characters.
            silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON);
            // Ctrl-C is heard; what would stop the process with the terminal silent is not.
            for (code, value) in [
                (SpecialCodeIndex::VMIN, 1),
                (SpecialCodeIndex::VTIME, 0),
                (SpecialCodeIndex::VQUIT, 0),
                (SpecialCodeIndex::VSUSP, 0),
            ] {
                silent.special_codes[code] = value;
            }
            tcsetattr(&terminal, OptionalActions::Now, &silent)?;
            let before = Arc::new(Before { terminal, modes });
            let over = Arc::new(AtomicBool::new(false));
            let (mended, is_over) = (Arc::clone(&before), Arc::clone(&over));
            let watcher = thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    if let Some(signal) = signals::held() {
                        mended.restore();
                        // Ends the process as the signal would have.
                        let _ = low_level::emulate_default_handler(signal);
                    }
                    thread::sleep(POLL);
                }
            });
            Ok(Self { before, over, watcher: Some(watcher) })
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            self.over.store(true, Ordering::SeqCst);
            let _ = self.watcher.take().map(JoinHandle::join);
            self.before.restore();
        }
    }
}

#[cfg(not(unix))]
mod terminal {
    use std::io;

    /// Shows the question and reads the answer; here the terminal mends itself.
    pub(super) fn read(question: &str) -> io::Result<String> {
        rpassword::prompt_password(question)
    }
}
