use super::*;

#[test]
fn deleting_a_device_ends_its_polls_with_403() {
    let mut harness = TestDownlink::new();
    let polls = [harness.open(RPC, 0), harness.open(ATTRIBUTES, 0)];
    harness.downlink.delete_device(METER);
    assert_eq!(
        harness.poll_ends(),
        polls.map(|poll| (poll, PollEnd::Deleted))
    );
    assert_eq!(harness.downlink.next_timeout(), None);
    assert_eq!(
        harness.downlink.subscriptions(METER),
        SubscriptionCounts::default()
    );
}

#[test]
fn the_caller_of_a_deleted_device_waits_until_its_command_expires() {
    let mut harness = TestDownlink::new();
    let old = harness.twoway("old");
    harness.downlink.delete_device(METER);
    harness.pass(5_000);
    let new = harness.twoway("new");
    harness.pass(5_000);
    assert_eq!(
        harness.command_outcomes(),
        [(old, CommandOutcome::TimedOut)]
    );
    let poll = harness.open(RPC, 0);
    assert_eq!(harness.poll_ends(), [(poll, rpc(0, "new"))]);
    harness.downlink.reply(METER, 0, "x");
    let reply = CommandOutcome::Reply("x".into());
    assert_eq!(harness.command_outcomes(), [(new, reply)]);
}

#[test]
fn after_a_new_token_open_polls_end_by_their_timeout() {
    let mut harness = TestDownlink::new();
    let polls = [harness.open(ATTRIBUTES, 25_000), harness.open(RPC, 25_000)];
    harness.downlink.token_changed(METER);
    harness.change(r#"{"a":1}"#);
    let pending = harness.oneway("m");
    assert_eq!(
        (harness.poll_ends(), harness.command_outcomes()),
        (vec![], vec![])
    );
    assert_eq!(harness.counts(RPC).live, 0);
    harness.pass(25_000);
    assert_eq!(
        harness.poll_ends(),
        polls.map(|poll| (poll, PollEnd::Elapsed))
    );
    assert_eq!(
        harness.command_outcomes(),
        [(pending, CommandOutcome::NoActiveConnection)]
    );
    // Their sessions left no stale subscription.
    assert_eq!(harness.counts(ATTRIBUTES).stale, 0);
}

#[test]
fn a_new_token_keeps_pending_commands_and_ids() {
    let mut harness = TestDownlink::new();
    harness.twoway("m");
    harness.downlink.token_changed(METER);
    let poll = harness.open(RPC, 0);
    harness.downlink.reply(METER, 0, "x");
    let next = harness.open(RPC, 0);
    harness.oneway("n");
    assert_eq!(
        harness.poll_ends(),
        [(poll, rpc(0, "m")), (next, rpc(1, "n"))]
    );
}

#[test]
fn a_restart_cuts_polls_loses_commands_and_counts_ids_from_0() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 0);
    harness.oneway("takes id 0");
    harness.poll_ends();
    harness.command_outcomes();
    let poll = harness.open(ATTRIBUTES, 0);
    let disconnected = harness.open(ATTRIBUTES, 0);
    harness.downlink.abandon(disconnected);
    let lost = harness.twoway("m");
    harness.downlink.restart();
    assert_eq!(harness.poll_ends(), [(poll, PollEnd::Cut)]);
    assert_eq!(harness.command_outcomes(), [(lost, CommandOutcome::Lost)]);
    assert_eq!(harness.downlink.next_timeout(), None);
    let subscriptions = harness.downlink.subscriptions(METER);
    assert_eq!(subscriptions.pending_commands, 0);
    let counts = subscriptions.attributes;
    assert_eq!((counts.live, counts.stale, counts.open), (0, 0, 0));
    assert_eq!((counts.opened, counts.most_open), (2, 2));
    let poll = harness.open(RPC, 0);
    harness.twoway("n");
    assert_eq!(harness.poll_ends(), [(poll, rpc(0, "n"))]);
}

#[test]
fn a_subscription_on_its_way_does_not_survive_a_restart() {
    let mut harness = TestDownlink::with(Delays::default());
    harness.open(RPC, 1000);
    harness.downlink.restart();
    harness.pass(1000);
    let counts = harness.counts(RPC);
    assert_eq!((counts.live, counts.stale), (0, 0));
}
