//! Every option against the RFC that defines it: critical or elective, repeatable or not, how long.

use super::*;

/// The RFCs' rules for each option of a request: number, shortest, longest, repeatable.
/// RFC 7252 table 4, RFC 7641 §2, RFC 7959 §2.1 and §4, RFC 7967 §2, RFC 9175 §2.2 and §3.2.
#[rustfmt::skip]
const RULES: [(u16, usize, usize, bool); 20] = [
    (1, 0, 8, true),      // If-Match
    (3, 1, 255, false),   // Uri-Host
    (4, 1, 8, true),      // ETag
    (5, 0, 0, false),     // If-None-Match
    (6, 0, 3, false),     // Observe
    (7, 0, 2, false),     // Uri-Port
    (11, 0, 255, true),   // Uri-Path
    (12, 0, 2, false),    // Content-Format
    (14, 0, 4, false),    // Max-Age
    (15, 0, 255, true),   // Uri-Query
    (17, 0, 2, false),    // Accept
    (23, 0, 3, false),    // Block2
    (27, 0, 3, false),    // Block1
    (28, 0, 4, false),    // Size2
    (35, 1, 1034, false), // Proxy-Uri
    (39, 1, 255, false),  // Proxy-Scheme
    (60, 0, 4, false),    // Size1
    (252, 1, 40, false),  // Echo
    (258, 0, 1, false),   // No-Response
    (292, 0, 8, true),    // Request-Tag
];

fn read_options(options: &[(u16, usize)]) -> Result<Request, BadOption> {
    let mut message = Message::empty(Type::Confirmable, 1);
    message.code = Code::GET;
    let value = |length| Bytes::from(vec![b'1'; length]);
    message.options = options
        .iter()
        .map(|(n, length)| (*n, value(*length)))
        .collect();
    Received::read(message).map(|received| received.request)
}

fn is_critical(option: u16) -> bool {
    option % 2 == 1
}

/// Asserts that an option is treated as unrecognised (RFC 7252 §5.4.1).
fn assert_unrecognised(option: u16, options: &[(u16, usize)]) {
    let outcome = read_options(options);
    if is_critical(option) {
        assert_eq!(outcome, Err(BadOption::Critical(option)), "{options:?}");
    } else {
        assert!(outcome.is_ok(), "{options:?}: {outcome:?}");
    }
}

fn is_proxy(option: u16) -> bool {
    matches!(option, PROXY_URI | PROXY_SCHEME)
}

#[test]
fn options_of_a_permitted_length_are_recognised() {
    for (option, shortest, longest, _) in RULES {
        for length in [shortest, longest] {
            let outcome = read_options(&[(option, length)]);
            let expected = is_proxy(option).then_some(BadOption::Proxy);
            assert_eq!(outcome.err(), expected, "option {option}, {length} bytes");
        }
    }
}

#[test]
fn options_of_another_length_are_unrecognised() {
    for (option, shortest, longest, _) in RULES {
        if let Some(shorter) = shortest.checked_sub(1) {
            assert_unrecognised(option, &[(option, shorter)]);
        }
        assert_unrecognised(option, &[(option, longest + 1)]);
    }
}

#[test]
fn a_second_option_is_unrecognised_unless_it_is_repeatable() {
    for (option, _, longest, repeatable) in RULES {
        let twice = [(option, longest), (option, longest)];
        if repeatable {
            assert!(read_options(&twice).is_ok(), "option {option}");
        } else {
            assert_unrecognised(option, &twice);
        }
    }
}

#[test]
fn every_other_number_is_refused_if_critical_and_ignored_if_elective() {
    for option in 0..=u16::MAX {
        if RULES.iter().all(|(known, ..)| *known != option) {
            assert_unrecognised(option, &[(option, 1)]);
        }
    }
}

#[test]
fn an_unrecognised_elective_option_is_ignored() {
    let plain = read_options(&[]).unwrap();
    for option in [OBSERVE, CONTENT_FORMAT, NO_RESPONSE] {
        assert_eq!(
            read_options(&[(option, 5)]).unwrap(),
            plain,
            "option {option}"
        );
    }
    for option in [65_000, ECHO, REQUEST_TAG, MAX_AGE, SIZE1] {
        assert_eq!(
            read_options(&[(option, 1)]).unwrap(),
            plain,
            "option {option}"
        );
    }
}
