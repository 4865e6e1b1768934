//! Hazard: ThingsBoard takes for delivered what the device does not have, or pushes to a device that does not answer.

use super::{World, default_settings};
use crate::downlink::attribute_json::Update;
use crate::downlink::{Acknowledgement, Command, ConnectionId, Event, Form, Kind, Message};
use crate::gateway::core::DownlinkRequest;
use crate::relay::RelayId;
use crate::upstream::{Error, Rejection};
use bytes::Bytes;
use coap::Type;
use serde_json::json;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const CONNECTION: ConnectionId = ConnectionId(1);

/// A world whose only device observes both kinds, and the relay of the device.
fn subscribed(kind: Type) -> (World, RelayId) {
    let mut settings = default_settings();
    settings.downlink = Form::Push;
    let mut world = World::observing(settings, kind);
    let relay = subscribe_as_requested(&mut world);
    world.run_for(SECOND);
    assert!(requests(&mut world).is_empty());
    (world, relay)
}

fn requests(world: &mut World) -> Vec<DownlinkRequest> {
    let requests = std::iter::from_fn(|| world.core.poll_downlink());
    let is_subscription = |request: &DownlinkRequest| {
        !matches!(
            request,
            DownlinkRequest::AliveUntil(..) | DownlinkRequest::Close(_)
        )
    };
    requests.filter(is_subscription).collect()
}

/// Grants the subscriptions that are requested: one of each kind.
fn subscribe_as_requested(world: &mut World) -> RelayId {
    let mut kinds = Vec::new();
    let mut of = None;
    for request in requests(world) {
        let DownlinkRequest::Subscribe {
            device,
            kind,
            number,
        } = request
        else {
            panic!("{request:?}");
        };
        let relay = world.core.relay_of(&device.name);
        kinds.push(kind);
        of = Some(relay);
        report(world, relay, kind, Event::Subscribed(number, CONNECTION));
    }
    kinds.sort_unstable_by_key(|kind| *kind == Kind::Commands);
    assert_eq!(kinds, [Kind::Attributes, Kind::Commands]);
    of.unwrap()
}

fn report(world: &mut World, relay: RelayId, kind: Kind, event: Event<Message>) {
    world.core.downlink_event(world.now, relay, kind, event);
    world.flush();
}

fn packet(packet: u16) -> Acknowledgement {
    Acknowledgement {
        connection: CONNECTION,
        packet,
    }
}

fn push_command(world: &mut World, relay: RelayId, id: u32, acknowledgement: Acknowledgement) {
    let body = format!(r#"{{"method":"set","params":{id}}}"#);
    let command = Command::pushed(id, body.as_bytes());
    let event = Event::Pushed(Message::Command(command), acknowledgement);
    report(world, relay, Kind::Commands, event);
}

fn acknowledged(world: &mut World) -> Vec<Acknowledgement> {
    let requests = requests(world).into_iter();
    let acknowledged = requests.map(|request| match request {
        DownlinkRequest::Acknowledge(acknowledgement) => acknowledgement,
        other => panic!("{other:?}"),
    });
    acknowledged.collect()
}

#[test]
fn a_message_is_acknowledged_when_the_device_has_acknowledged_its_notification() {
    let (mut world, relay) = subscribed(Type::Confirmable);
    push_command(&mut world, relay, 1, packet(1));
    let update = Bytes::from_static(br#"{"b":2}"#);
    let update = Message::Attributes(Update::read(&update));
    report(
        &mut world,
        relay,
        Kind::Attributes,
        Event::Pushed(update, packet(2)),
    );
    assert_eq!(acknowledged(&mut world), [], "the device has nothing yet");
    world.run_for(SECOND);
    let mut all = acknowledged(&mut world);
    all.sort_unstable_by_key(|acknowledgement| acknowledgement.packet);
    assert_eq!(all, [packet(1), packet(2)]);
    assert_eq!(world.devices[0].observations[1].commands, [json!(1)]);
}

#[test]
fn a_non_confirmable_notification_is_acknowledged_at_once() {
    let (mut world, relay) = subscribed(Type::NonConfirmable);
    push_command(&mut world, relay, 1, packet(1));
    assert_eq!(acknowledged(&mut world), [packet(1)]);
}

#[test]
fn a_refused_subscription_is_wanted_no_more() {
    let (mut world, relay) = subscribed(Type::Confirmable);
    for kind in [Kind::Attributes, Kind::Commands] {
        let refused = Error::Rejected(Rejection::TokenRefused);
        report(&mut world, relay, kind, Event::Refused(refused));
    }
    let mut unsubscribed = Vec::new();
    for request in requests(&mut world) {
        match request {
            DownlinkRequest::Unsubscribe { kind, .. } => unsubscribed.push(kind),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(unsubscribed, [Kind::Attributes, Kind::Commands]);
}

#[test]
fn a_device_that_is_away_is_unsubscribed_and_gets_its_command_once_when_it_is_back() {
    let (mut world, relay) = subscribed(Type::Confirmable);
    world.link.conditions.loss = 1.0;
    push_command(&mut world, relay, 1, packet(1));
    world.run_for(200 * SECOND);
    let unsubscribed: Vec<Kind> = requests(&mut world)
        .into_iter()
        .map(|request| match request {
            DownlinkRequest::Unsubscribe { device, kind } if &*device.name == "device-0" => kind,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(unsubscribed, [Kind::Attributes, Kind::Commands]);

    world.link.conditions.loss = 0.0;
    world.post(0, Type::Confirmable);
    world.run_until(10 * SECOND, |world| {
        !world.devices[0].observations[1].commands.is_empty()
    });
    let again = subscribe_as_requested(&mut world);
    assert_eq!(again, relay);
    // ThingsBoard has taken it for timed out, and sends it again.
    push_command(&mut world, relay, 1, packet(2));
    world.run_for(10 * SECOND);
    assert_eq!(acknowledged(&mut world), [packet(2)]);
    assert_eq!(world.devices[0].observations[1].commands, [json!(1)]);
}

#[test]
fn max_polls_does_not_bound_subscriptions() {
    let mut settings = default_settings();
    settings.downlink = Form::Push;
    settings.relay.max_polls = 1;
    let mut world = World::observing(settings, Type::Confirmable);
    subscribe_as_requested(&mut world);
    assert!(world.devices[0].observations[1].is_active());
    assert_eq!(world.core.counters().relay.registrations_refused, 0);
    assert_eq!(world.core.load().relays.downlinks, 0);
}
