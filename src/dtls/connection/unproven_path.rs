//! A path that a session has moved to, until it is proven that the client receives there (RFC 9146 §6).
//!
//! A record from another address is authentic, but its sender's address may be forged: somebody between client and gateway
//! can send it on from elsewhere. So the new path gets at most three times the bytes that came from it. What is beyond that
//! waits.

use crate::dtls::path::Path;
use dtls_server::routability::Cookie;
use std::collections::VecDeque;

/// How many times the bytes received are sent at most.
pub(in crate::dtls) const FACTOR: usize = 3;
/// Datagrams that wait, and their bytes.
const MAX_WAITING: usize = 8;
const MAX_WAITING_BYTES: usize = 8 * 1024;

/// What was received from, and sent to, an unproven path.
#[derive(Debug)]
pub(in crate::dtls) struct UnprovenPath {
    /// Where the client was proven to be.
    pub(in crate::dtls) proven: Path,
    received: usize,
    sent: usize,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// Of the challenge that was sent there (RFC 9853).
    challenge: Option<Cookie>,
}

/// What to do with a datagram for an unproven path.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dtls) enum Offered {
    Send(Vec<u8>),
    /// It waits until the path is proven or more has come from there.
    Waits,
    /// There is no room for it.
    Dropped,
}

impl UnprovenPath {
    /// `proven`: where the client was before.
    pub(in crate::dtls) fn new(proven: Path) -> UnprovenPath {
        UnprovenPath {
            proven,
            received: 0,
            sent: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            challenge: None,
        }
    }

    /// The client has moved on before its path was proven. What waits is for where it is now.
    pub(in crate::dtls) fn moved(mut self) -> UnprovenPath {
        (self.received, self.sent) = (0, 0);
        self.challenge = None;
        self
    }

    /// A challenge with this cookie is sent there.
    pub(in crate::dtls) fn challenged(&mut self, cookie: Cookie) {
        self.challenge = Some(cookie);
    }

    /// Whether a response with this cookie proves it, if that came from there.
    pub(in crate::dtls) fn is_proven_by(&self, cookie: Cookie) -> bool {
        self.challenge == Some(cookie)
    }

    /// Another datagram for the client. A short one does not wait behind a long one: it may be what proves the path.
    pub(in crate::dtls) fn offer(&mut self, datagram: Vec<u8>) -> Offered {
        if self.may_send(datagram.len()) {
            self.sent = self.sent.saturating_add(datagram.len());
            return Offered::Send(datagram);
        }
        let bytes = self.waiting_bytes.saturating_add(datagram.len());
        if self.waiting.len() >= MAX_WAITING || bytes > MAX_WAITING_BYTES {
            return Offered::Dropped;
        }
        self.waiting_bytes = bytes;
        self.waiting.push_back(datagram);
        Offered::Waits
    }

    /// An authentic datagram of this length has come from there.
    pub(in crate::dtls) fn received(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
    }

    /// Whether something waits.
    pub(in crate::dtls) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next waiting datagram that may be sent now.
    pub(in crate::dtls) fn pop(&mut self) -> Option<Vec<u8>> {
        let next = self.waiting.front()?.len();
        if !self.may_send(next) {
            return None;
        }
        self.sent = self.sent.saturating_add(next);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(next);
        self.waiting.pop_front()
    }

    /// What waits, for a path that is proven now.
    pub(in crate::dtls) fn into_waiting(self) -> VecDeque<Vec<u8>> {
        self.waiting
    }

    fn may_send(&self, bytes: usize) -> bool {
        self.sent.saturating_add(bytes) <= self.received.saturating_mul(FACTOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> UnprovenPath {
        UnprovenPath::new(Path {
            remote: ([192, 0, 2, 1], 1).into(),
            local: None,
        })
    }

    #[test]
    fn three_times_what_came_is_sent_and_the_rest_waits_in_order() {
        let mut path = path();
        assert_eq!(path.offer(vec![1; 1]), Offered::Waits, "nothing came yet");
        assert_eq!(path.offer(vec![2; 10]), Offered::Waits);
        path.received(100);
        assert_eq!(path.pop(), Some(vec![1; 1]));
        assert_eq!(path.pop(), Some(vec![2; 10]));
        assert_eq!(path.offer(vec![3; 290]), Offered::Waits);
        assert_eq!(path.pop(), None);
        // What is short is not held up by what is too long for now.
        assert_eq!(path.offer(vec![4; 39]), Offered::Send(vec![4; 39]));
        path.received(13);
        assert_eq!(path.pop(), None, "289 bytes are left");
        path.received(1);
        assert!(path.has_waiting());
        assert_eq!(path.pop(), Some(vec![3; 290]));
        assert_eq!(path.offer(vec![5; 1]), Offered::Send(vec![5; 1]));
        assert_eq!(path.offer(vec![6; 2]), Offered::Waits);
        assert_eq!(path.pop(), None);
    }

    #[test]
    fn what_waits_is_bounded_by_number_and_by_bytes() {
        let mut short = path();
        let waiting = (0..20).filter(|_| short.offer(vec![0; 9]) == Offered::Waits);
        assert_eq!(waiting.count(), MAX_WAITING);
        assert_eq!(short.into_waiting().len(), MAX_WAITING);
        let mut long = path();
        let waiting = (0..20).filter(|_| long.offer(vec![0; 1200]) == Offered::Waits);
        assert_eq!(waiting.count(), MAX_WAITING_BYTES / 1200);
    }
}
