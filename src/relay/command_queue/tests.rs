use super::*;
use bytes::Bytes;

const MINUTE: Duration = Duration::from_secs(60);

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn body(id: u32, params: &str) -> Command {
    let body = format!(r#"{{"id":{id},"method":"set","params":"{params}"}}"#);
    Command::read(body.into()).unwrap()
}

const QUEUED: Pushed = Pushed::Repeated(Repeated::Queued);

fn unanswered(since: Instant) -> Pushed {
    Pushed::Repeated(Repeated::Unanswered(since))
}

fn delivered(now: Instant, id: u32, params: &str) -> CommandQueue {
    let mut queue = CommandQueue::default();
    assert_eq!(queue.push(now, body(id, params), None), Pushed::New);
    queue.first_delivered(now);
    queue
}

#[test]
fn commands_keep_their_order_and_come_once() {
    let now = start();
    let mut queue = CommandQueue::default();
    for id in [3, 1, 2] {
        assert_eq!(queue.push(now, body(id, "x"), None), Pushed::New);
        assert_eq!(queue.push(now, body(id, "x"), None), QUEUED);
    }
    let mut order = Vec::new();
    while let Some(first) = queue.first() {
        order.push(first.id);
        queue.first_delivered(now);
    }
    assert_eq!(order, [3, 1, 2]);
    assert_eq!(queue.push(now, body(1, "x"), None), unanswered(now));
}

#[test]
fn a_command_that_keeps_coming_is_recognised_for_as_long_as_it_does() {
    let now = start();
    let mut queue = delivered(now, 7, "x");
    for minute in 1..60 {
        let pushed = queue.push(now + MINUTE * minute * 5, body(7, "x"), None);
        assert_eq!(pushed, unanswered(now));
    }
    let later = now + MINUTE * 5 * 59 + RECOGNISED;
    assert_eq!(queue.push(later, body(7, "x"), None), Pushed::New);
}

#[test]
fn the_same_id_with_another_body_is_another_command() {
    let now = start();
    let mut queue = delivered(now, 0, "before the restart");
    assert_eq!(queue.push(now, body(0, "after it"), None), Pushed::New);
    queue.first_delivered(now);
    assert_eq!(
        queue.push(now, body(0, "before the restart"), None),
        Pushed::New
    );
}

#[test]
fn a_reply_to_a_command_from_before_a_restart_is_outdated_once_ids_begin_again() {
    let now = start();
    let mut queue = delivered(now, 3, "delivered before it");
    queue.push(now, body(4, "queued before it"), None);
    queue.push(now, body(5, "queued before it"), None);
    assert!(!queue.is_reply_outdated(3));
    queue.may_have_restarted(now);
    // ThingsBoard has commands 0 to 4 by now, and brings the oldest until it has a reply.
    assert_eq!(queue.push(now, body(0, "after it"), None), Pushed::New);
    assert!(queue.is_reply_outdated(3) && !queue.reply_begins(3));
    for id in [4, 5] {
        assert_eq!(queue.first().map(|first| first.id), Some(id));
        queue.first_notified();
        assert!(queue.is_reply_outdated(id), "{id}: the device may have it");
        queue.first_delivered(now);
        assert!(queue.is_reply_outdated(id) && !queue.reply_begins(id));
        assert!(!queue.gateway_replies(id, CommandError::TooLarge));
    }
    queue.first_delivered(now);
    assert!(!queue.is_reply_outdated(0) && queue.reply_begins(0));
    // The new command of the same id: until the device may have it, a reply is to the old one.
    assert_eq!(queue.push(now, body(4, "after it"), None), Pushed::New);
    assert!(queue.is_reply_outdated(4));
    queue.first_notified();
    assert!(!queue.is_reply_outdated(4));
    queue.first_delivered(now);
    assert!(!queue.is_reply_outdated(4) && queue.reply_begins(4));
}

#[test]
fn replies_to_commands_whose_ids_ascend_and_to_those_that_come_again_are_never_outdated() {
    let now = start();
    let mut queue = delivered(now, 3, "x");
    queue.push(now, body(5, "x"), None);
    queue.first_delivered(now);
    queue.push(now, body(9, "x"), None);
    assert!(![3, 5, 7, 9].iter().any(|id| queue.is_reply_outdated(*id)));
    // ThingsBoard has it after all.
    queue.push(now, body(4, "x"), None);
    assert!(queue.is_reply_outdated(5));
    assert_eq!(queue.push(now, body(5, "x"), None), unanswered(now));
    assert!(!queue.is_reply_outdated(5) && queue.reply_begins(5));
}

#[test]
fn after_an_outage_the_same_id_and_body_are_soon_a_new_command() {
    let now = start();
    let mut queue = delivered(now, 0, "x");
    queue.may_have_restarted(now);
    assert_eq!(queue.push(now + MINUTE, body(0, "x"), None), Pushed::New);
    let mut calm = delivered(now, 0, "x");
    assert_eq!(calm.push(now + MINUTE, body(0, "x"), None), unanswered(now));
}

#[test]
fn the_time_without_a_connection_does_not_count_for_a_command_that_is_acknowledged() {
    let now = start();
    let acknowledgement = |connection| Acknowledgement {
        connection: ConnectionId(connection),
        packet: 1,
    };
    let mut queue = CommandQueue::default();
    queue.push(now, body(0, "x"), Some(acknowledgement(1)));
    queue.first_delivered(now);
    for connection in 2..5 {
        let begins = now + 2 * MINUTE * connection;
        queue.may_have_restarted(begins);
        queue.interrupted();
        let again = queue.push(
            begins + MINUTE + MINUTE / 60,
            body(0, "x"),
            Some(acknowledgement(connection.into())),
        );
        assert_eq!(again, unanswered(now));
    }
    queue.interrupted();
    queue.may_have_restarted(now + 20 * MINUTE);
    let new = queue.push(now + 21 * MINUTE, body(0, "x"), Some(acknowledgement(9)));
    assert_eq!(new, Pushed::New);
}

#[test]
fn a_command_is_recognised_for_some_seconds_after_its_reply() {
    let now = start();
    let mut queue = delivered(now, 0, "x");
    assert_eq!(queue.reply_accepted(now, 0), None, "no reply is in flight");
    assert!(queue.reply_begins(0));
    assert!(!queue.reply_begins(0), "once");
    assert!(!queue.reply_begins(7), "no such command");
    assert_eq!(queue.reply_accepted(now + MINUTE, 0), Some(MINUTE));
    let answered = queue.push(now + MINUTE, body(0, "x"), None);
    assert_eq!(answered, Pushed::Repeated(Repeated::Answered));
    let soon = now + RECOGNISED_AFTER_REPLY / 2;
    let mut other = delivered(now, 0, "x");
    other.reply_begins(0);
    other.reply_accepted(now, 0);
    assert_eq!(queue.remove_expired(soon), 0);
    assert!(!queue.is_empty());
    assert_eq!(
        other.push(now + RECOGNISED_AFTER_REPLY, body(0, "x"), None),
        Pushed::New
    );
}

#[test]
fn a_reply_that_thingsboard_did_not_take_does_not_count() {
    let now = start();
    let mut queue = delivered(now, 0, "x");
    assert!(!queue.reply_failed(0));
    queue.reply_begins(0);
    let pushed = queue.push(now, body(0, "x"), None);
    assert_eq!(pushed, Pushed::Repeated(Repeated::ReplyInFlight));
    assert!(queue.reply_failed(0));
    assert_eq!(queue.push(now, body(0, "x"), None), unanswered(now));
    // A reply of the gateway is sent once more.
    queue.gateway_replies(0, CommandError::Unanswered);
    queue.reply_failed(0);
    let pushed = queue.push(now, body(0, "x"), None);
    assert_eq!(
        pushed,
        Pushed::Repeated(Repeated::Rejected(CommandError::Unanswered))
    );
}

#[test]
fn the_body_of_a_delivered_command_is_not_kept() {
    let now = start();
    let mut queue = CommandQueue::default();
    let large = Command::read(format!(r#"{{"id":7,"p":"{}"}}"#, "x".repeat(250_000)).into());
    let large = large.unwrap();
    let mut bodies = Vec::new();
    for _ in 0..40 {
        // `Bytes` are shared: they are unique once the queue has dropped them.
        let copy = Bytes::copy_from_slice(&large.body);
        bodies.push(copy.clone());
        let copy = Command {
            body: copy,
            ..large.clone()
        };
        queue.push(now, copy, None);
        queue.first_delivered(now);
    }
    assert!(bodies.iter().all(Bytes::is_unique));
    assert_eq!(queue.push(now, large, None), unanswered(now));
}

#[test]
fn a_command_queued_for_a_day_is_dropped_and_the_queue_is_empty_then() {
    let now = start();
    let mut queue = CommandQueue::default();
    queue.push(now, body(0, "x"), None);
    assert_eq!(queue.next_timeout(), Some(now + QUEUED_FOR));
    assert_eq!(queue.remove_expired(now + QUEUED_FOR), 1);
    assert!(queue.is_empty());
    assert_eq!(queue.next_timeout(), None);
}

#[test]
fn both_queues_are_bounded() {
    let now = start();
    let mut queue = CommandQueue::default();
    for id in 0..1000 {
        queue.push(now, body(id, "x"), None);
        queue.first_delivered(now);
    }
    assert_eq!(queue.delivered.len(), MAX_DELIVERED);
    for id in 0..16 {
        assert!(!queue.is_full());
        queue.push(now, body(id, "y"), None);
    }
    assert!(queue.is_full());
}
