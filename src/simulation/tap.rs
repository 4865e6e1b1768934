//! What a listener hears of a request's way, and what becomes of one that does not listen.

use super::{Conditions, World};
use crate::gateway::Tap;
use crate::gateway::tap::{Event, TapRecord};
use coap::{Message, Type};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

const MINUTE: Duration = Duration::from_secs(60);

fn heard(listener: &mut Receiver<TapRecord>) -> Vec<TapRecord> {
    std::iter::from_fn(|| listener.try_recv().ok()).collect()
}

#[test]
fn a_listener_hears_the_session_the_request_the_call_and_the_response_in_this_order() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    let tap = Tap::default();
    world.core.attach_tap(tap.clone());
    let mut listener = tap.subscribe();
    world.connect_all();
    world.post(0, Type::Confirmable);
    world.run_for(Duration::from_secs(1));

    let heard = heard(&mut listener);
    let names = heard.iter().map(|heard| heard.device.as_deref());
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
    let events: Vec<&Event> = heard.iter().map(|heard| &heard.event).collect();
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
        heard[4].at > heard[1].at,
        "times are those of the core's clock"
    );
}

#[test]
fn one_that_does_not_listen_is_told_how_much_it_missed_and_holds_no_more() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    let tap = Tap::default();
    world.core.attach_tap(tap.clone());
    let mut listener = tap.subscribe();
    world.connect_all();
    for _ in 0..300 {
        world.post(0, Type::Confirmable);
        world.run_for(Duration::from_secs(1));
    }
    let Err(TryRecvError::Lagged(missed)) = listener.try_recv() else {
        panic!("1200 events were kept");
    };
    assert!(missed > 600, "{missed}");
    assert_eq!(heard(&mut listener).len(), 512);
}

#[test]
fn nothing_is_kept_for_those_who_come_later() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    let tap = Tap::default();
    world.core.attach_tap(tap.clone());
    world.connect_all();
    world.post(0, Type::Confirmable);
    world.run_for(MINUTE);
    assert!(heard(&mut tap.subscribe()).is_empty());
}
