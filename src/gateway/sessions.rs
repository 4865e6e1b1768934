//! Established sessions: the device of each, and how many sessions a device may have. Their other half
//! (keys, deadlines, the engine) is in `dtls::session`.

use crate::device::{CertificateId, Device, Fingerprint, Limits};
use crate::dtls::{Path, SessionId};
use crate::quotas::in_flight::Holder;
use crate::timers::{Slot, Timers};
use coap::{ExchangeId, RemoteEndpoint};
use shares::{SourcePlaces, source};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is reported that a device is alive.
const ALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// Lifetime of a session of an unregistered certificate: long enough to get its 4.01, and to provision itself.
const UNREGISTERED_LIFETIME: Duration = Duration::from_secs(60);

/// The client of one established session.
#[derive(Debug)]
pub(crate) struct Peer {
    pub session: SessionId,
    pub path: Path,
    pub certificate: CertificateId,
    /// The certificate's device, if it is registered.
    pub device: Option<Arc<Device>>,
    pub endpoint: RemoteEndpoint,
    since: Instant,
    version: &'static str,
    last_received: Instant,
    /// When it was reported last that the device is alive.
    reported_alive: Instant,
    /// When a request was answered last, or a notification acknowledged.
    last_served: Option<Instant>,
    /// The registry in which `device` was looked up.
    registry_version: u32,
    /// The first exchange that belongs to its current device.
    first_exchange: ExchangeId,
    /// The first exchange under its current device's current access token.
    first_exchange_of_token: ExchangeId,
    expires: Option<Instant>,
    timer: Slot,
}

impl Peer {
    /// The holder that its calls to ThingsBoard and its datagrams count for.
    pub(crate) fn holder(&self) -> Holder {
        Holder::of(self.device.as_deref(), self.path.remote.ip())
    }

    pub(crate) fn new(
        session: SessionId,
        path: Path,
        certificate: CertificateId,
        device: Option<Arc<Device>>,
        endpoint: RemoteEndpoint,
        version: &'static str,
        now: Instant,
    ) -> Peer {
        Peer {
            session,
            path,
            certificate,
            expires: device.is_none().then(|| now + UNREGISTERED_LIFETIME),
            device,
            since: now,
            version,
            last_received: now,
            reported_alive: now,
            last_served: None,
            registry_version: 0,
            first_exchange: endpoint.next_exchange(),
            first_exchange_of_token: endpoint.next_exchange(),
            endpoint,
            timer: Slot::default(),
        }
    }

    /// Its certificate's SHA-256, as an operator writes it into the registry.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::Sha256(self.certificate.sha256)
    }

    /// The device's name; "-" for a certificate that is not registered.
    pub(crate) fn name(&self) -> &str {
        self.device.as_ref().map_or("-", |device| &device.name)
    }

    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Its DTLS version: "1.2" or "1.3".
    pub(crate) fn version(&self) -> &'static str {
        self.version
    }

    /// When an authentic record was received last.
    pub(crate) fn last_received(&self) -> Instant {
        self.last_received
    }

    /// Whether the request was received while the certificate belonged to another device, or to none.
    pub(crate) fn is_of_former_device(&self, exchange: ExchangeId) -> bool {
        exchange.began_before(self.first_exchange)
    }

    /// Whether the request was received under another access token, or under none: ThingsBoard's answer then says nothing
    /// about the current token.
    pub(crate) fn is_under_former_token(&self, exchange: ExchangeId) -> bool {
        exchange.began_before(self.first_exchange_of_token)
    }

    pub(crate) fn last_served(&self) -> Option<Instant> {
        self.last_served
    }

    fn next_timeout(&self) -> Option<Instant> {
        let deadlines = [self.expires, self.endpoint.next_timeout()];
        deadlines.into_iter().flatten().min()
    }
}

/// Which session gives way to a new one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Alone,
    /// The device has too many sessions: close its longest silent one.
    Displaces(SessionId),
    /// There are too many of unregistered certificates: close the oldest of the source that has the most.
    DisplacesUnregistered(SessionId),
}

#[derive(Debug)]
pub(crate) struct Sessions {
    limits: Limits,
    /// Boxed: a table that grows by doubling may be half empty.
    peers: HashMap<SessionId, Box<Peer>>,
    by_device: HashMap<Arc<str>, Vec<SessionId>>,
    of_devices: usize,
    /// Sessions of unregistered certificates, by source address.
    unregistered: SourcePlaces<SessionId>,
    timers: Timers<SessionId>,
}

impl Sessions {
    pub(crate) fn new(limits: Limits) -> Sessions {
        Sessions {
            limits,
            peers: HashMap::new(),
            by_device: HashMap::new(),
            of_devices: 0,
            unregistered: SourcePlaces::default(),
            timers: Timers::default(),
        }
    }

    /// Adds a peer. The caller closes the session that it displaces.
    pub(crate) fn admit(&mut self, mut peer: Peer, registry_version: u32) -> Admission {
        let session = peer.session;
        let name = peer.device.as_ref().map(|device| device.name.clone());
        let host = source::host(peer.path.remote.ip());
        peer.registry_version = registry_version;
        self.peers.insert(session, Box::new(peer));
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
        let sessions = self.by_device.entry(name).or_default();
        let over = sessions.len() >= self.limits.sessions_per_device;
        let peers = &self.peers;
        // Searched only when there are too many: a device may be allowed thousands.
        let searched = sessions.iter().filter(|_| over);
        let longest_silent = searched
            .filter_map(|session| peers.get(session))
            .min_by_key(|peer| peer.last_received)
            .map(|peer| peer.session);
        sessions.push(session);
        self.of_devices += 1;
        longest_silent.map_or(Admission::Alone, Admission::Displaces)
    }

    /// Removes the session from its device's index.
    fn remove_from_index(&mut self, session: SessionId, host: IpAddr, device: Option<&Device>) {
        let Some(device) = device else {
            self.unregistered.remove(host, &session);
            return;
        };
        if let Some(sessions) = self.by_device.get_mut(&device.name) {
            self.of_devices = self.of_devices.saturating_sub(1);
            sessions.retain(|other| *other != session);
            if sessions.is_empty() {
                self.by_device.remove(&device.name);
            }
        }
    }

    /// Whether the session's device was looked up in another registry than this.
    pub(crate) fn is_outdated(&self, session: SessionId, registry_version: u32) -> bool {
        let peer = self.peers.get(&session);
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
        let Some(peer) = self.peers.get_mut(&session) else {
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
        let host = source::host(peer.path.remote.ip());
        self.remove_from_index(session, host, before.as_deref());
        name.map_or(Admission::Alone, |name| self.add_to_index(session, name))
    }

    /// A request of an unregistered certificate was answered 4.01: its session ends after [`UNREGISTERED_LIFETIME`], unless
    /// its end is set already.
    pub(crate) fn refused_unregistered(&mut self, now: Instant, session: SessionId) {
        if let Some(peer) = self.peers.get_mut(&session)
            && peer.device.is_none()
        {
            peer.expires.get_or_insert(now + UNREGISTERED_LIFETIME);
            self.arm(session);
        }
    }

    /// The client has another address.
    pub(crate) fn moved(&mut self, session: SessionId, path: Path) {
        let Some(peer) = self.peers.get_mut(&session) else {
            return;
        };
        let from = std::mem::replace(&mut peer.path, path);
        if peer.device.is_none() {
            self.unregistered
                .remove(source::host(from.remote.ip()), &session);
            self.unregistered
                .add(source::host(path.remote.ip()), session);
        }
    }

    /// Notes that a request was answered, or a notification acknowledged.
    pub(crate) fn served(&mut self, now: Instant, session: SessionId) {
        if let Some(peer) = self.peers.get_mut(&session) {
            peer.last_served = Some(now);
        }
    }

    /// Sets when the session expires.
    pub(crate) fn expire(&mut self, session: SessionId, at: Option<Instant>) {
        if let Some(peer) = self.peers.get_mut(&session) {
            peer.expires = at;
            self.arm(session);
        }
    }

    /// Removes a session that has ended.
    pub(crate) fn remove(&mut self, session: SessionId) -> Option<Peer> {
        let mut peer = self.peers.remove(&session)?;
        self.timers.disarm(session, &mut peer.timer);
        let host = source::host(peer.path.remote.ip());
        self.remove_from_index(session, host, peer.device.as_deref());
        Some(*peer)
    }

    /// Notes that an authentic record was received. Returns the session's device, the first time in each interval of
    /// [`ALIVE_INTERVAL`].
    pub(crate) fn received(&mut self, now: Instant, session: SessionId) -> Option<&Arc<Device>> {
        let peer = self.peers.get_mut(&session)?;
        peer.last_received = now;
        if now.saturating_duration_since(peer.reported_alive) < ALIVE_INTERVAL {
            return None;
        }
        peer.reported_alive = now;
        peer.device.as_ref()
    }

    pub(crate) fn get(&self, session: SessionId) -> Option<&Peer> {
        self.peers.get(&session).map(AsRef::as_ref)
    }

    /// [`arm`](Self::arm) must follow if its endpoint was used.
    pub(crate) fn get_mut(&mut self, session: SessionId) -> Option<&mut Peer> {
        self.peers.get_mut(&session).map(AsMut::as_mut)
    }

    /// Sets the timer to the peer's next timeout.
    pub(crate) fn arm(&mut self, session: SessionId) {
        if let Some(peer) = self.peers.get_mut(&session)
            && let Some(at) = peer.next_timeout()
        {
            self.timers.arm(session, &mut peer.timer, at);
        }
    }

    /// The next session whose timer has expired.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<SessionId> {
        let session = self.timers.pop_due(now)?;
        if let Some(peer) = self.peers.get_mut(&session) {
            peer.timer.fired();
        }
        Some(session)
    }

    /// Whether the session's lifetime is over.
    pub(crate) fn has_expired(&self, now: Instant, session: SessionId) -> bool {
        let expires = self.peers.get(&session).and_then(|peer| peer.expires);
        expires.is_some_and(|expires| expires <= now)
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.peers.keys().copied().collect()
    }

    /// Sessions that count for `limits.unregistered_sessions`.
    pub(crate) fn unregistered(&self) -> usize {
        self.unregistered.count()
    }

    /// Sessions without a device, those included whose device was removed from the registry.
    pub(crate) fn without_device(&self) -> usize {
        self.peers.len().saturating_sub(self.of_devices)
    }

    /// Timers that are set.
    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
    }

    /// The size of everything that has a bound, for tests.
    #[cfg(test)]
    pub(crate) fn load(&self) -> Load {
        let most = |count: fn(&RemoteEndpoint) -> usize| {
            let counts = self.peers.values().map(|peer| count(&peer.endpoint));
            counts.max().unwrap_or_default()
        };
        Load {
            all: self.peers.len(),
            timers: self.timers.len(),
            most_of_one_device: self
                .by_device
                .values()
                .map(Vec::len)
                .max()
                .unwrap_or_default(),
            unregistered: self.unregistered.count(),
            most_open_exchanges: most(RemoteEndpoint::open_exchanges),
            most_remembered: most(RemoteEndpoint::remembered),
            most_reply_bytes: most(RemoteEndpoint::remembered_bytes),
            most_outgoing: most(RemoteEndpoint::outgoing),
            most_observations: most(RemoteEndpoint::observations),
        }
    }
}

/// What [`Sessions::load`] counts.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) all: usize,
    pub(crate) timers: usize,
    pub(crate) most_of_one_device: usize,
    pub(crate) unregistered: usize,
    pub(crate) most_open_exchanges: usize,
    pub(crate) most_remembered: usize,
    pub(crate) most_reply_bytes: usize,
    pub(crate) most_outgoing: usize,
    pub(crate) most_observations: usize,
}
