//! One DTLS session, from a first ClientHello to its end.
//!
//! ```text
//! Unproven ──▶ Proven ──▶ Established ──▶ (ended)
//!  cookie       flights     application data
//!  pending      under way
//! ```
//!
//! *Unproven*: the peer's address may be forged, so nothing larger than what came in goes out, and
//! nothing goes out by timer. *Proven*: the engine has accepted a cookie; the handshake runs under
//! its deadline. *Established*: the client's key is proven and its certificate accepted.

use super::cookie;
use super::engine::{Engine, EngineOutput};
use super::inbound::InboundFilter;
use super::path::Path;
use super::record;
use crate::timers;
use std::time::Instant;

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The peer's address may be forged.
    Unproven,
    /// The peer receives what we send to its address.
    Proven,
    /// The peer owns its certificate's key.
    Established,
}

/// A session and its engine.
pub struct Session {
    /// Where its peer is.
    pub path: Path,
    /// How far it has come.
    pub stage: Stage,
    /// The engine.
    pub engine: Engine,
    /// What of a datagram reaches it.
    pub inbound: InboundFilter,
    /// The random of the ClientHello it began with.
    pub random: [u8; 32],
    /// When it did.
    pub began: Instant,
    /// When it ends, unless something happens before.
    pub deadline: Instant,
    /// Bytes it may still be sent while it is unproven: those that came, less those that went.
    pub credit: usize,
    /// The certificate the peer has shown, unless the engine keeps it: until the handshake is complete, and longer if it may be
    /// judged anew.
    pub certificate: Option<Vec<u8>>,
    /// The number of the policy that let this certificate pass.
    pub verified_by: u32,
    /// The cipher suite the engine has chosen, as its ServerHello shows: the engine itself does not tell.
    pub cipher_suite: Option<u16>,
    /// Its place in the timer queue.
    pub timer: timers::Slot,
    next_plaintext_sequence: u64,
}

impl Session {
    /// A session at its first ClientHello.
    pub fn new(
        path: Path,
        engine: Engine,
        random: [u8; 32],
        now: Instant,
        deadline: Instant,
    ) -> Session {
        Session {
            path,
            stage: Stage::Unproven,
            engine,
            inbound: InboundFilter::new(0),
            random,
            began: now,
            deadline,
            credit: 0,
            certificate: None,
            verified_by: 0,
            cipher_suite: None,
            timer: timers::Slot::default(),
            next_plaintext_sequence: 0,
        }
    }

    /// So many records have been sent before there was a session: cookies, one for each ClientHello.
    pub fn set_records_sent(&mut self, records: u16) {
        self.next_plaintext_sequence = records.into();
        self.inbound = InboundFilter::new(records);
    }

    /// Whether a hello with this random and a good cookie is a late copy of the one that this began with. A device whose
    /// random numbers are the same after each restart begins with that one, too, but seldom as soon.
    pub fn began_with(&self, now: Instant, random: &[u8; 32]) -> bool {
        self.random == *random && now.saturating_duration_since(self.began) < cookie::LIFETIME
    }

    /// When the session wants attention, if nothing comes from its peer.
    pub fn next_timeout(&self) -> Instant {
        match (self.stage, self.engine.next_timeout()) {
            // A HelloVerifyRequest is never retransmitted (RFC 6347 §4.2.1).
            (Stage::Unproven, _) | (_, None) => self.deadline,
            (Stage::Proven | Stage::Established, Some(engine)) => engine.min(self.deadline),
        }
    }

    /// Looks at what the engine wants to send. Returns whether one of it shows that the engine has
    /// accepted the peer's cookie.
    pub fn inspect(&mut self, effects: &[EngineOutput]) -> bool {
        let mut beyond_cookie = false;
        for effect in effects {
            if let EngineOutput::Transmit(datagram) = effect {
                let outbound = record::inspect_outbound(datagram);
                beyond_cookie |= outbound.beyond_cookie;
                self.cipher_suite = outbound.cipher_suite.or(self.cipher_suite);
                self.next_plaintext_sequence = self
                    .next_plaintext_sequence
                    .max(outbound.next_plaintext_sequence.unwrap_or_default());
            }
        }
        beyond_cookie
    }

    /// A plaintext fatal alert, in sequence with what the engine has sent in epoch 0.
    pub fn fatal_alert(&self, description: u8) -> Vec<u8> {
        record::fatal_alert(self.next_plaintext_sequence, description)
    }
}
