//! What a test has devices and strangers do.

use super::{Device, World};
use crate::coap;
use crate::dtls::Path;
use bytes::Bytes;
use std::time::{Duration, Instant};

impl World {
    /// Switches a device on: it begins a handshake, from its address of now.
    pub(super) fn connect(&mut self, device: usize) {
        self.devices[device].connect(self.now);
        self.settle();
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

    /// Has a device post telemetry; returns the number under which its outcome will be found.
    pub(super) fn post(&mut self, device: usize, kind: coap::Type) -> usize {
        let number = self.devices[device].post(self.now, kind);
        self.settle();
        number
    }

    /// Has a device ask for its attributes.
    pub(super) fn get(&mut self, device: usize) -> usize {
        let number = self.devices[device].get(self.now);
        self.settle();
        number
    }

    /// Has a device send a request's very bytes once more.
    pub(super) fn repeat(&mut self, device: usize, number: usize) {
        self.devices[device].repeat(self.now, number);
        self.settle();
    }

    /// Has a device post telemetry with more options than the path's.
    pub(super) fn post_with(
        &mut self,
        device: usize,
        kind: coap::Type,
        options: Vec<(u16, Bytes)>,
    ) -> usize {
        let number = self.devices[device].post_with(self.now, kind, options);
        self.settle();
        number
    }

    /// Has a device encrypt and send any bytes.
    pub(super) fn send(&mut self, device: usize, plaintext: &[u8]) {
        self.devices[device].send(self.now, plaintext);
        self.settle();
    }

    /// The first datagram of a handshake like one of this device's, for forgers.
    pub(super) fn hello(&self, device: usize) -> Vec<u8> {
        let mut forger = self.devices[device].twin(999, self.devices[device].path);
        forger.connect(self.now);
        forger.poll_transmit().remove(0)
    }

    /// Bytes from anywhere reach the gateway, at once.
    pub(super) fn inject(&mut self, path: Path, datagram: &[u8]) {
        self.core.receive(self.now, path, datagram);
        self.settle();
    }
}
