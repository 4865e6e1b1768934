//! Hazard: the registry is reloaded while devices send requests, observe, or are idle.

use super::actions::RegistryEntry;
use super::{World, default_settings};
use crate::gateway::handle::Change;
use crate::relay::Kind;
use crate::simulation::Conditions;
use coap::{Code, Type};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const CON: Type = Type::Confirmable;

fn code_of(world: &World, number: usize) -> Option<Code> {
    world.devices[0].outcome(number).code()
}

fn token(world: &World) -> &str {
    world.upstream.tokens["device-0"].expose()
}

#[test]
fn a_reload_that_changes_nothing_keeps_sessions_observations_and_polls() {
    let mut world = World::observing(default_settings(), CON);
    let polls = world.upstream.platform.polls_opened;
    world.reload_registry(&[RegistryEntry::new(0, "TOKEN-0", 0)]);
    let number = world.post(0, CON);
    world.run_for(SECOND);
    assert_eq!(code_of(&world, number), Some(Code::CREATED));
    assert_eq!(
        world.upstream.platform.polls_opened, polls,
        "no poll was restarted"
    );
    world.set_attribute(0, "a", "2");
    world.run_for(SECOND);
    assert_eq!(world.devices[0].observations[0].state["a"], "2");
    assert_eq!(world.devices[0].sessions, 1);
}

#[test]
fn a_removed_device_gets_4_01_and_its_observations_end_even_while_idle() {
    let mut world = World::observing(default_settings(), CON);
    world.reload_registry(&[]);
    world.run_for(SECOND);
    for observation in &world.devices[0].observations {
        assert_eq!(observation.ended, Some(Code::UNAUTHORIZED));
    }
    assert_eq!(world.upstream.relay_calls(), 0, "no poll is open");
    assert_eq!(world.core.load().relays.relays, 0);
    assert_eq!(
        world.core.counters().relay.ended_unregistered_certificate,
        2
    );
    assert_eq!(world.core.report(0).levels.unregistered_sessions, 1);
    // However long the device sleeps, it gets a 4.01 before its session is closed.
    world.run_for(10 * MINUTE);
    let number = world.post(0, CON);
    world.run_for(SECOND);
    assert_eq!(code_of(&world, number), Some(Code::UNAUTHORIZED));
    assert!(world.upstream.posts.is_empty());
    assert!(!world.devices[0].closed);
    world.run_for(MINUTE);
    assert!(world.devices[0].closed, "closed a minute after the 4.01");
}

#[test]
fn a_request_in_progress_is_answered_after_its_device_is_removed() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 5 * SECOND;
    let number = world.post(0, CON);
    world.run_for(SECOND);
    world.reload_registry(&[]);
    world.run_for(10 * SECOND);
    assert_eq!(code_of(&world, number), Some(Code::CREATED));
}

/// Attributes read for the former device must not be sent to the one that has the certificate now.
#[test]
fn an_observe_registration_in_progress_fails_when_its_device_is_removed() {
    for entries in [vec![], vec![RegistryEntry::new(7, "TOKEN-7", 0)]] {
        let mut world = World::new(1, Conditions::GOOD, 1);
        world.connect_all();
        world.upstream.delay = 5 * SECOND;
        world.observe(0, CON, Kind::Attributes);
        world.run_for(SECOND);
        world.reload_registry(&entries);
        world.run_for(10 * SECOND);
        let ended = world.devices[0].observations[0].ended;
        assert_eq!(ended, Some(Code::SERVICE_UNAVAILABLE));
        assert_eq!(world.core.load().peers.most_open_exchanges, 0);
        assert_eq!(world.core.load().relays.relays, 0);
    }
}

#[test]
fn a_new_token_is_used_for_the_next_request_and_for_polls_at_once() {
    let mut world = World::observing(default_settings(), CON);
    let polls = world.upstream.platform.polls_opened;
    let reads = world.upstream.platform.attribute_reads;
    assert_eq!(token(&world), "TOKEN-0");
    world.reload_registry(&[RegistryEntry::new(0, "ANOTHER", 0)]);
    world.run_for(SECOND);
    assert_eq!(token(&world), "ANOTHER");
    assert_eq!(
        world.upstream.platform.polls_opened,
        polls + 2,
        "one poll for each observation"
    );
    assert_eq!(
        world.upstream.relay_calls(),
        2,
        "the former polls are closed"
    );
    assert!(
        world.upstream.platform.attribute_reads > reads,
        "changes between the polls are read"
    );
    let number = world.post(0, CON);
    world.run_for(SECOND);
    assert_eq!(code_of(&world, number), Some(Code::CREATED));
    world.set_attribute(0, "a", "2");
    world.send_command(0, "7", true);
    world.run_for(SECOND);
    let observations = &world.devices[0].observations;
    assert_eq!(observations[0].state["a"], "2");
    assert_eq!(observations[1].commands.len(), 1);
    assert!(
        observations
            .iter()
            .all(|observation| observation.is_active())
    );
}

/// ThingsBoard answers 401 to an unknown token. That ends observations, unless the registry has another token by then.
#[test]
fn a_401_for_the_old_token_does_not_end_observations_under_the_new_token() {
    let mut world = World::observing(default_settings(), CON);
    world.upstream.delay = 5 * SECOND;
    world.set_attribute(0, "a", "2");
    // The poll completes after five seconds, and a read starts 300 ms later.
    world.run_for(5 * SECOND + Duration::from_millis(100));
    let reads = world.upstream.platform.attribute_reads;
    world.upstream.behaviour = super::Behaviour::Fails(super::upstream::rejected(401));
    world.run_for(Duration::from_millis(300));
    assert_eq!(world.upstream.platform.attribute_reads, reads + 1);
    world.reload_registry(&[RegistryEntry::new(0, "ANOTHER", 0)]);
    world.upstream.behaviour = super::Behaviour::Serves;
    world.run_for(MINUTE);
    for observation in &world.devices[0].observations {
        assert!(observation.is_active(), "{:?}", observation.ended);
    }
    assert_eq!(world.core.counters().relay.refused, 0);
    assert_eq!(world.devices[0].observations[0].state["a"], "2");
}

#[test]
fn a_reassigned_certificate_is_served_as_the_new_device_without_old_observations() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.observe(0, CON, Kind::Commands);
    world.run_for(SECOND);
    world.reload_registry(&[RegistryEntry::new(7, "TOKEN-7", 0)]);
    world.run_for(SECOND);
    let ended = world.devices[0].observations[0].ended;
    assert_eq!(ended, Some(Code::UNAUTHORIZED));
    assert_eq!(world.upstream.relay_calls(), 0);
    world.devices[0].registered_as = 7;
    let number = world.post(0, CON);
    world.observe(0, CON, Kind::Commands);
    world.run_for(SECOND);
    assert_eq!(code_of(&world, number), Some(Code::CREATED));
    assert!(world.devices[0].observations[1].is_active());
    assert_eq!(world.upstream.tokens["device-7"].expose(), "TOKEN-7");
    assert_eq!(world.core.load().peers.most_of_one_device, 1);
}

#[test]
fn a_client_registered_during_its_session_is_served_without_a_new_handshake() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    let client = world.add_unregistered();
    world.connect_all();
    let refused = world.post(client, CON);
    world.run_for(SECOND);
    let outcome = |world: &World, number| world.devices[client].outcome(number).code();
    assert_eq!(outcome(&world, refused), Some(Code::UNAUTHORIZED));
    world.reload_registry(&[
        RegistryEntry::new(0, "TOKEN-0", 0),
        RegistryEntry::new(1, "TOKEN-1", client),
    ]);
    let served = world.post(client, CON);
    world.run_for(SECOND);
    assert_eq!(outcome(&world, served), Some(Code::CREATED));
    // Only sessions of unregistered clients are closed after a minute.
    world.run_for(10 * MINUTE);
    assert!(!world.devices[client].closed);
    assert_eq!(world.core.load().peers.unregistered, 0);
    assert_eq!(world.core.report(0).levels.unregistered_sessions, 0);
}

#[test]
fn idle_sessions_are_looked_up_again_in_batches_after_a_reload() {
    let mut world = World::new(300, Conditions::GOOD, 1);
    world.connect_all();
    world.reload_registry(&[]);
    assert_eq!(
        world.core.counters().gateway.sessions_unregistered,
        0,
        "no session is looked up during the reload"
    );
    world.core.handle_timeout(world.now);
    let first_batch = world.core.counters().gateway.sessions_unregistered;
    assert!((1..300).contains(&first_batch), "{first_batch}");
    world.run_for(SECOND);
    assert_eq!(world.core.counters().gateway.sessions_unregistered, 300);
    assert_eq!(world.core.load().peers.most_of_one_device, 0);
}

#[test]
fn commands_queued_for_an_offline_device_are_kept_when_its_token_changes() {
    let mut settings = default_settings();
    settings.dtls.session_idle = MINUTE;
    let mut world = World::observing(settings, CON);
    world.devices[0].switch_off();
    world.send_command(0, "1", false);
    world.run_for(2 * MINUTE);
    let load = world.core.load();
    assert_eq!((load.sessions, load.relays.most_commands), (0, 1));
    world.reload_registry(&[RegistryEntry::new(0, "ANOTHER", 0)]);
    world.connect_all();
    world.observe(0, CON, Kind::Commands);
    world.run_for(MINUTE);
    assert_eq!(token(&world), "ANOTHER");
    let observation = world.devices[0].observations.last().unwrap();
    assert_eq!(observation.commands.len(), 1);
}

/// A session is looked up at its next message, even if others are queued before it.
#[test]
fn the_first_message_after_a_reload_uses_the_new_registry() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.devices[0].post(world.now, CON);
    let datagrams = world.devices[0].poll_transmit();
    let change = Change::Registry(Arc::default());
    world.core.change(world.now, change);
    for datagram in datagrams {
        let path = world.devices[0].path;
        world.core.receive(world.now, path, &datagram);
    }
    assert_eq!(world.core.counters().gateway.unregistered_requests, 1);
    assert!(world.core.poll_call().is_none());
}
