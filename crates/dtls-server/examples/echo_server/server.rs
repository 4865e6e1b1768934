//! The server without its socket and its clock: which datagram is for what, and how long things are kept.

use crate::event::{Event, describe};
use dtls_server::alert::AlertDescription;
use dtls_server::association::Association;
use dtls_server::config::Config;
use dtls_server::cookie::{CookieReply, Cookies, FragmentedHello, VerifiedHello};
use dtls_server::crypto::certificate_key::CertificateKey;
use dtls_server::crypto::random::{Random, SystemRandom, Unavailable};
use dtls_server::established::{self, Incoming, Reason, Received};
use dtls_server::handshake::{ClientVerifier, Complete, Handshake, LastFlight, Outcome, Start};
use dtls_server::reassembly::Message;
use dtls_server::record::{self, ContentType, records};
use dtls_server::resumption::{Named, Opened, Session as Resumable, SessionCache, Ticket, Tickets};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Handshakes at one time. A server on the Internet has limits for each source, too.
const MAX_HANDSHAKES: usize = 1000;
/// The longest handshake.
const HANDSHAKE_LIFETIME: Duration = Duration::from_secs(60);
/// Sessions at one time. When there are as many, no handshake begins.
const MAX_SESSIONS: usize = 10_000;
/// How long a session is kept after the last record.
const SESSION_LIFETIME: Duration = Duration::from_secs(3600);
/// How long a session can be resumed.
const RESUMPTION_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A number for each session, as a session has neither a fixed address nor always a connection ID.
type Key = u64;

pub(crate) struct Server {
    config: Arc<Config>,
    cookies: Cookies,
    random: SystemRandom,
    handshakes: HashMap<SocketAddr, HalfOpen>,
    sessions: HashMap<Key, Session>,
    next_key: Key,
    by_address: HashMap<SocketAddr, Key>,
    by_connection_id: HashMap<Vec<u8>, Key>,
    /// A client is judged again when it resumes, by what is kept beside its session, or is in its ticket.
    resumable: SessionCache<Client, Client>,
    tickets: Tickets,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<Event>,
}

/// What exists for an address that has returned its cookie.
struct HalfOpen {
    deadline: Instant,
    progress: Progress,
}

enum Progress {
    /// The rest of the ClientHello has not come.
    Hello(FragmentedHello),
    Handshake {
        /// Boxed: it has all of its buffers inside.
        handshake: Box<Handshake>,
        /// The ClientHello, to know it again.
        hello: Vec<u8>,
        client: Option<Client>,
    },
}

struct Session {
    association: Association,
    address: SocketAddr,
    /// Until the client has certainly got it, or won't ask for it any more.
    last_flight: Option<LastFlight>,
    established: Instant,
    /// To forget what could be resumed, if the session fails.
    session_id: Vec<u8>,
    expires: Instant,
}

/// What this server knows a client by: its kind of key. A real one keeps the certificate's fingerprint.
pub(crate) type Client = String;

/// What a handshake asks its user.
struct Verifier<'a> {
    now: Instant,
    client: &'a mut Option<Client>,
    tickets: &'a mut Tickets,
    random: &'a mut SystemRandom,
}

impl ClientVerifier for Verifier<'_> {
    /// Takes every certificate whose key can be read. That the client has this key, the handshake makes sure of.
    fn verify(&mut self, chain: &[&[u8]]) -> Result<(), AlertDescription> {
        let own = chain.first().ok_or(AlertDescription::BAD_CERTIFICATE)?;
        let key = CertificateKey::from_certificate(own)?.kind();
        *self.client = Some(format!("{key:?}"));
        Ok(())
    }

    fn ticket(&mut self, session: &Resumable) -> Option<Ticket> {
        let client = self.client.as_ref()?;
        self.tickets
            .seal(self.now, session, client.as_bytes(), self.random)
    }
}

impl Server {
    pub(crate) fn new(now: Instant, config: Config) -> Result<Server, Unavailable> {
        Ok(Server {
            config: Arc::new(config),
            cookies: Cookies::new(&mut SystemRandom, now)?,
            random: SystemRandom,
            handshakes: HashMap::new(),
            sessions: HashMap::new(),
            next_key: 0,
            by_address: HashMap::new(),
            by_connection_id: HashMap::new(),
            resumable: SessionCache::new(MAX_SESSIONS, RESUMPTION_LIFETIME),
            tickets: Tickets::new(&mut SystemRandom, now, RESUMPTION_LIFETIME)?,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        })
    }

    /// Takes in a datagram: a ClientHello, a part of a handshake, or records of a session.
    pub(crate) fn receive(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let length = self.connection_id_length();
        // A connection ID says which session it is, wherever the datagram comes from.
        if let Some(id) = record::connection_id(datagram, length)
            && let Some(&key) = self.by_connection_id.get(id)
        {
            self.receive_established(now, source, key, datagram);
            return;
        }
        match self
            .cookies
            .reply(now, source.to_string().as_bytes(), datagram)
        {
            // Nothing is kept for an address that may be forged, and it gets no more than came from it.
            CookieReply::Verify(reply) => self.transmits.push_back((source, reply)),
            CookieReply::Verified(hello) => self.receive_hello(now, source, &hello),
            CookieReply::FirstFragment(hello) => {
                if !self.handshakes.contains_key(&source) {
                    self.insert_handshake(now, source, Progress::Hello(hello));
                }
            }
            CookieReply::Malformed => {}
            CookieReply::LaterFragment | CookieReply::NotHello => {
                self.receive_handshake(now, source, datagram);
                if let Some(&key) = self.by_address.get(&source) {
                    self.receive_established(now, source, key, datagram);
                }
            }
        }
    }

    fn connection_id_length(&self) -> usize {
        self.config.connection_id_length().map_or(0, usize::from)
    }

    /// Begins a handshake. A session with the same address goes on until this one is complete (RFC 6347 §4.2.8).
    fn receive_hello(&mut self, now: Instant, source: SocketAddr, verified: &VerifiedHello) {
        let message = &verified.message;
        if let Some(half_open) = self.handshakes.get(&source)
            && let Progress::Handshake { hello, .. } = &half_open.progress
            && hello == message.as_bytes()
        {
            // It has come twice. The answer is repeated by its timer.
            return;
        }
        let id = match self.new_connection_id() {
            Ok(id) => id,
            Err(Unavailable) => return,
        };
        let Ok(session_id) = self.resumable.new_id(&mut self.random) else {
            return;
        };
        let resumed = self.resumed(now, message);
        let start = Start {
            config: &self.config,
            hello: message,
            record_sequence: verified.record_sequence,
            own_connection_id: &id,
            session_id: &session_id,
            resumed: resumed.as_ref().map(|(session, _)| session),
        };
        let handshake = Handshake::new(now, &start, &mut self.random);
        let progress = Progress::Handshake {
            handshake: Box::new(handshake),
            hello: message.as_bytes().to_vec(),
            client: resumed.map(|(_, client)| client),
        };
        self.insert_handshake(now, source, progress);
        self.advance(now, source);
    }

    /// The session that a ClientHello names. Here a server asks again whether its client may still come in.
    fn resumed(&self, now: Instant, hello: &Message) -> Option<(Resumable, Client)> {
        match Named::by(hello, &self.config) {
            Named::Id(id) => {
                let (session, client) = self.resumable.get(now, id)?;
                Some((session.clone(), client.clone()))
            }
            Named::Ticket(ticket) => {
                let Opened { session, peer } = self.tickets.open(now, ticket)?;
                Some((session, Client::from_utf8(peer).ok()?))
            }
            Named::Nothing => None,
        }
    }

    /// A new one in each session, so that nobody but this server can relate them.
    fn new_connection_id(&mut self) -> Result<Vec<u8>, Unavailable> {
        let mut id = vec![0; self.connection_id_length()];
        for _ in 0..8 {
            self.random.fill(&mut id)?;
            if id.is_empty() || !self.by_connection_id.contains_key(&id) {
                return Ok(id);
            }
        }
        Err(Unavailable)
    }

    fn insert_handshake(&mut self, now: Instant, source: SocketAddr, progress: Progress) {
        let is_full =
            self.handshakes.len() >= MAX_HANDSHAKES && !self.handshakes.contains_key(&source);
        if is_full || self.sessions.len() >= MAX_SESSIONS {
            return;
        }
        let deadline = now + HANDSHAKE_LIFETIME;
        let half_open = HalfOpen { deadline, progress };
        self.handshakes.insert(source, half_open);
    }

    fn receive_handshake(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let Some(half_open) = self.handshakes.get_mut(&source) else {
            return;
        };
        match &mut half_open.progress {
            Progress::Hello(fragments) => {
                if let Some(hello) = fragments.insert(datagram) {
                    self.receive_hello(now, source, &hello);
                }
            }
            Progress::Handshake {
                handshake, client, ..
            } => {
                let mut verifier = Verifier {
                    now,
                    client,
                    tickets: &mut self.tickets,
                    random: &mut self.random,
                };
                // What is discarded, and why, is of no interest here.
                handshake.receive(now, datagram, &mut verifier);
                self.advance(now, source);
            }
        }
    }

    /// Takes what a handshake has to send, and its outcome.
    fn advance(&mut self, now: Instant, source: SocketAddr) {
        let Some(half_open) = self.handshakes.get_mut(&source) else {
            return;
        };
        let Progress::Handshake {
            handshake, client, ..
        } = &mut half_open.progress
        else {
            return;
        };
        while let Some(datagram) = handshake.poll_transmit() {
            self.transmits.push_back((source, datagram));
        }
        let Some(outcome) = handshake.poll_outcome() else {
            return;
        };
        let client = client.take();
        self.handshakes.remove(&source);
        match outcome {
            Outcome::Complete(complete) => self.establish(now, source, *complete, client),
            Outcome::Failed(error) => self.events.push_back(Event::Failed(source, error)),
        }
    }

    fn establish(
        &mut self,
        now: Instant,
        address: SocketAddr,
        complete: Complete,
        client: Option<Client>,
    ) {
        let key = self.next_key;
        self.next_key += 1;
        let description = describe(&complete, client.as_ref());
        self.events.push_back(Event::Connected {
            address,
            description,
        });
        let session_id = complete
            .session
            .as_ref()
            .map(|session| session.id().to_vec());
        // A session that was resumed is not kept for longer than the first one.
        if let (Some(session), Some(client), false) =
            (complete.session, client, complete.is_resumed)
        {
            self.resumable.insert(now, client.clone(), session, client);
        }
        if let Some(before) = self.by_address.insert(address, key)
            && let Some(session) = self.sessions.get(&before)
            && session.association.own_connection_id().is_empty()
        {
            // Nothing leads to it any more.
            self.sessions.remove(&before);
        }
        let connection_id = complete.association.own_connection_id();
        if !connection_id.is_empty() {
            self.by_connection_id.insert(connection_id.to_vec(), key);
        }
        let session = Session {
            association: complete.association,
            address,
            last_flight: complete.last_flight,
            established: now,
            session_id: session_id.unwrap_or_default(),
            expires: now + SESSION_LIFETIME,
        };
        self.sessions.insert(key, session);
        for data in complete.application_data {
            self.send(key, &data);
        }
    }

    fn receive_established(&mut self, now: Instant, source: SocketAddr, key: Key, datagram: &[u8]) {
        for record in records(datagram, self.connection_id_length()) {
            let Some(session) = self.sessions.get_mut(&key) else {
                return;
            };
            if now > session.established + LastFlight::LIFETIME {
                session.last_flight = None;
            }
            let last_flight = session.last_flight.as_mut();
            let Ok(incoming) = established::receive(&mut session.association, last_flight, &record)
            else {
                // What is not authentic changes nothing.
                continue;
            };
            let Incoming {
                received,
                is_newest,
            } = incoming;
            session.expires = now + SESSION_LIFETIME;
            let before = session.address;
            // RFC 9146 §6: not by a record that may be an old copy. A server that sends more than it gets must prove the
            // new address first.
            if is_newest && source != before {
                session.address = source;
                self.by_address.remove(&before);
                self.by_address.insert(source, key);
                self.events.push_back(Event::Moved(before, source));
            }
            let address = session.address;
            match received {
                Received::ApplicationData(data) => {
                    session.last_flight = None;
                    self.send(key, &data);
                }
                Received::Repeat(datagrams) => {
                    let datagrams = datagrams.into_iter();
                    self.transmits
                        .extend(datagrams.map(|datagram| (address, datagram)));
                }
                Received::Warn(datagram) => self.transmits.push_back((address, datagram)),
                Received::Ended(reason, datagram) => {
                    let datagram = datagram.map(|datagram| (address, datagram));
                    self.transmits.extend(datagram);
                    self.end(key, reason);
                }
                // Not negotiated.
                Received::PathChallenge(_)
                | Received::PathResponse(_)
                | Received::PathDrop(_)
                | Received::Nothing => {}
            }
        }
    }

    /// Sends application data, in as many records as it takes.
    fn send(&mut self, key: Key, data: &[u8]) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        for content in data.chunks(session.association.max_content()) {
            let mut datagram = Vec::new();
            let kind = ContentType::APPLICATION_DATA;
            let protected = session.association.protect(kind, content, &mut datagram);
            if protected.is_ok() {
                self.transmits.push_back((session.address, datagram));
            }
        }
    }

    fn end(&mut self, key: Key, reason: Reason) {
        let Some(session) = self.remove(key) else {
            return;
        };
        // RFC 5246 §7.2.2: a session that failed is not resumed.
        if reason != Reason::CloseNotify {
            self.resumable.remove(&session.session_id);
        }
        self.events.push_back(Event::Ended(session.address, reason));
    }

    fn remove(&mut self, key: Key) -> Option<Session> {
        let session = self.sessions.remove(&key)?;
        if self.by_address.get(&session.address) == Some(&key) {
            self.by_address.remove(&session.address);
        }
        let connection_id = session.association.own_connection_id();
        self.by_connection_id.remove(connection_id);
        Some(session)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). It looks at everything: a server with many sessions has a
    /// queue of its timeouts.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let handshakes = self.handshakes.values().flat_map(|half_open| {
            let timeout = match &half_open.progress {
                Progress::Handshake { handshake, .. } => handshake.next_timeout(),
                Progress::Hello(_) => None,
            };
            [Some(half_open.deadline), timeout]
        });
        let sessions = self.sessions.values().map(|session| Some(session.expires));
        handshakes.chain(sessions).flatten().min()
    }

    /// Repeats flights, and drops what has been kept for too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.handshakes
            .retain(|_, half_open| half_open.deadline > now);
        let addresses: Vec<SocketAddr> = self.handshakes.keys().copied().collect();
        for address in addresses {
            if let Some(half_open) = self.handshakes.get_mut(&address)
                && let Progress::Handshake { handshake, .. } = &mut half_open.progress
            {
                handshake.handle_timeout(now);
                self.advance(now, address);
            }
        }
        let sessions = self.sessions.iter();
        let expired: Vec<Key> = sessions
            .filter(|(_, session)| session.expires <= now)
            .map(|(&key, _)| key)
            .collect();
        for key in expired {
            self.remove(key);
        }
    }

    /// Takes the next datagram to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.transmits.pop_front()
    }

    /// Takes the next event.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
