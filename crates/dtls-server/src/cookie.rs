//! Stateless cookies, which prove that a client receives at its address (RFC 6347 §4.2.1).
//!
//! A first ClientHello is answered with a HelloVerifyRequest, which is never longer than the hello, and nothing is kept of it:
//! neither memory nor a timer. Only a hello that returns its cookie begins a handshake, whether it resumes a session or not.
//!
//! A cookie is a MAC over what the user says about the source, and over the fields of the hello that the client must repeat:
//! version, random, session id, cipher suites and compression methods. It is valid for one to two minutes.
//!
//! # Fragmented hellos
//!
//! A hello in fragments is answered by its first one, if that has all these fields: the client then repeats the hello with the
//! cookie, in fragments again, and the first of them is kept as a [`FragmentedHello`]. A first fragment that ends before is
//! not answered: what is needed to answer it would have to be kept for a peer that may not exist.

mod fragmented;

pub use fragmented::FragmentedHello;

use crate::crypto::random::{Random, Unavailable};
use crate::message::client_hello::ClientHello;
use crate::message::server_hello::HelloVerifyRequest;
use crate::message::{Fragment, HandshakeType, fragments, whole};
use crate::reassembly::{Message, Reassembly};
use crate::record::{self, ContentType, DTLS_1_0, MAX_SEQUENCE, Record};
use crate::wire::{Malformed, Reader};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use std::fmt;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Bytes of a cookie. DTLS 1.0 has room for 32; fewer save a device's energy.
pub const COOKIE_LENGTH: usize = 16;
/// Numbers that are left to the server behind those of a hello: more than the records and messages of any handshake.
const LEFT: u16 = 1 << 12;
/// How long cookies are issued of one kind. They are valid while those of the next kind are issued, too.
const PERIOD: Duration = Duration::from_secs(60);

/// Issues and checks cookies.
pub struct Cookies {
    key: hmac::Key,
    start: Instant,
}

/// What to do with a datagram that belongs to no session.
#[derive(Debug)]
pub enum CookieReply {
    /// Send this back: a HelloVerifyRequest, not longer than the datagram.
    Verify(Vec<u8>),
    /// Begin a handshake.
    Verified(VerifiedHello),
    /// Keep this until the rest of the hello has come, for a limited time.
    FirstFragment(FragmentedHello),
    /// Ignore it, unless there is a [`FragmentedHello`] from this source.
    LaterFragment,
    /// Ignore it: no ClientHello.
    NotHello,
    /// Ignore it: a ClientHello that can't be read, or only to a point before what its cookie is bound to, or whose numbers
    /// leave none for the answer.
    Malformed,
}

/// A ClientHello from an address that is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedHello {
    /// The whole message. Its `message_seq` is that of the ServerHello too.
    pub message: Message,
    /// The number of its record, which is that of the ServerHello's first record too (RFC 6347 §4.2.1).
    pub record_sequence: u64,
}

impl Cookies {
    /// Takes a key from `random`.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn new(random: &mut dyn Random, now: Instant) -> Result<Cookies, Unavailable> {
        let mut key = Zeroizing::new([0; 32]);
        random.fill(&mut *key)?;
        Ok(Cookies {
            key: hmac::Key::new(hmac::HMAC_SHA256, &*key),
            start: now,
        })
    }

    /// Judges a datagram by its first record. `source`: what identifies the sender, its address and port for instance.
    #[must_use]
    pub fn reply(&self, now: Instant, source: &[u8], datagram: &[u8]) -> CookieReply {
        let Some((record, fragment)) = first_fragment(datagram) else {
            return CookieReply::NotHello;
        };
        if fragment.header.fragment_offset != 0 {
            return CookieReply::LaterFragment;
        }
        let Ok(hello) = ClientHello::parse_start(&mut Reader::new(fragment.body)) else {
            return CookieReply::Malformed;
        };
        if !self.is_valid(now, source, &hello) {
            let request = self.hello_verify_request(now, source, &hello, &record, &fragment);
            return match request {
                Ok(request) if request.len() <= datagram.len() => CookieReply::Verify(request),
                Ok(_) | Err(_) => CookieReply::Malformed,
            };
        }
        // Our numbers go on from the hello's, and don't wrap (RFC 6347 §4.1, §4.2.2).
        let has_left = record.sequence <= MAX_SEQUENCE - u64::from(LEFT)
            && fragment.header.message_seq <= u16::MAX - LEFT;
        if !has_left {
            return CookieReply::Malformed;
        }
        let mut reassembly = Reassembly::new(fragment.header.message_seq);
        reassembly.insert(&fragment, false);
        if let Some(message) = reassembly.take(&[HandshakeType::CLIENT_HELLO]) {
            return CookieReply::Verified(VerifiedHello {
                message,
                record_sequence: record.sequence,
            });
        }
        match reassembly.size() {
            // Too large, or ends behind its end.
            0 => CookieReply::Malformed,
            _ => CookieReply::FirstFragment(FragmentedHello::new(
                reassembly,
                fragment.header,
                record.sequence,
            )),
        }
    }

    /// Both numbers are the hello's: a server that keeps nothing can't count, and the client expects them next (RFC 6347
    /// §4.2.1, §4.2.2).
    fn hello_verify_request(
        &self,
        now: Instant,
        source: &[u8],
        hello: &ClientHello<'_>,
        record: &Record<'_>,
        fragment: &Fragment<'_>,
    ) -> Result<Vec<u8>, Malformed> {
        let mac = self.mac(self.period(now), source, hello);
        let cookie = mac.as_ref().get(..COOKIE_LENGTH).ok_or(Malformed)?;
        let mut body = Vec::with_capacity(3 + COOKIE_LENGTH);
        // §4.2.1: DTLS 1.0 whatever will be negotiated.
        let version = DTLS_1_0;
        HelloVerifyRequest { version, cookie }.write(&mut body)?;
        let message_type = HandshakeType::HELLO_VERIFY_REQUEST;
        let message = whole(message_type, fragment.header.message_seq, &body)?;
        let mut datagram = Vec::with_capacity(64);
        record::write_plaintext(
            &mut datagram,
            ContentType::HANDSHAKE,
            version,
            record.sequence,
            &message,
        )
        .map_err(|_| Malformed)?;
        Ok(datagram)
    }

    fn is_valid(&self, now: Instant, source: &[u8], hello: &ClientHello<'_>) -> bool {
        if hello.cookie.len() != COOKIE_LENGTH {
            return false;
        }
        let period = self.period(now);
        [Some(period), period.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|period| {
                let mac = self.mac(period, source, hello);
                let cookie = mac.as_ref().get(..COOKIE_LENGTH);
                cookie.is_some_and(|cookie| verify_slices_are_equal(cookie, hello.cookie).is_ok())
            })
    }

    fn period(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.start);
        age.as_secs() / PERIOD.as_secs()
    }

    fn mac(&self, period: u64, source: &[u8], hello: &ClientHello<'_>) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&period.to_be_bytes());
        context.update(&hello.version.to_be_bytes());
        context.update(&hello.random);
        // What can be of several lengths has its length in front, so that no byte can pass from one to the next.
        for field in [
            source,
            hello.session_id,
            hello.cipher_suites.as_bytes(),
            hello.compression_methods,
        ] {
            let length = u64::try_from(field.len()).unwrap_or(u64::MAX);
            context.update(&length.to_be_bytes());
            context.update(field);
        }
        context.sign()
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

/// The first fragment of the first record, if it is of a ClientHello in plaintext.
fn first_fragment(datagram: &[u8]) -> Option<(Record<'_>, Fragment<'_>)> {
    let record = record::records(datagram, 0).next()?;
    if record.content_type != ContentType::HANDSHAKE || record.epoch != 0 {
        return None;
    }
    let fragment = fragments(record.fragment).next()?.ok()?;
    let is_hello = fragment.header.message_type == HandshakeType::CLIENT_HELLO;
    is_hello.then_some((record, fragment))
}

#[cfg(test)]
mod tests;
