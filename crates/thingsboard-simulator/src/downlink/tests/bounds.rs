use super::*;
use crate::downlink::callers::{MAX_BYTES, MAX_COMMANDS};

#[test]
fn sessions_of_a_device_are_bounded() {
    let mut harness = TestDownlink::new();
    for _ in 0..MAX_SESSIONS {
        // The session of a client that has disconnected stays.
        let poll = harness.open(RPC, 1000);
        harness.downlink.abandon(poll);
    }
    let refused = harness.downlink.open(METER, RPC, 0, harness.now_ms);
    assert!(refused.unwrap_err().0.contains("1000 sessions"));
    assert!(
        harness
            .downlink
            .open("other", RPC, 0, harness.now_ms)
            .is_ok()
    );
    harness.pass(1000);
    harness.open(RPC, 1000);
}

#[test]
fn waiting_commands_of_a_device_are_bounded() {
    let mut harness = TestDownlink::new();
    let command = Command {
        method: "m".into(),
        params: "{}".into(),
        oneway: false,
        expires_ms: harness.now_ms + 1000,
    };
    for _ in 0..MAX_COMMANDS {
        harness
            .downlink
            .command(METER, command.clone(), harness.now_ms)
            .unwrap();
    }
    let refused = harness
        .downlink
        .command(METER, command.clone(), harness.now_ms);
    assert!(refused.unwrap_err().0.contains("1000 commands"));
    harness.downlink.reply(METER, 500, "{}");
    let taken = harness.downlink.command(METER, command, harness.now_ms);
    assert!(taken.is_ok());
}

#[test]
fn bytes_of_commands_are_bounded_and_freed() {
    let mut harness = TestDownlink::new();
    let large = |expires_ms| Command {
        method: "m".into(),
        params: format!("\"{}\"", "x".repeat(MAX_BYTES / 2)),
        oneway: false,
        expires_ms,
    };
    let expires_ms = harness.now_ms + 1000;
    harness
        .downlink
        .command(METER, large(expires_ms), harness.now_ms)
        .unwrap();
    let refused = harness
        .downlink
        .command("other", large(expires_ms), harness.now_ms);
    assert!(refused.unwrap_err().0.contains("bytes"));
    harness.pass(1000);
    assert_eq!(harness.downlink.pending_bytes, 0);
    let expires_ms = harness.now_ms + 1000;
    let taken = harness
        .downlink
        .command("other", large(expires_ms), harness.now_ms);
    assert!(taken.is_ok());
}

#[test]
fn ended_sessions_leave_no_state() {
    let mut harness = TestDownlink::with(Delays::default());
    for round in 0..100 {
        harness.open(ATTRIBUTES, i64::MAX);
        harness.open(RPC, if round % 2 == 0 { i64::MAX } else { 3 });
        harness.pass(10);
        harness.change(r#"{"a":1}"#);
        harness.oneway("m");
        harness.pass(10);
    }
    assert_eq!(harness.downlink.sessions.polls(), []);
    assert_eq!(harness.downlink.next_timeout(), None);
    assert!(harness.downlink.callers.is_empty());
    assert_eq!(harness.counts(ATTRIBUTES).stale, 100);
}
