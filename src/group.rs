//! What this gateway keeps as one of a group: gateways that serve the sessions of one another, with a store that all reach.
//!
//! Who owns a session, and which datagram goes where, is decided by [`replicas`]; docs/state.md ("Many replicas") has the reasons. This
//! room connects that with the sessions of this process; [`core::group`](crate::gateway) carries out what follows from it.
//!
//! | File | Holds |
//! |---|---|
//! | [`members`] | the sessions of this process that are in the store, or will be |
//! | [`held`] | what waits until a session's row is in the store |
//! | [`row`] | a session as all gateways of the group read it |
//! | [`ids`] | connection IDs that all gateways of the group recognise |
//! | [`vias`] | the gateways by whose sockets devices are reached |
//! | [`settings`] | where the store is, and the secret of the group |
//! | [`report`] | what there is to say of it |
//!
//! A session of DTLS 1.3 is no member, since its engine can't be exported, and neither is one of a certificate that is not registered.

pub(crate) mod held;
pub(crate) mod ids;
pub(crate) mod members;
pub(crate) mod report;
pub(crate) mod row;
pub(crate) mod settings;
pub(crate) mod vias;

use crate::dtls::{self, Transmit};
use ids::GroupIds;
use members::Members;
use replicas::store::{Call, Reply};
use replicas::{Addresses, Devices, GroupSecret, Instance, Replica};
use report::Refused;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use vias::Vias;

/// One gateway of a group.
pub(crate) struct Group {
    pub(crate) replica: Replica,
    pub(crate) members: Members,
    pub(crate) vias: Vias,
    pub(crate) addresses: Addresses,
    pub(crate) devices: Devices,
    pub(crate) ids: GroupIds,
    /// What all gateways of the group draw alike.
    pub(crate) seed: u64,
    /// How often what changes with each record is written.
    pub(crate) window: Duration,
    /// When that is due. `None`: no session was used since.
    pub(crate) window_at: Option<Instant>,
    /// Rows are written for the last time, and nothing is received any more.
    pub(crate) is_stopping: bool,
    /// Of these, those that could not be written.
    pub(crate) not_written: usize,
    /// This gateway may not serve its members: its lease is over.
    pub(crate) is_suspended: bool,
    pub(crate) refused: Refused,
    /// When something was done last.
    pub(crate) now: Instant,
    /// For the driver.
    calls: VecDeque<(u64, Call)>,
    hops: VecDeque<(SocketAddr, Vec<u8>)>,
    transmits: VecDeque<Transmit>,
}

/// Where a gateway of a group is, and what it draws at its start.
pub(crate) struct Parameters {
    pub(crate) secret: GroupSecret,
    /// Random bytes of this process.
    pub(crate) instance: Instance,
    /// Where the others reach it.
    pub(crate) address: SocketAddr,
    pub(crate) window: Duration,
}

impl Group {
    /// `None`: the cryptographic library fails.
    pub(crate) fn new(now: Instant, parameters: Parameters) -> Option<Group> {
        let Parameters {
            secret,
            instance,
            address,
            window,
        } = parameters;
        let settings = replicas::Settings::default();
        Some(Group {
            members: Members::default(),
            vias: Vias::default(),
            ids: GroupIds::new(secret.connection_ids()),
            addresses: secret.addresses(),
            devices: secret.devices(),
            seed: secret.seed(),
            window,
            window_at: None,
            is_stopping: false,
            not_written: 0,
            is_suspended: false,
            refused: Refused::default(),
            now,
            calls: VecDeque::new(),
            hops: VecDeque::new(),
            transmits: VecDeque::new(),
            replica: Replica::new(now, settings, secret, instance, address)?,
        })
    }

    /// A path as the group names it. `None`: the gateway that it leads by is not known any more.
    pub(crate) fn route(&self, path: dtls::Path) -> Option<replicas::Route> {
        let via = match path.via {
            Some(via) => Some(self.vias.instance(via)?),
            None => None,
        };
        let path = replicas::Path {
            remote: path.remote,
            local: path.local,
        };
        Some(replicas::Route { via, path })
    }

    /// The other way round.
    pub(crate) fn path(&mut self, route: replicas::Route) -> dtls::Path {
        dtls::Path {
            remote: route.path.remote,
            local: route.path.local,
            via: route.via.map(|instance| self.vias.of(instance)),
        }
    }

    pub(crate) fn push_call(&mut self, ticket: u64, call: Call) {
        self.calls.push_back((ticket, call));
    }

    pub(crate) fn push_hop(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.hops.push_back((to, bytes));
    }

    pub(crate) fn push_transmit(&mut self, path: replicas::Path, datagram: Vec<u8>) {
        let path = dtls::Path {
            remote: path.remote,
            local: path.local,
            via: None,
        };
        self.transmits.push_back(Transmit { path, datagram });
    }

    /// The next call of the store. [`Replica::handle_reply`] must follow, with its ticket.
    pub(crate) fn poll_call(&mut self) -> Option<(u64, Call)> {
        self.calls.pop_front()
    }

    /// The next datagram to another gateway.
    pub(crate) fn poll_hop(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.hops.pop_front()
    }

    /// The next datagram to a device, for another gateway.
    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The store has replied.
    pub(crate) fn replied(&mut self, now: Instant, ticket: u64, reply: Reply) {
        self.replica.handle_reply(now, ticket, reply);
    }

    /// When something is to be done.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let rows = (self.members.has_due()).then_some(self.now);
        [self.replica.next_timeout(self.now), rows, self.window_at]
            .into_iter()
            .flatten()
            .min()
    }
}
