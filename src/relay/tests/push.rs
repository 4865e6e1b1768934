//! A relay whose messages are pushed over connections that are lost and opened again.

use super::*;
use crate::downlink::{Acknowledgement, ConnectionId};

const COMMANDS: Kind = Kind::Commands;
const ATTRIBUTES: Kind = Kind::Attributes;

fn world() -> World {
    World::of_form(Form::Push, Settings::default())
}

pub(super) fn packet(connection: u64, packet: u16) -> Acknowledgement {
    Acknowledgement {
        connection: ConnectionId(connection),
        packet,
    }
}

fn command(id: u32) -> String {
    format!(r#"{{"id":{id},"method":"set"}}"#)
}

impl World {
    fn downlink(&mut self, kind: Kind, event: Event<Message>) -> Vec<RelayEffect> {
        self.event(|relay, now, context| relay.downlink_event(now, kind, event, context))
    }

    pub(super) fn subscribed(
        &mut self,
        kind: Kind,
        number: u64,
        connection: u64,
    ) -> Vec<RelayEffect> {
        self.downlink(kind, Event::Subscribed(number, ConnectionId(connection)))
    }

    fn interrupted(&mut self, kind: Kind, connection: u64) -> Vec<RelayEffect> {
        self.downlink(kind, Event::Interrupted(ConnectionId(connection)))
    }

    pub(super) fn pushes(
        &mut self,
        kind: Kind,
        body: &str,
        acknowledgement: Acknowledgement,
    ) -> Vec<RelayEffect> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let message = match kind {
            Kind::Attributes => Message::Attributes(Update::read(&body)),
            Kind::Commands => Message::Command(Command::read(body)),
        };
        self.downlink(kind, Event::Pushed(message, acknowledgement))
    }

    /// Registers for commands, and is subscribed on connection 1.
    fn observes_commands(mut self) -> World {
        self.register_commands(FIRST);
        self.subscribed(COMMANDS, 1, 1);
        self
    }

    /// Registers for attributes with this state, is subscribed on connection 1, and has read them.
    fn observes_attributes(mut self, state: &str) -> World {
        self.register_attributes(FIRST, state);
        self.subscribed(ATTRIBUTES, 1, 1);
        let number = read(&self.wait(SECOND));
        self.read_brings(number, &format!(r#"{{"shared":{state}}}"#));
        self
    }
}

pub(super) fn acknowledged(effects: &[RelayEffect]) -> Vec<Acknowledgement> {
    let acknowledged = effects.iter().filter_map(|effect| match effect {
        RelayEffect::Downlink(Effect::Acknowledge(acknowledgement)) => Some(*acknowledgement),
        _ => None,
    });
    acknowledged.collect()
}

fn subscribe(kind: Kind, number: u64) -> RelayEffect {
    RelayEffect::Downlink(Effect::Subscribe(kind, number))
}

fn unsubscribe(kind: Kind) -> RelayEffect {
    RelayEffect::Downlink(Effect::Unsubscribe(kind))
}

#[test]
fn an_observation_subscribes_and_its_end_unsubscribes() {
    let mut world = world();
    let effects = world.register_attributes(FIRST, r#"{"a":1}"#);
    assert_eq!(effects, [subscribe(ATTRIBUTES, 1)]);
    assert_eq!(world.relay.downlinks(&world.settings), 1);
    let effects = world.event(|relay, _, context| relay.cancelled(FIRST, context));
    assert_eq!(effects, [unsubscribe(ATTRIBUTES)]);
    assert_eq!(world.relay.downlinks(&world.settings), 0);
    assert!(world.relay.is_idle());
}

#[test]
fn attributes_are_read_once_the_subscription_works_and_every_sync_interval() {
    let mut world = world();
    world.register_attributes(FIRST, r#"{"a":1}"#);
    let number = read(&world.wait(SECOND));
    world.read_brings(number, r#"{"shared":{"a":1}}"#);
    // The connection took long.
    world.now += 10 * SECOND;
    let granted = world.now;
    world.subscribed(ATTRIBUTES, 1, 1);
    let number = read(&world.wait(SECOND));
    assert!(world.now - granted >= 100 * MS);
    let effects = world.read_brings(number, r#"{"shared":{"a":2}}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"a":2}"#);
    for _ in 0..3 {
        let before = world.now;
        world.last_received = before;
        let number = read(&world.wait(600 * SECOND));
        assert_eq!(world.now - before, world.settings.sync_interval);
        world.read_brings(number, r#"{"shared":{"a":2}}"#);
    }
}

#[test]
fn a_change_is_acknowledged_when_the_device_has_all_of_it() {
    let mut world = world().observes_attributes("{}");
    world.largest_payload = 40;
    let body = r#"{"a":"xxxxxxxxxxxxxxx","b":"xxxxxxxxxxxxxxx"}"#;
    let effects = world.pushes(ATTRIBUTES, body, packet(1, 7));
    let (first, _) = notified(&effects)[0];
    assert_eq!(acknowledged(&effects), []);
    let effects = world.delivered(FIRST, first);
    assert_eq!(acknowledged(&effects), [], "half of it");
    let (second, _) = notified(&effects)[0];
    // It goes on with the newer change, of which the device has nothing yet.
    let effects = world.pushes(ATTRIBUTES, r#"{"c":1}"#, packet(1, 8));
    assert_eq!(acknowledged(&effects), []);
    let effects = world.delivered(FIRST, second);
    assert_eq!(acknowledged(&effects), [packet(1, 7)]);
}

#[test]
fn a_change_to_the_same_value_and_one_that_is_unreadable_are_acknowledged_at_once() {
    let mut world = world().observes_attributes(r#"{"a":1}"#);
    let effects = world.pushes(ATTRIBUTES, r#"{"a":1}"#, packet(1, 1));
    assert_eq!(acknowledged(&effects), [packet(1, 1)]);
    let effects = world.pushes(ATTRIBUTES, "nonsense", packet(1, 2));
    assert_eq!(acknowledged(&effects), [packet(1, 2)]);
    assert!(effects.contains(&RelayEffect::UnreadableMessage(ATTRIBUTES)));
}

#[test]
fn changes_that_the_device_never_confirms_hold_back_few_acknowledgements() {
    let mut world = world().observes_attributes("{}");
    let mut count = 0;
    for id in 0..100 {
        let effects = world.pushes(ATTRIBUTES, &format!(r#"{{"a{id}":1}}"#), packet(1, id));
        count += acknowledged(&effects).len();
    }
    assert_eq!(count, 100 - 32);
}

#[test]
fn while_the_connection_is_lost_nothing_is_read_and_afterwards_all_is() {
    let mut world = world().observes_attributes(r#"{"a":1}"#);
    let update = world.pushes(ATTRIBUTES, r#"{"b":1}"#, packet(1, 1));
    world.interrupted(ATTRIBUTES, 1);
    let effects = world.delivered(FIRST, notified(&update)[0].0);
    assert_eq!(
        acknowledged(&effects),
        [],
        "packet ids are of one connection"
    );
    assert_eq!(world.wait(800 * SECOND), []);
    world.subscribed(ATTRIBUTES, 1, 2);
    let number = read(&world.wait(SECOND));
    let effects = world.read_brings(number, r#"{"shared":{"b":1}}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"deleted":["a"]}"#);
}

#[test]
fn a_device_that_is_back_before_the_connection_is_notified_of_what_is_known() {
    let mut world = world().observes_attributes("{}");
    world.pushes(ATTRIBUTES, r#"{"a":1}"#, packet(1, 1));
    world.event(|relay, _, context| relay.delivery_failed(FIRST, context));
    let effects = world.event(|relay, now, context| relay.received(now, FIRST.session, context));
    assert_eq!(notified(&effects), [], "the present values are read first");
    let number = read(&effects);
    let effects = world.interrupted(ATTRIBUTES, 1);
    assert_eq!(notified(&effects)[0].1, r#"{"a":1}"#);
    let failed = Err(Error::Unreachable);
    world.event(|relay, now, context| relay.read_ended(now, number, failed, context));
    assert_eq!(world.wait(800 * SECOND), [], "until it is subscribed again");
    world.subscribed(ATTRIBUTES, 2, 2);
    read(&world.wait(SECOND));
}

#[test]
fn several_commands_are_queued_and_each_is_acknowledged_with_its_delivery() {
    let mut world = world().observes_commands();
    let mut effects = world.pushes(COMMANDS, &command(1), packet(1, 11));
    for id in 2..=40 {
        let more = world.pushes(
            COMMANDS,
            &command(id),
            packet(1, 10 + u16::try_from(id).unwrap()),
        );
        assert_eq!(more, [], "no reply is waited for, and no room made");
    }
    for id in 1..=40 {
        let (number, body) = notified(&effects)[0].clone();
        assert_eq!(body, command(id));
        effects = world.delivered(FIRST, number);
        assert_eq!(
            acknowledged(&effects),
            [packet(1, 10 + u16::try_from(id).unwrap())]
        );
    }
}

#[test]
fn a_reply_shows_that_the_device_has_the_command() {
    let mut world = world().observes_commands();
    world.pushes(COMMANDS, &command(1), packet(1, 1));
    let effects = world.event(|relay, now, context| relay.reply_received(now, 1, context));
    assert_eq!(acknowledged(&effects), [packet(1, 1)]);
    let effects = world.event(|relay, now, _| relay.reply_answered(now, 1, true));
    assert_eq!(effects, []);
}

#[test]
fn a_command_sent_again_while_it_is_queued_is_delivered_once_and_acknowledged_on_the_new_connection()
 {
    let mut world = world().observes_commands();
    let first = notified(&world.pushes(COMMANDS, &command(1), packet(1, 1)));
    world.pushes(COMMANDS, &command(2), packet(1, 2));
    world.interrupted(COMMANDS, 1);
    world.subscribed(COMMANDS, 1, 2);
    for id in [1, 2] {
        let effects = world.pushes(
            COMMANDS,
            &command(id),
            packet(2, 100 + u16::try_from(id).unwrap()),
        );
        assert_eq!(effects, []);
    }
    let effects = world.delivered(FIRST, first[0].0);
    assert_eq!(acknowledged(&effects), [packet(2, 101)]);
    let second = notified(&effects);
    assert_eq!(second[0].1, command(2));
    let effects = world.delivered(FIRST, second[0].0);
    assert_eq!(acknowledged(&effects), [packet(2, 102)]);
    assert_eq!(world.counters.commands_delivered, 2);
}

/// The device acknowledges at every moment of a reconnection: never is a command delivered twice or left unacknowledged.
#[test]
fn whenever_the_device_acknowledges_during_a_reconnection_the_command_is_delivered_once() {
    for moment in 0..4 {
        let mut world = world().observes_commands();
        let number = notified(&world.pushes(COMMANDS, &command(1), packet(1, 1)))[0].0;
        let mut effects = Vec::new();
        for step in 0..4 {
            if step == moment {
                effects.extend(world.delivered(FIRST, number));
            }
            effects.extend(match step {
                0 => world.interrupted(COMMANDS, 1),
                1 => world.subscribed(COMMANDS, 1, 2),
                2 => world.pushes(COMMANDS, &command(1), packet(2, 5)),
                _ => Vec::new(),
            });
        }
        assert_eq!(notified(&effects), [], "{moment}");
        let last = acknowledged(&effects).last().copied();
        assert_eq!(last, Some(packet(2, 5)), "{moment}");
        assert_eq!(world.counters.commands_delivered, 1);
    }
}

#[test]
fn a_command_sent_again_before_the_subscription_is_granted_is_acknowledged() {
    let mut world = world().observes_commands();
    let number = notified(&world.pushes(COMMANDS, &command(1), packet(1, 1)))[0].0;
    world.delivered(FIRST, number);
    world.interrupted(COMMANDS, 1);
    let effects = world.pushes(COMMANDS, &command(1), packet(2, 1));
    assert_eq!(acknowledged(&effects), [packet(2, 1)]);
    let effects = world.pushes(COMMANDS, "nonsense", packet(2, 2));
    assert_eq!(acknowledged(&effects), [packet(2, 2)]);
    assert_eq!(world.subscribed(COMMANDS, 1, 2), []);
}

#[test]
fn a_command_acknowledged_too_late_is_recognised_whenever_thingsboard_sends_it_again() {
    let mut world = world().observes_commands();
    let number = notified(&world.pushes(COMMANDS, &command(1), packet(1, 1)))[0].0;
    // ThingsBoard takes it for timed out after ten seconds; the device sleeps for longer.
    world.now += 40 * SECOND;
    let effects = world.delivered(FIRST, number);
    assert_eq!(acknowledged(&effects), [packet(1, 1)]);
    world.now += 3600 * SECOND;
    world.interrupted(COMMANDS, 1);
    world.now += 3600 * SECOND;
    world.subscribed(COMMANDS, 1, 2);
    let effects = world.pushes(COMMANDS, &command(1), packet(2, 1));
    assert_eq!(
        effects,
        [RelayEffect::Downlink(Effect::Acknowledge(packet(2, 1)))]
    );
}

#[test]
fn a_minute_after_a_new_subscription_the_same_id_and_body_are_a_new_command() {
    let mut world = world().observes_commands();
    let number = notified(&world.pushes(COMMANDS, &command(0), packet(1, 1)))[0].0;
    world.delivered(FIRST, number);
    world.interrupted(COMMANDS, 1);
    world.subscribed(COMMANDS, 1, 2);
    world.now += 61 * SECOND;
    let effects = world.pushes(COMMANDS, &command(0), packet(2, 1));
    assert_eq!(notified(&effects).len(), 1);
}

#[test]
fn a_hundred_commands_for_a_slow_device_are_delivered_once_though_all_are_sent_again() {
    let mut world = world().observes_commands();
    let mut next = Vec::new();
    for id in 0..100 {
        next.extend(notified(&world.pushes(
            COMMANDS,
            &command(id),
            packet(1, 1),
        )));
    }
    let mut delivered = 0;
    while let Some((number, _)) = next.pop() {
        delivered += 1;
        world.now += 2 * SECOND;
        next = notified(&world.delivered(FIRST, number));
    }
    assert_eq!(delivered, 100);
    world.interrupted(COMMANDS, 1);
    world.subscribed(COMMANDS, 1, 2);
    for id in 0..100 {
        let effects = world.pushes(COMMANDS, &command(id), packet(2, 1));
        assert_eq!(notified(&effects), []);
        assert_eq!(acknowledged(&effects).len(), 1);
    }
}

#[test]
fn commands_that_come_out_of_order_on_one_connection_show_no_restart() {
    let mut world = world().observes_commands();
    let number = notified(&world.pushes(COMMANDS, &command(5), packet(1, 1)))[0].0;
    world.pushes(COMMANDS, &command(4), packet(1, 2));
    world.delivered(FIRST, number);
    assert!(!world.relay.is_reply_outdated(5));
    // On another one they do, as ThingsBoard sends its oldest first.
    world.interrupted(COMMANDS, 1);
    world.subscribed(COMMANDS, 1, 2);
    world.pushes(COMMANDS, &command(0), packet(2, 1));
    assert!(world.relay.is_reply_outdated(5));
}

#[test]
fn what_cannot_be_delivered_is_acknowledged_at_once() {
    let mut world = world().observes_commands();
    let effects = world.pushes(COMMANDS, "nonsense", packet(1, 1));
    assert_eq!(acknowledged(&effects), [packet(1, 1)]);
    world.largest_payload = 10;
    let effects = world.pushes(COMMANDS, &command(1), packet(1, 2));
    assert_eq!(acknowledged(&effects), [packet(1, 2)]);
    let reply = RelayEffect::ReplyToCommand(1, CommandError::TooLarge);
    assert!(effects.contains(&reply));
    world.room = 1;
    let effects = world.pushes(COMMANDS, &command(2), packet(1, 3));
    assert_eq!(acknowledged(&effects), [packet(1, 3)]);
    let reply = RelayEffect::ReplyToCommand(2, CommandError::NoRoom);
    assert!(effects.contains(&reply));
}

#[test]
fn commands_without_end_are_refused_from_a_bound_on() {
    let mut world = world().observes_commands();
    let mut refused = 0;
    for id in 0..1000 {
        let effects = world.pushes(COMMANDS, &command(id), packet(1, 1));
        let no_room = RelayEffect::ReplyToCommand(id, CommandError::NoRoom);
        refused += usize::from(effects.contains(&no_room));
    }
    assert_eq!((world.relay.commands_queued(), refused), (128, 872));
}

#[test]
fn a_device_that_does_not_answer_is_unsubscribed_until_it_sends_something() {
    let mut world = world().observes_attributes(r#"{"a":1}"#);
    let commands = Observation {
        id: ObservationId(2),
        ..FIRST
    };
    world.register_commands(commands);
    world.subscribed(COMMANDS, 1, 1);
    world.pushes(COMMANDS, &command(1), packet(1, 1));
    let effects = world.event(|relay, _, context| relay.delivery_failed(commands, context));
    assert_eq!(effects, [unsubscribe(ATTRIBUTES), unsubscribe(COMMANDS)]);
    // One was on its way.
    assert_eq!(world.pushes(COMMANDS, &command(2), packet(1, 2)), []);
    assert_eq!(world.wait(3600 * SECOND), []);

    let effects = world.event(|relay, now, context| relay.received(now, FIRST.session, context));
    assert!(
        effects.contains(&subscribe(ATTRIBUTES, 2)) && effects.contains(&subscribe(COMMANDS, 2))
    );
    let first = notified(&effects);
    assert_eq!(
        (first.len(), &first[0].1),
        (1, &command(1)),
        "kept meanwhile"
    );
    world.subscribed(COMMANDS, 2, 1);
    // ThingsBoard sends again what was not acknowledged.
    world.pushes(COMMANDS, &command(1), packet(1, 3));
    world.pushes(COMMANDS, &command(2), packet(1, 4));
    let effects = world.delivered(commands, first[0].0);
    assert_eq!(acknowledged(&effects), [packet(1, 3)]);
    let second = notified(&effects);
    assert_eq!(second[0].1, command(2));
    let effects = world.delivered(commands, second[0].0);
    assert_eq!(acknowledged(&effects), [packet(1, 4)]);
    assert_eq!(notified(&effects), []);
}

#[test]
fn a_command_that_comes_after_the_end_of_its_observation_waits_for_the_next_one() {
    let mut world = world().observes_commands();
    let effects = world.event(|relay, _, _| relay.session_ended(FIRST.session));
    assert_eq!(effects, [unsubscribe(COMMANDS)]);
    assert!(world.relay.keep_until().unwrap() > world.now);
    assert_eq!(world.pushes(COMMANDS, &command(1), packet(1, 1)), []);
    assert!(!world.relay.is_idle());
    let effects = world.register_commands(OTHER);
    let number = notified(&effects)[0].0;
    assert_eq!(
        acknowledged(&world.delivered(OTHER, number)),
        [packet(1, 1)]
    );
}

#[test]
fn a_device_that_thingsboard_refuses_has_both_observations_and_subscriptions_ended() {
    let mut world = world().observes_attributes(r#"{"a":1}"#);
    let commands = Observation {
        id: ObservationId(2),
        ..FIRST
    };
    world.register_commands(commands);
    world.subscribed(COMMANDS, 1, 1);
    let effects = world.downlink(COMMANDS, Event::Refused(rejected(401)));
    let end = ObservationEnd::Unauthorized;
    assert_eq!(
        effects,
        [
            RelayEffect::EndObservation(FIRST, end),
            RelayEffect::EndObservation(commands, end),
            unsubscribe(ATTRIBUTES),
        ]
    );
    assert!(world.relay.is_idle());
}

#[test]
fn another_token_subscribes_again_and_keeps_the_queued_commands() {
    let mut world = world().observes_commands();
    let number = notified(&world.pushes(COMMANDS, &command(1), packet(1, 1)))[0].0;
    let renewed = Arc::new(Device {
        name: "meter".into(),
        token: AccessToken::new("RENEWED").unwrap(),
    });
    let effects = world.event(|relay, now, context| relay.update_device(now, renewed, context));
    assert_eq!(effects, [unsubscribe(COMMANDS), subscribe(COMMANDS, 2)]);
    world.subscribed(COMMANDS, 2, 2);
    assert_eq!(
        world.delivered(FIRST, number),
        [],
        "its connection is closed"
    );
}

#[test]
fn a_subscription_that_brings_nothing_is_replaced_when_a_read_finds_a_change() {
    let mut world = world().observes_attributes(r#"{"a":1}"#);
    let number = read(&world.wait(600 * SECOND));
    let effects = world.read_brings(number, r#"{"shared":{"a":2}}"#);
    let replaced = [unsubscribe(ATTRIBUTES), subscribe(ATTRIBUTES, 2)];
    assert_eq!(effects[..2], replaced);
    assert_eq!(notified(&effects)[0].1, r#"{"a":2}"#);
}
