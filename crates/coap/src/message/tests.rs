use super::parse::MAX_OPTIONS;
use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

const REJECT: Undecodable = Undecodable::Reject { message_id: 0x7d34 };
const ACKNOWLEDGES: Undecodable = Undecodable::Acknowledgement { message_id: 0x7d34 };

/// RFC 7252, appendix A, figure 16: a CON GET /temperature and its piggybacked 2.05 "22.3 C".
#[test]
fn the_first_example_of_the_rfc_decodes_and_encodes() {
    let request = bytes("40 01 7d34 bb 74656d7065726174757265");
    let message = Message::decode(&request).unwrap();
    assert_eq!(message.kind, Type::Confirmable);
    assert_eq!(message.code, Code::GET);
    assert_eq!(message.message_id, 0x7d34);
    assert_eq!(message.options, [(11, Bytes::from_static(b"temperature"))]);
    assert_eq!(message.encode(1152).unwrap(), request);

    let response = bytes("60 45 7d34 ff 32322e332043");
    let message = Message::decode(&response).unwrap();
    assert_eq!(message.kind, Type::Acknowledgement);
    assert_eq!(message.code, Code::CONTENT);
    assert_eq!(&message.payload[..], b"22.3 C");
    assert_eq!(message.encode(1152).unwrap(), response);
}

/// RFC 7252, appendix A, figure 17: the same with the token 0x20.
#[test]
fn the_second_example_of_the_rfc_keeps_its_token() {
    let request = bytes("41 01 7d35 20 bb 74656d7065726174757265");
    let message = Message::decode(&request).unwrap();
    assert_eq!(message.token.as_bytes(), [0x20]);
    assert_eq!(message.encode(1152).unwrap(), request);
}

#[test]
fn other_versions_are_ignored_even_when_confirmable() {
    for first in [0x00, 0x80, 0xc0] {
        assert_eq!(
            Message::decode(&[first, 1, 0x7d, 0x34]),
            Err(Undecodable::Ignore)
        );
    }
}

#[test]
fn malformed_confirmable_messages_are_rejected_and_others_ignored() {
    for malformed in [
        "00 7d34 00",                    // 0.00 with a byte behind it
        "01 7d34 b1",                    // an option cut short
        "01 7d34 ff",                    // a payload marker and no payload
        "01 7d34 b1 61 ff",              // the same after an option
        "01 7d34 f0",                    // option delta 15
        "01 7d34 0f",                    // option length 15
        "20 7d34",                       // code class 1
        "c1 7d34",                       // code class 6
        "e1 7d34",                       // code class 7
        "01 7d34 eeffff0000 eeffff0000", // option numbers beyond 65,535
    ] {
        let mut datagram = bytes(&format!("40 {malformed}"));
        assert_eq!(Message::decode(&datagram), Err(REJECT), "{malformed}");
        for first in [0x50, 0x70] {
            datagram[0] = first;
            assert_eq!(
                Message::decode(&datagram),
                Err(Undecodable::Ignore),
                "{malformed}"
            );
        }
        datagram[0] = 0x60;
        assert_eq!(Message::decode(&datagram), Err(ACKNOWLEDGES), "{malformed}");
    }
}

#[test]
fn token_lengths_beyond_eight_are_format_errors() {
    for length in 9..=15 {
        let mut datagram = vec![0x40 | length, 1, 0x7d, 0x34];
        datagram.extend([7; 15]);
        assert_eq!(Message::decode(&datagram), Err(REJECT));
    }
    assert_eq!(
        Message::decode(&bytes("48 01 7d34 010203")),
        Err(REJECT),
        "a token cut short"
    );
}

#[test]
fn resets_are_empty_and_empty_messages_are_never_non_confirmable() {
    for datagram in ["70 01 7d34", "70 45 7d34", "50 00 7d34"] {
        assert_eq!(
            Message::decode(&bytes(datagram)),
            Err(Undecodable::Ignore),
            "{datagram}"
        );
    }
}

/// As go-coap sends it: the request for the next block of a notification.
#[test]
fn an_acknowledgement_may_carry_a_request() {
    let message = Message::decode(&bytes("62 01 7d34 a1a2 d1 0a 16")).unwrap();
    assert_eq!(
        (message.kind, message.code),
        (Type::Acknowledgement, Code::GET)
    );
    assert_eq!(message.options, [(23, Bytes::from_static(&[0x16]))]);
}

#[test]
fn messages_with_too_many_options_are_rejected_after_the_first_65() {
    let with = |options: usize| {
        let mut datagram = bytes("40 01 7d34");
        datagram.extend(std::iter::repeat_n(0, options));
        Message::decode(&datagram).map(|message| message.options.len())
    };
    assert_eq!(with(MAX_OPTIONS), Ok(MAX_OPTIONS));
    assert_eq!(with(MAX_OPTIONS + 1), Err(REJECT));
    // Were the options behind those read as well, this would take minutes.
    let mut datagram = bytes("40 01 7d34");
    datagram.extend(vec![0; 60_000]);
    let datagram = Bytes::from(datagram);
    for _ in 0..100_000 {
        assert_eq!(Message::from_bytes(datagram.clone()), Err(REJECT));
    }
}

#[test]
fn empty_messages_are_four_bytes() {
    for (kind, first) in [
        (Type::Confirmable, 0x40),
        (Type::Acknowledgement, 0x60),
        (Type::Reset, 0x70),
    ] {
        let datagram = [first, 0, 0x7d, 0x34];
        let message = Message::decode(&datagram).unwrap();
        assert_eq!(message, Message::empty(kind, 0x7d34));
        assert_eq!(message.encode(1152).unwrap(), datagram);
    }
    for short in [&[][..], &[0x40], &[0x40, 1, 0]] {
        assert_eq!(Message::decode(short), Err(Undecodable::Ignore));
    }
}

#[test]
fn long_options_survive_both_ways() {
    let mut message = Message::empty(Type::Confirmable, 1);
    message.code = Code::POST;
    for length in [12, 13, 268, 269, 300] {
        message.options.push((11, Bytes::from(vec![b'x'; length])));
    }
    message.options.push((2049, Bytes::new()));
    message.payload = Bytes::from_static(b"{}");
    let datagram = message.encode(2000).unwrap();
    assert_eq!(Message::decode(&datagram).unwrap(), message);
    assert_eq!(
        message.encode(datagram.len() - 1),
        None,
        "one byte over the limit"
    );
}

/// §3.1: the largest length that an option's header can say.
#[test]
fn options_longer_than_their_header_can_say_are_not_encoded() {
    let mut message = Message::empty(Type::Confirmable, 1);
    message.code = Code::POST;
    for (length, fits) in [(65_804, true), (65_805, false)] {
        message.options = vec![(2048, Bytes::from(vec![b'x'; length]))];
        let datagram = message.encode(usize::MAX);
        assert_eq!(datagram.is_some(), fits, "{length}");
        let decoded = datagram.map(|datagram| Message::decode(&datagram).unwrap());
        assert!(decoded.is_none_or(|decoded| decoded == message));
    }
}

#[test]
fn options_are_sorted_by_number_and_equal_ones_stay_in_order() {
    let mut message = Message::empty(Type::Confirmable, 1);
    message.code = Code::GET;
    let option = |number, value: &'static [u8]| (number, Bytes::from_static(value));
    message.options = vec![option(15, b"q"), option(11, b"b"), option(11, b"a")];
    let decoded = Message::decode(&message.encode(100).unwrap()).unwrap();
    let sorted = [option(11, b"b"), option(11, b"a"), option(15, b"q")];
    assert_eq!(decoded.options, sorted);
}

/// A message that obeys the RFC, with numbers and lengths near the ends of what each form of an
/// option's header can say.
fn any_message(random: &mut fastrand::Rng) -> Message {
    let kinds = [
        Type::Confirmable,
        Type::NonConfirmable,
        Type::Acknowledgement,
    ];
    let codes = [Code::GET, Code::POST, Code::CONTENT, Code::NOT_FOUND];
    let some_bytes = |random: &mut fastrand::Rng, length: usize| -> Bytes {
        (0..length).map(|_| random.u8(..)).collect()
    };
    let mut message = Message::empty(kinds[random.usize(0..3)], random.u16(..));
    message.code = codes[random.usize(0..4)];
    let token_length = random.usize(0..=8);
    message.token = Token::new(&some_bytes(random, token_length)).unwrap();
    for _ in 0..random
        .usize(0..=MAX_OPTIONS)
        .min(random.usize(0..=MAX_OPTIONS))
    {
        let near = [0, 12, 13, 14, 268, 269, 270, 300][random.usize(0..8)];
        let length = if random.u8(0..4) == 0 {
            near
        } else {
            random.usize(0..20)
        };
        let number = match random.u8(0..4) {
            0 => u16::MAX - u16::from(random.u8(..)),
            1 => near.try_into().unwrap(),
            2 => random.u16(..),
            _ => u16::from(random.u8(0..64)),
        };
        message.options.push((number, some_bytes(random, length)));
    }
    message.options.sort_by_key(|(number, _)| *number);
    let payload_length = random.usize(0..100) * random.usize(0..2);
    message.payload = some_bytes(random, payload_length);
    message
}

#[test]
fn an_encoded_message_decodes_to_the_same_message() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let message = any_message(&mut random);
        let datagram = message.encode(usize::MAX).unwrap();
        assert_eq!(Message::decode(&datagram).as_ref(), Ok(&message));
        assert_eq!(message.encode(datagram.len()), Some(datagram.clone()));
        assert_eq!(message.encode(datagram.len() - 1), None);
        assert_eq!(datagram.capacity(), datagram.len(), "no byte too many");
    }
}

/// CoAP has one encoding of each message: what decodes encodes to the same bytes again.
#[test]
fn any_bytes_are_refused_or_the_decoded_message_encodes_to_them() {
    let mut random = fastrand::Rng::with_seed(4);
    let (mut decoded, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let rest = (0..random.usize(0..24)).map(|_| match random.u8(0..6) {
            0 => 0xff,
            1 => random.u8(..),
            _ => random.u8(0..0xf0) & 0x3f,
        });
        let mut datagram = bytes("40 01 7d34");
        datagram.extend(rest.collect::<Vec<_>>());
        match Message::decode(&datagram) {
            Ok(message) => {
                decoded += 1;
                assert_eq!(message.encode(usize::MAX), Some(datagram));
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error, REJECT);
            }
        }
    }
    assert!(decoded > 1000 && refused > 1000, "{decoded}, {refused}");
}

#[test]
fn a_header_tells_requests_from_everything_else() {
    let is_request = |hex| Message::is_request(&bytes(hex));
    assert!(is_request("40 01 7d34") && is_request("5f 1f 7d34"));
    // An empty message, a response, another version, and what is no message.
    for other in ["40 00 7d34", "60 45 7d34", "80 01 7d34", "40", ""] {
        assert!(!is_request(other), "{other}");
    }
}
