//! Acknowledgement of our messages: by an ACK with their Message ID, whatever else is in it.

use super::*;
use crate::Token;

/// A message of the peer: the bytes `first code MMMM rest`.
fn bytes(first: u8, code: u8, message_id: u16, rest: &[u8]) -> Vec<u8> {
    let [high, low] = message_id.to_be_bytes();
    [&[first, code, high, low], rest].concat()
}

#[test]
fn an_acknowledgement_counts_whatever_code_token_or_options_it_has() {
    for (what, first, code, rest) in [
        ("empty", 0x60, 0x00, &[][..]),
        ("a response code", 0x60, 0x45, &[]),
        ("a token of ours", 0x61, 0x00, &[1]),
        ("a response code and a token", 0x62, 0x44, &[9, 9]),
        ("a reserved code", 0x60, 0xe1, &[]),
        ("a payload marker alone", 0x60, 0x45, &[0xff]),
        ("an option cut short", 0x60, 0x45, &[0xb5, b'x']),
        ("a payload", 0x60, 0x45, &[0xff, b'o', b'k']),
    ] {
        let mut bench = Bench::new();
        let (id, _) = bench.registered(Type::Confirmable, 7, 1);
        bench.notify(id, 1);
        let notification = bench.notified(Type::Confirmable, 1);
        bench.receive_bytes(&bytes(first, code, notification.message_id, rest));
        assert_eq!(bench.out, [Output::Delivered(id, 1)], "{what}");
        bench.out.clear();
        bench.pass(100.0);
        assert_eq!(bench.out, [], "{what}");
        assert_eq!(bench.counters.retransmissions, 0, "{what}");
    }
}

#[test]
fn an_acknowledgement_of_another_version_or_message_id_does_not_count() {
    let mut bench = Bench::new();
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.notify(id, 1);
    let notification = bench.notified(Type::Confirmable, 1);
    bench.receive_bytes(&bytes(0xa0, 0x45, notification.message_id, &[]));
    bench.receive_bytes(&bytes(0x60, 0x45, notification.message_id ^ 1, &[]));
    assert_eq!(bench.out, []);
    assert_eq!(bench.endpoint.outgoing(), 1);
}

/// go-coap 3.1.6 and 3.8.1: `6101 MMMM 42 TTTT …`, the ACK of a notification is the GET for its
/// block 1.
#[test]
fn an_acknowledgement_with_a_request_for_the_next_block_acknowledges_and_is_answered() {
    let mut bench = Bench::new();
    bench.max_message = 200;
    let (id, _) = bench.registered(Type::Confirmable, 7, 1);
    bench.now += Duration::from_secs(10);
    let body = Bytes::from(vec![b'x'; 300]);
    let notification = crate::Notification {
        number: 1,
        response: Response::content(50, body),
    };
    bench.with(|endpoint, now, context, out| endpoint.notify(now, id, notification, context, out));
    let first = bench.sent();
    let block2 = |message: &Message| {
        let found = message.options.iter().find(|(number, _)| *number == 23);
        found.unwrap().1.clone()
    };
    assert_eq!(&block2(&first)[..], [0x0b], "block 0, more, 128 bytes");
    let mut get = Message::empty(Type::Acknowledgement, first.message_id);
    get.code = Code::GET;
    get.token = Token::new(&[0xab; 4]).unwrap();
    get.options = vec![(23, Bytes::from_static(&[0x13]))];
    for copy in 0..3 {
        bench.receive_bytes(&get.encode(1152).unwrap());
        if copy == 0 {
            assert_eq!(bench.out.remove(0), Output::Delivered(id, 1));
        }
        let next = bench.sent();
        assert_eq!(next.kind, Type::NonConfirmable);
        assert_eq!(next.token, get.token);
        assert_eq!(&block2(&next)[..], [0x1b], "block 1, more");
        assert_ne!(next.message_id, first.message_id);
        assert_eq!(bench.out, []);
    }
    bench.pass(30.0);
    assert_eq!(bench.out, []);
    assert_eq!(bench.counters.retransmissions, 0);
}

#[test]
fn a_request_in_an_unmatched_acknowledgement_is_ignored() {
    let mut bench = Bench::new();
    bench.receive_bytes(&bytes(0x61, 0x01, 4711, &[1]));
    assert_eq!(bench.out, []);
    assert_eq!(bench.counters.unmatched, 1);
}
