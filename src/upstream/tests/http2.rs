//! HTTP/2 against a server that sends the frames of a test: what is sent once, twice or not at all, and every limit.

use super::*;
use frames::{CANCEL, Frames, Listener, MAX_CONCURRENT_STREAMS, PING, REFUSED_STREAM, RST_STREAM};
use std::pin::pin;

mod alpn;
mod frames;
mod limits;
mod negotiation;

/// Room for as many calls as a test makes.
fn to(listener: &Listener) -> ThingsBoard {
    with(
        &listener.url(),
        HttpVersion::Http2,
        Duration::from_secs(20),
        2000,
    )
}

fn poll() -> Request {
    request(Operation::PollRpc {
        timeout: Duration::from_secs(25),
    })
}

#[tokio::test]
async fn exchanges_share_a_connection_and_end_in_any_order() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut server = listener.accept(&[]).await;
        let (first, second) = (server.request().await, server.request().await);
        assert_eq!((first.1.as_str(), second.1.as_str()), ("{a:1}", "{a:2}"));
        server.reply(second.0, "2").await;
        server.reply(first.0, "1").await;
        server
    };
    let calls = async {
        tokio::join!(
            biased;
            thingsboard.send(telemetry("{a:1}")),
            thingsboard.send(telemetry("{a:2}"))
        )
    };
    let ((first, second), _server) = both(calls, script).await;
    assert_eq!(first.unwrap().body, "1");
    assert_eq!(second.unwrap().body, "2");
}

#[tokio::test]
async fn a_stream_above_the_last_of_a_goaway_is_sent_again_once_and_the_others_end() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut first = listener.accept(&[]).await;
        let (kept, _) = first.request().await;
        let (above, body) = first.request().await;
        assert_eq!(body, "{a:2}");
        first.goaway(kept, 0).await;
        let mut second = listener.accept(&[]).await;
        let (again, body) = second.request().await;
        assert_eq!(body, "{a:2}");
        second.reply(again, "again").await;
        assert!(above > kept);
        first.reply(kept, "kept").await;
        (first, second)
    };
    let calls = async {
        tokio::join!(
            biased;
            thingsboard.send(telemetry("{a:1}")),
            thingsboard.send(telemetry("{a:2}"))
        )
    };
    let ((kept, again), (mut first, mut second)) = both(calls, script).await;
    assert_eq!(kept.unwrap().body, "kept");
    assert_eq!(again.unwrap().body, "again");
    // The first connection ends; the second one serves on.
    let next = async {
        let (stream, _) = second.request().await;
        second.reply(stream, "").await;
    };
    let (outcome, ()) = both(thingsboard.send(telemetry("{}")), next).await;
    assert_eq!(outcome, empty());
    assert!(first.is_closed().await);
}

#[tokio::test]
async fn a_goaway_again_is_a_failure() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut connections = Vec::new();
        for _ in 0..2 {
            let mut server = listener.accept(&[]).await;
            server.request().await;
            server.goaway(0, 0).await;
            connections.push(server);
        }
        connections
    };
    let (outcome, _connections) = both(thingsboard.send(telemetry("{}")), script).await;
    assert_eq!(outcome, Err(Error::Overloaded));
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_once_on_another_connection() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut first = listener.accept(&[]).await;
        let (stream, _) = first.request().await;
        first.reset(stream, REFUSED_STREAM).await;
        let mut second = listener.accept(&[]).await;
        let (stream, body) = second.request().await;
        assert_eq!(body, "{a:1}");
        second.reply(stream, "").await;
        (first, second)
    };
    let (outcome, (mut first, mut second)) =
        both(thingsboard.send(telemetry("{a:1}")), script).await;
    assert_eq!(outcome, empty());
    // Both connections stay. Refused by both, a request fails.
    let script = async {
        for server in [&mut first, &mut second] {
            let (stream, _) = server.request().await;
            server.reset(stream, REFUSED_STREAM).await;
        }
    };
    let (outcome, ()) = both(thingsboard.send(telemetry("{}")), script).await;
    assert_eq!(outcome, Err(Error::Overloaded));
}

#[tokio::test]
async fn a_stream_that_is_reset_otherwise_is_not_sent_again_and_the_connection_stays() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut server = listener.accept(&[]).await;
        // NO_ERROR, INTERNAL_ERROR, CANCEL, ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED
        for code in [0, 2, CANCEL, 11, 13] {
            let (stream, _) = server.request().await;
            server.reset(stream, code).await;
        }
        let (stream, _) = server.request().await;
        server.reply(stream, "").await;
        server
    };
    let calls = async {
        for _ in 0..5 {
            let outcome = thingsboard.send(telemetry("{}")).await;
            assert_eq!(outcome, Err(Error::Unreachable));
        }
        thingsboard.send(telemetry("{}")).await
    };
    let (outcome, _server) = both(calls, script).await;
    assert_eq!(outcome, empty());
}

#[tokio::test]
async fn a_refusal_after_the_head_of_the_reply_is_not_sent_again() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut server = listener.accept(&[]).await;
        let (stream, _) = server.request().await;
        server.head(stream).await;
        server.reset(stream, REFUSED_STREAM).await;
        server
    };
    let (outcome, _server) = both(thingsboard.send(telemetry("{}")), script).await;
    assert_eq!(outcome, Err(Error::Unreachable));
}

#[tokio::test]
async fn what_was_written_is_not_sent_again_when_the_connection_breaks() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut server = listener.accept(&[]).await;
        for _ in 0..2 {
            server.request().await;
        }
        drop(server);
        let mut other = listener.accept(&[]).await;
        let (stream, body) = other.request().await;
        assert_eq!(body, "{b:1}");
        other.reply(stream, "").await;
        other
    };
    let calls = async {
        let broken = tokio::join!(
            biased;
            thingsboard.send(telemetry("{a:1}")),
            thingsboard.send(telemetry("{a:2}")),
        );
        let unreachable = || Err(Error::Unreachable);
        assert_eq!(broken, (unreachable(), unreachable()));
        thingsboard.send(telemetry("{b:1}")).await
    };
    let (outcome, _other) = both(calls, script).await;
    assert_eq!(outcome, empty());
}

#[tokio::test]
async fn a_call_that_is_dropped_resets_its_stream_and_leaves_the_others() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let mut server = {
        let mut dropped = pin!(thingsboard.send(poll()));
        let mut server = tokio::select! {
            outcome = dropped.as_mut() => panic!("{outcome:?}"),
            server = listener.accept(&[]) => server,
        };
        tokio::select! {
            outcome = dropped => panic!("{outcome:?}"),
            arrived = server.request() => assert_eq!(arrived.0, 1),
        }
        server
    };
    let reset = server.next_of(RST_STREAM).await.unwrap();
    assert_eq!((reset.stream, reset.payload), (1, vec![0, 0, 0, 8]));
    let script = async {
        let (stream, _) = server.request().await;
        // What was on its way for the other one is dropped.
        server.reply(1, "late").await;
        server.reply(stream, "in time").await;
    };
    let (outcome, ()) = both(thingsboard.send(poll()), script).await;
    assert_eq!(outcome.unwrap().body, "in time");
}

#[tokio::test]
async fn a_dead_connection_is_noticed_within_the_time_of_a_request() {
    let listener = Listener::start().await;
    let thingsboard = with(
        &listener.url(),
        HttpVersion::Http2,
        Duration::from_secs(8),
        10,
    );
    let mut silent = None;
    let script = async {
        let mut server = listener.accept(&[]).await;
        server.request().await;
        // From here on the clock jumps to the next deadline whenever there is nothing to do.
        tokio::time::pause();
        silent = Some(server);
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = thingsboard.send(telemetry("{}")) => outcome,
        () = script => unreachable!(),
    };
    tokio::time::resume();
    assert_eq!(outcome, Err(Error::Unreachable), "and not a timeout");
    assert!(silent.unwrap().is_closed().await);
}

#[tokio::test]
async fn a_slow_server_that_answers_pings_is_waited_for() {
    let listener = Listener::start().await;
    let timeout = Duration::from_secs(8);
    let thingsboard = with(&listener.url(), HttpVersion::Http2, timeout, 10);
    let script = async {
        let mut server = listener.accept(&[]).await;
        let (stream, _) = server.request().await;
        server.next_of(PING).await.unwrap();
        server.reply(stream, "").await;
        server
    };
    let (outcome, _server) = both(thingsboard.send(telemetry("{}")), script).await;
    assert_eq!(outcome, empty());
}
