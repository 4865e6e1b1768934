//! ClientHellos of DTLS 1.2 in fragments, of which the first has returned a valid cookie, until the others have come.

use crate::dtls::path::Path;
use dtls_server::cookie::{FragmentedHello, VerifiedHello};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long the fragments may take. A client sends them one after the other, and all again after a second.
const LIFETIME: Duration = Duration::from_secs(10);

/// The hellos, at most one for each path. Each takes less than 8 KiB.
#[derive(Debug)]
pub(super) struct FragmentedHellos {
    most: usize,
    by_path: HashMap<Path, Entry>,
    /// Oldest first. May contain entries that have gone.
    order: VecDeque<(Instant, Path)>,
}

#[derive(Debug)]
struct Entry {
    hello: FragmentedHello,
    random: [u8; 32],
    since: Instant,
}

impl FragmentedHellos {
    /// For at most `handshakes` half-open handshakes: a tenth as many.
    pub(super) fn new(handshakes: usize) -> FragmentedHellos {
        FragmentedHellos {
            most: (handshakes / 10).max(1),
            by_path: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Adds a hello, in place of the one of the same path if that is another. The oldest one gives way if there is no room.
    /// Whether it was added: the same one is there already otherwise.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        path: Path,
        random: [u8; 32],
        hello: FragmentedHello,
    ) -> bool {
        self.remove_expired(now);
        let same = self.by_path.get(&path);
        if same.is_some_and(|entry| entry.random == random) {
            return false;
        }
        self.by_path.remove(&path);
        while self.by_path.len() >= self.most
            && let Some((since, oldest)) = self.order.pop_front()
        {
            self.remove_if(oldest, since);
        }
        let since = now;
        let entry = Entry {
            hello,
            random,
            since,
        };
        self.by_path.insert(path, entry);
        self.order.push_back((now, path));
        // Entries that have gone are no more than those that are there, and some.
        if self.order.len() > 2 * self.most + 16 {
            let by_path = &self.by_path;
            self.order.retain(|(since, path)| {
                by_path.get(path).is_some_and(|entry| entry.since == *since)
            });
        }
        true
    }

    /// Whether there is one of this path.
    pub(super) fn contains(&self, path: Path) -> bool {
        self.by_path.contains_key(&path)
    }

    /// Takes in further fragments. Returns the hello, and its random, once it is whole.
    pub(super) fn continue_with(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> Option<([u8; 32], VerifiedHello)> {
        self.remove_expired(now);
        let entry = self.by_path.get_mut(&path)?;
        let hello = entry.hello.insert(datagram)?;
        let random = entry.random;
        self.by_path.remove(&path);
        Some((random, hello))
    }

    pub(super) fn clear(&mut self) {
        self.by_path.clear();
        self.order.clear();
    }

    fn remove_expired(&mut self, now: Instant) {
        while let Some((since, path)) = self.order.front().copied()
            && now.saturating_duration_since(since) >= LIFETIME
        {
            self.order.pop_front();
            self.remove_if(path, since);
        }
    }

    fn remove_if(&mut self, path: Path, since: Instant) {
        if self
            .by_path
            .get(&path)
            .is_some_and(|entry| entry.since == since)
        {
            self.by_path.remove(&path);
        }
    }
}
