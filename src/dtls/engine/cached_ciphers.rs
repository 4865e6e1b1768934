//! Cipher suites whose ciphers rest as keys.
//!
//! A cipher that is ready for use is 600 bytes: the key's rounds, and a table for authentication. A session with
//! DTLS 1.2 would keep two of them, one with DTLS 1.3 four, two of those for the handshake that is over. So a session
//! keeps the keys alone. Its ciphers are made when they are wanted, which costs a microsecond, and those used last
//! are at hand.

use super::keys::lock;
use super::plaintext_filter::{self, Decrypted};
use dimpl::crypto::{
    Aad, Buf, Cipher, CryptoProvider, Dtls12CipherSuite, Dtls13CipherSuite, HashAlgorithm, Nonce,
    SupportedDtls12CipherSuite, SupportedDtls13CipherSuite, TmpBuf, aws_lc_rs::default_provider,
};
use dimpl::{CryptoError, CryptoOperation};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use zeroize::Zeroizing;

type Suite12 = &'static dyn SupportedDtls12CipherSuite;
type Suite13 = &'static dyn SupportedDtls13CipherSuite;

/// Ciphers at hand: 2.4 MiB, and enough for 2,048 sessions that speak at a time.
const CACHED_CIPHERS: usize = 4096;

/// A cipher at hand, and whose it is.
type Place = Option<(usize, Box<dyn Cipher>)>;

/// Each cipher has one place it may be at, which it shares with every 4,096th.
static CACHE: [Mutex<Place>; CACHED_CIPHERS] = [const { Mutex::new(None) }; CACHED_CIPHERS];

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The engine takes suites as `'static` references. They are a few, made once and kept.
static SUITES: LazyLock<(&'static [Suite12], &'static [Suite13])> = LazyLock::new(|| {
    let provider = default_provider();
    let of12 = provider.cipher_suites.iter();
    let of13 = provider.dtls13_cipher_suites.iter();
    (
        of12.map(|suite| -> Suite12 { Box::leak(Box::new(CachedSuite(*suite))) })
            .collect::<Vec<_>>()
            .leak(),
        of13.map(|suite| -> Suite13 { Box::leak(Box::new(CachedSuite(*suite))) })
            .collect::<Vec<_>>()
            .leak(),
    )
});

/// The provider, with suites of this kind.
pub(super) fn with_cached_ciphers(provider: CryptoProvider) -> CryptoProvider {
    let (cipher_suites, dtls13_cipher_suites) = *SUITES;
    CryptoProvider {
        cipher_suites,
        dtls13_cipher_suites,
        ..provider
    }
}

/// A suite whose ciphers rest.
#[derive(Debug)]
struct CachedSuite<S>(S);

/// What makes a cipher of a key.
#[derive(Clone, Copy)]
enum Maker {
    Dtls12(Suite12),
    Dtls13(Suite13),
}

/// A key, and what makes a cipher of it.
struct CachedCipher {
    number: usize,
    maker: Maker,
    key: Zeroizing<Box<[u8]>>,
}

impl CachedCipher {
    fn boxed(maker: Maker, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        let rested = CachedCipher {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            maker,
            key: Zeroizing::new(key.into()),
        };
        // The engine is to hear now of a key that is none.
        rested.create()?;
        Ok(Box::new(rested))
    }

    fn create(&self) -> Result<Box<dyn Cipher>, CryptoError> {
        match self.maker {
            Maker::Dtls12(suite) => suite.create_cipher(&self.key),
            Maker::Dtls13(suite) => suite.create_cipher(&self.key),
        }
    }

    /// Does something with the cipher, which is at its place, or is made and left there.
    fn apply(
        &self,
        work: impl FnOnce(&mut dyn Cipher) -> Result<(), CryptoError>,
    ) -> Result<(), CryptoError> {
        let mut place = lock(self.place());
        match place.as_mut() {
            Some((number, cipher)) if *number == self.number => work(cipher.as_mut()),
            Some(_) | None => {
                let (_, cipher) = place.insert((self.number, self.create()?));
                work(cipher.as_mut())
            }
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a remainder is below what it is of"
    )]
    fn place(&self) -> &'static Mutex<Place> {
        &CACHE[self.number % CACHED_CIPHERS]
    }
}

/// A session's end leaves no cipher of it behind.
impl Drop for CachedCipher {
    fn drop(&mut self) {
        lock(self.place()).take_if(|(number, _)| *number == self.number);
    }
}

impl fmt::Debug for CachedCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cipher {}", self.number)
    }
}

impl Cipher for CachedCipher {
    fn encrypt(&mut self, plaintext: &mut Buf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        #[cfg(test)]
        let aad = tests::sealed_as(self.maker, plaintext, aad);
        self.apply(|cipher| cipher.encrypt(plaintext, aad, nonce))
    }

    fn decrypt(
        &mut self,
        ciphertext: &mut TmpBuf<'_>,
        aad: Aad,
        nonce: Nonce,
    ) -> Result<(), CryptoError> {
        // RFC 5246 §6.2.3.3: epoch and number, then the content type.
        let content_type = aad.0.get(8).copied().unwrap_or_default();
        if let Err(error) = self.apply(|cipher| cipher.decrypt(ciphertext, aad, nonce)) {
            plaintext_filter::failed();
            return Err(error);
        }
        let plaintext = ciphertext.as_mut();
        let length = plaintext_filter::judge(match self.maker {
            Maker::Dtls12(_) => Decrypted::Dtls12 {
                content_type,
                plaintext,
            },
            Maker::Dtls13(_) => Decrypted::Dtls13 { plaintext },
        });
        let length = length.ok_or(CryptoError::OperationFailed(CryptoOperation::Decrypt))?;
        ciphertext.truncate(length);
        Ok(())
    }
}

impl SupportedDtls12CipherSuite for CachedSuite<Suite12> {
    fn suite(&self) -> Dtls12CipherSuite {
        self.0.suite()
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        self.0.hash_algorithm()
    }

    fn key_lengths(&self) -> (usize, usize, usize) {
        self.0.key_lengths()
    }

    fn explicit_nonce_len(&self) -> usize {
        self.0.explicit_nonce_len()
    }

    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn min_protected_fragment_len(&self) -> usize {
        self.0.min_protected_fragment_len()
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        CachedCipher::boxed(Maker::Dtls12(self.0), key)
    }
}

impl SupportedDtls13CipherSuite for CachedSuite<Suite13> {
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
        CachedCipher::boxed(Maker::Dtls13(self.0), key)
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
        /// The content type that records get, whatever the engine makes them: for a peer that does its worst.
        pub(in super::super) static SEALED_AS: Cell<Option<u8>> = const { Cell::new(None) };
    }

    pub(super) fn sealed_as(maker: Maker, plaintext: &mut Buf, mut aad: Aad) -> Aad {
        if let Some(content_type) = SEALED_AS.get() {
            let place = match maker {
                Maker::Dtls12(_) => aad.0.get_mut(8),
                Maker::Dtls13(_) => plaintext.last_mut(),
            };
            *place.unwrap() = content_type;
        }
        aad
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
    fn each_cipher_uses_its_own_key_wherever_others_have_been_meanwhile() {
        let ciphers = |provider: &CryptoProvider, key: [u8; 32]| -> Vec<Box<dyn Cipher>> {
            let of12 = provider.cipher_suites.iter().map(|suite| {
                let (_, length, _) = suite.key_lengths();
                suite.create_cipher(&key[..length])
            });
            let of13 = provider.dtls13_cipher_suites.iter();
            let of13 = of13.map(|suite| suite.create_cipher(&key[..suite.key_len()]));
            of12.chain(of13).map(Result::unwrap).collect()
        };
        let (usual, rested) = (default_provider(), with_cached_ciphers(default_provider()));
        // More than there are places for, so that each finds another's cipher at its own.
        let mut all: Vec<(Box<dyn Cipher>, Vec<u8>)> = Vec::new();
        for n in 0..1300_u16 {
            let [high, low] = n.to_be_bytes();
            let mut key = [high; 32];
            key[0] = low;
            let pairs = ciphers(&rested, key).into_iter().zip(ciphers(&usual, key));
            all.extend(pairs.map(|(rested, mut usual)| (rested, sealed(usual.as_mut()))));
        }
        assert!(all.len() > 2 * CACHED_CIPHERS);
        for (cipher, text) in &mut all {
            assert!(opens(cipher.as_mut(), text.clone()));
            assert!(opens(cipher.as_mut(), text.clone()), "and again, at hand");
            assert_eq!(sealed(cipher.as_mut()), *text);
        }
        let other = all[20].1.clone();
        assert!(!opens(all[30].0.as_mut(), other));
    }

    #[test]
    fn a_cipher_of_a_session_that_has_ended_is_not_left_behind() {
        let suite = Maker::Dtls12(default_provider().cipher_suites[0]);
        let at_hand = |number: usize| {
            let place = lock(&CACHE[number % CACHED_CIPHERS]);
            place.as_ref().is_some_and(|(there, _)| *there == number)
        };
        let mut rested = CachedCipher {
            // Of no other test's cipher.
            number: usize::MAX,
            maker: suite,
            key: Zeroizing::new([1; 16].into()),
        };
        // Other tests use places meanwhile, so it may not be there for long.
        let mut uses = (0..1000).map(|_| sealed(&mut rested));
        assert!(uses.any(|_| at_hand(usize::MAX)));
        drop(uses);
        drop(rested);
        assert!(!at_hand(usize::MAX));
    }

    #[test]
    fn a_key_that_is_none_is_told_at_once() {
        for suite in with_cached_ciphers(default_provider()).cipher_suites {
            assert!(suite.create_cipher(&[1; 7]).is_err());
        }
    }
}
