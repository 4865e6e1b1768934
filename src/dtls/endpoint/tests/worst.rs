//! An established session with a hostile peer, which has the session's keys.

use super::*;
use crate::dtls::dtls13::inbound::tests::encoded_fragment;

fn message(kind: u8, number: u16, total: usize, length: usize) -> Vec<u8> {
    encoded_fragment(kind, number, total, 0, &vec![7; length])
}

/// The engine of DTLS 1.3 may queue five records. Unusable ones would fill its queue and end the session, or stay for ever.
#[test]
fn authentic_but_unusable_records_are_not_queued() {
    {
        let versions = Versions::Only13;
        let mut bench = in_version(versions);
        let mut client = bench.client(1);
        let session = bench.established(&mut client);
        let mut contents: Vec<(u8, Vec<u8>)> = Vec::new();
        for content_type in [0, 20, 22, 24, 25, 26, 27, 255] {
            for length in [1, 12, 300, 16_000] {
                contents.push((content_type, vec![1; length]));
            }
        }
        contents.push((26, vec![0, 0]));
        contents.push((21, vec![1, 90]));
        contents.push((22, message(20, 200, 1_000_000, 20)));
        contents.push((22, message(1, 9, 200, 200)));
        contents.push((22, message(24, 200, 1, 1)));
        contents.push((22, message(11, 4, 400, 0)));
        contents.push((22, message(11, 9, 16_000, 15_000)));
        for (content_type, content) in &contents {
            for _ in 0..6 {
                let datagrams = client.engine.send_as(bench.now, *content_type, content);
                assert!(!datagrams.is_empty());
                for datagram in datagrams {
                    bench.endpoint.receive(bench.now, client.path, &datagram);
                }
            }
            let bytes = vec![*content_type, 1];
            client.send(bench.now, &bytes);
            bench.exchange(&mut client);
            assert_eq!(
                bench.events.last(),
                Some(&Event::Plaintext { session, bytes }),
                "{versions:?}: after {} bytes of type {content_type}",
                content.len()
            );
        }
    }
}

#[test]
fn a_close_notify_and_a_fatal_alert_under_the_sessions_keys_end_it() {
    for versions in [Versions::Only12, Versions::Only13] {
        for alert in [[1, 0], [2, 80]] {
            let mut bench = in_version(versions);
            let mut client = bench.client(1);
            bench.established(&mut client);
            for datagram in client.engine.send_as(bench.now, 21, &alert) {
                bench.endpoint.receive(bench.now, client.path, &datagram);
            }
            assert_eq!(bench.endpoint.established(), 0, "{versions:?} {alert:?}");
        }
    }
}
