//! What tokman says of itself.

use crate::support::{TestEnv, canary};

/// Every command, as it is written.
pub const COMMANDS: [&[&str]; 18] = [
    &["obtain"],
    &["refresh"],
    &["renew"],
    &["revoke"],
    &["token"],
    &["status"],
    &["check"],
    &["import"],
    &["export"],
    &["remove"],
    &["config"],
    &["config", "path"],
    &["config", "init"],
    &["config", "show"],
    &["key"],
    &["key", "new"],
    &["key", "rotate"],
    &["emulator"],
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
    run.stdout_has("list").stdout_has("tokman emulator --demo");
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
        let wrong = if command == ["check"] { 3 } else { 2 };
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
