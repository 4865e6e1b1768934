use super::*;
use crate::crypto::aead::Cipher;
use crate::record::{ContentType, DTLS_1_2, Record, records, write_header};
use crate::wire::Writer;

mod receive_window;
mod refused;
mod restored;
mod sent;

/// Both ends of a session, of which the second is the server.
struct Pair {
    client: Association,
    server: Association,
}

/// The key and IV of a direction are recognisable bytes.
fn keys(suite: CipherSuite, first_key: u8, first_iv: u8) -> Keys {
    let aead = suite.aead();
    let from = |first: u8, length: usize| -> Vec<u8> { (first..).take(length).collect() };
    let key = from(first_key, aead.key_length());
    Keys::new(aead, &key, &from(first_iv, aead.iv_length())).unwrap()
}

fn parameters(suite: CipherSuite) -> Parameters<'static> {
    Parameters {
        suite,
        extended_master_secret: true,
        return_routability_check: false,
        write: keys(suite, 0x10, 0xa0),
        read: keys(suite, 0x50, 0xb0),
        own_connection_id: &[],
        peer_connection_id: &[],
        send_limit: 1 << 14,
        receive_limit: 1 << 14,
    }
}

impl Pair {
    fn new(suite: CipherSuite) -> Pair {
        Pair::with_connection_ids(suite, &[], &[])
    }

    /// The client's connection ID is in records to the client.
    fn with_connection_ids(suite: CipherSuite, client: &[u8], server: &[u8]) -> Pair {
        let of_server = parameters(suite);
        let of_client = parameters(suite);
        let (write, read) = (of_client.read, of_client.write);
        Pair {
            server: Association::new(Parameters {
                own_connection_id: server,
                peer_connection_id: client,
                ..of_server
            })
            .unwrap(),
            client: Association {
                // A client's may be longer than ours.
                own_connection_id: ShortBytes::new(client).unwrap(),
                ..Association::new(Parameters {
                    write,
                    read,
                    peer_connection_id: server,
                    ..parameters(suite)
                })
                .unwrap()
            },
        }
    }

    /// Returns a record from the client.
    fn send_request(&mut self, content: &[u8]) -> Vec<u8> {
        sent(&mut self.client, content)
    }
}

fn sent(by: &mut Association, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    by.protect(ContentType::APPLICATION_DATA, content, &mut out)
        .unwrap();
    out
}

/// Passes a datagram of one record to an association.
fn receive(by: &mut Association, datagram: &[u8]) -> Result<Unprotected, Discard> {
    let id_length = by.own_connection_id().len();
    let mut all = records(datagram, id_length);
    let record = all.next().unwrap();
    assert_eq!(all.next(), None);
    by.unprotect(&record)
}

/// The suites, one for each AEAD.
const SUITES: [CipherSuite; 7] = [
    CipherSuite::EcdheEcdsaAes128Gcm,
    CipherSuite::EcdheEcdsaAes256Gcm,
    CipherSuite::EcdheEcdsaAes128Ccm,
    CipherSuite::EcdheEcdsaAes128Ccm8,
    CipherSuite::EcdheEcdsaAes256Ccm,
    CipherSuite::EcdheEcdsaAes256Ccm8,
    CipherSuite::EcdheEcdsaChaCha20Poly1305,
];

#[test]
fn both_directions_go_on() {
    let ids: [(&[u8], &[u8]); 4] = [
        (&[], &[]),
        (&[], &[1, 2, 3, 4, 5, 6, 7, 8]),
        (&[9; 20], &[]),
        (&[9; 255], &[1]),
    ];
    for suite in SUITES {
        for (client, server) in ids {
            let mut pair = Pair::with_connection_ids(suite, client, server);
            for round in 0..3_u8 {
                let request = sent(&mut pair.client, &[round; 80]);
                assert_eq!(request.len(), 80 + pair.client.overhead());
                let received = receive(&mut pair.server, &request).unwrap();
                assert_eq!(received.content, [round; 80]);
                assert_eq!(received.content_type, ContentType::APPLICATION_DATA);
                assert!(received.is_newest);
                let response = sent(&mut pair.server, &[]);
                assert_eq!(response.len(), pair.server.overhead());
                assert_eq!(receive(&mut pair.client, &response).unwrap().content, []);
            }
            assert_eq!(pair.client.send_number(), 3);
        }
    }
}

#[test]
fn a_datagram_holds_several_protected_records() {
    for suite in SUITES {
        let mut pair = Pair::with_connection_ids(suite, &[], &[5; 8]);
        let mut datagram = Vec::new();
        for content in 0..20_u8 {
            pair.client
                .protect(ContentType::ALERT, &[content], &mut datagram)
                .unwrap();
        }
        let contents: Vec<u8> = records(&datagram, 8)
            .map(|record| pair.server.unprotect(&record).unwrap())
            .map(|received| received.content[0])
            .collect();
        assert_eq!(contents, (0..20).collect::<Vec<u8>>());
    }
}

#[test]
fn an_association_is_small() {
    assert!(size_of::<Association>() <= 200);
}

#[test]
fn parameters_out_of_range_are_refused() {
    let suite = CipherSuite::EcdheEcdsaAes128Ccm8;
    let refused = |parameters| assert_eq!(Association::new(parameters).err(), Some(OutOfRange));
    for limit in [0, 63, (1 << 14) + 1] {
        refused(Parameters {
            send_limit: limit,
            ..parameters(suite)
        });
        refused(Parameters {
            receive_limit: limit,
            ..parameters(suite)
        });
    }
    refused(Parameters {
        own_connection_id: &[0; 9],
        ..parameters(suite)
    });
    refused(Parameters {
        peer_connection_id: &[0; 256],
        ..parameters(suite)
    });
}

#[test]
fn no_key_is_shown() {
    let association = Pair::new(CipherSuite::EcdheEcdsaAes128Ccm8).server;
    let shown = format!("{association:?}");
    assert_eq!(
        shown,
        "Association { suite: EcdheEcdsaAes128Ccm8, send_number: 0, .. }"
    );
}
