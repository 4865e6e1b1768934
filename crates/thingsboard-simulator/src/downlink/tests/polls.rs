use super::*;

#[test]
fn an_idle_poll_ends_with_408_at_its_timer_and_not_before() {
    let mut bench = Bench::new();
    let poll = bench.open(RPC, 25_000);
    bench.pass(24_999);
    assert_eq!(bench.ended(), []);
    bench.pass(1);
    assert_eq!(bench.ended(), [(poll, Ended::Elapsed)]);
    assert_eq!(bench.downlink.next_timeout(), None);
}

#[test]
fn without_a_timeout_a_poll_has_the_default_which_the_container_cuts_short() {
    let mut bench = Bench::new();
    let poll = bench.open(RPC, 0);
    bench.pass(29_999);
    assert_eq!(bench.ended(), []);
    bench.pass(1);
    assert_eq!(bench.ended(), [(poll, Ended::AsyncTimeout)]);
    // In a transport of its own the container is more patient.
    let mut bench = Bench::with(Delays {
        async_ms: 300_000,
        ..Delays::default()
    });
    let poll = bench.open(RPC, 0);
    bench.pass(60_000);
    assert_eq!(bench.ended(), [(poll, Ended::Elapsed)]);
}

#[test]
fn a_negative_timeout_is_over_at_once_and_leaves_a_stale_entry() {
    for subscription_ms in [0, 5] {
        let mut bench = Bench::with(Delays {
            subscription_ms,
            ..Delays::default()
        });
        let poll = bench.open(RPC, -1);
        assert_eq!(bench.ended(), [(poll, Ended::Elapsed)]);
        bench.pass(subscription_ms);
        let counts = bench.counts(RPC);
        assert_eq!((counts.live, counts.stale, counts.open), (0, 1, 0));
    }
}

#[test]
fn after_a_503_the_session_swallows_one_message_before_its_timer() {
    let mut bench = Bench::new();
    let poll = bench.open(ATTRIBUTES, 60_000);
    bench.pass(30_000);
    assert_eq!(bench.ended(), [(poll, Ended::AsyncTimeout)]);
    assert_eq!(bench.counts(ATTRIBUTES).live, 1);
    bench.change(r#"{"a":1}"#);
    assert_eq!(bench.ended(), []);
    let counts = bench.counts(ATTRIBUTES);
    assert_eq!((counts.live, counts.stale), (0, 1));
}

#[test]
fn a_command_after_a_503_is_swallowed_and_counts_as_delivered() {
    let mut bench = Bench::new();
    let poll = bench.open(RPC, 60_000);
    bench.pass(30_000);
    assert_eq!(bench.ended(), [(poll, Ended::AsyncTimeout)]);
    let command = bench.oneway("m");
    assert_eq!(bench.outcomes(), [(command, CommandOutcome::Delivered)]);
    bench.open(RPC, 1000);
    assert_eq!(bench.ended(), []);
}

#[test]
fn a_client_that_goes_away_cancels_nothing() {
    let mut bench = Bench::new();
    let gone = bench.open(RPC, 25_000);
    bench.downlink.abandon(gone);
    let counts = bench.counts(RPC);
    assert_eq!((counts.live, counts.open), (1, 0));
    let command = bench.oneway("m");
    assert_eq!(bench.outcomes(), [(command, CommandOutcome::Delivered)]);
    bench.pass(25_000);
    assert_eq!(bench.ended(), []);
}

#[test]
fn idle_polls_leave_entries_behind_and_those_of_attributes_stay() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.open(ATTRIBUTES, 1000);
        bench.open(RPC, 1000);
        bench.pass(1000);
    }
    assert_eq!(bench.counts(ATTRIBUTES).stale, 3);
    assert_eq!(bench.counts(RPC).stale, 3);
    bench.change(r#"{"a":1}"#);
    bench.oneway("m");
    assert_eq!(bench.counts(ATTRIBUTES).stale, 3);
    assert_eq!(bench.counts(RPC).stale, 0);
}

#[test]
fn polls_are_counted_begun_open_and_most_at_once() {
    let mut bench = Bench::new();
    bench.open(RPC, 1000);
    bench.open(RPC, 2000);
    bench.pass(1000);
    bench.open(RPC, 500);
    let counts = bench.counts(RPC);
    assert_eq!((counts.opened, counts.open, counts.most_open), (3, 2, 2));
    assert_eq!(bench.counts(ATTRIBUTES), PollCounts::default());
    assert_eq!(
        bench.downlink.subscriptions("nobody"),
        Subscriptions::default()
    );
}

#[test]
fn other_delays_are_for_polls_that_begin_after_them() {
    let mut bench = Bench::new();
    let before = bench.open(RPC, 0);
    let delays = Delays {
        request_ms: 100,
        ..bench.downlink.delays()
    };
    bench.downlink.set_delays(delays);
    let after = bench.open(RPC, 0);
    bench.pass(100);
    assert_eq!(bench.ended(), [(after, Ended::Elapsed)]);
    bench.pass(29_900);
    assert_eq!(bench.ended(), [(before, Ended::AsyncTimeout)]);
}
