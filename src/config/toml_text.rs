//! TOML text with the line of each value.

use super::mistake::{Mistake, Problem};
use toml::Spanned;
use toml::de::DeTable;

/// More syntax errors than this are not reported.
const MAX_ERRORS: usize = 100;

/// Parses TOML as far as it goes. Every syntax error becomes a mistake. Returns also the lines these errors are on,
/// because a value that the parser recovered there says nothing.
pub(super) fn parse<'a>(
    file: &str,
    text: &'a str,
    lines: &Lines,
    mistakes: &mut Vec<Mistake>,
) -> (Spanned<DeTable<'a>>, Vec<usize>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut damaged = Vec::new();
    for error in errors {
        let line = lines.at(error.span().map_or(0, |span| span.start));
        // One slip often makes several errors; the first on a line is enough. The error's `Display` is not used: it
        // repeats the line, which may hold a token.
        if !damaged.contains(&line) && damaged.len() < MAX_ERRORS {
            damaged.push(line);
            let problem = Problem::new(format!("this is not TOML: {}", error.message()), "");
            mistakes.push(Mistake::new(format!("{file}:{line}"), "", problem));
        }
    }
    (document, damaged)
}

/// Where lines end, to find the line of a byte.
pub(super) struct Lines {
    ends: Vec<usize>,
    /// Lines before the text, where it is only part of a file.
    before: usize,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Lines::after(0, text)
    }

    /// For a text that begins after this many lines of its file.
    pub(super) fn after(before: usize, text: &str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at).collect();
        Lines { ends, before }
    }

    /// The line, counted from 1, that has this byte.
    pub(super) fn at(&self, byte: usize) -> usize {
        self.before + self.ends.partition_point(|end| *end < byte) + 1
    }
}
