//! What tests let devices, ThingsBoard and unauthenticated senders do.

use super::observation::Observation;
use super::{Conditions, Device, World};
use crate::downlink::Kind;
use crate::dtls::Path;
use crate::gateway::Settings;
use crate::gateway::handle::Change;
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
    /// A world of one device that observes its attributes, of which `a` is 1, and its commands, in this order.
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

    /// A device starts (again): it begins a handshake from its current address.
    pub(super) fn connect(&mut self, device: usize) {
        self.devices[device].connect(self.now);
        self.flush();
    }

    /// All devices begin a handshake; runs until they are connected. A device whose handshake fails begins another.
    pub(super) fn connect_all(&mut self) {
        for device in 0..self.devices.len() {
            self.connect(device);
        }
        self.connect_again_until(self.now + Duration::from_secs(600));
        let all = self.devices.iter().all(Device::is_connected);
        assert!(all, "not all devices connected");
        // Last flights, and their acknowledgements, are still in transit.
        self.run_for(Duration::from_secs(1));
    }

    /// Runs until all devices are connected, or until `end`. A device whose handshake failed begins another, within a second.
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

    /// Replaces the registry by these entries.
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

    /// The gateway begins to drain, for `at_most`.
    pub(super) fn drain(&mut self, at_most: Duration) {
        self.core.drain(self.now, at_most);
        self.flush();
    }

    /// A device posts telemetry. Returns the number of the request.
    pub(super) fn post(&mut self, device: usize, kind: coap::Type) -> usize {
        let number = self.devices[device].post(self.now, kind);
        self.flush();
        number
    }

    /// A device registers for its attributes or its commands. Returns the number of the observation.
    pub(super) fn observe(&mut self, device: usize, kind: coap::Type, observed: Kind) -> usize {
        let number = self.devices[device].observe(self.now, kind, observed);
        self.flush();
        number
    }

    /// A device sends GET with Observe `value` and the token of an existing observation.
    pub(super) fn send_observe(&mut self, device: usize, number: usize, value: u8) {
        let kind = coap::Type::Confirmable;
        self.devices[device].send_observe(self.now, kind, number, value);
        self.flush();
    }

    /// A device replies to a command.
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

    /// Deletes a shared attribute of a device at ThingsBoard.
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

    /// Assigns a package to a device.
    pub(super) fn assign_package(&mut self, device: usize, id: &PackageId) {
        let name = self.device_name(device);
        self.upstream.platform.assign_package(self.now, &name, id);
        self.upstream.advance_to(self.now);
    }

    /// ThingsBoard sends a device a command that is valid for ten minutes.
    pub(super) fn send_command(&mut self, device: usize, params: &str, oneway: bool) -> CommandId {
        let name = self.device_name(device);
        let valid_for = Duration::from_secs(600);
        let platform = &mut self.upstream.platform;
        let command = platform.send_command(self.now, &name, params, oneway, valid_for);
        self.upstream.advance_to(self.now);
        command
    }

    /// A device's name at ThingsBoard.
    pub(super) fn device_name(&self, device: usize) -> String {
        format!("device-{}", self.devices[device].registered_as)
    }

    /// A device sends GET attributes. Returns the number of the request.
    pub(super) fn get(&mut self, device: usize) -> usize {
        let number = self.devices[device].get(self.now);
        self.flush();
        number
    }

    /// A device sends the bytes of an earlier request again.
    pub(super) fn send_duplicate(&mut self, device: usize, number: usize) {
        self.devices[device].send_duplicate(self.now, number);
        self.flush();
    }

    /// A device posts telemetry with options in addition to the path's. Returns the number of the request.
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

    /// A device encrypts and sends `plaintext`, which need not be a CoAP message.
    pub(super) fn send(&mut self, device: usize, plaintext: &[u8]) {
        self.devices[device].send(self.now, plaintext);
        self.flush();
    }

    /// A ClientHello as this device might send it, to be sent by another.
    pub(super) fn client_hello(&self, device: usize) -> Vec<u8> {
        let mut client = self.devices[device].with_same_certificate(999, self.devices[device].path);
        client.connect(self.now);
        client.poll_transmit().remove(0)
    }

    /// The gateway receives a datagram from `path`, without delay.
    pub(super) fn inject(&mut self, path: Path, datagram: &[u8]) {
        self.core.receive(self.now, path, datagram);
        self.flush();
    }
}
