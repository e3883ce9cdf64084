//! Any OAuth 2.0 provider: discovery, logins, refreshes, the device flow, introspection and revocation, each clause
//! from outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::{Value, json};
use url::Url;

use crate::support::{Answer, Request, Server, TestEnv, canary, server};

const METADATA: &str = "/.well-known/oauth-authorization-server";

/// What an issuer says of itself, at the address that it was asked at.
fn metadata(request: &Request) -> Value {
    let base = format!("http://{}", request.header("host").unwrap_or_default());
    json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "revocation_endpoint": format!("{base}/revoke"),
        "introspection_endpoint": format!("{base}/introspect"),
        "device_authorization_endpoint": format!("{base}/device"),
    })
}

/// The same with some members changed; null takes one away.
fn metadata_with(request: &Request, changes: &Value) -> Value {
    let mut metadata = metadata(request);
    for (name, value) in changes.as_object().into_iter().flatten() {
        metadata[name] = value.clone();
    }
    metadata
}

/// A provider with metadata, and these answers to everything else, by the number of the request, the metadata's not
/// counted.
fn acme(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Server {
    acme_with(json!({}), answer)
}

fn acme_with(changes: Value, answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Server {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Server::with(move |request, _| {
        if request.path == METADATA {
            return Answer::json(200, metadata_with(request, &changes));
        }
        answer(request, count.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    })
}

/// A world with `acme` at this issuer, and more keys of its table.
fn world(issuer: &str, keys: &str) -> TestEnv {
    let mut env = TestEnv::new();
    env.set("TOKMAN_PROVIDER", "acme");
    env.write_config(&format!(
        "[provider.acme]\nkind = \"oauth2\"\nissuer = \"{issuer}\"\nclient_id = \"ID\"\n{keys}\n"
    ));
    env
}

/// A stored token that can be refreshed.
fn store(env: &TestEnv, access: &str, refresh: &str) {
    env.write_token("acme/default", &json!({"access_token": access, "refresh_token": refresh, "expires_in": 0}));
}

fn paths(server: &Server) -> Vec<String> {
    server.requests().iter().map(|request| request.path.split('?').next().unwrap_or_default().to_owned()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    pairs.sort();
    pairs
}

mod discovery {
    use super::*;

    #[test]
    fn asks_for_the_metadata_before_the_first_request_and_keeps_them() {
        let (access, refresh) = (canary("access"), canary("refresh"));
        let token = json!({"access_token": access, "token_type": "Bearer", "expires_in": 3600});
        let server = acme(move |_, _| Answer::json(200, token.clone()));
        let env = world(&server.url(), "");
        store(&env, &access, &refresh);
        env.tokman(&["refresh", "-o", "none"]).code(0);
        env.tokman(&["refresh", "-o", "none"]).code(0);
        assert_eq!(paths(&server), [METADATA, "/token", "/token"]);
        let kept = env.config_dir().join("metadata/acme.json");
        assert_eq!(fs::metadata(&kept).expect("kept metadata").permissions().mode() & 0o777, 0o600);
        // A token that is fresh needs neither the metadata nor the provider.
        fs::remove_file(&kept).expect("kept metadata");
        env.command(&["token"]).may_print(&[&access]).run().code(0);
        assert_eq!(server.requests().len(), 3);
    }

    #[test]
    fn puts_the_well_known_path_before_the_issuers_and_then_openids_after_it() {
        let refresh = canary("refresh");
        let access = canary("access");
        let (token, path) = (json!({"access_token": access}), "/tenant/1/.well-known/openid-configuration");
        let server = Server::with(move |request, _| match request.path.as_str() {
            "/tenant/1/token" => Answer::json(200, token.clone()),
            asked if asked == path => {
                let base = format!("http://{}/tenant/1", request.header("host").unwrap_or_default());
                Answer::json(200, json!({"issuer": base, "token_endpoint": format!("{base}/token")}))
            }
            _ => Answer::html(404, "<html>"),
        });
        let env = world(&format!("{}/tenant/1", server.url()), "");
        store(&env, &access, &refresh);
        env.tokman(&["refresh", "-o", "none"]).code(0);
        let before = "/.well-known/oauth-authorization-server/tenant/1";
        assert_eq!(paths(&server), [before, path, "/tenant/1/token"]);
    }

    #[test]
    fn sends_nothing_where_the_metadata_are_another_issuers_or_have_an_unsafe_endpoint() {
        for (changes, words) in [
            (json!({"issuer": "https://evil.example"}), "https://evil.example"),
            (json!({"issuer": null}), "name no issuer"),
            (json!({"token_endpoint": "http://127.0.0.1.evil.example/token"}), "token_endpoint"),
            (json!({"introspection_endpoint": "http://acme.example/introspect"}), "introspection_endpoint"),
        ] {
            let server = acme_with(changes, |_, _| Answer::close()).exactly(1);
            let env = world(&server.url(), "");
            store(&env, &canary("access"), &canary("refresh"));
            env.tokman(&["refresh"]).code(3).stderr_has(words);
            assert!(!env.config_dir().join("metadata/acme.json").exists());
        }
    }

    #[test]
    fn says_so_where_there_are_no_metadata() {
        let server = Server::with(|_, _| Answer::html(404, "<html>")).exactly(2);
        let env = world(&server.url(), "");
        store(&env, &canary("access"), &canary("refresh"));
        env.tokman(&["refresh"]).code(3).stderr_has("is the issuer right?").stderr_has("token_endpoint");
    }

    #[test]
    fn fetches_kept_metadata_anew_when_an_endpoint_is_not_where_they_say() {
        for kept in [None, Some(server::nobody())] {
            let (access, refresh) = (canary("access"), canary("refresh"));
            let token = json!({"access_token": access, "expires_in": 3600});
            let server = acme(move |request, _| match request.path.as_str() {
                "/token" => Answer::json(200, token.clone()),
                _ => Answer::html(405, "<html>"),
            });
            let env = world(&server.url(), "");
            store(&env, &access, &refresh);
            let old = format!("{}/old", kept.as_deref().unwrap_or(&server.url()));
            let old = json!({"issuer": server.url(), "token_endpoint": old});
            env.write(env.config_dir().join("metadata/acme.json"), old.to_string());
            env.tokman(&["refresh", "-o", "none"]).code(0);
            let expected: &[&str] = if kept.is_some() { &[METADATA, "/token"] } else { &["/old", METADATA, "/token"] };
            assert_eq!(paths(&server), expected);
            // And keeps what it found.
            env.tokman(&["refresh", "-o", "none"]).code(0);
            assert_eq!(server.requests().len(), expected.len() + 1);
        }
    }

    #[test]
    fn asks_the_issuer_once_where_it_says_the_same_again() {
        let server = acme(|_, _| Answer::json(404, json!({"error": "invalid_request"})));
        let env = world(&server.url(), "");
        store(&env, &canary("access"), &canary("refresh"));
        env.tokman(&["refresh"]).code(6);
        env.tokman(&["refresh"]).code(6);
        assert_eq!(paths(&server), [METADATA, "/token", "/token", METADATA]);
    }

    #[test]
    fn needs_no_metadata_where_there_is_no_issuer_and_takes_its_own_endpoints_before_theirs() {
        let (access, refresh) = (canary("access"), canary("refresh"));
        let token = json!({"access_token": access, "expires_in": 3600});
        let server = acme(move |_, _| Answer::json(200, token.clone()));
        let env = world(&server.url(), &format!("token_endpoint = \"{}/mine?tenant=1\"", server.url()));
        store(&env, &access, &refresh);
        env.tokman(&["refresh", "-o", "none"]).code(0);
        let config = format!(
            "[provider.acme]\nkind = \"oauth2\"\nclient_id = \"ID\"\ntoken_endpoint = \"{}/alone\"",
            server.url()
        );
        env.write_config(&config);
        env.tokman(&["refresh", "-o", "none"]).code(0);
        assert_eq!(paths(&server), [METADATA, "/mine", "/alone"]);
        assert_eq!(server.requests()[1].path, "/mine?tenant=1");
        assert_eq!(env.read_token("acme/default")["tokman"]["base_url"], server.url());
    }

    #[test]
    fn takes_an_issuer_from_the_environment_alone() {
        let (access, refresh, secret) = (canary("access"), canary("refresh"), canary("secret"));
        let token = json!({"access_token": access, "expires_in": 3600});
        let server = acme(move |_, _| Answer::json(200, token.clone()));
        let mut env = TestEnv::new();
        env.set("TOKMAN_MY_IDP_BASE_URL", server.url());
        env.set("TOKMAN_MY_IDP_CLIENT_ID", "ID");
        env.set("TOKMAN_MY_IDP_CLIENT_SECRET", &secret);
        env.set("TOKMAN_MY_IDP_REFRESH_TOKEN", &refresh);
        let run = env.command(&["token", "-p", "my-idp", "-o", "header"]).may_print(&[&access]).run();
        run.code(0).stdout_is(&format!("Authorization: Bearer {access}\n"));
        assert_eq!(env.read_token("my-idp/default")["tokman"]["kind"], "oauth2");
        assert_eq!(env.read_token("my-idp/default")["tokman"]["base_url"], server.url());
    }

    #[test]
    fn works_with_the_stored_token_while_the_issuer_is_down() {
        let server = Server::with(|_, _| Answer::html(503, "<html>"));
        let env = world(&server.url(), "");
        let access = canary("access");
        env.write_token(
            "acme/default",
            &json!({"access_token": access, "refresh_token": canary("r"), "expires_in": 600}),
        );
        let run = env.command(&["token", "--min-ttl", "9m", "--timeout", "2s"]).may_print(&[&access]).run();
        run.code(0).stdout_is(&format!("{access}\n"));
        env.tokman(&["refresh", "--timeout", "2s"]).code(7);
    }
}

mod requests {
    use super::*;

    #[test]
    fn show_who_sends_them_in_one_way() {
        let (access, refresh) = (canary("access"), canary("refresh"));
        // Nothing in these needs to be encoded: what does, has its own table.
        for (client_auth, with_secret, header, body) in [
            ("", true, true, &[][..]),
            ("", false, false, &[("client_id", "ID")]),
            ("client_auth = \"basic\"", true, true, &[]),
            ("client_auth = \"post\"", true, false, &[("client_id", "ID"), ("client_secret", "?")]),
            ("client_auth = \"none\"", true, false, &[("client_id", "ID")]),
        ] {
            let secret = canary("secret");
            let token = json!({"access_token": access, "expires_in": 3600});
            let server = acme(move |_, _| Answer::json(200, token.clone()));
            let mut env = world(&server.url(), client_auth);
            if with_secret {
                env.set("TOKMAN_ACME_CLIENT_SECRET", &secret);
            }
            store(&env, &access, &refresh);
            env.tokman(&["refresh", "-o", "none"]).code(0);
            let request = &server.requests()[1];
            let body: Vec<_> = body.iter().map(|&(n, v)| (n, if v == "?" { secret.as_str() } else { v })).collect();
            let grant = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
            assert_eq!(request.form(), pairs(&[&body[..], &grant].concat()), "{client_auth}");
            assert_eq!(request.header("authorization").is_some(), header, "{client_auth}");
            if header {
                assert!(Request::post("/token").basic("ID", &secret).objection(request).is_none());
            }
        }
    }

    #[test]
    fn need_the_secret_that_client_auth_names() {
        let server = acme(|_, _| Answer::close()).allow_any_number();
        let env = world(&server.url(), "client_auth = \"post\"");
        store(&env, &canary("access"), &canary("refresh"));
        env.tokman(&["refresh"]).code(3).stderr_has("client secret");
        assert!(!paths(&server).contains(&"/token".to_owned()));
    }

    #[test]
    fn are_never_for_the_password_grant_or_the_implicit_grant() {
        for line in
            ["grant = \"password\"", "grant_type = \"password\"", "response_type = \"token\"", "username = \"u\""]
        {
            let env = world("https://acme.example", line);
            let run = env.tokman(&["token"]);
            run.code(3).stderr_has("the password grant and the implicit grant are refused");
        }
    }
}

mod logins {
    use super::*;

    /// The address that `--print-url` printed, and the one that the browser ends at with these parameters.
    fn begin(env: &TestEnv, parameters: &[(&str, &str)]) -> (Url, String) {
        let run = env.tokman(&["obtain", "--print-url", "--scope", "a offline_access"]);
        let address = Url::parse(run.code(0).stdout.trim()).expect("an address");
        let query = |name: &str| address.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned());
        let mut back = Url::parse(&query("redirect_uri").expect("a redirect address")).expect("an address");
        back.query_pairs_mut().append_pair("state", &query("state").expect("a state")).extend_pairs(parameters);
        (address, back.into())
    }

    #[test]
    fn carry_a_challenge_and_end_with_the_verifier_and_the_same_redirect_address() {
        for secret in [None, Some(canary("secret"))] {
            let (access, refresh, code) = (canary("access"), canary("refresh"), canary("code"));
            let token = json!({"access_token": access, "token_type": "bearer", "refresh_token": refresh, "scope": "a"});
            let server = acme(move |_, _| Answer::json(200, token.clone()));
            let mut env = world(&server.url(), "");
            if let Some(secret) = &secret {
                env.set("TOKMAN_ACME_CLIENT_SECRET", secret);
            }
            let (address, back) = begin(&env, &[("code", &code), ("iss", &server.url())]);
            let names: Vec<_> = address.query_pairs().map(|(name, _)| name.into_owned()).collect();
            let expected = [
                "response_type",
                "client_id",
                "redirect_uri",
                "scope",
                "state",
                "code_challenge",
                "code_challenge_method",
            ];
            assert_eq!(names, expected);
            assert!(
                address
                    .as_str()
                    .contains("&redirect_uri=http%3A%2F%2F127.0.0.1%3A8917%2Fcallback&scope=a+offline_access&")
            );
            assert!(address.as_str().ends_with("&code_challenge_method=S256"));
            let run = env.command(&["obtain", "--code", "-"]).stdin(back).may_print(&[&access, &refresh]).run();
            assert_eq!(run.code(0).json()["refresh_token"], refresh.as_str());
            let form = server.requests()[1].form();
            let value = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
            assert_eq!(value("redirect_uri").as_deref(), Some("http://127.0.0.1:8917/callback"));
            assert_eq!(value("code").as_deref(), Some(code.as_str()));
            assert_eq!(value("code_verifier").map(|verifier| verifier.len()), Some(43));
            assert_eq!(server.requests()[1].header("authorization").is_some(), secret.is_some());
            assert_eq!(env.read_token("acme/default")["tokman"]["scopes"], json!(["a"]));
        }
    }

    #[test]
    fn are_refused_where_the_redirect_names_another_issuer_or_none_where_it_must() {
        for (advertised, iss) in [(false, Some("https://evil.example")), (true, None), (true, Some(""))] {
            let changes = json!({"authorization_response_iss_parameter_supported": advertised});
            let server = acme_with(changes, |_, _| Answer::close()).exactly(1);
            let env = world(&server.url(), "");
            let code = canary("code");
            let mut parameters = vec![("code", code.as_str())];
            parameters.extend(iss.map(|iss| ("iss", iss)));
            let (_, back) = begin(&env, &parameters);
            env.command(&["obtain", "--code", "-"]).stdin(back).run().code(6).stderr_has("RFC 9207");
        }
    }

    #[test]
    fn begin_with_what_the_issuer_says_now() {
        let server = acme(|_, _| Answer::close());
        let env = world(&server.url(), "");
        begin(&env, &[]);
        begin(&env, &[]);
        assert_eq!(paths(&server), [METADATA, METADATA]);
    }

    #[test]
    fn have_to_have_somewhere_to_go() {
        let server = acme_with(json!({"authorization_endpoint": null}), |_, _| Answer::close());
        let env = world(&server.url(), "");
        env.tokman(&["obtain", "--print-url"]).code(6).stderr_has("authorization endpoint").stderr_has("--device");
    }
}

mod refreshes {
    use super::*;

    #[test]
    fn replace_the_refresh_token_where_a_new_one_comes_and_keep_it_where_none_does() {
        let (first, second, access) = (canary("first"), canary("second"), canary("access"));
        let next = second.clone();
        let token = access.clone();
        let server = acme(move |_, n| match n {
            0 => Answer::json(200, json!({"access_token": token, "refresh_token": next, "x": [1.50]})),
            _ => Answer::json(200, json!({"access_token": token})),
        });
        let env = world(&server.url(), "");
        store(&env, &access, &first);
        let run = env.command(&["refresh"]).may_print(&[&access, &second]).run();
        assert_eq!(run.code(0).json()["x"], json!([1.50]));
        env.tokman(&["refresh", "-o", "none"]).code(0);
        assert_eq!(env.read_token("acme/default")["refresh_token"], second.as_str());
        let sent: Vec<_> = server.requests()[1..].iter().map(|request| request.form()[2].1.clone()).collect();
        assert_eq!(sent, [first, second]);
    }

    #[test]
    fn send_a_token_again_once_where_the_answer_was_lost() {
        let (refresh, access) = (canary("refresh"), canary("access"));
        let token = json!({"access_token": access, "expires_in": 60});
        let server = acme(move |_, n| if n == 0 { Answer::close() } else { Answer::json(200, token.clone()) });
        let env = world(&server.url(), "");
        store(&env, &access, &refresh);
        env.tokman(&["refresh", "-o", "none"]).code(0);
        assert_eq!(paths(&server), [METADATA, "/token", "/token"]);
    }

    #[test]
    fn end_as_the_error_says_and_only_a_dead_grant_is_not_presented_again() {
        for (status, code, exit, again) in [
            (400, "invalid_grant", 5, 0),
            (401, "invalid_client", 6, 1),
            (400, "unauthorized_client", 6, 1),
            (400, "invalid_request", 6, 1),
            (400, "invalid_scope", 6, 1),
            (400, "unsupported_grant_type", 6, 1),
            (200, "invalid_grant", 5, 0),
            (200, "invalid_client", 6, 1),
        ] {
            let body = json!({"error": code, "error_description": "\u{1b}[31mwords"});
            let server = acme(move |_, _| Answer::json(status, body.clone())).exactly(2 + again);
            let env = world(&server.url(), "");
            store(&env, &canary("access"), &canary("refresh"));
            env.tokman(&["refresh"]).code(exit).stderr_has("words").stderr_lacks("\u{1b}");
            env.tokman(&["refresh"]).code(exit);
        }
    }

    #[test]
    fn ask_for_no_more_than_was_granted() {
        let (access, refresh) = (canary("access"), canary("refresh"));
        let token = json!({"access_token": access, "refresh_token": refresh, "scope": "a b"});
        let server = acme(move |_, _| Answer::json(200, token.clone())).exactly(3);
        let env = world(&server.url(), "");
        store(&env, &access, &refresh);
        env.tokman(&["refresh", "-o", "none"]).code(0);
        env.tokman(&["refresh", "-o", "none", "--scope", "b"]).code(0);
        env.tokman(&["refresh", "--scope", "admin"]).code(6).stderr_has("'admin'");
        assert!(server.requests()[2].form().contains(&("scope".to_owned(), "b".to_owned())));
    }

    #[test]
    fn take_a_large_token_and_none_that_is_bound_to_a_key() {
        let access = format!("{}{}", canary("access"), "x".repeat(64 << 10));
        let token = access.clone();
        let next = canary("next");
        let new = next.clone();
        let server = acme(move |_, n| match n {
            0 => Answer::json(200, json!({"access_token": token, "expires_in": 3600})),
            _ => Answer::json(200, json!({"access_token": "t", "token_type": "DPoP", "refresh_token": new})),
        });
        let env = world(&server.url(), "");
        store(&env, &access, &canary("refresh"));
        env.tokman(&["refresh", "-o", "none"]).code(0);
        let run = env.command(&["token"]).may_print(&[&access]).run();
        run.code(0).stdout_is(&format!("{access}\n"));
        env.tokman(&["refresh"]).code(6).stderr_has("DPoP");
        assert_eq!(env.read_token("acme/default")["refresh_token"], next.as_str());
    }

    #[test]
    fn lose_no_refresh_token_that_comes_without_an_access_token_of_use() {
        let (new, newer) = (canary("new"), canary("newer"));
        let bound = |refresh: &str| json!({"access_token": "t", "token_type": "DPoP", "refresh_token": refresh});
        let answers = [bound(&new), json!({"access_token": canary("access"), "expires_in": 60}), bound(&newer)];
        let server = acme(move |_, n| Answer::json(200, answers[n].clone()));
        let env = world(&server.url(), "");
        let obtain = || env.command(&["obtain", "--refresh-token", "-", "-o", "none"]).stdin(canary("handed-in")).run();
        obtain().code(6).stderr_has("DPoP").stderr_has("the refresh token of the answer is stored");
        assert_eq!(env.read_token("acme/default")["refresh_token"], new.as_str());
        env.tokman(&["refresh", "-o", "none"]).code(0);
        // It may be another person's: what is stored stays, and what came lies beside it.
        let stored = env.read_token("acme/default");
        let run = obtain();
        run.code(10).stderr_has("DPoP").stderr_has("its refresh token is in /").stderr_has("--replace");
        assert_eq!(env.read_token("acme/default"), stored);
        let put_back = run.stderr.split("tokman import ").nth(1).and_then(|rest| rest.lines().next()).expect("a hint");
        let words = put_back.replace('\'', "");
        env.tokman(&[&["import"], &words.split(' ').collect::<Vec<_>>()[..]].concat()).code(0);
        assert_eq!(env.read_token("acme/default")["refresh_token"], newer.as_str());
        server.finish();
    }

    #[test]
    fn ask_for_the_scopes_that_are_named_beside_a_refresh_token() {
        for (options, sent, said, recorded) in [
            (&["--scope", "read write"][..], Some("read write"), None, json!(["read", "write"])),
            (&["--scope", "read"], Some("read"), Some("read mail"), json!(["read", "mail"])),
            // Those of the settings are for logins: nobody knows whether the grant has them.
            (&[], None, None, json!([])),
            (&[], None, Some("read"), json!(["read"])),
        ] {
            let mut body = json!({"access_token": canary("access"), "expires_in": 60});
            if let Some(said) = said {
                body["scope"] = said.into();
            }
            let server = acme(move |request, _| {
                let form = request.form();
                let asked = form.iter().find(|(name, _)| name == "scope").map(|(_, value)| value.as_str());
                assert_eq!(asked, sent);
                Answer::json(200, body.clone())
            });
            let env = world(&server.url(), "scopes = [\"everything\"]");
            let obtain = [&["obtain", "--refresh-token", "-", "-o", "none"], options].concat();
            env.command(&obtain).stdin(canary("handed-in")).run().code(0);
            assert_eq!(env.read_token("acme/default")["tokman"]["scopes"], recorded);
            server.finish();
        }
    }

    #[test]
    fn keep_what_comes_for_a_token_from_the_environment() {
        let next = canary("next");
        let first = json!({"access_token": "t", "token_type": "DPoP", "refresh_token": next});
        let server = acme(move |request, n| {
            if n == 0 {
                return Answer::json(200, first.clone());
            }
            assert!(request.form().contains(&("refresh_token".to_owned(), next.clone())), "{}", request.text());
            Answer::json(200, json!({"access_token": canary("access"), "expires_in": 60}))
        });
        let mut env = world(&server.url(), "");
        env.set("TOKMAN_ACME_REFRESH_TOKEN", canary("seed"));
        env.tokman(&["token"]).code(6).stderr_has("DPoP");
        env.tokman(&["status", "--only", "expired"]).code(0).stdout_has("acme/default");
        env.tokman(&["refresh", "-o", "none"]).code(0);
        assert_eq!(paths(&server).len(), 3);
        server.finish();
    }

    #[test]
    fn mint_again_where_the_token_came_by_client_credentials() {
        let (secret, access) = (canary("secret"), canary("access"));
        let token = json!({"access_token": access, "token_type": "Bearer", "expires_in": 3600});
        let server = acme(move |_, _| Answer::json(200, token.clone()));
        let mut env = world(&server.url(), "scopes = [\"a\", \"b\"]");
        env.set("TOKMAN_ACME_CLIENT_SECRET", &secret);
        env.tokman(&["obtain", "--client-credentials", "-o", "none"]).code(0);
        env.tokman(&["refresh", "-o", "none"]).code(0);
        let expected = Request::post("/token")
            .form(&[("grant_type", "client_credentials"), ("scope", "a b")])
            .basic("ID", &secret);
        for request in &server.requests()[1..] {
            assert_eq!(expected.objection(request), None);
        }
        assert_eq!(server.requests().len(), 3);
        assert_eq!(env.read_token("acme/default")["tokman"]["grant"], "client_credentials");
    }

    #[test]
    fn are_for_the_issuer_that_gave_the_token_only() {
        let server = acme(|_, _| Answer::close()).exactly(0);
        let mut env = world("https://login.acme.example", "");
        let tokman = json!({
            "version": 1, "provider": "acme", "profile": "default", "kind": "oauth2", "grant": "authorization_code",
            "client_id": "ID", "base_url": "https://login.acme.example", "generation": 1,
        });
        env.write_token(
            "acme/default",
            &json!({"access_token": canary("a"), "refresh_token": canary("r"), "tokman": tokman}),
        );
        env.set("TOKMAN_ACME_BASE_URL", server.url());
        env.tokman(&["refresh"]).code(3).stderr_has("https://login.acme.example");
    }
}

mod devices {
    use super::*;

    /// A provider that starts a device login with these members, and answers the polls.
    fn provider(members: Value, poll: impl Fn(usize) -> Answer + Send + Sync + 'static) -> (Server, String) {
        let device_code = canary("device");
        let code = device_code.clone();
        let server = acme(move |request, n| {
            if request.path != "/device" {
                return poll(n - 1);
            }
            let base = format!("http://{}", request.header("host").unwrap_or_default());
            let mut answer = json!({
                "device_code": code, "user_code": "WDJB-MJHT", "expires_in": 30, "interval": 1,
                "verification_uri": format!("{base}/enter"),
                "verification_uri_complete": format!("{base}/enter?user_code=WDJB-MJHT"),
            });
            for (name, value) in members.as_object().into_iter().flatten() {
                answer[name] = value.clone();
            }
            Answer::json(200, answer)
        });
        (server, device_code)
    }

    fn error(status: u16, code: &str) -> Answer {
        Answer::json(status, json!({"error": code}))
    }

    #[test]
    fn show_code_and_address_and_wait_for_consent() {
        let (access, refresh) = (canary("access"), canary("refresh"));
        let token = json!({"access_token": access, "refresh_token": refresh, "token_type": "Bearer"});
        let (server, device_code) = provider(json!({}), move |n| match n {
            0 => error(400, "authorization_pending"),
            _ => Answer::json(200, token.clone()),
        });
        let env = world(&server.url(), "scopes = [\"a\", \"b\"]");
        let run = env.command(&["obtain", "--device"]).may_print(&[&access, &refresh]).run();
        let base = server.url();
        run.code(0).stderr_is(&format!(
            "Open this address on any device:\n\n    {base}/enter\n\nand enter this code there:\n\n    WDJB-MJHT\n\n\
             With the code in it: {base}/enter?user_code=WDJB-MJHT\n\nWaiting, at most 30s. Ctrl-C ends it.\n"
        ));
        assert_eq!(run.json()["access_token"], access.as_str());
        let requests = server.requests();
        assert_eq!(requests[1].form(), pairs(&[("client_id", "ID"), ("scope", "a b")]));
        let poll = pairs(&[
            ("client_id", "ID"),
            ("device_code", &device_code),
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ]);
        assert_eq!((requests[2].form(), requests[3].form()), (poll.clone(), poll));
        let stored = env.read_token("acme/default");
        assert_eq!(stored["tokman"]["grant"], "urn:ietf:params:oauth:grant-type:device_code");
        // One event, however often it was asked.
        let history = fs::read_to_string(env.config_dir().join("history.jsonl")).expect("a history");
        assert_eq!(history.lines().count(), 1, "{history}");
    }

    #[test]
    fn go_on_after_a_lost_answer() {
        let access = canary("access");
        let token = json!({"access_token": access});
        let (server, _) = provider(json!({}), move |n| match n {
            0 => Answer::close(),
            _ => Answer::json(200, token.clone()),
        });
        let env = world(&server.url(), "");
        env.tokman(&["obtain", "--device", "-o", "none"]).code(0);
        assert_eq!(paths(&server), [METADATA, "/device", "/token", "/token"]);
    }

    #[test]
    fn wait_five_seconds_more_after_slow_down_and_stop_when_the_code_ends() {
        for (status, members) in [(400, json!({"expires_in": 6})), (429, json!({"expires_in": "6"}))] {
            let (server, _) = provider(members, move |_| error(status, "slow_down"));
            let env = world(&server.url(), "");
            // The next question would come after the end: there is no waiting for it.
            let run = env.tokman(&["obtain", "--device"]);
            run.code(5).stderr_has("not entered in time");
            assert_eq!(paths(&server), [METADATA, "/device", "/token"]);
        }
    }

    #[test]
    fn end_where_a_person_refuses_or_comes_too_late() {
        for code in ["access_denied", "expired_token"] {
            let (server, _) = provider(json!({}), move |_| error(400, code));
            let env = world(&server.url(), "");
            env.tokman(&["obtain", "--device"]).code(5).stderr_has(code);
            assert_eq!(paths(&server), [METADATA, "/device", "/token"]);
        }
    }

    #[test]
    fn end_at_once_when_somebody_interrupts_the_wait() {
        let (server, _) = provider(json!({"interval": 20}), |_| Answer::close());
        let env = world(&server.url(), "");
        let running = env.command(&["obtain", "--device"]).spawn();
        running.wait_for_stderr("Waiting");
        running.signal(Signal::INT);
        assert_eq!(running.wait().status, None);
        assert_eq!(paths(&server), [METADATA, "/device"]);
    }

    #[test]
    fn are_nothing_that_every_provider_has() {
        let server = acme_with(json!({"device_authorization_endpoint": null}), |_, _| Answer::close());
        let env = world(&server.url(), "");
        env.tokman(&["obtain", "--device"]).code(6).stderr_has("device authorization endpoint");
        for provider in ["square", "wix"] {
            let run = env.tokman(&["obtain", "--device", "-p", provider, "--client-id", "id"]);
            run.code(6).stderr_has("no login on another device");
        }
    }
}

mod endings {
    use super::*;

    #[test]
    fn revoke_the_refresh_token_and_forget_it() {
        let (refresh, secret) = (canary("refresh"), canary("secret"));
        // A token that the provider does not know is answered the same (RFC 7009 §2.2).
        let server = acme(|_, _| Answer::new(200, "text/plain", ""));
        let mut env = world(&server.url(), "");
        env.set("TOKMAN_ACME_CLIENT_SECRET", &secret);
        store(&env, &canary("access"), &refresh);
        env.tokman(&["revoke"]).code(0).stderr_has("acme/default is forgotten here");
        let expected = Request::post("/revoke")
            .form(&[("token", &refresh), ("token_type_hint", "refresh_token")])
            .basic("ID", &secret);
        assert_eq!(expected.objection(&server.requests()[1]), None);
        assert!(!env.token_path("acme/default").exists());
        env.tokman(&["revoke"]).code(4);
    }

    #[test]
    fn keep_a_token_that_may_still_be_alive() {
        let server = acme(|_, _| Answer::html(503, "<html>"));
        let env = world(&server.url(), "");
        store(&env, &canary("access"), &canary("refresh"));
        env.tokman(&["revoke", "--timeout", "2s"]).code(7).stderr_has("may still be alive");
        assert!(env.token_path("acme/default").exists());
    }

    #[test]
    fn say_what_stays_valid_where_the_provider_has_no_revocation() {
        let server = acme_with(json!({"revocation_endpoint": null}), |_, _| Answer::close()).exactly(1);
        let env = world(&server.url(), "");
        let token =
            json!({"access_token": canary("a"), "refresh_token": canary("r"), "expires_at": "2099-01-01T00:00:00Z"});
        env.write_token("acme/default", &token);
        let run = env.tokman(&["revoke"]);
        run.code(6).stderr_has("no revocation endpoint").stderr_has("works until 2099-01-01T00:00:00Z");
        run.stderr_has("tokman remove");
        assert!(env.token_path("acme/default").exists());
    }

    #[test]
    fn cannot_be_put_off_by_a_renewal() {
        let server = acme(|_, _| Answer::close()).exactly(1);
        let env = world(&server.url(), "");
        store(&env, &canary("access"), &canary("refresh"));
        env.tokman(&["renew"]).code(6).stderr_has("tokman refresh");
    }
}

mod findings {
    use super::*;

    #[test]
    fn are_what_the_provider_says_of_the_token() {
        let (access, secret) = (canary("access"), canary("secret"));
        for (body, word) in
            [(json!({"active": true, "sub": "alice"}), "active"), (json!({"active": false}), "inactive")]
        {
            let server = acme(move |_, _| Answer::json(200, body.clone()));
            let mut env = world(&server.url(), "");
            env.set("TOKMAN_ACME_CLIENT_SECRET", &secret);
            store(&env, &access, &canary("refresh"));
            let run = env.tokman(&["status", "--remote", "-o", "json"]);
            assert_eq!(run.code(0).json()[0]["remote"], word);
            let expected = Request::post("/introspect")
                .form(&[("token", &access), ("token_type_hint", "access_token")])
                .basic("ID", &secret);
            assert_eq!(expected.objection(&server.requests()[1]), None);
        }
    }

    #[test]
    fn are_not_to_be_had_where_there_is_no_introspection() {
        let server = acme_with(json!({"introspection_endpoint": null}), |_, _| Answer::close()).exactly(1);
        let env = world(&server.url(), "");
        store(&env, &canary("access"), &canary("refresh"));
        env.tokman(&["status", "--remote"]).code(6).stderr_has("introspection endpoint");
    }
}

#[test]
fn settings_are_shown_with_where_they_come_from() {
    let keys = "client_auth = \"post\"\nrevocation_endpoint = \"https://acme.example/revoke\"";
    let env = world("https://acme.example", keys);
    let run = env.tokman(&["config", "show", "-o", "json"]);
    let shown = run.code(0).json();
    assert_eq!(shown["acme.base_url"]["origin"], "[provider.acme] issuer in config.toml");
    assert_eq!(shown["acme.revocation_endpoint"]["value"], "https://acme.example/revoke");
    assert_eq!(shown["acme.client_auth"]["value"], "post");
}
