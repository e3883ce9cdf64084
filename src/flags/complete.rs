//! What a shell offers for the values of options: names of providers and profiles, forms, environments. Reads the config file and the names of files; opens no
//! token, starts nothing, says nothing.

use std::ffi::{OsStr, OsString};

use clap::ValueEnum;
use clap_complete::CompletionCandidate;

use crate::config::{Options, Settings};
use crate::flags::line;
use crate::model::ProviderName;
use crate::ops::stored_names;

/// The providers that are known and begin like this.
#[must_use]
pub fn providers(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = settings().map(|settings| settings.known_providers()).unwrap_or_default();
    offer(names.into_iter(), current)
}

/// The stored profiles that begin like this: of the provider that the command line names, else of all.
#[must_use]
pub fn profiles(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(settings) = settings() else { return Vec::new() };
    let providers: Vec<ProviderName> = match &settings.provider {
        Some(provider) => vec![provider.value.clone()],
        None => settings.known_providers().iter().filter_map(|name| name.parse().ok()).collect(),
    };
    let names = providers.iter().flat_map(|provider| stored_names::of_provider(&settings, provider));
    let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
    names.sort_unstable();
    names.dedup();
    offer(names.into_iter(), current)
}

/// The forms that begin like this, of those that the command prints in.
#[must_use]
pub fn formats(current: &OsStr) -> Vec<CompletionCandidate> {
    let words = words();
    let verb = line::verb(words.get(1..).unwrap_or_default());
    let values = line::formats(verb.as_deref()).iter().filter_map(ValueEnum::to_possible_value);
    let current = current.to_string_lossy();
    values
        .filter(|value| value.get_name().starts_with(&*current))
        .map(|value| CompletionCandidate::new(value.get_name()).help(value.get_help().cloned()))
        .collect()
}

/// Square's environments.
pub fn environments() -> Vec<CompletionCandidate> {
    ["production", "sandbox"].map(CompletionCandidate::new).into()
}

/// The words of the command line that is to be completed, the program's name first and the unfinished one last.
#[must_use]
pub fn words() -> Vec<String> {
    ours(&std::env::args_os().collect::<Vec<_>>()).iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

fn offer(names: impl Iterator<Item = String>, current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    names.filter(|name| name.starts_with(&*current)).map(CompletionCandidate::new).collect()
}

/// The settings that the command line would have so far; `None` where there are none that work.
fn settings() -> Option<Settings> {
    Settings::load(options(&std::env::args_os().collect::<Vec<_>>())).ok()
}

/// The words of tokman's command line, the program's name first. The shell's own words stand before the first --, those
/// of the command that `exec` runs after the next.
fn ours(args: &[OsString]) -> Vec<&OsStr> {
    let line = args.iter().skip_while(|word| *word != "--").skip(1).take_while(|word| *word != "--");
    line.map(OsString::as_os_str).collect()
}

/// What of a half-written command line decides about names. It cannot be parsed yet: something is missing.
fn options(args: &[OsString]) -> Options {
    let line = ours(args);
    let value = |names: &[&str]| {
        line.iter().enumerate().rev().find_map(|(at, word)| {
            let word = word.to_str()?;
            if names.contains(&word) {
                // Bash makes words of their own of what stands around '='.
                let next = *line.get(at + 1)?;
                return if next == "=" { line.get(at + 2).copied() } else { Some(next) }.map(OsStr::to_owned);
            }
            let after = |name: &&str| word.strip_prefix(name).map(|rest| rest.strip_prefix('=').unwrap_or(rest));
            names.iter().find_map(after).filter(|rest| !rest.is_empty()).map(OsString::from)
        })
    };
    let text = |names: &[&str]| value(names).and_then(|value| value.into_string().ok()).filter(|text| !text.is_empty());
    Options {
        provider: text(&["--provider", "-p"]),
        config_dir: value(&["--config-dir"]).map(Into::into),
        store: text(&["--store"]),
        ..Options::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_provider_however_it_is_written() {
        for (line, provider) in [
            ("tokman -- tokman token -p wix -n ", Some("wix")),
            ("tokman -- tokman token -pwix -n ", Some("wix")),
            ("tokman -- tokman token --provider wix -n ", Some("wix")),
            ("tokman -- tokman token --provider=wix -n ", Some("wix")),
            ("tokman -- tokman token --provider = wix -n ", Some("wix")),
            ("tokman -- tokman token -p square -p wix -n ", Some("wix")),
            ("tokman -- tokman exec -n x -- psql -p wix", None),
            ("tokman -- tokman token -n ", None),
            ("tokman -p wix", None),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(options(&words).provider.as_deref(), provider, "{line}");
        }
    }

    #[test]
    fn offers_what_begins_like_the_word() {
        let offered = offer(["square", "wix", "square-two"].map(str::to_owned).into_iter(), OsStr::new("sq"));
        let names: Vec<_> = offered.iter().map(|candidate| candidate.get_value().to_owned()).collect();
        assert_eq!(names, ["square", "square-two"]);
    }
}
