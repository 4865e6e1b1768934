//! The hash over a handshake's messages (RFC 5246 §7.4.9, RFC 6347 §4.2.6).
//!
//! A server knows the suite, and by it the hash, before it adds the first message: the ClientHello that it chose the suite
//! from. A signature in CertificateVerify is over the same messages, but with a hash that the client chooses then, or none
//! (Ed25519): until then the messages are kept as they are.

use crate::suite::PrfHash;
use aws_lc_rs::digest::{Context, Digest, SHA256, SHA384};
use std::fmt;

/// All messages of a handshake so far.
pub struct Transcript {
    hash: Context,
    /// `None`: no signature is expected any more.
    messages: Option<Vec<u8>>,
}

impl Transcript {
    /// An empty transcript whose messages are kept until [`release_messages`](Transcript::release_messages).
    #[must_use]
    pub fn new(hash: PrfHash) -> Transcript {
        Transcript {
            messages: Some(Vec::new()),
            ..Transcript::without_messages(hash)
        }
    }

    /// An empty transcript of a handshake without signatures: a resumed one.
    #[must_use]
    pub fn without_messages(hash: PrfHash) -> Transcript {
        let algorithm = match hash {
            PrfHash::Sha256 => &SHA256,
            PrfHash::Sha384 => &SHA384,
        };
        Transcript {
            hash: Context::new(algorithm),
            messages: None,
        }
    }

    /// Adds a message with its header as if it had not been fragmented. The first ClientHello and the HelloVerifyRequest are
    /// left out (RFC 6347 §4.2.1).
    pub fn push(&mut self, message: &[u8]) {
        self.hash.update(message);
        if let Some(messages) = &mut self.messages {
            messages.extend_from_slice(message);
        }
    }

    /// The hash over the messages so far.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash.clone().finish()
    }

    /// The messages so far. `None`: they have been released.
    #[must_use]
    pub fn messages(&self) -> Option<&[u8]> {
        self.messages.as_deref()
    }

    /// Frees the messages, as soon as CertificateVerify has been verified, or can't come.
    pub fn release_messages(&mut self) {
        self.messages = None;
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.messages.as_ref().map(Vec::len);
        f.debug_struct("Transcript").field("kept", &kept).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::hex;

    #[test]
    fn the_hash_goes_on_after_it_was_read() {
        let mut transcript = Transcript::new(PrfHash::Sha256);
        transcript.push(b"a");
        let _ = transcript.hash();
        transcript.push(b"bc");
        // FIPS 180-2 B.1.
        let abc = hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(transcript.hash().as_ref(), abc);
        let mut transcript = Transcript::without_messages(PrfHash::Sha384);
        transcript.push(b"abc");
        // FIPS 180-2 D.1.
        let abc = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163
            1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7";
        assert_eq!(transcript.hash().as_ref(), hex(abc));
        assert_eq!(transcript.messages(), None);
    }

    #[test]
    fn messages_are_kept_until_they_are_released() {
        let mut transcript = Transcript::new(PrfHash::Sha256);
        transcript.push(b"one");
        transcript.push(b"two");
        assert_eq!(transcript.messages(), Some(&b"onetwo"[..]));
        let before = transcript.hash();
        transcript.release_messages();
        assert_eq!(transcript.hash().as_ref(), before.as_ref());
        transcript.push(b"three");
        assert_eq!(transcript.messages(), None);
        assert_ne!(transcript.hash().as_ref(), before.as_ref());
    }
}
