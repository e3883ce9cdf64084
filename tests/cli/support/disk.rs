//! A model of a disk that loses power: what of a directory is left of a traced run, when only what was synced
//! survives. File contents survive with `fsync` of the file, names with `fsync` of their directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::strace::{self, Call};

/// Which names survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Those that were synced with their directory.
    Synced,
    /// All, at once: a file system may write a directory back before the files in it.
    All,
}

/// A file: as processes see it, and as it lies on the disk.
#[derive(Debug, Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    inode: usize,
    offset: usize,
    appends: bool,
}

/// What is put on the disk.
#[derive(Debug)]
enum Sync {
    Names(BTreeMap<String, usize>),
    Content(usize, Vec<u8>),
}

/// The files of one directory, and what the traced processes print and send.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    inodes: Vec<Inode>,
    seen: BTreeMap<String, usize>,
    synced: BTreeMap<String, usize>,
    open: BTreeMap<i64, Open>,
    /// What a thread's call is going to put on the disk: what was there when it began.
    syncing: BTreeMap<u32, Sync>,
    /// All that was written to stdout so far.
    pub printed: Vec<u8>,
    /// All that was sent over TCP so far.
    pub sent: Vec<u8>,
}

impl Disk {
    /// A disk on which the files of the directory lie as they are now.
    pub fn of(directory: &Path) -> Self {
        let directory = fs::canonicalize(directory).expect("a directory");
        let mut disk = Self {
            directory,
            inodes: Vec::new(),
            seen: BTreeMap::new(),
            synced: BTreeMap::new(),
            open: BTreeMap::new(),
            syncing: BTreeMap::new(),
            printed: Vec::new(),
            sent: Vec::new(),
        };
        for entry in fs::read_dir(&disk.directory).expect("a readable directory").flatten() {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            disk.inodes.push(Inode { seen: bytes.clone(), synced: bytes });
            disk.seen.insert(entry.file_name().to_string_lossy().into_owned(), disk.inodes.len() - 1);
        }
        disk.synced = disk.seen.clone();
        disk
    }

    /// What is left of a file when the power goes now; absent where its name is not left.
    pub fn survives(&self, name: &str, which: Names) -> Option<&[u8]> {
        let names = if which == Names::Synced { &self.synced } else { &self.seen };
        names.get(name).map(|inode| &self.inodes[*inode].synced[..])
    }

    /// Does what a call did.
    pub fn apply(&mut self, call: &Call) {
        if strace::is_sync(&call.name) {
            return self.syncs(call);
        }
        let Some(value) = call.value() else { return };
        let strings = call.strings();
        let length = usize::try_from(value).unwrap_or_default();
        match call.name.as_str() {
            "open" | "openat" | "creat" => self.opens(call, value, &strings),
            "close" => {
                if let Some((number, _)) = call.descriptor() {
                    self.open.remove(&number);
                }
            }
            "write" | "writev" | "sendto" | "sendmsg" | "pwrite64" => self.writes(call, &strings.concat(), length),
            "lseek" => {
                if let Some(open) = call.descriptor().and_then(|(number, _)| self.open.get_mut(&number)) {
                    open.offset = length;
                }
            }
            "ftruncate" => {
                let size = call.args.rsplit(", ").next().and_then(|size| size.parse().ok()).unwrap_or_default();
                if let Some(inode) = self.inode(call) {
                    inode.seen.resize(size, 0);
                }
            }
            "rename" | "renameat" | "renameat2" => {
                if let [from, to] = &strings[..]
                    && let (Some(from), Some(to)) = (self.name(from), self.name(to))
                    && let Some(inode) = self.seen.remove(&from)
                {
                    self.seen.insert(to, inode);
                }
            }
            "unlink" | "unlinkat" => {
                if let Some(name) = strings.first().and_then(|path| self.name(path)) {
                    self.seen.remove(&name);
                }
            }
            _ => {}
        }
    }

    fn syncs(&mut self, call: &Call) {
        let began = self.syncing.remove(&call.thread).or_else(|| {
            let (number, what) = call.descriptor()?;
            if Path::new(what) == self.directory.as_path() {
                return Some(Sync::Names(self.seen.clone()));
            }
            let inode = self.open.get(&number)?.inode;
            Some(Sync::Content(inode, self.inodes[inode].seen.clone()))
        });
        match began {
            Some(began) if call.result == strace::BEGUN => drop(self.syncing.insert(call.thread, began)),
            // It failed: nobody knows what it has written.
            _ if call.value().is_none() => {}
            Some(Sync::Names(names)) => self.synced = names,
            Some(Sync::Content(inode, bytes)) => self.inodes[inode].synced = bytes,
            None => {}
        }
    }

    fn opens(&mut self, call: &Call, descriptor: i64, strings: &[Vec<u8>]) {
        let Some(name) = strings.first().and_then(|path| self.name(path)) else { return };
        let inode = if let Some(inode) = self.seen.get(&name) {
            *inode
        } else {
            self.inodes.push(Inode::default());
            self.seen.insert(name, self.inodes.len() - 1);
            self.inodes.len() - 1
        };
        if call.args.contains("O_TRUNC") {
            self.inodes[inode].seen.clear();
        }
        let appends = call.args.contains("O_APPEND");
        self.open.insert(descriptor, Open { inode, offset: 0, appends });
    }

    fn writes(&mut self, call: &Call, bytes: &[u8], length: usize) {
        let Some((number, what)) = call.descriptor() else { return };
        let bytes = &bytes[..length.min(bytes.len())];
        if number == 1 {
            self.printed.extend_from_slice(bytes);
        } else if what.starts_with("TCP") {
            self.sent.extend_from_slice(bytes);
        } else if let Some(open) = self.open.get_mut(&number) {
            let seen = &mut self.inodes[open.inode].seen;
            if open.appends {
                open.offset = seen.len();
            }
            let end = open.offset + bytes.len();
            seen.resize(seen.len().max(end), 0);
            seen[open.offset..end].copy_from_slice(bytes);
            open.offset = end;
        }
    }

    fn inode(&mut self, call: &Call) -> Option<&mut Inode> {
        let open = self.open.get(&call.descriptor()?.0)?;
        Some(&mut self.inodes[open.inode])
    }

    /// The name of a file directly in the directory.
    fn name(&self, path: &[u8]) -> Option<String> {
        let path = PathBuf::from(String::from_utf8_lossy(path).into_owned());
        let parent = fs::canonicalize(path.parent()?).ok()?;
        (parent == self.directory).then(|| path.file_name().map(|name| name.to_string_lossy().into_owned())).flatten()
    }
}

/// What a traced refresh must have on the disk, and when.
#[derive(Debug)]
pub struct Promise<'a> {
    /// The token file's name.
    pub record: &'a str,
    /// The mark's name.
    pub mark: &'a str,
    /// The refresh token that is spent.
    pub spent: &'a str,
    /// The tokens that come in its place.
    pub access: &'a str,
    pub refresh: &'a str,
}

/// Cuts the power after each call of a run. What was kept of the promise: how many cuts there were; or the first breach.
///
/// # Errors
/// Which promise was broken, and after which call.
pub fn cut_power(disk: &mut Disk, calls: &[Call], promise: &Promise<'_>) -> Result<usize, String> {
    let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    for call in calls {
        let unsent = disk.sent.is_empty();
        disk.apply(call);
        let after = |what: &str| format!("after {}({:.120}): {what}", call.name, call.args);
        for names in [Names::Synced, Names::All] {
            let record = disk.survives(promise.record, names).unwrap_or_default();
            let whole = serde_json::from_slice::<serde_json::Value>(record).is_ok();
            if has(&disk.printed, promise.access) && !(whole && has(record, promise.access)) {
                return Err(after("the access token is printed, and is not on the disk"));
            }
            if unsent && !disk.sent.is_empty() {
                let mark = disk.survives(promise.mark, names).unwrap_or_default();
                if !has(mark, "fingerprint") || mark.len() < record.len() + (16 << 10) {
                    return Err(after(
                        "the request is sent, and its mark and the room for the answer are not on the disk",
                    ));
                }
            }
            if !(whole && (has(record, promise.spent) || has(record, promise.refresh))) {
                return Err(after("no whole record is on the disk"));
            }
        }
    }
    if disk.sent.is_empty() || !has(&disk.printed, promise.access) {
        return Err("the run sent or printed nothing".to_owned());
    }
    Ok(calls.len())
}

/// Cuts the power after each call of a run over many keys: every key that is told of as refreshed has its new record on
/// the disk, every other one a whole one, and no refresh token is sent before its mark is there. How many cuts there
/// were; or the first breach. `spent` are the refresh tokens by profile.
///
/// # Errors
/// Which promise was broken, for which key, and after which call.
pub fn cut_power_of_many(disk: &mut Disk, calls: &[Call], spent: &BTreeMap<String, String>) -> Result<usize, String> {
    let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let (mut told, mut asked) = (BTreeSet::new(), BTreeSet::new());
    for call in calls {
        disk.apply(call);
        let after = |profile: &str, what: &str| format!("{profile} after {}({:.120}): {what}", call.name, call.args);
        for (profile, refresh) in spent {
            let line = format!("{profile}\",\"outcome\":\"refreshed\"");
            if !told.contains(profile) && has(&disk.printed, &line) {
                told.insert(profile.clone());
            }
            let asks = !asked.contains(profile) && has(&disk.sent, refresh);
            for names in [Names::Synced, Names::All] {
                let record = disk.survives(&format!("{profile}.json"), names).unwrap_or_default();
                if serde_json::from_slice::<serde_json::Value>(record).is_err() {
                    return Err(after(profile, "no whole record is on the disk"));
                }
                if told.contains(profile) && has(record, refresh) {
                    return Err(after(profile, "it is told of as refreshed, and that is not on the disk"));
                }
                let mark = disk.survives(&format!(".{profile}.inflight"), names).unwrap_or_default();
                if asks && !has(mark, "fingerprint") {
                    return Err(after(profile, "the request is sent, and its mark is not on the disk"));
                }
            }
            if asks {
                asked.insert(profile.clone());
            }
        }
    }
    if (told.len(), asked.len()) == (spent.len(), spent.len()) {
        return Ok(calls.len());
    }
    Err(format!("only {} keys were asked for and {} told of", asked.len(), told.len()))
}
