//! Values by source host and network: which host has the next turn, and which holds most.

use super::source::network;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

/// By number of places; of equals, the one that has waited longest for its turn is last.
type ByCount = BTreeSet<(usize, Reverse<u64>, IpAddr)>;

/// The places that hosts hold, by host and network (see [`source`](super::source)).
///
/// Networks take turns, and within a network its hosts do. The largest holder is the largest host
/// of the largest network: a peer with many addresses of one network has the share of one network.
///
/// Hosts are identified by [`host`](super::source::host). Removing a place from the middle searches
/// those of its host one by one, so another bound must keep them few.
#[derive(Debug)]
pub struct SourcePlaces<P> {
    hosts: HashMap<IpAddr, Host<P>>,
    networks: HashMap<IpAddr, Network>,
    turns: BTreeSet<(u64, IpAddr)>,
    by_count: ByCount,
    last_turn: u64,
    count: usize,
}

/// Places of one host, oldest first.
#[derive(Debug)]
struct Host<P> {
    turn: u64,
    places: VecDeque<P>,
}

/// The hosts of one network that hold places.
#[derive(Debug, Default)]
struct Network {
    turn: u64,
    count: usize,
    turns: BTreeSet<(u64, IpAddr)>,
    by_count: ByCount,
}

impl<P> Default for SourcePlaces<P> {
    /// Without holders.
    fn default() -> SourcePlaces<P> {
        SourcePlaces {
            hosts: HashMap::new(),
            networks: HashMap::new(),
            turns: BTreeSet::new(),
            by_count: BTreeSet::new(),
            last_turn: 0,
            count: 0,
        }
    }
}

impl<P: PartialEq> SourcePlaces<P> {
    /// Adds a place of a host. If it held none, its turn comes after those of all others.
    pub fn add(&mut self, host: IpAddr, place: P) {
        let turn = self.last_turn.wrapping_add(1);
        self.last_turn = turn;
        let entry = self.hosts.entry(host).or_insert_with(|| Host {
            turn,
            // Most hosts hold one place.
            places: VecDeque::with_capacity(1),
        });
        entry.places.push_back(place);
        let (turn, held) = (entry.turn, entry.places.len());
        self.recount(host, turn, held - 1, held);
        self.count += 1;
    }

    /// Removes a place of a host. Returns whether there was one.
    pub fn remove(&mut self, host: IpAddr, place: &P) -> bool {
        let found = self.hosts.get(&host).and_then(|entry| {
            let mut places = entry.places.iter();
            places.position(|other| other == place)
        });
        found.is_some_and(|at| self.take(host, |places| places.remove(at)).is_some())
    }

    /// Removes the oldest place of a host.
    pub fn pop_oldest(&mut self, host: IpAddr) -> Option<P> {
        self.take(host, VecDeque::pop_front)
    }

    /// Removes the newest place of a host.
    pub fn pop_newest(&mut self, host: IpAddr) -> Option<P> {
        self.take(host, VecDeque::pop_back)
    }

    fn take(
        &mut self,
        host: IpAddr,
        which: impl FnOnce(&mut VecDeque<P>) -> Option<P>,
    ) -> Option<P> {
        let entry = self.hosts.get_mut(&host)?;
        let taken = which(&mut entry.places)?;
        let (turn, held) = (entry.turn, entry.places.len());
        if held == 0 {
            self.hosts.remove(&host);
        }
        self.recount(host, turn, held + 1, held);
        self.count -= 1;
        Some(taken)
    }

    /// Updates the orders after a host's number of places has changed.
    fn recount(&mut self, host: IpAddr, turn: u64, before: usize, after: usize) {
        let name = network(host);
        let entry = self.networks.entry(name).or_default();
        if entry.count == 0 {
            entry.turn = turn;
            self.turns.insert((turn, name));
        } else {
            let counted = (entry.count, Reverse(entry.turn), name);
            self.by_count.remove(&counted);
        }
        entry.count = entry.count.saturating_add(after).saturating_sub(before);
        entry.by_count.remove(&(before, Reverse(turn), host));
        if after > 0 {
            entry.by_count.insert((after, Reverse(turn), host));
            entry.turns.insert((turn, host));
        } else {
            entry.turns.remove(&(turn, host));
        }
        if entry.count > 0 {
            let counted = (entry.count, Reverse(entry.turn), name);
            self.by_count.insert(counted);
        } else {
            self.turns.remove(&(entry.turn, name));
            self.networks.remove(&name);
        }
    }

    /// The host that has the next turn: the first of the first network.
    pub fn next(&self) -> Option<IpAddr> {
        let (_, network) = self.turns.first()?;
        let (_, host) = self.networks.get(network)?.turns.first()?;
        Some(*host)
    }

    /// Ends the turn of a host and its network, which move behind the others.
    pub fn end_turn(&mut self, host: IpAddr) {
        let name = network(host);
        let Some(entry) = self.networks.get_mut(&name) else {
            return;
        };
        let turn = self.last_turn.wrapping_add(1);
        self.last_turn = turn;
        self.turns.remove(&(entry.turn, name));
        (self.by_count).remove(&(entry.count, Reverse(entry.turn), name));
        entry.turn = turn;
        self.turns.insert((turn, name));
        (self.by_count).insert((entry.count, Reverse(turn), name));
        if let Some(own) = self.hosts.get_mut(&host) {
            let held = own.places.len();
            entry.turns.remove(&(own.turn, host));
            (entry.by_count).remove(&(held, Reverse(own.turn), host));
            own.turn = turn;
            entry.turns.insert((turn, host));
            (entry.by_count).insert((held, Reverse(turn), host));
        }
    }

    /// The network with the most places, and their number.
    pub fn largest_network(&self) -> Option<(IpAddr, usize)> {
        self.by_count.last().map(|(count, _, name)| (*name, *count))
    }

    /// The host with the most places of this network, and their number.
    pub fn largest_host(&self, network: IpAddr) -> Option<(IpAddr, usize)> {
        let (count, _, host) = self.networks.get(&network)?.by_count.last()?;
        Some((*host, *count))
    }

    /// The largest host of the largest network.
    pub fn largest(&self) -> Option<IpAddr> {
        let (network, _) = self.largest_network()?;
        self.largest_host(network).map(|(host, _)| host)
    }

    /// The oldest place of a host.
    pub fn oldest(&self, host: IpAddr) -> Option<&P> {
        self.hosts.get(&host)?.places.front()
    }

    /// Places held by this host.
    pub fn held_by_host(&self, host: IpAddr) -> usize {
        self.hosts.get(&host).map_or(0, |entry| entry.places.len())
    }

    /// Places held by the hosts of this network.
    pub fn held_by_network(&self, network: IpAddr) -> usize {
        self.networks.get(&network).map_or(0, |entry| entry.count)
    }

    /// Places held by all.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Hosts that hold something.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn with(places: &[(&str, u32)]) -> SourcePlaces<u32> {
        let mut all = SourcePlaces::default();
        for (name, place) in places {
            all.add(host(name), *place);
        }
        all
    }

    fn in_turn(all: &mut SourcePlaces<u32>) -> Vec<u32> {
        std::iter::from_fn(|| {
            let host = all.next()?;
            let place = all.pop_oldest(host);
            all.end_turn(host);
            place
        })
        .collect()
    }

    #[test]
    fn networks_take_turns_and_so_do_the_hosts_of_each() {
        let mut all = with(&[
            ("10.1.0.1", 1),
            ("10.1.0.1", 2),
            ("10.1.0.2", 3),
            ("10.1.0.3", 4),
            ("10.2.0.1", 5),
            ("2001:db8::", 6),
            ("2001:db8:0:1::", 7),
        ]);
        assert_eq!((all.count(), all.hosts()), (7, 6));
        assert_eq!(in_turn(&mut all), [1, 5, 6, 3, 7, 4, 2]);
        assert!(all.networks.is_empty() && all.hosts.is_empty());
        assert!(all.turns.is_empty() && all.by_count.is_empty());
        assert_eq!((all.count(), all.next(), all.largest()), (0, None, None));
    }

    #[test]
    fn twelve_thousand_hosts_of_one_network_have_one_networks_turns() {
        let mut all = SourcePlaces::default();
        for number in 0..12_000_u16 {
            let [high, low] = number.to_be_bytes();
            all.add(IpAddr::from([10, 1, high, low]), u32::from(number));
        }
        all.add(host("10.2.0.1"), 70_000);
        all.add(host("10.3.0.1"), 80_000);
        let first: Vec<_> = in_turn(&mut all).into_iter().take(4).collect();
        assert_eq!(first, [0, 70_000, 80_000, 1]);
    }

    #[test]
    fn the_largest_holder_is_the_largest_host_of_the_largest_network() {
        let mut all = with(&[
            ("10.1.0.1", 1),
            ("10.1.0.2", 2),
            ("10.1.0.2", 3),
            ("10.1.0.3", 4),
            ("10.2.0.1", 5),
            ("10.2.0.1", 6),
            ("10.2.0.1", 7),
        ]);
        assert_eq!(all.largest_network(), Some((host("10.1.0.0"), 4)));
        assert_eq!(all.largest(), Some(host("10.1.0.2")));
        assert_eq!(all.oldest(host("10.1.0.2")), Some(&2));
        assert_eq!(all.pop_newest(host("10.1.0.2")), Some(3));
        assert!(all.remove(host("10.1.0.1"), &1) && !all.remove(host("10.1.0.1"), &1));
        assert_eq!(all.largest(), Some(host("10.2.0.1")));
        assert_eq!(all.held_by_host(host("10.2.0.1")), 3);
        assert_eq!(all.held_by_network(host("10.1.0.0")), 2);
        assert!(all.remove(host("10.2.0.1"), &6));
        assert_eq!(in_turn(&mut all), [2, 5, 4, 7]);
    }

    #[test]
    fn of_equal_holders_the_oldest_counts_as_the_largest() {
        let mut all = with(&[("10.9.0.1", 1), ("10.1.0.2", 2), ("10.1.0.1", 3)]);
        all.add(host("10.9.0.2"), 4);
        assert_eq!(all.largest(), Some(host("10.9.0.1")));
        all.pop_oldest(host("10.9.0.1"));
        assert_eq!(all.largest(), Some(host("10.1.0.2")));
        all.end_turn(host("10.1.0.2"));
        assert_eq!(all.largest(), Some(host("10.1.0.1")));
    }

    #[test]
    fn a_host_that_has_had_its_turn_is_after_the_others() {
        let mut all = with(&[("10.1.0.1", 1), ("10.2.0.1", 2), ("10.2.0.2", 3)]);
        all.end_turn(host("10.1.0.1"));
        all.end_turn(host("192.0.2.1"));
        assert_eq!(all.next(), Some(host("10.2.0.1")));
        all.end_turn(host("10.2.0.1"));
        assert_eq!(in_turn(&mut all), [1, 3, 2]);
    }
}
