//! Half-open handshakes: each is dropped as a whole, at its deadline, when it is evicted, or when it is complete.
//!
//! ```text
//! unproven ──▶ proven ──▶ (established, or dropped)
//!  DTLS 1.3     flights
//!  only         under way
//! ```
//!
//! *Unproven*: the peer's address may be forged, so we send no more bytes than we have received, and nothing by timer. In DTLS
//! 1.2 nothing is kept before the client has returned its cookie.

mod buffered_bytes;
mod proven_by_source;

use super::dtls13::Dtls13;
use super::path::Path;
use crate::credentials::KnownClient;
use crate::timers::{Slot, Timers};
use buffered_bytes::BufferedBytes;
use dtls_server::handshake::Handshake;
use proven_by_source::ProvenBySource;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

pub(in crate::dtls) use buffered_bytes::Buffered;
pub(super) use proven_by_source::Candidate;

/// Names a half-open handshake. A later one has a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct HandshakeId(pub(super) u64);

/// A half-open handshake.
pub(super) struct HalfOpen {
    pub(super) path: Path,
    /// The random of its first ClientHello.
    pub(super) random: [u8; 32],
    pub(super) began: Instant,
    /// When it ends, unless it becomes proven before.
    pub(super) deadline: Instant,
    /// Once its certificates are accepted. Whether it has their key is not known yet.
    pub(super) client: Option<KnownClient>,
    pub(super) engine: Engine,
    pub(super) timer: Slot,
}

/// What makes the handshake.
#[expect(
    clippy::large_enum_variant,
    reason = "each is in the box of its handshake, and few are of the smaller kind"
)]
pub(super) enum Engine {
    Dtls12(Dtls12),
    Dtls13(Dtls13),
}

/// A handshake of DTLS 1.2. Its address is proven.
pub(super) struct Dtls12 {
    pub(super) handshake: Handshake,
    /// The client of the session that it may be resuming.
    pub(super) resumed: Option<KnownClient>,
    /// Empty: there is none.
    pub(super) connection_id: Vec<u8>,
}

impl HalfOpen {
    /// Whether the client receives what we send to its address.
    pub(super) fn is_proven(&self) -> bool {
        match &self.engine {
            Engine::Dtls12(_) => true,
            Engine::Dtls13(dtls13) => dtls13.is_proven,
        }
    }

    /// Our connection ID in it.
    pub(super) fn connection_id(&self) -> &[u8] {
        match &self.engine {
            Engine::Dtls12(dtls12) => &dtls12.connection_id,
            Engine::Dtls13(_) => &[],
        }
    }

    fn buffered(&self) -> Buffered {
        match &self.engine {
            Engine::Dtls12(dtls12) => Buffered {
                unfinished: dtls12.handshake.buffered(),
                ..Buffered::default()
            },
            Engine::Dtls13(dtls13) => dtls13.buffered(),
        }
    }

    /// When its timer must fire.
    pub(super) fn next_timeout(&self) -> Instant {
        let engine = match &self.engine {
            Engine::Dtls12(dtls12) => dtls12.handshake.next_timeout(),
            // A cookie is never sent again (RFC 6347 §4.2.1).
            Engine::Dtls13(dtls13) => (dtls13.engine.next_timeout()).filter(|_| dtls13.is_proven),
        };
        engine.map_or(self.deadline, |at| at.min(self.deadline))
    }
}

/// All half-open handshakes.
pub(super) struct Handshakes {
    next_id: u64,
    /// Boxed, because a hash table may be half empty.
    all: HashMap<HandshakeId, Box<HalfOpen>>,
    /// Unproven handshakes, oldest first. May contain ids that are proven or removed by now.
    unproven: VecDeque<HandshakeId>,
    pub(super) proven_by_source: ProvenBySource,
    buffered: BufferedBytes,
    timers: Timers<HandshakeId>,
}

impl Handshakes {
    /// For at most this many.
    pub(super) fn new(most: usize) -> Handshakes {
        Handshakes {
            next_id: 0,
            all: HashMap::new(),
            unproven: VecDeque::new(),
            proven_by_source: ProvenBySource::default(),
            buffered: BufferedBytes::new(most),
            timers: Timers::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, id: HandshakeId) -> Option<&HalfOpen> {
        self.all.get(&id).map(AsRef::as_ref)
    }

    /// [`arm`](Self::arm) must follow if its engine was used.
    pub(super) fn get_mut(&mut self, id: HandshakeId) -> Option<&mut HalfOpen> {
        self.all.get_mut(&id).map(AsMut::as_mut)
    }

    /// Adds a handshake.
    pub(super) fn add(&mut self, handshake: HalfOpen) -> HandshakeId {
        let id = HandshakeId(self.next_id);
        self.next_id += 1;
        if handshake.is_proven() {
            self.proven_by_source.add(handshake.path.remote.ip(), id);
        } else {
            self.prune_unproven();
            self.unproven.push_back(id);
        }
        self.all.insert(id, Box::new(handshake));
        self.arm(id);
        id
    }

    /// Removes a handshake.
    pub(super) fn remove(&mut self, id: HandshakeId) -> Option<HalfOpen> {
        let mut handshake = self.all.remove(&id)?;
        self.timers.disarm(id, &mut handshake.timer);
        self.buffered.remove(id);
        self.proven_by_source.remove(handshake.path.remote.ip(), id);
        Some(*handshake)
    }

    /// Sets the timer to the handshake's next timeout.
    pub(super) fn arm(&mut self, id: HandshakeId) {
        if let Some(handshake) = self.all.get_mut(&id) {
            let at = handshake.next_timeout();
            self.timers.arm(id, &mut handshake.timer, at);
        }
    }

    /// The next handshake whose timer has fired.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<HandshakeId> {
        let id = self.timers.pop_due(now)?;
        if let Some(handshake) = self.all.get_mut(&id) {
            handshake.timer.fired();
        }
        Some(id)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(super) fn timers(&self) -> usize {
        self.timers.len()
    }

    /// Updates how much a handshake buffers.
    pub(super) fn track_buffered(&mut self, id: HandshakeId) {
        if let Some(handshake) = self.all.get(&id) {
            let is_unproven = !handshake.is_proven();
            self.buffered.set(id, is_unproven, handshake.buffered());
        }
    }

    /// The handshake to evict, because all together buffer too much.
    pub(super) fn largest_buffer(&mut self) -> Option<HandshakeId> {
        let id = self.buffered.to_evict()?;
        self.buffered.remove(id);
        Some(id)
    }

    /// How long ago it began. One that has gone began long ago.
    pub(super) fn age(&self, now: Instant, id: HandshakeId) -> Duration {
        self.all.get(&id).map_or(Duration::MAX, |handshake| {
            now.saturating_duration_since(handshake.began)
        })
    }

    /// Removes ids from the front of the queue that are no longer unproven. All have the same timeout, so everything behind
    /// an unproven one is younger than `unproven_timeout`, and the queue stays bounded.
    fn prune_unproven(&mut self) {
        while let Some(id) = self.unproven.front() {
            if self
                .all
                .get(id)
                .is_some_and(|handshake| !handshake.is_proven())
            {
                return;
            }
            self.unproven.pop_front();
        }
    }

    /// The oldest unproven handshake, which is to be evicted.
    pub(super) fn pop_oldest_unproven(&mut self) -> Option<HandshakeId> {
        self.prune_unproven();
        self.unproven.pop_front()
    }

    /// Ids in the queue of unproven handshakes, for tests of its bound.
    #[cfg(test)]
    pub(super) fn unproven_queue(&self) -> usize {
        self.unproven.len()
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &HalfOpen> {
        self.all.values().map(AsRef::as_ref)
    }
}
