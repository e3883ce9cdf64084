//! What only some machines let a test do: file systems of its own, system calls that fail. Where one does not, the
//! test says so and is counted as skipped.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Says that a test did not run, past the test runner's capture, so that it is counted.
pub fn skip(why: &str) {
    drop(writeln!(std::io::stdout(), "\nskipped: {why}"));
}

/// Whether a program that comes to its end at once does so here.
fn works(argv: &[&str]) -> bool {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Words of a shell that run `script`, then the program, then `afterwards`, where mounts are the script's own; the
/// exit code is the program's unless `afterwards` has another one. Absent, and said so, where this machine forbids it.
pub fn mounting(script: &str, afterwards: &str) -> Option<String> {
    static HOW: OnceLock<Option<&str>> = OnceLock::new();
    let probe = "mount -t tmpfs -o size=16k tokman-test /mnt";
    let how = HOW.get_or_init(|| {
        [("unshare -m", &["-m"][..]), ("unshare -Urm", &["-U", "-r", "-m"])]
            .into_iter()
            .find(|(_, flags)| works(&[&["unshare"][..], flags, &["sh", "-c", probe]].concat()))
            .map(|(how, _)| how)
    });
    let Some(how) = how else {
        skip("no file system can be mounted here (needs root, or user namespaces)");
        return None;
    };
    let script = format!("set -e\n{script}\nset +e\n\"$0\" \"$@\"\ncode=$?\n{afterwards}\nexit $code");
    Some(format!("exec {how} sh -c '{script}' \"$0\" \"$@\""))
}

/// Words of a shell that make system calls of the program fail, as `fsync:error=EIO:when=1`. Absent, and said so,
/// where there is no strace.
pub fn failing(faults: &[&str]) -> Option<String> {
    static THERE: OnceLock<bool> = OnceLock::new();
    if !THERE.get_or_init(|| works(&["strace", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"])) {
        skip("no system call can be made to fail here (needs strace)");
        return None;
    }
    let faults: Vec<_> = faults.iter().map(|fault| format!("-e 'inject={fault}'")).collect();
    let calls = "-e 'trace=/^(fsync|fdatasync|rename.*|flock|write|ftruncate|statfs)$'";
    Some(format!("exec strace -f -qq -o /dev/null {calls} {} \"$0\" \"$@\"", faults.join(" ")))
}

/// Whether a program can be run on a terminal; says so where not.
pub fn has_terminals() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    let there = *THERE.get_or_init(|| works(&["script", "-qefc", "true", "/dev/null"]));
    if !there {
        skip("nothing can be run on a terminal here (needs script, of util-linux)");
    }
    there
}

/// Whether the test runs as root, which alone can give files away; says so where not.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("only root can give files to another user");
    }
    root
}
