//! A relay that is paused and resumed: what else is due to the pause.

use super::*;

const ATTRIBUTES: Kind = Kind::Attributes;
const COMMANDS: Kind = Kind::Commands;

fn command(id: u32) -> String {
    format!(r#"{{"id":{id},"method":"set"}}"#)
}

impl World {
    fn pause(&mut self) -> Vec<RelayEffect> {
        self.event(|relay, _, context| relay.pause_following(context))
    }

    fn resume(&mut self) -> Vec<RelayEffect> {
        self.event(|relay, now, context| relay.resume_following(now, context))
    }

    /// The device gets a command, and has a pause of a second. Returns the poll that is open after it.
    fn pause_after_command(&mut self) -> u64 {
        self.register_commands(FIRST);
        let effects = self.poll_brings(COMMANDS, 1, &command(0));
        let (number, _) = notified(&effects)[0].clone();
        self.delivered(FIRST, number);
        self.pause();
        self.now += SECOND;
        poll(&self.resume())
    }
}

#[test]
fn a_command_that_the_device_has_is_recognised_after_a_pause_and_for_a_minute() {
    for (after, is_new) in [(59 * SECOND, false), (61 * SECOND, true)] {
        let mut world = World::new();
        let number = world.pause_after_command();
        world.now += after;
        // ThingsBoard may have restarted meanwhile, and begun with this id again.
        let effects = world.poll_brings(COMMANDS, number, &command(0));
        assert_eq!(notified(&effects).len(), usize::from(is_new), "{after:?}");
    }
}

#[test]
fn a_relay_in_a_pause_wants_nothing_but_drops_what_has_expired() {
    let mut world = World::new();
    world.register_attributes(FIRST, r#"{"a":1}"#);
    world.register_commands(OTHER);
    world.poll_brings(COMMANDS, 1, &command(1));
    world.poll_brings(COMMANDS, 2, &command(2));
    world.pause();
    assert_eq!(world.relay.commands_queued(), 2);
    assert_eq!(world.wait(23 * 3600 * SECOND), []);
    assert_eq!(world.relay.commands_queued(), 2);
    world.wait(2 * 3600 * SECOND);
    assert_eq!(world.relay.commands_queued(), 0);
    let next = world.relay.next_timeout(&world.settings);
    assert_eq!(next, None, "nothing is left to expire");
    assert!(world.relay.observation(ATTRIBUTES).is_some());
}
