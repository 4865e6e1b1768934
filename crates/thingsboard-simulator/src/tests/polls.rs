use super::client::{Reply, parsed, rest};
use super::{Server, TOKEN, start};
use crate::clock::Clock;
use crate::downlink::PollKind;
use crate::{Fault, FaultAction, PollCounts, Scope, Timeouts};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;

impl Server {
    /// Sends a poll, and returns once its subscription has reached the device actor.
    pub(super) async fn poll(&self, feature: &str) -> TcpStream {
        let counts = |server: &Server| match feature.starts_with("rpc") {
            true => server.rpc(),
            false => server.updates(),
        };
        let before = counts(self).live;
        let stream = self
            .send(&format!(
                "GET /api/v1/{TOKEN}/{feature} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            ))
            .await;
        self.until(|server| counts(server).live > before).await;
        stream
    }

    /// Waits until a condition holds.
    pub(super) async fn until(&self, holds: impl Fn(&Server) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, wait)
            .await
            .expect("the condition never held");
    }

    pub(super) fn rpc(&self) -> PollCounts {
        self.control.subscriptions("meter").unwrap().rpc
    }

    pub(super) fn updates(&self) -> PollCounts {
        self.control.subscriptions("meter").unwrap().attributes
    }

    fn share(&self, key: &str, value: Value) {
        self.control
            .set_shared_attribute("meter", key, &value)
            .unwrap();
    }
}

pub(super) async fn response(mut stream: TcpStream) -> Reply {
    parsed(&rest(&mut stream).await)
}

#[tokio::test]
async fn a_poll_waits_for_shared_attributes_and_gets_them_flat() {
    let server = start().await;
    let polls = [
        server.poll("attributes/updates").await,
        server.poll("attributes/updates?timeout=20000").await,
    ];
    // Attributes that the device posts are not sent to it.
    assert_eq!(server.post("attributes", "{a:1}").await.status, 200);
    server.share("interval", json!(60));
    for poll in polls {
        let reply = response(poll).await;
        assert_eq!((reply.status, reply.json()), (200, json!({"interval": 60})));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    assert_eq!(server.updates().stale, 2);
}

#[tokio::test]
async fn a_deletion_names_its_keys() {
    let server = start().await;
    server.share("a", json!(1));
    let poll = server.poll("attributes/updates").await;
    let keys = ["a".to_owned(), "b".to_owned()];
    let control = &server.control;
    // Changes of client attributes are not sent to the device.
    control
        .remove_attributes("meter", Scope::Client, &["c".to_owned()])
        .unwrap();
    control
        .remove_attributes("meter", Scope::Shared, &keys)
        .unwrap();
    assert_eq!(response(poll).await.body, r#"{"deleted":["a","b"]}"#);
}

#[tokio::test]
async fn an_idle_poll_is_408_and_listed_apart_from_other_arrivals() {
    let server = start().await;
    let reply = server.get("rpc?timeout=20").await;
    assert_eq!((reply.status, reply.body.as_str()), (408, ""));
    assert_eq!(
        server.get("attributes/updates?timeout=-5").await.status,
        408
    );
    server.post("telemetry", "{}").await;
    assert_eq!(server.control.arrivals().len(), 1);
    let polls = server.control.polls();
    let listed = |index: usize| {
        let poll = &polls[index];
        (poll.path.as_str(), poll.query.as_deref(), poll.status)
    };
    let rpc = "/api/v1/{token}/rpc";
    assert_eq!(listed(0), (rpc, Some("timeout=20"), Some(408)));
    assert_eq!(listed(1).2, Some(408));
    assert_eq!(polls[0].device.as_deref(), Some("meter"));
}

#[tokio::test]
async fn the_containers_timeout_is_503_and_the_session_takes_the_next_message() {
    let server = start().await;
    server.control.set_timeouts(Timeouts {
        asynchronous: Duration::from_millis(50),
        request: Duration::from_secs(60),
    });
    let reply = server.get("attributes/updates").await;
    assert_eq!((reply.status, &reply.json()["errorCode"]), (503, &json!(2)));
    assert_eq!(server.updates().live, 1);
    server.share("a", json!(1));
    let counts = server.updates();
    assert_eq!((counts.live, counts.stale, counts.open), (0, 1, 0));
}

#[tokio::test]
async fn a_wrong_poll_gets_its_error_at_once() {
    let server = start().await;
    let reply = server.get("rpc?timeout=soon").await;
    assert_eq!(reply.status, 400);
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("'timeout'") && message.contains("\"soon\""));
    let unknown = server.call("GET", "/api/v1/UNKNOWN/rpc", "").await;
    assert_eq!(unknown.status, 401);
    assert_eq!(
        server.call("PUT", "/api/v1/UNKNOWN/rpc", "").await.status,
        405
    );
    let answers = server.control.polls().into_iter().map(|poll| poll.status);
    assert_eq!(answers.collect::<Vec<_>>(), [Some(400), Some(401)]);
}

#[tokio::test]
async fn a_client_that_disconnects_leaves_a_session_that_takes_a_message() {
    let server = start().await;
    let poll = server.poll("attributes/updates").await;
    drop(poll);
    server.until(|server| server.updates().open == 0).await;
    assert_eq!(server.updates().live, 1);
    server.share("a", json!(1));
    let counts = server.updates();
    assert_eq!((counts.live, counts.stale), (0, 1));
    assert_eq!(server.control.polls()[0].status, None);
}

#[tokio::test]
async fn polls_of_a_deleted_device_are_403_and_then_401() {
    let server = start().await;
    let poll = server.poll("rpc").await;
    assert!(server.control.remove_device("meter"));
    let reply = response(poll).await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (403, "Device was deleted!")
    );
    assert_eq!(server.get("rpc").await.status, 401);
}

#[tokio::test]
async fn after_a_new_token_open_polls_end_by_their_timeout() {
    let server = start().await;
    let poll = server.poll("attributes/updates?timeout=200").await;
    // The same token again changes nothing.
    server.control.add_device("meter", TOKEN).unwrap();
    assert_eq!(server.updates().live, 1);
    server.control.add_device("meter", "NEW").unwrap();
    server.share("a", json!(1));
    assert_eq!(response(poll).await.status, 408);
    assert_eq!(server.get("attributes/updates").await.status, 401);
    let new = server.call("GET", "/api/v1/NEW/rpc?timeout=1", "").await;
    assert_eq!(new.status, 408);
}

#[tokio::test]
async fn faults_apply_to_polls() {
    let server = start().await;
    let rpc = "/api/v1/*/rpc";
    let control = &server.control;
    control
        .add_fault(Fault::status(502).on(rpc).times(1))
        .unwrap();
    assert_eq!(server.get("rpc").await.status, 502);
    let dropped = Fault::always(FaultAction::Drop).on(rpc).times(1);
    control.add_fault(dropped).unwrap();
    let request = format!("GET /api/v1/{TOKEN}/rpc HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(server.raw(&request).await, b"");
    assert_eq!(server.rpc().opened, 0);
    let pause = Duration::from_millis(60);
    let late = Fault::always(FaultAction::Pass).on(rpc).times(1);
    control.add_fault(late.after(pause)).unwrap();
    let clock = Clock::start();
    // It subscribes at once, and the response is late.
    assert_eq!(server.get("rpc?timeout=1").await.status, 408);
    assert!(clock.now_ms() >= 60);
    let listed = server.control.polls();
    let listed = listed.iter().map(|poll| (poll.fault, poll.status));
    assert_eq!(
        listed.collect::<Vec<_>>(),
        [
            (Some("status"), Some(502)),
            (Some("drop"), None),
            (Some("delay"), Some(408)),
        ]
    );
}

#[tokio::test]
async fn open_polls_end_with_the_simulator() {
    let server = start().await;
    let mut poll = server.poll("rpc").await;
    server.stop().await;
    assert_eq!(rest(&mut poll).await, b"");
}

#[tokio::test]
async fn pipelined_polls_are_served_one_after_the_other() {
    let server = start().await;
    let poll = format!("GET /api/v1/{TOKEN}/rpc?timeout=5 HTTP/1.1\r\nHost: x\r\n\r\n");
    let raw = server.raw(&poll.repeat(100)).await;
    let text = String::from_utf8(raw).unwrap();
    assert_eq!(text.matches("HTTP/1.1 408").count(), 100);
    let counts = server.rpc();
    assert_eq!(
        (counts.opened, counts.most_open, counts.stale),
        (100, 1, 100)
    );
}

#[tokio::test]
async fn each_of_many_devices_gets_its_own_change() {
    let server = start().await;
    let names: Vec<String> = (0..150).map(|index| format!("d{index}")).collect();
    let mut polls = Vec::new();
    for name in &names {
        server.control.add_device(name, name).unwrap();
        polls.push(
            server
                .send(&format!(
                    "GET /api/v1/{name}/attributes/updates HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                ))
                .await,
        );
    }
    let live = |name: &str| server.control.subscriptions(name).unwrap().attributes.live;
    server
        .until(|_| names.iter().all(|name| live(name) == 1))
        .await;
    for name in names.iter().rev() {
        server
            .control
            .set_shared_attribute(name, "for", &json!(name))
            .unwrap();
    }
    for (name, poll) in names.iter().zip(polls) {
        assert_eq!(response(poll).await.json(), json!({ "for": name }));
    }
}

#[tokio::test]
async fn a_session_over_the_limit_is_refused_with_a_reason() {
    let server = start().await;
    for _ in 0..1000 {
        let polls = &mut server.control.0.lock().long_polls;
        assert!(polls.open("meter", PollKind::Rpc, 60_000).is_ok());
    }
    let reply = server.get("rpc").await;
    assert_eq!(reply.status, 503);
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("1000 sessions"), "{message}");
}
