//! A store that cannot be written: nothing is sent, the record stays as it is, exit 8; and an access token that still
//! works is printed all the same, with a warning.

use std::os::unix::fs::chown;

use serde_json::json;

use crate::support::machine::{failing, is_root, mounting, skip};
use crate::support::{Answer, Server, Stored, TestEnv};

/// The user that nothing here belongs to.
const NOBODY: u32 = 65534;

/// A server that must not be asked.
fn unasked() -> Server {
    Server::with(|_, _| Answer::json(500, json!({}))).exactly(0)
}

/// With the store in the state that `words` bring about: no request, exit 8 with `says`, the record unchanged, and a
/// token that lives half a minute more is printed. Both for tokens that may be refreshed again and for single-use ones.
#[track_caller]
fn sends_nothing(words: Option<&str>, says: &str) {
    let Some(words) = words else { return };
    for single_use in [false, true] {
        let server = unasked();
        for left in [-60, 30] {
            let mut env = TestEnv::new();
            let mut stored = Stored::expired(&server.url()).living(left);
            if single_use {
                stored = stored.single_use();
            }
            stored.put(&mut env);
            if says == "Permission denied" {
                env.set_mode(env.config_dir().join("tokens/square"), 0o500);
            }
            let refresh = env.command(&["refresh", "-p", "square"]).after(words).run();
            refresh.code(8).stdout_is("").stderr_has(says);
            let token = env.command(&["token", "-p", "square"]).after(words).may_print(&[&stored.access]).run();
            if left < 0 {
                token.code(8).stdout_is("").stderr_has(says);
            } else {
                token.code(0).stdout_is(&format!("{}\n", stored.access)).stderr_has("warning: ").stderr_has(says);
            }
            assert_eq!(env.read_token(&stored.key), stored.record());
        }
        server.finish();
    }
}

/// A file system of the test's own at the store, with the record on it, then `then`.
fn on_tmpfs(options: &str, then: &str) -> Option<String> {
    let prepare = format!(
        "cp -a \"$HOME/.config/tokman/tokens\" \"$HOME/copy\"
         cd \"$HOME/.config/tokman\"
         mount -t tmpfs -o mode=700,{options} tokman-test tokens
         cp -a \"$HOME/copy/.\" tokens
         {then}"
    );
    let compare = "cmp \"$HOME/copy/square/default.json\" tokens/square/default.json || exit 99
                   rm -r \"$HOME/copy\"";
    mounting(&prepare, compare)
}

#[test]
fn sends_nothing_when_the_disk_is_too_small_for_the_answer() {
    sends_nothing(on_tmpfs("size=16k", "").as_deref(), "No space left on device");
}

#[test]
fn sends_nothing_when_the_disk_is_full_to_the_last_byte() {
    let fill = "head -c 100000 /dev/zero >tokens/filler 2>/dev/null || true";
    sends_nothing(on_tmpfs("size=64k", fill).as_deref(), "No space left on device");
}

#[test]
fn sends_nothing_when_there_are_no_inodes() {
    // The root, the provider's directory and the record; then with the lock file as well.
    sends_nothing(on_tmpfs("nr_inodes=3", "").as_deref(), "No space left on device");
    let lock = "(umask 077; : >tokens/square/.default.lock)";
    sends_nothing(on_tmpfs("nr_inodes=4", lock).as_deref(), "No space left on device");
}

#[test]
fn sends_nothing_when_the_store_is_mounted_read_only() {
    let prepare = "cd \"$HOME/.config/tokman\"
                   mount --bind tokens tokens
                   mount -o remount,ro,bind tokens";
    sends_nothing(mounting(prepare, "").as_deref(), "Read-only file system");
}

#[test]
fn sends_nothing_when_files_may_not_grow() {
    sends_nothing(Some("ulimit -f 0"), "File too large");
}

#[test]
fn sends_nothing_when_the_directory_takes_no_new_file() {
    if rustix::process::geteuid().is_root() {
        // Root without this capability is subject to modes as everybody is.
        let powerless = "exec setpriv --bounding-set=-dac_override \"$0\" \"$@\"";
        if TestEnv::new().program("true", &[]).after(powerless).run().status != Some(0) {
            return skip("root cannot give up its power over modes here (needs setpriv)");
        }
        sends_nothing(Some(powerless), "Permission denied");
    } else {
        sends_nothing(Some(":"), "Permission denied");
    }
}

#[test]
fn sends_nothing_when_the_disk_or_the_quota_refuses_the_reservation() {
    sends_nothing(failing(&["write:error=EDQUOT:when=1"]).as_deref(), "quota exceeded");
    sends_nothing(failing(&["write:error=ENOSPC:when=1"]).as_deref(), "No space left on device");
    sends_nothing(failing(&["write:error=EIO:when=1"]).as_deref(), "Input/output error");
}

#[test]
fn sends_nothing_when_the_mark_of_a_single_use_token_is_not_durable() {
    // The file, then its directory.
    for when in [1, 2] {
        let Some(words) = failing(&[&format!("fsync:error=EIO:when={when}")]) else { return };
        let server = unasked();
        let mut env = TestEnv::new();
        let stored = Stored::expired(&server.url()).single_use();
        stored.put(&mut env);
        env.command(&["refresh", "-p", "square"]).after(&words).run().code(8).stderr_has("Input/output error");
        assert_eq!(env.read_token(&stored.key), stored.record());
        assert!(!env.config_dir().join("tokens/square/.default.inflight").exists(), "a reservation is left behind");
        server.finish();
    }
}

#[test]
fn sends_nothing_where_locks_do_not_work_and_says_where_to_keep_tokens() {
    for errno in ["ENOLCK", "ENOSYS", "EOPNOTSUPP"] {
        let words = failing(&[&format!("flock:error={errno}")]);
        sends_nothing(words.as_deref(), "cannot be locked safely");
    }
    let Some(words) = failing(&["flock:error=ENOLCK"]) else { return };
    let server = unasked();
    let mut env = TestEnv::new();
    Stored::expired(&server.url()).put(&mut env);
    env.command(&["token", "-p", "square"])
        .after(&words)
        .run()
        .code(8)
        .stderr_has("hint: keep the tokens on a local disk");
}

#[test]
fn sends_nothing_on_a_network_file_system_and_names_it() {
    // The first eight bytes of the kernel's answer to statfs, on little-endian machines.
    for (magic, name) in [("6969", "NFS"), ("424d53ff", "SMB"), ("424d53fe", "SMB")] {
        let says = format!("is on {name}, where files cannot be locked safely");
        let padded = format!("{magic:0<16}");
        let Some(words) = failing(&[&format!("statfs:poke_exit=@arg2={padded}")]) else { return };
        sends_nothing(Some(&words), &says);
    }
}

/// A store that others own or can write into: whoever did may have put the record there, so it is not even read.
#[track_caller]
fn refuses(prepare: impl Fn(&TestEnv), says: &str) {
    let server = unasked();
    for left in [-60, 86_400] {
        let mut env = TestEnv::new();
        let stored = Stored::expired(&server.url()).living(left);
        stored.put(&mut env);
        prepare(&env);
        for command in ["token", "refresh"] {
            env.tokman(&[command, "-p", "square"]).code(8).stdout_is("").stderr_has(says);
        }
        assert_eq!(env.read_token(&stored.key), stored.record());
    }
    server.finish();
}

#[test]
fn refuses_a_store_of_another_user() {
    if !is_root() {
        return;
    }
    let give = |path: &std::path::Path| chown(path, Some(NOBODY), None).expect("a file that can be given away");
    let says = "belongs to another user (uid 65534)";
    refuses(|env| give(&env.config_dir().join("tokens/square")), says);
    refuses(|env| give(&env.token_path("square/default")), says);
}

#[test]
fn refuses_a_store_that_others_can_write_into_and_says_how_to_close_it() {
    for mode in [0o777, 0o770, 0o702] {
        let open = |env: &TestEnv| env.set_mode(env.config_dir().join("tokens/square"), mode);
        refuses(open, "is open to other users");
        refuses(open, "hint: chmod 700 '");
    }
    refuses(|env| env.set_mode(env.token_path("square/default"), 0o644), "hint: chmod 600 '");
}
