//! Feeds records to engines, and carries out their outputs: a session becomes proven, then established.

use super::Demux;
use crate::dtls::engine::{EngineError, EngineOutput};
use crate::dtls::inbound::{self, Verdict};
use crate::dtls::path::SessionId;
use crate::dtls::session::Stage;
use crate::dtls::{EndReason, Event, HandshakeFailure};
use std::time::Instant;

impl Demux {
    /// Passes those records of a datagram that the filter lets through to the session's engine.
    pub(super) fn feed(&mut self, now: Instant, id: SessionId, bytes: &[u8]) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.credit = session.credit.saturating_add(bytes.len());
        let stage = session.stage;
        let mut has_output = false;
        let mut datagram = inbound::Datagram::of(now, bytes);
        while let Some(session) = self.sessions.get_mut(&id) {
            let Some(verdict) = session.inbound.next(&mut datagram) else {
                break;
            };
            has_output |= self.feed_record(now, id, &verdict);
        }
        if stage != Stage::Established {
            self.counters.records_not_due += datagram.dropped;
            self.track_buffered(id);
        } else if !has_output {
            self.counters.without_effect += 1;
        }
    }

    /// Passes a record to a session's engine. Whether the engine had any output.
    fn feed_record(&mut self, now: Instant, id: SessionId, verdict: &Verdict<'_>) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        let outcome = match verdict {
            Verdict::Pass(record) => session.engine.receive(now, record),
            Verdict::Replace(record) | Verdict::Hello(record) => {
                session.engine.receive(now, record)
            }
            Verdict::Certificates(number, body) => {
                session.engine.receive_certificates(now, *number, body)
            }
            Verdict::Buffered | Verdict::Drop => return false,
            Verdict::Reject(alert, reason) => {
                let failure = EngineError {
                    reason: reason.clone(),
                    alert: Some(*alert),
                };
                self.fail(id, failure);
                return true;
            }
        };
        match outcome {
            Ok(outputs) => {
                let has_output = !outputs.is_empty();
                self.perform(now, id, outputs);
                if matches!(verdict, Verdict::Hello(_)) {
                    self.hello_processed(id, has_output);
                }
                has_output
            }
            Err((failure, final_outputs)) => {
                self.perform(now, id, final_outputs);
                self.fail(id, failure);
                true
            }
        }
    }

    /// After a complete ClientHello. If the engine has ignored it, the handshake can't go on: no more of the hello will
    /// come.
    fn hello_processed(&mut self, id: SessionId, is_answered: bool) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if is_answered {
            session.inbound.hello_answered();
        } else if session.stage == Stage::Unproven {
            self.counters.unproven_failed += 1;
            self.remove(id);
        }
    }

    /// Updates how much a half-open handshake buffers.
    fn track_buffered(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get(&id)
            && session.stage != Stage::Established
        {
            let mut buffered = session.engine.buffered();
            buffered.unfinished += session.inbound.buffered();
            let is_unproven = session.stage == Stage::Unproven;
            self.buffered.set(id, is_unproven, buffered);
            self.evict_buffers();
        }
    }

    /// Carries out an engine's outputs.
    pub(super) fn perform(&mut self, now: Instant, id: SessionId, outputs: Vec<EngineOutput>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let path = session.path;
        if session.inspect(&outputs) && session.stage == Stage::Unproven {
            self.prove(now, id);
        }
        // Verify a certificate before sending any output that came with it: once the engine's answer is sent, an OpenSSL
        // client considers the handshake complete.
        for output in &outputs {
            if let EngineOutput::PeerCertificate(leaf) = output
                && let Err(refusal) = self.policy.verify(&[leaf.as_slice()], self.unix_time)
            {
                if let Some(session) = self.sessions.get(&id) {
                    let alert = session.fatal_alert(refusal.alert());
                    self.transmit(path, alert);
                }
                let failure = HandshakeFailure::CertificateRefused {
                    certificate: leaf.clone(),
                    refusal,
                };
                return self.fail_handshake(id, failure);
            }
        }
        for output in outputs {
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            match output {
                EngineOutput::Transmit(datagram) if session.stage == Stage::Unproven => {
                    // No amplification: a forged source address gets no more bytes than its forger sent.
                    // Summed over all datagrams: a hello may be fragmented, and the last fragment small.
                    if let Some(left) = session.credit.checked_sub(datagram.len()) {
                        session.credit = left;
                        self.transmit(path, datagram);
                    } else {
                        self.counters.amplification_avoided += 1;
                    }
                }
                EngineOutput::Transmit(datagram) => self.transmit(path, datagram),
                EngineOutput::PeerCertificate(leaf) => {
                    session.certificate = (!session.engine.has_certificate()).then_some(leaf);
                    session.verified_by = self.policy_version;
                }
                EngineOutput::Connected => self.establish(now, id),
                EngineOutput::Plaintext(bytes) if session.stage == Stage::Established => {
                    session.deadline = now + self.parameters.session_idle;
                    session.inbound.confirmed();
                    let event = Event::Plaintext { session: id, bytes };
                    self.events.push_back(event);
                }
                EngineOutput::Plaintext(_) => {}
                EngineOutput::CloseNotify => {
                    // RFC 5246 §7.2.1: answered with our own close_notify.
                    self.send_close_notify(id);
                    self.end(id, EndReason::CloseNotify);
                }
            }
        }
        self.arm(id);
    }

    /// The engine has accepted the cookie: the session becomes proven.
    pub(super) fn prove(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.stage = Stage::Proven;
        session.inbound.proven(session.engine.version() == "1.3");
        let was_counted = session.engine.take_cookie().is_some();
        session.deadline = now + self.parameters.handshake_timeout;
        let (path, random) = (session.path, session.random);
        self.hellos.remove(&(path, random));
        if !was_counted {
            self.address_limit.count(now, path.remote.ip());
        }
        let route = self.routes.entry(path).or_default();
        route.unproven = route.unproven.filter(|unproven| *unproven != id);
        // The device has started a new handshake, and abandoned its former one.
        if let Some(abandoned) = route.proven.replace(id) {
            self.remove(abandoned);
        }
        // Clients that stall after the cookie must not lock others out: proven handshakes leave a tenth of the places to
        // unproven ones, and the source that holds most loses its oldest.
        self.proven_by_source.add(path.remote.ip(), id);
        if self.proven_by_source.count() > self.places_for_proven()
            && let Some(oldest) = self.proven_by_source.oldest_of_largest()
        {
            self.counters.proven_evicted += 1;
            self.remove(oldest);
        }
    }

    /// The handshake is complete: the session becomes established and replaces a former one on its path.
    pub(super) fn establish(&mut self, now: Instant, id: SessionId) {
        let full = self.established() >= self.parameters.sessions;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.stage == Stage::Established {
            return;
        }
        let path = session.path;
        let replaced = self.routes.get(&path).and_then(|route| route.established);
        let kept = session.engine.take_certificate();
        let Some(certificate) = session.certificate.take().or(kept) else {
            // The engine requires a certificate; without one there is no device.
            return self.fail_handshake(id, HandshakeFailure::NoCertificate);
        };
        // The policy may have changed between Certificate and Finished: a client must not evade a revocation by delay.
        if session.verified_by != self.policy_version
            && let Err(refusal) = self
                .policy
                .verify(&[certificate.as_slice()], self.unix_time)
        {
            self.send_close_notify(id);
            let failure = HandshakeFailure::CertificateRefused {
                certificate,
                refusal,
            };
            return self.fail_handshake(id, failure);
        }
        if full && replaced.is_none() {
            self.counters.sessions_full += 1;
            self.send_close_notify(id);
            return self.fail_handshake(id, HandshakeFailure::SessionsFull);
        }
        self.buffered.remove(id);
        if self.policy.verifies_chains() {
            session.certificate = Some(certificate.as_slice().into());
        }
        session.stage = Stage::Established;
        session.inbound.established();
        session.deadline = now + self.parameters.session_idle;
        let version = session.engine.version();
        self.half_open = self.half_open.saturating_sub(1);
        self.proven_by_source.remove(path.remote.ip(), id);
        self.has_free_place = true;
        if let Some(replaced) = replaced {
            self.end(replaced, EndReason::Replaced);
        }
        let route = self.routes.entry(path).or_default();
        route.proven = None;
        route.established = Some(id);
        self.counters.handshakes_completed += 1;
        self.events.push_back(Event::Established {
            session: id,
            path,
            certificate,
            version,
        });
    }
}
