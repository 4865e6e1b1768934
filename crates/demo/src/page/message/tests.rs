use super::*;
use bytes::Bytes;
use coap::option::encode_unsigned;
use coap::{Code, Token};

fn message(code: Code, options: &[(u16, &[u8])], payload: &'static [u8]) -> Message {
    let options = options.iter();
    Message {
        code,
        token: Token::new(&[0xa1, 0x02]).unwrap(),
        options: options
            .map(|(n, v)| (*n, Bytes::copy_from_slice(v)))
            .collect(),
        payload: Bytes::from_static(payload),
        ..Message::empty(Type::Confirmable, 0x7d34)
    }
}

fn part(message: &Message, name: &str) -> String {
    let parts = parts(message);
    let part = parts.iter().find(|part| part[0] == name);
    part.unwrap_or_else(|| panic!("{name}: {parts:?}"))[1]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_request_is_summarised_in_one_line_and_each_part_has_a_name_and_an_rfc_section() {
    let request = message(
        Code::POST,
        &[
            (number::URI_PATH, b"api"),
            (number::URI_PATH, b"v1"),
            (number::URI_PATH, b"telemetry"),
            (number::CONTENT_FORMAT, &[50]),
            (number::URI_QUERY, b"a=b"),
        ],
        b"{\"t\":1}",
    );
    assert_eq!(summary(&request), "api/v1/telemetry?a=b {\"t\":1}");
    assert_eq!(options(&request), "Content-Format 50 (application/json)");
    for (name, value) in [
        ("Type", "CON"),
        ("Code", "0.02 POST"),
        ("Message ID", "32052 (0x7d34)"),
        ("Token", "0xa102"),
        ("Payload", "{\"t\":1} (7 bytes)"),
    ] {
        assert_eq!(part(&request, name), value);
    }
    for part in parts(&request) {
        assert!(part[3].as_str().unwrap().starts_with("RFC "), "{part}");
    }
}

#[test]
fn block_observe_and_unknown_options_are_decoded() {
    let response = message(
        Code::CONTENT,
        &[
            (number::OBSERVE, &[1, 2]),
            (number::BLOCK2, &encode_unsigned(5 << 4 | 0b1000 | 4)),
            (65_001, &[0xab]),
        ],
        b"",
    );
    assert_eq!(part(&response, "Observe"), "258");
    assert_eq!(part(&response, "Block2"), "5/1/256");
    assert_eq!(part(&response, "Option 65001"), "0xab");
    let reserved = message(Code::GET, &[(number::BLOCK1, &[7])], b"");
    assert_eq!(part(&reserved, "Block1"), "7, with the reserved size");
}

#[test]
fn a_payload_is_shown_as_text_if_it_is_text_and_is_cut_if_it_is_long() {
    assert_eq!(payload(b"{}"), "{}");
    assert_eq!(payload(&[0, 1, 0xff]), "0x0001ff");
    let long = "ä".repeat(10_000);
    assert!(payload(&long.as_bytes()[1..]).starts_with("0x"));
    let shown = payload(long.as_bytes());
    assert!(shown.ends_with("ä…") && shown.len() < 600, "{shown}");
    assert!(payload(&[0xff; 10_000]).len() < 200);
    assert!(
        payload(
            &[b'x'; 511]
                .iter()
                .chain("ä…".as_bytes())
                .copied()
                .collect::<Vec<u8>>()
        )
        .ends_with("x…")
    );
}
