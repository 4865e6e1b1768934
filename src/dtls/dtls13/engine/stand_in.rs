//! A stand-in for a client's Certificate message, which is stored once, outside the engine.
//!
//! By itself the engine would store the certificates five times (in buffers of a record, a message and the transcript, which
//! doubles, and as certificates), and for the life of the session. So it gets a short Certificate message instead of the
//! client's. To hash or verify its transcript it calls our providers, and they substitute the client's message: the
//! transcript that is hashed, and that the client's signature and Finished cover, is what the client has sent, byte for
//! byte (RFC 8446 §4.4). Otherwise no handshake would complete. The message is freed after the
//! handshake.
//!
//! The message is encrypted, and replaced if it is long or in several records (see [`super::plaintext_filter`]).

use super::CryptoError;
use super::crypto::{
    Buf, HashAlgorithm, HashContext, HashProvider, SignatureAlgorithm, SignatureVerifier,
    aws_lc_rs::default_provider,
};
use crate::dtls::dtls13::inbound::{CERTIFICATE, message};
use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Bytes of a record's header.
const RECORD_HEADER: usize = 13;
/// Bytes of a handshake message's header in the transcript: its type and length (RFC 9147 §5.2).
const MESSAGE_HEADER: usize = 4;
/// Most bytes of a public key: those of P-256 and P-384 have 91 and 120; the engine verifies no others.
const LONGEST_KEY: usize = 200;

thread_local! {
    /// The stand-in of the engine that is running.
    static ACTIVE: Cell<Option<Box<StandIn>>> = const { Cell::new(None) };
}

/// A client's Certificate message, and the one that the engine has instead.
pub(super) struct StandIn {
    /// The client's message, as in the transcript.
    original: Vec<u8>,
    /// The engine's message, as in the transcript.
    replacement: Vec<u8>,
    /// The range of the leaf certificate in the client's message.
    leaf: Range<usize>,
}

impl StandIn {
    /// For the body of a Certificate message. Also returns the message for the engine: it contains the public
    /// key, which the engine reads. `None` if the body has no certificate, or one that can't be parsed.
    pub(super) fn new(number: u16, body: &[u8]) -> Option<(StandIn, Vec<u8>)> {
        // RFC 8446 §4.4.2: an empty request context before the list.
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
            original: [&head(body), body].concat(),
            replacement: [head(&shorter), shorter].concat(),
            leaf: leaf.start + MESSAGE_HEADER..leaf.end + MESSAGE_HEADER,
        };
        Some((stand_in, record.get(RECORD_HEADER..)?.to_vec()))
    }

    /// Bytes of memory that it uses.
    pub(super) fn held(&self) -> usize {
        self.original.capacity() + self.replacement.capacity()
    }

    /// The client's leaf certificate.
    pub(super) fn leaf(&self) -> &[u8] {
        self.original.get(self.leaf.clone()).unwrap_or_default()
    }

    /// A transcript in three parts, with the client's message instead of the engine's.
    fn substitute<'a>(&'a self, transcript: &'a [u8]) -> [&'a [u8]; 3] {
        let replacement = self.replacement.as_slice();
        let at = find(transcript, replacement);
        let split = at.and_then(|at| transcript.split_at_checked(at));
        let (before, rest) = split.unwrap_or((transcript, &[]));
        match rest.split_at_checked(replacement.len()) {
            Some((_, after)) => [before, &self.original, after],
            None => [before, &[], &[]],
        }
    }
}

/// The position of `part` in `all`. Compares the first byte first: a message type, which is rare in what precedes it.
fn find(all: &[u8], part: &[u8]) -> Option<usize> {
    let first = part.first()?;
    let begins = all.iter().enumerate().filter(|(_, byte)| *byte == first);
    let mut places = begins.map(|(at, _)| at);
    places.find(|at| all.get(*at..).is_some_and(|rest| rest.starts_with(part)))
}

/// The range of the first certificate, whose length field begins at `at`.
fn certificate_at(body: &[u8], at: usize) -> Option<Range<usize>> {
    let [high, middle, low] = body.get(at..at + 3)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
    let range = at + 3..at + 3 + length;
    body.get(range.clone()).map(|_| range)
}

/// A certificate (RFC 5280 §4.1) with this public key, and with an empty subject, issuer and signature.
fn with_key(key: &[u8]) -> Option<Vec<u8>> {
    if key.len() > LONGEST_KEY {
        return None;
    }
    let sequence = |parts: &[&[u8]]| {
        let content = parts.concat();
        // All parts are shorter than 256 bytes. Otherwise the length would be wrong, and the engine would reject it.
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
    let empty_name = sequence(&[]);
    let serial = [2, 1, 1];
    let content = sequence(&[
        &serial,
        &algorithm,
        &empty_name,
        &validity,
        &empty_name,
        key,
    ]);
    let signature = [3, 1, 0];
    Some(sequence(&[&content, &algorithm, &signature]))
}

impl fmt::Debug for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a Certificate message of {} bytes", self.original.len())
    }
}

/// Makes this stand-in the active one until [`deactivate`].
pub(super) fn activate(stand_in: Option<Box<StandIn>>) {
    ACTIVE.set(stand_in);
}

/// Takes the active stand-in back.
pub(super) fn deactivate() -> Option<Box<StandIn>> {
    ACTIVE.take()
}

/// Whether the running engine has a stand-in.
pub(super) fn is_active() -> bool {
    with(|stand_in| stand_in.is_some())
}

fn with<T>(call: impl FnOnce(Option<&StandIn>) -> T) -> T {
    let stand_in = ACTIVE.take();
    let outcome = call(stand_in.as_deref());
    ACTIVE.set(stand_in);
    outcome
}

/// A hash provider that hashes the transcript as it was sent.
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
                .substitute(data)
                .into_iter()
                .for_each(|part| self.0.update(part)),
            None => self.0.update(data),
        });
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

/// Verifies signatures over the transcript as it was sent, with the certificate as it was sent.
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
                let data = stand_in.substitute(data).concat();
                verifier.verify_signature(stand_in.leaf(), &data, signature, hash, algorithm)
            }
            None => verifier.verify_signature(certificate, data, signature, hash, algorithm),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body of a Certificate message with two certificates: this one, and one byte.
    fn body(leaf: &[u8]) -> Vec<u8> {
        let u24 = |length: usize| u32::try_from(length).unwrap().to_be_bytes()[1..].to_vec();
        let entry = |certificate: &[u8]| [&u24(certificate.len()), certificate, &[0, 0]].concat();
        let list = [entry(leaf), entry(&[5])].concat();
        [&[0], &u24(list.len())[..], &list].concat()
    }

    #[test]
    fn the_transcript_is_hashed_as_it_was_sent() {
        let made = rcgen::generate_simple_self_signed(vec!["device".to_owned()]).unwrap();
        let body = body(made.cert.der());
        let (stand_in, of_engine) = StandIn::new(2, &body).unwrap();
        assert_eq!(stand_in.leaf(), made.cert.der().as_ref());
        // The transcript has no message number and no fragments (RFC 9147 §5.2).
        let in_transcript = |message: &[u8]| [&message[..4], &message[12..]].concat();
        let sent = in_transcript(&message(CERTIFICATE, 2, &body)[RECORD_HEADER..]);
        let (before, after) = (b"hello, hello", b"certificate verify");
        let of_engine = [before, &in_transcript(&of_engine)[..], after].concat();
        let original = [&before[..], &sent, after].concat();
        assert!(of_engine.len() < original.len());
        assert_eq!(stand_in.substitute(&of_engine).concat(), original);
        assert_eq!(stand_in.substitute(before).concat(), before);
        assert!(stand_in.substitute(&[]).concat().is_empty());

        let hash = |transcript: &[u8]| {
            let mut hash = Hashes.create_hash(HashAlgorithm::SHA256);
            hash.update(transcript);
            let mut out = Buf::new();
            hash.clone_and_finalize(&mut out);
            out.into_vec()
        };
        let of_original = hash(&original);
        assert_ne!(hash(&of_engine), of_original);
        activate(Some(Box::new(stand_in)));
        assert_eq!(hash(&of_engine), of_original);
        assert!(deactivate().is_some() && deactivate().is_none());
    }

    #[test]
    fn a_message_without_a_certificate_has_no_stand_in() {
        let other_context = [&[1, 9], &body(&[7; 9])[1..]].concat();
        for body in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 5, 0, 0, 9, 1, 1],
            &body(b"not a certificate"),
            &other_context,
        ] {
            assert!(StandIn::new(2, body).is_none(), "{body:?}");
        }
    }
}
