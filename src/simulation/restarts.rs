//! The gateway's process ends, orderly or killed, and another one begins with what was stored: no device is to notice.

use super::{Conditions, Device, World, default_settings, new_core, registry};
use crate::downlink::Kind;
use crate::dtls::{Transmit, Versions};
use coap::{Code, Type};
use rustls_pki_types::UnixTime;
use state_store::SimulatedDisk;
use std::collections::HashSet;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// How often the store commits.
const COMMITS: Duration = Duration::from_millis(500);
/// When a world begins, in seconds since 1970.
const BEGIN: u64 = 1_800_000_000;

/// The disk of a gateway.
pub(super) struct DiskSide {
    pub(super) disk: SimulatedDisk,
    begin: Instant,
    committed: Instant,
    /// The process was killed.
    is_killed: bool,
    /// The wall clock, if it is not set: as of a host that has just booted.
    unset_clock: Option<Instant>,
    /// The record numbers that were sent with, in which session of which device.
    numbers: HashSet<(usize, u32, u64)>,
}

impl World {
    /// Gives the gateway a disk, and begins again with it.
    pub(super) fn add_disk(&mut self) {
        self.disk = Some(DiskSide {
            disk: SimulatedDisk::new(),
            begin: self.now,
            committed: self.now,
            is_killed: false,
            unset_clock: None,
            numbers: HashSet::new(),
        });
        self.start_gateway();
    }

    fn disk_mut(&mut self) -> &mut DiskSide {
        self.disk.as_mut().unwrap()
    }

    /// What the clock and the thread of the store do.
    pub(super) fn run_disk(&mut self) {
        let now = self.now;
        if let Some(side) = &mut self.disk {
            self.core.set_unix_time(side.unix_time(now));
            if now >= side.committed + COMMITS {
                side.committed = now;
                side.disk.commit();
            }
        }
    }

    /// The process is killed: what the store had not written is lost.
    pub(super) fn kill_gateway(&mut self) {
        self.run_disk();
        let side = self.disk_mut();
        side.is_killed = true;
        side.disk.kill();
        self.upstream.abort_all(self.now);
        if let Some(mqtt) = &mut self.mqtt {
            mqtt.restart_gateway();
        }
    }

    /// The process stops in an orderly way, within this time.
    pub(super) fn stop_gateway(&mut self, drain: Duration) {
        self.core.drain(self.now, drain);
        self.flush();
        let is_drained = self.run_until(drain + SECOND, |world| world.core.is_drained());
        assert!(is_drained, "the gateway does not stop");
        self.end_gateway();
    }

    /// The process has drained, and ends.
    fn end_gateway(&mut self) {
        self.core.close_all(self.now);
        self.flush();
        let store = self.core.finish_state(self.now).unwrap();
        store.stop(SECOND).unwrap();
        self.disk_mut().is_killed = false;
        self.upstream.abort_all(self.now);
        if let Some(mqtt) = &mut self.mqtt {
            mqtt.restart_gateway();
        }
    }

    /// Another process begins.
    pub(super) fn start_gateway(&mut self) {
        let devices = self.devices.iter().enumerate();
        let registered = devices.filter(|(index, device)| *index == device.registered_as);
        let entries = registered
            .map(|(number, device)| (number, format!("TOKEN-{number}"), device.certificate_id()));
        let registry = registry(entries);
        let side = self.disk_mut();
        let seed = side.committed.duration_since(side.begin).as_secs();
        self.core = new_core(self.settings, registry, seed);
        let side = self.disk.as_ref().unwrap();
        let is_killed = side.is_killed;
        self.core.set_unix_time(side.unix_time(self.now));
        let opened = side.disk.open().unwrap();
        self.core
            .restore(self.now, opened, 5 * SECOND, |_| {})
            .unwrap();
        self.invariants.gateway_goes_on(&mut self.core, is_killed);
        self.flush();
    }
}

/// The number of the first record, if that is protected.
pub(super) fn record_number(datagram: &[u8]) -> Option<u64> {
    // Type (1) ‖ version (2) ‖ epoch (2) ‖ number (6).
    let Some([_, _, _, 0, 1, number @ ..]) = datagram.first_chunk::<11>() else {
        return None;
    };
    let bytes = number.iter();
    Some(bytes.fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

impl DiskSide {
    /// No session sends twice with a record number, which is its nonce (RFC 5288 §3), whatever process it is in.
    pub(super) fn check_record_number(&mut self, devices: &[Device], transmit: &Transmit) {
        let mut devices = devices.iter();
        let device = devices.find(|device| device.path == transmit.path && device.is_connected());
        let (Some(device), Some(number)) = (device, record_number(&transmit.datagram)) else {
            return;
        };
        let is_new = self.numbers.insert((device.index, device.sessions, number));
        assert!(is_new, "device {} got two records {number}", device.index);
    }

    /// How many records were checked.
    pub(super) fn records(&self) -> usize {
        self.numbers.len()
    }

    fn unix_time(&self, now: Instant) -> UnixTime {
        let since = match self.unset_clock {
            Some(boot) => now.duration_since(boot),
            None => Duration::from_secs(BEGIN) + now.duration_since(self.begin),
        };
        UnixTime::since_unix_epoch(since)
    }
}

fn world(devices: usize) -> World {
    let mut settings = default_settings();
    settings.dtls.versions = Versions::Only12;
    let mut world = World::with_settings(devices, Conditions::GOOD, 1, settings);
    world.add_disk();
    world.connect_all();
    world
}

/// How many handshakes each device has begun.
fn handshakes(world: &World) -> Vec<u32> {
    world.devices.iter().map(|device| device.sessions).collect()
}

#[test]
fn posts_go_on_after_a_kill_and_after_a_stop() {
    let mut world = world(3);
    for round in 0..6 {
        for device in 0..3 {
            let number = world.post(device, Type::Confirmable);
            world.run_for(SECOND);
            assert!(
                world.devices[device].outcome(number).is(Code::CREATED),
                "{round}"
            );
        }
        world.run_for(SECOND);
        match round % 2 {
            0 => world.kill_gateway(),
            _ => world.stop_gateway(10 * SECOND),
        }
        world.start_gateway();
        assert_eq!(world.core.sessions(), 3, "{round}");
    }
    assert_eq!(handshakes(&world), [1; 3]);
    assert!(world.disk_mut().records() >= 18);
}

#[test]
fn an_observation_goes_on_after_a_kill_and_after_a_stop() {
    for is_killed in [true, false] {
        let mut world = world(1);
        world.set_attribute(0, "a", "1");
        world.observe(0, Type::Confirmable, Kind::Attributes);
        world.observe(0, Type::Confirmable, Kind::Commands);
        world.run_for(10 * SECOND);
        match is_killed {
            true => world.kill_gateway(),
            false => world.stop_gateway(60 * SECOND),
        }
        world.set_attribute(0, "a", "2");
        world.set_attribute(0, "b", "3");
        let command = world.send_command(0, "\"word\"", false);
        world.start_gateway();
        world.run_for(60 * SECOND);
        let name = world.device_name(0);
        let observed = world.devices[0].observation(Kind::Attributes).unwrap();
        assert_eq!(observed.state, world.upstream.platform.state(&name));
        let outcome = format!(
            "{:?}",
            world.upstream.platform.command_outcomes.get(&command)
        );
        assert!(outcome.starts_with("Some(Reply"), "{outcome}");
        assert_eq!(handshakes(&world), [1]);
    }
}

/// A host without a clock of its own boots in 1970, and learns the time later.
#[test]
fn sessions_outlive_a_boot_whose_clock_is_not_set() {
    let mut world = world(2);
    world.run_for(10 * SECOND);
    world.kill_gateway();
    world.disk_mut().unset_clock = Some(world.now);
    world.start_gateway();
    assert_eq!(world.core.sessions(), 2);
    // All rows are written again, then the clock is set; nothing comes from the devices meanwhile.
    world.run_for(10 * SECOND);
    world.disk_mut().unset_clock = None;
    world.run_for(10 * SECOND);
    world.kill_gateway();
    world.start_gateway();
    assert_eq!(world.core.sessions(), 2);
    let number = world.post(0, Type::Confirmable);
    world.run_for(10 * SECOND);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
    assert_eq!(handshakes(&world), [1; 2]);
}

/// While polls for commands are open requests are served; then they are left to the next process.
#[test]
fn requests_are_served_until_the_last_second_of_a_stop_and_then_by_the_next_process() {
    for observes in [true, false] {
        let mut world = world(1);
        if observes {
            world.observe(0, Type::Confirmable, Kind::Commands);
            world.run_for(3 * SECOND);
        }
        world.core.drain(world.now, 10 * SECOND);
        world.flush();
        world.run_for(SECOND / 4);
        let early = world.post(0, Type::Confirmable);
        world.run_for(SECOND / 8);
        let is_early_answered = world.devices[0].outcome(early).is(Code::CREATED);
        assert_eq!(is_early_answered, observes);
        if observes {
            // A poll takes longer than the stop.
            world.run_for(9 * SECOND);
        }
        let late = world.post(0, Type::Confirmable);
        assert!(world.run_until(SECOND, |world| world.core.is_drained()));
        assert!(!world.devices[0].outcome(late).is(Code::CREATED));
        world.end_gateway();
        world.start_gateway();
        world.run_for(10 * SECOND);
        for number in [early, late] {
            assert!(world.devices[0].outcome(number).is(Code::CREATED));
        }
        assert_eq!(world.upstream.posts.len(), 2);
        assert_eq!(handshakes(&world), [1]);
    }
}
