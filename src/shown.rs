//! Untrusted text in messages, log lines and metrics: redacted, escaped and shortened.
//!
//! A value in the wrong place may be a secret: a private key where its path should be, a token where a fingerprint should
//! be. So a message never repeats a value that is longer than 64 characters, has several lines, or does not have its
//! field's form; it says its length instead. The message's location (file and line, variable, option) identifies it.
//!
//! Names in certificates and error texts of libraries are public, but a peer may have chosen them. They are shortened,
//! and control characters and invisible characters that change how a line is displayed (Unicode's `Cf`: bidirectional
//! controls such as U+202E, zero-width characters) are escaped.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// Values are repeated up to this many characters.
const MAX_CHARACTERS: usize = 64;

/// Public text is shown up to this many characters: error texts are longer than values.
const MAX_PUBLIC: usize = 200;

/// Text as a message may show it. `Display` and `Debug` are the same.
#[derive(Clone)]
pub(crate) struct Shown<'t> {
    text: Cow<'t, str>,
    rule: Rule,
}

#[derive(Clone, Copy)]
enum Rule {
    /// In quotes, escaped.
    Value,
    /// Without quotes, escaped.
    Plain,
    /// Its length alone, after this noun.
    Length(&'static str),
    /// Without quotes, escaped and shortened to [`MAX_PUBLIC`].
    Public,
}

impl<'t> Shown<'t> {
    fn new(text: impl Into<Cow<'t, str>>, rule: Rule) -> Self {
        let text = text.into();
        Shown { text, rule }
    }

    /// A value that has its field's form; still redacted if it is long or has several lines.
    pub(crate) fn value(text: &'t str) -> Self {
        match may_show(text) {
            true => Shown::new(text, Rule::Value),
            false => Shown::misplaced(text),
        }
    }

    /// A value without its field's form: only its length is shown.
    pub(crate) fn misplaced(text: &'t str) -> Self {
        Shown::new(text, Rule::Length("text"))
    }

    /// A path. It is shown if it exists or looks like a path: a token or a key in its place does not.
    pub(crate) fn path(path: &'t Path) -> Self {
        let text = path.to_string_lossy();
        let rule = match path.symlink_metadata().is_ok() || looks_like_a_path(path, &text) {
            true => Rule::Plain,
            false => Rule::Length("a path"),
        };
        Shown::new(text, rule)
    }

    /// An unknown configuration key. It is shown if it has the form of one: `section.key`, in lower case.
    pub(crate) fn key(text: &'t str) -> Self {
        let has_form = text
            .chars()
            .all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.'));
        let rule = match has_form && may_show(text) {
            true => Rule::Plain,
            false => Rule::Length("a key"),
        };
        Shown::new(text, rule)
    }

    /// Public but untrusted text: a certificate's subject, a library's error about a peer.
    pub(crate) fn public(text: &'t str) -> Self {
        Shown::new(text, Rule::Public)
    }
}

/// Whether a value is short and has one line; a private key is neither.
pub(crate) fn may_show(text: &str) -> bool {
    text.chars().nth(MAX_CHARACTERS).is_none() && !text.contains(['\n', '\r'])
}

/// Whether a character is displayed at its own place and does not affect others: not a control character, a line
/// separator or an invisible format character.
pub(crate) fn is_visible(c: char) -> bool {
    let is_format = matches!(
        u32::from(c),
        0xad | 0x0600..=0x0605
            | 0x061c
            | 0x06dd
            | 0x070f
            | 0x0890..=0x0891
            | 0x08e2
            | 0x180e
            | 0x200b..=0x200f
            | 0x2028..=0x202e
            | 0x2060..=0x206f
            | 0xfeff
            | 0xfff9..=0xfffb
            | 0x110bd
            | 0x110cd
            | 0x13430..=0x1343f
            | 0x1bca0..=0x1bca3
            | 0x1d173..=0x1d17a
            | 0xe0000..=0xe007f
    );
    !is_format && !c.is_control()
}

fn looks_like_a_path(path: &Path, text: &str) -> bool {
    let is_usual = |c: char| c.is_alphanumeric() || " ._-/@~+".contains(c);
    if !may_show(text) || !text.chars().all(is_usual) {
        return false;
    }
    let has_extension = path.extension().is_some_and(|extension| {
        (1..=8).contains(&extension.len()) && extension.to_str().is_some_and(|e| e.is_ascii())
    });
    // Base64 may have slashes too, but it has capital letters, and there is no directory of that name.
    let is_in_a_directory = || {
        let parent = path.parent();
        let is_there = |parent: &Path| parent.parent().is_some() && parent.is_dir();
        text.contains('/')
            && (parent.is_some_and(is_there) || !text.chars().any(char::is_uppercase))
    };
    // A plain file name in the current directory.
    let is_a_word = || {
        text.chars()
            .all(|c| c.is_ascii_lowercase() || c == '-' || c == '_')
    };
    has_extension || is_in_a_directory() || is_a_word()
}

/// Writes text, with invisible characters escaped.
fn write_visible(f: &mut fmt::Formatter<'_>, text: impl Iterator<Item = char>) -> fmt::Result {
    use fmt::Write;
    for c in text {
        match is_visible(c) {
            true => f.write_char(c)?,
            false => write!(f, "{}", c.escape_default())?,
        }
    }
    Ok(())
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            // `Debug` of a string escapes invisible characters and quotes.
            Rule::Value => write!(f, "{:?}", self.text),
            Rule::Plain => write_visible(f, self.text.chars()),
            Rule::Length(what) => {
                let lines = self.text.lines().count();
                write!(f, "{what} of {} characters", self.text.chars().count())?;
                match lines {
                    0 | 1 => Ok(()),
                    several => write!(f, " on {several} lines"),
                }
            }
            Rule::Public => {
                write_visible(f, self.text.chars().take(MAX_PUBLIC))?;
                match self.text.chars().nth(MAX_PUBLIC) {
                    Some(_) => f.write_str("…"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n\
                       MfZ0kq/nB6QqQKhjRUwqS8oqGZ1o\n-----END PRIVATE KEY-----\n";

    #[test]
    fn a_value_is_repeated_if_it_is_short_and_has_one_line() {
        assert_eq!(Shown::value("9\" or so").to_string(), "\"9\\\" or so\"");
        let longest = "x".repeat(64);
        assert_eq!(Shown::value(&longest).to_string(), format!("{longest:?}"));
        let longer = "ä".repeat(65);
        assert_eq!(Shown::value(&longer).to_string(), "text of 65 characters");
        assert_eq!(
            Shown::value("a\nb").to_string(),
            "text of 3 characters on 2 lines"
        );
    }

    #[test]
    fn no_line_of_a_private_key_is_shown_except_as_public_text() {
        for text in [KEY, &KEY.replace('\n', " "), &KEY.replace('\n', "")] {
            let all = [
                Shown::value(text),
                Shown::misplaced(text),
                Shown::path(Path::new(text)),
                Shown::key(text),
            ];
            for shown in all {
                for line in KEY.lines() {
                    assert!(!shown.to_string().contains(line), "{shown}");
                    assert!(!format!("{shown:?}").contains(line), "{shown:?}");
                }
            }
        }
        for line in KEY.lines() {
            let shown = Shown::path(Path::new(line)).to_string();
            assert!(!shown.contains(line), "{shown}");
        }
    }

    #[test]
    fn a_path_is_shown_if_it_looks_like_one() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("x".repeat(80));
        std::fs::write(&there, "").unwrap();
        let beside = directory.path().join("Missing");
        for path in [
            Path::new("certs/server.key"),
            Path::new("server.key"),
            Path::new("nowhere"),
            Path::new("/run/secrets/meter-17"),
            Path::new("/"),
            &there,
            &beside,
        ] {
            assert_eq!(Shown::path(path).to_string(), path.display().to_string());
        }
        for no_path in [
            "A1_TEST_TOKEN",
            "aGVsbG8/d29ybGQrMTIzNDU2Nzg5MA==",
            "AGVsbG8/d29ybGQrMTIzNDU2Nzg5MA",
            "-----BEGIN PRIVATE KEY-----",
            "a\u{202e}.pem",
        ] {
            let shown = Shown::path(Path::new(no_path)).to_string();
            let length = no_path.chars().count();
            assert_eq!(shown, format!("a path of {length} characters"));
        }
    }

    #[test]
    fn an_unknown_key_is_shown_if_it_has_a_keys_form() {
        assert_eq!(Shown::key("upstream.uri").to_string(), "upstream.uri");
        for no_key in ["A1_TEST_TOKEN", "MIGHAgEA", "a\u{202e}b", &"x".repeat(65)] {
            let shown = Shown::key(no_key).to_string();
            assert!(shown.starts_with("a key of "), "{shown}");
        }
    }

    #[test]
    fn public_text_is_shortened_and_escaped() {
        let shown = Shown::public("CN=\u{202e}moc\x1b[31m\nnext").to_string();
        assert_eq!(shown, "CN=\\u{202e}moc\\u{1b}[31m\\nnext");
        let shown = Shown::public(&"ä".repeat(1 << 20)).to_string();
        assert_eq!(shown.chars().count(), MAX_PUBLIC + 1);
    }

    #[test]
    fn invisible_characters_are_those_that_debug_escapes() {
        // `Debug` escapes characters that the standard library's tables list as not printable.
        for c in ('\0'..=char::MAX).filter(|c| !is_visible(*c)) {
            let quoted = format!("{c:?}");
            assert!(quoted.starts_with("'\\"), "{:#x} {quoted}", u32::from(c));
        }
        for c in [
            '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{2028}', '\u{7f}',
        ] {
            assert!(!is_visible(c), "{c:?}");
        }
        for c in "aÄ é中€🙂-_'\"\\".chars() {
            assert!(is_visible(c), "{c:?}");
        }
    }
}
