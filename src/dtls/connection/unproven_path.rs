//! A path that a session has moved to, until it is proven that the client receives there (RFC 9146 §6).
//!
//! A record from another address is authentic, but its sender's address may be forged: by somebody between client and gateway
//! that sends it on from elsewhere, or by the client. So the new path gets at most three times the bytes that came from it. What
//! is beyond that [waits](crate::dtls::waiting).

use super::super::path::Path;
use crate::timers::moment::Moment;
use dtls_server::routability::Cookie;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many times the bytes received are sent at most.
pub(in crate::dtls) const FACTOR: usize = 3;
/// Bytes of that which only what proves the path may take: a ping of CoAP or a path_challenge, to a client with a connection ID
/// of up to 13 bytes. It would have to wait behind what waits for it otherwise.
const RESERVED: usize = 64;
/// Datagrams that wait, and their bytes.
const MAX_WAITING: usize = 8;
const MAX_WAITING_BYTES: usize = 8 * 1024;
/// The time between a challenge and the next, as that of a round trip is not known (RFC 9853 §5.5).
const CHALLENGE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest one. It doubles with each challenge that is sent because something waits.
const LONGEST_INTERVAL: Duration = Duration::from_secs(32);
/// Challenges whose responses are accepted: a round trip may take longer than [`CHALLENGE_INTERVAL`].
const CHALLENGES: usize = 4;

/// What was received from, and sent to, an unproven path.
#[derive(Debug)]
pub(in crate::dtls) struct UnprovenPath {
    /// Where the client was proven to be.
    pub(in crate::dtls) proven: Path,
    received: usize,
    sent: usize,
    /// The numbers of what waits, and the lengths of its datagrams.
    waiting: VecDeque<(u64, usize)>,
    /// Of clients that know return routability checks (RFC 9853). Only a response proves their path.
    challenges: Option<Box<Challenges>>,
}

/// Challenges that were sent to a path, the last one first.
#[derive(Debug, Clone, Copy)]
struct Challenges {
    cookies: [Option<Cookie>; CHALLENGES],
    last: Option<Moment>,
    interval: Duration,
}

impl Challenges {
    const NONE: Challenges = Challenges {
        cookies: [None; CHALLENGES],
        last: None,
        interval: CHALLENGE_INTERVAL,
    };
}

impl UnprovenPath {
    /// `proven`: where the client was before.
    pub(in crate::dtls) fn new(proven: Path, knows_routability: bool) -> UnprovenPath {
        UnprovenPath {
            proven,
            received: 0,
            sent: 0,
            waiting: VecDeque::new(),
            challenges: knows_routability.then(|| Box::new(Challenges::NONE)),
        }
    }

    /// The client has moved on before its path was proven. What waits is for where it is now.
    pub(in crate::dtls) fn moved(mut self) -> UnprovenPath {
        (self.received, self.sent) = (0, 0);
        if let Some(challenges) = &mut self.challenges {
            **challenges = Challenges::NONE;
        }
        self
    }

    /// Whether the path is proven by a return routability check and by nothing else.
    pub(in crate::dtls) fn needs_response(&self) -> bool {
        self.challenges.is_some()
    }

    /// Whether a challenge may follow the last one, because something came from there.
    pub(in crate::dtls) fn may_challenge(&self, now: Instant) -> bool {
        let challenges = self.challenges.as_ref();
        challenges.is_some_and(|challenges| {
            let last = challenges.last.map(Instant::from);
            last.is_none_or(|at| at + CHALLENGE_INTERVAL <= now)
        })
    }

    /// When to send the next challenge, because something waits.
    pub(in crate::dtls) fn next_challenge(&self) -> Option<Instant> {
        let challenges = self.challenges.as_ref().filter(|_| self.has_waiting())?;
        Some(Instant::from(challenges.last?) + challenges.interval)
    }

    /// A challenge with this cookie is sent, or would be if the limit allowed it.
    pub(in crate::dtls) fn challenged(&mut self, now: Instant, cookie: Cookie) {
        let Some(challenges) = &mut self.challenges else {
            return;
        };
        challenges.cookies.rotate_right(1);
        if let Some(first) = challenges.cookies.first_mut() {
            *first = Some(cookie);
        }
        if challenges.last.is_some() {
            challenges.interval = (challenges.interval * 2).min(LONGEST_INTERVAL);
        }
        challenges.last = Some(now.into());
    }

    /// Whether a response with this cookie proves it, if that came from there.
    pub(in crate::dtls) fn is_proven_by(&self, cookie: Cookie) -> bool {
        let challenges = self.challenges.as_ref();
        challenges.is_some_and(|challenges| challenges.cookies.contains(&Some(cookie)))
    }

    /// Whether a datagram of this length is sent now. If so, it counts. A short one does not wait behind a long one.
    pub(in crate::dtls) fn sends(&mut self, bytes: usize) -> bool {
        self.sends_if(self.may_send(bytes), bytes)
    }

    /// As [`sends`](Self::sends), of one that proves the path when it is answered.
    pub(in crate::dtls) fn sends_proof(&mut self, bytes: usize) -> bool {
        self.sends_if(bytes <= self.left(), bytes)
    }

    fn sends_if(&mut self, is_allowed: bool, bytes: usize) -> bool {
        if is_allowed {
            self.sent = self.sent.saturating_add(bytes);
        }
        is_allowed
    }

    /// Whether there is room for a datagram of this length to wait.
    pub(in crate::dtls) fn has_room(&self, bytes: usize) -> bool {
        let waiting: usize = self.waiting.iter().map(|(_, bytes)| bytes).sum();
        self.waiting.len() < MAX_WAITING && waiting.saturating_add(bytes) <= MAX_WAITING_BYTES
    }

    /// The numbers of what waits.
    pub(in crate::dtls) fn waiting(&self) -> impl Iterator<Item = u64> {
        self.waiting.iter().map(|(number, _)| *number)
    }

    /// Something waits.
    pub(in crate::dtls) fn wait(&mut self, number: u64, bytes: usize) {
        self.waiting.push_back((number, bytes));
    }

    /// It does not wait any more.
    pub(in crate::dtls) fn forget(&mut self, number: u64) {
        self.waiting.retain(|(waiting, _)| *waiting != number);
    }

    /// An authentic datagram of this length has come from there.
    pub(in crate::dtls) fn received(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
    }

    /// Whether something waits.
    pub(in crate::dtls) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The number of what waits and is sent now. It counts.
    pub(in crate::dtls) fn pop(&mut self) -> Option<u64> {
        let at = (self.waiting.iter()).position(|(_, bytes)| self.may_send(*bytes))?;
        let (number, bytes) = self.waiting.remove(at)?;
        self.sends(bytes).then_some(number)
    }

    /// What waits, for a path that is proven now.
    pub(in crate::dtls) fn into_waiting(self) -> impl Iterator<Item = u64> {
        self.waiting.into_iter().map(|(number, _)| number)
    }

    /// Bytes that may be sent.
    fn left(&self) -> usize {
        self.received
            .saturating_mul(FACTOR)
            .saturating_sub(self.sent)
    }

    fn may_send(&self, bytes: usize) -> bool {
        bytes.saturating_add(RESERVED) <= self.left()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(knows_routability: bool) -> UnprovenPath {
        let proven = Path {
            remote: ([192, 0, 2, 1], 1).into(),
            local: None,
            via: None,
        };
        UnprovenPath::new(proven, knows_routability)
    }

    #[test]
    fn three_times_what_came_is_sent_and_the_rest_waits_in_order() {
        let mut path = path(false);
        assert!(!path.sends(1) && !path.sends_proof(1), "nothing came yet");
        path.wait(1, 10);
        path.wait(2, 11);
        path.received(100);
        assert_eq!((path.pop(), path.pop()), (Some(1), Some(2)));
        assert!(!path.has_waiting());
        // 279 are left, of which 64 are reserved.
        assert!(!path.sends(216));
        path.wait(3, 216);
        path.wait(4, 217);
        assert_eq!(path.pop(), None);
        // What is short is not held up by what is too long for now.
        assert!(path.sends(15) && path.sends(200) && !path.sends(1));
        assert!(!path.sends_proof(65) && path.sends_proof(60) && path.sends_proof(4));
        assert!(!path.sends_proof(1));
        path.received(93);
        assert_eq!(path.pop(), None);
        path.received(1);
        assert_eq!((path.pop(), path.pop()), (Some(3), None));
        assert!(path.has_waiting());
        path.forget(4);
        assert!(!path.has_waiting());
        path.wait(5, 1);
        let mut path = path.moved();
        assert!(!path.sends_proof(1), "to another one");
        path.received(23);
        assert_eq!(path.pop(), Some(5));
    }

    #[test]
    fn what_waits_is_bounded_by_number_and_by_bytes() {
        for (bytes, most) in [(9, MAX_WAITING), (1200, MAX_WAITING_BYTES / 1200)] {
            let mut path = path(false);
            for number in 0..20 {
                if path.has_room(bytes) {
                    path.wait(number, bytes);
                }
            }
            let expected = 0..u64::try_from(most).unwrap();
            assert!(path.into_waiting().eq(expected), "{bytes}");
        }
    }

    #[test]
    fn challenges_follow_one_another_more_and_more_slowly_while_something_waits() {
        use dtls_server::routability::PathMessage;
        let cookie = |number| match PathMessage::parse(&[0, 1, 2, 3, 4, 5, 6, 7, number]) {
            Some(PathMessage::Challenge(cookie)) => cookie,
            other => panic!("{other:?}"),
        };
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let mut now = Instant::now();
        let start = now;
        let mut path = path(true);
        let mut cookies = vec![cookie(0)];
        path.challenged(now, cookies[0]);
        assert_eq!(path.next_challenge(), None, "nothing waits");
        path.wait(1, 1);
        let mut at = Vec::new();
        for number in 1..9 {
            now = path.next_challenge().unwrap();
            at.push((now - start).as_secs());
            cookies.push(cookie(number));
            path.challenged(now, *cookies.last().unwrap());
        }
        assert_eq!(at, [1, 3, 7, 15, 31, 63, 95, 127]);
        assert!(!path.may_challenge(now) && path.may_challenge(now + CHALLENGE_INTERVAL));
        let proves: Vec<_> = cookies.iter().map(|one| path.is_proven_by(*one)).collect();
        assert_eq!(proves.iter().filter(|proves| **proves).count(), CHALLENGES);
        assert!(proves.ends_with(&[true; CHALLENGES]));
        let path = path.moved();
        assert!(path.may_challenge(now) && !path.is_proven_by(*cookies.last().unwrap()));
    }
}
