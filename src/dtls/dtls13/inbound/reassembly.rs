//! Reassembles a handshake message from its fragments (RFC 6347 §4.2.3), outside the engine.
//!
//! Fragments may overlap, repeat and come in any order. They are not authenticated: if two contradict each other, one is
//! forged, and it is unknown which. Then the older data is discarded and the new fragment kept: the client repeats its
//! flight, and a single forged datagram does no lasting harm.

use super::pieces::Fragment;

/// Most disjoint ranges: an honest client causes few gaps.
const MAX_RANGES: usize = 64;

#[derive(Debug)]
pub(in crate::dtls) struct Reassembly {
    kind: u8,
    message: u16,
    total: usize,
    bytes: Vec<u8>,
    /// The ranges received: ascending, neither overlapping nor adjacent.
    ranges: Vec<(usize, usize)>,
}

impl Reassembly {
    fn new(fragment: &Fragment<'_>) -> Reassembly {
        let mut reassembly = Reassembly {
            kind: fragment.kind,
            message: fragment.message,
            total: fragment.total,
            bytes: Vec::new(),
            ranges: Vec::new(),
        };
        reassembly.put(fragment);
        reassembly
    }

    /// Adds a fragment. Returns the message if it is complete now. The caller has checked the message's length.
    pub(in crate::dtls) fn add(
        place: &mut Option<Reassembly>,
        fragment: &Fragment<'_>,
    ) -> Option<Vec<u8>> {
        // An unfragmented message needs no fragments, some of which may be forged.
        if fragment.is_whole() {
            *place = None;
            return Some(fragment.bytes.to_vec());
        }
        if fragment.bytes.is_empty() {
            return None;
        }
        match place {
            Some(reassembly) if reassembly.agrees_with(fragment) => reassembly.put(fragment),
            Some(_) | None => *place = Some(Reassembly::new(fragment)),
        }
        let is_whole = |reassembly: &mut Reassembly| reassembly.ranges == [(0, reassembly.total)];
        place.take_if(is_whole).map(|reassembly| reassembly.bytes)
    }

    /// Bytes of memory that it uses.
    pub(in crate::dtls) fn held(&self) -> usize {
        self.bytes.capacity() + self.ranges.capacity() * size_of::<(usize, usize)>()
    }

    fn agrees_with(&self, fragment: &Fragment<'_>) -> bool {
        let (start, end) = (fragment.offset, fragment.offset + fragment.bytes.len());
        (self.kind, self.message, self.total) == (fragment.kind, fragment.message, fragment.total)
            && self.ranges.len() < MAX_RANGES
            && self.ranges.iter().all(|(from, to)| {
                let (from, to) = (start.max(*from), end.min(*to));
                from >= to
                    || self.bytes.get(from..to) == fragment.bytes.get(from - start..to - start)
            })
    }

    fn put(&mut self, fragment: &Fragment<'_>) {
        let (mut start, mut end) = (fragment.offset, fragment.offset + fragment.bytes.len());
        if self.bytes.len() < end {
            // Grows by doubling, as a vector does by itself, but never beyond the message.
            let length = self.bytes.len().saturating_mul(2).clamp(end, self.total);
            self.bytes.reserve_exact(length - self.bytes.len());
            self.bytes.resize(end, 0);
        }
        if let Some(there) = self.bytes.get_mut(start..end) {
            there.copy_from_slice(fragment.bytes);
        }
        self.ranges.retain(|(from, to)| {
            let is_apart = end < *from || *to < start;
            if !is_apart {
                (start, end) = (start.min(*from), end.max(*to));
            }
            is_apart
        });
        let at = self.ranges.partition_point(|(from, _)| *from < start);
        self.ranges.insert(at, (start, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"one whole message";

    fn fragment(range: std::ops::Range<usize>) -> Fragment<'static> {
        Fragment {
            kind: 11,
            total: MESSAGE.len(),
            message: 2,
            offset: range.start,
            bytes: &MESSAGE[range],
        }
    }

    #[test]
    fn fragments_may_overlap_repeat_and_be_reordered() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let mut place = None;
            let mut seen = [false; MESSAGE.len()];
            let whole = loop {
                let start = rng.usize(..MESSAGE.len());
                let end = rng.usize(start..=MESSAGE.len());
                if start == 0 && end == MESSAGE.len() {
                    continue;
                }
                seen[start..end].fill(true);
                if let Some(whole) = Reassembly::add(&mut place, &fragment(start..end)) {
                    break whole;
                }
                assert!(seen.contains(&false), "all bytes were added");
            };
            assert_eq!((whole.as_slice(), seen.contains(&false)), (MESSAGE, false));
            assert!(place.is_none());
        }
    }

    #[test]
    fn a_contradicting_fragment_costs_one_repetition_of_the_flight() {
        let forged = [
            Fragment {
                bytes: b"xx",
                ..fragment(3..5)
            },
            Fragment {
                total: 40,
                ..fragment(3..5)
            },
            Fragment {
                kind: 20,
                ..fragment(0..5)
            },
        ];
        let flight = [fragment(0..9), fragment(9..MESSAGE.len())];
        for (forged, at) in forged.iter().flat_map(|forged| [(forged, 0), (forged, 1)]) {
            let mut place = None;
            let mut sent = flight.to_vec();
            sent.insert(at, *forged);
            sent.extend(flight);
            let whole = sent
                .iter()
                .find_map(|fragment| Reassembly::add(&mut place, fragment));
            assert_eq!(whole.as_deref(), Some(MESSAGE), "{forged:?} at {at}");
        }
    }

    #[test]
    fn fragments_with_gaps_are_bounded() {
        let mut place = None;
        let bytes = [1];
        for offset in 0..8000 {
            let fragment = Fragment {
                kind: 11,
                total: 16_000,
                message: 2,
                offset: offset * 2,
                bytes: &bytes,
            };
            assert_eq!(Reassembly::add(&mut place, &fragment), None);
            assert!(place.as_ref().unwrap().ranges.len() <= MAX_RANGES);
            assert!(place.as_ref().unwrap().held() < 18_100);
        }
    }

    #[test]
    fn an_empty_fragment_is_ignored() {
        let mut place = None;
        Reassembly::add(&mut place, &fragment(0..9));
        assert_eq!(Reassembly::add(&mut place, &fragment(0..0)), None);
        assert!(Reassembly::add(&mut place, &fragment(9..MESSAGE.len())).is_some());
    }
}
