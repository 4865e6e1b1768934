//! Proven handshakes under way by the source that holds them, and whose makes room for whose.

use super::Demux;
use crate::dtls::path::SessionId;
use shares::{SourcePlaces, source};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A handshake that has taken so long is likely to have stalled.
const STALLED: Duration = Duration::from_secs(5);

/// The handshakes by source.
#[derive(Debug, Default)]
pub(super) struct ProvenBySource(SourcePlaces<SessionId>);

impl ProvenBySource {
    /// A source has one more.
    pub(super) fn add(&mut self, address: IpAddr, id: SessionId) {
        self.0.add(source::host(address), id);
    }

    /// One is over, whichever way.
    pub(super) fn remove(&mut self, address: IpAddr, id: SessionId) {
        self.0.remove(source::host(address), &id);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.count()
    }

    /// The oldest of the source that holds most.
    pub(super) fn oldest_of_largest(&self) -> Option<SessionId> {
        self.0.oldest(self.0.largest()?).copied()
    }

    /// Whose handshakes could make room for one of this host: the largest network's; the largest host's of its own
    /// network; its own.
    fn rivals(&self, host: IpAddr) -> impl Iterator<Item = Candidate> {
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
        // Who has no more than others has no more than its share.
        let itself = (largest.is_some_and(|(name, _)| name == host)).then_some((host, held, held));
        let rivals = [network, neighbour, itself].into_iter().flatten();
        rivals.filter_map(|(of, theirs, own)| {
            Some(Candidate {
                host: of,
                oldest: *self.0.oldest(of)?,
                theirs,
                own,
            })
        })
    }
}

/// A host whose handshake could make room.
struct Candidate {
    host: IpAddr,
    oldest: SessionId,
    /// How many it, or its network, has.
    theirs: usize,
    /// How many the newcomer, or its network, has.
    own: usize,
}

impl Demux {
    /// The handshake that makes room for one of this host, where there is no place.
    pub(super) fn who_gives_way(&self, now: Instant, host: IpAddr) -> Option<SessionId> {
        let is_known = self.is_known_host(now, host);
        let mut rivals = self.proven_by_source.rivals(host);
        let rival = rivals.find(|rival| self.gives_way(now, rival, host, is_known));
        rival.map(|rival| rival.oldest)
    }

    /// A fleet that comes all at once must not push itself out again and again. But who has far more than its share makes
    /// room, and so does who has more and makes nothing of it. Who succeeded lately keeps its place before those who did
    /// not.
    fn gives_way(&self, now: Instant, rival: &Candidate, host: IpAddr, is_known: bool) -> bool {
        let session = self.sessions.get(&rival.oldest);
        let age = session.map_or(Duration::MAX, |session| {
            now.saturating_duration_since(session.began)
        });
        if rival.host == host {
            return age >= STALLED;
        }
        let has_more = rival.theirs > rival.own;
        match (is_known, self.is_known_host(now, rival.host)) {
            (true, false) => has_more,
            (true, true) | (false, false) if rival.theirs > 2 * (rival.own + 1) => true,
            (true, true) | (false, _) => has_more && age >= STALLED,
        }
    }

    fn is_known_host(&self, now: Instant, host: IpAddr) -> bool {
        self.registered_hosts.has(now, &host)
    }
}
