use super::client::{parsed, rest};
use super::polls::response;
use super::{Server, TOKEN, start};
use crate::clock::Clock;
use crate::{CommandOutcome, Reply, ServerRpc};
use serde_json::json;
use std::time::Duration;

const AN_HOUR: Duration = Duration::from_secs(3600);

impl Server {
    /// Connects and requests attributes. Returns all bytes until the connection closes.
    async fn request_attributes(&self) -> Vec<u8> {
        let request = format!(
            "GET /api/v1/{TOKEN}/attributes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        self.raw(&request).await
    }
}

#[tokio::test]
async fn a_restart_cuts_every_connection_whatever_it_waits_for() {
    let server = start().await;
    server.control.set_reply("silent", Reply::Silence).unwrap();
    let body = "{method:silent,params:1}";
    let mut feed = server.control.subscribe();
    let mut cut = vec![
        server.send("").await,
        server.poll("rpc").await,
        server
            .send(&format!(
                "POST /api/v1/{TOKEN}/rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await,
        // An incomplete request.
        server.send("GET /api/v1").await,
    ];
    feed.recv().await.unwrap();
    server
        .until(|server| server.control.connections().0 == 4)
        .await;
    server.control.restart(Duration::ZERO);
    for stream in &mut cut {
        assert_eq!(rest(stream).await, b"");
    }
    server
        .until(|server| server.control.connections().0 == 0)
        .await;
    assert_eq!(server.get("attributes").await.status, 200);
}

#[tokio::test]
async fn while_it_is_down_connections_are_closed_and_afterwards_the_state_is_unchanged() {
    let server = start().await;
    let control = &server.control;
    control
        .set_shared_attribute("meter", "a", &json!(1))
        .unwrap();
    control.restart(AN_HOUR);
    assert_eq!(server.request_attributes().await, b"");
    control.restart(Duration::from_millis(50));
    let clock = Clock::start();
    let reply = loop {
        let raw = server.request_attributes().await;
        if !raw.is_empty() {
            break parsed(&raw);
        }
    };
    // Not earlier.
    assert!(clock.now_ms() >= 40, "{clock:?}");
    assert_eq!(
        (reply.status, reply.json()),
        (200, json!({"shared": {"a": 1}}))
    );
}

#[tokio::test]
async fn a_restart_loses_commands_and_subscriptions_and_resets_ids() {
    let server = start().await;
    let poll = server.poll("rpc").await;
    let rpc = ServerRpc::twoway("m", &json!(1)).with_timeout(Duration::from_secs(3600));
    let caller = {
        let (control, rpc) = (server.control.clone(), rpc.clone());
        tokio::spawn(async move { control.command("meter", rpc).await })
    };
    assert_eq!(response(poll).await.json()["id"], 0);
    server.get("attributes/updates?timeout=1").await;
    server.until(|server| server.updates().stale == 1).await;
    server.control.restart(Duration::ZERO);
    assert_eq!(caller.await.unwrap(), Ok(CommandOutcome::Lost));
    assert_eq!(server.updates().stale, 0);
    // The old id is unknown.
    assert_eq!(server.post("rpc/0", "{}").await.status, 200);
    let poll = server.poll("rpc").await;
    let oneway = ServerRpc::oneway("n", &json!(1));
    let outcome = server.control.command("meter", oneway).await;
    assert_eq!(outcome, Ok(CommandOutcome::Delivered));
    assert_eq!(response(poll).await.json()["id"], 0);
}

#[tokio::test]
async fn over_http_the_restart_gets_a_response_and_all_other_connections_are_cut() {
    let server = start().await;
    let mut poll = server.poll("rpc").await;
    let request = r#"{"downMs":3600000}"#;
    let raw = server
        .raw(&format!(
            "POST /simulator/restart HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{request}",
            request.len()
        ))
        .await;
    assert!(raw.starts_with(b"HTTP/1.1 204"), "{raw:?}");
    assert_eq!(rest(&mut poll).await, b"");
    assert_eq!(server.request_attributes().await, b"");
    server.control.restart(Duration::ZERO);
    for body in ["", "{}", r#"{"downMs":-1}"#, r#"{"downMs":86400001}"#] {
        let reply = server.call("POST", "/simulator/restart", body).await;
        assert_eq!(reply.status, 400, "{body}");
    }
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_until_another_closes() {
    let server = start().await;
    assert_eq!(server.control.connections().1, 8192);
    let first = server.send("").await;
    server
        .until(|server| server.control.connections().0 == 1)
        .await;
    server.control.set_max_connections(1);
    let waits = server.request_attributes();
    tokio::pin!(waits);
    let soon = tokio::time::timeout(Duration::from_millis(100), &mut waits).await;
    assert!(soon.is_err());
    drop(first);
    assert!(waits.await.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn the_bound_on_connections_can_be_raised_over_http() {
    let server = start().await;
    let path = "/simulator/connections";
    let put = server.call("PUT", path, r#"{"max":20000}"#).await;
    assert_eq!(put.status, 204);
    let shown = server.call("GET", path, "").await.json();
    assert_eq!(shown["max"], 20_000);
    assert_eq!(server.call("PUT", path, r#"{"max":0}"#).await.status, 400);
}

#[tokio::test]
async fn a_failing_attribute_store_gives_200_and_an_empty_object() {
    let server = start().await;
    let control = &server.control;
    control
        .set_shared_attribute("meter", "a", &json!(1))
        .unwrap();
    let path = "/simulator/attribute-store";
    let put = server.call("PUT", path, r#"{"failing":2}"#).await;
    assert_eq!(put.status, 204);
    for left in [1, 0] {
        let reply = server.get("attributes?sharedKeys=a").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "{}"));
        assert_eq!(server.call("GET", path, "").await.json()["failing"], left);
    }
    assert_eq!(server.get("attributes").await.body, r#"{"shared":{"a":1}}"#);
}

#[tokio::test]
async fn a_slow_queue_makes_a_poll_miss_the_first_change() {
    let server = start().await;
    let put = server
        // So long that the first change comes before on a busy machine, too.
        .call("PUT", "/simulator/subscription-delay", r#"{"ms":3000}"#)
        .await;
    assert_eq!(put.status, 204);
    let device = server.get("attributes/updates?timeout=20000");
    let platform = async {
        server.until(|server| server.updates().open == 1).await;
        let share = |value: i32| {
            let set = server
                .control
                .set_shared_attribute("meter", "a", &json!(value));
            set.unwrap();
        };
        share(1);
        server.until(|server| server.updates().live == 1).await;
        share(2);
    };
    let (reply, ()) = tokio::join!(device, platform);
    assert_eq!(reply.body, r#"{"a":2}"#);
    let shown = server
        .call("GET", "/simulator/subscription-delay", "")
        .await;
    assert_eq!(shown.json(), json!({"ms": 3000}));
}
