//! The sessions as the gateway knows them: whose they are, and how many a device may have.

use crate::coap::RemoteEndpoint;
use crate::config::Limits;
use crate::device::{CertificateId, Device, Fingerprint};
use crate::dtls::{Path, SessionId};
use crate::timers::{Slot, Timers};
use std::collections::{HashMap, VecDeque};
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
    expires: Option<Instant>,
    timer: Slot,
}

impl Peer {
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
            endpoint,
            since: now,
            version,
            last_heard: now,
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
    /// There are too many of unregistered certificates: close the oldest.
    DisplacesUnregistered(SessionId),
}

/// All established sessions.
#[derive(Debug)]
pub struct Peers {
    limits: Limits,
    peers: HashMap<SessionId, Peer>,
    by_device: HashMap<Arc<str>, Vec<SessionId>>,
    /// Oldest first.
    unregistered: VecDeque<SessionId>,
    timers: Timers<SessionId>,
}

impl Peers {
    /// None yet.
    pub fn new(limits: Limits) -> Peers {
        Peers {
            limits,
            peers: HashMap::new(),
            by_device: HashMap::new(),
            unregistered: VecDeque::new(),
            timers: Timers::default(),
        }
    }

    /// Lets a peer in. The caller closes whom it displaces.
    pub fn admit(&mut self, peer: Peer) -> Admission {
        let session = peer.session;
        let name = peer.device.as_ref().map(|device| device.name.clone());
        self.peers.insert(session, peer);
        self.arm(session);
        let Some(name) = name else {
            self.unregistered.push_back(session);
            let over = self.unregistered.len() > self.limits.unregistered_sessions;
            let oldest = self.unregistered.front().copied().filter(|_| over);
            return oldest.map_or(Admission::Alone, Admission::DisplacesUnregistered);
        };
        let sessions = self.by_device.entry(name).or_default();
        let over = sessions.len() >= self.limits.sessions_per_device;
        let peers = &self.peers;
        let longest_silent = sessions
            .iter()
            .filter_map(|session| peers.get(session))
            .min_by_key(|peer| peer.last_heard)
            .map(|peer| peer.session)
            .filter(|_| over);
        sessions.push(session);
        longest_silent.map_or(Admission::Alone, Admission::Displaces)
    }

    /// Forgets a session that has ended.
    pub fn remove(&mut self, session: SessionId) -> Option<Peer> {
        let mut peer = self.peers.remove(&session)?;
        self.timers.disarm(session, &mut peer.timer);
        match &peer.device {
            None => self.unregistered.retain(|other| *other != session),
            Some(device) => {
                if let Some(sessions) = self.by_device.get_mut(&device.name) {
                    sessions.retain(|other| *other != session);
                    if sessions.is_empty() {
                        self.by_device.remove(&device.name);
                    }
                }
            }
        }
        Some(peer)
    }

    /// Something authentic came from this session.
    pub fn heard(&mut self, now: Instant, session: SessionId) {
        if let Some(peer) = self.peers.get_mut(&session) {
            peer.last_heard = now;
        }
    }

    /// A peer.
    pub fn get(&self, session: SessionId) -> Option<&Peer> {
        self.peers.get(&session)
    }

    /// A peer; [`arm`](Self::arm) must follow if its endpoint was used.
    pub fn get_mut(&mut self, session: SessionId) -> Option<&mut Peer> {
        self.peers.get_mut(&session)
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

    /// Whether an unregistered session has outlived its minute.
    pub fn has_expired(&self, now: Instant, session: SessionId) -> bool {
        let expires = self.peers.get(&session).and_then(|peer| peer.expires);
        expires.is_some_and(|expires| expires <= now)
    }

    /// When [`pop_due`](Self::pop_due) has something.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// All sessions.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.peers.keys().copied().collect()
    }

    /// How much of everything there is, for tests that hold it to its bounds.
    #[cfg(test)]
    pub(super) fn load(&self) -> Load {
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
            unregistered: self.unregistered.len(),
            most_open_exchanges: most(RemoteEndpoint::open_exchanges),
            most_remembered: most(RemoteEndpoint::remembered),
            most_reply_bytes: most(RemoteEndpoint::remembered_bytes),
            most_outgoing: most(RemoteEndpoint::outgoing),
        }
    }
}

/// What [`Peers::load`] counts.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct Load {
    pub(super) all: usize,
    pub(super) timers: usize,
    pub(super) most_of_one_device: usize,
    pub(super) unregistered: usize,
    pub(super) most_open_exchanges: usize,
    pub(super) most_remembered: usize,
    pub(super) most_reply_bytes: usize,
    pub(super) most_outgoing: usize,
}
