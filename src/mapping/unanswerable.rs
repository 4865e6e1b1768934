//! Bodies that ThingsBoard would never answer, whichever of its APIs they come by.

use crate::upstream::Operation;
use crate::upstream::lenient_json::{has_huge_exponent, is_empty_array};
use coap::{Code, Response};

/// Checks the body of a device's request. Not to be called in the loop.
///
/// # Errors
/// ThingsBoard would not answer it, or it takes ThingsBoard's memory: a whole number is written out digit by digit.
pub(crate) fn check(operation: &Operation) -> Result<(), Response> {
    let refused = |why| Err(Response::error(Code::BAD_REQUEST, why));
    if let Operation::PostTelemetry(body) = operation
        && is_empty_array(body)
    {
        return refused("telemetry is an empty array, which ThingsBoard never answers");
    }
    if let Operation::PostTelemetry(body) | Operation::PostAttributes(body) = operation
        && has_huge_exponent(body)
    {
        return refused("a number's exponent is above 9000");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn telemetry(body: &str) -> Operation {
        Operation::PostTelemetry(Bytes::from(body.to_owned()))
    }

    fn attributes(body: &str) -> Operation {
        Operation::PostAttributes(Bytes::from(body.to_owned()))
    }

    #[test]
    fn telemetry_of_nothing_is_refused_with_a_reason_however_it_is_written() {
        for body in [
            "[]",
            " [ ]\n",
            "[/* none */]",
            "\u{feff}[]",
            "# x\n[\n]// end",
            ")]}'\n[]",
        ] {
            let refused = check(&telemetry(body)).unwrap_err();
            assert_eq!(refused.code, Code::BAD_REQUEST, "{body}");
            assert!(refused.payload.starts_with(b"telemetry is an empty array"));
        }
        for body in ["", "{}", "[{}]", "[,]", "[[]]", "[] x", "[", "[]]", "x[]"] {
            assert_eq!(check(&telemetry(body)), Ok(()), "{body}");
        }
        // ThingsBoard refuses it itself.
        assert_eq!(check(&attributes("[]")), Ok(()));
    }

    #[test]
    fn a_number_that_takes_thingsboards_memory_is_refused_with_a_reason() {
        for body in [
            "{a:1e2000000000}",
            "{a:-1E-99999999999}",
            "{\"temperature\":1,\"a\":1e9001}",
            "{ts:1,values:{a:1e9001}}",
        ] {
            for operation in [telemetry(body), attributes(body)] {
                // Within an object only telemetry has values of its own.
                if operation == attributes("{ts:1,values:{a:1e9001}}") {
                    continue;
                }
                let refused = check(&operation).unwrap_err();
                assert_eq!(refused.code, Code::BAD_REQUEST, "{body}");
            }
        }
        assert!(check(&telemetry("[{a:1},{a:1e9001}]")).is_err());
        for body in [
            "{a:1e9000}",
            "{a:'1e9001'}",
            "{a:1e9001x}",
            "{a:[1e9001]}",
            "{e9001:1}",
            "{a:1e9001",
        ] {
            assert_eq!(check(&telemetry(body)), Ok(()), "{body}");
        }
    }
}
