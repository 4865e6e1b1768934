//! The command line's arguments, and what its errors repeat of them: a token or key may stand where an option's value, a
//! command or nothing should be.

use super::CommandLine;
use crate::shown::Shown;
use clap::Parser;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use std::ffi::OsString;

/// This process's arguments; says what is wrong with them and ends the process if they can't be read.
pub(super) fn parse() -> CommandLine {
    of(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

fn of(arguments: impl IntoIterator<Item = OsString>) -> Result<CommandLine, Error> {
    CommandLine::try_parse_from(arguments).map_err(without_values)
}

/// The same error, with the length of what was given in its place.
fn without_values(mut error: Error) -> Error {
    let mut hidden = false;
    let mut kinds = vec![ContextKind::InvalidValue, ContextKind::InvalidSubcommand];
    if error.kind() == ErrorKind::UnknownArgument {
        // Elsewhere this is the option's own name.
        kinds.push(ContextKind::InvalidArg);
    }
    for kind in kinds {
        if let Some(ContextValue::String(given)) = error.get(kind)
            && !given.is_empty()
            && !is_word(given)
        {
            let length = Shown::misplaced(given).to_string();
            error.insert(kind, ContextValue::String(length));
            hidden = true;
        }
    }
    if hidden {
        // "to pass '…' as a value, use '-- …'" repeats it.
        error.remove(ContextKind::Suggested);
    }
    error
}

/// Whether this has the form of a command or an option, and is not another's value: `device`, `--token-file`.
fn is_word(given: &str) -> bool {
    let word = given.trim_start_matches('-');
    let is_plain = |c: char| c.is_ascii_lowercase() || c == '-';
    given.len() - word.len() <= 2
        && (1..=20).contains(&word.len())
        && !word.starts_with('-')
        && word.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "A1_TEST_TOKEN";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n\
                       -----END PRIVATE KEY-----";

    fn error_of(arguments: &[&str]) -> String {
        let all = std::iter::once("coaps-gateway").chain(arguments.iter().copied());
        let error = of(all.map(OsString::from)).unwrap_err();
        format!("{error} {error:?}")
    }

    #[test]
    fn a_secret_in_any_place_of_any_command_is_not_repeated() {
        let commands: [&[&str]; 8] = [
            &[],
            &["run"],
            &["check"],
            &["fingerprint"],
            &["certs", "--host", "h", "--out", "o"],
            &["device"],
            &["device", "add", "meter-17"],
            &["device", "remove", "meter-17"],
        ];
        let mut refused = 0;
        for secret in [TOKEN, KEY, "--A1_TEST_TOKEN", "-A1_TEST_TOKEN"] {
            let joined = |option: &str| format!("{option}={secret}");
            for command in commands {
                for more in [
                    vec![secret.to_owned()],
                    vec!["--".into(), secret.into(), secret.into()],
                    vec!["--fingerprint".into(), secret.into()],
                    vec![joined("--fingerprint"), "--token".into(), "-".into()],
                    vec![joined("--listen")],
                    vec![joined("--coaps-port")],
                    vec![joined("--new-certificate")],
                    vec![joined("--json")],
                    vec![joined("--unknown")],
                    vec![joined("--config"), joined("--config")],
                    vec![joined("--token"), joined("--token-file")],
                ] {
                    let all = command.iter().copied();
                    let all: Vec<&str> = all.chain(more.iter().map(String::as_str)).collect();
                    let all = std::iter::once("coaps-gateway").chain(all);
                    let Err(error) = of(all.map(OsString::from)) else {
                        continue;
                    };
                    refused += 1;
                    let said = format!("{error}");
                    for line in secret.lines() {
                        assert!(!said.contains(line.trim_matches('-')), "{more:?}: {said}");
                    }
                }
            }
        }
        assert!(refused > 300, "{refused}");
    }

    #[test]
    fn a_slip_of_the_pen_is_repeated_with_what_was_meant() {
        let said = error_of(&["devcie"]);
        assert!(
            said.contains("'devcie'") && said.contains("'device'"),
            "{said}"
        );
        let said = error_of(&["device", "add", "a", "--token-fil", "x"]);
        assert!(
            said.contains("'--token-fil'") && said.contains("'--token-file'"),
            "{said}"
        );
    }

    #[test]
    fn what_is_hidden_is_told_by_its_length_and_with_what_would_be_right() {
        let said = error_of(&["device", "add", "a", "--token", "-", "--fingerprint", TOKEN]);
        assert!(said.contains("text of 13 characters"), "{said}");
        assert!(said.contains("--fingerprint <FINGERPRINT>"), "{said}");
        let said = error_of(&["run", "--config", ""]);
        assert!(said.contains("--config"), "{said}");
    }
}
