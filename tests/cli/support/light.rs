//! Runs without the look at every file: for tests that start hundreds of processes.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::env::TestEnv;
use super::secrets::leaked;

/// No run takes longer.
const LIMIT: Duration = Duration::from_secs(90);

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; absent where a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A program in the scrubbed world, with nothing on stdin.
pub fn command(env: &TestEnv, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(env.variables()).current_dir(env.work());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// tokman in the scrubbed world.
pub fn tokman(env: &TestEnv, args: &[&str]) -> Command {
    command(env, env!("CARGO_BIN_EXE_tokman"), args)
}

/// Runs a program to its end.
#[track_caller]
pub fn run(mut command: Command) -> Ended {
    wait(command.spawn().expect("a program that starts"))
}

/// Waits for a child's end. No secret may be on its stderr.
#[track_caller]
pub fn wait(child: Child) -> Ended {
    let id = child.id();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || drop(sender.send(child.wait_with_output())));
    let output = receiver.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("process {id} still runs after {LIMIT:?}"));
    let Output { status, stdout, stderr } = output.expect("a child of ours");
    let found = leaked(&stderr, &[]);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let ended = Ended { code: status.code(), signal: status.signal(), stdout: text(stdout), stderr: text(stderr) };
    assert!(found.is_none(), "a secret on stderr: {ended:?}");
    ended
}

/// Does the work for each item on as many threads as there are processors; the results in the items' order.
pub fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(2, std::num::NonZero::get).max(2);
    let size = items.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let work = &work;
        let chunks: Vec<_> =
            items.chunks(size).map(|chunk| scope.spawn(move || chunk.iter().map(work).collect::<Vec<_>>())).collect();
        chunks.into_iter().flat_map(|chunk| chunk.join().expect("a point that does not panic")).collect()
    })
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, limit: Duration, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < limit, "waited {limit:?} until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
