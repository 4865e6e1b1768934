//! Export and restoring.

use super::*;
use std::collections::HashSet;

fn exported(suite: CipherSuite) -> (Pair, Vec<u8>) {
    let mut pair = Pair::with_connection_ids(suite, &[9; 12], &[1, 2, 3, 4, 5, 6, 7, 8]);
    for content in 0..70_u8 {
        let request = pair.send_request(&[content]);
        if content % 3 != 0 {
            receive(&mut pair.server, &request).unwrap();
        }
        sent(&mut pair.server, &[content]);
    }
    let export = pair.server.export().to_vec();
    (pair, export)
}

#[test]
fn a_restored_association_goes_on_where_the_export_was() {
    for suite in CipherSuite::ALL {
        let (mut pair, export) = exported(suite);
        let mut restored = Association::restore(&export, 0).unwrap();
        assert_eq!(restored.export().to_vec(), export);
        assert_eq!(restored.suite(), suite);
        assert_eq!(restored.send_number(), 70);
        assert!(restored.has_extended_master_secret());
        assert_eq!(restored.own_connection_id(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(restored.peer_connection_id(), [9; 12]);
        let request = pair.send_request(b"request");
        assert_eq!(
            receive(&mut restored, &request).unwrap().content,
            b"request"
        );
        assert_eq!(receive(&mut restored, &request), Err(Discard::Replayed));
        let response = sent(&mut restored, b"response");
        assert_eq!(
            receive(&mut pair.client, &response).unwrap().content,
            b"response"
        );
    }
}

/// What was received before the export is not received again after it.
#[test]
fn the_window_is_restored() {
    let mut pair = Pair::new(CipherSuite::EcdheEcdsaAes128Ccm8);
    let early = pair.send_request(b"early");
    let earlier_received = pair.send_request(b"received");
    let late = pair.send_request(b"late");
    receive(&mut pair.server, &earlier_received).unwrap();
    receive(&mut pair.server, &late).unwrap();
    let mut restored = Association::restore(&pair.server.export(), 0).unwrap();
    for received in [&late, &earlier_received] {
        assert_eq!(receive(&mut restored, received), Err(Discard::Replayed));
    }
    assert!(!receive(&mut restored, &early).unwrap().is_newest);
}

#[test]
fn each_flag_is_restored() {
    let suite = CipherSuite::EcdheEcdsaAes128Ccm8;
    for (extended_master_secret, return_routability_check, flags) in [
        (false, false, 0),
        (true, false, 1),
        (false, true, 2),
        (true, true, 3),
    ] {
        let association = Association::new(Parameters {
            extended_master_secret,
            return_routability_check,
            ..parameters(suite)
        });
        let mut export = association.unwrap().export().to_vec();
        assert_eq!(export[3], flags);
        let restored = Association::restore(&export, 0).unwrap();
        assert_eq!(
            restored.has_extended_master_secret(),
            extended_master_secret
        );
        assert_eq!(
            restored.has_return_routability_check(),
            return_routability_check
        );
        // Of a format to come.
        export[3] |= 4;
        let refused = Association::restore(&export, 0).unwrap_err();
        assert_eq!(refused, RestoreError::Malformed);
    }
}

/// The layout that is stored must stay readable.
#[test]
fn the_format_is_as_documented() {
    let mut association = Association::new(Parameters {
        own_connection_id: &[0xd1, 0xd2],
        peer_connection_id: &[0xe1],
        send_limit: 0x0200,
        ..parameters(CipherSuite::EcdheEcdsaAes128Ccm8)
    })
    .unwrap();
    association.send_number = 0x0102_0304_0506;
    association.window.mark(1);
    let expected = "01 c0ae 01 0200 4000
        101112131415161718191a1b1c1d1e1f a0a1a2a3 505152535455565758595a5b5c5d5e5f b0b1b2b3
        010203040506 000000000001 0000000000000001
        02 d1d2 01 e1";
    assert_eq!(association.export().to_vec(), crate::test::hex(expected));
}

#[test]
fn the_reserved_block_is_skipped() {
    let (_, export) = exported(CipherSuite::EcdheEcdsaAes128Gcm);
    let send_number = |bound| Association::restore(&export, bound).map(|it| it.send_number());
    assert_eq!(send_number(1070), Ok(1070));
    // Never before what it had.
    assert_eq!(send_number(69), Ok(70));
    assert_eq!(send_number(MAX_SEQUENCE - 1), Ok(MAX_SEQUENCE - 1));
    for bound in [MAX_SEQUENCE, MAX_SEQUENCE + 1, u64::MAX] {
        assert_eq!(send_number(bound), Err(RestoreError::NumbersExhausted));
    }
    let mut spent = Pair::new(CipherSuite::EcdheEcdsaAes128Gcm).server;
    for number in [MAX_SEQUENCE, MAX_SEQUENCE + 1] {
        spent.send_number = number;
        let restored = Association::restore(&spent.export(), 0);
        assert_eq!(restored.err(), Some(RestoreError::NumbersExhausted));
    }
}

/// What a store has kept of an association: an export, and the bound below which numbers may have been used.
struct Stored {
    export: Vec<u8>,
    bound: u64,
}

/// A process sends, stores at any time or not at all, reserves a block before it has used the last one up, and is killed at any
/// time. Whatever it does, no number is used twice.
#[test]
fn no_send_number_is_repeated_whenever_the_process_is_killed() {
    let mut random = fastrand::Rng::with_seed(12);
    for round in 0..200_usize {
        let suite = SUITES[round % SUITES.len()];
        let mut association = Pair::new(suite).server;
        let mut used = HashSet::new();
        let block = random.u64(1..20);
        association.set_send_end(block);
        let mut stored = Stored {
            export: association.export().to_vec(),
            bound: block,
        };
        for _ in 0..200 {
            match random.u8(..20) {
                // A kill: what is not stored is lost.
                0 => {
                    association = Association::restore(&stored.export, stored.bound).unwrap();
                    association.set_send_end(stored.bound);
                }
                // The whole is stored anew.
                1 => {
                    let bound = association.send_number() + block;
                    stored = Stored {
                        export: association.export().to_vec(),
                        bound: bound.max(stored.bound),
                    };
                    association.set_send_end(stored.bound);
                }
                _ => {
                    let mut record = Vec::new();
                    let data = ContentType::APPLICATION_DATA;
                    let mut written = association.protect(data, b"content", &mut record);
                    if written == Err(ProtectError::NotReserved) {
                        // A higher bound is stored, and only then used.
                        stored.bound = association.send_number() + block;
                        association.set_send_end(stored.bound);
                        written = association.protect(data, b"content", &mut record);
                    }
                    assert_eq!(written, Ok(()));
                    assert!(used.insert(record[3..11].to_vec()));
                }
            }
        }
        assert!(used.len() > 100);
    }
}

#[test]
fn cut_or_longer_exports_are_refused() {
    for suite in SUITES {
        let (_, export) = exported(suite);
        for end in 0..export.len() {
            assert!(Association::restore(&export[..end], 0).is_err());
        }
        let longer = [&export[..], &[0]].concat();
        assert_eq!(
            Association::restore(&longer, 0).err(),
            Some(RestoreError::Malformed)
        );
    }
}

#[test]
fn impossible_fields_are_refused() {
    // The layout of an AES-128 suite: header to 8, keys to 48, numbers to 68, connection IDs.
    let (_, export) = exported(CipherSuite::EcdheEcdsaAes128Ccm8);
    let with = |position: usize, bytes: &[u8]| {
        let mut changed = export.clone();
        changed[position..position + bytes.len()].copy_from_slice(bytes);
        Association::restore(&changed, 0).err()
    };
    let malformed = Some(RestoreError::Malformed);
    assert_eq!(with(0, &[2]), Some(RestoreError::Format(2)));
    // No suite, and one whose keys are longer.
    assert_eq!(with(1, &[0, 0]), malformed);
    assert_eq!(with(1, &[0xc0, 0xaf]), malformed);
    assert_eq!(with(3, &[4]), malformed);
    // Limits of 63 and of 2^14 + 1.
    assert_eq!(with(4, &[0, 63]), malformed);
    assert_eq!(with(6, &[0x40, 1]), malformed);
    // Keys of zeros.
    assert_eq!(with(8, &[0; 16]), malformed);
    assert_eq!(with(28, &[0; 16]), malformed);
    // The highest send number, and a window in which the newest number is not received.
    assert_eq!(with(48, &[0xff; 6]), Some(RestoreError::NumbersExhausted));
    assert_eq!(with(67, &[0]), malformed);
    // Lengths of connection IDs that don't fit.
    assert_eq!(with(68, &[9]), malformed);
    assert_eq!(with(77, &[255]), malformed);
    assert_eq!(with(48, &[0]), None);
}

#[test]
fn arbitrary_exports_never_panic() {
    let mut random = fastrand::Rng::with_seed(3);
    let exports: Vec<Vec<u8>> = SUITES.iter().map(|&suite| exported(suite).1).collect();
    for _ in 0..100_000 {
        let mut export = random.choice(&exports).unwrap().clone();
        for _ in 0..random.usize(..4) {
            let position = random.usize(..export.len());
            export[position] = random.u8(..);
        }
        if random.bool() {
            export.truncate(random.usize(..export.len()));
        }
        if let Ok(mut restored) = Association::restore(&export, random.u64(..)) {
            assert_eq!(restored.export().len(), export.len());
            sent(&mut restored, b"content");
        }
    }
}
