mod attributes;
mod bounds;
mod commands;
mod lifecycle;
mod polls;
mod push;

use super::*;

const METER: &str = "meter";
const ATTRIBUTES: PollKind = PollKind::Attributes;
const RPC: PollKind = PollKind::Rpc;

/// A downlink with a clock that the test advances.
struct TestDownlink {
    downlink: Downlink,
    now_ms: u64,
}

impl TestDownlink {
    /// SubscriptionCounts reach the actor at once.
    fn new() -> TestDownlink {
        TestDownlink::with(Delays {
            subscription_ms: 0,
            push_subscription_ms: 0,
            ..Delays::default()
        })
    }

    fn with(delays: Delays) -> TestDownlink {
        TestDownlink {
            downlink: Downlink::new(delays),
            now_ms: 1_000_000,
        }
    }

    fn open(&mut self, kind: PollKind, timeout_ms: i64) -> PollId {
        self.downlink
            .open(METER, kind, timeout_ms, self.now_ms)
            .unwrap()
    }

    fn change(&mut self, values: &str) {
        self.downlink
            .attributes_changed(METER, Change::Updated(values.to_owned()));
    }

    fn oneway(&mut self, method: &str) -> CommandId {
        self.command(method, true)
    }

    fn twoway(&mut self, method: &str) -> CommandId {
        self.command(method, false)
    }

    /// Sends a command that expires after ten seconds.
    fn command(&mut self, method: &str, oneway: bool) -> CommandId {
        let command = Command {
            method: method.to_owned(),
            params: "1".to_owned(),
            oneway,
            expires_ms: self.now_ms + 10_000,
        };
        self.downlink.command(METER, command, self.now_ms).unwrap()
    }

    /// Advances the clock, and stops at every event.
    fn pass(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while let Some(at) = self.downlink.next_timeout().filter(|at| *at <= until) {
            self.now_ms = self.now_ms.max(at);
            self.downlink.handle_timeout(self.now_ms);
        }
        self.now_ms = until;
    }

    /// The polls that have ended since the last call.
    fn poll_ends(&mut self) -> Vec<(PollId, PollEnd)> {
        std::iter::from_fn(|| self.downlink.pop_poll_end()).collect()
    }

    fn command_outcomes(&mut self) -> Vec<(CommandId, CommandOutcome)> {
        std::iter::from_fn(|| self.downlink.pop_command_outcome()).collect()
    }

    fn counts(&self, kind: PollKind) -> PollCounts {
        *self.downlink.subscriptions(METER).of(kind)
    }
}

fn message(body: &str) -> PollEnd {
    PollEnd::Message(Bytes::copy_from_slice(body.as_bytes()))
}

/// The end of a poll by a command of [`TestDownlink`].
fn rpc(id: i32, method: &str) -> PollEnd {
    message(&format!(r#"{{"id":{id},"method":"{method}","params":1}}"#))
}
