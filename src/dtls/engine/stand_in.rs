//! A client's certificates, kept once and beside the engine.
//!
//! Left to itself the engine keeps them five times over (in a record's buffer, a message's, the transcript's, which
//! doubles, and as certificates), and for as long as the session lives. So it is given a short Certificate message in
//! place of the client's. Wherever it hashes or verifies its transcript, it asks our providers, and they put the
//! client's message back: what is hashed, and what the client's signature and Finished are compared with, is what the
//! client has sent, byte for byte (RFC 5246 §7.4.8, §7.4.9; RFC 8446 §4.4). If it were not, no handshake would complete.
//! The message is freed once the handshake is.
//!
//! In DTLS 1.2 the message is in plaintext, and always replaced. In DTLS 1.3 it is inside records, and replaced where it
//! comes in several or is long (see [`super::plaintext_filter`]).

use crate::dtls::inbound::{CERTIFICATE, message};
use aws_lc_rs::digest;
use dimpl::CryptoError;
use dimpl::crypto::{
    Buf, HashAlgorithm, HashContext, HashProvider, SignatureAlgorithm, SignatureVerifier,
    aws_lc_rs::default_provider,
};
use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A record's header, before the message.
const RECORD_HEADER: usize = 13;
/// A handshake message's header before its body; in the transcript of DTLS 1.3 it is the type and the length alone.
const MESSAGE_HEADER: usize = 12;
const MESSAGE_HEADER_13: usize = 4;
/// Public keys of P-256 and P-384 are 91 and 120 bytes; the engine verifies no others.
const LONGEST_KEY: usize = 200;

thread_local! {
    /// That of the engine that is at work.
    static AT_WORK: Cell<Option<Box<StandIn>>> = const { Cell::new(None) };
}

/// A Certificate message, and what the engine has in its place.
pub(super) struct StandIn {
    /// As in the transcript.
    theirs: Vec<u8>,
    /// The same of what stands in for it.
    ours: Vec<u8>,
    /// The client's own certificate in its message.
    leaf: Range<usize>,
}

impl StandIn {
    /// For the body of a Certificate message of DTLS 1.2, and the record that the engine is to have of it: its one
    /// certificate is the hash of theirs. `None`: it has no certificate.
    pub(super) fn new(number: u16, body: &[u8]) -> Option<(StandIn, Vec<u8>)> {
        let leaf = certificate_at(body, 3)?;
        let theirs = message(CERTIFICATE, number, body).split_off(RECORD_HEADER);
        let hash = digest::digest(&digest::SHA256, &theirs);
        let body = [&[0, 0, 35, 0, 0, 32], hash.as_ref()].concat();
        let record = message(CERTIFICATE, number, &body);
        let stand_in = StandIn {
            theirs,
            ours: record.get(RECORD_HEADER..)?.to_vec(),
            leaf: leaf.start + MESSAGE_HEADER..leaf.end + MESSAGE_HEADER,
        };
        Some((stand_in, record))
    }

    /// For the body of a Certificate message of DTLS 1.3, and the message that the engine is to have of it. It looks at
    /// the certificate's public key, so that is in it. `None`: it has no certificate, or one that can't be read.
    pub(super) fn new_13(number: u16, body: &[u8]) -> Option<(StandIn, Vec<u8>)> {
        // RFC 8446 §4.4.2: the request's context, which is empty, before the list.
        let leaf = certificate_at(body, 4).filter(|_| body.first() == Some(&0))?;
        let (_, certificate) = X509Certificate::from_der(body.get(leaf.clone())?).ok()?;
        let shown = with_key(certificate.public_key().raw)?;
        let length = |length: usize| u32::try_from(length).unwrap_or_default().to_be_bytes();
        let [_, list @ ..] = length(3 + shown.len() + 2);
        let [_, own @ ..] = length(shown.len());
        let shorter = [&[0][..], &list, &own, &shown, &[0, 0]].concat();
        let head = |body: &[u8]| {
            let [_, length @ ..] = length(body.len());
            [&[CERTIFICATE], &length[..]].concat()
        };
        let record = message(CERTIFICATE, number, &shorter);
        let stand_in = StandIn {
            theirs: [&head(body), body].concat(),
            ours: [head(&shorter), shorter].concat(),
            leaf: leaf.start + MESSAGE_HEADER_13..leaf.end + MESSAGE_HEADER_13,
        };
        Some((stand_in, record.get(RECORD_HEADER..)?.to_vec()))
    }

    /// Bytes of memory.
    pub(super) fn held(&self) -> usize {
        self.theirs.capacity() + self.ours.capacity()
    }

    /// The client's own certificate.
    pub(super) fn leaf(&self) -> &[u8] {
        self.theirs.get(self.leaf.clone()).unwrap_or_default()
    }

    /// A transcript in three parts, with theirs in place of ours.
    fn in_place<'a>(&'a self, transcript: &'a [u8]) -> [&'a [u8]; 3] {
        let ours = self.ours.as_slice();
        let at = find(transcript, ours);
        let split = at.and_then(|at| transcript.split_at_checked(at));
        let (before, rest) = split.unwrap_or((transcript, &[]));
        match rest.split_at_checked(ours.len()) {
            Some((_, after)) => [before, &self.theirs, after],
            None => [before, &[], &[]],
        }
    }
}

/// Where one begins in the other. By its first byte, a message type, which is rare in what stands before it.
fn find(all: &[u8], part: &[u8]) -> Option<usize> {
    let first = part.first()?;
    let begins = all.iter().enumerate().filter(|(_, byte)| *byte == first);
    let mut places = begins.map(|(at, _)| at);
    places.find(|at| all.get(*at..).is_some_and(|rest| rest.starts_with(part)))
}

/// Where the first certificate is: its length stands after so many bytes.
fn certificate_at(body: &[u8], at: usize) -> Option<Range<usize>> {
    let [high, middle, low] = body.get(at..at + 3)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
    let range = at + 3..at + 3 + length;
    body.get(range.clone()).map(|_| range)
}

/// A certificate (RFC 5280 §4.1) with this public key, whose subject, issuer and signature are empty.
fn with_key(key: &[u8]) -> Option<Vec<u8>> {
    if key.len() > LONGEST_KEY {
        return None;
    }
    let sequence = |parts: &[&[u8]]| {
        let content = parts.concat();
        // All is shorter than 256 bytes, or a length would be wrong, and the engine would not take it.
        let length = u8::try_from(content.len()).unwrap_or_default();
        let head: &[u8] = if length < 128 {
            &[0x30, length]
        } else {
            &[0x30, 0x81, length]
        };
        [head, &content].concat()
    };
    // ecdsa-with-SHA256.
    let algorithm = sequence(&[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    let time = [&[0x17, 13][..], b"000101000000Z"].concat();
    let validity = sequence(&[&time, &time]);
    let nobody = sequence(&[]);
    let serial = [2, 1, 1];
    let content = sequence(&[&serial, &algorithm, &nobody, &validity, &nobody, key]);
    let signature = [3, 1, 0];
    Some(sequence(&[&content, &algorithm, &signature]))
}

impl fmt::Debug for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a Certificate message of {} bytes", self.theirs.len())
    }
}

/// Until [`take_back`], the engine's transcript is read with this in its place.
pub(super) fn put_to_work(stand_in: Option<Box<StandIn>>) {
    AT_WORK.set(stand_in);
}

/// The stand-in again.
pub(super) fn take_back() -> Option<Box<StandIn>> {
    AT_WORK.take()
}

/// Whether the engine at work has one.
pub(super) fn is_at_work() -> bool {
    with(|stand_in| stand_in.is_some())
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
