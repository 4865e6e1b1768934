//! Long polls: how they go onto the wire, every way they can end, and that neither lane can keep the other
//! waiting.

use super::super::scripted_server::Connection;
use super::*;
use std::pin::{Pin, pin};

const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const POLL: Duration = Duration::from_millis(1500);

fn poll_rpc() -> Request {
    asking(Operation::PollRpc { timeout: POLL })
}

fn poll_attributes() -> Request {
    asking(Operation::PollAttributes { timeout: POLL })
}

fn read() -> Request {
    asking(Operation::ReadAttributes)
}

/// Room for one request and one poll.
fn narrow(url: &str) -> ThingsBoard {
    ThingsBoard::new(Settings {
        url: url.parse().unwrap(),
        ca: None,
        timeout: Duration::from_secs(20),
        max_in_flight: 1,
        max_downlink: 1,
        max_packages: 1,
    })
    .unwrap()
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
        outcome = sending => panic!("nobody has answered: {outcome:?}"),
        connection = arrival => connection,
    }
}

/// Sends one request to a server that reads it and says `reply`: the outcome, and the line it came with.
async fn exchanged(request: Request, reply: &str) -> (Result<Answer, Error>, String) {
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&server.url());
    let script = async {
        let mut connection = server.accept().await;
        let request = connection.request().await.unwrap();
        connection.say(reply).await;
        request.lines().next().unwrap().to_owned()
    };
    both(thingsboard.send(request), script).await
}

#[tokio::test]
async fn each_poll_says_how_long_it_may_wait_and_brings_its_news() {
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
        let (outcome, asked) = exchanged(request, reply).await;
        assert_eq!(
            (outcome.unwrap().body, asked.as_str()),
            ("{a:1}".into(), line)
        );
    }
}

#[tokio::test]
async fn each_end_of_a_poll_is_told_apart() {
    let rejected = |code| {
        Error::Rejected(Status {
            code,
            has_text: false,
        })
    };
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
            assert_eq!(exchanged(poll, &reply).await.0, Err(expected.clone()));
        }
    }
}

#[tokio::test]
async fn a_408_to_anything_but_a_poll_is_a_timeout() {
    let reply = "HTTP/1.1 408 \r\nContent-Length: 0\r\n\r\n";
    for request in [read(), telemetry("{}")] {
        assert_eq!(exchanged(request, reply).await.0, Err(Error::Timeout));
    }
}

#[tokio::test]
async fn news_over_the_bound_make_no_sense() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 262145\r\n\r\n";
    assert!(makes_no_sense(&exchanged(poll_rpc(), reply).await.0));
}

#[tokio::test]
async fn a_poll_that_breaks_off_is_unreachable() {
    assert_eq!(exchanged(poll_rpc(), "").await.0, Err(Error::Unreachable));
}

/// A proxy that ends what is silent for too long would otherwise be told as an outage that comes and goes.
#[tokio::test]
async fn a_poll_that_breaks_off_is_no_outage_by_itself_but_a_request_is() {
    if !is_alone() {
        again_alone(
            "polls::a_poll_that_breaks_off_is_no_outage_by_itself_but_a_request_is",
            &[],
        );
        return;
    }
    let (log, _guard) = Log::begin();
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&server.url());
    for (request, told) in [(poll_rpc(), 0), (read(), 1)] {
        let hang_up = async {
            server.accept().await.request().await.unwrap();
        };
        let (outcome, ()) = both(thingsboard.send(request), hang_up).await;
        assert_eq!(outcome, Err(Error::Unreachable));
        let text = log.text();
        assert_eq!(text.matches("can't be reached").count(), told, "{text}");
    }
}

#[tokio::test]
async fn a_poll_may_take_its_own_time_and_ten_seconds_whatever_the_timeout_for_requests() {
    let second = Duration::from_secs(1);
    for (request, most) in [
        (poll_rpc(), POLL + 10 * second),
        (poll_attributes(), POLL + 10 * second),
        (read(), 2 * second),
    ] {
        let server = ScriptedServer::start().await;
        let thingsboard = within(&server.url(), 4 * second);
        let mut sending = pin!(thingsboard.send(request));
        let mut connection = under_way(sending.as_mut(), &server).await;
        // From here on the clock leaps to the next deadline whenever there is nothing to do.
        tokio::time::pause();
        let early = tokio::time::timeout(most - second, sending.as_mut()).await;
        assert!(early.is_err(), "{early:?}");
        let outcome = tokio::time::timeout(second, sending).await;
        tokio::time::resume();
        assert_eq!(outcome, Ok(Err(Error::Timeout)));
        assert_eq!(connection.request().await, None);
    }
}

#[tokio::test]
async fn polls_that_take_every_place_of_theirs_leave_requests_alone_and_the_other_way_round() {
    let server = ScriptedServer::start().await;
    for (first, second_of_its_lane, other) in [
        (poll_rpc(), read(), telemetry("{}")),
        (read(), poll_attributes(), telemetry("{}")),
        (telemetry("{}"), telemetry("{}"), poll_attributes()),
        (telemetry("{}"), telemetry("{}"), read()),
    ] {
        let thingsboard = narrow(&server.url());
        let script = async {
            let mut held = server.accept().await;
            held.request().await.unwrap();
            let refused = thingsboard.send(second_of_its_lane).await;
            let serve = async {
                let mut connection = server.accept().await;
                connection.request().await.unwrap();
                connection.say(EMPTY).await;
            };
            let (served, ()) = tokio::join!(thingsboard.send(other), serve);
            held.say(EMPTY).await;
            (refused, served)
        };
        let (held, (refused, served)) = both(thingsboard.send(first), script).await;
        assert_eq!(refused, Err(Error::Overloaded));
        assert_eq!((held, served), (empty(), empty()));
    }
}

#[tokio::test]
async fn the_lanes_do_not_use_each_others_connections() {
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&server.url());
    let script = async {
        let mut of_polls = server.accept().await;
        of_polls.request().await.unwrap();
        of_polls.say(EMPTY).await;
        // The poll's connection is idle now, and stays so.
        let mut of_requests = server.accept().await;
        of_requests.request().await.unwrap();
        of_requests.say(EMPTY).await;
        of_polls.request().await.unwrap();
        of_polls.say(EMPTY).await;
    };
    let requests = async {
        for request in [poll_rpc(), telemetry("{}"), read()] {
            assert_eq!(thingsboard.send(request).await, empty());
        }
    };
    both(requests, script).await;
}

#[tokio::test]
async fn a_poll_that_is_dropped_frees_its_place_and_its_connection() {
    let server = ScriptedServer::start().await;
    let thingsboard = narrow(&server.url());
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
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        connection.say(EMPTY).await;
    };
    assert_eq!(both(thingsboard.send(poll_rpc()), script).await.0, empty());
}
