//! ThingsBoard's HTTP device API: how a request is put, and what a status means.
//!
//! The only file with URLs. A path holds the access token, so paths are wiped when dropped, have no
//! `Debug`, and are never logged.
//!
//! Shapes and statuses are those of ThingsBoard's `DeviceApiController` (base `/api/v1`).

use super::http::client::{Client, MAX_REPLY};
use super::http::connection::Reply;
use super::http::outage::Outage;
use super::request::Lane;
use super::{
    Answer, Error, Operation, Package, Request, RetryAfter, Settings, SettingsError, Status,
    Upstream,
};
use crate::device::AccessToken;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// A ThingsBoard server, reached over its HTTP device API.
pub struct ThingsBoard {
    requests: Connections,
    downlink: Connections,
    packages: Connections,
}

/// The connections of one [`Lane`], and its bound.
struct Connections {
    client: Client,
    places: Semaphore,
}

impl ThingsBoard {
    /// Checks the settings. Opens no connection: ThingsBoard may be down when the gateway starts.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        if settings.timeout.is_zero() {
            return Err(SettingsError::ZeroTimeout);
        }
        if settings.max_in_flight == 0 {
            return Err(SettingsError::ZeroInFlight);
        }
        if settings.max_downlink == 0 {
            return Err(SettingsError::ZeroDownlink);
        }
        if settings.max_packages == 0 {
            return Err(SettingsError::ZeroPackages);
        }
        let outage = Arc::new(Outage::default());
        let connections = |most: usize| {
            Ok(Connections {
                client: Client::new(&settings, most, outage.clone())?,
                places: Semaphore::new(most.min(Semaphore::MAX_PERMITS)),
            })
        };
        Ok(ThingsBoard {
            requests: connections(settings.max_in_flight)?,
            downlink: connections(settings.max_downlink)?,
            packages: connections(settings.max_packages)?,
        })
    }
}

impl ThingsBoard {
    /// Whether ThingsBoard can be reached: any answer that is HTTP will do. For a check, not for each request.
    pub async fn is_reached(&self) -> Result<(), Error> {
        let call = Call {
            method: Method::Get,
            // No resource of the device API, and no token: ThingsBoard has nothing to do.
            target: Zeroizing::new("/api/v1/".to_owned()),
            body: Bytes::new(),
            poll: None,
            is_brief: false,
            largest_reply: MAX_REPLY,
        };
        self.requests.client.exchange(call).await.map(|_| ())
    }
}

impl fmt::Debug for ThingsBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThingsBoard").finish_non_exhaustive()
    }
}

impl Upstream for ThingsBoard {
    async fn send(&self, request: Request) -> Result<Answer, Error> {
        let connections = match request.lane() {
            Lane::Requests => &self.requests,
            Lane::Downlink => &self.downlink,
            Lane::Packages => &self.packages,
        };
        // A caller that waited here would hold its request without bound.
        let Ok(_place) = connections.places.try_acquire() else {
            return Err(Error::Overloaded);
        };
        let call = call(&request);
        let is_poll = call.poll.is_some();
        judge(connections.client.exchange(call).await?, is_poll)
    }
}

/// The longest answer that tells an assignment: five values, of which ThingsBoard lets the longest have 255 characters.
const LARGEST_ASSIGNMENT: usize = 16 * 1024;

/// The two methods of the device API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

/// One HTTP request, complete but for the base URL.
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query as they go onto the wire, beginning with `/`. Holds the token.
    pub(super) target: Zeroizing<String>,
    pub(super) body: Bytes,
    /// Of a long poll: how long ThingsBoard was asked to wait.
    pub(super) poll: Option<Duration>,
    /// Half of the time that others have: ThingsBoard leaves it unanswered where it limits a device's rate.
    pub(super) is_brief: bool,
    /// The longest reply that is read, in bytes.
    pub(super) largest_reply: usize,
}

/// Puts a request into HTTP.
fn call(request: &Request) -> Call {
    put(request, device_path)
}

/// The same to look at: the target says `{token}`.
pub(super) fn shown(request: &Request) -> Call {
    put(request, |_| Zeroizing::new("/api/v1/{token}".to_owned()))
}

fn put(request: &Request, path: fn(&AccessToken) -> Zeroizing<String>) -> Call {
    let (device, operation) = match request {
        Request::Provision { body } => {
            return Call {
                method: Method::Post,
                target: Zeroizing::new("/api/v1/provision".to_owned()),
                body: body.clone(),
                poll: None,
                is_brief: false,
                largest_reply: MAX_REPLY,
            };
        }
        Request::Device { device, operation } => (device, operation),
    };
    let mut target = path(&device.token);
    let mut poll = None;
    let mut largest_reply = MAX_REPLY;
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
                percent_encode(keys, &mut target);
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
            percent_encode(assignment_keys(*package), &mut target);
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
            percent_encode(title, &mut target);
            target.push_str("&version=");
            percent_encode(version, &mut target);
            target.push_str("&size=");
            target.push_str(&size.to_string());
            target.push_str("&chunk=");
            target.push_str(&chunk.to_string());
            // More than was asked for is no answer, and a whole package need not fit into memory.
            largest_reply = usize::try_from(*size).unwrap_or(MAX_REPLY);
            (Method::Get, Bytes::new())
        }
    };
    if let Some(timeout) = poll {
        target.push_str("?timeout=");
        // A zero would be taken for the default, a minute.
        target.push_str(&timeout.as_millis().max(1).to_string());
    }
    Call {
        method,
        target,
        body,
        poll,
        is_brief: request.is_brief(),
        largest_reply,
    }
}

/// The shared attributes in which ThingsBoard tells a device of its package.
fn assignment_keys(package: Package) -> &'static str {
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
    percent_encode(token.expose(), &mut path);
    path
}

/// Appends `text` with everything but RFC 3986's unreserved characters (§2.3) percent-encoded.
fn percent_encode(text: &str, into: &mut String) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or('0');
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte))
            }
            _ => into.extend(['%', digit(byte >> 4), digit(byte & 0x0f)]),
        }
    }
}

/// What a reply means. ThingsBoard's error bodies have several shapes, depending on how it is deployed, so
/// beyond "is there a text" only the status counts.
fn judge(reply: Reply, is_poll: bool) -> Result<Answer, Error> {
    match (reply.status, reply.retry_after) {
        (200, _) => reply
            .body
            .map(|body| Answer { body })
            .ok_or(Error::Unintelligible("its body is too large")),
        // A proxy's 504 says nothing about what happened meanwhile, so it ends no poll in peace.
        (408, _) if is_poll => Err(Error::Elapsed),
        (408 | 504, _) => Err(Error::Timeout),
        (code @ (429 | 502 | 503), Some(seconds)) => {
            Err(Error::RetryAfter(RetryAfter { code, seconds }))
        }
        (502 | 503, None) => Err(Error::Overloaded),
        (code @ 400..=599, _) => {
            let has_text = reply.body.is_none_or(|body| !body.trim_ascii().is_empty());
            Err(Error::Rejected(Status { code, has_text }))
        }
        (300..=399, _) => Err(Error::Unintelligible(
            "it is a redirect; check the upstream URL",
        )),
        _ => Err(Error::Unintelligible(
            "its status is none that the device API uses",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    fn put(token: &str, operation: Operation) -> (Method, String) {
        let device = Arc::new(Device {
            name: "meter-17".into(),
            token: AccessToken::new(token).unwrap(),
        });
        let call = call(&Request::Device { device, operation });
        (call.method, call.target.to_string())
    }

    fn judged(status: u16, body: &'static str) -> Result<Answer, Error> {
        judge(replied(status, body), false)
    }

    fn replied(status: u16, body: &'static str) -> Reply {
        Reply {
            status,
            body: Some(Bytes::from_static(body.as_bytes())),
            retry_after: None,
        }
    }

    fn rejected(code: u16, has_text: bool) -> Result<Answer, Error> {
        Err(Error::Rejected(Status { code, has_text }))
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
            assert_eq!(put("T1", operation), (method, path.to_owned()));
        }
    }

    #[test]
    fn a_poll_never_asks_for_no_time_which_would_mean_a_minute() {
        for (timeout, query) in [
            (Duration::ZERO, "?timeout=1"),
            (Duration::from_micros(1500), "?timeout=1"),
            (Duration::from_secs(25), "?timeout=25000"),
        ] {
            let (_, target) = put("T1", Operation::PollRpc { timeout });
            assert_eq!(target, format!("/api/v1/T1/rpc{query}"));
        }
    }

    #[test]
    fn what_is_shown_of_a_request_is_its_line_without_the_token() {
        let device = Arc::new(Device {
            name: "meter-17".into(),
            token: AccessToken::new("SECRET").unwrap(),
        });
        let operation = Operation::PostTelemetry(Bytes::from_static(b"{}"));
        let line = Request::Device { device, operation }.line();
        assert_eq!(
            (line.method, line.target.as_str(), line.body),
            ("POST", "/api/v1/{token}/telemetry", 2)
        );
    }

    #[test]
    fn provisioning_needs_no_token() {
        let call = call(&Request::Provision {
            body: Bytes::from_static(b"{}"),
        });
        assert_eq!(
            (call.method, call.target.as_str()),
            (Method::Post, "/api/v1/provision")
        );
    }

    #[test]
    fn attribute_keys_are_asked_for_as_the_device_did() {
        let get = |client: Option<&str>, shared: Option<&str>| {
            let operation = Operation::GetAttributes {
                client_keys: client.map(str::to_owned),
                shared_keys: shared.map(str::to_owned),
            };
            put("T1", operation)
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
    fn a_package_is_asked_for_in_chunks_by_its_title_and_version() {
        let get = |package, title: &str, version: &str, size, chunk| {
            let (title, version) = (title.into(), version.into());
            put(
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
            let (method, target) = put("T1", Operation::ReadAssignment(package));
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
        let (_, target) = put("a..b?c#d&ü", Operation::CallRpc(Bytes::new()));
        assert_eq!(target, "/api/v1/a..b%3Fc%23d%26%C3%BC/rpc");
    }

    #[test]
    fn each_status_means_one_decision() {
        assert_eq!(judged(200, ""), Ok(Answer { body: Bytes::new() }));
        assert_eq!(
            judged(200, "{}"),
            Ok(Answer {
                body: Bytes::from_static(b"{}")
            })
        );
        assert_eq!(judged(408, ""), Err(Error::Timeout));
        assert_eq!(judged(504, "<html>"), Err(Error::Timeout));
        assert_eq!(judged(502, "<html>"), Err(Error::Overloaded));
        assert_eq!(judged(503, r#"{"status":503}"#), Err(Error::Overloaded));
        for code in [400, 401, 403, 404, 405, 413, 429, 499, 500, 501, 505, 599] {
            assert_eq!(judged(code, ""), rejected(code, false));
            assert_eq!(judged(code, "text"), rejected(code, true));
        }
        for code in [
            100, 101, 199, 201, 202, 204, 206, 299, 300, 301, 302, 304, 307, 308, 399, 600, 999,
        ] {
            assert!(
                matches!(judged(code, ""), Err(Error::Unintelligible(_))),
                "{code}"
            );
        }
    }

    #[test]
    fn only_a_poll_can_elapse() {
        let polled = |status| judge(replied(status, ""), true);
        assert_eq!(polled(408), Err(Error::Elapsed));
        for status in [200, 302, 401, 500, 503, 504] {
            assert_eq!(polled(status), judged(status, ""));
        }
    }

    #[test]
    fn retry_after_is_followed_where_the_status_passes() {
        let judged = |status| {
            let retry_after = Some(120);
            judge(
                Reply {
                    retry_after,
                    ..replied(status, "")
                },
                false,
            )
        };
        for code in [429, 502, 503] {
            let seconds = 120;
            let retry_after = Error::RetryAfter(RetryAfter { code, seconds });
            assert_eq!(judged(code), Err(retry_after));
        }
        assert_eq!(judged(500), rejected(500, false));
        assert_eq!(judged(504), Err(Error::Timeout));
    }

    #[test]
    fn a_body_of_blanks_is_no_text() {
        assert_eq!(judged(500, " \r\n"), rejected(500, false));
    }

    #[test]
    fn a_body_over_the_bound_spoils_an_answer_but_not_a_refusal() {
        let too_large = |status| Reply {
            status,
            body: None,
            retry_after: None,
        };
        assert!(matches!(
            judge(too_large(200), false),
            Err(Error::Unintelligible(_))
        ));
        assert_eq!(judge(too_large(500), false), rejected(500, true));
    }
}
