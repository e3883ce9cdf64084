//! What tokman says of itself.

use crate::support::{TestEnv, canary};

/// Every command, as it is written.
pub const COMMANDS: [&[&str]; if cfg!(feature = "emulator") { 24 } else { 23 }] = [
    &["obtain"],
    &["refresh"],
    &["renew"],
    &["revoke"],
    &["token"],
    &["exec"],
    &["status"],
    &["check"],
    &["import"],
    &["export"],
    &["remove"],
    &["config"],
    &["config", "path"],
    &["config", "init"],
    &["config", "show"],
    &["history"],
    &["doctor"],
    &["key"],
    &["key", "new"],
    &["key", "rotate"],
    #[cfg(feature = "emulator")]
    &["emulator"],
    &["completions"],
    &["man"],
    &["help"],
];

#[test]
fn lists_every_command_with_a_line_about_it() {
    let env = TestEnv::new();
    let run = env.tokman(&["--help"]);
    run.code(0).stderr_is("");
    for command in COMMANDS.iter().filter(|command| command.len() == 1) {
        let line = run.stdout.lines().find(|line| line.trim_start().starts_with(&format!("{} ", command[0])));
        let about = line.unwrap_or_else(|| panic!("no {command:?}: {run}")).trim_start().split_once("  ");
        assert!(about.is_some_and(|(_, about)| about.trim().len() > 10), "{command:?}: {run}");
    }
    let first_step = if cfg!(feature = "emulator") { "tokman emulator --demo" } else { "tokman config init" };
    run.stdout_has("list").stdout_has(first_step);
}

#[cfg(not(feature = "emulator"))]
#[test]
fn knows_nothing_of_an_emulator_that_is_not_in_this_build() {
    let env = TestEnv::new();
    env.tokman(&["emulator", "--demo"]).code(2).stdout_is("").stderr_has("unrecognized subcommand 'emulator'");
    env.tokman(&["help", "emulator"]).code(2).stdout_is("").stderr_has("there is no help about 'emulator'");
    for page in [&["--help"][..], &["help", "ci"], &["man"], &["completions", "bash"]] {
        let page = env.tokman(page);
        assert!(!page.code(0).stdout.contains("emulator"), "{page}");
    }
}

#[test]
fn explains_every_command_in_one_line_and_more() {
    let env = TestEnv::new();
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let run = env.tokman(&[command, &[flag]].concat());
            run.code(0).stderr_is("").stdout_has("Usage: tokman");
            let summary = run.stdout.lines().next().unwrap_or_default();
            assert!((15..=100).contains(&summary.chars().count()), "{summary}: {run}");
            assert!(summary.chars().next().is_some_and(char::is_uppercase) && !summary.ends_with('.'), "{summary}");
        }
    }
}

#[test]
fn shows_examples_and_groups_in_the_help_of_every_command() {
    let env = TestEnv::new();
    for command in COMMANDS {
        let run = env.tokman(&[command, &["--help"]].concat());
        run.code(0).stdout_has("\nOptions of every command:\n");
        let examples = run.stdout.split("\nExamples:\n").nth(1).unwrap_or_else(|| panic!("no examples: {run}"));
        assert!(examples.lines().filter(|line| line.contains("tokman ")).count() >= 2, "{run}");
        // The long help has them, the short one too: they are what is looked for.
        env.tokman(&[command, &["-h"]].concat()).code(0).stdout_has("\nExamples:\n");
    }
    let run = env.tokman(&["exec", "--help"]);
    run.stdout_has("\nArguments:\n  <COMMAND>...\n");
    let run = env.tokman(&["obtain", "--help"]);
    for group in ["Grant:", "Login:", "Token:", "Credentials of the application:"] {
        run.stdout_has(&format!("\n{group}"));
    }
}

#[test]
fn explains_commands_and_topics_by_the_word_help() {
    let env = TestEnv::new();
    for command in COMMANDS {
        let by_option = env.tokman(&[command, &["--help"]].concat());
        let by_word = env.tokman(&[&["help"], command].concat());
        by_word.code(0).stderr_is("").stdout_is(&by_option.stdout);
    }
    env.tokman(&["help"]).code(0).stderr_is("").stdout_is(&env.tokman(&["--help"]).stdout);
    env.tokman(&["help", "list"]).code(0).stdout_is(&env.tokman(&["status", "--help"]).stdout);
    let root = env.tokman(&["--help"]);
    for (topic, says) in [
        ("exit-codes", "needs_login"),
        ("files", ".default.lock"),
        ("cron", "tokman refresh -p square -o none"),
        ("ci", "tokman token -p square -o github"),
    ] {
        env.tokman(&["help", topic]).code(0).stderr_is("").stdout_has(says);
        root.stdout_has(&format!("tokman help {topic}"));
    }
    let piped = env.tokman(&["help", "token"]);
    assert!(!piped.stdout.contains('\u{1b}'), "{piped}");
    let colored = env.tokman(&["help", "token", "--color", "always"]);
    assert!(colored.code(0).stdout.contains('\u{1b}'), "{colored}");
}

#[test]
fn suggests_the_page_that_was_meant() {
    let env = TestEnv::new();
    for (words, meant) in [
        (&["exit-code"][..], "exit-codes"),
        (&["Cron"], "cron"),
        (&["refesh"], "refresh"),
        (&["config", "inti"], "init"),
    ] {
        let run = env.tokman(&[&["help"], words].concat());
        run.code(2).stdout_is("").stderr_has(&format!("did you mean '{meant}'?")).stderr_has("hint: tokman help");
    }
    env.tokman(&["help", "zzz"]).code(2).stderr_has("there is no help about 'zzz'").stderr_has("exit-codes");
    env.tokman(&["help", "token", "x"]).code(2).stderr_has("there is no help about 'x'");
    env.tokman(&["help", "\u{1b}[2J"]).code(2).stderr_lacks("\u{1b}[2J");
}

#[test]
fn suggests_the_profile_that_was_meant() {
    let env = TestEnv::new();
    env.write_token("square/shop", &serde_json::json!({}));
    env.write_token("wix/shopping", &serde_json::json!({}));
    for command in ["token", "refresh", "renew", "revoke", "remove", "status"] {
        let run = env.command(&[command, "-p", "square", "-n", "Shpo"]).var("TOKMAN_SQUARE_CLIENT_ID", "x").run();
        run.code(4).stdout_is("").stderr_has("error: nothing is stored for square/Shpo; did you mean square/shop?\n");
        run.stderr_lacks("caused by").stderr_lacks("hint: ");
    }
    env.tokman(&["token", "-p", "square", "-n", "other"]).code(4).stderr_lacks("did you mean");
    env.tokman(&["token", "-p", "wix", "-n", "shop"]).stderr_lacks("square/");
}

#[test]
fn says_that_a_full_disk_took_no_help() {
    let env = TestEnv::new();
    for asked in [&["--help"][..], &["--version"], &["help"], &["check", "--help"], &["exec", "--help"]] {
        let script = "exec \"$0\" \"$@\" >/dev/full";
        let run = env.program("sh", &[&["-c", script, env!("CARGO_BIN_EXE_tokman")], asked].concat()).run();
        run.code(1).stderr_has("error: cannot write to stdout");
        // A reader that has seen enough is none.
        let script = "\"$0\" \"$@\" | true";
        env.program("sh", &[&["-c", script, env!("CARGO_BIN_EXE_tokman")], asked].concat()).run().stderr_is("");
    }
    let script = "exec \"$0\" --version --log-format json >/dev/full";
    let run = env.program("sh", &["-c", script, env!("CARGO_BIN_EXE_tokman")]).run();
    assert!(run.code(1).stderr.starts_with("{\"level\":\"error\",\"code\":1"), "{run}");
}

#[test]
fn says_who_takes_a_form_where_the_command_takes_none() {
    let env = TestEnv::new();
    for asked in [&["man"][..], &["completions", "bash"], &["help"], &["remove", "-p", "wix"], &["key", "new"]] {
        let run = env.tokman(&[asked, &["-o", "json"]].concat());
        run.code(2).stdout_is("").stderr_has("this command takes no -o; obtain, refresh, ");
    }
}

#[test]
fn has_a_version() {
    let env = TestEnv::new();
    for args in [&["--version"][..], &["-V"], &["token", "--version"]] {
        let run = env.tokman(args);
        run.code(0).stderr_is("").stdout_has(env!("CARGO_PKG_VERSION"));
        assert_eq!(run.stdout.lines().count(), 1, "{run}");
    }
}

#[test]
fn shows_the_help_and_ends_with_2_when_nothing_is_asked() {
    let env = TestEnv::new();
    env.tokman(&[]).code(2).stdout_is("").stderr_has("Usage: tokman").stderr_has("obtain");
    env.tokman(&["config"]).code(2).stdout_is("").stderr_has("Usage: tokman config");
}

#[test]
fn suggests_what_was_meant() {
    let env = TestEnv::new();
    env.tokman(&["tokn"]).code(2).stdout_is("").stderr_has("error: ").stderr_has("'token'");
    env.tokman(&["refresh", "--forse"]).code(2).stdout_is("").stderr_has("'--force'");
    env.tokman(&["--frobnicate"]).code(2).stdout_is("").stderr_has("--frobnicate");
    env.tokman(&["token", "-p", "square", "--timeout", "soon"]).code(2).stdout_is("").stderr_has("--timeout");
    env.tokman(&["token", "-p", "square", "--log-format", "xml"]).code(2).stdout_is("").stderr_has("--log-format");
}

#[test]
fn gives_short_names_to_a_few_options_only() {
    let env = TestEnv::new();
    for command in COMMANDS {
        let run = env.tokman(&[command, &["--help"]].concat());
        for line in run.stdout.lines() {
            let short = line.trim_start().strip_prefix('-').and_then(|rest| rest.chars().next()).filter(|c| *c != '-');
            assert!(short.is_none_or(|short| "pnoqvhV".contains(short)), "{line}");
        }
    }
    // As somebody might guess.
    for short in ["-f", "-a", "-c", "-s", "-t", "-y", "-k", "-P", "-Q"] {
        env.tokman(&["token", "-p", "square", short]).code(2).stderr_has(short);
    }
}

#[test]
fn shows_no_value_of_the_environment() {
    let mut env = TestEnv::new();
    let names =
        ["CLIENT_ID", "CLIENT_SECRET", "CLIENT_SECRET_FILE", "INSTANCE_ID", "BASE_URL", "ENVIRONMENT", "REFRESH_TOKEN"];
    for provider in ["SQUARE", "WIX", "ACME"] {
        for name in names {
            env.set(&format!("TOKMAN_{provider}_{name}"), canary("value"));
        }
    }
    for name in ["PROVIDER", "PROFILE", "CONFIG_DIR", "STORE", "LOG", "LOG_FORMAT"] {
        env.set(&format!("TOKMAN_{name}"), canary("value"));
    }
    env.tokman(&["--help"]).code(0);
    for command in COMMANDS {
        env.tokman(&[command, &["-h"]].concat()).code(0);
        env.tokman(&[command, &["--help"]].concat()).code(0);
        let wrong = match command {
            ["check"] => 3,
            ["exec"] => 125,
            _ => 2,
        };
        env.tokman(&[command, &["--no-such-option"]].concat()).code(wrong);
    }
}

#[test]
fn says_where_a_value_may_come_from() {
    let env = TestEnv::new();
    let run = env.tokman(&["refresh", "--help"]);
    for name in [
        "TOKMAN_PROVIDER",
        "TOKMAN_PROFILE",
        "TOKMAN_CONFIG_DIR",
        "TOKMAN_STORE",
        "TOKMAN_LOG",
        "TOKMAN_LOG_FORMAT",
        "NO_COLOR",
    ] {
        run.stdout_has(name);
    }
    run.stdout_has("TOKMAN_<PROVIDER>_CLIENT_ID").stdout_has("TOKMAN_WIX_INSTANCE_ID");
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 120), "{run}");
}
