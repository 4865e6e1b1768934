//! CoAP: requests and their answers, messages, notifications, blocks.

use crate::gateway::report::Report;
use crate::metrics::{Label, Scrape};
use coap::Code;
use std::borrow::Cow;

/// Adds them.
pub(super) fn expose(scrape: &mut Scrape, report: &Report) {
    requests(scrape, report);
    messages(scrape, report);
    notifications(scrape, report);
    blocks(scrape, report);
}

fn requests(scrape: &mut Scrape, report: &Report) {
    let answered = report.answers.iter().map(|((asked, code), count)| {
        let code = Cow::Owned(Code(*code).to_string());
        let labels: Vec<Label> = vec![
            ("method", Cow::Borrowed(asked.method)),
            ("resource", Cow::Borrowed(asked.resource)),
            ("code", code),
        ];
        (labels, *count)
    });
    scrape.counters(
        "coaps_gateway_requests",
        "Requests of devices that were answered, by resource and response code",
        answered,
    );
    scrape.counter(
        "coaps_gateway_requests_unanswered",
        "Requests whose session ended before they were answered",
        report.unanswered,
    );
    let gateway = &report.gateway;
    scrape.counters_by(
        "coaps_gateway_requests_refused",
        "Requests that the gateway answered without asking ThingsBoard, for its own reasons",
        "reason",
        [
            ("unregistered", gateway.unregistered_requests),
            ("max_in_flight", gateway.calls_refused),
            ("max_in_flight_per_device", gateway.calls_refused_to_device),
            ("max_client_rpc", gateway.client_rpcs_refused),
            ("gets_unanswered", gateway.gets_refused),
            ("draining", gateway.requests_while_draining),
            ("too_many_exchanges", report.coap.too_many_exchanges),
        ],
    );
    scrape.counter(
        "coaps_gateway_requests_waited",
        "Requests that had to wait for others to end: coap.max_exchanges of their session, or their device's share of calls, were under way",
        report.coap.requests_waited,
    );
    scrape.counter(
        "coaps_gateway_registrations_elsewhere",
        "Registrations for what can't be observed, answered as plain requests",
        gateway.registrations_elsewhere,
    );
}

fn messages(scrape: &mut Scrape, report: &Report) {
    let coap = &report.coap;
    scrape.counters_by(
        "coaps_gateway_coap_messages",
        "Messages that were no new request and no wanted answer, or that a device had to be sent again",
        "event",
        [
            ("duplicate", coap.duplicates),
            ("forgotten", coap.messages_forgotten),
            ("malformed_rejected", coap.malformed_rejected),
            ("malformed_ignored", coap.malformed_ignored),
            ("bad_option_ignored", coap.bad_options_ignored),
            ("observe_ignored", coap.observe_ignored),
            ("ping", coap.pings),
            ("unmatched", coap.unmatched),
            ("empty_acknowledgement", coap.empty_acknowledgements),
            ("retransmission", coap.retransmissions),
            ("given_up", coap.given_up),
            ("queue_full", coap.queue_full),
            ("out_of_message_ids", coap.out_of_message_ids),
            ("response_too_large", coap.response_too_large),
            ("ping_sent", coap.pings_sent),
            ("ping_unanswered", coap.pings_unanswered),
        ],
    );
}

fn notifications(scrape: &mut Scrape, report: &Report) {
    let coap = &report.coap;
    scrape.counters_by(
        "coaps_gateway_notifications",
        "Notifications to devices",
        "event",
        [
            ("sent", coap.notifications_sent),
            ("superseded", coap.notifications_superseded),
            ("superseded_acknowledged", coap.superseded_acknowledged),
            ("given_up", coap.notifications_given_up),
            ("too_large", coap.notifications_too_large),
        ],
    );
    let relay = &report.relay;
    scrape.counters_by(
        "coaps_gateway_observation_events",
        "What became of observations",
        "event",
        [
            ("registered", relay.registered),
            ("refused_for_want_of_polls", relay.registrations_refused),
            ("refused_for_want_of_room", coap.too_many_observations),
            ("registration_repeated", coap.registrations_repeated),
            ("replaced", relay.replaced),
            ("cancelled", relay.cancelled),
            ("cancelled_by_reset", coap.observations_cancelled),
            ("refused_by_thingsboard", relay.refused),
            ("unregistered", relay.unregistered),
            ("parked", relay.parked),
            ("resumed", relay.resumed),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_commands",
        "Commands (server-side RPC) on their way to devices",
        "event",
        [
            ("taken", relay.commands_taken),
            ("repeated", relay.commands_repeated),
            ("delivered", relay.commands_delivered),
            ("expired", relay.commands_expired),
            ("unanswered", relay.commands_unanswered),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_attributes",
        "Shared attributes on their way to devices",
        "event",
        [
            ("told", relay.states_told),
            ("found_by_reading", relay.changes_found_by_reading),
            ("empty_answer_doubted", relay.empty_answers_doubted),
        ],
    );
    scrape.counter(
        "coaps_gateway_downlink_too_large",
        "Attributes and commands that fit no notification, or not the memory of one device",
        relay.too_large,
    );
}

fn blocks(scrape: &mut Scrape, report: &Report) {
    let coap = &report.coap;
    scrape.counters_by(
        "coaps_gateway_blocks",
        "Blocks of bodies",
        "event",
        [
            ("received", coap.blocks_received),
            ("malformed", coap.blocks_malformed),
            ("sent", coap.blocks_sent),
            ("not_held", coap.blocks_not_held),
            ("given_up", coap.bodies_evicted),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_uploads",
        "Bodies of requests that came in blocks",
        "outcome",
        [
            ("completed", coap.uploads_completed),
            ("incomplete", coap.uploads_incomplete),
            ("too_large", coap.uploads_too_large),
            ("expired", coap.uploads_expired),
        ],
    );
}
