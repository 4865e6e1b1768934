//! What is sent, byte for byte.

use super::*;
use crate::test::hex;

const CONTENT: &[u8] = b"GET /v1/telemetry";

/// Records number 5 with this content, plain and with the connection ID c1c2c3, made by OpenSSL's AEADs out of nonces and
/// additional data that were written down by hand after RFC 5288, 6655, 7905 and 9146.
const RECORDS: [(CipherSuite, &str, &str); 7] = [
    (
        CipherSuite::EcdheEcdsaAes128Gcm,
        "17fefd0001000000000005002900010000000000059a18291f6ff5dc9d2115004451e65ea1dc10f514c063c154b8d215bfdff6cea1c2",
        "19fefd0001000000000005c1c2c3002a00010000000000059a18291f6ff5dc9d2115004451e65ea1dc6231f33402e9ad0f43e92bd900b5c3eb24",
    ),
    (
        CipherSuite::EcdheEcdsaAes256Gcm,
        "17fefd000100000000000500290001000000000005070395a883a2d962d27da072a6cdde18d341f1d21a35573adb915862c6f034ab53",
        "19fefd0001000000000005c1c2c3002a0001000000000005070395a883a2d962d27da072a6cdde18d39f13e7dae27992a1d90e53c4da261657bc",
    ),
    (
        CipherSuite::EcdheEcdsaAes128Ccm,
        "17fefd0001000000000005002900010000000000056572aa2f1fa10ee4abe7dfcd83ee201acbfa9176d997dedd60b37cff92d296ad70",
        "19fefd0001000000000005c1c2c3002a00010000000000056572aa2f1fa10ee4abe7dfcd83ee201acb761b08b500cfc8fe835b0126d567433268",
    ),
    (
        CipherSuite::EcdheEcdsaAes128Ccm8,
        "17fefd0001000000000005002100010000000000056572aa2f1fa10ee4abe7dfcd83ee201acb90b4f7ff1e657bd2",
        "19fefd0001000000000005c1c2c3002200010000000000056572aa2f1fa10ee4abe7dfcd83ee201acb76d20aad04aa5716b3",
    ),
    (
        CipherSuite::EcdheEcdsaAes256Ccm,
        "17fefd000100000000000500290001000000000005eb78a64939d977e3effea28ed00b1228afbe834d31381de308e223ed45dbde3a98",
        "19fefd0001000000000005c1c2c3002a0001000000000005eb78a64939d977e3effea28ed00b1228af220e118bb43182280de77f3bbc05b86ac2",
    ),
    (
        CipherSuite::EcdheEcdsaAes256Ccm8,
        "17fefd000100000000000500210001000000000005eb78a64939d977e3effea28ed00b1228afc8a1ea0615df1f93",
        "19fefd0001000000000005c1c2c300220001000000000005eb78a64939d977e3effea28ed00b1228af22e00dbb10e636d67e",
    ),
    (
        CipherSuite::EcdheEcdsaChaCha20Poly1305,
        "17fefd00010000000000050021b1eab35dfed03e6f0be45bf8613b2bfe4cf7f77d6b7fa6659bdc286738b16417d6",
        "19fefd0001000000000005c1c2c30022b1eab35dfed03e6f0be45bf8613b2bfe4ca6d8a4770b6fa943cf7db050bb5f4d8bcf",
    ),
];

#[test]
fn records_are_those_of_openssl() {
    for (suite, plain, with_id) in RECORDS {
        for (id, expected) in [(&[][..], plain), (&[0xc1, 0xc2, 0xc3], with_id)] {
            let mut pair = Pair::with_connection_ids(suite, id, &[]);
            for _ in 0..5 {
                sent(&mut pair.server, &[]);
            }
            let record = sent(&mut pair.server, CONTENT);
            assert_eq!(record, hex(expected), "{suite}");
            let received = receive(&mut pair.client, &record).unwrap();
            assert_eq!(received.content, CONTENT);
        }
    }
}

/// RFC 5288 §3: a nonce is never used twice, and a random one might be.
#[test]
fn bug_class_24_nonces_are_epoch_and_sequence_number() {
    for suite in SUITES {
        let mut pair = Pair::new(suite);
        for number in 0..300_u16 {
            let record = sent(&mut pair.server, CONTENT);
            let [high, low] = number.to_be_bytes();
            let expected = [0, 1, 0, 0, 0, 0, high, low];
            assert_eq!(record[3..11], expected);
            match suite.aead().explicit_nonce_length() {
                0 => assert_eq!(record.len(), 13 + CONTENT.len() + 16),
                _ => assert_eq!(record[13..21], expected),
            }
        }
    }
}

/// A sender may count its nonces as it likes: what is in the record counts, not the record's number (RFC 5288 §3).
#[test]
fn the_explicit_nonce_is_taken_from_the_wire() {
    for suite in SUITES {
        let aead = suite.aead();
        if aead.explicit_nonce_length() == 0 {
            continue;
        }
        let mut pair = Pair::new(suite);
        let explicit = [0xee; 8];
        let number = number(EPOCH, 9);
        let mut out = Vec::new();
        write_header(&mut out, ContentType::APPLICATION_DATA, DTLS_1_2, EPOCH, 9);
        out.u16(u16::try_from(8 + CONTENT.len() + aead.tag_length()).unwrap());
        out.bytes(&explicit);
        out.bytes(CONTENT);
        let read = &pair.server.read;
        let data = AdditionalData::new(number, ContentType::APPLICATION_DATA, &[], CONTENT.len());
        Cipher::new(aead, read)
            .unwrap()
            .seal(
                read.nonce(aead, explicit),
                data.unwrap().as_slice(),
                &mut out,
                21,
            )
            .unwrap();
        assert_eq!(receive(&mut pair.server, &out).unwrap().content, CONTENT);
    }
}

/// RFC 6066 §4, RFC 8449 §4.
#[test]
fn no_record_is_above_the_peers_limit() {
    for (id, most) in [(&[][..], 512), (&[7; 4], 511)] {
        let suite = CipherSuite::EcdheEcdsaAes128Ccm8;
        let mut association = Association::new(Parameters {
            peer_connection_id: id,
            send_limit: 512,
            ..parameters(suite)
        })
        .unwrap();
        assert_eq!(association.max_content(), most);
        let mut out = vec![1];
        let data = ContentType::APPLICATION_DATA;
        let refused = association.protect(data, &vec![0; most + 1], &mut out);
        assert_eq!(refused, Err(ProtectError::TooLong));
        // No number is used, and nothing appended.
        assert_eq!((out.len(), association.send_number()), (1, 0));
        association.protect(data, &vec![0; most], &mut out).unwrap();
        assert_eq!(out.len(), 1 + most + association.overhead());
        assert_eq!(association.send_number(), 1);
    }
}

#[test]
fn the_last_number_is_used_once() {
    let mut pair = Pair::with_connection_ids(CipherSuite::EcdheEcdsaAes128Gcm, &[1], &[]);
    pair.server.send_number = MAX_SEQUENCE;
    let last = sent(&mut pair.server, CONTENT);
    assert_eq!(last[5..11], [0xff; 6]);
    assert_eq!(receive(&mut pair.client, &last).unwrap().content, CONTENT);
    for _ in 0..3 {
        let mut out = Vec::new();
        let refused = pair.server.protect(ContentType::ALERT, &[1, 0], &mut out);
        assert_eq!(refused, Err(ProtectError::NumbersExhausted));
        assert!(out.is_empty());
    }
}

#[test]
fn nothing_is_sent_with_a_number_that_is_not_reserved() {
    for id in [&[][..], &[1]] {
        let mut pair = Pair::with_connection_ids(CipherSuite::EcdheEcdsaAes128Gcm, id, &[]);
        pair.server.set_send_end(2);
        for number in 0..2 {
            assert_eq!(pair.server.send_number(), number);
            sent(&mut pair.server, CONTENT);
        }
        let mut out = vec![1];
        for _ in 0..3 {
            let refused = pair.server.protect(ContentType::ALERT, &[1, 0], &mut out);
            assert_eq!(refused, Err(ProtectError::NotReserved));
        }
        // No number is used, and nothing appended.
        assert_eq!((out.len(), pair.server.send_number()), (1, 2));
        pair.server.set_send_end(3);
        let next = sent(&mut pair.server, CONTENT);
        assert_eq!(next[5..11], [0, 0, 0, 0, 0, 2]);
        // A lower end than what was used already.
        pair.server.set_send_end(1);
        let refused = pair.server.protect(ContentType::ALERT, &[1, 0], &mut out);
        assert_eq!(refused, Err(ProtectError::NotReserved));
        // The last number is the last one, whatever is reserved.
        pair.server.set_send_end(u64::MAX);
        pair.server.send_number = MAX_SEQUENCE + 1;
        let refused = pair.server.protect(ContentType::ALERT, &[1, 0], &mut out);
        assert_eq!(refused, Err(ProtectError::NumbersExhausted));
    }
}
