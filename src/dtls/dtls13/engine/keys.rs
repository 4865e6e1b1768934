//! Private keys, parsed and stored once: the engine gets a handle instead of the key.
//!
//! By itself it would parse the key for every ClientHello, and keep the parsed key and its bytes for the life of the session.
//! It would not zero them either.

use super::CryptoError;
use super::crypto::{
    Buf, HashAlgorithm, KeyProvider, SignatureAlgorithm, SigningKey, aws_lc_rs::default_provider,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Keys by number. Static because the engine requires a `'static` key provider. A key is removed when the last
/// [`Settings`](super::Settings) or engine with it is dropped.
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
    /// Parses a key (PKCS#8, DER) and registers it.
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

    /// The handle: the engine gets it as if it were the key's DER.
    pub(super) fn handle(&self) -> Vec<u8> {
        self.number.to_be_bytes().to_vec()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        lock(&KEYS).remove(&self.number);
    }
}

/// Locks a mutex. Panics of the engine are caught, so it may be poisoned, but its content is always consistent.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key provider: finds keys by their handles.
#[derive(Debug)]
pub(super) struct KeyRegistry;

impl KeyProvider for KeyRegistry {
    fn load_private_key(&self, handle: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        let number = handle.try_into().map(u64::from_be_bytes);
        let number = number.map_err(|_| CryptoError::InvalidPrivateKey)?;
        let key = lock(&KEYS).get(&number).and_then(Weak::upgrade);
        Ok(Box::new(SharedKey(
            key.ok_or(CryptoError::InvalidPrivateKey)?,
        )))
    }
}

/// An engine's reference to a key.
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
    fn a_key_is_found_by_its_handle_until_its_last_reference_is_dropped() {
        let made = rcgen::KeyPair::generate().unwrap().serialize_der();
        let key = Key::parse(&made).unwrap();
        let handle = key.handle();
        let engines = KeyRegistry.load_private_key(&handle).unwrap();
        assert_eq!(engines.hash_algorithm(), HashAlgorithm::SHA256);
        drop(key);
        assert!(
            KeyRegistry.load_private_key(&handle).is_ok(),
            "an engine has a reference"
        );
        drop(engines);
        assert!(KeyRegistry.load_private_key(&handle).is_err());
        assert!(!lock(&KEYS).contains_key(&u64::from_be_bytes(handle.try_into().unwrap())));
    }

    #[test]
    fn invalid_handles_and_keys_are_rejected() {
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
