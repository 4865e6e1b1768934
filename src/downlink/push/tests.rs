use super::*;
use crate::downlink::{Counters, Effects, Pacing};
use crate::upstream::Error;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const FIRST: ConnectionId = ConnectionId(4);
const SECOND_ONE: ConnectionId = ConnectionId(9);

impl Effects for Vec<Effect> {
    fn push_effect(&mut self, effect: Effect) {
        self.push(effect);
    }
}

/// A subscription under a test clock.
struct World {
    now: Instant,
    push: Push,
    mode: Mode,
    is_wanted: bool,
    pacing: Pacing,
    counters: Counters,
    effects: Vec<Effect>,
}

impl World {
    fn new(kind: Kind, mode: Mode) -> World {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        World {
            now,
            push: Push::new(kind),
            mode,
            is_wanted: true,
            pacing: Pacing::new(25 * SECOND),
            counters: Counters::default(),
            effects: Vec::new(),
        }
    }

    fn commands() -> World {
        World::new(Kind::Commands, Mode::WhileLive)
    }

    /// Calls the subscription, then `advance`, and returns the effects.
    fn with(&mut self, act: impl FnOnce(&mut Push, &mut Context<'_>)) -> Vec<Effect> {
        let mut context = Context {
            pacing: &mut self.pacing,
            random: &mut || 0.5,
            counters: &mut self.counters,
            effects: &mut self.effects,
        };
        act(&mut self.push, &mut context);
        self.push
            .advance(self.now, self.is_wanted, self.mode, &mut context);
        std::mem::take(&mut self.effects)
    }

    fn advance(&mut self) -> Vec<Effect> {
        self.with(|_, _| {})
    }

    fn wanted(&mut self, is_wanted: bool) -> Vec<Effect> {
        self.is_wanted = is_wanted;
        self.advance()
    }

    /// Reports an event. No effect may come of it.
    fn event(&mut self, event: Event<Receipt>) -> Handled {
        let now = self.now;
        let mut handled = Handled::default();
        let effects = self.with(|push, _| handled = push.handle(now, event));
        assert_eq!(effects, []);
        handled
    }

    fn acknowledge(&mut self, acknowledgement: Acknowledgement) -> Vec<Effect> {
        self.with(|push, context| push.acknowledge(acknowledgement, context))
    }

    /// Subscribes, and has it granted on the first connection.
    fn subscribed(mut self) -> World {
        let kind = self.push.kind;
        assert_eq!(self.advance(), [Effect::Subscribe(kind, 1)]);
        self.event(Event::Subscribed(1, FIRST));
        self
    }
}

fn packet(connection: ConnectionId) -> Acknowledgement {
    Acknowledgement {
        connection,
        packet: 1,
    }
}

fn message(connection: ConnectionId) -> Event<Receipt> {
    Event::Pushed(Receipt::New, packet(connection))
}

const NOTHING: Handled = Handled {
    reads: Reads::Unchanged,
    may_have_restarted: false,
};

#[test]
fn it_subscribes_once_and_unsubscribes_once() {
    let mut world = World::commands();
    let kind = Kind::Commands;
    assert!(!world.push.is_open());
    assert_eq!(world.advance(), [Effect::Subscribe(kind, 1)]);
    assert_eq!(world.advance(), []);
    world.event(Event::Subscribed(1, FIRST));
    assert_eq!(world.advance(), []);
    assert_eq!(world.wanted(false), [Effect::Unsubscribe(kind)]);
    assert_eq!(world.wanted(false), []);
    assert_eq!(world.wanted(true), [Effect::Subscribe(kind, 2)]);
    assert!(world.push.is_open());
}

#[test]
fn each_grant_has_all_attributes_read_when_the_subscription_works() {
    let mut world = World::new(Kind::Attributes, Mode::WhileLive);
    world.advance();
    for _ in 0..2 {
        // The same grant may be reported twice.
        let handled = world.event(Event::Subscribed(1, FIRST));
        assert_eq!(handled.reads, Reads::NotBefore(world.now + SETTLE));
        world.now += MS;
    }
    assert!(SETTLE >= 100 * MS);
    world.event(Event::Interrupted(FIRST));
    let handled = world.event(Event::Subscribed(1, SECOND_ONE));
    assert_eq!(handled.reads, Reads::NotBefore(world.now + SETTLE));
    assert!(handled.may_have_restarted);
}

fn renew(world: &mut World) -> Vec<Effect> {
    let now = world.now;
    world.with(|push, context| push.renew_if_due(now, 300 * SECOND, context))
}

#[test]
fn a_subscription_for_commands_is_renewed_soon_after_its_connection_began_and_then_at_the_interval()
{
    let mut world = World::commands().subscribed();
    let mut renewals = Vec::new();
    let begin = world.now;
    for _ in 0..1000 {
        for effect in renew(&mut world) {
            let Effect::Subscribe(Kind::Commands, number) = effect else {
                panic!("{effect:?}");
            };
            renewals.push((world.now - begin).as_secs());
            let handled = world.event(Event::Subscribed(number, FIRST));
            assert!(!handled.may_have_restarted, "the connection is the same");
        }
        assert!(world.push.next_renewal().is_none_or(|at| at > world.now));
        world.now += SECOND;
    }
    // Seven eighths of 30 and of 300 seconds.
    assert_eq!(renewals, [27, 290, 553, 816]);
    // Another connection.
    world.event(Event::Interrupted(FIRST));
    assert_eq!(renew(&mut world), []);
    assert_eq!(world.push.next_renewal(), None);
    let number = world.push.number;
    assert!(
        world
            .event(Event::Subscribed(number, SECOND_ONE))
            .may_have_restarted
    );
    world.now += 27 * SECOND;
    assert_eq!(renew(&mut world).len(), 1);
    assert_eq!(renew(&mut world), [], "it is on its way");
}

#[test]
fn after_a_late_acknowledgement_the_subscription_is_renewed_at_once() {
    let mut world = World::commands().subscribed();
    world.now += 40 * SECOND;
    let now = world.now;
    world.with(|push, _| push.acknowledged_late(now));
    assert_eq!(world.push.next_renewal(), Some(now));
    assert_eq!(renew(&mut world), [Effect::Subscribe(Kind::Commands, 2)]);
    assert_eq!(renew(&mut world), [], "it is on its way");
    // Not where the next subscription comes anyway.
    world.event(Event::Interrupted(FIRST));
    world.with(|push, _| push.acknowledged_late(now));
    assert_eq!(renew(&mut world), []);
}

#[test]
fn the_grant_of_a_former_subscription_is_ignored() {
    let mut world = World::commands();
    world.advance();
    world.wanted(false);
    assert_eq!(world.event(Event::Subscribed(1, FIRST)), NOTHING);
    world.wanted(true);
    assert_eq!(world.event(Event::Subscribed(1, FIRST)), NOTHING);
    assert_ne!(world.event(Event::Subscribed(2, FIRST)), NOTHING);
}

#[test]
fn a_lost_connection_needs_no_effect_at_whatever_moment() {
    // While it subscribes.
    let mut world = World::commands();
    world.advance();
    let handled = world.event(Event::Interrupted(FIRST));
    assert_eq!(handled.reads, Reads::Suspended, "reads would fail");
    assert_ne!(world.event(Event::Subscribed(1, SECOND_ONE)), NOTHING);
    // When it is subscribed, and again before the next grant.
    let mut world = World::commands().subscribed();
    world.event(Event::Interrupted(FIRST));
    world.event(Event::Interrupted(ConnectionId(5)));
    assert_ne!(world.event(Event::Subscribed(1, SECOND_ONE)), NOTHING);
    // When it is not wanted any more.
    assert_eq!(
        world.wanted(false),
        [Effect::Unsubscribe(Kind::Commands)],
        "it would be subscribed again"
    );
    assert_eq!(world.event(Event::Interrupted(SECOND_ONE)), NOTHING);
    assert_eq!(world.push.state, State::Idle);
    // Unsubscribed while it was interrupted.
    let mut world = World::commands().subscribed();
    world.event(Event::Interrupted(FIRST));
    assert_eq!(world.wanted(false), [Effect::Unsubscribe(Kind::Commands)]);
}

#[test]
fn what_is_late_from_a_former_connection_changes_nothing() {
    let mut world = World::commands().subscribed();
    world.event(Event::Interrupted(FIRST));
    world.event(Event::Subscribed(1, SECOND_ONE));
    assert_eq!(world.event(Event::Interrupted(FIRST)), NOTHING);
    assert_eq!(world.event(Event::Subscribed(1, FIRST)), NOTHING);
    assert!(matches!(world.push.state, State::Subscribed { .. }));
    let acknowledge = Effect::Acknowledge(packet(SECOND_ONE));
    assert_eq!(world.acknowledge(packet(SECOND_ONE)), [acknowledge]);
}

#[test]
fn a_message_is_acknowledged_on_its_own_connection_and_on_no_other() {
    let mut world = World::commands().subscribed();
    world.event(message(FIRST));
    let acknowledge = Effect::Acknowledge(packet(FIRST));
    assert_eq!(world.acknowledge(packet(FIRST)), [acknowledge]);
    world.event(message(FIRST));
    world.event(Event::Interrupted(FIRST));
    assert_eq!(world.acknowledge(packet(FIRST)), [], "closed");
    world.event(Event::Subscribed(1, SECOND_ONE));
    assert_eq!(world.acknowledge(packet(FIRST)), [], "ids begin again");
}

#[test]
fn a_message_before_the_grant_can_be_acknowledged_even_if_the_connection_was_replaced_unnoticed() {
    let mut world = World::commands();
    world.advance();
    world.event(message(FIRST));
    let acknowledge = Effect::Acknowledge(packet(FIRST));
    assert_eq!(world.acknowledge(packet(FIRST)), [acknowledge]);
    assert_eq!(world.push.state, State::Subscribing);
    world.event(message(SECOND_ONE));
    assert_eq!(world.acknowledge(packet(FIRST)), []);
}

#[test]
fn a_message_after_the_end_of_the_subscription_can_be_acknowledged() {
    let mut world = World::commands().subscribed();
    world.wanted(false);
    world.event(message(FIRST));
    let acknowledge = Effect::Acknowledge(packet(FIRST));
    assert_eq!(world.acknowledge(packet(FIRST)), [acknowledge]);
    let until = world.push.keep_until().unwrap();
    assert!(until >= world.now + LATE, "it is kept for that long");
}

#[test]
fn a_device_that_registers_over_and_over_causes_one_subscription_a_second() {
    let mut world = World::commands();
    let end = world.now + 60 * SECOND;
    let mut subscriptions = 0;
    while world.now < end {
        subscriptions += world.wanted(true).len();
        world.wanted(false);
        world.now += 10 * MS;
    }
    assert!((60..=66).contains(&subscriptions), "{subscriptions}");
    // The last one that had to wait comes by itself.
    world.now += 20 * SECOND;
    for _ in 0..5 {
        world.wanted(true);
        world.wanted(false);
    }
    assert_eq!(world.wanted(true), []);
    let at = world.push.next_timeout(Mode::WhileLive).unwrap();
    assert_eq!(at, world.now + SECOND);
    world.now = at;
    assert_eq!(world.advance().len(), 1);
}

#[test]
fn another_token_ends_the_subscription_and_begins_another() {
    let mut world = World::commands().subscribed();
    world.event(message(FIRST));
    let effects = world.with(|push, context| push.restart(context));
    let kind = Kind::Commands;
    assert_eq!(
        effects,
        [Effect::Unsubscribe(kind), Effect::Subscribe(kind, 2)]
    );
    assert_eq!(world.acknowledge(packet(FIRST)), []);
    assert_eq!(world.event(Event::Subscribed(1, FIRST)), NOTHING);
    assert_ne!(world.event(Event::Subscribed(2, SECOND_ONE)), NOTHING);
}

#[test]
fn a_token_that_is_replaced_again_and_again_is_subscribed_for_on_the_next_connection() {
    let mut world = World::commands().subscribed();
    for _ in 0..3 {
        world.with(|push, context| push.restart(context));
    }
    let number = world.push.number;
    assert_ne!(world.event(Event::Subscribed(number, SECOND_ONE)), NOTHING);
    assert!(world.push.is_subscribed());
}

#[test]
fn after_a_refusal_that_ends_no_observation_it_waits_a_minute() {
    let mut world = World::commands();
    world.advance();
    world.event(Event::Refused(Error::Overloaded));
    assert!(!world.push.is_open());
    assert_eq!(
        world.push.next_timeout(Mode::WhileLive),
        Some(world.now + AFTER_REFUSAL)
    );
    world.now += AFTER_REFUSAL;
    assert_eq!(world.advance(), [Effect::Subscribe(Kind::Commands, 2)]);
}

#[test]
fn a_subscription_that_misses_changes_is_replaced_unless_it_is_new() {
    let mut world = World::new(Kind::Attributes, Mode::WhileLive).subscribed();
    let missed = |world: &mut World| {
        let now = world.now;
        world.with(|push, context| push.changes_missed(now, context))
    };
    assert_eq!(missed(&mut world), [], "changes before it was granted");
    world.now += ESTABLISHED;
    let kind = Kind::Attributes;
    assert_eq!(
        missed(&mut world),
        [Effect::Unsubscribe(kind), Effect::Subscribe(kind, 2)]
    );
    world.event(Event::Interrupted(FIRST));
    assert_eq!(missed(&mut world), [], "there is none");
}

#[test]
fn on_uplink_attributes_have_no_subscription_and_commands_one_while_the_device_is_awake() {
    let mut attributes = World::new(Kind::Attributes, Mode::OnUplink);
    assert_eq!(attributes.with(|push, _| push.device_awake()), []);

    let kind = Kind::Commands;
    let mut world = World::new(kind, Mode::OnUplink);
    assert_eq!(world.advance(), [], "it sleeps");
    let effects = world.with(|push, _| push.device_awake());
    assert_eq!(effects, [Effect::Subscribe(kind, 1)]);
    // However long the connection takes.
    world.now += 5 * SECOND;
    assert_eq!(world.advance(), []);
    world.event(Event::Subscribed(1, FIRST));
    world.now += AWAKE_FOR - MS;
    world.event(message(FIRST));
    world.now += AWAKE_FOR - MS;
    assert_eq!(world.advance(), []);
    let at = world.push.next_timeout(Mode::OnUplink).unwrap();
    assert_eq!(at, world.now + MS);
    world.now = at;
    assert_eq!(world.advance(), [Effect::Unsubscribe(kind)]);
    assert_eq!(world.push.next_timeout(Mode::OnUplink), None);
    // A late message does not wake it.
    world.event(message(FIRST));
    assert_eq!(world.advance(), []);
}
