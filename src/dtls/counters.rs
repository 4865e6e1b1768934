//! What the secure sessions count.

/// Events of the secure sessions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Handshakes completed.
    pub handshakes_completed: u64,
    /// Handshakes of proven peers that came to nothing.
    pub handshakes_failed: u64,
    /// Datagrams that are not DTLS.
    pub not_dtls: u64,
    /// DTLS records from an address without a session.
    pub no_session: u64,
    /// Datagrams for an established session that brought nothing: not authentic, replayed, or handshake repeats.
    pub without_effect: u64,
    /// Records and fragments of half-open handshakes that were not due, or that no lawful client sends.
    pub records_not_due: u64,
    /// ClientHellos dropped because `limits.hellos` was spent.
    pub over_hello_budget: u64,
    /// ClientHellos answered with a cookie, of which nothing is kept.
    pub cookies_sent: u64,
    /// ClientHellos with a cookie that is not ours or too old, or that continue a handshake we don't have.
    pub unknown_cookies: u64,
    /// ClientHellos dropped because the address had its `limits.handshakes_per_address`, begun or waiting.
    pub over_address_budget: u64,
    /// Clients that had given up when their turn came, or whose hello the settings no longer allow.
    pub pending_expired: u64,
    /// ClientHellos dropped because `limits.handshakes` are under way, and enough wait for a place.
    pub half_open_full: u64,
    /// Unproven handshakes dropped for newer ones.
    pub unproven_evicted: u64,
    /// Proven handshakes dropped for newer proven ones of other sources.
    pub proven_evicted: u64,
    /// Half-open handshakes dropped because they kept most of what all together kept too much of.
    pub buffers_evicted: u64,
    /// Unproven handshakes that were never continued.
    pub unproven_expired: u64,
    /// Unproven handshakes that the engine gave up.
    pub unproven_failed: u64,
    /// Newcomers refused because `limits.sessions` are established.
    pub sessions_full: u64,
    /// Answers not sent because they would have been larger than what an unproven peer has sent.
    pub amplification_avoided: u64,
    /// Engines that could not be made.
    pub engine_failures: u64,
    /// ClientHellos not answered because the gateway stops.
    pub hellos_while_closed: u64,
}
