//! Cipher suites whose ciphers store only the key; the expanded ciphers are in a global cache.
//!
//! An expanded cipher has 600 bytes: round keys, and a table for authentication. A session would keep four of them, two for
//! the finished handshake. So a session stores the keys only. Ciphers are expanded on use, which takes a microsecond, and the
//! most recently used ones are cached.

use super::crypto::{
    Aad, Buf, Cipher, CryptoProvider, Dtls13CipherSuite, HashAlgorithm, Nonce,
    SupportedDtls13CipherSuite, TmpBuf, aws_lc_rs::default_provider,
};
use super::keys::lock;
use super::plaintext_filter;
use super::{CryptoError, CryptoOperation};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use zeroize::Zeroizing;

type Suite = &'static dyn SupportedDtls13CipherSuite;

/// Cached ciphers: 2.4 MiB, enough for 2,048 sessions that are active at a time.
const CACHED_CIPHERS: usize = 4096;

/// An expanded cipher, with the number of its [`CachedCipher`].
type CacheSlot = Option<(usize, Box<dyn Cipher>)>;

/// Each cipher has one slot, which it shares with every 4,096th.
static CACHE: [Mutex<CacheSlot>; CACHED_CIPHERS] = [const { Mutex::new(None) }; CACHED_CIPHERS];

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The engine requires `'static` suites. There are few of them; they are leaked once.
static SUITES: LazyLock<&'static [Suite]> = LazyLock::new(|| {
    let usual = default_provider().dtls13_cipher_suites.iter();
    usual
        .map(|suite| -> Suite { Box::leak(Box::new(CachedSuite(*suite))) })
        .collect::<Vec<_>>()
        .leak()
});

/// The provider, with its cipher suites of DTLS 1.3 replaced by these.
pub(super) fn with_cached_ciphers(provider: CryptoProvider) -> CryptoProvider {
    CryptoProvider {
        dtls13_cipher_suites: *SUITES,
        ..provider
    }
}

/// A suite that makes [`CachedCipher`]s.
#[derive(Debug)]
struct CachedSuite(Suite);

/// A cipher that stores its key only.
struct CachedCipher {
    number: usize,
    suite: Suite,
    key: Zeroizing<Box<[u8]>>,
}

impl CachedCipher {
    fn boxed(suite: Suite, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        let cipher = CachedCipher {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            suite,
            key: Zeroizing::new(key.into()),
        };
        // Reports an invalid key at once.
        cipher.expand()?;
        Ok(Box::new(cipher))
    }

    fn expand(&self) -> Result<Box<dyn Cipher>, CryptoError> {
        self.suite.create_cipher(&self.key)
    }

    /// Calls a function with the expanded cipher, from the cache or expanded into it.
    fn with_expanded(
        &self,
        apply: impl FnOnce(&mut dyn Cipher) -> Result<(), CryptoError>,
    ) -> Result<(), CryptoError> {
        let mut slot = lock(self.slot());
        match slot.as_mut() {
            Some((number, cipher)) if *number == self.number => apply(cipher.as_mut()),
            Some(_) | None => {
                let (_, cipher) = slot.insert((self.number, self.expand()?));
                apply(cipher.as_mut())
            }
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a remainder is less than its divisor"
    )]
    fn slot(&self) -> &'static Mutex<CacheSlot> {
        &CACHE[self.number % CACHED_CIPHERS]
    }
}

/// Removes the expanded cipher from the cache.
impl Drop for CachedCipher {
    fn drop(&mut self) {
        lock(self.slot()).take_if(|(number, _)| *number == self.number);
    }
}

impl fmt::Debug for CachedCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cipher {}", self.number)
    }
}

impl Cipher for CachedCipher {
    fn encrypt(&mut self, plaintext: &mut Buf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        self.with_expanded(|cipher| cipher.encrypt(plaintext, aad, nonce))
    }

    fn decrypt(
        &mut self,
        ciphertext: &mut TmpBuf<'_>,
        aad: Aad,
        nonce: Nonce,
    ) -> Result<(), CryptoError> {
        self.with_expanded(|cipher| cipher.decrypt(ciphertext, aad, nonce))?;
        #[cfg(test)]
        tests::change_content_type(ciphertext.as_mut());
        let length = plaintext_filter::filter(ciphertext.as_mut());
        let length = length.ok_or(CryptoError::OperationFailed(CryptoOperation::Decrypt))?;
        ciphertext.truncate(length);
        Ok(())
    }
}

impl SupportedDtls13CipherSuite for CachedSuite {
    fn suite(&self) -> Dtls13CipherSuite {
        self.0.suite()
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        self.0.hash_algorithm()
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn iv_len(&self) -> usize {
        self.0.iv_len()
    }

    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn min_protected_fragment_len(&self) -> usize {
        self.0.min_protected_fragment_len()
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        CachedCipher::boxed(self.0, key)
    }

    fn encrypt_sn(&self, sn_key: &[u8], sample: &[u8; 16]) -> [u8; 16] {
        self.0.encrypt_sn(sn_key, sample)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        /// The content type that decrypted records get, for tests with a hostile peer.
        static OPENED_AS: Cell<Option<u8>> = const { Cell::new(None) };
    }

    /// Runs what decrypts records, as if their sender had given them this content type.
    pub(in crate::dtls) fn opened_as<T>(content_type: u8, run: impl FnOnce() -> T) -> T {
        OPENED_AS.set(Some(content_type));
        let outcome = run();
        OPENED_AS.set(None);
        outcome
    }

    pub(super) fn change_content_type(plaintext: &mut [u8]) {
        if let Some(content_type) = OPENED_AS.get() {
            *plaintext.last_mut().unwrap() = content_type;
        }
    }

    fn sealed(by: &mut dyn Cipher) -> Vec<u8> {
        let mut record = Buf::new();
        record.extend_from_slice(b"text");
        by.encrypt(&mut record, Aad(Default::default()), Nonce([7; 12]))
            .unwrap();
        record.into_vec()
    }

    fn opens(cipher: &mut dyn Cipher, mut sealed: Vec<u8>) -> bool {
        let mut record = TmpBuf::new(&mut sealed);
        let outcome = cipher.decrypt(&mut record, Aad(Default::default()), Nonce([7; 12]));
        outcome.is_ok() && record.as_ref() == b"text"
    }

    #[test]
    fn each_cipher_uses_its_own_key_after_others_have_used_its_slot() {
        let ciphers = |provider: &CryptoProvider, key: [u8; 32]| -> Vec<Box<dyn Cipher>> {
            let suites = provider.dtls13_cipher_suites.iter();
            let ciphers = suites.map(|suite| suite.create_cipher(&key[..suite.key_len()]));
            ciphers.map(Result::unwrap).collect()
        };
        let (usual, cached) = (default_provider(), with_cached_ciphers(default_provider()));
        // More than the cache has slots, so that each finds another's cipher in its own.
        let mut all: Vec<(Box<dyn Cipher>, Vec<u8>)> = Vec::new();
        for n in 0..3000_u16 {
            let [high, low] = n.to_be_bytes();
            let mut key = [high; 32];
            key[0] = low;
            let pairs = ciphers(&cached, key).into_iter().zip(ciphers(&usual, key));
            all.extend(pairs.map(|(cached, mut usual)| (cached, sealed(usual.as_mut()))));
        }
        assert!(all.len() > 2 * CACHED_CIPHERS);
        for (cipher, text) in &mut all {
            assert!(opens(cipher.as_mut(), text.clone()));
            assert!(
                opens(cipher.as_mut(), text.clone()),
                "and again, from the cache"
            );
            assert_eq!(sealed(cipher.as_mut()), *text);
        }
        let other = all[20].1.clone();
        assert!(!opens(all[30].0.as_mut(), other));
    }

    #[test]
    fn a_dropped_cipher_is_removed_from_the_cache() {
        let suite = default_provider().dtls13_cipher_suites[0];
        let is_cached = |number: usize| {
            let place = lock(&CACHE[number % CACHED_CIPHERS]);
            place.as_ref().is_some_and(|(there, _)| *there == number)
        };
        let mut cached = CachedCipher {
            // A number that no other test's cipher has.
            number: usize::MAX,
            suite,
            key: Zeroizing::new([1; 16].into()),
        };
        // Other tests use the cache meanwhile, so it may not be there for long.
        let mut uses = (0..1000).map(|_| sealed(&mut cached));
        assert!(uses.any(|_| is_cached(usize::MAX)));
        drop(uses);
        drop(cached);
        assert!(!is_cached(usize::MAX));
    }

    #[test]
    fn an_invalid_key_is_reported_at_once() {
        for suite in with_cached_ciphers(default_provider()).dtls13_cipher_suites {
            assert!(suite.create_cipher(&[1; 7]).is_err());
        }
    }
}
