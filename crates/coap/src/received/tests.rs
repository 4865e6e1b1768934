use super::*;
use crate::Type;

mod rules;

fn request(options: &[(u16, &[u8])]) -> Result<Request, BadOption> {
    request_of(Code::GET, options)
}

fn request_of(code: Code, options: &[(u16, &[u8])]) -> Result<Request, BadOption> {
    let mut message = Message::empty(Type::Confirmable, 1);
    message.code = code;
    message.options = options
        .iter()
        .map(|(n, v)| (*n, Bytes::copy_from_slice(v)))
        .collect();
    Received::read(message).map(|received| received.request)
}

#[test]
fn path_query_and_numbers_are_read() {
    let request = request(&[
        (URI_HOST, b"gateway"),
        (OBSERVE, b""),
        (URI_PORT, &[0x16, 0x34]),
        (URI_PATH, b"api"),
        (URI_PATH, b"v1"),
        (CONTENT_FORMAT, &[50]),
        (URI_QUERY, b"clientKeys=a"),
        (ACCEPT, &[0, 50]),
        (NO_RESPONSE, &[26]),
    ])
    .unwrap();
    assert_eq!(request.path, ["api", "v1"]);
    assert_eq!(request.query, ["clientKeys=a"]);
    assert_eq!(request.observe, Some(Observe::Register));
    assert_eq!(request.content_format, Some(50));
    assert_eq!(request.accept, Some(50));
    assert_eq!(request.no_response, 26);
}

#[test]
fn unknown_critical_options_are_refused_and_elective_ones_ignored() {
    assert_eq!(request(&[(9, b"x")]), Err(BadOption::Critical(9)));
    assert_eq!(request(&[(65001, b"")]), Err(BadOption::Critical(65001)));
    assert!(request(&[(65000, b"anything")]).is_ok());
    assert!(request(&[(ECHO, b"echo"), (REQUEST_TAG, b"")]).is_ok());
}

#[test]
fn a_bad_length_makes_an_option_unrecognised() {
    assert_eq!(
        request(&[(ACCEPT, &[0, 0, 50])]),
        Err(BadOption::Critical(ACCEPT))
    );
    assert_eq!(
        request(&[(URI_PATH, &[b'x'; 256])]),
        Err(BadOption::Critical(URI_PATH))
    );
    let observe = request(&[(OBSERVE, &[0, 0, 0, 0])]).unwrap();
    assert_eq!(observe.observe, None, "elective: ignored");
}

#[test]
fn the_second_value_of_a_non_repeatable_option_is_unrecognised() {
    let twice = [(ACCEPT, &[50][..]), (ACCEPT, &[0][..])];
    assert_eq!(request(&twice), Err(BadOption::Critical(ACCEPT)));
    let content_format = request(&[(CONTENT_FORMAT, &[50]), (CONTENT_FORMAT, &[60])]).unwrap();
    assert_eq!(content_format.content_format, Some(50), "the first counts");
}

#[test]
fn proxying_and_conditions_are_recognised() {
    assert_eq!(request(&[(PROXY_URI, b"coap://x/")]), Err(BadOption::Proxy));
    assert_eq!(request(&[(PROXY_SCHEME, b"coap")]), Err(BadOption::Proxy));
    assert!(request(&[(IF_MATCH, b"x")]).unwrap().conditional);
    assert!(!request(&[(IF_MATCH, b"")]).unwrap().conditional);
    assert!(request(&[(IF_NONE_MATCH, b"")]).unwrap().conditional);
}

/// RFC 7252 §5.10.8.1: one If-Match that matches is enough.
#[test]
fn an_empty_if_match_fulfils_the_condition_beside_others() {
    for values in [[&b""[..], b"x"], [b"x", b""]] {
        let both = values.map(|value| (IF_MATCH, value));
        assert!(!request(&both).unwrap().conditional);
        let with_none_match = [both[0], both[1], (IF_NONE_MATCH, b"")];
        assert!(request(&with_none_match).unwrap().conditional);
    }
    let two = [(IF_MATCH, &b"x"[..]), (IF_MATCH, b"y")];
    assert!(request(&two).unwrap().conditional);
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    assert_eq!(
        request(&[(URI_PATH, &[0xff])]),
        Err(BadOption::NotUtf8(URI_PATH))
    );
}

#[test]
fn observe_is_ignored_in_all_methods_but_get() {
    for value in [&b""[..], &[1]] {
        let observe = |code| request_of(code, &[(OBSERVE, value)]).unwrap().observe;
        assert!(observe(Code::GET).is_some());
        // POST, PUT, DELETE, FETCH and iPATCH.
        for code in [2, 3, 4, 5, 7] {
            assert_eq!(observe(Code(code)), None, "0.{code:02}");
        }
    }
}

#[test]
fn a_critical_option_is_refused_whatever_else_is_wrong() {
    let milder: [(u16, &[u8]); 4] = [
        (URI_PATH, &[0xff]),
        (URI_QUERY, &[0xff]),
        (BLOCK2, &[7]),
        (PROXY_SCHEME, b"coap"),
    ];
    for (option, value) in milder {
        let critical = BadOption::Critical(9001);
        assert_eq!(request(&[(option, value), (9001, b"")]), Err(critical));
        let critical = BadOption::Critical(9);
        assert_eq!(request(&[(9, b""), (option, value)]), Err(critical));
    }
    let too_long = [(BLOCK2, &[7][..]), (BLOCK1, &[0; 4])];
    assert_eq!(request(&too_long), Err(BadOption::Critical(BLOCK1)));
    // Of the others the first.
    let two = [(URI_PATH, &[0xff][..]), (PROXY_SCHEME, b"coap")];
    assert_eq!(request(&two), Err(BadOption::NotUtf8(URI_PATH)));
}

#[test]
fn unknown_elective_cache_keys_distinguish_bodies() {
    let bodies = Bodies::new(0, 1);
    let keys = |options: &[(u16, &[u8])]| {
        let mut message = Message::empty(Type::Confirmable, 1);
        message.code = Code::POST;
        let option = |(n, v): &(u16, &[u8])| (*n, Bytes::copy_from_slice(v));
        message.options = options.iter().map(option).collect();
        let received = Received::read(message).unwrap();
        [received.upload_key(&bodies), received.download_key(&bodies)]
    };
    let plain = keys(&[]);
    for (option, value) in [
        (65_000, &b"a"[..]),
        (65_000, b""),
        (2_048, b""),
        (2_042, b"a"),
    ] {
        let [upload, download] = keys(&[(option, value)]);
        assert!(upload != plain[0] && download != plain[1], "{option}");
    }
    assert_ne!(keys(&[(65_000, b"a")]), keys(&[(65_000, b"b")]));
    assert_ne!(
        keys(&[(65_000, b"a")]),
        keys(&[(65_000, b"a"), (65_000, b"a")])
    );
    // NoCacheKey (RFC 7252 §5.4.6), and those that are known.
    for option in [2_044, URI_HOST, URI_PORT, ETAG, ECHO, SIZE1] {
        assert_eq!(keys(&[(option, b"a")]), plain, "{option}");
    }
}
