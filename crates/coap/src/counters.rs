//! Event counters of all endpoints together.

/// Events, over all endpoints.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Requests passed to the application.
    pub requests: u64,
    /// Malformed Confirmable messages, answered with a Reset.
    pub malformed_rejected: u64,
    /// Malformed messages that are not Confirmable, ignored.
    pub malformed_ignored: u64,
    /// Non-confirmable requests with an unrecognised critical option, ignored.
    pub bad_options_ignored: u64,
    /// Requests whose Observe option has no meaning (RFC 7641 §2): processed without it.
    pub observe_ignored: u64,
    /// Duplicates of messages.
    pub duplicates: u64,
    /// Messages forgotten although a duplicate could still arrive: their endpoint has sent too many
    /// since.
    pub messages_forgotten: u64,
    /// Empty Confirmable messages ("CoAP ping"), answered with a Reset.
    pub pings: u64,
    /// Acknowledgements, Resets and responses that match no message of ours.
    pub unmatched: u64,
    /// Empty acknowledgements because the response took longer than `coap.piggyback_timeout`.
    pub empty_acknowledgements: u64,
    /// Retransmissions of our Confirmable messages.
    pub retransmissions: u64,
    /// Our Confirmable messages that were never acknowledged.
    pub given_up: u64,
    /// Responses given up, or notifications not sent, because too many Confirmable messages were
    /// outstanding.
    pub queue_full: u64,
    /// Responses dropped because no Message ID was free.
    pub out_of_message_ids: u64,
    /// Requests that were queued until others of their session or device ended.
    pub requests_waited: u64,
    /// Requests refused because the endpoint had too many open exchanges and its queue was full.
    pub too_many_exchanges: u64,
    /// Responses that were too large for any transfer and became 5.00.
    pub response_too_large: u64,
    /// Registrations answered without Observe because the endpoint had too many relations.
    pub too_many_observations: u64,
    /// Notifications sent. Retransmissions don't count, but a newer notification in the place of an
    /// older one does.
    pub notifications_sent: u64,
    /// Notifications superseded by a newer one before they were sent, or while in flight.
    pub notifications_superseded: u64,
    /// Relations whose notification, or registration response, was never acknowledged.
    pub notifications_given_up: u64,
    /// Notifications that were too large for any transfer, not sent.
    pub notifications_too_large: u64,
    /// Acknowledgements of notifications that had been superseded.
    pub superseded_acknowledged: u64,
    /// Relations ended by the client with a Reset.
    pub observations_cancelled: u64,
    /// Duplicates of registrations that arrived after newer notifications were sent.
    pub registrations_repeated: u64,
    /// Blocks of request bodies received.
    pub blocks_received: u64,
    /// Blocks whose payload does not have the length that Block1 says, or of a GET: answered with
    /// 4.00.
    pub blocks_malformed: u64,
    /// Request bodies assembled from blocks.
    pub uploads_completed: u64,
    /// Blocks that did not follow the held ones, answered with 4.08.
    pub uploads_incomplete: u64,
    /// Request bodies larger than `coap.max_body`, answered with 4.13.
    pub uploads_too_large: u64,
    /// Unfinished request bodies dropped because they were not continued.
    pub uploads_expired: u64,
    /// Blocks of responses and notifications sent.
    pub blocks_sent: u64,
    /// Requests for a later block of a response without a snapshot: 4.08 to POST, while a GET is
    /// passed to the application. That is so for every later block of a package.
    pub blocks_not_held: u64,
    /// Snapshots and unfinished uploads evicted so that another body could be held.
    pub bodies_evicted: u64,
    /// Bodies and queued requests refused because no memory was left for them.
    pub bodies_over_budget: u64,
    /// Pings sent to clients.
    pub pings_sent: u64,
    /// Pings to clients without an answer.
    pub pings_unanswered: u64,
    /// Clients at a new address that sent too many ACKs or Resets for messages that were not sent, as
    /// if to guess the Message ID of the ping that proves the address.
    pub path_proofs_refused: u64,
}
