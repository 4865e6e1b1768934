use super::*;

#[test]
fn a_command_goes_to_all_open_polls_and_removes_their_subscriptions() {
    let mut harness = TestDownlink::new();
    let polls = [harness.open(RPC, 0), harness.open(RPC, 0)];
    let command = harness.oneway("m");
    assert_eq!(harness.poll_ends(), polls.map(|poll| (poll, rpc(0, "m"))));
    assert_eq!(
        harness.command_outcomes(),
        [(command, CommandOutcome::Delivered)]
    );
    let counts = harness.counts(RPC);
    assert_eq!((counts.live, counts.stale), (0, 0));
}

#[test]
fn a_oneway_command_before_any_poll_waits_for_the_next() {
    let mut harness = TestDownlink::new();
    let command = harness.oneway("m");
    assert_eq!(harness.command_outcomes(), []);
    let poll = harness.open(RPC, 0);
    assert_eq!(harness.poll_ends(), [(poll, rpc(0, "m"))]);
    assert_eq!(
        harness.command_outcomes(),
        [(command, CommandOutcome::Delivered)]
    );
    let next = harness.open(RPC, 1000);
    harness.pass(1000);
    assert_eq!(harness.poll_ends(), [(next, PollEnd::Elapsed)]);
}

#[test]
fn a_oneway_command_after_an_idle_poll_is_lost_and_counts_as_delivered() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 1000);
    harness.pass(1000);
    harness.poll_ends();
    let lost = harness.oneway("lost");
    assert_eq!(
        harness.command_outcomes(),
        [(lost, CommandOutcome::Delivered)]
    );
    let poll = harness.open(RPC, 1000);
    harness.pass(1000);
    assert_eq!(harness.poll_ends(), [(poll, PollEnd::Elapsed)]);
}

#[test]
fn a_twoway_command_after_an_idle_poll_waits_for_the_next() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 1000);
    harness.pass(1000);
    harness.poll_ends();
    let command = harness.twoway("m");
    let poll = harness.open(RPC, 0);
    assert_eq!(harness.poll_ends(), [(poll, rpc(0, "m"))]);
    harness.downlink.reply(METER, 0, "no json");
    let reply = CommandOutcome::Reply("no json".into());
    assert_eq!(harness.command_outcomes(), [(command, reply)]);
}

#[test]
fn a_command_without_a_reply_is_returned_to_every_poll_and_blocks_later_ones() {
    let mut harness = TestDownlink::new();
    let first = harness.open(RPC, 0);
    harness.twoway("first");
    harness.twoway("second");
    assert_eq!(harness.poll_ends(), [(first, rpc(0, "first"))]);
    for _ in 0..3 {
        let again = harness.open(RPC, 0);
        assert_eq!(harness.poll_ends(), [(again, rpc(0, "first"))]);
    }
    harness.downlink.reply(METER, 0, "{}");
    let poll = harness.open(RPC, 0);
    assert_eq!(harness.poll_ends(), [(poll, rpc(1, "second"))]);
}

#[test]
fn a_command_without_a_reply_is_returned_until_it_expires() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 0);
    let command = harness.twoway("m");
    harness.pass(9_999);
    let again = harness.open(RPC, 0);
    harness.poll_ends();
    harness.pass(1);
    assert_eq!(
        harness.command_outcomes(),
        [(command, CommandOutcome::TimedOut)]
    );
    let poll = harness.open(RPC, 1000);
    assert_ne!(poll, again);
    harness.pass(1000);
    assert_eq!(harness.poll_ends(), [(poll, PollEnd::Elapsed)]);
}

#[test]
fn a_burst_of_commands_goes_to_one_poll_each_oldest_first() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 0);
    for method in ["a", "b", "c"] {
        harness.oneway(method);
    }
    let ends = harness.poll_ends();
    assert_eq!((ends.len(), &ends[0].1), (1, &rpc(0, "a")));
    let b = harness.open(RPC, 0);
    let c = harness.open(RPC, 0);
    assert_eq!(harness.poll_ends(), [(b, rpc(1, "b")), (c, rpc(2, "c"))]);
    assert_eq!(harness.command_outcomes().len(), 3);
}

#[test]
fn a_command_blocked_by_another_counts_as_never_sent() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 0);
    let first = harness.twoway("first");
    let second = harness.twoway("second");
    harness.open(RPC, 0);
    harness.pass(10_000);
    let expected = [
        (first, CommandOutcome::TimedOut),
        (second, CommandOutcome::NoActiveConnection),
    ];
    assert_eq!(harness.command_outcomes(), expected);
}

#[test]
fn a_command_without_a_poll_has_no_active_connection() {
    let mut harness = TestDownlink::new();
    let commands = [harness.oneway("a"), harness.twoway("b")];
    harness.pass(10_000);
    let expected = commands.map(|command| (command, CommandOutcome::NoActiveConnection));
    assert_eq!(harness.command_outcomes(), expected);
}

#[test]
fn a_command_that_has_already_expired_takes_an_id() {
    let mut harness = TestDownlink::new();
    let poll = harness.open(RPC, 0);
    let late = Command {
        method: "late".into(),
        params: "{}".into(),
        oneway: true,
        expires_ms: harness.now_ms,
    };
    let late = harness
        .downlink
        .command(METER, late, harness.now_ms)
        .unwrap();
    assert_eq!(
        harness.command_outcomes(),
        [(late, CommandOutcome::TimedOut)]
    );
    harness.oneway("m");
    assert_eq!(harness.poll_ends(), [(poll, rpc(1, "m"))]);
}

#[test]
fn an_unknown_id_is_ignored() {
    let mut harness = TestDownlink::new();
    harness.downlink.reply(METER, 0, "before any command");
    let command = harness.twoway("m");
    harness.downlink.reply(METER, 7, "wrong");
    harness.downlink.reply("other", 0, "wrong device");
    assert_eq!(harness.command_outcomes(), []);
    harness.downlink.reply(METER, 0, "right");
    harness.downlink.reply(METER, 0, "again");
    let reply = CommandOutcome::Reply("right".into());
    assert_eq!(harness.command_outcomes(), [(command, reply)]);
}

#[test]
fn a_command_waits_for_a_subscription_on_its_way() {
    let mut harness = TestDownlink::with(Delays::default());
    let poll = harness.open(RPC, 1000);
    let command = harness.oneway("m");
    assert_eq!(
        (harness.poll_ends(), harness.command_outcomes()),
        (vec![], vec![])
    );
    harness.pass(5);
    assert_eq!(harness.poll_ends(), [(poll, rpc(0, "m"))]);
    assert_eq!(
        harness.command_outcomes(),
        [(command, CommandOutcome::Delivered)]
    );
}

#[test]
fn a_pending_oneway_command_is_lost_on_a_session_dropped_before_its_subscription_arrives() {
    let mut harness = TestDownlink::with(Delays::default());
    let poll = harness.open(RPC, 2);
    let command = harness.oneway("m");
    harness.pass(5);
    assert_eq!(harness.poll_ends(), [(poll, PollEnd::Elapsed)]);
    assert_eq!(
        harness.command_outcomes(),
        [(command, CommandOutcome::Delivered)]
    );
}

#[test]
fn method_and_parameters_are_passed_on_unchanged() {
    let mut harness = TestDownlink::new();
    let poll = harness.open(RPC, 0);
    let command = Command {
        method: "set \"x\"".into(),
        params: r#"{"b":1.50,"a":null}"#.into(),
        oneway: true,
        expires_ms: u64::MAX,
    };
    harness
        .downlink
        .command(METER, command, harness.now_ms)
        .unwrap();
    let expected = message(r#"{"id":0,"method":"set \"x\"","params":{"b":1.50,"a":null}}"#);
    assert_eq!(harness.poll_ends(), [(poll, expected)]);
}
