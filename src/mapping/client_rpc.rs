//! Completes the body of a client-side RPC for ThingsBoard's HTTP device API.
//!
//! ThingsBoard's own CoAP transport accepts an RPC without `params`; its HTTP API answers 500. Without `method` both fail
//! without a reason. ThingsBoard's parser is lenient (`{method:getTime}`), so a body that is no JSON is forwarded as it is.

use bytes::Bytes;
use coap::{Code, Response};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The outermost level of a client-side RPC.
#[derive(Deserialize)]
struct Rpc {
    method: Option<IgnoredAny>,
    #[serde(default)]
    params: IsPresent,
}

/// Whether a key is present, with `null` too.
#[derive(Default)]
struct IsPresent(bool);

impl<'de> Deserialize<'de> for IsPresent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<IsPresent, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| IsPresent(true))
    }
}

/// Adds `"params":{}` if it is missing, and changes nothing else.
///
/// # Errors
/// There is no `method`.
pub(crate) fn complete(body: Bytes) -> Result<Bytes, Response> {
    let trimmed = body.trim_ascii();
    // serde would read an array as the struct, too.
    if trimmed.first() != Some(&b'{') {
        return Ok(body);
    }
    // Not JSON, or a repeated key: ThingsBoard decides.
    let Ok(rpc) = serde_json::from_slice::<Rpc>(trimmed) else {
        return Ok(body);
    };
    if rpc.method.is_none() {
        let why = "a client-side RPC needs \"method\"";
        return Err(Response::error(Code::BAD_REQUEST, why));
    }
    if rpc.params.0 {
        return Ok(body);
    }
    // It has `method`, so the comma follows a member.
    let members = trimmed.strip_suffix(b"}").unwrap_or(trimmed);
    Ok([members, br#","params":{}}"#].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(body: &'static str) -> String {
        let body = complete(Bytes::from_static(body.as_bytes())).unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn params_are_added_where_they_are_missing() {
        assert_eq!(
            completed(r#"{"method":"getTime"}"#),
            r#"{"method":"getTime","params":{}}"#
        );
        assert_eq!(
            completed(" { \"method\" : \"a}\", \"x\":{\"params\":1} }\n"),
            "{ \"method\" : \"a}\", \"x\":{\"params\":1} ,\"params\":{}}"
        );
    }

    #[test]
    fn everything_else_is_forwarded_byte_for_byte() {
        for body in [
            r#"{"method":"getTime","params":{}}"#,
            r#" {"params":7,"method":"getTime"} "#,
            r#"{"params":null,"method":"getTime"}"#,
            // Lenient JSON, a repeated key, no object, no JSON.
            "{method:getTime}",
            r#"{"method":"a","method":"b"}"#,
            r#"["getTime"]"#,
            r#"{"method":"getTime""#,
            "getTime",
            "",
            " ",
        ] {
            assert_eq!(completed(body), body);
        }
        let deep = [
            r#"{"method":"m","params":"#,
            &"[".repeat(5000),
            &"]".repeat(5000),
            "}",
        ]
        .concat();
        let body = Bytes::from(deep);
        assert_eq!(complete(body.clone()).unwrap(), body);
    }

    #[test]
    fn without_a_method_it_is_refused_with_a_reason() {
        for body in [
            "{}",
            r#"{"params":{}}"#,
            r#"{"Method":"getTime"}"#,
            r#"{"method":null}"#,
        ] {
            let refused = complete(Bytes::from_static(body.as_bytes())).unwrap_err();
            assert_eq!(refused.code, Code::BAD_REQUEST);
            assert!(
                refused.payload.windows(8).any(|w| w == b"\"method\""),
                "{body}"
            );
        }
    }
}
