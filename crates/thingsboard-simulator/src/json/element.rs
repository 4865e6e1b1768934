//! Gson's tree of a JSON document, and its output.

use std::fmt::{self, Write};

/// One JSON value (`com.google.gson.JsonElement`).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Element {
    Null,
    Boolean(bool),
    /// The digits as sent: Gson keeps a number as text (`LazilyParsedNumber`) until it is converted.
    Number(String),
    Text(String),
    Array(Vec<Element>),
    /// Members in their order; a repeated name keeps its first place and its last value.
    Object(Vec<(String, Element)>),
}

impl Element {
    /// `JsonObject.get`: the member of that name, if this is an object with such a member.
    pub(crate) fn get(&self, name: &str) -> Option<&Element> {
        match self {
            Element::Object(members) => members
                .iter()
                .find(|(member, _)| member == name)
                .map(|(_, value)| value),
            Element::Null
            | Element::Boolean(_)
            | Element::Number(_)
            | Element::Text(_)
            | Element::Array(_) => None,
        }
    }

    /// `JsonElement.getAsString`: the text of a primitive, or of the only element of an array. `None` is where
    /// Gson throws an exception that is not a parse error.
    pub(crate) fn as_string(&self) -> Option<String> {
        match self {
            Element::Text(text) => Some(text.clone()),
            Element::Number(digits) => Some(digits.clone()),
            Element::Boolean(value) => Some(value.to_string()),
            Element::Array(elements) => match elements.as_slice() {
                [only] => only.as_string(),
                _ => None,
            },
            Element::Null | Element::Object(_) => None,
        }
    }

    /// `JsonElement.getAsLong`: a whole number, or a fraction cut to one; text counts if it is a number.
    pub(crate) fn as_long(&self) -> Option<i64> {
        let text = match self {
            Element::Boolean(_) => return None,
            Element::Null
            | Element::Number(_)
            | Element::Text(_)
            | Element::Array(_)
            | Element::Object(_) => self.as_string()?,
        };
        super::numeric::java_long(&text)
    }
}

/// Gson's compact output: members in their order, nulls included, no HTML escapes.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Null => f.write_str("null"),
            Element::Boolean(value) => write!(f, "{value}"),
            Element::Number(digits) => f.write_str(digits),
            Element::Text(text) => quoted(f, text),
            Element::Array(elements) => {
                f.write_char('[')?;
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        f.write_char(',')?;
                    }
                    write!(f, "{element}")?;
                }
                f.write_char(']')
            }
            Element::Object(members) => {
                f.write_char('{')?;
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        f.write_char(',')?;
                    }
                    quoted(f, name)?;
                    write!(f, ":{value}")?;
                }
                f.write_char('}')
            }
        }
    }
}

/// `JsonWriter.string`, which also escapes U+2028 and U+2029.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\t' => f.write_str("\\t")?,
            '\u{8}' => f.write_str("\\b")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\u{c}' => f.write_str("\\f")?,
            '\u{0}'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                write!(f, "\\u{:04x}", u32::from(character))?;
            }
            _ => f.write_char(character)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_written_with_the_escapes_gson_uses() {
        let element = Element::Text("a\"\\\t\u{1}\u{2028}é<".into());
        assert_eq!(element.to_string(), "\"a\\\"\\\\\\t\\u0001\\u2028é<\"");
    }

    #[test]
    fn members_keep_their_order_and_numbers_their_digits() {
        let element = Element::Object(vec![
            ("z".into(), Element::Number("1.50".into())),
            (
                "a".into(),
                Element::Array(vec![Element::Null, Element::Boolean(true)]),
            ),
        ]);
        assert_eq!(element.to_string(), r#"{"z":1.50,"a":[null,true]}"#);
    }

    #[test]
    fn the_only_element_of_an_array_stands_for_it() {
        let one = Element::Array(vec![Element::Text("m".into())]);
        let two = Element::Array(vec![Element::Null, Element::Null]);
        assert_eq!(one.as_string().as_deref(), Some("m"));
        assert_eq!(two.as_string(), None);
    }

    #[test]
    fn a_long_is_read_from_text_and_cut_from_a_fraction() {
        assert_eq!(Element::Text("12".into()).as_long(), Some(12));
        assert_eq!(Element::Number("1.9".into()).as_long(), Some(1));
        assert_eq!(Element::Text("soon".into()).as_long(), None);
        assert_eq!(Element::Null.as_long(), None);
    }
}
