//! Scans JSON as Gson's lenient reader does, which ThingsBoard uses: without a tree, in one pass, and without allocations
//! but for escaped names.
//!
//! Beyond RFC 8259 Gson accepts unquoted names and strings, single quotes, three kinds of comments, `=` and `=>` for `:`,
//! `;` for `,`, empty elements of arrays, a byte order mark, and the prefix `)]}'`.

use std::borrow::Cow;

/// Gson's limit (2.12 and later). Earlier ones read a deeper document, and then the stack overflows when it is written.
const NESTING_LIMIT: usize = 255;
/// The largest exponent. ThingsBoard writes a number out that is no long (`BigDecimal.toPlainString`), so `1e2000000000`
/// would take its memory.
const MOST_EXPONENT: u32 = 9000;
/// The longest number that Gson reads as such is a little longer.
const LONGEST_NUMBER: usize = 1000;

/// Why a document was not scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanError {
    /// Gson can't read it, or only in a way that this scanner does not know.
    Malformed,
    TooDeep,
}

use ScanError::Malformed;

/// Whether a number of telemetry or attributes has an exponent that is too large for ThingsBoard.
pub(crate) fn has_huge_exponent(document: &[u8]) -> bool {
    #[derive(Default)]
    struct Numbers {
        is_huge: bool,
    }
    impl Visitor for Numbers {
        fn member(&mut self, _name: Text<'_>, value: Value<'_>) {
            self.inner_member(value);
        }
        fn inner_member(&mut self, value: Value<'_>) {
            self.is_huge |= matches!(value, Value::Number(digits) if is_exponent_huge(digits));
        }
    }
    let mut numbers = Numbers::default();
    // Nearly no document has one.
    if may_have_huge_exponent(document) {
        // What Gson can't read is converted to no number.
        let document = scan(document, &mut numbers);
        return document.is_ok() && numbers.is_huge;
    }
    false
}

/// Whether there is an `e` with four digits or more.
fn may_have_huge_exponent(document: &[u8]) -> bool {
    let mut rest = document;
    while let Some(at) = rest.iter().position(|byte| b"eE".contains(byte)) {
        rest = rest.get(at + 1..).unwrap_or_default();
        let digits = match rest {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        if digits
            .iter()
            .take(4)
            .filter(|byte| byte.is_ascii_digit())
            .count()
            == 4
        {
            return true;
        }
    }
    false
}

/// Whether the document is an array without elements. Only its beginning is read if it is not.
pub(crate) fn is_empty_array(document: &[u8]) -> bool {
    let is_it = || {
        let mut scanner = Scanner::begin(document)?;
        for expected in b"[]" {
            if scanner.required()? != *expected {
                return Err(Malformed);
            }
            scanner.skip(1);
        }
        scanner.next_significant()
    };
    is_it() == Ok(None)
}

/// Whether a number's exponent is too large for ThingsBoard.
pub(super) fn is_exponent_huge(digits: &[u8]) -> bool {
    let Some(at) = digits.iter().position(|byte| b"eE".contains(byte)) else {
        return false;
    };
    let exponent = digits.get(at + 1..).unwrap_or_default();
    let exponent = match exponent {
        [b'+' | b'-', digits @ ..] => digits,
        digits => digits,
    };
    let exponent = std::str::from_utf8(exponent)
        .ok()
        .and_then(|exponent| exponent.parse().ok());
    exponent.is_none_or(|exponent: u32| exponent > MOST_EXPONENT)
}

/// Whether `JsonElement.getAsLong` accepts a number: Gson has limits of its own.
pub(super) fn is_number_long(digits: &[u8]) -> bool {
    digits.len() <= LONGEST_NUMBER && !is_exponent_huge(digits)
}

/// A value, as far as ThingsBoard's conversions differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    Boolean,
    /// Its digits, as RFC 8259 has them.
    Number(&'a [u8]),
    Text(Text<'a>),
    /// Its number of elements.
    Array(usize),
    Object,
}

/// A name or a string between its quotes, or unquoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<'a> {
    raw: &'a [u8],
    has_escapes: bool,
}

impl<'a> Text<'a> {
    /// The text without escapes. Characters outside of ASCII that are escaped become `?`: no name or number of interest has
    /// them.
    pub(super) fn decoded(&self) -> Cow<'a, [u8]> {
        if !self.has_escapes {
            return Cow::Borrowed(self.raw);
        }
        let mut decoded = Vec::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            if first != b'\\' {
                decoded.push(first);
                continue;
            }
            let Some((&escape, after)) = rest.split_first() else {
                break;
            };
            rest = after;
            decoded.push(match escape {
                b'u' => {
                    let (digits, after) = rest.split_at_checked(4).unwrap_or((rest, &[]));
                    rest = after;
                    std::str::from_utf8(digits)
                        .ok()
                        .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                        .filter(u8::is_ascii)
                        .unwrap_or(b'?')
                }
                b't' => b'\t',
                b'b' => 8,
                b'n' => b'\n',
                b'r' => b'\r',
                b'f' => 12,
                other => other,
            });
        }
        Cow::Owned(decoded)
    }

    pub(super) fn is(&self, name: &str) -> bool {
        *self.decoded() == *name.as_bytes()
    }
}

/// Gets what a document holds while it is scanned.
pub(super) trait Visitor {
    /// A member of the outermost object, or of an object that is an element of the outermost array.
    fn member(&mut self, _name: Text<'_>, _value: Value<'_>) {}
    /// A member of an object that is the value of such a member named `values`.
    fn inner_member(&mut self, _value: Value<'_>) {}
    /// The end of such an object.
    fn end_of_object(&mut self) {}
}

/// Scans a whole document and returns its outermost value; `None` if it is empty, which Gson takes for null.
pub(super) fn scan<'a>(
    document: &'a [u8],
    visitor: &mut dyn Visitor,
) -> Result<Option<Value<'a>>, ScanError> {
    let mut scanner = Scanner::begin(document)?;
    if scanner.rest.is_empty() {
        return Ok(None);
    }
    let value = scanner.value(0, Role::Outermost, visitor)?;
    // `JsonParser.parseReader` lets a leading null be followed by anything.
    if value != Value::Null && scanner.next_significant()?.is_some() {
        return Err(Malformed);
    }
    Ok(Some(value))
}

/// What the visitor hears of a value's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Outermost,
    Element,
    /// The value of a member named `values`.
    Values,
    Other,
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// At the outermost value, or at the end if there is none.
    fn begin(document: &'a [u8]) -> Result<Scanner<'a>, ScanError> {
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let mut scanner = Scanner { rest: document };
        scanner.next_significant()?;
        if let Some(rest) = scanner.rest.strip_prefix(b")]}'\n") {
            scanner.rest = rest;
            // It is no empty document.
            scanner.required()?;
        }
        Ok(scanner)
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Skips white space and comments, and peeks at the byte after them.
    fn next_significant(&mut self) -> Result<Option<u8>, ScanError> {
        loop {
            match self.rest {
                [b' ' | b'\n' | b'\r' | b'\t', ..] => self.skip(1),
                [b'#', ..] | [b'/', b'/', ..] => {
                    let end = self.rest.iter().position(|byte| b"\n\r".contains(byte));
                    self.skip(end.map_or(self.rest.len(), |end| end + 1));
                }
                [b'/', b'*', rest @ ..] => {
                    let end = rest.windows(2).position(|pair| pair == b"*/");
                    self.skip(end.ok_or(Malformed)? + 4);
                }
                _ => return Ok(self.rest.first().copied()),
            }
        }
    }

    fn required(&mut self) -> Result<u8, ScanError> {
        self.next_significant()?.ok_or(Malformed)
    }

    fn value(
        &mut self,
        depth: usize,
        role: Role,
        visitor: &mut dyn Visitor,
    ) -> Result<Value<'a>, ScanError> {
        match self.required()? {
            b'{' => self.object(depth, role, visitor),
            b'[' => self.array(depth, role, visitor),
            quote @ (b'"' | b'\'') => self.quoted(quote).map(Value::Text),
            _ => self.literal(),
        }
    }

    fn object(
        &mut self,
        depth: usize,
        role: Role,
        visitor: &mut dyn Visitor,
    ) -> Result<Value<'a>, ScanError> {
        self.descend(depth)?;
        let is_visited = matches!(role, Role::Outermost | Role::Element);
        let mut is_empty = self.required()? == b'}';
        if is_empty {
            self.skip(1);
        }
        while !is_empty {
            let name = match self.required()? {
                quote @ (b'"' | b'\'') => self.quoted(quote)?,
                _ => self.unquoted()?,
            };
            match (self.required()?, self.rest) {
                (b':', _) => self.skip(1),
                (b'=', [_, b'>', ..]) => self.skip(2),
                (b'=', _) => self.skip(1),
                _ => return Err(Malformed),
            }
            let inner = match is_visited && name.is("values") {
                true => Role::Values,
                false => Role::Other,
            };
            let value = self.value(depth + 1, inner, visitor)?;
            match role {
                Role::Outermost | Role::Element => visitor.member(name, value),
                Role::Values => visitor.inner_member(value),
                Role::Other => {}
            }
            match self.required()? {
                b'}' => is_empty = true,
                b',' | b';' => {}
                _ => return Err(Malformed),
            }
            self.skip(1);
        }
        if is_visited {
            visitor.end_of_object();
        }
        Ok(Value::Object)
    }

    fn array(
        &mut self,
        depth: usize,
        role: Role,
        visitor: &mut dyn Visitor,
    ) -> Result<Value<'a>, ScanError> {
        self.descend(depth)?;
        let inner = match role {
            Role::Outermost => Role::Element,
            Role::Element | Role::Values | Role::Other => Role::Other,
        };
        if self.required()? == b']' {
            self.skip(1);
            return Ok(Value::Array(0));
        }
        let mut elements = 0;
        loop {
            elements += 1;
            // An empty element is a null.
            if !matches!(self.required()?, b',' | b';' | b']') {
                self.value(depth + 1, inner, visitor)?;
            }
            let next = self.required()?;
            self.skip(1);
            match next {
                b']' => return Ok(Value::Array(elements)),
                b',' | b';' => {}
                _ => return Err(Malformed),
            }
        }
    }

    fn descend(&mut self, depth: usize) -> Result<(), ScanError> {
        self.skip(1);
        match depth < NESTING_LIMIT {
            true => Ok(()),
            false => Err(ScanError::TooDeep),
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Text<'a>, ScanError> {
        self.skip(1);
        let mut has_escapes = false;
        let mut is_escaped = false;
        let end = self.rest.iter().position(|&byte| {
            let is_end = byte == quote && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            has_escapes |= is_escaped;
            is_end
        });
        let raw = self.rest.get(..end.ok_or(Malformed)?).ok_or(Malformed)?;
        self.skip(raw.len() + 1);
        Ok(Text { raw, has_escapes })
    }

    fn unquoted(&mut self) -> Result<Text<'a>, ScanError> {
        let is_end = |byte: &u8| b"/\\;#={}[]:, \t\x0c\r\n".contains(byte);
        let end = self.rest.iter().position(is_end);
        let end = end.unwrap_or(self.rest.len());
        let raw = self.rest.get(..end).filter(|raw| !raw.is_empty());
        self.skip(end);
        Ok(Text {
            raw: raw.ok_or(Malformed)?,
            has_escapes: false,
        })
    }

    fn literal(&mut self) -> Result<Value<'a>, ScanError> {
        let text = self.unquoted()?;
        let is = |word: &str| text.raw.eq_ignore_ascii_case(word.as_bytes());
        Ok(match text.raw {
            _ if is("true") || is("false") => Value::Boolean,
            _ if is("null") => Value::Null,
            digits if is_number(digits) => Value::Number(digits),
            _ => Value::Text(text),
        })
    }
}

/// RFC 8259 §6. Anything else (`007`, `+1`, `.5`, `0x1F`) is unquoted text.
fn is_number(literal: &[u8]) -> bool {
    let unsigned = literal.strip_prefix(b"-").unwrap_or(literal);
    let exponent_at = unsigned.iter().position(|byte| b"eE".contains(byte));
    let (mantissa, exponent) = divide(unsigned, exponent_at);
    let (whole, fraction) = divide(mantissa, mantissa.iter().position(|byte| *byte == b'.'));
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let exponent = exponent.map(|exponent| match exponent {
        [b'+' | b'-', digits @ ..] => digits,
        digits => digits,
    });
    digits(whole)
        && (whole == b"0" || !whole.starts_with(b"0"))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

/// What is before and after the byte at this place.
fn divide(text: &[u8], at: Option<usize>) -> (&[u8], Option<&[u8]>) {
    match at.and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?))) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}
