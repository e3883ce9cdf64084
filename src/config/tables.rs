//! What a `[provider.NAME]` table may say: its name, its kind, and the keys that this kind has a use for. What it says
//! wrongly is an error when the file is loaded, whichever provider is asked for.

use std::collections::BTreeMap;

use toml::de::DeTable;

use crate::config::file::{ProviderConfig, ProviderKind};
use crate::env;
use crate::model::ProviderName;

/// The names that need no `[provider.NAME]` table.
pub(super) const BUILT_IN: [(&str, ProviderKind); 2] = [("square", ProviderKind::Square), ("wix", ProviderKind::Wix)];

/// What is wrong with a table, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Objection {
    table: String,
    /// The key; absent where it is the table itself.
    key: Option<&'static str>,
    pub(super) why: String,
}

impl Objection {
    /// The line that it stands on, from 1; the first where the text does not tell.
    pub(super) fn line(&self, text: &str) -> usize {
        self.at(text).and_then(|at| text.get(..at)).unwrap_or_default().matches('\n').count() + 1
    }

    fn at(&self, text: &str) -> Option<usize> {
        let file = DeTable::parse(text).ok()?;
        let tables = file.get_ref().get("provider")?.get_ref().as_table()?;
        let (name, table) = tables.iter().find(|(name, _)| name.get_ref() == self.table.as_str())?;
        let members = table.get_ref().as_table();
        let key = self.key.and_then(|key| members?.iter().find(|(name, _)| name.get_ref() == key));
        Some(key.map_or(name, |(key, _)| key).span().start)
    }
}

/// What a provider speaks: as its table says, else its name, else its keys: an issuer or a token endpoint is OAuth 2.0's
/// alone, and so is an address from the environment for a name that is not built in. `None` where nothing tells.
pub(super) fn kind_of(name: &ProviderName, config: Option<&ProviderConfig>) -> Option<ProviderKind> {
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name.as_str()).map(|(_, kind)| *kind);
    let has_issuer = config.is_some_and(|config| config.issuer.is_some() || config.token_endpoint.is_some());
    let is_oauth2 = || has_issuer || env::is_set(&env::Name::BaseUrl.of(name));
    config.and_then(|config| config.kind).or(built_in).or_else(|| is_oauth2().then_some(ProviderKind::OAuth2))
}

/// Looks at all tables.
///
/// # Errors
/// The first that will not do.
pub(super) fn check(tables: &BTreeMap<String, ProviderConfig>) -> Result<(), Objection> {
    let mut variables: BTreeMap<String, &str> = BTreeMap::new();
    for (built_in, _) in BUILT_IN {
        variables.insert(built_in.to_ascii_uppercase(), built_in);
    }
    for (table, config) in tables {
        let wrong = |key, why| Objection { table: table.clone(), key, why };
        let name: ProviderName =
            table.parse().map_err(|error: crate::model::NameError| wrong(None, error.to_string()))?;
        if let Some(other) = variables.insert(name.as_env(), table).filter(|other| other != table) {
            let prefix = name.as_env();
            return Err(wrong(
                None,
                format!(
                    "[provider.{table}] and [provider.{other}] have the same variables, TOKMAN_{prefix}_…: what is meant for one would go to the other; rename one"
                ),
            ));
        }
        let kind = kind_of(&name, Some(config)).ok_or_else(|| {
            let why = format!("[provider.{table}] has no kind: write kind = \"oauth2\" (or \"square\", \"wix\")");
            wrong(None, why)
        })?;
        if let Some((key, of)) = misplaced(config, kind) {
            let (of, kind) = (of.as_str(), kind.as_str());
            let why =
                format!("[provider.{table}] is of the kind \"{kind}\", which has no use for `{key}`; \"{of}\" has");
            return Err(wrong(Some(key), why));
        }
    }
    Ok(())
}

/// The first key that this kind has no use for, and the kind that has.
fn misplaced(config: &ProviderConfig, kind: ProviderKind) -> Option<(&'static str, ProviderKind)> {
    let ProviderConfig {
        // Every kind has these; `base_url` is another word for an issuer.
        kind: _,
        client_id: _,
        client_secret: _,
        base_url: _,
        scopes: _,
        redirect_uri: _,
        environment,
        mode,
        instance_id,
        issuer,
        token_endpoint,
        authorization_endpoint,
        revocation_endpoint,
        introspection_endpoint,
        device_authorization_endpoint,
        client_auth,
    } = config;
    let given = [
        ("environment", ProviderKind::Square, environment.is_some()),
        ("mode", ProviderKind::Wix, mode.is_some()),
        ("instance_id", ProviderKind::Wix, instance_id.is_some()),
        ("issuer", ProviderKind::OAuth2, issuer.is_some()),
        ("token_endpoint", ProviderKind::OAuth2, token_endpoint.is_some()),
        ("authorization_endpoint", ProviderKind::OAuth2, authorization_endpoint.is_some()),
        ("revocation_endpoint", ProviderKind::OAuth2, revocation_endpoint.is_some()),
        ("introspection_endpoint", ProviderKind::OAuth2, introspection_endpoint.is_some()),
        ("device_authorization_endpoint", ProviderKind::OAuth2, device_authorization_endpoint.is_some()),
        ("client_auth", ProviderKind::OAuth2, client_auth.is_some()),
    ];
    given.into_iter().find(|(_, of, is_given)| *is_given && *of != kind).map(|(key, of, _)| (key, of))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::file::FileConfig;

    fn error(text: &str) -> String {
        FileConfig::parse(text, Path::new("config.toml")).unwrap_err().to_string()
    }

    #[test]
    fn refuses_a_table_whose_name_no_provider_has() {
        for name in ["Acme", "204", "\"a b\"", "\"\"", "-x", "\"a.b\""] {
            let text = error(&format!("[defaults]\n\n[provider.{name}]\nkind = \"oauth2\"\n"));
            assert!(text.starts_with("config.toml:3: '"), "{text}");
            assert!(text.contains("is not a provider name: lower-case letters, digits"), "{text}");
        }
        assert!(error("provider = { Acme = {} }").starts_with("config.toml:1: 'Acme' is not a provider name"));
        assert!(error("provider.Acme.kind = \"wix\"").starts_with("config.toml:1: 'Acme' is not"));
    }

    #[test]
    fn refuses_a_key_that_the_kind_has_no_use_for() {
        for (table, keys, line, key) in [
            ("wix", "client_id = \"x\"\nenvironment = \"sandbox\"", 3, "environment"),
            ("wix", "issuer = \"https://a.example\"", 2, "issuer"),
            ("square", "mode = \"app\"", 2, "mode"),
            ("square", "client_auth = \"post\"", 2, "client_auth"),
            ("square", "instance_id = \"x\"", 2, "instance_id"),
            ("shop", "environment = \"sandbox\"\nkind = \"wix\"", 2, "environment"),
            ("acme", "issuer = \"https://a.example\"\nmode = \"app\"", 3, "mode"),
            (
                "square",
                "kind = \"oauth2\"\nissuer = \"https://a.example\"\nenvironment = \"sandbox\"",
                4,
                "environment",
            ),
        ] {
            let text = error(&format!("[provider.{table}]\n{keys}\n"));
            assert!(text.starts_with(&format!("config.toml:{line}: [provider.{table}] is of the kind ")), "{text}");
            assert!(text.contains(&format!("no use for `{key}`")), "{text}");
        }
    }

    #[test]
    fn refuses_two_names_with_the_same_variables() {
        let table = |name: &str| format!("[provider.{name}]\nkind = \"oauth2\"\nissuer = \"https://a.example\"\n");
        let text = error(&[table("a-b"), table("ab"), table("a_b")].concat());
        assert!(text.starts_with("config.toml:7: [provider.a_b] and [provider.a-b] have the same variables"), "{text}");
        assert!(text.contains("TOKMAN_A_B_"), "{text}");
        assert!(FileConfig::parse(&[table("a-b"), table("ab")].concat(), Path::new("c")).is_ok());
    }
}
