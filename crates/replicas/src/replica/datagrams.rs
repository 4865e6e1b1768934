//! Where a datagram goes: to a session here, to another node, or nowhere; and who owns the session.
//!
//! ```text
//!  received ─▶ held here, and served ──────────────────────────────▶ Deliver
//!      │       held here, to be confirmed ─▶ claim ─▶ Owned ───────▶ Deliver
//!      │                                        └──▶ OwnedBy ──────▶ Lost, Forward
//!      │       the owner is known, or the connection ID names a node that lives ─▶ Forward
//!      │            │ acknowledged: done        │ not held there, or no answer
//!      │            ▼                           ▼
//!      └─ unknown ─▶ claim ─▶ OwnedBy ─▶ Forward, and wait until that node's lease ends ─▶ claim
//!                         ├─▶ Claimed ─▶ Restore, Deliver
//!                         ├─▶ Free ─▶ wait until this node may take over ─▶ claim
//!                         └─▶ Missing ─▶ Unknown
//! ```

use super::{Output, Replica};
use crate::hop::Frame;
use crate::id::{AddressKey, Instance, Member, Name, SessionKey};
use crate::path::{Path, Route};
use std::time::{Duration, Instant};

impl Replica {
    /// A record with a connection ID that a node of the group has made
    /// ([`check`](crate::ConnectionIds::check)) has arrived at the socket of this node.
    pub fn received_for_session(
        &mut self,
        now: Instant,
        key: SessionKey,
        path: Path,
        datagram: Vec<u8>,
    ) {
        let route = Route { via: None, path };
        self.received(now, Name::Session(key), route, datagram);
    }

    /// A record without connection ID, of an epoch above 0, has arrived at the socket of this node, from an address at which
    /// no session is known here. `false`: no node has a session there, as far as this one knows; the store is not called.
    pub fn received_from_address(
        &mut self,
        now: Instant,
        address: AddressKey,
        path: Path,
        datagram: Vec<u8>,
    ) -> bool {
        let is_known = self.by_address.contains_key(&address) || self.known.contains(address);
        if is_known {
            let route = Route { via: None, path };
            self.received(now, Name::Address(address), route, datagram);
        } else {
            self.counters.strangers = self.counters.strangers.saturating_add(1);
        }
        is_known
    }

    fn received(&mut self, now: Instant, name: Name, route: Route, datagram: Vec<u8>) {
        if let Some(key) = self.held(name)
            && self.serves(now, key)
        {
            self.outputs.push_back(Output::Deliver {
                key,
                route,
                datagram,
            });
            return;
        }
        if self.held(name).is_none() && self.absent.contains(now, name) {
            self.outputs.push_back(Output::Unknown { route, datagram });
            return;
        }
        if datagram.len() > self.settings.max_datagram {
            self.count_dropped(1);
            return;
        }
        let until = now.checked_add(self.settings.keep).unwrap_or(now);
        let dropped = self.waiting.push(name, route, datagram, until);
        self.count_dropped(dropped);
        let likely = match self.held(name) {
            Some(_) => None,
            None => self.likely_owner(name),
        };
        match likely {
            Some(member) => {
                self.forward(name, member);
                self.wait(now, name, self.settings.retry);
            }
            None => self.advance(now, name),
        }
    }

    /// The session of this name that is in memory here.
    pub(super) fn held(&self, name: Name) -> Option<SessionKey> {
        match name {
            Name::Session(key) => self.sessions.contains_key(&key).then_some(key),
            Name::Address(address) => self.by_address.get(&address).copied(),
        }
    }

    /// The node that has the session in all likelihood: the one that the store has named last, or else the one that made
    /// the connection ID.
    fn likely_owner(&mut self, name: Name) -> Option<Member> {
        let routed = self.routes.get(name);
        let live = routed.and_then(|owner| self.lease.member(owner));
        match (live, name) {
            (Some(member), _) => Some(member),
            // Which had it before, and is dead, or has a lease that is not in the list yet.
            (None, _) if routed.is_some() => None,
            (None, Name::Session(key)) => self.lease.node(key.node()),
            (None, Name::Address(_)) => None,
        }
    }

    /// Sends what waits for this session to its owner.
    pub(super) fn forward(&mut self, name: Name, to: Member) {
        let mut frames = Vec::new();
        if let Some(waiting) = self.waiting.get_mut(name) {
            for kept in &mut waiting.kept {
                if kept.hop(to.owner) {
                    frames.push(Frame::Forward {
                        id: kept.id,
                        name,
                        path: kept.route.path,
                        datagram: kept.datagram.clone(),
                    });
                }
            }
        }
        for frame in frames {
            if self.hop(to, &frame) {
                self.counters.forwarded = self.counters.forwarded.saturating_add(1);
            }
        }
    }

    /// What waits for this session is looked at again after a while.
    pub(super) fn wait(&mut self, now: Instant, name: Name, length: Duration) {
        self.waiting.set_next(name, now.checked_add(length));
    }

    /// Something is to be done about what waits for this session.
    pub(super) fn advance(&mut self, now: Instant, name: Name) {
        let dropped = self.waiting.drop_expired(now, name);
        self.count_dropped(dropped);
        if self.waiting.get_mut(name).is_none() || self.waiting.is_claimed(name) {
            return;
        }
        if let Some(key) = self.held(name)
            && self.serves(now, key)
        {
            self.deliver(now, name, key);
            return;
        }
        if !self.lease.may_call(now) || !self.claim(now, name) {
            self.wait(now, name, self.lease.retry());
        }
    }

    /// A session can be served now, maybe.
    pub(super) fn advance_session(&mut self, now: Instant, key: SessionKey) {
        self.advance(now, Name::Session(key));
        let address = self.sessions.get(&key).and_then(|held| held.address);
        if let Some(address) = address {
            self.advance(now, Name::Address(address));
        }
    }

    pub(super) fn unknown(&mut self, name: Name) {
        self.routes.remove(name);
        for kept in self.waiting.take(name) {
            // Of one that another node has passed on, that node will find out itself.
            if kept.route.via.is_none() {
                self.outputs.push_back(Output::Unknown {
                    route: kept.route,
                    datagram: kept.datagram,
                });
            }
        }
    }

    /// A datagram of another node has arrived.
    pub fn handle_hop(&mut self, now: Instant, bytes: &[u8]) {
        let Some((instance, frame)) = self.channels.open(bytes) else {
            self.counters.bad_frames = self.counters.bad_frames.saturating_add(1);
            return;
        };
        match frame {
            Frame::Forward {
                id,
                name,
                path,
                datagram,
            } => {
                let route = Route {
                    via: Some(instance),
                    path,
                };
                self.forwarded(now, instance, id, (name, route, datagram));
            }
            Frame::Received { id } => self.waiting.remove(id),
            Frame::NotHeld { id } => self.not_held(now, instance, id),
            Frame::Send { path, datagram } => {
                self.outputs.push_back(Output::Send { path, datagram });
            }
            Frame::Ask { id, fence } => {
                if self.lease.is_asked(now, instance, fence) {
                    self.reply_to(instance, &Frame::Promise { id });
                }
            }
            Frame::Promise { id } => self.lease.promise(instance, id),
        }
    }

    /// That process does not have the session. It is looked up, unless the store has named another owner since, which has got the
    /// datagram then.
    fn not_held(&mut self, now: Instant, from: Instance, id: u64) {
        let Some(name) = self.waiting.name_of(id) else {
            return;
        };
        let routed = self.routes.get(name);
        let owner = routed.and_then(|owner| self.lease.member(owner));
        if owner.is_none_or(|owner| owner.instance == from) {
            self.routes.remove(name);
            self.advance(now, name);
        }
    }

    fn forwarded(
        &mut self,
        now: Instant,
        from: Instance,
        id: u64,
        (name, route, datagram): (Name, Route, Vec<u8>),
    ) {
        let Some(key) = self.held(name) else {
            self.reply_to(from, &Frame::NotHeld { id });
            return;
        };
        self.counters.received = self.counters.received.saturating_add(1);
        if self.serves(now, key) {
            self.reply_to(from, &Frame::Received { id });
        }
        self.received(now, name, route, datagram);
    }

    fn reply_to(&mut self, instance: Instance, frame: &Frame) {
        if let Some(member) = self.lease.instance(instance) {
            self.hop(member, frame);
        }
    }

    fn count_dropped(&mut self, dropped: u64) {
        self.counters.dropped = self.counters.dropped.saturating_add(dropped);
    }
}
