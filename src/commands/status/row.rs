//! One key as `status` shows it: the members of its JSON, the cells of its row.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{duration, text};
use crate::ops::health::State;
use crate::output::table;
use crate::store::{Listed, Summary};

/// One key, as `-o json` prints it. The names are public.
#[derive(Debug, Serialize)]
pub(super) struct KeyView {
    key: String,
    provider: String,
    profile: String,
    account: Option<String>,
    state: &'static str,
    obtained_at: Option<Timestamp>,
    refreshed_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    refresh_token_expires_at: Option<Timestamp>,
    remote: Option<&'static str>,
}

impl KeyView {
    pub(super) fn new(listed: &Listed, now: Timestamp, remote: Option<&'static str>) -> Self {
        let said = listed.summary.as_ref().ok();
        Self {
            key: listed.key.to_string(),
            provider: listed.key.provider.to_string(),
            profile: listed.key.profile.to_string(),
            account: said.and_then(|said| said.account.clone()),
            state: State::of(listed, now).as_str(),
            obtained_at: said.and_then(|said| said.obtained_at),
            refreshed_at: said.and_then(|said| said.refreshed_at),
            expires_at: said.and_then(|said| said.expires_at),
            refresh_token_expires_at: said.and_then(|said| said.refresh_expires_at),
            remote,
        }
    }
}

/// The cells of a key.
pub(super) fn row(view: &KeyView, summary: Option<&Summary>, now: Timestamp, remote: bool) -> Vec<String> {
    let ago = |at: Timestamp| format!("{} ago", duration::humane(now.duration_since(at).as_secs()));
    let dash = || "–".to_owned();
    let mut row = vec![
        view.key.clone(),
        view.account.as_deref().map_or_else(dash, |account| text::escape(account, 40)),
        view.state.to_owned(),
        summary.and_then(|summary| life_left(summary, now)).unwrap_or_else(dash),
        view.refreshed_at.map_or_else(dash, ago),
        match (view.refresh_token_expires_at, summary) {
            (Some(end), _) => format!("in {}", duration::humane(end.duration_since(now).as_secs())),
            (None, Some(summary)) if summary.has_refresh_token => "never".to_owned(),
            _ => dash(),
        },
    ];
    if remote {
        row.push(view.remote.map_or_else(dash, str::to_owned));
    }
    row
}

/// A bar and the time that is left; `None` where the end is not known.
fn life_left(summary: &Summary, now: Timestamp) -> Option<String> {
    let end = summary.expires_at?;
    let left = end.duration_since(now).as_secs();
    let whole = summary.refreshed_at.map_or(left, |start| end.duration_since(start).as_secs());
    #[expect(clippy::cast_precision_loss, reason = "a bar has ten cells")]
    let share = if whole > 0 { left as f64 / whole as f64 } else { 0.0 };
    Some(format!("{} {}", table::bar(share), duration::humane(left)))
}

/// A value two blanks further right.
pub(super) fn indent(text: &str) -> String {
    let mut indented = String::with_capacity(text.len() + 32);
    for (count, line) in text.lines().enumerate() {
        indented.push_str(if count == 0 { "  " } else { "\n  " });
        indented.push_str(line);
    }
    indented
}
