//! Hazard: ThingsBoard rejects a device's token while long polls with that token are open.

use super::actions::RegistryEntry;
use super::upstream::rejected;
use super::{Behaviour, World, default_settings};
use bytes::Bytes;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const CON: Type = Type::Confirmable;

fn ended(world: &World) -> [Option<Code>; 2] {
    [0, 1].map(|number| world.devices[0].observations[number].ended)
}

/// Open polls stay open at ThingsBoard until their timeout; all other calls are refused with `code`.
fn refusing(code: u16) -> World {
    let mut world = World::observing(default_settings(), CON);
    world.run_for(2 * SECOND);
    world.upstream.behaviour = Behaviour::Fails(rejected(code));
    world
}

#[test]
fn a_401_or_403_for_any_call_ends_observations_and_polls_at_once() {
    for (code, last) in [(401, Code::UNAUTHORIZED), (403, Code::FORBIDDEN)] {
        for resource in ["telemetry", "attributes", "firmware"] {
            let mut world = refusing(code);
            let now = world.now;
            match resource {
                "telemetry" => drop(world.post(0, CON)),
                resource => {
                    let (options, body) = (Vec::new(), Bytes::new());
                    world.devices[0].request(now, Code::GET, resource, options, body);
                    world.flush();
                }
            }
            world.run_for(SECOND);
            assert_eq!(ended(&world), [Some(last); 2], "{resource}");
            assert_eq!(world.upstream.relay_calls(), 0, "no poll is open");
            assert_eq!(world.core.counters().relay.refused, 2);
            assert_eq!(world.core.load().relays.relays, 0);
        }
    }
}

#[test]
fn a_401_for_an_old_token_does_not_end_observations_under_the_new_one() {
    for resource in ["telemetry", "firmware"] {
        let mut world = refusing(401);
        world.upstream.delay = 3 * SECOND;
        let now = world.now;
        match resource {
            "telemetry" => drop(world.post(0, CON)),
            resource => {
                let (options, body) = (Vec::new(), Bytes::new());
                world.devices[0].request(now, Code::GET, resource, options, body);
                world.flush();
            }
        }
        world.run_for(SECOND);
        world.upstream.behaviour = Behaviour::Serves;
        world.reload_registry(&[RegistryEntry::new(0, "ANOTHER", 0)]);
        world.run_for(10 * SECOND);
        assert_eq!(ended(&world), [None; 2], "{resource}");
        world.upstream.delay = SECOND / 50;
        world.set_attribute(0, "a", "2");
        world.run_for(5 * SECOND);
        assert_eq!(world.devices[0].observations[0].state["a"], "2");
    }
}
