//! Observations, and what the relays do for them.

use crate::metrics::{Scrape, level};
use crate::relay::{Counters, table};

pub(super) fn expose(
    scrape: &mut Scrape,
    relay: &Counters,
    coap: &coap::Counters,
    observations: &table::ObservationCounts,
) {
    let Counters {
        registrations,
        registrations_refused,
        replaced,
        cancelled,
        refused,
        ended_unregistered_certificate,
        parked,
        resumed,
        polls,
        polls_failed,
        reads,
        reads_failed,
        empty_reads_unconfirmed,
        changes_found_by_reading,
        attribute_notifications,
        commands_received,
        commands_repeated,
        commands_delivered,
        commands_unanswered,
        commands_expired,
        no_room,
        too_large,
    } = *relay;
    scrape.gauges_by(
        "coaps_gateway_observations",
        "Current observations",
        "resource",
        [
            ("attributes", level(observations.attributes)),
            ("rpc", level(observations.commands)),
        ],
    );
    scrape.gauge(
        "coaps_gateway_observations_parked",
        "Of these, those whose device does not answer: there are no long polls for them",
        level(observations.parked),
    );
    scrape.counters_by(
        "coaps_gateway_polls",
        "Long polls",
        "event",
        [("opened", polls), ("failed", polls_failed)],
    );
    scrape.counters_by(
        "coaps_gateway_reads",
        "Reads of all attributes of a device, for its observation",
        "event",
        [("begun", reads), ("failed", reads_failed)],
    );
    scrape.counters_by(
        "coaps_gateway_observation_events",
        "Registrations and ends of observations",
        "event",
        [
            ("registered", registrations),
            ("refused_max_polls", registrations_refused),
            ("refused_max_observations", coap.too_many_observations),
            ("registration_repeated", coap.registrations_repeated),
            ("replaced", replaced),
            ("cancelled", cancelled),
            ("cancelled_by_reset", coap.observations_cancelled),
            ("refused_by_thingsboard", refused),
            ("unregistered", ended_unregistered_certificate),
            ("parked", parked),
            ("resumed", resumed),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_commands",
        "Commands (server-side RPC) for devices",
        "event",
        [
            ("received", commands_received),
            ("repeated", commands_repeated),
            ("delivered", commands_delivered),
            ("expired", commands_expired),
            ("unanswered", commands_unanswered),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_attributes",
        "Shared attributes for devices",
        "event",
        [
            ("notified", attribute_notifications),
            ("found_by_read", changes_found_by_reading),
            ("empty_read_unconfirmed", empty_reads_unconfirmed),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_downlink_dropped",
        "Attributes and commands that were not relayed: too large for a notification or for one device's memory, or over relay.bytes",
        "reason",
        [("too_large", too_large), ("relay_bytes", no_room)],
    );
}
