//! Bytes that no ThingsBoard sends: nothing panics, and each request has one outcome.

use super::*;

/// A connection with everything in flight.
fn busy() -> (World, Vec<u32>) {
    let mut world = World::connected();
    world.connection.set_subscriptions(BOTH);
    let ids = all_operations()
        .iter()
        .map(|each| world.start(each))
        .collect();
    world.exchange();
    (world, ids)
}

/// What a server may send to it.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        server::connack(0),
        server::suback(1, &[1, 1]),
        server::unsuback(1),
        server::disconnect(0x83),
        server::pong(),
        server::publish(1, "v2/a/j", b"{\"a\":1}"),
        server::publish(2, "v2/r/req/j/1", b"{}"),
        server::publish_at_most_once("v2/a/j", b"{}"),
        server::publish(0, "v2/a/j", b"{}"),
        server::publish(3, "v2/a/res/j/2", b"{}"),
        server::publish(4, "v2/fw/response/4/chunk/0", b"abc"),
        server::publish(5, "v2/fw/error", b"NOT_FOUND"),
        // AUTH, PUBREC, PUBREL, PUBCOMP, PINGREQ, CONNECT.
        vec![0xf0, 0],
        vec![0x50, 2, 0, 1],
        vec![0x62, 2, 0, 1],
        vec![0x70, 2, 0, 1],
        vec![0xc0, 0],
        vec![0x10, 2, 0, 0],
        // CONNACK with session present and Receive Maximum 10.
        vec![0x20, 6, 1, 0, 3, 0x21, 0, 10],
    ];
    seeds.extend((1..=9).map(|packet| server::puback(packet, 0)));
    seeds
}

fn check(world: &mut World, ids: &[u32]) {
    world.advance(Duration::from_secs(20));
    world.connection.lost();
    let events = world.pop_events();
    for id in ids {
        let outcomes = events.iter().filter(|event| {
            matches!(event, Seen::Finished(finished, _) | Seen::Unsent(finished) if finished == id)
        });
        assert_eq!(outcomes.count(), 1, "{id}: {events:?}");
    }
    let is_end = |event: &&Seen| matches!(event, Seen::Ended(_));
    assert_eq!(events.iter().filter(is_end).count(), 1);
    assert!(matches!(events.last(), Some(Seen::Ended(_))));
}

#[test]
fn a_second_connack_ends_the_connection_and_nothing_after_it_is_read() {
    for second in [
        server::connack(0),
        vec![0x20, 6, 1, 0, 3, 0x21, 0, 10],
        server::connack(0x86),
    ] {
        let mut world = World::connected();
        let id = world.post();
        world.exchange();
        let (packet, _) = world.next_publish();
        let bytes = [second, server::puback(packet, 0)].concat();
        world.receive(&bytes);
        assert!(matches!(
            &world.pop_events()[..],
            [
                Seen::Finished(finished, Err(Error::Unintelligible(_))),
                Seen::Ended(End::Unintelligible(_))
            ] if *finished == id
        ));
    }
}

#[test]
fn garbage_of_every_kind_never_panics_and_loses_no_request() {
    let seeds = seeds();
    let mut random = fastrand::Rng::with_seed(20_261_130);
    for round in 0..4000 {
        let (mut world, ids) = match round % 8 {
            // Before the CONNACK.
            0 => {
                let mut world = World::new();
                let ids = vec![world.post()];
                world.exchange();
                (world, ids)
            }
            _ => busy(),
        };
        let mut bytes = Vec::new();
        for _ in 0..random.usize(1..12) {
            let mut packet = random.choice(&seeds).cloned().unwrap_or_default();
            match random.u8(..6) {
                0 => packet.truncate(random.usize(..packet.len())),
                1 => {
                    let at = random.usize(..packet.len());
                    packet[at] ^= 1 << random.u8(..8);
                }
                2 => packet = (0..random.usize(1..40)).map(|_| random.u8(..)).collect(),
                3 => {
                    let at = random.usize(..packet.len());
                    packet.insert(at, random.u8(..));
                }
                _ => {}
            }
            bytes.extend(packet);
        }
        // In pieces of any size.
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(1..=rest.len()));
            world.receive(piece);
            rest = after;
        }
        check(&mut world, &ids);
    }
}
