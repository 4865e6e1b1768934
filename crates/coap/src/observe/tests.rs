use super::*;
use crate::deduplication::{EXCHANGE_LIFETIME, MessageKey};
use crate::{Notification, Response};
use bytes::Bytes;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn by(message_id: u16) -> MessageKey {
    MessageKey {
        message_id,
        hash: 0,
    }
}

fn token(byte: u8) -> Token {
    Token::new(&[byte]).unwrap()
}

fn notification(number: u64) -> Notification {
    Notification {
        number,
        response: Response::content(50, Bytes::from(number.to_string())),
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// RFC 7641, appendix A.1: there the first response has Observe 9, and the notification 16.
#[test]
fn the_messages_of_the_rfcs_first_example_are_made() {
    let mut observations = Observations::default();
    let id = observations
        .register(start(), token(0x4a), false, by(0x1633), 0)
        .unwrap();
    let relation = observations.get_mut(id).unwrap();
    let bytes = |kind, message_id, sequence_number, relation: &Relation| {
        let response = Response {
            observe: Some(sequence_number),
            ..relation.newest().unwrap().0
        };
        let message = response.into_message(kind, message_id, relation.token());
        message.encode(1152).unwrap()
    };
    let temperature = |text: &'static str| Notification {
        number: 0,
        response: Response {
            content_format: None,
            ..Response::content(0, Bytes::from_static(text.as_bytes())).with_max_age(15)
        },
    };
    relation.set_pending(temperature("18.5 Cel"), false);
    assert_eq!(
        bytes(Type::Acknowledgement, 0x1633, 9, relation),
        b"\x61\x45\x16\x33\x4a\x61\x09\x81\x0f\xff18.5 Cel"
    );
    relation.set_pending(temperature("19.2 Cel"), false);
    assert_eq!(
        bytes(Type::NonConfirmable, 0x7b50, 16, relation),
        b"\x51\x45\x7b\x50\x4a\x61\x10\x81\x0f\xff19.2 Cel"
    );
}

#[test]
fn each_relation_counts_from_0_in_24_bits() {
    let mut observations = Observations::default();
    for number in [1, 2] {
        let id = observations
            .register(start(), token(number), true, by(7), 0)
            .unwrap();
        let relation = observations.get_mut(id).unwrap();
        assert_eq!(relation.take_sequence_number(), 0);
        assert_eq!(relation.take_sequence_number(), 1);
        for _ in 2..=0x00ff_ffff {
            relation.take_sequence_number();
        }
        assert_eq!(relation.take_sequence_number(), 0);
    }
}

#[test]
fn a_token_identifies_one_relation_however_often_it_is_registered() {
    let (mut observations, now) = (Observations::default(), start());
    let first = observations
        .register(now, token(1), true, by(7), 0)
        .unwrap();
    assert_eq!(
        observations.register(now, token(1), false, by(8), 0),
        Some(first),
        "renewed"
    );
    assert_eq!(
        observations.get_mut(first).unwrap().kind(),
        Type::NonConfirmable
    );
    let second = observations
        .register(now, token(2), true, by(9), 0)
        .unwrap();
    assert_ne!(first, second);
    assert_eq!(observations.len(), 2);
    assert_eq!(observations.of_token(&token(2)), Some(second));
    assert_eq!(observations.of_token(&token(3)), None);
}

#[test]
fn relations_are_bounded_and_their_ids_are_not_reused() {
    let (mut observations, now) = (Observations::default(), start());
    let names: Vec<_> = (0..10)
        .filter_map(|number| observations.register(now, token(number), true, by(7), 0))
        .collect();
    assert_eq!(names.len(), MAX_OBSERVATIONS);
    observations.remove(names[0]).unwrap();
    let another = observations
        .register(now, token(9), true, by(7), 0)
        .unwrap();
    assert!(!names.contains(&another));
    for name in names.into_iter().skip(1).chain([another]) {
        observations.remove(name).unwrap();
    }
    assert!(observations.is_empty());
    assert!(observations.relations.is_empty());
}

/// Offers one notification at each of these seconds. Returns the seconds of the transmissions.
fn sent_by(observations: &mut Observations, ids: &[ObservationId], offered: &[f64]) -> Vec<f64> {
    let begin = start();
    let mut sent = Vec::new();
    for at in offered {
        let now = begin + seconds(*at);
        for id in ids {
            let relation = observations.get_mut(*id).unwrap();
            relation.set_pending(notification(1), false);
        }
        while let Some((id, kind)) = observations.next(now, |_| true) {
            assert_eq!(kind, Type::NonConfirmable);
            observations.record_transmission(now, id, kind);
            let relation = observations.get_mut(id).unwrap();
            relation.sent_non_confirmable(now, 1);
            sent.push(*at);
        }
    }
    sent
}

#[test]
fn four_non_confirmable_notifications_are_sent_at_once_and_then_one_in_three_seconds() {
    let mut observations = Observations::default();
    let id = observations
        .register(start(), token(1), false, by(7), 0)
        .unwrap();
    let offered = [0.0, 0.0, 0.0, 0.0, 0.0, 2.9, 3.0, 3.1, 5.9, 6.0, 100.0];
    let sent = sent_by(&mut observations, &[id], &offered);
    assert_eq!(sent, [0.0, 0.0, 0.0, 0.0, 3.0, 6.0, 100.0]);
}

/// RFC 7641 §4.5.1 limits what a client gets, and not a relation.
#[test]
fn the_rate_limit_is_per_client_and_its_relations_take_turns() {
    let (mut observations, now) = (Observations::default(), start());
    let ids: Vec<_> = (0..3)
        .filter_map(|number| observations.register(now, token(number), false, by(7), 0))
        .collect();
    let offered = [0.0, 0.0, 3.0, 6.0, 9.0];
    let sent = sent_by(&mut observations, &ids, &offered);
    assert_eq!(sent, [0.0, 0.0, 0.0, 0.0, 3.0, 6.0, 9.0]);
    let order: Vec<_> = observations.relations.iter().map(Relation::id).collect();
    assert_eq!(order, [ids[1], ids[2], ids[0]], "seven turns of three");
}

#[test]
fn a_rate_limited_notification_has_a_timeout() {
    let (mut observations, now) = (Observations::default(), start());
    let id = observations
        .register(now, token(1), false, by(7), 0)
        .unwrap();
    for _ in 0..5 {
        assert_eq!(observations.next_timeout(now), None);
        observations
            .get_mut(id)
            .unwrap()
            .set_pending(notification(1), false);
        if observations.next(now, |_| false).is_some() {
            observations.record_transmission(now, id, Type::NonConfirmable);
            let relation = observations.get_mut(id).unwrap();
            relation.sent_non_confirmable(now, 1);
        }
    }
    assert_eq!(observations.next_timeout(now), Some(now + NON_INTERVAL));
    assert_eq!(
        observations.next(now + NON_INTERVAL - seconds(0.001), |_| true),
        None
    );
    assert!(observations.next(now + NON_INTERVAL, |_| true).is_some());
}

/// RFC 7641 §4.5.
#[test]
fn once_in_24_hours_a_notification_is_confirmable_after_a_non_confirmable_registration() {
    let (mut observations, now) = (Observations::default(), start());
    let id = observations
        .register(now, token(1), false, by(7), 0)
        .unwrap();
    let relation = observations.get_mut(id).unwrap();
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(
        relation.kind_at(now + day - seconds(1.0)),
        Type::NonConfirmable
    );
    assert_eq!(relation.kind_at(now + day), Type::Confirmable);
    relation.set_pending(notification(1), false);
    relation.sent_confirmable(now + day);
    assert_eq!(relation.kind_at(now + day), Type::NonConfirmable);
    assert_eq!(relation.kind_at(now + day * 2), Type::Confirmable);
    observations.register(now + day * 2, token(1), false, by(8), 0);
    let relation = observations.get_mut(id).unwrap();
    assert_eq!(relation.kind_at(now + day * 2), Type::NonConfirmable);
}

#[test]
fn the_last_eight_messages_are_remembered_until_their_ids_may_be_reused() {
    let (mut observations, now) = (Observations::default(), start());
    let id = observations
        .register(now, token(1), false, by(7), 0)
        .unwrap();
    for message_id in 0..10 {
        let relation = observations.get_mut(id).unwrap();
        relation.record_sent(now, Type::NonConfirmable, message_id);
    }
    assert_eq!(observations.find_sent(now, 1), None);
    let known = Some((id, Type::NonConfirmable));
    assert_eq!(observations.find_sent(now, 2), known);
    let later = now + EXCHANGE_LIFETIME;
    assert_eq!(observations.find_sent(later - seconds(0.001), 9), known);
    assert_eq!(observations.find_sent(later, 9), None);
}

#[test]
fn a_relation_holds_at_most_two_notifications() {
    let (mut observations, now) = (Observations::default(), start());
    let id = observations
        .register(now, token(1), true, by(7), 0)
        .unwrap();
    let relation = observations.get_mut(id).unwrap();
    assert!(!relation.set_pending(notification(1), false));
    relation.sent_confirmable(now);
    assert!(!relation.set_pending(notification(22), false));
    assert!(
        relation.set_pending(notification(33), false),
        "22 was never sent"
    );
    assert_eq!(observations.payload_bytes(), 3);
    let relation = observations.get_mut(id).unwrap();
    assert!(relation.sent_confirmable(now), "33 in the place of 1");
    assert_eq!(relation.acknowledged(), Some(33));
    assert_eq!(relation.acknowledged(), None);
    assert_eq!(observations.payload_bytes(), 0);
}
