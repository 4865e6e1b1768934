//! Long polls: what is sent, every way they can end, and that no lane delays another.

use super::scripted_server::Connection;
use super::*;
use std::pin::{Pin, pin};

const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const POLL: Duration = Duration::from_millis(1500);

fn poll_rpc() -> Request {
    request(Operation::PollRpc { timeout: POLL })
}

fn poll_attributes() -> Request {
    request(Operation::PollAttributes { timeout: POLL })
}

fn read() -> Request {
    request(Operation::ReadAttributes)
}

/// Waits until the request has arrived, and gives back the connection that it came on.
async fn under_way(
    sending: Pin<&mut impl Future<Output = Result<Answer, Error>>>,
    server: &ScriptedServer,
) -> Connection {
    let arrival = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        connection
    };
    tokio::select! {
        outcome = sending => panic!("no reply was sent: {outcome:?}"),
        connection = arrival => connection,
    }
}

/// Sends one request to a server that reads it and says `reply`: the outcome, and the line it came with.
async fn exchanged(
    version: HttpVersion,
    request: Request,
    reply: &str,
) -> (Result<Answer, Error>, String) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = thingsboard(&server);
    let script = async {
        let mut connection = server.accept().await;
        let request = connection.request().await.unwrap();
        connection.send(reply).await;
        request.lines().next().unwrap().to_owned()
    };
    both(thingsboard.send(request), script).await
}

in_both_versions! {
async fn each_poll_has_its_timeout_and_returns_its_message(version) {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{a:1}";
    for (request, line) in [
        (
            poll_rpc(),
            "GET /api/v1/S3cret%3FToken/rpc?timeout=1500 HTTP/1.1",
        ),
        (
            poll_attributes(),
            "GET /api/v1/S3cret%3FToken/attributes/updates?timeout=1500 HTTP/1.1",
        ),
        (read(), "GET /api/v1/S3cret%3FToken/attributes HTTP/1.1"),
    ] {
        let (outcome, line_sent) = exchanged(version, request, reply).await;
        assert_eq!(
            (outcome.unwrap().body, line_sent.as_str()),
            ("{a:1}".into(), line)
        );
    }
}
}

in_both_versions! {
async fn each_end_of_a_poll_has_its_error(version) {
    let rejected = |status| Error::Rejected(Rejection::new(status, false));
    for (status, expected) in [
        (408, Error::Elapsed),
        (504, Error::Timeout),
        (502, Error::Overloaded),
        (503, Error::Overloaded),
        (401, rejected(401)),
        (403, rejected(403)),
        (413, rejected(413)),
        (500, rejected(500)),
    ] {
        let reply = format!("HTTP/1.1 {status} \r\nContent-Length: 0\r\n\r\n");
        for poll in [poll_rpc(), poll_attributes()] {
            assert_eq!(exchanged(version, poll, &reply).await.0, Err(expected.clone()));
        }
    }
}
}

in_both_versions! {
async fn a_408_to_anything_but_a_poll_is_a_timeout(version) {
    let reply = "HTTP/1.1 408 \r\nContent-Length: 0\r\n\r\n";
    for request in [read(), telemetry("{}")] {
        assert_eq!(exchanged(version, request, reply).await.0, Err(Error::Timeout));
    }
}
}

in_both_versions! {
async fn a_message_over_the_bound_are_unintelligible(version) {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 262145\r\n\r\n";
    assert!(is_unintelligible(&exchanged(version, poll_rpc(), reply).await.0));
}
}

in_both_versions! {
async fn a_poll_that_breaks_off_is_unreachable(version) {
    assert_eq!(exchanged(version, poll_rpc(), "").await.0, Err(Error::Unreachable));
}
}

in_both_versions! {
/// A proxy that closes idle connections would otherwise be logged as an outage that comes and goes.
async fn a_poll_that_breaks_off_is_no_outage_by_itself_but_a_request_is(version) {
    if !is_alone() {
        again_alone(
            "polls::a_poll_that_breaks_off_is_no_outage_by_itself_but_a_request_is",
            version,
            &[],
        );
        return;
    }
    let (log, _guard) = Log::begin();
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = thingsboard(&server);
    for (request, logged) in [(poll_rpc(), 0), (read(), 1)] {
        let hang_up = async {
            server.accept().await.request().await.unwrap();
        };
        let (outcome, ()) = both(thingsboard.send(request), hang_up).await;
        assert_eq!(outcome, Err(Error::Unreachable));
        let text = log.text();
        assert_eq!(text.matches("can't be reached").count(), logged, "{text}");
    }
}
}

in_both_versions! {
async fn a_poll_may_take_its_own_time_and_ten_seconds_whatever_the_timeout_for_requests(version) {
    let second = Duration::from_secs(1);
    for (request, most) in [
        (poll_rpc(), POLL + 10 * second),
        (poll_attributes(), POLL + 10 * second),
        (read(), 2 * second),
    ] {
        let server = ScriptedServer::speaking(version).await;
        let thingsboard = within(&server, 4 * second);
        let mut sending = pin!(thingsboard.send(request));
        let mut connection = under_way(sending.as_mut(), &server).await;
        // From here on the clock jumps to the next deadline whenever there is nothing to do.
        tokio::time::pause();
        let early = tokio::time::timeout(most - second, sending.as_mut()).await;
        assert!(early.is_err(), "{early:?}");
        let outcome = tokio::time::timeout(second, sending).await;
        tokio::time::resume();
        assert_eq!(outcome, Ok(Err(Error::Timeout)));
        assert_eq!(connection.request().await, None);
    }
}
}

in_both_versions! {
async fn polls_that_take_every_place_of_theirs_leave_requests_alone_and_the_other_way_round(version) {
    let server = ScriptedServer::speaking(version).await;
    for (first, second_of_its_lane, other) in [
        (poll_rpc(), read(), telemetry("{}")),
        (read(), poll_attributes(), telemetry("{}")),
        (telemetry("{}"), telemetry("{}"), poll_attributes()),
        (telemetry("{}"), telemetry("{}"), read()),
    ] {
        let thingsboard = one_place_each(&server);
        let script = async {
            let mut held = server.accept().await;
            held.request().await.unwrap();
            let refused = thingsboard.send(second_of_its_lane).await;
            let serve = async {
                let mut connection = server.accept().await;
                connection.request().await.unwrap();
                connection.send(EMPTY).await;
            };
            let (served, ()) = tokio::join!(thingsboard.send(other), serve);
            held.send(EMPTY).await;
            (refused, served)
        };
        let (held, (refused, served)) = both(thingsboard.send(first), script).await;
        assert_eq!(refused, Err(Error::Overloaded));
        assert_eq!((held, served), (empty(), empty()));
    }
}
}

in_both_versions! {
async fn the_lanes_do_not_use_each_others_connections(version) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = thingsboard(&server);
    let script = async {
        let mut of_polls = server.accept().await;
        of_polls.request().await.unwrap();
        of_polls.send(EMPTY).await;
        // The poll's connection is idle now, and stays so.
        let mut of_requests = server.accept().await;
        of_requests.request().await.unwrap();
        of_requests.send(EMPTY).await;
        of_polls.request().await.unwrap();
        of_polls.send(EMPTY).await;
    };
    let requests = async {
        for request in [poll_rpc(), telemetry("{}"), read()] {
            assert_eq!(thingsboard.send(request).await, empty());
        }
    };
    both(requests, script).await;
}
}

in_both_versions! {
async fn a_poll_that_is_dropped_frees_its_place_and_its_connection(version) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = one_place_each(&server);
    let mut connection = {
        let mut poll = pin!(thingsboard.send(poll_rpc()));
        let connection = under_way(poll.as_mut(), &server).await;
        let refused = thingsboard.send(poll_rpc()).await;
        assert_eq!(refused, Err(Error::Overloaded));
        connection
    };
    // The server sees it at once, long before the poll's own end.
    let closed = tokio::time::timeout(Duration::from_secs(5), connection.request()).await;
    assert_eq!(closed.expect("the connection is still open"), None);
    let script = async {
        // Over HTTP/2 only the stream is closed.
        if version != HttpVersion::Http2 {
            connection = server.accept().await;
        }
        connection.request().await.unwrap();
        connection.send(EMPTY).await;
    };
    assert_eq!(both(thingsboard.send(poll_rpc()), script).await.0, empty());
}
}
