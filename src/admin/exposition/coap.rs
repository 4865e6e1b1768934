//! CoAP messages, notifications and blocks.

use crate::metrics::Scrape;
use coap::Counters;

pub(super) fn expose(scrape: &mut Scrape, coap: &Counters) {
    let Counters {
        requests,
        malformed_rejected,
        malformed_ignored,
        bad_options_ignored,
        observe_ignored,
        duplicates,
        messages_forgotten,
        pings,
        unmatched,
        empty_acknowledgements,
        retransmissions,
        given_up,
        queue_full,
        out_of_message_ids,
        requests_waited,
        response_too_large,
        notifications_sent,
        notifications_superseded,
        notifications_given_up,
        notifications_too_large,
        superseded_acknowledged,
        blocks_received,
        blocks_malformed,
        uploads_completed,
        uploads_incomplete,
        uploads_too_large,
        uploads_expired,
        blocks_sent,
        blocks_not_held,
        bodies_evicted,
        bodies_over_budget,
        pings_sent,
        pings_unanswered,
        path_proofs_refused,
        // coaps_gateway_requests_refused
        too_many_exchanges: _,
        // coaps_gateway_observation_events
        too_many_observations: _,
        observations_cancelled: _,
        registrations_repeated: _,
    } = *coap;
    scrape.counters_by(
        "coaps_gateway_coap_messages",
        "CoAP messages: requests, and those that are no request and no expected answer, or that had to be sent again",
        "event",
        [
            ("request", requests),
            ("duplicate", duplicates),
            ("forgotten", messages_forgotten),
            ("malformed_rejected", malformed_rejected),
            ("malformed_ignored", malformed_ignored),
            ("bad_option_ignored", bad_options_ignored),
            ("observe_ignored", observe_ignored),
            ("ping", pings),
            ("unmatched", unmatched),
            ("empty_acknowledgement", empty_acknowledgements),
            ("retransmission", retransmissions),
            ("given_up", given_up),
            ("queue_full", queue_full),
            ("out_of_message_ids", out_of_message_ids),
            ("response_too_large", response_too_large),
            ("ping_sent", pings_sent),
            ("ping_unanswered", pings_unanswered),
            ("path_proof_refused", path_proofs_refused),
        ],
    );
    scrape.counter(
        "coaps_gateway_requests_waited",
        "Requests that waited for others to end: coap.max_exchanges of their session, or their device's share of calls, were open",
        requests_waited,
    );
    scrape.counters_by(
        "coaps_gateway_notifications",
        "Notifications to devices",
        "event",
        [
            ("sent", notifications_sent),
            ("superseded", notifications_superseded),
            ("superseded_acknowledged", superseded_acknowledged),
            ("given_up", notifications_given_up),
            ("too_large", notifications_too_large),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_blocks",
        "Blocks of bodies (RFC 7959)",
        "event",
        [
            ("received", blocks_received),
            ("malformed", blocks_malformed),
            ("sent", blocks_sent),
            ("not_held", blocks_not_held),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_bodies",
        "Bodies that were not kept for coap.body_bytes: evicted for newer ones, or refused",
        "event",
        [("evicted", bodies_evicted), ("refused", bodies_over_budget)],
    );
    scrape.counters_by(
        "coaps_gateway_uploads",
        "Bodies of requests that were sent in blocks",
        "outcome",
        [
            ("completed", uploads_completed),
            ("incomplete", uploads_incomplete),
            ("too_large", uploads_too_large),
            ("expired", uploads_expired),
        ],
    );
}
