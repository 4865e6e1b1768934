//! Devices, and the balancer between them and the nodes.

use super::device::Record;
use super::gateway::Session;
use super::world::{Event, GIVE_UP, REPEAT, World};
use crate::id::{DeviceKey, Node};
use crate::path::{Path, Route};
use crate::store::CLOCK_ERROR;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

impl World {
    /// A device shakes hands with a node that the balancer chooses.
    pub(super) fn new_session(&mut self, device: usize) {
        let alive = self.alive();
        if alive.is_empty() {
            return;
        }
        let now = self.now;
        let node = alive[self.random.usize(..alive.len())];
        let mut random = [0; 5];
        self.random.fill(&mut random);
        let gateway = &mut self.gateways[node];
        let number = gateway
            .replica
            .owner()
            .map_or(Node(255), |owner| owner.node);
        let key = self.ids.make(number, random);
        let client = &mut self.devices[device];
        client.key = key;
        client.next_number = 1;
        client.handshakes += 1;
        client.began = now;
        client.was_protected = false;
        client.waits_since = None;
        client.last_answer = now;
        client.flows.insert(node);
        let address = (!client.has_connection_id).then(|| self.addresses.name(client.address));
        let session = Session {
            device,
            route: Some(Route {
                via: None,
                path: Path {
                    remote: client.address,
                    local: Some(World::local(node)),
                },
            }),
            ..Session::default()
        };
        let row = session.encode();
        gateway.sessions.insert(key, session);
        let name = DeviceKey(u64::try_from(device).unwrap().to_be_bytes());
        (gateway.replica).establish(now, key, 1, address, Some(name));
        gateway.replica.set_observes(key, true);
        gateway.replica.store(now, key, &row);
        self.after(node);
    }

    pub(super) fn local(node: usize) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, u8::try_from(node % 250).unwrap() + 1).into()
    }

    /// A device ends its session, if its node gets to know that, or just forgets it, and shakes hands.
    fn reboot(&mut self, device: usize) {
        let key = self.devices[device].key;
        for node in self.alive() {
            let gateway = &mut self.gateways[node];
            if gateway.sessions.contains_key(&key)
                && gateway.replica.serves(self.now, key)
                && self.random.u8(..) < 80
            {
                self.note(key, node, "ends".to_owned());
                // The store names the newest session alone: while that is none, it can't name a former one.
                for gateway in &self.gateways {
                    let others = gateway.sessions.iter();
                    let others = others.filter(|(_, session)| session.device == device);
                    self.had_others.extend(others.map(|(other, _)| *other));
                }
                self.gateways[node].replica.end(self.now, key);
                self.forget(node, key);
                self.after(node);
            }
        }
        self.new_session(device);
    }

    /// A device sends, or sends again.
    pub(super) fn device(&mut self, device: usize) {
        let now = self.now;
        if self.is_asleep {
            self.at(REPEAT, Event::Device(device));
            return;
        }
        // Of two that come shortly one after the other, that one counts as newer which gets to the store last.
        let is_long_ago = now - self.devices[device].began > 2 * Duration::from_secs(CLOCK_ERROR);
        if self.has_reboots && is_long_ago && self.random.u8(..) < 40 {
            self.reboot(device);
        }
        let client = &self.devices[device];
        let next = match client.waits_since {
            Some(since) if now - since >= GIVE_UP => {
                // Its node may have died while the store was away for all others, and that for long.
                let is_excused = self.last_away + GIVE_UP > now;
                assert!(
                    self.forgets || !client.was_protected || is_excused,
                    "device {device} has lost its session {:?}, seed {}: {}",
                    client.key,
                    self.seed,
                    self.describe(client.key)
                );
                self.new_session(device);
                Duration::from_millis(100)
            }
            _ => {
                let is_new = client.waits_since.is_none();
                if is_new {
                    self.devices[device].message += 1;
                    self.devices[device].waits_since = Some(now);
                    if self.random.u8(..) < 20 && self.devices[device].has_connection_id {
                        // Its NAT gives it another port.
                        let port = self.random.u16(1_024..);
                        self.devices[device].address.set_port(port);
                        self.devices[device].flows.clear();
                    }
                }
                let record = self.devices[device].record();
                let address = self.devices[device].address;
                self.balance(device, address, record);
                if self.random.u8(..) < 20 {
                    // The network, or an attacker, repeats something that was sent lately.
                    let sent = &self.devices[device].sent;
                    let ago = self.random.usize(..sent.len().min(12));
                    let (address, record) = sent[sent.len() - 1 - ago];
                    self.balance(device, address, record);
                }
                REPEAT
            }
        };
        self.at(next, Event::Device(device));
    }

    /// The balancer has no affinity, and knows at once which nodes are ready.
    fn balance(&mut self, device: usize, remote: SocketAddr, record: Record) {
        let mut alive = self.alive();
        alive.retain(|node| self.gateways[*node].replica.is_ready(self.now));
        if alive.is_empty() || self.is_lost() {
            return;
        }
        let node = alive[self.random.usize(..alive.len())];
        if self.devices[device].address == remote {
            self.devices[device].flows.insert(node);
        }
        let delay = self.delay() * 10;
        self.at(delay, Event::Uplink(node, remote, record.encode()));
    }

    pub(super) fn uplink(&mut self, node: usize, remote: SocketAddr, bytes: Vec<u8>) {
        let now = self.now;
        let path = Path {
            remote,
            local: Some(World::local(node)),
        };
        let record = Record::decode(&bytes);
        self.note(record.key, node, format!("uplink {record:?} {remote}"));
        let has_connection_id = self
            .devices
            .iter()
            .any(|device| device.address == remote && !device.has_connection_id);
        let replica = &mut self.gateways[node].replica;
        if has_connection_id {
            replica.received_from_address(now, self.addresses.name(remote), path, bytes);
        } else if let Some(key) = self.ids.check(&record.key.0) {
            replica.received_for_session(now, key, path, bytes);
        }
        self.after(node);
    }

    /// Datagrams with invented connection IDs, and from invented addresses.
    pub(super) fn invent(&mut self, count: u32) {
        let now = self.now;
        let alive = self.alive();
        for n in 0..count {
            let node = alive[self.random.usize(..alive.len())];
            let remote = SocketAddr::from((Ipv4Addr::from(self.random.u32(..)), 1));
            let path = Path {
                remote,
                local: None,
            };
            let replica = &mut self.gateways[node].replica;
            if n % 2 == 0 {
                let invented = self.random.u64(..).to_be_bytes();
                if let Some(key) = self.ids.check(&invented) {
                    replica.received_for_session(now, key, path, vec![0; 24]);
                }
            } else {
                let name = self.addresses.name(remote);
                assert!(!replica.received_from_address(now, name, path, vec![0; 24]));
            }
            self.after(node);
        }
    }

    /// Datagrams of a session that has ended, in a second.
    pub(super) fn repeat_ended(&mut self, count: u32) {
        let key = self.ids.make(Node(63), [1; 5]);
        for _ in 0..count {
            let alive = self.alive();
            let node = alive[self.random.usize(..alive.len())];
            let path = Path {
                remote: ([192, 0, 2, 1], 1).into(),
                local: None,
            };
            let replica = &mut self.gateways[node].replica;
            replica.received_for_session(self.now, key, path, vec![0; 24]);
            self.after(node);
            self.run_for(Duration::from_millis(1));
        }
    }

    pub(super) fn downlink(&mut self, node: usize, path: Path, record: Record) {
        let now = self.now;
        let local = World::local(node);
        assert!(path.local.is_none_or(|address| address == local));
        let device = self
            .devices
            .iter_mut()
            .find(|device| device.address == path.remote && device.key == record.key);
        let Some(device) = device.filter(|device| device.flows.contains(&node)) else {
            return;
        };
        if device.message == record.message
            && let Some(since) = device.waits_since.take()
        {
            let gap = now - since;
            if gap > self.checks.longest_gap {
                self.checks.slowest = Some(record.key);
            }
            self.checks.longest_gap = self.checks.longest_gap.max(gap);
            device.last_answer = now;
        }
    }
}
