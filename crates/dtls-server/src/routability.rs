//! Return routability check (RFC 9853): does the client receive at the address from which its records come now?
//!
//! A session with connection IDs goes on when an authentic record comes from a new address. But the address of a datagram is
//! not authenticated: an attacker may have sent a copy of the record, from its own address or in the name of a third. So little is
//! sent there (three times what came from there, RFC 9853 §2) until the client has shown that it receives there.
//!
//! ```text
//!  a record that is_newest, from a new address ──▶ Association::challenge ──▶ path_challenge, to the new address
//!            Received::PathResponse, from there ◀── path_response
//! ```
//!
//! The user holds the [`Cookie`], the address and a deadline (one second where the time of a round trip is not known, §5.5), and
//! nothing of it is in the session. It may send more than one challenge, each of which has a cookie of its own; the address is
//! proven by a response with one of them that **comes from there**. Late, doubled and unknown responses are ignored (§5.4).
//!
//! # Basic, not enhanced
//!
//! This is the basic check (§5.1), which ends floods of third parties. The enhanced one (§5.2) asks at the old address first, so
//! that an attacker beside the path that forwards copies of all records, always faster than the network, does not get the
//! client's traffic redirected through itself. A server of devices behind NATs is better off without it: the old address of such
//! a device is dead, so that each move would wait for a timeout before anything is sent, and what the attacker gains, to read
//! and to drop what is encrypted, ends with the client's next record that arrives first. A client may do the enhanced check
//! with this server: a challenge is answered wherever it comes from, and with path_response, since a server does not leave its
//! address by choice (§5.2).

use crate::association::{Association, ProtectError};
use crate::crypto::random::{Random, Unavailable};
use crate::record::ContentType;
use std::fmt;

/// Bytes of a cookie.
const COOKIE_LENGTH: usize = 8;
/// Bytes of a message: its type and its cookie.
const LENGTH: usize = 1 + COOKIE_LENGTH;

/// What a response has in common with its challenge: random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cookie([u8; COOKIE_LENGTH]);

/// A message of the check (RFC 9853 §4), which is the content of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathMessage {
    /// Its receiver responds at once, to the address from which it came.
    Challenge(Cookie),
    /// The path on which the challenge came is in use.
    Response(Cookie),
    /// The path on which the challenge came is not in use any more.
    Drop(Cookie),
}

/// Why there is no challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// The client does not know the check (RFC 9853 §3).
    #[error("the client does not know return routability checks")]
    NotNegotiated,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// See [`ProtectError`].
    #[error(transparent)]
    Protect(#[from] ProtectError),
}

impl PathMessage {
    /// Reads the content of a record. `None`: it is malformed, or of another type, which is ignored (RFC 9853 §4).
    #[must_use]
    pub fn parse(content: &[u8]) -> Option<PathMessage> {
        let (message_type, cookie) = content.split_first()?;
        let cookie = Cookie(cookie.try_into().ok()?);
        match message_type {
            0 => Some(PathMessage::Challenge(cookie)),
            1 => Some(PathMessage::Response(cookie)),
            2 => Some(PathMessage::Drop(cookie)),
            _ => None,
        }
    }

    /// The content of its record.
    #[must_use]
    pub fn encode(self) -> [u8; LENGTH] {
        let (message_type, Cookie([a, b, c, d, e, f, g, h])) = match self {
            PathMessage::Challenge(cookie) => (0, cookie),
            PathMessage::Response(cookie) => (1, cookie),
            PathMessage::Drop(cookie) => (2, cookie),
        };
        [message_type, a, b, c, d, e, f, g, h]
    }

    /// A datagram with the message. `None`: the session has no record numbers left.
    #[must_use]
    pub fn protect(self, association: &mut Association) -> Option<Vec<u8>> {
        let mut datagram = Vec::new();
        let kind = ContentType::RETURN_ROUTABILITY_CHECK;
        let written = association.protect(kind, &self.encode(), &mut datagram);
        written.is_ok().then_some(datagram)
    }
}

impl Association {
    /// Appends a record to `out` that asks whether the client receives where it is sent. A response has the cookie: see
    /// [`routability`](self).
    ///
    /// # Errors
    /// There is no such record. Nothing is appended.
    pub fn challenge(
        &mut self,
        random: &mut dyn Random,
        out: &mut Vec<u8>,
    ) -> Result<Cookie, ChallengeError> {
        if !self.has_return_routability_check() {
            return Err(ChallengeError::NotNegotiated);
        }
        let mut cookie = Cookie([0; COOKIE_LENGTH]);
        random.fill(&mut cookie.0)?;
        let content = PathMessage::Challenge(cookie).encode();
        self.protect(ContentType::RETURN_ROUTABILITY_CHECK, &content, out)?;
        Ok(cookie)
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_type_and_its_cookie() {
        let cookie = Cookie(*b"8 bytes.");
        for (message, first) in [
            (PathMessage::Challenge(cookie), 0),
            (PathMessage::Response(cookie), 1),
            (PathMessage::Drop(cookie), 2),
        ] {
            let content = message.encode();
            assert_eq!(content[0], first);
            assert_eq!(content[1..], *b"8 bytes.");
            assert_eq!(PathMessage::parse(&content), Some(message));
        }
    }

    /// RFC 9853 §4: unknown types are ignored.
    #[test]
    fn what_is_malformed_or_unknown_is_no_message() {
        for content in [
            &b""[..],
            b"\x00",
            b"\x00 bytes.",
            b"\x018 bytes..",
            b"\x038 bytes.",
            b"\xff8 bytes.",
        ] {
            assert_eq!(PathMessage::parse(content), None, "{content:?}");
        }
    }

    #[test]
    fn a_cookie_is_not_shown() {
        assert_eq!(format!("{:?}", Cookie([7; 8])), "Cookie");
    }
}
