//! What half-open handshakes keep of what they can't use yet, and who gives way when it is too much.
//!
//! A message that comes in fragments is kept until it is whole, outside the engine (see `inbound`); in DTLS 1.3, where
//! all but the ClientHello is encrypted, the engine queues its datagrams, and each costs it ten kilobytes however small
//! it is. A thousand handshakes that do their worst would be 40 MB, from strangers. So all share one allowance, and who
//! holds most goes first: clients that send what can be used track_buffered next to nothing, and are never the ones.

use crate::dtls::path::SessionId;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// What a queued datagram costs the engine, without its bytes. Measured.
const DATAGRAM: usize = 10 * 1024;
/// What a queued byte costs: the buffers it has been through are kept as well. Measured.
const BYTE: usize = 4;
/// The allowance for each half-open handshake that may be; they need not share evenly. A usual certificate is half a
/// kilobyte, and is kept for as long as the rest of its flight takes.
const SHARE: usize = 4 * 1024;
/// With few handshakes allowed there is still room for fragmented ones.
const LEAST: usize = 1024 * 1024;

/// Estimates, in bytes, on the high side: the engine does not say what it has used of its queue.
#[derive(Debug)]
pub(super) struct BufferedBytes {
    allowance: usize,
    total: usize,
    held: HashMap<SessionId, Held>,
    ranks: BTreeSet<Rank>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    unproven: bool,
    bytes: usize,
}

/// Unproven ones before proven ones, then by what they track_buffered, then the oldest.
type Rank = (bool, usize, Reverse<SessionId>);

fn rank(id: SessionId, held: Held) -> Rank {
    (held.unproven, held.bytes, Reverse(id))
}

impl BufferedBytes {
    /// For so many half-open handshakes.
    pub(super) fn new(handshakes: usize) -> BufferedBytes {
        BufferedBytes {
            allowance: handshakes.saturating_mul(SHARE).max(LEAST),
            total: 0,
            held: HashMap::new(),
            ranks: BTreeSet::new(),
        }
    }

    /// The handshake keeps so many bytes of messages that are not whole, and its engine so many datagrams.
    pub(super) fn set(
        &mut self,
        id: SessionId,
        unproven: bool,
        gathered: usize,
        datagrams: usize,
        queued: usize,
    ) {
        self.clear(id);
        let bytes = gathered + datagrams * DATAGRAM + queued * BYTE;
        if bytes == 0 {
            return;
        }
        let held = Held { unproven, bytes };
        self.total += held.bytes;
        self.held.insert(id, held);
        self.ranks.insert(rank(id, held));
    }

    /// The handshake is no more half open.
    pub(super) fn forget(&mut self, id: SessionId) {
        self.clear(id);
    }

    fn clear(&mut self, id: SessionId) {
        if let Some(held) = self.held.remove(&id) {
            self.total = self.total.saturating_sub(held.bytes);
            self.ranks.remove(&rank(id, held));
        }
    }

    /// Who must go, if all together track_buffered more than is allowed.
    pub(super) fn who_gives_way(&self) -> Option<SessionId> {
        let (_, _, Reverse(id)) = self.ranks.last()?;
        (self.total > self.allowance).then_some(*id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: usize = LEAST / DATAGRAM;

    fn with(each: impl Fn(u64) -> (bool, usize)) -> BufferedBytes {
        let mut holdings = BufferedBytes::new(1);
        for id in 0..10 {
            let (unproven, datagrams) = each(id);
            holdings.set(SessionId(id), unproven, 0, datagrams, 0);
        }
        holdings
    }

    #[test]
    fn who_holds_most_gives_way_and_an_unproven_one_before_a_proven_one() {
        let lone = with(|id| (true, if id == 7 { ALLOWED } else { 1 }));
        assert_eq!(lone.who_gives_way(), Some(SessionId(7)));
        let proven = with(|id| (id == 3, if id == 7 { ALLOWED } else { 1 }));
        assert_eq!(proven.who_gives_way(), Some(SessionId(3)));
        let even = with(|_| (true, ALLOWED));
        assert_eq!(even.who_gives_way(), Some(SessionId(0)));
    }

    #[test]
    fn nobody_gives_way_while_there_is_room_or_when_there_is_again() {
        let mut holdings = with(|_| (true, 2));
        assert_eq!(holdings.who_gives_way(), None);
        holdings.set(SessionId(3), false, LEAST, 0, 0);
        assert!(holdings.who_gives_way().is_some());
        holdings.forget(SessionId(3));
        assert_eq!(holdings.who_gives_way(), None);
        for id in 0..10 {
            holdings.forget(SessionId(id));
        }
        assert_eq!((holdings.total, holdings.held.len()), (0, 0));
    }
}
