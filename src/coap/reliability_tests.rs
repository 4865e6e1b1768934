use super::*;

const MIDDLE: u32 = u32::MAX / 2;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

/// Runs the clock until nothing is left; returns the seconds at which bytes went out, and the end.
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
    assert!(outgoing.push(start(), 1, Purpose::Response, vec![1], &parameters));
    let (sent, end) = run(&mut outgoing, &parameters, 0);
    assert_eq!(sent, [0.0, 2.0, 6.0, 14.0, 30.0]);
    assert_eq!(end, 62.0);

    assert!(outgoing.push(start(), 2, Purpose::Response, vec![2], &parameters));
    let (_, end) = run(&mut outgoing, &parameters, u32::MAX);
    assert_eq!(end, 93.0, "MAX_TRANSMIT_WAIT");
    assert_eq!(outgoing.queue.capacity(), 0, "nothing is held afterwards");
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

#[test]
fn only_nstart_messages_are_outstanding_and_the_next_follows_an_acknowledgement() {
    let (parameters, now) = (Parameters::default(), start());
    let mut outgoing = Outgoing::default();
    assert!(outgoing.push(now, 1, Purpose::Response, vec![1], &parameters));
    assert!(outgoing.push(now, 2, Purpose::Response, vec![2], &parameters));
    assert_eq!(outgoing.due(now, &parameters, 0), Some(Due::Send(vec![1])));
    assert_eq!(outgoing.due(now, &parameters, 0), None);
    assert_eq!(outgoing.settle(2), None, "it was not sent yet");
    assert_eq!(outgoing.settle(1), Some(Purpose::Response));
    assert_eq!(outgoing.settle(1), None, "an acknowledgement counts once");
    assert_eq!(outgoing.due(now, &parameters, 0), Some(Due::Send(vec![2])));
}

#[test]
fn the_queue_is_bounded() {
    let (parameters, now) = (Parameters::default(), start());
    let mut outgoing = Outgoing::default();
    let taken =
        (0..100).filter(|id| outgoing.push(now, *id, Purpose::Response, vec![], &parameters));
    assert_eq!(taken.count(), MAX_MESSAGES);
}

#[test]
fn what_waits_behind_a_silent_peer_is_given_up_after_max_transmit_wait() {
    let parameters = Parameters::default();
    assert_eq!(max_transmit_wait(&parameters), Duration::from_secs(93));
    let now = start();
    let mut outgoing = Outgoing::default();
    for message_id in 0..10 {
        assert!(outgoing.push(now, message_id, Purpose::Response, vec![], &parameters));
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
    assert_eq!(outgoing.queue.capacity(), 0);
}

#[test]
fn parameters_beyond_reason_do_not_panic() {
    let parameters = Parameters {
        ack_timeout: Duration::MAX,
        max_retransmit: u8::MAX,
        ..Parameters::default()
    };
    assert_eq!(max_transmit_wait(&parameters), LONGEST_WAIT);
}
