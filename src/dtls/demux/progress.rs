//! What an engine's effects do to its session: from unproven to proven to established.

use super::Demux;
use crate::dtls::engine::{EngineError, EngineOutput};
use crate::dtls::inbound::{self, Verdict};
use crate::dtls::path::SessionId;
use crate::dtls::session::Stage;
use crate::dtls::{EndReason, Event, HandshakeFailure};
use std::time::Instant;

impl Demux {
    /// Gives a session's engine what of a datagram is for it, and does what comes of that.
    pub(super) fn feed(&mut self, now: Instant, id: SessionId, bytes: &[u8]) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.credit = session.credit.saturating_add(bytes.len());
        let stage = session.stage;
        let mut has_effect = false;
        let mut datagram = inbound::Datagram::of(now, bytes);
        while let Some(session) = self.sessions.get_mut(&id) {
            let Some(taken) = session.inbound.next(&mut datagram) else {
                break;
            };
            has_effect |= self.feed_record(now, id, &taken);
        }
        if stage != Stage::Established {
            self.counters.records_not_due += datagram.dropped;
            self.track_buffered(id);
        } else if !has_effect {
            self.counters.without_effect += 1;
        }
    }

    /// Gives a record to a session's engine. Says whether anything came of it.
    fn feed_record(&mut self, now: Instant, id: SessionId, taken: &Verdict<'_>) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        let outcome = match taken {
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
            Ok(effects) => {
                let has_effect = !effects.is_empty();
                self.perform(now, id, effects);
                if matches!(taken, Verdict::Hello(_)) {
                    self.hello_processed(id, has_effect);
                }
                has_effect
            }
            Err((failure, final_outputs)) => {
                self.perform(now, id, final_outputs);
                self.fail(id, failure);
                true
            }
        }
    }

    /// A whole ClientHello that the engine takes for noise leads nowhere: no more of it will come.
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

    /// Keeps account of what a handshake makes us keep.
    fn track_buffered(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get(&id)
            && session.stage != Stage::Established
        {
            let (gathered, records, bytes) = session.engine.held();
            let held = session.inbound.held() + gathered;
            let is_unproven = session.stage == Stage::Unproven;
            self.holdings.set(id, is_unproven, held, records, bytes);
            self.evict_buffers();
        }
    }

    /// Carries out an engine's effects.
    pub(super) fn perform(&mut self, now: Instant, id: SessionId, effects: Vec<EngineOutput>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let path = session.path;
        if session.inspect(&effects) && session.stage == Stage::Unproven {
            self.prove(now, id);
        }
        // Judge a certificate before anything else that came with it goes out: once the engine's
        // answer is sent, an OpenSSL client takes the handshake for done.
        for effect in &effects {
            if let EngineOutput::PeerCertificate(leaf) = effect
                && let Err(refusal) = self.policy.judge(leaf, self.unix_time)
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
        for effect in effects {
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            match effect {
                EngineOutput::Transmit(datagram) if session.stage == Stage::Unproven => {
                    // No amplification: a forged source address gets no more than its forger spent.
                    // TrackedFragment over all that came: a hello may come in fragments, and the last be small.
                    if let Some(left) = session.credit.checked_sub(datagram.len()) {
                        session.credit = left;
                        self.transmit(path, datagram);
                    } else {
                        self.counters.amplification_avoided += 1;
                    }
                }
                EngineOutput::Transmit(datagram) => self.transmit(path, datagram),
                EngineOutput::PeerCertificate(leaf) => {
                    session.certificate = (!session.engine.keeps_certificate()).then_some(leaf);
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

    /// The engine has accepted the peer's cookie: from unproven to proven.
    pub(super) fn prove(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.stage = Stage::Proven;
        session.inbound.proven(session.engine.version() == "1.3");
        let was_counted = session.engine.forget_cookie();
        session.deadline = now + self.parameters.handshake_timeout;
        let (path, random) = (session.path, session.random);
        self.hellos.remove(&(path, random));
        if !was_counted {
            self.address_limit.count(now, path.remote.ip());
        }
        let route = self.routes.entry(path).or_default();
        route.unproven = route.unproven.filter(|unproven| *unproven != id);
        // The device has begun anew: what it began before will not go on.
        if let Some(abandoned) = route.proven.replace(id) {
            self.remove(abandoned);
        }
        // Whoever stalls handshakes after the cookie must not keep others out: proven ones leave a
        // tenth of the places to newcomers, and room is made by the source that holds most.
        self.proven_by_source.add(path.remote.ip(), id);
        if self.proven_by_source.count() > self.places_for_proven()
            && let Some(oldest) = self.proven_by_source.oldest_of_largest()
        {
            self.counters.proven_evicted += 1;
            self.remove(oldest);
        }
    }

    /// The peer's key is proven: the session takes its path, and the one before it ends.
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
            // The engine requires a certificate; without one there is no device to serve.
            return self.fail_handshake(id, HandshakeFailure::NoCertificate);
        };
        // Whoever shows its certificate and waits with the rest must not outlast a revocation by it.
        if session.verified_by != self.policy_version
            && let Err(refusal) = self.policy.judge(&certificate, self.unix_time)
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
        self.holdings.forget(id);
        if self.policy.judges_chains() {
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
