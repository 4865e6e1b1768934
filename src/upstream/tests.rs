//! The client against a server that follows a script: what goes onto the wire, and what becomes of every
//! way an exchange can end.

use super::scripted_server::ScriptedServer;
use super::{Answer, Error, Operation, Package, Request, Settings, Status, ThingsBoard, Upstream};
use crate::device::{AccessToken, Device};
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::time::Duration;

mod polls;
mod replies;

const TOKEN: &str = "S3cret?Token";

fn thingsboard(url: &str) -> ThingsBoard {
    within(url, Duration::from_secs(20))
}

fn within(url: &str, timeout: Duration) -> ThingsBoard {
    ThingsBoard::new(Settings {
        url: url.parse().unwrap(),
        ca: None,
        timeout,
        max_in_flight: 8,
        max_downlink: 8,
        max_packages: 8,
    })
    .unwrap()
}

fn asking(operation: Operation) -> Request {
    let device = Device {
        name: "meter-17".into(),
        token: AccessToken::new(TOKEN).unwrap(),
    };
    Request::Device {
        device: Arc::new(device),
        operation,
    }
}

fn telemetry(body: &'static str) -> Request {
    asking(Operation::PostTelemetry(Bytes::from_static(
        body.as_bytes(),
    )))
}

/// Runs the two sides of an exchange; a side that the other has let down fails the test, not its patience.
async fn both<A, B>(client: impl Future<Output = A>, server: impl Future<Output = B>) -> (A, B) {
    let sides = async { tokio::join!(client, server) };
    tokio::time::timeout(Duration::from_secs(15), sides)
        .await
        .expect("one side waits for the other in vain")
}

/// Sends one POST to a server that reads it, says `reply` and hangs up.
async fn answered_with(reply: impl AsRef<[u8]>) -> Result<Answer, Error> {
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&server.url());
    let script = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        connection.say(reply).await;
    };
    both(thingsboard.send(telemetry("{}")), script).await.0
}

fn empty() -> Result<Answer, Error> {
    Ok(Answer { body: Bytes::new() })
}

fn makes_no_sense(outcome: &Result<Answer, Error>) -> bool {
    matches!(outcome, Err(Error::Unintelligible(_)))
}

#[tokio::test]
async fn a_post_arrives_byte_for_byte_as_json_under_the_encoded_token() {
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&format!("{}/tb/", server.url()));
    let script = async {
        let mut connection = server.accept().await;
        let request = connection.request().await.unwrap();
        connection
            .say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        request
    };
    let (outcome, request) =
        both(thingsboard.send(telemetry(" {temperature: 25,}\n")), script).await;
    assert_eq!(outcome, empty());
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /tb/api/v1/S3cret%3FToken/telemetry HTTP/1.1\r\n"),
        "{head}"
    );
    assert_eq!(body, " {temperature: 25,}\n");
    let head = head.to_lowercase();
    assert!(
        head.contains("\r\ncontent-type: application/json"),
        "{head}"
    );
    for absent in ["cookie:", "accept-encoding:", "referer:"] {
        assert!(!head.contains(absent), "{head}");
    }
}

#[tokio::test]
async fn a_get_carries_its_key_lists_and_brings_the_body_back() {
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&server.url());
    let script = async {
        let mut connection = server.accept().await;
        let request = connection.request().await.unwrap();
        // In pieces, chunked: the answer is whole all the same.
        connection
            .say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"cl\r\n")
            .await;
        server.settle().await;
        connection.say("7\r\nient\":1\r\n1\r\n}\r\n0\r\n\r\n").await;
        request
    };
    let keys = Operation::GetAttributes {
        client_keys: Some("a,b".to_owned()),
        shared_keys: Some("c&d".to_owned()),
    };
    let (outcome, request) = both(thingsboard.send(asking(keys)), script).await;
    assert_eq!(outcome.unwrap().body, "{\"client\":1}");
    let line =
        "GET /api/v1/S3cret%3FToken/attributes?clientKeys=a%2Cb&sharedKeys=c%26d HTTP/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
}

#[tokio::test]
async fn a_refusal_keeps_its_status_and_whether_a_text_came_with_it() {
    let rejected = |code, has_text| Err(Error::Rejected(Status { code, has_text }));
    let with_text = "HTTP/1.1 500 \r\nContent-Length: 9\r\n\r\nbad JSON!";
    assert_eq!(answered_with(with_text).await, rejected(500, true));
    assert_eq!(
        answered_with("HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n").await,
        rejected(500, false)
    );
    assert_eq!(
        answered_with("HTTP/1.1 401 \r\nContent-Length: 0\r\n\r\n").await,
        rejected(401, false)
    );
    // The body breaks off, the status has been read.
    assert_eq!(
        answered_with("HTTP/1.1 401 \r\nContent-Length: 5\r\n\r\n").await,
        rejected(401, false)
    );
    assert_eq!(
        answered_with("HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n").await,
        Err(Error::Overloaded)
    );
    assert_eq!(
        answered_with("HTTP/1.1 504 \r\nContent-Length: 0\r\n\r\n").await,
        Err(Error::Timeout)
    );
}

#[tokio::test]
async fn a_success_that_is_not_200_makes_no_sense() {
    assert!(makes_no_sense(
        &answered_with("HTTP/1.1 204 No Content\r\n\r\n").await
    ));
    assert!(makes_no_sense(
        &answered_with("HTTP/1.1 202 \r\nContent-Length: 0\r\n\r\n").await
    ));
    assert!(makes_no_sense(
        &answered_with("HTTP/1.1 101 \r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await
    ));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, elsewhere) = tokio::join!(ScriptedServer::start(), ScriptedServer::start());
    let thingsboard = thingsboard(&server.url());
    let script = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        let location = elsewhere.url();
        connection
            .say(format!(
                "HTTP/1.1 307 \r\nLocation: {location}/\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
    };
    let outcome = tokio::select! {
        (outcome, ()) = both(thingsboard.send(telemetry("{}")), script) => outcome,
        _ = elsewhere.accept() => panic!("the token went to another server"),
    };
    assert!(makes_no_sense(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let url = ScriptedServer::start().await.stop();
    assert_eq!(
        thingsboard(&url).send(telemetry("{}")).await,
        Err(Error::Unreachable)
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_unreachable() {
    assert_eq!(answered_with("").await, Err(Error::Unreachable));
    assert_eq!(
        answered_with("HTTP/1.1 200 OK\r\nConte").await,
        Err(Error::Unreachable)
    );
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"cli";
    assert_eq!(answered_with(half).await, Err(Error::Unreachable));
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"c";
    assert_eq!(answered_with(half).await, Err(Error::Unreachable));
}

#[tokio::test]
async fn what_is_not_http_makes_no_sense() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "\x15\x03\x01\x00\x02\x02\x46",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let outcome = answered_with(garbage).await;
        assert!(makes_no_sense(&outcome), "{garbage:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn headers_without_end_make_no_sense() {
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(200_000));
    assert!(makes_no_sense(&answered_with(endless).await));
}

#[tokio::test]
async fn a_body_over_the_bound_makes_no_sense_announced_or_not() {
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    assert!(makes_no_sense(&answered_with(announced).await));
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let endless = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        chunk.repeat(5)
    );
    assert!(makes_no_sense(&answered_with(endless).await));
    // Exactly at the bound it is an answer.
    let largest = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 262144\r\n\r\n{}",
        "x".repeat(262_144)
    );
    assert_eq!(answered_with(largest).await.unwrap().body.len(), 262_144);
}

#[tokio::test]
async fn a_chunk_of_a_package_is_as_long_as_was_asked_for_at_most() {
    let outcome = async |announced: &str, length: usize| {
        let server = ScriptedServer::start().await;
        let thingsboard = thingsboard(&server.url());
        let chunk = Operation::GetPackage {
            package: Package::Firmware,
            title: "meter".into(),
            version: "1".into(),
            size: 524_288,
            chunk: 3,
        };
        let script = async {
            let mut connection = server.accept().await;
            connection.request().await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\n{announced}\r\n");
            connection
                .say([head.into_bytes(), vec![0xa5; length]].concat())
                .await;
        };
        both(thingsboard.send(asking(chunk)), script).await.0
    };
    let whole = outcome("Content-Length: 524288\r\n", 524_288)
        .await
        .unwrap();
    assert!(whole.body.len() == 524_288 && whole.body.iter().all(|byte| *byte == 0xa5));
    assert!(makes_no_sense(
        &outcome("Content-Length: 524289\r\n", 0).await
    ));
    // Without a length the body ends with the connection.
    assert!(makes_no_sense(&outcome("", 524_289).await));
}

#[tokio::test]
async fn packages_have_connections_of_their_own() {
    let server = ScriptedServer::start().await;
    let settings = Settings {
        url: server.url().parse().unwrap(),
        ca: None,
        timeout: Duration::from_secs(20),
        max_in_flight: 1,
        max_downlink: 1,
        max_packages: 1,
    };
    let thingsboard = ThingsBoard::new(settings).unwrap();
    let assignment = || asking(Operation::ReadAssignment(Package::Software));
    let script = async {
        let mut package = server.accept().await;
        package.request().await.unwrap();
        let second = thingsboard.send(assignment()).await;
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let other = async {
            let mut connection = server.accept().await;
            connection.request().await.unwrap();
            connection.say(answer).await;
        };
        let (posted, ()) = tokio::join!(thingsboard.send(telemetry("{}")), other);
        package.say(answer).await;
        (second, posted)
    };
    let (first, (second, posted)) = both(thingsboard.send(assignment()), script).await;
    assert_eq!((first, posted), (empty(), empty()));
    assert_eq!(second, Err(Error::Overloaded));
}

#[tokio::test]
async fn silence_and_a_body_that_trickles_are_timeouts() {
    for start in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{",
    ] {
        let server = ScriptedServer::start().await;
        let thingsboard = within(&server.url(), Duration::from_millis(200));
        let script = async {
            let mut connection = server.accept().await;
            connection.request().await.unwrap();
            connection.say(start).await;
            // The client hangs up when it has waited long enough.
            connection.request().await
        };
        let (outcome, after) = both(thingsboard.send(telemetry("{}")), script).await;
        assert_eq!((outcome, after), (Err(Error::Timeout), None), "{start:?}");
    }
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_at_once() {
    let server = ScriptedServer::start().await;
    let settings = Settings {
        url: server.url().parse().unwrap(),
        ca: None,
        timeout: Duration::from_secs(20),
        max_in_flight: 1,
        max_downlink: 8,
        max_packages: 8,
    };
    let thingsboard = ThingsBoard::new(settings).unwrap();
    let script = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        let second = thingsboard.send(telemetry("{}")).await;
        connection
            .say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        second
    };
    let (first, second) = both(thingsboard.send(telemetry("{}")), script).await;
    assert_eq!((first, second), (empty(), Err(Error::Overloaded)));
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&server.url());
    let script = async {
        let mut connection = server.accept().await;
        for _ in 0..3 {
            connection.request().await.unwrap();
            connection
                .say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    };
    let requests = async {
        for _ in 0..3 {
            assert_eq!(thingsboard.send(telemetry("{}")).await, empty());
        }
    };
    both(requests, script).await;
}

#[tokio::test]
async fn a_connection_closed_between_two_posts_loses_and_doubles_nothing() {
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&server.url());
    // Tomcat announces the end after 100 requests; a proxy that restarts does not.
    for announced in ["", "Connection: close\r\n"] {
        let arrived = Mutex::new(Vec::new());
        let answer = async || {
            let mut connection = server.accept().await;
            let request = connection.request().await.unwrap();
            arrived.lock().unwrap().push(request);
            connection
                .say(format!(
                    "HTTP/1.1 200 OK\r\n{announced}Content-Length: 0\r\n\r\n"
                ))
                .await;
        };
        let (first, ()) = both(thingsboard.send(telemetry("{a:1}")), answer()).await;
        server.settle().await;
        let (second, ()) = both(thingsboard.send(telemetry("{a:2}")), answer()).await;
        server.settle().await;
        assert_eq!((first, second), (empty(), empty()));
        let arrived = arrived.into_inner().unwrap();
        assert_eq!(arrived.len(), 2);
        assert!(
            arrived[0].ends_with("{a:1}") && arrived[1].ends_with("{a:2}"),
            "{arrived:?}"
        );
    }
}

#[tokio::test]
async fn a_post_that_may_have_been_acted_upon_is_not_sent_again() {
    let server = ScriptedServer::start().await;
    let thingsboard = thingsboard(&server.url());
    let script = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        connection
            .say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        // The second one comes on the same connection, is read, and never answered.
        connection.request().await.unwrap()
    };
    let requests = async {
        assert_eq!(thingsboard.send(telemetry("{a:1}")).await, empty());
        tokio::select! {
            outcome = thingsboard.send(telemetry("{a:2}")) => outcome,
            () = async { loop { server.settle().await } } => unreachable!(),
        }
    };
    let sequence = async {
        let second = script.await;
        assert!(second.ends_with("{a:2}"), "{second}");
    };
    // `settle` would accept a connection that a retry opened and answer it with "x": the outcome would be
    // that of nonsense, not of a lost connection.
    let (outcome, ()) = both(requests, sequence).await;
    assert_eq!(outcome, Err(Error::Unreachable));
}

#[tokio::test]
async fn no_error_tells_the_token_or_the_url() {
    let server = ScriptedServer::start().await;
    let address = server.url();
    let refused = thingsboard(&server.stop()).send(telemetry("{}")).await;
    let outcomes = [
        refused,
        answered_with("").await,
        answered_with("SSH-2.0\r\n").await,
        answered_with("HTTP/1.1 302 \r\nLocation: http://elsewhere\r\n\r\n").await,
        answered_with("HTTP/1.1 401 \r\nContent-Length: 0\r\n\r\n").await,
    ];
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        let text = format!("{error} {error:?}");
        for secret in [TOKEN, "S3cret", "api/v1", address.as_str()] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let shown = format!(
        "{:?} {:?}",
        thingsboard("http://tb"),
        telemetry("{\"secretKey\":\"hunter2\"}")
    );
    assert!(
        !shown.contains("S3cret") && !shown.contains("hunter2"),
        "{shown}"
    );
}

/// Whether this is the process that [`again_alone`] started.
fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

const ALONE: &str = "COAPS_GATEWAY_TEST_ALONE";

/// Runs one test of this program in a process of its own, with an environment of its own.
fn again_alone(name: &str, environment: &[(&str, &str)]) {
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", &format!("upstream::tests::{name}")]);
    for variable in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        again.env_remove(variable);
    }
    again.env(ALONE, "1").envs(environment.iter().copied());
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[tokio::test]
async fn a_proxy_from_the_environment_is_not_used() {
    if is_alone() {
        let reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(answered_with(reply).await, empty());
        return;
    }
    let nobody = ScriptedServer::start().await.stop();
    let variables = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let environment = variables.map(|variable| (variable, nobody.as_str()));
    again_alone("a_proxy_from_the_environment_is_not_used", &environment);
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Keeps what this thread logs, until the guard goes.
    fn begin() -> (Log, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Alone, because what other threads log first decides whether a line is logged at all (tracing's cache).
#[tokio::test]
async fn an_outage_is_logged_once_with_its_reason_and_without_the_token() {
    if !is_alone() {
        again_alone(
            "an_outage_is_logged_once_with_its_reason_and_without_the_token",
            &[],
        );
        return;
    }
    let (log, _guard) = Log::begin();
    let url = ScriptedServer::start().await.stop();
    let thingsboard = thingsboard(&url);
    let poll = Operation::PollRpc {
        timeout: Duration::from_secs(25),
    };
    for request in [telemetry("{}"), asking(poll), telemetry("{}")] {
        assert_eq!(thingsboard.send(request).await, Err(Error::Unreachable));
    }
    let text = log.text();
    assert_eq!(text.matches("can't be reached").count(), 1, "{text}");
    assert!(text.contains("refused"), "{text}");
    assert!(!text.contains("S3cret"), "{text}");
}
