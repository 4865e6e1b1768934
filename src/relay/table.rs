//! The relays of all devices: found by name, woken by time, within the bound of `relay.max_polls`.

use super::budget::Budget;
use super::pace::Pace;
use super::waking::Waking;
use super::{Context, Counters, DeviceRelay, Effect, Kind};
use super::{Mode, Settings};
use crate::device::Device;
use crate::dtls::SessionId;
use crate::timers::{Slot, Timers};
use crate::upstream::Error;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Names a relay for as long as the process lives: what is late must not reach its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId(pub(crate) u64);

#[derive(Debug)]
struct Entry {
    relay: DeviceRelay,
    /// What it counts for against `relay.max_polls`.
    polls: usize,
    /// Bytes that it holds of `relay.bytes`.
    bytes: usize,
    /// What it counts for in [`Relays::standing`].
    standing: Standing,
    timer: Slot,
}

/// What there is of observations.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Of attributes.
    pub attributes: usize,
    /// Of commands.
    pub commands: usize,
    /// Of both, those whose device does not answer.
    pub parked: usize,
    /// Commands that wait for their device.
    pub commands_waiting: usize,
}

impl Standing {
    fn replace(&mut self, before: Standing, now: Standing) {
        let change = |all: &mut usize, before: usize, now: usize| {
            *all = all.saturating_sub(before).saturating_add(now);
        };
        change(&mut self.attributes, before.attributes, now.attributes);
        change(&mut self.commands, before.commands, now.commands);
        change(&mut self.parked, before.parked, now.parked);
        change(
            &mut self.commands_waiting,
            before.commands_waiting,
            now.commands_waiting,
        );
    }
}

/// All relays. Devices that never observe have none.
#[derive(Debug)]
pub struct Relays {
    settings: Settings,
    largest_payload: usize,
    pace: Pace,
    random: fastrand::Rng,
    relays: HashMap<RelayId, Entry>,
    by_name: HashMap<Arc<str>, RelayId>,
    timers: Timers<RelayId>,
    waking: Waking,
    last_id: u64,
    polls: usize,
    budget: Budget,
    standing: Standing,
    counters: Counters,
    /// Reused between calls.
    scratch: Vec<Effect>,
    effects: VecDeque<(RelayId, Effect)>,
}

impl Relays {
    /// None yet. `largest_payload`: what fits a notification, in bytes. `seed` should be random.
    pub fn new(settings: Settings, largest_payload: usize, seed: u64) -> Relays {
        Relays {
            settings,
            largest_payload,
            pace: Pace::new(settings.poll_timeout),
            random: fastrand::Rng::with_seed(seed),
            relays: HashMap::new(),
            by_name: HashMap::new(),
            timers: Timers::default(),
            waking: Waking::default(),
            last_id: 0,
            polls: 0,
            budget: Budget::new(settings.bytes),
            standing: Standing::default(),
            counters: Counters::default(),
            scratch: Vec::new(),
            effects: VecDeque::new(),
        }
    }

    /// The relay of a device, if it has one.
    pub fn find(&self, device: &str) -> Option<RelayId> {
        self.by_name.get(device).copied()
    }

    /// The relay of a device, made if it has none.
    pub fn find_or_add(&mut self, device: &Arc<Device>) -> RelayId {
        if let Some(id) = self.find(&device.name) {
            return id;
        }
        self.last_id += 1;
        let id = RelayId(self.last_id);
        self.by_name.insert(device.name.clone(), id);
        let entry = Entry {
            relay: DeviceRelay::new(device.clone()),
            polls: 0,
            bytes: 0,
            standing: Standing::default(),
            timer: Slot::default(),
        };
        self.relays.insert(id, entry);
        id
    }

    /// One relay.
    pub fn get(&self, id: RelayId) -> Option<&DeviceRelay> {
        self.relays.get(&id).map(|entry| &entry.relay)
    }

    /// Whether an observation of this kind may be added, or is there to be replaced.
    pub fn has_room(&self, device: &str, kind: Kind) -> bool {
        let mode = match kind {
            Kind::Attributes => self.settings.attributes,
            Kind::Commands => self.settings.rpc,
        };
        let relay = self.find(device).and_then(|id| self.get(id));
        mode == Mode::OnUplink
            || self.polls < self.settings.max_polls
            || relay.is_some_and(|relay| relay.has_poll(kind))
    }

    /// Whether a device may have so many bytes of attributes observed, instead of those that it has.
    pub fn has_bytes(&self, device: &str, attributes: usize) -> bool {
        let entry = self.find(device).and_then(|id| self.relays.get(&id));
        let (own, replaced) = entry.map_or((0, 0), |entry| {
            (entry.bytes, entry.relay.attributes.bytes())
        });
        attributes <= self.budget.room(own).saturating_add(replaced)
    }

    /// Bytes held of `relay.bytes`.
    pub fn bytes(&self) -> usize {
        self.budget.held()
    }

    /// A registration was refused for want of bytes.
    pub fn count_no_room(&mut self) {
        self.counters.no_room += 1;
    }

    /// A registration was refused for want of room.
    pub fn count_refusal(&mut self) {
        self.counters.registrations_refused += 1;
    }

    /// The relay of a device whose registration was read anew, if it has another token than the relay knows.
    pub fn outdated(&self, device: &Device) -> Option<RelayId> {
        let id = self.find(&device.name)?;
        let known = &self.get(id)?.device;
        (known.token != device.token).then_some(id)
    }

    /// Tells a relay of something, and has it do what is due then. `heard` is when a session was heard
    /// last. What comes of it is in [`poll_effect`](Self::poll_effect).
    pub fn tell(
        &mut self,
        now: Instant,
        id: RelayId,
        heard: &dyn Fn(SessionId) -> Option<Instant>,
        event: impl FnOnce(&mut DeviceRelay, &mut Context<'_>),
    ) {
        let Some(entry) = self.relays.get_mut(&id) else {
            return;
        };
        let mut context = Context {
            settings: &self.settings,
            largest_payload: self.largest_payload,
            room: self.budget.room(entry.bytes),
            pace: &mut self.pace,
            random: &mut || self.random.f64(),
            heard,
            counters: &mut self.counters,
            effects: &mut self.scratch,
        };
        event(&mut entry.relay, &mut context);
        entry.relay.advance(now, &mut context);
        self.effects
            .extend(self.scratch.drain(..).map(|effect| (id, effect)));
        let polls = entry.relay.polls(&self.settings);
        self.polls = self.polls.saturating_sub(entry.polls) + polls;
        entry.polls = polls;
        let bytes = entry.relay.bytes();
        self.budget.replace(entry.bytes, bytes);
        entry.bytes = bytes;
        let standing = entry.relay.standing();
        self.standing.replace(entry.standing, standing);
        entry.standing = standing;
        self.waking.set_waiting(id, entry.relay.awaits_answers());
        if entry.relay.is_idle() {
            if let Some(at) = entry.relay.rested_at().filter(|at| *at > now) {
                self.timers.arm(id, &mut entry.timer, at);
                return;
            }
            self.timers.disarm(id, &mut entry.timer);
            self.waking.set_waiting(id, false);
            self.by_name.remove(&entry.relay.device.name);
            self.relays.remove(&id);
        } else if let Some(at) = entry.relay.next_timeout(&self.settings) {
            self.timers.arm(id, &mut entry.timer, at);
        }
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<(RelayId, Effect)> {
        self.effects.pop_front()
    }

    /// A relay whose time may have come: [`tell`](Self::tell) it nothing, it knows what to do.
    pub fn pop_due(&mut self, now: Instant) -> Option<RelayId> {
        if let Some(id) = self.waking.pop(now) {
            if let Some(entry) = self.relays.get_mut(&id) {
                entry.relay.wake(now);
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
    pub fn next_timeout(&self) -> Option<Instant> {
        let deadlines = [self.timers.next(), self.waking.next_timeout()];
        deadlines.into_iter().flatten().min()
    }

    /// A call to ThingsBoard, whoever made it, has ended so.
    pub fn call_ended<T>(&mut self, now: Instant, outcome: &Result<T, Error>) {
        match outcome {
            Err(Error::Timeout | Error::Unreachable) => self.waking.unanswered(),
            // A proxy may say so while ThingsBoard is away, and one device's rate limit shows so as well.
            Err(Error::Overloaded | Error::RetryAfter(_)) => {}
            Ok(_) | Err(Error::Elapsed | Error::Unintelligible(_) | Error::Rejected(_)) => {
                self.waking.answered(now, || self.random.f64());
            }
        }
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What counts against `relay.max_polls`.
    pub fn polls(&self) -> usize {
        self.polls
    }

    /// What there is of observations.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Times that something is to be done at.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// How much of everything there is, for tests that hold it to its bounds.
    #[cfg(test)]
    pub(crate) fn load(&self) -> Load {
        let relays = || self.relays.values().map(|entry| &entry.relay);
        Load {
            relays: self.relays.len(),
            names: self.by_name.len(),
            timers: self.timers.len(),
            polls: self.polls,
            bytes: self.budget.held(),
            bytes_found: relays().map(DeviceRelay::bytes).sum(),
            most_commands: relays()
                .map(DeviceRelay::commands_waiting)
                .max()
                .unwrap_or_default(),
        }
    }
}

/// What [`Relays::load`] counts.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) relays: usize,
    pub(crate) names: usize,
    pub(crate) timers: usize,
    pub(crate) polls: usize,
    pub(crate) bytes: usize,
    pub(crate) bytes_found: usize,
    pub(crate) most_commands: usize,
}
