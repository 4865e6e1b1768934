//! What a message, a log line or a metric may show of text that others wrote.
//!
//! A value in the wrong place may be a secret: a private key where its path should be, a token where a fingerprint should
//! be. So no message repeats what is longer than 64 characters, has several lines, or lacks the form of the field it
//! stands in: it says how long that is. The message's place (file and line, variable, option) says where to look.
//!
//! Names in certificates and texts of libraries are public, but of anyone's making. They are shortened, and shown without
//! control characters and without the invisible ones that change how a line is displayed (Unicode's `Cf`: bidirectional
//! controls such as U+202E, zero-width characters).

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// The longest value that a message repeats, in characters.
const MOST: usize = 64;

/// The longest text of a library, in characters: most say more than a value does.
const MOST_PUBLIC: usize = 200;

/// Text as a message may show it. `Display` and `Debug` decide alike.
#[derive(Clone)]
pub struct Shown<'t> {
    text: Cow<'t, str>,
    rule: Rule,
}

#[derive(Clone, Copy)]
enum Rule {
    /// In quotes.
    Value,
    /// As it is, but for characters that don't print.
    Plain,
    /// By its length, with this before it.
    Length(&'static str),
    /// As it is, shortened.
    Public,
}

impl<'t> Shown<'t> {
    fn new(text: impl Into<Cow<'t, str>>, rule: Rule) -> Self {
        let text = text.into();
        Shown { text, rule }
    }

    /// A value that has the form of its field.
    pub fn value(text: &'t str) -> Self {
        match may_show(text) {
            true => Shown::new(text, Rule::Value),
            false => Shown::misplaced(text),
        }
    }

    /// What lacks the form of its field: its length.
    pub fn misplaced(text: &'t str) -> Self {
        Shown::new(text, Rule::Length("text"))
    }

    /// A path. It is shown if something is there, or if it looks like a path: a token or a key in its place does not.
    pub fn path(path: &'t Path) -> Self {
        let text = path.to_string_lossy();
        let rule = match path.symlink_metadata().is_ok() || looks_like_a_path(path, &text) {
            true => Rule::Plain,
            false => Rule::Length("a path"),
        };
        Shown::new(text, rule)
    }

    /// A key that is not known. Its form is that of those that are: `section.key`, in lower case.
    pub fn key(text: &'t str) -> Self {
        let has_form = text
            .chars()
            .all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.'));
        let rule = match has_form && may_show(text) {
            true => Rule::Plain,
            false => Rule::Length("a key"),
        };
        Shown::new(text, rule)
    }

    /// Public text of anyone's making: what a certificate is named, what a library says of a peer.
    pub fn public(text: &'t str) -> Self {
        Shown::new(text, Rule::Public)
    }
}

/// Whether a value is short and of one line, as no private key is.
pub fn may_show(text: &str) -> bool {
    text.chars().nth(MOST).is_none() && !text.contains(['\n', '\r'])
}

/// Whether a character shows where it stands, and changes nothing around it: no control character, no line separator,
/// no invisible format character.
pub fn is_visible(c: char) -> bool {
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
    // Base64 may have slashes too, but also capital letters, and no directory of its name is there.
    let is_in_a_directory = || {
        let parent = path.parent();
        let is_there = |parent: &Path| parent.parent().is_some() && parent.is_dir();
        text.contains('/')
            && (parent.is_some_and(is_there) || !text.chars().any(char::is_uppercase))
    };
    // As files are named in the directory one stands in.
    let is_a_word = || {
        text.chars()
            .all(|c| c.is_ascii_lowercase() || c == '-' || c == '_')
    };
    has_extension || is_in_a_directory() || is_a_word()
}

/// Writes text with what is not visible as escapes.
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
            // Debug of a string escapes what is not visible, and quotes.
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
                write_visible(f, self.text.chars().take(MOST_PUBLIC))?;
                match self.text.chars().nth(MOST_PUBLIC) {
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
    fn a_value_is_repeated_if_it_is_short_and_of_one_line() {
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
    fn no_rule_but_that_of_public_text_repeats_a_line_of_a_private_key() {
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
    fn a_path_is_shown_if_it_is_one() {
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
    fn a_key_has_the_form_of_those_that_are_known() {
        assert_eq!(Shown::key("upstream.uri").to_string(), "upstream.uri");
        for no_key in ["A1_TEST_TOKEN", "MIGHAgEA", "a\u{202e}b", &"x".repeat(65)] {
            let shown = Shown::key(no_key).to_string();
            assert!(shown.starts_with("a key of "), "{shown}");
        }
    }

    #[test]
    fn public_text_is_shortened_and_shows_what_it_holds() {
        let shown = Shown::public("CN=\u{202e}moc\x1b[31m\nnext").to_string();
        assert_eq!(shown, "CN=\\u{202e}moc\\u{1b}[31m\\nnext");
        let shown = Shown::public(&"ä".repeat(1 << 20)).to_string();
        assert_eq!(shown.chars().count(), MOST_PUBLIC + 1);
    }

    #[test]
    fn what_debug_escapes_of_spaceless_text_is_not_visible_here_either() {
        // `Debug` of a string escapes what the standard library's tables say does not print.
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
