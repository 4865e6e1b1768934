//! What shows that the peer receives what is sent to its new address.

use super::*;
use std::collections::HashSet;

impl Bench {
    /// An ACK or RST.
    fn empty(&mut self, kind: Type, message_id: u16) {
        self.receive_bytes(&Message::empty(kind, message_id).encode(4).unwrap());
    }

    /// A POST that is answered at once.
    fn answered(&mut self, kind: Type, message_id: u16) {
        self.post(kind, message_id);
        let (id, _) = self.request();
        self.respond(id, Response::new(Code::CREATED));
        self.sent();
    }

    fn moved(&mut self) {
        self.endpoint.path_changed();
    }

    /// Has the path proven. Returns the Message ID of the ping.
    fn prove_path(&mut self) -> u16 {
        let random = u32::try_from(self.counters.pings_sent).unwrap() + 1;
        let mut context = Context {
            parameters: &self.parameters,
            max_message: self.max_message,
            bodies: &self.bodies,
            holder: Holder::Device(self.device),
            random: &mut || random,
            counters: &mut self.counters,
        };
        (self.endpoint).prove_path(self.now, &mut context, &mut self.out);
        self.ping_sent()
    }

    /// The Message ID of the ping in the next output.
    fn ping_sent(&mut self) -> u16 {
        let Output::ProvePath(bytes) = self.out.remove(0) else {
            panic!("no ping");
        };
        let ping = Message::decode(&bytes).unwrap();
        assert_eq!(ping, Message::empty(Type::Confirmable, ping.message_id));
        ping.message_id
    }

    fn take_out(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }
}

#[test]
fn the_answer_to_the_ping_confirms_the_path_once() {
    for kind in [Type::Acknowledgement, Type::Reset] {
        let mut bench = Bench::new();
        bench.moved();
        let ping = bench.prove_path();
        bench.empty(kind, ping);
        assert_eq!(bench.take_out(), [Output::PathConfirmed], "{kind:?}");
        bench.empty(kind, ping);
        assert_eq!(bench.out, []);
        assert_eq!(bench.endpoint.next_timeout(), None);
    }
}

#[test]
fn a_ping_goes_out_beside_an_unacknowledged_notification_and_beside_another_ping() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    let notification = bench.notified(Type::Confirmable, 1);
    bench.moved();
    let ping = bench.prove_path();
    bench.with(|endpoint, now, context, out| endpoint.ping(now, context, out));
    assert_eq!(bench.out, [], "NSTART holds for that one");
    bench.empty(Type::Acknowledgement, notification.message_id);
    assert_eq!(bench.out.remove(0), Output::Delivered(id, 1));
    let other = bench.sent();
    assert_ne!(other.message_id, ping);
    bench.with(|endpoint, now, context, out| endpoint.cancel_ping(now, context, out));
    bench.empty(Type::Reset, ping);
    assert_eq!(bench.out, [Output::PathConfirmed]);
}

#[test]
fn a_lost_ping_is_repeated_and_given_up_and_another_one_may_follow() {
    let mut bench = Bench::new();
    bench.moved();
    let ping = bench.prove_path();
    assert!(!bench.endpoint.can_prove_path(bench.now));
    for timeout in [2.0, 4.0, 8.0, 16.0] {
        bench.pass(timeout - 0.001);
        assert_eq!(bench.out, []);
        bench.pass(0.001);
        assert_eq!(bench.ping_sent(), ping);
    }
    bench.pass(31.9);
    assert_eq!(
        bench.endpoint.next_timeout(),
        Some(bench.now + Duration::from_millis(100))
    );
    bench.pass(0.1);
    assert_eq!(
        (bench.take_out(), bench.endpoint.next_timeout()),
        (vec![], None)
    );
    assert_eq!(bench.counters.pings_unanswered, 1);
    bench.empty(Type::Reset, ping);
    assert_eq!(bench.out, [], "too late");
    assert_ne!(bench.prove_path(), ping);
}

#[test]
fn a_ping_is_repeated_early_to_a_peer_that_is_awake() {
    let mut bench = Bench::new();
    bench.moved();
    let ping = bench.prove_path();
    let retransmit_early = |bench: &mut Bench| {
        bench.with(|endpoint, now, context, out| endpoint.retransmit_early(now, context, out));
    };
    bench.now += Duration::from_millis(1_999);
    retransmit_early(&mut bench);
    assert_eq!(bench.out, []);
    bench.now += Duration::from_millis(1);
    retransmit_early(&mut bench);
    assert_eq!(bench.ping_sent(), ping);
}

#[test]
fn what_was_sent_to_the_old_address_is_retransmitted_to_a_peer_that_is_awake_at_the_new_one() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    let notification = bench.notified(Type::Confirmable, 1);
    let retransmit_early = |bench: &mut Bench| {
        bench.with(|endpoint, now, context, out| endpoint.retransmit_early(now, context, out));
        bench.take_out().len()
    };
    bench.pass(0.1);
    assert_eq!(retransmit_early(&mut bench), 0);
    for _ in 0..3 {
        bench.moved();
        assert_eq!(retransmit_early(&mut bench), 1);
        assert_eq!(retransmit_early(&mut bench), 0);
    }
    bench.empty(Type::Acknowledgement, notification.message_id);
    assert_eq!(bench.out, [Output::Delivered(id, 1)]);
}

#[test]
fn the_answer_to_a_ping_that_was_sent_before_another_move_proves_nothing() {
    let mut bench = Bench::new();
    bench.moved();
    let before = bench.prove_path();
    bench.moved();
    bench.empty(Type::Reset, before);
    assert_eq!(bench.out, []);
    let since = bench.prove_path();
    bench.empty(Type::Reset, before);
    assert_eq!(bench.out, []);
    bench.empty(Type::Reset, since);
    assert_eq!(bench.out, [Output::PathConfirmed]);
}

/// A peer that forges its source address knows its requests, and the Message IDs that follow those it
/// has seen.
#[test]
fn what_a_peer_can_send_without_having_received_anything_does_not_confirm_the_path() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.moved();
    bench.prove_path();
    for number in 1..5 {
        bench.notify(id, number);
        let notification = bench.notified(Type::Confirmable, number);
        bench.empty(Type::Acknowledgement, notification.message_id);
        assert_eq!(bench.take_out(), [Output::Delivered(id, number)]);
    }
    for message_id in 20..40 {
        let kinds = [Type::Confirmable, Type::NonConfirmable];
        bench.answered(kinds[usize::from(message_id % 2)], message_id);
    }
    assert_eq!(bench.out, []);
}

#[test]
fn after_some_wrong_answers_no_path_is_proven_for_an_hour_wherever_the_peer_moves() {
    let mut bench = Bench::new();
    bench.moved();
    for _ in 0..20 {
        // While no ping is outstanding, nothing is guessed.
        bench.empty(Type::Reset, 40_000);
    }
    bench.prove_path();
    for _ in 0..20 {
        // Late and repeated ones are of other messages.
        bench.empty(Type::Acknowledgement, 1_000);
        bench.empty(Type::Acknowledgement, 1_200);
    }
    bench.moved();
    for wrong in 1..=4 {
        let ping = bench.prove_path();
        bench.empty(Type::Acknowledgement, ping.wrapping_add(1));
        assert_eq!(bench.counters.path_proofs_refused, u64::from(wrong == 4));
        if wrong == 4 {
            bench.empty(Type::Reset, ping);
            assert_eq!(bench.out, [], "it has tried too often");
        }
        bench.moved();
    }
    assert_eq!(bench.endpoint.next_timeout(), None);
    bench.pass(3_599.0);
    bench.moved();
    assert!(!bench.endpoint.can_prove_path(bench.now));
    bench.with(|endpoint, now, context, out| endpoint.prove_path(now, context, out));
    assert_eq!(bench.out, []);
    bench.pass(1.0);
    let ping = bench.prove_path();
    bench.empty(Type::Reset, ping);
    assert_eq!(bench.out, [Output::PathConfirmed]);
}

/// Each of the others has a number that follows the one before.
#[test]
fn message_ids_of_pings_that_prove_a_path_are_random_and_leave_the_others_alone() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    let mut pings = HashSet::new();
    for number in 1..100 {
        bench.moved();
        pings.insert(bench.prove_path());
        bench.notify(id, number);
        let notification = bench.notified(Type::Confirmable, number);
        assert_eq!(u64::from(notification.message_id), 1_000 + number);
        bench.empty(Type::Acknowledgement, notification.message_id);
        bench.out.clear();
    }
    assert!(pings.len() > 95, "{}", pings.len());
    let mut sorted: Vec<_> = pings.into_iter().collect();
    sorted.sort_unstable();
    let steps: HashSet<u16> = sorted.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.len() > 70, "{} of them differ", steps.len());
}
