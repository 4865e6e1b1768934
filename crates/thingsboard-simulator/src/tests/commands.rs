use super::polls::response;
use super::{Server, TOKEN, start};
use crate::{CommandOutcome, ServerRpc};
use serde_json::json;
use std::time::Duration;

impl Server {
    async fn call_device(&self, body: &str) -> super::client::Reply {
        self.with_headers("POST", "/simulator/devices/meter/rpc", "", body)
            .await
    }
}

#[tokio::test]
async fn a_oneway_command_goes_to_the_open_poll() {
    let server = start().await;
    let poll = server.poll("rpc").await;
    let rpc = ServerRpc::oneway("setValve", &json!({"open": true}));
    let outcome = server.control.command("meter", rpc).await;
    assert_eq!(outcome, Ok(CommandOutcome::Delivered));
    let reply = response(poll).await;
    let body = r#"{"id":0,"method":"setValve","params":{"open":true}}"#;
    assert_eq!((reply.status, reply.body.as_str()), (200, body));
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_twoway_command_waits_for_a_reply_of_any_text() {
    let server = start().await;
    for (id, text) in [(0, r#"{"open":true}"#), (1, "not json {")] {
        let device = async {
            let poll = server.get("rpc?timeout=20000").await;
            assert_eq!(poll.json()["id"], id);
            assert_eq!(server.post(&format!("rpc/{id}"), text).await.status, 200);
        };
        let body = r#"{"method":"m","params":1.50,"timeoutMs":20000}"#;
        let (reply, ()) = tokio::join!(server.call_device(body), device);
        assert_eq!((reply.status, reply.body.as_str()), (200, text));
    }
}

#[tokio::test]
async fn a_command_without_a_reply_is_returned_at_once_until_it_expires() {
    let server = start().await;
    let device = async {
        let first = server.get("rpc?timeout=20000").await;
        for _ in 0..3 {
            let again = server.get("rpc?timeout=20000").await;
            assert_eq!((again.status, again.body), (200, first.body.clone()));
        }
    };
    let body = r#"{"method":"m","params":1,"timeoutMs":700}"#;
    let (reply, ()) = tokio::join!(server.call_device(body), device);
    assert_eq!(reply.status, 504);
    assert!(reply.json()["error"].is_string());
    // A late reply gets 200, and is ignored.
    assert_eq!(server.post("rpc/0", "late").await.status, 200);
    assert_eq!(server.get("rpc?timeout=1").await.status, 408);
}

#[tokio::test]
async fn a_oneway_command_after_an_idle_poll_is_200_and_lost() {
    let server = start().await;
    assert_eq!(server.get("rpc?timeout=10").await.status, 408);
    assert_eq!(server.rpc().stale, 1);
    let lost = r#"{"method":"m","params":1,"oneway":true}"#;
    let reply = server.call_device(lost).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert_eq!(server.get("rpc?timeout=10").await.status, 408);
}

#[tokio::test]
async fn a_command_without_a_poll_is_504() {
    let server = start().await;
    let body = r#"{"method":"m","params":1,"oneway":true,"timeoutMs":20}"#;
    let reply = server.call_device(body).await;
    assert_eq!(reply.status, 504);
    assert!(
        reply.json()["error"]
            .as_str()
            .unwrap()
            .contains("no poll took")
    );
    let rpc = ServerRpc::twoway("m", &json!(1)).with_timeout(Duration::from_millis(20));
    let outcome = server.control.command("meter", rpc).await;
    assert_eq!(outcome, Ok(CommandOutcome::NoActiveConnection));
}

#[tokio::test]
async fn a_command_to_an_unknown_device_or_without_a_method_is_refused() {
    let server = start().await;
    let rpc = ServerRpc::oneway("m", &json!(1));
    let refused = server.control.command("unknown", rpc).await.unwrap_err();
    assert!(refused.to_string().contains("unknown"));
    assert_eq!(server.call_device("{}").await.status, 400);
}

#[tokio::test]
async fn a_caller_that_waits_gets_lost_when_the_simulator_stops() {
    let server = start().await;
    let control = server.control.clone();
    let rpc = ServerRpc::twoway("m", &json!(1)).with_timeout(Duration::from_secs(3600));
    let caller = tokio::spawn(async move { control.command("meter", rpc).await });
    let pending = |server: &Server| {
        let subscriptions = server.control.subscriptions("meter").unwrap();
        subscriptions.pending_commands == 1
    };
    server.until(pending).await;
    server.stop().await;
    assert_eq!(caller.await.unwrap(), Ok(CommandOutcome::Lost));
}

#[tokio::test]
async fn subscriptions_are_shown_over_http() {
    let server = start().await;
    let _poll = server.poll("rpc").await;
    server.get("attributes/updates?timeout=10").await;
    server.until(|server| server.updates().stale == 1).await;
    let path = "/simulator/devices/meter/subscriptions";
    let shown = server.call("GET", path, "").await.json();
    assert_eq!(
        shown,
        json!({
            "attributes": {"live": 0, "stale": 1, "opened": 1, "open": 0, "mostOpen": 1},
            "rpc": {"live": 1, "stale": 0, "opened": 1, "open": 1, "mostOpen": 1},
            "pendingCommands": 0,
        })
    );
    let unknown = "/simulator/devices/unknown/subscriptions";
    assert_eq!(server.call("GET", unknown, "").await.status, 404);
    assert!(!shown.to_string().contains(TOKEN));
}
