//! A ThingsBoard access token that no log can print.

use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// The most bytes a token may have. ThingsBoard makes tokens of 20; people choose longer ones, but a token
/// travels in every URL.
const MOST: usize = 255;

/// A device's ThingsBoard access token. `Debug` hides it; it is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Zeroizing<Box<str>>);

/// The text can't be an access token. The message never repeats the text: it may be a real one with a slip in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an access token has 1 to 255 bytes, no spaces, no control characters, none of / \\ % ; and is not '.' or '..'"
)]
pub struct InvalidToken;

impl AccessToken {
    /// Takes a token as ThingsBoard shows it. What was handed in is wiped, also when it is refused.
    pub fn new(token: impl Into<String>) -> Result<Self, InvalidToken> {
        let mut given: String = token.into();
        let valid = !given.is_empty()
            && given.len() <= MOST
            // Tokens travel as a path segment, and these two would be resolved away (RFC 3986 §5.2.4).
            && !matches!(given.as_str(), "." | "..")
            && !given
                .chars()
                .any(|character| {
                    // Spring's firewall, before ThingsBoard, refuses the four in a path, percent-encoded too.
                    character.is_control() || character.is_whitespace() || r"/\%;".contains(character)
                });
        // A boxed copy of the exact size, because turning the string into a box may move it and leave a copy behind.
        let token = valid.then(|| AccessToken(Zeroizing::new(Box::from(given.as_str()))));
        given.zeroize();
        token.ok_or(InvalidToken)
    }

    /// The secret itself, for the one place that puts it into a request.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_shows_in_debug() {
        let token = AccessToken::new("A1_TEST_TOKEN").unwrap();
        assert_eq!(
            format!("{token:?} {token:#?}"),
            "AccessToken(hidden) AccessToken(hidden)"
        );
        assert_eq!(token.expose(), "A1_TEST_TOKEN");
    }

    #[test]
    fn what_can_not_be_a_token_is_refused() {
        for bad in [
            "",
            " ",
            ".",
            "..",
            "a b",
            "a\n",
            "a\0b",
            "a\u{a0}b",
            "a/b",
            "a\\b",
            "a%b",
            "a;b",
            &"x".repeat(256),
        ] {
            assert_eq!(AccessToken::new(bad), Err(InvalidToken), "{bad:?}");
        }
        for good in ["a", "ä?#&", &"x".repeat(255)] {
            assert!(AccessToken::new(good).is_ok(), "{good:?}");
        }
    }
}
