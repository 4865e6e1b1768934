//! Many connections.

use super::*;
use std::collections::HashSet;

#[tokio::test]
async fn a_fleet_subscribes_again_after_a_restart() {
    let mut broker = Broker::new().await;
    let mut gateway = gateway(&settings(&broker));
    let devices: Vec<_> = (0..200).map(device).collect();
    for device in &devices {
        gateway.subscribe(device);
    }
    let mut subscribed = HashSet::new();
    while subscribed.len() < devices.len() {
        let (name, notice) = gateway.notices.recv().await.unwrap();
        assert!(is_subscribed(&notice));
        assert!(subscribed.insert(name));
    }
    broker.wait_open(200).await;
    let restart = async {
        broker.stop().await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        broker.restart().await;
        broker.wait_open(200).await;
    };
    let again = async {
        let mut interrupted = 0;
        let mut subscribed = HashSet::new();
        while subscribed.len() < 200 {
            match gateway.notices.recv().await.unwrap() {
                (_, Notice::Interrupted { .. }) => interrupted += 1,
                (name, notice) if is_subscribed(&notice) => {
                    subscribed.insert(name);
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(interrupted >= 200, "{interrupted}");
    };
    tokio::time::timeout(Duration::from_secs(30), async {
        tokio::join!(restart, again);
    })
    .await
    .expect("all of them are back");
}

#[tokio::test]
async fn connections_have_a_bound() {
    let broker = Broker::new().await;
    let gateway = gateway(&Settings {
        max_connections: 2,
        ..settings(&broker)
    });
    for number in 0..2 {
        assert_eq!(gateway.post(&device(number)).await, Ok(Bytes::new()));
    }
    assert_eq!(gateway.post(&device(2)).await, Err(Error::Overloaded));
    gateway.upstream.close(&device(0));
    for _ in 0..400 {
        if gateway.post(&device(2)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("there is no room");
}

#[tokio::test]
async fn connections_are_opened_at_a_rate() {
    let broker = Broker::new().await;
    let gateway = gateway(&Settings {
        connects_per_second: 50,
        ..settings(&broker)
    });
    let begin = now();
    for number in 0..50 {
        let device = device(number);
        gateway.subscribe(&device);
    }
    broker.wait(|script| script.connects.len() == 50).await;
    let took = now() - begin;
    assert!(took >= Duration::from_millis(850), "{took:?}");
}

#[tokio::test]
async fn no_connection_is_opened_for_requests_that_were_given_up() {
    let broker = Broker::new().await;
    let gateway = gateway(&Settings {
        connects_per_second: 1,
        timeout: Duration::from_millis(300),
        max_in_flight: 1,
        ..settings(&broker)
    });
    assert_eq!(gateway.post(&device(1)).await, Ok(Bytes::new()));
    for _ in 0..2 {
        assert_eq!(gateway.post(&device(2)).await, Err(Error::Timeout));
    }
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(gateway.post(&device(3)).await, Ok(Bytes::new()));
    assert_eq!(
        broker.script(|script| script.connects.clone()),
        ["TOKEN-1", "TOKEN-3"]
    );
}
