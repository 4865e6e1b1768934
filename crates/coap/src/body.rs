//! Memory accounting for bodies (RFC 7959 §1), and their ETags.
//!
//! Every byte held is charged twice: to its endpoint and to all endpoints together. The [`Charge`]
//! is stored with the bytes, so it is returned when the last reference to them is dropped, whether
//! or not the endpoint still exists.

use super::evictable::{Evictable, Evictables, Holder, Kind};
use super::export::RestoreError;
use crate::parameters::Parameters;
use bytes::{Buf, BufMut, Bytes};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long an unused upload or snapshot is kept. RFC 7959 §2.4 allows a server to drop it after
/// EXCHANGE_LIFETIME, four minutes; devices that sleep between two blocks may need longer, and the
/// held bytes are bounded.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// A keyed hash of the options that identify a body: equal for all blocks of one transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64);

impl Key {
    /// Writes it: see [`crate::export`].
    pub(crate) fn export(self, out: &mut Vec<u8>) {
        out.put_u64(self.0);
    }

    pub(crate) fn restore(from: &mut &[u8]) -> Result<Key, RestoreError> {
        Ok(Key(from.try_get_u64()?))
    }
}

/// An entity tag: 1 to 8 bytes (RFC 7252 §5.10.6).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ETag {
    length: u8,
    bytes: [u8; 8],
}

impl ETag {
    /// An entity tag of these bytes; `None` if there are none, or more than eight.
    pub fn new(bytes: &[u8]) -> Option<ETag> {
        let mut tag = ETag {
            length: u8::try_from(bytes.len()).ok().filter(|n| *n > 0)?,
            bytes: [0; 8],
        };
        tag.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(tag)
    }

    /// The 1 to 8 bytes of the tag.
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

/// What all endpoints share: the bytes of bodies they may hold together, and the key of the hashes
/// that identify bodies and messages. Clones share their state.
#[derive(Debug, Clone)]
pub struct Bodies {
    held: Arc<Account>,
    evictables: Evictables,
    seed: u64,
}

impl Bodies {
    /// Bodies of `limit` bytes together at most. `seed` should be random and secret, and the same after a restart
    /// if endpoints are [restored](crate::RemoteEndpoint::restore): it identifies messages and bodies.
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

    /// Bytes held by all endpoints together.
    pub fn held(&self) -> usize {
        self.held.bytes.load(Ordering::Relaxed)
    }

    /// The account of one endpoint. Its limit is twice the largest body, so that it can receive one
    /// and send one.
    pub(crate) fn account(&self, parameters: &Parameters, holder: Holder<'_>) -> Arc<Account> {
        let largest = parameters.max_body.max(parameters.max_response_body);
        Arc::new(Account {
            bytes: AtomicUsize::new(0),
            limit: largest.saturating_mul(2),
            parent: Some(self.held.clone()),
            holder: self.digest(&holder),
            evictables: self.evictables.clone(),
        })
    }

    /// The key of a body identified by these options.
    pub(crate) fn key(&self, options: &impl Hash) -> Key {
        Key(self.digest(options))
    }

    /// The ETag of a representation: a body and its options.
    pub(crate) fn tag(&self, representation: &impl Hash) -> ETag {
        ETag {
            length: 8,
            bytes: self.digest(representation).to_be_bytes(),
        }
    }

    /// A keyed hash of a message, for deduplication.
    pub(crate) fn message_hash(&self, datagram: &[u8]) -> u32 {
        let [a, b, c, d, ..] = self.digest(&datagram).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// A number that nobody can predict from others: `random` need not be of a cryptographic
    /// generator.
    pub(crate) fn unpredictable(&self, random: u32) -> u32 {
        self.message_hash(&random.to_be_bytes())
    }

    /// A keyed hash: without the seed, nobody can construct collisions.
    fn digest(&self, value: &impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        value.hash(&mut hasher);
        hasher.finish()
    }
}

/// The bytes charged to one endpoint or to all, and their limit.
#[derive(Debug)]
pub(crate) struct Account {
    bytes: AtomicUsize,
    limit: usize,
    /// The account to which the same bytes are charged, too.
    parent: Option<Arc<Account>>,
    /// The hash of the [`Holder`].
    holder: u64,
    evictables: Evictables,
}

impl Account {
    pub(crate) fn held(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A charge of 0 bytes to this account.
    pub(crate) fn new_charge(self: &Arc<Self>) -> Charge {
        Charge {
            account: self.clone(),
            bytes: 0,
        }
    }

    /// Keeps a value of so many bytes until it is dropped or evicted.
    pub(crate) fn keep_evictable<T: Send + 'static>(
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
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    /// Changes the number of bytes. Returns false, and changes nothing, if that exceeds a limit.
    #[must_use]
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        if let Some(more) = bytes.checked_sub(self.bytes)
            && !self.account.add(more)
        {
            return false;
        }
        self.account.subtract(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
        true
    }

    /// Evicts something of the largest holder, if it is the common limit that does not allow so
    /// many bytes. Returns whether something was evicted.
    pub(crate) fn evict_for(&self, bytes: usize) -> bool {
        let account = &*self.account;
        let more = bytes.saturating_sub(self.bytes);
        account.held().saturating_add(more) <= account.limit
            && account.evictables.evict_one(account.holder, more)
    }

    /// Stores the charge with its bytes: it is returned when their last clone or slice is dropped.
    pub(crate) fn attach_to<T: AsRef<[u8]> + Send + 'static>(self, body: T) -> Bytes {
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
    fn bytes_are_charged_until_their_last_slice_is_dropped() {
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
        assert!(one.resize(10), "shrinking always succeeds");
        assert!(another.resize(90));
        assert_eq!((account.held(), bodies.held()), (100, 100));
        drop(another);
        assert_eq!((account.held(), bodies.held()), (10, 10));
    }

    #[test]
    fn all_endpoints_together_hold_no_more_than_their_limit() {
        let (bodies, parameters) = bodies(150);
        let accounts = [
            bodies.account(&parameters, Holder::Device("a")),
            bodies.account(&parameters, Holder::Device("a")),
        ];
        let [mut one, mut another] = [accounts[0].new_charge(), accounts[1].new_charge()];
        assert!(one.resize(100));
        assert!(!another.resize(51));
        assert_eq!(
            accounts[1].held(),
            0,
            "a refused charge leaves nothing behind"
        );
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
