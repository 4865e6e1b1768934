use super::client::rest;
use super::{TOKEN, start};
use crate::{Fault, FaultAction};
use std::time::Duration;

fn request() -> String {
    format!("GET /api/v1/{TOKEN}/attributes HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[tokio::test]
async fn a_status_is_answered_for_the_next_requests_and_has_no_effect() {
    let server = start().await;
    server
        .control
        .add_fault(Fault::status(503).times(2))
        .unwrap();
    for _ in 0..2 {
        let reply = server.post("telemetry", "{a:1}").await;
        assert_eq!((reply.status, reply.body.as_str()), (503, ""));
    }
    assert_eq!(server.control.latest_telemetry("meter", "a"), None);
    assert_eq!(server.post("telemetry", "{a:1}").await.status, 200);
    let arrivals = server.control.arrivals();
    assert_eq!(
        (arrivals[0].fault, arrivals[0].status),
        (Some("status"), Some(503))
    );
    assert_eq!(arrivals[0].device.as_deref(), Some("meter"));
    assert_eq!(arrivals[2].fault, None);
}

#[tokio::test]
async fn a_fault_on_one_path_leaves_the_others_alone() {
    let server = start().await;
    let body = FaultAction::Status {
        status: 200,
        body: "not json".into(),
        content_type: Some("text/html".into()),
    };
    server
        .control
        .add_fault(Fault::always(body).on("/api/v1/*/attributes"))
        .unwrap();
    let reply = server.get("attributes").await;
    assert_eq!(
        (reply.body.as_str(), reply.header("content-type")),
        ("not json", Some("text/html"))
    );
    assert_eq!(server.post("telemetry", "{}").await.status, 200);
    server.control.clear_faults();
    assert_eq!(server.get("attributes").await.body, "{}");
}

#[tokio::test]
async fn a_dropped_connection_closes_without_a_byte() {
    let server = start().await;
    server
        .control
        .add_fault(Fault::always(FaultAction::Drop).times(1))
        .unwrap();
    assert_eq!(server.raw(&request()).await, b"");
    assert_eq!(server.get("attributes").await.status, 200);
}

#[tokio::test]
async fn garbage_is_no_http() {
    let server = start().await;
    server
        .control
        .add_fault(Fault::always(FaultAction::Garbage).times(1))
        .unwrap();
    let raw = server.raw(&request()).await;
    assert!(!raw.is_empty() && !raw.starts_with(b"HTTP"), "{raw:?}");
    assert_eq!(server.get("attributes").await.status, 200);
}

#[tokio::test]
async fn a_hang_lasts_until_the_simulator_stops() {
    let server = start().await;
    let mut feed = server.control.subscribe();
    server
        .control
        .add_fault(Fault::always(FaultAction::Hang))
        .unwrap();
    let mut stream = server.send(&request()).await;
    let arrival = feed.recv().await.unwrap();
    assert_eq!((arrival.fault, arrival.status), (Some("hang"), None));
    server.stop().await;
    assert_eq!(rest(&mut stream).await, b"");
}

#[tokio::test]
async fn a_delayed_request_arrives_at_once_and_is_answered_later() {
    let server = start().await;
    let mut feed = server.control.subscribe();
    let later = Fault::always(FaultAction::Pass).times(1);
    server
        .control
        .add_fault(later.clone().after(Duration::from_millis(5)))
        .unwrap();
    assert_eq!(server.post("telemetry", "{}").await.status, 200);
    assert_eq!(feed.recv().await.unwrap().fault, Some("delay"));
    server
        .control
        .add_fault(later.after(Duration::from_secs(3600)))
        .unwrap();
    let mut stream = server.send(&request()).await;
    assert_eq!(feed.recv().await.unwrap().status, Some(200));
    server.stop().await;
    assert_eq!(rest(&mut stream).await, b"");
}

#[tokio::test]
async fn idle_connections_do_not_outlive_the_simulator() {
    let server = start().await;
    let mut idle = server.send("").await;
    let address = server.address;
    server.get("attributes").await;
    server.stop().await;
    assert_eq!(rest(&mut idle).await, b"");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
