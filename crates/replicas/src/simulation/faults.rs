//! What goes wrong.

use super::world::World;
use crate::model::Model;
use std::time::{Duration, Instant};

/// A fault.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// A node is killed.
    Kill,
    /// A node is stopped orderly.
    Stop,
    /// A node starts.
    Start,
    /// This node can't reach the store.
    CutStore(usize, Duration),
    /// These two nodes can't reach one another.
    CutNodes(usize, usize, Duration),
    /// This node does nothing for a while.
    Stall(usize, Duration),
    /// No node can reach the store.
    StoreAway(Duration),
    /// The store runs anew, with all that it had.
    StoreRestarts,
    /// The store runs anew, with what it had some time ago.
    StoreFallsBack,
    /// The store runs anew, with nothing.
    StoreIsEmptied,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Kill,
    Stop,
    Start,
    CutStore,
    CutNodes,
    Stall,
    StoreAway,
    StoreRestarts,
    StoreFallsBack,
    StoreIsEmptied,
}

impl Kind {
    pub(super) const ALL: &[Kind] = &[
        Kind::Kill,
        Kind::Stop,
        Kind::Start,
        Kind::CutStore,
        Kind::CutNodes,
        Kind::Stall,
        Kind::StoreAway,
        Kind::StoreRestarts,
        Kind::StoreFallsBack,
        Kind::StoreIsEmptied,
    ];
    pub(super) const ALL_THAT_REMEMBER: &[Kind] = &[
        Kind::Kill,
        Kind::Stop,
        Kind::Start,
        Kind::CutStore,
        Kind::CutNodes,
        Kind::Stall,
        Kind::StoreAway,
        Kind::StoreRestarts,
    ];

    /// Whether the store loses something.
    pub(super) fn forgets(self) -> bool {
        matches!(self, Kind::StoreFallsBack | Kind::StoreIsEmptied)
    }
}

impl World {
    /// A fault of this kind, at a node at random.
    pub(super) fn fault(&mut self, kind: Kind) -> Option<Fault> {
        let length = Duration::from_millis(self.random.u64(100..9_000));
        let alive = self.alive();
        let one = (!alive.is_empty()).then(|| alive[self.random.usize(..alive.len())]);
        Some(match kind {
            Kind::Kill if alive.len() > 1 => Fault::Kill,
            Kind::Stop if alive.len() > 1 => Fault::Stop,
            Kind::Start if alive.len() < 5 => Fault::Start,
            Kind::CutStore => Fault::CutStore(one?, length),
            Kind::CutNodes => {
                let other = alive[self.random.usize(..alive.len())];
                Fault::CutNodes(one?, other, length)
            }
            Kind::Stall => Fault::Stall(one?, length / 2),
            Kind::StoreAway => Fault::StoreAway(length),
            Kind::StoreRestarts => Fault::StoreRestarts,
            Kind::StoreFallsBack => Fault::StoreFallsBack,
            Kind::StoreIsEmptied => Fault::StoreIsEmptied,
            Kind::Kill | Kind::Stop | Kind::Start => return None,
        })
    }

    pub(super) fn apply(&mut self, fault: Fault) {
        let alive = self.alive();
        let one = alive.get(self.random.usize(..alive.len().max(1))).copied();
        match fault {
            Fault::Kill => {
                if let Some(node) = one {
                    self.kill(node);
                }
            }
            Fault::Stop => {
                if let Some(node) = one {
                    self.stop(node);
                }
            }
            Fault::Start => self.start_node(),
            Fault::CutStore(node, length) => {
                self.cut_store(node, self.now + length);
            }
            Fault::CutNodes(a, b, length) => {
                let until = self.now + length;
                self.nodes_cut.insert((a.min(b), a.max(b)), until);
            }
            Fault::Stall(node, length) => self.gateways[node].stalled_until = self.now + length,
            Fault::StoreAway(length) => {
                let until = self.now + length;
                for node in 0..self.gateways.len() {
                    self.cut_store(node, until);
                }
                self.store_away_until = until.max(self.store_away_until);
            }
            Fault::StoreRestarts => self.restart_store(None),
            Fault::StoreFallsBack => {
                let past = self.random.usize(..self.past.len().max(1));
                let past = self.past.get(past).cloned();
                self.restart_store(past);
            }
            Fault::StoreIsEmptied => {
                let id = self.random.u64(1..);
                self.restart_store(Some(Model::new(self.begin, id)));
            }
        }
    }

    fn cut_store(&mut self, node: usize, until: Instant) {
        let cut = self.store_cut.entry(node).or_insert(until);
        *cut = until.max(*cut);
        self.gateways[node].connection += 1;
    }

    fn restart_store(&mut self, store: Option<Model>) {
        if let Some(store) = store {
            self.store = store;
            // To fall back takes a while.
            self.apply(Fault::StoreAway(Duration::from_millis(2_100)));
        }
        self.store.restart(self.random.u64(2..));
        for gateway in &mut self.gateways {
            gateway.connection += 1;
        }
    }
}
