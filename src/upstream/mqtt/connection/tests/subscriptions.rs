//! Subscriptions, and messages of ThingsBoard's.

use super::*;

const ATTRIBUTES: Numbers = Numbers {
    attributes: Some(1),
    commands: None,
};
const COMMANDS: Numbers = Numbers {
    attributes: None,
    commands: Some(1),
};

fn subscribed() -> World {
    let mut world = World::connected();
    world.connection.set_subscriptions(BOTH);
    world.exchange();
    let Some(FromClient::Subscribe(packet, filters)) = world.server.pop() else {
        panic!();
    };
    assert_eq!(filters, ["v2/a/j", "v2/r/req/j/+"]);
    world.receive(&server::suback(packet, &[1, 1]));
    assert_eq!(world.pop_events(), []);
    world.advance(Duration::from_millis(99));
    assert_eq!(world.pop_events(), []);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.pop_events(), [Seen::Subscribed(BOTH)]);
    world
}

#[test]
fn a_subscription_works_a_while_after_its_suback() {
    subscribed();
}

#[test]
fn what_is_wanted_later_is_subscribed_to_and_what_is_not_wanted_is_left() {
    let mut world = World::new();
    world.connection.set_subscriptions(ATTRIBUTES);
    world.receive(&server::connack(0));
    world.server.pop();
    let Some(FromClient::Subscribe(first, filters)) = world.server.pop() else {
        panic!();
    };
    assert_eq!(filters, ["v2/a/j"]);
    // One at a time.
    world.connection.set_subscriptions(COMMANDS);
    world.exchange();
    assert_eq!(world.server.len(), 0);
    world.receive(&server::suback(first, &[1]));
    world.advance(Duration::from_millis(100));
    let Some(FromClient::Subscribe(second, filters)) = world.server.pop() else {
        panic!();
    };
    assert_eq!(filters, ["v2/r/req/j/+"]);
    world.receive(&server::suback(second, &[1]));
    world.advance(Duration::from_millis(100));
    let Some(FromClient::Unsubscribe(third)) = world.server.pop() else {
        panic!();
    };
    world.receive(&server::unsuback(third));
    assert_eq!(
        world.pop_events(),
        [
            Seen::Connected,
            // The first one works when it is not wanted any more.
            Seen::Subscribed(COMMANDS)
        ]
    );
    assert_eq!(world.server.len(), 0);
}

#[test]
fn a_refused_or_unanswered_subscription_ends_the_connection() {
    let mut world = World::connected();
    world.connection.set_subscriptions(BOTH);
    world.exchange();
    let Some(FromClient::Subscribe(packet, _)) = world.server.pop() else {
        panic!();
    };
    let refused = server::suback(packet, &[1, 0x8f]);
    world.receive(&refused);
    assert!(matches!(
        world.pop_events()[..],
        [Seen::Ended(End::Unintelligible(_))]
    ));
    // A code for each filter (MQTT 5 §3.9.3).
    let mut world = World::connected();
    world.connection.set_subscriptions(BOTH);
    world.exchange();
    let Some(FromClient::Subscribe(packet, _)) = world.server.pop() else {
        panic!();
    };
    world.receive(&server::suback(packet, &[1]));
    assert!(matches!(
        world.pop_events()[..],
        [Seen::Ended(End::Unintelligible(_))]
    ));
    let mut world = World::connected();
    world.connection.set_subscriptions(BOTH);
    world.exchange();
    world.advance(Duration::from_secs(10));
    assert_eq!(world.pop_events(), [Seen::Ended(End::Silent)]);
}

#[test]
fn messages_are_acknowledged_by_hand_and_in_any_order() {
    let mut world = subscribed();
    world.receive(&server::publish(1, "v2/a/j", b"{\"a\":1}"));
    world.receive(&server::publish(2, "v2/r/req/j/7", b"{\"method\":\"m\"}"));
    world.receive(&server::publish_at_most_once("v2/a/j", b"{}"));
    assert_eq!(
        world.pop_events(),
        [
            Seen::Attributes(Bytes::from_static(b"{\"a\":1}"), Some(1)),
            Seen::Command(7, Bytes::from_static(b"{\"method\":\"m\"}"), Some(2)),
            Seen::Attributes(Bytes::from_static(b"{}"), None),
        ]
    );
    assert_eq!(world.server.len(), 0);
    for packet in [2, 1] {
        world.connection.acknowledge(world.now, packet);
        world.exchange();
        assert_eq!(world.server.pop(), Some(FromClient::Puback(packet)));
    }
}

#[test]
fn an_unknown_or_late_message_is_acknowledged_and_dropped() {
    let mut world = subscribed();
    for (id, topic) in [
        (1, "unknown"),
        (2, "v2/a/res/j/99"),
        (3, "v2/fw/response/1/chunk/1"),
        (4, "v2/r/req/j/x"),
    ] {
        world.receive(&server::publish(id, topic, b"{}"));
        assert_eq!(world.server.pop(), Some(FromClient::Puback(id)));
    }
    assert_eq!(world.pop_events(), []);
}

#[test]
fn a_renewal_is_due_before_the_packet_ids_end_and_id_0_ends_the_connection() {
    let mut world = subscribed();
    // Not at once, whatever ids this server begins with.
    world.receive(&server::publish(60_000, "v2/a/j", b"{}"));
    world.advance(Duration::from_secs(1));
    world.receive(&server::publish(59_999, "v2/a/j", b"{}"));
    let events = world.pop_events();
    assert_eq!(
        (events.contains(&Seen::RenewalDue), events.len()),
        (false, 2)
    );
    world.receive(&server::publish(60_000, "v2/a/j", b"{}"));
    world.receive(&server::publish(60_001, "v2/a/j", b"{}"));
    let events = world.pop_events();
    let renewals = events.iter().filter(|event| **event == Seen::RenewalDue);
    assert_eq!((renewals.count(), events.len()), (1, 3));
    world.receive(&server::publish(0, "v2/a/j", b"{}"));
    assert!(matches!(
        world.pop_events()[..],
        [Seen::Ended(End::Unintelligible(_))]
    ));
}

#[test]
fn after_an_unsubscribe_changes_are_dropped_and_commands_stay_with_thingsboard() {
    let mut world = subscribed();
    world.connection.set_subscriptions(Numbers::default());
    world.receive(&server::publish(1, "v2/a/j", b"{}"));
    world.receive(&server::publish(2, "v2/r/req/j/7", b"{}"));
    assert!(matches!(
        world.server.pop(),
        Some(FromClient::Puback(1) | FromClient::Unsubscribe(_))
    ));
    assert!(matches!(
        world.server.pop(),
        Some(FromClient::Puback(1) | FromClient::Unsubscribe(_))
    ));
    assert_eq!((world.server.len(), world.pop_events()), (0, vec![]));
}

#[test]
fn a_subscription_with_another_number_is_requested_again() {
    let mut world = subscribed();
    let renewed = Numbers {
        attributes: Some(2),
        ..BOTH
    };
    world.connection.set_subscriptions(renewed);
    world.exchange();
    let Some(FromClient::Subscribe(packet, filters)) = world.server.pop() else {
        panic!();
    };
    assert_eq!(filters, ["v2/a/j"]);
    world.receive(&server::suback(packet, &[1]));
    world.advance(Duration::from_millis(100));
    let only = Numbers {
        attributes: Some(2),
        commands: None,
    };
    assert_eq!(world.pop_events(), [Seen::Subscribed(only)]);
    assert_eq!(world.server.len(), 0);
}
