//! Transmission parameters and bounds.

use std::time::Duration;

/// Transmission parameters (RFC 7252 §4.8) and bounds, as the configuration's `[coap]` gives them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// How long a Confirmable request may wait for a piggybacked response (RFC 7252 §5.2.1); then
    /// an empty ACK is sent.
    pub piggyback_timeout: Duration,
    /// ACK_TIMEOUT.
    pub ack_timeout: Duration,
    /// ACK_RANDOM_FACTOR, 1.0 or more.
    pub ack_random_factor: f32,
    /// MAX_RETRANSMIT.
    pub max_retransmit: u8,
    /// NSTART: how many Confirmable messages of one observation may be outstanding, 1 or more.
    pub nstart: usize,
    /// Open exchanges of one endpoint; 0 if none may start now.
    pub max_exchanges: usize,
    /// Requests of one endpoint that may be queued until an exchange ends.
    pub queue: usize,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// The largest body of a response or notification, in bytes.
    pub max_response_body: usize,
    /// Bytes of bodies that may be held at once for all endpoints together: unfinished uploads,
    /// snapshots of responses, and queued requests.
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
