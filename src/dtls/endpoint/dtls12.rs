//! Handshakes of DTLS 1.2 (RFC 6347): they begin with a valid cookie, and every datagram of them goes to a proven address.

use super::Endpoint;
use super::establishing::Handshaken;
use crate::credentials::{AuthorityPaths, CertificateError, ClientPolicy, KnownClient};
use crate::device::CertificateId;
use crate::dtls::HandshakeFailure;
use crate::dtls::connection::Engine as Established;
use crate::dtls::handshakes::{Dtls12, Engine, HalfOpen, HandshakeId};
use crate::dtls::path::Path;
use crate::dtls::resumption::Resumption;
use crate::timers::Slot;
use dtls_server::alert::{Alert, AlertDescription};
use dtls_server::cookie::VerifiedHello;
use dtls_server::crypto::random::SystemRandom;
use dtls_server::established;
use dtls_server::handshake::{ClientVerifier, Complete, Handshake, HandshakeError, Outcome, Start};
use dtls_server::message::client_hello::ClientHello;
use dtls_server::resumption::{Session, Ticket};
use rustls_pki_types::UnixTime;
use std::time::Instant;

/// Judges a client's certificates by the policy, and keeps what the client is known by, or what is wrong with them.
struct Judge<'a> {
    policy: &'a ClientPolicy,
    paths: &'a mut AuthorityPaths,
    resumption: &'a mut Resumption,
    now: Instant,
    unix_time: UnixTime,
    client: &'a mut Option<KnownClient>,
    refused: Option<([u8; 32], CertificateError)>,
}

impl ClientVerifier for Judge<'_> {
    fn verify(&mut self, chain: &[&[u8]]) -> Result<(), AlertDescription> {
        match self.policy.verify(chain, self.unix_time, self.paths) {
            Ok(client) => {
                *self.client = Some(client);
                Ok(())
            }
            Err(refusal) => {
                let leaf = chain.first().copied().unwrap_or_default();
                let alert = AlertDescription(refusal.alert());
                self.refused = Some((CertificateId::of(leaf).sha256, refusal));
                Err(alert)
            }
        }
    }

    fn ticket(&mut self, session: &Session) -> Option<Ticket> {
        let client = self.client.as_ref()?;
        (self.resumption).ticket(self.now, session, client, self.paths)
    }
}

impl<T> Endpoint<T> {
    /// Begins a handshake. There is a place for it.
    pub(super) fn start12(
        &mut self,
        now: Instant,
        path: Path,
        random: [u8; 32],
        hello: &VerifiedHello,
    ) {
        let Some(connection_id) = self.index.new_connection_id(&mut SystemRandom) else {
            self.counters.engine_failures += 1;
            return;
        };
        // Whether its client may still come in is decided now, not when it came first.
        let named = (self.resumption).find(now, hello, &self.settings.dtls12, &self.paths);
        let resumed = named.filter(|(_, client)| {
            let verdict = self.policy.verify_again(client, self.unix_time);
            verdict.is_ok()
        });
        let start = Start {
            config: &self.settings.dtls12,
            hello: &hello.message,
            record_sequence: hello.record_sequence,
            own_connection_id: &connection_id,
            session_id: &self.resumption.new_id(),
            resumed: resumed.as_ref().map(|(session, _)| session),
        };
        let mut handshake = Handshake::new(now, &start, &mut SystemRandom);
        if let Some(outcome) = handshake.poll_outcome() {
            while let Some(datagram) = handshake.poll_transmit() {
                self.transmit(path, datagram);
            }
            let failure = match outcome {
                Outcome::Failed(error) => self.hello_failure(hello, error),
                // Its Finished is still to come.
                Outcome::Complete(_) => HandshakeFailure::Handshake(HandshakeError::Internal),
            };
            self.ended += 1;
            return self.report_failure(path, failure);
        }
        let id = self.handshakes.add(HalfOpen {
            path,
            random,
            began: now,
            deadline: now + self.parameters.handshake_timeout,
            client: None,
            engine: Engine::Dtls12(Dtls12 {
                handshake,
                resumed: resumed.map(|(_, client)| client),
                connection_id: connection_id.clone(),
            }),
            timer: Slot::default(),
        });
        let abandoned = self.index.add_proven(path, &connection_id, id);
        self.proven(id, abandoned);
        self.settle12(now, id, None);
    }

    /// Why a hello with a valid cookie did not begin a handshake.
    fn hello_failure(&self, hello: &VerifiedHello, error: HandshakeError) -> HandshakeFailure {
        if let HandshakeError::Hello(_) = error
            && let Ok(hello) = ClientHello::parse(hello.message.body())
        {
            let offered: Vec<u16> = hello.cipher_suites.iter().collect();
            let mut ours = self.settings.dtls12.cipher_suites().iter();
            if !ours.any(|suite| offered.contains(&suite.number())) {
                return HandshakeFailure::no_common_cipher_suite(&offered);
            }
        }
        HandshakeFailure::Handshake(error)
    }

    /// Passes a datagram to a handshake.
    pub(super) fn feed12(&mut self, now: Instant, id: HandshakeId, datagram: &[u8]) {
        let Some(half_open) = self.handshakes.get_mut(id) else {
            return;
        };
        let Engine::Dtls12(dtls12) = &mut half_open.engine else {
            return;
        };
        let mut judge = Judge {
            policy: &self.policy,
            paths: &mut self.paths,
            resumption: &mut self.resumption,
            now,
            unix_time: self.unix_time,
            client: &mut half_open.client,
            refused: None,
        };
        let discarded = dtls12.handshake.receive(now, datagram, &mut judge);
        let refused = judge.refused;
        self.counters.records_not_due += u64::try_from(discarded.len()).unwrap_or(u64::MAX);
        self.settle12(now, id, refused);
    }

    /// The timer of a handshake has fired.
    pub(super) fn drive12(&mut self, now: Instant, id: HandshakeId) {
        if let Some(half_open) = self.handshakes.get_mut(id)
            && let Engine::Dtls12(dtls12) = &mut half_open.engine
        {
            dtls12.handshake.handle_timeout(now);
            self.settle12(now, id, None);
        }
    }

    /// The time of a handshake is over: sends the alert that says why, if it is known.
    pub(super) fn expire12(&mut self, id: HandshakeId) {
        let Some(half_open) = self.handshakes.get_mut(id) else {
            return;
        };
        let path = half_open.path;
        let Engine::Dtls12(dtls12) = &mut half_open.engine else {
            return;
        };
        dtls12.handshake.expire();
        let datagrams: Vec<_> = std::iter::from_fn(|| dtls12.handshake.poll_transmit()).collect();
        for datagram in datagrams {
            self.transmit(path, datagram);
        }
    }

    /// Sends what a handshake has to send, and ends it if it has ended.
    fn settle12(
        &mut self,
        now: Instant,
        id: HandshakeId,
        refused: Option<([u8; 32], CertificateError)>,
    ) {
        let Some(half_open) = self.handshakes.get_mut(id) else {
            return;
        };
        let path = half_open.path;
        let Engine::Dtls12(dtls12) = &mut half_open.engine else {
            return;
        };
        let handshake = &mut dtls12.handshake;
        let datagrams: Vec<_> = std::iter::from_fn(|| handshake.poll_transmit()).collect();
        let outcome = handshake.poll_outcome();
        for datagram in datagrams {
            self.transmit(path, datagram);
        }
        match outcome {
            None => {
                self.track_buffered(id);
                self.handshakes.arm(id);
            }
            Some(Outcome::Failed(error)) => {
                let failure = match (error, refused) {
                    (_, Some((certificate, refusal))) => HandshakeFailure::CertificateRefused {
                        certificate,
                        refusal,
                    },
                    (HandshakeError::NoCertificate, None) => HandshakeFailure::NoCertificate,
                    (error, None) => HandshakeFailure::Handshake(error),
                };
                self.fail_handshake(id, failure);
            }
            Some(Outcome::Complete(complete)) => self.complete12(now, id, *complete),
        }
    }

    /// The client has its certificate's key.
    fn complete12(&mut self, now: Instant, id: HandshakeId, complete: Complete) {
        let Complete {
            mut association,
            last_flight,
            session,
            is_resumed,
            application_data,
        } = complete;
        let Some(half_open) = self.take_handshake(id) else {
            return;
        };
        let client = match (half_open.engine, is_resumed) {
            (Engine::Dtls12(dtls12), true) => dtls12.resumed,
            _ => half_open.client,
        };
        let mut handshaken = Handshaken {
            path: half_open.path,
            random: half_open.random,
            began: half_open.began,
            client,
        };
        let mut allowed = match self.judge_completed(&mut handshaken) {
            Ok(allowed) => allowed,
            Err((failure, alert)) => {
                // The client has our Finished: it is told under the session's keys.
                if let Some(alert) = established::protect(&mut association, Alert::fatal(alert)) {
                    self.transmit(handshaken.path, alert);
                }
                self.ended += 1;
                return self.report_failure(handshaken.path, failure);
            }
        };
        let mut resumption_id = [0; 32];
        if let Some(session) = session {
            resumption_id = session.id().try_into().unwrap_or(resumption_id);
            // Otherwise its time would begin again and again.
            allowed.resumable = Some(session).filter(|_| !is_resumed);
        }
        let engine = Established::Dtls12(association);
        let id = self.establish(now, handshaken, allowed, engine, last_flight, resumption_id);
        for bytes in application_data {
            self.received_application_data(now, id, bytes);
        }
    }
}
