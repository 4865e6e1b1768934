//! Which node owns which session of others, as the store said last.

use crate::id::{Name, Owner};
use std::collections::HashMap;

/// A bounded table in two halves: when the younger one is full, the older one goes.
#[derive(Debug)]
pub(crate) struct Routes {
    half: usize,
    young: HashMap<Name, Owner>,
    old: HashMap<Name, Owner>,
}

impl Routes {
    pub(crate) fn new(max: usize) -> Routes {
        Routes {
            half: (max / 2).max(1),
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    pub(crate) fn insert(&mut self, name: Name, owner: Owner) {
        if self.young.len() >= self.half && !self.young.contains_key(&name) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, owner);
    }

    pub(crate) fn get(&mut self, name: Name) -> Option<Owner> {
        if let Some(owner) = self.young.get(&name) {
            return Some(*owner);
        }
        let owner = self.old.remove(&name)?;
        self.insert(name, owner);
        Some(owner)
    }

    pub(crate) fn remove(&mut self, name: Name) {
        self.young.remove(&name);
        self.old.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Node, SessionKey};

    #[test]
    fn the_table_is_bounded_and_what_is_used_stays() {
        let name = |n: u8| Name::Session(SessionKey([n; 8]));
        let owner = Owner {
            node: Node(1),
            fence: 1,
        };
        let mut routes = Routes::new(8);
        for n in 0..100 {
            routes.insert(name(n), owner);
            assert_eq!(routes.get(name(0)), Some(owner));
            assert!(routes.young.len() + routes.old.len() <= 8);
        }
        assert_eq!(routes.get(name(50)), None);
        routes.remove(name(0));
        assert_eq!(routes.get(name(0)), None);
    }
}
