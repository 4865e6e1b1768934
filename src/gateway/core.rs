//! The sans-IO whole: datagrams, completions and `now` go in; datagrams, upstream calls and a
//! deadline come out.
//!
//! Nothing here waits, reads a clock or touches a socket, so all of it runs in a test under a clock
//! of the test's own. [`crate::gateway::driver`] is the loop around it.

mod downlink;
mod drain;
mod packages;
mod reload;
mod report;
mod requests;
mod tap;
mod waiting;

use super::Settings;
use super::call::{Call, Completion, Ticket};
use super::reading::Reading;
use super::tap::{Event, Mouth, Tap};
use crate::device::{CertificateId, Device, Registry};
use crate::dtls::{self, ClientPolicy, Demux, Path, SessionId, Transmit};
use crate::gateway::log::journal::Journal;
use crate::gateway::sessions::{Peer, Peers};
use crate::gateway::stats::counters::{Counters, Tallies};
use crate::ota::Packages;
use crate::quotas::in_flight::InFlight;
use crate::quotas::turns::{Turns, Verdict, WAITING_PER_TURN};
use crate::quotas::unanswered::Unanswered;
use crate::relay::Relays;
use coap::{self, Output};
use downlink::Errands;
use drain::Draining;
use packages::Downloads;
use reload::Review;
use rustls_pki_types::UnixTime;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use waiting::{BEGUN_PER_CALL, Beginnings};

/// Peers whose timers are served in one call, so that datagrams get their turn.
const TIMERS_PER_CALL: usize = 256;

/// What [`Core::load`] counts.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) sessions: usize,
    pub(crate) half_open: usize,
    pub(crate) in_flight: usize,
    pub(crate) most_in_flight_of_one: usize,
    pub(crate) errands: usize,
    /// Open requests, and calls that are timed.
    pub(crate) tallied: (usize, usize),
    pub(crate) downloads: usize,
    pub(crate) package_calls: usize,
    pub(crate) package_bytes: usize,
    pub(crate) body_bytes: usize,
    /// Sessions listed as such that may begin a request that waits.
    pub(crate) beginnings: usize,
    pub(crate) peers: crate::gateway::sessions::Load,
    pub(crate) relays: crate::relay::table::Load,
    pub(crate) demux: dtls::demux::Load,
}

/// The gateway without its sockets.
pub struct Core {
    settings: Settings,
    registry: Arc<Registry>,
    demux: Demux,
    peers: Peers,
    relays: Relays,
    errands: Errands,
    packages: Packages,
    downloads: Downloads,
    review: Review,
    draining: Draining,
    beginnings: Beginnings,
    /// How many bytes of bodies all endpoints may hold.
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
    mouth: Mouth,
    /// Reused between calls.
    outputs: Vec<Output>,
}

impl Core {
    /// A gateway without sessions. `seed` should be random; a test chooses it.
    pub fn new(
        settings: Settings,
        engine: dtls::engine::Settings,
        policy: ClientPolicy,
        registry: Arc<Registry>,
        seed: u64,
    ) -> Core {
        Core {
            demux: Demux::new(settings.dtls, engine, policy),
            peers: Peers::new(settings.limits),
            relays: Relays::new(settings.relay, settings.largest_notification(), !seed),
            errands: Errands::default(),
            packages: Packages::new(settings.ota, seed.rotate_left(32)),
            downloads: Downloads::default(),
            review: Review::default(),
            draining: Draining::default(),
            beginnings: Beginnings::default(),
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
            mouth: Mouth::default(),
            outputs: Vec::new(),
        }
    }

    /// The wall clock, against which certificates are judged. It may jump.
    pub fn set_unix_time(&mut self, unix_time: UnixTime) {
        self.demux.set_unix_time(unix_time);
    }

    /// Tells this tap what happens from now on.
    pub fn open_tap(&mut self, tap: Tap) {
        self.mouth.open(tap);
    }

    /// A datagram came.
    pub fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        if self.turns.comes(now) {
            let holder = self.peer_at(path).map(Peer::holder);
            match self.turns.judge(holder, path, datagram) {
                Verdict::Handle => {}
                Verdict::Wait => return,
                Verdict::Drop => {
                    self.counters.datagrams_over_share += 1;
                    return;
                }
            }
        }
        self.handle_datagram(now, path, datagram);
    }

    fn peer_at(&self, path: Path) -> Option<&Peer> {
        self.peers.get(self.demux.established_at(path)?)
    }

    /// How many datagrams were handled in the turn that is going on. What devices have sent beyond their share of it
    /// does not count.
    pub fn handled_in_turn(&self) -> usize {
        self.turns.handled()
    }

    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.mouth.begin(now, datagram.len());
        self.demux.receive(now, path, datagram);
        self.settle(now);
    }

    /// An upstream call has come to its end.
    pub fn complete(&mut self, now: Instant, completion: Completion) {
        self.mouth.begin(now, 0);
        self.mouth.tell(|| Event::answered(&completion));
        let Completion {
            ticket, outcome, ..
        } = completion;
        self.tallies.upstream.end(now, &ticket, &outcome);
        // What was not sent says nothing of ThingsBoard.
        if !matches!(outcome, Ok(Reading::NotSent(_))) {
            self.relays.call_ended(now, &outcome);
        }
        match ticket {
            Ticket::Exchange {
                session,
                exchange,
                expect,
            } => self.answered(now, session, exchange, expect, outcome),
            Ticket::Relay(relay, errand) => self.errand_done(now, relay, errand, outcome),
            Ticket::Package(call) => self.package_came(now, call, outcome),
        }
        self.settle(now);
    }

    /// Does what time demands.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..WAITING_PER_TURN {
            let Some((path, datagram)) = self.turns.next_waiting() else {
                break;
            };
            self.handle_datagram(now, path, &datagram);
        }
        self.mouth.begin(now, 0);
        self.demux.handle_timeout(now);
        self.settle(now);
        for _ in 0..TIMERS_PER_CALL {
            let Some(session) = self.peers.pop_due(now) else {
                break;
            };
            if self.peers.has_expired(now, session) {
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
            self.tell_relay(now, relay, |_, _| {});
        }
        self.packages.handle_timeout(now);
        self.go_on_reviewing(now);
        self.go_on_draining(now);
        self.settle(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.demux.next_timeout(),
            self.peers.next_timeout(),
            self.relays.next_timeout(),
            self.packages.next_timeout(),
            self.review.next_timeout(),
            self.draining.next_timeout(),
            self.turns.next_timeout(),
            self.beginnings.next_timeout(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.demux.poll_transmit()
    }

    /// The next upstream call to make. [`complete`](Self::complete) must follow, once.
    pub fn poll_call(&mut self) -> Option<Call> {
        let call = self.calls.pop_front()?;
        self.mouth.tell(|| Event::asked(&call));
        Some(call)
    }

    /// The next call that nobody waits for any more: it is to be dropped, and not completed.
    pub fn poll_abort(&mut self) -> Option<Ticket> {
        let ticket = self.errands.poll_abort()?;
        self.mouth.tell(|| (None, Event::Aborted { ticket }));
        Some(ticket)
    }

    /// Once a minute: tells the operator which bounds were reached since the last time. `unsent` is
    /// how many datagrams the socket did not take, since the start.
    pub fn tell_pressure(&mut self, unsent: u64) {
        let reached = self.bounds_reached(unsent);
        self.journal.pressure(reached);
    }

    /// What was counted: sessions, messages, and their joining.
    pub fn counters(&self) -> (&dtls::Counters, &coap::Counters, &Counters) {
        (self.demux.counters(), &self.coap_counters, &self.counters)
    }

    /// What was counted of observations.
    pub fn relay_counters(&self) -> &crate::relay::Counters {
        self.relays.counters()
    }

    /// What was counted of packages.
    pub fn package_counters(&self) -> &crate::ota::Counters {
        self.packages.counters()
    }

    /// Established sessions.
    pub fn sessions(&self) -> usize {
        self.demux.established()
    }

    /// Sessions and handshakes that have ended since the start, whichever way.
    pub fn sessions_and_handshakes_ended(&self) -> u64 {
        self.demux.ended()
    }

    /// Half-open handshakes.
    pub fn half_open(&self) -> usize {
        self.demux.half_open()
    }

    /// Upstream calls for devices' requests, made and not completed.
    pub fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    /// How much of everything there is, for tests that hold it to its bounds.
    #[cfg(test)]
    pub(crate) fn load(&self) -> Load {
        Load {
            sessions: self.demux.established(),
            half_open: self.demux.half_open(),
            in_flight: self.in_flight.count(),
            most_in_flight_of_one: self.in_flight.most_of_one(),
            errands: self.errands.len(),
            tallied: (
                self.tallies.answers.open(),
                self.tallies.upstream.under_way(),
            ),
            downloads: self.downloads.len(),
            package_calls: self.packages.under_way(),
            package_bytes: self.packages.cached_bytes(),
            body_bytes: self.bodies.held(),
            beginnings: self.beginnings.len(),
            peers: self.peers.load(),
            relays: self.relays.load(),
            demux: self.demux.load(),
        }
    }

    /// Lets sessions, endpoints, relays and packages hear of each other until none has more to say.
    fn settle(&mut self, now: Instant) {
        let mut begun = 0;
        loop {
            self.follow_sessions(now);
            if let Some((session, told)) = self.errands.told.pop_front() {
                self.hear_of_observation(now, session, told);
            } else if let Some((relay, effect)) = self.relays.poll_effect() {
                self.do_errand(now, relay, effect);
            } else if let Some(effect) = self.packages.poll_effect() {
                self.do_package_effect(now, effect);
            } else if let Some(session) = self.draining.touched.pop() {
                self.let_go(now, session);
            } else if begun < BEGUN_PER_CALL
                && let Some(session) = self.beginnings.pop(now)
            {
                begun += 1;
                self.begin_waiting(now, session);
            } else {
                break;
            }
        }
    }

    fn follow_sessions(&mut self, now: Instant) {
        while let Some(event) = self.demux.poll_event() {
            match event {
                dtls::Event::Established {
                    session,
                    path,
                    certificate,
                    version,
                } => {
                    self.tallies.handshakes.completed();
                    self.admit(now, session, path, &certificate, version);
                }
                dtls::Event::Plaintext { session, bytes } => {
                    self.peers.heard(now, session);
                    self.look_up_anew(now, session);
                    self.mouth.tell(|| self.received(session, &bytes));
                    self.with_endpoint(now, session, |endpoint, context, outputs| {
                        endpoint.receive(now, &bytes, context, outputs);
                    });
                    self.tell_heard(now, session);
                }
                dtls::Event::Ended { session, reason } => {
                    self.tallies.handshakes.ended(&reason);
                    self.tallies.answers.session_gone(session);
                    self.give_up_calls(session);
                    self.mouth.tell(|| self.ended(session, &reason));
                    let stops = self.draining.is_under_way();
                    self.tell_if_any(now, session, |relay, context| {
                        relay.session_gone(session);
                        if stops {
                            relay.abort_attribute_polls(context);
                        }
                    });
                    if let Some(peer) = self.peers.remove(session) {
                        self.journal.ended(&peer, &reason);
                    }
                }
                dtls::Event::HandshakeFailed { path, failure } => {
                    self.tallies.handshakes.failed(&failure);
                    self.journal.handshake_failed(now, path, &failure);
                }
            }
        }
    }

    fn device_of(&self, session: SessionId) -> Option<Arc<Device>> {
        self.peers.get(session)?.device.clone()
    }

    fn admit(
        &mut self,
        now: Instant,
        session: SessionId,
        path: Path,
        certificate: &[u8],
        version: &'static str,
    ) {
        let certificate = CertificateId::of(certificate);
        let device = self.registry.find(&certificate).cloned();
        if device.is_some() {
            self.demux.succeeded(now, session);
        }
        let endpoint = coap::RemoteEndpoint::new(self.random.u16(..));
        let peer = Peer::new(session, path, certificate, device, endpoint, version, now);
        self.journal.established(now, &peer);
        if let Some(other) = self.registry.also_claimed_by(&certificate) {
            self.journal.claimed_by_two(now, &peer, &other.name);
        }
        let admission = self.peers.admit(peer, self.review.edition());
        self.mouth.tell(|| self.established(session, path, version));
        self.make_room(admission);
        if let Some(device) = self.device_of(session) {
            self.renew_relay(now, &device);
        }
        if self.draining.is_under_way() {
            self.draining.touched.push(session);
        }
    }
}
