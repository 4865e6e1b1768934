//! The requests that ThingsBoard's HTTP device API takes.

use crate::device::Device;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a long poll may take beyond the time that ThingsBoard waits: to connect, and to send the reply.
const POLL_GRACE: Duration = Duration::from_secs(10);

/// One request, with what authorises it.
///
/// `Debug` shows only the sizes of bodies: `claim` and `provision` carry secrets in them.
#[derive(Clone)]
pub enum Request {
    /// On behalf of a registered device, under its access token.
    Device {
        /// Its token is used.
        device: Arc<Device>,
        /// The call, without what authorises it.
        operation: Operation,
    },
    /// `POST /api/v1/provision`: authorised by the key and secret in its body.
    Provision {
        /// The JSON as the device sent it.
        body: Bytes,
    },
}

/// The two kinds of packages. A device can have one of each assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Package {
    /// `firmware`, with the attributes `fw_…`.
    Firmware,
    /// `software`, with the attributes `sw_…`.
    Software,
}

/// The requests of devices, and after them those that the gateway makes on a device's behalf. Bodies are forwarded
/// byte for byte.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' names and types say it")]
pub enum Operation {
    /// `POST telemetry`.
    PostTelemetry(Bytes),
    /// `POST attributes` (client attributes).
    PostAttributes(Bytes),
    /// `POST claim`; the body may be empty.
    Claim(Bytes),
    /// `GET attributes`; key lists as ThingsBoard takes them, not yet percent-encoded.
    GetAttributes {
        /// `clientKeys`, if given.
        client_keys: Option<String>,
        /// `sharedKeys`, if given.
        shared_keys: Option<String>,
    },
    /// `POST rpc/{id}`: the reply to a command from the server.
    ReplyRpc { id: u32, body: Bytes },
    /// `POST rpc`: a client-side RPC, answered by the rule chain.
    CallRpc(Bytes),
    /// `GET rpc`, a long poll: the next command for the device.
    PollRpc {
        /// How long ThingsBoard may wait for one; whole milliseconds, at least one.
        timeout: Duration,
    },
    /// `GET attributes/updates`, a long poll: the next change of a shared attribute.
    PollAttributes {
        /// How long ThingsBoard may wait for one; whole milliseconds, at least one.
        timeout: Duration,
    },
    /// `GET attributes`, all of them, by the gateway itself: finds changes that polls have missed.
    ReadAttributes,
    /// `GET attributes`, only the shared ones that say which package of this kind is assigned.
    ReadAssignment(Package),
    /// `GET firmware` or `GET software`: the bytes from `chunk` × `size` on, at most `size` of them. Past the
    /// end there are none.
    GetPackage {
        package: Package,
        /// ThingsBoard refuses any but that of the assigned package.
        title: Arc<str>,
        /// Likewise.
        version: Arc<str>,
        /// At least one, at most a mebibyte: the reply is held whole. ThingsBoard takes a zero for the whole
        /// package.
        size: u32,
        /// Counted from zero.
        chunk: u64,
    },
}

/// Connections with a bound of their own, so that no kind of request delays another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Requests,
    /// Long polls, and reads of attributes by the gateway itself.
    Downlink,
    /// Packages and their assignments: large replies, on few connections.
    Packages,
}

impl Request {
    /// How long it may take as a whole. `timeout` is that of most requests; a long poll has its own.
    pub fn deadline(&self, timeout: Duration) -> Duration {
        match self {
            Request::Device {
                operation:
                    Operation::PollRpc { timeout: poll } | Operation::PollAttributes { timeout: poll },
                ..
            } => poll.saturating_add(POLL_GRACE),
            Request::Device { .. } if self.is_brief() => timeout / 2,
            Request::Device { .. } | Request::Provision { .. } => timeout,
        }
    }

    /// Whether its time is half of what others have. ThingsBoard does not answer `GET attributes` above a device's rate
    /// limit at all, so that such a device would hold places of its lane for long.
    fn is_brief(&self) -> bool {
        match self {
            Request::Device { operation, .. } => {
                matches!(
                    operation,
                    Operation::GetAttributes { .. } | Operation::ReadAttributes
                )
            }
            Request::Provision { .. } => false,
        }
    }

    pub(super) fn lane(&self) -> Lane {
        match self {
            Request::Provision { .. } => Lane::Requests,
            Request::Device { operation, .. } => operation.lane(),
        }
    }
}

impl Operation {
    pub(super) fn lane(&self) -> Lane {
        match self {
            Operation::PostTelemetry(_)
            | Operation::PostAttributes(_)
            | Operation::Claim(_)
            | Operation::GetAttributes { .. }
            | Operation::ReplyRpc { .. }
            | Operation::CallRpc(_) => Lane::Requests,
            Operation::PollRpc { .. }
            | Operation::PollAttributes { .. }
            | Operation::ReadAttributes => Lane::Downlink,
            Operation::ReadAssignment(_) | Operation::GetPackage { .. } => Lane::Packages,
        }
    }
}

/// Longer bodies come in blocks. They are read in a task of their own, and may be for HTTP.
const LONGEST_POST: usize = 16 * 1024;

impl Operation {
    /// Whether it brings ThingsBoard a short body, and has an answer without one.
    pub(super) fn is_post(&self) -> bool {
        match self {
            Operation::PostTelemetry(body)
            | Operation::PostAttributes(body)
            | Operation::ReplyRpc { body, .. } => body.len() <= LONGEST_POST,
            Operation::Claim(_)
            | Operation::CallRpc(_)
            | Operation::GetAttributes { .. }
            | Operation::PollRpc { .. }
            | Operation::PollAttributes { .. }
            | Operation::ReadAttributes
            | Operation::ReadAssignment(_)
            | Operation::GetPackage { .. } => false,
        }
    }

    /// The length of the body that a device has sent.
    pub(super) fn body_length(&self) -> usize {
        match self {
            Operation::PostTelemetry(body)
            | Operation::PostAttributes(body)
            | Operation::Claim(body)
            | Operation::CallRpc(body)
            | Operation::ReplyRpc { body, .. } => body.len(),
            Operation::GetAttributes { .. }
            | Operation::PollRpc { .. }
            | Operation::PollAttributes { .. }
            | Operation::ReadAttributes
            | Operation::ReadAssignment(_)
            | Operation::GetPackage { .. } => 0,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Device { device, operation } => {
                write!(f, "{operation:?} of {:?}", device.name)
            }
            Request::Provision { body } => write!(f, "Provision({} bytes)", body.len()),
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::PostTelemetry(body) => write!(f, "PostTelemetry({} bytes)", body.len()),
            Operation::PostAttributes(body) => write!(f, "PostAttributes({} bytes)", body.len()),
            Operation::Claim(body) => write!(f, "Claim({} bytes)", body.len()),
            Operation::GetAttributes {
                client_keys,
                shared_keys,
            } => f
                .debug_struct("GetAttributes")
                .field("client_keys", client_keys)
                .field("shared_keys", shared_keys)
                .finish(),
            Operation::ReplyRpc { id, body } => write!(f, "ReplyRpc({id}, {} bytes)", body.len()),
            Operation::CallRpc(body) => write!(f, "CallRpc({} bytes)", body.len()),
            Operation::PollRpc { timeout } => write!(f, "PollRpc({timeout:?})"),
            Operation::PollAttributes { timeout } => write!(f, "PollAttributes({timeout:?})"),
            Operation::ReadAttributes => f.write_str("ReadAttributes"),
            Operation::ReadAssignment(package) => write!(f, "ReadAssignment({package:?})"),
            Operation::GetPackage {
                package,
                title,
                version,
                size,
                chunk,
            } => write!(
                f,
                "GetPackage({package:?} {title:?} {version:?}, chunk {chunk} of {size} bytes)"
            ),
        }
    }
}

/// A 200 from upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The body, possibly empty.
    pub body: Bytes,
}
