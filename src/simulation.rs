//! The gateway on a simulated network: its sans-IO core, real DTLS clients, a scripted upstream, and
//! a clock that jumps from one event to the next. No sockets, no sleeps, no threads.
//!
//! Modelled on quinn's `Pair`: [`World::step`] moves the clock to the earliest thing that happens (a
//! datagram arrives, a call completes, a timer fires), lets it happen, and checks what must always
//! hold. A run is a pure function of its seed, but for keys and cookies, which don't decide anything.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant, whichever others there come to be"
)]

mod acts;
mod blocks;
mod bursts;
mod claimed_by_two;
mod crowded_bodies;
mod delivered_once;
mod device;
mod invariants;
mod link;
mod observing;
mod platform;
mod requests;
mod upstream;

mod address_reuse;
mod another_registry;
mod assignments;
mod calls;
mod downloads;
mod draining;
mod duplicates;
mod first_light;
mod full_table;
mod handshake_flood;
mod idle_expiry;
mod late_completion;
mod loss;
mod observe;
mod observe_again_and_again;
mod observe_bytes;
mod observe_commands;
mod observe_gaps;
mod observe_liveness;
mod observe_loss;
mod observe_outage_over;
mod observe_outages;
mod observe_token;
mod packages;
mod random_runs;
mod reboot;
mod reboot_under_a_forger;
mod reordering;
mod separate_response;
mod session_gone;
mod share_of_the_loop;
mod slow_upstream;
mod tap;
mod throwaway_certificates;
mod token_refused;
mod twenty_percent_loss;
mod two_sessions;
mod uploads;
mod upstream_down;

use device::Device;
use link::{Conditions, Link};
use requests::{Outcome, PATIENCE};
use upstream::{Behaviour, Script};

use crate::credentials::{ClientPolicy, ServerCredentials, Validity};
use crate::device as registered;
use crate::device::{AccessToken, CertificateId, Fingerprint, Registry};
use crate::dtls::{self, Path};
use crate::gateway::Settings;
use crate::gateway::core::Core;
use invariants::Invariants;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How much of a long test is run: `slow` in `tests/run`, which turns the feature `slow-tests` on, and otherwise `fast`.
pub(crate) const fn scaled(fast: usize, slow: usize) -> usize {
    if cfg!(feature = "slow-tests") {
        slow
    } else {
        fast
    }
}

/// Everything there is.
struct World {
    now: Instant,
    core: Core,
    devices: Vec<Device>,
    link: Link,
    upstream: Script,
    settings: Settings,
    invariants: Invariants,
    steps_at_once: u32,
}

/// A self-signed certificate and its key.
fn certificate() -> ServerCredentials {
    let made = rcgen::generate_simple_self_signed(vec!["device".to_owned()]).unwrap();
    ServerCredentials {
        certificate: made.cert.der().to_vec(),
        private_key: Zeroizing::new(made.signing_key.serialize_der()),
    }
}

/// A registry of devices named by these numbers, each with its token and certificate.
fn registry(entries: impl Iterator<Item = (usize, String, CertificateId)>) -> Arc<Registry> {
    let mut registry = Registry::default();
    for (number, token, certificate) in entries {
        let device = registered::Device {
            name: format!("device-{number}").into(),
            token: AccessToken::new(token).unwrap(),
        };
        let fingerprint = Fingerprint::Sha256(certificate.sha256);
        registry.add(device, &[fingerprint]).unwrap();
    }
    Arc::new(registry)
}

/// A device's address: its own host, the port of CoAPs.
fn path(host: usize) -> Path {
    let [.., high, low] = host.to_be_bytes();
    Path {
        remote: SocketAddr::from(([10, 0, high, low], 5684)),
        local: None,
    }
}

fn default_settings() -> Settings {
    Settings::default()
}

impl World {
    /// A gateway with `devices` registered devices, `device-0` and on, none of them switched on yet.
    fn new(devices: usize, conditions: Conditions, seed: u64) -> World {
        World::with_settings(devices, conditions, seed, Settings::default())
    }

    fn with_settings(
        devices: usize,
        conditions: Conditions,
        seed: u64,
        settings: Settings,
    ) -> World {
        #[expect(clippy::disallowed_methods, reason = "a world begins at some time")]
        let now = Instant::now();
        let certificates: Vec<_> = (0..devices).map(|_| certificate()).collect();
        let entries = certificates.iter().enumerate().map(|(index, certificate)| {
            let id = CertificateId::of(&certificate.certificate);
            (index, format!("TOKEN-{index}"), id)
        });
        let registry = registry(entries);
        let engine = dtls::engine::Settings::new(&certificate(), &settings.dtls).unwrap();
        let policy = ClientPolicy::new(None, Validity::Ignore).unwrap();
        let devices = certificates
            .into_iter()
            .enumerate()
            .map(|(index, certificate)| Device::new(index, path(index), certificate, settings.dtls))
            .collect();
        let mut core = Core::new(settings, engine, policy, registry, seed);
        let mut invariants = Invariants::default();
        invariants.delivered_once.listen(&mut core);
        World {
            now,
            core,
            devices,
            link: Link::new(conditions, seed),
            upstream: Script::default(),
            settings,
            invariants,
            steps_at_once: 0,
        }
    }

    /// Adds a device whose certificate nobody has registered; returns its index.
    fn add_stranger(&mut self) -> usize {
        let index = self.devices.len();
        let stranger = Device::new(index, path(index), certificate(), self.settings.dtls);
        self.devices.push(stranger);
        index
    }

    /// Adds a device with the certificate of another, at an address of its own; returns its index.
    fn add_twin(&mut self, of: usize, host: usize) -> usize {
        let index = self.devices.len();
        let twin = self.devices[of].twin(index, path(1000 + host));
        self.devices.push(twin);
        index
    }

    /// Runs for some time.
    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until something holds, for some time at most. Returns whether it came to hold.
    fn run_until(&mut self, at_most: Duration, holds: impl Fn(&World) -> bool) -> bool {
        let end = self.now + at_most;
        loop {
            if holds(self) {
                return true;
            }
            if !self.step(end) {
                self.now = end;
                return holds(self);
            }
        }
    }

    /// Lets the next thing happen, if one does until `end`.
    fn step(&mut self, end: Instant) -> bool {
        let devices = self.devices.iter().filter_map(Device::next_timeout).min();
        let next = [
            self.link.next_arrival(),
            self.upstream.next_completion(),
            self.core.next_timeout(),
            devices,
        ];
        let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
            return false;
        };
        self.steps_at_once = if at > self.now {
            0
        } else {
            self.steps_at_once + 1
        };
        assert!(
            self.steps_at_once < 10_000,
            "a timer fires without end; overdue are (link, upstream, gateway, devices) {:?}",
            next.map(|at| at.is_some_and(|at| at <= self.now))
        );
        self.now = self.now.max(at);
        while let Some(arrival) = self.link.pop_arrival(self.now) {
            if arrival.to_gateway {
                self.core.receive(self.now, arrival.path, &arrival.datagram);
            } else if let Some(device) = {
                let mut there = self.devices.iter_mut();
                there.find(|device| device.path == arrival.path && device.is_on())
            } {
                device.receive(self.now, &arrival.datagram);
            }
        }
        while let Some(completion) = self.upstream.pop_completion(self.now) {
            self.core.complete(self.now, completion);
        }
        if self.core.next_timeout().is_some_and(|at| at <= self.now) {
            self.core.handle_timeout(self.now);
        }
        for device in &mut self.devices {
            if device.next_timeout().is_some_and(|at| at <= self.now) {
                device.handle_timeout(self.now);
            }
        }
        self.settle();
        true
    }

    /// Puts what everyone wants sent on its way, and checks what must always hold.
    fn settle(&mut self) {
        while let Some(transmit) = self.core.poll_transmit() {
            assert!(
                transmit.datagram.len() <= self.settings.dtls.mtu,
                "a datagram of {} bytes",
                transmit.datagram.len()
            );
            self.link
                .send(self.now, transmit.path, false, transmit.datagram);
        }
        while let Some(call) = self.core.poll_call() {
            self.upstream.take(self.now, call);
        }
        while let Some(ticket) = self.core.poll_abort() {
            self.upstream.abort(self.now, ticket);
        }
        for device in &mut self.devices {
            for datagram in device.poll_transmit() {
                self.link.send(self.now, device.path, true, datagram);
            }
        }
        self.invariants
            .check(&self.core, &self.devices, &self.upstream, &self.settings);
    }
}
