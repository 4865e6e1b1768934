//! Parameters of paths and queries, as Tomcat decodes and Spring converts them.

use percent_encoding::percent_decode_str;

/// A query parameter as Spring binds it to a `String`: repeated values are joined with commas.
pub(super) fn query_parameter(query: Option<&str>, name: &str) -> Option<String> {
    let values: Vec<String> = query_values(query, name).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The values of a query parameter, in their order.
fn query_values(query: Option<&str>, name: &str) -> impl Iterator<Item = String> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(move |(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// A segment of a path, percent-decoded.
pub(super) fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// A query parameter of type `long`: the first of repeated values; 0 if absent or empty.
pub(super) fn long(query: Option<&str>, name: &str) -> Result<i64, String> {
    let text = query_values(query, name).next().unwrap_or_default();
    if text.is_empty() {
        return Ok(0);
    }
    number(&text).ok_or_else(|| conversion_error(name, "long", &text))
}

/// A query parameter of type `int`, likewise.
pub(super) fn int(query: Option<&str>, name: &str) -> Result<i32, String> {
    let text = query_values(query, name).next().unwrap_or_default();
    if text.is_empty() {
        return Ok(0);
    }
    integer(&text).ok_or_else(|| conversion_error(name, "int", &text))
}

pub(super) fn request_id(text: &str) -> Result<i32, String> {
    integer(text).ok_or_else(|| conversion_error("requestId", "java.lang.Integer", text))
}

fn integer(text: &str) -> Option<i32> {
    i32::try_from(number(text)?).ok()
}

/// Spring's conversion to a whole number: decimal, or hexadecimal with a prefix.
fn number(text: &str) -> Option<i64> {
    let trimmed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let unsigned = trimmed.strip_prefix('-').unwrap_or(&trimmed);
    let hexadecimal = unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"))
        .or_else(|| unsigned.strip_prefix('#'));
    let parsed = match hexadecimal {
        Some(digits) if trimmed.starts_with('-') => i64::from_str_radix(&format!("-{digits}"), 16),
        Some(digits) => i64::from_str_radix(digits, 16),
        None => trimmed.parse(),
    };
    parsed.ok()
}

fn conversion_error(parameter: &str, kind: &str, text: &str) -> String {
    format!(
        "Method parameter '{parameter}': Failed to convert value of type 'java.lang.String' to required type \
         '{kind}'; For input string: \"{text}\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_parameter_is_joined_with_commas() {
        let query = Some("a=1&b=x%2Cy+z&a=2&c");
        assert_eq!(query_parameter(query, "a").as_deref(), Some("1,2"));
        assert_eq!(query_parameter(query, "b").as_deref(), Some("x,y z"));
        assert_eq!(query_parameter(query, "c").as_deref(), Some(""));
        assert_eq!(query_parameter(query, "d"), None);
    }

    #[test]
    fn an_int_has_javas_range() {
        for (text, expected) in [
            ("2147483647", Some(i32::MAX)),
            ("2147483648", None),
            ("-2147483648", Some(i32::MIN)),
            ("0x10", Some(16)),
            ("", Some(0)),
            ("1.5", None),
        ] {
            let query = format!("a={text}&a=7");
            assert_eq!(int(Some(&query), "a").ok(), expected, "{text}");
        }
        assert_eq!(int(Some("b=1"), "a"), Ok(0));
    }
}
