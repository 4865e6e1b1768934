use super::*;
use coap::option::encode_unsigned;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test begins at some time")]
    Instant::now()
}

fn sent(endpoint: &mut Endpoint) -> Vec<Message> {
    let bytes = std::iter::from_fn(|| endpoint.poll_send());
    bytes
        .map(|bytes| Message::decode(&bytes).unwrap())
        .collect()
}

fn response(to: &Message, kind: Type, message_id: u16, observe: Option<u32>) -> Vec<u8> {
    let observe = observe.map(|value| (number::OBSERVE, encode_unsigned(value)));
    let message = Message {
        kind,
        code: Code::CONTENT,
        message_id,
        token: to.token,
        options: observe.into_iter().collect(),
        payload: Bytes::from_static(b"{}"),
    };
    message.encode(1152).unwrap()
}

#[test]
fn a_request_is_sent_again_with_the_same_message_id_and_after_four_times_given_up() {
    let (mut now, mut device) = (start(), Endpoint::new(1));
    device.post_telemetry(now, "{}".to_owned());
    let first = sent(&mut device).remove(0);
    let mut pauses = Vec::new();
    while let Some(at) = device.next_timeout() {
        pauses.push((at - now).as_secs());
        now = at;
        device.handle_timeout(now);
        for again in sent(&mut device) {
            assert_eq!(again, first);
        }
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32]);
    assert_eq!(device.poll_event(), Some(Event::GaveUp));
}

#[test]
fn an_empty_acknowledgement_ends_retransmission_and_the_separate_response_is_acknowledged() {
    let (now, mut device) = (start(), Endpoint::new(1));
    device.post_telemetry(now, "{}".to_owned());
    let request = sent(&mut device).remove(0);
    let empty = Message::empty(Type::Acknowledgement, request.message_id);
    device.receive(now, &empty.encode(4).unwrap());
    device.handle_timeout(now + Duration::from_secs(30));
    assert_eq!(sent(&mut device), []);
    let separate = response(&request, Type::Confirmable, 77, None);
    device.receive(now + Duration::from_secs(31), &separate);
    assert_eq!(
        sent(&mut device),
        [Message::empty(Type::Acknowledgement, 77)]
    );
    let event = device.poll_event();
    assert!(
        matches!(event, Some(Event::Answered { sent: 1, .. })),
        "{event:?}"
    );
}

#[test]
fn one_request_at_a_time_and_of_telemetry_that_waits_the_newest() {
    let (now, mut device) = (start(), Endpoint::new(1));
    device.observe(now, Purpose::ObserveCommands);
    device.post_telemetry(now, "1".to_owned());
    device.post_telemetry(now, "2".to_owned());
    let [registration] = &sent(&mut device)[..] else {
        panic!("more than one is under way");
    };
    let answer = response(
        registration,
        Type::Acknowledgement,
        registration.message_id,
        Some(0),
    );
    device.receive(now, &answer);
    let [telemetry] = &sent(&mut device)[..] else {
        panic!("the next one was not sent");
    };
    assert_eq!(&telemetry.payload[..], b"2");
}

#[test]
fn a_notification_that_comes_twice_is_acknowledged_twice_and_told_once() {
    let (now, mut device) = (start(), Endpoint::new(1));
    device.observe(now, Purpose::ObserveCommands);
    let registration = sent(&mut device).remove(0);
    let answer = response(
        &registration,
        Type::Acknowledgement,
        registration.message_id,
        Some(0),
    );
    device.receive(now, &answer);
    device.poll_event().unwrap();
    let command = response(&registration, Type::Confirmable, 9, Some(1));
    for _ in 0..2 {
        device.receive(now, &command);
        assert_eq!(
            sent(&mut device),
            [Message::empty(Type::Acknowledgement, 9)]
        );
    }
    let told = device.poll_event();
    assert!(
        matches!(told, Some(Event::Notified { goes_on: true, .. })),
        "{told:?}"
    );
    assert_eq!(device.poll_event(), None);
}

#[test]
fn what_nobody_asked_for_is_rejected_and_so_is_an_observation_that_is_over() {
    let (now, mut device) = (start(), Endpoint::new(1));
    device.observe(now, Purpose::ObserveAttributes);
    let registration = sent(&mut device).remove(0);
    let over = response(
        &registration,
        Type::Acknowledgement,
        registration.message_id,
        None,
    );
    device.receive(now, &over);
    for kind in [Type::Confirmable, Type::NonConfirmable] {
        device.receive(now, &response(&registration, kind, 9, Some(5)));
        assert_eq!(sent(&mut device), [Message::empty(Type::Reset, 9)]);
    }
    device.receive(now, b"\x40\x01\x00\x09");
    assert_eq!(sent(&mut device), [Message::empty(Type::Reset, 9)]);
    device.receive(now, b"no message");
    assert_eq!(sent(&mut device), []);
}
