//! The world of one test: a home of its own, an environment with nothing in it, and a look at every file after every
//! run.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use super::run::{Invocation, Run};
use super::secrets::leaked;

/// Directories that other programs share.
const SHARED: [&str; 5] = [".config", ".local", ".cache", "share", "state"];

/// The size from which on a file is not looked into: tokman writes no such file, a test may make a sparse one.
const HUGE: u64 = 64 << 20;

/// A home directory, a working directory and an environment.
#[derive(Debug)]
pub struct TestEnv {
    root: TempDir,
    variables: BTreeMap<OsString, OsString>,
    /// What a test itself made readable by others, to see it refused.
    loose: Mutex<BTreeSet<PathBuf>>,
}

impl TestEnv {
    /// A world with an empty home, and `PATH`, `HOME` and `TMPDIR` as its whole environment: where everybody's temporary
    /// files are, rescued tokens may lie.
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut env = Self { root, variables: BTreeMap::new(), loose: Mutex::default() };
        make_directories(&env.home());
        make_directories(&env.work());
        let temporary = env.root.path().join("tmp");
        make_directories(&temporary);
        #[expect(clippy::disallowed_methods, reason = "what a test runs is found where the test was found")]
        let path = std::env::var_os("PATH").unwrap_or_default();
        env.variables.insert("PATH".into(), path);
        env.set("HOME", env.home());
        env.set("TMPDIR", temporary);
        env
    }

    /// Sets a variable for every later run.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.insert(name.into(), value.into());
    }

    /// Forgets a variable.
    pub fn unset(&mut self, name: &str) {
        self.variables.remove(&OsString::from(name));
    }

    /// The home directory.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The working directory of every run.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// Where tokman keeps its files when nothing else is said.
    pub fn config_dir(&self) -> PathBuf {
        self.home().join(".config/tokman")
    }

    /// The token file of a key, as `square/default`.
    pub fn token_path(&self, key: &str) -> PathBuf {
        self.config_dir().join("tokens").join(format!("{key}.json"))
    }

    /// Runs tokman to its end, with nothing on stdin.
    #[track_caller]
    pub fn tokman(&self, args: &[&str]) -> Run {
        self.command(args).run()
    }

    /// tokman, about to run: for stdin, secrets that may be printed, or [`Invocation::spawn`].
    pub fn command(&self, args: &[&str]) -> Invocation<'_> {
        self.program(env!("CARGO_BIN_EXE_tokman"), args)
    }

    /// Another program under the same watch.
    pub fn program(&self, program: &str, args: &[&str]) -> Invocation<'_> {
        Invocation::new(self, program, args)
    }

    /// A stored token as it lies on the disk.
    #[track_caller]
    pub fn read_token(&self, key: &str) -> Value {
        let path = self.token_path(key);
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Stores a token, privately.
    pub fn write_token(&self, key: &str, token: &Value) {
        self.write(self.token_path(key), token.to_string());
    }

    /// Writes `config.toml`, privately.
    pub fn write_config(&self, text: &str) {
        self.write(self.config_dir().join("config.toml"), text);
    }

    /// Writes any file, 0600 in directories of 0700.
    pub fn write(&self, path: impl AsRef<Path>, contents: impl AsRef<[u8]>) {
        let path = self.root.path().join(path);
        make_directories(path.parent().expect("a file in a directory"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(contents.as_ref())).expect("a file that can be written");
    }

    /// Gives a file or a directory another mode. What is thereby open to others is no finding.
    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode that can be set");
        self.loose.lock().unwrap_or_else(PoisonError::into_inner).insert(path.as_ref().to_owned());
    }

    pub(super) fn variables(&self) -> &BTreeMap<OsString, OsString> {
        &self.variables
    }

    /// Every file with a secret in it is private, and so are the directories above it; history and locks have none.
    #[track_caller]
    pub(super) fn check_files(&self) {
        let mut directories = vec![self.root.path().to_owned()];
        while let Some(directory) = directories.pop() {
            // Other processes of the same test may be replacing files right now.
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let path = entry.path();
                let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
                if metadata.is_dir() {
                    directories.push(path);
                } else if metadata.is_file() && metadata.len() < HUGE {
                    self.check_file(&path);
                }
            }
        }
    }

    #[track_caller]
    fn check_file(&self, path: &Path) {
        let Some(secret) = fs::read(path).ok().and_then(|contents| leaked(&contents, &[])) else { return };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert!(
            !name.starts_with("history") && !name.ends_with(".lock"),
            "a secret where none belongs, {}: {secret}",
            path.display()
        );
        self.check_mode(path, 0o600);
        for directory in path.ancestors().skip(1).take_while(|directory| *directory != self.root.path()) {
            if !directory.file_name().is_some_and(|name| SHARED.iter().any(|shared| *shared == name)) {
                self.check_mode(directory, 0o700);
            }
        }
    }

    #[track_caller]
    fn check_mode(&self, path: &Path, allowed: u32) {
        let Ok(metadata) = fs::metadata(path) else { return };
        let mode = metadata.permissions().mode() & 0o7777;
        let private = mode & !allowed == 0 || self.loose.lock().unwrap_or_else(PoisonError::into_inner).contains(path);
        assert!(private, "a secret in {}, which has mode {mode:03o}, not {allowed:03o}", path.display());
    }
}

/// Makes a directory of 0700 and those above it.
pub fn make_directories(path: &Path) {
    DirBuilder::new().recursive(true).mode(0o700).create(path).expect("a directory that can be made");
}
