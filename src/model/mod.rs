//! The words everything else speaks in: secrets, keys, tokens, grants, times. Knows no network, no disk, no command.

pub mod clock;
pub mod duration;
pub mod grant;
pub mod key;
pub mod lifetime;
pub mod response;
pub mod secret;
pub mod text;
pub mod token;

pub use clock::{Clock, SystemClock};
pub use grant::{Grant, GrantType, Replay};
pub use key::{Key, NameError, ProfileName, ProviderName};
pub use response::Response;
pub use secret::Secret;
pub use text::ServerText;
pub use token::{Freshness, Kind, Token};
