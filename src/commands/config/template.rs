//! The commented config file of `tokman config init`, empty and filled in.

use std::fmt::Write as _;

use crate::model::ProviderName;

/// The commented template.
pub(super) const TEMPLATE: &str = include_str!("template.toml");

/// A setting of a provider: its key, and its value as TOML.
pub(super) type Member = (&'static str, String);

/// A TOML string: those of JSON are.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The template with a provider's settings, written as TOML, in the place of its comments; with `is_default` the
/// provider is that of those who name none.
pub(super) fn fill(provider: &ProviderName, members: &[Member], is_default: bool) -> String {
    let table = format!("[provider.{provider}]");
    let mut left = members.to_vec();
    let default = ("provider", quoted(provider.as_str()));
    let mut filled = String::new();
    let mut current = "";
    // Writing to a string cannot fail.
    for line in TEMPLATE.lines() {
        if line.starts_with('[') {
            current = line;
        }
        let key = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")).map(|(key, _)| key);
        if current == table
            && let Some(at) = left.iter().position(|(name, _)| Some(*name) == key)
        {
            let (name, value) = left.remove(at);
            let _ = writeln!(filled, "{name} = {value}");
        } else if current == "[defaults]" && is_default && key == Some(default.0) {
            let _ = writeln!(filled, "{} = {}", default.0, default.1);
        } else {
            let _ = writeln!(filled, "{line}");
        }
    }
    if !left.is_empty() {
        let _ = writeln!(filled, "\n{table}");
        for (name, value) in left {
            let _ = writeln!(filled, "{name} = {value}");
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::file::FileConfig;

    fn filled(provider: &str, members: &[Member]) -> toml::Table {
        let text = fill(&provider.parse().unwrap(), members, true);
        FileConfig::parse(&text, Path::new("c")).unwrap();
        assert!(text.starts_with("# tokman's settings."));
        text.parse().unwrap()
    }

    #[test]
    fn puts_answers_where_the_template_has_them() {
        let id = "a\"b\\c é";
        let members = vec![("client_id", quoted(id)), ("client_secret", "{ env = \"S\" }".to_owned())];
        let table = filled("square", &members);
        assert_eq!(table["defaults"]["provider"].as_str(), Some("square"));
        assert_eq!(table["provider"]["square"]["client_id"].as_str(), Some(id));
        assert_eq!(table["provider"]["square"]["client_secret"]["env"].as_str(), Some("S"));
        assert!(table["provider"]["wix"].as_table().unwrap().is_empty());
        let answers = [("client_id", quoted("w")), ("redirect_uri", quoted("http://localhost:1/"))];
        let table = filled("wix", &answers);
        assert_eq!(table["provider"]["wix"]["client_id"].as_str(), Some("w"));
        assert_eq!(table["provider"]["wix"]["redirect_uri"].as_str(), Some("http://localhost:1/"));
        assert!(table["provider"]["square"].as_table().unwrap().is_empty());
    }

    #[test]
    fn adds_a_table_for_a_provider_that_the_template_has_not() {
        let members =
            vec![("kind", quoted("oauth2")), ("issuer", quoted("https://a.example")), ("client_id", quoted("x"))];
        let table = filled("acme", &members);
        assert_eq!(table["provider"]["acme"]["issuer"].as_str(), Some("https://a.example"));
        assert_eq!(table["defaults"]["provider"].as_str(), Some("acme"));
    }
}
