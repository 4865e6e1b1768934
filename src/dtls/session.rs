//! One DTLS session, from a first ClientHello to its end.
//!
//! ```text
//! Unproven ──▶ Proven ──▶ Established ──▶ (ended)
//!  cookie       flights     application data
//!  pending      under way
//! ```
//!
//! *Unproven*: the peer's address may be forged, so we send no more bytes than we have received, and nothing by timer.
//! *Proven*: the engine has accepted a cookie; the handshake has a deadline. *Established*: the client has proven that it
//! has its certificate's key, and the certificate is accepted.

use super::cookie;
use super::engine::{Engine, EngineOutput};
use super::inbound::InboundFilter;
use super::path::Path;
use super::record;
use crate::timers;
use std::time::Instant;

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The peer's address may be forged.
    Unproven,
    /// The peer receives what we send to its address.
    Proven,
    /// The peer has its certificate's key.
    Established,
}

/// A session and its engine.
pub(crate) struct Session {
    /// The addresses of the peer and of ours.
    pub path: Path,
    pub stage: Stage,
    pub engine: Engine,
    /// Decides which records reach the engine.
    pub inbound: InboundFilter,
    /// The random of its first ClientHello.
    pub random: [u8; 32],
    /// When it was created.
    pub began: Instant,
    /// When it ends, unless something extends it.
    pub deadline: Instant,
    /// Bytes that may still be sent while it is unproven: those received less those sent.
    pub credit: usize,
    /// The peer's certificate (DER), unless the engine stores it. Kept until the handshake is complete, and longer if it may
    /// have to be verified again.
    pub certificate: Option<Vec<u8>>,
    /// The version of the policy that accepted this certificate.
    pub verified_by: u32,
    /// The negotiated cipher suite, read from the ServerHello: the engine does not report it.
    pub cipher_suite: Option<u16>,
    pub timer: timers::Slot,
    next_plaintext_sequence: u64,
}

impl Session {
    /// Creates an unproven session.
    pub(crate) fn new(
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

    /// Sets how many records were sent before the session was created: one cookie for each ClientHello.
    pub(crate) fn set_records_sent(&mut self, records: u16) {
        self.next_plaintext_sequence = records.into();
        self.inbound = InboundFilter::new(records);
    }

    /// Whether a hello with this random and a valid cookie is a late copy of the one that this session began with. A device
    /// with the same random numbers after each restart sends the same one, too, but seldom as soon.
    pub(crate) fn began_with(&self, now: Instant, random: &[u8; 32]) -> bool {
        self.random == *random && now.saturating_duration_since(self.began) < cookie::LIFETIME
    }

    /// When the session's timer must fire.
    pub(crate) fn next_timeout(&self) -> Instant {
        match (self.stage, self.engine.next_timeout()) {
            // A HelloVerifyRequest is never retransmitted (RFC 6347 §4.2.1).
            (Stage::Unproven, _) | (_, None) => self.deadline,
            (Stage::Proven | Stage::Established, Some(engine)) => engine.min(self.deadline),
        }
    }

    /// Reads what it needs from the datagrams to be sent. Whether one of them shows that the engine has accepted the
    /// peer's cookie.
    pub(crate) fn inspect(&mut self, outputs: &[EngineOutput]) -> bool {
        let mut beyond_cookie = false;
        for output in outputs {
            if let EngineOutput::Transmit(datagram) = output {
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

    /// A plaintext fatal alert, numbered after the engine's records in epoch 0.
    pub(crate) fn fatal_alert(&self, description: u8) -> Vec<u8> {
        record::fatal_alert(self.next_plaintext_sequence, description)
    }
}
