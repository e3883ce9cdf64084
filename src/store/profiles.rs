//! Which profiles of a provider are stored, by the names of their files: no token is opened.

use std::path::Path;

use crate::model::{ProfileName, ProviderName};

/// The profiles that have a token file under `root`, sorted; none where the directory cannot be read.
#[must_use]
pub fn profiles(root: &Path, provider: &ProviderName) -> Vec<ProfileName> {
    let entries = std::fs::read_dir(root.join(provider.as_str()));
    let names = entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut profiles: Vec<ProfileName> =
        names.filter_map(|name| name.strip_suffix(".json").and_then(|name| name.parse().ok())).collect();
    profiles.sort_unstable();
    profiles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_token_files_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let square: ProviderName = "square".parse().unwrap();
        assert_eq!(profiles(root.path(), &square), []);
        let dir = root.path().join("square");
        crate::fsutil::make_private_dir(&dir).unwrap();
        for name in ["shop.json", "default.json", ".default.lock", ".shop.inflight", "old.json.damaged", "a b.json"] {
            crate::fsutil::create_private(&dir.join(name), b"not looked at", false).unwrap();
        }
        let names: Vec<String> = profiles(root.path(), &square).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["default", "shop"]);
    }
}
