//! Refuses what ThingsBoard would never answer over MQTT, or would close the connection for, with the error that its HTTP
//! form gives.
//!
//! One bad message of a device must not end its other requests, so everything that closes a connection is found here. All
//! else is sent, and ThingsBoard decides: a PUBACK says whether it could read the body. Its parser is lenient, so nothing
//! is refused because a strict parser would. To be called in the call's task: it reads the whole body, once.
//!
//! | Body | Over MQTT 5 | Over HTTP, and here |
//! |---|---|---|
//! | telemetry `[]` | no answer | no answer; 400 here |
//! | telemetry, `ts` no number beside `values` | closes | 500 without a text; so is one in an array here |
//! | telemetry, `values` no object beside `ts` | PUBACK 0x99 | 500 without a text |
//! | a number whose exponent has no 32 bits | closes | 500 without a text; here from 9,001 on, which takes memory there |
//! | more than 255 levels | closes, or 0x99 | 500 |
//! | claim, `durationMs` no number, `secretKey` no text | closes | 500 without a text |
//! | client-side RPC without `method`, or no object | closes, or 0x99 | 500 without a text |
//! | reply to a command whose id has no 31 bits | PUBACK 0x99 | 400 |
//! | provisioning without key and secret, or of unknown type | closes | 500 with a text |
//! | more than 65,536 bytes of remaining length | closes | accepted; 413 here |

#[cfg(test)]
mod tests;

use super::super::lenient_json::{
    ScanError, Text, Value, Visitor, is_exponent_huge, is_number_long, scan,
};
use super::super::{Error, Operation, Rejection};

/// The largest chunk of a package that ThingsBoard sends, in bytes.
pub(super) const LARGEST_CHUNK: u32 = 65_536;
/// The largest remaining length of a packet that ThingsBoard reads, in bytes.
pub(super) const MOST_REMAINING: usize = 65_536;
/// What a PUBLISH adds to its topic and payload, in bytes: the topic's length, the packet id, no properties.
const PUBLISH_OVERHEAD: usize = 5;

/// 500 without a text: an exception in ThingsBoard that is no parse error.
const EXCEPTION: Error = Error::Rejected(Rejection::Failed);
/// 500 with a text.
const UNPARSABLE: Error = Error::Rejected(Rejection::Unparsable);

/// Checks the body of an operation.
pub(super) fn check(operation: &Operation) -> Result<(), Error> {
    match operation {
        Operation::PostTelemetry(body) => telemetry(body),
        Operation::PostAttributes(body) => {
            let mut entry = Entry::default();
            match scan(body, &mut entry) {
                Ok(Some(Value::Object)) => refuse_if(entry.has_huge_exponent),
                other => unconverted(other),
            }
        }
        Operation::Claim(body) => claim(body),
        Operation::ReplyRpc { id, .. } => match i32::try_from(*id) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Rejected(Rejection::BadRequest)),
        },
        Operation::CallRpc(body) => client_rpc(body),
        // A size of zero would be answered with the whole package, and a larger one closes the connection.
        Operation::GetPackage { size, .. } if !(1..=LARGEST_CHUNK).contains(size) => {
            Err(Error::Rejected(Rejection::BadRequest))
        }
        Operation::GetAttributes { .. }
        | Operation::ReadAttributes
        | Operation::ReadAssignment(_)
        | Operation::GetPackage { .. } => Ok(()),
        Operation::PollRpc { .. } | Operation::PollAttributes { .. } => {
            Err(Error::Unintelligible("there are no long polls over MQTT"))
        }
    }
}

/// Checks the size of a PUBLISH.
pub(super) fn check_size(topic: &str, payload: usize) -> Result<(), Error> {
    match topic.len() + payload + PUBLISH_OVERHEAD <= MOST_REMAINING {
        true => Ok(()),
        false => Err(Error::Rejected(Rejection::TooLarge)),
    }
}

/// Checks the body of a provision request.
pub(super) fn check_provision(body: &[u8]) -> Result<(), Error> {
    #[derive(Default)]
    struct Provision {
        has_key: bool,
        has_secret: bool,
        is_of_unknown_type: bool,
    }
    impl Visitor for Provision {
        fn member(&mut self, name: Text<'_>, value: Value<'_>) {
            const TYPES: [&str; 4] = [
                "ACCESS_TOKEN",
                "X509_CERTIFICATE",
                "MQTT_BASIC",
                "LWM2M_CREDENTIALS",
            ];
            if name.is("provisionDeviceKey") {
                self.has_key = has_string(value);
            } else if name.is("provisionDeviceSecret") {
                self.has_secret = has_string(value);
            } else if name.is("credentialsType") {
                self.is_of_unknown_type = match value {
                    Value::Text(text) => !TYPES.iter().any(|known| text.is(known)),
                    Value::Null
                    | Value::Boolean
                    | Value::Number(_)
                    | Value::Array(_)
                    | Value::Object => true,
                };
            }
        }
    }
    let mut found = Provision::default();
    match scan(body, &mut found) {
        Ok(Some(Value::Object)) => {
            match found.has_key && found.has_secret && !found.is_of_unknown_type {
                true => Ok(()),
                false => Err(UNPARSABLE),
            }
        }
        // An empty one has an empty answer.
        Ok(None) => Err(Error::Rejected(Rejection::BadRequest)),
        other => unconverted(other),
    }
}

/// For a document that ThingsBoard does not convert, since it can't read it or it is of the wrong kind: its PUBACK says so.
fn unconverted(document: Result<Option<Value<'_>>, ScanError>) -> Result<(), Error> {
    match document {
        Err(ScanError::TooDeep) => Err(UNPARSABLE),
        Ok(_) | Err(ScanError::Malformed) => Ok(()),
    }
}

fn refuse_if(condition: bool) -> Result<(), Error> {
    match condition {
        true => Err(EXCEPTION),
        false => Ok(()),
    }
}

/// One object of telemetry. The last of members with the same name counts.
#[derive(Default)]
struct Entry {
    has_ts: bool,
    /// Whether `ts` can be converted to a number.
    is_ts_long: bool,
    has_values: bool,
    is_values_object: bool,
    has_huge_exponent: bool,
    /// Whether ThingsBoard can't convert one of the objects so far.
    is_refused: bool,
}

impl Visitor for Entry {
    fn member(&mut self, name: Text<'_>, value: Value<'_>) {
        if name.is("ts") {
            self.has_ts = true;
            self.is_ts_long = is_long(value);
        } else if name.is("values") {
            self.has_values = true;
            self.is_values_object = value == Value::Object;
        }
        self.inner_member(value);
    }

    fn inner_member(&mut self, value: Value<'_>) {
        if let Value::Number(digits) = value {
            self.has_huge_exponent |= is_exponent_huge(digits);
        }
    }

    fn end_of_object(&mut self) {
        let has_both = self.has_ts && self.has_values;
        let is_converted = !has_both || self.is_ts_long && self.is_values_object;
        *self = Entry {
            is_refused: self.is_refused || !is_converted,
            has_huge_exponent: self.has_huge_exponent,
            ..Entry::default()
        };
    }
}

fn telemetry(body: &[u8]) -> Result<(), Error> {
    let mut entries = Entry::default();
    match scan(body, &mut entries) {
        Ok(Some(Value::Array(0))) => Err(Error::Rejected(Rejection::BadRequest)),
        Ok(Some(Value::Array(_) | Value::Object)) => {
            refuse_if(entries.is_refused || entries.has_huge_exponent)
        }
        other => unconverted(other),
    }
}

fn claim(body: &[u8]) -> Result<(), Error> {
    struct Claim {
        is_converted: [bool; 2],
    }
    impl Visitor for Claim {
        fn member(&mut self, name: Text<'_>, value: Value<'_>) {
            let [key, duration] = &mut self.is_converted;
            if name.is("secretKey") {
                *key = has_string(value);
            } else if name.is("durationMs") {
                *duration = is_long(value);
            }
        }
    }
    let mut claim = Claim {
        is_converted: [true; 2],
    };
    match scan(body, &mut claim) {
        Ok(Some(Value::Object)) => refuse_if(claim.is_converted.contains(&false)),
        other => unconverted(other),
    }
}

fn client_rpc(body: &[u8]) -> Result<(), Error> {
    #[derive(Default)]
    struct Rpc {
        has_method: bool,
    }
    impl Visitor for Rpc {
        fn member(&mut self, name: Text<'_>, value: Value<'_>) {
            if name.is("method") {
                self.has_method = has_string(value);
            }
        }
    }
    let mut rpc = Rpc::default();
    match scan(body, &mut rpc) {
        Ok(Some(Value::Object)) => refuse_if(!rpc.has_method),
        Ok(_) => Err(EXCEPTION),
        error => unconverted(error),
    }
}

/// `JsonElement.getAsString` throws for null and objects. In an array of one its element decides: that is refused, too.
fn has_string(value: Value<'_>) -> bool {
    match value {
        Value::Boolean | Value::Number(_) | Value::Text(_) => true,
        Value::Null | Value::Array(_) | Value::Object => false,
    }
}

/// `JsonElement.getAsLong`: a number is cut to 64 bits, a text must be a whole number of 64 bits. Java knows the digits of
/// every script, which are refused here, as are arrays of one.
fn is_long(value: Value<'_>) -> bool {
    match value {
        Value::Number(digits) => is_number_long(digits),
        Value::Text(text) => {
            let text = text.decoded();
            std::str::from_utf8(&text).is_ok_and(|text| text.parse::<i64>().is_ok())
        }
        Value::Null | Value::Boolean | Value::Array(_) | Value::Object => false,
    }
}
