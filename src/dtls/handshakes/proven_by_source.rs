//! Half-open handshakes with a proven address by source, and which of them is evicted for another source's.

use super::HandshakeId;
use shares::{SourcePlaces, source};
use std::net::IpAddr;

/// Half-open handshakes with a proven address, by host and network.
#[derive(Debug, Default)]
pub(in crate::dtls) struct ProvenBySource(SourcePlaces<HandshakeId>);

impl ProvenBySource {
    pub(in crate::dtls) fn add(&mut self, address: IpAddr, id: HandshakeId) {
        self.0.add(source::host(address), id);
    }

    /// Removes a handshake, if it is there.
    pub(in crate::dtls) fn remove(&mut self, address: IpAddr, id: HandshakeId) {
        self.0.remove(source::host(address), &id);
    }

    pub(in crate::dtls) fn count(&self) -> usize {
        self.0.count()
    }

    /// The oldest handshake of the host that holds most.
    pub(in crate::dtls) fn oldest_of_largest(&self) -> Option<HandshakeId> {
        self.0.oldest(self.0.largest()?).copied()
    }

    /// Hosts whose oldest handshake could be evicted for one of this host, in this order: the largest host of the largest
    /// other network; the largest other host of its own network; itself.
    pub(in crate::dtls) fn candidates(&self, host: IpAddr) -> impl Iterator<Item = Candidate> {
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
pub(in crate::dtls) struct Candidate {
    pub(in crate::dtls) host: IpAddr,
    pub(in crate::dtls) oldest: HandshakeId,
    /// Handshakes that it, or its network, holds.
    pub(in crate::dtls) theirs: usize,
    /// Handshakes that the host to be admitted, or its network, holds.
    pub(in crate::dtls) own: usize,
}
