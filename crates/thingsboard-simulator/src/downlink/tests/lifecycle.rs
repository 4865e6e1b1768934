use super::*;

#[test]
fn deleting_a_device_ends_its_polls_with_403() {
    let mut bench = Bench::new();
    let polls = [bench.open(RPC, 0), bench.open(ATTRIBUTES, 0)];
    bench.downlink.delete(METER);
    assert_eq!(bench.ended(), polls.map(|poll| (poll, Ended::Deleted)));
    assert_eq!(bench.downlink.next_timeout(), None);
    assert_eq!(
        bench.downlink.subscriptions(METER),
        Subscriptions::default()
    );
}

#[test]
fn the_caller_of_a_deleted_device_waits_for_its_own_timer_whatever_the_next_device_does() {
    let mut bench = Bench::new();
    let old = bench.twoway("old");
    bench.downlink.delete(METER);
    bench.pass(5_000);
    let new = bench.twoway("new");
    bench.pass(5_000);
    assert_eq!(bench.outcomes(), [(old, CommandOutcome::TimedOut)]);
    let poll = bench.open(RPC, 0);
    assert_eq!(bench.ended(), [(poll, rpc(0, "new"))]);
    bench.downlink.reply(METER, 0, "x");
    let reply = CommandOutcome::Reply("x".into());
    assert_eq!(bench.outcomes(), [(new, reply)]);
}

#[test]
fn a_new_token_orphans_open_polls_until_their_timer() {
    let mut bench = Bench::new();
    let polls = [bench.open(ATTRIBUTES, 25_000), bench.open(RPC, 25_000)];
    bench.downlink.rotate(METER);
    bench.change(r#"{"a":1}"#);
    let pending = bench.oneway("m");
    assert_eq!((bench.ended(), bench.outcomes()), (vec![], vec![]));
    assert_eq!(bench.counts(RPC).live, 0);
    bench.pass(25_000);
    assert_eq!(bench.ended(), polls.map(|poll| (poll, Ended::Elapsed)));
    assert_eq!(
        bench.outcomes(),
        [(pending, CommandOutcome::NoActiveConnection)]
    );
    // Their sessions ended without leaving an entry behind.
    assert_eq!(bench.counts(ATTRIBUTES).stale, 0);
}

#[test]
fn a_new_token_leaves_pending_commands_and_ids_as_they_are() {
    let mut bench = Bench::new();
    bench.twoway("m");
    bench.downlink.rotate(METER);
    let poll = bench.open(RPC, 0);
    bench.downlink.reply(METER, 0, "x");
    let next = bench.open(RPC, 0);
    bench.oneway("n");
    assert_eq!(bench.ended(), [(poll, rpc(0, "m")), (next, rpc(1, "n"))]);
}

#[test]
fn a_restart_cuts_polls_forgets_commands_and_counts_ids_from_0() {
    let mut bench = Bench::new();
    bench.open(RPC, 0);
    bench.oneway("uses up id 0");
    bench.ended();
    bench.outcomes();
    let poll = bench.open(ATTRIBUTES, 0);
    let gone = bench.open(ATTRIBUTES, 0);
    bench.downlink.abandon(gone);
    let lost = bench.twoway("m");
    bench.downlink.restart();
    assert_eq!(bench.ended(), [(poll, Ended::Cut)]);
    assert_eq!(bench.outcomes(), [(lost, CommandOutcome::Lost)]);
    assert_eq!(bench.downlink.next_timeout(), None);
    let subscriptions = bench.downlink.subscriptions(METER);
    assert_eq!(subscriptions.pending_commands, 0);
    let counts = subscriptions.attributes;
    assert_eq!((counts.live, counts.stale, counts.open), (0, 0, 0));
    assert_eq!((counts.opened, counts.most_open), (2, 2));
    let poll = bench.open(RPC, 0);
    bench.twoway("n");
    assert_eq!(bench.ended(), [(poll, rpc(0, "n"))]);
}

#[test]
fn a_subscription_on_its_way_does_not_survive_a_restart() {
    let mut bench = Bench::with(Delays::default());
    bench.open(RPC, 1000);
    bench.downlink.restart();
    bench.pass(1000);
    let counts = bench.counts(RPC);
    assert_eq!((counts.live, counts.stale), (0, 0));
}
