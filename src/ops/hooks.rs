//! Programs that are told what happened: argv without a shell, JSON without secrets on stdin, ten seconds. What becomes
//! of them is only warned about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ops::history::{Action, Event};
use crate::ops::signals::Signals;
use crate::process;

/// How long a hook may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked whether the last hook has ended.
const POLL: Duration = Duration::from_millis(2);

/// The hooks of the config file; absent ones are empty.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    /// Told of every new token.
    pub on_refresh: Vec<String>,
    /// Told of every attempt that failed.
    pub on_failure: Vec<String>,
}

impl Hooks {
    /// Tells the hook that an event is for, and waits for it.
    pub fn run(&self, event: &Event) {
        let Some(hook) = self.of(event) else { return };
        let mut input = serde_json::to_string(event).unwrap_or_default();
        input.push('\n');
        if let Err(error) = process::run(hook, input.as_bytes(), 0, LIMIT) {
            log::warn!("a hook of {}: {error}", event.key);
        }
    }

    /// The hook that an event is for; `None` where there is none.
    fn of(&self, event: &Event) -> Option<&[String]> {
        let hook = match (event.is_ok(), event.action) {
            (true, Action::Obtain | Action::Refresh | Action::Renew) => &self.on_refresh,
            (true, Action::Revoke | Action::Remove | Action::Import) => return None,
            (false, _) => &self.on_failure,
        };
        (!hook.is_empty()).then_some(hook)
    }
}

/// Tells hooks in a thread of its own, one after the other: nothing else waits for them. Dropping it waits until all
/// are told, or until the present one is where a signal came.
#[derive(Debug)]
pub struct Teller<'a> {
    hooks: Hooks,
    signals: &'a dyn Signals,
    /// Whether no further ones are told.
    is_over: Arc<AtomicBool>,
    /// The thread, from the first event on.
    thread: Option<(Sender<Event>, JoinHandle<()>)>,
}

impl<'a> Teller<'a> {
    /// Tells these hooks.
    #[must_use]
    pub fn new(hooks: Hooks, signals: &'a dyn Signals) -> Self {
        Self { hooks, signals, is_over: Arc::default(), thread: None }
    }

    /// Tells of an event, soon.
    pub fn tell(&mut self, event: Event) {
        if self.hooks.of(&event).is_none() {
            return;
        }
        let (sender, _) = self.thread.get_or_insert_with(|| {
            let (sender, receiver) = channel::<Event>();
            let (hooks, is_over) = (self.hooks.clone(), Arc::clone(&self.is_over));
            (sender, std::thread::spawn(move || tell_all(&hooks, &receiver, &is_over)))
        });
        if sender.send(event).is_err() {
            log::warn!("a hook could not be told: what tells hooks has ended");
        }
    }
}

fn tell_all(hooks: &Hooks, events: &Receiver<Event>, is_over: &AtomicBool) {
    let mut untold = 0_usize;
    for event in events {
        if is_over.load(Ordering::SeqCst) {
            untold += 1;
        } else {
            hooks.run(&event);
        }
    }
    if untold > 0 {
        log::warn!("a signal came first: hooks were not told of {untold} events, which are in 'tokman history'");
    }
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            while !thread.is_finished() {
                if self.signals.is_ending() {
                    self.is_over.store(true, Ordering::SeqCst);
                }
                std::thread::sleep(POLL);
            }
            // One that panicked told all it could.
            let _ = thread.join();
        }
    }
}
