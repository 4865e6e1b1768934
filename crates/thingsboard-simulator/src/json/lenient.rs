//! Gson's lenient parser (`JsonParser.parseString`), with its error messages.
//!
//! Beyond RFC 8259 it accepts: unquoted names and strings, single quotes, `//`, `#` and `/* */` comments, `=` and
//! `=>` for `:`, `;` for `,`, an empty array element as null, `NaN`, leading zeros (as a string), keywords in any
//! case, a byte order mark, and Gson's `)]}'` prefix. Text that is empty reads as null.

use super::Element;
use std::collections::HashMap;

/// Gson's limit (2.12 and later).
const NESTING_LIMIT: usize = 255;
/// The simulator's own limit on the values of one document: a tree takes many times the memory of its text.
const ELEMENT_LIMIT: usize = 1_000_000;

/// The message of Gson's `JsonSyntaxException`, which is the body of ThingsBoard's response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError(pub(crate) String);

/// Parses one document.
pub(crate) fn read(text: &str) -> Result<Element, SyntaxError> {
    let mut reader = Reader {
        text,
        at: 0,
        path: Vec::new(),
        elements: 0,
    };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    // `Streams.parse`: an empty document is null, not an error.
    if reader.next_significant()?.is_none() {
        return Ok(Element::Null);
    }
    if reader.rest().starts_with(")]}'\n") {
        reader.at += 5;
    }
    let element = reader.value()?;
    // `JsonParser.parseReader` lets a leading null be followed by anything.
    if element != Element::Null && reader.next_significant()?.is_some() {
        reader.value()?;
        return Err(SyntaxError(
            "Did not consume the entire document.".to_owned(),
        ));
    }
    Ok(element)
}

/// One step of the path in error messages, as in `$.name[2]`.
enum Step {
    Member(String),
    Index(usize),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    path: Vec<Step>,
    elements: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    /// Skips white space and comments, and peeks at the character after them.
    fn next_significant(&mut self) -> Result<Option<char>, SyntaxError> {
        loop {
            let rest = self.rest();
            match self.peek() {
                Some(' ' | '\n' | '\r' | '\t') => self.at += 1,
                Some('#') => self.skip_line(),
                Some('/') if rest.starts_with("//") => self.skip_line(),
                Some('/') if rest.starts_with("/*") => {
                    match rest.get(2..).unwrap_or_default().find("*/") {
                        Some(end) => self.at += end + 4,
                        None => return Err(self.syntax("Unterminated comment")),
                    }
                }
                other => return Ok(other),
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = self.rest();
        self.at += rest.find(['\n', '\r']).map_or(rest.len(), |end| end + 1);
    }

    /// As [`next_significant`](Self::next_significant), but the end of the document is an error.
    fn required(&mut self) -> Result<char, SyntaxError> {
        match self.next_significant()? {
            Some(character) => Ok(character),
            None => Err(SyntaxError(format!(
                "java.io.EOFException: End of input{}",
                self.location()
            ))),
        }
    }

    fn value(&mut self) -> Result<Element, SyntaxError> {
        self.elements += 1;
        if self.elements > ELEMENT_LIMIT {
            return Err(SyntaxError(format!(
                "Failed parsing JSON source: more than {ELEMENT_LIMIT} values (a limit of this simulator)"
            )));
        }
        match self.required()? {
            '{' => self.object(),
            '[' => self.array(),
            quote @ ('"' | '\'') => {
                self.at += 1;
                Ok(Element::Text(self.quoted(quote)?))
            }
            ';' | ',' | ']' => {
                self.at += 1;
                Err(self.syntax("Unexpected value"))
            }
            _ => self.literal(),
        }
    }

    fn object(&mut self) -> Result<Element, SyntaxError> {
        self.descend(Step::Member(String::new()))?;
        let mut members: Vec<(String, Element)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        if self.required()? == '}' {
            self.at += 1;
            self.path.pop();
            return Ok(Element::Object(members));
        }
        loop {
            let name = self.name()?;
            if let Some(Step::Member(current)) = self.path.last_mut() {
                current.clone_from(&name);
            }
            match self.required()? {
                ':' => self.at += 1,
                '=' => self.at += if self.rest().starts_with("=>") { 2 } else { 1 },
                _ => {
                    self.take();
                    return Err(self.syntax("Expected ':'"));
                }
            }
            let value = self.value()?;
            let place = *places.entry(name.clone()).or_insert(members.len());
            match members.get_mut(place) {
                Some(member) => member.1 = value,
                None => members.push((name, value)),
            }
            match self.required()? {
                '}' => {
                    self.at += 1;
                    self.path.pop();
                    return Ok(Element::Object(members));
                }
                ',' | ';' => self.at += 1,
                _ => {
                    self.take();
                    return Err(self.syntax("Unterminated object"));
                }
            }
        }
    }

    fn name(&mut self) -> Result<String, SyntaxError> {
        match self.required()? {
            quote @ ('"' | '\'') => {
                self.at += 1;
                self.quoted(quote)
            }
            character if is_literal(character) => Ok(self.unquoted().to_owned()),
            '}' => {
                self.at += 1;
                Err(self.syntax("Expected name"))
            }
            _ => Err(self.syntax("Expected name")),
        }
    }

    fn array(&mut self) -> Result<Element, SyntaxError> {
        self.descend(Step::Index(0))?;
        let mut elements = Vec::new();
        if self.required()? == ']' {
            self.at += 1;
            self.path.pop();
            return Ok(Element::Array(elements));
        }
        loop {
            // In lenient mode an empty element is a null.
            elements.push(match self.required()? {
                ',' | ';' | ']' => {
                    self.elements += 1;
                    Element::Null
                }
                _ => self.value()?,
            });
            if let Some(Step::Index(index)) = self.path.last_mut() {
                *index = elements.len();
            }
            match self.required()? {
                ']' => {
                    self.at += 1;
                    self.path.pop();
                    return Ok(Element::Array(elements));
                }
                ',' | ';' => self.at += 1,
                _ => {
                    self.take();
                    return Err(self.syntax("Unterminated array"));
                }
            }
        }
    }

    fn descend(&mut self, step: Step) -> Result<(), SyntaxError> {
        self.at += 1;
        if self.path.len() >= NESTING_LIMIT {
            return Err(self.malformed(format!(
                "Nesting limit {NESTING_LIMIT} reached{}",
                self.location()
            )));
        }
        self.path.push(step);
        Ok(())
    }

    /// Parses a string after its opening quote. It may contain line breaks.
    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let mut units: Vec<u16> = Vec::new();
        let mut buffer = [0; 2];
        loop {
            let Some(character) = self.take() else {
                return Err(self.syntax("Unterminated string"));
            };
            match character {
                _ if character == quote => {
                    // A lone surrogate has no UTF-8; Java writes it as `?`.
                    return Ok(char::decode_utf16(units)
                        .map(|unit| unit.unwrap_or('?'))
                        .collect());
                }
                '\\' => units.push(self.escape()?),
                _ => units.extend_from_slice(character.encode_utf16(&mut buffer)),
            }
        }
    }

    fn escape(&mut self) -> Result<u16, SyntaxError> {
        let Some(escaped) = self.take() else {
            return Err(self.syntax("Unterminated escape sequence"));
        };
        Ok(match escaped {
            'u' => {
                let Some(digits) = self.rest().get(..4) else {
                    return Err(self.syntax("Unterminated escape sequence"));
                };
                let unit = u16::from_str_radix(digits, 16)
                    .ok()
                    .filter(|_| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let Some(unit) = unit else {
                    return Err(self.syntax(&format!("Malformed Unicode escape \\u{digits}")));
                };
                self.at += 4;
                unit
            }
            't' => 9,
            'b' => 8,
            'n' => 10,
            'r' => 13,
            'f' => 12,
            '\n' => 10,
            '\'' => 39,
            '"' => 34,
            '\\' => 92,
            '/' => 47,
            _ => return Err(self.syntax("Invalid escape sequence")),
        })
    }

    /// Parses a keyword, a number, or unquoted text.
    fn literal(&mut self) -> Result<Element, SyntaxError> {
        let literal = self.unquoted();
        if literal.is_empty() {
            return Err(self.syntax("Expected value"));
        }
        Ok(if literal.eq_ignore_ascii_case("true") {
            Element::Boolean(true)
        } else if literal.eq_ignore_ascii_case("false") {
            Element::Boolean(false)
        } else if literal.eq_ignore_ascii_case("null") {
            Element::Null
        } else if is_number(literal) {
            Element::Number(literal.to_owned())
        } else {
            Element::Text(literal.to_owned())
        })
    }

    fn unquoted(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|character| !is_literal(character))
            .unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn syntax(&self, message: &str) -> SyntaxError {
        self.malformed(format!(
            "{message}{}\nSee https://github.com/google/gson/blob/main/Troubleshooting.md#malformed-json",
            self.location()
        ))
    }

    fn malformed(&self, message: String) -> SyntaxError {
        SyntaxError(format!(
            "com.google.gson.stream.MalformedJsonException: {message}"
        ))
    }

    /// Gson's `locationString`; its columns count UTF-16 units.
    fn location(&self) -> String {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let since = before.rsplit('\n').next().unwrap_or_default();
        let column = since.encode_utf16().count() + 1;
        let mut path = String::from("$");
        for step in &self.path {
            match step {
                Step::Member(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        format!(" at line {line} column {column} path {path}")
    }
}

/// `JsonReader.isLiteral`: whether unquoted text may contain this character.
fn is_literal(character: char) -> bool {
    !matches!(
        character,
        '/' | '\\'
            | ';'
            | '#'
            | '='
            | '{'
            | '}'
            | '['
            | ']'
            | ':'
            | ','
            | ' '
            | '\t'
            | '\u{c}'
            | '\r'
            | '\n'
    )
}

/// `JsonReader.peekNumber`: RFC 8259's grammar; anything else (`007`, `+1`, `.5`, `0x1F`) is unquoted text.
fn is_number(literal: &str) -> bool {
    let unsigned = literal.strip_prefix('-').unwrap_or(literal);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent
            .is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests;
