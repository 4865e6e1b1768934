//! Push sessions, and persistent commands.

use super::*;

impl TestDownlink {
    fn connect(&mut self) -> PushId {
        self.downlink.open_push(METER).unwrap()
    }

    fn subscribe(&mut self, push: PushId, kind: PollKind) {
        self.downlink.subscribe_push(push, kind, self.now_ms);
    }

    fn persistent(&mut self, method: &str, oneway: bool) -> CommandId {
        let command = Command {
            method: method.to_owned(),
            params: "1".to_owned(),
            oneway,
            expires_ms: self.now_ms + 60_000,
        };
        self.downlink
            .persistent_command(METER, &command, Some(1), self.now_ms)
            .unwrap()
    }

    fn report(&mut self, id: i32, report: DeliveryReport) {
        self.downlink.report(METER, id, report);
    }

    fn status(&self, command: CommandId) -> RpcStatus {
        self.downlink.rpc_status(command).unwrap().0
    }

    /// All messages to push sessions since the last call, as text.
    fn pushed(&mut self) -> Vec<(PushId, String)> {
        let pushed = std::iter::from_fn(|| self.downlink.pop_push());
        pushed
            .map(|(push, message)| {
                let text = match message {
                    Push::Attributes(body) => String::from_utf8(body.to_vec()).unwrap(),
                    Push::Command(PushedCommand { id, body, .. }) => {
                        format!("{id}: {}", std::str::from_utf8(&body).unwrap())
                    }
                    Push::Closed(end) => format!("{end:?}"),
                };
                (push, text)
            })
            .collect()
    }

    fn texts(&mut self) -> Vec<String> {
        self.pushed().into_iter().map(|(_, text)| text).collect()
    }
}

#[test]
fn a_subscription_works_after_its_delay_and_changes_before_it_are_lost() {
    let mut harness = TestDownlink::with(Delays::default());
    let push = harness.connect();
    harness.subscribe(push, ATTRIBUTES);
    harness.change("{\"a\":1}");
    harness.now_ms += 20;
    harness.downlink.handle_timeout(harness.now_ms);
    harness.change("{\"a\":2}");
    harness
        .downlink
        .attributes_changed(METER, Change::Deleted(vec!["a".to_owned()]));
    assert_eq!(harness.texts(), ["{\"a\":2}", "{\"deleted\":[\"a\"]}"]);
    harness.downlink.unsubscribe_push(push, ATTRIBUTES);
    harness.change("{\"a\":3}");
    assert_eq!(harness.texts(), [""; 0]);
}

#[test]
fn a_second_session_of_a_device_displaces_the_first() {
    let mut harness = TestDownlink::new();
    let first = harness.connect();
    harness.subscribe(first, ATTRIBUTES);
    let second = harness.connect();
    assert_eq!(harness.pushed(), [(first, "Displaced".to_owned())]);
    harness.downlink.close_push(first);
    harness.subscribe(second, ATTRIBUTES);
    harness.change("{\"a\":1}");
    assert_eq!(harness.pushed(), [(second, "{\"a\":1}".to_owned())]);
    harness.downlink.token_changed(METER);
    assert_eq!(
        harness.pushed(),
        [(second, "CredentialsRemoved".to_owned())]
    );
    assert_eq!(harness.downlink.push_session(METER), None);
}

#[test]
fn several_commands_are_in_flight_and_come_again_when_the_device_subscribes_again() {
    let mut harness = TestDownlink::new();
    harness.oneway("early");
    let push = harness.connect();
    harness.subscribe(push, RPC);
    let twoway = harness.twoway("two");
    harness.oneway("one");
    let early = "0: {\"method\":\"early\",\"params\":1}";
    let two = "1: {\"method\":\"two\",\"params\":1}";
    assert_eq!(
        harness.texts(),
        [early, two, "2: {\"method\":\"one\",\"params\":1}"]
    );
    // Both one-way commands are complete, and the delivered two-way one is sent again.
    harness.report(1, DeliveryReport::Delivered);
    harness.downlink.close_push(push);
    let push = harness.connect();
    harness.subscribe(push, RPC);
    assert_eq!(harness.texts(), [two]);
    harness.downlink.reply(METER, 1, "7");
    let outcomes = std::iter::from_fn(|| harness.downlink.pop_command_outcome());
    assert_eq!(
        outcomes.last(),
        Some((twoway, CommandOutcome::Reply("7".to_owned())))
    );
}

#[test]
fn a_persistent_command_has_the_status_that_was_reported_last() {
    let mut harness = TestDownlink::new();
    let oneway = harness.persistent("one", true);
    let twoway = harness.persistent("two", false);
    assert_eq!(harness.status(oneway), RpcStatus::Queued);
    let push = harness.connect();
    harness.subscribe(push, RPC);
    assert_eq!(harness.texts().len(), 2);
    harness.report(0, DeliveryReport::Sent);
    harness.report(1, DeliveryReport::Sent);
    assert_eq!(harness.status(oneway), RpcStatus::Sent);
    harness.report(0, DeliveryReport::Delivered);
    harness.report(1, DeliveryReport::Delivered);
    assert_eq!(harness.status(oneway), RpcStatus::Delivered);
    assert_eq!(harness.status(twoway), RpcStatus::Delivered);
    harness.downlink.reply(METER, 1, "{}");
    assert_eq!(
        harness.downlink.rpc_status(twoway),
        Some((RpcStatus::Successful, Some("{}")))
    );
}

#[test]
fn a_persistent_command_without_a_puback_is_sent_again_until_its_retries_are_used_up() {
    let mut harness = TestDownlink::new();
    let command = harness.persistent("two", false);
    for (status, sent) in [
        (RpcStatus::Timeout, 1),
        (RpcStatus::Failed, 1),
        (RpcStatus::Failed, 0),
    ] {
        let push = harness.connect();
        harness.subscribe(push, RPC);
        let sent_now = harness
            .texts()
            .iter()
            .filter(|text| text.contains("two"))
            .count();
        assert_eq!(sent_now, sent, "{status:?}");
        harness.report(0, DeliveryReport::Sent);
        harness.report(0, DeliveryReport::TimedOut);
        assert_eq!(harness.status(command), status);
    }
    harness.now_ms += 60_000;
    harness.downlink.handle_timeout(harness.now_ms);
    assert_eq!(harness.status(command), RpcStatus::Failed);
}

#[test]
fn the_bytes_of_replies_are_bounded() {
    let mut harness = TestDownlink::new();
    let large = "x".repeat(16 * 1024 * 1024);
    let commands: Vec<CommandId> = (0..5)
        .map(|id| {
            let command = harness.persistent("m", false);
            harness.downlink.reply(METER, id, &large);
            command
        })
        .collect();
    let waiting = harness.persistent("m", false);
    let kept = |command: &CommandId| harness.downlink.rpc_status(*command).is_some();
    assert!(commands.iter().take(4).all(|command| !kept(command)));
    assert!(kept(&commands[4]) && kept(&waiting));
}

#[test]
fn a_restart_keeps_persistent_commands_that_were_never_sent() {
    let mut harness = TestDownlink::new();
    let push = harness.connect();
    harness.subscribe(push, RPC);
    let sent = harness.persistent("sent", false);
    harness.report(0, DeliveryReport::Sent);
    harness.downlink.unsubscribe_push(push, RPC);
    let queued = harness.persistent("queued", false);
    let expiring = harness.persistent("expiring", false);
    let lost = harness.twoway("lost");
    harness.texts();
    harness.downlink.restart();
    assert_eq!(harness.texts(), ["Cut"]);
    assert_eq!(
        harness.downlink.pop_command_outcome(),
        Some((lost, CommandOutcome::Lost))
    );
    let push = harness.connect();
    harness.subscribe(push, RPC);
    let texts = harness.texts();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts[0].starts_with("0: {\"method\":\"queued\""),
        "{texts:?}"
    );
    harness.downlink.reply(METER, 0, "1");
    harness.now_ms += 60_000;
    harness.downlink.handle_timeout(harness.now_ms);
    assert_eq!(harness.status(sent), RpcStatus::Sent);
    assert_eq!(harness.status(queued), RpcStatus::Successful);
    assert_eq!(harness.status(expiring), RpcStatus::Expired);
}

#[test]
fn over_http_a_persistent_command_counts_as_delivered_once_a_poll_has_it() {
    let mut harness = TestDownlink::new();
    let oneway = harness.persistent("one", true);
    let twoway = harness.persistent("two", false);
    harness.open(RPC, 0);
    assert_eq!(harness.status(oneway), RpcStatus::Delivered);
    harness.open(RPC, 0);
    assert_eq!(harness.status(twoway), RpcStatus::Delivered);
}
