//! The addresses at which a session without connection ID may be.
//!
//! A record without connection ID names its session by nothing but the address that it comes from, and anyone can forge that.
//! So that such a datagram costs no call of the store, each node knows all addresses under which a session is stored, by
//! their names of eight bytes. The store gives them out with each renewal of a lease.

use crate::id::AddressKey;
use std::collections::HashSet;

/// Addresses that may have a session.
#[derive(Debug)]
pub(crate) struct KnownAddresses {
    max: usize,
    known: HashSet<AddressKey>,
    /// How far the store's list was read.
    seen: u64,
    /// In which run of the store. `None`: not at all.
    run: Option<u64>,
}

impl KnownAddresses {
    pub(crate) fn new(max: usize) -> KnownAddresses {
        KnownAddresses {
            max,
            known: HashSet::new(),
            seen: 0,
            run: None,
        }
    }

    pub(crate) const fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether the list that was read is that of another run of the store. Then all is forgotten, to be read from the start.
    pub(crate) fn is_of_another(&mut self, run: u64) -> bool {
        let is_other = self.run.is_some_and(|other| other != run);
        if is_other {
            self.known.clear();
            self.seen = 0;
        }
        self.run = Some(run);
        is_other
    }

    /// Adds what the store has sent. Returns how many found no place.
    pub(crate) fn add(&mut self, addresses: &[AddressKey], seen: u64) -> u64 {
        let mut refused = 0;
        for address in addresses {
            if self.known.len() < self.max {
                self.known.insert(*address);
            } else if !self.known.contains(address) {
                refused += 1;
            }
        }
        self.seen = seen;
        refused
    }

    pub(crate) fn contains(&self, address: AddressKey) -> bool {
        self.known.contains(&address)
    }

    /// The store has no session there.
    pub(crate) fn remove(&mut self, address: AddressKey) {
        self.known.remove(&address);
    }
}
