//! Times and bounds.

use std::time::Duration;

/// Transmission parameters (RFC 7252 §4.8) and bounds, as the configuration's `[coap]` gives them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// How long a response may take and still ride on the acknowledgement (RFC 7252 §5.2.1).
    pub piggyback_timeout: Duration,
    /// ACK_TIMEOUT.
    pub ack_timeout: Duration,
    /// ACK_RANDOM_FACTOR, 1.0 or more.
    pub ack_random_factor: f32,
    /// MAX_RETRANSMIT.
    pub max_retransmit: u8,
    /// NSTART: how many Confirmable messages of one observation may be outstanding, 1 or more.
    pub nstart: usize,
    /// Requests of one endpoint that are worked on at once; 0 if none may begin now.
    pub max_exchanges: usize,
    /// Requests of one endpoint that may wait until they are.
    pub queue: usize,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// The largest body of a response or notification, in bytes.
    pub max_response_body: usize,
    /// Bytes of bodies that may be held at once for all endpoints together: those that come in
    /// blocks, and those that go; requests that wait, too.
    pub body_bytes: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            piggyback_timeout: Duration::from_millis(500),
            ack_timeout: Duration::from_secs(2),
            ack_random_factor: 1.5,
            max_retransmit: 4,
            nstart: 1,
            max_exchanges: 16,
            queue: 1024,
            max_body: 64 * 1024,
            max_response_body: 256 * 1024,
            body_bytes: 64 * 1024 * 1024,
        }
    }
}
