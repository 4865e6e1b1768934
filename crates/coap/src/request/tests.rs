use super::*;
use crate::block::{RESPONSE_OVERHEAD, largest_szx};

#[test]
fn no_response_names_classes_by_bits() {
    let created = Response::new(Code::CREATED);
    let missing = Response::new(Code::NOT_FOUND);
    let unavailable = Response::new(Code::SERVICE_UNAVAILABLE);
    let suppressed =
        |mask| [&created, &missing, &unavailable].map(|response| response.is_suppressed_by(mask));
    assert_eq!(suppressed(0), [false, false, false]);
    assert_eq!(suppressed(2), [true, false, false]);
    assert_eq!(suppressed(8), [false, true, false]);
    assert_eq!(suppressed(16), [false, false, true]);
    assert_eq!(suppressed(26), [true, true, true]);
    assert!(!Response::new(Code::CONTINUE).is_suppressed_by(26));
}

#[test]
fn a_response_carries_its_options_in_order() {
    let options = |response: Response| -> Vec<_> {
        let message = response.into_message(Type::Acknowledgement, 7, Token::default());
        message.options.iter().map(|(n, v)| (*n, v.len())).collect()
    };
    let response = Response::content(50, Bytes::from_static(b"{}")).with_max_age(0);
    assert_eq!(options(response.clone()), [(12, 1), (14, 0)]);
    let all = Response {
        etag: ETag::new(&[1, 2, 3]),
        observe: Some(0x1_0000),
        block2: Block::new(16, true, 6),
        block1: Block::new(0, false, 0),
        size2: Some(300),
        size1: Some(1),
        ..response
    };
    let expected = [
        (4, 3),
        (6, 3),
        (12, 1),
        (14, 0),
        (23, 2),
        (27, 0),
        (28, 2),
        (60, 1),
    ];
    assert_eq!(options(all), expected);
}

#[test]
fn observe_has_two_values_and_others_mean_nothing() {
    assert_eq!(Observe::from_value(0), Some(Observe::Register));
    assert_eq!(Observe::from_value(1), Some(Observe::Deregister));
    for value in [2, 12, 0x00ff_ffff] {
        assert_eq!(Observe::from_value(value), None);
    }
}

#[test]
fn a_block_fits_its_message_whatever_goes_with_it() {
    for max_message in 16 + RESPONSE_OVERHEAD..1500 {
        let szx = largest_szx(max_message);
        let response = Response {
            etag: ETag::new(&[0xff; 8]),
            observe: Some(0xff_ffff),
            content_format: Some(u16::MAX),
            max_age: Some(u32::MAX),
            block2: Block::new((1 << 20) - 1, true, szx),
            block1: Block::new((1 << 20) - 1, true, 6),
            size2: Some(u32::MAX),
            size1: Some(u32::MAX),
            payload: vec![0; Block::size_of(szx)].into(),
            ..Response::new(Code::CONTENT)
        };
        let token = Token::new(&[0xff; 8]).unwrap();
        let message = response.into_message(Type::Confirmable, 1, token);
        assert!(message.encode(max_message).is_some(), "{max_message}");
    }
}
