//! Private keys, held once: the engine is given a number instead of the key.
//!
//! Left to itself it would parse the key for every ClientHello (twice, where the client speaks DTLS 1.2), and keep one
//! parsed, and with DTLS 1.3 the bytes as well, for as long as the session lives. They would not be wiped either.

use dimpl::CryptoError;
use dimpl::crypto::{
    Buf, HashAlgorithm, KeyProvider, SignatureAlgorithm, SigningKey, aws_lc_rs::default_provider,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The engine takes its key provider as a `'static` reference, so the keys it finds by number can't be
/// [`Settings`](super::Settings)' own. A key stands here for as long as one of those, or an engine, has it.
static KEYS: Mutex<BTreeMap<u64, Weak<Key>>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A parsed private key.
pub(super) struct Key {
    number: u64,
    signer: Mutex<Box<dyn SigningKey>>,
    algorithm: SignatureAlgorithm,
    hash: HashAlgorithm,
    hashes: Vec<HashAlgorithm>,
}

impl Key {
    /// From DER.
    pub(super) fn parse(der: &[u8]) -> Result<Arc<Key>, CryptoError> {
        let signer = default_provider().key_provider.load_private_key(der)?;
        let key = Arc::new(Key {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            algorithm: signer.algorithm(),
            hash: signer.hash_algorithm(),
            hashes: signer.supported_hash_algorithms().to_vec(),
            signer: Mutex::new(signer),
        });
        lock(&KEYS).insert(key.number, Arc::downgrade(&key));
        Ok(key)
    }

    /// What the engine is given for it.
    pub(super) fn name(&self) -> Vec<u8> {
        self.number.to_be_bytes().to_vec()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        lock(&KEYS).remove(&self.number);
    }
}

/// The engine's panics are caught, so a lock may be poisoned; what is behind these is whole at any time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Finds keys by their number.
#[derive(Debug)]
pub(super) struct KeyRegistry;

impl KeyProvider for KeyRegistry {
    fn load_private_key(&self, name: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        let number = name.try_into().map(u64::from_be_bytes);
        let number = number.map_err(|_| CryptoError::InvalidPrivateKey)?;
        let key = lock(&KEYS).get(&number).and_then(Weak::upgrade);
        Ok(Box::new(SharedKey(
            key.ok_or(CryptoError::InvalidPrivateKey)?,
        )))
    }
}

/// One engine's share of a key.
struct SharedKey(Arc<Key>);

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.0.number)
    }
}

impl SigningKey for SharedKey {
    fn sign(&mut self, data: &[u8], hash: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        lock(&self.0.signer).sign(data, hash, out)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        self.0.hash
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &self.0.hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_number_until_nobody_has_it_any_more() {
        let made = rcgen::KeyPair::generate().unwrap().serialize_der();
        let key = Key::parse(&made).unwrap();
        let name = key.name();
        let engines = KeyRegistry.load_private_key(&name).unwrap();
        assert_eq!(engines.hash_algorithm(), HashAlgorithm::SHA256);
        drop(key);
        assert!(
            KeyRegistry.load_private_key(&name).is_ok(),
            "an engine has it"
        );
        drop(engines);
        assert!(KeyRegistry.load_private_key(&name).is_err());
        assert!(!lock(&KEYS).contains_key(&u64::from_be_bytes(name.try_into().unwrap())));
    }

    #[test]
    fn what_is_no_number_of_a_key_is_no_key() {
        let made = rcgen::KeyPair::generate().unwrap().serialize_der();
        assert!(KeyRegistry.load_private_key(&made).is_err());
        assert!(
            KeyRegistry
                .load_private_key(&u64::MAX.to_be_bytes())
                .is_err()
        );
        assert!(Key::parse(&[1, 2, 3]).is_err());
    }
}
