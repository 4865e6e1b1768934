//! Hazard: ThingsBoard was down, and is up again, while devices observe.

use super::{Conditions, World, default_settings};
use crate::downlink::Kind;
use bytes::Bytes;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const CON: Type = Type::Confirmable;

#[test]
fn any_answer_after_an_outage_cancels_the_back_off_of_polls() {
    for seconds_down in [40, 100, 300] {
        let mut world = World::observing(default_settings(), CON);
        world.upstream.restart(world.now, seconds_down * SECOND);
        world.run_for(seconds_down * SECOND);
        // The first answer is that to a POST.
        world.post(0, CON);
        world.run_for(SECOND / 10);
        world.set_attribute(0, "a", "2");
        let polls = world.upstream.platform.polls_opened;
        world.run_for(4 * SECOND);
        assert!(
            world.upstream.platform.polls_opened >= polls + 2,
            "{seconds_down} s"
        );
        let observations = &world.devices[0].observations;
        assert_eq!(observations[0].state["a"], "2", "{seconds_down} s");
        world.send_command(0, "7", false);
        world.run_for(SECOND);
        assert_eq!(world.devices[0].observations[1].commands.len(), 1);
    }
}

#[test]
fn polls_after_an_outage_are_spread_over_seconds() {
    const DEVICES: usize = 60;
    let mut world = World::new(DEVICES, Conditions::GOOD, 1);
    world.connect_all();
    for device in 0..DEVICES {
        world.observe(device, CON, Kind::Commands);
    }
    world.run_for(SECOND);
    assert_eq!(world.upstream.platform.polls_opened, DEVICES);
    world.upstream.restart(world.now, 100 * SECOND);
    world.run_for(100 * SECOND);
    // Only this answer cancels the back-off.
    world.post(0, CON);
    let mut seconds = [0; 4];
    for second in &mut seconds {
        let before = world.upstream.platform.polls_opened;
        world.run_for(SECOND);
        *second = world.upstream.platform.polls_opened - before;
    }
    assert!(seconds.iter().sum::<usize>() >= DEVICES, "{seconds:?}");
    assert!(
        seconds[..3].iter().all(|polls| (10..=30).contains(polls)),
        "{seconds:?}"
    );
}

/// A response of the gateway itself is no sign that ThingsBoard is up.
#[test]
fn a_client_rpc_rejected_by_the_gateway_does_not_cancel_back_off() {
    let polls = |rpcs: bool| {
        let mut world = World::observing(default_settings(), CON);
        world.upstream.restart(world.now, 100 * SECOND);
        let before = world.core.counters().relay.downlink.polls;
        for _ in 0..100 {
            if rpcs {
                let body = Bytes::from_static(b"{}");
                world.devices[0].request(world.now, Code::POST, "rpc", Vec::new(), body);
                world.flush();
            }
            world.run_for(SECOND);
        }
        world.core.counters().relay.downlink.polls - before
    };
    let (without, with) = (polls(false), polls(true));
    assert!(with <= without + 2, "{with} polls, {without} without");
}
