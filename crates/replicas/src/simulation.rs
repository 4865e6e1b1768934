//! Nodes, store, balancer, devices and upstream in simulated time, with kills, splits and stores that forget.
//!
//! After each event the [`checks`] are made: no send number twice, no request forwarded again after it was answered, no
//! session served by two nodes. A failure names its seed. `REPLICAS_FIRST_SEED=100 cargo test -p replicas` runs others.

mod checks;
mod device;
mod faults;
mod gateway;
mod looks;
mod network;
mod outputs;
mod world;

use checks::Exception;
use faults::{Fault, Kind};
use std::time::Duration;
use world::World;

/// A run of a minute with faults at random, and what must hold at its end.
fn run(seed: u64, kinds: &[Kind], interval: Duration) -> World {
    let mut world = World::new(seed, 3, 6);
    world.is_lossy = !kinds.is_empty();
    world.forgets = kinds.iter().any(|kind| kind.forgets());
    world.run_for(Duration::from_secs(6));
    world.faults = Some((kinds.to_vec(), interval));
    world.run_for(Duration::from_secs(60));
    world.faults = None;
    world.heal();
    // Where the store forgets, a device may have to shake hands first.
    let recovers = if world.forgets { 45 } else { 12 };
    world.run_for(Duration::from_secs(recovers));
    world.check_that_all_are_served(Duration::from_secs(6));
    world.check_that_all_are_followed();
    world
}

fn seeds(count: u64) -> impl Iterator<Item = u64> {
    // Another range can be run by hand, as one that was found to fail.
    let first = std::env::var("REPLICAS_FIRST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let first = first.unwrap_or(0);
    first..first + count
}

#[test]
fn without_faults_nothing_is_taken_over_and_nothing_is_lost() {
    for seed in seeds(5) {
        let world = run(seed, &[], Duration::from_secs(1));
        let sums = world.sums();
        assert_eq!((sums.taken_over, sums.lost), (0, 0));
        assert_eq!((sums.bad_frames, sums.bad_rows), (0, 0));
        assert!(sums.forwarded > 100, "the balancer has no affinity");
        assert_eq!(world.handshakes(), 6);
        // One lookup for each pair of a node and a session without connection ID.
        assert!(sums.claims <= 6 * 3, "{}", sums.claims);
    }
}

#[test]
fn nodes_are_killed_and_started() {
    let mut taken_over = 0;
    for seed in seeds(100) {
        let world = run(
            seed,
            &[Kind::Kill, Kind::Start, Kind::Stop],
            Duration::from_secs(4),
        );
        taken_over += world.sums().taken_over;
        assert_eq!(world.exceptions(Exception::UnknownNode), 0);
    }
    assert!(taken_over > 100, "{taken_over}");
}

#[test]
fn the_network_between_nodes_and_to_the_store_splits() {
    let (mut taken_over, mut detached) = (0, 0);
    for seed in seeds(150) {
        let kinds = [Kind::CutStore, Kind::CutNodes, Kind::Stall];
        let world = run(seed, &kinds, Duration::from_secs(2));
        taken_over += world.sums().taken_over;
        detached += world.checks.detached;
    }
    assert!(taken_over > 50, "{taken_over}");
    assert!(detached > 0);
}

#[test]
fn everything_fails_in_any_order() {
    for seed in seeds(150) {
        run(seed, Kind::ALL_THAT_REMEMBER, Duration::from_millis(1_500));
    }
}

#[test]
fn the_store_forgets_what_it_gave_out() {
    for seed in seeds(100) {
        run(seed, Kind::ALL, Duration::from_millis(2_000));
    }
}

#[test]
fn devices_begin_new_sessions_at_other_nodes_and_are_followed_by_one() {
    let mut superseded = 0;
    for seed in seeds(200) {
        let kinds: &[Kind] = match seed % 4 {
            0 => &[],
            1 => &[Kind::Kill, Kind::Start, Kind::Stop],
            2 => &[Kind::CutStore, Kind::CutNodes, Kind::Stall],
            _ => Kind::ALL_THAT_REMEMBER,
        };
        let mut world = World::new(seed, 3, 6);
        world.has_reboots = true;
        world.is_lossy = !kinds.is_empty();
        world.run_for(Duration::from_secs(6));
        world.faults = Some((kinds.to_vec(), Duration::from_secs(2)));
        world.run_for(Duration::from_secs(60));
        world.faults = None;
        world.has_reboots = false;
        world.heal();
        world.run_for(Duration::from_secs(30));
        world.check_that_all_are_served(Duration::from_secs(6));
        world.check_that_all_are_followed();
        superseded += world.sums().superseded;
    }
    assert!(superseded > 1_000, "{superseded}");
}

#[test]
fn when_a_node_dies_its_sleeping_devices_are_followed_by_others_within_five_seconds() {
    for seed in seeds(30) {
        let mut world = World::new(seed, 3, 12);
        world.run_for(Duration::from_secs(10));
        world.is_asleep = true;
        world.apply(if seed % 2 == 0 {
            Fault::Kill
        } else {
            Fault::Stop
        });
        world.run_for(Duration::from_secs(5));
        world.check_that_all_are_followed();
    }
}

#[test]
fn when_a_node_dies_all_its_devices_are_answered_within_five_seconds() {
    let mut gaps = Vec::new();
    for seed in seeds(30) {
        let mut world = World::new(seed, 3, 12);
        world.run_for(Duration::from_secs(10));
        world.checks.longest_gap = Duration::ZERO;
        world.apply(Fault::Kill);
        world.run_for(Duration::from_secs(10));
        let gap = world.checks.longest_gap;
        let slowest = world.checks.slowest.map(|key| world.describe(key));
        assert!(
            gap <= Duration::from_secs(5),
            "{gap:?} with seed {seed}: {}",
            slowest.unwrap_or_default()
        );
        gaps.push(gap);
        assert_eq!(world.handshakes(), 12);
    }
    assert!(gaps.iter().any(|gap| *gap > Duration::from_secs(2)));
}

#[test]
fn when_a_node_stops_orderly_its_devices_do_not_notice() {
    for seed in seeds(20) {
        let mut world = World::new(seed, 3, 12);
        world.run_for(Duration::from_secs(10));
        world.checks.longest_gap = Duration::ZERO;
        world.apply(Fault::Stop);
        world.run_for(Duration::from_secs(5));
        let gap = world.checks.longest_gap;
        // One repetition by the device at most: a datagram was on its way to the node that stopped.
        assert!(
            gap <= Duration::from_millis(2_500),
            "{gap:?} with seed {seed}"
        );
        assert_eq!(world.handshakes(), 12);
    }
}

#[test]
fn a_store_that_is_away_for_all_stops_nothing() {
    for seed in seeds(20) {
        let mut world = World::empty(seed);
        // Enough numbers for as long as it is away.
        world.settings.block = 1_024;
        // One without is found by another node only if that has looked it up before.
        world.all_have_connection_ids = true;
        world.begin(3, 9);
        world.run_for(Duration::from_secs(10));
        world.checks.longest_gap = Duration::ZERO;
        world.apply(Fault::StoreAway(Duration::from_secs(30)));
        world.run_for(Duration::from_secs(25));
        assert!(world.checks.detached > 0);
        // New sessions are served, unprotected.
        let before = world.handshakes();
        world.new_session(1);
        world.run_for(Duration::from_secs(15));
        let gap = world.checks.longest_gap;
        let slowest = world.checks.slowest.map(|key| world.describe(key));
        assert!(
            gap <= Duration::from_secs(5),
            "{gap:?} with seed {seed}: {}",
            slowest.unwrap_or_default()
        );
        assert_eq!(world.handshakes(), before + 1);
        world.check_that_all_are_protected();
    }
}

#[test]
fn a_node_that_is_cut_off_alone_stops_and_the_others_take_over() {
    for seed in seeds(20) {
        let mut world = World::new(seed, 3, 9);
        world.run_for(Duration::from_secs(10));
        world.checks.longest_gap = Duration::ZERO;
        world.apply(Fault::CutStore(0, Duration::from_secs(20)));
        world.run_for(Duration::from_secs(18));
        let gap = world.checks.longest_gap;
        let slowest = world.checks.slowest.map(|key| world.describe(key));
        assert!(
            gap <= Duration::from_secs(5),
            "{gap:?} with seed {seed}: {}",
            slowest.unwrap_or_default()
        );
        let served = world.served_by(0);
        assert_eq!(served, 0, "sessions are served without a lease");
        world.run_for(Duration::from_secs(10));
        assert_eq!(world.handshakes(), 9);
    }
}

#[test]
fn invented_connection_ids_and_addresses_cost_no_call_of_the_store() {
    let mut world = World::new(1, 3, 6);
    world.run_for(Duration::from_secs(10));
    let before = world.sums();
    world.invent(2_000);
    world.run_for(Duration::from_secs(1));
    let after = world.sums();
    // One of 65,536 connection IDs is taken for one of ours.
    assert!(after.claims - before.claims <= 1, "{}", after.claims);
    assert!(after.strangers - before.strangers >= 900);
    // The connection ID of a session that has ended is looked up once a second by each node, however often it comes.
    world.repeat_ended(1_000);
    let repeated = world.sums().claims - after.claims;
    assert!((1..=12).contains(&repeated), "{repeated}");
}
