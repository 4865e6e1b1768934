use super::*;
use crate::downlink::attribute_json::{flat, read_answer};

fn values(json: &str) -> Values {
    serde_json::from_str(json).unwrap()
}

fn received(json: &str) -> SharedAttributes {
    let mut shared = SharedAttributes::default();
    shared.reset(values(json));
    shared
}

fn update(shared: &mut SharedAttributes, body: &str) {
    assert!(shared.update(Update::read(body.as_bytes()).unwrap(), usize::MAX));
}

fn next(shared: &SharedAttributes) -> Option<(u64, String)> {
    let (number, body) = shared.compose(1000)?.unwrap();
    Some((number, String::from_utf8(body.to_vec()).unwrap()))
}

#[test]
fn a_change_is_notified_as_it_was_written_until_it_is_confirmed() {
    let mut shared = received(r#"{"a":1}"#);
    assert_eq!(next(&shared), None);
    update(
        &mut shared,
        r#"{"b":12345678901234567890.10, "c":{"x": [1]}}"#,
    );
    let (number, body) = next(&shared).unwrap();
    assert_eq!(body, r#"{"b":12345678901234567890.10,"c":{"x": [1]}}"#);
    shared.confirm_up_to(number);
    assert_eq!(next(&shared), None);
}

#[test]
fn a_known_value_with_other_whitespace_is_no_change() {
    let mut shared = received(r#"{"a":{"x":1,"y":"a \"b\\\\"},"b":2}"#);
    update(
        &mut shared,
        "{\"a\":{ \"x\" :1,\n\t\"y\": \"a \\\"b\\\\\\\\\" }}",
    );
    update(&mut shared, r#"{"b": 2}"#);
    assert_eq!(next(&shared), None);
}

#[test]
fn different_numbers_with_the_same_double_differ() {
    let mut shared = received(r#"{"iccid":89490200001010003456}"#);
    for value in [
        "89490200001010003457",
        "89490200001010013457",
        "0.1000000000000000055",
        "0.1",
        "1",
        "1.0",
        "1e400",
        "1e401",
        r#"{"n":[9007199254740993]}"#,
        r#"{"n":[9007199254740992]}"#,
        r#""a b""#,
        r#""ab""#,
        r#""\" 1""#,
        r#""\"1""#,
    ] {
        let (before, _) = (shared.changes(), shared.confirm_up_to(u64::MAX));
        update(&mut shared, &format!(r#"{{"iccid":{value}}}"#));
        assert_eq!(shared.changes(), before + 1, "{value}");
        assert_eq!(next(&shared).unwrap().1, format!(r#"{{"iccid":{value}}}"#));
        shared.read_begins();
        let read = values(&format!(r#"{{"iccid":{value}}}"#));
        assert_eq!(shared.read_ended(read), 0, "{value} as a read has it");
    }
}

#[test]
fn unconfirmed_deletions_and_changes_merge_into_each_keys_last_value() {
    let mut shared = received(r#"{"a":1,"b":2,"c":3}"#);
    update(&mut shared, r#"{"a":7}"#);
    let (first, _) = next(&shared).unwrap();
    update(&mut shared, r#"{"deleted":["b"]}"#);
    update(&mut shared, r#"{"a":8}"#);
    update(&mut shared, r#"{"deleted":["c"]}"#);
    update(&mut shared, r#"{"c":4}"#);
    let (second, body) = next(&shared).unwrap();
    assert_eq!(body, r#"{"a":8,"c":4,"deleted":["b"]}"#);
    // The older notification is delivered: it confirms nothing that came after it.
    shared.confirm_up_to(first);
    assert_eq!(next(&shared).unwrap().1, r#"{"a":8,"c":4,"deleted":["b"]}"#);
    shared.confirm_up_to(second);
    assert_eq!(next(&shared), None);
}

#[test]
fn a_value_that_changes_back_is_notified_because_the_device_may_have_the_other() {
    let mut shared = received(r#"{"a":1}"#);
    update(&mut shared, r#"{"a":2}"#);
    update(&mut shared, r#"{"a":1}"#);
    assert_eq!(next(&shared).unwrap().1, r#"{"a":1}"#);
    update(&mut shared, r#"{"b":1}"#);
    update(&mut shared, r#"{"deleted":["b"]}"#);
    assert_eq!(next(&shared).unwrap().1, r#"{"a":1,"deleted":["b"]}"#);
}

#[test]
fn a_read_finds_what_polls_missed() {
    let mut shared = received(r#"{"a":1,"b":2}"#);
    shared.read_begins();
    assert_eq!(shared.read_ended(values(r#"{"b":3,"c":4}"#)), 3);
    assert_eq!(next(&shared).unwrap().1, r#"{"b":3,"c":4,"deleted":["a"]}"#);
    shared.read_begins();
    assert_eq!(shared.read_ended(values(r#"{"b":3,"c":4}"#)), 0);
}

#[test]
fn a_read_that_is_older_than_an_update_does_not_revert_it() {
    let mut shared = received(r#"{"a":1,"b":1,"c":1}"#);
    shared.read_begins();
    update(&mut shared, r#"{"a":2}"#);
    update(&mut shared, r#"{"deleted":["b"]}"#);
    shared.read_ended(values(r#"{"a":1,"b":1,"c":9}"#));
    assert_eq!(next(&shared).unwrap().1, r#"{"a":2,"c":9,"deleted":["b"]}"#);
}

#[test]
fn what_does_not_fit_one_message_is_notified_in_several() {
    let mut shared = received("{}");
    let whole: Values = (0..40)
        .map(|n| {
            let value = RawValue::from_string(format!("\"{}\"", "v".repeat(20))).unwrap();
            (format!("key-{n}").into(), value)
        })
        .collect();
    shared.update(Update::Set(whole.clone()), usize::MAX);
    let mut notified = Values::new();
    let mut messages = 0;
    while let Some(composed) = shared.compose(200) {
        let (number, body) = composed.unwrap();
        assert!(body.len() <= 200, "{}", body.len());
        notified.extend(serde_json::from_slice::<Values>(&body).unwrap());
        shared.confirm_up_to(number);
        messages += 1;
    }
    assert_eq!(flat(&notified), flat(&whole));
    assert!((6..=9).contains(&messages), "{messages}");
}

#[test]
fn many_deletions_keep_to_the_limit_too() {
    let keys: Values = (0..60)
        .map(|n| {
            (
                format!("k\"{n}").into(),
                RawValue::from_string("1".into()).unwrap(),
            )
        })
        .collect();
    let mut shared = SharedAttributes::default();
    shared.reset(keys);
    shared.read_begins();
    shared.read_ended(Values::new());
    let mut deleted = 0;
    while let Some(composed) = shared.compose(64) {
        let (number, body) = composed.unwrap();
        assert!(body.len() <= 64);
        match Update::read(&body).unwrap() {
            Update::Deleted(keys) => deleted += keys.len(),
            Update::Set(_) => panic!("{body:?}"),
        }
        shared.confirm_up_to(number);
    }
    assert_eq!(deleted, 60);
}

#[test]
fn a_change_too_large_for_a_message_can_be_skipped() {
    let mut shared = received("{}");
    update(&mut shared, &format!(r#"{{"big":"{}"}}"#, "x".repeat(500)));
    update(&mut shared, r#"{"small":1}"#);
    let Some(Err(change)) = shared.compose(100) else {
        panic!("it fits?");
    };
    shared.skip(change);
    let (_, body) = shared.compose(100).unwrap().unwrap();
    assert_eq!(&body[..], br#"{"small":1}"#);
}

#[test]
fn unconfirming_all_keys_notifies_all() {
    let mut shared = received(r#"{"a":1,"b":2}"#);
    shared.unconfirm_all();
    assert_eq!(next(&shared).unwrap().1, r#"{"a":1,"b":2}"#);
}

#[test]
fn only_objects_are_updates_and_answers() {
    for body in [
        "",
        "[]",
        "7",
        "\"a\"",
        "null",
        "{",
        "{}",
        "nonsense",
        r#"{"a":}"#,
        r#"{"":1}"#,
        "{a:1}",
        "\u{0}",
        r#"{"a":1} trailing"#,
    ] {
        assert!(Update::read(body.as_bytes()).is_err(), "{body}");
    }
    assert!(Update::read(&[0xff, 0xfe]).is_err());
    for body in [
        "",
        "[]",
        "null",
        "[{}]",
        r#"{"shared":7}"#,
        r#"{"shared":[]}"#,
        "{",
    ] {
        assert!(read_answer(body.as_bytes()).is_err(), "{body}");
    }
    assert!(read_answer(b" {}").unwrap().is_empty());
    assert!(read_answer(br#"{"client":{"a":1}}"#).unwrap().is_empty());
    assert_eq!(
        read_answer(br#"{"client":{},"shared":{"a":1}}"#)
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn an_attribute_named_deleted_is_an_attribute_unless_it_looks_like_a_deletion() {
    for body in [
        r#"{"deleted":7}"#,
        r#"{"deleted":[1]}"#,
        r#"{"deleted":["a"],"b":1}"#,
    ] {
        let read = Update::read(body.as_bytes()).ok();
        assert!(matches!(read, Some(Update::Set(_))), "{body}");
    }
    let read = Update::read(br#"{"deleted":["a","b"]}"#).ok();
    assert!(matches!(read, Some(Update::Deleted(keys)) if keys.len() == 2));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut shared = received("{}");
    let mut taken = 0;
    for n in 0..100 {
        let body = format!(r#"{{"k{n}":"{}"}}"#, "x".repeat(10_000));
        taken += usize::from(shared.update(Update::read(body.as_bytes()).unwrap(), usize::MAX));
    }
    assert_eq!(taken, 26, "256 KiB and no more");
}

#[test]
fn the_cost_is_right_after_every_change_and_bounded() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut shared = received(r#"{"a":1}"#);
    let room = 20_000;
    let mut refused = 0;
    for round in 0..3000 {
        let key = format!("key-{}", random.u8(..80));
        match random.u8(..7) {
            0 => shared.confirm_up_to(shared.changes().saturating_sub(random.u64(..9))),
            1 => shared.skip(shared.changes()),
            2 => update(&mut shared, &format!(r#"{{"deleted":["{key}"]}}"#)),
            3 if round % 50 == 0 => shared.unconfirm_all(),
            4 if round % 20 == 0 => {
                shared.read_begins();
                shared.read_ended(values(r#"{"a":1,"key-7":2}"#));
            }
            _ => {
                let value = "v".repeat(random.usize(..400));
                let body = format!(r#"{{"{key}":"{value}"}}"#);
                let update = Update::read(body.as_bytes()).unwrap();
                let left = room - shared.bytes();
                refused += usize::from(!shared.update(update, left));
            }
        }
        let deleted = shared.unconfirmed.keys();
        let deleted = deleted.filter(|key| !shared.values.contains_key(*key));
        let deleted: usize = deleted.map(|key| unconfirmed_cost(key)).sum();
        assert_eq!(shared.bytes(), cost_of(&shared.values) + deleted);
        assert!(shared.bytes() <= room);
    }
    assert!(refused > 100, "{refused}");
}
