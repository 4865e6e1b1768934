use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn body(id: u32, params: &str) -> Command {
    let body = format!(r#"{{"id":{id},"method":"set","params":"{params}"}}"#);
    Command::read(body.into()).unwrap()
}

const WAITING: Taken = Taken::Repeated(Known::Waiting);

fn unanswered(since: Instant) -> Taken {
    Taken::Repeated(Known::Unanswered(since))
}

fn delivered(now: Instant, id: u32, params: &str) -> CommandQueue {
    let mut queue = CommandQueue::default();
    assert_eq!(queue.take(now, body(id, params)), Taken::New);
    queue.first_delivered(now);
    queue
}

#[test]
fn commands_keep_their_order_and_come_once() {
    let now = start();
    let mut queue = CommandQueue::default();
    for id in [3, 1, 2] {
        assert_eq!(queue.take(now, body(id, "x")), Taken::New);
        assert_eq!(queue.take(now, body(id, "x")), WAITING);
    }
    let mut order = Vec::new();
    while let Some(first) = queue.first() {
        order.push(first.id);
        queue.first_delivered(now);
    }
    assert_eq!(order, [3, 1, 2]);
    assert_eq!(queue.take(now, body(1, "x")), unanswered(now));
}

#[test]
fn a_command_that_keeps_coming_is_recognised_for_as_long_as_it_does() {
    let now = start();
    let mut queue = delivered(now, 7, "x");
    for minute in 1..60 {
        let taken = queue.take(now + MINUTE * minute * 5, body(7, "x"));
        assert_eq!(taken, unanswered(now));
    }
    let later = now + MINUTE * 5 * 59 + RECOGNISED;
    assert_eq!(queue.take(later, body(7, "x")), Taken::New);
}

#[test]
fn the_same_id_with_other_words_is_another_command() {
    let now = start();
    let mut queue = delivered(now, 0, "before the restart");
    assert_eq!(queue.take(now, body(0, "after it")), Taken::New);
    queue.first_delivered(now);
    assert_eq!(queue.take(now, body(0, "before the restart")), Taken::New);
}

#[test]
fn after_an_outage_the_same_words_are_a_new_command_soon() {
    let now = start();
    let mut queue = delivered(now, 0, "x");
    queue.interrupted(now);
    assert_eq!(queue.take(now + MINUTE, body(0, "x")), Taken::New);
    let mut calm = delivered(now, 0, "x");
    assert_eq!(calm.take(now + MINUTE, body(0, "x")), unanswered(now));
}

#[test]
fn what_is_replied_to_is_recognised_a_little_longer() {
    let now = start();
    let mut queue = delivered(now, 0, "x");
    assert_eq!(queue.replied(now, 0), None, "nobody waits for it");
    assert!(queue.reply_begins(0));
    assert!(!queue.reply_begins(0), "once");
    assert!(!queue.reply_begins(7), "no such command");
    assert_eq!(queue.replied(now + MINUTE, 0), Some(MINUTE));
    let answered = queue.take(now + MINUTE, body(0, "x"));
    assert_eq!(answered, Taken::Repeated(Known::Answered));
    let soon = now + RECOGNISED_AFTER_REPLY / 2;
    let mut other = delivered(now, 0, "x");
    other.reply_begins(0);
    other.replied(now, 0);
    assert_eq!(queue.forget(soon), 0);
    assert!(!queue.is_empty());
    assert_eq!(
        other.take(now + RECOGNISED_AFTER_REPLY, body(0, "x")),
        Taken::New
    );
}

#[test]
fn a_reply_that_thingsboard_did_not_take_is_none() {
    let now = start();
    let mut queue = delivered(now, 0, "x");
    assert!(!queue.reply_failed(0));
    queue.reply_begins(0);
    let taken = queue.take(now, body(0, "x"));
    assert_eq!(taken, Taken::Repeated(Known::ReplyUnderWay));
    assert!(queue.reply_failed(0));
    assert_eq!(queue.take(now, body(0, "x")), unanswered(now));
    // The gateway's own is given once more.
    queue.refuse(0, Refusal::Unanswered);
    queue.reply_failed(0);
    let taken = queue.take(now, body(0, "x"));
    assert_eq!(taken, Taken::Repeated(Known::Refused(Refusal::Unanswered)));
}

#[test]
fn of_a_delivered_command_its_words_are_not_kept() {
    let now = start();
    let mut queue = CommandQueue::default();
    let large = Command::read(format!(r#"{{"id":7,"p":"{}"}}"#, "x".repeat(250_000)).into());
    let large = large.unwrap();
    let mut bodies = Vec::new();
    for _ in 0..40 {
        // Its bytes are shared by whoever holds them.
        let copy = Bytes::copy_from_slice(&large.body);
        bodies.push(copy.clone());
        let copy = Command {
            body: copy,
            ..large.clone()
        };
        queue.take(now, copy);
        queue.first_delivered(now);
    }
    assert!(bodies.iter().all(Bytes::is_unique));
    assert_eq!(queue.take(now, large), unanswered(now));
}

#[test]
fn what_waits_for_a_day_is_dropped_and_nothing_is_held_at_the_end() {
    let now = start();
    let mut queue = CommandQueue::default();
    queue.take(now, body(0, "x"));
    assert_eq!(queue.next_timeout(), Some(now + KEPT));
    assert_eq!(queue.forget(now + KEPT), 1);
    assert!(queue.is_empty());
    assert_eq!(queue.next_timeout(), None);
}

#[test]
fn both_queues_are_bounded() {
    let now = start();
    let mut queue = CommandQueue::default();
    for id in 0..1000 {
        queue.take(now, body(id, "x"));
        queue.first_delivered(now);
    }
    assert_eq!(queue.delivered.len(), MOST_DELIVERED);
    for id in 0..16 {
        assert!(!queue.is_full());
        queue.take(now, body(id, "y"));
    }
    assert!(queue.is_full());
}

#[test]
fn what_names_no_id_is_no_command() {
    for body in [
        &b""[..],
        b"[]",
        b"[7]",
        b"7",
        b"{",
        b"{}",
        br#"{"id":-1}"#,
        br#"{"id":2147483648}"#,
        br#"{"id":"7"}"#,
        br#"{"id":1.5}"#,
        br#"{"id":null,"method":"m"}"#,
        b"\xff\xfe",
        br#"{"id":1} {"id":2}"#,
    ] {
        let read = Command::read(Bytes::copy_from_slice(body));
        assert_eq!(read, None, "{body:?}");
    }
    assert_eq!(
        id(br#" {"method":"m","params":{"id":9},"id":2147483647}"#),
        Some(2_147_483_647)
    );
}
