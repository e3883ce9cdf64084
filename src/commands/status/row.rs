//! One key as `status` shows it: the members of its JSON, the cells of its row.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{duration, text};
use crate::ops::health::State;
use crate::output::palette;
use crate::output::table::{self, Cell, Column};
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

/// How rows are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) now: Timestamp,
    /// With what the provider says.
    pub(super) remote: bool,
    /// With times as they are, instead of how far they are away.
    pub(super) exact: bool,
}

impl Look {
    /// The columns, and which of them are left out first on a narrow terminal.
    pub(super) fn columns(self) -> Vec<Column> {
        let mut columns = vec![
            Column::new("KEY").down_to(16),
            Column::new("ACCOUNT").leaving(3).down_to(9),
            Column::new("STATE"),
            Column::new("LIFE LEFT").leaving(4),
            Column::new("ENDS").leaving(5),
            Column::new("REFRESHED").leaving(2),
            Column::new("REFRESH TOKEN ENDS").leaving(1),
        ];
        columns.extend(self.remote.then(|| Column::new("REMOTE")));
        columns
    }

    /// The cells of a key.
    pub(super) fn row(self, listed: &Listed, remote: Option<&'static str>) -> Vec<Cell> {
        let dash = || Cell::new("–", palette::FAINT);
        let said = listed.summary.as_ref().ok();
        let state = State::of(listed, self.now);
        let style = palette::of_state(state);
        let time = |at: Option<Timestamp>| at.map_or_else(dash, |at| self.time(at).into());
        let mut row = vec![
            listed.key.to_string().into(),
            said.and_then(|said| said.account.as_deref()).map_or_else(dash, |account| text::escape(account, 40).into()),
            Cell::new(state.as_str(), style),
            said.and_then(|said| self.share_left(said)).map_or_else(dash, |share| Cell::new(table::bar(share), style)),
            time(said.and_then(|said| said.expires_at)),
            time(said.and_then(|said| said.refreshed_at)),
            match said {
                Some(Summary { refresh_expires_at: None, has_refresh_token: true, .. }) => "never".into(),
                _ => time(said.and_then(|said| said.refresh_expires_at)),
            },
        ];
        if self.remote {
            row.push(match remote {
                None => dash(),
                Some("inactive") => Cell::new("inactive", palette::URGENT),
                Some(word) => word.into(),
            });
        }
        row
    }

    /// How far away a time is, or the time itself.
    fn time(self, at: Timestamp) -> String {
        let left = at.duration_since(self.now).as_secs();
        if self.exact {
            format!("{at:.0}")
        } else if left < 0 || at <= self.now {
            format!("{} ago", duration::humane(-left))
        } else {
            format!("in {}", duration::humane(left))
        }
    }

    /// How much of an access token's life is left, up to 1; `None` where its end is not known.
    fn share_left(self, summary: &Summary) -> Option<f64> {
        let end = summary.expires_at?;
        let left = end.duration_since(self.now).as_secs();
        let whole = summary.refreshed_at.map_or(left, |start| end.duration_since(start).as_secs());
        #[expect(clippy::cast_precision_loss, reason = "a bar has ten cells")]
        Some(if whole > 0 { left as f64 / whole as f64 } else { 0.0 })
    }
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
