//! Counters of the DTLS sessions.

/// Counts since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub datagrams_received: u64,
    pub datagrams_sent: u64,
    pub handshakes_completed: u64,
    /// Handshakes of proven peers that failed.
    pub handshakes_failed: u64,
    /// Datagrams that are not DTLS.
    pub not_dtls: u64,
    /// Datagrams from a path without a session or handshake.
    pub no_session: u64,
    /// Datagrams for an established session without effect: not authentic, replayed, or repeated handshake messages.
    pub without_effect: u64,
    /// Records and fragments of half-open handshakes that were out of order or malformed.
    pub records_not_due: u64,
    /// ClientHellos dropped because a limit of `limits.hellos` was reached.
    pub over_hello_budget: u64,
    /// ClientHellos answered with a stateless cookie.
    pub cookies_sent: u64,
    /// ClientHellos with an invalid or expired cookie, or that continue an unknown handshake.
    pub unknown_cookies: u64,
    /// ClientHellos dropped because their host had reached `limits.handshakes_per_address`, or its share of pending hellos.
    pub over_address_budget: u64,
    /// Pending hellos that expired, or that new settings no longer allow.
    pub pending_expired: u64,
    /// ClientHellos dropped because `limits.handshakes` were half open and the queue of pending hellos was full.
    pub half_open_full: u64,
    /// Unproven handshakes evicted for newer ones.
    pub unproven_evicted: u64,
    /// Proven handshakes evicted for newer proven ones of other sources.
    pub proven_evicted: u64,
    /// Half-open handshakes evicted because all together buffered too much, and these most.
    pub buffers_evicted: u64,
    /// Unproven handshakes that timed out.
    pub unproven_expired: u64,
    /// Unproven handshakes that the engine rejected.
    pub unproven_failed: u64,
    /// Handshakes rejected because `limits.sessions` were established.
    pub sessions_full: u64,
    /// Replies not sent because they were larger than what the unproven peer had sent.
    pub amplification_avoided: u64,
    /// Engines or cookies that could not be created.
    pub engine_failures: u64,
    /// ClientHellos of DTLS 1.2 that can't be read, or whose first fragment is too short.
    pub malformed_hellos: u64,
    /// Sessions whose client has changed its address.
    pub moved: u64,
    /// Datagrams dropped because the new address of their client is not proven, and too much waits for it already.
    pub unproven_path_dropped: u64,
    /// Datagrams dropped because the new address of their client was not proven in time.
    pub unproven_path_expired: u64,
    /// Datagrams dropped because too much waits for unproven addresses of all clients together.
    pub unproven_paths_full: u64,
    /// ClientHellos not answered because the gateway is stopping.
    pub hellos_while_closed: u64,
}
