//! The receive window beside an older export.

use super::*;
use std::collections::HashSet;

/// What a store has of an association: an export, and now and then a window beside it.
struct Stored {
    export: Vec<u8>,
    window: Option<[u8; RECEIVE_WINDOW]>,
}

impl Stored {
    fn of(association: &Association) -> Stored {
        Stored {
            export: association.export().to_vec(),
            window: None,
        }
    }

    fn restore(&self) -> Association {
        let mut restored = Association::restore(&self.export, 0).unwrap();
        if let Some(window) = self.window {
            restored.renew_receive_window(&window).unwrap();
        }
        restored
    }
}

/// Records come in any order and several times; the process stores export or window at any time, and is restored at any time.
/// What was received before the last time at which one of the two was stored is not received after it, and whatever comes is
/// received if it would have been without the restart.
#[test]
fn nothing_is_received_twice_that_was_received_before_it_was_stored() {
    let mut random = fastrand::Rng::with_seed(21);
    for round in 0..100_usize {
        let mut pair = Pair::new(SUITES[round % SUITES.len()]);
        let mut records = Vec::new();
        let mut stored = Stored::of(&pair.server);
        // By when the last one of them was stored, and since.
        let (mut before, mut since) = (HashSet::new(), HashSet::new());
        for _ in 0..400 {
            match random.u8(..20) {
                0 => {
                    pair.server = stored.restore();
                    since.clear();
                }
                1 => stored.window = Some(pair.server.receive_window()),
                2 => stored = Stored::of(&pair.server),
                3..10 => {
                    for _ in 0..random.usize(1..12) {
                        records.push(sent(&mut pair.client, b"content"));
                    }
                    continue;
                }
                _ => {
                    let range = records.len().saturating_sub(80)..records.len();
                    if range.is_empty() {
                        continue;
                    }
                    let number = random.usize(range);
                    let is_received = receive(&mut pair.server, &records[number]).is_ok();
                    assert!(!(is_received && before.contains(&number)), "{number}");
                    assert!(!(is_received && since.contains(&number)), "{number}");
                    if is_received {
                        since.insert(number);
                    }
                    continue;
                }
            }
            before.extend(since.drain());
        }
        assert!(before.len() > 20, "{}", before.len());
    }
}

#[test]
fn an_older_window_changes_nothing_and_a_newer_one_counts() {
    let mut pair = Pair::new(CipherSuite::EcdheEcdsaAes128Ccm8);
    let old = pair.server.receive_window();
    assert_eq!(old, [0; RECEIVE_WINDOW]);
    let records: Vec<_> = (0..5).map(|_| pair.send_request(b"request")).collect();
    let export = pair.server.export();
    for number in [1, 2, 4] {
        receive(&mut pair.server, &records[number]).unwrap();
    }
    let window = pair.server.receive_window();
    assert_eq!(
        window[..],
        crate::test::hex("000000000004 000000000000000d")[..]
    );
    pair.server.renew_receive_window(&old).unwrap();
    assert_eq!(pair.server.receive_window(), window);
    let mut restored = Association::restore(&export, 0).unwrap();
    restored.renew_receive_window(&window).unwrap();
    for (number, record) in records.iter().enumerate() {
        let received = receive(&mut restored, record).map(|received| received.is_newest);
        match number {
            0 | 3 => assert_eq!(received, Ok(false)),
            _ => assert_eq!(received, Err(Discard::Replayed)),
        }
    }
    assert!(
        receive(&mut restored, &pair.send_request(b"next"))
            .unwrap()
            .is_newest
    );
}

#[test]
fn what_is_no_window_is_refused_and_changes_nothing() {
    let mut pair = Pair::new(CipherSuite::EcdheEcdsaAes128Ccm8);
    let request = pair.send_request(b"request");
    receive(&mut pair.server, &request).unwrap();
    let window = pair.server.receive_window();
    let mut refused = vec![vec![], window[..13].to_vec(), [&window[..], &[0]].concat()];
    // The newest is not received, and numbers below 0 are.
    refused.push(crate::test::hex("000000000004 0000000000000002"));
    refused.push(crate::test::hex("000000000004 00000000000000ff"));
    for bytes in refused {
        let result = pair.server.renew_receive_window(&bytes);
        assert_eq!(result, Err(RestoreError::Malformed), "{bytes:?}");
        assert_eq!(pair.server.receive_window(), window);
    }
}
