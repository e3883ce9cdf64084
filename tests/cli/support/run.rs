//! A process in the scrubbed world: how it is started, and what is asserted of it when it has ended.

use std::ffi::OsString;
use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::env::TestEnv;
use super::secrets::leaked;

/// No run of a test takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A command line that is about to run.
#[derive(Debug)]
pub struct Invocation<'a> {
    env: &'a TestEnv,
    command: Command,
    stdin: Option<Vec<u8>>,
    printed: Vec<String>,
    args: Vec<String>,
    passed: Vec<String>,
}

impl<'a> Invocation<'a> {
    pub(super) fn new(env: &'a TestEnv, program: impl Into<OsString>, args: &[&str]) -> Self {
        let mut command = Command::new(program.into());
        command.args(args).env_clear().envs(env.variables()).current_dir(env.work());
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self { env, command, stdin: None, printed: Vec::new(), args, passed: Vec::new() }
    }

    /// With this on stdin, then its end. Otherwise stdin is empty.
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// With one more environment variable, for this run only.
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// These secrets are what this run is asked to print: they may be on stdout. No other may.
    pub fn may_print(mut self, secrets: &[&str]) -> Self {
        self.printed.extend(secrets.iter().map(|&secret| secret.to_owned()));
        self
    }

    /// These are on the command line because the contract takes them there (an authorization code) or to see them
    /// refused.
    pub fn may_pass(mut self, secrets: &[&str]) -> Self {
        self.passed.extend(secrets.iter().map(|&secret| secret.to_owned()));
        self
    }

    /// After these words of a shell, which then becomes the program: `umask 0`, `ulimit -f 0`.
    pub fn after(mut self, words: &str) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("{words}\nexec \"$0\" \"$@\""));
        shell.arg(self.command.get_program()).args(self.command.get_args()).env_clear().current_dir(self.env.work());
        shell.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.command = shell;
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(mut self) -> Run {
        let stdin = self.stdin.take();
        let mut running = self.spawn();
        running.feed(stdin.as_deref().unwrap_or_default());
        running.wait()
    }

    /// Starts it. Its stdin stays open for [`Running::feed`].
    #[track_caller]
    pub fn spawn(mut self) -> Running<'a> {
        let argv = self.args.join(" ");
        let found = leaked(argv.as_bytes(), &self.passed);
        assert!(found.is_none(), "a secret on the command line, where everyone can read it: {argv}");
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("a program that starts");
        let stdin = child.stdin.take();
        let stdout = Stream::read(child.stdout.take());
        let stderr = Stream::read(child.stderr.take());
        Running { env: self.env, child, stdin, stdout, stderr, printed: self.printed, argv, started: Instant::now() }
    }
}

/// A stream of a process, read as it comes.
#[derive(Debug, Clone, Default)]
struct Stream(Arc<(Mutex<Came>, Condvar)>);

/// What of a stream was read.
#[derive(Debug, Default)]
struct Came {
    bytes: Vec<u8>,
    ended: bool,
}

impl Stream {
    fn read(source: Option<impl Read + Send + 'static>) -> Self {
        let stream = Self::default();
        let shared = stream.clone();
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            let mut source = source.expect("a piped stream");
            loop {
                let n = source.read(&mut buffer).unwrap_or_default();
                let mut read = shared.0.0.lock().unwrap_or_else(PoisonError::into_inner);
                read.bytes.extend_from_slice(&buffer[..n]);
                read.ended = n == 0;
                shared.0.1.notify_all();
                if n == 0 {
                    return;
                }
            }
        });
        stream
    }

    /// Waits until what came is enough, or it ended, or for `limit`; what came by then, and whether it ended.
    fn wait(&self, limit: Duration, enough: impl Fn(&[u8]) -> bool) -> (String, bool) {
        let read = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(read, limit, |read| !read.ended && !enough(&read.bytes));
        let read = waited.unwrap_or_else(PoisonError::into_inner).0;
        (String::from_utf8_lossy(&read.bytes).into_owned(), read.ended)
    }
}

/// A process that was started. Killed when it is dropped before its end.
#[derive(Debug)]
pub struct Running<'a> {
    env: &'a TestEnv,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
    printed: Vec<String>,
    argv: String,
    started: Instant,
}

impl Running<'_> {
    /// Writes to its stdin and closes it. A process that has ended by then does not mind.
    pub fn feed(&mut self, text: &[u8]) {
        if let Some(mut stdin) = self.stdin.take() {
            drop(stdin.write_all(text));
        }
    }

    /// Waits until this is on its stdout; all of stdout by then.
    #[track_caller]
    pub fn wait_for_stdout(&self, text: &str) -> String {
        wait_for(&self.stdout, text)
    }

    /// Waits until something is found on its stdout; what was found.
    #[track_caller]
    pub fn wait_until_stdout<T>(&self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        wait_until(&self.stdout, what, found)
    }

    /// Waits until this is on its stderr; all of stderr by then.
    #[track_caller]
    pub fn wait_for_stderr(&self, text: &str) -> String {
        wait_for(&self.stderr, text)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process that still runs");
    }

    /// How often it has gone to sleep so far; absent where the system does not tell, and after its end.
    pub fn naps(&self) -> Option<u32> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok())
    }

    /// Waits for its end, and looks for secrets in all that it left.
    #[track_caller]
    pub fn wait(mut self) -> Run {
        self.stdin = None;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                break status;
            }
            assert!(self.started.elapsed() < LIMIT, "'{}' still runs after {LIMIT:?}", self.argv);
            // The end of a stream tells the end of the process sooner than any pause.
            self.stdout.wait(Duration::from_millis(5), |_| false);
            if self.stdout.wait(Duration::ZERO, |_| false).1 {
                thread::sleep(Duration::from_millis(1));
            }
        };
        let (stdout, _) = self.stdout.wait(Duration::from_secs(5), |_| false);
        let (stderr, ended) = self.stderr.wait(Duration::from_secs(5), |_| false);
        assert!(ended, "'{}' left something behind that holds its stderr", self.argv);
        let run = Run { argv: self.argv.clone(), status: status.code(), stdout, stderr };
        for (stream, text, allowed) in [("stdout", &run.stdout, &self.printed[..]), ("stderr", &run.stderr, &[])] {
            let found = leaked(text.as_bytes(), allowed);
            assert!(found.is_none(), "a secret on {stream}: {}\n{run}", found.unwrap_or_default());
        }
        self.env.check_files();
        run
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[track_caller]
fn wait_for(stream: &Stream, text: &str) -> String {
    wait_until(stream, text, |came| came.contains(text).then(|| came.to_owned()))
}

#[track_caller]
fn wait_until<T>(stream: &Stream, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
    let (came, _) = stream.wait(LIMIT, |bytes| found(&String::from_utf8_lossy(bytes)).is_some());
    found(&came).unwrap_or_else(|| panic!("waited for '{what}', this came: {came}"))
}

/// A process that has ended.
#[derive(Debug)]
pub struct Run {
    argv: String,
    /// The exit code; absent where a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { argv, status, stdout, stderr } = self;
        write!(f, "'{argv}' ended with {status:?}\n-- stdout\n{stdout}\n-- stderr\n{stderr}")
    }
}

impl Run {
    /// It exited with this code.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(self.status, Some(code), "{self}");
        self
    }

    /// Its stdout is this and nothing else.
    #[track_caller]
    pub fn stdout_is(&self, text: &str) -> &Self {
        assert_eq!(self.stdout, text, "{self}");
        self
    }

    /// Its stdout has this somewhere.
    #[track_caller]
    pub fn stdout_has(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "stdout has no '{text}': {self}");
        self
    }

    /// Its stdout has this nowhere.
    #[track_caller]
    pub fn stdout_lacks(&self, text: &str) -> &Self {
        assert!(!self.stdout.contains(text), "stdout has '{text}': {self}");
        self
    }

    /// Its stderr is this and nothing else; `""` for silence.
    #[track_caller]
    pub fn stderr_is(&self, text: &str) -> &Self {
        assert_eq!(self.stderr, text, "{self}");
        self
    }

    /// Its stderr has this somewhere.
    #[track_caller]
    pub fn stderr_has(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "stderr has no '{text}': {self}");
        self
    }

    /// Its stderr has this nowhere.
    #[track_caller]
    pub fn stderr_lacks(&self, text: &str) -> &Self {
        assert!(!self.stderr.contains(text), "stderr has '{text}': {self}");
        self
    }

    /// Its stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("stdout is no JSON, {error}: {self}"))
    }
}
