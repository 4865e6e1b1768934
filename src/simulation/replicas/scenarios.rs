//! One gateway dies, stops or is slow; the store is away; a device begins anew elsewhere.

use super::{GroupWorld, SECOND, local};
use crate::downlink::Kind;
use crate::dtls::Path;
use coap::{Code, Type};
use std::time::Duration;

/// The lengths of connection IDs: with none a session is found by its client's address.
const LENGTHS: [u8; 2] = [8, 0];

#[test]
fn a_session_goes_on_wherever_the_balancer_sends_its_packets() {
    for length in LENGTHS {
        let mut world = GroupWorld::new(3, 6, 1, length);
        world.connect_all();
        world.has_affinity = false;
        for round in 0..10 {
            let sent: Vec<_> = (0..6).map(|device| world.post(device)).collect();
            world.run_for(4 * SECOND);
            for (device, number) in sent.into_iter().enumerate() {
                let outcome = world.devices[device].outcome(number);
                assert!(
                    outcome.is(Code::CREATED),
                    "{length}, round {round}: {outcome:?}"
                );
            }
        }
        assert!(world.posts().values().all(|count| *count == 1));
        assert_eq!(world.posts().len(), 60);
        world.assert_no_second_handshake();
    }
}

#[test]
fn the_others_go_on_when_a_gateway_is_killed_or_stopped() {
    for length in LENGTHS {
        for is_killed in [true, false] {
            let mut world = GroupWorld::new(3, 6, 2, length);
            world.connect_all();
            match is_killed {
                true => world.kill(0),
                false => world.stop(0, 10 * SECOND),
            }
            let sent: Vec<_> = (0..6).map(|device| world.post(device)).collect();
            world.run_for(5 * SECOND);
            for (device, number) in sent.into_iter().enumerate() {
                let outcome = world.devices[device].outcome(number);
                assert!(
                    outcome.is(Code::CREATED),
                    "{length}, {is_killed}: {device} {outcome:?}"
                );
            }
            world.assert_no_second_handshake();
        }
    }
}

/// The gateway dies as its answer arrives, and the request comes once more to another one.
#[test]
fn an_answer_leaves_when_the_others_know_of_it() {
    for seed in 0..10 {
        let mut world = GroupWorld::new(2, 1, seed, 8);
        world.connect_all();
        world.repeated = 1.0;
        let number = world.post(0);
        world.repeated = 0.0;
        world.kill_when(0, |world| {
            world.devices[0].outcome(number).is(Code::CREATED)
        });
        // The repeated packet comes within 8 s; then the lease has ended, too.
        world.run_for(15 * SECOND);
        assert_eq!(world.posts().len(), 1);
        let next = world.post(0);
        world.run_for(5 * SECOND);
        assert!(world.devices[0].outcome(next).is(Code::CREATED));
        world.assert_no_second_handshake();
    }
}

/// Nothing comes from the devices: the sessions of a dead gateway that observe are found without.
#[test]
fn a_sleeping_device_is_notified_by_another_gateway_when_its_own_is_killed() {
    for length in LENGTHS {
        let mut world = GroupWorld::new(3, 3, 3, length);
        world.connect_all();
        for device in 0..3 {
            world.observe(device, Kind::Attributes);
        }
        world.run_for(10 * SECOND);
        world.kill(0);
        // Its devices accept packets from the others: no NAT is in between, or it accepts any.
        world.sent_to = vec![(0..3).collect(); 3];
        for device in 0..3 {
            world.set_attribute(device, "a", "2");
        }
        world.run_for(8 * SECOND);
        for device in 0..3 {
            let observed = world.devices[device].observation(Kind::Attributes).unwrap();
            let state = format!("{:?}", observed.state);
            assert!(state.contains('2'), "{length}, device {device}: {state}");
        }
        world.assert_no_second_handshake();
    }
}

/// A device that begins anew elsewhere: its former session is followed no longer.
#[test]
fn a_device_that_shakes_hands_with_another_gateway_is_followed_there_alone() {
    let mut world = GroupWorld::new(2, 2, 4, 8);
    world.connect_all();
    for device in 0..2 {
        world.observe(device, Kind::Attributes);
    }
    world.run_for(5 * SECOND);
    for round in 0..4 {
        world.home = vec![(round + 1) % 2, round % 2];
        for device in 0..2 {
            world.devices[device].connect(world.now);
        }
        world.flush();
        world.run_for(5 * SECOND);
        for device in 0..2 {
            assert!(world.devices[device].is_connected());
            world.observe(device, Kind::Attributes);
        }
        world.run_for(10 * SECOND);
        for device in 0..2 {
            let name = format!("device-{device}");
            let gateways = world.gateways.iter();
            let polls: usize = gateways
                .map(|gateway| gateway.upstream.platform.polls_of(&name))
                .sum();
            assert_eq!(polls, 1, "round {round}, {name}");
        }
    }
}

#[test]
fn while_the_store_is_away_all_are_served_and_when_it_is_back_all_is_stored() {
    for length in LENGTHS {
        let mut world = GroupWorld::new(2, 4, 5, length);
        world.connect_all();
        world.is_store_away = true;
        world.run_for(20 * SECOND);
        // One of them begins anew, unprotected.
        world.devices[3].connect(world.now);
        world.flush();
        world.run_for(2 * SECOND);
        let sent: Vec<_> = (0..4).map(|device| world.post(device)).collect();
        world.run_for(4 * SECOND);
        for (device, number) in sent.into_iter().enumerate() {
            let outcome = world.devices[device].outcome(number);
            assert!(outcome.is(Code::CREATED), "{length}: {device} {outcome:?}");
        }
        world.is_store_away = false;
        world.run_for(10 * SECOND);
        world.kill(1);
        let sent: Vec<_> = (0..4).map(|device| world.post(device)).collect();
        world.run_for(6 * SECOND);
        for (device, number) in sent.into_iter().enumerate() {
            let outcome = world.devices[device].outcome(number);
            assert!(outcome.is(Code::CREATED), "{length}: {device} {outcome:?}");
        }
        let sessions: Vec<_> = world.devices.iter().map(|device| device.sessions).collect();
        assert_eq!(sessions, [1, 1, 1, 2]);
    }
}

/// A device that was rebooted has a former session at its gateway, from another address. When it begins anew elsewhere, both end.
#[test]
fn former_sessions_of_a_device_that_goes_elsewhere_end_with_its_last_one() {
    let mut world = GroupWorld::new(2, 1, 6, 8);
    for (at, host) in [(0, 0), (0, 100), (1, 200)] {
        world.home = vec![at];
        world.devices[0].path = crate::simulation::path(host);
        world.devices[0].connect(world.now);
        world.flush();
        world.run_for(5 * SECOND);
        assert!(world.devices[0].is_connected());
        world.observe(0, Kind::Attributes);
        world.run_for(3 * SECOND);
    }
    let members: Vec<_> = world
        .gateways
        .iter()
        .map(|one| one.core.members())
        .collect();
    assert_eq!(members, [0, 1]);
    let polls = world.gateways.iter();
    let polls: Vec<_> = polls
        .map(|gateway| gateway.upstream.platform.polls_of("device-0"))
        .collect();
    assert_eq!(polls, [0, 1]);
}

/// A record in plaintext, which anyone can write, in front of one of a device: together they are not only the session's.
#[test]
fn nothing_is_forwarded_for_a_session_that_is_not_served_whatever_its_record_comes_behind() {
    const WARNING: [u8; 15] = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0];
    for length in LENGTHS {
        for front in [&[][..], &WARNING] {
            let mut world = GroupWorld::new(2, 1, 7, length);
            world.connect_all();
            let here = world.home[0];
            world.gateways[here].is_cut_off = true;
            world.run_for(20 * SECOND);
            let now = world.now;
            let number = world.devices[0].post(now, Type::Confirmable);
            let path = Path {
                remote: world.devices[0].path.remote,
                local: Some(local(here)),
                via: None,
            };
            for record in world.devices[0].poll_transmit() {
                let datagram = [front, &record].concat();
                world.gateways[here].core.receive(now, path, &datagram);
            }
            world.flush();
            assert_eq!(world.gateways[here].upstream.in_flight(), 0, "{length}");
            // The device sends again, and the balancer knows better.
            world.home = vec![1 - here];
            world.run_for(10 * SECOND);
            assert!(world.devices[0].outcome(number).is(Code::CREATED));
            assert!(world.posts().values().all(|count| *count == 1));
            world.assert_no_second_handshake();
        }
    }
}

/// What comes by way of another gateway while the owner writes its last rows is kept there, and served after the owner has gone. A
/// Non-confirmable request is not repeated.
#[test]
fn a_request_that_comes_while_its_gateway_stops_is_served_by_the_next() {
    let mut world = GroupWorld::new(2, 1, 8, 8);
    world.connect_all();
    let owner = world.home[0];
    let now = world.now;
    world.gateways[owner].core.drain(now, 5 * SECOND);
    world.flush();
    assert!(world.run_until(6 * SECOND, |world| world.gateways[owner].core.is_drained()));
    let now = world.now;
    world.gateways[owner].core.begin_last_rows(now);
    world.home = vec![1 - owner];
    let number = world.devices[0].post(now, Type::NonConfirmable);
    world.flush();
    world.run_for(SECOND / 10);
    let now = world.now;
    world.gateways[owner].core.release_members(now);
    world.flush();
    world.run_for(SECOND / 10);
    world.kill(owner);
    world.run_for(5 * SECOND);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
    world.assert_no_second_handshake();
}

/// The process is stalled while a row is on its way, and its lease is over when it goes on: what waits for the row does not leave, as
/// another gateway may serve the session.
#[test]
fn what_waits_for_a_row_does_not_leave_when_the_lease_is_over() {
    let mut world = GroupWorld::new(2, 1, 9, 8);
    world.connect_all();
    let number = world.post(0);
    // ThingsBoard has answered, and the store has not replied yet.
    world.run_for(Duration::from_millis(40));
    assert_eq!(world.posts().len(), 1);
    world.now += 5 * SECOND;
    // Each step of the world checks that a suspended gateway sends nothing.
    world.run_for(SECOND / 1000);
    assert!(world.gateways[world.home[0]].core.is_suspended());
    assert!(!world.devices[0].outcome(number).is(Code::CREATED));
    world.run_for(10 * SECOND);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
    assert_eq!(world.posts().len(), 1);
    world.assert_no_second_handshake();
}
