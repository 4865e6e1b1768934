//! Devices' connections to ThingsBoard over MQTT, and what is sent and received on them. All zero over HTTP.

use crate::metrics::{Label, Scrape, level};
use crate::relay::table::ObservationCounts;
use crate::upstream::{Expired, MqttCounters};
use std::borrow::Cow;

pub(super) fn expose(
    scrape: &mut Scrape,
    counters: &MqttCounters,
    observations: &ObservationCounts,
) {
    let MqttCounters {
        // It is in `coaps_gateway_bound_used`.
        devices: _,
        open,
        waiting,
        backing_off,
        requests,
        request_bytes,
        opened,
        ended,
        refused,
        expired,
        attributes,
        commands,
        acknowledged,
        acknowledged_too_late,
    } = *counters;
    scrape.gauges_by(
        "coaps_gateway_mqtt_connections",
        "Devices' MQTT connections to ThingsBoard: open, waiting to be opened, or waiting after a failure of this device's",
        "state",
        [
            ("open", level(open)),
            ("waiting", level(waiting)),
            ("backing_off", level(backing_off)),
        ],
    );
    scrape.counter(
        "coaps_gateway_mqtt_connections_opened",
        "MQTT connections that ThingsBoard has accepted",
        opened,
    );
    scrape.counters_by(
        "coaps_gateway_mqtt_connections_ended",
        "MQTT connections by why they ended, or could not be opened; closed: by the gateway",
        "reason",
        ended,
    );
    let (wanted, working) = (
        observations.subscriptions,
        observations.working_subscriptions,
    );
    let subscriptions = [
        ("attributes", "wanted", wanted.attributes),
        ("attributes", "working", working.attributes),
        ("rpc", "wanted", wanted.commands),
        ("rpc", "working", working.commands),
    ];
    let subscriptions = subscriptions.map(|(resource, state, count)| {
        let labels: Vec<Label> = vec![
            ("resource", Cow::Borrowed(resource)),
            ("state", Cow::Borrowed(state)),
        ];
        (labels, level(count))
    });
    scrape.gauges(
        "coaps_gateway_mqtt_subscriptions",
        "MQTT subscriptions: all that are wanted, and those of them that ThingsBoard has granted on an open connection",
        subscriptions,
    );
    scrape.counters_by(
        "coaps_gateway_mqtt_messages_received",
        "Changes of attributes and commands received over MQTT",
        "resource",
        [("attributes", attributes), ("rpc", commands)],
    );
    scrape.counters_by(
        "coaps_gateway_mqtt_pubacks",
        "PUBACKs for these: sent, or too late because the connection had ended",
        "event",
        [("sent", acknowledged), ("too_late", acknowledged_too_late)],
    );
    scrape.gauge(
        "coaps_gateway_mqtt_requests",
        "Requests that wait for an MQTT connection, or are in flight on one",
        level(requests),
    );
    scrape.gauge(
        "coaps_gateway_mqtt_request_bytes",
        "Bytes of their bodies",
        level(request_bytes),
    );
    scrape.counters_by(
        "coaps_gateway_mqtt_requests_refused",
        "Requests that were answered without being sent over MQTT; body: ThingsBoard would never answer it, or close the connection",
        "reason",
        refused,
    );
    let Expired {
        unsent,
        unacknowledged,
        unanswered,
    } = expired;
    scrape.counters_by(
        "coaps_gateway_mqtt_requests_expired",
        "Requests over MQTT whose time was over: not sent, sent without a PUBACK, or with a PUBACK and without its answer",
        "state",
        [
            ("unsent", unsent),
            ("unacknowledged", unacknowledged),
            ("unanswered", unanswered),
        ],
    );
}
