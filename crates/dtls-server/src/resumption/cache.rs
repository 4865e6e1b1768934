//! Sessions by their session ids: a table with a bound and a lifetime.

use super::Session;
use crate::crypto::random::{Random, Unavailable};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Bytes of a session id. None can be guessed, and none occurs twice.
pub const SESSION_ID_LENGTH: usize = 32;

/// The most sessions of one client. One that makes handshake after handshake pushes out its own.
pub const MAX_OF_A_CLIENT: usize = 4;

type SessionId = [u8; SESSION_ID_LENGTH];

/// Sessions that may be resumed by their ids. `K` tells clients apart: the fingerprint of the certificate, or the beginning of
/// it. `P` is what the user knows the client by, to judge it again.
pub struct SessionCache<K, P> {
    entries: HashMap<SessionId, Entry<K, P>>,
    /// The sessions of each client, oldest first.
    by_client: HashMap<K, Vec<SessionId>>,
    /// Oldest first. It also has entries that were removed, as many as there are others at most.
    order: VecDeque<(Instant, SessionId)>,
    capacity: usize,
    lifetime: Duration,
}

struct Entry<K, P> {
    session: Session,
    client: K,
    peer: P,
    expires: Instant,
}

impl<K: Clone + Eq + Hash, P> SessionCache<K, P> {
    /// At most `capacity` sessions, each for `lifetime`. With a capacity of 0 nothing is kept.
    #[must_use]
    pub fn new(capacity: usize, lifetime: Duration) -> SessionCache<K, P> {
        SessionCache {
            entries: HashMap::new(),
            by_client: HashMap::new(),
            order: VecDeque::new(),
            capacity,
            lifetime,
        }
    }

    /// An id for a new session.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn new_id(&self, random: &mut dyn Random) -> Result<SessionId, Unavailable> {
        let mut id = [0; SESSION_ID_LENGTH];
        random.fill(&mut id)?;
        Ok(id)
    }

    /// Keeps a session. The oldest one gives way if there is no room, and the client's oldest if it has
    /// [`MAX_OF_A_CLIENT`] others.
    pub fn insert(&mut self, now: Instant, client: K, session: Session, peer: P) {
        let (Ok(id), Some(expires)) = (
            SessionId::try_from(session.id()),
            now.checked_add(self.lifetime),
        ) else {
            return;
        };
        if self.capacity == 0 {
            return;
        }
        self.remove_expired(now);
        self.remove(&id);
        if let Some(others) = self.by_client.get(&client)
            && others.len() >= MAX_OF_A_CLIENT
            && let Some(oldest) = others.first().copied()
        {
            self.remove(&oldest);
        }
        while self.entries.len() >= self.capacity {
            match self.order.pop_front() {
                Some((_, oldest)) => self.remove(&oldest),
                None => return,
            }
        }
        let entry = Entry {
            session,
            client: client.clone(),
            peer,
            expires,
        };
        self.entries.insert(id, entry);
        let of_client = self.by_client.entry(client).or_default();
        // Most clients have one.
        of_client.reserve_exact(1);
        of_client.push(id);
        self.order.push_back((expires, id));
        if self.order.len() > self.capacity.saturating_mul(2) {
            let entries = &self.entries;
            let is_current = |(expires, id): &(Instant, SessionId)| {
                entries
                    .get(id)
                    .is_some_and(|entry| entry.expires == *expires)
            };
            self.order.retain(is_current);
        }
    }

    /// The session with this id, and its client.
    #[must_use]
    pub fn get(&self, now: Instant, id: &[u8]) -> Option<(&Session, &P)> {
        let entry = self.entries.get(id)?;
        (entry.expires > now).then_some((&entry.session, &entry.peer))
    }

    /// Forgets a session: its client has sent a fatal alert (RFC 5246 §7.2.2), or may not come in any more.
    pub fn remove(&mut self, id: &[u8]) {
        let Some(entry) = self.entries.remove(id) else {
            return;
        };
        if let Some(of_client) = self.by_client.get_mut(&entry.client) {
            of_client.retain(|other| other != id);
            if of_client.is_empty() {
                self.by_client.remove(&entry.client);
            }
        }
    }

    /// The number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn remove_expired(&mut self, now: Instant) {
        while let Some((expires, id)) = self.order.front().copied()
            && expires <= now
        {
            self.order.pop_front();
            // It may have been kept again under the same id since.
            if self
                .entries
                .get(&id)
                .is_some_and(|entry| entry.expires <= now)
            {
                self.remove(&id);
            }
        }
    }
}

impl<K, P> fmt::Debug for SessionCache<K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCache")
            .field("sessions", &self.entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::key_schedule::MasterSecret;
    use crate::suite::CipherSuite;

    const MINUTE: Duration = Duration::from_secs(60);

    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    fn start() -> Instant {
        Instant::now()
    }

    fn id(number: u8) -> SessionId {
        [number; SESSION_ID_LENGTH]
    }

    fn session(number: u8) -> Session {
        let secret = MasterSecret::from_bytes(&[number; 48]).unwrap();
        Session::new(
            id(number).to_vec(),
            CipherSuite::EcdheEcdsaAes128Gcm,
            secret,
        )
    }

    #[test]
    fn a_session_is_found_by_its_id_until_its_time_is_over() {
        let now = start();
        let mut cache = SessionCache::new(4, MINUTE);
        cache.insert(now, 1, session(1), "one");
        let (found, peer) = cache.get(now, &id(1)).unwrap();
        assert_eq!((found.id(), *peer), (&id(1)[..], "one"));
        assert!(cache.get(now, &id(2)).is_none());
        assert!(cache.get(now, &[]).is_none());
        assert!(cache.get(now + MINUTE, &id(1)).is_none());
        cache.insert(now + MINUTE, 2, session(2), "two");
        assert_eq!(cache.len(), 1, "the expired one is gone");
        cache.remove(&id(2));
        assert!(cache.is_empty());
    }

    #[test]
    fn the_oldest_gives_way() {
        let now = start();
        let mut cache = SessionCache::new(3, MINUTE);
        for number in 1..=5 {
            cache.insert(now, number, session(number), ());
        }
        assert_eq!(cache.by_client.len(), 3);
        let present = (1..=5).filter(|number| cache.get(now, &id(*number)).is_some());
        assert_eq!(present.collect::<Vec<_>>(), [3, 4, 5]);
        let mut none = SessionCache::new(0, MINUTE);
        none.insert(now, 1, session(1), ());
        assert!(none.is_empty());
    }

    #[test]
    fn a_client_pushes_out_its_own_sessions_and_no_others() {
        let now = start();
        let mut cache = SessionCache::new(6, MINUTE);
        cache.insert(now, 1, session(1), ());
        for number in 2..100 {
            cache.insert(now, 2, session(number), ());
            assert!(cache.len() <= 1 + MAX_OF_A_CLIENT);
        }
        let present = (1..100).filter(|number| cache.get(now, &id(*number)).is_some());
        assert_eq!(present.collect::<Vec<_>>(), [1, 96, 97, 98, 99]);
        for number in 96..100 {
            cache.remove(&id(number));
        }
        assert_eq!((cache.len(), cache.by_client.len()), (1, 1));
        cache.insert(now + MINUTE, 3, session(3), ());
        assert_eq!((cache.len(), cache.by_client.len()), (1, 1));
    }

    #[test]
    fn a_session_that_is_kept_again_lives_on_and_the_order_has_a_bound() {
        let now = start();
        let mut cache = SessionCache::new(2, MINUTE);
        for seconds in 0..100 {
            cache.insert(now + Duration::from_secs(seconds), 1, session(1), ());
            cache.remove(&id(1));
            cache.insert(now + Duration::from_secs(seconds), 1, session(1), ());
            assert!(cache.order.len() <= 4, "{}", cache.order.len());
        }
        let later = now + Duration::from_secs(150);
        assert!(cache.get(later, &id(1)).is_some());
    }

    #[test]
    fn ids_are_random() {
        let cache: SessionCache<u8, ()> = SessionCache::new(1, MINUTE);
        let random = &mut crate::crypto::random::SystemRandom;
        assert_ne!(cache.new_id(random).unwrap(), cache.new_id(random).unwrap());
    }
}
