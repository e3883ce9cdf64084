//! The device flow (RFC 8628): the two codes, the page on which a person enters the shorter one, and the polling.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{self, Client};
use super::refusal::{invalid_grant, refused};
use super::{OAuth2, Question};
use crate::emulator::page::{self, Consent};
use crate::emulator::state::House;
use crate::emulator::wire::{Call, Refusal, Reply};

/// Seconds that both codes are good for.
const LIFE: i64 = 600;
/// Seconds between two polls. The RFC's own default is 5; a trial should not have to wait that long.
const INTERVAL: i64 = 1;
/// Seconds that the interval grows by when a client polls too fast (RFC 8628 §3.5).
const PENALTY: i64 = 5;

/// A device that waits for a person.
#[derive(Debug)]
pub(super) struct Device {
    client: Client,
    scopes: Vec<String>,
    user_code: String,
    issued_at: Timestamp,
    interval: i64,
    /// Absent before the first poll.
    polled_at: Option<Timestamp>,
    /// Absent until the person has decided.
    allowed: Option<bool>,
}

impl Device {
    fn is_over(&self, now: Timestamp) -> bool {
        now.as_second() - self.issued_at.as_second() >= LIFE
    }
}

/// Answers `POST /device_authorization`.
pub(super) fn start(acme: &mut OAuth2, call: &Call, house: &mut House) -> Result<Value, Refusal> {
    let (form, client) = client::read(acme, call)?;
    let scopes = super::asked(form.get("scope"))?;
    let device_code = house.random.text("acme_dc_", 43);
    let letters = house.random.consonants(8);
    let user_code = format!("{}-{}", &letters[..4], &letters[4..]);
    let page = format!("{}/device", super::issuer(house));
    let body = json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={user_code}"),
        "expires_in": LIFE,
        "interval": INTERVAL,
    });
    let issued_at = call.now;
    let device = Device { client, scopes, user_code, issued_at, interval: INTERVAL, polled_at: None, allowed: None };
    acme.devices.insert(device_code, device);
    Ok(body)
}

/// What a device's code is worth now: the scopes, once the person has allowed them. With `--auto-approve` that is at
/// the second poll, so that a client has to wait at least once.
pub(super) fn poll(
    acme: &mut OAuth2,
    code: &str,
    client: Client,
    now: Timestamp,
    house: &House,
) -> Result<Vec<String>, Refusal> {
    let unknown = || invalid_grant("The device code is unknown or was used already.");
    let device = acme.devices.get_mut(code).filter(|device| device.client == client).ok_or_else(unknown)?;
    if device.is_over(now) {
        return Err(refused("expired_token", "The device code is past its end."));
    }
    let last = device.polled_at.replace(now);
    match device.allowed {
        Some(true) => {}
        Some(false) => return Err(refused("access_denied", "The person denied the request.")),
        None if last.is_some_and(|last| now.as_second() - last.as_second() < device.interval) => {
            device.interval += PENALTY;
            let text = format!("Polled too fast: the interval is {} seconds from now on.", device.interval);
            return Err(refused("slow_down", &text));
        }
        None if house.options.auto_approve && last.is_some() => {}
        None => return Err(refused("authorization_pending", "The person has not decided yet.")),
    }
    acme.devices.remove(code).map(|device| device.scopes).ok_or_else(unknown)
}

/// Answers `GET /device`: asks for the code, or, where the address has it, for consent.
pub(super) fn show(acme: &mut OAuth2, call: &Call, house: &mut House) -> Reply {
    let action = format!("{}/device", call.prefix);
    let Some(entered) = call.query.get("user_code") else {
        return page::code_form(StatusCode::OK, "Acme", &action, None);
    };
    let waiting = |device: &Device| device.allowed.is_none() && !device.is_over(call.now);
    let found = acme.devices.iter().find(|(_, device)| letters(&device.user_code) == letters(entered));
    let Some((name, device)) = found.filter(|(_, device)| waiting(device)) else {
        let note = "No device waits with that code. It may be mistyped or too old.";
        return page::code_form(StatusCode::NOT_FOUND, "Acme", &action, Some(note));
    };
    let name = name.clone();
    if house.options.auto_approve {
        return decide(acme, &name, true, call.now);
    }
    let id = acme.desk.file(Question::Device(name.clone()), call.now, &mut house.random);
    page::consent(&Consent {
        provider: "Acme",
        wish: &format!("A device of the client {} asks for:", acme.clients.id(device.client)),
        scopes: &device.scopes,
        code: Some(&device.user_code),
        action: format!("{}/consent", call.prefix),
        id: &id,
        redirect: None,
    })
}

/// Notes what the person decided.
pub(super) fn decide(acme: &mut OAuth2, code: &str, allowed: bool, now: Timestamp) -> Reply {
    match acme.devices.get_mut(code).filter(|device| device.allowed.is_none() && !device.is_over(now)) {
        Some(device) => {
            device.allowed = Some(allowed);
            if allowed {
                page::notice(
                    StatusCode::OK,
                    "The device is connected",
                    "It goes on by itself. This page can be closed.",
                )
            } else {
                page::notice(StatusCode::OK, "The device was refused", "It gets no access. This page can be closed.")
            }
        }
        None => super::nothing_asked(),
    }
}

/// A code as people type it: in any case, with or without the dash.
fn letters(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_uppercase()).collect()
}
