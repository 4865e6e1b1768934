//! What a test has devices and strangers do.

use super::observation::Observation;
use super::{Conditions, Device, World};
use crate::dtls::Path;
use crate::gateway::Settings;
use crate::gateway::handle::Change;
use crate::relay::Kind;
use bytes::Bytes;
use std::time::{Duration, Instant};
use thingsboard_simulator::downlink::CommandId;
use thingsboard_simulator::{Package, PackageId};

/// A device in the registry.
#[derive(Debug, Clone, Copy)]
pub(super) struct RegistryEntry {
    /// The number in the device's name.
    number: usize,
    token: &'static str,
    /// The index of the simulated device whose certificate it has.
    certificate_of: usize,
}

impl RegistryEntry {
    pub(super) fn new(number: usize, token: &'static str, certificate_of: usize) -> RegistryEntry {
        RegistryEntry {
            number,
            token,
            certificate_of,
        }
    }
}

impl World {
    /// A world of one device that observes both kinds, in this order; its attribute `a` is 1.
    pub(super) fn observing(settings: Settings, kind: coap::Type) -> World {
        let mut world = World::with_settings(1, Conditions::GOOD, 1, settings);
        world.set_attribute(0, "a", "1");
        world.connect_all();
        world.observe(0, kind, Kind::Attributes);
        world.observe(0, kind, Kind::Commands);
        world.run_for(Duration::from_secs(1));
        assert!(
            world.devices[0]
                .observations
                .iter()
                .all(Observation::is_active)
        );
        world
    }

    /// Switches a device on: it begins a handshake, from its address of now.
    pub(super) fn connect(&mut self, device: usize) {
        self.devices[device].connect(self.now);
        self.flush();
    }

    /// Switches all on and waits until they are connected; who gives up tries again.
    pub(super) fn connect_all(&mut self) {
        for device in 0..self.devices.len() {
            self.connect(device);
        }
        self.connect_again_until(self.now + Duration::from_secs(600));
        let all = self.devices.iter().all(Device::is_connected);
        assert!(all, "not all devices could connect");
        // What the handshakes leave on the way: last flights, acknowledgements of them.
        self.run_for(Duration::from_secs(1));
    }

    /// Runs until all devices are connected, or until `end`; who gave up tries again a second later.
    pub(super) fn connect_again_until(&mut self, end: Instant) {
        let all = |world: &World| world.devices.iter().all(Device::is_connected);
        while !self.run_until(Duration::from_secs(1), all) && self.now < end {
            for device in 0..self.devices.len() {
                if !self.devices[device].is_on() {
                    self.connect(device);
                }
            }
        }
    }

    /// The registry is read anew: these devices by number, with their tokens; each has the certificate it had, or
    /// that of another.
    pub(super) fn reload_registry(&mut self, entries: &[RegistryEntry]) {
        let certificate = |device: usize| self.devices[device].certificate_id();
        let entries = entries.iter().map(|entry| {
            (
                entry.number,
                entry.token.to_owned(),
                certificate(entry.certificate_of),
            )
        });
        let change = Change::Registry(super::registry(entries));
        self.core.change(self.now, change);
        self.flush();
    }

    /// The gateway is told to stop.
    pub(super) fn drain(&mut self, at_most: Duration) {
        self.core.drain(self.now, at_most);
        self.flush();
    }

    /// Has a device post telemetry; returns the number under which its outcome will be found.
    pub(super) fn post(&mut self, device: usize, kind: coap::Type) -> usize {
        let number = self.devices[device].post(self.now, kind);
        self.flush();
        number
    }

    /// Has a device register for one of the two kinds; returns the number of the observation.
    pub(super) fn observe(&mut self, device: usize, kind: coap::Type, observed: Kind) -> usize {
        let number = self.devices[device].observe(self.now, kind, observed);
        self.flush();
        number
    }

    /// Has a device send GET with Observe `value` under an observation's token once more.
    pub(super) fn send_observe(&mut self, device: usize, number: usize, value: u8) {
        let kind = coap::Type::Confirmable;
        self.devices[device].send_observe(self.now, kind, number, value);
        self.flush();
    }

    /// Has a device reply to a command.
    pub(super) fn reply(&mut self, device: usize, id: u32) {
        self.devices[device].reply(self.now, id);
        self.flush();
    }

    /// Sets a shared attribute of a device at ThingsBoard.
    pub(super) fn set_attribute(&mut self, device: usize, key: &str, value: &str) {
        let name = self.device_name(device);
        self.upstream
            .platform
            .set_attribute(self.now, &name, key, value);
        self.upstream.advance_to(self.now);
    }

    /// Deletes one.
    pub(super) fn delete_attribute(&mut self, device: usize, key: &str) {
        let name = self.device_name(device);
        self.upstream
            .platform
            .delete_attribute(self.now, &name, key);
        self.upstream.advance_to(self.now);
    }

    /// Defines a package at ThingsBoard.
    pub(super) fn define_package(&mut self, id: &PackageId, package: Package) {
        self.upstream.platform.define_package(id, package);
    }

    /// Assigns one to a device.
    pub(super) fn assign_package(&mut self, device: usize, id: &PackageId) {
        let name = self.device_name(device);
        self.upstream.platform.assign_package(self.now, &name, id);
        self.upstream.advance_to(self.now);
    }

    /// Someone at ThingsBoard sends a device a command that is valid for ten minutes.
    pub(super) fn send_command(&mut self, device: usize, params: &str, oneway: bool) -> CommandId {
        let name = self.device_name(device);
        let lasts = Duration::from_secs(600);
        let platform = &mut self.upstream.platform;
        let command = platform.send_command(self.now, &name, params, oneway, lasts);
        self.upstream.advance_to(self.now);
        command
    }

    /// What a device is called at ThingsBoard.
    pub(super) fn device_name(&self, device: usize) -> String {
        format!("device-{}", self.devices[device].registered_as)
    }

    /// Has a device ask for its attributes.
    pub(super) fn get(&mut self, device: usize) -> usize {
        let number = self.devices[device].get(self.now);
        self.flush();
        number
    }

    /// Has a device send a request's very bytes once more.
    pub(super) fn send_duplicate(&mut self, device: usize, number: usize) {
        self.devices[device].send_duplicate(self.now, number);
        self.flush();
    }

    /// Has a device post telemetry with more options than the path's.
    pub(super) fn post_with(
        &mut self,
        device: usize,
        kind: coap::Type,
        options: Vec<(u16, Bytes)>,
    ) -> usize {
        let number = self.devices[device].post_with(self.now, kind, options);
        self.flush();
        number
    }

    /// Has a device encrypt and send any bytes.
    pub(super) fn send(&mut self, device: usize, plaintext: &[u8]) {
        self.devices[device].send(self.now, plaintext);
        self.flush();
    }

    /// The first datagram of a handshake like one of this device's, for forgers.
    pub(super) fn client_hello(&self, device: usize) -> Vec<u8> {
        let mut client = self.devices[device].with_same_certificate(999, self.devices[device].path);
        client.connect(self.now);
        client.poll_transmit().remove(0)
    }

    /// Bytes from anywhere reach the gateway, at once.
    pub(super) fn inject(&mut self, path: Path, datagram: &[u8]) {
        self.core.receive(self.now, path, datagram);
        self.flush();
    }
}
