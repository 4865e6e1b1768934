//! Parses the command line's arguments. Errors don't repeat values: a token or key may have been given in the place of
//! an option's value, of a command, or where nothing is expected.

use super::CommandLine;
use crate::shown::Shown;
use clap::Parser;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use std::ffi::OsString;

/// Parses this process's arguments. Prints the error and exits if they are wrong.
pub(super) fn parse() -> CommandLine {
    of(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

fn of(arguments: impl IntoIterator<Item = OsString>) -> Result<CommandLine, Error> {
    CommandLine::try_parse_from(arguments).map_err(without_values)
}

/// Replaces the given values in an error by their lengths.
fn without_values(mut error: Error) -> Error {
    let mut hidden = false;
    let mut kinds = vec![ContextKind::InvalidValue, ContextKind::InvalidSubcommand];
    if error.kind() == ErrorKind::UnknownArgument {
        // In other errors this is the name of a known option.
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

/// Whether this has the form of a command or an option, like `device` or `--token-file`.
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
                    let message = format!("{error}");
                    for line in secret.lines() {
                        assert!(
                            !message.contains(line.trim_matches('-')),
                            "{more:?}: {message}"
                        );
                    }
                }
            }
        }
        assert!(refused > 300, "{refused}");
    }

    #[test]
    fn a_typo_is_repeated_with_a_suggestion() {
        let message = error_of(&["devcie"]);
        assert!(
            message.contains("'devcie'") && message.contains("'device'"),
            "{message}"
        );
        let message = error_of(&["device", "add", "a", "--token-fil", "x"]);
        assert!(
            message.contains("'--token-fil'") && message.contains("'--token-file'"),
            "{message}"
        );
    }

    #[test]
    fn a_hidden_value_is_shown_by_its_length_and_with_what_was_expected() {
        let message = error_of(&["device", "add", "a", "--token", "-", "--fingerprint", TOKEN]);
        assert!(message.contains("text of 13 characters"), "{message}");
        assert!(message.contains("--fingerprint <FINGERPRINT>"), "{message}");
        let message = error_of(&["run", "--config", ""]);
        assert!(message.contains("--config"), "{message}");
    }
}
