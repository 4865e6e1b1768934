//! Counters of the gateway core.

use super::answers::Answers;
use super::handshakes::Handshakes;
use super::upstream_calls::UpstreamCalls;

#[derive(Debug, Default)]
pub(crate) struct Tallies {
    /// Handshakes and sessions by how they ended.
    pub handshakes: Handshakes,
    /// Requests by resource and code.
    pub answers: Answers,
    /// Calls to ThingsBoard by outcome and time.
    pub upstream: UpstreamCalls,
}

/// Counters of the core. DTLS, CoAP, relay and ota have their own.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Requests for which a call to ThingsBoard was made.
    pub calls: u64,
    /// Completions whose session had ended by then.
    pub completions_too_late: u64,
    /// Requests refused because `upstream.max_in_flight` calls were in flight.
    pub calls_refused: u64,
    /// Requests refused because their device had `upstream.max_in_flight_per_device` calls in flight, or an even share.
    pub calls_refused_to_device: u64,
    /// Client-side RPCs refused because of `upstream.max_client_rpc`, or their device's share of it.
    pub client_rpcs_refused: u64,
    /// GETs of attributes refused because ThingsBoard left earlier ones unanswered.
    pub gets_refused: u64,
    /// Datagrams dropped because their device had its share of the turn, and its queue was full.
    pub datagrams_over_share: u64,
    /// Calls aborted because their session had ended.
    pub calls_given_up: u64,
    /// Registrations for resources that are not observable, answered without Observe.
    pub registrations_elsewhere: u64,
    /// Requests of certificates that are not registered.
    pub unregistered_requests: u64,
    /// Sessions closed because their device opened more than `limits.sessions_per_device`.
    pub sessions_displaced: u64,
    /// Sessions of unregistered certificates closed in favour of newer ones.
    pub unregistered_displaced: u64,
    /// Sessions whose device is no longer registered.
    pub sessions_unregistered: u64,
    /// Sessions closed because their certificate is no longer accepted.
    pub sessions_revoked: u64,
    /// Requests refused while draining.
    pub requests_while_draining: u64,
}
