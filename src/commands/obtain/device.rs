//! `tokman obtain --device`: shows what to do on the other device, and waits.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use anstyle::{AnsiColor, Style};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::Run;
use crate::model::duration;
use crate::ops::{self, Outcome};
use crate::provider::{DeviceAuthorization, Wanted};

/// Asks for a code, shows it, and waits until it was entered.
pub(super) fn obtain(run: &Run<'_>, wanted: &Wanted) -> anyhow::Result<Outcome> {
    let runtime = ops::runtime()?;
    let device = runtime.block_on(run.broker.authorize_device(&run.issuer, wanted))?;
    // Not silenced by --quiet: without it nothing goes on.
    run.context.printer.ask(&instructions(&device, io::stderr().is_terminal()));
    let obtained = run.broker.obtain_by_device(&run.key, &run.issuer, &device, wanted, run.keep);
    Ok(runtime.block_on(obtained)?)
}

/// What a person has to do; for a terminal with a picture of the address, for a telephone's camera.
fn instructions(device: &DeviceAuthorization, terminal: bool) -> String {
    let bold = Style::new().bold();
    let DeviceAuthorization { user_code, verification_uri, verification_uri_complete, .. } = device;
    let mut text = format!(
        "Open this address on any device:\n\n    {bold}{verification_uri}{bold:#}\n\nand enter this code there:\n\n    {bold}{user_code}{bold:#}\n"
    );
    // Writing to a string cannot fail.
    if let Some(complete) = verification_uri_complete {
        let _ = writeln!(text, "\nWith the code in it: {complete}");
    }
    let address = verification_uri_complete.as_ref().unwrap_or(verification_uri);
    if let Some(picture) = terminal.then(|| picture(address.as_str())).flatten() {
        let _ = writeln!(text, "\n{picture}");
    }
    let seconds = i64::try_from(device.expires_in.as_secs()).unwrap_or(i64::MAX);
    let _ = write!(text, "\nWaiting, at most {}. Ctrl-C ends it.", duration::humane(seconds));
    text
}

/// An address as a QR code, dark on light whatever the terminal's colours; `None` for one that is too long.
fn picture(address: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(address, EcLevel::L).ok()?;
    let style = Style::new().fg_color(Some(AnsiColor::Black.into())).bg_color(Some(AnsiColor::BrightWhite.into()));
    let lines = code.render::<Dense1x2>().build();
    Some(lines.lines().map(|line| format!("    {style}{line}{style:#}")).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Secret, ServerText};
    use std::time::Duration;

    fn device(complete: Option<&str>) -> DeviceAuthorization {
        DeviceAuthorization {
            device_code: Secret::new("canary"),
            user_code: ServerText::new("WDJB-MJHT\u{1b}[2J"),
            verification_uri: "https://a.example/device".parse().unwrap(),
            verification_uri_complete: complete.map(|address| address.parse().unwrap()),
            expires_in: Duration::from_secs(1800),
            interval: Duration::from_secs(5),
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn shows_code_and_address_and_nothing_that_drives_the_terminal() {
        let text = instructions(&device(None), false);
        assert_eq!(
            plain(&text),
            "Open this address on any device:\n\n    https://a.example/device\n\nand enter this code there:\n\n    WDJB-MJHT\\u{1b}[2J\n\nWaiting, at most 30m 0s. Ctrl-C ends it."
        );
        let text = instructions(&device(Some("https://a.example/device?user_code=WDJB-MJHT")), false);
        assert!(plain(&text).contains("\nWith the code in it: https://a.example/device?user_code=WDJB-MJHT\n"));
    }

    #[test]
    fn draws_the_address_on_a_terminal() {
        let text = plain(&instructions(&device(None), true));
        assert!(text.contains('█') && text.contains('▀'), "{text}");
        let widths: Vec<usize> =
            text.lines().filter(|line| line.contains('█')).map(|line| line.chars().count()).collect();
        assert!(widths.len() > 10 && widths.iter().all(|width| *width == widths[0]), "{text}");
    }

    #[test]
    fn draws_nothing_for_an_address_that_is_too_long() {
        assert!(picture(&"x".repeat(5000)).is_none());
    }
}
