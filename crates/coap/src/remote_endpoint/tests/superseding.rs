//! Newer content supersedes a notification in flight (RFC 7641 §4.5.2).

use super::observing::sequence_number;
use super::*;
use crate::option::number::OBSERVE;

#[test]
fn while_one_notification_is_in_flight_only_the_newest_is_pending() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    for number in 1..=5 {
        bench.notify(id, number);
    }
    let first = bench.notified(Type::Confirmable, 1);
    assert_eq!(bench.out, []);
    bench.settle(Type::Acknowledgement, &first);
    assert_eq!(bench.out.remove(0), Output::Delivered(id, 1));
    let newest = bench.notified(Type::Confirmable, 5);
    assert_eq!(sequence_number(&newest), Some(2));
    bench.settle(Type::Acknowledgement, &newest);
    assert_eq!(bench.out, [Output::Delivered(id, 5)]);
    assert_eq!(bench.counters.notifications_superseded, 3);
}

#[test]
fn a_retransmission_without_newer_content_is_the_same_bytes() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    let first = bench.notified(Type::Confirmable, 1);
    bench.pass(2.0);
    assert_eq!(bench.sent(), first);
    assert_eq!(bench.counters.notifications_sent, 1);
    assert_eq!(bench.counters.retransmissions, 1);
}

#[test]
fn newer_content_replaces_a_retransmission_and_keeps_its_count_and_timeout() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 0);
    let mut before = bench.notified(Type::Confirmable, 0);
    for (number, wait) in [(1, 2.0), (2, 4.0), (3, 8.0), (4, 16.0)] {
        bench.notify(id, number);
        bench.pass(wait - 0.001);
        assert_eq!(bench.out, []);
        bench.pass(0.001);
        let newer = bench.notified(Type::Confirmable, number);
        assert_ne!(newer.message_id, before.message_id);
        assert!(sequence_number(&newer) > sequence_number(&before));
        before = newer;
    }
    bench.notify(id, 5);
    bench.pass(32.0);
    assert_eq!(bench.out, [Output::Undelivered(id)], "after 62 s, as ever");
    assert_eq!(bench.counters.notifications_superseded, 4);
    assert_eq!(bench.counters.notifications_given_up, 1);
    assert_eq!(bench.endpoint.outgoing(), 0);
    assert_eq!(bench.endpoint.pending_notification_bytes(), 0);

    // The relation stays: the next notification is sent, with its own retransmission count.
    bench.out.clear();
    bench.notify(id, 6);
    let next = bench.notified(Type::Confirmable, 6);
    bench.pass(2.0);
    assert_eq!(bench.sent(), next);
}

#[test]
fn an_acknowledgement_of_a_superseded_notification_is_not_one_of_the_newest_but_a_reset_counts() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    let old = bench.notified(Type::Confirmable, 1);
    bench.notify(id, 2);
    bench.pass(2.0);
    let newest = bench.notified(Type::Confirmable, 2);
    bench.settle(Type::Acknowledgement, &old);
    assert_eq!(bench.out, []);
    assert_eq!(bench.counters.superseded_acknowledged, 1);
    assert_eq!(bench.counters.unmatched, 0);
    bench.pass(4.0);
    assert_eq!(bench.sent(), newest);
    bench.settle(Type::Reset, &old);
    assert_eq!(bench.out, [Output::Cancelled(id)]);
    bench.pass(100.0);
    assert_eq!(bench.out.len(), 1, "nothing more is sent");
}

#[test]
fn a_notification_in_flight_delays_neither_another_relation_nor_a_response() {
    let mut bench = Bench::new();
    let (first, _) = bench.registered(Type::Confirmable, 1, 1);
    let (second, _) = bench.registered(Type::Confirmable, 2, 2);
    bench.notify(first, 10);
    let of_first = bench.notified(Type::Confirmable, 10);
    bench.notify(first, 11);
    bench.notify(second, 20);
    let of_second = bench.notified(Type::Confirmable, 20);
    bench.post(Type::Confirmable, 3);
    let (exchange, _) = bench.request();
    bench.pass(0.5);
    let _empty = bench.sent();
    bench.respond(exchange, Response::new(Code::CREATED));
    let response = bench.sent();
    assert_eq!(response.code, Code::CREATED);
    assert_eq!(bench.out, [], "NSTART is 1");
    bench.notify(second, 21);
    bench.settle(Type::Acknowledgement, &of_second);
    assert_eq!(bench.out.remove(0), Output::Delivered(second, 20));
    bench.notified(Type::Confirmable, 21);
    assert_eq!(bench.out, [], "what is in flight of the first");
    bench.settle(Type::Acknowledgement, &of_first);
    assert_eq!(bench.out.remove(0), Output::Delivered(first, 10));
    bench.notified(Type::Confirmable, 11);
    bench.settle(Type::Acknowledgement, &response);
    assert_eq!(bench.out, []);
}

/// Unacknowledged notifications of one observation do not affect another.
#[test]
fn a_notification_that_is_never_acknowledged_delays_no_other_observation() {
    let mut bench = Bench::new();
    let (stuck, _) = bench.registered(Type::Confirmable, 1, 1);
    let (other, _) = bench.registered(Type::Confirmable, 2, 2);
    bench.notify(stuck, 10);
    let unacknowledged = bench.notified(Type::Confirmable, 10);
    for (number, wait) in [(20, 2.0), (21, 4.0), (22, 8.0), (23, 16.0)] {
        bench.notify(other, number);
        let notification = bench.notified(Type::Confirmable, number);
        bench.settle(Type::Acknowledgement, &notification);
        assert_eq!(bench.out.remove(0), Output::Delivered(other, number));
        bench.pass(wait);
        assert_eq!(bench.sent(), unacknowledged);
    }
    bench.pass(32.0);
    assert_eq!(bench.out, [Output::Undelivered(stuck)]);
}

/// Otherwise the first response, never acknowledged, would end the relation that the second
/// registered again.
#[test]
fn the_response_to_a_registration_replaces_the_one_before() {
    let mut bench = Bench::new();
    let answers = [7, 8].map(|message_id| {
        bench.get(Type::Confirmable, message_id, 1, &[(OBSERVE, 0)]);
        let (exchange, _) = bench.request();
        bench.pass(0.5);
        let _empty = bench.sent();
        bench
            .respond_registered(exchange, Response::new(Code::CONTENT))
            .unwrap();
        bench.sent()
    });
    let id = bench
        .endpoint
        .observations
        .of_token(&answers[0].token)
        .unwrap();
    bench.notify(id, 1);
    assert_eq!(bench.out, [], "it would overtake the response");
    bench.settle(Type::Acknowledgement, &answers[1]);
    let notification = bench.notified(Type::Confirmable, 1);
    bench.settle(Type::Acknowledgement, &notification);
    assert_eq!(bench.out.remove(0), Output::Delivered(id, 1));
    bench.pass(100.0);
    assert_eq!(bench.out, []);
    bench.settle(Type::Reset, &answers[0]);
    assert_eq!(bench.out, [Output::Cancelled(id)]);
}

/// With its old sequence number, which is lower than that of the response, it would be discarded.
#[test]
fn a_notification_in_flight_at_a_new_registration_is_retransmitted_with_a_higher_sequence_number() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    let before = bench.notified(Type::Confirmable, 1);
    let (_, answer) = bench.registered(Type::Confirmable, 8, 1);
    assert!(sequence_number(&answer) > sequence_number(&before));
    bench.pass(2.0);
    let after = bench.notified(Type::Confirmable, 1);
    assert!(sequence_number(&after) > sequence_number(&answer));
    assert_ne!(after.message_id, before.message_id);
    bench.pass(4.0);
    assert_eq!(bench.sent(), after, "once");
    bench.settle(Type::Acknowledgement, &after);
    assert_eq!(bench.out, [Output::Delivered(id, 1)]);
    assert_eq!(bench.counters.notifications_superseded, 0);
}

#[test]
fn a_notification_given_up_after_a_new_registration_is_sent_again_or_a_newer_one_instead() {
    for newer in [None, Some(2)] {
        given_up_after_the_client_registered_again(newer);
    }
}

fn given_up_after_the_client_registered_again(newer: Option<u64>) {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    for wait in [0.0, 2.0, 4.0, 8.0, 16.0] {
        bench.pass(wait);
        bench.notified(Type::Confirmable, 1);
    }
    bench.get(Type::Confirmable, 8, 1, &[(OBSERVE, 0)]);
    let (exchange, _) = bench.request();
    bench.pass(0.5);
    let _empty = bench.sent();
    bench.respond_registered(exchange, Response::new(Code::CONTENT));
    let answer = bench.sent();
    assert_eq!(answer.kind, Type::Confirmable);
    bench.settle(Type::Acknowledgement, &answer);
    if let Some(newer) = newer {
        bench.notify(id, newer);
    }
    bench.pass(31.5);
    let again = bench.notified(Type::Confirmable, newer.unwrap_or(1));
    assert!(sequence_number(&again) > sequence_number(&answer));
    bench.settle(Type::Acknowledgement, &again);
    assert_eq!(bench.out, [Output::Delivered(id, newer.unwrap_or(1))]);
    assert_eq!(bench.counters.notifications_given_up, 0);
}

#[test]
fn the_last_response_replaces_the_notification_in_flight() {
    let gone = || Some(Response::error(Code::NOT_FOUND, "gone"));
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    bench.notify(id, 2);
    let notification = bench.notified(Type::Confirmable, 1);
    bench.end(id, gone());
    assert_eq!(bench.out, [], "NSTART is 1");
    bench.pass(2.0);
    let last = bench.sent();
    assert_eq!(last.code, Code::NOT_FOUND);
    bench.settle(Type::Acknowledgement, &notification);
    for wait in [4.0, 8.0, 16.0] {
        bench.pass(wait);
        assert_eq!(bench.sent(), last);
    }
    bench.pass(32.0);
    assert_eq!(bench.out, [], "the count was kept, and nothing is reported");
    assert_eq!(bench.endpoint.outgoing(), 0);
    assert_eq!(bench.counters.given_up, 1);

    // If the notification in flight is acknowledged first, the last response follows it.
    let (id, _) = bench.registered(Type::Confirmable, 8, 1);
    bench.notify(id, 1);
    let notification = bench.notified(Type::Confirmable, 1);
    bench.end(id, gone());
    bench.settle(Type::Acknowledgement, &notification);
    assert_eq!(bench.sent().code, Code::NOT_FOUND);
    assert_eq!(bench.out, []);
}

#[test]
fn the_last_response_is_given_up_with_what_it_would_have_replaced() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    for wait in [0.0, 2.0, 4.0, 8.0, 16.0] {
        bench.pass(wait);
        bench.notified(Type::Confirmable, 1);
    }
    bench.end(id, Some(Response::error(Code::NOT_FOUND, "gone")));
    bench.pass(32.0);
    assert_eq!(bench.out, []);
    assert_eq!(bench.endpoint.outgoing(), 0);
}

#[test]
fn a_relation_that_ends_in_silence_leaves_no_messages() {
    let mut bench = Bench::new();
    let (first, _) = bench.registered(Type::Confirmable, 7, 1);
    let (second, _) = bench.registered(Type::Confirmable, 8, 2);
    bench.notify(first, 1);
    bench.notify(first, 2);
    bench.notify(second, 3);
    bench.notified(Type::Confirmable, 1);
    bench.notified(Type::Confirmable, 3);
    bench.end(first, None);
    bench.end(second, None);
    bench.pass(100.0);
    assert_eq!(bench.out, []);
    assert_eq!(bench.endpoint.outgoing(), 0);
    assert_eq!(bench.endpoint.observations(), 0);
}

#[test]
fn a_relation_whose_renewal_fails_leaves_no_messages() {
    let mut bench = Bench::new();
    let (first, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(first, 1);
    bench.notified(Type::Confirmable, 1);
    bench.get(Type::Confirmable, 9, 1, &[(OBSERVE, 0)]);
    let (exchange, _) = bench.request();
    bench.respond_registered(exchange, Response::error(Code::FORBIDDEN, "no"));
    assert_eq!(bench.sent().code, Code::FORBIDDEN);
    bench.pass(100.0);
    assert_eq!(bench.out, []);
    assert_eq!(bench.endpoint.outgoing(), 0);
}
