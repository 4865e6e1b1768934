//! Sessions of DTLS 1.2 as they are stored, so that they outlive the process: what there is to store, when, and back again.
//!
//! Who stores sessions calls [`list_changes`](Endpoint::list_changes) once. Then [`Event::Established`], [`Event::Ended`] and
//! [`take_used`](Endpoint::take_used) say what has changed, and [`export`](Endpoint::export) gives it. Before any record is sent
//! with a number that a stored session does not reserve, [`set_send_end`](Endpoint::set_send_end) stops it.

use super::Endpoint;
use crate::credentials::{AuthorityPaths, CertificateError, KnownClient, Period, Verified};
use crate::device::CertificateId;
use crate::dtls::connection::{CertificateTag, Connection, Engine};
use crate::dtls::index::MakeConnectionId;
use crate::dtls::path::{Path, SessionId};
use crate::dtls::{EndReason, Event, Versions};
use crate::timers::Slot;
use dtls_server::association::Association;
use dtls_server::config::ExtendedMasterSecret;
use rustls_pki_types::UnixTime;
use std::ops::Range;
use std::time::Instant;

/// A session of DTLS 1.2, to store it.
#[derive(Debug)]
pub struct Exported<'a> {
    /// The addresses of the client and of ours, the last that were proven: who imports it takes them for proven.
    pub path: Path,
    /// See [`Association::export`].
    pub association: &'a Association,
    /// When it ends without application data from the client.
    pub deadline: Instant,
    /// The validity period of the client's certificate.
    pub period: Period,
    /// How that was verified.
    pub verified: Option<&'a Verified>,
}

impl Exported<'_> {
    /// The client, of whose certificate the endpoint does not keep the fingerprints.
    pub fn known_client(&self, id: CertificateId) -> KnownClient {
        KnownClient {
            id,
            period: self.period,
            verified: self.verified.cloned().map(Box::new),
        }
    }
}

/// Why a session was not imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// `limits.session_idle` is over.
    #[error("no application data has come for limits.session_idle")]
    Idle,
    /// The settings no longer allow such a session: its version, its cipher suite, or that it has no extended master secret.
    #[error("the settings do not allow its version, its cipher suite or its key exchange any more")]
    NotAllowed,
    /// Its connection ID has another length than those of this endpoint.
    #[error("its connection ID has another length than dtls.connection_id")]
    ConnectionIdLength,
    /// Another session or a handshake has its connection ID or, if it has none, its path.
    #[error("another session has its connection ID or its address")]
    InUse,
    /// `limits.sessions` are established.
    #[error("limits.sessions are established")]
    Full,
}

impl<T> Endpoint<T> {
    /// Lists from now on which sessions are used, and which [authority paths](Self::authority_paths) change.
    pub fn list_changes(&mut self) {
        self.used.switch_on();
        self.paths.list_changes();
    }

    /// The paths from the issuers of clients to a trust anchor, which are stored by themselves.
    pub fn authority_paths(&mut self) -> &mut AuthorityPaths {
        &mut self.paths
    }

    /// Takes some of the sessions of DTLS 1.2 of which a record was protected, an authentic one received, or the path proven,
    /// since they were last taken, established or imported. Each is in it once, the first that was used comes first.
    pub fn take_used(&mut self, most: usize) -> Vec<SessionId> {
        self.used.take(most, &mut self.sessions)
    }

    /// How many sessions [`take_used`](Self::take_used) would take at most.
    pub fn used(&self) -> usize {
        self.used.len()
    }

    /// Sets the first record number that a session must not use: see [`Association::set_send_end`]. If one is needed, the session
    /// ends with [`EndReason::NotReserved`]. Nothing happens in DTLS 1.3.
    pub fn set_send_end(&mut self, id: SessionId, first_not_reserved: u64) {
        if let Some(connection) = self.sessions.get_mut(id)
            && let Engine::Dtls12(association) = &mut connection.engine
        {
            association.set_send_end(first_not_reserved);
        }
    }

    /// Sets the record numbers that a session may use: those below `end`, or from now on those of another block. Nothing happens in
    /// DTLS 1.3.
    pub fn set_send_numbers(&mut self, id: SessionId, end: u64, next_block: Option<Range<u64>>) {
        if let Some(connection) = self.sessions.get_mut(id)
            && let Engine::Dtls12(association) = &mut connection.engine
        {
            let end = match next_block {
                // What is left of the first block is less than it costs to keep both.
                Some(block) => {
                    association.skip_to(block.start);
                    block.end
                }
                None => end,
            };
            association.set_send_end(end);
        }
    }

    /// Connection IDs are made by this from now on: gateways of one group recognise those of one another. Unless they have eight bytes
    /// ([`Parameters::connection_id`](crate::dtls::Parameters::connection_id)) nothing changes.
    pub fn set_connection_ids(&mut self, maker: Box<dyn MakeConnectionId>) {
        self.index.set_connection_ids(maker);
    }

    /// Ends a session without a word to its client: another gateway serves it. It can't be resumed here.
    pub fn forget(&mut self, id: SessionId) {
        self.forget_resumption(id);
        self.end(id, EndReason::ServedElsewhere);
    }

    /// When a session ends without application data from its client.
    pub fn deadline(&self, id: SessionId) -> Option<Instant> {
        Some(self.sessions.get(id)?.deadline)
    }

    /// Whether a client may still come in, as it was verified: before its session is [imported](Self::import). `last_received`:
    /// when it last sent something, so that it is this time or later. The wall clock may not be set yet: without this, a host that
    /// boots in 1970 would take all certificates for not yet valid.
    pub fn judge(
        &self,
        client: &KnownClient,
        last_received: UnixTime,
    ) -> Result<(), CertificateError> {
        self.policy
            .verify_again(client, self.unix_time.max(last_received))
    }

    /// What a session of DTLS 1.2 is, to store it. `None` in DTLS 1.3.
    pub fn export(&self, id: SessionId) -> Option<Exported<'_>> {
        let connection = self.sessions.get(id)?;
        let unproven = connection.unproven.as_ref();
        match &connection.engine {
            Engine::Dtls12(association) => Some(Exported {
                path: unproven.map_or(connection.path, |unproven| unproven.proven),
                association,
                deadline: connection.deadline,
                period: connection.period,
                verified: connection.verified.as_deref(),
            }),
            Engine::Dtls13(_) => None,
        }
    }

    /// Goes on with a session of DTLS 1.2 that was established earlier. Who imports it has [judged](Self::judge) its client, and
    /// set which numbers it may send with. It ends at the deadline without application data, or after `limits.session_idle` if
    /// that is earlier.
    ///
    /// Sessions may be imported in any order. Of several with one path, the one with the latest deadline is found by the path,
    /// unless one has no connection ID, and can't be found otherwise; of several of those the one with the latest deadline stays,
    /// and the others end as replaced.
    ///
    /// # Errors
    /// It is not imported, and nothing has changed.
    pub fn import(
        &mut self,
        now: Instant,
        path: Path,
        association: Association,
        client: KnownClient,
        deadline: Instant,
    ) -> Result<SessionId, ImportError> {
        let deadline = deadline.min(now + self.parameters.session_idle);
        if deadline <= now {
            return Err(ImportError::Idle);
        }
        if !self.allows(&association) {
            return Err(ImportError::NotAllowed);
        }
        let replaced = self.place_of(path, &association, deadline)?;
        if self.established() >= self.parameters.sessions && replaced.is_none() {
            return Err(ImportError::Full);
        }
        if let Some(replaced) = replaced {
            self.end(replaced, EndReason::Replaced);
        }
        let there = self.index.established(path, &self.sessions);
        let keeps = there.filter(|there| self.keeps_path(*there, &association, deadline));
        let session = self.add_connection(Connection {
            engine: Engine::Dtls12(association),
            path,
            unproven: None,
            deadline,
            timer: Slot::default(),
            certificate: CertificateTag::of(&client.id),
            period: client.period,
            verified: client.verified,
            fresh: None,
            is_used: false,
            resumption_id: [0; 32],
        });
        if keeps.is_some() {
            self.index
                .move_session(path, path, session, keeps, &self.sessions);
        }
        self.events.push_back(Event::Established {
            session,
            path,
            certificate: client.id,
            version: "1.2",
        });
        Ok(session)
    }

    /// Whether a handshake could have such an outcome with the present settings.
    fn allows(&self, association: &Association) -> bool {
        let settings = &self.settings.dtls12;
        let needs_extended = settings.extended_master_secret() == ExtendedMasterSecret::Require;
        self.settings.versions != Versions::Only13
            && settings.cipher_suites().contains(&association.suite())
            && (association.has_extended_master_secret() || !needs_extended)
    }

    /// Whether there is a place for a session that is imported. The session in whose place it is, if there is one.
    fn place_of(
        &self,
        path: Path,
        association: &Association,
        deadline: Instant,
    ) -> Result<Option<SessionId>, ImportError> {
        let connection_id = association.own_connection_id();
        if !connection_id.is_empty() {
            if connection_id.len() != self.index.connection_id_length() {
                return Err(ImportError::ConnectionIdLength);
            }
            let is_free = self.index.session_with(connection_id).is_none()
                && self.index.handshake_with(connection_id).is_none();
            return is_free.then_some(None).ok_or(ImportError::InUse);
        }
        let there = self.found_by_path(path);
        match there.filter(|there| self.deadline(*there) >= Some(deadline)) {
            Some(_) => Err(ImportError::InUse),
            None => Ok(there),
        }
    }

    /// Whether this session is found by its path rather than one that is imported with the same path.
    fn keeps_path(&self, there: SessionId, imported: &Association, deadline: Instant) -> bool {
        let Some(connection) = self.sessions.get(there) else {
            return false;
        };
        let has_id = |id: &[u8]| !id.is_empty();
        match (
            has_id(connection.connection_id()),
            has_id(imported.own_connection_id()),
        ) {
            (false, _) => true,
            (true, false) => false,
            (true, true) => connection.deadline > deadline,
        }
    }
}
