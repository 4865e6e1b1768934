use super::*;

#[test]
fn an_idle_poll_ends_with_408_at_its_timeout_and_not_before() {
    let mut harness = TestDownlink::new();
    let poll = harness.open(RPC, 25_000);
    harness.pass(24_999);
    assert_eq!(harness.poll_ends(), []);
    harness.pass(1);
    assert_eq!(harness.poll_ends(), [(poll, PollEnd::Elapsed)]);
    assert_eq!(harness.downlink.next_timeout(), None);
}

#[test]
fn without_a_timeout_a_poll_has_the_default_unless_the_container_ends_it_earlier() {
    let mut harness = TestDownlink::new();
    let poll = harness.open(RPC, 0);
    harness.pass(29_999);
    assert_eq!(harness.poll_ends(), []);
    harness.pass(1);
    assert_eq!(harness.poll_ends(), [(poll, PollEnd::AsyncTimeout)]);
    // A separate HTTP transport has a longer container timeout.
    let mut harness = TestDownlink::with(Delays {
        async_ms: 300_000,
        ..Delays::default()
    });
    let poll = harness.open(RPC, 0);
    harness.pass(60_000);
    assert_eq!(harness.poll_ends(), [(poll, PollEnd::Elapsed)]);
}

#[test]
fn a_negative_timeout_ends_at_once_and_leaves_a_stale_subscription() {
    for subscription_ms in [0, 5] {
        let mut harness = TestDownlink::with(Delays {
            subscription_ms,
            ..Delays::default()
        });
        let poll = harness.open(RPC, -1);
        assert_eq!(harness.poll_ends(), [(poll, PollEnd::Elapsed)]);
        harness.pass(subscription_ms);
        let counts = harness.counts(RPC);
        assert_eq!((counts.live, counts.stale, counts.open), (0, 1, 0));
    }
}

#[test]
fn after_a_503_the_session_takes_one_message() {
    let mut harness = TestDownlink::new();
    let poll = harness.open(ATTRIBUTES, 60_000);
    harness.pass(30_000);
    assert_eq!(harness.poll_ends(), [(poll, PollEnd::AsyncTimeout)]);
    assert_eq!(harness.counts(ATTRIBUTES).live, 1);
    harness.change(r#"{"a":1}"#);
    assert_eq!(harness.poll_ends(), []);
    let counts = harness.counts(ATTRIBUTES);
    assert_eq!((counts.live, counts.stale), (0, 1));
}

#[test]
fn a_command_after_a_503_is_lost_and_counts_as_delivered() {
    let mut harness = TestDownlink::new();
    let poll = harness.open(RPC, 60_000);
    harness.pass(30_000);
    assert_eq!(harness.poll_ends(), [(poll, PollEnd::AsyncTimeout)]);
    let command = harness.oneway("m");
    assert_eq!(
        harness.command_outcomes(),
        [(command, CommandOutcome::Delivered)]
    );
    harness.open(RPC, 1000);
    assert_eq!(harness.poll_ends(), []);
}

#[test]
fn a_client_that_disconnects_cancels_nothing() {
    let mut harness = TestDownlink::new();
    let gone = harness.open(RPC, 25_000);
    harness.downlink.abandon(gone);
    let counts = harness.counts(RPC);
    assert_eq!((counts.live, counts.open), (1, 0));
    let command = harness.oneway("m");
    assert_eq!(
        harness.command_outcomes(),
        [(command, CommandOutcome::Delivered)]
    );
    harness.pass(25_000);
    assert_eq!(harness.poll_ends(), []);
}

#[test]
fn idle_polls_leave_stale_subscriptions_and_those_for_attributes_stay() {
    let mut harness = TestDownlink::new();
    for _ in 0..3 {
        harness.open(ATTRIBUTES, 1000);
        harness.open(RPC, 1000);
        harness.pass(1000);
    }
    assert_eq!(harness.counts(ATTRIBUTES).stale, 3);
    assert_eq!(harness.counts(RPC).stale, 3);
    harness.change(r#"{"a":1}"#);
    harness.oneway("m");
    assert_eq!(harness.counts(ATTRIBUTES).stale, 3);
    assert_eq!(harness.counts(RPC).stale, 0);
}

#[test]
fn polls_are_counted_opened_open_and_most_at_once() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 1000);
    harness.open(RPC, 2000);
    harness.pass(1000);
    harness.open(RPC, 500);
    let counts = harness.counts(RPC);
    assert_eq!((counts.opened, counts.open, counts.most_open), (3, 2, 2));
    assert_eq!(harness.counts(ATTRIBUTES), PollCounts::default());
    assert_eq!(
        harness.downlink.subscriptions("unknown"),
        SubscriptionCounts::default()
    );
}

#[test]
fn new_delays_apply_to_polls_that_begin_after_them() {
    let mut harness = TestDownlink::new();
    let before = harness.open(RPC, 0);
    let delays = Delays {
        request_ms: 100,
        ..harness.downlink.delays()
    };
    harness.downlink.set_delays(delays);
    let after = harness.open(RPC, 0);
    harness.pass(100);
    assert_eq!(harness.poll_ends(), [(after, PollEnd::Elapsed)]);
    harness.pass(29_900);
    assert_eq!(harness.poll_ends(), [(before, PollEnd::AsyncTimeout)]);
}
