//! A JSON body that remembers which of its members are secrets, so that none is forgotten when a provider's words
//! are masked.

use serde_json::{Map, Value};

use crate::model::Secret;

/// The members of a request, in the order they were added.
#[derive(Default)]
pub(super) struct Body {
    members: Map<String, Value>,
    secrets: Vec<Secret>,
}

impl Body {
    /// Adds a member.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.members.insert(name.to_owned(), value.into());
    }

    /// Adds a member whose value is to be masked wherever the provider repeats it.
    pub(super) fn secret(&mut self, name: &str, value: &Secret) {
        self.set(name, value.expose());
        self.secrets.push(value.clone());
    }

    /// Takes it apart: the JSON object, and the secrets in it.
    pub(super) fn into_parts(self) -> (Map<String, Value>, Vec<Secret>) {
        (self.members, self.secrets)
    }
}
