//! The counts of all sessions together. Their size does not depend on how much is counted.

use super::dtls;
use super::latencies::Latencies;
use coap::Code;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many different failure texts are kept.
const TEXTS: usize = 5;

/// A failure of a session or an exchange, other than an error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ErrorKind {
    /// No socket could be bound.
    Socket,
    HandshakeTimeout,
    Handshake,
    /// An established session was closed.
    Closed,
    /// No acknowledgement or no response was received.
    NoAnswer,
    /// The server has reset the request.
    Reset,
    /// The server sent bytes that are not a CoAP message.
    Malformed,
    /// The server refused the observation, or ended it.
    NotObserved,
    /// A session was dead at the end of an idle run.
    Dead,
}

impl ErrorKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            ErrorKind::Socket => "no socket",
            ErrorKind::HandshakeTimeout => "handshake timed out",
            ErrorKind::Handshake => "handshake failed",
            ErrorKind::Closed => "session closed",
            ErrorKind::NoAnswer => "no answer",
            ErrorKind::Reset => "reset",
            ErrorKind::Malformed => "malformed message",
            ErrorKind::NotObserved => "not observed",
            ErrorKind::Dead => "dead at the end",
        }
    }
}

/// The counts of a run.
pub(crate) struct Tally {
    /// Requests that were answered while it was measured, errors included.
    pub(crate) latencies: Latencies,
    pub(crate) handshakes: Latencies,
    /// Handshakes of a loop, or those that brought a lost session back.
    pub(crate) handshakes_measured: u64,
    /// Handshakes that have resumed a session.
    pub(crate) resumed: u64,
    /// Sessions that got another port.
    pub(crate) moved: u64,
    /// Those of them whose next request was answered with success in the same session.
    pub(crate) served: u64,
    /// Those whose request was answered only after another handshake.
    pub(crate) served_after_handshake: u64,
    /// The number of responses with each code, by the code's byte.
    pub(crate) codes: BTreeMap<u8, u64>,
    pub(crate) errors: BTreeMap<ErrorKind, u64>,
    /// The texts of the first few failures.
    pub(crate) texts: Vec<String>,
    pub(crate) retransmissions: u64,
    pub(crate) notifications: u64,
    /// How many observing sessions had so many notifications.
    pub(crate) notified: BTreeMap<u64, u64>,
    /// Pings that were answered at the end of an idle run.
    pub(crate) alive: u64,
    /// How many sessions are established now.
    pub(crate) established: u32,
    /// When all sessions were established at the same time, for the first time.
    pub(crate) complete: Option<Instant>,
    /// Requests that were outstanding when the measurement ended.
    pub(crate) unfinished: u64,
}

impl Tally {
    pub(crate) fn shared() -> Result<Mutex<Tally>, String> {
        Ok(Mutex::new(Tally {
            latencies: Latencies::new()?,
            handshakes: Latencies::new()?,
            handshakes_measured: 0,
            resumed: 0,
            moved: 0,
            served: 0,
            served_after_handshake: 0,
            codes: BTreeMap::new(),
            errors: BTreeMap::new(),
            texts: Vec::new(),
            retransmissions: 0,
            notifications: 0,
            notified: BTreeMap::new(),
            alive: 0,
            established: 0,
            complete: None,
            unfinished: 0,
        }))
    }

    pub(crate) fn code(&mut self, code: Code) {
        *self.codes.entry(code.0).or_default() += 1;
    }

    pub(crate) fn count_error(&mut self, kind: ErrorKind) {
        *self.errors.entry(kind).or_default() += 1;
    }

    pub(crate) fn failure(&mut self, failure: &dtls::Failure) {
        let (kind, text) = match failure {
            dtls::Failure::Socket(text) => (ErrorKind::Socket, Some(text)),
            dtls::Failure::HandshakeTimeout => (ErrorKind::HandshakeTimeout, None),
            dtls::Failure::Handshake(text) => (ErrorKind::Handshake, Some(text)),
            dtls::Failure::Closed => (ErrorKind::Closed, None),
        };
        self.count_error(kind);
        if let Some(text) =
            text.filter(|text| !self.texts.contains(text) && self.texts.len() < TEXTS)
        {
            self.texts.push(text.clone());
        }
    }

    /// The number of error responses (class 4 and 5) and other failures.
    pub(crate) fn errors(&self) -> u64 {
        let responses = self.codes.iter().filter(|(code, _)| **code >= 0x80);
        responses
            .map(|(_, count)| count)
            .chain(self.errors.values())
            .sum()
    }
}

/// Locks the counts. They are valid even if a holder of the lock has panicked.
pub(crate) fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_responses_of_class_4_and_5_and_other_failures() {
        let tally = Tally::shared().unwrap();
        let mut tally = lock(&tally);
        for code in [0x44, 0x45, 0x80, 0xa3, 0xa3] {
            tally.code(Code(code));
        }
        tally.failure(&dtls::Failure::Closed);
        for n in 0..100 {
            tally.failure(&dtls::Failure::Handshake(format!("reason {}", n / 2)));
        }
        assert_eq!(tally.errors(), 3 + 1 + 100);
        assert_eq!((tally.texts.len(), tally.errors.len()), (TEXTS, 2));
    }
}
