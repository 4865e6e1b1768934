//! Writes a request as an HTTP call. The only file with URLs.
//!
//! A path holds the access token, so paths are wiped when dropped, have no `Debug`, and are never logged.

use super::super::http::call::{Call, LARGEST_REPLY, Method};
use super::super::{Operation, Package, Request};
use crate::device::AccessToken;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;
use zeroize::Zeroizing;

/// All but RFC 3986's unreserved characters (§2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The longest answer with an assignment, in bytes: five values, of which ThingsBoard lets the longest have 255 characters.
const LARGEST_ASSIGNMENT: usize = 16 * 1024;

/// The request as it goes onto the wire. `timeout` is that of most requests: [`Request::deadline`].
pub(super) fn call(request: &Request, timeout: Duration) -> Call {
    write(request, timeout, device_path)
}

/// Method, path and query of a request, with `{token}` in the token's place: for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// Bytes of the body.
    pub body: usize,
}

impl RequestLine {
    /// The line of this request.
    pub fn of(request: &Request) -> RequestLine {
        let call = write(request, Duration::ZERO, |_| {
            Zeroizing::new("/api/v1/{token}".to_owned())
        });
        RequestLine {
            method: match call.method {
                Method::Get => "GET",
                Method::Post => "POST",
            },
            target: call.target.to_string(),
            body: call.body.len(),
        }
    }
}

/// `path` makes the part of the target that holds the token.
fn write(
    request: &Request,
    timeout: Duration,
    path: fn(&AccessToken) -> Zeroizing<String>,
) -> Call {
    let timeout = request.deadline(timeout);
    let (device, operation) = match request {
        Request::Provision { body } => {
            return Call {
                method: Method::Post,
                target: Zeroizing::new("/api/v1/provision".to_owned()),
                body: body.clone(),
                timeout,
                is_poll: false,
                largest_reply: LARGEST_REPLY,
            };
        }
        Request::Device { device, operation } => (device, operation),
    };
    let mut target = path(&device.token);
    let mut poll = None;
    let mut largest_reply = LARGEST_REPLY;
    let (method, body) = match operation {
        Operation::PostTelemetry(body) => {
            target.push_str("/telemetry");
            (Method::Post, body.clone())
        }
        Operation::PostAttributes(body) => {
            target.push_str("/attributes");
            (Method::Post, body.clone())
        }
        Operation::Claim(body) => {
            target.push_str("/claim");
            (Method::Post, body.clone())
        }
        Operation::GetAttributes {
            client_keys,
            shared_keys,
        } => {
            target.push_str("/attributes");
            let lists = [("clientKeys", client_keys), ("sharedKeys", shared_keys)];
            let given = lists
                .iter()
                .filter_map(|(name, keys)| keys.as_ref().map(|keys| (name, keys)));
            for (separator, (name, keys)) in std::iter::once('?')
                .chain(std::iter::repeat('&'))
                .zip(given)
            {
                target.push(separator);
                target.push_str(name);
                target.push('=');
                append_encoded(keys, &mut target);
            }
            (Method::Get, Bytes::new())
        }
        Operation::ReplyRpc { id, body } => {
            target.push_str("/rpc/");
            target.push_str(&id.to_string());
            (Method::Post, body.clone())
        }
        Operation::CallRpc(body) => {
            target.push_str("/rpc");
            (Method::Post, body.clone())
        }
        Operation::PollRpc { timeout } => {
            target.push_str("/rpc");
            poll = Some(*timeout);
            (Method::Get, Bytes::new())
        }
        Operation::PollAttributes { timeout } => {
            target.push_str("/attributes/updates");
            poll = Some(*timeout);
            (Method::Get, Bytes::new())
        }
        Operation::ReadAttributes => {
            target.push_str("/attributes");
            (Method::Get, Bytes::new())
        }
        Operation::ReadAssignment(package) => {
            target.push_str("/attributes?sharedKeys=");
            append_encoded(assignment_keys(*package), &mut target);
            largest_reply = LARGEST_ASSIGNMENT;
            (Method::Get, Bytes::new())
        }
        Operation::GetPackage {
            package,
            title,
            version,
            size,
            chunk,
        } => {
            target.push_str(match package {
                Package::Firmware => "/firmware",
                Package::Software => "/software",
            });
            target.push_str("?title=");
            append_encoded(title, &mut target);
            target.push_str("&version=");
            append_encoded(version, &mut target);
            target.push_str("&size=");
            target.push_str(&size.to_string());
            target.push_str("&chunk=");
            target.push_str(&chunk.to_string());
            // A longer reply is no answer to this, and a whole package need not fit into memory.
            largest_reply = usize::try_from(*size).unwrap_or(LARGEST_REPLY);
            (Method::Get, Bytes::new())
        }
    };
    if let Some(wait) = poll {
        target.push_str("?timeout=");
        // ThingsBoard takes a zero for its default, a minute.
        target.push_str(&wait.as_millis().max(1).to_string());
    }
    Call {
        method,
        target,
        body,
        timeout,
        is_poll: poll.is_some(),
        largest_reply,
    }
}

/// The shared attributes that say which package is assigned to a device.
pub(in crate::upstream) fn assignment_keys(package: Package) -> &'static str {
    match package {
        Package::Firmware => "fw_title,fw_version,fw_size,fw_checksum,fw_checksum_algorithm",
        Package::Software => "sw_title,sw_version,sw_size,sw_checksum,sw_checksum_algorithm",
    }
}

/// `/api/v1/{token}`. No token is a dot segment, which would be resolved away: see `AccessToken::new`.
fn device_path(token: &AccessToken) -> Zeroizing<String> {
    // Room for the longest target that is usual, so that growing leaves no copies of the token behind.
    let mut path = Zeroizing::new(String::with_capacity(1024));
    path.push_str("/api/v1/");
    append_encoded(token.expose(), &mut path);
    path
}

/// Appends `text` percent-encoded. Makes no copy: it may be a token.
fn append_encoded(text: &str, target: &mut String) {
    target.extend(utf8_percent_encode(text, RESERVED));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use std::sync::Arc;

    const SECOND: Duration = Duration::from_secs(1);

    fn encoded(token: &str, operation: Operation) -> (Method, String) {
        let device = Arc::new(Device {
            name: "meter-17".into(),
            token: AccessToken::new(token).unwrap(),
        });
        let call = call(&Request::Device { device, operation }, SECOND);
        (call.method, call.target.to_string())
    }

    #[test]
    fn every_operation_has_its_path() {
        let body = Bytes::from_static(b"{temperature:25}");
        let rows = [
            (
                Operation::PostTelemetry(body.clone()),
                Method::Post,
                "/api/v1/T1/telemetry",
            ),
            (
                Operation::PostAttributes(body.clone()),
                Method::Post,
                "/api/v1/T1/attributes",
            ),
            (
                Operation::Claim(Bytes::new()),
                Method::Post,
                "/api/v1/T1/claim",
            ),
            (
                Operation::ReplyRpc {
                    id: 17,
                    body: body.clone(),
                },
                Method::Post,
                "/api/v1/T1/rpc/17",
            ),
            (Operation::CallRpc(body), Method::Post, "/api/v1/T1/rpc"),
        ];
        for (operation, method, path) in rows {
            assert_eq!(encoded("T1", operation), (method, path.to_owned()));
        }
    }

    #[test]
    fn a_poll_of_no_time_waits_a_millisecond_because_zero_would_mean_a_minute() {
        for (timeout, query) in [
            (Duration::ZERO, "?timeout=1"),
            (Duration::from_micros(1500), "?timeout=1"),
            (Duration::from_secs(25), "?timeout=25000"),
        ] {
            let (_, target) = encoded("T1", Operation::PollRpc { timeout });
            assert_eq!(target, format!("/api/v1/T1/rpc{query}"));
        }
    }

    #[test]
    fn a_request_line_has_no_token() {
        let device = Arc::new(Device {
            name: "meter-17".into(),
            token: AccessToken::new("SECRET").unwrap(),
        });
        let operation = Operation::PostTelemetry(Bytes::from_static(b"{}"));
        let line = RequestLine::of(&Request::Device { device, operation });
        assert_eq!(
            (line.method, line.target.as_str(), line.body),
            ("POST", "/api/v1/{token}/telemetry", 2)
        );
    }

    #[test]
    fn provisioning_needs_no_token() {
        let body = Bytes::from_static(b"{}");
        let call = call(&Request::Provision { body }, SECOND);
        assert_eq!(
            (call.method, call.target.as_str()),
            (Method::Post, "/api/v1/provision")
        );
    }

    #[test]
    fn key_lists_go_into_the_query_percent_encoded() {
        let get = |client: Option<&str>, shared: Option<&str>| {
            let operation = Operation::GetAttributes {
                client_keys: client.map(str::to_owned),
                shared_keys: shared.map(str::to_owned),
            };
            encoded("T1", operation)
        };
        let target = |query: &str| (Method::Get, format!("/api/v1/T1/attributes{query}"));
        assert_eq!(get(None, None), target(""));
        assert_eq!(get(Some("a"), None), target("?clientKeys=a"));
        assert_eq!(get(None, Some("b")), target("?sharedKeys=b"));
        assert_eq!(
            get(Some("a,c"), Some("b")),
            target("?clientKeys=a%2Cc&sharedKeys=b")
        );
        assert_eq!(
            get(Some("a&b=c#d e+ü"), None),
            target("?clientKeys=a%26b%3Dc%23d%20e%2B%C3%BC")
        );
    }

    #[test]
    fn a_chunk_of_a_package_is_named_by_title_version_size_and_number() {
        let get = |package, title: &str, version: &str, size, chunk| {
            let (title, version) = (title.into(), version.into());
            encoded(
                "T1",
                Operation::GetPackage {
                    package,
                    title,
                    version,
                    size,
                    chunk,
                },
            )
        };
        let target = |query: &str| (Method::Get, format!("/api/v1/T1/{query}"));
        assert_eq!(
            get(Package::Firmware, "meter", "1.2", 65_536, 0),
            target("firmware?title=meter&version=1.2&size=65536&chunk=0")
        );
        assert_eq!(
            get(Package::Software, "a&size=0 #ü", "1+2/=", 1024, 1 << 40),
            target(
                "software?title=a%26size%3D0%20%23%C3%BC&version=1%2B2%2F%3D&size=1024&chunk=1099511627776"
            )
        );
    }

    #[test]
    fn an_assignment_is_read_from_the_shared_attributes_alone() {
        for (package, prefix) in [(Package::Firmware, "fw"), (Package::Software, "sw")] {
            let (method, target) = encoded("T1", Operation::ReadAssignment(package));
            assert_eq!(method, Method::Get);
            let keys: Vec<&str> = target
                .strip_prefix("/api/v1/T1/attributes?sharedKeys=")
                .unwrap()
                .split("%2C")
                .collect();
            let expected = ["title", "version", "size", "checksum", "checksum_algorithm"];
            assert_eq!(keys, expected.map(|key| format!("{prefix}_{key}")));
        }
    }

    #[test]
    fn a_token_stays_one_path_segment_whatever_it_holds() {
        let (_, target) = encoded("a..b?c#d&ü", Operation::CallRpc(Bytes::new()));
        assert_eq!(target, "/api/v1/a..b%3Fc%23d%26%C3%BC/rpc");
    }
}
