//! One connection of the server that is tested.

mod config;
mod established;
mod sessions;

pub(crate) use sessions::Sessions;

use crate::failure::Failure;
use crate::options::Options;
use dtls_server::alert::{Alert, AlertDescription};
use dtls_server::association::Association;
use dtls_server::config::Config;
use dtls_server::cookie::{CookieReply, Cookies, FragmentedHello};
use dtls_server::crypto::random::{Random, SystemRandom};
use dtls_server::established::protect;
use dtls_server::handshake::{ClientVerifier, Complete, Handshake, LastFlight, Outcome, Start};
use dtls_server::message::client_hello::ClientHello;
use dtls_server::message::{HandshakeType, fragments};
use dtls_server::reassembly::{Message, Reassembly};
use dtls_server::record::{ContentType, records};
use dtls_server::resumption::{Session, Ticket};
use dtls_server::suite::CipherSuite;
use std::sync::Arc;
use std::time::Instant;

/// DTLS 1.3, as supported_versions names it.
const DTLS_1_3: u16 = 0xfefc;

/// What has happened, in order.
#[derive(Debug)]
pub(crate) enum Event {
    Transmit(Vec<u8>),
    Connected(Connected),
    ApplicationData(Vec<u8>),
    CloseNotify,
    /// The connection has ended.
    Failed(Failure),
}

/// What was negotiated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connected {
    pub(crate) suite: CipherSuite,
    pub(crate) has_extended_master_secret: bool,
    pub(crate) has_session: bool,
    pub(crate) is_resumed: bool,
}

enum Phase {
    /// A hello is due, perhaps with a cookie. Fragments of it may have come.
    Cookie(Box<Cookies>, Option<FragmentedHello>),
    /// A hello is due, and needs no cookie.
    Hello(Reassembly),
    Handshake(Box<Handshake>),
    Established(Box<Association>, Option<LastFlight>),
    Ended,
}

pub(crate) struct Server<'a> {
    options: &'a Options,
    sessions: &'a mut Sessions,
    config: Arc<Config>,
    phase: Phase,
    /// A plaintext alert.
    alert: Option<Alert>,
    /// The client's certificates.
    chain: Vec<Vec<u8>>,
}

/// Judges the client as the test wants it, and gives it a ticket.
struct Verifier<'a> {
    options: &'a Options,
    sessions: &'a mut Sessions,
    chain: &'a mut Vec<Vec<u8>>,
}

impl ClientVerifier for Verifier<'_> {
    fn verify(&mut self, chain: &[&[u8]]) -> Result<(), AlertDescription> {
        *self.chain = chain.iter().map(|one| one.to_vec()).collect();
        match self.options.refuse_certificate {
            true => Err(self.options.refusal),
            false => Ok(()),
        }
    }

    fn ticket(&mut self, session: &Session) -> Option<Ticket> {
        match self.options.skip_ticket {
            true => None,
            false => self.sessions.seal(session),
        }
    }
}

impl<'a> Server<'a> {
    pub(crate) fn new(
        options: &'a Options,
        sessions: &'a mut Sessions,
        now: Instant,
    ) -> Result<Server<'a>, Failure> {
        let phase = match options.no_cookie {
            true => Phase::Hello(Reassembly::new(0)),
            false => {
                let cookies = Cookies::new(&mut SystemRandom, now);
                let cookies = cookies.map_err(|error| Failure::failed(error.to_string()))?;
                Phase::Cookie(Box::new(cookies), None)
            }
        };
        Ok(Server {
            options,
            sessions,
            config: Arc::new(config::build(options, false)?),
            phase,
            alert: None,
            chain: Vec::new(),
        })
    }

    /// The client's certificates, its own first.
    pub(crate) fn client_chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The last plaintext alert during the handshake.
    pub(crate) fn alert(&self) -> Option<Alert> {
        match &self.phase {
            Phase::Handshake(handshake) => handshake.peer_alert(),
            Phase::Cookie(..) | Phase::Hello(_) | Phase::Established(..) | Phase::Ended => {
                self.alert
            }
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Handshake(handshake) => handshake.next_timeout(),
            Phase::Cookie(..) | Phase::Hello(_) | Phase::Established(..) | Phase::Ended => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<Event> {
        if let Phase::Handshake(handshake) = &mut self.phase {
            handshake.handle_timeout(now);
        }
        self.drain()
    }

    pub(crate) fn receive(&mut self, now: Instant, datagram: &[u8]) -> Vec<Event> {
        match &mut self.phase {
            Phase::Cookie(..) => self.receive_cookie(now, datagram),
            Phase::Hello(_) => self.receive_hello(now, datagram),
            Phase::Handshake(handshake) => {
                let mut verifier = Verifier {
                    options: self.options,
                    sessions: self.sessions,
                    chain: &mut self.chain,
                };
                handshake.receive(now, datagram, &mut verifier);
                self.drain()
            }
            Phase::Established(association, last_flight) => {
                established::receive(association, last_flight.as_mut(), datagram)
            }
            Phase::Ended => Vec::new(),
        }
    }

    fn receive_cookie(&mut self, now: Instant, datagram: &[u8]) -> Vec<Event> {
        let Phase::Cookie(cookies, fragmented) = &mut self.phase else {
            return Vec::new();
        };
        let hello = match cookies.reply(now, b"runner", datagram) {
            CookieReply::Verify(reply) => return vec![Event::Transmit(reply)],
            CookieReply::Verified(hello) => Some(hello),
            CookieReply::FirstFragment(mut hello) => {
                // There may be more of it in the datagram.
                let whole = hello.insert(datagram);
                *fragmented = Some(hello);
                whole
            }
            CookieReply::LaterFragment => fragmented
                .as_mut()
                .and_then(|fragmented| fragmented.insert(datagram)),
            CookieReply::NotHello | CookieReply::Malformed => None,
        };
        match hello {
            Some(hello) => self.begin(now, &hello.message, hello.record_sequence),
            None => Vec::new(),
        }
    }

    fn receive_hello(&mut self, now: Instant, datagram: &[u8]) -> Vec<Event> {
        let Phase::Hello(reassembly) = &mut self.phase else {
            return Vec::new();
        };
        for record in records(datagram, 0).filter(|record| record.epoch == 0) {
            if record.content_type == ContentType::ALERT {
                self.alert = Alert::parse(record.fragment);
            }
            if record.content_type != ContentType::HANDSHAKE {
                continue;
            }
            for fragment in fragments(record.fragment).flatten() {
                reassembly.insert(&fragment, false);
            }
            if let Some(message) = reassembly.take(&[HandshakeType::CLIENT_HELLO]) {
                return self.begin(now, &message, record.sequence);
            }
        }
        Vec::new()
    }

    fn begin(&mut self, now: Instant, hello: &Message, record_sequence: u64) -> Vec<Event> {
        let parsed = ClientHello::parse(hello.body()).ok();
        let versions = parsed
            .and_then(|hello| hello.client_extensions().ok())
            .and_then(|extensions| extensions.supported_versions);
        // A client that offers DTLS 1.3 gets 1.2 here, and would take the mark in the random for an attack.
        let offers_13 = versions.is_some_and(|versions| versions.contains(DTLS_1_3));
        if self.options.allows_dtls13() && !offers_13 {
            match config::build(self.options, true) {
                Ok(config) => self.config = Arc::new(config),
                Err(failure) => return vec![Event::Failed(failure)],
            }
        }
        let mut session_id = [0; 32];
        if let Err(error) = SystemRandom.fill(&mut session_id) {
            return vec![Event::Failed(Failure::failed(error.to_string()))];
        }
        let resumed = self.sessions.named(hello, &self.config);
        let start = Start {
            config: &self.config,
            hello,
            record_sequence,
            own_connection_id: &[],
            session_id: &session_id,
            resumed: resumed.as_ref(),
        };
        let handshake = Handshake::new(now, &start, &mut SystemRandom);
        self.phase = Phase::Handshake(Box::new(handshake));
        self.drain()
    }

    fn drain(&mut self) -> Vec<Event> {
        let Phase::Handshake(handshake) = &mut self.phase else {
            return Vec::new();
        };
        let datagrams = std::iter::from_fn(|| handshake.poll_transmit());
        let mut events: Vec<Event> = datagrams.map(Event::Transmit).collect();
        match handshake.poll_outcome() {
            Some(Outcome::Complete(complete)) => events.extend(self.complete(*complete)),
            Some(Outcome::Failed(error)) => {
                self.phase = Phase::Ended;
                events.push(Event::Failed(Failure::failed(error.to_string())));
            }
            None => {}
        }
        events
    }

    fn complete(&mut self, complete: Complete) -> Vec<Event> {
        let Complete {
            association,
            last_flight,
            session,
            is_resumed,
            application_data,
        } = complete;
        let connected = Event::Connected(Connected {
            suite: association.suite(),
            has_extended_master_secret: association.has_extended_master_secret(),
            has_session: session.is_some(),
            is_resumed,
        });
        if let Some(session) = session {
            self.sessions.insert(session);
        }
        self.phase = Phase::Established(Box::new(association), last_flight);
        let data = application_data.into_iter().map(Event::ApplicationData);
        std::iter::once(connected).chain(data).collect()
    }

    /// Sends application data, in as many records as it needs.
    pub(crate) fn send(&mut self, data: &[u8]) -> Vec<Event> {
        let Phase::Established(association, _) = &mut self.phase else {
            return Vec::new();
        };
        let mut events = Vec::new();
        for part in data.chunks(association.max_content()) {
            let mut datagram = Vec::new();
            let sent = association.protect(ContentType::APPLICATION_DATA, part, &mut datagram);
            events.push(match sent {
                Ok(()) => Event::Transmit(datagram),
                Err(error) => Event::Failed(Failure::failed(error.to_string())),
            });
        }
        events
    }

    /// Sends close_notify.
    pub(crate) fn close(&mut self) -> Vec<Event> {
        let Phase::Established(association, _) = &mut self.phase else {
            return Vec::new();
        };
        let alert = Alert::warning(AlertDescription::CLOSE_NOTIFY);
        let datagram = protect(association, alert);
        datagram.map(Event::Transmit).into_iter().collect()
    }
}
