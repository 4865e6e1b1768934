//! What the message layer counts.

/// Events of the message layer, over all endpoints.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Requests that reached the gateway.
    pub requests: u64,
    /// Malformed Confirmable messages, answered with a Reset.
    pub malformed_rejected: u64,
    /// Malformed messages that are not Confirmable, ignored.
    pub malformed_ignored: u64,
    /// Non-confirmable requests with a critical option we don't know, ignored.
    pub bad_options_ignored: u64,
    /// Requests whose Observe option means nothing (RFC 7641 §2): taken for requests without one.
    pub observe_ignored: u64,
    /// Duplicates of earlier messages.
    pub duplicates: u64,
    /// Messages no longer remembered though a copy of them could still come: their endpoint has sent too many since.
    pub messages_forgotten: u64,
    /// Empty Confirmable messages ("CoAP ping"), answered with a Reset.
    pub pings: u64,
    /// Acknowledgements, Resets and responses that match nothing.
    pub unmatched: u64,
    /// Empty acknowledgements because the response took longer than `coap.piggyback_timeout`.
    pub empty_acknowledgements: u64,
    /// Confirmable messages of ours sent again.
    pub retransmissions: u64,
    /// Confirmable messages of ours never acknowledged.
    pub given_up: u64,
    /// Responses given up, or notifications not sent, because too many Confirmable messages were under way.
    pub queue_full: u64,
    /// Responses dropped because no Message ID was free.
    pub out_of_message_ids: u64,
    /// Requests that had to wait for others of their session, or of their device, to end.
    pub requests_waited: u64,
    /// Requests refused because the endpoint had too many open exchanges, and too many that wait.
    pub too_many_exchanges: u64,
    /// Responses that were too large for any transfer and became 5.00.
    pub response_too_large: u64,
    /// Registrations answered without Observe because the endpoint had too many relations.
    pub too_many_observations: u64,
    /// Notifications sent; retransmissions don't count, but what goes out in the place of an older
    /// one does.
    pub notifications_sent: u64,
    /// Notifications that a newer one replaced before they were sent, or while in flight.
    pub notifications_superseded: u64,
    /// Relations whose notification, or registration response, was never acknowledged.
    pub notifications_given_up: u64,
    /// Notifications that were too large for any transfer, not sent.
    pub notifications_too_large: u64,
    /// Acknowledgements of notifications that had been superseded.
    pub superseded_acknowledged: u64,
    /// Relations ended by the client with a Reset.
    pub observations_cancelled: u64,
    /// Duplicates of registrations that came after newer notifications had been sent.
    pub registrations_repeated: u64,
    /// Blocks of requests' bodies that came.
    pub blocks_received: u64,
    /// Those whose payload was not what Block1 said of it, answered with 4.00.
    pub blocks_malformed: u64,
    /// Requests' bodies that came in blocks and were put together.
    pub uploads_completed: u64,
    /// Blocks that did not follow what was held, answered with 4.08.
    pub uploads_incomplete: u64,
    /// Requests' bodies larger than `coap.max_body`, answered with 4.13.
    pub uploads_too_large: u64,
    /// Requests' bodies that nobody went on with, given up.
    pub uploads_expired: u64,
    /// Blocks of responses and notifications sent.
    pub blocks_sent: u64,
    /// Requests for a later block of a response that was not held: 4.08 to POST. A GET is read anew, and of a
    /// package every later block is: that is how packages are served.
    pub blocks_not_held: u64,
    /// Snapshots and unfinished uploads given up so that another body could be held.
    pub bodies_evicted: u64,
    /// Bodies refused because so many bytes could not be held.
    pub bodies_over_budget: u64,
    /// Pings of ours sent.
    pub pings_sent: u64,
    /// Pings of ours that nothing answered.
    pub pings_unanswered: u64,
}
