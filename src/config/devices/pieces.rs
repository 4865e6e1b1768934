//! Splits a registry into pieces: the text before the first `[[device]]`, then one piece for each.
//!
//! A parsed TOML document takes many times the memory of its text, a hundred times if every line is wrong, and a gateway
//! that reads its registry again must not run out of it. So only one piece is parsed at a time, and its size is bounded.
//!
//! A line that begins with `[[device]]` begins a new entry, unless it is within a string of several lines. So the pieces
//! of a valid file have the same entries as the whole, and of an invalid file at least one piece is invalid.

/// The largest entry in bytes, from its first line to its last; comments below it are not counted.
const LARGEST: usize = 1024 * 1024;

/// Comments and empty lines between entries are split into pieces of about this size.
const COMMENTS: usize = 64 * 1024;

/// Some whole lines of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'t> {
    pub(super) text: &'t str,
    /// Lines before it.
    pub(super) before: usize,
    /// The entry is larger than allowed, and this is its beginning. No other piece follows.
    pub(super) is_too_large: bool,
}

impl Piece<'_> {
    /// Whether it begins with `[[device]]`.
    pub(super) fn is_entry(&self) -> bool {
        begins_entry(self.text)
    }
}

/// Iterates over the pieces of a text.
#[derive(Debug)]
pub(super) struct Pieces<'t> {
    rest: &'t str,
    before: usize,
}

impl<'t> Pieces<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Pieces {
            rest: text,
            before: 0,
        }
    }
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        // The end of the lines that were read, and the end of this piece, in bytes; then the same in lines.
        let (mut seen, mut end) = (0, 0);
        let (mut lines_seen, mut lines) = (0, 0);
        let mut string = Open::None;
        let mut has_code = false;
        for line in self.rest.split_inclusive('\n') {
            let is_code = string != Open::None || holds_code(line);
            if seen > 0 && string == Open::None && begins_entry(line) {
                break;
            }
            string = string.after(line);
            (seen, lines_seen) = (seen + line.len(), lines_seen + 1);
            has_code |= is_code;
            if is_code || !has_code {
                (end, lines) = (seen, lines_seen);
            }
            if end > if has_code { LARGEST } else { COMMENTS } {
                break;
            }
        }
        let (text, rest) = self.rest.split_at_checked(end)?;
        let is_too_large = has_code && end > LARGEST;
        let piece = Piece {
            text,
            before: self.before,
            is_too_large,
        };
        self.before += lines;
        self.rest = if is_too_large { "" } else { rest };
        (!text.is_empty()).then_some(piece)
    }
}

/// Whether a line is more than a comment, if it is not within a string.
fn holds_code(line: &str) -> bool {
    let text = line.trim_start_matches([' ', '\t', '\r', '\n']);
    !text.is_empty() && !text.starts_with('#')
}

fn begins_entry(line: &str) -> bool {
    line.trim_start_matches([' ', '\t'])
        .starts_with("[[device]]")
}

/// The string of several lines that a line is within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    None,
    /// `"""`, with escapes.
    Basic,
    /// `'''`
    Literal,
}

impl Open {
    /// The string that the next line is within.
    fn after(mut self, line: &str) -> Open {
        let mut rest = line;
        loop {
            let step = match self {
                Open::None => outside(rest),
                Open::Basic => within_basic(rest),
                Open::Literal => within_literal(rest),
            };
            match step {
                Some(next) => (self, rest) = next,
                None => return self,
            }
        }
    }
}

/// Skips to the inside of the next string, or past a string of one line. `None`: there is none, or a comment comes first,
/// or it is not closed; then the line is invalid, and the string ends with it.
fn outside(line: &str) -> Option<(Open, &str)> {
    let from = line.get(line.find(['#', '"', '\''])?..)?;
    if let Some(inner) = from.strip_prefix("\"\"\"") {
        Some((Open::Basic, inner))
    } else if let Some(inner) = from.strip_prefix("'''") {
        Some((Open::Literal, inner))
    } else if let Some(inner) = from.strip_prefix('"') {
        Some((Open::None, inner.get(closing(inner)? + 1..)?))
    } else if let Some(inner) = from.strip_prefix('\'') {
        Some((Open::None, inner.get(inner.find('\'')? + 1..)?))
    } else {
        None
    }
}

fn within_basic(line: &str) -> Option<(Open, &str)> {
    let from = line.get(line.find(['\\', '"'])?..)?;
    match from.strip_prefix('\\') {
        // The character after a backslash closes nothing.
        Some(escaped) => {
            let mut characters = escaped.chars();
            characters.next()?;
            Some((Open::Basic, characters.as_str()))
        }
        None => past_quotes(from, '"', Open::Basic),
    }
}

fn within_literal(line: &str) -> Option<(Open, &str)> {
    let from = line.get(line.find('\'')?..)?;
    past_quotes(from, '\'', Open::Literal)
}

/// Three quotes close a string, and up to two before them may belong to its text.
fn past_quotes(from: &str, quote: char, open: Open) -> Option<(Open, &str)> {
    let after = from.trim_start_matches(quote);
    match from.len() - after.len() {
        0..3 => Some((open, after)),
        several => Some((Open::None, from.get(several.min(5)..)?)),
    }
}

/// The position of the quote that closes a string with escapes.
fn closing(inner: &str) -> Option<usize> {
    let mut is_escaped = false;
    inner.bytes().position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    })
}

#[cfg(test)]
mod tests;
