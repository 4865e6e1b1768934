//! The sessions as the gateway knows them: whose they are, and how many a device may have.

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

/// How long a session of an unregistered certificate lives: long enough for its device to be told,
/// and to provision itself.
const UNREGISTERED_LIFETIME: Duration = Duration::from_secs(60);

/// One established session.
#[derive(Debug)]
pub struct Peer {
    /// Its name.
    pub session: SessionId,
    /// Where it is.
    pub path: Path,
    /// The certificate whose key it has proven to own.
    pub certificate: CertificateId,
    /// The device that certificate belongs to, if it is registered.
    pub device: Option<Arc<Device>>,
    /// Its CoAP state.
    pub endpoint: RemoteEndpoint,
    since: Instant,
    version: &'static str,
    last_heard: Instant,
    /// When a request of it was answered last, or a notification has reached it.
    last_served: Option<Instant>,
    /// The registry its device was found in.
    edition: u32,
    /// The first exchange that is its present device's.
    first_exchange: ExchangeId,
    /// The first exchange under its present device's present token.
    first_exchange_of_token: ExchangeId,
    expires: Option<Instant>,
    timer: Slot,
}

impl Peer {
    /// Who its calls to ThingsBoard and its datagrams count for.
    pub(crate) fn holder(&self) -> Holder {
        Holder::of(self.device.as_deref(), self.path.remote.ip())
    }

    /// A session that was established `now`.
    pub fn new(
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
            last_heard: now,
            last_served: None,
            edition: 0,
            first_exchange: endpoint.next_exchange(),
            first_exchange_of_token: endpoint.next_exchange(),
            endpoint,
            timer: Slot::default(),
        }
    }

    /// Its certificate's SHA-256, as an operator writes it into the registry.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::Sha256(self.certificate.sha256)
    }

    /// The device's name; "-" for a certificate that is not registered.
    pub fn name(&self) -> &str {
        self.device.as_ref().map_or("-", |device| &device.name)
    }

    /// When it was established.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Its DTLS version: "1.2" or "1.3".
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// When something authentic came from it last.
    pub fn last_heard(&self) -> Instant {
        self.last_heard
    }

    /// Whether a request was made when the session was another's, or nobody's.
    pub fn is_of_a_former_device(&self, exchange: ExchangeId) -> bool {
        exchange.began_before(self.first_exchange)
    }

    /// Whether a request was made under another token, or none: what ThingsBoard says of that one says nothing of the
    /// present one.
    pub fn is_under_a_former_token(&self, exchange: ExchangeId) -> bool {
        exchange.began_before(self.first_exchange_of_token)
    }

    /// When it was served last.
    pub fn last_served(&self) -> Option<Instant> {
        self.last_served
    }

    fn next_timeout(&self) -> Option<Instant> {
        let deadlines = [self.expires, self.endpoint.next_timeout()];
        deadlines.into_iter().flatten().min()
    }
}

/// What letting a peer in costs another.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nothing.
    Alone,
    /// The device has too many sessions: close its longest silent one.
    Displaces(SessionId),
    /// There are too many of unregistered certificates: close the oldest of the source that has most.
    DisplacesUnregistered(SessionId),
}

/// All established sessions.
#[derive(Debug)]
pub struct Peers {
    limits: Limits,
    /// Boxed, as a table that grows by doubling is half empty at its worst.
    peers: HashMap<SessionId, Box<Peer>>,
    by_device: HashMap<Arc<str>, Vec<SessionId>>,
    /// Sessions of devices.
    of_devices: usize,
    /// Sessions of unregistered certificates, by where they come from.
    unregistered: SourcePlaces<SessionId>,
    timers: Timers<SessionId>,
}

impl Peers {
    /// None yet.
    pub fn new(limits: Limits) -> Peers {
        Peers {
            limits,
            peers: HashMap::new(),
            by_device: HashMap::new(),
            of_devices: 0,
            unregistered: SourcePlaces::default(),
            timers: Timers::default(),
        }
    }

    /// Lets a peer in. The caller closes whom it displaces.
    pub fn admit(&mut self, mut peer: Peer, edition: u32) -> Admission {
        let session = peer.session;
        let name = peer.device.as_ref().map(|device| device.name.clone());
        let host = source::host(peer.path.remote.ip());
        peer.edition = edition;
        self.peers.insert(session, Box::new(peer));
        self.arm(session);
        match name {
            Some(name) => self.enrol(session, name),
            None => {
                self.unregistered.add(host, session);
                let over = self.unregistered.count() > self.limits.unregistered_sessions;
                let largest = self.unregistered.largest().filter(|_| over);
                let oldest = largest.and_then(|host| self.unregistered.oldest(host));
                (oldest.copied()).map_or(Admission::Alone, Admission::DisplacesUnregistered)
            }
        }
    }

    /// Counts a session as one of this device.
    fn enrol(&mut self, session: SessionId, name: Arc<str>) -> Admission {
        let sessions = self.by_device.entry(name).or_default();
        let over = sessions.len() >= self.limits.sessions_per_device;
        let peers = &self.peers;
        // Not searched for where there is room: a device may be allowed thousands.
        let searched = sessions.iter().filter(|_| over);
        let longest_silent = searched
            .filter_map(|session| peers.get(session))
            .min_by_key(|peer| peer.last_heard)
            .map(|peer| peer.session);
        sessions.push(session);
        self.of_devices += 1;
        longest_silent.map_or(Admission::Alone, Admission::Displaces)
    }

    /// Counts a session as nobody's.
    fn strike_off(&mut self, session: SessionId, host: IpAddr, device: Option<&Device>) {
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

    /// Whether a session was looked up in an older registry than this.
    pub fn is_behind(&self, session: SessionId, edition: u32) -> bool {
        let peer = self.peers.get(&session);
        peer.is_some_and(|peer| peer.edition != edition)
    }

    /// A session's certificate was looked up anew, and belongs to `device` now. One that was a device's and is
    /// no more keeps its session until it has been told so.
    pub fn assign(
        &mut self,
        session: SessionId,
        device: Option<Arc<Device>>,
        edition: u32,
    ) -> Admission {
        let Some(peer) = self.peers.get_mut(&session) else {
            return Admission::Alone;
        };
        peer.edition = edition;
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
        self.strike_off(session, host, before.as_deref());
        name.map_or(Admission::Alone, |name| self.enrol(session, name))
    }

    /// A session of an unregistered certificate was told so: it has a minute from now, if it has not had one.
    pub fn told_unregistered(&mut self, now: Instant, session: SessionId) {
        if let Some(peer) = self.peers.get_mut(&session)
            && peer.device.is_none()
        {
            peer.expires.get_or_insert(now + UNREGISTERED_LIFETIME);
            self.arm(session);
        }
    }

    /// A request of this session was answered, or a notification has reached it.
    pub fn served(&mut self, now: Instant, session: SessionId) {
        if let Some(peer) = self.peers.get_mut(&session) {
            peer.last_served = Some(now);
        }
    }

    /// The session is to end at this time, or is not.
    pub fn expire(&mut self, session: SessionId, at: Option<Instant>) {
        if let Some(peer) = self.peers.get_mut(&session) {
            peer.expires = at;
            self.arm(session);
        }
    }

    /// Forgets a session that has ended.
    pub fn remove(&mut self, session: SessionId) -> Option<Peer> {
        let mut peer = self.peers.remove(&session)?;
        self.timers.disarm(session, &mut peer.timer);
        let host = source::host(peer.path.remote.ip());
        self.strike_off(session, host, peer.device.as_deref());
        Some(*peer)
    }

    /// Something authentic came from this session.
    pub fn heard(&mut self, now: Instant, session: SessionId) {
        if let Some(peer) = self.peers.get_mut(&session) {
            peer.last_heard = now;
        }
    }

    /// A peer.
    pub fn get(&self, session: SessionId) -> Option<&Peer> {
        self.peers.get(&session).map(AsRef::as_ref)
    }

    /// A peer; [`arm`](Self::arm) must follow if its endpoint was used.
    pub fn get_mut(&mut self, session: SessionId) -> Option<&mut Peer> {
        self.peers.get_mut(&session).map(AsMut::as_mut)
    }

    /// Sees to it that the peer's next timeout is not missed.
    pub fn arm(&mut self, session: SessionId) {
        if let Some(peer) = self.peers.get_mut(&session)
            && let Some(at) = peer.next_timeout()
        {
            self.timers.arm(session, &mut peer.timer, at);
        }
    }

    /// A session whose time may have come.
    pub fn pop_due(&mut self, now: Instant) -> Option<SessionId> {
        let session = self.timers.pop_due(now)?;
        if let Some(peer) = self.peers.get_mut(&session) {
            peer.timer.fired();
        }
        Some(session)
    }

    /// Whether a session has outlived the time it was given.
    pub fn has_expired(&self, now: Instant, session: SessionId) -> bool {
        let expires = self.peers.get(&session).and_then(|peer| peer.expires);
        expires.is_some_and(|expires| expires <= now)
    }

    /// When [`pop_due`](Self::pop_due) has something.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// All sessions.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.peers.keys().copied().collect()
    }

    /// Sessions that count for `limits.unregistered_sessions`.
    pub fn unregistered(&self) -> usize {
        self.unregistered.count()
    }

    /// Sessions that are no device's, those included whose device was removed.
    pub fn without_device(&self) -> usize {
        self.peers.len().saturating_sub(self.of_devices)
    }

    /// Times that something is to be done at.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// How much of everything there is, for tests that hold it to its bounds.
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

/// What [`Peers::load`] counts.
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
