//! Pings, and what is sent sooner because the peer is awake.

use super::*;

impl Bench {
    fn ping(&mut self) {
        self.with(|endpoint, now, context, out| endpoint.ping(now, context, out));
    }

    fn retransmit_early(&mut self) {
        self.with(|endpoint, now, context, out| endpoint.retransmit_early(now, context, out));
    }
}

#[test]
fn a_ping_is_an_empty_confirmable_message_and_one_at_a_time() {
    let mut bench = Bench::new();
    bench.ping();
    let ping = bench.sent();
    assert_eq!(ping, Message::empty(Type::Confirmable, ping.message_id));
    bench.ping();
    assert_eq!(bench.out, []);
    bench.settle(Type::Reset, &ping);
    bench.pass(100.0);
    assert_eq!(bench.out, []);
    bench.ping();
    assert_ne!(bench.sent().message_id, ping.message_id);
    assert_eq!(bench.counters.pings_sent, 2);
    assert_eq!(bench.counters.pings_unanswered, 0);
}

#[test]
fn a_ping_that_nothing_answers_is_told() {
    let mut bench = Bench::new();
    bench.ping();
    for wait in [2.0, 4.0, 8.0, 16.0, 32.0] {
        assert!(matches!(bench.out.pop(), Some(Output::Send(_))));
        bench.pass(wait);
    }
    assert_eq!(bench.out, [Output::PingUnanswered]);
    assert_eq!(bench.counters.pings_unanswered, 1);
    assert_eq!(bench.endpoint.outgoing(), 0);
    assert_eq!(bench.endpoint.next_timeout(), None);
}

#[test]
fn a_ping_waits_behind_all_notifications() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    bench.ping();
    bench.notify(id, 2);
    for number in [1, 2] {
        let notification = bench.notified(Type::Confirmable, number);
        assert_eq!(bench.out, []);
        bench.settle(Type::Acknowledgement, &notification);
        assert_eq!(bench.out.remove(0), Output::Delivered(id, number));
    }
    assert_eq!(bench.sent().code, Code::EMPTY);
    assert_eq!(bench.out, []);
}

#[test]
fn an_awake_peer_is_sent_again_at_once_what_it_was_last_sent_ack_timeout_ago() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    let notification = bench.notified(Type::Confirmable, 1);
    bench.pass(1.999);
    bench.retransmit_early();
    assert_eq!(bench.out, [], "it may be about to answer");
    bench.pass(0.001);
    assert_eq!(bench.sent(), notification);
    bench.pass(2.0);
    bench.retransmit_early();
    assert_eq!(bench.sent(), notification, "2 s before its time");
    bench.retransmit_early();
    assert_eq!(bench.out, []);
    // That was the second retransmission: the third is due 8 s later.
    bench.pass(7.999);
    assert_eq!(bench.out, []);
    bench.pass(0.001);
    assert_eq!(bench.sent(), notification);
    assert_eq!(bench.counters.retransmissions, 3);
}

#[test]
fn when_no_retransmission_is_left_an_awake_peer_is_sent_it_once_more_and_no_longer_waited_for() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    for wait in [0.0, 2.0, 4.0, 8.0, 16.0] {
        bench.pass(wait);
        bench.notified(Type::Confirmable, 1);
    }
    bench.pass(10.0);
    bench.retransmit_early();
    bench.notified(Type::Confirmable, 1);
    bench.pass(10.0);
    bench.retransmit_early();
    assert_eq!(bench.out, [], "once");
    bench.pass(11.999);
    assert_eq!(bench.out, []);
    bench.pass(0.001);
    assert_eq!(bench.out, [Output::Undelivered(id)]);
}

#[test]
fn what_is_sent_sooner_is_the_newest() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    bench.notified(Type::Confirmable, 1);
    bench.pass(2.0);
    bench.notified(Type::Confirmable, 1);
    bench.notify(id, 2);
    bench.pass(2.0);
    bench.retransmit_early();
    let newest = bench.notified(Type::Confirmable, 2);
    bench.settle(Type::Acknowledgement, &newest);
    assert_eq!(bench.out, [Output::Delivered(id, 2)]);
}
