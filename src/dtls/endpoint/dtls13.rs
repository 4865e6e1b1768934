//! Handshakes and sessions of DTLS 1.3: feeds records to engines, and carries out their outputs.

use super::Endpoint;
use super::establishing::Handshaken;
use crate::device::CertificateId;
use crate::dtls::connection::Engine as Established;
use crate::dtls::dtls13::Dtls13;
use crate::dtls::dtls13::engine::{EngineError, EngineOutput};
use crate::dtls::dtls13::inbound::{self, Verdict};
use crate::dtls::handshakes::{Engine, HandshakeId};
use crate::dtls::path::SessionId;
use crate::dtls::record::alert;
use crate::dtls::{EndReason, HandshakeFailure};
use std::time::Instant;

/// What an engine has made of one record or call, and whether it has failed.
type Outcome = Result<Vec<EngineOutput>, (EngineError, Vec<EngineOutput>)>;

/// A handshake or session.
#[derive(Clone, Copy)]
enum Owner {
    Handshake(HandshakeId),
    Session(SessionId),
}

impl<T> Endpoint<T> {
    fn dtls13(&mut self, owner: Owner) -> Option<&mut Dtls13> {
        match owner {
            Owner::Handshake(id) => match &mut self.handshakes.get_mut(id)?.engine {
                Engine::Dtls13(dtls13) => Some(dtls13),
                Engine::Dtls12(_) => None,
            },
            Owner::Session(id) => match &mut self.sessions.get_mut(id)?.engine {
                Established::Dtls13(dtls13) => Some(dtls13),
                Established::Dtls12(_) => None,
            },
        }
    }

    /// Passes those records of a datagram that the filter lets through to a handshake's engine.
    pub(super) fn feed13(&mut self, now: Instant, id: HandshakeId, bytes: &[u8]) {
        let mut owner = Owner::Handshake(id);
        if let Some(dtls13) = self.dtls13(owner) {
            dtls13.credit = dtls13.credit.saturating_add(bytes.len());
        }
        let mut datagram = inbound::Datagram::of(now, bytes);
        self.feed_records(now, &mut owner, &mut datagram);
        self.counters.records_not_due += datagram.dropped;
        self.track_buffered(id);
    }

    /// Passes those records of a datagram that the filter lets through to a session's engine.
    pub(super) fn receive13(&mut self, now: Instant, id: SessionId, bytes: &[u8]) {
        let mut datagram = inbound::Datagram::of(now, bytes);
        if !self.feed_records(now, &mut Owner::Session(id), &mut datagram) {
            self.counters.without_effect += 1;
        }
    }

    /// Whether the engine had any output. The owner changes when a handshake completes.
    fn feed_records(
        &mut self,
        now: Instant,
        owner: &mut Owner,
        datagram: &mut inbound::Datagram<'_>,
    ) -> bool {
        let mut has_output = false;
        while let Some(dtls13) = self.dtls13(*owner) {
            let Some(verdict) = dtls13.inbound.next(datagram) else {
                break;
            };
            let outcome = match &verdict {
                Verdict::Pass(record) => dtls13.engine.receive(now, record),
                Verdict::Replace(record) | Verdict::Hello(record) => {
                    dtls13.engine.receive(now, record)
                }
                Verdict::Buffered | Verdict::Drop => continue,
            };
            let is_answered = !matches!(&outcome, Ok(outputs) if outputs.is_empty());
            has_output |= is_answered;
            self.settle13(now, owner, outcome);
            if matches!(verdict, Verdict::Hello(_)) {
                self.hello_processed(*owner, is_answered);
            }
        }
        has_output
    }

    /// After a complete ClientHello. If the engine has ignored it, the handshake can't go on: no more of the hello will
    /// come.
    fn hello_processed(&mut self, owner: Owner, is_answered: bool) {
        let Some(dtls13) = self.dtls13(owner) else {
            return;
        };
        if is_answered {
            dtls13.inbound.hello_answered();
        } else if let Owner::Handshake(id) = owner
            && !dtls13.is_proven
        {
            self.counters.unproven_failed += 1;
            self.remove_handshake(id);
        }
    }

    /// Carries out what an engine has made of a call.
    fn settle13(&mut self, now: Instant, owner: &mut Owner, outcome: Outcome) {
        let (failure, outputs) = match outcome {
            Ok(outputs) => (None, outputs),
            Err((failure, final_outputs)) => (Some(failure), final_outputs),
        };
        self.perform13(now, owner, outputs);
        if let Some(failure) = failure {
            match *owner {
                Owner::Session(id) => self.end(id, EndReason::Failed(failure.reason)),
                Owner::Handshake(id) => self.fail13(id, failure),
            }
        }
    }

    /// Carries out an engine's outputs.
    fn perform13(&mut self, now: Instant, owner: &mut Owner, outputs: Vec<EngineOutput>) {
        if let Owner::Handshake(id) = *owner {
            let Some(dtls13) = self.dtls13(*owner) else {
                return;
            };
            if dtls13.inspect(&outputs) && !dtls13.is_proven {
                self.prove13(now, id);
            }
            if !self.judge13(id, &outputs) {
                return;
            }
        }
        for output in outputs {
            match (output, *owner) {
                (EngineOutput::Transmit(datagram), Owner::Handshake(id)) => {
                    self.transmit13(id, datagram);
                }
                (EngineOutput::Transmit(datagram), Owner::Session(id)) => {
                    self.transmit_to(id, datagram);
                }
                // It is judged already.
                (EngineOutput::PeerCertificate(_), _) => {}
                (EngineOutput::Connected, Owner::Handshake(id)) => match self.complete13(now, id) {
                    Some(session) => *owner = Owner::Session(session),
                    None => return,
                },
                (EngineOutput::Plaintext(bytes), Owner::Session(id)) => {
                    self.received_application_data(now, id, bytes);
                }
                (EngineOutput::CloseNotify, Owner::Session(id)) => {
                    // RFC 5246 §7.2.1: answered with our own close_notify.
                    self.send_close_notify(id);
                    self.end(id, EndReason::CloseNotify);
                }
                (EngineOutput::CloseNotify, Owner::Handshake(id)) => {
                    let failure = HandshakeFailure::GivenUp(
                        dtls_server::alert::AlertDescription::CLOSE_NOTIFY,
                    );
                    self.fail_handshake(id, failure);
                }
                (EngineOutput::Plaintext(_), Owner::Handshake(_))
                | (EngineOutput::Connected, Owner::Session(_)) => {}
            }
        }
        match *owner {
            Owner::Handshake(id) => self.handshakes.arm(id),
            Owner::Session(id) => self.arm(id),
        }
    }

    /// Verifies a certificate before any output is sent that came with it: once the engine's answer is sent, a client considers
    /// the handshake complete. Whether it is accepted.
    fn judge13(&mut self, id: HandshakeId, outputs: &[EngineOutput]) -> bool {
        for output in outputs {
            let EngineOutput::PeerCertificate(leaf) = output else {
                continue;
            };
            match (self.policy).verify(&[leaf.as_slice()], self.unix_time, &mut self.paths) {
                Ok(client) => {
                    if let Some(handshake) = self.handshakes.get_mut(id) {
                        handshake.client = Some(client);
                    }
                }
                Err(refusal) => {
                    self.alert13(id, refusal.alert());
                    let failure = HandshakeFailure::CertificateRefused {
                        certificate: CertificateId::of(leaf).sha256,
                        refusal,
                    };
                    self.fail_handshake(id, failure);
                    return false;
                }
            }
        }
        true
    }

    fn transmit13(&mut self, id: HandshakeId, datagram: Vec<u8>) {
        let Some(handshake) = self.handshakes.get_mut(id) else {
            return;
        };
        let path = handshake.path;
        if let Engine::Dtls13(dtls13) = &mut handshake.engine
            && !dtls13.is_proven
        {
            // No amplification: a forged source address gets no more bytes than its forger sent.
            // Summed over all datagrams: a hello may be fragmented, and the last fragment small.
            let Some(left) = dtls13.credit.checked_sub(datagram.len()) else {
                self.counters.amplification_avoided += 1;
                return;
            };
            dtls13.credit = left;
        }
        self.transmit(path, datagram);
    }

    /// The engine has accepted the cookie: the address is proven.
    fn prove13(&mut self, now: Instant, id: HandshakeId) {
        let deadline = now + self.parameters.handshake_timeout;
        let Some(handshake) = self.handshakes.get_mut(id) else {
            return;
        };
        handshake.deadline = deadline;
        let (path, random) = (handshake.path, handshake.random);
        let Engine::Dtls13(dtls13) = &mut handshake.engine else {
            return;
        };
        dtls13.is_proven = true;
        dtls13.inbound.proven();
        // A handshake that began with a valid cookie is counted already.
        if dtls13.engine.take_cookie().is_none() {
            self.admission.address_limit.count(now, path.remote.ip());
        }
        self.index.remove_handshake(path, &random, &[], id);
        let abandoned = self.index.add_proven(path, &[], id);
        self.handshakes.proven_by_source.add(path.remote.ip(), id);
        self.proven(id, abandoned);
    }

    /// The client has its certificate's key. Returns the session.
    fn complete13(&mut self, now: Instant, id: HandshakeId) -> Option<SessionId> {
        let half_open = self.take_handshake(id)?;
        let Engine::Dtls13(mut dtls13) = half_open.engine else {
            return None;
        };
        dtls13.engine.drop_certificate();
        let mut handshaken = Handshaken {
            path: half_open.path,
            random: half_open.random,
            began: half_open.began,
            client: half_open.client,
        };
        match self.judge_completed(&mut handshaken) {
            Ok(allowed) => {
                dtls13.inbound.established();
                let engine = Established::Dtls13(Box::new(dtls13));
                Some(self.establish(now, handshaken, allowed, engine, None, [0; 32]))
            }
            Err((failure, _alert)) => {
                for output in dtls13.engine.close().unwrap_or_default() {
                    if let EngineOutput::Transmit(datagram) = output {
                        self.transmit(handshaken.path, datagram);
                    }
                }
                self.ended += 1;
                self.report_failure(handshaken.path, failure);
                None
            }
        }
    }

    fn fail13(&mut self, id: HandshakeId, failure: EngineError) {
        let Some(dtls13) = self.dtls13(Owner::Handshake(id)) else {
            return;
        };
        let is_proven = dtls13.is_proven;
        if let Some(description) = failure.alert {
            self.alert13(id, description);
        }
        // Counted but not logged: anyone can cause it from any address.
        if !is_proven && matches!(failure.alert, None | Some(alert::ILLEGAL_PARAMETER)) {
            self.counters.unproven_failed += 1;
            self.remove_handshake(id);
        } else {
            self.fail_handshake(id, HandshakeFailure::Engine(failure.reason));
        }
    }

    fn alert13(&mut self, id: HandshakeId, description: u8) {
        let Some(handshake) = self.handshakes.get(id) else {
            return;
        };
        if let Engine::Dtls13(dtls13) = &handshake.engine {
            let (path, alert) = (handshake.path, dtls13.fatal_alert(description));
            self.transmit(path, alert);
        }
    }

    /// The timer of a handshake has fired.
    pub(super) fn drive13(&mut self, now: Instant, id: HandshakeId) {
        self.drive(now, &mut Owner::Handshake(id));
        self.handshakes.arm(id);
    }

    /// The timer of a session has fired.
    pub(super) fn drive_session13(&mut self, now: Instant, id: SessionId) {
        self.drive(now, &mut Owner::Session(id));
    }

    fn drive(&mut self, now: Instant, owner: &mut Owner) {
        let Some(dtls13) = self.dtls13(*owner) else {
            return;
        };
        if dtls13.is_proven && dtls13.engine.next_timeout().is_some_and(|at| at <= now) {
            let outcome = dtls13.engine.handle_timeout(now);
            self.settle13(now, owner, outcome.map_err(|failure| (failure, Vec::new())));
        }
    }

    /// Encrypts and sends application data.
    pub(super) fn send13(&mut self, now: Instant, id: SessionId, plaintext: &[u8]) {
        let mut owner = Owner::Session(id);
        let Some(dtls13) = self.dtls13(owner) else {
            return;
        };
        let outcome = dtls13.engine.send(now, plaintext);
        self.settle13(
            now,
            &mut owner,
            outcome.map_err(|failure| (failure, Vec::new())),
        );
    }
}
