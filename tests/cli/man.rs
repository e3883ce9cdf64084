//! `man`: pages of tokman and of every command, which render without a complaint.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::TestEnv;
use crate::support::report::skipped;

#[test]
fn prints_the_page_of_tokman() {
    let env = TestEnv::new();
    let run = env.tokman(&["man"]);
    run.code(0).stderr_is("").stdout_has(".TH tokman 1").stdout_has(".SH SYNOPSIS");
    assert!(run.stdout.is_ascii(), "not every roff reads UTF-8");
}

#[test]
fn writes_a_page_for_every_command_that_others_can_read() {
    let env = TestEnv::new();
    let run = env.command(&["man", "."]).after("umask 022").run();
    run.code(0).stdout_is("").stderr_is("");
    let names = |env: &TestEnv| {
        let entries = std::fs::read_dir(env.work()).expect("a directory").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    };
    let written = names(&env);
    for name in ["tokman.1", "tokman-token.1", "tokman-exec.1", "tokman-config-init.1", "tokman-help.1"] {
        assert!(written.iter().any(|written| written == name), "{name}: {written:?}");
        let mode = env.work().join(name).metadata().expect("a page").permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{name}");
    }
    // clap's own commands of help have none, and nothing else is written.
    assert!(written.iter().all(|name| name.starts_with("tokman") && name.ends_with(".1")), "{written:?}");
    assert!(!written.iter().any(|name| name.contains("config-help")), "{written:?}");
    // A second time over the first.
    env.tokman(&["man", "."]).code(0);
    assert_eq!(names(&env), written);
    let text = std::fs::read_to_string(env.work().join("tokman-token.1")).expect("a page");
    for part in [".SH NAME", "tokman\\-token", ".SH EXAMPLES", ".SH \"SEE ALSO\"", "\\-\\-min\\-ttl"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn makes_a_directory_that_is_not_there() {
    let env = TestEnv::new();
    let directory = env.home().join(".local/share/man/man1");
    env.command(&["man", directory.to_str().expect("a path")])
        .after("umask 022")
        .run()
        .code(0)
        .stdout_is("")
        .stderr_is("");
    assert!(directory.join("tokman-token.1").is_file());
    let mode = directory.metadata().expect("a directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o755, "others read it too");
    env.write(env.home().join("file"), "");
    for no_directory in ["file", "file/below"] {
        let path = env.home().join(no_directory);
        let run = env.tokman(&["man", path.to_str().expect("a path")]);
        assert!([Some(2), Some(3)].contains(&run.stdout_is("").status), "{run}");
    }
}

#[test]
fn every_page_renders_without_a_complaint() {
    let env = TestEnv::new();
    env.tokman(&["man", "."]).code(0);
    let pages: Vec<_> = std::fs::read_dir(env.work()).expect("a directory").flatten().map(|page| page.path()).collect();
    assert!(pages.len() > 15);
    for (program, options) in
        [("man", &["--warnings", "-E", "UTF-8", "-l"][..]), ("groff", &["-ww", "-man", "-Tutf8", "-z"])]
    {
        if Command::new(program).arg("--version").output().is_err() {
            skipped("manual pages", &format!("no {program} here"));
            continue;
        }
        for page in &pages {
            let page = page.to_str().expect("a path that is text");
            let run = env.program(program, &[options, &[page]].concat()).run();
            run.code(0).stderr_is("");
            if program == "man" {
                run.stdout_has("NAME").stdout_has("SYNOPSIS").stdout_has("tokman");
            }
        }
    }
}
