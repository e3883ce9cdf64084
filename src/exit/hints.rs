//! What to do about an error: commands that can be pasted, complete.

use crate::model::Key;
use crate::net::NetError;
use crate::net::loopback::ListenError;
use crate::ops::bulk::tally::Tally;
use crate::ops::rescue::put_back;
use crate::ops::{Code, Error};
use crate::provider::{Need, ProviderError, RefusalClass};
use crate::store::{SealError, StoreError};

pub(super) fn hint_of(error: &Error, key: Option<&Key>) -> Option<String> {
    let obtain = |key: &Key| format!("tokman obtain {}", key.options());
    match error {
        Error::Config(error) => error.remedy(),
        Error::Provider(ProviderError::Refused(refusal)) => refusal.hint.clone().or_else(|| match refusal.class {
            RefusalClass::GrantDead => key.map(obtain),
            RefusalClass::Application => {
                Some("check the client id and the client secret; the stored grant is kept".to_owned())
            }
            RefusalClass::Passing => Some("the stored grant is kept; try again later".to_owned()),
            RefusalClass::Other => None,
        }),
        Error::Provider(ProviderError::Unsupported { hint, .. }) => hint.clone(),
        Error::Provider(ProviderError::Missing { need: Need::RefreshToken, .. }) => key.map(obtain),
        Error::Provider(ProviderError::Missing { need: Need::AccessToken, .. }) => {
            key.map(|key| format!("tokman refresh {}", key.options()))
        }
        Error::Store(error) => hint_of_store(error),
        // Nothing was sent, and nothing changes by waiting.
        Error::Net(NetError::Setup(_)) => None,
        Error::Net(_) | Error::Shared { .. } | Error::Provider(ProviderError::NoAnswer { .. }) => {
            Some("the stored grant is kept; try again later".to_owned())
        }
        Error::NotFound { key } | Error::NeedsLogin { key, .. } => Some(obtain(key)),
        Error::Bound { key, .. } => Some(format!(
            "use another profile (-n NAME) for the other application, or log in with it in place of this one: tokman obtain {} --replace",
            key.options()
        )),
        Error::TooOld { key, .. } => Some(format!("tokman refresh {}", key.options())),
        Error::OtherAccount { key, rescue, .. } | Error::RefreshTokenOnly { key, rescue, .. } => {
            Some(format!("to overwrite the stored one all the same: {} --replace", put_back(key, rescue)))
        }
        Error::NotSaved { key, rescue, .. } => {
            Some(format!("mend the store, then put it back: {}", put_back(key, rescue)))
        }
        Error::Rescued { key, rescue } => Some(format!("put it back: {}", put_back(key, rescue))),
        Error::Listen(ListenError::Port { redirect_uri, .. }) => Some(format!(
            "end the other program, or take another port: --port N, and register http://{}:N/callback with the provider",
            redirect_uri.host_str().unwrap_or("localhost")
        )),
        Error::Listen(ListenError::NotLoopback(_)) => {
            Some("give an https address of your own and paste what the browser ends at: --no-browser".to_owned())
        }
        Error::NoAccount { key, rescue } => Some(format!("keep it as {key}: {}", put_back(key, rescue))),
        Error::LoginTimedOut { provider, redirect_uri } => Some(format!(
            "providers match redirect addresses exactly: register {redirect_uri} with {provider}, or give the registered one with --redirect-uri"
        )),
        Error::Import { taken: true, .. } => Some(
            "with --replace what is stored is overwritten: make sure that it is the older one, it may have been refreshed since"
                .to_owned(),
        ),
        Error::Import { .. } => Some(
            "one JSON object on each line ('jq -c .' makes them so), or a single one; see 'tokman import --help'"
                .to_owned(),
        ),
        Error::Stopped { why, rest, .. } => Some(format!(
            "mend it, then {}{}",
            rest.as_ref().map_or_else(|| "run it again".to_owned(), |rest| format!("store the rest and only that: {rest}")),
            hint_of(why, key).map(|hint| format!(" ({hint})")).unwrap_or_default()
        )),
        Error::Keys { code, tally, .. } => Some(hint_of_keys(*code, tally)),
        Error::Login(_) => key.map(|key| format!("begin again: tokman obtain {} --no-browser", key.options())),
        Error::Provider(_) | Error::Lost { .. } | Error::Rescue(_) | Error::System(_) => None,
    }
}

/// What a person has to do after a run; the next run does the rest.
fn hint_of_keys(code: Code, tally: &Tally) -> String {
    let rescued = (tally.rescued > 0).then_some("see which rescue files to put back: tokman doctor");
    let dead = (tally.needs_login > 0).then_some("see who has to log in: tokman status --only needs_login");
    let rest = match code {
        Code::Rejected if tally.failed == 1 || tally.held_back > 0 => {
            "check the client id and the client secret; the stored grants are kept"
        }
        Code::Rejected => "see what was said of each key; the stored grants are kept",
        _ if tally.failed > 0 && tally.failed == tally.store => "see what is wrong with the store: tokman doctor",
        _ if tally.failed > 0 && tally.failed == tally.settings => "see the settings that count: tokman config show",
        _ => "the stored grants are kept; the next run takes up the rest",
    };
    let hints: Vec<&str> = rescued.into_iter().chain(dead).collect();
    if hints.is_empty() { rest.to_owned() } else { hints.join("; ") }
}

pub(super) fn hint_of_store(error: &StoreError) -> Option<String> {
    match error {
        StoreError::Fs(error) => error.remedy(),
        StoreError::Busy { .. } => Some("try again; if it stays so, look for a tokman that hangs".to_owned()),
        StoreError::Overtaken { .. } => Some("try again, with a longer --timeout if this process was slow".to_owned()),
        StoreError::Unreachable { .. } => Some("see what the database says: tokman doctor".to_owned()),
        StoreError::Refused { .. } => {
            error.remedy().or_else(|| Some("see what the database says: tokman doctor".to_owned()))
        }
        StoreError::SetAside { .. }
        | StoreError::Damaged { .. }
        | StoreError::Newer { .. }
        | StoreError::NewerTables { .. }
        | StoreError::Cancelled { .. } => error.remedy(),
        StoreError::Config(error) => error.remedy(),
        StoreError::Sealed { why, .. } => Some(match why {
            SealError::NoKey { .. } | SealError::OtherKey { .. } => {
                "name the key that sealed it: [store] key in the config file, TOKMAN_STORE_KEY or TOKMAN_STORE_KEY_FILE".to_owned()
            }
            SealError::Needed => {
                "make a key with 'tokman key new', keep it safe, and name it: [store] key in the config file, TOKMAN_STORE_KEY or TOKMAN_STORE_KEY_FILE".to_owned()
            }
            SealError::Unusable(_) | SealError::Absent(_) | SealError::NoRandomness => {
                "see where it is looked for: tokman config show".to_owned()
            }
        }),
        StoreError::NoLocks { .. } => Some("keep the tokens on a local disk: --store file:/path".to_owned()),
    }
}

/// A hint with every command in it complete: a provider names the verb only, between backticks.
pub(super) fn with_key(hint: &str, key: Option<&Key>) -> String {
    const VERBS: [&str; 4] = ["tokman obtain", "tokman refresh", "tokman remove", "tokman revoke"];
    let Some(key) = key else { return hint.to_owned() };
    let complete = |(at, part): (usize, &str)| {
        let verb = VERBS.into_iter().find(|verb| at % 2 == 1 && part.starts_with(verb));
        verb.map_or_else(|| part.to_owned(), |verb| format!("{verb} {}{}", key.options(), &part[verb.len()..]))
    };
    hint.split('`').enumerate().map(complete).collect::<Vec<_>>().join("`")
}

/// A hint whose commands are about the same directory and store as this one, which these options of its command line name.
#[must_use]
pub fn with_place(hint: &str, place: &str) -> String {
    const VERBS: [&str; 10] =
        ["obtain", "refresh", "remove", "revoke", "import", "status", "doctor", "token", "export", "history"];
    if place.is_empty() {
        return hint.to_owned();
    }
    let mut parts = hint.split("tokman ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |hint, part| {
        let of_a_store =
            |verb: &&&str| part.strip_prefix(**verb).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphabetic()));
        match VERBS.iter().find(of_a_store).filter(|verb| !part[verb.len()..].starts_with(" --help")) {
            Some(verb) => format!("{hint}tokman {verb}{place}{}", &part[verb.len()..]),
            None => format!("{hint}tokman {part}"),
        }
    })
}
