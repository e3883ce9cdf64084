//! `config init` on a terminal: what it asks, what it writes, and what it leaves alone.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::machine::has_terminals;
use crate::support::terminal::answering;
use crate::support::{TestEnv, canary};

/// The config file, which is private.
#[track_caller]
fn written(env: &TestEnv) -> toml::Table {
    let path = env.config_dir().join("config.toml");
    let mode = |path: &std::path::Path| path.metadata().expect("it is there").permissions().mode() & 0o7777;
    assert_eq!((mode(&path), mode(&env.config_dir())), (0o600, 0o700));
    let text = std::fs::read_to_string(path).expect("a config file");
    assert!(text.starts_with("# tokman's settings."), "{text}");
    text.parse().expect("TOML")
}

#[test]
fn writes_what_a_login_with_square_needs() {
    if !has_terminals() {
        return;
    }
    let env = TestEnv::new();
    let run = answering(&env, "config init", &["", "sandbox-sq0idb-x", "", "", "", ""]);
    let file = env.config_dir().join("square.secret").display().to_string();
    run.code(0).stdout_has("Provider: square, wix").stdout_has("Where is the client secret");
    run.stdout_has(&format!("(umask 077; cat > '{file}')")).stdout_has("Then get the first token:  tokman obtain\r\n");
    run.stdout_has("Register this redirect address with square:  http://localhost:8917/callback");
    let table = written(&env);
    assert_eq!(table["defaults"]["provider"].as_str(), Some("square"));
    let square = &table["provider"]["square"];
    assert_eq!(square["client_id"].as_str(), Some("sandbox-sq0idb-x"));
    assert_eq!(square["environment"].as_str(), Some("sandbox"));
    assert_eq!(square["client_secret"]["file"].as_str(), Some(file.as_str()));
    assert_eq!(square["redirect_uri"].as_str(), Some("http://localhost:8917/callback"));
    // What it says to do next works.
    env.write(&file, canary("secret"));
    let run = env.tokman(&["obtain", "--print-url"]);
    run.code(0).stdout_has("https://connect.squareupsandbox.com/oauth2/authorize?client_id=sandbox-sq0idb-x&");
}

#[test]
fn writes_what_wix_and_others_need() {
    if !has_terminals() {
        return;
    }
    let env = TestEnv::new();
    let run = answering(&env, "config init", &["wix", "an-app", "env", "", "an-instance", "n"]);
    run.code(0).stdout_has("tokman obtain --provider wix").stdout_lacks("Register");
    let table = written(&env);
    assert_eq!(table["defaults"].as_table().map(toml::Table::len), Some(0));
    let wix = &table["provider"]["wix"];
    assert_eq!(wix["client_secret"]["env"].as_str(), Some("TOKMAN_WIX_CLIENT_SECRET"));
    assert_eq!(wix["instance_id"].as_str(), Some("an-instance"));
    let env = TestEnv::new();
    let issuer = "https://login.acme.example/t";
    let answers = ["acme", issuer, "x", "command", "pass  show acme", "https://app.example/back", "y"];
    answering(&env, "config init", &answers).code(0).stdout_has("https://app.example/back");
    let table = written(&env);
    let acme = &table["provider"]["acme"];
    assert_eq!(acme["issuer"].as_str(), Some(issuer));
    let words: Vec<_> = acme["client_secret"]["command"].as_array().expect("words").iter().collect();
    assert_eq!(words.len(), 3);
    let run = env.tokman(&["config", "show", "-o", "json"]);
    assert_eq!(run.code(0).json()["acme.client_secret"]["value"], "the command pass");
    // A public client.
    let env = TestEnv::new();
    answering(&env, "config init", &["acme", issuer, "x", "none", "", ""]).code(0);
    let table = written(&env);
    assert!(table["provider"]["acme"].get("client_secret").is_none());
    assert_eq!(table["provider"]["acme"]["redirect_uri"].as_str(), Some("http://127.0.0.1:8917/callback"));
}

#[test]
fn asks_again_for_an_answer_that_will_not_do() {
    if !has_terminals() {
        return;
    }
    let env = TestEnv::new();
    let answers = [
        "Not A Name",
        "acme",
        "http://acme.example",
        "https://acme.example",
        "",
        "a b",
        "sq0csp-x",
        "x",
        "nowhere",
        "file",
        "relative",
        "/run/secrets/acme",
        "ftp://x",
        "",
        "",
    ];
    let run = answering(&env, "config init", &answers);
    run.code(0).stdout_has("is not a provider name").stdout_has("must be https").stdout_has("There has to be one.");
    run.stdout_has("an id has no blanks").stdout_has("that is a secret, not an id").stdout_has("that is none of them");
    run.stdout_has("write the whole path");
    let table = written(&env);
    assert_eq!(table["provider"]["acme"]["client_secret"]["file"].as_str(), Some("/run/secrets/acme"));
}

#[test]
fn overwrites_nothing_unasked_and_nothing_at_all() {
    if !has_terminals() {
        return;
    }
    let env = TestEnv::new();
    let old = "[provider.square]\nclient_id = \"old\"\n";
    env.write_config(old);
    let path = env.config_dir().join("config.toml");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("a file");
    for no in ["", "n", "what?"] {
        answering(&env, "config init", &[no])
            .code(2)
            .stdout_has("It is there already")
            .stdout_has("nothing was written");
        assert_eq!(read(&path), old);
    }
    answering(&env, "config init", &["y", "", "new", "none", "", ""]).code(0).stdout_has("The old one is ");
    assert_eq!(written(&env)["provider"]["square"]["client_id"].as_str(), Some("new"));
    let kept = env.config_dir().join("config.toml.old");
    assert_eq!(read(&kept), old);
    // A second one does not take the place of the first.
    answering(&env, "config init", &["y", "", "newer", "none", "", ""]).code(0);
    assert_eq!(read(&kept), old);
    assert_eq!(written(&env)["provider"]["square"]["client_id"].as_str(), Some("newer"));
}

#[test]
fn writes_nothing_when_the_answers_end() {
    if !has_terminals() {
        return;
    }
    let env = TestEnv::new();
    // Ctrl-D.
    let run = answering(&env, "config init", &["square", "x", "\u{4}"]);
    run.code(2).stdout_has("nothing was written: the answers ended too soon");
    assert!(!env.config_dir().exists());
}

#[test]
fn is_a_template_where_something_is_no_terminal() {
    let env = TestEnv::new();
    let template = env.tokman(&["config", "init"]).code(0).stdout.clone();
    assert!(template.starts_with("# tokman's settings."), "{template}");
    if has_terminals() {
        // As the help has it: into a file, from a terminal.
        let run = answering(&env, "config init > template", &[]);
        run.code(0).stdout_is("");
        assert_eq!(std::fs::read_to_string(env.work().join("template")).expect("a file"), template);
    }
    assert!(!env.config_dir().exists());
}
