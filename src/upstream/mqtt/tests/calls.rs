//! Requests of devices.

use super::super::connection::tests::server;
use super::*;
use crate::upstream::Package;

#[tokio::test]
async fn requests_of_a_device_share_one_connection() {
    let broker = Broker::new().await;
    broker.script(|script| {
        let attributes = b"{\"shared\":{\"a\":1}}".to_vec();
        script.answers.insert("v2/a/req/j/", attributes);
        script.answers.insert("v2/r/req/j/", b"7".to_vec());
    });
    let gateway = gateway(&settings(&broker));
    let device = device(1);
    let empty = || Ok(Bytes::new());
    assert_eq!(gateway.post(&device).await, empty());
    let body = || Bytes::from_static(b"{\"method\":\"m\",\"params\":{}}");
    for (operation, expected) in [
        (Operation::PostAttributes(body()), empty()),
        (Operation::Claim(Bytes::new()), empty()),
        (
            Operation::ReplyRpc {
                id: 3,
                body: body(),
            },
            empty(),
        ),
        (Operation::CallRpc(body()), Ok("7".into())),
        (
            Operation::ReadAttributes,
            Ok("{\"shared\":{\"a\":1}}".into()),
        ),
    ] {
        assert_eq!(gateway.send(&device, operation).await, expected);
    }
    let posts = (0..100).map(|_| {
        let (gateway, device) = (gateway.upstream.clone(), device.clone());
        tokio::spawn(async move {
            let operation = Operation::PostTelemetry("{a:1}".into());
            gateway.send(Request::Device { device, operation }).await
        })
    });
    for post in posts.collect::<Vec<_>>() {
        assert!(post.await.unwrap().is_ok());
    }
    assert_eq!(broker.script(|script| script.connects.clone()), ["TOKEN-1"]);
    let counters = gateway.upstream.counters();
    assert_eq!((counters.open, counters.waiting), (1, 0));
}

#[tokio::test]
async fn a_bad_body_is_refused_without_a_connection_or_by_a_puback() {
    let broker = Broker::new().await;
    let gateway = gateway(&settings(&broker));
    let device = device(1);
    let post = |text: &'static str| Operation::PostTelemetry(text.into());
    assert_eq!(
        gateway.send(&device, post("[]")).await,
        rejected(Rejection::BadRequest)
    );
    assert_eq!(broker.script(|script| script.connects.len()), 0);
    broker.script(|script| script.puback.insert("v2/t/j".to_owned(), Some(0x99)));
    assert_eq!(
        gateway.send(&device, post("{")).await,
        rejected(Rejection::Unparsable)
    );
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_not_tried_again_soon() {
    let broker = Broker::new().await;
    broker.script(|script| script.connack.insert("TOKEN-1".to_owned(), 0x86));
    let mut gateway = gateway(&settings(&broker));
    let device = device(1);
    for _ in 0..3 {
        assert_eq!(
            gateway.post(&device).await,
            rejected(Rejection::TokenRefused)
        );
    }
    assert_eq!(gateway.notice().await, Notice::TokenRefused);
    assert_eq!(broker.script(|script| script.connects.len()), 1);
    // With another token it is tried at once.
    let changed = Arc::new(Device {
        name: device.name.clone(),
        token: AccessToken::new("TOKEN-2").unwrap(),
    });
    assert_eq!(gateway.post(&changed).await, Ok(Bytes::new()));
}

#[tokio::test]
async fn a_rate_limit_ends_the_connection_and_the_request_gets_429() {
    let broker = Broker::new().await;
    broker.script(|script| script.disconnect.insert("v2/t/j".to_owned(), 0x83));
    let gateway = gateway(&settings(&broker));
    let device = device(1);
    let limited = || rejected(Rejection::RateLimited);
    assert_eq!(gateway.post(&device).await, limited());
    // For a second, or the half of it, there is no other attempt.
    assert_eq!(gateway.post(&device).await, limited());
    broker.script(|script| script.disconnect.clear());
    for _ in 0..200 {
        if gateway.post(&device).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it waits for ever");
}

#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_again() {
    let mut broker = Broker::new().await;
    broker.script(|script| script.puback.insert("v2/t/j".to_owned(), None));
    let gateway = gateway(&settings(&broker));
    let device = device(1);
    let post = gateway.post(&device);
    let cut = async {
        broker.wait(|script| script.published.len() == 1).await;
        broker.instruct(broker::Instruction::CloseAll);
    };
    let (outcome, ()) = tokio::join!(post, cut);
    assert_eq!(outcome, Err(Error::Unreachable));
    broker.wait_open(0).await;
    assert_eq!(broker.script(|script| script.published.len()), 1);
}

#[tokio::test]
async fn while_thingsboard_is_away_requests_fail_at_once_and_then_pass_again() {
    let mut broker = Broker::new().await;
    let gateway = gateway(&settings(&broker));
    let device = device(1);
    broker.stop().await;
    for _ in 0..5 {
        assert_eq!(gateway.post(&device).await, Err(Error::Unreachable));
    }
    broker.restart().await;
    for _ in 0..100 {
        if gateway.post(&device).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not come back");
}

#[tokio::test]
async fn provisioning_has_a_connection_of_its_own() {
    let mut broker = Broker::new().await;
    broker.script(|script| {
        let success = b"{\"status\":\"SUCCESS\"}".to_vec();
        script.answers.insert("/provision/request", success);
    });
    let gateway = gateway(&settings(&broker));
    let body = Bytes::from_static(b"{provisionDeviceKey:k,provisionDeviceSecret:s}");
    let answer = gateway.upstream.send(Request::Provision { body });
    assert_eq!(answer.await.unwrap().body, "{\"status\":\"SUCCESS\"}");
    assert_eq!(
        broker.script(|script| script.connects.clone()),
        ["provision"]
    );
    broker.wait_open(0).await;
    let refused = gateway
        .upstream
        .send(Request::Provision { body: "{}".into() });
    assert_eq!(refused.await, rejected(Rejection::Unparsable));
}

#[tokio::test]
async fn reachability_is_a_connection_without_a_token() {
    let mut broker = Broker::new().await;
    let gateway = gateway(&settings(&broker));
    assert_eq!(gateway.upstream.is_reachable().await, Ok(()));
    assert_eq!(
        broker.script(|script| script.connects.clone()),
        ["provision"]
    );
    broker.stop().await;
    assert_eq!(
        gateway.upstream.is_reachable().await,
        Err(Error::Unreachable)
    );
}

#[tokio::test]
async fn a_part_of_a_package_comes_in_pieces_of_the_assigned_one() {
    let broker = Broker::new().await;
    let part = |title: &str| Operation::GetPackage {
        package: Package::Firmware,
        title: title.into(),
        version: "1".into(),
        size: 1 << 17,
        chunk: 0,
    };
    let gateway = gateway(&settings(&broker));
    let device = device(1);
    broker.script(|script| {
        script.answers.insert("v2/a/req/j/", b"{}".to_vec());
    });
    assert_eq!(
        gateway.send(&device, part("t")).await,
        rejected(Rejection::NotFound)
    );
    broker.script(|script| {
        let assigned = br#"{"shared":{"fw_title":"t","fw_version":"1","fw_size":9}}"#;
        script.answers.insert("v2/a/req/j/", assigned.to_vec());
        script.answers.insert("v2/fw/request/", vec![7; 65_536]);
    });
    assert_eq!(
        gateway.send(&device, part("other")).await,
        rejected(Rejection::BadRequest)
    );
    let whole = gateway.send(&device, part("t")).await.unwrap();
    assert_eq!(whole.len(), 1 << 17);
    broker.script(|script| script.answers.insert("v2/fw/request/", vec![7; 9]));
    let short = gateway.send(&device, part("t")).await.unwrap();
    assert_eq!(short.len(), 9);
    // No connection was closed for it.
    assert_eq!(broker.script(|script| script.connects.len()), 1);
}

#[tokio::test]
async fn a_connection_may_have_tls_and_then_the_server_must_be_trusted() {
    let (mut broker, certificate) = Broker::with_tls().await;
    let plain = settings(&broker);
    let with = |ca: &str| {
        let files = TlsFiles {
            ca: Some(ca.as_bytes().to_vec()),
            client: None,
        };
        Settings {
            is_tls: true,
            tls: Tls::new(&files, true).unwrap(),
            ..plain.clone()
        }
    };
    let trusting = gateway(&with(&certificate));
    let device = device(1);
    assert_eq!(trusting.post(&device).await, Ok(Bytes::new()));
    let large = Operation::PostTelemetry(format!("{{a:'{}'}}", "x".repeat(65_000)).into());
    for _ in 0..20 {
        assert_eq!(
            trusting.send(&device, large.clone()).await,
            Ok(Bytes::new())
        );
    }
    trusting.upstream.close(&device);
    broker.wait_open(0).await;
    assert_eq!(broker.script(|script| script.disconnects), 1);
    let (_, other) = Broker::with_tls().await;
    let distrusting = gateway(&with(&other));
    assert_eq!(distrusting.post(&device).await, Err(Error::Unreachable));
    assert_eq!(broker.script(|script| script.connects.len()), 1);
}

#[tokio::test]
async fn a_request_beside_the_attempt_that_finds_thingsboard_back_opens_no_second_connection() {
    let mut broker = Broker::new().await;
    let gateway = gateway(&settings(&broker));
    let device = device(1);
    broker.stop().await;
    assert_eq!(gateway.post(&device).await, Err(Error::Unreachable));
    broker.script(|script| script.is_connack_held = true);
    broker.restart().await;
    // The first attempt is due after half a second at most; then it waits for its CONNACK.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let first = gateway.post(&device);
    let others = async {
        broker.wait(|script| script.connects.len() == 1).await;
        assert_eq!(gateway.post(&device).await, Err(Error::Unreachable));
        broker.script(|script| script.is_connack_held = false);
        broker.instruct(broker::Instruction::Send(
            "TOKEN-1".to_owned(),
            server::connack(0),
        ));
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(first, Ok(Bytes::new()));
    assert_eq!(gateway.post(&device).await, Ok(Bytes::new()));
    assert_eq!(broker.script(|script| script.connects.len()), 1);
}

#[tokio::test]
async fn a_provision_request_that_is_given_up_leaves_no_connection_behind() {
    let mut broker = Broker::new().await;
    broker.script(|script| script.is_connack_held = true);
    let gateway = gateway(&Settings {
        timeout: Duration::from_millis(300),
        ..settings(&broker)
    });
    let body = Bytes::from("{provisionDeviceKey:k,provisionDeviceSecret:s}");
    let answer = gateway.upstream.send(Request::Provision { body });
    assert_eq!(answer.await, Err(Error::Timeout));
    broker.wait_open(0).await;
    let counters = gateway.upstream.counters();
    assert_eq!((counters.open, counters.waiting), (0, 0));
}
