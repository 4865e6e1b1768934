//! The sans-IO core: datagrams, completions and `now` go in; datagrams, calls to ThingsBoard and a deadline come out.
//!
//! Nothing here waits, reads a clock or touches a socket, so all of it runs in a test under a simulated clock.
//! [`crate::gateway::driver`] is the loop around it.

mod downlink;
mod drain;
mod following;
mod group;
mod moving;
mod observations;
mod packages;
mod ready_sessions;
mod registrations;
mod relay_calls;
mod reload;
mod report;
mod requests;
mod respond;
mod restore;
mod state;
mod tap;

use super::Settings;
use super::tap::{Event, Tap, TapSender};
use crate::calls::parsing::Parsed;
use crate::calls::{Call, Completion, Ticket};
use crate::credentials::{ClientPolicy, KnownClient};
use crate::device::{CertificateId, Device, Registry};
use crate::dtls::{self, Endpoint, Path, SessionId, Transmit};
use crate::gateway::log::journal::Journal;
use crate::gateway::sessions::{Peer, Sessions};
use crate::gateway::stats::counters::{Counters, Tallies};
use crate::group::Group;
use crate::ota::PackageCache;
use crate::quotas::in_flight::InFlight;
use crate::quotas::turns::{Turn, Turns, WAITING_PER_TURN};
use crate::quotas::unanswered::Unanswered;
use crate::relay::RelayTable;
use crate::state::State;
use crate::state::clock::LatestTime;
use coap::{self, Output};
pub(crate) use downlink::DownlinkRequest;
use downlink::Subscriptions;
use drain::Draining;
use packages::Downloads;
use ready_sessions::{READY_PER_CALL, ReadySessions};
use relay_calls::RelayCalls;
use reload::Review;
use rustls_pki_types::UnixTime;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sessions whose timers are served in one call, so that datagrams get their turn.
const TIMERS_PER_CALL: usize = 256;

/// What [`Core::load`] counts.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) sessions: usize,
    pub(crate) half_open: usize,
    pub(crate) in_flight: usize,
    pub(crate) most_in_flight_of_one: usize,
    pub(crate) relay_calls: usize,
    /// Requests that the statistics of responses hold open.
    pub(crate) tallied_requests: usize,
    /// Calls whose duration is measured.
    pub(crate) tallied_calls: usize,
    pub(crate) downloads: usize,
    pub(crate) package_calls: usize,
    pub(crate) package_bytes: usize,
    pub(crate) body_bytes: usize,
    /// Sessions of which a waiting request may begin.
    pub(crate) ready: usize,
    pub(crate) peers: crate::gateway::sessions::Load,
    pub(crate) relays: crate::relay::table::Load,
    pub(crate) demux: dtls::endpoint::Load,
}

/// The counters of each room.
#[derive(Debug, Clone, Copy)]
pub struct RoomCounters<'a> {
    pub dtls: &'a dtls::Counters,
    pub coap: &'a coap::Counters,
    pub gateway: &'a Counters,
    pub relay: &'a crate::relay::Counters,
    pub packages: &'a crate::ota::Counters,
}

/// The gateway without its sockets.
pub struct Core {
    settings: Settings,
    registry: Arc<Registry>,
    sessions: Sessions,
    relays: RelayTable,
    relay_calls: RelayCalls,
    subscriptions: Subscriptions,
    packages: PackageCache,
    downloads: Downloads,
    review: Review,
    draining: Draining,
    ready: ReadySessions,
    /// The budget of all endpoints for bodies, in bytes.
    bodies: coap::Bodies,
    calls: VecDeque<Call>,
    in_flight: InFlight,
    unanswered: Unanswered,
    turns: Turns,
    random: fastrand::Rng,
    counters: Counters,
    tallies: Tallies,
    coap_counters: coap::Counters,
    journal: Journal,
    tap: TapSender,
    /// What outlives the process, if anything does.
    state: Option<State>,
    /// What should be stored can't be: the store can't be opened.
    is_state_failing: bool,
    /// The other gateways that can go on with sessions, if there are any.
    group: Option<Box<Group>>,
    unix_time: UnixTime,
    latest_time: LatestTime,
    /// Reused between calls.
    outputs: Vec<Output>,
}

impl Core {
    /// `seed` should be random; a test chooses it.
    pub fn new(
        settings: Settings,
        engine: dtls::Settings,
        policy: ClientPolicy,
        registry: Arc<Registry>,
        seed: u64,
    ) -> Core {
        Core {
            sessions: Sessions::new(
                settings.limits,
                Endpoint::new(settings.dtls, engine, policy),
            ),
            relays: RelayTable::new(
                settings.relay,
                settings.downlink,
                settings.largest_notification(),
                !seed,
            ),
            relay_calls: RelayCalls::default(),
            subscriptions: Subscriptions::default(),
            packages: PackageCache::new(settings.ota, seed.rotate_left(32)),
            downloads: Downloads::default(),
            review: Review::default(),
            draining: Draining::default(),
            ready: ReadySessions::default(),
            bodies: coap::Bodies::new(settings.coap.body_bytes, seed.rotate_left(16)),
            settings,
            registry,
            calls: VecDeque::new(),
            in_flight: InFlight::new(settings.max_in_flight, settings.calls),
            unanswered: Unanswered::default(),
            turns: Turns::default(),
            random: fastrand::Rng::with_seed(seed),
            counters: Counters::default(),
            tallies: Tallies::default(),
            coap_counters: coap::Counters::default(),
            journal: Journal::default(),
            tap: TapSender::default(),
            state: None,
            is_state_failing: false,
            group: None,
            unix_time: UnixTime::since_unix_epoch(Duration::ZERO),
            latest_time: LatestTime::default(),
            outputs: Vec::new(),
        }
    }

    /// Sets the wall clock, which decides whether certificates are valid. It may jump.
    pub fn set_unix_time(&mut self, unix_time: UnixTime) {
        self.unix_time = unix_time;
        self.sessions.dtls.set_unix_time(unix_time);
    }

    /// Sends a copy of everything to this tap from now on.
    pub fn attach_tap(&mut self, tap: Tap) {
        self.tap.attach(tap);
    }

    /// Handles a datagram, or queues it if its device had its share of the turn.
    pub fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        if self.turns.count_arrival(now) {
            let session = self.sessions.dtls.session_of(path, datagram);
            let peer = session.and_then(|session| self.sessions.get(session));
            let holder = peer.map(Peer::holder);
            match self.turns.decide(holder, path, datagram) {
                Turn::Now => {}
                Turn::Later => return,
                Turn::Drop => {
                    self.counters.datagrams_over_share += 1;
                    return;
                }
            }
        }
        self.handle_datagram(now, path, datagram);
    }

    /// Goes on with a session of DTLS 1.2: see [`dtls::Endpoint::import`].
    pub fn import(
        &mut self,
        now: Instant,
        path: Path,
        association: dtls::Association,
        client: KnownClient,
        deadline: Instant,
    ) -> Result<SessionId, dtls::ImportError> {
        let session = (self.sessions.dtls).import(now, path, association, client, deadline);
        self.settle(now);
        session
    }

    /// How many datagrams were handled in the current turn. Queued ones do not count.
    pub fn handled_in_turn(&self) -> usize {
        self.turns.handled()
    }

    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        if !self.receive_in_group(now, path, datagram) {
            self.receive_in_endpoint(now, path, datagram);
        }
    }

    fn receive_in_endpoint(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.tap.begin(now, datagram.len());
        self.sessions.dtls.receive(now, path, datagram);
        self.settle(now);
    }

    /// Handles the end of a call to ThingsBoard.
    pub fn complete(&mut self, now: Instant, completion: Completion) {
        self.tap.begin(now, 0);
        self.tap.send(|| Event::call_ended(&completion));
        let Completion {
            ticket, outcome, ..
        } = completion;
        self.tallies.upstream.end(now, &ticket, &outcome);
        // A call that was not sent says nothing about ThingsBoard.
        if !matches!(outcome, Ok(Parsed::NotSent(_))) {
            self.relays.call_ended(now, &outcome);
        }
        match ticket {
            Ticket::Exchange {
                session,
                exchange,
                expect,
            } => self.exchange_call_ended(now, session, exchange, expect, outcome),
            Ticket::Relay(relay, relay_call) => {
                self.relay_call_ended(now, relay, relay_call, outcome)
            }
            Ticket::Package(call) => self.package_call_ended(now, call, outcome),
        }
        self.settle(now);
    }

    /// Handles expired timers and queued datagrams.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..WAITING_PER_TURN {
            let Some((path, datagram)) = self.turns.next_waiting() else {
                break;
            };
            self.handle_datagram(now, path, &datagram);
        }
        self.tap.begin(now, 0);
        self.sessions.dtls.handle_timeout(now);
        self.settle(now);
        for _ in 0..TIMERS_PER_CALL {
            let Some(session) = self.sessions.pop_due(now) else {
                break;
            };
            if self.sessions.has_expired(now, session) {
                self.close_expired(session);
            } else {
                self.with_endpoint(now, session, |endpoint, context, outputs| {
                    endpoint.handle_timeout(now, context, outputs);
                });
            }
        }
        for _ in 0..TIMERS_PER_CALL {
            let Some(relay) = self.relays.pop_due(now) else {
                break;
            };
            self.with_relay(now, relay, |_, _| {});
        }
        self.packages.handle_timeout(now);
        self.continue_review(now);
        self.continue_draining(now);
        self.settle(now);
        self.push_state(now);
        self.continue_group(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.sessions.dtls.next_timeout(),
            self.sessions.next_timeout(),
            self.relays.next_timeout(),
            self.packages.next_timeout(),
            self.review.next_timeout(),
            self.draining.next_timeout(),
            self.turns.next_timeout(),
            self.ready.next_timeout(),
            self.state_timeout(),
            self.group_timeout(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        while let Some(transmit) = self.sessions.dtls.poll_transmit() {
            if transmit.path.via.is_none() {
                return Some(transmit);
            }
            self.send_by_another(transmit);
        }
        self.poll_group_transmit()
    }

    /// The next upstream call to make. [`complete`](Self::complete) must follow, once.
    pub fn poll_call(&mut self) -> Option<Call> {
        let call = self.calls.pop_front()?;
        self.tap.send(|| Event::call_started(&call));
        Some(call)
    }

    /// The next call to abort. [`complete`](Self::complete) must not follow.
    pub fn poll_abort(&mut self) -> Option<Ticket> {
        let ticket = self.relay_calls.poll_abort()?;
        self.tap.send(|| (None, Event::CallAborted { ticket }));
        Some(ticket)
    }

    /// Logs which bounds were reached since the last call. Since the start: `unsent` datagrams that the socket did not take,
    /// and `connections` that `upstream.max_connections` did not allow.
    pub fn log_bounds_reached(&mut self, unsent: u64, connections: u64) {
        let reached = self.bounds_reached(unsent, connections);
        self.journal.bounds_reached(reached);
    }

    /// Counted since the start.
    pub fn counters(&self) -> RoomCounters<'_> {
        RoomCounters {
            dtls: self.sessions.dtls.counters(),
            coap: &self.coap_counters,
            gateway: &self.counters,
            relay: self.relays.counters(),
            packages: self.packages.counters(),
        }
    }

    /// The number of established sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.dtls.established()
    }

    /// Sessions and handshakes that have ended since the start, for whatever reason.
    pub fn sessions_and_handshakes_ended(&self) -> u64 {
        self.sessions.dtls.ended()
    }

    /// The number of half-open handshakes.
    pub fn half_open(&self) -> usize {
        self.sessions.dtls.half_open()
    }

    /// The number of calls for devices' requests that have not ended.
    pub fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    /// The size of everything that has a bound, for tests.
    #[cfg(test)]
    pub(crate) fn load(&self) -> Load {
        Load {
            sessions: self.sessions.dtls.established(),
            half_open: self.sessions.dtls.half_open(),
            in_flight: self.in_flight.count(),
            most_in_flight_of_one: self.in_flight.most_of_one(),
            relay_calls: self.relay_calls.len(),
            tallied_requests: self.tallies.answers.open(),
            tallied_calls: self.tallies.upstream.open(),
            downloads: self.downloads.len(),
            package_calls: self.packages.calls_in_flight(),
            package_bytes: self.packages.cached_bytes(),
            body_bytes: self.bodies.held(),
            ready: self.ready.len(),
            peers: self.sessions.load(),
            relays: self.relays.load(),
            demux: self.sessions.dtls.load(),
        }
    }

    /// Moves events between sessions, endpoints, relays and packages until every queue is empty.
    fn settle(&mut self, now: Instant) {
        let mut begun = 0;
        loop {
            self.handle_dtls_events(now);
            if let Some((session, event)) = self.relay_calls.endpoint_events.pop_front() {
                self.on_endpoint_event(now, session, event);
            } else if let Some((relay, effect)) = self.relays.poll_effect() {
                self.run_relay_effect(now, relay, effect);
            } else if let Some(effect) = self.packages.poll_effect() {
                self.run_package_effect(now, effect);
            } else if let Some(session) = self.draining.touched.pop() {
                self.close_if_drained(now, session);
            } else if begun < READY_PER_CALL
                && let Some(session) = self.ready.pop(now, &mut self.sessions)
            {
                begun += 1;
                self.start_queued_request(now, session);
            } else {
                break;
            }
        }
        self.ignore_requests_if_due(now);
    }

    fn handle_dtls_events(&mut self, now: Instant) {
        while let Some(event) = self.sessions.dtls.poll_event() {
            self.handle_dtls_event(now, event);
        }
    }

    fn handle_dtls_event(&mut self, now: Instant, event: dtls::Event) {
        match event {
            dtls::Event::Established {
                session,
                path,
                certificate,
                version,
            } => {
                self.tallies.handshakes.completed();
                self.admit(now, session, path, certificate, version);
            }
            dtls::Event::Moved { session, path } => self.moved(session, path),
            dtls::Event::Plaintext { session, bytes } => {
                if let Some(device) = self.sessions.received(now, session) {
                    let device = device.clone();
                    self.report_alive(now, device);
                }
                self.refresh_device(now, session);
                if self.leaves_to_next(session) && coap::Message::is_request(&bytes) {
                    return;
                }
                self.tap.send(|| self.received(session, &bytes));
                self.with_endpoint(now, session, |endpoint, context, outputs| {
                    endpoint.receive(now, bytes.into(), context, outputs);
                });
                self.wake_relay(now, session);
            }
            dtls::Event::Ended { session, reason } => {
                self.tallies.handshakes.ended(&reason);
                self.member_ends(now, session);
                self.give_up_calls(session);
                self.tap.send(|| self.ended(session, &reason));
                let is_draining = self.draining.is_active();
                let device = self.device_of(session).filter(|_| is_draining);
                self.with_relay_if_any(now, session, |relay, context| {
                    relay.session_ended(session);
                    if is_draining {
                        relay.abort_unused_attribute_downlink(context);
                    }
                });
                if let Some(device) = device {
                    self.close_connection(device);
                }
                if let Some(peer) = self.sessions.remove(session) {
                    if is_draining {
                        self.draining.touched.push(session);
                    }
                    self.row_deleted(&peer);
                    self.member_ended(now, session, &reason);
                    self.tallies.answers.session_ended(peer.open_requests());
                    self.journal.ended(&peer, &reason);
                }
            }
            dtls::Event::HandshakeFailed { path, failure } => {
                self.tallies.handshakes.failed(&failure);
                self.journal.handshake_failed(now, path, &failure);
            }
        }
    }

    pub(crate) fn device_of(&self, session: SessionId) -> Option<Arc<Device>> {
        self.sessions.get(session)?.device.clone()
    }

    /// A handshake has completed: finds the certificate's device and adds the session.
    fn admit(
        &mut self,
        now: Instant,
        session: SessionId,
        path: Path,
        certificate: CertificateId,
        version: &'static str,
    ) {
        let device = self.registry.find(&certificate).cloned();
        if device.is_some() {
            self.sessions.dtls.mark_registered(now, session);
        }
        let endpoint = coap::RemoteEndpoint::new(self.random.u16(..));
        let peer = Peer::new(session, path, certificate, device, endpoint, version, now);
        self.journal.established(now, &peer);
        if let Some(other) = self.registry.also_claimed_by(&certificate) {
            self.journal.claimed_by_two(now, &peer, &other.name);
        }
        let admission = self.sessions.admit(peer, self.review.registry_version());
        self.tap.send(|| self.established(session, path, version));
        self.make_room(admission);
        self.session_changed(now, session);
        if let Some(device) = self.device_of(session) {
            self.renew_relay(now, &device);
        }
        if self.draining.is_active() {
            self.draining.touched.push(session);
        }
    }
}
