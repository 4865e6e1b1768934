//! What an engine's effects do to its session: from unproven to proven to established.

use super::Demux;
use crate::dtls::engine::Effect;
use crate::dtls::record;
use crate::dtls::session::{SessionId, Stage};
use crate::dtls::{EndReason, Event, HandshakeFailure};
use std::time::Instant;

impl Demux {
    /// Gives a datagram to a session's engine and does what comes of it.
    pub(super) fn feed(&mut self, now: Instant, id: SessionId, datagram: &[u8]) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.credit = session.credit.saturating_add(datagram.len());
        let stage = session.stage;
        match session.engine.receive(now, datagram) {
            Ok(effects) => {
                if stage == Stage::Established && effects.is_empty() {
                    self.counters.without_effect += 1;
                }
                let used = used_up(stage, &effects, datagram);
                self.perform(now, id, effects);
                if !used {
                    self.hold(id, datagram.len());
                }
            }
            Err((failure, last_words)) => {
                self.perform(now, id, last_words);
                self.fail(id, failure);
            }
        }
    }

    /// Keeps account of a datagram that the engine may have kept.
    fn hold(&mut self, id: SessionId, length: usize) {
        let stage = self.sessions.get(&id).map(|session| session.stage);
        if let Some(stage @ (Stage::Unproven | Stage::Proven)) = stage {
            self.holdings.add(id, stage == Stage::Unproven, length);
            self.bound_holdings();
        }
    }

    /// Carries out an engine's effects.
    pub(super) fn perform(&mut self, now: Instant, id: SessionId, effects: Vec<Effect>) {
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
            if let Effect::PeerCertificate(leaf) = effect
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
                Effect::Transmit(datagram) if session.stage == Stage::Unproven => {
                    // No amplification: a forged source address gets no more than its forger spent.
                    // Counted over all that came: a hello may come in fragments, and the last be small.
                    if let Some(left) = session.credit.checked_sub(datagram.len()) {
                        session.credit = left;
                        self.transmit(path, datagram);
                    } else {
                        self.counters.amplification_avoided += 1;
                    }
                }
                Effect::Transmit(datagram) => self.transmit(path, datagram),
                Effect::PeerCertificate(leaf) => {
                    session.certificate = Some(leaf);
                    session.judged_by = self.policy_number;
                }
                Effect::Connected => self.establish(now, id),
                Effect::Plaintext(bytes) if session.stage == Stage::Established => {
                    session.deadline = now + self.parameters.session_idle;
                    let event = Event::Plaintext { session: id, bytes };
                    self.events.push_back(event);
                }
                Effect::Plaintext(_) => {}
                Effect::CloseNotify => {
                    // RFC 5246 §7.2.1: answered with our own close_notify.
                    self.say_goodbye(id);
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
        let was_counted = session.engine.forget_cookie();
        session.deadline = now + self.parameters.handshake_timeout;
        let (path, random) = (session.path, session.random);
        self.hellos.remove(&(path, random));
        if !was_counted {
            self.per_address.count(now, path.remote.ip());
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
            self.counters.proven_displaced += 1;
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
        let Some(certificate) = session.certificate.take() else {
            // The engine requires a certificate; without one there is no device to serve.
            return self.fail_handshake(id, HandshakeFailure::NoCertificate);
        };
        // Whoever shows its certificate and waits with the rest must not outlast a revocation by it.
        if session.judged_by != self.policy_number
            && let Err(refusal) = self.policy.judge(&certificate, self.unix_time)
        {
            self.say_goodbye(id);
            let failure = HandshakeFailure::CertificateRefused {
                certificate,
                refusal,
            };
            return self.fail_handshake(id, failure);
        }
        if full && replaced.is_none() {
            self.counters.sessions_full += 1;
            self.say_goodbye(id);
            return self.fail_handshake(id, HandshakeFailure::SessionsFull);
        }
        self.holdings.forget(id);
        if self.policy.judges_chains() {
            session.certificate = Some(certificate.as_slice().into());
        }
        session.stage = Stage::Established;
        session.deadline = now + self.parameters.session_idle;
        let version = session.engine.version();
        self.half_open = self.half_open.saturating_sub(1);
        self.proven_by_source.remove(path.remote.ip(), id);
        self.has_vacancy = true;
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

/// Whether the engine keeps nothing of a datagram: it was one whole message, a hello that is answered
/// or a certificate that is complete. What came before may still wait for more.
fn used_up(stage: Stage, effects: &[Effect], datagram: &[u8]) -> bool {
    let has = |wanted: fn(&Effect) -> bool| effects.iter().any(wanted);
    record::is_single_message(datagram)
        && match stage {
            Stage::Unproven => has(|effect| matches!(effect, Effect::Transmit(_))),
            Stage::Proven => has(|effect| matches!(effect, Effect::PeerCertificate(_))),
            Stage::Established => true,
        }
}
