//! What can go wrong with an operation, and who has to act on it.

use std::path::PathBuf;

use jiff::Timestamp;
use thiserror::Error;
use url::Url;

use crate::config::ConfigError;
use crate::fsutil::FsError;
use crate::model::{Key, ProviderName};
use crate::net::NetError;
use crate::net::loopback::ListenError;
use crate::ops::bulk::tally::Tally;
use crate::provider::{Need, ProviderError, RefusalClass};
use crate::store::{Failure, StoreError};

/// What a run ended with, for whoever has to act. The numbers are public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Unforeseen.
    Internal = 1,
    /// Wrong options.
    Usage = 2,
    /// A setting, or a secret's file.
    Config = 3,
    /// Nothing stored for the key.
    NotFound = 4,
    /// The grant is dead.
    NeedsLogin = 5,
    /// The provider refused, or cannot do this.
    Rejected = 6,
    /// It will pass.
    TryAgain = 7,
    /// The store; nothing was spent.
    Store = 8,
    /// Some of many keys failed.
    Partial = 9,
    /// The provider answered, and the answer is not in the store.
    NotSaved = 10,
    /// `exec`: the command is there and cannot be run.
    NotExecutable = 126,
    /// `exec`: there is no such command.
    NoCommand = 127,
}

impl Code {
    /// The code's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::NotFound => "not_found",
            Self::NeedsLogin => "needs_login",
            Self::Rejected => "rejected",
            Self::TryAgain => "try_again",
            Self::Store => "store",
            Self::Partial => "partial",
            Self::NotSaved => "not_saved",
            Self::NotExecutable => "not_executable",
            Self::NoCommand => "no_command",
        }
    }
}

/// What went wrong, for whoever has to act.
#[derive(Debug, Error)]
pub enum Error {
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The wire.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Nothing is stored for the key.
    #[error("nothing is stored for {key}")]
    NotFound {
        /// The key.
        key: Key,
    },
    /// The provider called the grant dead in an earlier run: it is not presented again.
    #[error("the grant of {key} ended at {since:.0}: the provider refused it for good, or it was revoked")]
    NeedsLogin {
        /// The key.
        key: Key,
        /// When.
        since: Timestamp,
    },
    /// The record belongs to another application or address.
    #[error("the token of {key} was issued {what} {stored}, not {configured}")]
    Bound {
        /// The key.
        key: Key,
        /// `by` (address), `to` (client id) or `for` (Wix: the instance).
        what: &'static str,
        /// What the record says.
        stored: String,
        /// What the settings say.
        configured: String,
    },
    /// `--no-refresh`, and the stored token is too old.
    #[error("the stored token of {key} {state}, and --no-refresh forbids getting another")]
    TooOld {
        /// The key.
        key: Key,
        /// How old it is, in words.
        state: String,
    },
    /// The process that this one waited for failed a moment ago: asking the same again would not help.
    #[error("another process failed at {}: {}", failure.at, failure.message)]
    Shared {
        /// What it met.
        failure: Failure,
    },
    /// The provider answered, and the answer could not be stored.
    #[error("the new token of {key} could not be stored; it is in {}", rescue.display())]
    NotSaved {
        /// The key.
        key: Key,
        /// Where it is instead.
        rescue: PathBuf,
        /// Why it could not be stored.
        #[source]
        why: StoreError,
    },
    /// An earlier run could not store an answer, and what is stored was spent for it.
    #[error("the newest token of {key} could not be stored in an earlier run; it is in {}", rescue.display())]
    Rescued {
        /// The key.
        key: Key,
        /// Where it is.
        rescue: PathBuf,
    },
    /// The provider answered, the answer could not be stored, and not even saved elsewhere.
    #[error("the new token of {key} could not be stored anywhere")]
    Lost {
        /// The key.
        key: Key,
        /// Why the last place refused.
        #[source]
        why: FsError,
    },
    /// The key holds a live token of another account.
    #[error("{key} holds a live token of {stored}, and this one is of {new}; it was not overwritten, the new one is in {}", rescue.display())]
    OtherAccount {
        /// The key.
        key: Key,
        /// The account of the stored token.
        stored: String,
        /// The account of the new one.
        new: String,
        /// Where the new record is.
        rescue: PathBuf,
    },
    /// The browser cannot come back: nobody listens.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The browser did not come back.
    #[error("the browser did not come back to {redirect_uri} within five minutes")]
    LoginTimedOut {
        /// At whom the login was.
        provider: ProviderName,
        /// Where it should have come back to.
        redirect_uri: Url,
    },
    /// The profile was to be named after the account, and the answer names none that could be a profile's name.
    #[error("the answer of {} names no account to call the profile after; its token is in {}", key.provider, rescue.display())]
    NoAccount {
        /// The key that the rescued record is of.
        key: Key,
        /// Where the record is.
        rescue: PathBuf,
    },
    /// The answer to a grant has a refresh token, but no access token of use; what it would take the place of is stored.
    #[error("{why}; its refresh token is in {}", rescue.display())]
    RefreshTokenOnly {
        /// Whose it is.
        key: Key,
        /// Where it is.
        rescue: PathBuf,
        /// What is wrong with the answer.
        why: ProviderError,
    },
    /// A login that does not fit: an address of another login, none pending, too old.
    #[error("{0}")]
    Login(String),
    /// A rescue file that does not fit: none there, or something better is stored.
    #[error("{0}")]
    Rescue(String),
    /// Tokens that cannot be imported; none was.
    #[error("nothing was imported: {why}")]
    Import {
        /// What is refused, by line.
        why: String,
        /// Whether that is nothing but keys that have a token already.
        taken: bool,
    },
    /// Of the tokens that were to be stored, some are.
    #[error("{done} of {of} tokens are stored, the rest is not: {why}")]
    Stopped {
        /// How many are.
        done: u64,
        /// How many there were.
        of: u64,
        /// The command that stores the others, and only these: those that are stored may have been refreshed since.
        /// Absent where none is stored.
        rest: Option<String>,
        /// Why the next one is not.
        #[source]
        why: Box<Error>,
    },
    /// Of many keys, not all have what they should.
    #[error("{text}")]
    Keys {
        /// The one reason, where nothing went well for that alone; else [`Code::Partial`].
        code: Code,
        /// How many had which fate.
        text: String,
        /// The same in numbers.
        tally: Tally,
    },
    /// The system refused something that always works.
    #[error("{0}")]
    System(String),
}

impl Error {
    /// Who has to act.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::Config(error) => of_config(error),
            Error::Provider(error) => of_provider(error),
            Error::Store(error) => of_store(error),
            Error::Net(crate::net::NetError::Setup(_)) | Error::Bound { .. } | Error::Listen(_) => Code::Config,
            Error::Shared { failure } if failure.class == Code::Rejected.name() => Code::Rejected,
            Error::Net(_) | Error::TooOld { .. } | Error::Shared { .. } => Code::TryAgain,
            Error::NotFound { .. } => Code::NotFound,
            Error::NeedsLogin { .. } | Error::LoginTimedOut { .. } => Code::NeedsLogin,
            Error::NotSaved { .. }
            | Error::Rescued { .. }
            | Error::Lost { .. }
            | Error::OtherAccount { .. }
            | Error::NoAccount { .. }
            | Error::RefreshTokenOnly { .. } => Code::NotSaved,
            Error::Login(_) | Error::Rescue(_) | Error::Import { .. } => Code::Usage,
            Error::Stopped { why, .. } => why.code(),
            Error::Keys { code, .. } => *code,
            Error::System(_) => Code::Internal,
        }
    }
}

/// The code of an error of the settings.
#[must_use]
pub const fn of_config(error: &ConfigError) -> Code {
    match error {
        ConfigError::Usage(_) => Code::Usage,
        ConfigError::NoHome
        | ConfigError::Fs(_)
        | ConfigError::Syntax { .. }
        | ConfigError::Value { .. }
        | ConfigError::NoProvider
        | ConfigError::UnknownProvider { .. }
        | ConfigError::Missing { .. }
        | ConfigError::Secret { .. }
        | ConfigError::NotInThisBuild(_) => Code::Config,
    }
}

fn of_provider(error: &ProviderError) -> Code {
    match error {
        ProviderError::Refused(refusal) => match refusal.class {
            RefusalClass::GrantDead => Code::NeedsLogin,
            RefusalClass::Application | RefusalClass::Other => Code::Rejected,
            RefusalClass::Passing => Code::TryAgain,
        },
        ProviderError::NoAnswer { .. } => Code::TryAgain,
        ProviderError::Unusable { .. }
        | ProviderError::Unsupported { .. }
        | ProviderError::Missing { need: Need::AccessToken, .. } => Code::Rejected,
        ProviderError::Missing { need: Need::RefreshToken, .. } => Code::NeedsLogin,
        ProviderError::Missing { need: Need::ClientSecret | Need::InstanceId, .. }
        | ProviderError::Setting(_)
        | ProviderError::NotSendable(_) => Code::Config,
    }
}

/// The code of an error of the store.
#[must_use]
pub const fn of_store(error: &StoreError) -> Code {
    match error {
        StoreError::Busy { .. }
        | StoreError::Unreachable { .. }
        | StoreError::Cancelled { .. }
        | StoreError::Overtaken { .. } => Code::TryAgain,
        StoreError::Config(error) => of_config(error),
        StoreError::Fs(_)
        | StoreError::Damaged { .. }
        | StoreError::SetAside { .. }
        | StoreError::Newer { .. }
        | StoreError::Sealed { .. }
        | StoreError::Refused { .. }
        | StoreError::NewerTables { .. }
        | StoreError::NoLocks { .. } => Code::Store,
    }
}
