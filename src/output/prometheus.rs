//! Stored tokens as Prometheus reads them (text exposition format 0.0.4): all samples of a metric together, so that a
//! file of them is written in one pass over the store for each metric and nothing is held.

use std::fmt::Write as _;

use crate::store::Listed;

/// A metric of a stored token. The names are public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// When the access token ends.
    Expiry,
    /// When it was issued.
    Refreshed,
    /// Whether a person has to log in anew.
    NeedsLogin,
    /// Whether the record cannot be read, so that nothing else is known of the key.
    Unreadable,
}

impl Metric {
    /// Every metric, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::Expiry, Self::Refreshed, Self::NeedsLogin, Self::Unreadable];

    const fn name(self) -> &'static str {
        match self {
            Self::Expiry => "tokman_token_expiry_timestamp_seconds",
            Self::Refreshed => "tokman_token_refreshed_timestamp_seconds",
            Self::NeedsLogin => "tokman_token_needs_login",
            Self::Unreadable => "tokman_token_unreadable",
        }
    }

    /// The two lines before its samples.
    #[must_use]
    pub fn header(self) -> String {
        let help = match self {
            Self::Expiry => "When the access token ends, where that is known.",
            Self::Refreshed => "When the access token was issued, where that is known.",
            Self::NeedsLogin => "Whether the provider ended the grant: 1 where only a new login helps.",
            Self::Unreadable => "Whether the record cannot be read: 1 where nothing else is known of the token.",
        };
        format!("# HELP {name} {help}\n# TYPE {name} gauge\n", name = self.name())
    }

    /// The line of a key; `None` where there is nothing to say.
    #[must_use]
    pub fn sample(self, listed: &Listed) -> Option<String> {
        let said = listed.summary.as_ref().ok();
        let value = match self {
            Self::Expiry => said?.expires_at?.as_second(),
            Self::Refreshed => said?.refreshed_at?.as_second(),
            Self::NeedsLogin => i64::from(said?.needs_login.is_some()),
            Self::Unreadable => i64::from(said.is_none()),
        };
        let mut line = String::new();
        let (provider, profile) = (listed.key.provider.as_str(), listed.key.profile.as_str());
        let (provider, profile) = (escaped(provider), escaped(profile));
        // Writing into a string cannot fail.
        let _ = writeln!(line, "{}{{provider=\"{provider}\",profile=\"{profile}\"}} {value}", self.name());
        Some(line)
    }
}

/// A label's value as the format has it.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{StoreError, Summary};

    fn summary() -> Summary {
        Summary {
            account: None,
            obtained_at: None,
            refreshed_at: None,
            expires_at: "2026-12-21T21:00:00.5Z".parse().ok(),
            refresh_expires_at: None,
            has_refresh_token: true,
            minted: None,
            generation: 1,
            needs_login: "2026-11-21T12:00:00Z".parse().ok(),
            sealed_with: None,
        }
    }

    fn listed(summary: Result<Summary, StoreError>) -> Listed {
        Listed { key: "square/a@b.c".parse().unwrap(), summary, in_doubt: false }
    }

    #[test]
    fn says_what_is_known_and_leaves_out_what_is_not() {
        let known = listed(Ok(summary()));
        let lines: Vec<_> = Metric::ALL.into_iter().map(|metric| metric.sample(&known)).collect();
        let labels = "{provider=\"square\",profile=\"a@b.c\"}";
        assert_eq!(
            lines,
            [
                Some(format!("tokman_token_expiry_timestamp_seconds{labels} 1797886800\n")),
                None,
                Some(format!("tokman_token_needs_login{labels} 1\n")),
                Some(format!("tokman_token_unreadable{labels} 0\n")),
            ]
        );
        let unreadable = listed(Err(StoreError::Damaged { path: "f".into(), why: "it is empty".into() }));
        let lines: Vec<_> = Metric::ALL.into_iter().filter_map(|metric| metric.sample(&unreadable)).collect();
        assert_eq!(lines, [format!("tokman_token_unreadable{labels} 1\n")]);
    }

    #[test]
    fn escapes_the_values_of_labels() {
        assert_eq!(escaped("a\\b\"c\nd"), r#"a\\b\"c\nd"#);
    }
}
