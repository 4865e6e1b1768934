//! Compares with the engine: its reply to the same hello, and how it continues with the next one.

use super::reply::{message, padded, prefixed};
use super::*;
use crate::credentials::ServerCredentials;
use crate::dtls::dtls13::cookie::Cookie;
use crate::dtls::dtls13::engine::{Engine, EngineOutput, Settings};
use crate::dtls::tests::client_config;
use crate::dtls::{Parameters, Versions};
use std::time::Instant;
use test_support::dtls::{Client, Output, datagrams};
use zeroize::Zeroizing;

fn credentials() -> ServerCredentials {
    let made = rcgen::generate_simple_self_signed(vec!["device".to_owned()]).unwrap();
    ServerCredentials::of_certificate(
        made.cert.der().to_vec(),
        Zeroizing::new(made.signing_key.serialize_der()),
    )
}

fn settings() -> Settings {
    Settings::new(&credentials(), &Parameters::default()).unwrap()
}

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn packets(outputs: Vec<EngineOutput>) -> Vec<Vec<u8>> {
    let packet = |output| match output {
        EngineOutput::Transmit(datagram) => Some(datagram),
        EngineOutput::PeerCertificate(_)
        | EngineOutput::Connected
        | EngineOutput::Plaintext(_)
        | EngineOutput::CloseNotify => None,
    };
    outputs.into_iter().filter_map(packet).collect()
}

/// A client's first hello.
fn client(versions: Versions) -> (Client, Vec<u8>) {
    let config = client_config(&credentials(), versions, 1200);
    let (client, outputs) = Client::connect(&config, start());
    (client, datagrams(outputs).remove(0))
}

/// What clients speak that may get DTLS 1.3.
const CLIENTS: [Versions; 2] = [Versions::Only13, Versions::Both];

/// A hello in one record, in modifiable parts.
#[derive(Clone)]
pub(in crate::dtls) struct Written {
    pub(in crate::dtls) sequence: u16,
    /// Version, random, session id.
    head: Vec<u8>,
    pub(in crate::dtls) cookie: Vec<u8>,
    /// Cipher suites, compression methods.
    middle: Vec<u8>,
    pub(in crate::dtls) extensions: Vec<(u16, Vec<u8>)>,
}

impl Written {
    pub(in crate::dtls) fn read(datagram: &[u8]) -> Written {
        let (sequence, body) = record::whole_client_hello(datagram).unwrap();
        let mut rest = Cursor(body);
        let next = |cursor: &mut Cursor<'_>, length: usize| cursor.take(length).unwrap().to_vec();
        let mut head = next(&mut rest, 34);
        let session_id = rest.0[0];
        head.extend(next(&mut rest, 1 + usize::from(session_id)));
        let length = rest.u8().unwrap();
        let cookie = next(&mut rest, length.into());
        let suites = u16::from_be_bytes([rest.0[0], rest.0[1]]);
        let mut middle = next(&mut rest, 2 + usize::from(suites));
        let methods = rest.0[0];
        middle.extend(next(&mut rest, 1 + usize::from(methods)));
        rest.u16().unwrap();
        let mut extensions = Vec::new();
        while let Some(number) = rest.u16() {
            let length = rest.u16().unwrap();
            extensions.push((number, next(&mut rest, length.into())));
        }
        Written {
            sequence,
            head,
            cookie,
            middle,
            extensions,
        }
    }

    /// Adds the cookie, in the form of this version.
    pub(in crate::dtls) fn returning(mut self, cookie: &[u8], version: Versions) -> Written {
        self.sequence += 1;
        if version == Versions::Only13 {
            let value = [&[0, 32], cookie].concat();
            self.extensions.push((extension::COOKIE, value));
        } else {
            self.cookie = cookie.to_vec();
        }
        self
    }

    pub(in crate::dtls) fn datagram(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        for (number, value) in &self.extensions {
            extensions.extend(number.to_be_bytes());
            extensions.extend(prefixed(value));
            extensions.extend(value);
        }
        let cookie_length = [u8::try_from(self.cookie.len()).unwrap()];
        let parts = [&self.head, &cookie_length[..], &self.cookie, &self.middle];
        let body = [&parts.concat(), &prefixed(&extensions)[..], &extensions].concat();
        message(record::CLIENT_HELLO, self.sequence, &body)
    }

    /// Extended to this size by an unknown extension.
    fn filled_to(mut self, size: usize) -> Written {
        let size = size - self.datagram().len() - 4;
        self.extensions.push((99, vec![0; size]));
        self
    }
}

#[test]
fn a_hello_may_grow_by_its_cookie_but_not_beyond_a_datagram() {
    for version in CLIENTS {
        let supported = settings().supported();
        let (_, hello) = client(version);
        let read = |hello: &Written| StatelessHello::parse(&hello.datagram(), &supported).is_some();
        let mut plain = Written::read(&hello);
        assert_eq!(plain.datagram(), hello);
        let is_padding = |(number, _): &(u16, _)| *number == extension::PADDING;
        plain.extensions.retain(|extension| !is_padding(extension));
        let largest = plain.clone().filled_to(LARGEST);
        assert!(read(&largest) && !read(&plain.clone().filled_to(LARGEST + 1)));
        let returned = largest.returning(&[7; 32], Versions::Only13);
        assert!(returned.datagram().len() > LARGEST && read(&returned));
        // The cookie may replace padding, so a padded hello may be as long as one with a cookie.
        plain.extensions.push((extension::PADDING, vec![0; 9]));
        for hello in [plain.clone(), plain.returning(&[7; 32], Versions::Only13)] {
            assert!(read(&hello.clone().filled_to(LARGEST_OF_ALL)));
            assert!(!read(&hello.filled_to(LARGEST_OF_ALL + 1)));
            // Ten thousand may be pending, and each is stored.
            const { assert!(LARGEST_OF_ALL <= 1500) };
        }
    }
}

#[test]
fn a_hello_has_a_cookie_if_and_only_if_it_is_not_its_clients_first_message() {
    for version in CLIENTS {
        let supported = settings().supported();
        let first = Written::read(&client(version).1);
        let second = first.clone().returning(&[7; 32], Versions::Only13);
        for sequence in 0..6 {
            let read = |hello: &Written| {
                let numbered = Written {
                    sequence,
                    ..hello.clone()
                };
                StatelessHello::parse(&numbered.datagram(), &supported).is_some()
            };
            assert_eq!(read(&first), sequence == 0, "{version:?}");
            assert_eq!(read(&second), sequence == 1, "{version:?}");
        }
    }
}

#[test]
fn the_reply_is_the_engines_byte_for_byte() {
    for client_speaks in CLIENTS {
        let settings = settings();
        let (_, hello) = client(client_speaks);
        let mut engine = Engine::new(&settings, start()).unwrap();
        let said = packets(engine.receive(start(), &hello).unwrap());
        // Its reply ends with the cookie.
        let cookie: Cookie = said[0][said[0].len() - 32..].try_into().unwrap();
        let supported = settings.supported();
        let opening = StatelessHello::parse(&hello, &supported).unwrap();
        assert_eq!(said, [opening.reply(&cookie)], "{client_speaks:?}");
        assert!(said[0].len() < hello.len());
    }
}

#[test]
fn an_engine_created_after_the_cookie_completes_the_handshake() {
    for client_speaks in CLIENTS {
        let settings = settings();
        let supported = settings.supported();
        let (mut device, first) = client(client_speaks);
        let opening = StatelessHello::parse(&first, &supported).unwrap();
        let mut cookie = [7; 32];
        cookie[30..].copy_from_slice(&opening.length.to_be_bytes());
        let answer = opening.reply(&cookie);
        let second = datagrams(device.receive(start(), &answer).unwrap()).remove(0);
        let opening = StatelessHello::parse(&second, &supported).unwrap();
        assert_eq!(opening.cookie, cookie);
        let [before] = opening.previous_hellos().try_into().unwrap();
        assert_eq!(before, first, "{client_speaks:?}");

        let mut server = Engine::after_cookie(&settings, start(), cookie, &[before]).unwrap();
        let (mut to_server, mut connected) = (vec![second], 0);
        for _ in 0..4 {
            let mut to_device = Vec::new();
            for datagram in to_server.drain(..) {
                let outputs = server.receive(start(), &datagram).unwrap();
                connected += usize::from(outputs.contains(&EngineOutput::Connected));
                to_device.extend(packets(outputs));
            }
            for datagram in to_device {
                let outputs = device.receive(start(), &datagram).unwrap();
                connected += usize::from(outputs.contains(&Output::Connected));
                to_server.extend(datagrams(outputs));
            }
        }
        assert_eq!(connected, 2, "{client_speaks:?}");
    }
}

#[test]
fn padding_that_the_cookie_has_replaced_is_restored() {
    let sized = |extensions: &[u8], more| padded(extensions.to_vec(), more);
    let (other, pad) = ([0, 7, 0, 1, 9], [0, 21, 0, 2, 0, 0]);
    let longer = [0, 21, 0, 5, 0, 0, 0, 0, 0];
    assert_eq!(
        sized(&[&other[..], &pad].concat(), 3),
        [&other[..], &longer].concat()
    );
    assert_eq!(
        sized(&[&pad[..], &other].concat(), 3),
        [&longer[..], &other].concat()
    );
    assert_eq!(sized(&other, 6), [&other[..], &pad].concat());
    assert_eq!(sized(&other, 0), other);
    // A malformed list of extensions is not changed.
    assert!(sized(&[0, 21, 0, 9, 1], 3).starts_with(&[0, 21]));
}

#[test]
fn hellos_that_need_an_engine_are_not_answered_statelessly() {
    for versions in CLIENTS {
        let supported = settings().supported();
        let (_, hello) = client(versions);
        let read = |datagram: &[u8]| StatelessHello::parse(datagram, &supported).is_some();
        assert!(read(&hello));
        for length in 0..hello.len() {
            assert!(!read(&hello[..length]), "cut to {length}");
        }
        assert!(
            !read(&[hello.clone(), hello.clone()].concat()),
            "two of them"
        );
        let changed = |at: usize, to: u8| {
            let mut hello = hello.clone();
            hello[at] = to;
            hello
        };
        assert!(!read(&changed(4, 1)), "another epoch");
        assert!(!read(&changed(13, 2)), "another message");
        assert!(!read(&changed(26, 255)), "DTLS 1.0 alone");
        assert!(!read(&changed(21, 1)), "a later fragment");
        assert!(!read(&changed(24, hello[24] - 1)), "a first fragment");
        assert!(!read(&changed(18, 4)), "the fifth message");
        let others = Supported {
            suites: vec![1],
            ..supported.clone()
        };
        assert!(
            StatelessHello::parse(&hello, &others).is_none(),
            "no common suite"
        );
    }
    let supported = settings().supported();
    let (_, hello) = client(Versions::Only13);
    let no_group = Supported {
        groups: Vec::new(),
        ..supported.clone()
    };
    assert!(
        StatelessHello::parse(&hello, &no_group).is_none(),
        "no share of a group of ours"
    );
    let (_, hello) = client(Versions::Only12);
    assert!(
        StatelessHello::parse(&hello, &supported).is_none(),
        "another version"
    );
}
