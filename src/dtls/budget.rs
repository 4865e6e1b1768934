//! How much handshaking strangers may cause.

use super::session::SessionId;
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// At most `rate` a second, bursts up to as many.
#[derive(Debug)]
pub struct Budget {
    rate: u32,
    left: f64,
    refilled: Option<Instant>,
}

impl Budget {
    /// A full budget.
    pub fn new(rate: u32) -> Budget {
        Budget {
            rate,
            left: f64::from(rate),
            refilled: None,
        }
    }

    /// Whether there is something left.
    pub fn has(&mut self, now: Instant) -> bool {
        let rate = f64::from(self.rate);
        let passed = self
            .refilled
            .map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        self.refilled = Some(now);
        self.left = (self.left + passed.as_secs_f64() * rate).min(rate);
        self.left >= 1.0
    }

    /// Takes one; false if nothing is left.
    pub fn take(&mut self, now: Instant) -> bool {
        let enough = self.has(now);
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

/// Handshakes of each proven source address in the current second. Only proven addresses are ever
/// counted, so a forger can't use up another's share, nor fill the table.
#[derive(Debug)]
pub struct PerAddress {
    limit: u32,
    second: Option<Instant>,
    counts: HashMap<IpAddr, u32>,
}

impl PerAddress {
    /// At most `limit` a second for each address.
    pub fn new(limit: u32) -> PerAddress {
        PerAddress {
            limit,
            second: None,
            counts: HashMap::new(),
        }
    }

    /// Whether the address has had its share of this second.
    pub fn is_exhausted(&mut self, now: Instant, address: IpAddr) -> bool {
        self.turn(now);
        let count = self.counts.get(&source(address)).copied();
        count.unwrap_or_default() >= self.limit
    }

    /// Counts one handshake of a proven address.
    pub fn count(&mut self, now: Instant, address: IpAddr) {
        self.turn(now);
        let count = self.counts.entry(source(address)).or_default();
        *count = count.saturating_add(1);
    }

    fn turn(&mut self, now: Instant) {
        let current = self
            .second
            .is_some_and(|second| now.saturating_duration_since(second) < SECOND);
        if !current {
            self.second = Some(now);
            self.counts = HashMap::new();
        }
    }
}

/// Proven handshakes under way, by the source that holds them.
#[derive(Debug, Default)]
pub struct ProvenBySource {
    /// Oldest first.
    by_source: HashMap<IpAddr, VecDeque<SessionId>>,
    count: usize,
}

impl ProvenBySource {
    /// A source has one more.
    pub fn add(&mut self, address: IpAddr, id: SessionId) {
        let held = self.by_source.entry(source(address)).or_default();
        held.push_back(id);
        self.count += 1;
    }

    /// One is over, whichever way.
    pub fn remove(&mut self, address: IpAddr, id: SessionId) {
        let source = source(address);
        let Some(held) = self.by_source.get_mut(&source) else {
            return;
        };
        if let Some(at) = held.iter().position(|other| *other == id) {
            held.remove(at);
            self.count -= 1;
        }
        if held.is_empty() {
            self.by_source.remove(&source);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many a source has.
    pub fn held_by(&self, address: IpAddr) -> usize {
        (self.by_source.get(&source(address))).map_or(0, VecDeque::len)
    }

    /// The oldest of the source that holds most, and how many that are: whose turn it is to make room.
    pub fn oldest_of_the_greediest(&self) -> Option<(SessionId, usize)> {
        let oldest = |held: &VecDeque<SessionId>| Some((held.len(), Reverse(*held.front()?)));
        let greediest = self.by_source.values().filter_map(oldest).max();
        greediest.map(|(held, Reverse(id))| (id, held))
    }
}

/// What counts as one source: an IPv4 address, or the /64 that one IPv6 host commands.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(prefix.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    #[test]
    fn a_budget_is_spent_and_refills_with_time() {
        let (mut budget, now) = (Budget::new(10), start());
        assert_eq!((0..50).filter(|_| budget.take(now)).count(), 10);
        let later = now + Duration::from_millis(300);
        assert_eq!((0..50).filter(|_| budget.take(later)).count(), 3);
        let much_later = now + Duration::from_secs(60);
        assert_eq!((0..50).filter(|_| budget.take(much_later)).count(), 10);
    }

    #[test]
    fn each_address_has_its_own_share_of_every_second() {
        let (mut share, now) = (PerAddress::new(2), start());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        for _ in 0..2 {
            assert!(!share.is_exhausted(now, one));
            share.count(now, one);
        }
        assert!(share.is_exhausted(now, one));
        assert!(!share.is_exhausted(now, other));
        assert!(!share.is_exhausted(now + SECOND, one));
    }

    #[test]
    fn room_is_made_by_the_source_that_holds_most_and_then_by_the_oldest() {
        let mut held = ProvenBySource::default();
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        held.add(one, SessionId(1));
        held.add(other, SessionId(2));
        assert_eq!(held.oldest_of_the_greediest(), Some((SessionId(1), 1)));
        held.add(other, SessionId(3));
        assert_eq!(held.oldest_of_the_greediest(), Some((SessionId(2), 2)));
        held.remove(other, SessionId(2));
        held.remove(other, SessionId(2));
        assert_eq!((held.count(), held.by_source.len()), (2, 2));
        held.remove(one, SessionId(1));
        held.remove(other, SessionId(3));
        assert!(held.by_source.is_empty() && held.oldest_of_the_greediest().is_none());
    }

    #[test]
    fn an_ipv6_host_is_its_64_bit_prefix_and_a_mapped_ipv4_address_itself() {
        let address = |text: &str| source(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }
}
