//! Random kills, starts, stops and cuts, with loss: no number twice, no post twice after it was answered, nobody followed by two.

use super::{GroupWorld, SECOND};
use crate::downlink::Kind;
use crate::simulation::scaled;
use coap::Code;
use std::time::Duration;

/// What the world does is checked after each step ([`GroupWorld::step`]); here, what became of the requests.
fn run(seed: u64) {
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let length = [8, 0][random.usize(..2)];
    let mut world = GroupWorld::new(3, 5, seed, length);
    world.connect_all();
    for device in 0..5 {
        if random.bool() {
            world.observe(device, Kind::Attributes);
        }
    }
    world.has_affinity = random.bool();
    world.loss = [0.0, 0.05][random.usize(..2)];
    world.repeated = [0.0, 0.2][random.usize(..2)];
    let has_store = random.bool();
    world.is_silent = random.bool();
    let mut sent: Vec<(usize, usize)> = Vec::new();
    for _ in 0..40 {
        let gateway = random.usize(..3);
        let alive = world.alive();
        let what = random.usize(..12);
        println!("{:?}: {what} of gateway {gateway}", world.passed());
        match what {
            0 if alive.len() > 1 => world.kill(gateway),
            1 | 2 if !world.gateways[gateway].is_alive => world.start(gateway),
            3 if alive.len() > 1 && alive.contains(&gateway) => world.stop(gateway, 3 * SECOND),
            4 if !has_store => world.is_store_away = true,
            5 if !has_store => world.gateways[gateway].is_cut_off = true,
            6 => {
                world.is_store_away = false;
                for gateway in &mut world.gateways {
                    gateway.is_cut_off = false;
                }
            }
            _ => {
                let device = random.usize(..5);
                if world.devices[device].is_connected() {
                    sent.push((device, world.post(device)));
                }
            }
        }
        world.run_for(Duration::from_millis(random.u64(..3000)));
    }
    // In the end all is well again.
    world.loss = 0.0;
    world.is_store_away = false;
    for gateway in 0..3 {
        world.gateways[gateway].is_cut_off = false;
        if !world.gateways[gateway].is_alive {
            world.start(gateway);
        }
    }
    world.run_for(100 * SECOND);
    let last: Vec<_> = (0..5).map(|device| (device, world.post(device))).collect();
    world.run_for(20 * SECOND);
    for (device, number) in last {
        let outcome = world.devices[device].outcome(number);
        assert!(
            outcome.is(Code::CREATED),
            "seed {seed}, device {device}: {outcome:?}"
        );
    }
    world.assert_no_second_handshake();
}

#[test]
fn random_failures_cause_no_handshake() {
    for seed in 0..u64::try_from(scaled(8, 200)).unwrap() {
        run(seed);
    }
}
