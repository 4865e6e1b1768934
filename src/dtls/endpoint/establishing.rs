//! A complete handshake becomes an established session, and takes the place of a former one.

use super::Endpoint;
use crate::credentials::KnownClient;
use crate::dtls::connection::{CertificateTag, Connection, Engine, Fresh};
use crate::dtls::path::{Path, SessionId};
use crate::dtls::{EndReason, Event, HandshakeFailure};
use crate::timers::Slot;
use dtls_server::alert::AlertDescription;
use dtls_server::handshake::LastFlight;
use dtls_server::resumption::Session as ResumableSession;
use std::time::Instant;

/// A complete handshake.
pub(super) struct Handshaken {
    pub(super) path: Path,
    pub(super) random: [u8; 32],
    pub(super) began: Instant,
    pub(super) client: Option<KnownClient>,
}

/// A session that may be established.
pub(super) struct Allowed {
    client: KnownClient,
    /// To resume it by.
    pub(super) resumable: Option<ResumableSession>,
    replaced: Option<SessionId>,
}

impl<T> Endpoint<T> {
    /// Whether a complete handshake may become a session. Otherwise, why not, and the alert for it.
    pub(super) fn judge_completed(
        &mut self,
        handshaken: &mut Handshaken,
    ) -> Result<Allowed, (HandshakeFailure, AlertDescription)> {
        let Some(client) = handshaken.client.take() else {
            // Without a certificate there is no device.
            let alert = AlertDescription::HANDSHAKE_FAILURE;
            return Err((HandshakeFailure::NoCertificate, alert));
        };
        // The policy may have changed since the client's Certificate, or its ClientHello if it resumes a session: it must not
        // evade a revocation by delay.
        if let Err(refusal) = self.policy.verify_again(&client, self.unix_time) {
            let alert = AlertDescription(refusal.alert());
            let failure = HandshakeFailure::CertificateRefused {
                certificate: client.id.sha256,
                refusal,
            };
            return Err((failure, alert));
        }
        let replaced = self.replaced_by(handshaken.path, CertificateTag::of(&client.id));
        if self.established() >= self.parameters.sessions && replaced.is_none() {
            self.counters.sessions_full += 1;
            let alert = AlertDescription::INTERNAL_ERROR;
            return Err((HandshakeFailure::SessionsFull, alert));
        }
        Ok(Allowed {
            client,
            resumable: None,
            replaced,
        })
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
        let client = allowed.client;
        let resumable = allowed.resumable.map(|session| (session, client.clone()));
        let connection = Connection {
            engine,
            path,
            unproven: None,
            deadline: now + self.parameters.session_idle,
            timer: Slot::default(),
            certificate: CertificateTag::of(&client.id),
            period: client.period,
            verified: client.verified,
            fresh: Some(Box::new(Fresh::new(
                now,
                &handshaken.random,
                handshaken.began,
                last_flight,
                resumable,
            ))),
            is_used: false,
            resumption_id,
        };
        self.counters.handshakes_completed += 1;
        let id = self.add_connection(connection);
        self.events.push_back(Event::Established {
            session: id,
            path,
            certificate: client.id,
            version,
        });
        id
    }

    pub(super) fn add_connection(&mut self, connection: Connection) -> SessionId {
        let (path, connection_id) = (connection.path, connection.connection_id().to_vec());
        let id = self.sessions.insert(connection);
        self.index
            .add_session(path, &connection_id, id, &self.sessions);
        self.arm(id);
        id
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
