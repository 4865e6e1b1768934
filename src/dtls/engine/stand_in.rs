//! A client's certificates in DTLS 1.2, kept once and beside the engine.
//!
//! Left to itself the engine keeps them five times over (in a record's buffer, a message's, the transcript's, which
//! doubles, and as certificates), and for as long as the session lives. So it is given a Certificate message of 50 bytes
//! in place of the client's. Wherever it hashes or verifies its transcript, it asks our providers, and they put the
//! client's message back: what is hashed, and what the client's signature and Finished are compared with, is what the
//! client has sent, byte for byte (RFC 5246 §7.4.8, §7.4.9). If it were not, no handshake would complete. The message is
//! freed once the handshake is.

use crate::dtls::inbound::{CERTIFICATE, message};
use aws_lc_rs::digest;
use dimpl::CryptoError;
use dimpl::crypto::{
    Buf, HashAlgorithm, HashContext, HashProvider, SignatureAlgorithm, SignatureVerifier,
    aws_lc_rs::default_provider,
};
use std::cell::Cell;
use std::fmt;

/// A record's header, before the message.
const RECORD_HEADER: usize = 13;
/// A handshake message's header, before its body.
const MESSAGE_HEADER: usize = 12;
/// The list's length and the first certificate's, before that.
const LENGTHS: usize = 6;

thread_local! {
    /// That of the engine that is at work.
    static AT_WORK: Cell<Option<Box<StandIn>>> = const { Cell::new(None) };
}

/// A Certificate message, and what the engine has in its place.
pub(super) struct StandIn {
    /// Header and body, as in the transcript.
    theirs: Vec<u8>,
    /// The same of what stands in for it: its one certificate is the hash of theirs, so that it is found.
    ours: Vec<u8>,
}

impl StandIn {
    /// For the body of a Certificate message, and the record that the engine is to have of it. `None`: it has none.
    pub(super) fn new(number: u16, body: &[u8]) -> Option<(StandIn, Vec<u8>)> {
        first_certificate(body)?;
        let theirs = message(CERTIFICATE, number, body).split_off(RECORD_HEADER);
        let hash = digest::digest(&digest::SHA256, &theirs);
        let body = [&[0, 0, 35, 0, 0, 32], hash.as_ref()].concat();
        let record = message(CERTIFICATE, number, &body);
        let ours = record.get(RECORD_HEADER..)?.to_vec();
        Some((StandIn { theirs, ours }, record))
    }

    /// The client's own certificate.
    pub(super) fn leaf(&self) -> &[u8] {
        let body = self.theirs.get(MESSAGE_HEADER..);
        body.and_then(first_certificate).unwrap_or_default()
    }

    /// A transcript in three parts, with theirs in place of ours.
    fn in_place<'a>(&'a self, transcript: &'a [u8]) -> [&'a [u8]; 3] {
        let ours = self.ours.as_slice();
        let at = transcript.windows(ours.len()).position(|part| part == ours);
        let (before, rest) = at
            .and_then(|at| transcript.split_at_checked(at))
            .unwrap_or((transcript, &[]));
        match rest.split_at_checked(ours.len()) {
            Some((_, after)) => [before, &self.theirs, after],
            None => [before, &[], &[]],
        }
    }
}

impl fmt::Debug for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a Certificate message of {} bytes", self.theirs.len())
    }
}

fn first_certificate(body: &[u8]) -> Option<&[u8]> {
    let (lengths, rest) = body.split_at_checked(LENGTHS)?;
    let [_, _, _, high, middle, low] = lengths.try_into().ok()?;
    let length = u32::from_be_bytes([0, high, middle, low]);
    rest.get(..usize::try_from(length).ok()?)
}

/// Until [`take_back`], the engine's transcript is read with this in its place.
pub(super) fn put_to_work(stand_in: Option<Box<StandIn>>) {
    AT_WORK.set(stand_in);
}

/// The stand-in again.
pub(super) fn take_back() -> Option<Box<StandIn>> {
    AT_WORK.take()
}

fn with<T>(work: impl FnOnce(Option<&StandIn>) -> T) -> T {
    let stand_in = AT_WORK.take();
    let outcome = work(stand_in.as_deref());
    AT_WORK.set(stand_in);
    outcome
}

/// Hashes a transcript as it was sent.
#[derive(Debug)]
pub(super) struct Hashes;

struct Hash(Box<dyn HashContext>);

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hash")
    }
}

impl HashProvider for Hashes {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(Hash(
            default_provider().hash_provider.create_hash(algorithm),
        ))
    }
}

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        with(|stand_in| match stand_in {
            Some(stand_in) => stand_in
                .in_place(data)
                .into_iter()
                .for_each(|part| self.0.update(part)),
            None => self.0.update(data),
        });
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

/// Verifies a signature over a transcript as it was sent, by the certificate that was shown.
#[derive(Debug)]
pub(super) struct Signatures;

impl SignatureVerifier for Signatures {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        let verifier = default_provider().signature_verification;
        with(|stand_in| match stand_in {
            Some(stand_in) => {
                let data = stand_in.in_place(data).concat();
                verifier.verify_signature(stand_in.leaf(), &data, signature, hash, algorithm)
            }
            None => verifier.verify_signature(certificate, data, signature, hash, algorithm),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two certificates, of three bytes and of one.
    const BODY: &[u8] = &[0, 0, 10, 0, 0, 3, 7, 8, 9, 0, 0, 1, 5];

    #[test]
    fn a_transcript_is_hashed_as_it_was_sent() {
        let (stand_in, record) = StandIn::new(2, BODY).unwrap();
        assert_eq!(stand_in.leaf(), [7, 8, 9]);
        let sent = message(CERTIFICATE, 2, BODY)[13..].to_vec();
        let (before, after) = (b"hello, hello", b"key exchange");
        let engines = [before, &record[13..], after].concat();
        let theirs = [&before[..], &sent, after].concat();
        assert_eq!(stand_in.in_place(&engines).concat(), theirs);
        assert_eq!(stand_in.in_place(before).concat(), before);
        assert!(stand_in.in_place(&[]).concat().is_empty());

        let hash = |transcript: &[u8]| {
            let mut hash = Hashes.create_hash(HashAlgorithm::SHA256);
            hash.update(transcript);
            let mut out = Buf::new();
            hash.clone_and_finalize(&mut out);
            out.into_vec()
        };
        let of_theirs = hash(&theirs);
        assert_ne!(hash(&engines), of_theirs);
        put_to_work(Some(Box::new(stand_in)));
        assert_eq!(hash(&engines), of_theirs);
        assert!(take_back().is_some() && take_back().is_none());
    }

    #[test]
    fn a_message_without_a_certificate_has_no_stand_in() {
        for body in [&[][..], &[0, 0, 0], &[0, 0, 5, 0, 0, 9, 1, 1]] {
            assert!(StandIn::new(2, body).is_none(), "{body:?}");
        }
    }
}
