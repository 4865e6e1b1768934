//! Requirement: at 20 % loss each way, 10,000 telemetry posts of 100 devices.

use super::invariants::assert_idle;
use super::{Conditions, Outcome, World};
use coap::{Code, Type};
use std::time::Duration;

const DEVICES: usize = 100;
const POSTS: usize = 100;
/// One post every ten seconds of each device.
const PERIOD: Duration = Duration::from_secs(10);

#[test]
fn each_post_is_answered_or_times_out_and_none_reaches_upstream_twice() {
    let mut world = World::new(DEVICES, Conditions::losing(0.2), 1);
    world.connect_all();
    // A DTLS 1.3 client is connected before the gateway has its last flight. If that flight never
    // arrives, the client times out later and connects again.
    for _ in 0..20 {
        if world.core.sessions() == DEVICES {
            break;
        }
        world.run_for(10 * PERIOD);
        world.connect_all();
    }
    assert_eq!(world.core.sessions(), DEVICES);
    for post in 0..POSTS {
        // Every fourth round is slow, so that separate responses are lost too.
        let milliseconds = if post % 4 == 3 { 900 } else { 30 };
        world.upstream.delay = Duration::from_millis(milliseconds);
        for device in 0..DEVICES {
            world.post(device, Type::Confirmable);
            world.run_for(PERIOD / u32::try_from(DEVICES).unwrap());
        }
    }
    world.run_for(Duration::from_secs(600));

    let (mut answered, mut unacknowledged, mut unanswered) = (0, 0, 0);
    for device in &world.devices {
        for (number, outcome) in device.outcomes().enumerate() {
            match outcome {
                Outcome::Response(Code::CREATED, _) => answered += 1,
                Outcome::Unacknowledged => {
                    unacknowledged += 1;
                    assert_eq!(device.retransmissions(number), 4);
                }
                Outcome::ResponseTimeout => unanswered += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    let counters = world.core.counters().coap;
    println!(
        "{answered} answered, {unacknowledged} never acknowledged, {unanswered} acknowledged and \
         never answered; {} reached upstream; {counters:?}",
        world.upstream.posts.len()
    );
    assert_eq!(answered + unacknowledged + unanswered, DEVICES * POSTS);
    // A round trip fails with 1 - 0.8², five in a row with 0.6 %.
    assert!(answered > 9_800, "{answered}");
    assert!(unanswered <= usize::try_from(counters.given_up).unwrap());
    assert!(world.upstream.posts.len() >= answered);
    assert!(
        counters.duplicates > 1_000,
        "too few duplicates for 20 % loss"
    );
    assert_idle(&world.core, &world.devices);
}
