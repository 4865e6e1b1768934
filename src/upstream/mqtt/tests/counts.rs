//! What is counted, and what a request holds until then.

use super::super::connection::tests::server;
use super::broker::Instruction;
use super::*;

fn telemetry(text: &str) -> Operation {
    Operation::PostTelemetry(text.to_owned().into())
}

/// The count of a reason.
fn of(counts: &[(&'static str, u64)], name: &str) -> u64 {
    let mut all = counts.iter();
    all.find(|(known, _)| *known == name).unwrap().1
}

async fn eventually(gateway: &Gateway, what: &str, is_so: impl Fn(&Counters) -> bool) {
    for _ in 0..1000 {
        if is_so(&gateway.upstream.counters()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: {:?}", gateway.upstream.counters());
}

#[tokio::test]
async fn connections_are_counted_by_their_end_and_requests_by_why_they_were_not_sent() {
    let broker = Broker::new().await;
    let gateway = gateway(&Settings {
        max_connections: 1,
        ..settings(&broker)
    });
    let device = device(1);
    assert_eq!(gateway.upstream.status(&device), None);
    assert_eq!(gateway.post(&device).await, Ok(Bytes::new()));
    assert_eq!(gateway.upstream.status(&device), Some(Status::Open));
    assert_eq!(
        gateway.post(&super::device(2)).await,
        Err(Error::Overloaded)
    );
    let no_time = r#"{"ts":"x","values":{"a":1}}"#;
    let huge = format!("{{a:\"{}\"}}", "x".repeat(70_000));
    for body in [no_time, &huge] {
        assert!(gateway.send(&device, telemetry(body)).await.is_err());
    }
    broker.script(|script| script.disconnect.insert("v2/t/j".to_owned(), 0x83));
    for _ in 0..2 {
        assert_eq!(
            gateway.post(&device).await,
            rejected(Rejection::RateLimited)
        );
    }
    assert_eq!(gateway.upstream.status(&device), Some(Status::BackingOff));
    let counters = gateway.upstream.counters();
    assert_eq!(
        (counters.open, counters.opened, counters.devices),
        (0, 1, 1)
    );
    assert_eq!(counters.backing_off, 1);
    assert_eq!(of(&counters.ended, "rate_limited"), 1);
    for reason in ["max_connections", "body", "too_large", "backing_off"] {
        assert_eq!(of(&counters.refused, reason), 1, "{reason}");
    }
    eventually(&gateway, "it waits no longer", |counters| {
        (counters.backing_off, counters.devices) == (0, 0)
    })
    .await;
}

/// So what a device can make the gateway hold for it has a bound, even if its sessions end before the answers.
#[tokio::test]
async fn a_request_keeps_its_place_until_its_connection_has_dropped_it() {
    let broker = Broker::new().await;
    broker.script(|script| script.puback.insert("v2/t/j".to_owned(), None));
    let gateway = gateway(&Settings {
        max_in_flight: 1,
        timeout: Duration::from_secs(2),
        ..settings(&broker)
    });
    let device = device(1);
    let post = {
        let (upstream, device) = (gateway.upstream.clone(), device.clone());
        tokio::spawn(async move {
            let operation = telemetry("{a:1}");
            upstream.send(Request::Device { device, operation }).await
        })
    };
    broker.wait(|script| script.published.len() == 1).await;
    post.abort();
    assert!(post.await.unwrap_err().is_cancelled());
    let counters = gateway.upstream.counters();
    assert_eq!((counters.requests, counters.request_bytes), (1, 5));
    assert_eq!(gateway.post(&device).await, Err(Error::Overloaded));
    broker.script(|script| script.puback.clear());
    eventually(&gateway, "it is dropped", |counters| {
        (counters.requests, counters.request_bytes) == (0, 0)
    })
    .await;
    assert_eq!(gateway.post(&device).await, Ok(Bytes::new()));
    let counters = gateway.upstream.counters();
    assert_eq!(of(&counters.refused, "max_in_flight"), 1);
    let expected = Expired {
        unacknowledged: 1,
        ..Expired::default()
    };
    assert_eq!(counters.expired, expected);
}

#[tokio::test]
async fn messages_and_their_acknowledgements_are_counted() {
    let mut broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    gateway.subscribe(&device(1));
    gateway.subscribed().await;
    let send = |bytes| broker.instruct(Instruction::Send("TOKEN-1".to_owned(), bytes));
    send(server::publish(1, "v2/r/req/j/5", b"{}"));
    send(server::publish(2, "v2/a/j", b"{}"));
    send(server::publish(3, "v2/a/j", b"{}"));
    let mut acknowledgements = Vec::new();
    while acknowledgements.len() < 3 {
        match gateway.notice().await {
            Notice::Command {
                acknowledgement, ..
            }
            | Notice::Attributes {
                acknowledgement, ..
            } => acknowledgements.push(acknowledgement),
            other => panic!("{other:?}"),
        }
    }
    gateway.upstream.acknowledge(acknowledgements[0]);
    broker.wait(|script| script.acknowledged == [1]).await;
    broker.stop().await;
    gateway.interrupted().await;
    for late in &acknowledgements[1..] {
        gateway.upstream.acknowledge(*late);
    }
    let counters = gateway.upstream.counters();
    assert_eq!((counters.attributes, counters.commands), (2, 1));
    let acknowledged = (counters.acknowledged, counters.acknowledged_too_late);
    assert_eq!(acknowledged, (1, 2));
    assert_eq!(of(&counters.ended, "lost"), 1);
}
