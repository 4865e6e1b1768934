//! Requests of devices.

use crate::gateway::stats::Counters;
use crate::gateway::stats::answers;
use crate::metrics::{Label, Scrape};
use coap::Code;
use std::borrow::Cow;

pub(super) fn expose(
    scrape: &mut Scrape,
    gateway: &Counters,
    answers: &answers::Counts,
    unanswered: u64,
    too_many_exchanges: u64,
) {
    let Counters {
        calls,
        calls_refused,
        calls_refused_to_device,
        client_rpcs_refused,
        gets_refused,
        registrations_elsewhere,
        unregistered_requests,
        requests_while_draining,
        // coaps_gateway_datagrams_dropped
        datagrams_over_share: _,
        // upstream::expose
        completions_too_late: _,
        calls_given_up: _,
        // sessions::expose
        sessions_displaced: _,
        unregistered_displaced: _,
        sessions_unregistered: _,
        sessions_revoked: _,
    } = *gateway;
    let answered = answers.iter().map(|((request, code), count)| {
        let code = Cow::Owned(Code(*code).to_string());
        let labels: Vec<Label> = vec![
            ("method", Cow::Borrowed(request.method)),
            ("resource", Cow::Borrowed(request.resource)),
            ("code", code),
        ];
        (labels, *count)
    });
    scrape.counters(
        "coaps_gateway_requests",
        "Answered requests of devices, by resource and response code",
        answered,
    );
    scrape.counter(
        "coaps_gateway_requests_unanswered",
        "Requests whose session ended before they were answered",
        unanswered,
    );
    scrape.counter(
        "coaps_gateway_requests_forwarded",
        "Requests for which a call to ThingsBoard was made",
        calls,
    );
    scrape.counters_by(
        "coaps_gateway_requests_refused",
        "Requests that the gateway refused without a call to ThingsBoard",
        "reason",
        [
            ("unregistered", unregistered_requests),
            ("max_in_flight", calls_refused),
            ("max_in_flight_per_device", calls_refused_to_device),
            ("max_client_rpc", client_rpcs_refused),
            ("gets_unanswered", gets_refused),
            ("draining", requests_while_draining),
            ("too_many_exchanges", too_many_exchanges),
        ],
    );
    scrape.counter(
        "coaps_gateway_registrations_ignored",
        "Registrations for resources that are not observable, answered without Observe",
        registrations_elsewhere,
    );
}
