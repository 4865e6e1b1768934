//! What ThingsBoard makes of the values in telemetry and attributes (`JsonConverter.parseProtoValues`).

use super::{Element, numeric};

/// JSON that could be read but has the wrong shape. Which of the two it is decides the body of the 500.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ShapeError {
    /// Gson's `JsonSyntaxException`: its message is the body of the answer.
    Parse(String),
    /// Any other exception (`IllegalStateException`, `NullPointerException`, `NumberFormatException` …): empty body.
    Other,
}

impl ShapeError {
    /// `JsonConverter`'s own complaint about a value it has no use for.
    pub(crate) fn cannot_parse(element: &Element) -> ShapeError {
        ShapeError::Parse(format!("Can't parse value: {element}"))
    }
}

/// The key-value pairs of one object: nulls are skipped, text that is a number is cast to one
/// (`JSON_TYPE_CAST_ENABLED`, on by default), objects and arrays stay JSON.
pub(crate) fn key_values(element: &Element) -> Result<Vec<(String, Element)>, ShapeError> {
    let Element::Object(members) = element else {
        return Err(ShapeError::Other);
    };
    let mut pairs = Vec::with_capacity(members.len());
    for (key, value) in members {
        let value = match value {
            Element::Null => continue,
            Element::Text(text) if numeric::is_parsable(text) => {
                numeric::cast(text).unwrap_or_else(|| value.clone())
            }
            Element::Number(digits) => numeric::cast(digits).ok_or(ShapeError::Other)?,
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
            Err(ShapeError::Other)
        );
    }
}
