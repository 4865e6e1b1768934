//! Memory that half-open handshakes buffer, and which of them is evicted when it is too much.
//!
//! A fragmented message is buffered until it is complete, outside the engine (see `inbound`). In DTLS 1.3, where all but
//! the ClientHello is encrypted, the engine queues records, and each costs ten kilobytes however small it is. A thousand
//! hostile handshakes could hold 40 MB before any certificate is checked. So all share one limit, and the handshake that
//! holds most is evicted first: a client whose messages are usable at once holds next to nothing and is never chosen.

use super::HandshakeId;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// What a queued record costs the engine in bytes, without its content. Measured.
const RECORD: usize = 10 * 1024;
/// What a queued byte costs in bytes: the buffers it has passed through are kept as well. Measured.
const BYTE: usize = 4;
/// The limit in bytes for each of `limits.handshakes`, not evenly divided. A usual certificate has half a kilobyte, and is
/// buffered until the rest of its flight has come.
const PER_HANDSHAKE: usize = 4 * 1024;
/// The lowest limit in bytes: with few handshakes there must still be room for fragmented ones.
const MIN_LIMIT: usize = 1024 * 1024;

/// Memory that a handshake buffers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::dtls) struct Buffered {
    /// Bytes of messages that are not complete, or not processed yet.
    pub(in crate::dtls) unfinished: usize,
    /// Records that the engine may have queued (DTLS 1.3).
    pub(in crate::dtls) queued_records: usize,
    /// The bytes in them.
    pub(in crate::dtls) queued_bytes: usize,
}

/// Estimates in bytes, on the high side: the engine does not report what it has used of its queue.
#[derive(Debug)]
pub(super) struct BufferedBytes {
    limit: usize,
    total: usize,
    held: HashMap<HandshakeId, Held>,
    ranks: BTreeSet<Rank>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    unproven: bool,
    bytes: usize,
}

/// The last one is evicted first: unproven ones before proven ones, then by bytes, then the oldest.
type Rank = (bool, usize, Reverse<HandshakeId>);

fn rank(id: HandshakeId, held: Held) -> Rank {
    (held.unproven, held.bytes, Reverse(id))
}

impl BufferedBytes {
    /// For at most this many half-open handshakes.
    pub(super) fn new(handshakes: usize) -> BufferedBytes {
        BufferedBytes {
            limit: handshakes.saturating_mul(PER_HANDSHAKE).max(MIN_LIMIT),
            total: 0,
            held: HashMap::new(),
            ranks: BTreeSet::new(),
        }
    }

    /// Updates what a handshake buffers.
    pub(super) fn set(&mut self, id: HandshakeId, unproven: bool, buffered: Buffered) {
        self.remove(id);
        let bytes =
            buffered.unfinished + buffered.queued_records * RECORD + buffered.queued_bytes * BYTE;
        if bytes == 0 {
            return;
        }
        let held = Held { unproven, bytes };
        self.total += held.bytes;
        self.held.insert(id, held);
        self.ranks.insert(rank(id, held));
    }

    /// Removes a handshake that is no longer half open.
    pub(super) fn remove(&mut self, id: HandshakeId) {
        if let Some(held) = self.held.remove(&id) {
            self.total = self.total.saturating_sub(held.bytes);
            self.ranks.remove(&rank(id, held));
        }
    }

    /// The handshake to evict, if the total exceeds the limit.
    pub(super) fn to_evict(&self) -> Option<HandshakeId> {
        let (_, _, Reverse(id)) = self.ranks.last()?;
        (self.total > self.limit).then_some(*id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: usize = MIN_LIMIT / RECORD;

    fn queued(records: usize) -> Buffered {
        Buffered {
            queued_records: records,
            ..Buffered::default()
        }
    }

    fn with(each: impl Fn(u64) -> (bool, usize)) -> BufferedBytes {
        let mut buffered = BufferedBytes::new(1);
        for id in 0..10 {
            let (unproven, records) = each(id);
            buffered.set(HandshakeId(id), unproven, queued(records));
        }
        buffered
    }

    #[test]
    fn the_largest_is_evicted_and_an_unproven_one_before_a_proven_one() {
        let lone = with(|id| (true, if id == 7 { ALLOWED } else { 1 }));
        assert_eq!(lone.to_evict(), Some(HandshakeId(7)));
        let proven = with(|id| (id == 3, if id == 7 { ALLOWED } else { 1 }));
        assert_eq!(proven.to_evict(), Some(HandshakeId(3)));
        let even = with(|_| (true, ALLOWED));
        assert_eq!(even.to_evict(), Some(HandshakeId(0)));
    }

    #[test]
    fn none_is_evicted_while_the_total_is_within_the_limit() {
        let mut buffered = with(|_| (true, 2));
        assert_eq!(buffered.to_evict(), None);
        let unfinished = Buffered {
            unfinished: MIN_LIMIT,
            ..Buffered::default()
        };
        buffered.set(HandshakeId(3), false, unfinished);
        assert!(buffered.to_evict().is_some());
        buffered.remove(HandshakeId(3));
        assert_eq!(buffered.to_evict(), None);
        for id in 0..10 {
            buffered.remove(HandshakeId(id));
        }
        assert_eq!((buffered.total, buffered.held.len()), (0, 0));
    }
}
