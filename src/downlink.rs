//! How changes of a device's shared attributes, and commands for it (server-side RPC), come from ThingsBoard.
//!
//! One [`Downlink`] for each device and kind. The relay says whether it is wanted, gives it each [`Event`] of the
//! transport with what it made of the message, and then calls [`advance`](Downlink::advance). The downlink decides when to
//! open what, outputs [`Effect`]s, and says when all attributes must be read because changes may have
//! been lost. Sans-IO.
//!
//! | File | Holds |
//! |---|---|
//! | [`event`], [`effect`] | what goes in, and what comes out |
//! | [`polling`] | its form over HTTP: long polls |
//! | [`push`] | its form over MQTT: a subscription |
//! | [`message`] | what ThingsBoard sends, parsed outside of the I/O loop |
//! | [`attribute_json`] | its JSON for shared attributes, both ways |
//! | [`command`] | a command |
//! | [`start_rate`] | how many polls of one device and kind may begin a second |
//! | [`recovery`] | after an outage, waking the devices that back off |

pub(crate) mod attribute_json;
mod command;
mod counters;
mod effect;
mod event;
mod message;
mod polling;
mod push;
mod recovery;
mod start_rate;

pub(crate) use command::{Command, CommandHash};
pub(crate) use counters::Counters;
pub(crate) use effect::{Context, Effect, Effects};
pub(crate) use event::{Acknowledgement, ConnectionId, Event, Handled, Reads, Receipt, Repeat};
pub(crate) use message::Message;
pub(crate) use polling::SETTLE;
pub(crate) use polling::pacing::Pacing;
pub(crate) use recovery::Recovery;

use polling::Polling;
use push::Push;
use std::time::{Duration, Instant};

/// What can be observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `api/v1/attributes`
    Attributes,
    /// `api/v1/rpc`
    Commands,
}

/// When the relay requests changes from ThingsBoard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `long-poll`: as long as the device is live.
    WhileLive,
    /// `on-uplink`: after each message of the device.
    OnUplink,
}

/// How messages come, for all devices.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By long polls.
    #[default]
    Polling,
    /// By a subscription.
    Push,
}

/// Where changes, or commands, for one device come from.
#[derive(Debug)]
pub(crate) enum Downlink {
    Polling(Polling),
    Push(Push),
}

impl Downlink {
    pub(crate) fn new(form: Form, kind: Kind) -> Downlink {
        match form {
            Form::Polling => Downlink::Polling(Polling::new(kind)),
            Form::Push => Downlink::Push(Push::new(kind)),
        }
    }

    pub(crate) fn form(&self) -> Form {
        match self {
            Downlink::Polling(_) => Form::Polling,
            Downlink::Push(_) => Form::Push,
        }
    }

    /// Does what has become due. To be called after every other event. `is_wanted`: messages are wanted now. Returns when
    /// to read all attributes because changes may have been lost until then.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        is_wanted: bool,
        mode: Mode,
        context: &mut Context<'_>,
    ) -> Option<Instant> {
        match self {
            Downlink::Polling(polling) if is_wanted => polling.open_if_due(now, mode, context),
            Downlink::Polling(_) => None,
            Downlink::Push(push) => {
                push.advance(now, is_wanted, mode, context);
                None
            }
        }
    }

    /// Requests again what may have ended unnoticed, if that is due. Messages are wanted, and none waits for the device.
    pub(crate) fn renew_if_due(
        &mut self,
        now: Instant,
        interval: Duration,
        context: &mut Context<'_>,
    ) {
        match self {
            // Each poll is a new request.
            Downlink::Polling(_) => {}
            Downlink::Push(push) => push.renew_if_due(now, interval, context),
        }
    }

    /// When [`renew_if_due`](Self::renew_if_due) has something to do.
    pub(crate) fn next_renewal(&self) -> Option<Instant> {
        match self {
            Downlink::Polling(_) => None,
            Downlink::Push(push) => push.next_renewal(),
        }
    }

    /// A message was acknowledged when ThingsBoard did not expect it any more.
    pub(crate) fn acknowledged_late(&mut self, now: Instant) {
        match self {
            Downlink::Polling(_) => {}
            Downlink::Push(push) => push.acknowledged_late(now),
        }
    }

    /// When [`advance`](Self::advance) has something to do, if messages are wanted and time alone decides.
    pub(crate) fn next_timeout(&self, mode: Mode) -> Option<Instant> {
        match self {
            Downlink::Polling(polling) => polling.next_timeout(mode),
            Downlink::Push(push) => push.next_timeout(mode),
        }
    }

    /// Something has happened.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        event: Event<Receipt>,
        context: &mut Context<'_>,
    ) -> Handled {
        match (self, event) {
            (Downlink::Polling(polling), Event::PollEnded(number, result)) => {
                polling.ended(now, number, result, context)
            }
            (Downlink::Polling(_), _) => Handled::default(),
            (Downlink::Push(push), event) => push.handle(now, event),
        }
    }

    /// Messages are not wanted for a while. One that is on its way is still reported.
    pub(crate) fn pause(&mut self) {
        match self {
            Downlink::Polling(polling) => polling.pause(),
            Downlink::Push(push) => push.pause(),
        }
    }

    /// Requests nothing before this time: many devices begin at once, after a restart. Changes may have been lost until then.
    pub(crate) fn hold(&mut self, until: Instant) {
        match self {
            Downlink::Polling(polling) => polling.hold(until),
            Downlink::Push(push) => push.hold(until),
        }
    }

    /// The device is awake now: in the mode `on-uplink` messages are requested for a while.
    pub(crate) fn device_awake(&mut self) {
        match self {
            Downlink::Polling(polling) => polling.device_awake(),
            Downlink::Push(push) => push.device_awake(),
        }
    }

    /// Closes what is open. Messages are not wanted for a while, nor those that are on their way.
    pub(crate) fn abort(&mut self, context: &mut Context<'_>) {
        match self {
            Downlink::Polling(polling) => polling.abort(context),
            Downlink::Push(push) => push.abort(context),
        }
    }

    /// Before which time nothing is requested, if there is one.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        match self {
            Downlink::Polling(polling) => polling.poller().held_until(),
            Downlink::Push(push) => push.held_until(),
        }
    }

    /// As [`abort`](Self::abort), and past failures no longer count: the device has another token.
    pub(crate) fn restart(&mut self, context: &mut Context<'_>) {
        match self {
            Downlink::Polling(polling) => polling.restart(context),
            Downlink::Push(push) => push.restart(context),
        }
    }

    /// ThingsBoard answers again: any back-off for that reason ends.
    pub(crate) fn retry_now(&mut self) {
        match self {
            Downlink::Polling(polling) => polling.retry_now(),
            // Its connection has a back-off of its own.
            Downlink::Push(_) => {}
        }
    }

    /// Whether it backs off because ThingsBoard did not answer.
    pub(crate) fn awaits_recovery(&self) -> bool {
        match self {
            Downlink::Polling(polling) => polling.poller().awaits_recovery(),
            Downlink::Push(_) => false,
        }
    }

    /// Until when it must be kept, wanted or not: a new one could request messages at full rate at once, or the last one's
    /// may still come.
    pub(crate) fn keep_until(&self) -> Option<Instant> {
        match self {
            Downlink::Polling(polling) => polling.poller().rate_full_at(),
            Downlink::Push(push) => push.keep_until(),
        }
    }

    /// Whether something is open, wanted or not.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Downlink::Polling(polling) => polling.poller().open() > 0,
            Downlink::Push(push) => push.is_open(),
        }
    }

    /// Whether it is subscribed, or tries to be.
    pub(crate) fn has_subscription(&self) -> bool {
        matches!(self, Downlink::Push(push) if push.is_open())
    }

    /// Whether its subscription works.
    pub(crate) fn is_subscribed(&self) -> bool {
        matches!(self, Downlink::Push(push) if push.is_subscribed())
    }

    /// The numbers of the polls that are open.
    pub(crate) fn open_polls(&self) -> impl Iterator<Item = u64> + '_ {
        let polling = match self {
            Downlink::Polling(polling) => Some(polling),
            Downlink::Push(_) => None,
        };
        polling
            .into_iter()
            .flat_map(|polling| polling.poller().open_polls())
    }

    /// Whether all attributes are to be read every `relay.sync_interval`: nothing else shows when changes were lost.
    pub(crate) fn needs_regular_reads(&self, mode: Mode) -> bool {
        match self {
            Downlink::Polling(_) => mode == Mode::OnUplink,
            Downlink::Push(_) => true,
        }
    }

    /// Whether reads would fail, because there is no connection.
    pub(crate) fn is_interrupted(&self) -> bool {
        match self {
            // Reads have connections of their own.
            Downlink::Polling(_) => false,
            Downlink::Push(push) => push.is_interrupted(),
        }
    }

    /// A read has found changes that no message brought.
    pub(crate) fn changes_missed(&mut self, now: Instant, context: &mut Context<'_>) {
        match self {
            // Polls lose changes all the time.
            Downlink::Polling(_) => {}
            Downlink::Push(push) => push.changes_missed(now, context),
        }
    }

    /// Whether to request nothing while many commands are queued: ThingsBoard keeps those that wait. It pushes all of them
    /// at each subscription, so a subscription is not ended for that.
    pub(crate) fn pauses_when_full(&self) -> bool {
        match self {
            Downlink::Polling(_) => true,
            Downlink::Push(_) => false,
        }
    }

    /// The device has the message that this acknowledges, or the gateway has dealt with it. Polls need none.
    pub(crate) fn acknowledge(&self, acknowledgement: Acknowledgement, context: &mut Context<'_>) {
        match self {
            Downlink::Polling(_) => {}
            Downlink::Push(push) => push.acknowledge(acknowledgement, context),
        }
    }

    /// A reply to a command is on its way to ThingsBoard, the device's or the gateway's.
    pub(crate) fn reply_begins(&mut self, now: Instant) {
        match self {
            Downlink::Polling(polling) => polling.reply_begins(now),
            Downlink::Push(_) => {}
        }
    }

    /// ThingsBoard has a reply, which came so long after its command.
    pub(crate) fn reply_accepted(&mut self, took: Duration) {
        match self {
            Downlink::Polling(polling) => polling.reply_accepted(took),
            Downlink::Push(_) => {}
        }
    }

    /// ThingsBoard did not take a reply.
    pub(crate) fn reply_failed(&mut self) {
        match self {
            Downlink::Polling(polling) => polling.reply_failed(),
            Downlink::Push(_) => {}
        }
    }
}
