//! The tap: which records a receiver gets, and what happens if it falls behind.

use super::{Conditions, World};
use crate::gateway::Tap;
use crate::gateway::tap::{Event, TapRecord};
use coap::{Message, Type};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

const MINUTE: Duration = Duration::from_secs(60);

fn drain(receiver: &mut Receiver<TapRecord>) -> Vec<TapRecord> {
    std::iter::from_fn(|| receiver.try_recv().ok()).collect()
}

#[test]
fn a_receiver_gets_session_request_call_and_response_in_order() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    let tap = Tap::default();
    world.core.attach_tap(tap.clone());
    let mut receiver = tap.subscribe();
    world.connect_all();
    world.post(0, Type::Confirmable);
    world.run_for(Duration::from_secs(1));

    let records = drain(&mut receiver);
    let names = records.iter().map(|records| records.device.as_deref());
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            Some("device-0"),
            Some("device-0"),
            Some("device-0"),
            None,
            Some("device-0")
        ]
    );
    let events: Vec<&Event> = records.iter().map(|records| &records.event).collect();
    let [
        Event::Established { .. },
        Event::Received {
            message, datagram, ..
        },
        Event::CallStarted { ticket, line },
        Event::CallEnded {
            ticket: answered, ..
        },
        Event::Sent {
            message: response,
            datagram: sent,
            ..
        },
    ] = events[..]
    else {
        panic!("{events:?}");
    };
    let (request, answer) = (
        Message::decode(message).unwrap(),
        Message::decode(response).unwrap(),
    );
    assert_eq!(request.message_id, answer.message_id, "piggybacked");
    assert!(*datagram > message.len() && *sent > response.len());
    assert_eq!(ticket, answered);
    assert_eq!(
        (line.method, line.target.as_str()),
        ("POST", "/api/v1/{token}/telemetry")
    );
    assert!(
        records[4].at > records[1].at,
        "times are of the core's clock"
    );
}

#[test]
fn a_slow_receiver_lags_and_keeps_at_most_the_capacity() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    let tap = Tap::default();
    world.core.attach_tap(tap.clone());
    let mut receiver = tap.subscribe();
    world.connect_all();
    for _ in 0..300 {
        world.post(0, Type::Confirmable);
        world.run_for(Duration::from_secs(1));
    }
    let Err(TryRecvError::Lagged(missed)) = receiver.try_recv() else {
        panic!("1200 records were kept");
    };
    assert!(missed > 600, "{missed}");
    assert_eq!(drain(&mut receiver).len(), 512);
}

#[test]
fn a_late_subscriber_gets_no_earlier_records() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    let tap = Tap::default();
    world.core.attach_tap(tap.clone());
    world.connect_all();
    world.post(0, Type::Confirmable);
    world.run_for(MINUTE);
    assert!(drain(&mut tap.subscribe()).is_empty());
}
