//! An access token for the later steps of a GitHub Actions job: masked in the log first, then an output of the step
//! (docs.github.com, "Workflow commands for GitHub Actions").

/// The name of the output.
const NAME: &str = "access_token";

/// The line that has the runner hide a token in all that is printed from then on.
#[must_use]
pub fn mask(token: &str) -> String {
    // The runner decodes these in the data of a command.
    let escaped = token.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    format!("::add-mask::{escaped}")
}

/// The lines that set the output, without the last line break. `nonce` is what nobody could have put into the token.
#[must_use]
pub fn assignment(token: &str, nonce: &str) -> String {
    format!("{NAME}<<tokman-{nonce}\n{token}\ntokman-{nonce}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_what_the_runner_will_see() {
        assert_eq!(mask("EAAAl-x_y.z"), "::add-mask::EAAAl-x_y.z");
        assert_eq!(mask("a%25b%"), "::add-mask::a%2525b%25");
    }

    #[test]
    fn takes_every_token_as_it_is() {
        assert_eq!(assignment("a=b<<c", "n"), "access_token<<tokman-n\na=b<<c\ntokman-n");
    }
}
