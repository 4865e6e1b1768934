//! The relays of all devices: looked up by device, their timers, and the bounds `relay.max_polls` and `relay.bytes`.

mod export;
mod following;

use super::Settings;
use super::byte_budget::ByteBudget;
use super::changed_relays::ChangedRelays;
use super::{Counters, DeviceRelay, RelayContext, RelayEffect};
use crate::device::Device;
use crate::downlink::{Form, Kind, Mode, Pacing, Recovery};
use crate::dtls::SessionId;
use crate::timers::{Slot, Timers};
use crate::upstream::Error;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Identifies a relay. Never used again, so that a late answer does not reach the next relay of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId(pub(crate) u64);

#[derive(Debug)]
struct Entry {
    relay: DeviceRelay,
    /// What it counts for against `relay.max_polls`.
    downlinks: usize,
    /// What it holds of `relay.bytes`.
    bytes: usize,
    /// What it counts for in [`RelayTable::observation_counts`].
    counts: ObservationCounts,
    /// The relay's when it was last compared.
    revision: u32,
    timer: Slot,
}

/// How many observations there are, and queued commands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ObservationCounts {
    pub attributes: usize,
    pub commands: usize,
    /// Of both kinds, those whose device does not answer.
    pub parked: usize,
    /// Commands queued for their devices.
    pub commands_queued: usize,
    /// Over MQTT: subscriptions that are wanted.
    pub subscriptions: Subscriptions,
    /// Those of them that work.
    pub working_subscriptions: Subscriptions,
}

/// How many subscriptions there are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Subscriptions {
    pub attributes: usize,
    pub commands: usize,
}

impl ObservationCounts {
    /// Replaces what one relay counts for.
    fn replace(&mut self, before: ObservationCounts, now: ObservationCounts) {
        let change = |all: &mut usize, before: usize, now: usize| {
            *all = all.saturating_sub(before).saturating_add(now);
        };
        change(&mut self.attributes, before.attributes, now.attributes);
        change(&mut self.commands, before.commands, now.commands);
        change(&mut self.parked, before.parked, now.parked);
        change(
            &mut self.commands_queued,
            before.commands_queued,
            now.commands_queued,
        );
        for (all, before, now) in [
            (
                &mut self.subscriptions,
                before.subscriptions,
                now.subscriptions,
            ),
            (
                &mut self.working_subscriptions,
                before.working_subscriptions,
                now.working_subscriptions,
            ),
        ] {
            change(&mut all.attributes, before.attributes, now.attributes);
            change(&mut all.commands, before.commands, now.commands);
        }
    }
}

/// All relays. Devices that never observe have none.
#[derive(Debug)]
pub(crate) struct RelayTable {
    settings: Settings,
    form: Form,
    largest_payload: usize,
    pacing: Pacing,
    random: fastrand::Rng,
    relays: HashMap<RelayId, Entry>,
    by_name: HashMap<Arc<str>, RelayId>,
    /// Devices that another gateway may follow, with a relay here or without.
    paused: HashSet<Arc<str>>,
    timers: Timers<RelayId>,
    recovery: Recovery<RelayId>,
    last_id: u64,
    downlinks: usize,
    budget: ByteBudget,
    counts: ObservationCounts,
    counters: Counters,
    changed: ChangedRelays,
    /// The effects of one event: reused, so that an event needs no allocation.
    event_effects: Vec<RelayEffect>,
    effects: VecDeque<(RelayId, RelayEffect)>,
}

impl RelayTable {
    /// `largest_payload`: of a notification, in bytes. `seed` should be random.
    pub(crate) fn new(
        settings: Settings,
        form: Form,
        largest_payload: usize,
        seed: u64,
    ) -> RelayTable {
        RelayTable {
            settings,
            form,
            largest_payload,
            pacing: Pacing::new(settings.poll_timeout),
            random: fastrand::Rng::with_seed(seed),
            relays: HashMap::new(),
            by_name: HashMap::new(),
            paused: HashSet::new(),
            timers: Timers::default(),
            recovery: Recovery::default(),
            last_id: 0,
            downlinks: 0,
            budget: ByteBudget::new(settings.bytes),
            counts: ObservationCounts::default(),
            counters: Counters::default(),
            changed: ChangedRelays::default(),
            event_effects: Vec::new(),
            effects: VecDeque::new(),
        }
    }

    /// The relay of a device, if it has one.
    pub(crate) fn find(&self, device: &str) -> Option<RelayId> {
        self.by_name.get(device).copied()
    }

    /// The relay of a device. Adds one if there is none.
    pub(crate) fn find_or_add(&mut self, device: &Arc<Device>) -> RelayId {
        if let Some(id) = self.find(&device.name) {
            return id;
        }
        let is_paused = self.is_paused(&device.name);
        self.add(DeviceRelay::new(device.clone(), self.form, is_paused))
    }

    /// Adds the relay of a device that has none.
    fn add(&mut self, relay: DeviceRelay) -> RelayId {
        self.last_id += 1;
        let id = RelayId(self.last_id);
        self.by_name.insert(relay.device.name.clone(), id);
        let entry = Entry {
            downlinks: 0,
            bytes: 0,
            counts: ObservationCounts::default(),
            revision: relay.revision(),
            timer: Slot::default(),
            relay,
        };
        self.relays.insert(id, entry);
        id
    }

    pub(crate) fn get(&self, id: RelayId) -> Option<&DeviceRelay> {
        self.relays.get(&id).map(|entry| &entry.relay)
    }

    /// Whether `relay.max_polls` allows an observation of this kind: it is one more, or replaces another. A subscription
    /// costs nothing of its own: it is on its device's connection, and those have a bound.
    pub(crate) fn has_room(&self, device: &str, kind: Kind) -> bool {
        if self.form == Form::Push {
            return true;
        }
        let mode = match kind {
            Kind::Attributes => self.settings.attributes,
            Kind::Commands => self.settings.rpc,
        };
        let relay = self.find(device).and_then(|id| self.get(id));
        mode == Mode::OnUplink
            || self.downlinks < self.settings.max_polls
            || relay.is_some_and(|relay| relay.has_downlink(kind))
    }

    /// Whether `relay.bytes` allows a device so many bytes of observed attributes, instead of those it has.
    pub(crate) fn has_bytes(&self, device: &str, attributes: usize) -> bool {
        let entry = self.find(device).and_then(|id| self.relays.get(&id));
        let (own, replaced) =
            entry.map_or((0, 0), |entry| (entry.bytes, entry.relay.attribute_bytes()));
        attributes <= self.budget.room(own).saturating_add(replaced)
    }

    /// Bytes held of `relay.bytes`.
    pub(crate) fn bytes(&self) -> usize {
        self.budget.held()
    }

    /// Counts a registration that `relay.bytes` refused.
    pub(crate) fn count_no_room(&mut self) {
        self.counters.no_room += 1;
    }

    /// Counts a registration that `relay.max_polls` refused.
    pub(crate) fn count_refusal(&mut self) {
        self.counters.registrations_refused += 1;
    }

    /// The relay of a device, if it has another token for it.
    pub(crate) fn with_other_token(&self, device: &Device) -> Option<RelayId> {
        let id = self.find(&device.name)?;
        let known = &self.get(id)?.device;
        (known.token != device.token).then_some(id)
    }

    /// Gives a relay an event, and lets it do what is due then. `last_received`: when something authentic last came from a
    /// session. The effects are in [`poll_effect`](Self::poll_effect).
    pub(crate) fn update(
        &mut self,
        now: Instant,
        id: RelayId,
        last_received: &dyn Fn(SessionId) -> Option<Instant>,
        event: impl FnOnce(&mut DeviceRelay, &mut RelayContext<'_>),
    ) {
        let Some(entry) = self.relays.get_mut(&id) else {
            return;
        };
        let mut context = RelayContext {
            settings: &self.settings,
            largest_payload: self.largest_payload,
            room: self.budget.room(entry.bytes),
            pacing: &mut self.pacing,
            random: &mut || self.random.f64(),
            last_received,
            counters: &mut self.counters,
            effects: &mut self.event_effects,
        };
        event(&mut entry.relay, &mut context);
        entry.relay.advance(now, &mut context);
        self.effects
            .extend(self.event_effects.drain(..).map(|effect| (id, effect)));
        self.recount(id);
        self.arm_or_remove(now, id);
    }

    /// Counts what a relay has now, instead of what it had before the event.
    fn recount(&mut self, id: RelayId) {
        let Some(entry) = self.relays.get_mut(&id) else {
            return;
        };
        let downlinks = match self.form {
            Form::Polling => entry.relay.downlinks(&self.settings),
            Form::Push => 0,
        };
        self.downlinks = self.downlinks.saturating_sub(entry.downlinks) + downlinks;
        entry.downlinks = downlinks;
        let bytes = entry.relay.bytes();
        self.budget.replace(entry.bytes, bytes);
        entry.bytes = bytes;
        let counts = entry.relay.counts();
        self.counts.replace(entry.counts, counts);
        entry.counts = counts;
        let revision = entry.relay.revision();
        if revision != entry.revision {
            entry.revision = revision;
            self.changed.insert(&entry.relay.device.name);
        }
    }

    /// Arms a relay's timer, or removes the relay if it is idle.
    fn arm_or_remove(&mut self, now: Instant, id: RelayId) {
        let Some(entry) = self.relays.get_mut(&id) else {
            return;
        };
        self.recovery.set_waiting(id, entry.relay.awaits_recovery());
        if entry.relay.is_idle() {
            let keep_until = entry.relay.keep_until();
            if let Some(at) = keep_until.filter(|at| *at > now) {
                self.timers.arm(id, &mut entry.timer, at);
                return;
            }
            self.remove(id);
        } else if let Some(at) = entry.relay.next_timeout(&self.settings) {
            self.timers.arm(id, &mut entry.timer, at);
        }
    }

    /// Removes a relay, and what it counts for.
    fn remove(&mut self, id: RelayId) {
        let Some(mut entry) = self.relays.remove(&id) else {
            return;
        };
        self.timers.disarm(id, &mut entry.timer);
        self.recovery.set_waiting(id, false);
        self.by_name.remove(&entry.relay.device.name);
        self.downlinks = self.downlinks.saturating_sub(entry.downlinks);
        self.budget.replace(entry.bytes, 0);
        self.counts
            .replace(entry.counts, ObservationCounts::default());
    }

    /// What a relay wants done next.
    pub(crate) fn poll_effect(&mut self) -> Option<(RelayId, RelayEffect)> {
        self.effects.pop_front()
    }

    /// A relay that has something to do: [`update`](Self::update) it without an event.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<RelayId> {
        if let Some(id) = self.recovery.pop_due(now) {
            if let Some(entry) = self.relays.get_mut(&id) {
                entry.relay.retry_now(now);
            }
            return Some(id);
        }
        let id = self.timers.pop_due(now)?;
        if let Some(entry) = self.relays.get_mut(&id) {
            entry.timer.fired();
        }
        Some(id)
    }

    /// When [`pop_due`](Self::pop_due) has something.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let deadlines = [self.timers.next(), self.recovery.next_timeout()];
        deadlines.into_iter().flatten().min()
    }

    /// A call to ThingsBoard has ended, a relay's or any other: it shows whether ThingsBoard answers.
    pub(crate) fn call_ended<T>(&mut self, now: Instant, outcome: &Result<T, Error>) {
        match outcome {
            Err(Error::Timeout | Error::Unreachable) => self.recovery.call_unanswered(),
            // Either a proxy in front of a ThingsBoard that is down, or the rate limit of one device.
            Err(Error::Overloaded | Error::RetryAfter(_)) => {}
            Ok(_) | Err(Error::Elapsed | Error::Unintelligible(_) | Error::Rejected(_)) => {
                self.recovery.call_answered(now, || self.random.f64());
            }
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Observations and open downlinks that count against `relay.max_polls`: none where there are no polls.
    pub(crate) fn downlinks(&self) -> usize {
        self.downlinks
    }

    pub(crate) fn observation_counts(&self) -> ObservationCounts {
        self.counts
    }

    /// Timers that are armed.
    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
    }

    /// The sizes of everything bounded, for tests.
    #[cfg(test)]
    pub(crate) fn load(&self) -> Load {
        let relays = || self.relays.values().map(|entry| &entry.relay);
        Load {
            relays: self.relays.len(),
            names: self.by_name.len(),
            timers: self.timers.len(),
            paused: self.paused.len(),
            waiting: self.recovery.waiting(),
            effects: self.effects.len(),
            changed: self.changed.len(),
            counts: self.counts,
            downlinks: self.downlinks,
            bytes: self.budget.held(),
            bytes_found: relays().map(DeviceRelay::bytes).sum(),
            most_commands: relays()
                .map(DeviceRelay::commands_queued)
                .max()
                .unwrap_or_default(),
        }
    }
}

/// What [`RelayTable::load`] returns.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) relays: usize,
    pub(crate) names: usize,
    pub(crate) timers: usize,
    /// Devices that another gateway may follow.
    pub(crate) paused: usize,
    /// Relays that wait for ThingsBoard to answer again.
    pub(crate) waiting: usize,
    pub(crate) effects: usize,
    pub(crate) changed: usize,
    pub(crate) counts: ObservationCounts,
    pub(crate) downlinks: usize,
    pub(crate) bytes: usize,
    pub(crate) bytes_found: usize,
    pub(crate) most_commands: usize,
}
