//! Several gateways that serve the same devices, their store, and a balancer in front: under one clock.
//!
//! The store is the model that the scripts of the real one are compared with ([`replicas::model`]).

use super::restarts::record_number;
use super::upstream::ScriptedUpstream;
use super::{Device, certificate, new_core, registry};
use crate::device::{CertificateId, Registry};
use crate::downlink::Kind;
use crate::dtls::{Path, Versions};
use crate::gateway::Settings;
use crate::gateway::core::Core;
use crate::group::{Group, Parameters};
use coap::{Code, Type};
use replicas::model::Model;
use replicas::store::{Call, Reply};
use replicas::{GroupSecret, Instance};
use rustls_pki_types::UnixTime;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod random;
mod scenarios;

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(5);
/// One way, for datagrams, frames, calls and replies.
const DELAY: Duration = Duration::from_millis(5);
/// When a world begins, in seconds since 1970.
const BEGIN: u64 = 1_800_000_000;
const SECRET: [u8; 32] = [7; 32];

/// Something that arrives.
enum Event {
    ToGateway(usize, SocketAddr, Vec<u8>),
    ToDevice(usize, SocketAddr, Vec<u8>),
    Hop(SocketAddr, Vec<u8>),
    /// With the number of the process: a call of one that was killed is carried out all the same.
    Call(usize, u32, u64, Call),
    Reply(usize, u32, u64, Reply),
}

/// One gateway.
struct Gateway {
    core: Core,
    /// Each process has a number.
    process: u32,
    upstream: ScriptedUpstream,
    is_alive: bool,
    /// It can't reach the store.
    is_cut_off: bool,
    /// When the last call and the last reply arrive: later ones come later.
    last_call: Instant,
    last_reply: Instant,
}

/// Gateways, devices and the store.
struct GroupWorld {
    now: Instant,
    begin: Instant,
    settings: Settings,
    registry: Arc<Registry>,
    gateways: Vec<Gateway>,
    devices: Vec<Device>,
    /// The gateways that each device's packets have gone to: those it accepts packets from, as a NAT in front of it does.
    sent_to: Vec<HashSet<usize>>,
    /// Where the balancer sends a device's packets, if it keeps to that.
    home: Vec<usize>,
    has_affinity: bool,
    store: Model,
    is_store_away: bool,
    /// Calls of a gateway that can't reach the store get no reply, rather than an error.
    is_silent: bool,
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    random: fastrand::Rng,
    /// The share of packets that are lost.
    loss: f64,
    /// And of those of devices that come once more later, to any gateway.
    repeated: f64,
    /// The store could not be reached by a gateway, so that answers left without being stored.
    was_store_away: bool,
    /// The record numbers that were sent with, in which session of which device.
    numbers: HashSet<(usize, u32, u64)>,
    processes: u32,
    steps_at_this_instant: u32,
}

/// No post is forwarded again after its device got the answer, whatever gateway it comes to.
fn check_not_answered(devices: &[Device], call: &crate::calls::Call) {
    let crate::upstream::Request::Device { operation, .. } = &call.request else {
        return;
    };
    if let crate::upstream::Operation::PostTelemetry(body) = operation {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        let index = |key: &str| usize::try_from(body[key].as_u64().unwrap()).unwrap();
        let outcome = devices[index("by")].outcome(index("message"));
        assert!(!outcome.is(Code::CREATED), "{body} is forwarded once more");
    }
}

/// The address of a gateway at which devices reach it.
fn local(gateway: usize) -> std::net::IpAddr {
    [10, 9, 0, u8::try_from(gateway).unwrap()].into()
}

/// And that at which the others do.
fn hop_address(gateway: usize) -> SocketAddr {
    (local(gateway), 5685).into()
}

impl GroupWorld {
    /// Gateways that have had time to join, and devices without a session.
    fn new(gateways: usize, devices: usize, seed: u64, connection_id: u8) -> GroupWorld {
        let mut settings = Settings::default();
        settings.dtls.versions = Versions::Only12;
        settings.dtls.connection_id = connection_id;
        #[expect(clippy::disallowed_methods, reason = "a world needs some start time")]
        let now = Instant::now();
        let certificates: Vec<_> = (0..devices).map(|_| certificate()).collect();
        let entries = certificates.iter().enumerate().map(|(index, certificate)| {
            let id = CertificateId::of(certificate.certificate());
            (index, format!("TOKEN-{index}"), id)
        });
        let registry = registry(entries);
        let devices: Vec<_> = certificates
            .into_iter()
            .enumerate()
            .map(|(index, certificate)| {
                Device::new(index, super::path(index), certificate, settings.dtls)
            })
            .collect();
        let mut world = GroupWorld {
            now,
            begin: now,
            settings,
            registry,
            gateways: Vec::new(),
            sent_to: vec![HashSet::new(); devices.len()],
            home: (0..devices.len()).map(|index| index % gateways).collect(),
            devices,
            has_affinity: true,
            store: Model::new(now, seed),
            is_store_away: false,
            is_silent: false,
            events: BTreeMap::new(),
            count: 0,
            random: fastrand::Rng::with_seed(seed),
            loss: 0.0,
            repeated: 0.0,
            was_store_away: false,
            numbers: HashSet::new(),
            processes: 0,
            steps_at_this_instant: 0,
        };
        for _ in 0..gateways {
            let gateway = world.new_gateway(world.gateways.len());
            world.gateways.push(gateway);
        }
        // Until each may take sessions over.
        world.run_for(6 * SECOND);
        world
    }

    fn new_gateway(&mut self, index: usize) -> Gateway {
        self.processes += 1;
        let process = self.processes;
        let mut core = new_core(self.settings, self.registry.clone(), self.random.u64(..));
        core.set_unix_time(self.unix_time());
        let mut instance = [0; 16];
        self.random.fill(&mut instance);
        let parameters = Parameters {
            secret: GroupSecret::new(SECRET),
            instance: Instance(instance),
            address: hop_address(index),
            window: WINDOW,
        };
        core.join(Group::new(self.now, parameters).unwrap());
        Gateway {
            core,
            process,
            upstream: ScriptedUpstream::default(),
            is_alive: true,
            is_cut_off: false,
            last_call: self.now,
            last_reply: self.now,
        }
    }

    fn passed(&self) -> Duration {
        self.now.duration_since(self.begin)
    }

    fn unix_time(&self) -> UnixTime {
        let since = self.now.duration_since(self.begin);
        UnixTime::since_unix_epoch(Duration::from_secs(BEGIN) + since)
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    fn alive(&self) -> Vec<usize> {
        let gateways = self.gateways.iter().enumerate();
        let alive = gateways.filter(|(_, gateway)| gateway.is_alive);
        alive.map(|(index, _)| index).collect()
    }

    /// The gateway that a device's next packet goes to: one that lives.
    fn balance(&mut self, device: usize) -> Option<usize> {
        let alive = self.alive();
        let keeps = self.has_affinity || !self.devices[device].is_connected();
        if !keeps || !alive.contains(&self.home[device]) {
            let chosen = self.random.choice(alive)?;
            self.home[device] = chosen;
        }
        Some(self.home[device])
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    fn run_until(&mut self, at_most: Duration, holds: impl Fn(&GroupWorld) -> bool) -> bool {
        let end = self.now + at_most;
        while !holds(self) {
            if !self.step(end) {
                self.now = end;
                return holds(self);
            }
        }
        true
    }

    /// Handles all events of the earliest time at which there is one, if that is not after `end`. Returns whether there was one.
    fn step(&mut self, end: Instant) -> bool {
        let of_gateways = self.gateways.iter().filter(|gateway| gateway.is_alive);
        let of_gateways = of_gateways
            .flat_map(|one| [one.core.next_timeout(), one.upstream.next_completion()])
            .flatten();
        let of_devices = self.devices.iter().filter_map(Device::next_timeout);
        let event = self.events.keys().next().map(|(at, _)| *at);
        let next = event.into_iter().chain(of_gateways).chain(of_devices).min();
        let Some(next) = next.filter(|at| *at <= end) else {
            return false;
        };
        self.steps_at_this_instant = match next > self.now {
            true => 0,
            false => self.steps_at_this_instant + 1,
        };
        assert!(
            self.steps_at_this_instant < 10_000,
            "a timer fires endlessly"
        );
        self.now = self.now.max(next);
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let event = entry.remove();
            self.handle(event);
        }
        self.was_store_away |= self.is_store_away || self.gateways.iter().any(|one| one.is_cut_off);
        let (now, unix) = (self.now, self.unix_time());
        for gateway in self.gateways.iter_mut().filter(|one| one.is_alive) {
            gateway.core.set_unix_time(unix);
            while let Some(completion) = gateway.upstream.pop_completion(now) {
                gateway.core.complete(now, completion);
            }
            gateway.core.handle_timeout(now);
        }
        for device in &mut self.devices {
            if device.next_timeout().is_some_and(|at| at <= now) {
                device.handle_timeout(now);
            }
        }
        self.flush();
        self.check_followed_by_one();
        true
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::ToGateway(index, remote, datagram) => {
                let gateway = &mut self.gateways[index];
                if gateway.is_alive {
                    let path = Path {
                        remote,
                        local: Some(local(index)),
                        via: None,
                    };
                    gateway.core.receive(now, path, &datagram);
                }
            }
            Event::ToDevice(from, remote, datagram) => {
                let devices = self.devices.iter_mut().enumerate();
                let mut at = devices.filter(|(_, device)| device.path.remote == remote);
                if let Some((index, device)) = at.next()
                    && device.is_on()
                    && self.sent_to[index].contains(&from)
                {
                    device.receive(now, &datagram);
                }
            }
            Event::Hop(to, bytes) => {
                let gateways = self.gateways.iter_mut().enumerate();
                for (index, gateway) in gateways {
                    if hop_address(index) == to && gateway.is_alive {
                        gateway.core.receive_hop(now, &bytes);
                    }
                }
            }
            Event::Call(index, process, ticket, call) => {
                let is_cut_off = self.gateways[index].is_cut_off || self.is_store_away;
                let reply = match is_cut_off {
                    true if self.is_silent => return,
                    true => Reply::Failed,
                    false => self.store.call(now, &call),
                };
                let gateway = &mut self.gateways[index];
                let at = gateway.last_reply.max(now + DELAY);
                gateway.last_reply = at;
                self.push(at, Event::Reply(index, process, ticket, reply));
            }
            Event::Reply(index, process, ticket, reply) => {
                let gateway = &mut self.gateways[index];
                if gateway.is_alive && gateway.process == process {
                    gateway.core.store_replied(now, ticket, reply);
                }
            }
        }
    }

    /// Takes what gateways and devices have to send.
    fn flush(&mut self) {
        let now = self.now;
        for index in 0..self.gateways.len() {
            if !self.gateways[index].is_alive {
                continue;
            }
            let mut events = Vec::new();
            let gateway = &mut self.gateways[index];
            while let Some(transmit) = gateway.core.poll_transmit() {
                let path = transmit.path;
                assert!(path.via.is_none());
                assert!(path.local.is_none_or(|address| address == local(index)));
                events.push(Event::ToDevice(index, path.remote, transmit.datagram));
            }
            while let Some((to, bytes)) = gateway.core.poll_hop() {
                events.push(Event::Hop(to, bytes));
            }
            while let Some(call) = gateway.core.poll_call() {
                if !self.was_store_away {
                    check_not_answered(&self.devices, &call);
                }
                gateway.upstream.begin_call(now, call);
            }
            while let Some(ticket) = gateway.core.poll_abort() {
                gateway.upstream.abort(now, ticket);
            }
            while let Some((ticket, call)) = gateway.core.poll_store_call() {
                let at = gateway.last_call.max(now + DELAY);
                gateway.last_call = at;
                let process = gateway.process;
                self.count += 1;
                let call = Event::Call(index, process, ticket, call);
                self.events.insert((at, self.count), call);
            }
            for event in events {
                if let Event::ToDevice(_, remote, datagram) = &event {
                    let is_silent = self.gateways[index].core.is_suspended();
                    let is_protected = record_number(datagram).is_some();
                    assert!(!(is_silent && is_protected), "a suspended gateway sends");
                    self.check_record_number(*remote, datagram);
                    if self.random.f64() < self.loss {
                        continue;
                    }
                }
                self.push(now + DELAY, event);
            }
        }
        for index in 0..self.devices.len() {
            for datagram in self.devices[index].poll_transmit() {
                let Some(gateway) = self.balance(index) else {
                    continue;
                };
                self.sent_to[index].insert(gateway);
                let remote = self.devices[index].path.remote;
                if self.random.f64() < self.repeated
                    && let Some(another) = self.random.choice(self.alive())
                {
                    let later = Duration::from_millis(self.random.u64(..8_000));
                    let repeated = Event::ToGateway(another, remote, datagram.clone());
                    self.push(now + later, repeated);
                }
                if self.random.f64() >= self.loss {
                    self.push(now + DELAY, Event::ToGateway(gateway, remote, datagram));
                }
            }
        }
    }

    /// No session sends twice with a record number, which is its nonce (RFC 5288 §3), whatever gateway it is in.
    fn check_record_number(&mut self, remote: SocketAddr, datagram: &[u8]) {
        let mut devices = self.devices.iter();
        let device = devices.find(|device| device.path.remote == remote && device.is_connected());
        let (Some(device), Some(number)) = (device, record_number(datagram)) else {
            return;
        };
        let is_new = self.numbers.insert((device.index, device.sessions, number));
        assert!(is_new, "device {} got two records {number}", device.index);
    }

    /// No device is polled for by two gateways, but for the one case that docs/state.md has: one is cut off from the store together
    /// with all that it knows, and another one has begun since.
    fn check_followed_by_one(&self) {
        for index in 0..self.devices.len() {
            let name = format!("device-{index}");
            let alive = self.gateways.iter().filter(|gateway| gateway.is_alive);
            let followers = alive
                .filter(|gateway| gateway.upstream.platform.polls_of(&name) > 0)
                .filter(|gateway| !gateway.core.is_detached(self.now))
                .count();
            assert!(
                followers <= 1,
                "{name} is followed by {followers}, after {:?}",
                self.passed()
            );
        }
    }

    /// All devices begin a handshake, and have a row in the store when this returns.
    fn connect_all(&mut self) {
        for index in 0..self.devices.len() {
            self.devices[index].connect(self.now);
        }
        self.flush();
        let all = |world: &GroupWorld| world.devices.iter().all(Device::is_connected);
        assert!(self.run_until(60 * SECOND, all), "not all are connected");
        self.run_for(2 * SECOND);
    }

    fn post(&mut self, device: usize) -> usize {
        let number = self.devices[device].post(self.now, Type::Confirmable);
        self.flush();
        number
    }

    fn observe(&mut self, device: usize, kind: Kind) {
        self.devices[device].observe(self.now, Type::Confirmable, kind);
        self.flush();
    }

    fn kill(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        gateway.is_alive = false;
        gateway.upstream.abort_all(self.now);
        if self.random.bool() {
            // Calls of the store that were on their way are carried out, or are not.
            self.events
                .retain(|_, event| !matches!(event, Event::Call(of, ..) if *of == index));
        }
    }

    fn kill_when(&mut self, index: usize, holds: impl Fn(&GroupWorld) -> bool) {
        assert!(self.run_until(10 * SECOND, holds));
        self.kill(index);
    }

    fn start(&mut self, index: usize) {
        let former = self.gateways[index].last_call;
        let mut gateway = self.new_gateway(index);
        gateway.last_call = former;
        std::mem::swap(&mut gateway.upstream, &mut self.gateways[index].upstream);
        self.gateways[index] = gateway;
    }

    /// A stop in an orderly way.
    fn stop(&mut self, index: usize, drain: Duration) {
        let now = self.now;
        self.gateways[index].core.drain(now, drain);
        self.flush();
        let is_drained = |world: &GroupWorld| world.gateways[index].core.is_drained();
        assert!(self.run_until(drain + SECOND, is_drained));
        let now = self.now;
        let core = &mut self.gateways[index].core;
        core.close_all(now);
        core.begin_last_rows(now);
        self.flush();
        let written = |world: &GroupWorld| world.gateways[index].core.are_last_rows_written();
        assert!(self.run_until(5 * SECOND, written));
        let now = self.now;
        self.gateways[index].core.release_members(now);
        self.flush();
        assert!(self.run_until(5 * SECOND, written));
        self.kill(index);
    }

    /// Sets an attribute, wherever its device is followed.
    fn set_attribute(&mut self, device: usize, key: &str, value: &str) {
        let name = format!("device-{device}");
        let value = serde_json::Value::from(value);
        for gateway in &mut self.gateways {
            let platform = &mut gateway.upstream.platform;
            platform.set_attribute(self.now, &name, key, &value.to_string());
        }
    }

    /// How often ThingsBoard got each post.
    fn posts(&self) -> HashMap<&[u8], usize> {
        let mut posts = HashMap::new();
        for gateway in &self.gateways {
            for post in &gateway.upstream.posts {
                *posts.entry(&post.body[..]).or_default() += 1;
            }
        }
        posts
    }

    fn assert_no_second_handshake(&self) {
        for device in &self.devices {
            assert_eq!(device.sessions, 1, "device {}", device.index);
        }
    }
}
