//! A complete handshake becomes an established session, and takes the place of a former one.

use super::Endpoint;
use crate::credentials::{CertificateError, ClientChain};
use crate::dtls::connection::{CertificateTag, Connection, Engine, Fresh};
use crate::dtls::path::{Path, SessionId};
use crate::dtls::resumption::Known;
use crate::dtls::{EndReason, Event, HandshakeFailure};
use crate::timers::Slot;
use dtls_server::alert::AlertDescription;
use dtls_server::association::Association;
use dtls_server::handshake::LastFlight;
use dtls_server::resumption::Session as ResumableSession;
use std::time::Instant;

/// A complete handshake.
pub(super) struct Handshaken {
    pub(super) path: Path,
    pub(super) random: [u8; 32],
    pub(super) began: Instant,
    /// The version of the policy that accepted the certificate.
    pub(super) verified_by: u32,
    pub(super) chain: Option<ClientChain>,
}

/// A session that may be established.
pub(super) struct Allowed {
    pub(super) chain: ClientChain,
    /// To resume it by.
    pub(super) resumable: Option<ResumableSession>,
    certificate: CertificateTag,
    replaced: Option<SessionId>,
}

impl<T> Endpoint<T> {
    /// Whether a complete handshake may become a session. Otherwise, why not, and the alert for it.
    pub(super) fn judge_completed(
        &mut self,
        handshaken: &Handshaken,
    ) -> Result<Allowed, (HandshakeFailure, AlertDescription)> {
        let Some(chain) = &handshaken.chain else {
            // Without a certificate there is no device.
            let alert = AlertDescription::HANDSHAKE_FAILURE;
            return Err((HandshakeFailure::NoCertificate, alert));
        };
        // The policy may have changed between Certificate and Finished: a client must not evade a revocation by delay.
        if handshaken.verified_by != self.policy_version
            && let Err(refusal) = self.verify_again(chain)
        {
            let alert = AlertDescription(refusal.alert());
            let certificate = chain.leaf().to_vec();
            let failure = HandshakeFailure::CertificateRefused {
                certificate,
                refusal,
            };
            return Err((failure, alert));
        }
        let certificate = CertificateTag::of(chain.leaf());
        let replaced = self.replaced_by(handshaken.path, certificate);
        if self.established() >= self.parameters.sessions && replaced.is_none() {
            self.counters.sessions_full += 1;
            let alert = AlertDescription::INTERNAL_ERROR;
            return Err((HandshakeFailure::SessionsFull, alert));
        }
        Ok(Allowed {
            chain: chain.clone(),
            resumable: None,
            certificate,
            replaced,
        })
    }

    fn verify_again(&self, chain: &ClientChain) -> Result<(), CertificateError> {
        let path = self.policy.verify(&chain.certificates(), self.unix_time);
        path.map(drop)
    }

    /// The session that a new one on this path replaces. One with a connection ID is found without its path, on which
    /// another device may be now.
    fn replaced_by(&self, path: Path, certificate: CertificateTag) -> Option<SessionId> {
        let there = self.index.established(path, &self.sessions)?;
        let connection = self.sessions.get(there)?;
        let is_replaced =
            connection.connection_id().is_empty() || connection.certificate == certificate;
        is_replaced.then_some(there)
    }

    /// Establishes a session.
    pub(super) fn establish(
        &mut self,
        now: Instant,
        handshaken: Handshaken,
        allowed: Allowed,
        engine: Engine,
        last_flight: Option<LastFlight>,
        resumption_id: [u8; 32],
    ) -> SessionId {
        let path = handshaken.path;
        if let Some(replaced) = allowed.replaced {
            self.end(replaced, EndReason::Replaced);
        }
        let version = match &engine {
            Engine::Dtls12(_) => "1.2",
            Engine::Dtls13(_) => "1.3",
        };
        drop(handshaken.chain);
        let is_chain_kept = self.policy.verifies_chains();
        let kept = is_chain_kept.then(|| allowed.chain.clone());
        let resumable = allowed.resumable.map(|session| {
            // By the policy as it is now: see `judge_completed`.
            let known = Known {
                chain: allowed.chain.clone(),
                verified_by: self.policy_version,
                verified_at: now,
            };
            (session, known)
        });
        // A large one is not copied if nothing else has it.
        let certificate = allowed.chain.into_leaf();
        let connection = Connection {
            engine,
            path,
            unproven: None,
            deadline: now + self.parameters.session_idle,
            timer: Slot::default(),
            certificate: allowed.certificate,
            chain: kept,
            fresh: Some(Box::new(Fresh::new(
                now,
                &handshaken.random,
                handshaken.began,
                last_flight,
                resumable,
            ))),
            resumption_id,
        };
        self.counters.handshakes_completed += 1;
        let id = self.add_connection(connection);
        self.events.push_back(Event::Established {
            session: id,
            path,
            certificate,
            version,
        });
        id
    }

    fn add_connection(&mut self, connection: Connection) -> SessionId {
        let (path, connection_id) = (connection.path, connection.connection_id().to_vec());
        let id = self.sessions.insert(connection);
        self.index
            .add_session(path, &connection_id, id, &self.sessions);
        self.arm(id);
        id
    }

    /// Goes on with a session of DTLS 1.2 that was established earlier, as if its handshake had completed now. `chain`: its
    /// client's certificates, its own first. Who imports it has judged them.
    ///
    /// `None`: there is no room, or another session has its connection ID or, if it has none, its path; or the connection ID has
    /// another length than those of this endpoint.
    pub fn import(
        &mut self,
        now: Instant,
        path: Path,
        association: Association,
        chain: Vec<Vec<u8>>,
    ) -> Option<SessionId> {
        let chain = self.intermediates.keep(chain)?;
        let certificate = chain.leaf().to_vec();
        let connection_id = association.own_connection_id();
        // Where one without a connection ID was, others with one may have gone.
        let keeps = self.found_by_path(path);
        let is_free = match connection_id.len() {
            0 => keeps.is_none(),
            length => {
                length == self.index.connection_id_length()
                    && self.index.session_with(connection_id).is_none()
                    && self.index.handshake_with(connection_id).is_none()
            }
        };
        if !is_free || self.established() >= self.parameters.sessions {
            return None;
        }
        let session = self.add_connection(Connection {
            engine: Engine::Dtls12(association),
            path,
            unproven: None,
            deadline: now + self.parameters.session_idle,
            timer: Slot::default(),
            certificate: CertificateTag::of(&certificate),
            chain: self.policy.verifies_chains().then_some(chain),
            fresh: None,
            resumption_id: [0; 32],
        });
        if keeps.is_some() {
            self.index
                .move_session(path, path, session, keeps, &self.sessions);
        }
        self.events.push_back(Event::Established {
            session,
            path,
            certificate,
            version: "1.2",
        });
        Some(session)
    }

    /// What a session of DTLS 1.2 is, to store it: see [`Association::export`]. `None` in DTLS 1.3.
    pub fn export(&self, id: SessionId) -> Option<(Path, &Association)> {
        let connection = self.sessions.get(id)?;
        match &connection.engine {
            Engine::Dtls12(association) => Some((connection.path, association)),
            Engine::Dtls13(_) => None,
        }
    }

    /// A session has brought application data.
    pub(super) fn received_application_data(
        &mut self,
        now: Instant,
        id: SessionId,
        bytes: Vec<u8>,
    ) {
        if let Some(connection) = self.sessions.get_mut(id) {
            connection.deadline = now + self.parameters.session_idle;
            if let Some(fresh) = &mut connection.fresh {
                fresh.last_flight = None;
            }
            self.events
                .push_back(Event::Plaintext { session: id, bytes });
        }
    }
}
