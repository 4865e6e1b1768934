//! Maps datagrams to sessions, and bounds what unauthenticated peers may cost (RFC 6347 §4.2.1, §4.2.8).
//!
//! A path (the peer's address and ours) has at most one established session and one handshake whose address is proven;
//! unproven handshakes are distinguished by path and client random. So a rebooted device on the same address begins a
//! handshake beside its old session, which ends when the new one is established, and not before; and a forger on that
//! address starts handshakes that fail, while the device's own goes on beside them.
//!
//! | First record | goes to |
//! |---|---|
//! | ClientHello | the handshake that began with the same random; otherwise it is answered with a cookie or, if it has one, waits for a new handshake |
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
mod start;

use super::cookie::Cookies;
use super::engine::Settings;
use super::path::{Path, SessionId};
use super::rate_limit::{AddressLimit, TokenBucket};
use super::record::{self, DatagramKind};
use super::session::{Session, Stage};
use super::supported::Supported;
use super::{Counters, EndReason, Event, Parameters, Transmit};
use crate::credentials::{CertificateError, ClientPolicy};
use crate::timers::Timers;
use buffered_bytes::BufferedBytes;
use pending_hellos::{History, PendingHellos};
use proven_by_source::ProvenBySource;
use recent_set::RecentSet;
use rustls_pki_types::UnixTime;
use shares::{Recent, source};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Timers handled in one call, so that datagrams get their turn.
const TIMERS_PER_CALL: usize = 256;

/// Replies with a cookie a second, in units of `limits.hellos`. Each takes a MAC and a datagram, and no memory.
const COOKIE_REPLIES: u32 = 2;

/// Slots for hellos that were not answered: one survives for seconds under 50,000 others a second.
const UNANSWERED: usize = 1 << 18;

/// Slots for sources whose hellos are fragmented: they are few.
const FRAGMENTED_SOURCES: usize = 1 << 12;

/// Slots for addresses, and as many for addresses with ports, from which registered devices have completed handshakes:
/// 1 MiB.
const REGISTERED_SOURCES: usize = 1 << 16;
/// How long these sources have priority.
const REGISTERED_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The sessions of one path.
#[derive(Debug, Default, Clone, Copy)]
struct Route {
    established: Option<SessionId>,
    proven: Option<SessionId>,
    /// The newest. Later fragments of a ClientHello go there, because they don't contain its random.
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

/// All sessions and handshakes of one socket.
pub struct Demux {
    parameters: Parameters,
    settings: Settings,
    supported: Supported,
    cookies: Cookies,
    policy: ClientPolicy,
    /// Incremented with each new policy.
    policy_version: u32,
    unix_time: UnixTime,
    next_id: u64,
    /// Boxed, because a hash table may be half empty.
    sessions: HashMap<SessionId, Box<Session>>,
    routes: HashMap<Path, Route>,
    /// Unproven handshakes by path and client random.
    hellos: HashMap<(Path, [u8; 32]), SessionId>,
    /// Unproven handshakes, oldest first. May contain ids that are proven or removed by now.
    unproven: VecDeque<SessionId>,
    half_open: usize,
    /// Whether new handshakes are refused.
    refuses_handshakes: bool,
    /// Half-open handshakes whose address is proven.
    proven_by_source: ProvenBySource,
    /// Hosts from which registered devices have recently completed handshakes.
    registered_hosts: Recent,
    /// Hosts with ports, in a table of its own: a device that uses a new port each time must not evict other hosts.
    registered_ports: Recent,
    /// Memory buffered by half-open handshakes.
    buffered: BufferedBytes,
    /// Clients with a valid cookie, until a handshake may begin.
    pending_hellos: PendingHellos,
    /// When to start handshakes for the pending clients, unless a place becomes free earlier.
    next_start: Option<Instant>,
    /// Whether a place may have become free since handshakes of pending clients were last started.
    has_free_place: bool,
    /// Limits fragmented hellos with a valid cookie.
    fragmented_with_cookie: TokenBucket,
    /// Limits replies to first hellos, and beyond them replies to those that are repeated.
    cookie_replies: TokenBucket,
    cookie_replies_to_repeats: TokenBucket,
    /// First hellos that were not answered. A client repeats its hello, a forger sends another.
    unanswered: RecentSet,
    /// Sources whose hellos are fragmented once they contain a cookie: the next first hello gets an engine, which sees both.
    fragmented_sources: RecentSet,
    /// Limits hellos that need an engine before they have a cookie.
    engine_before_cookie: TokenBucket,
    /// Limits repeated hellos, and further fragments, of unproven handshakes.
    handshake_repeats: TokenBucket,
    address_limit: AddressLimit,
    timers: Timers<SessionId>,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    counters: Counters,
    /// Sessions and handshakes that have ended since the start.
    ended: u64,
}

impl Demux {
    /// Creates it without sessions.
    pub fn new(parameters: Parameters, settings: Settings, policy: ClientPolicy) -> Demux {
        Demux {
            supported: settings.supported(),
            cookies: Cookies::default(),
            pending_hellos: PendingHellos::new(parameters.handshakes),
            next_start: None,
            has_free_place: false,
            fragmented_with_cookie: TokenBucket::new(parameters.hellos.div_ceil(2)),
            cookie_replies: TokenBucket::new(parameters.hellos.saturating_mul(COOKIE_REPLIES)),
            cookie_replies_to_repeats: TokenBucket::new(parameters.hellos),
            unanswered: RecentSet::new(UNANSWERED),
            fragmented_sources: RecentSet::new(FRAGMENTED_SOURCES),
            engine_before_cookie: TokenBucket::new(parameters.hellos.div_ceil(2)),
            handshake_repeats: TokenBucket::new(parameters.hellos.div_ceil(2)),
            buffered: BufferedBytes::new(parameters.handshakes),
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
            refuses_handshakes: false,
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

    /// Sets the wall clock for the validity of certificates. It may jump: an edge host boots in 1970 and learns the time
    /// later.
    pub fn set_unix_time(&mut self, unix_time: UnixTime) {
        self.unix_time = unix_time;
    }

    /// Sets the engine settings of handshakes that begin from now on.
    pub fn set_engine_settings(&mut self, settings: Settings) {
        self.supported = settings.supported();
        self.settings = settings;
    }

    /// Sets which client certificates are accepted from now on, handshakes under way included. For established sessions see
    /// [`reverify`](Self::reverify).
    pub fn set_policy(&mut self, policy: ClientPolicy) {
        self.policy = policy;
        self.policy_version = self.policy_version.wrapping_add(1);
    }

    /// Why an established session's certificate is no longer accepted, if so.
    pub fn reverify(&self, id: SessionId) -> Option<CertificateError> {
        let session = self.sessions.get(&id)?;
        let certificate = session.certificate.as_ref()?;
        let refusal = self
            .policy
            .reverify(&[certificate.as_slice()], self.unix_time)
            .err();
        // An intermediate that has expired since ends no session, just as the session's own expired certificate does not.
        refusal.filter(|refusal| *refusal != CertificateError::IssuerNotValid)
    }

    /// Records that a session is a registered device's. New handshakes from its source have priority from now on, and this
    /// one does not count for `limits.handshakes_per_address`.
    pub fn mark_registered(&mut self, now: Instant, id: SessionId) {
        if let Some(session) = self.sessions.get(&id) {
            let remote = session.path.remote;
            self.address_limit.refund(now, remote.ip());
            self.remember_source(now, remote);
        }
    }

    fn remember_source(&mut self, now: Instant, remote: SocketAddr) {
        let host = source::host(remote.ip());
        self.registered_hosts.insert(now, &host);
        self.registered_ports.insert(now, &(host, remote.port()));
    }

    /// Whether a registered device has recently completed a handshake from this source.
    fn history(&self, now: Instant, path: Path) -> History {
        let host = source::host(path.remote.ip());
        if self
            .registered_ports
            .contains(now, &(host, path.remote.port()))
        {
            History::Port
        } else if self.registered_hosts.contains(now, &host) {
            History::Host
        } else {
            History::None
        }
    }

    /// Refuses new handshakes from now on. Their hellos are not answered, so clients try again and may reach another
    /// gateway.
    pub fn stop_accepting(&mut self) {
        self.refuses_handshakes = true;
        self.pending_hellos.clear();
    }

    /// Handles a received datagram.
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

    /// Handles timers that are due, and starts pending handshakes.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.has_free_place || self.next_start.is_some_and(|at| at <= now) {
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

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn next_timeout(&self) -> Option<Instant> {
        [self.timers.next(), self.next_start]
            .into_iter()
            .flatten()
            .min()
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

    /// Counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The number of established sessions.
    pub fn established(&self) -> usize {
        self.sessions.len().saturating_sub(self.half_open)
    }

    /// The cipher suite of a session, once negotiated.
    pub fn cipher_suite(&self, id: SessionId) -> Option<u16> {
        self.sessions.get(&id)?.cipher_suite
    }

    /// Sessions and handshakes that have ended since the start, for any reason.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// The number of half-open handshakes.
    pub fn half_open(&self) -> usize {
        self.half_open
    }

    /// ClientHellos with a valid cookie that wait for a handshake.
    pub fn pending_hellos(&self) -> usize {
        self.pending_hellos.len()
    }

    /// The number of armed timers.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// Sizes of all tables, for tests of their bounds.
    #[cfg(test)]
    pub(crate) fn load(&self) -> Load {
        Load {
            routes: self.routes.len(),
            hellos: self.hellos.len(),
            timers: self.timers.len(),
            unproven_queue: self.unproven.len(),
            pending_hellos: self.pending_hellos.len(),
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

/// Sizes of [`Demux`]'s tables.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) routes: usize,
    pub(crate) hellos: usize,
    pub(crate) timers: usize,
    pub(crate) unproven_queue: usize,
    pub(crate) pending_hellos: usize,
}

#[cfg(test)]
mod tests;
