//! Tokens obtained elsewhere: every one is checked before the first is stored.

mod checked;
mod input;
mod lines;

use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::model::{Key, ProfileName, ProviderName, Response, Secret, text};
use crate::ops::history::{Action, Event};
use crate::ops::{Broker, Error};
use crate::store::{Lease, Record, Sealer, StoreError, seal};
use checked::Checked;
use input::Objects;
use lines::Lines;

/// How often it is looked for a signal while a lease is waited for.
const SIGNAL_POLL: Duration = Duration::from_millis(50);

/// How many are stored at once.
const AT_ONCE: usize = 16;

/// What the command line says of the keys.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// The key of a single token that does not say its own; absent where no provider is named.
    pub key: Option<Key>,
    /// Only tokens of this provider are meant.
    pub provider: Option<ProviderName>,
    /// Only tokens of this name are meant.
    pub profile: Option<ProfileName>,
}

impl Broker {
    /// Stores the tokens of an input, one JSON object on each line or a single one on several; how many there were.
    /// Where one of them is refused, none is stored.
    ///
    /// # Errors
    /// [`Error::Import`] for what is refused, [`Error::Stopped`] where the store failed when some were stored.
    pub async fn import(&self, input: impl BufRead, named: &Named, replace: bool) -> Result<u64, Error> {
        // A key that cannot be had is known before anything is read.
        self.sealer.id().map_err(seal::SealError::to_config)?;
        let now = self.clock.now();
        let mut checked = Checked::new()?;
        let mut objects = Objects::new(input);
        while let Some((line, object)) = objects.next()? {
            let read = read(&object, line, named, &mut checked)
                .and_then(|(key, object)| parse(&object, &key, line, now, &self.sealer).map(|_| (key, object)));
            match read {
                Ok((key, object)) => {
                    checked.keep(line, &key, object.as_bytes())?;
                    self.check_free(&key, line, replace, &mut checked).await?;
                }
                Err(why) => checked.refuse(line, &why),
            }
        }
        checked.judge()?;
        self.store_all(checked, now, (named, replace)).await
    }

    /// Refuses a key that cannot be stored under.
    ///
    /// # Errors
    /// A store that cannot be read at all: then it is not the input that has to be mended.
    async fn check_free(&self, key: &Key, line: u64, replace: bool, checked: &mut Checked) -> Result<(), Error> {
        match self.store.get(key).await {
            Ok(None) => {}
            Ok(Some(_)) | Err(StoreError::Damaged { .. } | StoreError::SetAside { .. }) if replace => {}
            Ok(Some(_)) | Err(StoreError::Damaged { .. } | StoreError::SetAside { .. }) => {
                checked.refuse_taken(line, key);
            }
            Err(error @ (StoreError::Sealed { .. } | StoreError::Newer { .. })) => {
                checked.refuse(line, &error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Stores what was checked, several at once: what takes time is the disk, or the way to the database. After a signal
    /// or a failure no more are begun.
    async fn store_all(
        &self,
        mut checked: Checked,
        now: Timestamp,
        (named, replace): (&Named, bool),
    ) -> Result<u64, Error> {
        let of = checked.count;
        let mut lines = Lines::default();
        checked.rewind()?;
        let signals = self.hold_signals()?;
        let mut failed = None;
        let mut under_way = FuturesUnordered::new();
        if of > 1 {
            self.store.expect_many();
        }
        loop {
            while failed.is_none() && under_way.len() < AT_ONCE && !self.signals.is_ending() {
                match checked.next() {
                    Ok(Some((line, key, object))) => {
                        lines.begin(line);
                        match parse(&object, &key, line, now, &self.sealer) {
                            Ok(record) => under_way.push(async move {
                                self.store_one(&key, record, replace).await.map(|done| (line, done))
                            }),
                            Err(why) => failed = Some(Error::System(why)),
                        }
                    }
                    Ok(None) => break,
                    Err(error) => failed = Some(error),
                }
            }
            match under_way.next().await {
                Some(Ok((line, true))) => lines.stored(line),
                // A signal came before its turn did.
                Some(Ok((_, false))) => {}
                Some(Err(error)) => failed = failed.or(Some(error)),
                None => break,
            }
        }
        let done = lines.done;
        let rest = lines.rest(of).map(|lines| format!("{lines} | tokman import{}", again(named, replace)));
        if let Some(why) = failed {
            return Err(Error::Stopped { done, of, rest, why: Box::new(why) });
        }
        if self.signals.is_ending() && done < of {
            let rest = rest.map_or_else(|| "run it again".to_owned(), |rest| format!("the rest and only that: {rest}"));
            log::warn!("ended by a signal: {done} of {of} tokens are stored; {rest}");
        }
        // Here a signal that came is honoured.
        drop(signals);
        Ok(done)
    }

    /// Stores one under its lease; `false` where a signal came before there was a lease.
    async fn store_one(&self, key: &Key, record: Record, replace: bool) -> Result<bool, Error> {
        let mut lease = tokio::select! {
            lease = self.store.lease(key, self.lease_wait()) => lease?,
            () = self.signalled() => return Ok(false),
        };
        let stored = self.store_imported(key, lease.as_mut(), record, replace).await;
        lease.end().await;
        stored.map(|()| true)
    }

    /// Waits until a signal came.
    async fn signalled(&self) {
        while !self.signals.is_ending() {
            tokio::time::sleep(SIGNAL_POLL).await;
        }
    }

    /// Stores one under its lease. What is there already counts its changes on.
    async fn store_imported(
        &self,
        key: &Key,
        lease: &mut dyn Lease,
        record: Record,
        replace: bool,
    ) -> Result<(), Error> {
        let began = self.clock.now();
        let stored = match lease.get().await {
            Ok(Some(_)) if !replace => {
                return Err(Error::Rescue(format!("{key} was stored by somebody else meanwhile")));
            }
            Ok(stored) => stored,
            Err(StoreError::Damaged { .. } | StoreError::SetAside { .. }) if replace => None,
            Err(error) => return Err(error.into()),
        };
        let generation = match &stored {
            Some(stored) => stored.generation.max(record.generation) + 1,
            None => record.generation.max(1),
        };
        let record = Record { generation, ..record };
        let reservation = lease.reserve(None).await?;
        lease.put(reservation, &record).await?;
        let event = Event::new(key, Action::Import, (began, self.clock.now()));
        self.history.append(&event.tokens(stored.as_ref().map(|stored| &stored.token), Some(&record.token)));
        Ok(())
    }
}

/// The options that a run for the rest of an input needs as well.
fn again(named: &Named, replace: bool) -> String {
    let provider = named.provider.as_ref().map(|name| format!(" --provider {name}"));
    let profile = named.profile.as_ref().map(|name| format!(" --profile {name}"));
    let replace = replace.then(|| " --replace".to_owned());
    [provider, profile, replace].into_iter().flatten().collect()
}

/// The key of an object, and its text without what only names that.
fn read(bytes: &[u8], line: u64, named: &Named, checked: &mut Checked) -> Result<(Key, Zeroizing<String>), String> {
    let mut object = Response::parse(bytes).map_err(|error| error.to_string().replace("the answer", "it"))?;
    let says = |name: &str| match object.get("tokman") {
        Some(record) => record.get(name).and_then(Value::as_str),
        None => object.text(name),
    };
    let own = (says("provider"), says("profile"));
    let has_record = object.get("tokman").is_some();
    let key = match own {
        (Some(provider), Some(profile)) => {
            let name = |error: crate::model::NameError| error.to_string();
            Key { provider: provider.parse().map_err(name)?, profile: profile.parse().map_err(name)? }
        }
        _ if has_record => return Err("its member 'tokman' is not what tokman writes".to_owned()),
        (provider, profile) => {
            let key = named.key.clone().ok_or(
                "nothing says whose token it is: add members 'provider' and 'profile', or name it with -p and -n",
            )?;
            for (name, own, named) in
                [("provider", provider, key.provider.as_str()), ("profile", profile, key.profile.as_str())]
            {
                if let Some(own) = own.filter(|own| *own != named) {
                    let own = text::escape(own, 60);
                    return Err(format!("its member '{name}' is '{own}', and it would be stored as {key}"));
                }
            }
            if let Some(earlier) = checked.borrowed.replace(line) {
                return Err(format!("-p and -n name a single token, and line {earlier} is one already"));
            }
            key
        }
    };
    let other = named.provider.as_ref().is_some_and(|provider| *provider != key.provider)
        || named.profile.as_ref().is_some_and(|profile| *profile != key.profile);
    if other {
        return Err(format!("it is the token of {key}, which is not what -p and -n name"));
    }
    if !has_record {
        // They are no members of the provider's, unless they are something else than a name.
        for name in ["provider", "profile"] {
            if object.text(name).is_some() {
                object.take(name);
            }
        }
    }
    Ok((key, Zeroizing::new(object.to_line())))
}

/// The record of an object; a bare answer's lifetimes count from `now`.
fn parse(text: &str, key: &Key, line: u64, now: Timestamp, sealer: &Sealer) -> Result<Record, String> {
    let place = format!("line {line}");
    let record =
        Record::parse(text.as_bytes(), key, Path::new(&place), Some(now), sealer).map_err(|error| match error {
            StoreError::Damaged { why, .. } => why,
            StoreError::Newer { version, .. } => format!("a newer tokman wrote it (record version {version})"),
            error => error.to_string(),
        })?;
    // What could never be sent or printed is no token (RFC 6749 A.12, A.17).
    let is_sendable = |token: &Secret| token.expose().bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if !is_sendable(&record.token.access) || record.token.refresh.as_ref().is_some_and(|token| !is_sendable(token)) {
        return Err("a token in it has a character that no token may have".to_owned());
    }
    Ok(record)
}
