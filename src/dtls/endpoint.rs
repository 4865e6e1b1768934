//! All sessions and handshakes of one socket: datagrams go to them, and what unauthenticated peers may cost is bounded (RFC
//! 6347 §4.2.1, §4.2.8).
//!
//! | First record | goes to |
//! |---|---|
//! | with a connection ID | the established session, else the handshake, with this ID |
//! | ClientHello | the handshake that began with the same random; otherwise it is answered with a cookie or, if it has one, waits for a new handshake |
//! | later fragment of a ClientHello | the hello whose first fragment had a valid cookie; in DTLS 1.3 the newest unproven handshake, else the proven one |
//! | another in epoch 0 | the proven handshake and the established session of the path |
//! | protected, without a connection ID | the established session and the proven handshake of the path |
//!
//! So a rebooted device on the same address begins a handshake beside its old session, which ends when the new one is
//! established, and not before; and a forger on that address starts handshakes that fail, while the device's own goes on beside
//! them. A session with a connection ID ends for a new one of the same certificate alone: another device may have got its
//! address.

mod dtls12;
mod dtls13;
mod ending;
pub(crate) mod establishing;
mod hellos;
mod moving;
mod receiving;
mod start;
pub(crate) mod stored;

use super::admission::Admission;
use super::handshakes::{HandshakeId, Handshakes};
use super::index::Index;
use super::path::{Path, SessionId};
use super::record::{self, DatagramKind};
use super::resumption::Resumption;
use super::sessions::Sessions;
use super::settings::Settings;
use super::used::UsedSessions;
use super::waiting::{self, WaitingData};
use super::{Counters, EndReason, Event, Parameters, Transmit};
use crate::credentials::{AuthorityPaths, CertificateError, ClientPolicy};
use crate::timers::Timers;
use rustls_pki_types::UnixTime;
use std::collections::VecDeque;
use std::time::Instant;

/// Timers handled in one call, so that datagrams get their turn.
const TIMERS_PER_CALL: usize = 256;

/// All sessions and handshakes of one socket. `T` is what its user keeps with a session.
pub struct Endpoint<T = ()> {
    parameters: Parameters,
    settings: Settings,
    policy: ClientPolicy,
    unix_time: UnixTime,
    sessions: Sessions<T>,
    handshakes: Handshakes,
    index: Index,
    admission: Admission,
    resumption: Resumption,
    /// Those of all clients.
    paths: AuthorityPaths,
    /// Whether a place may have become free since handshakes of pending clients were last started.
    has_free_place: bool,
    /// Of sessions. Handshakes have their own.
    timers: Timers<SessionId>,
    /// For sessions whose path is not proven.
    waiting: WaitingData,
    used: UsedSessions,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    counters: Counters,
    /// Sessions and handshakes that have ended since the start.
    ended: u64,
}

impl<T> Endpoint<T> {
    /// Creates it without sessions.
    pub fn new(parameters: Parameters, settings: Settings, policy: ClientPolicy) -> Endpoint<T> {
        Endpoint {
            handshakes: Handshakes::new(parameters.handshakes),
            index: Index::new(parameters.connection_id),
            admission: Admission::new(&parameters),
            resumption: Resumption::new(&parameters),
            paths: AuthorityPaths::default(),
            parameters,
            settings,
            policy,
            unix_time: UnixTime::since_unix_epoch(std::time::Duration::ZERO),
            sessions: Sessions::default(),
            has_free_place: false,
            timers: Timers::default(),
            waiting: WaitingData::new(waiting::MAX_BYTES),
            used: UsedSessions::default(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            counters: Counters::default(),
            ended: 0,
        }
    }

    /// Sets the wall clock for the validity of certificates. It may jump: an edge host boots in 1970 and learns the time
    /// later.
    pub fn set_unix_time(&mut self, unix_time: UnixTime) {
        self.unix_time = unix_time;
    }

    /// Sets the settings of handshakes that begin from now on.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Sets which client certificates are accepted from now on, handshakes under way included. For established sessions see
    /// [`verify_again`](Self::verify_again).
    pub fn set_policy(&mut self, policy: ClientPolicy) {
        self.policy = policy;
    }

    /// Why an established session's certificate is no longer accepted, if so. A session does not end because a certificate
    /// has expired, its own or an intermediate.
    pub fn verify_again(&self, id: SessionId) -> Option<CertificateError> {
        let verified = self.sessions.get(id)?.verified.as_deref();
        let verdict = self.policy.verify_authorities(verified, self.unix_time);
        verdict.err()
    }

    /// Records that a session is a registered device's. It can be resumed, new handshakes from its source have priority from
    /// now on, and this one does not count for `limits.handshakes_per_address`.
    pub fn mark_registered(&mut self, now: Instant, id: SessionId) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        self.admission.registered(now, connection.path.remote);
        // Not before: where there are no anchors, anyone completes handshakes, and would push out what devices resume.
        let fresh = connection.fresh.as_mut();
        if let Some(resumable) = fresh.and_then(|fresh| fresh.resumable.take()) {
            let (session, client) = *resumable;
            self.resumption.insert(now, session, client);
        }
    }

    /// Refuses new handshakes from now on. Their hellos are not answered, so clients try again and may reach another
    /// gateway.
    pub fn stop_accepting(&mut self) {
        self.admission.close();
    }

    /// Handles a received datagram.
    pub fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.receive_on(now, path, datagram, true);
    }

    /// Handles a received datagram, but not for the session of its path, if it goes by that: another gateway may serve it.
    pub fn receive_for_handshakes(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.receive_on(now, path, datagram, false);
    }

    fn receive_on(&mut self, now: Instant, path: Path, datagram: &[u8], by_path: bool) {
        self.counters.datagrams_received += 1;
        if let Some(id) = self.connection_id(datagram) {
            return self.receive_by_connection_id(now, path, id, datagram);
        }
        let half_open = self.index.half_open(path);
        match record::classify(datagram) {
            DatagramKind::ClientHello(hello) => self.receive_hello(now, path, &hello, datagram),
            DatagramKind::ClientHelloFragment if self.admission.expects_fragments(path) => {
                let counters = &mut self.counters;
                self.admission.continue_hello(now, path, datagram, counters);
            }
            DatagramKind::ClientHelloFragment => match half_open.unproven.or(half_open.proven) {
                Some(id) => self.repeat_hello(now, id, datagram),
                None => self.counters.no_session += 1,
            },
            DatagramKind::Plaintext | DatagramKind::Protected => {
                let established = self.index.established(path, &self.sessions);
                let established = established.filter(|_| by_path);
                if half_open.proven.is_none() && established.is_none() {
                    self.counters.no_session += 1;
                }
                if let Some(id) = half_open.proven {
                    self.feed_handshake(now, id, datagram);
                }
                if let Some(id) = established {
                    self.receive_established(now, path, id, datagram);
                }
            }
            DatagramKind::Foreign => self.counters.not_dtls += 1,
        }
    }

    /// Where a datagram belongs, as far as its first record shows. Nothing of it is authenticated.
    pub fn find<'a>(&self, path: Path, datagram: &'a [u8]) -> Found<'a> {
        if let Some(id) = self.connection_id(datagram) {
            return match self.index.session_with(id) {
                Some(session) => Found::Session(session),
                None if self.index.handshake_with(id).is_some() => Found::Other,
                None => Found::ConnectionId(id),
            };
        }
        // A handshake of the path may need it as well. Sessions of DTLS 1.3 are in no other gateway.
        if !record::is_protected12(datagram) || self.index.half_open(path).proven.is_some() {
            return Found::Other;
        }
        match self.index.established(path, &self.sessions) {
            Some(session) => Found::Session(session),
            None => Found::NoSession,
        }
    }

    /// Handles a datagram for a session, however it was found: with [`receive`](Self::receive) it could be another's.
    pub fn receive_in(&mut self, now: Instant, id: SessionId, path: Path, datagram: &[u8]) {
        self.counters.datagrams_received += 1;
        self.receive_established(now, path, id, datagram);
    }

    /// The established session that a datagram is probably of. What it says is not authenticated.
    pub fn session_of(&self, path: Path, datagram: &[u8]) -> Option<SessionId> {
        match self.connection_id(datagram) {
            Some(id) => self.index.session_with(id),
            None => self.index.established(path, &self.sessions),
        }
    }

    /// Encrypts and sends application data. Nothing happens if the session has ended.
    pub fn send(&mut self, now: Instant, id: SessionId, plaintext: &[u8]) {
        self.send_application_data(now, id, plaintext);
    }

    /// The most bytes of application data that fit one datagram to this client.
    pub fn max_plaintext(&self, id: SessionId) -> Option<usize> {
        use super::connection::Engine;
        match &self.sessions.get(id)?.engine {
            Engine::Dtls12(association) => {
                let in_datagram = self.parameters.mtu.saturating_sub(association.overhead());
                Some(association.max_content().min(in_datagram))
            }
            Engine::Dtls13(_) => None,
        }
    }

    /// Handles timers that are due, and starts pending handshakes.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.has_free_place || self.admission.next_start.is_some_and(|at| at <= now) {
            self.start_pending(now);
        }
        for _ in 0..TIMERS_PER_CALL {
            let Some(id) = self.handshakes.pop_due(now) else {
                break;
            };
            self.handle_handshake_timeout(now, id);
        }
        for _ in 0..TIMERS_PER_CALL {
            let Some(id) = self.timers.pop_due(now) else {
                break;
            };
            self.handle_session_timeout(now, id);
        }
        self.expire_waiting(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let next = [
            self.timers.next(),
            self.handshakes.next_timeout(),
            self.waiting.next_timeout(),
            self.admission.next_start,
        ];
        next.into_iter().flatten().min()
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The datagram queued last.
    pub fn last_transmit(&self) -> Option<&Transmit> {
        self.transmits.back()
    }

    /// Keeps something with a session, for as long as it has not ended and after that until it is
    /// [detached](Self::detach). Nothing is kept with a session that has ended.
    pub fn attach(&mut self, id: SessionId, user: T) {
        self.sessions.attach(id, user);
    }

    /// Takes what was kept with a session.
    pub fn detach(&mut self, id: SessionId) -> Option<T> {
        self.sessions.detach(id)
    }

    /// What is kept with a session.
    pub fn user(&self, id: SessionId) -> Option<&T> {
        self.sessions.user(id)
    }

    /// What is kept with a session.
    pub fn user_mut(&mut self, id: SessionId) -> Option<&mut T> {
        self.sessions.user_mut(id)
    }

    /// What is kept with all sessions.
    pub fn users(&self) -> impl Iterator<Item = (SessionId, &T)> {
        self.sessions.users()
    }

    /// Counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The number of established sessions.
    pub fn established(&self) -> usize {
        self.sessions.len()
    }

    /// The cipher suite of a session.
    pub fn cipher_suite(&self, id: SessionId) -> Option<u16> {
        self.sessions.get(id)?.cipher_suite()
    }

    /// Sessions and handshakes that have ended since the start, for any reason.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// The number of half-open handshakes.
    pub fn half_open(&self) -> usize {
        self.handshakes.len()
    }

    /// ClientHellos with a valid cookie that wait for a handshake.
    pub fn pending_hellos(&self) -> usize {
        self.admission.pending.len()
    }

    /// The number of armed timers.
    pub fn timers(&self) -> usize {
        self.timers.len() + self.handshakes.timers()
    }

    /// Adds a session without a handshake, for tests of what is kept with sessions.
    #[cfg(test)]
    pub(crate) fn add_session(&mut self) -> SessionId {
        self.sessions.insert(super::connection::tests::connection())
    }

    /// Sizes of all tables, for tests of their bounds.
    #[cfg(test)]
    pub(crate) fn load(&self) -> Load {
        let [established, half_open, hellos, connection_ids, reserved] = self.index.sizes();
        Load {
            routes: established + half_open,
            connection_ids: connection_ids + reserved,
            hellos,
            timers: self.timers(),
            unproven_queue: self.handshakes.unproven_queue(),
            pending_hellos: self.pending_hellos(),
            waiting: self.waiting.len(),
            used: self.used.len(),
        }
    }

    /// Sends a datagram.
    fn transmit(&mut self, path: Path, datagram: Vec<u8>) {
        self.counters.datagrams_sent += 1;
        self.transmits.push_back(Transmit { path, datagram });
    }

    /// Sets the timer of a session.
    fn arm(&mut self, id: SessionId) {
        if let Some(connection) = self.sessions.get_mut(id) {
            let at = connection.next_timeout();
            self.timers.arm(id, &mut connection.timer, at);
        }
    }

    fn handle_handshake_timeout(&mut self, now: Instant, id: HandshakeId) {
        let Some(handshake) = self.handshakes.get(id) else {
            return;
        };
        if handshake.deadline <= now {
            if handshake.is_proven() {
                let failure = ending::timeout_failure(handshake);
                self.expire12(id);
                self.fail_handshake(id, failure);
            } else {
                self.counters.unproven_expired += 1;
                self.remove_handshake(id);
            }
        } else {
            self.drive_handshake(now, id);
        }
    }

    fn handle_session_timeout(&mut self, now: Instant, id: SessionId) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        connection.timer.fired();
        if connection
            .fresh
            .as_ref()
            .is_some_and(|fresh| fresh.expires <= now.into())
        {
            connection.fresh = None;
        }
        if connection.deadline <= now {
            self.send_close_notify(id);
            self.end(id, EndReason::Idle);
        } else {
            self.drive_session13(now, id);
            self.repeat_challenge(now, id);
            self.arm(id);
        }
    }
}

/// Where a datagram belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// To this session.
    Session(SessionId),
    /// No session or handshake here has this connection ID.
    ConnectionId(&'a [u8]),
    /// It is a protected record of DTLS 1.2 without connection ID, and on its path is nothing.
    NoSession,
    /// To a handshake, to the session of its path if it has records for that as well, or nowhere.
    Other,
}

/// Sizes of [`Endpoint`]'s tables.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) routes: usize,
    pub(crate) connection_ids: usize,
    pub(crate) hellos: usize,
    pub(crate) timers: usize,
    pub(crate) unproven_queue: usize,
    pub(crate) pending_hellos: usize,
    pub(crate) waiting: usize,
    pub(crate) used: usize,
}

#[cfg(test)]
mod tests;
