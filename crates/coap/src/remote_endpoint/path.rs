//! Whether the peer receives what is sent to its address, after that has changed.
//!
//! A secure session goes on when its peer has another address (RFC 9146 §6), and a record from there
//! proves who has sent it, but not where from: whoever copies it on its way can send it on from any
//! address, and so can the peer itself, in the name of another. What proves that the peer is there
//! is the answer to a ping (RFC 7252 §4.3) whose Message ID is random: that must have been received.
//!
//! Nothing else proves it. The Message IDs of other messages follow one another, so that the peer
//! knows the next ones, and can acknowledge what it has not received; and nothing in its requests
//! depends on what was sent there.

use super::{Context, Output, RemoteEndpoint};
use crate::message::{Message, Type};
use crate::parameters::Parameters;
use crate::reliability::{LONGEST_WAIT, initial_timeout};
use std::time::{Duration, Instant};

/// After so many ACKs and RSTs that might be guesses while a ping is outstanding, no ping is sent. So
/// one in 12,288 peers that guess is right. One that receives the ping has no reason to send any,
/// but answers to an earlier ping, from before another move, may arrive late.
const MAX_WRONG_ANSWERS: u8 = 4;
/// How long they count after the last one.
const WRONG_ANSWERS_LIFETIME: Duration = Duration::from_secs(3600);

/// What is known of the peer's answers to pings that prove its path. Endpoints that never sent one
/// don't have it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PathProof {
    ping: Option<Ping>,
    wrong_answers: u8,
    last_wrong_answer: Option<Instant>,
}

/// A ping that is not answered. It is no [`Transmission`](crate::reliability::Outgoing): NSTART (RFC
/// 7252 §4.7) is about the interactions of CoAP, and this is about the transport under them. What is
/// outstanding may be just what waits for the answer, at a peer that has moved meanwhile. There is
/// at most one, of four bytes.
#[derive(Debug, PartialEq, Eq)]
struct Ping {
    message_id: u16,
    retransmissions: u8,
    timeout: Duration,
    sent_at: Instant,
    retransmit_at: Instant,
}

impl Ping {
    fn bytes(&self) -> Option<Vec<u8>> {
        Message::empty(Type::Confirmable, self.message_id).encode(4)
    }

    /// RFC 7252 §4.2: each timeout is twice the one before. `None`: it was sent often enough.
    fn retransmit(&mut self, now: Instant, parameters: &Parameters) -> Option<Vec<u8>> {
        if self.retransmissions >= parameters.max_retransmit {
            return None;
        }
        self.retransmissions += 1;
        self.timeout = self.timeout.saturating_mul(2).min(LONGEST_WAIT);
        self.sent_at = now;
        self.retransmit_at = now + self.timeout;
        self.bytes()
    }
}

impl PathProof {
    /// The wrong answers that count.
    fn wrong_answers(&self, now: Instant) -> u8 {
        let last = self.last_wrong_answer;
        let count = last.is_some_and(|at| now < at + WRONG_ANSWERS_LIFETIME);
        if count { self.wrong_answers } else { 0 }
    }
}

impl RemoteEndpoint {
    /// The peer's address has changed. An answer to a ping that was sent to another address proves
    /// nothing, and what else was sent there is [retransmitted early](Self::retransmit_early).
    pub fn path_changed(&mut self) {
        self.outgoing.path_changed();
        if let Some(proof) = self.path_proof_mut() {
            proof.ping = None;
        }
        self.free_path_proof();
    }

    /// Whether [`prove_path`](Self::prove_path) would send a ping.
    pub fn can_prove_path(&self, now: Instant) -> bool {
        self.path_proof().is_none_or(|proof| {
            proof.ping.is_none() && proof.wrong_answers(now) < MAX_WRONG_ANSWERS
        })
    }

    /// Sends a ping to the peer's address, which has [changed](Self::path_changed).
    /// [`Output::PathConfirmed`] follows once the peer has answered it. Does nothing while one is
    /// outstanding, nor after too many wrong answers.
    pub fn prove_path(&mut self, now: Instant, context: &mut Context<'_>, out: &mut Vec<Output>) {
        if !self.can_prove_path(now) {
            return;
        }
        let random = context.bodies.unpredictable((context.random)());
        let timeout = initial_timeout(context.parameters, (context.random)());
        let ping = Ping {
            message_id: self.message_ids.distant(random),
            retransmissions: 0,
            timeout,
            sent_at: now,
            retransmit_at: now + timeout,
        };
        context.counters.pings_sent += 1;
        out.extend(ping.bytes().map(Output::ProvePath));
        let unsent = self.unsent.get_or_insert_default();
        unsent.path_proof.get_or_insert_default().ping = Some(ping);
    }

    /// Handles an ACK or RST. Returns whether it answers the ping.
    pub(super) fn confirm_path(&mut self, message_id: u16, out: &mut Vec<Output>) -> bool {
        let proof = self.path_proof_mut();
        // A client that has had another message with this Message ID acknowledges that again.
        let ping = proof.and_then(|proof| proof.ping.take_if(|ping| ping.message_id == message_id));
        if ping.is_some() {
            out.push(Output::PathConfirmed);
            self.free_path_proof();
        }
        ping.is_some()
    }

    /// Counts an ACK or RST that matches no message of ours, if it may be a guess at the ping's. A late
    /// or repeated one is of another message.
    pub(super) fn count_wrong_answer(
        &mut self,
        now: Instant,
        message_id: u16,
        context: &mut Context<'_>,
    ) {
        let is_guess = self.message_ids.is_distant(message_id);
        let proof = self.path_proof_mut();
        let Some(proof) = proof.filter(|proof| is_guess && proof.ping.is_some()) else {
            return;
        };
        proof.wrong_answers = proof.wrong_answers(now).saturating_add(1);
        proof.last_wrong_answer = Some(now);
        if proof.wrong_answers >= MAX_WRONG_ANSWERS {
            proof.ping = None;
            context.counters.path_proofs_refused += 1;
        }
    }

    /// Sends the ping again if that is due.
    pub(super) fn retransmit_path_proof(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        self.repeat_ping_if(now, context, out, |ping, _| ping.retransmit_at <= now);
    }

    /// As [`retransmit_early`](Self::retransmit_early), of the ping.
    pub(super) fn retransmit_path_proof_early(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        self.repeat_ping_if(now, context, out, |ping, parameters| {
            let age = now.saturating_duration_since(ping.sent_at);
            age >= parameters.ack_timeout && ping.retransmissions < parameters.max_retransmit
        });
    }

    fn repeat_ping_if(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
        is_due: impl FnOnce(&Ping, &Parameters) -> bool,
    ) {
        let Some(proof) = self.path_proof_mut() else {
            return;
        };
        let Some(ping) = (proof.ping.as_mut()).filter(|ping| is_due(ping, context.parameters))
        else {
            return;
        };
        match ping.retransmit(now, context.parameters) {
            Some(bytes) => {
                context.counters.retransmissions += 1;
                out.push(Output::ProvePath(bytes));
            }
            None => {
                context.counters.given_up += 1;
                context.counters.pings_unanswered += 1;
                proof.ping = None;
                self.free_path_proof();
            }
        }
    }

    /// When the ping is due again.
    pub(super) fn path_proof_timeout(&self) -> Option<Instant> {
        Some(self.path_proof()?.ping.as_ref()?.retransmit_at)
    }

    fn free_path_proof(&mut self) {
        if let Some(unsent) = &mut self.unsent {
            (unsent.path_proof).take_if(|proof| proof.ping.is_none() && proof.wrong_answers == 0);
        }
        self.free_unsent();
    }

    fn path_proof(&self) -> Option<&PathProof> {
        self.unsent.as_ref()?.path_proof.as_deref()
    }

    fn path_proof_mut(&mut self) -> Option<&mut PathProof> {
        self.unsent.as_mut()?.path_proof.as_deref_mut()
    }
}
