use super::*;
use crate::downlink::callers::{MOST_BYTES, MOST_COMMANDS};

#[test]
fn a_device_has_so_many_sessions_and_no_more() {
    let mut bench = Bench::new();
    for _ in 0..MOST_SESSIONS {
        // A client that went away leaves its session behind.
        let poll = bench.open(RPC, 1000);
        bench.downlink.abandon(poll);
    }
    let refused = bench.downlink.open(METER, RPC, 0, bench.now_ms);
    assert!(refused.unwrap_err().0.contains("1000 sessions"));
    assert!(bench.downlink.open("other", RPC, 0, bench.now_ms).is_ok());
    bench.pass(1000);
    bench.open(RPC, 1000);
}

#[test]
fn a_device_has_so_many_commands_waiting_and_no_more() {
    let mut bench = Bench::new();
    let command = Command {
        method: "m".into(),
        params: "{}".into(),
        oneway: false,
        expires_ms: bench.now_ms + 1000,
    };
    for _ in 0..MOST_COMMANDS {
        bench
            .downlink
            .command(METER, command.clone(), bench.now_ms)
            .unwrap();
    }
    let refused = bench.downlink.command(METER, command.clone(), bench.now_ms);
    assert!(refused.unwrap_err().0.contains("1000 commands"));
    bench.downlink.reply(METER, 500, "{}");
    let taken = bench.downlink.command(METER, command, bench.now_ms);
    assert!(taken.is_ok());
}

#[test]
fn commands_have_a_bound_on_their_bytes_and_give_them_back() {
    let mut bench = Bench::new();
    let large = |expires_ms| Command {
        method: "m".into(),
        params: format!("\"{}\"", "x".repeat(MOST_BYTES / 2)),
        oneway: false,
        expires_ms,
    };
    let expires_ms = bench.now_ms + 1000;
    bench
        .downlink
        .command(METER, large(expires_ms), bench.now_ms)
        .unwrap();
    let refused = bench
        .downlink
        .command("other", large(expires_ms), bench.now_ms);
    assert!(refused.unwrap_err().0.contains("bytes"));
    bench.pass(1000);
    assert_eq!(bench.downlink.held_bytes, 0);
    let expires_ms = bench.now_ms + 1000;
    let taken = bench
        .downlink
        .command("other", large(expires_ms), bench.now_ms);
    assert!(taken.is_ok());
}

#[test]
fn nothing_is_left_of_sessions_that_are_over() {
    let mut bench = Bench::with(Delays::default());
    for round in 0..100 {
        bench.open(ATTRIBUTES, i64::MAX);
        bench.open(RPC, if round % 2 == 0 { i64::MAX } else { 3 });
        bench.pass(10);
        bench.change(r#"{"a":1}"#);
        bench.oneway("m");
        bench.pass(10);
    }
    assert_eq!(bench.downlink.sessions.polls(), []);
    assert_eq!(bench.downlink.next_timeout(), None);
    assert!(bench.downlink.calls.is_empty());
    assert_eq!(bench.counts(ATTRIBUTES).stale, 100);
}
