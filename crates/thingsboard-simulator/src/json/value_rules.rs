//! Converts the values of telemetry and attributes (`JsonConverter.parseProtoValues`).

use super::{Element, SyntaxError, numeric};

/// The Java exception of a handler, which decides the body of its 500.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exception {
    /// Gson's `JsonParseException`: its message is the body.
    JsonParse(String),
    /// `IllegalStateException`, for an array or a primitive in place of an object: an empty body. MQTT's adaptor takes it
    /// for a parse error.
    IllegalState,
    /// Any other (`NullPointerException`, `NumberFormatException` …): an empty body. MQTT's handler closes the connection.
    Other,
}

impl From<SyntaxError> for Exception {
    fn from(SyntaxError(message): SyntaxError) -> Exception {
        Exception::JsonParse(message)
    }
}

impl Exception {
    /// `JsonConverter`'s exception for a value of the wrong type.
    pub(crate) fn cannot_parse(element: &Element) -> Exception {
        Exception::JsonParse(format!("Can't parse value: {element}"))
    }
}

/// [`Element::as_string`] with Gson's exception.
pub(crate) fn string(element: &Element) -> Result<String, Exception> {
    element.as_string().ok_or_else(|| conversion(element))
}

/// [`Element::as_long`] with Gson's exception.
pub(crate) fn long(element: &Element) -> Result<i64, Exception> {
    element.as_long().ok_or_else(|| conversion(element))
}

/// The exception of `getAsString` or `getAsLong`.
fn conversion(element: &Element) -> Exception {
    match element {
        Element::Array(elements) => match elements.as_slice() {
            [only] => conversion(only),
            _ => Exception::IllegalState,
        },
        Element::Null
        | Element::Boolean(_)
        | Element::Number(_)
        | Element::Text(_)
        | Element::Object(_) => Exception::Other,
    }
}

/// The key-value pairs of one object: nulls are skipped, text that is a number is cast to one
/// (`JSON_TYPE_CAST_ENABLED`, on by default), objects and arrays stay JSON.
pub(crate) fn key_values(element: &Element) -> Result<Vec<(String, Element)>, Exception> {
    let Element::Object(members) = element else {
        return Err(Exception::IllegalState);
    };
    let mut pairs = Vec::with_capacity(members.len());
    for (key, value) in members {
        let value = match value {
            Element::Null => continue,
            Element::Text(text) if numeric::is_parsable(text) => {
                numeric::cast(text).unwrap_or_else(|| value.clone())
            }
            Element::Number(digits) => numeric::cast(digits).ok_or(Exception::Other)?,
            Element::Boolean(_) | Element::Text(_) | Element::Array(_) | Element::Object(_) => {
                value.clone()
            }
        };
        pairs.push((key.clone(), value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn converted(text: &str) -> String {
        Element::Object(key_values(&read(text).unwrap()).unwrap()).to_string()
    }

    #[test]
    fn nulls_are_skipped_and_numeric_strings_cast() {
        assert_eq!(
            converted(r#"{a:null,b:"25",c:"-1.50",d:"1e5",e:"on",f:" 1"}"#),
            r#"{"b":25,"c":-1.5,"d":"1e5","e":"on","f":" 1"}"#
        );
    }

    #[test]
    fn objects_and_arrays_stay_json() {
        assert_eq!(
            converted("{a:{b:null,c:'2'},d:[1,'2']}"),
            r#"{"a":{"b":null,"c":"2"},"d":[1,"2"]}"#
        );
    }

    #[test]
    fn only_an_object_has_values() {
        assert_eq!(
            key_values(&Element::Array(Vec::new())),
            Err(Exception::IllegalState)
        );
    }
}
