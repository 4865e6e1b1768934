//! What is kept of a client's certificates, to verify them again after trust anchors or revocation lists have changed.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// A client's certificate and the intermediates of its path, DER. Sessions with the same intermediates share them. Cheap to
/// clone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ClientChain(Arc<Kept>);

#[derive(PartialEq, Eq)]
struct Kept {
    leaf: Box<[u8]>,
    /// `None`: it has none. Only the intermediates that the client has sent.
    intermediates: Option<Arc<Vec<Vec<u8>>>>,
}

impl ClientChain {
    /// The client's own certificate.
    pub(crate) fn leaf(&self) -> &[u8] {
        &self.0.leaf
    }

    /// The client's own certificate. It is not copied if nothing else has this chain.
    pub(crate) fn into_leaf(self) -> Vec<u8> {
        match Arc::try_unwrap(self.0) {
            Ok(kept) => kept.leaf.into_vec(),
            Err(shared) => shared.leaf.to_vec(),
        }
    }

    /// All of its certificates, its own first, for [`ClientPolicy::verify`](super::ClientPolicy::verify) and
    /// [`reverify`](super::ClientPolicy::reverify).
    pub(crate) fn certificates(&self) -> Vec<&[u8]> {
        let intermediates = self.0.intermediates.iter().flat_map(|all| all.iter());
        std::iter::once(self.leaf())
            .chain(intermediates.map(Vec::as_slice))
            .collect()
    }
}

impl fmt::Debug for ClientChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let intermediates = self.0.intermediates.as_ref().map_or(0, |all| all.len());
        f.debug_struct("ClientChain")
            .field("intermediates", &intermediates)
            .finish_non_exhaustive()
    }
}

/// The intermediates of all kept chains, each list once.
#[derive(Debug)]
pub(crate) struct SharedIntermediates {
    lists: HashSet<Arc<Vec<Vec<u8>>>>,
    /// The number of lists at which those that no chain has are removed.
    remove_unused_at: usize,
}

/// Below this many lists, unused ones are not worth a search.
const FEW: usize = 16;

impl Default for SharedIntermediates {
    fn default() -> SharedIntermediates {
        SharedIntermediates {
            lists: HashSet::new(),
            remove_unused_at: FEW,
        }
    }
}

impl SharedIntermediates {
    /// Keeps a path that [`ClientPolicy::verify`](super::ClientPolicy::verify) has returned. `None`: it is empty.
    pub(crate) fn keep(&mut self, path: Vec<Vec<u8>>) -> Option<ClientChain> {
        let mut path = path.into_iter();
        let leaf = path.next()?.into_boxed_slice();
        let intermediates: Vec<Vec<u8>> = path.collect();
        let intermediates = (!intermediates.is_empty()).then(|| self.share(intermediates));
        let kept = Kept {
            leaf,
            intermediates,
        };
        Some(ClientChain(Arc::new(kept)))
    }

    fn share(&mut self, list: Vec<Vec<u8>>) -> Arc<Vec<Vec<u8>>> {
        if let Some(shared) = self.lists.get(&list) {
            return shared.clone();
        }
        if self.lists.len() >= self.remove_unused_at {
            self.lists.retain(|list| Arc::strong_count(list) > 1);
            self.remove_unused_at = self.lists.len().saturating_mul(2).max(FEW);
        }
        let shared = Arc::new(list);
        self.lists.insert(shared.clone());
        shared
    }

    /// The number of lists.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_share_their_intermediates_and_unused_lists_are_removed() {
        let mut shared = SharedIntermediates::default();
        let path = |path: &[&[u8]]| path.iter().map(|der| der.to_vec()).collect();
        assert_eq!(shared.keep(vec![]), None);
        let alone = shared.keep(path(&[b"leaf"])).unwrap();
        assert_eq!(alone.certificates(), [b"leaf"]);
        assert_eq!(alone.into_leaf(), b"leaf");
        assert_eq!(shared.len(), 0);
        let one = path(&[b"one", b"issuer", b"its issuer"]);
        let one = shared.keep(one).unwrap();
        let two = path(&[b"two", b"issuer", b"its issuer"]);
        let two = shared.keep(two).unwrap();
        let wanted: [&[u8]; 3] = [b"two", b"issuer", b"its issuer"];
        assert_eq!(two.certificates(), wanted);
        assert_eq!(two.clone().into_leaf(), b"two");
        let lists = [&one, &two].map(|chain| chain.0.intermediates.as_ref().unwrap());
        assert!(Arc::ptr_eq(lists[0], lists[1]));
        for number in 0..1000_u32 {
            drop(shared.keep(path(&[b"leaf", &number.to_be_bytes()])));
            assert!(shared.len() <= FEW, "{}", shared.len());
        }
        let three = path(&[b"three", b"issuer", b"its issuer"]);
        let three = shared.keep(three).unwrap();
        assert!(three.0.intermediates == one.0.intermediates);
    }

    #[test]
    fn a_chain_is_small() {
        assert!(size_of::<Option<ClientChain>>() <= 8);
    }
}
