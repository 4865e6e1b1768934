//! Requests and their outcomes.

use super::*;
use crate::upstream::Rejection;

#[test]
fn nothing_is_sent_before_the_connack_and_then_in_order() {
    let mut world = World::new();
    let ids: Vec<u32> = (0..20).map(|_| world.post()).collect();
    world.exchange();
    assert!(matches!(world.server.pop(), Some(FromClient::Connect(_))));
    assert_eq!(world.server.len(), 0);
    world.receive(&server::connack(0));
    let packets: Vec<u16> = ids.iter().map(|_| world.next_publish().0).collect();
    assert!(packets.is_sorted());
    assert_eq!(world.pop_events(), [Seen::Connected]);
}

#[test]
fn pubacks_are_matched_by_id_not_by_order() {
    let mut world = World::connected();
    let ids: Vec<u32> = (0..20).map(|_| world.post()).collect();
    world.exchange();
    let packets: Vec<u16> = ids.iter().map(|_| world.next_publish().0).collect();
    let mut order: Vec<usize> = (0..20).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut order);
    for at in order {
        let is_bad = at == 11;
        world.receive(&server::puback(packets[at], if is_bad { 0x99 } else { 0 }));
        let expected = match is_bad {
            true => Err(Error::Rejected(Rejection::Unparsable)),
            false => ok(""),
        };
        assert_eq!(world.pop_events(), [Seen::Finished(ids[at], expected)]);
    }
}

#[test]
fn a_puback_for_an_unknown_packet_ends_the_connection() {
    let mut world = World::connected();
    let id = world.post();
    world.exchange();
    world.receive(&server::puback(999, 0));
    let events = world.pop_events();
    assert!(matches!(
        &events[..],
        [
            Seen::Finished(finished, Err(Error::Unintelligible(_))),
            Seen::Ended(End::Unintelligible(_))
        ] if *finished == id
    ));
}

#[test]
fn each_operation_is_answered_before_or_after_its_puback() {
    for operation in all_operations() {
        for answer_first in [false, true] {
            let mut world = World::connected();
            let id = world.start(&operation);
            world.exchange();
            let (packet, topic) = world.next_publish();
            let answer = match topic.as_str() {
                "v2/a/req/j/1" => Some("v2/a/res/j/1"),
                "v2/r/req/j/1" => Some("v2/r/res/j/1"),
                "v2/fw/request/1/chunk/0" => Some("v2/fw/response/1/chunk/0"),
                _ => None,
            };
            let Some(topic) = answer else {
                world.receive(&server::puback(packet, 0));
                assert_eq!(world.pop_events(), [Seen::Finished(id, ok(""))]);
                continue;
            };
            let answer = server::publish(3, topic, b"{\"shared\":{}}");
            let puback = server::puback(packet, 0);
            let (first, second) = match answer_first {
                true => (answer, puback),
                false => (puback, answer),
            };
            world.receive(&first);
            let before = world.pop_events();
            world.receive(&second);
            let all = [before, world.pop_events()].concat();
            assert_eq!(all, [Seen::Finished(id, ok("{\"shared\":{}}"))]);
            assert_eq!(world.server.pop(), Some(FromClient::Puback(3)));
        }
    }
}

#[test]
fn pipelined_chunks_are_told_apart_by_their_topics() {
    let mut world = World::connected();
    let ids: Vec<u32> = (0..9).map(|chunk| world.start(&firmware(chunk))).collect();
    world.exchange();
    let topics: Vec<String> = ids.iter().map(|_| world.next_publish().1).collect();
    for at in [3, 1, 2, 0, 8, 7, 4, 5, 6] {
        let topic = topics[at].replace("request", "response");
        world.receive(&server::publish(1, &topic, &[u8::try_from(at).unwrap()]));
        let chunk = Bytes::from(vec![u8::try_from(at).unwrap()]);
        assert_eq!(world.pop_events(), [Seen::Finished(ids[at], Ok(chunk))]);
    }
    // Past the end.
    let id = world.start(&firmware(10));
    world.exchange();
    world.receive(&server::publish(2, "v2/fw/response/10/chunk/10", b""));
    assert_eq!(world.pop_events(), [Seen::Finished(id, ok(""))]);
}

#[test]
fn a_connection_has_bounds() {
    let mut world = World::new();
    for _ in 0..in_flight::MOST_REQUESTS {
        world.post();
    }
    assert_eq!(world.pop_events(), []);
    let surplus = world.post();
    let overloaded = |id| Seen::Finished(id, Err(Error::Overloaded));
    assert_eq!(world.pop_events(), [overloaded(surplus)]);

    let mut world = World::new();
    let large = telemetry(&format!("{{a:'{}'}}", "x".repeat(65_000)));
    let most = in_flight::MOST_BYTES / 65_006;
    for _ in 0..most {
        world.start(&large);
    }
    assert_eq!(world.pop_events(), []);
    let surplus = world.start(&large);
    assert_eq!(world.pop_events(), [overloaded(surplus)]);
    // All of them go out once there is room to write.
    world.receive(&server::connack(0));
    assert_eq!(world.server.len(), 1 + most);
    assert!(!world.connection.requests.has_queued());
}

#[test]
fn the_largest_packets_pass_both_ways() {
    let mut world = World::connected();
    let largest = telemetry(&format!("'{}'", "x".repeat(65_536 - 5 - 6 - 2)));
    world.start(&largest);
    world.exchange();
    match world.server.pop() {
        Some(FromClient::Publish { payload, .. }) => assert_eq!(payload.len(), 65_525),
        other => panic!("{other:?}"),
    }
    let id = world.start(&Operation::ReadAttributes);
    world.exchange();
    let body = vec![b' '; 256 * 1024];
    world.receive(&server::publish(1, "v2/a/res/j/1", &body));
    assert_eq!(world.pop_events(), [Seen::Finished(id, Ok(body.into()))]);
    let id = world.start(&Operation::ReadAttributes);
    world.exchange();
    let body = vec![b' '; 256 * 1024 + 1];
    world.receive(&server::publish(2, "v2/a/res/j/2", &body));
    assert!(matches!(
        &world.pop_events()[..],
        [Seen::Finished(finished, Err(Error::Unintelligible(_)))] if *finished == id
    ));
    // A length that is too large ends the connection when it is read, before any of the body.
    world.receive(&[0x32, 0xff, 0xff, 0x7f]);
    assert!(matches!(
        world.pop_events().last(),
        Some(Seen::Ended(End::Unintelligible(_)))
    ));
}

#[test]
fn packet_ids_are_not_reused_while_unanswered() {
    let mut world = World::connected();
    let first = world.post();
    world.exchange();
    let (unanswered, _) = world.next_publish();
    for _ in 0..70_000 {
        world.post();
        world.exchange();
        let (packet, _) = world.next_publish();
        assert_ne!(packet, unanswered);
        assert_ne!(packet, 0);
        world.receive(&server::puback(packet, 0));
    }
    world.pop_events();
    world.receive(&server::puback(unanswered, 0));
    assert_eq!(world.pop_events(), [Seen::Finished(first, ok(""))]);
}
