//! Sessions that other gateways can go on with: what [`replicas`] says is carried out here.
//!
//! | File | Does |
//! |---|---|
//! | this | joins, and carries out what the replica says |
//! | [`receiving`] | datagrams of sessions that another gateway may have |
//! | [`rows`] | writes rows, and holds back what waits for them |
//! | [`taking_over`] | goes on with another gateway's session, and gives one up |
//! | [`stopping`] | the last rows |

mod receiving;
mod rows;
mod stopping;
mod taking_over;

use super::Core;
use crate::device::Device;
use crate::dtls::{self, EndReason, Path, SessionId, Transmit};
use crate::gateway::log;
use crate::group::Group;
use crate::group::report::GroupReport;
use replicas::store::{Call, Reply};
use replicas::{Output, SessionKey};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

impl Core {
    /// Goes on as one of a group. To be called before anything is received.
    pub(crate) fn join(&mut self, group: Group) {
        self.sessions.dtls.list_changes();
        self.sessions
            .dtls
            .set_connection_ids(Box::new(group.ids.clone()));
        self.relays.remember_changes();
        self.bodies = coap::Bodies::new(self.settings.coap.body_bytes, group.seed);
        self.group = Some(Box::new(group));
    }

    /// A frame of another gateway has arrived.
    pub(crate) fn receive_hop(&mut self, now: Instant, bytes: &[u8]) {
        // While it stops it would acknowledge what it does not serve any more; without that the other one keeps it.
        if let Some(group) = self.group.as_mut().filter(|group| !group.is_stopping) {
            group.replica.handle_hop(now, bytes);
            self.run_group_outputs(now);
        }
    }

    /// The store has replied.
    pub(crate) fn store_replied(&mut self, now: Instant, ticket: u64, reply: Reply) {
        if let Some(group) = &mut self.group {
            group.replied(now, ticket, reply);
            self.run_group_outputs(now);
        }
    }

    /// The next call of the store. [`store_replied`](Self::store_replied) must follow.
    pub(crate) fn poll_store_call(&mut self) -> Option<(u64, Call)> {
        self.group.as_mut()?.poll_call()
    }

    /// The next datagram to another gateway.
    pub(crate) fn poll_hop(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.group.as_mut()?.poll_hop()
    }

    /// The next datagram to a device, other than those of sessions here.
    pub(super) fn poll_group_transmit(&mut self) -> Option<Transmit> {
        self.group.as_mut()?.poll_transmit()
    }

    /// When something of the group is to be done.
    pub(super) fn group_timeout(&self) -> Option<Instant> {
        let group = self.group.as_ref()?;
        let relays = (self.relays.changed() > 0).then_some(group.now);
        [group.next_timeout(), relays].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn continue_group(&mut self, now: Instant) {
        let Some(group) = &mut self.group else {
            return;
        };
        group.now = now;
        group.replica.handle_timeout(now);
        group
            .ids
            .set_node(group.replica.owner().map(|owner| owner.node));
        self.run_group_outputs(now);
        self.push_group_rows(now);
        self.run_group_outputs(now);
    }

    /// Carries out what the replica says.
    pub(super) fn run_group_outputs(&mut self, now: Instant) {
        while let Some(group) = &mut self.group
            && let Some(output) = group.replica.poll()
        {
            match output {
                Output::Call { ticket, call } => group.push_call(ticket, call),
                Output::Hop { to, bytes } => group.push_hop(to, bytes),
                Output::Send { path, datagram } => group.push_transmit(path, datagram),
                Output::Deliver {
                    key,
                    route,
                    datagram,
                } => {
                    let session = group.members.session(key);
                    let path = group.path(route);
                    if let Some(session) = session {
                        self.tap.begin(now, datagram.len());
                        (self.sessions.dtls).receive_in(now, session, path, &datagram);
                        self.settle(now);
                    }
                }
                Output::Unknown { route, datagram } => {
                    let path = group.path(route);
                    if path.via.is_none() {
                        self.receive_in_endpoint(now, path, &datagram);
                    }
                }
                Output::Restore { key, row } => self.take_over(now, key, &row),
                Output::Lost { key } => self.give_up(now, key),
                Output::Superseded { key } => self.give_up_superseded(now, key),
                Output::Write { key } => {
                    if let Some(session) = group.members.session(key) {
                        group.members.is_due(session);
                    }
                }
                Output::Saved { key, save } => self.row_ended(now, key, save, true),
                Output::NotSaved { key, save } => self.row_ended(now, key, save, false),
                Output::Follow { key } => {
                    let session = group.members.session(key);
                    if let Some(device) = session.and_then(|session| self.device_of(session)) {
                        self.resume_relay(now, &device.name);
                    }
                }
                Output::Suspended => {
                    group.is_suspended = true;
                    log::group::suspended(group.members.len());
                    self.pause_all_relays(now);
                }
                Output::Resumed => {
                    if std::mem::take(&mut group.is_suspended) {
                        log::group::resumed();
                    }
                }
            }
        }
    }

    fn pause_all_relays(&mut self, now: Instant) {
        let Some(group) = &self.group else {
            return;
        };
        for session in group.members.sessions() {
            if let Some(device) = self.device_of(session) {
                self.pause_relay(now, &device.name);
            }
        }
    }

    /// A session becomes a member, if it can be one and is none.
    pub(super) fn add_member(&mut self, now: Instant, session: SessionId) {
        let Some(group) = &mut self.group else {
            return;
        };
        if group.members.get(session).is_some() {
            return;
        }
        let (Some(peer), Some(exported)) = (
            self.sessions.get(session),
            self.sessions.dtls.export(session),
        ) else {
            return;
        };
        let Some(device) = peer.device.clone() else {
            return;
        };
        let id = exported.association.own_connection_id();
        let (key, address) = match id.try_into() {
            Ok(id) => (SessionKey(id), None),
            Err(_) => {
                let random = self.random.u64(..).to_be_bytes();
                let [a, b, c, d, e, ..] = random;
                let address = group.addresses.name(exported.path.remote);
                (group.ids.make_of([a, b, c, d, e]), Some(address))
            }
        };
        let next = exported.association.send_number();
        let device_key = group.devices.name(&device.name);
        group.members.insert(session, key, false);
        group
            .replica
            .establish(now, key, next, address, Some(device_key));
        group.members.is_due(session);
        self.pause_unless_followed(now, session, &device);
    }

    /// Until the replica says that no other gateway follows the device. If it has another session here, this one already does.
    fn pause_unless_followed(&mut self, now: Instant, session: SessionId, device: &Arc<Device>) {
        let sessions = self.sessions.of_device(&device.name);
        if sessions.iter().all(|other| *other == session) {
            self.pause_relay(now, &device.name);
        }
    }

    /// A member has ended, but is still among the others. With the last session of a device its relay is forgotten: other gateways
    /// could not know that this one still follows it. Others of the device are written: the store knows one of them alone, and
    /// says whether another gateway has a newer one.
    pub(super) fn member_ends(&mut self, now: Instant, session: SessionId) {
        if !self.is_member(session) {
            return;
        }
        if let Some(device) = self.device_of(session) {
            let sessions = self.sessions.of_device(&device.name);
            if let Some(group) = &mut self.group {
                for other in sessions.iter().filter(|other| **other != session) {
                    group.members.is_due(*other);
                }
            }
            if sessions.iter().all(|other| *other == session) {
                self.forget_relay(now, &device.name);
            }
        }
    }

    /// A session has ended, and is not among the others any more.
    pub(super) fn member_ended(&mut self, now: Instant, session: SessionId, reason: &EndReason) {
        let Some(group) = &mut self.group else {
            return;
        };
        if let Some(member) = group.members.remove(session)
            && !matches!(reason, EndReason::ServedElsewhere)
        {
            group.replica.end(now, member.key);
        }
    }

    /// The peer of a member has another address.
    pub(super) fn member_moved(&mut self, session: SessionId, path: Path) {
        let has_id = |exported: dtls::Exported<'_>| {
            let id = exported.association.own_connection_id();
            !id.is_empty()
        };
        let is_by_address = !self.sessions.dtls.export(session).is_none_or(has_id);
        if let Some(group) = &mut self.group
            && let Some(member) = group.members.get(session)
            && is_by_address
        {
            let address = group.addresses.name(path.remote);
            group.replica.set_address(member.key, Some(address));
        }
    }

    /// Whether other gateways can go on with a session, as far as the store can be reached.
    pub(super) fn is_member(&self, session: SessionId) -> bool {
        let group = self.group.as_ref();
        group.is_some_and(|group| group.members.get(session).is_some())
    }

    /// Whether members are served by the promises of other gateways alone.
    #[cfg(test)]
    pub(crate) fn is_detached(&self, now: Instant) -> bool {
        let group = self.group.as_ref();
        group.is_some_and(|group| group.replica.is_detached(now))
    }

    /// Whether members are not served, as another gateway may.
    #[cfg(test)]
    pub(crate) fn is_suspended(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.is_suspended)
    }

    /// What there is to say of the group.
    pub(super) fn group_report(&self) -> Option<GroupReport> {
        let group = self.group.as_ref()?;
        Some(GroupReport {
            counters: group.replica.counters(),
            refused: group.refused,
            node: group.replica.owner().map(|owner| owner.node.0),
            members: group.members.len(),
            saved: group.members.count_saved(),
            is_store_away: group.replica.is_store_away(),
            is_suspended: group.is_suspended,
        })
    }
}
