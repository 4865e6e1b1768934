use super::*;
use bytes::Bytes;
use coap::option::encode_unsigned;
use coap::{Code, ExchangeId};
use coaps_gateway::facade::mapping::AnswerKind;
use coaps_gateway::facade::upstream;

struct Test {
    lines: Lines,
    now: Instant,
}

impl Test {
    fn new() -> Test {
        #[expect(clippy::disallowed_methods, reason = "a test begins at some time")]
        let now = Instant::now();
        Test {
            lines: Lines::new(now),
            now,
        }
    }

    fn record(&mut self, event: Event) -> Value {
        self.now += Duration::from_millis(100);
        self.lines.line(&TapRecord {
            at: self.now,
            device: Some("meter".into()),
            event,
        })
    }

    fn message(
        &mut self,
        direction: Direction,
        kind: Type,
        code: Code,
        id: u16,
        observe: bool,
    ) -> Value {
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
        self.record(match direction {
            Direction::In => Event::Received {
                session,
                message,
                datagram,
            },
            Direction::Out => Event::Sent {
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
        expect: AnswerKind::Registration,
    }
}

#[test]
fn the_messages_of_a_separate_response_are_recognised() {
    let mut test = Test::new();
    let notes = [
        (Direction::In, Type::Confirmable, Code::POST, 5),
        (Direction::Out, Type::Acknowledgement, Code::EMPTY, 5),
        (Direction::Out, Type::Confirmable, Code::CREATED, 5),
        (Direction::Out, Type::Confirmable, Code::CREATED, 5),
        (Direction::In, Type::Acknowledgement, Code::EMPTY, 5),
        (Direction::In, Type::Confirmable, Code::POST, 6),
        (Direction::In, Type::Confirmable, Code::POST, 6),
        (Direction::Out, Type::Acknowledgement, Code::CREATED, 6),
    ]
    .map(|(direction, kind, code, id)| {
        test.message(direction, kind, code, id, false)["note"].clone()
    });
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
fn a_response_has_the_time_since_the_request_was_first_seen() {
    let mut test = Test::new();
    test.message(Direction::In, Type::Confirmable, Code::GET, 5, false);
    test.message(Direction::In, Type::Confirmable, Code::GET, 5, false);
    let response = test.message(
        Direction::Out,
        Type::Acknowledgement,
        Code::CONTENT,
        5,
        true,
    );
    assert_eq!(response["took"], 200);
    assert_eq!(response["ms"], 300);
    assert_eq!(response["datagram"], 77);
    for _ in 0..2 {
        test.message(Direction::In, Type::Confirmable, Code::GET, 5, false);
        let again = test.message(
            Direction::Out,
            Type::Acknowledgement,
            Code::CONTENT,
            5,
            true,
        );
        assert_eq!(
            (&again["took"], &again["note"]),
            (&json!(null), &json!("answered again"))
        );
    }
    let later = test.message(Direction::Out, Type::Confirmable, Code::CONTENT, 6, true);
    assert_eq!(
        (&later["took"], &later["note"]),
        (&json!(null), &json!("notification"))
    );
}

#[test]
fn the_end_of_a_call_has_the_number_of_its_beginning() {
    let mut test = Test::new();
    let line = upstream::RequestLine {
        method: "GET",
        target: "/api/v1/{token}/firmware".to_owned(),
        body: 0,
    };
    for number in 1..=2 {
        test.record(Event::CallStarted {
            ticket: ticket(number),
            line: line.clone(),
        });
    }
    let outcome = Err(upstream::Error::Unreachable);
    let failed = test.record(Event::CallEnded {
        ticket: ticket(2),
        outcome,
    });
    assert_eq!(
        (&failed["call"], &failed["success"]),
        (&json!(2), &json!(false))
    );
    let answered = test.record(Event::CallEnded {
        ticket: ticket(1),
        outcome: Ok(5),
    });
    assert_eq!(
        (&answered["call"], &answered["took"]),
        (&json!(1), &json!(300))
    );
    assert_eq!(answered["text"], "200, 5 bytes");

    test.record(Event::CallStarted {
        ticket: ticket(3),
        line,
    });
    let outcome = Err(upstream::Error::Elapsed);
    let elapsed = test.record(Event::CallEnded {
        ticket: ticket(3),
        outcome,
    });
    assert_eq!(elapsed["success"], true, "most long polls end by timeout");
}

#[test]
fn other_bytes_are_shown_in_hexadecimal_and_memory_is_bounded() {
    let mut test = Test::new();
    let event = Event::Received {
        session: SessionId(1),
        message: Bytes::from_static(&[0xff, 0, 1]),
        datagram: 50,
    };
    assert_eq!(test.record(event)["text"], "0xff0001");
    for id in 0..2000 {
        test.message(Direction::In, Type::NonConfirmable, Code::POST, id, false);
        let ticket = ticket(id.into());
        test.record(Event::CallStarted {
            ticket,
            line: upstream::RequestLine {
                method: "GET",
                target: String::new(),
                body: 0,
            },
        });
    }
    let lines = &test.lines;
    assert!(lines.seen.len() <= MAX_REMEMBERED && lines.calls.len() <= MAX_REMEMBERED);
    assert!(lines.requests.len() <= MAX_REMEMBERED);
}
