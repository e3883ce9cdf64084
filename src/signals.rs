//! Signals that would end the process are held while an answer is awaited: it may carry the only copy of a grant.

use std::fmt::Debug;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::{consts, flag, low_level};

use crate::process;

/// The signals that end a process from outside. Windows sends the first for Ctrl-C, and has no other.
const ENDING: &[i32] = &[
    consts::SIGINT,
    consts::SIGTERM,
    #[cfg(unix)]
    consts::SIGHUP,
];

/// What the handlers, registered once, look at and leave behind.
#[derive(Debug)]
struct Handlers {
    /// Whether a signal ends the process at once, as it would by default.
    open: Arc<AtomicBool>,
    /// The last signal that came while it did not; 0 for none.
    held: Arc<AtomicUsize>,
    /// How many holds there are: it is open while there is none.
    holds: Mutex<usize>,
}

fn handlers() -> io::Result<&'static Handlers> {
    static HANDLERS: OnceLock<Handlers> = OnceLock::new();
    if let Some(handlers) = HANDLERS.get() {
        return Ok(handlers);
    }
    let handlers =
        Handlers { open: Arc::new(AtomicBool::new(true)), held: Arc::new(AtomicUsize::new(0)), holds: Mutex::new(0) };
    // One that is ignored (nohup) stays so, here and for the command that `exec` becomes: it ends nothing.
    for signal in process::heeded(ENDING) {
        flag::register_conditional_default(signal, Arc::clone(&handlers.open))?;
        flag::register_usize(signal, Arc::clone(&handlers.held), usize::try_from(signal).unwrap_or_default())?;
    }
    Ok(HANDLERS.get_or_init(|| handlers))
}

/// How often an interrupt is looked for.
const POLL: Duration = Duration::from_millis(50);

/// Whether a person has had enough: SIGINT ends a wait instead of the process.
#[derive(Debug)]
pub struct Interrupt {
    came: Arc<AtomicBool>,
}

impl Interrupt {
    /// Begins to listen. A SIGINT that is ignored stays so.
    ///
    /// # Errors
    /// Where the system takes no handlers.
    pub fn listen() -> io::Result<Self> {
        let came = Arc::default();
        for signal in process::heeded(&[consts::SIGINT]) {
            flag::register(signal, Arc::clone(&came))?;
        }
        Ok(Self { came })
    }

    /// Waits for so long; whether SIGINT came meanwhile.
    #[must_use]
    pub fn came_within(&self, time: Duration) -> bool {
        let begun = Instant::now();
        loop {
            let left = time.saturating_sub(begun.elapsed());
            if self.came.load(Ordering::SeqCst) || left.is_zero() {
                return self.came.load(Ordering::SeqCst);
            }
            std::thread::sleep(left.min(POLL));
        }
    }
}

/// Keeps signals from ending the process while it must not end.
pub trait Signals: Debug + Send + Sync {
    /// Begins to hold, until the returned value is dropped. Of several holds the last one to go counts.
    ///
    /// # Errors
    /// Where the system takes no handlers.
    fn hold(&self) -> io::Result<Box<dyn Held>>;

    /// Whether a signal came that is held: nothing new is to be begun.
    fn is_ending(&self) -> bool;
}

/// A hold on signals: they are honoured when the last one is dropped.
pub trait Held: Debug + Send {}

/// The signals of this process: SIGTERM, SIGINT and SIGHUP.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessSignals;

impl Signals for ProcessSignals {
    fn hold(&self) -> io::Result<Box<dyn Held>> {
        let handlers = handlers()?;
        let mut holds = handlers.holds.lock().unwrap_or_else(PoisonError::into_inner);
        *holds += 1;
        handlers.open.store(false, Ordering::SeqCst);
        Ok(Box::new(Hold(handlers)))
    }

    fn is_ending(&self) -> bool {
        held().is_some()
    }
}

/// The signal that came while signals were held; `None` while none did.
#[must_use]
pub fn held() -> Option<i32> {
    let held = handlers().ok()?.held.load(Ordering::SeqCst);
    i32::try_from(held).ok().filter(|signal| *signal != 0)
}

/// Holds SIGTERM, SIGINT and SIGHUP until it is dropped; after the last one a signal that came does what it does by
/// default.
#[derive(Debug)]
struct Hold(&'static Handlers);

impl Held for Hold {}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.0.holds.lock().unwrap_or_else(PoisonError::into_inner);
        *holds -= 1;
        if *holds > 0 {
            return;
        }
        self.0.open.store(true, Ordering::SeqCst);
        let signal = self.0.held.swap(0, Ordering::SeqCst);
        if let Some(signal) = i32::try_from(signal).ok().filter(|signal| *signal != 0) {
            log::info!("honouring the signal that came while an answer was awaited");
            // Ends the process as the signal would have; an error leaves it running, to end by itself.
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_until_the_last_of_several_is_dropped() {
        let open = || handlers().unwrap().open.load(Ordering::SeqCst);
        let first = ProcessSignals.hold().unwrap();
        let second = ProcessSignals.hold().unwrap();
        assert!(!ProcessSignals.is_ending());
        drop(first);
        assert!(!open());
        drop(second);
        assert!(open());
    }
}
