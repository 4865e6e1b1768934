use super::*;

const MIDDLE: u32 = u32::MAX / 2;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

/// Runs the clock until the queue is empty. Returns the seconds of each transmission, and the end.
fn run(outgoing: &mut Outgoing, parameters: &Parameters, random: u32) -> (Vec<f64>, f64) {
    let (begin, mut now) = (start(), None::<Instant>);
    let mut sent = Vec::new();
    loop {
        let at = now.unwrap_or(begin);
        let seconds = (at - begin).as_secs_f64();
        while let Some(due) = outgoing.due(at, parameters, random) {
            match due {
                Due::Send(_) | Due::Resend(..) => sent.push(seconds),
                Due::GaveUp(_) => return (sent, seconds),
            }
        }
        now = outgoing.next_timeout().or(now);
    }
}

#[test]
fn a_message_without_acknowledgement_is_sent_five_times_and_given_up_after_93_seconds() {
    let parameters = Parameters::default();
    let mut outgoing = Outgoing::default();
    assert!(
        outgoing
            .push(start(), 1, MessagePurpose::Response, vec![1], &parameters)
            .is_some()
    );
    let (sent, end) = run(&mut outgoing, &parameters, 0);
    assert_eq!(sent, [0.0, 2.0, 6.0, 14.0, 30.0]);
    assert_eq!(end, 62.0);

    assert!(
        outgoing
            .push(start(), 2, MessagePurpose::Response, vec![2], &parameters)
            .is_some()
    );
    let (_, end) = run(&mut outgoing, &parameters, u32::MAX);
    assert_eq!(end, 93.0, "MAX_TRANSMIT_WAIT");
    assert!(outgoing.queue.is_empty(), "nothing is held afterwards");
}

#[test]
fn the_first_timeout_lies_between_ack_timeout_and_its_random_multiple() {
    let parameters = Parameters::default();
    assert_eq!(initial_timeout(&parameters, 0), Duration::from_secs(2));
    assert_eq!(
        initial_timeout(&parameters, u32::MAX),
        Duration::from_secs(3)
    );
    let middle = initial_timeout(&parameters, MIDDLE).as_secs_f64();
    assert!((2.49..2.51).contains(&middle), "{middle}");
}

const SEEN: [MessagePurpose; 3] = [
    MessagePurpose::Notification(ObservationId(1)),
    MessagePurpose::Last(ObservationId(1)),
    MessagePurpose::Notification(ObservationId(2)),
];

#[test]
fn nstart_bounds_the_messages_of_one_observation_and_delays_no_other() {
    let (parameters, now) = (Parameters::default(), start());
    let mut outgoing = Outgoing::default();
    for (message_id, purpose) in (1..).zip(SEEN) {
        let bytes = vec![u8::try_from(message_id).unwrap()];
        assert_eq!(
            outgoing.push(now, message_id, purpose, bytes, &parameters),
            Some(0)
        );
    }
    assert_eq!(outgoing.due(now, &parameters, 0), Some(Due::Send(vec![1])));
    assert_eq!(outgoing.due(now, &parameters, 0), Some(Due::Send(vec![3])));
    assert_eq!(outgoing.due(now, &parameters, 0), None);
    assert_eq!(outgoing.acknowledge(2), None, "it was not sent yet");
    assert_eq!(outgoing.acknowledge(3), Some(SEEN[2]));
    assert_eq!(
        outgoing.acknowledge(3),
        None,
        "an acknowledgement counts once"
    );
    assert_eq!(outgoing.due(now, &parameters, 0), None);
    assert_eq!(outgoing.acknowledge(1), Some(SEEN[0]));
    assert_eq!(outgoing.due(now, &parameters, 0), Some(Due::Send(vec![2])));
}

#[test]
fn responses_are_not_queued_and_too_many_give_up_the_oldest() {
    let (parameters, now) = (Parameters::default(), start());
    let mut outgoing = Outgoing::default();
    assert!(
        outgoing
            .push(now, 9999, SEEN[0], vec![9], &parameters)
            .is_some()
    );
    assert_eq!(outgoing.due(now, &parameters, 0), Some(Due::Send(vec![9])));
    let mut given_up = 0;
    for id in 0..1000 {
        given_up += outgoing
            .push(now, id, MessagePurpose::Response, vec![0; 12], &parameters)
            .unwrap();
        assert_eq!(
            outgoing.due(now, &parameters, 0),
            Some(Due::Send(vec![0; 12]))
        );
        assert!(outgoing.response_bytes() <= MAX_RESPONSE_BYTES);
    }
    assert_eq!(outgoing.len() - 1 + given_up, 1000);
    assert!(outgoing.len() > 100, "{}", outgoing.len());
    assert_eq!(outgoing.acknowledge(0), None, "the oldest is given up");
    assert_eq!(outgoing.acknowledge(999), Some(MessagePurpose::Response));
    let own = (0..100).filter(|id| {
        let purpose = MessagePurpose::Last(ObservationId(100 + id));
        outgoing
            .push(now, 2000, purpose, vec![], &parameters)
            .is_some()
    });
    assert_eq!(own.count(), MAX_MESSAGES - 1);
}

#[test]
fn messages_that_wait_behind_unacknowledged_ones_are_given_up_after_max_transmit_wait() {
    let parameters = Parameters::default();
    assert_eq!(max_transmit_wait(&parameters), Duration::from_secs(93));
    let now = start();
    let mut outgoing = Outgoing::default();
    for message_id in 0..10 {
        assert!(
            outgoing
                .push(now, message_id, SEEN[1], vec![], &parameters)
                .is_some()
        );
    }
    let (mut sent, mut given_up, mut at) = (0, 0, now);
    loop {
        while let Some(due) = outgoing.due(at, &parameters, 0) {
            match due {
                Due::Send(_) | Due::Resend(..) => sent += 1,
                Due::GaveUp(_) => given_up += 1,
            }
        }
        match outgoing.next_timeout() {
            Some(next) => at = next,
            None => break,
        }
    }
    assert_eq!(
        (sent, given_up),
        (10, 10),
        "two of ten went out, five times each"
    );
    assert_eq!(at - now, Duration::from_secs(2 * 62));
    assert!(outgoing.queue.is_empty());
}

#[test]
fn a_response_is_sent_twice_to_a_client_that_sends_requests_and_acknowledges_none() {
    let parameters = Parameters::default();
    for (requests, acknowledges, sent_times) in
        [(true, false, 2), (true, true, 5), (false, false, 5)]
    {
        let mut outgoing = Outgoing::default();
        let begin = start();
        let response = MessagePurpose::Response;
        assert!(
            outgoing
                .push(begin, 1, response, vec![1], &parameters)
                .is_some()
        );
        let (mut at, mut sent) = (begin, 0);
        loop {
            while let Some(due) = outgoing.due(at, &parameters, 0) {
                match due {
                    Due::Send(bytes) => sent += usize::from(bytes == [1]),
                    Due::Resend(1, _) => sent += 1,
                    _ => {}
                }
            }
            if outgoing.bytes(1).is_none() {
                break;
            }
            if requests {
                outgoing.count_request();
            }
            if acknowledges {
                assert!(
                    outgoing
                        .push(at, 2, response, vec![2], &parameters)
                        .is_some()
                );
                assert!(outgoing.due(at, &parameters, 0).is_some());
                assert!(outgoing.acknowledge(2).is_some());
            }
            assert_eq!(outgoing.retransmit_early(at, &parameters), None);
            at = outgoing.next_timeout().unwrap();
        }
        assert_eq!(sent, sent_times, "{requests} {acknowledges}");
    }
}

#[test]
fn very_large_parameters_do_not_panic() {
    let parameters = Parameters {
        ack_timeout: Duration::MAX,
        max_retransmit: u8::MAX,
        ..Parameters::default()
    };
    assert_eq!(max_transmit_wait(&parameters), LONGEST_WAIT);
}

#[test]
fn an_early_retransmission_with_very_large_parameters_does_not_panic() {
    let parameters = Parameters {
        ack_timeout: Duration::MAX,
        max_retransmit: 0,
        ..Parameters::default()
    };
    let mut outgoing = Outgoing::default();
    let purpose = MessagePurpose::Notification(ObservationId(1));
    let now = start();
    let usual = Parameters::default();
    assert_eq!(outgoing.push(now, 1, purpose, vec![1], &usual), Some(0));
    assert!(outgoing.due(now, &usual, 0).is_some());
    assert_eq!(outgoing.retransmit_early(now, &parameters), None);
}

#[test]
fn a_message_sent_for_the_last_time_just_before_the_peer_woke_up_is_sent_once_more() {
    let (parameters, now) = (Parameters::default(), start());
    let mut outgoing = Outgoing::default();
    let purpose = MessagePurpose::Notification(ObservationId(1));
    let pushed = outgoing.push(now, 1, purpose, vec![1], &parameters);
    assert_eq!(pushed, Some(0));
    let second = |seconds| now + Duration::from_secs(seconds);
    for seconds in [0, 2, 6, 14, 30] {
        assert!(outgoing.due(second(seconds), &parameters, 0).is_some());
    }
    // MAX_RETRANSMIT is reached, and ACK_TIMEOUT is not over.
    assert_eq!(outgoing.retransmit_early(second(31), &parameters), None);
    assert_eq!(outgoing.retransmit_early(second(31), &parameters), None);
    assert_eq!(outgoing.next_timeout(), Some(second(32)));
    let again = outgoing.due(second(32), &parameters, 0);
    assert_eq!(again, Some(Due::Resend(1, purpose)));
    assert_eq!(outgoing.due(second(32), &parameters, 0), None);
    assert_eq!(
        outgoing.retransmit_early(second(40), &parameters),
        None,
        "only once"
    );
    assert_eq!(outgoing.next_timeout(), Some(second(64)));
    let end = outgoing.due(second(64), &parameters, 0);
    assert_eq!(end, Some(Due::GaveUp(purpose)));
}
