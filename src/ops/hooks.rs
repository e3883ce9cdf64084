//! Programs that are told what happened: argv without a shell, JSON without secrets on stdin, ten seconds. What becomes
//! of them is only warned about.

use std::time::Duration;

use crate::ops::history::{Action, Event};
use crate::process;

/// How long a hook may take.
const LIMIT: Duration = Duration::from_secs(10);

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
        let hook = match (event.is_ok(), event.action) {
            (true, Action::Obtain | Action::Refresh | Action::Renew) => &self.on_refresh,
            (true, Action::Revoke | Action::Remove | Action::Import) => return,
            (false, _) => &self.on_failure,
        };
        if hook.is_empty() {
            return;
        }
        let mut input = serde_json::to_string(event).unwrap_or_default();
        input.push('\n');
        if let Err(error) = process::run(hook, input.as_bytes(), 0, LIMIT) {
            log::warn!("a hook of {}: {error}", event.key);
        }
    }
}
