//! An established session with a hostile peer, which has the session's keys.

use super::*;
use crate::dtls::dtls13::engine::opened_as;
use crate::dtls::dtls13::inbound::tests::encoded_fragment;
use dtls_server::record::ContentType;

fn message(kind: u8, number: u16, total: usize, length: usize) -> Vec<u8> {
    encoded_fragment(kind, number, total, 0, &vec![7; length])
}

impl Bench {
    /// The client of DTLS 1.3 sends records of any content type. Returns their number.
    fn send_as(&mut self, client: &mut Client, content_type: u8, content: &[u8]) -> usize {
        client.send(self.now, content);
        let sent = std::mem::take(&mut client.outbox);
        for datagram in &sent {
            opened_as(content_type, || {
                self.endpoint.receive(self.now, client.path, datagram);
            });
        }
        sent.len()
    }
}

/// The engine of DTLS 1.3 may queue five records. Unusable ones would fill its queue and end the session, or stay for ever.
#[test]
fn authentic_but_unusable_records_are_not_queued() {
    let mut bench = in_version(Versions::Only13);
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
            assert_ne!(bench.send_as(&mut client, *content_type, content), 0);
        }
        let bytes = vec![*content_type, 1];
        client.send(bench.now, &bytes);
        bench.exchange(&mut client);
        assert_eq!(
            bench.events.last(),
            Some(&Event::Plaintext { session, bytes }),
            "after {} bytes of type {content_type}",
            content.len()
        );
    }
}

const ALERTS: [[u8; 2]; 2] = [[1, 0], [2, 80]];

#[test]
fn a_close_notify_and_a_fatal_alert_under_the_keys_of_dtls_12_end_a_session() {
    for alert in ALERTS {
        let mut bench = moving::Bench::new(Parameters::default());
        let (mut client, _) = bench.connect(1, moving::options());
        let datagram = client.protect(ContentType::ALERT, &alert);
        bench.endpoint.receive(bench.now, path(1), &datagram);
        assert_eq!(bench.endpoint.established(), 0, "{alert:?}");
    }
}

#[test]
fn a_close_notify_and_a_fatal_alert_under_the_keys_of_dtls_13_end_a_session() {
    for alert in ALERTS {
        let mut bench = in_version(Versions::Only13);
        let mut client = bench.client(1);
        bench.established(&mut client);
        bench.send_as(&mut client, 21, &alert);
        assert_eq!(bench.endpoint.established(), 0, "{alert:?}");
    }
}
