//! Endpoints that are exported and restored.

use super::observing::sequence_number;
use super::*;
use crate::export::{Extent, MESSAGE_IDS_SKIPPED, RestoreError, SEQUENCE_NUMBERS_SKIPPED};
use crate::message_id::MessageIds;

impl Bench {
    /// Replaces the endpoint by its export, which is restored so many seconds later.
    fn restart(&mut self, seconds: f64, extent: Extent) {
        let export = self.endpoint.export(self.now, extent);
        let since = Duration::from_secs_f64(seconds);
        self.now += since;
        self.endpoint = RemoteEndpoint::restore(self.now, since, &export).unwrap();
    }
}

const RUNNING: Extent = Extent::Running;
const WITH_MESSAGES: Extent = Extent::WithMessages;
const FINAL: Extent = Extent::Final;

fn created() -> Response {
    Response::new(Code::CREATED)
}

#[test]
fn a_duplicate_gets_the_same_reply_after_a_restart_if_messages_are_exported() {
    let responses = [created(), Response::content(50, Bytes::from_static(b"{}"))];
    for (response, extent) in [FINAL, WITH_MESSAGES]
        .into_iter()
        .flat_map(|extent| responses.clone().map(|response| (response, extent)))
    {
        let mut bench = Bench::new();
        bench.post(Type::Confirmable, 7);
        let (id, _) = bench.request();
        bench.respond(id, response.clone());
        let before = bench.sent();
        bench.restart(200.0, extent);
        bench.post(Type::Confirmable, 7);
        assert_eq!(bench.sent(), before);
        // RFC 7252 §4.8.2: after EXCHANGE_LIFETIME it is another message.
        bench.restart(48.0, extent);
        bench.post(Type::Confirmable, 7);
        let (id, _) = bench.request();
        bench.respond(id, response);
    }
}

#[test]
fn an_endpoint_that_may_have_sent_more_knows_no_messages() {
    let mut bench = Bench::new();
    bench.post(Type::Confirmable, 7);
    let (id, _) = bench.request();
    bench.respond(id, created());
    bench.sent();
    bench.restart(1.0, RUNNING);
    bench.post(Type::Confirmable, 7);
    bench.request();
}

#[test]
fn a_request_without_a_response_is_processed_when_it_is_repeated() {
    let mut bench = Bench::new();
    // The second is acknowledged, and its separate response due; both are in progress.
    bench.post(Type::Confirmable, 7);
    bench.request();
    bench.pass(10.0);
    assert_eq!(bench.sent().kind, Type::Acknowledgement);
    bench.post(Type::Confirmable, 8);
    bench.request();
    bench.restart(1.0, FINAL);
    for message_id in [7, 8] {
        bench.post(Type::Confirmable, message_id);
        bench.request();
    }
}

#[test]
fn a_duplicate_of_a_non_confirmable_message_is_ignored_after_a_restart() {
    let mut bench = Bench::new();
    bench.post(Type::NonConfirmable, 7);
    let (id, _) = bench.request();
    bench.respond(id, created());
    bench.sent();
    bench.restart(100.0, FINAL);
    bench.post(Type::NonConfirmable, 7);
    assert_eq!(bench.out, []);
}

#[test]
fn a_relation_goes_on_with_its_token_and_its_numbers() {
    let skipping = (SEQUENCE_NUMBERS_SKIPPED, MESSAGE_IDS_SKIPPED);
    for (extent, (skipped, ids)) in [
        (FINAL, (0, 0)),
        (WITH_MESSAGES, skipping),
        (RUNNING, skipping),
    ] {
        let mut bench = Bench::new();
        let (id, _) = bench.registered(Type::Confirmable, 7, 0xaa);
        bench.notify(id, 1);
        let before = bench.sent();
        assert_eq!(sequence_number(&before), Some(1));
        bench.restart(3600.0, extent);
        bench.notify(id, 2);
        let after = bench.sent();
        assert_eq!(after.token, before.token);
        assert_eq!(after.kind, Type::Confirmable);
        assert_eq!(sequence_number(&after), Some(2 + skipped));
        assert_eq!(after.message_id, before.message_id.wrapping_add(1 + ids));
        // A new one gets another id, and its token's numbers go on after its end.
        let (other, _) = bench.registered(Type::NonConfirmable, 8, 0xbb);
        assert!(other > id);
        bench.get(
            Type::Confirmable,
            9,
            0xaa,
            &[(crate::option::number::OBSERVE, 1)],
        );
    }
}

#[test]
fn a_token_that_was_registered_after_the_export_goes_on_above_its_numbers() {
    for (extent, first) in [
        (FINAL, 0),
        (WITH_MESSAGES, SEQUENCE_NUMBERS_SKIPPED),
        (RUNNING, SEQUENCE_NUMBERS_SKIPPED),
    ] {
        let mut bench = Bench::new();
        bench.restart(1.0, extent);
        // That it registered is lost once more.
        bench.restart(1.0, extent);
        let (_, response) = bench.registered(Type::Confirmable, 7, 0xaa);
        assert_eq!(sequence_number(&response), Some(2 * first));
    }
}

#[test]
fn a_rest_takes_a_few_bytes() {
    let mut bench = Bench::new();
    assert_eq!(bench.endpoint.export(bench.now, RUNNING).len(), 4);
    let (id, _) = bench.registered(Type::Confirmable, 7, 0xaa);
    bench.pass(300.0);
    let one = bench.endpoint.export(bench.now, RUNNING).len();
    assert!(one <= 50, "{one} bytes");
    let last = bench.endpoint.export(bench.now, FINAL).len();
    assert_eq!(last, one + 2);
    bench.notify(id, 1);
}

#[test]
fn message_ids_are_not_used_again_in_their_lifetime() {
    let mut bench = Bench::new();
    let mut ids = MessageIds::new(0x1ffd);
    // In two eighths.
    for _ in 0..3 {
        ids.allocate(bench.now).unwrap();
    }
    bench.endpoint.message_ids = ids;
    bench.restart(100.0, FINAL);
    let mut ids = MessageIds::new(0);
    std::mem::swap(&mut ids, &mut bench.endpoint.message_ids);
    // Up to the last, but not into the first eighth again.
    let left = (0..u32::from(u16::MAX)).take_while(|_| ids.allocate(bench.now).is_some());
    assert_eq!(left.count(), 0xffff - 0x2000);
    assert!(ids.allocate(bench.now + Duration::from_secs(146)).is_none());
    assert!(ids.allocate(bench.now + Duration::from_secs(148)).is_some());
}

/// An endpoint with everything that is exported.
fn full() -> Bench {
    let mut bench = Bench::new();
    for token in 1..=3 {
        let (id, _) = bench.registered(Type::Confirmable, 7 + u16::from(token), token);
        bench.notify(id, 1);
        bench.out.clear();
    }
    for message_id in 100..110 {
        bench.post(Type::Confirmable, message_id);
        bench.out.retain(|one| matches!(one, Output::Request(..)));
        let (id, _) = bench.request();
        bench.respond(id, Response::content(50, Bytes::from_static(b"{\"a\":1}")));
    }
    bench.out.clear();
    bench
}

#[test]
fn an_export_is_restored_without_loss_and_nothing_else_is() {
    let bench = full();
    for extent in [FINAL, WITH_MESSAGES, RUNNING] {
        let export = bench.endpoint.export(bench.now, extent);
        let restore = |bytes: &[u8]| RemoteEndpoint::restore(bench.now, Duration::ZERO, bytes);
        let again = restore(&export).unwrap().export(bench.now, extent);
        if extent == FINAL {
            assert_eq!(again, export);
        }
        for length in 0..export.len() {
            assert_eq!(
                restore(&export[..length]).err(),
                Some(RestoreError::Malformed),
                "{length} bytes"
            );
        }
        let longer = [&export[..], &[0]].concat();
        assert_eq!(restore(&longer).err(), Some(RestoreError::Malformed));
        let other = [&[9], &export[1..]].concat();
        assert_eq!(restore(&other).err(), Some(RestoreError::Format(9)));
    }
}

#[test]
fn messages_that_no_endpoint_can_have_are_refused() {
    let mut bench = Bench::new();
    bench.post(Type::Confirmable, 7);
    let (id, _) = bench.request();
    bench.respond(id, created());
    let export = bench.endpoint.export(bench.now, FINAL);
    let restore = |bytes: &[u8]| RemoteEndpoint::restore(bench.now, Duration::ZERO, bytes).err();
    assert_eq!(restore(&export), None);
    // Count (2), message (6), lifetime left (2), outcome (1), code (1).
    let (before, messages) = export.split_at(export.len() - 12);
    let twice = [before, &[0, 2], &messages[2..], &messages[2..]].concat();
    assert_eq!(restore(&twice), Some(RestoreError::Malformed));
    let mut too_long = export.clone();
    let at = export.len() - 4;
    too_long[at] = 0xff;
    assert_eq!(restore(&too_long), Some(RestoreError::Malformed));
    // Both the last and not.
    let mut both = export.clone();
    both[1] |= 8;
    assert_eq!(restore(&both), Some(RestoreError::Malformed));
}

#[test]
fn changed_bytes_do_no_harm() {
    let bench = full();
    let export = bench.endpoint.export(bench.now, FINAL);
    let mut random = fastrand::Rng::with_seed(1);
    let mut restored = 0;
    for _ in 0..20_000 {
        let mut changed = export.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..changed.len());
            changed[at] = random.u8(..);
        }
        let since = Duration::from_secs(random.u64(..) >> random.u32(..64));
        if let Ok(mut endpoint) = RemoteEndpoint::restore(bench.now, since, &changed) {
            restored += 1;
            assert!(endpoint.observations() <= 4);
            endpoint.deduplication.expire(bench.now);
            assert!(!endpoint.export(bench.now, FINAL).is_empty());
        }
    }
    assert!(restored > 1000, "{restored}");
}
