//! The end of a connection at every moment, and what it means for each request.

use super::*;
use crate::upstream::Rejection;

/// A request, and whether it was sent, acknowledged, or neither, when the connection ends.
#[test]
fn a_loss_at_every_moment_of_every_operation() {
    for operation in all_operations() {
        // 0: before CONNECT is written; 1: before CONNACK; 2: after it, unsent; 3: sent; 4: acknowledged.
        for moment in 0..5 {
            let mut world = World::new();
            let id = world.start(&operation);
            let mut is_finished = false;
            if moment >= 1 {
                world.exchange();
            }
            if moment >= 2 {
                let now = world.now;
                world.connection.receive(now, &server::connack(0));
            }
            if moment >= 3 {
                world.exchange();
            }
            if moment >= 4 {
                world.server.pop();
                let (packet, _) = world.next_publish();
                world.receive(&server::puback(packet, 0));
                is_finished = world.pop_events().contains(&Seen::Finished(id, ok("")));
            }
            world.connection.lost();
            let mut events = world.pop_events();
            assert_eq!(events.pop(), Some(Seen::Ended(End::Lost)));
            events.retain(|event| *event != Seen::Connected);
            let expected = match moment {
                // The server can't be reached: the next attempt would fail as well.
                0 | 1 => vec![Seen::Finished(id, Err(Error::Unreachable))],
                2 => vec![Seen::Unsent(id)],
                _ if is_finished => vec![],
                _ => vec![Seen::Finished(id, Err(Error::Unreachable))],
            };
            assert_eq!(events, expected, "{operation:?} at {moment}");
            // Nothing follows the end.
            world.connection.lost();
            world.receive(&server::connack(0));
            world.advance(Duration::from_secs(1000));
            assert_eq!(world.pop_events(), []);
        }
    }
}

/// The stream ends after each byte of what the server sends, and each request has one outcome.
#[test]
fn every_cut_leaves_each_request_with_one_outcome() {
    let script = |world: &mut World| {
        let mut bytes = server::connack(0);
        // Packet ids are given in order.
        for packet in 1..=8 {
            bytes.extend(server::puback(packet, 0));
        }
        bytes.extend(server::publish(1, "v2/r/res/j/1", b"{}"));
        bytes.extend(server::publish(2, "v2/a/res/j/2", b"{}"));
        bytes.extend(server::publish(3, "v2/a/res/j/3", b"{}"));
        bytes.extend(server::publish(4, "v2/fw/response/4/chunk/0", b"abc"));
        let operations = all_operations();
        let ids: Vec<u32> = operations.iter().map(|each| world.start(each)).collect();
        (bytes, ids)
    };
    let (whole, _) = script(&mut World::new());
    for cut in 0..=whole.len() {
        let mut world = World::new();
        let (bytes, ids) = script(&mut world);
        // The CONNACK comes by itself, or the PUBACKs would be for packets not yet sent.
        let (first, rest) = bytes[..cut].split_at(cut.min(5));
        world.exchange();
        world.receive(first);
        for byte in rest {
            world.receive(&[*byte]);
        }
        world.connection.lost();
        let events = world.pop_events();
        for id in ids {
            let outcomes = events.iter().filter(|event| {
                matches!(event, Seen::Finished(finished, _) | Seen::Unsent(finished) if *finished == id)
            });
            assert_eq!(outcomes.count(), 1, "{id} at {cut}: {events:?}");
        }
        let is_complete = cut == whole.len();
        let failed = |event: &Seen| !matches!(event, Seen::Finished(_, Ok(_)) | Seen::Connected);
        let failures = events.iter().filter(|event| failed(event)).count();
        assert_eq!(failures == 1, is_complete, "{cut}: {events:?}");
        assert_eq!(events.last(), Some(&Seen::Ended(End::Lost)));
    }
}

#[test]
fn a_refused_connection_refuses_what_was_queued() {
    let rejected = |rejection| Err(Error::Rejected(rejection));
    for (code, expected, end) in [
        (0x86, rejected(Rejection::TokenRefused), End::TokenRefused),
        (0x87, rejected(Rejection::TokenRefused), End::TokenRefused),
        (0x9f, rejected(Rejection::RateLimited), End::RateLimited),
        (0x88, Err(Error::Overloaded), End::NotServing),
    ] {
        let mut world = World::new();
        let id = world.post();
        world.exchange();
        // The DISCONNECT that follows is not read: its code is none of MQTT's.
        let bytes = [server::connack(code), server::disconnect(code)].concat();
        world.receive(&bytes);
        assert_eq!(
            world.pop_events(),
            [Seen::Finished(id, expected), Seen::Ended(end)]
        );
    }
}

#[test]
fn a_disconnect_gives_each_request_what_its_fate_deserves() {
    let rejected = |rejection| Err(Error::Rejected(rejection));
    let unreachable = || Err(Error::Unreachable);
    // Code, posts in flight, the outcome of each.
    for (code, posts, expected, end) in [
        (0x83, 1, rejected(Rejection::RateLimited), End::RateLimited),
        (0x83, 2, unreachable(), End::RateLimited),
        (
            0x98,
            2,
            rejected(Rejection::TokenRefused),
            End::TokenRefused,
        ),
        (0x8e, 1, unreachable(), End::Displaced),
        (0x8b, 1, unreachable(), End::Lost),
        (0x81, 1, unreachable(), End::Lost),
    ] {
        let mut world = World::connected();
        let ids: Vec<u32> = (0..posts).map(|_| world.post()).collect();
        world.exchange();
        world.receive(&server::disconnect(code));
        let mut all: Vec<Seen> = ids
            .iter()
            .map(|id| Seen::Finished(*id, expected.clone()))
            .collect();
        all.push(Seen::Ended(end));
        assert_eq!(world.pop_events(), all, "{code:x} {posts}");
    }
}

#[test]
fn only_the_request_without_a_puback_can_be_over_the_limit() {
    let mut world = World::connected();
    let read = world.start(&Operation::ReadAttributes);
    world.exchange();
    let (packet, _) = world.next_publish();
    world.receive(&server::puback(packet, 0));
    let post = world.post();
    world.exchange();
    world.receive(&server::disconnect(0x83));
    assert_eq!(
        world.pop_events(),
        [
            Seen::Finished(read, Err(Error::Unreachable)),
            Seen::Finished(post, Err(Error::Rejected(Rejection::RateLimited))),
            Seen::Ended(End::RateLimited)
        ]
    );
    // A subscription that has no SUBACK yet may be what exceeds the limit.
    let mut world = World::connected();
    let post = world.post();
    world.connection.set_subscriptions(BOTH);
    world.exchange();
    world.receive(&server::disconnect(0x83));
    assert_eq!(
        world.pop_events(),
        [
            Seen::Finished(post, Err(Error::Unreachable)),
            Seen::Ended(End::RateLimited)
        ]
    );
}

#[test]
fn a_package_that_is_not_there_is_not_found_and_the_others_are_lost() {
    let mut world = World::connected();
    let (chunk, post) = (world.start(&firmware(0)), world.post());
    world.exchange();
    world.receive(&server::publish(1, "v2/fw/error", b"NOT_FOUND"));
    assert_eq!(world.pop_events(), []);
    world.receive(&server::disconnect(0x83));
    assert_eq!(
        world.pop_events(),
        [
            Seen::Finished(chunk, Err(Error::Rejected(Rejection::NotFound))),
            Seen::Finished(post, Err(Error::Unreachable)),
            Seen::Ended(End::RateLimited)
        ]
    );
}

#[test]
fn what_was_not_written_before_a_loss_can_be_sent_again() {
    let mut world = World::connected();
    // More than is encoded at once: the server reads nothing.
    let large = telemetry(&format!("{{a:'{}'}}", "x".repeat(9000)));
    let ids: Vec<u32> = (0..10).map(|_| world.start(&large)).collect();
    let mut buffer = BytesMut::new();
    assert!(world.connection.poll_write(world.now, &mut buffer));
    world.connection.lost();
    let events = world.pop_events();
    for (at, id) in ids.iter().enumerate() {
        let expected = match at < 2 {
            true => Seen::Finished(*id, Err(Error::Unreachable)),
            false => Seen::Unsent(*id),
        };
        assert!(events.contains(&expected), "{at}: {events:?}");
    }
}
