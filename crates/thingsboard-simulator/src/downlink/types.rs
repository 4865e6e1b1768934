//! The downlink's inputs and outputs.

use bytes::Bytes;

/// The kind of message that a poll waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PollKind {
    /// `GET attributes/updates`.
    Attributes,
    /// `GET rpc`.
    Rpc,
}

/// Identifies a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PollId(pub(super) u64);

/// Identifies a command, for the life of the simulator. (The id that the device gets begins at 0 after each restart.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub(super) u64);

impl CommandId {
    /// The number of the command, as the control API shows it.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn of_number(number: u64) -> CommandId {
        CommandId(number)
    }
}

/// Identifies a push session: the session of an MQTT connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushId(pub(super) u64);

/// A message to a push session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// A change of shared attributes, as JSON.
    Attributes(Bytes),
    /// A command.
    Command(PushedCommand),
    /// The session has ended.
    Closed(PushEnd),
}

/// A command as a push session gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedCommand {
    /// The id that the device gets.
    pub id: i32,
    /// The JSON `{"method":…,"params":…}`.
    pub body: Bytes,
    /// When the command expires.
    pub expires_ms: u64,
}

/// Why ThingsBoard ends a push session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushEnd {
    /// A newer session of the device: there is one for each device (`max_concurrent_sessions_per_device`).
    Displaced,
    /// The access token was changed, or the device was deleted.
    CredentialsRemoved,
    /// ThingsBoard restarts, or a test cuts the connection.
    Cut,
}

/// What the MQTT transport reports of a command that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryReport {
    /// It was written to the connection at QoS 1.
    Sent,
    /// Its PUBACK arrived, or it was written at QoS 0.
    Delivered,
    /// No PUBACK arrived within ten seconds.
    TimedOut,
}

/// The status of a persistent command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RpcStatus {
    /// It waits for a subscription.
    Queued,
    /// It was sent over MQTT, and no PUBACK has arrived.
    Sent,
    /// The device has it. Final for a one-way command.
    Delivered,
    /// The device replied.
    Successful,
    /// No PUBACK arrived in time. It is sent again when the device subscribes again.
    Timeout,
    /// It expired.
    Expired,
    /// No PUBACK arrived in time, and all retries are used up.
    Failed,
}

/// How a poll's request ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollEnd {
    /// 200 with this JSON.
    Message(Bytes),
    /// 408: its timeout.
    Elapsed,
    /// 503: the servlet container's asynchronous timeout. The session stays.
    AsyncTimeout,
    /// 403 with the text `Device was deleted!`.
    Deleted,
    /// The connection is cut: ThingsBoard restarts.
    Cut,
}

/// A change of shared attributes. One message is never both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The new values as one flat JSON object.
    Updated(String),
    /// The keys that were deleted, whether or not they existed.
    Deleted(Vec<String>),
}

/// A server-side RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The RPC method.
    pub method: String,
    /// Any JSON, passed on unchanged.
    pub params: String,
    /// Whether the caller waits for delivery only, not for a reply.
    pub oneway: bool,
    /// When it expires, on the clock of the other times.
    pub expires_ms: u64,
}

/// The outcome of a command, for its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandOutcome {
    /// One-way: ThingsBoard counts it as delivered (200), even if it was sent to a stale subscription.
    Delivered,
    /// The device's reply, as it sent it.
    Reply(String),
    /// It was sent, and no reply was received in time (504).
    TimedOut,
    /// No poll took it in time (504 as well).
    NoActiveConnection,
    /// ThingsBoard restarted and lost it.
    Lost,
}

/// A limit of the simulator is reached; the text says which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReached(pub(crate) String);

/// Timeouts and delays, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// `HTTP_REQUEST_TIMEOUT`: the timeout of a poll without one in its query.
    pub request_ms: u64,
    /// `SPRING_MVC_ASYNC_REQUEST_TIMEOUT`: the longest that any request waits.
    pub async_ms: u64,
    /// How long a subscription takes to reach the device actor. Until then the poll gets no messages.
    pub subscription_ms: u64,
    /// How long the subscription of a push session takes. Its SUBACK is sent before.
    pub push_subscription_ms: u64,
}

impl Default for Delays {
    fn default() -> Delays {
        Delays {
            request_ms: 60_000,
            async_ms: 30_000,
            subscription_ms: 5,
            push_subscription_ms: 20,
        }
    }
}
