//! The gateway on a simulated network: its sans-IO core, real DTLS clients, a scripted upstream, and
//! a clock that jumps from one event to the next. No sockets, no sleeps, no threads.
//!
//! Modelled on quinn's `Pair`: [`World::step`] moves the clock to the earliest event (a datagram
//! arrives, a call completes, a timer fires), handles it, and checks the invariants. What a test decides is a pure
//! function of its seed. Certificates, keys and cookies are not, nor is the jitter of DTLS retransmissions: with loss,
//! two runs of one seed may take another course.
//!
//! Over HTTP the upstream is scripted, and calls end at the gateway's seam. Over MQTT ([`mqtt`]) it is the gateway's own
//! connections, and the simulator's sessions as ThingsBoard.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test matches one variant, whatever variants are added"
)]

mod actions;
mod blockwise_client;
mod body_budget;
mod bursts;
mod delivered_once;
mod device;
mod duplicate_certificate;
mod invariants;
mod link;
mod mqtt;
mod observation;
mod platform;
mod requests;
mod roaming;
mod upstream;

mod address_reuse;
mod assignments;
mod basic_requests;
mod call_limits;
mod downloads;
mod draining;
mod duplicates;
mod following;
mod forged_sources;
mod handshake_flood;
mod idle_expiry;
mod late_completion;
mod loop_fairness;
mod loss;
mod moved;
mod moved_with_loss;
mod observe;
mod observe_byte_budget;
mod observe_commands;
mod observe_gaps;
mod observe_link_outages;
mod observe_liveness;
mod observe_loss;
mod observe_push;
mod observe_reregistration;
mod observe_restarts;
mod observe_token;
mod observe_upstream_recovery;
mod packages;
mod random_runs;
mod reboot;
mod registry_reload;
mod reordering;
mod replicas;
mod restarts;
mod separate_response;
mod session_ended;
mod session_limit;
mod slow_upstream;
mod spoofed_address;
mod tap;
mod token_refused;
mod twenty_percent_loss;
mod two_sessions;
mod unregistered_flood;
mod uploads;
mod upstream_down;

use device::Device;
use link::{Conditions, Link};
use mqtt::MqttSide;
use requests::{Outcome, RESPONSE_TIMEOUT};
use restarts::DiskSide;
use upstream::{Behaviour, ScriptedUpstream};

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

/// The size of a long test: `slow` with the feature `slow-tests`, which `tests/run` turns on, and otherwise `fast`.
pub(crate) const fn scaled(fast: usize, slow: usize) -> usize {
    if cfg!(feature = "slow-tests") {
        slow
    } else {
        fast
    }
}

/// The core, its devices, the network and ThingsBoard, under one clock.
struct World {
    now: Instant,
    core: Core,
    devices: Vec<Device>,
    link: Link,
    upstream: ScriptedUpstream,
    /// Over MQTT: in the place of `upstream`, which counts only what arrives at ThingsBoard then.
    mqtt: Option<MqttSide>,
    /// What outlives the gateway's process, if anything does.
    disk: Option<DiskSide>,
    settings: Settings,
    invariants: Invariants,
    steps_at_this_instant: u32,
}

/// A self-signed certificate and its key.
fn certificate() -> ServerCredentials {
    let made = rcgen::generate_simple_self_signed(vec!["device".to_owned()]).unwrap();
    ServerCredentials::of_certificate(
        made.cert.der().to_vec(),
        Zeroizing::new(made.signing_key.serialize_der()),
    )
}

/// A registry of devices: the number in the name, the token and the certificate of each.
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

/// The core of a gateway that starts.
fn new_core(settings: Settings, registry: Arc<Registry>, seed: u64) -> Core {
    let engine = dtls::Settings::new(&certificate(), &settings.dtls).unwrap();
    let policy = ClientPolicy::new(None, Validity::Ignore).unwrap();
    Core::new(settings, engine, policy, registry, seed)
}

/// The path of a device: `host` in 10.0.0.0/16, and the port of coaps.
fn path(host: usize) -> Path {
    let [.., high, low] = host.to_be_bytes();
    Path {
        remote: SocketAddr::from(([10, 0, high, low], 5684)),
        local: None,
        via: None,
    }
}

fn default_settings() -> Settings {
    Settings::default()
}

impl World {
    /// A gateway with `devices` registered devices, `device-0` and on, none of them connected.
    fn new(devices: usize, conditions: Conditions, seed: u64) -> World {
        World::with_settings(devices, conditions, seed, Settings::default())
    }

    fn with_settings(
        devices: usize,
        conditions: Conditions,
        seed: u64,
        settings: Settings,
    ) -> World {
        #[expect(clippy::disallowed_methods, reason = "a world needs some start time")]
        let now = Instant::now();
        let certificates: Vec<_> = (0..devices).map(|_| certificate()).collect();
        let entries = certificates.iter().enumerate().map(|(index, certificate)| {
            let id = CertificateId::of(certificate.certificate());
            (index, format!("TOKEN-{index}"), id)
        });
        let mut core = new_core(settings, registry(entries), seed);
        let devices = certificates
            .into_iter()
            .enumerate()
            .map(|(index, certificate)| Device::new(index, path(index), certificate, settings.dtls))
            .collect();
        let mut invariants = Invariants::default();
        invariants.delivered_once.attach(&mut core);
        World {
            now,
            core,
            devices,
            link: Link::new(conditions, seed),
            upstream: ScriptedUpstream::default(),
            mqtt: None,
            disk: None,
            settings,
            invariants,
            steps_at_this_instant: 0,
        }
    }

    /// Adds a device whose certificate is not registered; returns its index.
    fn add_unregistered(&mut self) -> usize {
        let index = self.devices.len();
        let device = Device::new(index, path(index), certificate(), self.settings.dtls);
        self.devices.push(device);
        index
    }

    /// Adds a client with the certificate of device `of`, at another address; returns its index.
    fn add_client_with_certificate_of(&mut self, of: usize, host: usize) -> usize {
        let index = self.devices.len();
        let device = self.devices[of].with_same_certificate(index, path(1000 + host));
        self.devices.push(device);
        index
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = self.now.max(end);
    }

    /// Runs until `holds` does, for `at_most`. Returns whether it does.
    fn run_until(&mut self, at_most: Duration, holds: impl Fn(&World) -> bool) -> bool {
        let end = self.now + at_most;
        loop {
            if holds(self) {
                return true;
            }
            if !self.step(end) {
                self.now = self.now.max(end);
                return holds(self);
            }
        }
    }

    /// Handles all events of the earliest time at which there is one, if that is not after `end`. Returns whether there was one.
    fn step(&mut self, end: Instant) -> bool {
        let devices = self.devices.iter().filter_map(Device::next_timeout).min();
        let next = [
            self.link.next_arrival(),
            self.upstream.next_completion(),
            self.core.next_timeout(),
            devices,
        ];
        let due = next.into_iter().flatten().min().filter(|at| *at <= end);
        if self.mqtt.is_some() {
            if !self.run_mqtt(due.unwrap_or(end)) && due.is_none() {
                return false;
            }
        } else if let Some(due) = due {
            self.advance_to(due, next);
        } else {
            return false;
        }
        self.handle_due();
        self.flush();
        true
    }

    fn advance_to(&mut self, at: Instant, next: [Option<Instant>; 4]) {
        self.steps_at_this_instant = if at > self.now {
            0
        } else {
            self.steps_at_this_instant + 1
        };
        assert!(
            self.steps_at_this_instant < 10_000,
            "a timer fires endlessly; overdue (link, upstream, gateway, devices): {:?}",
            next.map(|at| at.is_some_and(|at| at <= self.now))
        );
        self.now = self.now.max(at);
    }

    /// Handles all events that are due.
    fn handle_due(&mut self) {
        self.run_disk();
        while let Some(arrival) = self.link.pop_arrival(self.now) {
            if arrival.to_gateway {
                self.core.receive(self.now, arrival.path, &arrival.datagram);
            } else if let Some(device) = {
                let mut devices = self.devices.iter_mut();
                devices.find(|device| device.path == arrival.path && device.is_on())
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
    }

    /// Hands the queued datagrams to the link and the queued calls to upstream, and checks the invariants.
    fn flush(&mut self) {
        while let Some(transmit) = self.core.poll_transmit() {
            assert!(
                transmit.datagram.len() <= self.settings.dtls.mtu,
                "a datagram of {} bytes",
                transmit.datagram.len()
            );
            if let Some(side) = &mut self.disk {
                side.check_record_number(&self.devices, &transmit);
            }
            self.link
                .send(self.now, transmit.path, false, transmit.datagram);
        }
        match &self.mqtt {
            Some(_) => self.flush_mqtt(),
            None => self.flush_calls(),
        }
        for device in &mut self.devices {
            for datagram in device.poll_transmit() {
                self.link.send(self.now, device.path, true, datagram);
            }
        }
        let calls = match &self.mqtt {
            Some(mqtt) => mqtt.calls(),
            None => self.upstream.calls(),
        };
        self.invariants.check(
            &self.core,
            &self.devices,
            &self.upstream,
            calls,
            &self.settings,
        );
    }

    fn flush_calls(&mut self) {
        while let Some(call) = self.core.poll_call() {
            self.upstream.begin_call(self.now, call);
        }
        while let Some(ticket) = self.core.poll_abort() {
            self.upstream.abort(self.now, ticket);
        }
    }
}
