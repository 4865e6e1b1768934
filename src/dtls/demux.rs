//! Which session a datagram belongs to, and what strangers may cost (RFC 6347 §4.2.1, §4.2.8).
//!
//! A path (the peer's address and ours) leads to at most one established session and one handshake
//! whose address is proven; handshakes that are not proven are told apart by path and client random.
//! So a rebooted device on the same address gets in beside its old session, which ends when the new
//! one is established, and not before; a forger on that address starts handshakes that come to
//! nothing, and the device's own goes on beside them.
//!
//! | First record | goes to |
//! |---|---|
//! | ClientHello | the handshake that began with the same random, else a cookie or, with one, a new one |
//! | later fragment of a ClientHello | the newest unproven handshake, else the proven one |
//! | another in epoch 0 | the proven handshake and the established session |
//! | protected | the established session and the proven handshake |

mod admission;
mod buffered_bytes;
mod cookie_exchange;
mod ending;
mod pending_hellos;
mod progress;
mod proven_by_source;
mod recent_set;

use super::cookie::Cookies;
use super::engine::Settings;
use super::path::{Path, SessionId};
use super::rate_limit::{AddressLimit, TokenBucket};
use super::record::{self, DatagramKind};
use super::session::{Session, Stage};
use super::supported::Supported;
use super::{Counters, EndReason, Event, Parameters, Transmit};
use crate::credentials::{ClientPolicy, Refusal};
use crate::timers::Timers;
use buffered_bytes::BufferedBytes;
use pending_hellos::{Known, PendingHellos};
use proven_by_source::ProvenBySource;
use recent_set::RecentSet;
use rustls_pki_types::UnixTime;
use shares::{Recent, source};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Sessions whose timers are served in one call, so that datagrams get their turn.
const TIMERS_PER_CALL: usize = 256;

/// Cookies given, for each hello a second that may cost an engine. Each takes a MAC and a datagram, and no memory.
const COOKIE_REPLIES: u32 = 2;

/// Places for hellos that were not answered: one stays for seconds under 50,000 others a second.
const UNANSWERED: usize = 1 << 18;

/// Places for sources whose hellos come in pieces: they are few.
const FRAGMENTED_SOURCES: usize = 1 << 12;

/// Addresses, and as many addresses with their ports, from which registered devices have completed handshakes. 1 MiB.
const REGISTERED_SOURCES: usize = 1 << 16;
/// For so long they go first.
const REGISTERED_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The sessions of one path.
#[derive(Debug, Default, Clone, Copy)]
struct Route {
    established: Option<SessionId>,
    proven: Option<SessionId>,
    /// The newest: where fragments of a ClientHello go, which don't show a random.
    unproven: Option<SessionId>,
}

impl Route {
    fn place(&mut self, stage: Stage) -> &mut Option<SessionId> {
        match stage {
            Stage::Established => &mut self.established,
            Stage::Proven => &mut self.proven,
            Stage::Unproven => &mut self.unproven,
        }
    }

    fn is_empty(&self) -> bool {
        self.established.is_none() && self.proven.is_none() && self.unproven.is_none()
    }
}

/// All sessions of one socket.
pub struct Demux {
    parameters: Parameters,
    settings: Settings,
    terms: Supported,
    cookies: Cookies,
    policy: ClientPolicy,
    /// Counts policies.
    policy_version: u32,
    unix_time: UnixTime,
    next_id: u64,
    /// Boxed, as a table that grows by doubling is half empty at its worst.
    sessions: HashMap<SessionId, Box<Session>>,
    routes: HashMap<Path, Route>,
    /// Unproven handshakes by where they came from and the client random they began with.
    hellos: HashMap<(Path, [u8; 32]), SessionId>,
    /// Unproven handshakes, oldest first; may name sessions that have gone on or away since.
    unproven: VecDeque<SessionId>,
    half_open: usize,
    /// Whether handshakes no longer begin.
    is_closed: bool,
    /// Those of them whose address is proven.
    proven_by_source: ProvenBySource,
    /// Where registered devices have completed handshakes lately.
    registered_hosts: Recent,
    /// The same with their ports. A table of its own: one device may come from ever new ports, and no more than its host's
    /// own priority is lost by that.
    registered_ports: Recent,
    /// What their engines keep.
    holdings: BufferedBytes,
    /// Clients with a valid cookie, until a handshake may begin.
    waiting: PendingHellos,
    /// When to think of them, if not before.
    admit_at: Option<Instant>,
    /// Whether a place may have fallen vacant since they were looked at.
    has_free_place: bool,
    /// Clients with a valid cookie whose hello comes in pieces.
    fragmented_with_cookie: TokenBucket,
    /// Answers to hellos that are not known, and to those that come again.
    cookie_replies: TokenBucket,
    cookie_replies_to_repeats: TokenBucket,
    /// Hellos that were not answered: a client sends its own again, and a forger another.
    unanswered: RecentSet,
    /// Sources of hellos that come in pieces when there is a cookie in them: their next one gets an engine that sees both.
    fragmented_sources: RecentSet,
    engine_before_cookie: TokenBucket,
    handshake_repeats: TokenBucket,
    address_limit: AddressLimit,
    timers: Timers<SessionId>,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    counters: Counters,
    /// Sessions and handshakes that have ended.
    ended: u64,
}

impl Demux {
    /// No sessions yet.
    pub fn new(parameters: Parameters, settings: Settings, policy: ClientPolicy) -> Demux {
        Demux {
            terms: settings.terms(),
            cookies: Cookies::default(),
            waiting: PendingHellos::new(parameters.handshakes),
            admit_at: None,
            has_free_place: false,
            fragmented_with_cookie: TokenBucket::new(parameters.hellos.div_ceil(2)),
            cookie_replies: TokenBucket::new(parameters.hellos.saturating_mul(COOKIE_REPLIES)),
            cookie_replies_to_repeats: TokenBucket::new(parameters.hellos),
            unanswered: RecentSet::new(UNANSWERED),
            fragmented_sources: RecentSet::new(FRAGMENTED_SOURCES),
            engine_before_cookie: TokenBucket::new(parameters.hellos.div_ceil(2)),
            handshake_repeats: TokenBucket::new(parameters.hellos.div_ceil(2)),
            holdings: BufferedBytes::new(parameters.handshakes),
            address_limit: AddressLimit::new(parameters.handshakes_per_address),
            parameters,
            settings,
            policy,
            policy_version: 0,
            unix_time: UnixTime::since_unix_epoch(std::time::Duration::ZERO),
            next_id: 0,
            sessions: HashMap::new(),
            routes: HashMap::new(),
            hellos: HashMap::new(),
            unproven: VecDeque::new(),
            half_open: 0,
            is_closed: false,
            proven_by_source: ProvenBySource::default(),
            registered_hosts: Recent::new(REGISTERED_SOURCES, REGISTERED_LIFETIME),
            registered_ports: Recent::new(REGISTERED_SOURCES, REGISTERED_LIFETIME),
            timers: Timers::default(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            counters: Counters::default(),
            ended: 0,
        }
    }

    /// The wall clock, against which certificates are judged. It may jump: an edge device boots in
    /// 1970 and learns the time later.
    pub fn set_unix_time(&mut self, unix_time: UnixTime) {
        self.unix_time = unix_time;
    }

    /// What handshakes that begin from now on are made by.
    pub fn set_engine(&mut self, settings: Settings) {
        self.terms = settings.terms();
        self.settings = settings;
    }

    /// Which client certificates are let in from now on, handshakes under way included. Of sessions that are established,
    /// [`reverify`](Self::reverify) says which would not be.
    pub fn set_policy(&mut self, policy: ClientPolicy) {
        self.policy = policy;
        self.policy_version = self.policy_version.wrapping_add(1);
    }

    /// Why an established session's certificate would not be let in any more, if so.
    pub fn reverify(&self, id: SessionId) -> Option<Refusal> {
        let session = self.sessions.get(&id)?;
        let certificate = session.certificate.as_ref()?;
        let refusal = self.policy.rejudge(certificate, self.unix_time).err();
        // That an intermediate has ended since says as little of this session as that its own certificate has.
        refusal.filter(|refusal| *refusal != Refusal::IssuerNotValid)
    }

    /// A session has turned out to be a registered device's. Whoever comes from there goes first from now on, and its
    /// handshake does not count for `limits.handshakes_per_address`.
    pub fn mark_registered(&mut self, now: Instant, id: SessionId) {
        if let Some(session) = self.sessions.get(&id) {
            let remote = session.path.remote;
            self.address_limit.give_back(now, remote.ip());
            self.remember(now, remote);
        }
    }

    fn remember(&mut self, now: Instant, remote: SocketAddr) {
        let host = source::host(remote.ip());
        self.registered_hosts.put(now, &host);
        self.registered_ports.put(now, &(host, remote.port()));
    }

    /// Whether a registered device has completed a handshake from there lately.
    fn known(&self, now: Instant, path: Path) -> Known {
        let host = source::host(path.remote.ip());
        if self.registered_ports.has(now, &(host, path.remote.port())) {
            Known::Port
        } else if self.registered_hosts.has(now, &host) {
            Known::Host
        } else {
            Known::No
        }
    }

    /// No handshake begins from now on. Newcomers are not answered: they try again, and may find another gateway.
    pub fn stop_accepting(&mut self) {
        self.is_closed = true;
        self.waiting.clear();
    }

    /// A datagram came.
    pub fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.counters.datagrams_received += 1;
        let route = self.routes.get(&path).copied().unwrap_or_default();
        match record::classify(datagram) {
            DatagramKind::ClientHello(hello) => {
                self.receive_hello(now, path, route, &hello, datagram)
            }
            DatagramKind::ClientHelloFragment => match route.unproven.or(route.proven) {
                Some(id) => self.repeat_hello(now, id, datagram),
                None => self.counters.no_session += 1,
            },
            DatagramKind::Plaintext | DatagramKind::Protected => {
                let recipients = [route.proven, route.established];
                if recipients == [None, None] {
                    self.counters.no_session += 1;
                }
                for id in recipients.into_iter().flatten() {
                    self.feed(now, id, datagram);
                }
            }
            DatagramKind::Foreign => self.counters.not_dtls += 1,
        }
    }

    /// The established session on this path.
    pub fn established_at(&self, path: Path) -> Option<SessionId> {
        self.routes.get(&path)?.established
    }

    /// Encrypts and sends application data. Nothing happens if the session has ended.
    pub fn send(&mut self, now: Instant, id: SessionId, plaintext: &[u8]) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        match session.engine.send(now, plaintext) {
            Ok(effects) => self.perform(now, id, effects),
            Err(failure) => self.fail(id, failure),
        }
    }

    /// Does what time demands.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.has_free_place || self.admit_at.is_some_and(|at| at <= now) {
            self.start_pending(now);
        }
        for _ in 0..TIMERS_PER_CALL {
            let Some(id) = self.timers.pop_due(now) else {
                return;
            };
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            session.timer.fired();
            if session.deadline <= now {
                match session.stage {
                    Stage::Unproven => {
                        self.counters.unproven_expired += 1;
                        self.remove(id);
                    }
                    Stage::Proven => {
                        let failure = ending::timeout_failure(session);
                        self.fail_handshake(id, failure);
                    }
                    Stage::Established => {
                        self.send_close_notify(id);
                        self.end(id, EndReason::Idle);
                    }
                }
            } else if session.stage != Stage::Unproven
                && session.engine.next_timeout().is_some_and(|at| at <= now)
            {
                match session.engine.handle_timeout(now) {
                    Ok(effects) => self.perform(now, id, effects),
                    Err(failure) => self.fail(id, failure),
                }
            } else {
                self.arm(id);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    pub fn next_timeout(&self) -> Option<Instant> {
        [self.timers.next(), self.admit_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Of the datagrams that wait to be sent, the one that was made last.
    pub fn last_transmit(&self) -> Option<&Transmit> {
        self.transmits.back()
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Established sessions.
    pub fn established(&self) -> usize {
        self.sessions.len().saturating_sub(self.half_open)
    }

    /// The cipher suite of a session, once it is chosen.
    pub fn cipher_suite(&self, id: SessionId) -> Option<u16> {
        self.sessions.get(&id)?.cipher_suite
    }

    /// Sessions and handshakes that have ended since the start, whichever way.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Half-open handshakes.
    pub fn half_open(&self) -> usize {
        self.half_open
    }

    /// Clients with a cookie that wait for a place among them.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Times that something is to be done at.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// How much of everything there is, for tests that track_buffered it to its bounds.
    #[cfg(test)]
    pub(crate) fn load(&self) -> Load {
        Load {
            routes: self.routes.len(),
            hellos: self.hellos.len(),
            timers: self.timers.len(),
            unproven_queue: self.unproven.len(),
            waiting: self.waiting.len(),
        }
    }

    fn transmit(&mut self, path: Path, datagram: Vec<u8>) {
        self.counters.datagrams_sent += 1;
        self.transmits.push_back(Transmit { path, datagram });
    }

    fn arm(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            let at = session.next_timeout();
            self.timers.arm(id, &mut session.timer, at);
        }
    }
}

/// What [`Demux::load`] counts.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) routes: usize,
    pub(crate) hellos: usize,
    pub(crate) timers: usize,
    pub(crate) unproven_queue: usize,
    pub(crate) waiting: usize,
}

#[cfg(test)]
mod tests;
