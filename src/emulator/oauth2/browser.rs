//! `GET /authorize` and the consent form. Every redirect names the issuer (RFC 9207); what cannot be sent back to a
//! client that is known is shown instead.

use http::StatusCode;
use url::Url;

use super::client::Client;
use super::ledger::Code;
use super::{OAuth2, Question, device, issuer};
use crate::emulator::page::{self, Consent};
use crate::emulator::state::House;
use crate::emulator::wire::{self, Call, Fields, Reply, is_challenge, redirect_address, with_query};

/// An authorization request that waits for the person.
#[derive(Debug)]
pub(super) struct Wish {
    client: Client,
    redirect: Url,
    redirect_uri: String,
    state: Option<String>,
    scopes: Vec<String>,
    challenge: String,
}

/// Answers `GET /authorize`.
pub(super) fn authorize(acme: &mut OAuth2, call: &Call, house: &mut House) -> Reply {
    let (client, redirect_uri, redirect) = match sender(acme, &call.query) {
        Ok(sender) => sender,
        Err(text) => return page::notice(StatusCode::BAD_REQUEST, "Acme cannot go on", text),
    };
    let state = call.query.get("state").map(str::to_owned);
    let (scopes, challenge) = match request(&call.query) {
        Ok(request) => request,
        Err((error, text)) => {
            let members = [("error", Some(error)), ("error_description", Some(&*text))];
            return back(&redirect, &members, state.as_deref(), house);
        }
    };
    let wish = Wish { client, redirect, redirect_uri, state, scopes, challenge };
    if house.options.auto_approve {
        return allow(acme, wish, call, house);
    }
    let (redirect, scopes) = (wish.redirect.clone(), wish.scopes.clone());
    let id = acme.desk.file(Question::Wish(wish), call.now, &mut house.random);
    page::consent(&Consent {
        provider: "Acme",
        wish: &format!("The client {} asks for:", acme.clients.id(client)),
        scopes: &scopes,
        code: None,
        action: format!("{}/consent", call.prefix),
        id: &id,
        redirect: Some(&redirect),
    })
}

/// Who asks and where the answer goes. Without both, nothing may be sent anywhere (RFC 6749 §4.1.2.1).
fn sender(acme: &OAuth2, query: &Fields) -> Result<(Client, String, Url), &'static str> {
    if matches!(query.repeated(), Some("client_id" | "redirect_uri")) {
        return Err("The client_id or the redirect_uri is there more than once.");
    }
    let client = query.get("client_id").and_then(|id| acme.clients.find(id)).ok_or("This client is not known.")?;
    let redirect_uri = query.get("redirect_uri").ok_or("The redirect_uri is missing.")?;
    let redirect = redirect_address(redirect_uri);
    let redirect = redirect.ok_or("The redirect_uri is neither https nor http on this machine, or has a fragment.")?;
    Ok((client, redirect_uri.to_owned(), redirect))
}

/// What is asked for: the scopes and the challenge; else the error and its description.
fn request(query: &Fields) -> Result<(Vec<String>, String), (&'static str, String)> {
    let invalid = |text: &str| ("invalid_request", text.to_owned());
    if let Some(name) = query.repeated() {
        return Err(invalid(&format!("{name} is there more than once")));
    }
    match query.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(("unsupported_response_type", "only code is supported".to_owned())),
        None => return Err(invalid("response_type is missing")),
    }
    if query.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(invalid("only the response_mode query is supported"));
    }
    let challenge =
        query.get("code_challenge").ok_or_else(|| invalid("code_challenge is missing: PKCE is required"))?;
    // Without a method it would be plain.
    if query.get("code_challenge_method") != Some("S256") {
        return Err(invalid("code_challenge_method must be S256"));
    }
    if !is_challenge(challenge) {
        return Err(invalid("code_challenge is no S256 challenge"));
    }
    let scopes = super::asked(query.get("scope"));
    let scopes = scopes.map_err(|_| ("invalid_scope", "a scope is unknown".to_owned()))?;
    Ok((scopes, challenge.to_owned()))
}

/// Answers the form of a consent page.
pub(super) fn decide(acme: &mut OAuth2, call: &Call, house: &mut House) -> Reply {
    let form = call.form();
    let question = form.get("consent").and_then(|id| acme.desk.take(id, call.now));
    let allowed = form.get("decision") == Some("allow");
    match question {
        Some(Question::Wish(wish)) if allowed => allow(acme, wish, call, house),
        Some(Question::Wish(wish)) => {
            let members =
                [("error", Some("access_denied")), ("error_description", Some("the person denied the request"))];
            back(&wish.redirect, &members, wish.state.as_deref(), house)
        }
        Some(Question::Device(code)) => device::decide(acme, &code, allowed, call.now),
        None => super::nothing_asked(),
    }
}

fn allow(acme: &mut OAuth2, wish: Wish, call: &Call, house: &mut House) -> Reply {
    let name = house.random.text("acme_ac_", 43);
    let Wish { client, redirect, redirect_uri, state, scopes, challenge } = wish;
    let issued_at = call.now;
    let code = Code { client, redirect_uri, scopes, challenge, issued_at, claimed: false, family: None };
    acme.ledger.codes.insert(name.clone(), code);
    back(&redirect, &[("code", Some(&*name))], state.as_deref(), house)
}

/// Sends the browser back to the client.
fn back(redirect: &Url, members: &[(&str, Option<&str>)], state: Option<&str>, house: &House) -> Reply {
    let issuer = issuer(house);
    let url = with_query(redirect, members);
    wire::redirect(&with_query(&url, &[("state", state), ("iss", Some(&*issuer))]))
}
