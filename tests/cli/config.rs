//! `config`, and where settings come from: the option before the environment before the file.

use serde_json::json;

use crate::support::stored::{SQUARE_ID, record};
use crate::support::{Run, Server, TestEnv, canary, sealing_key};

/// The value and the origin of a setting.
#[track_caller]
fn setting(run: &Run, name: &str) -> (String, String) {
    let shown = run.code(0).json();
    let text = |member: &str| shown[name][member].as_str().unwrap_or_else(|| panic!("no {name}: {run}")).to_owned();
    (text("value"), text("origin"))
}

fn show(env: &TestEnv, args: &[&str]) -> Run {
    env.tokman(&[&["config", "show", "-o", "json"], args].concat())
}

#[test]
fn tells_where_the_file_is_also_while_it_is_broken() {
    let env = TestEnv::new();
    let path = format!("{}\n", env.config_dir().join("config.toml").display());
    env.tokman(&["config", "path"]).code(0).stdout_is(&path).stderr_is("");
    env.write_config("= = =");
    env.tokman(&["config", "path"]).code(0).stdout_is(&path).stderr_is("");
    env.tokman(&["config", "show"]).code(3).stdout_is("").stderr_has("config.toml:1: ");
}

#[test]
fn prints_in_the_form_that_is_asked_for_or_says_that_it_has_none() {
    let env = TestEnv::new();
    let path = env.config_dir().join("config.toml").display().to_string();
    let run = env.tokman(&["config", "path", "-o", "json"]);
    assert_eq!(run.code(0).json(), serde_json::json!({ "path": path }));
    for what in ["path", "init", "show"] {
        env.tokman(&["config", what, "-o", "none"]).code(0).stdout_is("").stderr_is("");
        env.tokman(&["config", what, "-o", "token"]).code(2).stdout_is("").stderr_has("this command prints ");
    }
    env.tokman(&["config", "init", "-o", "json"]).code(2).stdout_is("").stderr_has("this command prints none only");
    env.tokman(&["config", "show", "-o", "json"]).code(0).stdout_has("\"config_dir\"");
}

#[test]
fn finds_its_directory_by_option_environment_xdg_and_home() {
    let mut env = TestEnv::new();
    let path = |env: &TestEnv, args: &[&str]| {
        let run = env.tokman(&[&["config", "path"], args].concat());
        run.code(0).stdout.trim_end().to_owned()
    };
    let home = env.home().display().to_string();
    assert_eq!(path(&env, &[]), format!("{home}/.config/tokman/config.toml"));
    env.set("XDG_CONFIG_HOME", format!("{home}/xdg"));
    assert_eq!(path(&env, &[]), format!("{home}/xdg/tokman/config.toml"));
    env.set("TOKMAN_CONFIG_DIR", format!("{home}/variable"));
    assert_eq!(path(&env, &[]), format!("{home}/variable/config.toml"));
    let option = format!("{home}/option");
    assert_eq!(path(&env, &["--config-dir", &option]), format!("{home}/option/config.toml"));
    // What is relative there is no directory (XDG Base Directory Specification).
    env.unset("TOKMAN_CONFIG_DIR");
    env.set("XDG_CONFIG_HOME", "relative");
    assert_eq!(path(&env, &[]), format!("{home}/.config/tokman/config.toml"));
}

#[test]
fn works_in_an_empty_environment() {
    let env = TestEnv::new();
    let run = env.program("env", &["-i", env!("CARGO_BIN_EXE_tokman"), "config", "path"]).run();
    run.code(0).stderr_is("");
    assert!(run.stdout.ends_with("/tokman/config.toml\n"), "{run}");
    let dir = env.home().display().to_string();
    let args = ["-i", env!("CARGO_BIN_EXE_tokman"), "--config-dir", &dir, "status", "-o", "json"];
    env.program("env", &args).run().code(0).stdout_is("[]\n");
}

#[test]
fn gives_a_template_that_says_nothing_until_it_is_filled_in() {
    let env = TestEnv::new();
    let template = env.tokman(&["config", "init"]).code(0).stdout.clone();
    let untouched = env.tokman(&["config", "show"]).code(0).stdout.clone();
    env.write_config(&template);
    env.tokman(&["config", "show"]).code(0).stdout_is(&untouched);
    // Every commented setting, as somebody would leave it who wants them all.
    let uncommented = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let name = rest.split(' ').next()?;
        let is_setting =
            rest.starts_with('[') || (rest.contains(" = ") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        is_setting.then(|| rest.to_owned())
    };
    let filled: Vec<String> =
        template.lines().map(|line| uncommented(line).unwrap_or_else(|| line.to_owned())).collect();
    env.write_config(&filled.join("\n"));
    let run = show(&env, &[]);
    assert_eq!(setting(&run, "store.key").0, "the file /etc/tokman/store.key");
    let table: toml::Table = filled.join("\n").parse().expect("TOML");
    let hooks = table["hooks"].as_table().expect("a table").keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(hooks, ["on_failure", "on_refresh"]);
    let run = show(&env, &["-p", "square"]);
    assert_eq!(setting(&run, "square.scopes").0, "MERCHANT_PROFILE_READ PAYMENTS_READ");
    assert_eq!(setting(&run, "square.client_secret").0, "the file /run/secrets/square");
    let run = show(&env, &["-p", "square-two"]);
    assert_eq!(setting(&run, "square-two.base_url").0, "https://connect.squareup.com/");
    let run = show(&env, &["-p", "wix"]);
    assert_eq!(setting(&run, "wix.mode"), ("app".to_owned(), "[provider.wix] mode in config.toml".to_owned()));
}

#[test]
fn takes_the_option_then_the_environment_then_the_file() {
    let mut env = TestEnv::new();
    assert_eq!(setting(&show(&env, &[]), "profile"), ("default".to_owned(), "default".to_owned()));
    env.write_config(
        "[defaults]\nprovider = \"wix\"\n[store]\nurl = \"file:/in/file\"\n\
         [provider.square]\nclient_id = \"in-file\"\nenvironment = \"sandbox\"\n",
    );
    let both = |env: &TestEnv, args: &[&str], name: &str| setting(&show(env, args), name);
    let is = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(both(&env, &[], "provider"), is("wix", "[defaults] provider in config.toml"));
    assert_eq!(both(&env, &[], "store"), is("file:/in/file", "[store] url in config.toml"));
    let square = ["-p", "square"];
    assert_eq!(both(&env, &square, "square.client_id"), is("in-file", "[provider.square] client_id in config.toml"));
    let sandbox = "https://connect.squareupsandbox.com/";
    assert_eq!(both(&env, &square, "square.base_url"), is(sandbox, "[provider.square] environment in config.toml"));
    for (name, value) in [
        ("TOKMAN_PROVIDER", "square"),
        ("TOKMAN_PROFILE", "of-env"),
        ("TOKMAN_STORE", "file:/in/env"),
        ("TOKMAN_SQUARE_CLIENT_ID", "in-env"),
        ("TOKMAN_SQUARE_ENVIRONMENT", "production"),
    ] {
        env.set(name, value);
    }
    assert_eq!(both(&env, &[], "provider"), is("square", "TOKMAN_PROVIDER"));
    assert_eq!(both(&env, &[], "profile"), is("of-env", "TOKMAN_PROFILE"));
    assert_eq!(both(&env, &[], "store"), is("file:/in/env", "TOKMAN_STORE"));
    assert_eq!(both(&env, &[], "square.client_id"), is("in-env", "TOKMAN_SQUARE_CLIENT_ID"));
    let production = "https://connect.squareup.com/";
    assert_eq!(both(&env, &[], "square.base_url"), is(production, "TOKMAN_SQUARE_ENVIRONMENT"));
    let options = ["-p", "wix", "-n", "of-option", "--store", "file:/in/option"];
    assert_eq!(both(&env, &options, "provider"), is("wix", "--provider"));
    assert_eq!(both(&env, &options, "profile"), is("of-option", "--profile"));
    assert_eq!(both(&env, &options, "store"), is("file:/in/option", "--store"));
}

#[test]
fn never_shows_a_secret() {
    let mut env = TestEnv::new();
    env.write_config(&format!(
        "[provider.square]\nclient_secret = \"{}\"\n[provider.wix]\nclient_secret = [{{ env = \"A\" }}, {{ command = [\"pass\", \"{}\"] }}]\n",
        canary("literal"),
        canary("argument"),
    ));
    env.set("A", canary("named"));
    env.set("TOKMAN_SQUARE_REFRESH_TOKEN", canary("seed"));
    let run = show(&env, &[]);
    assert_eq!(setting(&run, "square.client_secret").0, "a value");
    assert_eq!(setting(&run, "wix.client_secret").0, "the variable A, else the command pass");
    assert_eq!(setting(&run, "square.refresh_token").1, "TOKMAN_SQUARE_REFRESH_TOKEN");
    env.set("TOKMAN_SQUARE_CLIENT_SECRET", canary("variable"));
    env.set("TOKMAN_STORE_KEY", sealing_key());
    for (name, variable) in [("square.client_secret", "TOKMAN_SQUARE_CLIENT_SECRET"), ("store.key", "TOKMAN_STORE_KEY")]
    {
        assert_eq!(setting(&show(&env, &[]), name), (format!("the variable {variable}"), variable.to_owned()));
    }
    env.tokman(&["config", "show"]).code(0).stdout_has("the variable TOKMAN_SQUARE_CLIENT_SECRET");
}

#[test]
fn names_an_unknown_key_and_its_line_and_no_value() {
    let env = TestEnv::new();
    let secret = canary("misplaced");
    for (text, says) in [
        (
            format!("[provider.square]\n\nclient_secrett = \"{secret}\"\n"),
            "config.toml:3: unknown field `client_secrett`",
        ),
        (format!("[providers.square]\nclient_secret = \"{secret}\"\n"), "config.toml:1: unknown field `providers`"),
        (format!("[provider.square]\nenvironment = \"{secret}\"\n"), "config.toml:2: "),
        (format!("[provider.square]\nclient_secret = \"{secret}\n"), "config.toml:2: "),
    ] {
        env.write_config(&text);
        env.tokman(&["status"]).code(3).stdout_is("").stderr_has(says);
    }
}

#[test]
fn refuses_a_literal_secret_that_others_can_read_and_tells_the_chmod() {
    let env = TestEnv::new();
    let file = env.config_dir().join("config.toml");
    env.write_config(&format!("[provider.square]\nclient_secret = \"{}\"\n", canary("literal")));
    env.tokman(&["status"]).code(0);
    env.set_mode(&file, 0o644);
    let run = env.tokman(&["status"]);
    run.code(3).stderr_has("is open to other users (mode 0644)");
    let hint = run.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).expect("a hint");
    assert_eq!(hint, format!("chmod 600 '{}'", file.display()));
    env.program("sh", &["-c", hint]).run().code(0);
    env.tokman(&["status"]).code(0);
    env.write_config("[provider.square]\nclient_secret = { env = \"SQUARE_SECRET\" }\n");
    env.set_mode(&file, 0o644);
    env.tokman(&["status"]).code(0);
}

#[test]
fn obeys_no_config_file_that_others_can_write() {
    let env = TestEnv::new();
    let file = env.config_dir().join("config.toml");
    env.write_config("[provider.square]\nclient_id = \"id\"\n");
    for (mode, mended) in [(0o666, "644"), (0o602, "600"), (0o777, "755")] {
        env.set_mode(&file, mode);
        let run = env.tokman(&["status"]);
        run.code(3).stderr_has("is open to other users").stderr_has(&format!("hint: chmod {mended} '"));
    }
    // A group of our own is most often ours alone.
    env.set_mode(&file, 0o664);
    env.tokman(&["status"]).code(0);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(65534), None).expect("root may");
        env.tokman(&["status"]).code(3).stderr_has("belongs to another user (uid 65534)");
    }
}

#[test]
fn refuses_look_alike_addresses_before_connecting() {
    let server = Server::with(|_, _| unreachable!("nothing is sent to a look-alike")).exactly(0);
    let port = server.url().rsplit(':').next().expect("a port").to_owned();
    for address in [
        "http://127.0.0.1.evil.test".to_owned(),
        "http://localhost.evil.test".to_owned(),
        format!("http://localhost@127.0.0.1:{port}"),
        "http://localhost@evil.test".to_owned(),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        "https://user@connect.squareup.com".to_owned(),
        format!("https://user:{}@connect.squareup.com", canary("password")),
        "http://connect.squareup.com".to_owned(),
        "ftp://localhost".to_owned(),
    ] {
        let mut env = TestEnv::new();
        env.set("TOKMAN_SQUARE_CLIENT_ID", SQUARE_ID);
        env.set("TOKMAN_SQUARE_CLIENT_SECRET", canary("secret"));
        env.write_token("square/default", &record("square/default", &address, 60, -1));
        env.set("TOKMAN_SQUARE_BASE_URL", &address);
        env.tokman(&["refresh", "-p", "square"]).code(3).stdout_is("").stderr_has("error: TOKMAN_SQUARE_BASE_URL: ");
        env.unset("TOKMAN_SQUARE_BASE_URL");
        env.write_config(&format!("[provider.square]\nbase_url = \"{address}\"\n"));
        let run = env.tokman(&["refresh", "-p", "square"]);
        run.code(3).stdout_is("").stderr_has("error: [provider.square] base_url in config.toml: ");
    }
    server.finish();
}

#[cfg(not(feature = "keyring"))]
#[test]
fn says_what_is_not_in_this_build() {
    let mut env = TestEnv::new();
    env.set("TOKMAN_SQUARE_CLIENT_ID", SQUARE_ID);
    env.write_config("[provider.square]\nclient_secret = { keyring = \"x\" }\n");
    env.write_token("square/default", &record("square/default", "https://connect.squareup.com", 60, -1));
    env.tokman(&["refresh", "-p", "square"]).code(3).stderr_has("not in this build");
    env.set("TOKMAN_STORE", "keyring");
    env.tokman(&["status"]).code(3).stderr_has("TOKMAN_STORE: ").stderr_has("not in this build");
}

#[cfg(not(feature = "postgres"))]
#[test]
fn says_that_a_database_is_not_in_this_build() {
    let mut env = TestEnv::new();
    env.set("TOKMAN_STORE", "postgres://tokman@db.internal/tokman");
    env.tokman(&["status"]).code(3).stdout_is("").stderr_has("the store 'postgres' is not in this build");
}

#[test]
fn refuses_a_password_in_the_arguments_without_repeating_it() {
    let env = TestEnv::new();
    let password = canary("password");
    for url in [
        format!("postgres://tokman:{password}@db/tokman"),
        format!("postgresql://tokman:{password}@db/tokman"),
        format!("postgres://db/tokman?user=x&password={password}"),
        format!("mysql://tokman:{password}@db/tokman"),
        format!("tokman:{password}@db"),
        format!("file:{password}"),
    ] {
        env.command(&["status", "--store", &url]).may_pass(&[&password]).run().code(2).stdout_is("");
    }
}

#[test]
fn refuses_names_that_are_no_names() {
    let mut env = TestEnv::new();
    let long = "x".repeat(129);
    for name in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "é", "-x", "a\nb", &long] {
        let option = format!("--profile={name}");
        env.tokman(&["token", "-p", "square", &option]).code(2).stdout_is("").stderr_has("is not a profile name");
        let option = format!("--provider={name}");
        env.tokman(&["token", &option]).code(2).stdout_is("").stderr_has("is not a provider name");
    }
    env.set("TOKMAN_PROFILE", "../x");
    env.tokman(&["token", "-p", "square"]).code(3).stderr_has("TOKMAN_PROFILE: ");
}

#[test]
fn names_the_providers_that_it_knows_for_one_that_it_does_not() {
    let env = TestEnv::new();
    env.write_config("[provider.shop]\nkind = \"square\"\n");
    let run = env.tokman(&["token", "-p", "sqare"]);
    run.code(3).stderr_has("error: unknown provider 'sqare'; known are square, wix, shop").stderr_has("hint: ");
    env.tokman(&["token"]).code(3).stderr_has("which provider?").stderr_has("TOKMAN_PROVIDER");
    let run = env.tokman(&["token", "-p", "square"]);
    run.code(4).stderr_has("nothing is stored for square/default");
}

#[test]
fn reads_a_secret_from_a_file_a_command_or_a_variable() {
    let (body, access) = crate::support::stored::answer();
    let secret = canary("secret");
    let expected = json!({ "client_secret": secret });
    let server = Server::with(move |request, _| {
        assert_eq!(request.json()["client_secret"], expected["client_secret"]);
        crate::support::Answer::json(200, body.clone())
    })
    .exactly(4);
    let mut env = TestEnv::new();
    env.set("TOKMAN_SQUARE_CLIENT_ID", SQUARE_ID);
    env.set("TOKMAN_SQUARE_BASE_URL", server.url());
    env.set("NAMED", &secret);
    env.write("work/secret", format!("{secret}\n"));
    let file = env.work().join("secret").display().to_string();
    env.write_token("square/default", &record("square/default", &server.url(), 60, -1));
    for source in [
        format!("{{ file = \"{file}\" }}"),
        "{ env = \"NAMED\" }".to_owned(),
        format!("[{{ env = \"UNSET\" }}, {{ command = [\"cat\", \"{file}\"] }}]"),
        format!("\"{secret}\""),
    ] {
        env.write_config(&format!("[provider.square]\nclient_secret = {source}\n"));
        env.command(&["refresh", "-p", "square", "-o", "token"]).may_print(&[&access]).run().code(0);
    }
    server.finish();
    env.write_config(&format!("[provider.square]\nclient_secret = {{ file = \"{file}\" }}\n"));
    env.set_mode(&file, 0o640);
    let hint = format!("hint: chmod 600 '{file}'");
    env.tokman(&["refresh", "-p", "square"]).code(3).stderr_has(&hint);
}

#[test]
fn a_wrong_word_in_a_variable_of_the_log_is_told_and_stops_nothing() {
    let mut env = TestEnv::new();
    env.set("TOKMAN_LOG_FORMAT", "yaml");
    env.set("TOKMAN_LOG", "loud");
    let run = env.tokman(&["config", "path"]);
    run.code(0).stderr_has("TOKMAN_LOG_FORMAT is neither").stderr_has("TOKMAN_LOG is none of");
}

#[test]
fn refuses_a_table_that_it_would_have_to_pass_over() {
    let env = TestEnv::new();
    env.write_token("square/default", &record("square/default", "https://connect.squareup.com", 60, 86_400));
    let issuer = "issuer = \"https://a.example\"\n";
    for (text, said) in [
        (format!("[provider.Acme]\nkind = \"oauth2\"\n{issuer}"), "config.toml:1: 'Acme' is not a provider name"),
        (format!("\n[provider.204]\n{issuer}"), "config.toml:2: '204' is not a provider name"),
        (
            "[provider.acme]\nclient_id = \"x\"\n".to_owned(),
            "config.toml:1: [provider.acme] has no kind: write kind = \"oauth2\" (or \"square\", \"wix\")",
        ),
        (
            "[provider.wix]\nclient_id = \"x\"\nenvironment = \"sandbox\"\n".to_owned(),
            "config.toml:3: [provider.wix] is of the kind \"wix\", which has no use for `environment`",
        ),
        (
            format!("[provider.a-b]\n{issuer}[provider.a_b]\n{issuer}"),
            "config.toml:3: [provider.a_b] and [provider.a-b] have the same variables",
        ),
    ] {
        env.write_config(&text);
        for args in [&["config", "show"][..], &["token", "-p", "square"], &["status"], &["refresh", "-p", "acme"]] {
            env.tokman(args).code(3).stdout_is("").stderr_has(said).stderr_lacks("please report");
        }
    }
}

#[test]
fn knows_an_oauth_2_provider_by_its_issuer_alone() {
    let mut env = TestEnv::new();
    for keys in ["issuer = \"https://a.example/\"", "token_endpoint = \"https://a.example/token\""] {
        env.write_config(&format!("[provider.acme]\n{keys}\nclient_id = \"x\"\n"));
        for args in [&[][..], &["-p", "acme"]] {
            let run = show(&env, args);
            assert_eq!(setting(&run, "acme.base_url").0, "https://a.example/");
        }
    }
    // An address in the environment says it as well.
    env.write_config("[provider.acme]\nclient_id = \"x\"\n");
    env.set("TOKMAN_ACME_BASE_URL", "https://b.example/");
    let run = show(&env, &["-p", "acme"]);
    assert_eq!(setting(&run, "acme.base_url"), ("https://b.example/".to_owned(), "TOKMAN_ACME_BASE_URL".to_owned()));
    assert_eq!(setting(&run, "acme.client_id").0, "x");
}
