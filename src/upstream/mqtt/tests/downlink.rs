//! Subscriptions, messages and their acknowledgements.

use super::super::connection::tests::server;
use super::broker::Instruction;
use super::*;

async fn subscribed(broker: &Broker, gateway: &mut Gateway, device: &Arc<Device>) {
    gateway.subscribe(device);
    gateway.subscribed().await;
    assert_eq!(
        broker.script(|script| std::mem::take(&mut script.subscribed)),
        ["v2/a/j", "v2/r/req/j/+"]
    );
}

fn send(broker: &Broker, bytes: Vec<u8>) {
    broker.instruct(Instruction::Send("TOKEN-1".to_owned(), bytes));
}

#[tokio::test]
async fn a_message_is_acknowledged_when_the_device_has_it() {
    let broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    let device = device(1);
    subscribed(&broker, &mut gateway, &device).await;
    send(
        &broker,
        server::publish(1, "v2/r/req/j/5", b"{\"method\":\"m\"}"),
    );
    send(&broker, server::publish(2, "v2/a/j", b"{\"a\":1}"));
    let Notice::Command {
        id: 5,
        body,
        acknowledgement: command,
    } = gateway.notice().await
    else {
        panic!();
    };
    assert_eq!(body, "{\"id\":5,\"method\":\"m\"}");
    let Notice::Attributes {
        body,
        acknowledgement: change,
    } = gateway.notice().await
    else {
        panic!();
    };
    assert_eq!(body, "{\"a\":1}");
    gateway.upstream.acknowledge(change);
    broker.wait(|script| script.acknowledged == [2]).await;
    gateway.upstream.acknowledge(command);
    broker.wait(|script| script.acknowledged == [2, 1]).await;
}

/// Large bodies are parsed in another thread.
#[tokio::test]
async fn large_messages_stay_in_their_order_among_small_ones() {
    let broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    let device = device(1);
    subscribed(&broker, &mut gateway, &device).await;
    let bodies = (1_u16..=40).map(|id| {
        let length = if id % 3 == 0 { 20_000 } else { 1 };
        (id, format!("{{\"a\":\"{}\"}}", "x".repeat(length)))
    });
    for (id, body) in bodies.clone() {
        send(&broker, server::publish(id, "v2/a/j", body.as_bytes()));
    }
    for (id, expected) in bodies {
        let Notice::Attributes {
            body,
            acknowledgement,
        } = gateway.notice().await
        else {
            panic!();
        };
        assert_eq!((acknowledgement.packet, body), (id, Bytes::from(expected)));
    }
}

#[tokio::test]
async fn a_lost_connection_is_opened_again_and_old_acknowledgements_are_dropped() {
    let mut broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    let device = device(1);
    subscribed(&broker, &mut gateway, &device).await;
    send(&broker, server::publish(1, "v2/a/j", b"{\"a\":1}"));
    let Notice::Attributes {
        acknowledgement: old,
        ..
    } = gateway.notice().await
    else {
        panic!();
    };
    broker.stop().await;
    gateway.interrupted().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    broker.restart().await;
    // Attempts meanwhile may have failed.
    loop {
        match gateway.notice().await {
            Notice::Interrupted { .. } => {}
            notice if is_subscribed(&notice) => break,
            other => panic!("{other:?}"),
        }
    }
    gateway.upstream.acknowledge(old);
    send(&broker, server::publish(1, "v2/a/j", b"{\"a\":2}"));
    let Notice::Attributes {
        acknowledgement: new,
        ..
    } = gateway.notice().await
    else {
        panic!();
    };
    assert_ne!(old, new);
    gateway.upstream.acknowledge(new);
    broker.wait(|script| script.acknowledged == [1]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(broker.script(|script| script.acknowledged.clone()), [1]);
}

#[tokio::test]
async fn another_client_with_the_token_is_noticed_and_not_fought() {
    let broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    let device = device(1);
    subscribed(&broker, &mut gateway, &device).await;
    send(&broker, server::disconnect(0x8e));
    gateway.interrupted().await;
    assert_eq!(gateway.notice().await, Notice::Displaced);
    let outcome = gateway.post(&device).await;
    assert!(matches!(outcome, Err(Error::RetryAfter(_))), "{outcome:?}");
    assert_eq!(broker.script(|script| script.connects.len()), 1);
}

#[tokio::test]
async fn a_changed_token_is_noticed_at_once() {
    let broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    let device = device(1);
    subscribed(&broker, &mut gateway, &device).await;
    send(&broker, server::disconnect(0x98));
    gateway.interrupted().await;
    assert_eq!(gateway.notice().await, Notice::TokenRefused);
}

#[tokio::test]
async fn a_connection_is_renewed_before_packet_ids_end() {
    let broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    let device = device(1);
    subscribed(&broker, &mut gateway, &device).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    send(&broker, server::publish(60_000, "v2/a/j", b"{\"a\":1}"));
    assert!(matches!(gateway.notice().await, Notice::Attributes { .. }));
    gateway.interrupted().await;
    gateway.subscribed().await;
    let counts = broker.script(|script| (script.connects.len(), script.disconnects));
    assert_eq!(counts, (2, 1));
}

#[tokio::test]
async fn a_closed_device_has_no_connection_and_a_later_request_opens_one() {
    let mut broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    let device = device(1);
    subscribed(&broker, &mut gateway, &device).await;
    gateway.upstream.unsubscribe(&device, BOTH);
    gateway.upstream.close(&device);
    broker.wait_open(0).await;
    assert_eq!(gateway.post(&device).await, Ok(Bytes::new()));
    assert_eq!(broker.script(|script| script.connects.len()), 2);
}

#[tokio::test]
async fn a_close_before_there_is_a_connection_does_not_close_the_next_one() {
    let broker = Broker::new().await;
    let gateway = gateway(&settings(&broker));
    let device = device(1);
    gateway.subscribe(&device);
    gateway.upstream.close(&device);
    assert_eq!(gateway.post(&device).await, Ok(Bytes::new()));
    assert_eq!(broker.script(|script| script.connects.len()), 1);
}

#[tokio::test]
async fn a_loop_that_takes_no_notices_stops_the_reading() {
    let broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    let device = device(1);
    subscribed(&broker, &mut gateway, &device).await;
    for number in 1..=200 {
        send(&broker, server::publish(number, "v2/a/j", b"{\"a\":1}"));
        if number % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // Not all of them were read, so nothing behind them was.
    assert_eq!(gateway.post(&device).await, Err(Error::Timeout));
    for _ in 1..=200 {
        assert!(matches!(gateway.notice().await, Notice::Attributes { .. }));
    }
}

#[tokio::test]
async fn a_silent_device_is_not_connected_again_until_it_sends_something() {
    let mut broker = Broker::new().await;
    let mut gateway = gateway(&Settings {
        alive_for: Duration::from_millis(1500),
        ..settings(&broker)
    });
    let device = device(1);
    subscribed(&broker, &mut gateway, &device).await;
    tokio::time::sleep(Duration::from_millis(1600)).await;
    broker.instruct(Instruction::CloseAll);
    gateway.interrupted().await;
    broker.wait_open(0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(broker.script(|script| script.connects.len()), 1);
    let until = now() + Duration::from_secs(60);
    gateway.upstream.alive_until(&device, until);
    gateway.subscribed().await;
}

#[tokio::test]
async fn requests_have_their_outcomes_while_messages_wait_for_the_loop() {
    let broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    let device = device(1);
    subscribed(&broker, &mut gateway, &device).await;
    // The channel takes 64 of them.
    for number in 1..=80 {
        send(&broker, server::publish(number, "v2/a/j", b"{\"a\":1}"));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(gateway.post(&device).await, Ok(Bytes::new()));
    for _ in 1..=80 {
        assert!(matches!(gateway.notice().await, Notice::Attributes { .. }));
    }
}

#[tokio::test]
async fn more_devices_than_the_loop_has_room_for_all_get_room() {
    let broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    // The channel takes 64 messages of all together.
    let devices: Vec<_> = (0..200).map(device).collect();
    for device in &devices {
        gateway.subscribe(device);
    }
    for _ in &devices {
        gateway.subscribed().await;
    }
    for some in devices.chunks(20) {
        for device in some {
            let message = server::publish(1, "v2/a/j", b"{\"a\":1}");
            let token = device.token.expose().to_owned();
            broker.instruct(Instruction::Send(token, message));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in &devices {
        assert!(matches!(gateway.notice().await, Notice::Attributes { .. }));
    }
}

/// As while a device's certificate is renewed: it is in the registry twice, with one access token.
#[tokio::test]
async fn devices_with_one_access_token_share_a_connection() {
    let mut broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    let old = device(1);
    let new = Arc::new(Device {
        name: "meter-1-renewed".into(),
        token: old.token.clone(),
    });
    subscribed(&broker, &mut gateway, &old).await;
    assert_eq!(gateway.post(&new).await, Ok(Bytes::new()));
    gateway.subscribe(&new);
    // ThingsBoard is to send what waits again.
    let mut names = vec![gateway.named_notice().await, gateway.named_notice().await];
    names.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert!(
        names.iter().all(|(_, notice)| is_subscribed(notice)),
        "{names:?}"
    );
    assert_eq!((&*names[0].0, &*names[1].0), ("meter-1", "meter-1-renewed"));
    send(
        &broker,
        server::publish(1, "v2/r/req/j/5", b"{\"method\":\"m\"}"),
    );
    let mut acknowledgements = Vec::new();
    for _ in 0..2 {
        let Notice::Command {
            acknowledgement, ..
        } = gateway.notice().await
        else {
            panic!();
        };
        acknowledgements.push(acknowledgement);
    }
    for acknowledgement in acknowledgements {
        gateway.upstream.acknowledge(acknowledgement);
    }
    gateway.upstream.unsubscribe(&old, BOTH);
    gateway.upstream.close(&old);
    send(&broker, server::publish(2, "v2/a/j", b"{\"a\":1}"));
    let (
        name,
        Notice::Attributes {
            acknowledgement, ..
        },
    ) = gateway.named_notice().await
    else {
        panic!();
    };
    assert_eq!(&*name, "meter-1-renewed");
    gateway.upstream.acknowledge(acknowledgement);
    broker.wait(|script| script.acknowledged.contains(&2)).await;
    assert_eq!(broker.script(|script| script.acknowledged.clone()), [1, 2]);
    assert_eq!(broker.script(|script| script.connects.len()), 1);
    gateway.upstream.close(&new);
    broker.wait_open(0).await;
    assert_eq!(broker.script(|script| script.disconnects), 1);
}
