//! Deadlines, pings, and closing.

use super::*;
use crate::upstream::Rejection;

#[test]
fn a_connack_has_its_time() {
    let mut world = World::new();
    let id = world.post();
    world.advance(Duration::from_millis(4999));
    assert_eq!(world.pop_events(), []);
    world.advance(Duration::from_millis(1));
    assert_eq!(
        world.pop_events(),
        [
            Seen::Finished(id, Err(Error::Unreachable)),
            Seen::Ended(End::Silent)
        ]
    );
    assert_eq!(world.connection.next_timeout(), None);
}

#[test]
fn an_unanswered_request_times_out_and_its_packet_id_stays_in_use() {
    let mut world = World::connected();
    let id = world.post();
    world.exchange();
    let (packet, _) = world.next_publish();
    world.advance(Duration::from_secs(5));
    // Something comes, so the connection is not dead.
    world.receive(&server::pong());
    world.advance(Duration::from_secs(5));
    assert_eq!(
        world.pop_events(),
        [Seen::Finished(id, Err(Error::Timeout))]
    );
    // Its PUBACK is late, and does no harm.
    world.receive(&server::puback(packet, 0));
    assert_eq!(world.pop_events(), []);
    let id = world.post();
    world.exchange();
    let (next, _) = world.next_publish();
    assert_ne!(next, packet);
    world.receive(&server::puback(next, 0));
    assert_eq!(world.pop_events(), [Seen::Finished(id, ok(""))]);
}

#[test]
fn a_connection_on_which_nothing_comes_is_closed() {
    let mut world = World::connected();
    world.advance(Duration::from_secs(1));
    let (first, second) = (world.post(), world.post());
    world.exchange();
    world.advance(Duration::from_secs(10));
    assert_eq!(
        world.pop_events(),
        [
            Seen::Finished(first, Err(Error::Timeout)),
            Seen::Finished(second, Err(Error::Timeout)),
            Seen::Ended(End::Silent)
        ]
    );
}

#[test]
fn a_rule_chain_that_does_not_answer_leaves_the_connection_open() {
    let mut world = World::connected();
    world.advance(Duration::from_secs(1));
    let id = world.start(&Operation::CallRpc("{method:m,params:{}}".into()));
    world.exchange();
    let (packet, _) = world.next_publish();
    world.advance(Duration::from_millis(1));
    world.receive(&server::puback(packet, 0));
    world.advance(Duration::from_secs(10));
    assert_eq!(
        world.pop_events(),
        [Seen::Finished(id, Err(Error::Timeout))]
    );
    assert!(!world.connection.is_ended());
}

#[test]
fn pings_are_sent_only_while_the_device_is_alive() {
    let mut world = World::connected();
    world.connection.set_subscriptions(BOTH);
    world.exchange();
    let Some(FromClient::Subscribe(packet, _)) = world.server.pop() else {
        panic!();
    };
    world.receive(&server::suback(packet, &[1, 1]));
    // It is alive for an hour.
    let mut pings = 0;
    for _ in 0..3600 {
        world.advance(Duration::from_secs(1));
        while let Some(sent) = world.server.pop() {
            assert_eq!(sent, FromClient::Ping);
            pings += 1;
            world.receive(&server::pong());
        }
    }
    assert_eq!(pings, 14);
    world.pop_events();
    // Then it is silent, and the connection is closed before ThingsBoard does that.
    world.advance(Duration::from_secs(600));
    assert_eq!(world.pop_events(), [Seen::Ended(End::Closed)]);
    assert_eq!(world.server.pop(), Some(FromClient::Disconnect));
}

#[test]
fn an_unanswered_ping_ends_the_connection() {
    let mut world = World::connected();
    world.advance(Duration::from_secs(240));
    assert_eq!(world.server.pop(), Some(FromClient::Ping));
    world.advance(Duration::from_secs(10));
    assert_eq!(world.pop_events(), [Seen::Ended(End::Silent)]);
}

#[test]
fn a_connection_without_use_is_closed_when_the_device_is_gone() {
    let mut world = World::new();
    world.receive(&server::connack(0));
    world.advance(Duration::from_secs(3599));
    world.server.received = 0;
    assert!(world.connection.is_ended(), "its pings have no answer");
    let mut world = World::connected();
    world.connection = Connection::new(world.now, "TOKEN", "client");
    let until = world.now + Duration::from_secs(100);
    world.connection.alive_until(until);
    world.receive(&server::connack(0));
    world.advance(Duration::from_secs(99));
    assert_eq!(world.pop_events(), [Seen::Connected]);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.pop_events(), [Seen::Ended(End::Closed)]);
}

#[test]
fn closing_waits_for_what_is_in_flight_and_gives_back_what_is_not() {
    let mut world = World::connected();
    let sent = world.post();
    world.exchange();
    let (packet, _) = world.next_publish();
    let queued = world.post();
    world.connection.close(world.now);
    let late = world.post();
    world.exchange();
    assert_eq!(
        world.pop_events(),
        [Seen::Unsent(queued), Seen::Unsent(late)]
    );
    assert_eq!(world.server.len(), 0);
    world.receive(&server::puback(packet, 0));
    assert_eq!(
        world.pop_events(),
        [Seen::Finished(sent, ok("")), Seen::Ended(End::Closed)]
    );
    assert_eq!(world.server.pop(), Some(FromClient::Disconnect));

    let mut world = World::connected();
    let sent = world.post();
    world.exchange();
    world.connection.close(world.now);
    world.advance(Duration::from_secs(5));
    assert_eq!(
        world.pop_events(),
        [
            Seen::Finished(sent, Err(Error::Unreachable)),
            Seen::Ended(End::Closed)
        ]
    );
}

#[test]
fn a_server_that_acknowledges_nothing_but_is_there_gets_another_connection() {
    let mut world = World::connected();
    for number in 1..=64 {
        assert_eq!(world.pop_events(), [], "{number}");
        let id = world.post();
        world.exchange();
        world.advance(Duration::from_secs(5));
        world.receive(&server::pong());
        world.advance(Duration::from_secs(5));
        let timed_out = Seen::Finished(id, Err(Error::Timeout));
        assert_eq!(world.events.remove(0), timed_out);
    }
    assert_eq!(world.pop_events(), [Seen::RenewalDue]);
}

#[test]
fn a_packet_that_is_too_large_for_the_server_is_refused_and_its_id_used_again() {
    let mut world = World::new();
    // Maximum Packet Size 40.
    world.receive(&[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 40]);
    world.server.pop();
    let large = telemetry(&format!("{{a:'{}'}}", "x".repeat(40)));
    for _ in 0..70_000 {
        world.start(&large);
        world.exchange();
    }
    let id = world.post();
    world.exchange();
    let (packet, _) = world.next_publish();
    world.receive(&server::puback(packet, 0));
    let mut events = world.pop_events();
    assert_eq!(events.pop(), Some(Seen::Finished(id, ok(""))));
    assert_eq!(events.remove(0), Seen::Connected);
    let too_large = Err(Error::Rejected(Rejection::TooLarge));
    assert_eq!(events.len(), 70_000);
    for event in events {
        assert!(matches!(event, Seen::Finished(_, outcome) if outcome == too_large));
    }
}

#[test]
fn a_server_keep_alive_is_kept() {
    for (seconds, first_ping) in [(60, 60), (1, 10), (0, 240), (1000, 240)] {
        let mut world = World::new();
        let [high, low] = u16::to_be_bytes(seconds);
        world.receive(&[0x20, 6, 0, 0, 3, 0x13, high, low]);
        world.connection.set_subscriptions(BOTH);
        world.exchange();
        world.server.pop();
        let Some(FromClient::Subscribe(packet, _)) = world.server.pop() else {
            panic!();
        };
        world.receive(&server::suback(packet, &[1, 1]));
        world.advance(Duration::from_millis(first_ping * 1000 - 1));
        assert_eq!(world.server.pop(), None, "{seconds}");
        world.advance(Duration::from_millis(1));
        assert_eq!(world.server.pop(), Some(FromClient::Ping), "{seconds}");
    }
}
