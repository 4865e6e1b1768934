use super::*;

#[test]
fn every_open_poll_of_the_device_gets_a_change() {
    let mut bench = Bench::new();
    let polls = [bench.open(ATTRIBUTES, 0), bench.open(ATTRIBUTES, 0)];
    bench.open(RPC, 0);
    let other = bench
        .downlink
        .open("other", ATTRIBUTES, 0, bench.now_ms)
        .unwrap();
    bench.change(r#"{"a":1}"#);
    let told = polls.map(|poll| (poll, message(r#"{"a":1}"#)));
    assert_eq!(bench.ended(), told);
    bench.downlink.abandon(other);
}

#[test]
fn a_change_while_nobody_polls_is_lost() {
    let mut bench = Bench::new();
    bench.change(r#"{"a":1}"#);
    bench.open(ATTRIBUTES, 1000);
    bench.pass(1000);
    bench.change(r#"{"a":2}"#);
    let poll = bench.open(ATTRIBUTES, 1000);
    bench.ended();
    bench.pass(1000);
    assert_eq!(bench.ended(), [(poll, Ended::Elapsed)]);
}

#[test]
fn of_two_changes_in_a_row_the_second_is_lost() {
    let mut bench = Bench::new();
    let poll = bench.open(ATTRIBUTES, 0);
    let deleted = Change::Deleted(vec!["fw_url".into(), "a\"b".into()]);
    bench.downlink.attributes_changed(METER, deleted);
    bench.change(r#"{"fw_title":"x"}"#);
    let told = message(r#"{"deleted":["fw_url","a\"b"]}"#);
    assert_eq!(bench.ended(), [(poll, told)]);
}

#[test]
fn a_change_misses_a_subscription_that_is_still_on_its_way() {
    let mut bench = Bench::with(Delays::default());
    let poll = bench.open(ATTRIBUTES, 1000);
    bench.pass(4);
    bench.change(r#"{"a":1}"#);
    bench.pass(1);
    assert_eq!(bench.ended(), []);
    bench.change(r#"{"a":2}"#);
    assert_eq!(bench.ended(), [(poll, message(r#"{"a":2}"#))]);
}
