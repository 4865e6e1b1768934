use super::*;

#[test]
fn every_open_poll_of_the_device_gets_a_change() {
    let mut harness = TestDownlink::new();
    let polls = [harness.open(ATTRIBUTES, 0), harness.open(ATTRIBUTES, 0)];
    harness.open(RPC, 0);
    let other = harness
        .downlink
        .open("other", ATTRIBUTES, 0, harness.now_ms)
        .unwrap();
    harness.change(r#"{"a":1}"#);
    let expected = polls.map(|poll| (poll, message(r#"{"a":1}"#)));
    assert_eq!(harness.poll_ends(), expected);
    harness.downlink.abandon(other);
}

#[test]
fn a_change_without_an_open_poll_is_lost() {
    let mut harness = TestDownlink::new();
    harness.change(r#"{"a":1}"#);
    harness.open(ATTRIBUTES, 1000);
    harness.pass(1000);
    harness.change(r#"{"a":2}"#);
    let poll = harness.open(ATTRIBUTES, 1000);
    harness.poll_ends();
    harness.pass(1000);
    assert_eq!(harness.poll_ends(), [(poll, PollEnd::Elapsed)]);
}

#[test]
fn of_two_changes_in_a_row_the_second_is_lost() {
    let mut harness = TestDownlink::new();
    let poll = harness.open(ATTRIBUTES, 0);
    let deleted = Change::Deleted(vec!["fw_url".into(), "a\"b".into()]);
    harness.downlink.attributes_changed(METER, deleted);
    harness.change(r#"{"fw_title":"x"}"#);
    let expected = message(r#"{"deleted":["fw_url","a\"b"]}"#);
    assert_eq!(harness.poll_ends(), [(poll, expected)]);
}

#[test]
fn a_change_misses_a_subscription_that_is_still_on_its_way() {
    let mut harness = TestDownlink::with(Delays::default());
    let poll = harness.open(ATTRIBUTES, 1000);
    harness.pass(4);
    harness.change(r#"{"a":1}"#);
    harness.pass(1);
    assert_eq!(harness.poll_ends(), []);
    harness.change(r#"{"a":2}"#);
    assert_eq!(harness.poll_ends(), [(poll, message(r#"{"a":2}"#))]);
}
