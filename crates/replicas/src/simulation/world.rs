//! The world: events in the order of their times.

use super::checks::Checks;
use super::device::{Device, Record};
use super::faults::Kind;
use super::gateway::Gateway;
use crate::id::{Instance, SessionKey};
use crate::model::Model;
use crate::path::Path;
use crate::replica::Replica;
use crate::secret::{Addresses, ConnectionIds, GroupSecret};
use crate::settings::Settings;
use crate::store::{Call, Reply};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a device waits until it repeats its request, and until it shakes hands.
pub(super) const REPEAT: Duration = Duration::from_secs(1);
pub(super) const GIVE_UP: Duration = Duration::from_secs(25);

#[derive(Debug, Clone)]
pub(super) enum Event {
    Timer(usize),
    Call(usize, u64, u64, Call),
    Reply(usize, u64, u64, Reply),
    Hop(usize, usize, Vec<u8>),
    Uplink(usize, SocketAddr, Vec<u8>),
    Downlink(usize, Path, Record),
    Upstream(usize, SessionKey, u64),
    Push(usize),
    Device(usize),
    Stopped(usize),
    Fault,
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) random: fastrand::Rng,
    pub(super) begin: Instant,
    pub(super) now: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    last_event: u64,
    pub(super) store: Model,
    /// Former states of the store, of which a replica may have been left.
    pub(super) past: VecDeque<Model>,
    pub(super) store_cut: BTreeMap<usize, Instant>,
    pub(super) store_away_until: Instant,
    /// When a node could not reach the store the last time.
    pub(super) last_away: Instant,
    pub(super) nodes_cut: BTreeMap<(usize, usize), Instant>,
    pub(super) gateways: Vec<Gateway>,
    pub(super) devices: Vec<Device>,
    pub(super) checks: Checks,
    pub(super) notes: BTreeMap<SessionKey, VecDeque<String>>,
    pub(super) settings: Settings,
    pub(super) faults: Option<(Vec<Kind>, Duration)>,
    pub(super) all_have_connection_ids: bool,
    /// Datagrams get lost.
    pub(super) is_lossy: bool,
    /// Devices begin new sessions, with or without ending the former one.
    pub(super) has_reboots: bool,
    /// Sessions beside which their node has had another one of the same device.
    pub(super) had_others: BTreeSet<SessionKey>,
    /// Devices send nothing.
    pub(super) is_asleep: bool,
    /// The store forgets in this run.
    pub(super) forgets: bool,
    secret: GroupSecret,
    pub(super) ids: ConnectionIds,
    pub(super) addresses: Addresses,
}

impl World {
    pub(super) fn new(seed: u64, nodes: usize, devices: usize) -> World {
        let mut world = World::empty(seed);
        world.begin(nodes, devices);
        world
    }

    pub(super) fn empty(seed: u64) -> World {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let secret = GroupSecret::new([7; 32]);
        World {
            seed,
            random: fastrand::Rng::with_seed(seed),
            begin: now,
            now,
            events: BTreeMap::new(),
            last_event: 0,
            store: Model::new(now, 1),
            past: VecDeque::new(),
            store_cut: BTreeMap::new(),
            store_away_until: now,
            last_away: now,
            nodes_cut: BTreeMap::new(),
            gateways: Vec::new(),
            devices: Vec::new(),
            checks: Checks::default(),
            notes: BTreeMap::new(),
            // Small blocks, so that many are given out.
            settings: Settings {
                block: 128,
                pace: 512,
                ..Settings::default()
            },
            faults: None,
            all_have_connection_ids: false,
            is_lossy: false,
            has_reboots: false,
            had_others: BTreeSet::new(),
            is_asleep: false,
            forgets: false,
            ids: secret.connection_ids(),
            addresses: secret.addresses(),
            secret,
        }
    }

    pub(super) fn begin(&mut self, nodes: usize, devices: usize) {
        for _ in 0..nodes {
            self.start_node();
        }
        self.run_for(Duration::from_secs(1));
        for device in 0..devices {
            let [high, low] = u16::try_from(device).unwrap().to_be_bytes();
            self.devices.push(Device {
                has_connection_id: self.all_have_connection_ids || device % 3 != 0,
                address: (Ipv4Addr::new(198, 51, high, low), 5_000).into(),
                key: SessionKey([0; 8]),
                next_number: 0,
                message: 1,
                waits_since: None,
                last_answer: self.now,
                handshakes: 0,
                began: self.now,
                was_protected: false,
                flows: BTreeSet::new(),
                sent: Vec::new(),
            });
            self.new_session(device);
            self.at(Duration::from_millis(10), Event::Device(device));
        }
        self.at(Duration::from_millis(1), Event::Fault);
    }

    pub(super) fn start_node(&mut self) {
        let index = self.gateways.len();
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 0), u16::try_from(index).unwrap()));
        let mut instance = [0; 16];
        self.random.fill(&mut instance);
        let replica = Replica::new(
            self.now,
            self.settings,
            self.secret.clone(),
            Instance(instance),
            address,
        );
        self.gateways.push(Gateway {
            replica: replica.unwrap(),
            address,
            is_alive: true,
            is_stopping: false,
            stalled_until: self.now,
            sessions: BTreeMap::new(),
            saves: BTreeMap::new(),
            followed: BTreeSet::new(),
            connection: 0,
            last_call: self.now,
            last_reply: self.now,
            timer: None,
        });
        if self.store_away_until > self.now {
            self.store_cut.insert(index, self.store_away_until);
        }
        self.after(index);
        self.at(Duration::from_millis(500), Event::Push(index));
    }

    pub(super) fn at(&mut self, delay: Duration, event: Event) {
        self.last_event += 1;
        self.events
            .insert((self.now + delay, self.last_event), event);
    }

    pub(super) fn alive(&self) -> Vec<usize> {
        let is_there = |node: &usize| {
            let gateway = &self.gateways[*node];
            gateway.is_alive && !gateway.is_stopping
        };
        (0..self.gateways.len()).filter(is_there).collect()
    }

    pub(super) fn is_lost(&mut self) -> bool {
        self.is_lossy && self.random.u8(..) < 3
    }

    pub(super) fn delay(&mut self) -> Duration {
        Duration::from_micros(self.random.u64(200..4_000))
    }

    pub(super) fn run_for(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.event(event);
        }
        self.now = end;
    }

    fn node_of(event: &Event) -> Option<usize> {
        match event {
            Event::Timer(node)
            | Event::Reply(node, ..)
            | Event::Hop(_, node, _)
            | Event::Uplink(node, ..)
            | Event::Upstream(node, ..)
            | Event::Push(node)
            | Event::Stopped(node) => Some(*node),
            Event::Call(..) | Event::Downlink(..) | Event::Device(_) | Event::Fault => None,
        }
    }

    fn event(&mut self, event: Event) {
        if let Some(node) = World::node_of(&event) {
            let gateway = &self.gateways[node];
            if !gateway.is_alive {
                return;
            }
            if gateway.stalled_until > self.now {
                self.at(gateway.stalled_until - self.now, event);
                return;
            }
        }
        let now = self.now;
        match event {
            Event::Timer(node) => {
                self.gateways[node].timer = None;
                self.gateways[node].replica.handle_timeout(now);
                self.after(node);
            }
            Event::Call(node, connection, ticket, call) => {
                if self.gateways[node].connection != connection || self.is_store_cut(node) {
                    return;
                }
                if self.random.u8(..) == 0 {
                    self.past.push_back(self.store.clone());
                    if self.past.len() > 8 {
                        self.past.pop_front();
                    }
                }
                let reply = self.store.call(now, &call);
                let at = (now + self.delay()).max(self.gateways[node].last_reply);
                self.gateways[node].last_reply = at;
                self.at(at - now, Event::Reply(node, connection, ticket, reply));
            }
            Event::Reply(node, connection, ticket, reply) => {
                if self.gateways[node].connection == connection && !self.is_store_cut(node) {
                    self.gateways[node].replica.handle_reply(now, ticket, reply);
                    self.after(node);
                }
            }
            Event::Hop(from, to, bytes) => {
                let pair = (from.min(to), from.max(to));
                if self.nodes_cut.get(&pair).is_none_or(|until| *until <= now) {
                    self.gateways[to].replica.handle_hop(now, &bytes);
                    self.after(to);
                }
            }
            Event::Uplink(node, remote, bytes) => self.uplink(node, remote, bytes),
            Event::Downlink(node, path, record) => self.downlink(node, path, record),
            Event::Upstream(node, key, message) => {
                let gateway = &mut self.gateways[node];
                if let Some(session) = gateway.sessions.get_mut(&key)
                    && session.forwarded.remove(&message)
                {
                    session.answered.insert(message);
                    self.answer(node, key, message);
                }
                self.after(node);
            }
            Event::Push(node) => self.push(node),
            Event::Device(device) => self.device(device),
            Event::Stopped(node) => self.gateways[node].is_alive = false,
            Event::Fault => self.fault_is_due(),
        }
    }

    pub(super) fn is_store_cut(&self, node: usize) -> bool {
        let until = self.store_cut.get(&node);
        until.is_some_and(|until| *until > self.now)
    }

    fn fault_is_due(&mut self) {
        let mut next = Duration::from_millis(100);
        if let Some((kinds, interval)) = self.faults.clone()
            && !kinds.is_empty()
        {
            let kind = kinds[self.random.usize(..kinds.len())];
            if let Some(fault) = self.fault(kind) {
                self.apply(fault);
            }
            next = interval.mul_f64(self.random.f64() * 2.0);
        }
        self.at(next, Event::Fault);
    }

    pub(super) fn heal(&mut self) {
        let now = self.now;
        self.store_cut.clear();
        self.nodes_cut.clear();
        self.store_away_until = now;
        for gateway in &mut self.gateways {
            gateway.stalled_until = gateway.stalled_until.min(now);
        }
        if self.alive().is_empty() {
            self.start_node();
        }
    }

    pub(super) fn kill(&mut self, node: usize) {
        self.gateways[node].is_alive = false;
    }

    /// An orderly stop: no device is sent to it any more, its rows are written, and its lease is given back.
    pub(super) fn stop(&mut self, node: usize) {
        let now = self.now;
        let gateway = &mut self.gateways[node];
        gateway.is_stopping = true;
        for (key, session) in &gateway.sessions {
            if gateway.replica.serves(now, *key) {
                gateway.replica.store(now, *key, &session.encode());
            }
        }
        // Calls are carried out in order, so the rows are there before the lease is gone.
        gateway.replica.stop(now);
        self.after(node);
        self.at(Duration::from_millis(200), Event::Stopped(node));
    }
}
