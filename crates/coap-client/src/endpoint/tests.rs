use super::*;
use coap::option::encode_unsigned;

type Client = Endpoint<&'static str>;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test begins at some time")]
    Instant::now()
}

/// A client without random timeouts.
fn client() -> Client {
    let parameters = Parameters {
        ack_random_factor: 1.0,
        ..Parameters::default()
    };
    Endpoint::new(parameters, fastrand::Rng::with_seed(1))
}

fn post(client: &mut Client, now: Instant) -> Message {
    let request = Request::new(Code::POST).path("a").json("{}");
    assert!(client.request(now, "post", &request));
    sent(client).remove(0)
}

fn observe(client: &mut Client, now: Instant) -> Message {
    let request = Request::new(Code::GET).path("a").observe();
    assert!(client.request(now, "observe", &request));
    sent(client).remove(0)
}

fn sent(client: &mut Client) -> Vec<Message> {
    let datagrams = std::iter::from_fn(|| client.poll_transmit());
    datagrams
        .map(|datagram| Message::decode(&datagram).unwrap())
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

fn piggybacked(to: &Message, observe: Option<u32>) -> Vec<u8> {
    response(to, Type::Acknowledgement, to.message_id, observe)
}

#[test]
fn a_request_is_retransmitted_four_times_with_the_same_message_id() {
    let (mut now, mut client) = (start(), client());
    let first = post(&mut client, now);
    let mut pauses = Vec::new();
    while let Some(at) = client.next_timeout() {
        pauses.push((at - now).as_secs());
        now = at;
        client.handle_timeout(now);
        for again in sent(&mut client) {
            assert_eq!(again, first);
        }
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32]);
    for _ in 0..4 {
        assert_eq!(client.poll_event(), Some(Event::Retransmitted));
    }
    assert_eq!(client.poll_event(), Some(Event::TimedOut("post")));
}

#[test]
fn the_random_factor_stretches_the_first_timeout_to_three_seconds_at_most() {
    let now = start();
    for seed in 0..100 {
        let random = fastrand::Rng::with_seed(seed);
        let mut client = Client::new(Parameters::default(), random);
        post(&mut client, now);
        let timeout = client.next_timeout().unwrap() - now;
        assert!((2000..=3000).contains(&timeout.as_millis()), "{timeout:?}");
    }
}

#[test]
fn a_separate_response_is_acknowledged_after_an_empty_acknowledgement() {
    let (now, mut client) = (start(), client());
    let request = post(&mut client, now);
    let empty = Message::empty(Type::Acknowledgement, request.message_id);
    client.receive(now, &empty.encode(4).unwrap()).unwrap();
    client.handle_timeout(now + Duration::from_secs(30));
    assert_eq!(sent(&mut client), []);
    let separate = response(&request, Type::Confirmable, 77, None);
    let later = now + Duration::from_secs(31);
    for _ in 0..2 {
        // The second is a retransmission: its acknowledgement was lost.
        client.receive(later, &separate).unwrap();
        let acknowledgement = Message::empty(Type::Acknowledgement, 77);
        assert_eq!(sent(&mut client), [acknowledgement]);
    }
    let event = client.poll_event();
    assert!(
        matches!(
            event,
            Some(Event::Response {
                transmissions: 1,
                is_observed: false,
                ..
            })
        ),
        "{event:?}"
    );
    assert_eq!(client.poll_event(), None);
}

#[test]
fn one_request_is_outstanding_at_a_time_and_the_queue_has_a_bound() {
    let (now, mut client) = (start(), client());
    let registration = observe(&mut client, now);
    let post = |body: &'static str| Request::new(Code::POST).path("a").json(body);
    for (name, body) in [("1", "1"), ("2", "2"), ("3", "3")] {
        assert!(client.request(now, name, &post(body)));
    }
    client.retain_queued(|name| *name != "1");
    assert_eq!(sent(&mut client), []);
    client
        .receive(now, &piggybacked(&registration, Some(0)))
        .unwrap();
    let next = sent(&mut client);
    assert_eq!(next.len(), 1);
    assert_eq!(&next[0].payload[..], b"2");
    let taken = (0..20).filter(|_| client.request(now, "more", &post("4")));
    assert_eq!(taken.count(), Parameters::default().max_queued - 1);
}

#[test]
fn a_duplicate_notification_is_acknowledged_again_and_reported_once() {
    let (now, mut client) = (start(), client());
    let registration = observe(&mut client, now);
    client
        .receive(now, &piggybacked(&registration, Some(0)))
        .unwrap();
    client.poll_event().unwrap();
    let notification = response(&registration, Type::Confirmable, 9, Some(1));
    for _ in 0..2 {
        client.receive(now, &notification).unwrap();
        let acknowledgement = Message::empty(Type::Acknowledgement, 9);
        assert_eq!(sent(&mut client), [acknowledgement]);
    }
    let event = client.poll_event();
    assert!(
        matches!(
            event,
            Some(Event::Notification {
                is_observed: true,
                ..
            })
        ),
        "{event:?}"
    );
    assert_eq!(client.poll_event(), None);
}

#[test]
fn unexpected_messages_and_notifications_of_ended_observations_are_reset() {
    let (now, mut client) = (start(), client());
    let registration = observe(&mut client, now);
    client
        .receive(now, &piggybacked(&registration, None))
        .unwrap();
    let reset = Message::empty(Type::Reset, 9);
    for kind in [Type::Confirmable, Type::NonConfirmable] {
        let notification = response(&registration, kind, 9, Some(5));
        client.receive(now, &notification).unwrap();
        assert_eq!(sent(&mut client), std::slice::from_ref(&reset));
    }
    // A request, and a ping.
    for confirmable in [b"\x40\x01\x00\x09", b"\x40\x00\x00\x09"] {
        client.receive(now, confirmable).unwrap();
        assert_eq!(sent(&mut client), std::slice::from_ref(&reset));
    }
    assert!(client.receive(now, b"no message").is_err());
    assert_eq!(sent(&mut client), []);
}

#[test]
fn a_ping_is_answered_by_a_reset() {
    let (now, mut client) = (start(), client());
    assert!(client.ping(now, "ping"));
    let [ping] = &sent(&mut client)[..] else {
        panic!("not one message");
    };
    assert_eq!(*ping, Message::empty(Type::Confirmable, ping.message_id));
    let pong = Message::empty(Type::Reset, ping.message_id);
    client.receive(now, &pong.encode(4).unwrap()).unwrap();
    assert_eq!(client.poll_event(), Some(Event::Reset("ping")));
    assert_eq!(client.next_timeout(), None);
}
