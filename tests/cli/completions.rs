//! `completions`: the scripts load in their shells, and complete the names of what is stored without opening it.

use std::process::Command;

use crate::help::COMMANDS;
use crate::support::machine::skip;
use crate::support::report::skipped;
use crate::support::{TestEnv, canary};

/// A world in which `tokman` is in `PATH`, with stored profiles and a provider of one's own. The tokens are no JSON:
/// whoever opens one fails.
fn world() -> TestEnv {
    let mut env = TestEnv::new();
    let directory = std::path::Path::new(env!("CARGO_BIN_EXE_tokman")).parent().expect("a directory");
    #[expect(clippy::disallowed_methods, reason = "what a test runs is found where the test was found")]
    let path = std::env::var("PATH").unwrap_or_default();
    env.set("PATH", format!("{}:{path}", directory.display()));
    env.write_config("[provider.acme]\nkind = \"oauth2\"\nissuer = \"https://a.example\"\nclient_id = \"x\"\n");
    for key in ["square/shop-one", "square/other", "square/shop@two", "acme/shop-three"] {
        env.write(env.token_path(key), canary("no-json"));
    }
    env
}

fn is_there(shell: &str) -> bool {
    let there = Command::new(shell).arg("-c").arg("exit").output().is_ok();
    if !there {
        skipped("completions", &format!("no {shell} here"));
    }
    there
}

/// What is offered for the last of these words, by the protocol that the scripts speak.
#[track_caller]
fn offered(env: &TestEnv, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let index = (words.len() - 1).to_string();
    let run = env.command(&[&["--"], &words[..]].concat()).var("TOKMAN_COMPLETE", "bash");
    let run = run.var("_CLAP_COMPLETE_INDEX", &index).run();
    run.code(0).stderr_is("").stdout.lines().map(str::to_owned).collect()
}

#[test]
fn offers_providers_profiles_commands_and_values() {
    let env = world();
    for (line, expected) in [
        ("tokman token -p ", &["acme", "square", "wix"][..]),
        ("tokman token --provider sq", &["square"]),
        ("tokman token -p square -n sho", &["shop-one", "shop@two"]),
        ("tokman token -p acme --profile sho", &["shop-three"]),
        ("tokman -p square remove -n o", &["other"]),
        // Of all providers, where none is named.
        ("tokman token -n shop", &["shop-one", "shop-three", "shop@two"]),
        ("tokman exec -p square -n o", &["other"]),
        ("tokman token -p nowhere -n ", &[]),
        ("tokman token -p square -n zzz", &[]),
        ("tokman toke", &["token"]),
        ("tokman stat", &["status"]),
        ("tokman help exi", &["exit-codes"]),
        ("tokman help stat", &["status"]),
        ("tokman help config s", &["show"]),
        ("tokman help exit-codes s", &[]),
        ("tokman obtain --environment ", &["production", "sandbox"]),
        ("tokman completions f", &["fish"]),
        ("tokman token -o gi", &["github"]),
    ] {
        let mut found = offered(&env, line);
        found.sort_unstable();
        assert_eq!(found, expected, "{line}");
    }
    let commands = offered(&env, "tokman ");
    assert!(
        commands.iter().any(|name| name == "status") && !commands.iter().any(|name| name == "list"),
        "{commands:?}"
    );
    let options = offered(&env, "tokman token --");
    assert!(options.iter().any(|option| option == "--min-ttl"), "{options:?}");
}

#[test]
fn offers_the_forms_that_the_command_takes_and_no_other() {
    let env = world();
    // Those that have commands below them are offered what any of these takes.
    let is_one =
        |command: &&[&str]| ![&["config"][..], &["config", "init"], &["key"], &["key", "new"]].contains(command);
    for command in COMMANDS.iter().copied().chain([&["list"][..]]).filter(is_one) {
        let found = offered(&env, &format!("tokman {} -o ", command.join(" ")));
        for form in ["json", "token", "header", "env", "github", "prometheus", "none"] {
            let rest: &[&str] = match command {
                ["exec"] => &["--", "true"],
                ["completions"] => &["bash"],
                _ => &[],
            };
            let run = env.tokman(&[command, &["-p", "wix", "-o", form], rest].concat());
            let said = format!("{}{}", run.stdout, run.stderr);
            let refused = ["this command prints", "takes no -o"].iter().any(|says| said.contains(says));
            let offers = found.iter().any(|offered| offered == form);
            assert_eq!(offers, !refused, "{command:?} -o {form}: {found:?}, {run}");
        }
    }
    let everything = offered(&env, "tokman -o ");
    assert_eq!(everything.len(), 7, "{everything:?}");
}

#[test]
fn offers_what_the_settings_name_on_the_line_and_in_the_environment() {
    let mut env = world();
    let dir = env.home().join("elsewhere");
    env.write(dir.join("tokens/square/there.json"), "");
    env.write(dir.join("config.toml"), "[defaults]\nprovider = \"square\"\n");
    let option = dir.display().to_string();
    assert_eq!(offered(&env, &format!("tokman token --config-dir {option} -n ")), ["there"]);
    let store = format!("file:{option}/tokens");
    assert_eq!(offered(&env, &format!("tokman token --store {store} -p square -n ")), ["there"]);
    env.set("TOKMAN_CONFIG_DIR", &dir);
    assert_eq!(offered(&env, "tokman token -n "), ["there"]);
    env.unset("TOKMAN_CONFIG_DIR");
    env.set("TOKMAN_PROVIDER", "acme");
    assert_eq!(offered(&env, "tokman token -n "), ["shop-three"]);
    // A file that is broken is told by everything else; here nobody wants to read of it.
    env.write_config("= = =");
    assert_eq!(offered(&env, "tokman token -n "), [""; 0]);
}

#[test]
fn opens_no_token_and_starts_nothing_to_complete() {
    let env = world();
    let trace = env.home().join("trace");
    let words = format!(
        "command -v strace >/dev/null || exit 99\nTOKMAN_COMPLETE=bash _CLAP_COMPLETE_INDEX=3\nexport TOKMAN_COMPLETE _CLAP_COMPLETE_INDEX\nexec strace -f -qq -o '{}' \"$0\" \"$@\"",
        trace.display()
    );
    let run = env.command(&["--", "tokman", "token", "-n", "shop"]).after(&words).run();
    if run.status != Some(0) {
        return skip("no process can be watched here (needs strace)");
    }
    run.stdout_has("shop-one");
    let calls = std::fs::read_to_string(trace).expect("a trace");
    assert!(calls.contains("config.toml") && calls.contains("tokens/square"), "{calls}");
    for never in [".json", ".lock", "history", "socket(", "clone", "fork", "epoll_create"] {
        assert!(!calls.contains(never), "{never}: {calls}");
    }
}

#[test]
fn bash_loads_the_script_and_completes_a_stored_profile() {
    if !is_there("bash") {
        return;
    }
    let env = world();
    let script = "source <(tokman completions bash) && complete -p tokman >&2 || exit 1\n\
        COMP_WORDS=(tokman token -p square -n shop-); COMP_CWORD=5\n_clap_complete_tokman tokman shop- -n\n\
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let run = env.program("bash", &["--norc", "-c", script]).run();
    run.code(0).stdout_is("shop-one\n").stderr_has("_clap_complete_tokman tokman");
}

#[test]
fn fish_loads_the_script_and_completes_a_stored_profile() {
    if !is_there("fish") {
        return;
    }
    let env = world();
    let script = "tokman completions fish | source; or exit 1; complete -C 'tokman token -p square -n shop-'";
    env.program("fish", &["--no-config", "-c", script]).run().code(0).stdout_is("shop-one\n");
}

#[test]
fn zsh_loads_the_script_and_completes_a_stored_profile_at_its_prompt() {
    if !is_there("zsh") {
        return;
    }
    let env = world();
    // The line editor wants a terminal; zsh has one of its own for that.
    let script = "zmodload zsh/zpty || exit 99\n\
        zpty z 'PS1= zsh -f -i'\n\
        zpty -w z 'PS1=; stty -echo; autoload -Uz compinit; compinit -u -D; source <(tokman completions zsh); print loaded:$?'\n\
        zpty -r -m z seen '*loaded:0*' || exit 1\n\
        zpty -w -n z $'tokman token -p square -n shop-\\t'\n\
        zpty -r -m z seen '*shop-*one*' || exit 2\n\
        print -r -- $seen";
    let running = env.program("timeout", &["30", "zsh", "-f", "-c", script]).var("TERM", "xterm").run();
    if running.status == Some(99) {
        return skip("zsh has no terminals of its own here");
    }
    running.code(0).stdout_has("shop-one");
}

#[test]
fn knows_five_shells_and_no_other() {
    let env = TestEnv::new();
    for (shell, has) in [
        ("bash", "complete "),
        ("zsh", "#compdef tokman"),
        ("fish", "complete "),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer"),
    ] {
        let run = env.tokman(&["completions", shell]);
        run.code(0).stderr_is("").stdout_has(has).stdout_has("TOKMAN_COMPLETE");
    }
    env.tokman(&["completions", "csh"]).code(2).stdout_is("").stderr_has("elvish");
    env.tokman(&["completions"]).code(2).stdout_is("");
}

#[test]
fn is_a_run_like_any_other_where_no_shell_asks() {
    let mut env = TestEnv::new();
    for value in ["", "0"] {
        env.set("TOKMAN_COMPLETE", value);
        env.tokman(&["config", "path"]).code(0).stdout_has("config.toml");
    }
    env.set("TOKMAN_COMPLETE", "csh");
    env.tokman(&["config", "path"]).stdout_is("").stderr_has("unknown shell");
}
