use super::*;

fn silence() -> (Silence, Traffic) {
    (Silence::default(), Traffic::default())
}

#[test]
fn silence_is_tested_by_a_ping_and_then_ends_the_connection() {
    let (mut silence, traffic) = silence();
    let _exchange = traffic.exchange();
    assert_eq!(silence.tick(&traffic), Step::Ping);
    assert_eq!(silence.tick(&traffic), Step::Close);
}

#[test]
fn whatever_is_received_answers_the_ping() {
    let (mut silence, traffic) = silence();
    let _exchange = traffic.exchange();
    assert_eq!(silence.tick(&traffic), Step::Ping);
    traffic.count_read(1);
    assert_eq!(silence.tick(&traffic), Step::Wait);
    assert_eq!(silence.tick(&traffic), Step::Ping);
}

#[test]
fn a_connection_without_exchanges_is_left_alone() {
    let (mut silence, traffic) = silence();
    for _ in 0..10 {
        assert_eq!(silence.tick(&traffic), Step::Wait);
    }
    let exchange = traffic.exchange();
    assert_eq!(silence.tick(&traffic), Step::Ping);
    // It ends before the answer comes.
    drop(exchange);
    assert_eq!(silence.tick(&traffic), Step::Wait);
}

#[test]
fn there_are_as_many_pings_as_exchanges_and_a_few() {
    let (mut silence, traffic) = silence();
    let _exchange = traffic.exchange();
    let mut pings = 0;
    for _ in 0..100 {
        pings += u64::from(silence.tick(&traffic) == Step::Ping);
        traffic.count_read(1);
        silence.tick(&traffic);
    }
    assert_eq!(pings, SPARE_PINGS + 1);
    let _another = traffic.exchange();
    assert_eq!(silence.tick(&traffic), Step::Ping);
}
