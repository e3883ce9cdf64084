//! Settings: the shapes of `config.toml`, then the checked values that everything else uses.

/// The protocol that a provider speaks: the `kind` of a `[provider.NAME]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKind {
    /// Square.
    Square,
    /// Wix.
    Wix,
}

/// Which of Wix's credentials an application uses; they do not mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WixMode {
    /// An app on one site: client credentials with the instance.
    App,
    /// An app with "custom authentication (legacy)": codes and refresh tokens of `/oauth/access`.
    Legacy,
    /// A public headless client: a site's visitor or member.
    Headless,
    /// A headless project's own credentials.
    HeadlessAdmin,
}
