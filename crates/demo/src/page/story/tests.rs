use super::*;
use bytes::Bytes;
use coap::option::encode_unsigned;
use coap::{Code, ExchangeId};
use coaps_gateway::mapping::translate::Expect;
use coaps_gateway::upstream;

struct Telling {
    story: Story,
    now: Instant,
}

impl Telling {
    fn new() -> Telling {
        #[expect(clippy::disallowed_methods, reason = "a test begins at some time")]
        let now = Instant::now();
        Telling {
            story: Story::new(now),
            now,
        }
    }

    fn hear(&mut self, event: Event) -> Value {
        self.now += Duration::from_millis(100);
        self.story.tell(&TapRecord {
            at: self.now,
            device: Some("meter".into()),
            event,
        })
    }

    fn message(&mut self, way: Way, kind: Type, code: Code, id: u16, observe: bool) -> Value {
        let mut message = Message::empty(kind, id);
        message.code = code;
        if code != Code::EMPTY {
            message.token = Token::new(&[7]).unwrap();
        }
        if observe {
            message.options.push((number::OBSERVE, encode_unsigned(3)));
        }
        let (session, datagram) = (SessionId(1), 77);
        let message = Bytes::from(message.encode(100).unwrap());
        self.hear(match way {
            Way::In => Event::Received {
                session,
                message,
                datagram,
            },
            Way::Out => Event::Sent {
                session,
                message,
                datagram,
            },
        })
    }
}

fn ticket(number: u32) -> Ticket {
    Ticket::Exchange {
        session: SessionId(1),
        exchange: ExchangeId(number),
        expect: Expect::Registration,
    }
}

#[test]
fn a_separate_response_is_told_from_its_acknowledgement_to_its_retransmission() {
    let mut telling = Telling::new();
    let notes = [
        (Way::In, Type::Confirmable, Code::POST, 5),
        (Way::Out, Type::Acknowledgement, Code::EMPTY, 5),
        (Way::Out, Type::Confirmable, Code::CREATED, 5),
        (Way::Out, Type::Confirmable, Code::CREATED, 5),
        (Way::In, Type::Acknowledgement, Code::EMPTY, 5),
        (Way::In, Type::Confirmable, Code::POST, 6),
        (Way::In, Type::Confirmable, Code::POST, 6),
        (Way::Out, Type::Acknowledgement, Code::CREATED, 6),
    ]
    .map(|(way, kind, code, id)| telling.message(way, kind, code, id, false)["note"].clone());
    assert_eq!(
        Value::from(notes.to_vec()),
        json!([
            null,
            "empty acknowledgement",
            "separate response",
            "retransmission",
            "empty acknowledgement",
            null,
            "retransmission",
            "piggybacked response"
        ])
    );
}

#[test]
fn a_response_says_how_long_it_took_since_the_request_was_first_seen() {
    let mut telling = Telling::new();
    telling.message(Way::In, Type::Confirmable, Code::GET, 5, false);
    telling.message(Way::In, Type::Confirmable, Code::GET, 5, false);
    let response = telling.message(Way::Out, Type::Acknowledgement, Code::CONTENT, 5, true);
    assert_eq!(response["took"], 200);
    assert_eq!(response["ms"], 300);
    assert_eq!(response["wire"], 77);
    for _ in 0..2 {
        telling.message(Way::In, Type::Confirmable, Code::GET, 5, false);
        let again = telling.message(Way::Out, Type::Acknowledgement, Code::CONTENT, 5, true);
        assert_eq!(
            (&again["took"], &again["note"]),
            (&json!(null), &json!("answered again"))
        );
    }
    let later = telling.message(Way::Out, Type::Confirmable, Code::CONTENT, 6, true);
    assert_eq!(
        (&later["took"], &later["note"]),
        (&json!(null), &json!("notification"))
    );
}

#[test]
fn a_call_is_closed_under_the_number_it_was_opened_with() {
    let mut telling = Telling::new();
    let line = upstream::Line {
        method: "GET",
        target: "/api/v1/{token}/firmware".to_owned(),
        body: 0,
    };
    for number in 1..=2 {
        telling.hear(Event::CallStarted {
            ticket: ticket(number),
            line: line.clone(),
        });
    }
    let outcome = Err(upstream::Error::Unreachable);
    let failed = telling.hear(Event::CallEnded {
        ticket: ticket(2),
        outcome,
    });
    assert_eq!(
        (&failed["call"], &failed["well"]),
        (&json!(2), &json!(false))
    );
    let answered = telling.hear(Event::CallEnded {
        ticket: ticket(1),
        outcome: Ok(5),
    });
    assert_eq!(
        (&answered["call"], &answered["took"]),
        (&json!(1), &json!(300))
    );
    assert_eq!(answered["text"], "200, 5 bytes");

    telling.hear(Event::CallStarted {
        ticket: ticket(3),
        line,
    });
    let outcome = Err(upstream::Error::Elapsed);
    let elapsed = telling.hear(Event::CallEnded {
        ticket: ticket(3),
        outcome,
    });
    assert_eq!(elapsed["well"], true, "most long polls end so");
}

#[test]
fn what_is_no_message_is_shown_as_bytes_and_memory_is_bounded() {
    let mut telling = Telling::new();
    let event = Event::Received {
        session: SessionId(1),
        message: Bytes::from_static(&[0xff, 0, 1]),
        datagram: 50,
    };
    assert_eq!(telling.hear(event)["text"], "0xff0001");
    for id in 0..2000 {
        telling.message(Way::In, Type::NonConfirmable, Code::POST, id, false);
        let ticket = ticket(id.into());
        telling.hear(Event::CallStarted {
            ticket,
            line: upstream::Line {
                method: "GET",
                target: String::new(),
                body: 0,
            },
        });
    }
    let story = &telling.story;
    assert!(story.seen.len() <= REMEMBERED && story.calls.len() <= REMEMBERED);
    assert!(story.requests.len() <= REMEMBERED);
}
