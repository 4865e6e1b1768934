//! Half-open handshakes with a proven address by source, and which of them is evicted for another source's.

use super::Demux;
use crate::dtls::path::SessionId;
use shares::{SourcePlaces, source};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A handshake that has taken this long has probably stalled.
const STALLED: Duration = Duration::from_secs(5);

/// Half-open handshakes with a proven address, by host and network.
#[derive(Debug, Default)]
pub(super) struct ProvenBySource(SourcePlaces<SessionId>);

impl ProvenBySource {
    pub(super) fn add(&mut self, address: IpAddr, id: SessionId) {
        self.0.add(source::host(address), id);
    }

    /// Removes a handshake, if it is there.
    pub(super) fn remove(&mut self, address: IpAddr, id: SessionId) {
        self.0.remove(source::host(address), &id);
    }

    pub(super) fn count(&self) -> usize {
        self.0.count()
    }

    /// The oldest handshake of the host that holds most.
    pub(super) fn oldest_of_largest(&self) -> Option<SessionId> {
        self.0.oldest(self.0.largest()?).copied()
    }

    /// Hosts whose oldest handshake could be evicted for one of this host, in this order: the largest host of the largest
    /// other network; the largest other host of its own network; itself.
    fn candidates(&self, host: IpAddr) -> impl Iterator<Item = Candidate> {
        let own = source::network(host);
        let largest = self.0.largest_network();
        let network = largest.filter(|(name, _)| *name != own);
        let network = network.and_then(|(name, held)| {
            let (largest, _) = self.0.largest_host(name)?;
            Some((largest, held, self.0.held_by_network(own)))
        });
        let largest = self.0.largest_host(own);
        let neighbour = largest.filter(|(name, _)| *name != host);
        let held = self.0.held_by_host(host);
        let neighbour = neighbour.map(|(name, theirs)| (name, theirs, held));
        // A host that holds no more than the others has no more than its share.
        let itself = (largest.is_some_and(|(name, _)| name == host)).then_some((host, held, held));
        let candidates = [network, neighbour, itself].into_iter().flatten();
        candidates.filter_map(|(of, theirs, own)| {
            Some(Candidate {
                host: of,
                oldest: *self.0.oldest(of)?,
                theirs,
                own,
            })
        })
    }
}

/// A host whose oldest handshake could be evicted.
struct Candidate {
    host: IpAddr,
    oldest: SessionId,
    /// Handshakes that it, or its network, holds.
    theirs: usize,
    /// Handshakes that the host to be admitted, or its network, holds.
    own: usize,
}

impl Demux {
    /// The handshake to evict for one of this host, where all places are taken.
    pub(super) fn handshake_to_evict(&self, now: Instant, host: IpAddr) -> Option<SessionId> {
        let is_known = self.is_known_host(now, host);
        let mut candidates = self.proven_by_source.candidates(host);
        let found = candidates.find(|candidate| self.may_evict(now, candidate, host, is_known));
        found.map(|candidate| candidate.oldest)
    }

    /// A fleet that comes all at once must not evict its own handshakes again and again. But a source with far more than
    /// its share is evicted, and so is one with more whose handshake has stalled. A source that succeeded recently keeps
    /// its place against one that did not.
    fn may_evict(&self, now: Instant, candidate: &Candidate, host: IpAddr, is_known: bool) -> bool {
        let session = self.sessions.get(&candidate.oldest);
        let age = session.map_or(Duration::MAX, |session| {
            now.saturating_duration_since(session.began)
        });
        if candidate.host == host {
            return age >= STALLED;
        }
        let has_more = candidate.theirs > candidate.own;
        match (is_known, self.is_known_host(now, candidate.host)) {
            (true, false) => has_more,
            (true, true) | (false, false) if candidate.theirs > 2 * (candidate.own + 1) => true,
            (true, true) | (false, _) => has_more && age >= STALLED,
        }
    }

    fn is_known_host(&self, now: Instant, host: IpAddr) -> bool {
        self.registered_hosts.contains(now, &host)
    }
}
