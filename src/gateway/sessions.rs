//! Established sessions: the [`Peer`] of each, its device, and how many sessions a device may have.
//!
//! What belongs to one session is a field of its peer, which is attached to the session itself: one look-up in one table
//! finds its keys and all that is known of its device. Not there are:
//!
//! | What | because |
//! |---|---|
//! | calls in flight ([`in_flight`](crate::quotas::in_flight)) | a POST counts for its device until it ends, and its session may end first |
//! | GETs that wait for a block of a package ([`packages`](super::core)) | the cache answers by a request's number, and one look-up finds session and exchange |
//! | sessions to review, to close when drained, or of which a request may start | these are queues. A session that is in one only once has a flag in its peer |

mod of_device;
mod peer;

use crate::device::{Device, Limits};
use crate::dtls::{Endpoint, Path, SessionId};
use crate::state::kept::Kept;
use crate::timers::Timers;
use crate::timers::moment::Moment;
use of_device::OfDevice;
pub(crate) use peer::Peer;
use peer::UNREGISTERED_LIFETIME;
use shares::SourcePlaces;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is reported that a device is alive.
const ALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// Which session gives way to a new one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Alone,
    /// The device has too many sessions: close its longest silent one.
    Displaces(SessionId),
    /// There are too many of unregistered certificates: close the oldest of the source that has the most.
    DisplacesUnregistered(SessionId),
}

/// All sessions, with their DTLS and their peers.
pub(crate) struct Sessions {
    limits: Limits,
    pub dtls: Endpoint<Peer>,
    count: usize,
    /// Those that have a row in the store.
    stored: usize,
    by_device: HashMap<Arc<str>, OfDevice>,
    of_devices: usize,
    /// Sessions of unregistered certificates, by the source address of their handshake, which was proven.
    unregistered: SourcePlaces<SessionId>,
    /// That address, of those whose peer has another one since.
    handshaken_from: HashMap<SessionId, IpAddr>,
    timers: Timers<SessionId>,
}

impl Sessions {
    pub(crate) fn new(limits: Limits, dtls: Endpoint<Peer>) -> Sessions {
        Sessions {
            limits,
            dtls,
            count: 0,
            stored: 0,
            by_device: HashMap::new(),
            of_devices: 0,
            unregistered: SourcePlaces::default(),
            handshaken_from: HashMap::new(),
            timers: Timers::default(),
        }
    }

    /// Adds a peer, unless its session has ended already. The caller closes the session that it displaces.
    pub(crate) fn admit(&mut self, mut peer: Peer, registry_version: u32) -> Admission {
        let session = peer.session;
        let name = peer.device.as_ref().map(|device| device.name.clone());
        let host = peer.host();
        peer.registry_version = registry_version;
        self.dtls.attach(session, peer);
        if self.dtls.user(session).is_none() {
            return Admission::Alone;
        }
        self.count += 1;
        self.arm(session);
        match name {
            Some(name) => self.add_to_index(session, name),
            None => {
                self.unregistered.add(host, session);
                let over = self.unregistered.count() > self.limits.unregistered_sessions;
                let largest = self.unregistered.largest().filter(|_| over);
                let oldest = largest.and_then(|host| self.unregistered.oldest(host));
                (oldest.copied()).map_or(Admission::Alone, Admission::DisplacesUnregistered)
            }
        }
    }

    /// Adds the session to its device's index.
    fn add_to_index(&mut self, session: SessionId, name: Arc<str>) -> Admission {
        self.of_devices += 1;
        let sessions = match self.by_device.entry(name) {
            Entry::Vacant(vacant) => {
                vacant.insert(OfDevice::One(session));
                return Admission::Alone;
            }
            Entry::Occupied(occupied) => occupied.into_mut(),
        };
        let others = sessions.as_slice();
        let over = others.len() >= self.limits.sessions_per_device;
        let dtls = &self.dtls;
        // Searched only when there are too many: a device may be allowed thousands.
        let searched = others.iter().filter(|_| over);
        let longest_silent = searched
            .filter_map(|session| dtls.user(*session))
            .min_by_key(|peer| peer.last_received)
            .map(|peer| peer.session);
        sessions.push(session);
        longest_silent.map_or(Admission::Alone, Admission::Displaces)
    }

    /// The device of this name, if it has a session.
    pub(crate) fn device_named(&self, name: &str) -> Option<&Arc<Device>> {
        let session = self.by_device.get(name)?.as_slice().first()?;
        self.get(*session)?.device.as_ref()
    }

    /// Removes the session from its device's index.
    fn remove_from_index(&mut self, session: SessionId, host: IpAddr, device: Option<&Device>) {
        let Some(device) = device else {
            let host = self.handshaken_from.remove(&session).unwrap_or(host);
            self.unregistered.remove(host, &session);
            return;
        };
        if let Some(sessions) = self.by_device.get_mut(&device.name) {
            self.of_devices = self.of_devices.saturating_sub(1);
            if !sessions.remove(session) {
                self.by_device.remove(&device.name);
            }
        }
    }

    /// Whether the session's device was looked up in another registry than this.
    pub(crate) fn is_outdated(&self, session: SessionId, registry_version: u32) -> bool {
        let peer = self.dtls.user(session);
        peer.is_some_and(|peer| peer.registry_version != registry_version)
    }

    /// Sets the device that the current registry has for the session's certificate. A session whose device was removed
    /// stays until it got a 4.01.
    pub(crate) fn assign(
        &mut self,
        session: SessionId,
        device: Option<Arc<Device>>,
        registry_version: u32,
    ) -> Admission {
        let Some(peer) = self.dtls.user_mut(session) else {
            return Admission::Alone;
        };
        peer.registry_version = registry_version;
        let name = device.as_ref().map(|device| device.name.clone());
        let token = |device: &Option<Arc<Device>>| device.as_ref().map(|one| one.token.clone());
        if token(&peer.device) != token(&device) {
            peer.first_exchange_of_token = peer.endpoint.next_exchange();
        }
        let before = std::mem::replace(&mut peer.device, device);
        if before.as_ref().map(|device| &device.name) == name.as_ref() {
            return Admission::Alone;
        }
        peer.expires = None;
        peer.first_exchange = peer.endpoint.next_exchange();
        let host = peer.host();
        self.remove_from_index(session, host, before.as_deref());
        name.map_or(Admission::Alone, |name| self.add_to_index(session, name))
    }

    /// A request of an unregistered certificate was answered 4.01: its session ends after [`UNREGISTERED_LIFETIME`], unless
    /// its end is set already.
    pub(crate) fn refused_unregistered(&mut self, now: Instant, session: SessionId) {
        if let Some(peer) = self.dtls.user_mut(session)
            && peer.device.is_none()
        {
            let expires = Moment::from(now + UNREGISTERED_LIFETIME);
            peer.expires.get_or_insert(expires);
            self.arm(session);
        }
    }

    /// Notes that a request was answered, or a notification acknowledged.
    pub(crate) fn served(&mut self, now: Instant, session: SessionId) {
        if let Some(peer) = self.dtls.user_mut(session) {
            peer.last_served = Some(now.into());
        }
    }

    /// Sets when the session expires.
    pub(crate) fn expire(&mut self, session: SessionId, at: Option<Instant>) {
        if let Some(peer) = self.dtls.user_mut(session) {
            peer.expires = at.map(Moment::from);
            self.arm(session);
        }
    }

    /// Notes that the session's peer has another address. A session of an unregistered certificate counts for that of its
    /// handshake all the same: the new one is not proven, and whoever moves its sessions would be seen as many.
    pub(crate) fn moved(&mut self, session: SessionId, path: Path) {
        let Some(peer) = self.dtls.user_mut(session) else {
            return;
        };
        let before = peer.host();
        peer.set_remote(path.remote);
        if peer.host() != before && peer.device.is_none() {
            self.handshaken_from.entry(session).or_insert(before);
        }
    }

    /// Removes a session that has ended.
    pub(crate) fn remove(&mut self, session: SessionId) -> Option<Peer> {
        let mut peer = self.dtls.detach(session)?;
        self.count = self.count.saturating_sub(1);
        self.stored = self.stored.saturating_sub(usize::from(peer.kept.is_some()));
        self.timers.disarm(session, &mut peer.timer);
        let host = peer.host();
        self.remove_from_index(session, host, peer.device.as_deref());
        Some(peer)
    }

    /// Notes that an authentic record was received. Returns the session's device, the first time in each interval of
    /// [`ALIVE_INTERVAL`].
    pub(crate) fn received(&mut self, now: Instant, session: SessionId) -> Option<&Arc<Device>> {
        let peer = self.dtls.user_mut(session)?;
        peer.last_received = now.into();
        if now.saturating_duration_since(peer.reported_alive.into()) < ALIVE_INTERVAL {
            return None;
        }
        peer.reported_alive = now.into();
        peer.device.as_ref()
    }

    pub(crate) fn get(&self, session: SessionId) -> Option<&Peer> {
        self.dtls.user(session)
    }

    /// [`arm`](Self::arm) must follow if its endpoint was used.
    pub(crate) fn get_mut(&mut self, session: SessionId) -> Option<&mut Peer> {
        self.dtls.user_mut(session)
    }

    /// Sets the timer to the peer's next timeout.
    pub(crate) fn arm(&mut self, session: SessionId) {
        if let Some(peer) = self.dtls.user_mut(session)
            && let Some(at) = peer.next_timeout()
        {
            self.timers.arm(session, &mut peer.timer, at);
        }
    }

    /// The next session whose timer has expired.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<SessionId> {
        let session = self.timers.pop_due(now)?;
        if let Some(peer) = self.dtls.user_mut(session) {
            peer.timer.fired();
        }
        Some(session)
    }

    /// Whether the session's lifetime is over.
    pub(crate) fn has_expired(&self, now: Instant, session: SessionId) -> bool {
        let expires = self.dtls.user(session).and_then(|peer| peer.expires);
        expires.is_some_and(|expires| Instant::from(expires) <= now)
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Sessions that have no row in the store of this process.
    pub(crate) fn without_row(&self) -> usize {
        self.count.saturating_sub(self.stored)
    }

    /// The sessions of a device, oldest first.
    pub(crate) fn of_device(&self, name: &str) -> &[SessionId] {
        let sessions = self.by_device.get(name);
        sessions.map_or(&[], |sessions| sessions.as_slice())
    }

    /// Sessions that are stored.
    pub(crate) fn stored(&self) -> usize {
        self.stored
    }

    /// A session is stored from now on, as this row.
    pub(crate) fn keep(&mut self, session: SessionId, kept: Kept) {
        if let Some(peer) = self.dtls.user_mut(session) {
            let is_new = peer.kept.replace(Box::new(kept)).is_none();
            self.stored += usize::from(is_new);
        }
    }

    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.dtls.users().map(|(session, _)| session).collect()
    }

    /// Sessions that count for `limits.unregistered_sessions`.
    pub(crate) fn unregistered(&self) -> usize {
        self.unregistered.count()
    }

    /// Sessions without a device, those included whose device was removed from the registry.
    pub(crate) fn without_device(&self) -> usize {
        self.count.saturating_sub(self.of_devices)
    }

    /// Timers that are set.
    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
    }

    /// The size of everything that has a bound, for tests.
    #[cfg(test)]
    pub(crate) fn load(&self) -> Load {
        let most = |count: fn(&coap::RemoteEndpoint) -> usize| {
            let counts = self.dtls.users().map(|(_, peer)| count(&peer.endpoint));
            counts.max().unwrap_or_default()
        };
        Load {
            all: self.count,
            open_requests: self
                .dtls
                .users()
                .map(|(_, peer)| peer.open_requests())
                .sum(),
            timers: self.timers.len(),
            most_of_one_device: self
                .by_device
                .values()
                .map(|sessions| sessions.as_slice().len())
                .max()
                .unwrap_or_default(),
            unregistered: self.unregistered.count(),
            most_open_exchanges: most(coap::RemoteEndpoint::open_exchanges),
            most_remembered: most(coap::RemoteEndpoint::remembered),
            most_reply_bytes: most(coap::RemoteEndpoint::remembered_bytes),
            most_outgoing: most(coap::RemoteEndpoint::outgoing),
            most_observations: most(coap::RemoteEndpoint::observations),
        }
    }
}

/// What [`Sessions::load`] counts.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) all: usize,
    /// Of all sessions together.
    pub(crate) open_requests: usize,
    pub(crate) timers: usize,
    pub(crate) most_of_one_device: usize,
    pub(crate) unregistered: usize,
    pub(crate) most_open_exchanges: usize,
    pub(crate) most_remembered: usize,
    pub(crate) most_reply_bytes: usize,
    pub(crate) most_outgoing: usize,
    pub(crate) most_observations: usize,
}

#[cfg(test)]
mod tests;
