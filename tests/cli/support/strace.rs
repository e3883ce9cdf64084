//! Runs under `strace`: every system call of a run written down, or a signal delivered at one of them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use super::env::TestEnv;
use super::light::{self, Ended};

/// One system call, as it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The thread.
    pub thread: u32,
    pub name: String,
    /// As strace writes them, without the parentheses.
    pub args: String,
    /// As strace writes it.
    pub result: String,
}

/// A call of a run: the N-th of its name. The first is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    pub name: String,
    pub number: usize,
}

/// Why no run can be traced here; absent where it can.
pub fn missing() -> Option<&'static str> {
    static MISSING: OnceLock<Option<&'static str>> = OnceLock::new();
    *MISSING.get_or_init(|| match Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output() {
        Ok(output) if output.status.success() => None,
        Ok(_) => Some("strace may not trace here"),
        Err(_) => Some("there is no strace"),
    })
}

/// The program under strace with these options.
pub fn command(env: &TestEnv, options: &[&str], program: &[&str]) -> Command {
    let args: Vec<&str> = ["-f", "-qq"].iter().chain(options).chain(program).copied().collect();
    light::command(env, "strace", &args)
}

/// Runs a program and writes down all its calls. What takes a process out of others' reach is answered with success and
/// not done: strace needs to read its strings.
#[track_caller]
pub fn trace(env: &TestEnv, program: &[&str]) -> (Ended, Vec<Call>) {
    trace_with(env, &[], program)
}

/// The same on a slow disk: what puts something on it takes so many microseconds longer.
#[track_caller]
pub fn trace_slow_disk(env: &TestEnv, delay: u32, program: &[&str]) -> (Ended, Vec<Call>) {
    trace_with(env, &["-e", &format!("inject=fsync:delay_exit={delay}")], program)
}

#[track_caller]
fn trace_with(env: &TestEnv, more: &[&str], program: &[&str]) -> (Ended, Vec<Call>) {
    let log = env.work().join("trace");
    let path = log.to_string_lossy();
    let options = ["-yy", "-s", "1000000", "-e", "inject=prctl:retval=0", "-o", &path];
    let ended = light::run(command(env, &[&options, more].concat(), program));
    let text = fs::read(&log).expect("what strace wrote");
    fs::remove_file(&log).expect("a file of ours");
    (ended, parse(&String::from_utf8_lossy(&text)))
}

/// Runs a program and delivers a signal as it enters a call.
#[track_caller]
pub fn signalled(env: &TestEnv, point: &Point, signal: &str, program: &[&str]) -> Ended {
    let Point { name, number } = point;
    let inject = format!("inject={name}:signal={signal}:when={number}");
    light::run(command(env, &["-o", "/dev/null", "-e", &format!("trace={name}"), "-e", &inject], program))
}

/// The points of a run from the first `from` on: its files and its connections. Memory and the clock are left out.
pub fn points(calls: &[Call], from: &str) -> Vec<Point> {
    const DULL: [&str; 12] = [
        "brk",
        "mmap",
        "munmap",
        "mprotect",
        "madvise",
        "futex",
        "sigaltstack",
        "exit_group",
        "exit",
        "getrandom",
        "rt_sigreturn",
        "execve",
    ];
    let mut numbers = BTreeMap::<&str, usize>::new();
    let mut begun = false;
    let mut points = Vec::new();
    for call in calls.iter().filter(|call| call.result != BEGUN) {
        let number = numbers.entry(&call.name).or_default();
        *number += 1;
        begun |= call.name == from;
        if begun && !DULL.contains(&call.name.as_str()) {
            points.push(Point { name: call.name.clone(), number: *number });
        }
    }
    points
}

/// In place of a result: the call has begun, and others go on before it ends.
pub const BEGUN: &str = "begun";

/// Reads what `strace -f` wrote: the calls in the order in which they ended, and where that is another one also when
/// those began that put something on the disk.
pub fn parse(text: &str) -> Vec<Call> {
    let mut begun = BTreeMap::<u32, String>::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let (Ok(thread), rest) = (thread.parse(), rest.trim_start()) else { continue };
        if let Some(first) = rest.strip_suffix(" <unfinished ...>") {
            // The number is another's before the call ends.
            if first.starts_with("close(") {
                calls.extend(call(thread, &format!("{first}) = 0")));
                continue;
            }
            begun.insert(thread, first.to_owned());
            calls.extend(call(thread, &format!("{first}) = {BEGUN}")).filter(|call| is_sync(&call.name)));
            continue;
        }
        let whole = match rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, last)) => begun.remove(&thread).unwrap_or_default() + last,
            None => rest.to_owned(),
        };
        calls.extend(call(thread, &whole));
    }
    calls
}

/// Whether a call of this name puts on the disk what was written before it began.
pub fn is_sync(name: &str) -> bool {
    matches!(name, "fsync" | "fdatasync")
}

/// `name(args) = result`; nothing else that strace says is a call.
fn call(thread: u32, line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let (args, result) = rest.rsplit_once(" = ").filter(|_| is_name)?;
    let args = args.trim_end().strip_suffix(')')?;
    Some(Call { thread, name: name.to_owned(), args: args.to_owned(), result: result.trim().to_owned() })
}

impl Call {
    /// The strings among the arguments, in their order, with their escapes undone.
    pub fn strings(&self) -> Vec<Vec<u8>> {
        let mut strings = Vec::new();
        let mut bytes = self.args.bytes().peekable();
        let mut inside: Option<Vec<u8>> = None;
        while let Some(byte) = bytes.next() {
            match (byte, inside.as_mut()) {
                (b'"', None) => inside = Some(Vec::new()),
                (b'"', Some(_)) => strings.extend(inside.take()),
                (b'\\', Some(text)) => text.push(match bytes.next().unwrap_or(b'\\') {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'v' => 11,
                    b'f' => 12,
                    digit @ b'0'..=b'7' => {
                        let mut value = digit - b'0';
                        for _ in 0..2 {
                            let Some(next) = bytes.next_if(|next| matches!(next, b'0'..=b'7')) else { break };
                            value = value.wrapping_mul(8).wrapping_add(next - b'0');
                        }
                        value
                    }
                    other => other,
                }),
                (other, Some(text)) => text.push(other),
                (_, None) => {}
            }
        }
        strings
    }

    /// The number that the call gave back; `None` where it failed.
    pub fn value(&self) -> Option<i64> {
        let digits: String = self.result.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }

    /// The descriptor that the call is about and what strace says it is: `7</dir/file>`.
    pub fn descriptor(&self) -> Option<(i64, &str)> {
        let (number, rest) = self.args.split_once('<')?;
        let what = rest.split_once('>').map_or(rest, |(what, _)| what);
        Some((number.parse().ok()?, what))
    }
}

/// A point, as it is printed.
impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.number)
    }
}
