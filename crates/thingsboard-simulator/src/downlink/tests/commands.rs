use super::*;

#[test]
fn a_command_goes_to_all_open_polls_and_takes_their_entries_away() {
    let mut harness = TestDownlink::new();
    let polls = [harness.open(RPC, 0), harness.open(RPC, 0)];
    let command = harness.oneway("m");
    assert_eq!(harness.ended(), polls.map(|poll| (poll, rpc(0, "m"))));
    assert_eq!(harness.outcomes(), [(command, CommandOutcome::Delivered)]);
    let counts = harness.counts(RPC);
    assert_eq!((counts.live, counts.stale), (0, 0));
}

#[test]
fn a_oneway_command_before_any_poll_waits_for_the_next() {
    let mut harness = TestDownlink::new();
    let command = harness.oneway("m");
    assert_eq!(harness.outcomes(), []);
    let poll = harness.open(RPC, 0);
    assert_eq!(harness.ended(), [(poll, rpc(0, "m"))]);
    assert_eq!(harness.outcomes(), [(command, CommandOutcome::Delivered)]);
    let next = harness.open(RPC, 1000);
    harness.pass(1000);
    assert_eq!(harness.ended(), [(next, PollEnd::Elapsed)]);
}

#[test]
fn a_oneway_command_after_an_idle_poll_is_lost_and_its_caller_is_told_otherwise() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 1000);
    harness.pass(1000);
    harness.ended();
    let lost = harness.oneway("lost");
    assert_eq!(harness.outcomes(), [(lost, CommandOutcome::Delivered)]);
    let poll = harness.open(RPC, 1000);
    harness.pass(1000);
    assert_eq!(harness.ended(), [(poll, PollEnd::Elapsed)]);
}

#[test]
fn a_twoway_command_after_an_idle_poll_waits_for_the_next() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 1000);
    harness.pass(1000);
    harness.ended();
    let command = harness.twoway("m");
    let poll = harness.open(RPC, 0);
    assert_eq!(harness.ended(), [(poll, rpc(0, "m"))]);
    harness.downlink.reply(METER, 0, "no json");
    let reply = CommandOutcome::Reply("no json".into());
    assert_eq!(harness.outcomes(), [(command, reply)]);
}

#[test]
fn an_unanswered_command_comes_again_with_every_poll_and_holds_up_those_behind_it() {
    let mut harness = TestDownlink::new();
    let first = harness.open(RPC, 0);
    harness.twoway("first");
    harness.twoway("second");
    assert_eq!(harness.ended(), [(first, rpc(0, "first"))]);
    for _ in 0..3 {
        let again = harness.open(RPC, 0);
        assert_eq!(harness.ended(), [(again, rpc(0, "first"))]);
    }
    harness.downlink.reply(METER, 0, "{}");
    let poll = harness.open(RPC, 0);
    assert_eq!(harness.ended(), [(poll, rpc(1, "second"))]);
}

#[test]
fn an_unanswered_command_comes_again_until_it_expires() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 0);
    let command = harness.twoway("m");
    harness.pass(9_999);
    let again = harness.open(RPC, 0);
    harness.ended();
    harness.pass(1);
    assert_eq!(harness.outcomes(), [(command, CommandOutcome::TimedOut)]);
    let poll = harness.open(RPC, 1000);
    assert_ne!(poll, again);
    harness.pass(1000);
    assert_eq!(harness.ended(), [(poll, PollEnd::Elapsed)]);
}

#[test]
fn a_burst_answers_the_open_poll_and_then_comes_one_per_poll_oldest_first() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 0);
    for method in ["a", "b", "c"] {
        harness.oneway(method);
    }
    let told = harness.ended();
    assert_eq!((told.len(), &told[0].1), (1, &rpc(0, "a")));
    let b = harness.open(RPC, 0);
    let c = harness.open(RPC, 0);
    assert_eq!(harness.ended(), [(b, rpc(1, "b")), (c, rpc(2, "c"))]);
    assert_eq!(harness.outcomes().len(), 3);
}

#[test]
fn a_command_held_up_behind_another_counts_as_never_sent() {
    let mut harness = TestDownlink::new();
    harness.open(RPC, 0);
    let first = harness.twoway("first");
    let second = harness.twoway("second");
    harness.open(RPC, 0);
    harness.pass(10_000);
    let told = [
        (first, CommandOutcome::TimedOut),
        (second, CommandOutcome::NoActiveConnection),
    ];
    assert_eq!(harness.outcomes(), told);
}

#[test]
fn nobody_polls_in_time() {
    let mut harness = TestDownlink::new();
    let commands = [harness.oneway("a"), harness.twoway("b")];
    harness.pass(10_000);
    let told = commands.map(|command| (command, CommandOutcome::NoActiveConnection));
    assert_eq!(harness.outcomes(), told);
}

#[test]
fn a_command_that_has_expired_before_it_comes_uses_up_an_id() {
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
    assert_eq!(harness.outcomes(), [(late, CommandOutcome::TimedOut)]);
    harness.oneway("m");
    assert_eq!(harness.ended(), [(poll, rpc(1, "m"))]);
}

#[test]
fn a_stale_id_is_ignored() {
    let mut harness = TestDownlink::new();
    harness.downlink.reply(METER, 0, "nobody asked");
    let command = harness.twoway("m");
    harness.downlink.reply(METER, 7, "wrong");
    harness.downlink.reply("other", 0, "wrong device");
    assert_eq!(harness.outcomes(), []);
    harness.downlink.reply(METER, 0, "right");
    harness.downlink.reply(METER, 0, "again");
    let reply = CommandOutcome::Reply("right".into());
    assert_eq!(harness.outcomes(), [(command, reply)]);
}

#[test]
fn a_command_meets_a_subscription_on_its_way_when_that_arrives() {
    let mut harness = TestDownlink::with(Delays::default());
    let poll = harness.open(RPC, 1000);
    let command = harness.oneway("m");
    assert_eq!((harness.ended(), harness.outcomes()), (vec![], vec![]));
    harness.pass(5);
    assert_eq!(harness.ended(), [(poll, rpc(0, "m"))]);
    assert_eq!(harness.outcomes(), [(command, CommandOutcome::Delivered)]);
}

#[test]
fn a_pending_oneway_command_is_lost_on_a_session_that_is_over_when_its_subscription_arrives() {
    let mut harness = TestDownlink::with(Delays::default());
    let poll = harness.open(RPC, 2);
    let command = harness.oneway("m");
    harness.pass(5);
    assert_eq!(harness.ended(), [(poll, PollEnd::Elapsed)]);
    assert_eq!(harness.outcomes(), [(command, CommandOutcome::Delivered)]);
}

#[test]
fn method_and_parameters_come_through_as_they_were_given() {
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
    let told = message(r#"{"id":0,"method":"set \"x\"","params":{"b":1.50,"a":null}}"#);
    assert_eq!(harness.ended(), [(poll, told)]);
}
