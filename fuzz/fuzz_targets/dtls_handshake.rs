//! The DTLS server with a lawful client, whose datagrams the input loses, doubles, reorders, cuts, joins, changes and repeats,
//! and among which it forges others: no panic, bounded memory, bounded answers, and no data but the client's, once each. What
//! only delays or forges what has no effect does not stop the handshake either.
//!
//! The first five bytes choose the form of the handshake, each further one what happens next.

#![no_main]

use dtls_server::crypto::key_exchange::NamedGroup;
use dtls_server::message::client_hello::ClientHello;
use dtls_server::message::extension::MaxFragmentLength;
use dtls_server::message::{HandshakeType, fragments, whole};
use dtls_server::record::{ContentType, DTLS_1_2, MAX_CONTENT, records, write_plaintext};
use dtls_server::resumption::Session;
use dtls_server::suite::{Authentication, CipherSuite};
use dtls_test_client::{
    Client, Credentials, KeyType, Move, OWN_CONNECTION_ID, Options, Resumable, Server, builder,
    connect,
};
use libfuzzer_sys::fuzz_target;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a handshake keeps at most: messages that are not complete (32 KiB), those of its transcript, and its flight.
const MAX_HELD: usize = 128 * 1024;
/// What a datagram makes the server send at most: one flight, and an alert.
const MAX_ANSWER: usize = 8 * 1024;
/// As many datagrams are under way at most.
const MAX_QUEUE: usize = 64;

/// A session of an earlier handshake.
struct Earlier {
    session: Session,
    by_id: Resumable,
    by_ticket: Resumable,
}

fn credentials() -> &'static Credentials {
    static CREDENTIALS: OnceLock<Credentials> = OnceLock::new();
    CREDENTIALS.get_or_init(|| Credentials::generate(KeyType::P256))
}

fn earlier() -> &'static Earlier {
    static EARLIER: OnceLock<Earlier> = OnceLock::new();
    EARLIER.get_or_init(|| {
        let mut server = Server::new();
        let by_id = connect(&mut server, Options::new(credentials().clone()));
        // Servers of tests have the same random bytes, and so the same keys.
        let mut with_tickets = Server::with(builder().session_tickets(true));
        let options = Options {
            tickets: true,
            ..Options::new(credentials().clone())
        };
        let by_ticket = connect(&mut with_tickets, options);
        Earlier {
            session: server.session.expect("a session"),
            by_id: by_id.resumable().expect("a session"),
            by_ticket: by_ticket.resumable().expect("a session"),
        }
    })
}

/// The input, from its beginning.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn place(&mut self, length: usize) -> usize {
        let place = u16::from_be_bytes([self.byte(), self.byte()]);
        usize::from(place) % length.max(1)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }
}

struct Run {
    server: Server,
    client: Client,
    to_server: VecDeque<Vec<u8>>,
    to_client: VecDeque<Vec<u8>>,
    /// All that the server has received, to be repeated.
    history: Vec<Vec<u8>>,
    /// Application data of the client that has not been received.
    sent: Vec<Vec<u8>>,
    /// Nothing has happened that may end the handshake.
    is_harmless: bool,
    waited: Duration,
}

fn new(input: &mut Input<'_>) -> Run {
    let [form, suite, packing, sizes, ids] = std::array::from_fn(|_| input.byte());
    let suites: Vec<u16> = CipherSuite::ALL
        .iter()
        .filter(|suite| suite.authentication() == Authentication::Ecdsa)
        .map(|suite| suite.number())
        .collect();
    let suite = suites[usize::from(suite) % suites.len()];
    let has_tickets = form & 1 != 0;
    let session = match form >> 1 & 3 {
        1 => Some(earlier().by_id.clone()),
        2 => Some(earlier().by_ticket.clone()),
        _ => None,
    };
    let is_resumable = session.is_some();
    let mtu = [1200, 256, 512, 4000][usize::from(sizes & 3)];
    let config = builder()
        .mtu(mtu)
        .session_tickets(has_tickets)
        .return_routability_check(form & 32 != 0)
        .connection_id_length((ids & 1 == 0).then_some(8));
    let options = Options {
        cipher_suites: match is_resumable {
            true => suites,
            false => vec![suite],
        },
        groups: match form & 64 {
            0 => Some(vec![
                NamedGroup::X25519.number(),
                NamedGroup::Secp256r1.number(),
            ]),
            _ => None,
        },
        // A session with it is not resumed without it.
        extended_master_secret: is_resumable || form & 8 != 0,
        renegotiation_info: form & 16 != 0,
        connection_id: match ids >> 1 & 3 {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(vec![7; 3]),
            _ => Some(vec![7; 8]),
        },
        return_routability_check: form & 128 != 0,
        max_fragment_length: MaxFragmentLength::from_number(sizes >> 2 & 7),
        record_size_limit: (sizes & 128 != 0).then_some(300),
        session,
        tickets: has_tickets,
        packs: packing & 1 != 0,
        ..Options::new(credentials().clone())
    };
    let mut server = Server::with(config);
    server.session = Some(earlier().session.clone());
    let mut client = Client::new(options, 7);
    let to_server = client.start().into();
    Run {
        server,
        client,
        to_server,
        to_client: VecDeque::new(),
        history: Vec::new(),
        sent: Vec::new(),
        is_harmless: true,
        waited: Duration::ZERO,
    }
}

impl Run {
    fn server_receives(&mut self, datagram: &[u8]) {
        let is_unproven = self.server.handshake.is_none() && !self.server.is_connected();
        let was_connected = self.server.is_connected();
        let before = ALLOCATOR.stats();
        let answers = self.server.receive(datagram);
        let during = ALLOCATOR.stats() - before;
        let answered: usize = answers.iter().map(Vec::len).sum();
        assert!(
            during.bytes_allocated <= MAX_HELD + 4 * datagram.len(),
            "{} bytes",
            during.bytes_allocated
        );
        match was_connected {
            true => assert!(answered <= MAX_ANSWER + 4 * datagram.len()),
            false => assert!(answered <= MAX_ANSWER, "{answered} bytes"),
        }
        if is_unproven && self.server.handshake.is_none() && self.server.failure.is_none() {
            assert!(answered <= datagram.len() || self.server.is_connected());
        }
        for data in self.server.data.drain(..) {
            let place = self.sent.iter().position(|sent| *sent == data);
            self.sent
                .swap_remove(place.expect("the client's data, once"));
        }
        self.to_client.extend(answers);
        self.to_client.truncate(MAX_QUEUE);
        if self.history.len() < MAX_QUEUE {
            self.history.push(datagram.to_vec());
        }
    }

    fn client_receives(&mut self, datagram: &[u8]) {
        let answers = self.client.receive(datagram);
        self.to_server.extend(answers);
        self.to_server.truncate(MAX_QUEUE);
    }

    fn queue(&mut self, input: &mut Input<'_>) -> &mut VecDeque<Vec<u8>> {
        match input.byte() & 1 {
            0 => &mut self.to_server,
            _ => &mut self.to_client,
        }
    }

    /// One thing that happens.
    fn step(&mut self, action: u8, input: &mut Input<'_>) {
        match action % 24 {
            0..=4 => {
                if let Some(datagram) = self.to_server.pop_front() {
                    self.server_receives(&datagram);
                }
            }
            5..=7 => {
                if let Some(datagram) = self.to_client.pop_front() {
                    self.client_receives(&datagram);
                }
            }
            8 => drop(self.queue(input).pop_front()),
            9 => {
                let queue = self.queue(input);
                if queue.len() < MAX_QUEUE {
                    queue.extend(queue.front().cloned());
                }
            }
            10 => {
                let queue = self.queue(input);
                let first = queue.pop_front();
                queue.extend(first);
            }
            11 => {
                let place = input.place(MAX_CONTENT);
                if let Some(first) = self.queue(input).front_mut() {
                    first.truncate(place);
                }
            }
            12 => {
                let queue = self.queue(input);
                if let (Some(first), Some(second)) = (queue.pop_front(), queue.pop_front()) {
                    queue.push_front([first, second].concat());
                }
            }
            13 => {
                self.is_harmless = false;
                let (place, change) = (input.place(usize::MAX), input.byte());
                let queue = self.queue(input);
                if let Some(first) = queue.front_mut().filter(|first| !first.is_empty()) {
                    let place = place % first.len();
                    first[place] ^= change;
                }
            }
            14 => self.forge_record(input),
            15 => self.forge_fragment(input),
            16 => {
                self.is_harmless = false;
                let datagram = input.bytes().to_vec();
                self.server_receives(&datagram);
            }
            17 => {
                let time = Duration::from_millis(u64::from(input.byte()) * 10);
                self.waited += time;
                let datagrams = self.server.wait(time);
                let bytes: usize = datagrams.iter().map(Vec::len).sum();
                assert!(bytes <= MAX_ANSWER);
                self.to_client.extend(datagrams);
                self.to_client.truncate(MAX_QUEUE);
            }
            18 => {
                self.is_harmless = false;
                let chosen = Move::ALL[usize::from(input.byte()) % Move::ALL.len()];
                match chosen {
                    // It would be repeated as a part of a flight.
                    Move::ApplicationData if self.client.association().is_some() => {
                        self.to_server.push_back(self.client.send(b"early"));
                        self.sent.push(b"early".to_vec());
                    }
                    Move::ApplicationData => {}
                    _ => self.to_server.extend(self.client.make(&[chosen])),
                }
                self.to_server.truncate(MAX_QUEUE);
            }
            19 => {
                let packing = input.byte();
                // Of a hello, the first fragment has what its cookie is bound to.
                if self.server.handshake.is_some() {
                    let length = match packing >> 1 {
                        0 => usize::MAX,
                        length => usize::from(length) * 4,
                    };
                    self.client.pack(packing & 1 != 0, length);
                }
                let datagrams = self.client.retransmit();
                self.to_server.extend(datagrams);
                self.to_server.truncate(MAX_QUEUE);
            }
            20 => {
                if self.client.is_connected() {
                    let data = input.bytes()[..].to_vec();
                    let datagram = self.client.send(&data);
                    self.sent.push(data);
                    self.to_server.push_back(datagram);
                    self.to_server.truncate(MAX_QUEUE);
                }
            }
            21 => {
                if self.server.is_connected()
                    && let Ok((_, datagram)) = self.server.challenge()
                {
                    self.to_client.push_back(datagram);
                    self.to_client.truncate(MAX_QUEUE);
                }
            }
            22 => {
                let place = input.place(self.history.len());
                if let Some(datagram) = self.history.get(place).cloned() {
                    self.server_receives(&datagram);
                }
            }
            _ => self.replace_extensions(input),
        }
    }

    /// A plaintext record that is of no handshake message, or one that can't be protected rightly.
    fn forge_record(&mut self, input: &mut Input<'_>) {
        let (kind, epoch, number) = (input.byte(), input.byte(), input.byte());
        let mut datagram = Vec::new();
        let content = input.bytes();
        let kind = ContentType(kind);
        let written = write_plaintext(&mut datagram, kind, DTLS_1_2, number.into(), content);
        written.expect("it is short");
        datagram[4] = epoch;
        if kind == ContentType::TLS12_CID {
            let id = OWN_CONNECTION_ID;
            datagram.splice(11..11, id);
        }
        let is_message = epoch == 0 && kind == ContentType::HANDSHAKE;
        self.is_harmless &= !is_message;
        self.server_receives(&datagram);
    }

    /// A fragment that is no whole message, with no more than a type, a number and a length of the input's.
    fn forge_fragment(&mut self, input: &mut Input<'_>) {
        let header: [u8; 6] = std::array::from_fn(|_| input.byte());
        let body = input.bytes();
        let (offset, sequence) = (input.byte(), input.byte());
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]);
        let mut content = header.to_vec();
        content[4] = 0;
        content[5] %= 10;
        content.extend([0, 0, offset, 0, 0, u8::try_from(body.len()).expect("short")]);
        content.extend(body);
        let mut datagram = Vec::new();
        let kind = ContentType::HANDSHAKE;
        let number = u64::from(sequence);
        write_plaintext(&mut datagram, kind, DTLS_1_2, number, &content).expect("it is short");
        // One of a length that a client's message may have is taken for a part of it.
        let is_whole = usize::try_from(length) == Ok(body.len());
        self.is_harmless &= !is_whole && length > 3000;
        self.server_receives(&datagram);
    }

    /// A hello with any extensions. Its cookie is valid all the same.
    fn replace_extensions(&mut self, input: &mut Input<'_>) {
        let extensions = input.bytes();
        let Some(datagram) = self.to_server.front() else {
            return;
        };
        let replaced = || {
            let record = records(datagram, 0).next()?;
            let fragment = fragments(record.fragment).next()?.ok()?;
            let header = fragment.header;
            if header.message_type != HandshakeType::CLIENT_HELLO || record.epoch != 0 {
                return None;
            }
            let hello = ClientHello::parse(fragment.body).ok()?;
            let mut body = Vec::new();
            let extensions = Some(extensions);
            ClientHello {
                extensions,
                ..hello
            }
            .write(&mut body)
            .ok()?;
            let message = whole(header.message_type, header.message_seq, &body).ok()?;
            let mut datagram = Vec::new();
            let kind = ContentType::HANDSHAKE;
            write_plaintext(&mut datagram, kind, DTLS_1_2, record.sequence, &message).ok()?;
            Some(datagram)
        };
        if let Some(datagram) = replaced() {
            self.is_harmless = false;
            self.to_server[0] = datagram;
        }
    }

    /// Both go on without disturbance.
    fn finish(&mut self) {
        for _ in 0..30 {
            while let Some(datagram) = self.to_server.pop_front() {
                self.server_receives(&datagram);
            }
            while let Some(datagram) = self.to_client.pop_front() {
                self.client_receives(&datagram);
            }
            if !self.to_server.is_empty() {
                continue;
            }
            if self.server.is_connected() && self.client.is_connected() {
                break;
            }
            self.to_server.extend(self.client.retransmit());
            self.to_client
                .extend(self.server.wait(Duration::from_secs(60)));
        }
        // Cookies are valid for a minute at least.
        if self.is_harmless && self.waited < Duration::from_secs(50) {
            assert_eq!(self.server.failure, None);
            assert!(self.client.alerts().is_empty());
            assert!(self.server.is_connected() && self.client.is_connected());
        }
        if self.server.is_connected() && self.client.is_connected() && self.is_harmless {
            let datagram = self.client.send(b"last");
            self.sent.push(b"last".to_vec());
            self.server_receives(&datagram);
            assert!(!self.sent.contains(&b"last".to_vec()));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _ = earlier();
    let before = ALLOCATOR.stats();
    let mut input = Input(bytes);
    let mut run = new(&mut input);
    for _ in 0..300 {
        let Some(action) = input.next() else {
            break;
        };
        run.step(action, &mut input);
        if let Some(handshake) = &run.server.handshake {
            assert!(handshake.buffered() <= MAX_HELD);
        }
    }
    run.finish();
    let connected = run.server.is_connected();
    drop(run);
    let during = ALLOCATOR.stats() - before;
    assert_eq!(
        during.bytes_allocated, during.bytes_deallocated,
        "what remains of a handshake that was connected: {connected}"
    );
});
