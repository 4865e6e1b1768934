//! The words of the downlink: what is asked of it, and what it answers.

use bytes::Bytes;

/// What a poll waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PollKind {
    /// `GET attributes/updates`.
    Attributes,
    /// `GET rpc`.
    Rpc,
}

/// One poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PollId(pub(super) u64);

/// One command, in all the time there is. (The id that the device sees begins anew with each restart.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub(super) u64);

/// How a poll's request ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollEnd {
    /// 200 with this JSON.
    Message(Bytes),
    /// 408: its timer ran out.
    Elapsed,
    /// 503: the servlet container's asynchronous timeout. The session lives on.
    AsyncTimeout,
    /// 403 with the text `Device was deleted!`.
    Deleted,
    /// No answer: ThingsBoard restarts.
    Cut,
}

/// A change of shared attributes. One message never holds both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The new values as one flat JSON object.
    Updated(String),
    /// The keys that were deleted, whether or not they were there.
    Deleted(Vec<String>),
}

/// A server-side RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub method: String,
    /// Any JSON; it is passed on as it is.
    pub params: String,
    /// The caller wants no reply.
    pub oneway: bool,
    pub expires_ms: u64,
}

/// What the caller of a command learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandOutcome {
    /// One-way: ThingsBoard takes it for delivered (200), rightly or not.
    Delivered,
    /// The device's reply, as it sent it.
    Reply(String),
    /// It was sent, and no reply came in time (504).
    TimedOut,
    /// Nobody polled in time (504 as well).
    NoActiveConnection,
    /// ThingsBoard restarted and has forgotten it.
    Lost,
}

/// No room for more; the text says of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReached(pub(crate) String);

/// How long things take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// `HTTP_REQUEST_TIMEOUT`: a poll that names no timeout.
    pub request_ms: u64,
    /// `SPRING_MVC_ASYNC_REQUEST_TIMEOUT`: no request waits longer.
    pub async_ms: u64,
    /// A subscription's way to the device actor, during which it misses everything.
    pub subscription_ms: u64,
}

impl Default for Delays {
    fn default() -> Delays {
        Delays {
            request_ms: 60_000,
            async_ms: 30_000,
            subscription_ms: 5,
        }
    }
}
