use super::*;

#[test]
fn a_command_goes_to_all_open_polls_and_takes_their_entries_away() {
    let mut bench = Bench::new();
    let polls = [bench.open(RPC, 0), bench.open(RPC, 0)];
    let command = bench.oneway("m");
    assert_eq!(bench.ended(), polls.map(|poll| (poll, rpc(0, "m"))));
    assert_eq!(bench.outcomes(), [(command, CommandOutcome::Delivered)]);
    let counts = bench.counts(RPC);
    assert_eq!((counts.live, counts.stale), (0, 0));
}

#[test]
fn a_oneway_command_before_any_poll_waits_for_the_next() {
    let mut bench = Bench::new();
    let command = bench.oneway("m");
    assert_eq!(bench.outcomes(), []);
    let poll = bench.open(RPC, 0);
    assert_eq!(bench.ended(), [(poll, rpc(0, "m"))]);
    assert_eq!(bench.outcomes(), [(command, CommandOutcome::Delivered)]);
    let next = bench.open(RPC, 1000);
    bench.pass(1000);
    assert_eq!(bench.ended(), [(next, Ended::Elapsed)]);
}

#[test]
fn a_oneway_command_after_an_idle_poll_is_lost_and_its_caller_is_told_otherwise() {
    let mut bench = Bench::new();
    bench.open(RPC, 1000);
    bench.pass(1000);
    bench.ended();
    let lost = bench.oneway("lost");
    assert_eq!(bench.outcomes(), [(lost, CommandOutcome::Delivered)]);
    let poll = bench.open(RPC, 1000);
    bench.pass(1000);
    assert_eq!(bench.ended(), [(poll, Ended::Elapsed)]);
}

#[test]
fn a_twoway_command_after_an_idle_poll_waits_for_the_next() {
    let mut bench = Bench::new();
    bench.open(RPC, 1000);
    bench.pass(1000);
    bench.ended();
    let command = bench.twoway("m");
    let poll = bench.open(RPC, 0);
    assert_eq!(bench.ended(), [(poll, rpc(0, "m"))]);
    bench.downlink.reply(METER, 0, "no json");
    let reply = CommandOutcome::Reply("no json".into());
    assert_eq!(bench.outcomes(), [(command, reply)]);
}

#[test]
fn an_unanswered_command_comes_again_with_every_poll_and_holds_up_those_behind_it() {
    let mut bench = Bench::new();
    let first = bench.open(RPC, 0);
    bench.twoway("first");
    bench.twoway("second");
    assert_eq!(bench.ended(), [(first, rpc(0, "first"))]);
    for _ in 0..3 {
        let again = bench.open(RPC, 0);
        assert_eq!(bench.ended(), [(again, rpc(0, "first"))]);
    }
    bench.downlink.reply(METER, 0, "{}");
    let poll = bench.open(RPC, 0);
    assert_eq!(bench.ended(), [(poll, rpc(1, "second"))]);
}

#[test]
fn an_unanswered_command_comes_again_until_it_expires() {
    let mut bench = Bench::new();
    bench.open(RPC, 0);
    let command = bench.twoway("m");
    bench.pass(9_999);
    let again = bench.open(RPC, 0);
    bench.ended();
    bench.pass(1);
    assert_eq!(bench.outcomes(), [(command, CommandOutcome::TimedOut)]);
    let poll = bench.open(RPC, 1000);
    assert_ne!(poll, again);
    bench.pass(1000);
    assert_eq!(bench.ended(), [(poll, Ended::Elapsed)]);
}

#[test]
fn a_burst_answers_the_open_poll_and_then_comes_one_per_poll_oldest_first() {
    let mut bench = Bench::new();
    bench.open(RPC, 0);
    for method in ["a", "b", "c"] {
        bench.oneway(method);
    }
    let told = bench.ended();
    assert_eq!((told.len(), &told[0].1), (1, &rpc(0, "a")));
    let b = bench.open(RPC, 0);
    let c = bench.open(RPC, 0);
    assert_eq!(bench.ended(), [(b, rpc(1, "b")), (c, rpc(2, "c"))]);
    assert_eq!(bench.outcomes().len(), 3);
}

#[test]
fn a_command_held_up_behind_another_counts_as_never_sent() {
    let mut bench = Bench::new();
    bench.open(RPC, 0);
    let first = bench.twoway("first");
    let second = bench.twoway("second");
    bench.open(RPC, 0);
    bench.pass(10_000);
    let told = [
        (first, CommandOutcome::TimedOut),
        (second, CommandOutcome::NoActiveConnection),
    ];
    assert_eq!(bench.outcomes(), told);
}

#[test]
fn nobody_polls_in_time() {
    let mut bench = Bench::new();
    let commands = [bench.oneway("a"), bench.twoway("b")];
    bench.pass(10_000);
    let told = commands.map(|command| (command, CommandOutcome::NoActiveConnection));
    assert_eq!(bench.outcomes(), told);
}

#[test]
fn a_command_that_has_expired_before_it_comes_uses_up_an_id() {
    let mut bench = Bench::new();
    let poll = bench.open(RPC, 0);
    let late = Command {
        method: "late".into(),
        params: "{}".into(),
        oneway: true,
        expires_ms: bench.now_ms,
    };
    let late = bench.downlink.command(METER, late, bench.now_ms).unwrap();
    assert_eq!(bench.outcomes(), [(late, CommandOutcome::TimedOut)]);
    bench.oneway("m");
    assert_eq!(bench.ended(), [(poll, rpc(1, "m"))]);
}

#[test]
fn a_stale_id_is_ignored() {
    let mut bench = Bench::new();
    bench.downlink.reply(METER, 0, "nobody asked");
    let command = bench.twoway("m");
    bench.downlink.reply(METER, 7, "wrong");
    bench.downlink.reply("other", 0, "wrong device");
    assert_eq!(bench.outcomes(), []);
    bench.downlink.reply(METER, 0, "right");
    bench.downlink.reply(METER, 0, "again");
    let reply = CommandOutcome::Reply("right".into());
    assert_eq!(bench.outcomes(), [(command, reply)]);
}

#[test]
fn a_command_meets_a_subscription_on_its_way_when_that_arrives() {
    let mut bench = Bench::with(Delays::default());
    let poll = bench.open(RPC, 1000);
    let command = bench.oneway("m");
    assert_eq!((bench.ended(), bench.outcomes()), (vec![], vec![]));
    bench.pass(5);
    assert_eq!(bench.ended(), [(poll, rpc(0, "m"))]);
    assert_eq!(bench.outcomes(), [(command, CommandOutcome::Delivered)]);
}

#[test]
fn a_pending_oneway_command_is_lost_on_a_session_that_is_over_when_its_subscription_arrives() {
    let mut bench = Bench::with(Delays::default());
    let poll = bench.open(RPC, 2);
    let command = bench.oneway("m");
    bench.pass(5);
    assert_eq!(bench.ended(), [(poll, Ended::Elapsed)]);
    assert_eq!(bench.outcomes(), [(command, CommandOutcome::Delivered)]);
}

#[test]
fn method_and_parameters_come_through_as_they_were_given() {
    let mut bench = Bench::new();
    let poll = bench.open(RPC, 0);
    let command = Command {
        method: "set \"x\"".into(),
        params: r#"{"b":1.50,"a":null}"#.into(),
        oneway: true,
        expires_ms: u64::MAX,
    };
    bench
        .downlink
        .command(METER, command, bench.now_ms)
        .unwrap();
    let told = message(r#"{"id":0,"method":"set \"x\"","params":{"b":1.50,"a":null}}"#);
    assert_eq!(bench.ended(), [(poll, told)]);
}
