mod fragments_of_hellos;

use super::*;
use crate::message::{Header, Numbers};
use crate::record::DTLS_1_2;
use crate::wire::Writer;

/// Always the same bytes.
struct Fixed(u8);

impl Random for Fixed {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Unavailable> {
        buffer.fill(self.0);
        Ok(())
    }
}

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn cookies(now: Instant) -> Cookies {
    Cookies::new(&mut Fixed(3), now).unwrap()
}

/// The fields of a hello that a cookie is bound to, and its numbers.
#[derive(Clone)]
struct Hello {
    version: u16,
    random: [u8; 32],
    session_id: Vec<u8>,
    suites: Vec<u8>,
    compression: Vec<u8>,
    extensions: Option<Vec<u8>>,
    cookie: Vec<u8>,
    message_seq: u16,
    record_sequence: u64,
}

impl Default for Hello {
    fn default() -> Hello {
        Hello {
            version: DTLS_1_2,
            random: [9; 32],
            session_id: vec![1, 2, 3],
            suites: vec![0xc0, 0xae, 0xc0, 0x2b],
            compression: vec![0],
            extensions: Some(vec![0, 23, 0, 0]),
            cookie: Vec::new(),
            message_seq: 0,
            record_sequence: 0,
        }
    }
}

impl Hello {
    /// As the client sends it after a HelloVerifyRequest.
    fn returning(&self, cookie: &[u8]) -> Hello {
        Hello {
            cookie: cookie.to_vec(),
            message_seq: self.message_seq + 1,
            record_sequence: self.record_sequence + 1,
            ..self.clone()
        }
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let hello = ClientHello {
            version: self.version,
            random: self.random,
            session_id: &self.session_id,
            cookie: &self.cookie,
            cipher_suites: Numbers::new(Reader::new(&self.suites)).unwrap(),
            compression_methods: &self.compression,
            extensions: self.extensions.as_deref(),
        };
        hello.write(&mut body).unwrap();
        body
    }

    fn datagram(&self) -> Vec<u8> {
        let length = self.body().len();
        self.fragment(0, length)
    }

    /// A datagram with the bytes from `start` to `end`.
    fn fragment(&self, start: usize, end: usize) -> Vec<u8> {
        let body = self.body();
        let header = Header {
            message_type: HandshakeType::CLIENT_HELLO,
            length: u32::try_from(body.len()).unwrap(),
            message_seq: self.message_seq,
            fragment_offset: u32::try_from(start).unwrap(),
            fragment_length: u32::try_from(end - start).unwrap(),
        };
        let mut content = Vec::new();
        header.write(&mut content);
        content.bytes(&body[start..end]);
        let mut datagram = Vec::new();
        let handshake = ContentType::HANDSHAKE;
        record::write_plaintext(
            &mut datagram,
            handshake,
            DTLS_1_0,
            self.record_sequence,
            &content,
        )
        .unwrap();
        datagram
    }
}

/// Reads a HelloVerifyRequest: the record, the message's number, the body.
fn read(datagram: &[u8]) -> (Record<'_>, u16, HelloVerifyRequest<'_>) {
    let mut records = record::records(datagram, 0);
    let record = records.next().unwrap();
    assert!(records.next().is_none());
    let mut read = fragments(record.fragment);
    let fragment = read.next().unwrap().unwrap();
    assert!(read.next().is_none() && fragment.is_whole());
    assert_eq!(
        fragment.header.message_type,
        HandshakeType::HELLO_VERIFY_REQUEST
    );
    let request = HelloVerifyRequest::parse(fragment.body).unwrap();
    (record, fragment.header.message_seq, request)
}

fn issued(cookies: &Cookies, now: Instant, source: &[u8], hello: &Hello) -> Vec<u8> {
    let datagram = hello.datagram();
    let CookieReply::Verify(reply) = cookies.reply(now, source, &datagram) else {
        panic!("no HelloVerifyRequest");
    };
    assert!(reply.len() <= datagram.len());
    read(&reply).2.cookie.to_vec()
}

fn is_verified(cookies: &Cookies, now: Instant, source: &[u8], hello: &Hello) -> bool {
    matches!(
        cookies.reply(now, source, &hello.datagram()),
        CookieReply::Verified(_)
    )
}

/// Class 12: a HelloVerifyRequest follows the hello that it answers, also a second one.
#[test]
fn class_12_a_hello_verify_request_has_the_numbers_of_the_hello() {
    let now = start();
    let cookies = cookies(now);
    // Also the highest, although no handshake can follow from there.
    for (message_seq, record_sequence) in [(0, 0), (0, 7), (1, 8), (3, MAX_SEQUENCE), (u16::MAX, 2)]
    {
        let hello = Hello {
            message_seq,
            record_sequence,
            cookie: vec![5; 16],
            ..Hello::default()
        };
        let CookieReply::Verify(reply) = cookies.reply(now, b"a", &hello.datagram()) else {
            panic!("no HelloVerifyRequest");
        };
        let (record, seq, request) = read(&reply);
        assert_eq!(
            (record.content_type, record.epoch),
            (ContentType::HANDSHAKE, 0)
        );
        assert_eq!((record.sequence, seq), (record_sequence, message_seq));
        // RFC 6347 §4.2.1: the version of DTLS 1.0, and at most 32 bytes as 1.0 had them.
        assert_eq!(
            (request.version, request.cookie.len()),
            (0xfeff, COOKIE_LENGTH)
        );
    }
}

/// Class 12: the hello that follows begins a handshake, and is handed over with its numbers.
#[test]
fn class_12_the_hello_that_returns_its_cookie_is_verified() {
    let now = start();
    let cookies = cookies(now);
    let hello = Hello::default();
    let returning = hello.returning(&issued(&cookies, now, b"a", &hello));
    let CookieReply::Verified(verified) = cookies.reply(now, b"a", &returning.datagram()) else {
        panic!("not verified");
    };
    assert_eq!(verified.record_sequence, 1);
    assert_eq!(verified.message.message_seq(), 1);
    assert_eq!(verified.message.body(), returning.body());
    assert_eq!(verified.message.as_bytes(), &returning.datagram()[13..]);
}

/// Class 13: whatever the client must repeat, and the source, changed by a byte or moved to the field beside it.
#[test]
fn class_13_a_cookie_is_bound_to_the_source_and_to_what_the_client_offers() {
    let now = start();
    let cookies = cookies(now);
    let hello = Hello::default();
    let cookie = issued(&cookies, now, b"source", &hello);
    let own = hello.returning(&cookie);
    assert!(is_verified(&cookies, now, b"source", &own));
    // Its extensions may differ (RFC 6347 §4.2.1 does not name them).
    assert!(is_verified(
        &cookies,
        now,
        b"source",
        &Hello {
            extensions: None,
            ..own.clone()
        }
    ));
    let mut random = own.random;
    random[31] ^= 1;
    let changed = [
        Hello {
            version: 0xfefc,
            ..own.clone()
        },
        Hello {
            random,
            ..own.clone()
        },
        Hello {
            session_id: vec![1, 2],
            ..own.clone()
        },
        Hello {
            session_id: vec![1, 2, 3, 4],
            ..own.clone()
        },
        Hello {
            suites: vec![0xc0, 0xae],
            ..own.clone()
        },
        Hello {
            suites: vec![0xc0, 0x2b, 0xc0, 0xae],
            ..own.clone()
        },
        Hello {
            suites: vec![0xc0, 0xae, 0xc0, 0x2b, 0, 0xff],
            ..own.clone()
        },
        Hello {
            compression: vec![0, 1],
            ..own.clone()
        },
        Hello {
            compression: vec![1],
            ..own.clone()
        },
        Hello {
            cookie: cookie[..15].to_vec(),
            ..own.clone()
        },
        Hello {
            cookie: [&cookie[..], &[0]].concat(),
            ..own.clone()
        },
        Hello {
            cookie: vec![0; 16],
            ..own.clone()
        },
        Hello {
            cookie: Vec::new(),
            ..own.clone()
        },
    ];
    for (index, other) in changed.iter().enumerate() {
        let reply = cookies.reply(now, b"source", &other.datagram());
        assert!(matches!(reply, CookieReply::Verify(_)), "{index}");
    }
    for source in [&b"sourc"[..], b"source2", b"Source", b""] {
        assert!(!is_verified(&cookies, now, source, &own));
    }
    // A byte that passes from the source to the session id.
    let moved = Hello {
        session_id: b"e\x01\x02\x03".to_vec(),
        ..own.clone()
    };
    assert!(!is_verified(&cookies, now, b"sourc", &moved));
    let others = Cookies::new(&mut Fixed(4), now).unwrap();
    assert!(!is_verified(&others, now, b"source", &own));
}

#[test]
fn a_cookie_is_valid_for_one_to_two_minutes() {
    let begin = start();
    let cookies = cookies(begin);
    let at = |seconds| begin + Duration::from_secs(seconds);
    let hello = Hello::default();
    for issue in [0, 30, 59, 60, 3600] {
        let own = hello.returning(&issued(&cookies, at(issue), b"a", &hello));
        for later in [0, 1, 60] {
            assert!(
                is_verified(&cookies, at(issue + later), b"a", &own),
                "{issue} {later}"
            );
        }
        for later in [120, 121, 240] {
            assert!(
                !is_verified(&cookies, at(issue + later), b"a", &own),
                "{issue} {later}"
            );
        }
    }
    // A clock that goes back harms nothing.
    let own = hello.returning(&issued(&cookies, begin, b"a", &hello));
    assert!(is_verified(
        &cookies,
        begin - Duration::from_secs(1),
        b"a",
        &own
    ));
}

/// Classes 20 and 39: `reply` changes nothing (it takes `&self`), and every first hello gets the same short answer, whether it
/// would resume a session or not.
#[test]
fn class_20_39_a_first_hello_is_only_answered() {
    let now = start();
    let cookies = cookies(now);
    for session_id in [vec![], vec![4; 32]] {
        for _ in 0..1000 {
            let hello = Hello {
                session_id: session_id.clone(),
                ..Hello::default()
            };
            let CookieReply::Verify(reply) = cookies.reply(now, b"a", &hello.datagram()) else {
                panic!("no HelloVerifyRequest");
            };
            assert_eq!(reply.len(), 13 + 12 + 3 + COOKIE_LENGTH);
        }
    }
    // The shortest hello that can be read.
    let shortest = Hello {
        session_id: Vec::new(),
        suites: vec![0, 0],
        extensions: None,
        ..Hello::default()
    };
    issued(&cookies, now, b"a", &shortest);
}

#[test]
fn what_is_no_hello_is_not_answered() {
    let now = start();
    let cookies = cookies(now);
    let hello = Hello::default().datagram();
    let reply = |datagram: &[u8]| cookies.reply(now, b"a", datagram);
    for (place, byte) in [
        // Another content type, protocol, epoch, handshake message.
        (0, 23),
        (0, 25),
        (1, 3),
        (4, 1),
        (13, 2),
        (13, 16),
    ] {
        let mut other = hello.clone();
        other[place] = byte;
        assert!(
            matches!(reply(&other), CookieReply::NotHello),
            "{place} {byte}"
        );
    }
    assert!(matches!(reply(&[]), CookieReply::NotHello));
    for length in 0..hello.len() {
        assert!(matches!(reply(&hello[..length]), CookieReply::NotHello));
    }
    // A session id of 33 bytes; an odd number of bytes of suites.
    let session_id_at = 13 + 12 + 2 + 32;
    for (place, byte) in [(session_id_at, 33), (session_id_at + 6, 3)] {
        let mut other = hello.clone();
        other[place] = byte;
        assert!(
            matches!(reply(&other), CookieReply::Malformed),
            "{place} {byte}"
        );
    }
}

#[test]
fn arbitrary_bytes_get_no_more_than_came() {
    let mut random = fastrand::Rng::with_seed(12);
    let now = start();
    let cookies = cookies(now);
    let hello = Hello::default();
    let own = hello
        .returning(&issued(&cookies, now, b"a", &hello))
        .datagram();
    for _ in 0..100_000 {
        let mut datagram = own.clone();
        for _ in 0..random.usize(1..5) {
            let place = random.usize(..datagram.len());
            datagram[place] = random.u8(..);
        }
        datagram.truncate(random.usize(..=datagram.len()));
        if let CookieReply::Verify(reply) = cookies.reply(now, b"a", &datagram) {
            assert!(reply.len() <= datagram.len());
        }
    }
}
