mod extensions;

use super::certificate::{
    Certificate, CertificateRequest, CertificateVerify, ClientCertificateType, MAX_CERTIFICATES,
};
use super::client_hello::ClientHello;
use super::extension::{ClientExtensions, MaxFragmentLength};
use super::key_exchange::{ClientKeyExchange, Finished, ServerKeyExchange, ServerParameters};
use super::server_hello::{HelloVerifyRequest, NewSessionTicket, ServerExtensions, ServerHello};
use super::*;
use crate::record::{DTLS_1_0, DTLS_1_2};

/// Random bytes of a random length.
pub(crate) fn bytes(
    random: &mut fastrand::Rng,
    length: std::ops::RangeInclusive<usize>,
) -> Vec<u8> {
    let length = random.usize(length);
    std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect()
}

/// An even number of random bytes, two at least.
fn numbers(random: &mut fastrand::Rng) -> Vec<u8> {
    let length = 2 * random.usize(1..40);
    bytes(random, length..=length)
}

fn as_numbers(bytes: &[u8]) -> Numbers<'_> {
    Numbers::new(Reader::new(bytes)).unwrap()
}

fn random_array(random: &mut fastrand::Rng) -> HelloRandom {
    std::array::from_fn(|_| random.u8(..))
}

/// Checks that `parse` takes these bytes, and neither more nor fewer.
fn is_read_to_its_end<T, E: fmt::Debug>(body: &[u8], parse: impl Fn(&[u8]) -> Result<T, E>) {
    assert!(parse(body).is_ok());
    let longer = [body, &[0]].concat();
    assert!(
        parse(&longer).is_err(),
        "a trailing byte was taken: {body:02x?}"
    );
    for length in 0..body.len() {
        assert!(
            parse(&body[..length]).is_err(),
            "{length} bytes of {body:02x?}"
        );
    }
}

/// Calls a writer that should not fail.
fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<(), Malformed>) -> Vec<u8> {
    let mut buffer = Vec::new();
    write(&mut buffer).unwrap();
    buffer
}

#[test]
fn what_is_written_is_read_again() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..200 {
        let (suites, schemes) = (numbers(&mut random), numbers(&mut random));
        let (session_id, cookie) = (bytes(&mut random, 0..=32), bytes(&mut random, 0..=255));
        let (compression, extensions) = (bytes(&mut random, 1..=5), bytes(&mut random, 0..=300));
        let hello = ClientHello {
            version: random.u16(..),
            random: random_array(&mut random),
            session_id: &session_id,
            cookie: &cookie,
            cipher_suites: as_numbers(&suites),
            compression_methods: &compression,
            extensions: random.bool().then_some(&extensions),
        };
        let body = written(|buffer| hello.write(buffer));
        assert_eq!(ClientHello::parse(&body), Ok(hello));

        let request = HelloVerifyRequest {
            version: DTLS_1_0,
            cookie: &cookie,
        };
        let body = written(|buffer| request.write(buffer));
        assert_eq!(HelloVerifyRequest::parse(&body), Ok(request));

        let hello = ServerHello {
            version: DTLS_1_2,
            random: random_array(&mut random),
            session_id: &session_id,
            cipher_suite: random.u16(..),
            extensions: ServerExtensions {
                renegotiation_info: random.bool(),
                extended_master_secret: random.bool(),
                ec_point_formats: random.bool(),
                session_ticket: random.bool(),
                max_fragment_length: MaxFragmentLength::from_number(random.u8(0..5)),
                record_size_limit: random.bool().then(|| random.u16(..)),
                connection_id: random.bool().then_some(&cookie),
                return_routability_check: random.bool(),
            },
        };
        let body = written(|buffer| hello.write(buffer));
        assert_eq!(ServerHello::parse(&body), Ok(hello));

        let (one, other) = (bytes(&mut random, 1..=900), bytes(&mut random, 1..=900));
        let certificate = Certificate {
            chain: [&one[..], &other]
                .into_iter()
                .take(random.usize(0..3))
                .collect(),
        };
        let body = written(|buffer| certificate.write(buffer));
        assert_eq!(Certificate::parse(&body), Ok(certificate));

        let request = CertificateRequest {
            certificate_types: &compression,
            signature_algorithms: as_numbers(&schemes),
            authorities: &extensions,
        };
        let body = written(|buffer| request.write(buffer));
        assert_eq!(CertificateRequest::parse(&body), Ok(request));

        let verify = CertificateVerify {
            scheme: random.u16(..),
            signature: &one,
        };
        let body = written(|buffer| verify.write(buffer));
        assert_eq!(CertificateVerify::parse(&body), Ok(verify));

        let public_key = bytes(&mut random, 1..=255);
        let parameters = ServerParameters {
            group: random.u16(..),
            public_key: &public_key,
        };
        let exchange = ServerKeyExchange {
            parameters,
            scheme: random.u16(..),
            signature: &one,
        };
        let body = written(|buffer| exchange.write(buffer));
        assert_eq!(ServerKeyExchange::parse(&body), Ok(exchange));

        let exchange = ClientKeyExchange {
            public_key: &public_key,
        };
        let body = written(|buffer| exchange.write(buffer));
        assert_eq!(ClientKeyExchange::parse(&body), Ok(exchange));

        let ticket = NewSessionTicket {
            lifetime_hint: random.u32(..),
            ticket: &one,
        };
        let body = written(|buffer| ticket.write(buffer));
        assert_eq!(NewSessionTicket::parse(&body), Ok(ticket));
    }
}

/// BoringSSL's TrailingMessageData-…, and messages that end too early.
#[test]
fn a_message_has_no_byte_more_nor_less() {
    let suites = [0xc0, 0xae];
    let hello = ClientHello {
        version: DTLS_1_2,
        random: [7; 32],
        session_id: &[1, 2],
        cookie: &[3],
        cipher_suites: as_numbers(&suites),
        compression_methods: &[0],
        extensions: Some(&[0, 23, 0, 0]),
    };
    let body = written(|buffer| hello.write(buffer));
    let parse = |body: &[u8]| match ClientHello::parse(body) {
        // It may end where its extensions would begin.
        Ok(hello) if hello.extensions.is_none() => Err(Malformed),
        other => other.map(|_| ()),
    };
    is_read_to_its_end(&body, parse);

    let certificate = Certificate {
        chain: vec![&[1, 2], &[3]],
    };
    is_read_to_its_end(&written(|buffer| certificate.write(buffer)), |body| {
        Certificate::parse(body).map(|_| ())
    });
    let exchange = ClientKeyExchange {
        public_key: &[4, 5, 6],
    };
    is_read_to_its_end(&written(|buffer| exchange.write(buffer)), |body| {
        ClientKeyExchange::parse(body).map(|_| ())
    });
    let verify = CertificateVerify {
        scheme: 0x0403,
        signature: &[7],
    };
    is_read_to_its_end(&written(|buffer| verify.write(buffer)), |body| {
        CertificateVerify::parse(body).map(|_| ())
    });
    is_read_to_its_end(&[8; 12], Finished::parse);
}

#[test]
fn what_may_not_be_empty_is_not() {
    // No cipher suite, an odd number of bytes, no compression method, a session id of 33 bytes.
    for wrong in [
        &[&[0xfe, 0xfd][..], &[0; 32], &[0, 0], &[0, 0], &[1, 0]].concat(),
        &[&[0xfe, 0xfd][..], &[0; 32], &[0, 0], &[0, 1, 7], &[1, 0]].concat(),
        &[
            &[0xfe, 0xfd][..],
            &[0; 32],
            &[0, 0],
            &[0, 2, 0xc0, 0xae],
            &[0],
        ]
        .concat(),
        &[
            &[0xfe, 0xfd][..],
            &[0; 32],
            &[33],
            &[9; 33],
            &[0],
            &[0, 2, 0xc0, 0xae],
            &[1, 0],
        ]
        .concat(),
    ] {
        assert_eq!(ClientHello::parse(wrong), Err(Malformed), "{wrong:02x?}");
    }
    assert_eq!(ClientKeyExchange::parse(&[0]), Err(Malformed));
    // A certificate without a byte.
    assert_eq!(
        Certificate::parse(&[0, 0, 3, 0, 0, 0]),
        Err(AlertDescription::DECODE_ERROR)
    );
    // No certificate at all is what a client may send.
    assert_eq!(Certificate::parse(&[0, 0, 0]).unwrap().chain.len(), 0);
}

#[test]
fn a_chain_has_a_bounded_number_of_certificates() {
    let chain = |length| {
        written(|buffer| {
            Certificate {
                chain: vec![&[1]; length],
            }
            .write(buffer)
        })
    };
    assert!(Certificate::parse(&chain(MAX_CERTIFICATES)).is_ok());
    let longer = chain(MAX_CERTIFICATES + 1);
    assert_eq!(
        Certificate::parse(&longer),
        Err(AlertDescription::BAD_CERTIFICATE)
    );
}

/// BoringSSL's ExpectOmitExtensions: a field of no extensions is not the same as none.
#[test]
fn a_server_hello_without_extensions_has_no_field_for_them() {
    let hello = ServerHello {
        version: DTLS_1_2,
        random: [1; 32],
        session_id: &[],
        cipher_suite: 0xc02b,
        extensions: ServerExtensions::default(),
    };
    let body = written(|buffer| hello.write(buffer));
    assert_eq!(body.len(), 2 + 32 + 1 + 2 + 1);
    assert!(ServerHello::parse(&body).is_ok());
}

#[test]
fn a_certificate_request_names_no_authority() {
    let schemes = [4, 3, 8, 7];
    let request = CertificateRequest {
        certificate_types: &[
            ClientCertificateType::ECDSA_SIGN.0,
            ClientCertificateType::RSA_SIGN.0,
        ],
        signature_algorithms: as_numbers(&schemes),
        authorities: &[],
    };
    let body = written(|buffer| request.write(buffer));
    assert_eq!(body, [2, 64, 1, 0, 4, 4, 3, 8, 7, 0, 0]);
}

#[test]
fn the_fragments_of_a_record_follow_each_other() {
    let mut content = whole(HandshakeType::CERTIFICATE, 3, &[1, 2]).unwrap();
    assert_eq!(content, [11, 0, 0, 2, 0, 3, 0, 0, 0, 0, 0, 2, 1, 2]);
    content.extend(whole(HandshakeType::FINISHED, 4, &[]).unwrap());
    let read: Vec<_> = fragments(&content).collect::<Result<_, _>>().unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].body, [1, 2]);
    assert_eq!((read[1].header.message_seq, read[1].is_whole()), (4, true));
    // The first that cannot be read is the last.
    content.extend([20, 0, 0]);
    let read: Vec<_> = fragments(&content).collect();
    assert_eq!(read.len(), 3);
    assert_eq!(read[2], Err(Malformed));
    assert_eq!(fragments(&[]).count(), 0);
    assert_eq!(
        whole(HandshakeType::CERTIFICATE, 0, &vec![0; 1 << 24]),
        Err(Malformed)
    );
}

/// Every parser, with random bytes and with random changes to what it reads.
#[test]
fn arbitrary_bytes_are_read_or_refused() {
    let mut random = fastrand::Rng::with_seed(2);
    let suites = [0xc0, 0xae, 0xc0, 0x2b];
    let extensions = written(|buffer| {
        ClientExtensions {
            server_name: Some(b"coap.example"),
            supported_groups: Some(as_numbers(&[0, 23])),
            signature_algorithms: Some(as_numbers(&[4, 3])),
            connection_id: Some(&[1, 2]),
            ec_point_formats: true,
            ..ClientExtensions::default()
        }
        .write(buffer)
    });
    let hello = written(|buffer| {
        ClientHello {
            version: DTLS_1_2,
            random: [7; 32],
            session_id: &[1],
            cookie: &[3, 4],
            cipher_suites: as_numbers(&suites),
            compression_methods: &[0],
            extensions: Some(&extensions),
        }
        .write(buffer)
    });
    for _ in 0..100_000 {
        let body = match random.bool() {
            true => bytes(&mut random, 0..=120),
            false => {
                let mut body = hello.clone();
                for _ in 0..random.usize(1..4) {
                    let place = random.usize(..body.len());
                    body[place] = random.u8(..);
                }
                body.truncate(random.usize(..=body.len()));
                body
            }
        };
        if let Ok(hello) = ClientHello::parse(&body) {
            assert_eq!(written(|buffer| hello.write(buffer)), body);
            let _ = hello.client_extensions();
        }
        let _ = ClientExtensions::parse(&body);
        let _ = HelloVerifyRequest::parse(&body);
        let _ = ServerHello::parse(&body);
        let _ = NewSessionTicket::parse(&body);
        let _ = Certificate::parse(&body);
        let _ = CertificateRequest::parse(&body);
        let _ = CertificateVerify::parse(&body);
        let _ = ServerKeyExchange::parse(&body);
        let _ = ClientKeyExchange::parse(&body);
        let _ = Finished::parse(&body);
        assert!(fragments(&body).count() <= 1 + body.len() / Header::LENGTH);
    }
}
