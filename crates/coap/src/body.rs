//! Bodies (RFC 7959 §1: what is transferred in blocks), and how many bytes of them may be held.
//!
//! Every byte held is charged twice: to its endpoint and to all endpoints together. The charge is
//! part of what holds the bytes, so it is given back when the last reference to them goes, wherever
//! that is: no endpoint that is dropped, and no request that is forgotten, can keep any.

use super::evictable::{Evictable, Evictables, Holder, Kind};
use crate::parameters::Parameters;
use bytes::Bytes;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a body is kept that nobody goes on with, in either direction. RFC 7959 §2.4 lets a server
/// forget after EXCHANGE_LIFETIME, four minutes; devices on links that sleep between two blocks may
/// need longer, and what is held has bounds.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// Stands for all the options by which two requests are for the same body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

/// An entity tag: 1 to 8 bytes (RFC 7252 §5.10.6).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ETag {
    length: u8,
    bytes: [u8; 8],
}

impl ETag {
    /// A tag of these bytes; nothing if there are none, or more than eight.
    pub fn new(bytes: &[u8]) -> Option<ETag> {
        let mut tag = ETag {
            length: u8::try_from(bytes.len()).ok().filter(|n| *n > 0)?,
            bytes: [0; 8],
        };
        tag.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(tag)
    }

    /// The tag's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        let length = usize::from(self.length);
        self.bytes.get(..length).unwrap_or_default()
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        let mut bytes = self.as_bytes().iter();
        bytes.try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What all endpoints have in common of bodies: how many bytes they may hold together, and by what
/// secret bodies are told apart. A clone is the same one.
#[derive(Debug, Clone)]
pub struct Bodies {
    held: Arc<Account>,
    evictables: Evictables,
    seed: u64,
}

impl Bodies {
    /// Bodies of `limit` bytes at most. `seed` should be random.
    pub fn new(limit: usize, seed: u64) -> Bodies {
        let evictables = Evictables::default();
        let held = Arc::new(Account {
            bytes: AtomicUsize::new(0),
            limit,
            parent: None,
            holder: 0,
            evictables: evictables.clone(),
        });
        Bodies {
            held,
            evictables,
            seed,
        }
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.held.bytes.load(Ordering::Relaxed)
    }

    /// The share of one endpoint: twice the largest body, so that it can take one and give one.
    pub(super) fn account(&self, parameters: &Parameters, holder: Holder<'_>) -> Arc<Account> {
        let largest = parameters.max_body.max(parameters.max_response_body);
        Arc::new(Account {
            bytes: AtomicUsize::new(0),
            limit: largest.saturating_mul(2),
            parent: Some(self.held.clone()),
            holder: self.digest(&holder),
            evictables: self.evictables.clone(),
        })
    }

    /// The key that stands for these options.
    pub(super) fn key(&self, options: &impl Hash) -> Key {
        Key(self.digest(options))
    }

    /// The tag of a body and what else is told of it.
    pub(super) fn tag(&self, representation: &impl Hash) -> ETag {
        ETag {
            length: 8,
            bytes: self.digest(representation).to_be_bytes(),
        }
    }

    /// Tells the bytes of one message from those of another, as [`digest`](Self::digest) does.
    pub(super) fn message_hash(&self, datagram: &[u8]) -> u32 {
        let [a, b, c, d, ..] = self.digest(&datagram).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Equal for equal values, and otherwise different in practice, even if somebody wants it to be
    /// equal who does not know the seed.
    fn digest(&self, value: &impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        value.hash(&mut hasher);
        hasher.finish()
    }
}

/// Bytes held by someone, and the most that may be.
#[derive(Debug)]
pub(super) struct Account {
    bytes: AtomicUsize,
    limit: usize,
    /// What the same bytes count towards, too.
    parent: Option<Arc<Account>>,
    /// Whose it is, among other accounts.
    holder: u64,
    evictables: Evictables,
}

impl Account {
    /// Bytes charged to it.
    pub(super) fn held(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Nothing, charged to this account.
    pub(super) fn new_charge(self: &Arc<Self>) -> Charge {
        Charge {
            account: self.clone(),
            bytes: 0,
        }
    }

    /// Keeps something of so many bytes until it is dropped, or given up for others.
    pub(super) fn keep_evictable<T: Send + 'static>(
        &self,
        kind: Kind,
        bytes: usize,
        what: T,
    ) -> Evictable<T> {
        self.evictables.insert(self.holder, kind, bytes, what)
    }

    fn add(&self, more: usize) -> bool {
        let order = Ordering::Relaxed;
        let within = |held: usize| held.checked_add(more).filter(|sum| *sum <= self.limit);
        if self.bytes.fetch_update(order, order, within).is_err() {
            return false;
        }
        let granted = self.parent.as_ref().is_none_or(|outer| outer.add(more));
        if !granted {
            self.bytes.fetch_sub(more, order);
        }
        granted
    }

    fn subtract(&self, fewer: usize) {
        self.bytes.fetch_sub(fewer, Ordering::Relaxed);
        if let Some(outer) = &self.parent {
            outer.subtract(fewer);
        }
    }
}

/// Bytes that count towards an account until this is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    /// Changes how many bytes they are. Returns false, and changes nothing, if there is no room.
    #[must_use]
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        if let Some(more) = bytes.checked_sub(self.bytes)
            && !self.account.add(more)
        {
            return false;
        }
        self.account.subtract(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
        true
    }

    /// Gives up something of whoever keeps most, if it is the bytes of all that don't allow so many here. Returns whether
    /// there was anything.
    pub(super) fn evict_for(&self, bytes: usize) -> bool {
        let account = &*self.account;
        let more = bytes.saturating_sub(self.bytes);
        account.held().saturating_add(more) <= account.limit
            && account.evictables.evict_one(account.holder, more)
    }

    /// The bytes charged, from now on with their charge: it goes when the last clone or slice does.
    pub(super) fn attach_to<T: AsRef<[u8]> + Send + 'static>(self, body: T) -> Bytes {
        Bytes::from_owner(Charged {
            body,
            _charge: self,
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.subtract(self.bytes);
    }
}

struct Charged<T> {
    body: T,
    _charge: Charge,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Charged<T> {
    fn as_ref(&self) -> &[u8] {
        self.body.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(limit: usize) -> (Bodies, Parameters) {
        let parameters = Parameters {
            max_body: 10,
            max_response_body: 50,
            ..Parameters::default()
        };
        (Bodies::new(limit, 1), parameters)
    }

    #[test]
    fn bytes_count_until_the_last_slice_of_them_is_gone() {
        let (bodies, parameters) = bodies(1000);
        let account = bodies.account(&parameters, Holder::Device("a"));
        let mut charge = account.new_charge();
        assert!(charge.resize(6));
        let body = charge.attach_to(Bytes::from_static(b"abcdef"));
        let slice = body.slice(2..3);
        drop(account);
        drop(body);
        assert_eq!((&slice[..], bodies.held()), (&b"c"[..], 6));
        drop(slice);
        assert_eq!(bodies.held(), 0);
    }

    #[test]
    fn an_endpoint_holds_twice_the_largest_body_at_most() {
        let (bodies, parameters) = bodies(1000);
        let account = bodies.account(&parameters, Holder::Device("a"));
        let (mut one, mut another) = (account.new_charge(), account.new_charge());
        assert!(one.resize(60));
        assert!(!another.resize(41));
        assert!(another.resize(40));
        assert!(one.resize(10), "fewer always fit");
        assert!(another.resize(90));
        assert_eq!((account.held(), bodies.held()), (100, 100));
        drop(another);
        assert_eq!((account.held(), bodies.held()), (10, 10));
    }

    #[test]
    fn all_endpoints_together_hold_no_more_than_their_bound() {
        let (bodies, parameters) = bodies(150);
        let accounts = [
            bodies.account(&parameters, Holder::Device("a")),
            bodies.account(&parameters, Holder::Device("a")),
        ];
        let [mut one, mut another] = [accounts[0].new_charge(), accounts[1].new_charge()];
        assert!(one.resize(100));
        assert!(!another.resize(51));
        assert_eq!(accounts[1].held(), 0, "nothing is left of what was refused");
        assert!(another.resize(50));
        assert!(!one.resize(usize::MAX), "nor does anything overflow");
        drop(one);
        assert_eq!(bodies.held(), 50);
    }

    #[test]
    fn digests_depend_on_the_seed() {
        let (one, another) = (Bodies::new(0, 1), Bodies::new(0, 2));
        assert_eq!(one.digest(&"body"), one.clone().digest(&"body"));
        assert_ne!(one.digest(&"body"), one.digest(&"bodz"));
        assert_ne!(one.digest(&"body"), another.digest(&"body"));
    }

    #[test]
    fn an_entity_tag_has_one_to_eight_bytes() {
        assert_eq!(ETag::new(&[]), None);
        assert_eq!(ETag::new(&[0; 9]), None);
        assert_eq!(ETag::new(&[7; 8]).unwrap().as_bytes(), [7; 8]);
        assert_eq!(format!("{:?}", ETag::new(&[0, 255]).unwrap()), "0x00ff");
    }
}
