//! A ThingsBoard access token. `Debug` does not show it.

use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// Most bytes of a token. ThingsBoard generates 20; users choose longer ones, but a token is part of every URL.
const MAX_LENGTH: usize = 255;

/// A device's ThingsBoard access token. `Debug` hides it; it is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Zeroizing<Box<str>>);

/// The text can't be an access token. The message never repeats the text: it may be a real token with a typing error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an access token has 1 to 255 bytes, no spaces, no control characters, none of / \\ % ; and is not '.' or '..'"
)]
pub struct InvalidToken;

impl AccessToken {
    /// Parses a token as ThingsBoard shows it. The argument is zeroed, also when it is rejected.
    pub fn new(token: impl Into<String>) -> Result<Self, InvalidToken> {
        let mut text: String = token.into();
        let valid = !text.is_empty()
            && text.len() <= MAX_LENGTH
            // A token is a path segment, and these two would be removed from the path (RFC 3986 §5.2.4).
            && !matches!(text.as_str(), "." | "..")
            && !text
                .chars()
                .any(|character| {
                    // Spring's firewall in front of ThingsBoard rejects these four in a path, also percent-encoded.
                    character.is_control() || character.is_whitespace() || r"/\%;".contains(character)
                });
        // A boxed copy of the exact size, because turning the string into a box may move it and leave a copy behind.
        let token = valid.then(|| AccessToken(Zeroizing::new(Box::from(text.as_str()))));
        text.zeroize();
        token.ok_or(InvalidToken)
    }

    /// The secret, for the code that puts it into a request's path.
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
    fn debug_hides_the_token() {
        let token = AccessToken::new("A1_TEST_TOKEN").unwrap();
        assert_eq!(
            format!("{token:?} {token:#?}"),
            "AccessToken(hidden) AccessToken(hidden)"
        );
        assert_eq!(token.expose(), "A1_TEST_TOKEN");
    }

    #[test]
    fn invalid_tokens_are_rejected() {
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
