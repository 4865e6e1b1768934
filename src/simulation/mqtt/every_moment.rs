//! Hazard: there is one moment at which the loss of a connection, or a restart, loses or repeats something.

use super::super::{World, default_settings};
use super::CutAt;
use crate::downlink::Kind;
use coap::Code;
use coap::Type::Confirmable as CON;
use serde_json::json;
use std::time::Duration;
use thingsboard_simulator::{CommandId, RpcStatus};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What a device and ThingsBoard do within a quarter of a second, while `disturb` may do something after each step of it.
fn run(disturb: impl Fn(&mut World, usize)) -> (World, Vec<CommandId>) {
    let mut world = World::observing_over_mqtt(default_settings(), CON);
    let mut commands = Vec::new();
    for step in 0..25 {
        disturb(&mut world, step);
        match step % 5 {
            0 => world.set_shared(0, "a", &json!(step)),
            1 => drop(world.post(0, CON)),
            2 => {
                let number = u64::try_from(step).unwrap();
                commands.push(world.persistent_command(0, number, step % 2 == 0, HOUR));
            }
            3 => world.delete_shared(0, "a"),
            _ => drop(world.get(0)),
        }
        world.run_for(Duration::from_millis(10));
    }
    world.run_for(2 * MINUTE);
    (world, commands)
}

fn check(world: &World, commands: &[CommandId], may_lose: bool, what: &str) {
    let device = &world.devices[0];
    let observation = device.observation(Kind::Attributes).unwrap();
    assert_eq!(observation.state, world.shared(0), "{what}");
    let executions = world.executions();
    for (number, command) in [2, 7, 12, 17, 22].into_iter().zip(commands) {
        let status = world.status(*command);
        let times = executions.get(&number).copied().unwrap_or(0);
        match status {
            // Or ThingsBoard took the reply to a command from before its restart for one to this.
            RpcStatus::Successful if may_lose => assert!(times <= 1, "{what}: {number}"),
            RpcStatus::Delivered | RpcStatus::Successful => {
                assert_eq!(times, 1, "{what}: {number}")
            }
            // ThingsBoard does not send it again after its restart.
            RpcStatus::Sent | RpcStatus::Timeout if may_lose => assert!(times <= 1, "{what}"),
            other => panic!("{what}: {number} is {other:?}"),
        }
    }
    assert_eq!(device.open_requests(), 0, "{what}");
    let created = device
        .outcomes()
        .filter(|outcome| outcome.is(Code::CREATED));
    // Replies are among them.
    assert!(
        created.count() <= world.upstream.posts.len() + commands.len(),
        "{what}"
    );
}

#[test]
fn the_loss_of_the_connection_at_any_write_loses_and_repeats_nothing() {
    let mut cuts = 0;
    for after_writes in 0.. {
        let mut has_cut = false;
        for arrives in [false, true] {
            let cut_at = CutAt {
                after_writes,
                arrives,
            };
            let (world, commands) = run(|world, step| {
                if step == 0 {
                    world.mqtt().network.cut_at(Some(cut_at));
                }
            });
            has_cut = world.mqtt().network.has_cut();
            check(&world, &commands, false, &format!("{cut_at:?}"));
        }
        if !has_cut {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 40, "{cuts}");
}

#[test]
fn a_silent_connection_at_any_moment_loses_and_repeats_nothing() {
    for moment in 0..25 {
        let (mut world, commands) = run(|world, step| {
            if step == moment {
                world.mqtt().network.silence();
            }
        });
        // Whatever was to be sent has shown it, or the next read does.
        world.run_for(6 * MINUTE);
        check(&world, &commands, false, &format!("silent at {moment}"));
    }
}

#[test]
fn a_restart_of_thingsboard_at_any_moment_repeats_nothing() {
    for moment in 0..25 {
        for down in [Duration::ZERO, 3 * SECOND] {
            let (world, commands) = run(|world, step| {
                if step == moment {
                    world.restart_thingsboard(down);
                }
            });
            check(&world, &commands, true, &format!("restart at {moment}"));
        }
    }
}
