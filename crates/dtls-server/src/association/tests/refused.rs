//! What is received and discarded.

use super::*;

/// What an association is, to compare it.
fn state(of: &Association) -> Vec<u8> {
    of.export().to_vec()
}

/// Expects that a datagram is discarded for this reason, and that nothing has changed.
#[track_caller]
fn discarded(by: &mut Association, datagram: &[u8], reason: Discard) {
    let before = state(by);
    assert_eq!(receive(by, datagram), Err(reason));
    assert_eq!(state(by), before);
}

#[test]
fn bug_class_18_plaintext_application_data_is_refused() {
    for suite in SUITES {
        for server_id in [&[][..], &[1; 8]] {
            let mut server = Pair::with_connection_ids(suite, &[], server_id).server;
            for content_type in 20..30 {
                let mut out = Vec::new();
                let content_type = ContentType(content_type);
                if content_type == ContentType::TLS12_CID {
                    write_header(&mut out, content_type, DTLS_1_2, 0, 0);
                    out.bytes(server_id);
                    out.u16(4);
                    out.bytes(b"data");
                } else {
                    crate::record::write_plaintext(&mut out, content_type, DTLS_1_2, 0, b"data")
                        .unwrap();
                }
                discarded(&mut server, &out, Discard::Epoch);
                // Nor as the content of a protected epoch.
                out[4] = 1;
                let before = state(&server);
                assert!(receive(&mut server, &out).is_err());
                assert_eq!(state(&server), before);
            }
        }
    }
}

#[test]
fn bug_class_26_the_window_is_not_moved_by_what_is_not_authentic() {
    for suite in SUITES {
        let mut pair = Pair::with_connection_ids(suite, &[], &[3; 8]);
        let first = pair.send_request(b"first");
        let second = pair.send_request(b"second");
        receive(&mut pair.server, &first).unwrap();
        // Forged with every number up to the highest, which would push the second out of the window.
        for bit in 0..48_usize {
            let mut forged = second.clone();
            forged[10 - bit / 8] ^= 1 << (bit % 8);
            // Number 0 has been received.
            let reason = match bit {
                0 => Discard::Replayed,
                _ => Discard::NotAuthentic,
            };
            discarded(&mut pair.server, &forged, reason);
        }
        // Nor can its own number be burnt.
        let mut forged = second.clone();
        *forged.last_mut().unwrap() ^= 1;
        discarded(&mut pair.server, &forged, Discard::NotAuthentic);
        assert_eq!(
            receive(&mut pair.server, &second).unwrap().content,
            b"second"
        );
        discarded(&mut pair.server, &second, Discard::Replayed);
    }
}

#[test]
fn bug_class_27_a_connection_id_that_is_not_ours_is_refused() {
    let suite = CipherSuite::EcdheEcdsaAes128Ccm8;
    let mut pair = Pair::with_connection_ids(suite, &[], &[3; 8]);
    let record = pair.send_request(b"content");
    let good = records(&record, 8).next().unwrap();
    for id in [&[3; 7][..], &[3; 9], &[], &[4; 8]] {
        let before = state(&pair.server);
        let other = Record {
            connection_id: id,
            ..good
        };
        assert_eq!(
            pair.server.unprotect(&other),
            Err(Discard::OtherConnectionId)
        );
        assert_eq!(state(&pair.server), before);
    }
    assert!(pair.server.unprotect(&good).is_ok());
    // None was agreed on.
    let mut without = Pair::new(suite).server;
    let refused = without.unprotect(&good);
    assert_eq!(refused, Err(Discard::OtherConnectionId));
    let mut empty = good;
    empty.connection_id = &[];
    assert_eq!(without.unprotect(&empty), Err(Discard::OtherConnectionId));
}

/// RFC 9146 §3. An attacker can't strip the connection ID either.
#[test]
fn a_plain_record_where_a_connection_id_was_agreed_on_is_refused() {
    let suite = CipherSuite::EcdheEcdsaAes128Gcm;
    let mut server = Pair::with_connection_ids(suite, &[], &[3; 8]).server;
    let mut client_without = Pair::new(suite).client;
    let record = sent(&mut client_without, b"content");
    discarded(&mut server, &record, Discard::NoConnectionId);
}

#[test]
fn bug_class_32_only_what_is_newer_than_everything_is_newest() {
    let mut pair = Pair::with_connection_ids(CipherSuite::EcdheEcdsaAes128Ccm8, &[], &[3; 8]);
    let sent: Vec<Vec<u8>> = (0..100_u8).map(|n| pair.send_request(&[n])).collect();
    let mut arrives = |number: u8, newest: bool| {
        let record = &sent[usize::from(number)];
        let received = receive(&mut pair.server, record).unwrap();
        assert_eq!((received.content[0], received.is_newest), (number, newest));
        // A copy that comes from elsewhere, at once or later.
        discarded(&mut pair.server, record, Discard::Replayed);
    };
    arrives(10, true);
    // Inside the window, valid, and late: it is delivered, but says nothing about the address.
    arrives(9, false);
    arrives(0, false);
    arrives(80, true);
    arrives(79, false);
    arrives(17, false);
    arrives(81, true);
    // 81 − 64.
    discarded(&mut pair.server, &sent[16], Discard::Replayed);
    discarded(&mut pair.server, &sent[10], Discard::Replayed);
}

/// Makes a record with any inner plaintext.
fn record_with_inner(by: &mut Association, inner: &[u8]) -> Vec<u8> {
    let aead = by.suite.aead();
    let number = number(EPOCH, by.send_number);
    let id = by.peer_connection_id().to_vec();
    let mut out = Vec::new();
    write_header(
        &mut out,
        ContentType::TLS12_CID,
        DTLS_1_2,
        EPOCH,
        by.send_number,
    );
    out.bytes(&id);
    let explicit = aead.explicit_nonce_length();
    out.u16(u16::try_from(explicit + inner.len() + aead.tag_length()).unwrap());
    out.bytes(&number[..explicit]);
    let start = out.len();
    out.bytes(inner);
    let data = AdditionalData::new(number, ContentType::TLS12_CID, &id, inner.len()).unwrap();
    let nonce = by.write.nonce(aead, number);
    let cipher = Cipher::new(aead, &by.write).unwrap();
    cipher
        .seal(nonce, data.as_slice(), &mut out, start)
        .unwrap();
    by.send_number += 1;
    out
}

/// RFC 9146 §4. Mbed TLS pads to 16 bytes.
#[test]
fn padding_of_any_length_is_removed() {
    for suite in SUITES {
        let mut pair = Pair::with_connection_ids(suite, &[], &[3; 8]);
        for padding in [0, 1, 15, 16, 17, 255, 256, 4000, MAX_CONTENT] {
            for content in [&b"content"[..], b"", b"ends with zeros\0\0\0"] {
                let inner = [content, &[23], &vec![0; padding]].concat();
                if inner.len() > MAX_CONTENT {
                    continue;
                }
                let record = record_with_inner(&mut pair.client, &inner);
                let received = receive(&mut pair.server, &record).unwrap();
                assert_eq!(received.content_type, ContentType::APPLICATION_DATA);
                assert_eq!(received.content, content);
            }
        }
    }
}

/// RFC 9146 §4: without an inner type, or with `tls12_cid` as the inner type.
#[test]
fn an_inner_plaintext_without_a_type_is_refused() {
    for suite in SUITES {
        let mut pair = Pair::with_connection_ids(suite, &[], &[3; 8]);
        let inners = [
            vec![],
            vec![0],
            vec![0; 500],
            b"content\x19".to_vec(),
            vec![25, 0, 0],
        ];
        for inner in inners {
            let record = record_with_inner(&mut pair.client, &inner);
            let received = receive(&mut pair.server, &record);
            assert_eq!(received, Err(Discard::InnerType));
            // It was authentic: it counts as received.
            let again = receive(&mut pair.server, &record);
            assert_eq!(again, Err(Discard::Replayed));
        }
        let record = pair.send_request(b"content");
        assert!(receive(&mut pair.server, &record).unwrap().is_newest);
    }
}

/// RFC 5246 §6.2.1, RFC 6066 §4.
#[test]
fn bug_class_38_content_above_the_receive_limit_is_refused() {
    let suite = CipherSuite::EcdheEcdsaAes128Gcm;
    for (id, limit) in [
        (&[][..], 512_u16),
        (&[3; 8], 512),
        (&[], 1 << 14),
        (&[3; 8], 1 << 14),
    ] {
        let of_client = Pair::with_connection_ids(suite, &[], id).client;
        let mut server = Association::new(Parameters {
            own_connection_id: id,
            receive_limit: limit,
            ..parameters(suite)
        })
        .unwrap();
        let mut client = Association {
            // More than it may.
            send_limit: u16::MAX,
            ..of_client
        };
        let most = usize::from(limit);
        let fits = sent(&mut client, &vec![5; most]);
        assert_eq!(receive(&mut server, &fits).unwrap().content.len(), most);
        let above = sent(&mut client, &vec![5; most + 1]);
        assert_eq!(receive(&mut server, &above), Err(Discard::Overflow));
        assert_eq!(receive(&mut server, &above), Err(Discard::Replayed));
    }
}

#[test]
fn records_of_other_epochs_and_versions_are_refused() {
    let mut pair = Pair::new(CipherSuite::EcdheEcdsaAes128Ccm8);
    let record = pair.send_request(b"content");
    for epoch in [0, 2, 3, 0xff] {
        let mut other = record.clone();
        other[4] = epoch;
        discarded(&mut pair.server, &other, Discard::Epoch);
    }
    for minor in [0xff, 0xfe, 0xfc, 0] {
        let mut other = record.clone();
        other[2] = minor;
        discarded(&mut pair.server, &other, Discard::Version);
    }
    assert!(receive(&mut pair.server, &record).is_ok());
}

#[test]
fn the_type_of_a_record_is_authenticated() {
    for suite in SUITES {
        let mut pair = Pair::new(suite);
        let mut record = pair.send_request(b"content");
        record[0] = ContentType::HANDSHAKE.0;
        discarded(&mut pair.server, &record, Discard::NotAuthentic);
    }
}

#[test]
fn short_records_are_refused() {
    for suite in SUITES {
        let aead = suite.aead();
        let mut server = Pair::new(suite).server;
        let least = aead.explicit_nonce_length() + aead.tag_length();
        for length in 0..least + 3 {
            let mut out = Vec::new();
            write_header(&mut out, ContentType::APPLICATION_DATA, DTLS_1_2, EPOCH, 4);
            out.u16(u16::try_from(length).unwrap());
            out.resize(out.len() + length, 0);
            let reason = match length < least {
                true => Discard::TooShort,
                false => Discard::NotAuthentic,
            };
            discarded(&mut server, &out, reason);
        }
    }
}

/// A record to the client is none to the server: directions have keys of their own.
#[test]
fn a_reflected_record_is_refused() {
    for suite in SUITES {
        let mut pair = Pair::new(suite);
        let record = sent(&mut pair.server, b"content");
        discarded(&mut pair.server, &record, Discard::NotAuthentic);
    }
}

/// Changes a record as a forger might.
fn mutate(record: &mut Vec<u8>, other: &[u8], random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..4) {
        let position = random.usize(..record.len());
        match random.u8(..8) {
            0 => record[position] = random.u8(..),
            1 => record.truncate(position.max(14)),
            2 => record.insert(position, random.u8(..)),
            3 => {
                record.remove(position);
            }
            // Another's header.
            4 => {
                let from = random.usize(..24).min(record.len().min(other.len()));
                record[..from].copy_from_slice(&other[..from]);
            }
            5 => {
                let from = position.min(other.len());
                let rest = record.split_off(from.min(record.len()));
                record.extend_from_slice(&other[from..]);
                record.extend_from_slice(&rest);
            }
            _ => record[position] ^= 1 << random.u8(..8),
        }
    }
}

/// A million records that an attacker changed: nothing moves, and nothing is delivered.
#[test]
fn a_million_forged_records_change_nothing() {
    let mut random = fastrand::Rng::with_seed(26);
    const ROUNDS: usize = 1_000_000 / (2 * SUITES.len()) + 1;
    for suite in SUITES {
        for id in [&[][..], &[0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8]] {
            let mut pair = Pair::with_connection_ids(suite, &[], id);
            let originals: Vec<Vec<u8>> = (0..40_u8)
                .map(|n| pair.send_request(&vec![n; n.into()]))
                .collect();
            for original in &originals[..20] {
                receive(&mut pair.server, original).unwrap();
            }
            let before = state(&pair.server);
            let mut read = 0;
            for _ in 0..ROUNDS {
                let mut forged = random.choice(&originals).unwrap().clone();
                mutate(&mut forged, random.choice(&originals).unwrap(), &mut random);
                for record in records(&forged, id.len()) {
                    let original = originals
                        .iter()
                        .any(|original| records(original, id.len()).any(|one| one == record));
                    if !original {
                        read += 1;
                        assert!(pair.server.unprotect(&record).is_err());
                    }
                }
            }
            assert!(read > ROUNDS / 3);
            assert_eq!(state(&pair.server), before);
        }
    }
}
