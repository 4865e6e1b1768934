//! What shows that the peer receives what is sent to its new address.

use super::*;

const CONFIRMED: &[Output] = &[Output::PathConfirmed];

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
}

#[test]
fn an_acknowledgement_or_reset_of_what_was_sent_since_confirms_the_path() {
    for kind in [Type::Acknowledgement, Type::Reset] {
        let mut bench = Bench::new();
        let (id, _) = bench.registered(Type::Confirmable, 7, 1);
        bench.endpoint.path_changed();
        bench.notify(id, 1);
        let notification = bench.notified(Type::Confirmable, 1);
        bench.empty(kind, notification.message_id);
        assert!(bench.out.contains(&Output::PathConfirmed), "{kind:?}");
        bench.out.clear();
        bench.empty(kind, notification.message_id);
        assert_eq!(bench.out, [], "once");
    }
}

#[test]
fn an_acknowledgement_of_what_was_sent_before_does_not_confirm_the_path() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    let before = bench.notified(Type::Confirmable, 1);
    bench.endpoint.path_changed();
    bench.empty(Type::Acknowledgement, before.message_id);
    assert_eq!(bench.out, [Output::Delivered(id, 1)]);
    bench.out.clear();
    // Of a message that was never sent, and of the next one before it is sent.
    for ahead in [1, 2, 40_000] {
        bench.empty(Type::Acknowledgement, before.message_id.wrapping_add(ahead));
    }
    assert_eq!(bench.out, []);
    bench.notify(id, 2);
    let since = bench.notified(Type::Confirmable, 2);
    bench.endpoint.path_changed();
    bench.empty(Type::Acknowledgement, since.message_id);
    assert_eq!(
        bench.out,
        [Output::Delivered(id, 2)],
        "it has changed again"
    );
}

#[test]
fn a_new_request_after_a_piggybacked_response_confirms_the_path() {
    let mut bench = Bench::new();
    bench.answered(Type::Confirmable, 1);
    bench.endpoint.path_changed();
    bench.answered(Type::Confirmable, 2);
    bench.post(Type::Confirmable, 3);
    assert_eq!(bench.out[..1], *CONFIRMED);
    bench.out.remove(0);
    bench.request();
    bench.answered(Type::Confirmable, 4);
    assert_eq!(bench.out, [], "once");
}

/// Whoever sends a device's records on from another address receives the responses; the device
/// repeats its request, and sends the next one when it has given up.
#[test]
fn a_new_request_after_a_repeated_one_does_not_confirm_the_path() {
    let mut bench = Bench::new();
    bench.endpoint.path_changed();
    for message_id in 1..5 {
        bench.answered(Type::Confirmable, message_id);
        for _ in 0..4 {
            bench.post(Type::Confirmable, message_id);
            bench.sent();
        }
    }
    assert_eq!(bench.out, []);
    bench.answered(Type::Confirmable, 9);
    bench.post(Type::Confirmable, 10);
    assert_eq!(bench.out[..1], *CONFIRMED);
}

/// These are sent whether or not there was a response.
#[test]
fn non_confirmable_and_parallel_requests_do_not_confirm_the_path() {
    let mut bench = Bench::new();
    bench.endpoint.path_changed();
    for message_id in 1..5 {
        bench.answered(Type::NonConfirmable, message_id);
    }
    for message_id in 5..9 {
        bench.post(Type::Confirmable, message_id);
        bench.request();
    }
    bench.answered(Type::Confirmable, 9);
    bench.answered(Type::NonConfirmable, 10);
    assert_eq!(bench.out, []);
}
