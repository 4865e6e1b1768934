//! The push form: a subscription on a connection of the device's own (MQTT).
//!
//! ```text
//! idle ──wanted──▶ subscribing ──granted──▶ subscribed
//!  ▲  [Subscribe]      │                      │   ▲
//!  │                   │   connection closed  ▼   │ granted on the next connection
//!  │                   └──────────────────▶ interrupted
//!  └── not wanted, from each of the three [Unsubscribe]
//! ```
//!
//! `Subscribe` holds until `Unsubscribe`: whatever carries it out opens another connection after a loss, with a back-off, and
//! subscribes again. So an interruption has no effect to output.
//!
//! # Changes of attributes
//!
//! ThingsBoard drops what changes while there is no subscription, and what changes just before or after it grants one. So
//! all attributes are read [`SETTLE`] after each grant. It has also delivered a deletion after a later value of the same
//! key, and grants subscriptions over its rate limit that deliver nothing. So they are read every `relay.sync_interval` as
//! well, and a subscription that did not bring what such a read finds is replaced ([`changes_missed`](Push::changes_missed)).
//!
//! # Commands
//!
//! A command is acknowledged to ThingsBoard when the device has acknowledged its notification, or the gateway has replied to
//! it in the device's place. ThingsBoard waits ten seconds for that. What happens to a later one:
//!
//! | Command | ThingsBoard after ten seconds | The gateway |
//! |---|---|---|
//! | one-way, not persistent | knows nothing of it any more | delivers it when the device answers: no one else can |
//! | two-way, not persistent | keeps it until its caller's timeout; sends it again at the next subscription before that | delivers it once |
//! | persistent | TIMEOUT; sends it again at the next subscriptions, up to its number of retries; then FAILED | delivers it once, and then renews the subscription: ThingsBoard sends it again, and it becomes DELIVERED |
//!
//! (Only the repetition of an unacknowledged persistent command was seen on a live server. The rest is inferred, as is that
//! a repeated command keeps its id, and that one is repeated only after a subscription.)
//!
//! The gateway can't tell these apart, so it keeps them all, for a day at most. What ThingsBoard sends again has the same
//! id and body: it is found among the queued commands, of which it renews the acknowledgement, or among the delivered
//! ones, and then it is acknowledged at once, so that it becomes DELIVERED. A delivered one is remembered for a day,
//! however late its acknowledgement was, but only for a minute of the next connection: ids begin at 0 again if
//! ThingsBoard has restarted. (A persistent command that it restores after its restart has another id, and is delivered
//! again if it was not acknowledged before.)
//!
//! The acknowledgement of a message from a former connection is dropped: packet identifiers begin again on each.
//!
//! Above a device's rate limit ThingsBoard grants a subscription that brings nothing, and no read shows that commands are
//! missing. So the subscription for commands is renewed (requested again, while it goes on) [`CONFIRM`] after it was granted
//! on a new connection, and every `relay.sync_interval`. ThingsBoard then sends all commands again that it has no reply to.
//! Each of them that is not acknowledged in ten seconds costs one of its retries, so nothing is renewed while a command
//! waits for the device.
//!
//! When a device does not answer, the relay parks it and both subscriptions end: later commands wait in ThingsBoard. No
//! reply is needed for the next command to come, so replies, and commands without one, change nothing here; nor does
//! `relay.command_answer`, except for a command that is sent again.
//!
//! # In the mode `on-uplink`
//!
//! Attributes have no subscription, and are read after each uplink. Commands have one from each uplink until
//! [`AWAKE_FOR`] after it was granted or brought a command.

use super::event::{Acknowledgement, ConnectionId};
use super::start_rate::StartRate;
use super::{Context, Effect, Event, Handled, Kind, Mode, Reads, Receipt};
use std::time::{Duration, Instant};

/// How long after ThingsBoard granted a subscription all attributes are read. Changes up to 20 ms after it were lost; this is
/// ten times as much.
pub(super) const SETTLE: Duration = Duration::from_millis(200);
/// How long a sleeping device stays awake after its last message, and a subscription for it is of use.
pub(super) const AWAKE_FOR: Duration = Duration::from_secs(1);
/// How long after the end of a subscription its messages may still come.
const LATE: Duration = Duration::from_secs(5);
/// A subscription that is older than this and has missed changes is taken for dead.
const ESTABLISHED: Duration = Duration::from_secs(10);
/// How long after the first grant on a connection a subscription for commands is renewed. Delivered commands are still
/// recognised then.
const CONFIRM: Duration = Duration::from_secs(30);
/// How long after a refusal that did not end the observation the next subscription is requested.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// Requested, and not yet granted.
    Subscribing,
    Subscribed {
        since: Instant,
    },
    /// It was granted or requested, and the connection is closed.
    Interrupted,
}

/// The subscription of one device and kind.
#[derive(Debug)]
pub(crate) struct Push {
    kind: Kind,
    state: State,
    /// Of the last `Subscribe`.
    number: u64,
    /// The present connection, or a lower bound of the next one. What was sent on a lower one can't be acknowledged.
    connection: ConnectionId,
    /// Whether it is the present one. A lower bound must not rise without a connection: the next one would be below it.
    is_connected: bool,
    rate: StartRate,
    /// Nothing is requested before this time.
    not_before: Option<Instant>,
    /// Until when messages of the last subscription may come.
    late_until: Option<Instant>,
    is_device_awake: bool,
    /// In the mode `on-uplink`: when the subscription ends.
    awake_until: Option<Instant>,
    /// The connection on which a subscription was last granted.
    granted_on: Option<ConnectionId>,
    /// Whether it was granted there more than once.
    is_confirmed: bool,
    renew_at: Option<Instant>,
}

impl Push {
    pub(super) fn new(kind: Kind) -> Push {
        Push {
            kind,
            state: State::Idle,
            number: 0,
            connection: ConnectionId::OF_FORMER_PROCESS.next(),
            is_connected: false,
            rate: StartRate::default(),
            not_before: None,
            late_until: None,
            is_device_awake: false,
            awake_until: None,
            granted_on: None,
            is_confirmed: false,
            renew_at: None,
        }
    }

    /// Subscribes or unsubscribes if that is due.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        is_wanted: bool,
        mode: Mode,
        context: &mut Context<'_>,
    ) {
        if std::mem::take(&mut self.is_device_awake) {
            self.awake_until = Some(now + AWAKE_FOR);
        }
        let is_open = self.state != State::Idle;
        match (is_wanted && self.is_of_use(now, mode), is_open) {
            (true, false) => self.subscribe(now, context),
            (false, true) => self.unsubscribe(now, context),
            (true, true) | (false, false) => {}
        }
    }

    /// Whether the mode wants a subscription now.
    fn is_of_use(&self, now: Instant, mode: Mode) -> bool {
        match (mode, self.state) {
            (Mode::WhileLive, _) => true,
            (Mode::OnUplink, _) if self.kind == Kind::Attributes => false,
            // Only what it brings shows whether a command waited.
            (Mode::OnUplink, State::Subscribing | State::Interrupted) => true,
            (Mode::OnUplink, State::Idle | State::Subscribed { .. }) => self.is_awake(now),
        }
    }

    fn is_awake(&self, now: Instant) -> bool {
        self.awake_until.is_some_and(|until| until > now)
    }

    fn subscribe(&mut self, now: Instant, context: &mut Context<'_>) {
        if self.not_before.is_some_and(|at| at > now) {
            return;
        }
        self.not_before = self.rate.check(now).err();
        if self.not_before.is_some() {
            return;
        }
        self.request(now, context);
    }

    fn request(&mut self, now: Instant, context: &mut Context<'_>) {
        self.rate.take(now);
        self.number += 1;
        self.state = State::Subscribing;
        self.renew_at = None;
        let effect = Effect::Subscribe(self.kind, self.number);
        context.effects.push_effect(effect);
    }

    /// Renews the subscription if that is due. Not to be called while a message waits for the device.
    pub(super) fn renew_if_due(
        &mut self,
        now: Instant,
        interval: Duration,
        context: &mut Context<'_>,
    ) {
        let State::Subscribed { since } = self.state else {
            return;
        };
        let wait = match self.is_confirmed {
            true => interval,
            false => CONFIRM.min(interval),
        };
        // A fleet that was subscribed for at once spreads.
        let mut part = || 0.75 + (context.random)() / 4.0;
        let at = *self
            .renew_at
            .get_or_insert_with(|| since + wait.mul_f64(part()));
        if at > now {
            return;
        }
        match self.rate.check(now) {
            Ok(()) => self.request(now, context),
            Err(later) => self.renew_at = Some(later),
        }
    }

    /// When [`renew_if_due`](Self::renew_if_due) has something to do.
    pub(super) fn next_renewal(&self) -> Option<Instant> {
        self.renew_at
    }

    /// A message was acknowledged when ThingsBoard did not expect it any more.
    pub(super) fn acknowledged_late(&mut self, now: Instant) {
        if let State::Subscribed { .. } = self.state {
            self.renew_at = Some(now);
        }
    }

    fn unsubscribe(&mut self, now: Instant, context: &mut Context<'_>) {
        self.late_until = Some(now + LATE);
        self.close(context);
    }

    fn close(&mut self, context: &mut Context<'_>) {
        self.renew_at = None;
        if self.state != State::Idle {
            self.state = State::Idle;
            let effect = Effect::Unsubscribe(self.kind);
            context.effects.push_effect(effect);
        }
    }

    /// When [`advance`](Self::advance) has something to do, if messages are wanted and time alone decides.
    pub(super) fn next_timeout(&self, mode: Mode) -> Option<Instant> {
        match (self.state, mode) {
            (State::Idle, Mode::WhileLive) => self.not_before,
            // Nothing is due any more once the device sleeps.
            (State::Idle, Mode::OnUplink) => {
                let until = self.awake_until;
                self.not_before
                    .filter(|at| until.is_some_and(|until| *at < until))
            }
            (State::Subscribed { .. }, Mode::OnUplink) => self.awake_until,
            (State::Subscribing | State::Subscribed { .. } | State::Interrupted, _) => None,
        }
    }

    /// Something has happened on the connection.
    pub(super) fn handle(&mut self, now: Instant, event: Event<Receipt>) -> Handled {
        match event {
            Event::Subscribed(number, connection) => self.subscribed(now, number, connection),
            Event::Interrupted(connection) => self.interrupted(connection),
            Event::Pushed(_, acknowledgement) => {
                // It may come before the subscription is reported as granted, and after it has ended.
                if acknowledgement.connection >= self.connection {
                    self.connected(acknowledgement.connection);
                }
                self.is_device_awake |= self.state != State::Idle;
                Handled::default()
            }
            Event::Refused(_) => {
                self.state = State::Idle;
                self.renew_at = None;
                self.not_before = Some(now + AFTER_REFUSAL);
                Handled::default()
            }
            Event::PollEnded(..) => Handled::default(),
        }
    }

    fn subscribed(&mut self, now: Instant, number: u64, connection: ConnectionId) -> Handled {
        let is_former = number != self.number || connection < self.connection;
        if self.state == State::Idle || is_former {
            return Handled::default();
        }
        self.connected(connection);
        self.state = State::Subscribed { since: now };
        self.is_device_awake = true;
        self.renew_at = None;
        let is_new = self.granted_on.replace(connection) != Some(connection);
        self.is_confirmed = !is_new;
        Handled {
            reads: Reads::NotBefore(now + SETTLE),
            may_have_restarted: is_new,
        }
    }

    fn interrupted(&mut self, connection: ConnectionId) -> Handled {
        if connection < self.connection {
            return Handled::default();
        }
        self.connected(connection);
        self.disconnected();
        if self.state == State::Idle {
            return Handled::default();
        }
        self.state = State::Interrupted;
        self.renew_at = None;
        Handled {
            reads: Reads::Suspended,
            may_have_restarted: false,
        }
    }

    /// The device has the message, or the gateway has dealt with it. That may be before the message itself is handled, so its
    /// connection may be newer than the present one.
    pub(super) fn acknowledge(&self, acknowledgement: Acknowledgement, context: &mut Context<'_>) {
        if acknowledgement.connection >= self.connection {
            let effect = Effect::Acknowledge(acknowledgement);
            context.effects.push_effect(effect);
        }
    }

    /// A read has found changes that no message brought: if the subscription is not a new one, it is replaced.
    pub(super) fn changes_missed(&mut self, now: Instant, context: &mut Context<'_>) {
        if let State::Subscribed { since } = self.state
            && now.saturating_duration_since(since) >= ESTABLISHED
        {
            self.close(context);
        }
    }

    /// Messages are not wanted for a while: the next [`advance`](Self::advance) unsubscribes.
    pub(super) fn pause(&mut self) {
        self.awake_until = None;
        self.is_device_awake = false;
    }

    /// The device is awake now.
    pub(super) fn device_awake(&mut self) {
        self.is_device_awake = true;
    }

    /// Requests nothing before this time.
    pub(super) fn hold(&mut self, until: Instant) {
        self.not_before = self.not_before.max(Some(until));
    }

    /// Ends the subscription.
    pub(super) fn abort(&mut self, context: &mut Context<'_>) {
        self.close(context);
    }

    fn connected(&mut self, connection: ConnectionId) {
        (self.connection, self.is_connected) = (connection, true);
    }

    fn disconnected(&mut self) {
        if std::mem::take(&mut self.is_connected) {
            self.connection = self.connection.next();
        }
    }

    /// Before which time nothing is requested, if there is one.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.not_before
    }

    /// Ends the subscription, so that the next one is under the device's new token. Nothing that came under the former one
    /// can be acknowledged.
    pub(super) fn restart(&mut self, context: &mut Context<'_>) {
        self.close(context);
        self.disconnected();
        self.not_before = None;
        self.is_device_awake = true;
    }

    /// Whether it is subscribed, or tries to be.
    pub(super) fn is_open(&self) -> bool {
        self.state != State::Idle
    }

    /// Whether the subscription was granted on the present connection.
    pub(super) fn is_subscribed(&self) -> bool {
        matches!(self.state, State::Subscribed { .. })
    }

    /// Whether the connection is lost.
    pub(super) fn is_interrupted(&self) -> bool {
        self.state == State::Interrupted
    }

    /// Until when it must be kept: messages may still come, or a new one could subscribe at full rate.
    pub(super) fn keep_until(&self) -> Option<Instant> {
        self.rate.full_at().max(self.late_until)
    }
}

#[cfg(test)]
mod tests;
